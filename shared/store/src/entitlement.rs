//! What plans grant of features, beside their plan; and what single subscriptions have otherwise, beside
//! their customer.

use domain::{
    customer::Customer,
    entitlement::{Grant, GrantChanges, GrantOverride, PlanFeature},
    id::{CustomerId, FeatureId, OrganizationId, PlanId, SubscriptionId},
    period::IntervalUnit,
    property::{Properties, Property},
    subscription::Subscription,
};
use futures::future::try_join;

use crate::{
    audit::Change,
    client::Store,
    customer::customer_from,
    error::StoreError,
    item::{Attributes, Item, Reader},
    keys,
    transaction::{Otherwise, Transaction},
};

/// A customer with what it is subscribed to.
#[derive(Clone, Debug)]
pub struct SubscribedCustomer {
    /// The customer.
    pub customer: Customer,
    /// Its subscriptions, oldest first.
    pub subscriptions: Vec<Subscription>,
    /// What single subscriptions have otherwise than their plans.
    pub overrides: Vec<(SubscriptionId, GrantOverride)>,
}

impl Store {
    /// A customer with its subscriptions, and with what those have otherwise than their plans.
    pub async fn get_subscribed_customer(
        &self,
        organization: OrganizationId,
        id: CustomerId,
    ) -> Result<SubscribedCustomer, StoreError> {
        let partition = keys::customer_partition(organization, id);
        let customer = self.query_between(partition, keys::CUSTOMER_AND_OVERRIDES);
        let subscriptions = self.list_subscriptions_of(organization, id);
        let (items, subscriptions) = try_join(customer, subscriptions).await?;
        let mut items = items.iter();
        let customer = items.next().ok_or(StoreError::NotFound("customer"))?;
        let read = |item: &Attributes| {
            let reader = Reader::new("grant_override", item)?;
            let subscription = keys::grant_override_subscription(reader.text("sk")?);
            Ok((subscription.ok_or_else(|| reader.corrupt("sk"))?, override_from(item)?))
        };
        Ok(SubscribedCustomer {
            customer: customer_from(customer)?,
            subscriptions,
            overrides: items.map(read).collect::<Result<_, StoreError>>()?,
        })
    }

    /// Adds a feature that exists to a plan that exists.
    ///
    /// Errors: `NotFound` for either otherwise, `Taken` if the plan has it already.
    pub async fn create_plan_feature(
        &self,
        change: &Change,
        plan: PlanId,
        feature: &PlanFeature,
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let (plan_key, feature_key) =
            (keys::plan(organization, plan), keys::feature(organization, feature.feature));
        Transaction::new(self)
            .check(plan_key, "attribute_exists(pk)", Otherwise::NotFound("plan"))
            .check(feature_key, "attribute_exists(pk)", Otherwise::NotFound("feature"))
            .create(plan_feature_item(organization, plan, feature), Otherwise::Taken("feature_id"))
            .audited(change, "add feature to plan", feature.feature)
            .commit(self)
            .await
    }

    /// Puts a feature of a plan over the version that was read.
    pub async fn update_plan_feature(
        &self,
        change: &Change,
        plan: PlanId,
        feature: &PlanFeature,
    ) -> Result<(), StoreError> {
        Transaction::new(self)
            .replace(plan_feature_item(change.organization, plan, feature), feature.version)
            .audited(change, "change feature of plan", feature.feature)
            .commit(self)
            .await
    }

    /// Takes a feature of the version that was read from a plan.
    pub async fn delete_plan_feature(
        &self,
        change: &Change,
        plan: PlanId,
        feature: &PlanFeature,
    ) -> Result<(), StoreError> {
        Transaction::new(self)
            .delete(keys::plan_feature(change.organization, plan, feature.feature), feature.version)
            .audited(change, "take feature from plan", feature.feature)
            .commit(self)
            .await
    }

    /// A feature of a plan; `None` if the plan does not have it.
    pub async fn find_plan_feature(
        &self,
        organization: OrganizationId,
        plan: PlanId,
        feature: FeatureId,
    ) -> Result<Option<PlanFeature>, StoreError> {
        let item = self.get(keys::plan_feature(organization, plan, feature)).await?;
        item.as_ref().map(plan_feature_from).transpose()
    }

    /// The features of a plan, in the order they were added.
    pub async fn list_plan_features(
        &self,
        organization: OrganizationId,
        plan: PlanId,
    ) -> Result<Vec<PlanFeature>, StoreError> {
        let items = self.query(keys::plan_partition(organization, plan), "FEATURE#").await?;
        let mut features = items.iter().map(plan_feature_from).collect::<Result<Vec<_>, _>>()?;
        features.sort_by_key(|feature| (feature.created_at, feature.feature));
        Ok(features)
    }

    /// Puts what a subscription has of a feature otherwise than its plan, whatever it was before.
    ///
    /// Errors: `NotFound` if the subscription or the feature does not exist.
    pub async fn put_grant_override(
        &self,
        change: &Change,
        (customer, subscription): (CustomerId, SubscriptionId),
        grant_override: &GrantOverride,
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let owner = keys::subscription(organization, customer, subscription);
        let feature = keys::feature(organization, grant_override.feature);
        Transaction::new(self)
            .check(owner, "attribute_exists(pk)", Otherwise::NotFound("subscription"))
            .check(feature, "attribute_exists(pk)", Otherwise::NotFound("feature"))
            .overwrite(override_item(organization, (customer, subscription), grant_override))
            .audited(change, "override entitlement", subscription)
            .commit(self)
            .await
    }

