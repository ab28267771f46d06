//! Usage: heads, and the commit that writes them with their segments. `domain::commit` decides every write
//! that is made here.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use chrono::{DateTime, Duration, Utc};
use domain::{
    commit::HeadWrite,
    event::UsageEvent,
    head::Head,
    id::{CustomerId, MeterId, OrganizationId},
    month::Month,
};
use futures::future::try_join_all;

use crate::{
    client::Store,
    error::{StoreError, unavailable},
    item::{Attributes, Item, Reader, time_text},
    keys,
    transaction::{Otherwise, Transaction},
};

/// Names a head: one customer's month on one meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeadId {
    /// Whose usage.
    pub organization: OrganizationId,
    /// Counted by which meter.
    pub meter: MeterId,
    /// Used by whom.
    pub customer: CustomerId,
    /// In which month.
    pub month: Month,
}

/// Whether a write of a head took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It did, all of it.
    Committed,
    /// Somebody else wrote the head meanwhile, and nothing was written. Read it again and decide again.
    Conflict,
}

/// DynamoDB bills a write by the started KB of the whole item, so a head stays within the first.
const HEAD_BYTES_MAX: usize = 1024;

/// Bytes of events in one segment, before they are compressed. A DynamoDB item ends at 400 KB.
const SEGMENT_BYTES_MAX: usize = 300 * 1024;

/// How long a pin outlives the event it pins: two months, so that whatever repeats an event within its
/// open period and the grace period after it meets the pin.
const PIN_KEPT: Duration = Duration::days(62);

impl Store {
    /// Pins `key` to `occurred_at`, unless it is pinned already. Returns the timestamp it is pinned to.
    pub async fn pin_event(
        &self,
        (organization, meter, customer): (OrganizationId, MeterId, CustomerId),
        key: &str,
        occurred_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, StoreError> {
        let kept_until = occurred_at.max(now) + PIN_KEPT;
        let pin = keys::pin(organization, meter, customer, key).attributes();
        let request = self
            .client
            .put_item()
            .table_name(&self.usage_table)
            .set_item(Some(pin))
            .item("at", AttributeValue::S(time_text(occurred_at)))
            .item("ttl", AttributeValue::N(kept_until.timestamp().to_string()))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = request.send().await else { return Ok(occurred_at) };
        let first = match error.as_service_error() {
            Some(aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
                failed,
            )) => failed.item().and_then(|item| item.get("at")).cloned(),
            _ => return Err(unavailable(error)),
        };
        let first = match first {
            Some(AttributeValue::S(text)) => text.parse().ok(),
            _ => None,
        };
        first.ok_or_else(|| StoreError::Corrupt { kind: "pin", reason: "attribute `at`".into() })
    }

    /// The timestamp that `key` is pinned to, if it is.
    pub async fn find_pin(
        &self,
        (organization, meter, customer): (OrganizationId, MeterId, CustomerId),
        key: &str,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let pin = self.get_from(&self.usage_table, keys::pin(organization, meter, customer, key)).await?;
        pin.map(|pin| Reader::terse("pin", &pin).time("at")).transpose()
    }

    /// A head; an empty one of version 0 if nothing was counted yet.
    pub async fn get_head(&self, id: HeadId) -> Result<Head, StoreError> {
        match self.get_from(&self.usage_table, keys::head(id)).await? {
            Some(item) => head_from(&item, id.month),
            None => Ok(Head::default()),
        }
    }

    /// Several heads in as few requests as there can be; those never stored are empty.
    pub async fn get_heads(&self, ids: &[HeadId]) -> Result<BTreeMap<HeadId, Head>, StoreError> {
        let keys = ids.iter().map(|id| (keys::head(*id), *id)).collect::<Vec<_>>();
        let items =
            self.get_all(&self.usage_table, keys.iter().map(|(key, _)| key.clone()).collect()).await?;
        let mut heads = ids.iter().map(|id| (*id, Head::default())).collect::<BTreeMap<_, _>>();
        let places = keys.into_iter().map(|(key, id)| ((key.pk, key.sk), id)).collect::<BTreeMap<_, _>>();
        for item in &items {
            let reader = Reader::terse("head", item);
            let key = (reader.text("pk")?.to_owned(), reader.text("sk")?.to_owned());
            let id = *places.get(&key).ok_or_else(|| reader.corrupt("pk"))?;
            heads.insert(id, head_from(item, id.month)?);
        }
        Ok(heads)
    }

