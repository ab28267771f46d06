//! Subscriptions, under their customer, and due when their period ends.

use std::collections::BTreeSet;

use domain::{
    charge::Charge,
    id::{CustomerId, OrganizationId, PlanId, SubscriptionId},
    outbox::OutboxEntry,
    proration::{ProrationMode, ProrationPolicy, ProrationUnit},
    schedule::{BillingSchedule, BillingTime},
    subscription::{Cancellation, Subscription, SubscriptionStatus, SubscriptionTerms},
};

use crate::{
    audit::Change,
    billing_error::{billing_error_from, billing_error_item},
    charge::{price_from, price_item},
    client::Store,
    due::{Due, DueKind},
    error::StoreError,
    item::{Attributes, Item, Reader},
    keys,
    outbox::outbox_item,
    page::{Condition, Filter, List, Page, PageRequest},
    plan::{interval_from, interval_item},
    transaction::{Otherwise, Transaction},
};

const SHARDS: u32 = 4;

impl Store {
    /// Makes a subscription of a customer that exists to a plan that is active.
    ///
    /// Errors: `NotFound` for either otherwise.
    pub async fn create_subscription(
        &self,
        change: &Change,
        subscription: &Subscription,
        outbox: &[OutboxEntry],
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let reference = Item::new(keys::reference(organization, subscription.id), "reference")
            .display("customer", subscription.customer);
        let plan_use = keys::plan_use(organization, subscription.plan, subscription.id);
        Transaction::new(self)
            .check(
                keys::customer(organization, subscription.customer),
                "attribute_exists(pk)",
                Otherwise::NotFound("customer"),
            )
            .check(
                keys::plan(organization, subscription.plan),
                "attribute_exists(pk)",
                Otherwise::NotFound("plan"),
            )
            .create(subscription_item(organization, subscription), Otherwise::Conflict)
            .create(reference, Otherwise::Conflict)
            .create(Item::new(plan_use, "plan_use").number("version", 1), Otherwise::Conflict)
            .outbox(organization, outbox)
            .audited(change, "create subscription", subscription.id)
            .commit(self)
            .await
    }

    /// A subscription.
    pub async fn get_subscription(
        &self,
        organization: OrganizationId,
        id: SubscriptionId,
    ) -> Result<Subscription, StoreError> {
        let reference = self.get(keys::reference(organization, id)).await?;
        let reference = reference.ok_or(StoreError::NotFound("subscription"))?;
        let customer = Reader::new("reference", &reference)?.parse("customer")?;
        self.get_subscription_of(organization, customer, id).await
    }

    /// A subscription whose customer is known.
    pub async fn get_subscription_of(
        &self,
        organization: OrganizationId,
        customer: CustomerId,
        id: SubscriptionId,
    ) -> Result<Subscription, StoreError> {
        let item = self.get(keys::subscription(organization, customer, id)).await?;
        from_item(&item.ok_or(StoreError::NotFound("subscription"))?)
    }

    /// The subscriptions of an organization that fit `filter`.
    pub async fn list_subscriptions(
        &self,
        organization: OrganizationId,
        filter: &Filter,
        request: &PageRequest,
    ) -> Result<Page<Subscription>, StoreError> {
        let Some(customer) = filter.customer else {
            let status = filter.status.map(|status| ("status", status.to_owned()));
            let list = List { what: "SUBSCRIPTIONS", shards: SHARDS, filter: status };
            let plan = filter.plan.map(Condition::Plan);
            let rows = self.list_where(organization, &list, plan.as_slice(), request).await?;
            return rows.try_map(|item| from_item(&item));
        };
        let subscriptions = self.list_subscriptions_of(organization, customer).await?;
        let is_wanted = |subscription: &Subscription| {
            filter.status.is_none_or(|status| status_text(subscription.status).0 == status)
                && filter.plan.is_none_or(|plan| subscription.plan == plan)
        };
        let rows = subscriptions.into_iter().rev().filter(is_wanted).map(|row| (row.id.to_string(), row));
        Ok(Page::of(rows.collect(), request))
    }

