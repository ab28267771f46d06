//! Usage: heads, segments and pins. `domain::head` decides every write that is made here.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use chrono::{DateTime, Duration, Utc};
use domain::{
    event::UsageEvent,
    head::{Head, HeadWrite},
    id::{CustomerId, MeterId, OrganizationId},
    month::Month,
};
use futures::future::try_join_all;

use crate::{
    client::Store,
    codec,
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

/// Bytes of events in one segment. A DynamoDB item ends at 400 KB.
const SEGMENT_BYTES_MAX: usize = 200 * 1024;

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

    /// A head; an empty one of version 0 if nothing was counted yet.
    pub async fn get_head(&self, id: HeadId) -> Result<Head, StoreError> {
        match self.get_from(&self.usage_table, keys::head(id)).await? {
            Some(item) => head_from(&item, id.month),
            None => Ok(Head::default()),
        }
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
            let reader = Reader::new("head", item)?;
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

    /// The events of a head that are in segments.
    pub async fn list_sealed(&self, id: HeadId) -> Result<Vec<UsageEvent>, StoreError> {
        let items = self.query_in(&self.usage_table, keys::segments_partition(id), "").await?;
        let mut events = Vec::new();
        for item in &items {
            let reader = Reader::new("segment", item)?;
            let segment = codec::decode_segment(reader.bytes("b")?, id.month);
            events.extend(segment.map_err(|_| reader.corrupt("b"))?);
        }
        Ok(events)
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
            // Before the first head of a month, so that no head is ever without it.
            let month = Item::new(keys::month(id), "month").time("start", id.month.start());
            self.put_new(&self.usage_table, month).await?;
        }
        let written = match write {
            HeadWrite::Nothing => Ok(()),
            HeadWrite::Put(head) => self.put_over(&self.usage_table, head_item(id, head), head.version).await,
            HeadWrite::Seal { head, events } => {
                let transaction =
                    Transaction::new(&self.usage_table).replace(head_item(id, head), head.version);
                let chunks = chunks(events, id.month).into_iter().enumerate();
                let put = |transaction: Transaction, (chunk, events): (usize, &[UsageEvent])| {
                    let key = keys::segment(id, head.version + 1, chunk);
                    let segment =
                        Item::new(key, "segment").bytes("b", codec::encode_segment(events, id.month));
                    transaction.create(segment, Otherwise::Conflict)
                };
                chunks.fold(transaction, put).commit(self).await
            }
        };
        match written {
            Ok(()) => Ok(CommitOutcome::Committed),
            Err(StoreError::Conflict) => Ok(CommitOutcome::Conflict),
            Err(error) => Err(error),
        }
    }
}

fn head_item(id: HeadId, head: &Head) -> Item {
    Item::new(keys::head(id), "head")
        .number("version", head.version + 1)
        .bytes("b", codec::encode_head(head, id.month))
}

fn head_from(item: &Attributes, month: Month) -> Result<Head, StoreError> {
    let item = Reader::new("head", item)?;
    codec::decode_head(item.bytes("b")?, month, item.number("version")?).map_err(|_| item.corrupt("b"))
}

/// Splits sorted events so that each part fits into one segment.
fn chunks(events: &[UsageEvent], month: Month) -> Vec<&[UsageEvent]> {
    let (mut parts, mut rest) = (Vec::new(), events);
    while !rest.is_empty() {
        let mut length = 0;
        let fitting = rest.iter().take_while(|event| {
            length += codec::event_length(event, month);
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