    /// Takes away what a subscription has of a feature otherwise than its plan.
    pub async fn delete_grant_override(
        &self,
        change: &Change,
        (customer, subscription): (CustomerId, SubscriptionId),
        feature: FeatureId,
    ) -> Result<(), StoreError> {
        Transaction::new(self)
            .release(keys::grant_override(change.organization, customer, subscription, feature))
            .audited(change, "delete entitlement override", subscription)
            .commit(self)
            .await
    }

    /// What a subscription has of one feature otherwise than its plan.
    pub async fn find_grant_override(
        &self,
        organization: OrganizationId,
        (customer, subscription): (CustomerId, SubscriptionId),
        feature: FeatureId,
    ) -> Result<Option<GrantOverride>, StoreError> {
        let item = self.get(keys::grant_override(organization, customer, subscription, feature)).await?;
        item.as_ref().map(override_from).transpose()
    }

    /// All that a subscription has otherwise than its plan.
    pub async fn list_grant_overrides(
        &self,
        organization: OrganizationId,
        (customer, subscription): (CustomerId, SubscriptionId),
    ) -> Result<Vec<GrantOverride>, StoreError> {
        let partition = keys::customer_partition(organization, customer);
        let items = self.query(partition, &format!("GRANT#{subscription}#")).await?;
        items.iter().map(override_from).collect()
    }
}

fn plan_feature_item(organization: OrganizationId, plan: PlanId, feature: &PlanFeature) -> Item {
    let Grant { is_enabled, limit, resets_every, is_soft, rollover_max, value } = &feature.grant;
    Item::new(keys::plan_feature(organization, plan, feature.feature), "plan_feature")
        .number("version", feature.version + 1)
        .display("feature", feature.feature)
        .flag("is_enabled", *is_enabled)
        .optional("limit", *limit)
        .optional("resets_every", resets_every.map(unit_text))
        .flag("is_soft", *is_soft)
        .optional("rollover_max", *rollover_max)
        .properties("value", &properties(value.as_ref()))
        .time("created_at", feature.created_at)
}

fn plan_feature_from(item: &Attributes) -> Result<PlanFeature, StoreError> {
    let item = Reader::new("plan_feature", item)?;
    Ok(PlanFeature {
        feature: item.parse("feature")?,
        grant: Grant {
            is_enabled: item.flag("is_enabled")?,
            limit: item.optional("limit")?,
            resets_every: unit_from(item)?,
            is_soft: item.flag("is_soft")?,
            rollover_max: item.optional("rollover_max")?,
            value: item.properties("value")?.into_iter().next().map(|(_, value)| value),
        },
        created_at: item.time("created_at")?,
        version: item.number("version")?,
    })
}

/// What is overridden is said by name; for the rest, what is not there is `None`.
fn override_item(
    organization: OrganizationId,
    (customer, subscription): (CustomerId, SubscriptionId),
    grant_override: &GrantOverride,
) -> Item {
    let GrantChanges { is_enabled, limit, resets_every, is_soft, rollover_max, value } =
        &grant_override.changes;
    let names = [
        ("is_enabled", is_enabled.is_some()),
        ("limit", limit.is_some()),
        ("resets_every", resets_every.is_some()),
        ("is_soft", is_soft.is_some()),
        ("rollover_max", rollover_max.is_some()),
        ("value", value.is_some()),
    ];
    let names = names.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name);
    let key = keys::grant_override(organization, customer, subscription, grant_override.feature);
    Item::new(key, "grant_override")
        .display("feature", grant_override.feature)
        .texts("overridden", names)
        .flag("is_enabled", is_enabled.unwrap_or_default())
        .optional("limit", limit.flatten())
        .optional("resets_every", resets_every.flatten().map(unit_text))
        .flag("is_soft", is_soft.unwrap_or_default())
        .optional("rollover_max", rollover_max.flatten())
        .properties("value", &properties(value.as_ref().and_then(Option::as_ref)))
}

fn override_from(item: &Attributes) -> Result<GrantOverride, StoreError> {
    let item = Reader::new("grant_override", item)?;
    let names = item.texts("overridden")?;
    let is_given = |name: &str| names.contains(&name);
    Ok(GrantOverride {
        feature: item.parse("feature")?,
        changes: GrantChanges {
            is_enabled: is_given("is_enabled").then(|| item.flag("is_enabled")).transpose()?,
            limit: is_given("limit").then(|| item.optional("limit")).transpose()?,
            resets_every: is_given("resets_every").then(|| unit_from(item)).transpose()?,
            is_soft: is_given("is_soft").then(|| item.flag("is_soft")).transpose()?,
            rollover_max: is_given("rollover_max").then(|| item.optional("rollover_max")).transpose()?,
            value: is_given("value")
                .then(|| {
                    Ok::<_, StoreError>(item.properties("value")?.into_iter().next().map(|(_, value)| value))
                })
                .transpose()?,
        },
    })
}

/// A value as a map of none or one.
fn properties(value: Option<&Property>) -> Properties {
    value.map(|value| ("value".to_owned(), value.clone())).into_iter().collect()
}

const UNITS: [IntervalUnit; 4] =
    [IntervalUnit::Day, IntervalUnit::Week, IntervalUnit::Month, IntervalUnit::Year];

fn unit_text(unit: IntervalUnit) -> &'static str {
    match unit {
        IntervalUnit::Day => "day",
        IntervalUnit::Week => "week",
        IntervalUnit::Month => "month",
        IntervalUnit::Year => "year",
    }
}

fn unit_from(item: Reader<'_>) -> Result<Option<IntervalUnit>, StoreError> {
    let Some(text) = item.optional_text("resets_every")? else { return Ok(None) };
    let unit = UNITS.into_iter().find(|unit| unit_text(*unit) == text);
    unit.map(Some).ok_or_else(|| item.corrupt("resets_every"))
}