    /// The newest `size` subscriptions of an organization that were made before the one of id `before`.
    pub async fn list_subscriptions_before(
        &self,
        organization: OrganizationId,
        before: Option<SubscriptionId>,
        size: usize,
    ) -> Result<Vec<Subscription>, StoreError> {
        let list = List { what: "SUBSCRIPTIONS", shards: SHARDS, filter: None };
        let before = before.map(|id| id.to_string());
        let items = self.list_after(organization, &list, before.as_deref(), size).await?;
        items.iter().map(from_item).collect()
    }

    /// All subscriptions of one customer, oldest first.
    pub async fn list_subscriptions_of(
        &self,
        organization: OrganizationId,
        customer: CustomerId,
    ) -> Result<Vec<Subscription>, StoreError> {
        let items = self.query(keys::customer_partition(organization, customer), "SUB#").await?;
        items.iter().map(from_item).collect()
    }

    /// Puts a subscription over the version that was read, with what is to be told of it, and the plan that
    /// it uses from now on beside those it did.
    pub async fn change_subscription(
        &self,
        change: &Change,
        action: &'static str,
        subscription: &Subscription,
        new_plan: Option<PlanId>,
        outbox: &[OutboxEntry],
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let mut transaction = Transaction::new(self)
            .subscription(organization, subscription)
            .outbox(organization, outbox)
            .audited(change, action, subscription.id);
        if let Some(plan) = new_plan {
            let plan_use = keys::plan_use(organization, plan, subscription.id);
            transaction = transaction
                .check(keys::plan(organization, plan), "attribute_exists(pk)", Otherwise::NotFound("plan"))
                // It may have been decided on, and given up, before.
                .ensure(Item::new(plan_use, "plan_use").number("version", 1));
        }
        transaction.commit(self).await
    }

    /// Deletes a subscription of the version that was read.
    pub async fn delete_subscription(
        &self,
        change: &Change,
        subscription: &Subscription,
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        Transaction::new(self)
            .delete(
                keys::subscription(organization, subscription.customer, subscription.id),
                subscription.version,
            )
            .release(keys::reference(organization, subscription.id))
            .release(keys::plan_use(organization, subscription.plan, subscription.id))
            .audited(change, "delete subscription", subscription.id)
            .commit(self)
            .await
    }
}

impl Transaction {
    /// Puts a subscription over the version that was read. One that is over no longer uses its plan.
    pub(crate) fn subscription(self, organization: OrganizationId, subscription: &Subscription) -> Self {
        let transaction = self.replace(subscription_item(organization, subscription), subscription.version);
        let plan_use = |plan| keys::plan_use(organization, plan, subscription.id);
        let plans = subscription.plans().collect::<BTreeSet<_>>().into_iter();
        if subscription.is_live() {
            return transaction;
        }
        plans.fold(transaction, |transaction, plan| transaction.release(plan_use(plan)))
    }

    /// Puts what is to be told. An entry that is there already would be a second telling of the same.
    pub(crate) fn outbox(self, organization: OrganizationId, entries: &[OutboxEntry]) -> Self {
        entries.iter().fold(self, |transaction, entry| {
            transaction.create(outbox_item(organization, entry, entry.at), Otherwise::Conflict)
        })
    }
}

