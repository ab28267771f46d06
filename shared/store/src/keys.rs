//! Every key of both tables. Each begins with the organization's id, except those that find the
//! organization in the first place, and the due times that sweeps walk through.
//!
//! Ids are written out in the core table, where people read them, and in 22 characters in the usage
//! table, where every byte of a key is paid for with each event.

use std::{collections::HashMap, fmt::Display};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    id::{
        AlertId, ApiKeyId, CustomerId, EventId, FeatureId, Id, InvoiceId, MeterId, MeterToken,
        OrganizationId, OutboxId, PlanId, SessionId, SubscriptionId, UserId,
    },
    month::Month,
    window::{Level, Window, WindowRun},
};
use sha2::{Digest, Sha256};

use crate::{
    due::{Due, DueKind},
    item::{Attributes, time_text},
    usage::HeadId,
};

/// The primary key of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    fn new(pk: String, sk: impl Display) -> Self {
        Self { pk, sk: sk.to_string() }
    }

    pub(crate) fn attributes(self) -> Attributes {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk)),
            ("sk".to_owned(), AttributeValue::S(self.sk)),
        ])
    }
}

// ---- the core table

pub(crate) fn organization(id: OrganizationId) -> Key {
    Key::new(id.to_string(), "ORGANIZATION")
}

pub(crate) fn user(organization: OrganizationId, id: UserId) -> Key {
    Key::new(organization.to_string(), format!("USER#{id}"))
}

/// Finds the user of an e-mail address, in whatever organization.
pub(crate) fn email(email: &str) -> Key {
    Key::new(format!("EMAIL#{}", sha256(email)), "EMAIL")
}

/// Finds an API key by its hash, in whatever organization.
pub(crate) fn api_key_hash(hash: &str) -> Key {
    Key::new(format!("KEY#{hash}"), "KEY")
}

pub(crate) fn api_key(organization: OrganizationId, id: ApiKeyId) -> Key {
    Key::new(format!("{organization}#APIKEY#{id}"), "APIKEY")
}

pub(crate) fn session(organization: OrganizationId, id: SessionId) -> Key {
    Key::new(format!("{organization}#SESSION#{id}"), "SESSION")
}

/// A data key: of an organization, or for `None` the one that signs sessions.
pub(crate) fn data_key(organization: Option<OrganizationId>) -> Key {
    match organization {
        Some(organization) => Key::new(organization.to_string(), "DATAKEY"),
        None => Key::new("SIGNING".to_owned(), "DATAKEY"),
    }
}

pub(crate) fn feature(organization: OrganizationId, id: FeatureId) -> Key {
    Key::new(format!("{organization}#FEATURE#{id}"), "FEATURE")
}

pub(crate) fn meter(organization: OrganizationId, id: MeterId) -> Key {
    Key::new(format!("{organization}#METER#{id}"), "METER")
}

pub(crate) fn meter_token(organization: OrganizationId, token: MeterToken) -> Key {
    Key::new(format!("{organization}#TOKEN#{token}"), "TOKEN")
}

pub(crate) fn plan(organization: OrganizationId, id: PlanId) -> Key {
    Key::new(plan_partition(organization, id), "PLAN")
}

pub(crate) fn plan_partition(organization: OrganizationId, id: PlanId) -> String {
    format!("{organization}#PLAN#{id}")
}

/// Sorts behind its plan, so that one query reads both.
pub(crate) fn charge(organization: OrganizationId, plan: PlanId, id: impl Display) -> Key {
    Key::new(plan_partition(organization, plan), format!("PLAN#CHARGE#{id}"))
}

/// What a plan grants of a feature.
pub(crate) fn plan_feature(organization: OrganizationId, plan: PlanId, feature: FeatureId) -> Key {
    Key::new(plan_partition(organization, plan), format!("FEATURE#{feature}"))
}

/// What a subscription has of a feature otherwise than its plan.
pub(crate) fn grant_override(
    organization: OrganizationId,
    customer: CustomerId,
    subscription: SubscriptionId,
    feature: FeatureId,
) -> Key {
    Key::new(customer_partition(organization, customer), format!("GRANT#{subscription}#{feature}"))
}

/// Says that a live subscription uses a plan.
pub(crate) fn plan_use(organization: OrganizationId, plan: PlanId, subscription: SubscriptionId) -> Key {
    Key::new(plan_partition(organization, plan), format!("USE#{subscription}"))
}

