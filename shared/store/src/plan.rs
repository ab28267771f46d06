//! Plans with their charges, in one partition: one query reads a plan with all it ever cost.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    charge::Charge,
    id::{OrganizationId, PlanId, SubscriptionId},
    period::{BillingInterval, IntervalUnit},
    plan::{Plan, PlanType, PricedPlan},
};

use crate::{
    audit::Change,
    charge::{charge_from, charge_item},
    client::Store,
    error::{StoreError, unavailable},
    item::{Attributes, Item, Reader},
    keys,
    page::{List, Page, PageRequest},
    transaction::{Otherwise, Transaction},
};

const LIST: List = List { what: "PLAN", shards: 1, filter: None };

impl Store {
    /// Makes a plan without charges. Errors: `Taken` if its lookup id is.
    pub async fn create_plan(&self, change: &Change, plan: &Plan) -> Result<(), StoreError> {
        Transaction::new(self)
            .create(plan_item(change.organization, plan), Otherwise::Conflict)
            .claim(keys::claim(change.organization, "PLAN", &plan.lookup_id), plan.id, "lookup_id")
            .audited(change, "create plan", plan.id)
            .commit(self)
            .await
    }

    /// A plan with all charges it ever had.
    pub async fn get_plan(&self, organization: OrganizationId, id: PlanId) -> Result<PricedPlan, StoreError> {
        let items = self.query(keys::plan_partition(organization, id), "PLAN").await?;
        let (plan, charges) = items.split_first().ok_or(StoreError::NotFound("plan"))?;
        let plan = plan_from(plan)?;
        let mut charges = charges.iter().map(charge_from).collect::<Result<Vec<_>, _>>()?;
        charges.sort_by_key(|charge| charge.added_in); // the order of the lines on invoices
        Ok(PricedPlan { plan, charges })
    }

    /// The plans of an organization.
    pub async fn list_plans(
        &self,
        organization: OrganizationId,
        request: &PageRequest,
    ) -> Result<Page<Plan>, StoreError> {
        self.list(organization, &LIST, request).await?.try_map(|item| plan_from(&item))
    }

    /// Puts a plan over the version that was read.
    pub async fn update_plan(&self, change: &Change, plan: &Plan) -> Result<(), StoreError> {
        Transaction::new(self)
            .replace(plan_item(change.organization, plan), plan.version)
            .audited(change, "update plan", plan.id)
            .commit(self)
            .await
    }

    /// Puts a charge, and the plan whose prices it changes over the version that was read.
    pub async fn put_charge(&self, change: &Change, plan: &Plan, charge: &Charge) -> Result<(), StoreError> {
        let is_new = charge.retired_in.is_none();
        Transaction::new(self)
            .replace(plan_item(change.organization, plan), plan.version)
            .replace(charge_item(change.organization, plan.id, charge), u64::from(!is_new))
            .audited(change, if is_new { "add charge" } else { "retire charge" }, charge.id)
            .commit(self)
            .await
    }

    /// Whether a live subscription uses the plan.
    pub async fn is_plan_used(&self, organization: OrganizationId, id: PlanId) -> Result<bool, StoreError> {
        let uses = self.query(keys::plan_partition(organization, id), "USE#").await?;
        Ok(!uses.is_empty())
    }