fn subscription_item(organization: OrganizationId, subscription: &Subscription) -> Item {
    let (status, since) = status_text(subscription.status);
    let shard = keys::shard(subscription.id, SHARDS);
    let mut item =
        Item::new(keys::subscription(organization, subscription.customer, subscription.id), "subscription")
            .listed(keys::list(organization, "SUBSCRIPTIONS", shard), subscription.id)
            .number("version", subscription.version + 1)
            .display("id", subscription.id)
            .display("customer", subscription.customer)
            .display("plan", subscription.plan)
            .text("plan_name", &subscription.plan_name)
            .number("price_version", subscription.price_version.into())
            .map("interval", interval_item(subscription.interval))
            .text("currency", subscription.currency.code())
            .text("status", status)
            .optional_time("status_at", since)
            .map("schedule", schedule_item(&subscription.schedule))
            .map("proration", proration_item(subscription.proration))
            .list("terms", subscription.terms.iter().map(terms_item))
            .list("one_offs", subscription.one_offs.iter().map(one_off_item))
            .optional_time("billed_until", subscription.billed_until)
            .optional_time("next_bill_at", subscription.next_bill_at)
            .time("start", subscription.start)
            .optional_time("trial_end", subscription.trial_end)
            .optional_time("ends_at", subscription.ends_at)
            .optional_time("last_invoiced_at", subscription.last_invoiced_at)
            .time("created_at", subscription.created_at)
            .time("updated_at", subscription.updated_at);
    if let Some(error) = &subscription.billing_error {
        item = item.map("billing_error", billing_error_item(error));
    }
    if let Some(policy) = subscription.end_proration {
        item = item.map("end_proration", proration_item(policy));
    }
    if let Some(cancellation) = &subscription.cancellation {
        let cancellation =
            Item::default().time("at", cancellation.at).optional("reason", cancellation.reason.as_deref());
        item = item.map("cancellation", cancellation);
    }
    match subscription.attended_at() {
        Some(at) => {
            let due = Due { at, organization, customer: subscription.customer, id: subscription.id.uuid() };
            item.due(DueKind::PeriodEnd, due)
        }
        None => item,
    }
}

/// The state as on the wire, so that lists can be filtered by it, and the instant that goes with it.
fn status_text(status: SubscriptionStatus) -> (&'static str, Option<chrono::DateTime<chrono::Utc>>) {
    match status {
        SubscriptionStatus::Trial { until } => ("TRIAL", Some(until)),
        SubscriptionStatus::Active => ("ACTIVE", None),
        SubscriptionStatus::PastDue => ("PAST_DUE", None),
        SubscriptionStatus::Paused => ("PAUSED", None),
        SubscriptionStatus::Canceled { at } => ("CANCELED", Some(at)),
    }
}

fn from_item(item: &Attributes) -> Result<Subscription, StoreError> {
    let item = Reader::new("subscription", item)?;
    let cancellation = item.optional_map("cancellation")?.map(|cancellation| {
        Ok::<_, StoreError>(Cancellation {
            at: cancellation.time("at")?,
            reason: cancellation.owned("reason")?,
        })
    });
    Ok(Subscription {
        id: item.parse("id")?,
        customer: item.parse("customer")?,
        plan: item.parse("plan")?,
        plan_name: item.text("plan_name")?.to_owned(),
        price_version: item.small("price_version")?,
        interval: interval_from(item.map("interval")?)?,
        currency: item.parse("currency")?,
        status: match item.text("status")? {
            "TRIAL" => SubscriptionStatus::Trial { until: item.time("status_at")? },
            "ACTIVE" => SubscriptionStatus::Active,
            "PAST_DUE" => SubscriptionStatus::PastDue,
            "PAUSED" => SubscriptionStatus::Paused,
            "CANCELED" => SubscriptionStatus::Canceled { at: item.time("status_at")? },
            _ => return Err(item.corrupt("status")),
        },
        schedule: schedule_from(item.map("schedule")?)?,
        proration: proration_from(item.map("proration")?)?,
        terms: item.list("terms")?.into_iter().map(terms_from).collect::<Result<_, _>>()?,
        // Older items have none.
        one_offs: match item.has("one_offs") {
            true => item.list("one_offs")?.into_iter().map(one_off_from).collect::<Result<_, _>>()?,
            false => Vec::new(),
        },
        billed_until: item.optional_time("billed_until")?,
        next_bill_at: item.optional_time("next_bill_at")?,
        billing_error: item.optional_map("billing_error")?.map(billing_error_from).transpose()?,
        start: item.time("start")?,
        trial_end: item.optional_time("trial_end")?,
        ends_at: item.optional_time("ends_at")?,
        end_proration: item.optional_map("end_proration")?.map(proration_from).transpose()?,
        cancellation: cancellation.transpose()?,
        last_invoiced_at: item.optional_time("last_invoiced_at")?,
        created_at: item.time("created_at")?,
        updated_at: item.time("updated_at")?,
        version: item.number("version")?,
    })
}