/// The sort keys of all uses of a plan, after that of one subscription, lie from the first of these to the
/// second.
pub(crate) fn plan_uses(after: Option<SubscriptionId>) -> (String, String) {
    let from = after.map_or("USE#".to_owned(), |after| format!("USE#{after}~"));
    (from, "USE#~".to_owned())
}

/// The subscription of a use of a plan.
pub(crate) fn plan_use_subscription(sk: &str) -> Option<SubscriptionId> {
    sk.strip_prefix("USE#")?.parse().ok()
}

pub(crate) fn customer(organization: OrganizationId, id: CustomerId) -> Key {
    Key::new(customer_partition(organization, id), "CUSTOMER")
}

/// A customer with its subscriptions, invoices and what has to be told of them.
pub(crate) fn customer_partition(organization: OrganizationId, id: CustomerId) -> String {
    format!("{organization}#CUS#{id}")
}

/// A customer and all that its subscriptions have otherwise than their plans lie from the first of these sort keys
/// to the second, without its invoices.
pub(crate) const CUSTOMER_AND_OVERRIDES: (&str, &str) = ("CUSTOMER", "GRANT#~");

/// The subscription of a sort key made by [`grant_override`].
pub(crate) fn grant_override_subscription(sk: &str) -> Option<SubscriptionId> {
    sk.strip_prefix("GRANT#")?.split('#').next()?.parse().ok()
}

pub(crate) fn subscription(organization: OrganizationId, customer: CustomerId, id: SubscriptionId) -> Key {
    Key::new(customer_partition(organization, customer), format!("SUB#{id}"))
}

pub(crate) fn invoice(organization: OrganizationId, customer: CustomerId, id: InvoiceId) -> Key {
    Key::new(customer_partition(organization, customer), format!("INV#{id}"))
}

pub(crate) fn outbox(organization: OrganizationId, customer: CustomerId, id: OutboxId) -> Key {
    Key::new(customer_partition(organization, customer), format!("OUT#{id}"))
}

/// Sorts behind its organization, so that one query reads all of them.
pub(crate) fn alert(organization: OrganizationId, id: AlertId) -> Key {
    Key::new(organization.to_string(), format!("{ALERTS}{id}"))
}

/// The prefix of alerts.
pub(crate) const ALERTS: &str = "ALERT#";

/// What an alert told of one subscription or customer.
pub(crate) fn triggers_partition(
    organization: OrganizationId,
    alert: AlertId,
    subject: impl Display,
) -> String {
    format!("{organization}#ALERT#{alert}#{subject}")
}

/// Claims a threshold in a period: whoever puts it tells of it.
pub(crate) fn trigger(
    organization: OrganizationId,
    alert: AlertId,
    subject: impl Display,
    period_start: DateTime<Utc>,
    threshold: impl Display,
) -> Key {
    let partition = triggers_partition(organization, alert, subject);
    Key::new(partition, format!("{}{threshold}", triggers_of(period_start)))
}

/// The prefix of what was told in a period.
pub(crate) fn triggers_of(period_start: DateTime<Utc>) -> String {
    format!("FIRED#{}#", time_text(period_start))
}

/// Finds an invoice by the hash of the token of its public page, in whatever organization.
pub(crate) fn public_token(hash: &str) -> Key {
    Key::new(format!("PUBLIC#{hash}"), "PUBLIC")
}

/// Finds the customer that something of an id alone belongs to.
pub(crate) fn reference<K>(organization: OrganizationId, id: Id<K>) -> Key {
    Key::new(format!("{organization}#REF#{id}"), "REF")
}

/// Holds the last invoice number of a year.
pub(crate) fn invoice_sequence(organization: OrganizationId, year: i32) -> Key {
    Key::new(organization.to_string(), format!("SEQUENCE#{year}"))
}

/// Claims a value that must be unique among the organization's `what`. The value is hashed: it may be
/// longer than a key, and hold any separator.
pub(crate) fn claim(organization: OrganizationId, what: &'static str, value: &str) -> Key {
    Key::new(format!("{organization}#CLAIM#{what}#{}", sha256(value)), "CLAIM")
}

pub(crate) fn audit(organization: OrganizationId, at: DateTime<Utc>, id: impl Display) -> Key {
    Key::new(format!("{organization}#AUDIT#{}", Month::of(at)), format!("{}#{id}", time_text(at)))
}