    /// The live subscriptions that are, were or will be billed by a plan, oldest first, so many after one.
    pub async fn list_plan_uses(
        &self,
        organization: OrganizationId,
        id: PlanId,
        after: Option<SubscriptionId>,
        size: usize,
    ) -> Result<Page<SubscriptionId>, StoreError> {
        let (from, until) = keys::plan_uses(after);
        let page = self
            .client
            .query()
            .table_name(&self.core_table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :until")
            .expression_attribute_values(":pk", AttributeValue::S(keys::plan_partition(organization, id)))
            .expression_attribute_values(":from", AttributeValue::S(from))
            .expression_attribute_values(":until", AttributeValue::S(until))
            .limit(i32::try_from(size.saturating_add(1)).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(unavailable)?;
        let read = |item: Attributes| {
            let subscription = keys::plan_use_subscription(Reader::new("plan_use", &item)?.text("sk")?);
            let subscription = subscription.ok_or_else(|| StoreError::Corrupt {
                kind: "plan_use",
                reason: "attribute `sk`".to_owned(),
            })?;
            Ok::<_, StoreError>((subscription.to_string(), subscription))
        };
        let rows = page.items.unwrap_or_default().into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::first_of(rows, size))
    }

    /// Deletes a plan and its charges.
    pub async fn delete_plan(&self, change: &Change, plan: &PricedPlan) -> Result<(), StoreError> {
        let (organization, id) = (change.organization, plan.plan.id);
        // The plan goes first, in one write with its name: without it, nothing finds the charges.
        Transaction::new(self)
            .delete(keys::plan(organization, id), plan.plan.version)
            .release(keys::claim(organization, "PLAN", &plan.plan.lookup_id))
            .audited(change, "delete plan", id)
            .commit(self)
            .await?;
        for charges in plan.charges.chunks(100) {
            let mut transaction = Transaction::new(self);
            for charge in charges {
                transaction = transaction.release(keys::charge(organization, id, charge.id));
            }
            transaction.commit(self).await?;
        }
        let features = self.list_plan_features(organization, id).await?;
        for features in features.chunks(100) {
            let mut transaction = Transaction::new(self);
            for feature in features {
                transaction = transaction.release(keys::plan_feature(organization, id, feature.feature));
            }
            transaction.commit(self).await?;
        }
        Ok(())
    }
}

fn plan_item(organization: OrganizationId, plan: &Plan) -> Item {
    Item::new(keys::plan(organization, plan.id), "plan")
        .listed(keys::list(organization, LIST.what, 0), plan.id)
        .number("version", plan.version + 1)
        .display("id", plan.id)
        .text("name", &plan.name)
        .text("lookup_id", &plan.lookup_id)
        .text("plan_type", plan_type_text(plan.plan_type))
        .map("billing_interval", interval_item(plan.billing_interval))
        .text("currency", plan.currency.code())
        .number("trial_days", plan.trial_days.into())
        .optional("description", plan.description.as_deref())
        .flag("is_active", plan.is_active)
        .number("price_version", plan.price_version.into())
        .time("created_at", plan.created_at)
        .time("updated_at", plan.updated_at)
}

fn plan_from(item: &Attributes) -> Result<Plan, StoreError> {
    let item = Reader::new("plan", item)?;
    let plan_type = item.text("plan_type")?;
    let types = [PlanType::Fixed, PlanType::Usage, PlanType::Hybrid];
    Ok(Plan {
        id: item.parse("id")?,
        name: item.text("name")?.to_owned(),
        lookup_id: item.text("lookup_id")?.to_owned(),
        plan_type: types
            .into_iter()
            .find(|one| plan_type_text(*one) == plan_type)
            .ok_or_else(|| item.corrupt("plan_type"))?,
        billing_interval: interval_from(item.map("billing_interval")?)?,
        currency: item.parse("currency")?,
        trial_days: item.small("trial_days")?,
        description: item.owned("description")?,
        is_active: item.flag("is_active")?,
        price_version: item.small("price_version")?,
        created_at: item.time("created_at")?,
        updated_at: item.time("updated_at")?,
        version: item.number("version")?,
    })
}

fn plan_type_text(plan_type: PlanType) -> &'static str {
    match plan_type {
        PlanType::Fixed => "fixed",
        PlanType::Usage => "usage",
        PlanType::Hybrid => "hybrid",
    }
}

pub(crate) fn interval_item(interval: BillingInterval) -> Item {
    let unit = match interval.unit() {
        IntervalUnit::Day => "day",
        IntervalUnit::Week => "week",
        IntervalUnit::Month => "month",
        IntervalUnit::Year => "year",
    };
    Item::default().text("unit", unit).number("count", interval.count().into())
}

pub(crate) fn interval_from(interval: Reader<'_>) -> Result<BillingInterval, StoreError> {
    let unit = match interval.text("unit")? {
        "day" => IntervalUnit::Day,
        "week" => IntervalUnit::Week,
        "month" => IntervalUnit::Month,
        "year" => IntervalUnit::Year,
        _ => return Err(interval.corrupt("unit")),
    };
    BillingInterval::new(unit, interval.small("count")?).map_err(|_| interval.corrupt("count"))
}