fn schedule_item(schedule: &BillingSchedule) -> Item {
    let anchor = match schedule.time {
        BillingTime::Anchored(anchor) => Some(anchor),
        BillingTime::Calendar => None,
    };
    Item::default()
        .time("start", schedule.start)
        .optional_time("end", schedule.end)
        .optional_time("anchor", anchor)
        .text("zone", schedule.zone.name())
}

fn schedule_from(schedule: Reader<'_>) -> Result<BillingSchedule, StoreError> {
    Ok(BillingSchedule {
        start: schedule.time("start")?,
        end: schedule.optional_time("end")?,
        time: schedule.optional_time("anchor")?.map_or(BillingTime::Calendar, BillingTime::Anchored),
        zone: schedule.parse("zone")?,
    })
}

pub(crate) fn proration_item(policy: ProrationPolicy) -> Item {
    let unit = match policy.unit {
        ProrationUnit::Second => "second",
        ProrationUnit::Day => "day",
    };
    let mode = match policy.mode {
        ProrationMode::Prorate => "prorate",
        ProrationMode::None => "none",
        ProrationMode::Full => "full",
    };
    Item::default().text("unit", unit).text("mode", mode)
}

pub(crate) fn proration_from(policy: Reader<'_>) -> Result<ProrationPolicy, StoreError> {
    Ok(ProrationPolicy {
        unit: match policy.text("unit")? {
            "second" => ProrationUnit::Second,
            "day" => ProrationUnit::Day,
            _ => return Err(policy.corrupt("unit")),
        },
        mode: match policy.text("mode")? {
            "prorate" => ProrationMode::Prorate,
            "none" => ProrationMode::None,
            "full" => ProrationMode::Full,
            _ => return Err(policy.corrupt("mode")),
        },
    })
}

pub(crate) fn one_off_item(charge: &Charge) -> Item {
    Item::default()
        .display("id", charge.id)
        .text("description", &charge.display_name)
        .map("price", price_item(&charge.price))
        .time("at", charge.created_at)
}

pub(crate) fn one_off_from(item: Reader<'_>) -> Result<Charge, StoreError> {
    Ok(Charge {
        id: item.parse("id")?,
        display_name: item.text("description")?.to_owned(),
        price: price_from(item.map("price")?)?,
        added_in: 0,
        retired_in: None,
        created_at: item.time("at")?,
    })
}

fn terms_item(terms: &SubscriptionTerms) -> Item {
    let prices = terms
        .prices
        .iter()
        .fold(Item::default(), |prices, (charge, price)| prices.map(&charge.to_string(), price_item(price)));
    let item = Item::default()
        .time("from", terms.from)
        .display("plan", terms.plan)
        .text("plan_name", &terms.plan_name)
        .number("price_version", terms.price_version.into())
        .map("interval", interval_item(terms.interval))
        .map("prices", prices)
        .flag("is_paused", terms.is_paused);
    match terms.proration {
        Some(policy) => item.map("proration", proration_item(policy)),
        None => item,
    }
}

fn terms_from(terms: Reader<'_>) -> Result<SubscriptionTerms, StoreError> {
    let prices = terms.map("prices")?;
    let price = |name: &str| {
        let charge = name.parse().map_err(|_| prices.corrupt("prices"))?;
        Ok::<_, StoreError>((charge, price_from(prices.map(name)?)?))
    };
    Ok(SubscriptionTerms {
        from: terms.time("from")?,
        plan: terms.parse("plan")?,
        plan_name: terms.text("plan_name")?.to_owned(),
        price_version: terms.small("price_version")?,
        interval: interval_from(terms.map("interval")?)?,
        prices: prices.names().map(price).collect::<Result<_, _>>()?,
        is_paused: terms.flag("is_paused")?,
        proration: terms.optional_map("proration")?.map(proration_from).transpose()?,
    })
}