pub(crate) fn idempotency(organization: OrganizationId, key: &str) -> Key {
    Key::new(format!("{organization}#IDEMPOTENCY#{}", sha256(key)), "IDEMPOTENCY")
}

/// The partition of `gsi1` that lists one shard of what an organization has of a kind.
pub(crate) fn list(organization: OrganizationId, what: &str, shard: u32) -> String {
    format!("{organization}#{what}#{shard}")
}

/// The place in `gsi2` of what is due at `at`. Sharded, so that a million subscriptions that end at
/// midnight do not meet one hot partition.
pub(crate) fn due<K>(kind: DueKind, at: DateTime<Utc>, id: Id<K>) -> (String, String) {
    (due_partition(kind, shard(id, DUE_SHARDS)), format!("{}#{id}", time_text(at)))
}

pub(crate) fn due_partition(kind: DueKind, shard: u32) -> String {
    let kind = match kind {
        DueKind::PeriodEnd => "CLOSE",
        DueKind::GraceEnd => "FINALIZE",
        DueKind::PaymentDue => "OVERDUE",
        DueKind::Outbox => "OUTBOX",
    };
    format!("DUE#{kind}#{shard}")
}

/// The place in `gsi2` of an alert that is to be looked at by `at`.
pub(crate) fn alert_due(at: DateTime<Utc>, id: AlertId) -> (String, String) {
    (alert_due_partition(shard(id, DUE_SHARDS)), format!("{}#{id}", time_text(at)))
}

pub(crate) fn alert_due_partition(shard: u32) -> String {
    format!("DUE#ALERT#{shard}")
}

/// The clock of an organization in test mode.
pub(crate) fn test_clock(organization: OrganizationId) -> Key {
    Key::new(organization.to_string(), "TESTCLOCK")
}

/// What is due in an organization in test mode, in the order that its clock does it in.
pub(crate) fn test_due_partition(organization: OrganizationId) -> String {
    format!("{organization}#DUE")
}

/// At the same instant, periods end first, then grace periods, then times to pay.
pub(crate) fn test_due(kind: DueKind, due: &Due) -> Key {
    let rank = match kind {
        DueKind::PeriodEnd => 1,
        DueKind::GraceEnd => 2,
        DueKind::PaymentDue => 3,
        DueKind::Outbox => 4,
    };
    let place = format!("{}#{rank}#{}", time_text(due.at), due.id);
    Key::new(test_due_partition(due.organization), place)
}

/// Shards of each kind of due time.
pub(crate) const DUE_SHARDS: u32 = 4;

/// The shard of an id among `shards`. Taken from its random end.
pub(crate) fn shard<K>(id: Id<K>, shards: u32) -> u32 {
    u32::from(id.uuid().as_bytes().last().copied().unwrap_or_default()) % shards
}

// ---- the usage table

/// Shards of the customers of one meter and month.
pub(crate) const HEAD_SHARDS: u32 = 4;

pub(crate) fn head(id: HeadId) -> Key {
    let shard = shard(id.customer, HEAD_SHARDS);
    Key::new(heads_partition(id.organization, id.meter, id.month, shard), compact(id.customer))
}

/// All customers of one shard of a meter's month.
pub(crate) fn heads_partition(
    organization: OrganizationId,
    meter: MeterId,
    month: Month,
    shard: u32,
) -> String {
    format!("{}#H#{}#{month}#{shard:x}", compact(organization), compact(meter))
}

/// The months in which a meter was used.
pub(crate) fn months_partition(organization: OrganizationId, meter: MeterId) -> String {
    format!("{}#M#{}", compact(organization), compact(meter))
}

pub(crate) fn month(id: HeadId) -> Key {
    month_of(id.organization, id.meter, id.month)
}

pub(crate) fn month_of(organization: OrganizationId, meter: MeterId, month: Month) -> Key {
    Key::new(months_partition(organization, meter), month)
}

pub(crate) fn segments_partition(id: HeadId) -> String {
    let (organization, meter, customer) = (compact(id.organization), compact(id.meter), compact(id.customer));
    format!("{organization}#S#{meter}#{}#{customer}", id.month)
}