    /// The heads of all customers who used a meter in a month.
    pub async fn list_heads(
        &self,
        organization: OrganizationId,
        meter: MeterId,
        month: Month,
    ) -> Result<Vec<(CustomerId, Head)>, StoreError> {
        let partitions = (0..keys::HEAD_SHARDS).map(|shard| {
            let partition = keys::heads_partition(organization, meter, month, shard);
            self.query_in(&self.usage_table, partition, "")
        });
        let items = try_join_all(partitions).await?.concat();
        let read = |item: &Attributes| {
            let reader = Reader::terse("head", item);
            let customer = keys::from_compact(reader.text("sk")?).ok_or_else(|| reader.corrupt("sk"))?;
            Ok((customer, head_from(item, month)?))
        };
        items.iter().map(read).collect()
    }

    /// The months in which anybody used a meter, in order.
    pub async fn list_months(
        &self,
        organization: OrganizationId,
        meter: MeterId,
    ) -> Result<Vec<Month>, StoreError> {
        let items = self.query_in(&self.usage_table, keys::months_partition(organization, meter), "").await?;
        let read = |item: &Attributes| Ok(Month::of(Reader::new("month", item)?.time("start")?));
        items.iter().map(read).collect()
    }

    /// Whether a head can be stored with its tail as it is: a write of it costs one unit.
    pub fn fits(id: HeadId, head: &Head) -> bool {
        item_length(&head_item(id, head).into_attributes()) <= HEAD_BYTES_MAX
    }

    /// Makes the write that a commit decided on, if the head is still of the version it was decided on.
    pub async fn commit_head(&self, id: HeadId, write: &HeadWrite) -> Result<CommitOutcome, StoreError> {
        if let HeadWrite::Put(head) | HeadWrite::Seal { head, .. } = write
            && head.version == 0
        {
            self.mark_month(id).await?;
        }
        let written = match write {
            HeadWrite::Nothing => Ok(()),
            HeadWrite::Put(head) => self.put_over(&self.usage_table, head_item(id, head), head.version).await,
            HeadWrite::Seal { head, segments, hours } => {
                let mut transaction = Transaction::of_usage(self).replace(head_item(id, head), head.version);
                let version = head.version + 1;
                for segment in segments {
                    for (chunk, events) in chunks(&segment.events).into_iter().enumerate() {
                        let key = keys::segment(id, segment.window, version, chunk);
                        let bytes = codec::encode_events(events, id.month.start());
                        transaction =
                            transaction.create(Item::terse(key).bytes("b", bytes), Otherwise::Conflict);
                    }
                }
                for (day, hours) in hours {
                    let bytes = codec::encode_hours(hours, id.month);
                    let item =
                        Item::terse(keys::hours(id, *day)).number("version", version).bytes("b", bytes);
                    transaction = transaction.overwrite(item);
                }
                transaction.commit(self).await
            }
        };
        match written {
            Ok(()) => Ok(CommitOutcome::Committed),
            Err(StoreError::Conflict) => Ok(CommitOutcome::Conflict),
            Err(error) => Err(error),
        }
    }

    /// Notes that a meter was used in a month. Before the first head of it, so that no head is ever without.
    async fn mark_month(&self, id: HeadId) -> Result<(), StoreError> {
        let key = keys::month(id);
        // Reading is cheaper than a write whose condition fails, and the note never goes away again.
        let known =
            self.client.get_item().table_name(&self.usage_table).set_key(Some(key.clone().attributes()));
        if known.send().await.map_err(unavailable)?.item.is_none() {
            let month = Item::new(key, "month").time("start", id.month.start());
            self.put_new(&self.usage_table, month).await?;
        }
        Ok(())
    }
}

pub(crate) fn head_item(id: HeadId, head: &Head) -> Item {
    Item::terse(keys::head(id))
        .number("version", head.version + 1)
        .bytes("b", codec::encode_head(head, id.month))
}

fn head_from(item: &Attributes, month: Month) -> Result<Head, StoreError> {
    let item = Reader::terse("head", item);
    codec::decode_head(item.bytes("b")?, month, item.number("version")?).map_err(|_| item.corrupt("b"))
}

/// Splits sorted events so that each part fits into one segment.
fn chunks(events: &[UsageEvent]) -> Vec<&[UsageEvent]> {
    let (mut parts, mut rest) = (Vec::new(), events);
    while !rest.is_empty() {
        let mut length = 0;
        let fitting = rest.iter().take_while(|event| {
            length += codec::raw_bytes(event);
            length <= SEGMENT_BYTES_MAX
        });
        let (part, behind) = rest.split_at(fitting.count().max(1));
        parts.push(part);
        rest = behind;
    }
    parts
}

/// The size of an item as DynamoDB bills it: names and values. Close enough from above for numbers.
fn item_length(attributes: &Attributes) -> usize {
    let value_length = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len() / 2 + 2,
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        _ => 1,
    };
    attributes.iter().map(|(name, value)| name.len() + value_length(value)).sum()
}
