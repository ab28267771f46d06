//! Alerts, beside their organization, due to be looked at again; and what each told, by whom it is about.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use domain::{
    alert::{Alert, AlertScope, Reading, Thresholds, Trigger, Watch},
    id::{AlertId, CustomerId, FeatureId, MeterId, OrganizationId, SubscriptionId},
    outbox::OutboxEntry,
    period::BillingPeriod,
};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{
    audit::Change,
    client::Store,
    error::{StoreError, unavailable},
    item::{Attributes, Item, Reader},
    keys,
    page::{List, Page, PageRequest},
    transaction::{Otherwise, Transaction},
};

impl Store {
    /// Makes an alert, which is due at once.
    pub async fn create_alert(&self, change: &Change, alert: &Alert) -> Result<(), StoreError> {
        Transaction::new(self)
            .create(alert_item(change, alert), Otherwise::Conflict)
            .audited(change, "create alert", alert.id)
            .commit(self)
            .await
    }

    /// An alert.
    pub async fn get_alert(&self, organization: OrganizationId, id: AlertId) -> Result<Alert, StoreError> {
        let item = self.get(keys::alert(organization, id)).await?.ok_or(StoreError::NotFound("alert"))?;
        alert_from(&item)
    }

    /// An alert with the place that looking at it has come to; `None` if it was deleted.
    pub async fn find_alert_sweep(
        &self,
        organization: OrganizationId,
        id: AlertId,
    ) -> Result<Option<(Alert, Option<SubscriptionId>)>, StoreError> {
        let Some(item) = self.get(keys::alert(organization, id)).await? else { return Ok(None) };
        let place = Reader::new("alert", &item)?.optional("swept")?;
        Ok(Some((alert_from(&item)?, place)))
    }

    /// All alerts of an organization, oldest first.
    pub async fn list_alerts(&self, organization: OrganizationId) -> Result<Vec<Alert>, StoreError> {
        let items = self.query(organization.to_string(), keys::ALERTS).await?;
        items.iter().map(alert_from).collect()
    }

    /// Puts an alert over the version that was read. It is due at once.
    pub async fn update_alert(&self, change: &Change, alert: &Alert) -> Result<(), StoreError> {
        Transaction::new(self)
            .replace(alert_item(change, alert), alert.version)
            .audited(change, "update alert", alert.id)
            .commit(self)
            .await
    }

    /// Deletes an alert of the version that was read. What it told stays stored.
    pub async fn delete_alert(&self, change: &Change, alert: &Alert) -> Result<(), StoreError> {
        Transaction::new(self)
            .delete(keys::alert(change.organization, alert.id), alert.version)
            .audited(change, "delete alert", alert.id)
            .commit(self)
            .await
    }

    /// Makes an alert of the version that was read due again at `due_at`, and remembers how far looking at it
    /// has come. Nothing happens if it was changed meanwhile: it is due at once then.
    pub async fn postpone_alert(
        &self,
        organization: OrganizationId,
        alert: &Alert,
        place: Option<SubscriptionId>,
        due_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (_, due) = keys::alert_due(due_at, alert.id);
        let update = self
            .client
            .update_item()
            .table_name(&self.core_table)
            .set_key(Some(keys::alert(organization, alert.id).attributes()))
            .condition_expression("#version = :version")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":version", AttributeValue::N(alert.version.to_string()))
            .expression_attribute_values(":due", AttributeValue::S(due));
        let update = match place {
            Some(place) => update
                .update_expression("SET gsi2sk = :due, swept = :place")
                .expression_attribute_values(":place", AttributeValue::S(place.to_string())),
            None => update.update_expression("SET gsi2sk = :due REMOVE swept"),
        };
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(failed) if failed.is_conditional_check_failed_exception() => Ok(()),
                _ => Err(unavailable(error)),
            },
        }
    }

    /// The thresholds that an alert told of, of the subject and in the period of `reading`.
    pub async fn list_fired(
        &self,
        organization: OrganizationId,
        alert: AlertId,
        reading: &Reading,
    ) -> Result<BTreeSet<Decimal>, StoreError> {
        let partition = keys::triggers_partition(organization, alert, subject(reading));
        let items = self.query(partition, &keys::triggers_of(reading.period.start())).await?;
        items.iter().map(|item| Reader::new("trigger", item)?.parse("threshold")).collect()
    }

    /// Claims what an alert tells of one reading, each threshold once, and puts it into the outbox.
    ///
    /// Errors: `Conflict` if somebody else told of one of them, `NotFound` if the alert was deleted.
    pub async fn commit_triggers(
        &self,
        organization: OrganizationId,
        alert: AlertId,
        triggers: &[Trigger],
    ) -> Result<(), StoreError> {
        let exists = Transaction::new(self).check(
            keys::alert(organization, alert),
            "attribute_exists(pk)",
            Otherwise::NotFound("alert"),
        );
        let claimed = triggers.iter().fold(exists, |transaction, trigger| {
            transaction.create(claim_item(organization, trigger), Otherwise::Conflict)
        });
        let outbox = triggers.iter().map(OutboxEntry::alert_triggered).collect::<Vec<_>>();
        claimed.outbox(organization, &outbox).commit(self).await
    }

    /// What an alert told, newest first.
    pub async fn list_triggers(
        &self,
        organization: OrganizationId,
        alert: AlertId,
        request: &PageRequest,
    ) -> Result<Page<Trigger>, StoreError> {
        let list = List { what: &list_name(alert), shards: 1, filter: None };
        let page = self.list(organization, &list, request).await?;
        page.try_map(|item| trigger_from(Reader::new("trigger", &item)?))
    }
}