/// A segment, put when the head got version `version`. Only one writer ever gets that version, so nothing can
/// be there before. Begins with its window: a letter for the level, and the seconds since the month began.
pub(crate) fn segment(id: HeadId, window: Option<Window>, version: u64, chunk: usize) -> Key {
    let window = window.map_or(CORRECTIONS.to_owned(), |window| window_text(id.month, window));
    Key::new(segments_partition(id), format!("{window}#{version:08x}#{chunk:03x}"))
}

/// The sort keys of a run of windows lie from the first of these to the second.
pub(crate) fn segments_of(month: Month, run: WindowRun) -> (String, String) {
    let text = |start| window_text(month, Window { level: run.level, start });
    (text(run.first), format!("{}#~", text(run.last)))
}

/// The prefix of segments of corrections.
pub(crate) const CORRECTIONS: &str = "C";

/// All segments of a head's month lie from the first of these to the second, corrections first; totals by hour
/// lie behind.
pub(crate) const ALL_SEGMENTS: (&str, &str) = (CORRECTIONS, "S~");

/// What all partitions of an organization's usage begin with.
pub(crate) fn usage_prefix(organization: OrganizationId) -> String {
    format!("{}#", compact(organization))
}

fn window_text(month: Month, window: Window) -> String {
    let seconds = (window.start - month.start()).num_seconds();
    match window.level {
        Level::Month => "M".to_owned(),
        Level::Day => format!("D{seconds:06x}"),
        Level::Hour => format!("H{seconds:06x}"),
        Level::Minute => format!("I{seconds:06x}"),
        Level::Second => format!("S{seconds:06x}"),
    }
}

/// The window that the key of a segment says; an inner `None` for corrections.
pub(crate) fn segment_window(month: Month, sk: &str) -> Option<Option<Window>> {
    let window = sk.split('#').next()?;
    let seconds = || {
        let seconds = i64::from_str_radix(window.get(1..)?, 16).ok()?;
        Some(month.start() + TimeDelta::seconds(seconds))
    };
    let level = match window.chars().next()? {
        'C' => return Some(None),
        'M' => return Some(Some(Window { level: Level::Month, start: month.start() })),
        'D' => Level::Day,
        'H' => Level::Hour,
        'I' => Level::Minute,
        'S' => Level::Second,
        _ => return None,
    };
    Some(Some(Window { level, start: seconds()? }))
}

/// The version that the head got with a segment.
pub(crate) fn segment_version(sk: &str) -> Option<u64> {
    u64::from_str_radix(sk.split('#').nth(1)?, 16).ok()
}

/// Totals by hour of a day.
pub(crate) fn hours(id: HeadId, day: u32) -> Key {
    Key::new(segments_partition(id), format!("T#{day:02}"))
}

/// Where the first timestamp of a key is pinned.
pub(crate) fn pin(organization: OrganizationId, meter: MeterId, customer: CustomerId, key: &str) -> Key {
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(key));
    let pk = format!("{}#P#{}#{}#{hash}", compact(organization), compact(meter), compact(customer));
    Key::new(pk, "P")
}

/// The events that were accepted in a month and not counted, in the order of that.
pub(crate) fn uncounted_partition(organization: OrganizationId, month: Month) -> String {
    format!("{}#R#{month}", compact(organization))
}

pub(crate) fn uncounted(
    organization: OrganizationId,
    ingested_at: DateTime<Utc>,
    id: EventId,
    content: &str,
) -> Key {
    let partition = uncounted_partition(organization, Month::of(ingested_at));
    Key::new(partition, format!("{}#{id}#{content}", time_text(ingested_at)))
}

/// What was not counted under the id of one event.
pub(crate) fn uncounted_of(organization: OrganizationId, id: EventId) -> String {
    format!("{}#U#{}", compact(organization), compact(id))
}

pub(crate) fn uncounted_by_id(organization: OrganizationId, id: EventId, content: &str) -> Key {
    Key::new(uncounted_of(organization, id), content)
}

/// A UUID in 22 characters.
fn compact<K>(id: Id<K>) -> String {
    URL_SAFE_NO_PAD.encode(id.uuid())
}

/// Reads a UUID written by [`compact`].
pub(crate) fn from_compact<K>(text: &str) -> Option<Id<K>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    uuid::Uuid::from_slice(&bytes).ok().map(Id::from_uuid)
}

/// A short name for bytes.
pub(crate) fn hash(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

pub(crate) fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