/// The name of the list of what an alert told.
fn list_name(alert: AlertId) -> String {
    format!("TRIGGERS#{alert}")
}

/// Whom a reading is about: the subscription, or else the customer.
fn subject(reading: &Reading) -> Uuid {
    reading.subscription.map_or(reading.customer.uuid(), |subscription| subscription.uuid())
}

/// The alert, due as soon as it was changed.
fn alert_item(change: &Change, alert: &Alert) -> Item {
    let (partition, place) = keys::alert_due(change.at, alert.id);
    let item = Item::new(keys::alert(change.organization, alert.id), "alert")
        .text("gsi2pk", partition)
        .text("gsi2sk", place)
        .number("version", alert.version + 1)
        .display("id", alert.id)
        .text("name", &alert.name)
        .optional("customer", alert.scope.customer())
        .optional("subscription", alert.scope.subscription())
        .texts("thresholds", alert.thresholds.iter().map(|threshold| threshold.to_string()))
        .time("created_at", alert.created_at)
        .time("updated_at", alert.updated_at);
    watch_item(item, alert.watch)
}

fn alert_from(item: &Attributes) -> Result<Alert, StoreError> {
    let item = Reader::new("alert", item)?;
    let thresholds = item.texts("thresholds")?.into_iter().map(str::parse);
    let thresholds = thresholds.collect::<Result<Vec<Decimal>, _>>().ok();
    let thresholds = thresholds.and_then(|thresholds| Thresholds::new(thresholds).ok());
    Ok(Alert {
        id: item.parse("id")?,
        name: item.text("name")?.to_owned(),
        watch: watch_from(item)?,
        scope: match (item.optional("customer")?, item.optional("subscription")?) {
            (Some(customer), Some(subscription)) => AlertScope::Subscription(customer, subscription),
            (Some(customer), None) => AlertScope::Customer(customer),
            (None, None) => AlertScope::Everyone,
            (None, Some(_)) => return Err(item.corrupt("customer")),
        },
        thresholds: thresholds.ok_or_else(|| item.corrupt("thresholds"))?,
        created_at: item.time("created_at")?,
        updated_at: item.time("updated_at")?,
        version: item.number("version")?,
    })
}

fn watch_item(item: Item, watch: Watch) -> Item {
    let (name, feature, meter) = match watch {
        Watch::Limit { feature, meter } => ("limit", Some(feature), Some(meter)),
        Watch::Usage(meter) => ("usage", None, Some(meter)),
        Watch::Amount => ("amount", None, None),
    };
    item.text("watch", name).optional("feature", feature).optional("meter", meter)
}

fn watch_from(item: Reader<'_>) -> Result<Watch, StoreError> {
    let feature = || item.parse::<FeatureId>("feature");
    let meter = || item.parse::<MeterId>("meter");
    match item.text("watch")? {
        "limit" => Ok(Watch::Limit { feature: feature()?, meter: meter()? }),
        "usage" => Ok(Watch::Usage(meter()?)),
        "amount" => Ok(Watch::Amount),
        _ => Err(item.corrupt("watch")),
    }
}

fn claim_item(organization: OrganizationId, trigger: &Trigger) -> Item {
    let (period_start, subject) = (trigger.reading.period.start(), subject(&trigger.reading));
    let key = keys::trigger(organization, trigger.alert, subject, period_start, trigger.threshold);
    let place = format!("{}#{subject}#{}", crate::item::time_text(trigger.at), trigger.threshold);
    let item = Item::new(key, "trigger")
        .listed(keys::list(organization, &list_name(trigger.alert), 0), place)
        .number("version", 1);
    trigger_item(item, trigger)
}

/// Writes a trigger into an item, or a map inside one.
pub(crate) fn trigger_item(item: Item, trigger: &Trigger) -> Item {
    let Reading { customer, subscription, period, value, limit, currency } = &trigger.reading;
    let item = item
        .display("alert", trigger.alert)
        .text("name", &trigger.name)
        .display("threshold", trigger.threshold)
        .display("customer", customer)
        .optional("subscription", *subscription)
        .time("period_start", period.start())
        .time("period_end", period.end())
        .display("value", value)
        .optional("limit", *limit)
        .optional("currency", currency.map(|currency| currency.code()))
        .time("triggered_at", trigger.at);
    watch_item(item, trigger.watch)
}

/// Reads what [`trigger_item`] wrote.
pub(crate) fn trigger_from(item: Reader<'_>) -> Result<Trigger, StoreError> {
    let period = BillingPeriod::new(item.time("period_start")?, item.time("period_end")?);
    Ok(Trigger {
        alert: item.parse("alert")?,
        name: item.text("name")?.to_owned(),
        watch: watch_from(item)?,
        threshold: item.parse("threshold")?,
        reading: Reading {
            customer: item.parse::<CustomerId>("customer")?,
            subscription: item.optional("subscription")?,
            period: period.map_err(|_| item.corrupt("period_end"))?,
            value: item.parse("value")?,
            limit: item.optional("limit")?,
            currency: item.optional("currency")?,
        },
        at: item.time("triggered_at")?,
    })
}
