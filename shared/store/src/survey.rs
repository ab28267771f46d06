//! A look over the whole usage table, for the audit: what there is, whether anything leads to it or not.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use codec::{Block, Row};
use domain::{
    head::Head,
    hours::Hours,
    id::{MeterId, OrganizationId},
    month::Month,
    window::Window,
};

use crate::{
    client::Store,
    error::{StoreError, unavailable},
    item::{Attributes, Item, Reader},
    keys,
    transaction::Transaction,
    usage::{CommitOutcome, HeadId, head_item},
};

/// What there is of an organization's usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFound {
    /// Meters with the months of which there is a head or a segment.
    pub months: BTreeMap<MeterId, BTreeSet<Month>>,
    /// Those that are not noted among the months of their meter, so that questions leave them out.
    pub unnoted: BTreeSet<(MeterId, Month)>,
    /// Segments without a head.
    pub headless: BTreeSet<HeadId>,
}

/// A segment as it lies in the table, whether its head knows of it or not.
#[derive(Debug)]
pub struct StoredSegment {
    /// Its sort key.
    pub place: String,
    /// The window that its key says; `None` for corrections.
    pub window: Option<Window>,
    /// The version that the head got with it.
    pub version: u64,
    block: Block,
}

impl StoredSegment {
    /// Its events.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.block.rows()
    }

    /// The earliest and the latest timestamp of its events.
    pub fn span(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        self.block.span()
    }
}

impl Store {
    /// Scans the usage table for what there is, of one organization or of all.
    pub async fn survey_usage(
        &self,
        organization: Option<OrganizationId>,
    ) -> Result<BTreeMap<OrganizationId, UsageFound>, StoreError> {
        let mut found = BTreeMap::<OrganizationId, UsageFound>::new();
        let mut last = None;
        let mut start = None;
        loop {
            let page = self.client.scan().table_name(&self.usage_table).consistent_read(true);
            let page = page.projection_expression("pk, sk").set_exclusive_start_key(start);
            let page = match organization {
                None => page,
                Some(organization) => {
                    let prefix = AttributeValue::S(keys::usage_prefix(organization));
                    let page = page.filter_expression("begins_with(pk, :prefix)");
                    page.expression_attribute_values(":prefix", prefix)
                }
            };
            let page = page.send().await.map_err(unavailable)?;
            for item in page.items.unwrap_or_default() {
                let item = Reader::terse("key", &item);
                // The segments of a month come one after the other.
                if let Some(place) = place_of(item.text("pk")?, item.text("sk")?)
                    && last != Some(place)
                {
                    last = Some(place);
                    self.note(place, &mut found).await?;
                }
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    async fn note(
        &self,
        place: UsagePlace,
        found: &mut BTreeMap<OrganizationId, UsageFound>,
    ) -> Result<(), StoreError> {
        let (UsagePlace::Head(id) | UsagePlace::Segments(id)) = place;
        let found = found.entry(id.organization).or_default();
        let is_new = found.months.entry(id.meter).or_default().insert(id.month);
        if is_new && self.get_from(&self.usage_table, keys::month(id)).await?.is_none() {
            found.unnoted.insert((id.meter, id.month));
        }
        if matches!(place, UsagePlace::Segments(_))
            && self.get_from(&self.usage_table, keys::head(id)).await?.is_none()
        {
            found.headless.insert(id);
        }
        Ok(())
    }

    /// Notes that a meter was used in a month.
    pub async fn note_month(
        &self,
        organization: OrganizationId,
        meter: MeterId,
        month: Month,
    ) -> Result<(), StoreError> {
        let key = keys::month_of(organization, meter, month);
        let item = Item::new(key, "month").time("start", month.start());
        self.put_new(&self.usage_table, item).await.map(|_| ())
    }

    /// Passes every segment of a head's month to `visit`, corrections first, whether the head knows of it or not.
    ///
    /// Errors: those of the store, and of `visit`.
    pub async fn visit_segments<E: From<StoreError>>(
        &self,
        id: HeadId,
        mut visit: impl FnMut(&StoredSegment) -> Result<(), E> + Send,
    ) -> Result<(), E> {
        let mut start = None;
        loop {
            let (items, next) = self.segments(id, keys::ALL_SEGMENTS, start).await?;
            for item in &items {
                visit(&stored(id, item)?)?;
            }
            start = next;
            if start.is_none() {
                return Ok(());
            }
        }
    }

    /// All totals by hour of a head's month, by day, with the version that the head got with them.
    pub async fn list_hours(&self, id: HeadId) -> Result<BTreeMap<u32, (u64, Hours)>, StoreError> {
        self.get_hours(id, 1..=31).await
    }

    /// Puts a head as its events say it, with totals by hour, over the one of version `expected`; 0 stands for
    /// none. Its version becomes the one after the head's own, which must not be below those of its segments.
    pub async fn restore_head(
        &self,
        id: HeadId,
        head: &Head,
        hours: &BTreeMap<u32, Hours>,
        expected: u64,
    ) -> Result<CommitOutcome, StoreError> {
        let mut transaction = Transaction::of_usage(self).replace(head_item(id, head), expected);
        for (day, hours) in hours {
            let bytes = codec::encode_hours(hours, id.month);
            let item = Item::terse(keys::hours(id, *day)).number("version", head.version + 1);
            transaction = transaction.overwrite(item.bytes("b", bytes));
        }
        match transaction.commit(self).await {
            Ok(()) => Ok(CommitOutcome::Committed),
            Err(StoreError::Conflict) => Ok(CommitOutcome::Conflict),
            Err(error) => Err(error),
        }
    }
}

/// What an item of the usage table is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UsagePlace {
    /// It is a head.
    Head(HeadId),
    /// It is a segment of one, or totals by hour.
    Segments(HeadId),
}

/// Reads the key of a head, or of what lies with its segments.
fn place_of(pk: &str, sk: &str) -> Option<UsagePlace> {
    let mut parts = pk.split('#');
    let organization = keys::from_compact(parts.next()?)?;
    let kind = parts.next()?;
    let mut id = |customer: &str| {
        let meter = keys::from_compact(parts.next()?)?;
        let month = month_from(parts.next()?)?;
        let customer = if customer.is_empty() { parts.next()? } else { customer };
        Some(HeadId { organization, meter, customer: keys::from_compact(customer)?, month })
    };
    match kind {
        "H" => id(sk).map(UsagePlace::Head),
        "S" => id("").map(UsagePlace::Segments),
        _ => None,
    }
}

fn month_from(text: &str) -> Option<Month> {
    let first_day = NaiveDate::parse_from_str(&format!("{text}01"), "%Y%m%d").ok()?;
    Some(Month::of(first_day.and_time(NaiveTime::MIN).and_utc()))
}

fn stored(id: HeadId, item: &Attributes) -> Result<StoredSegment, StoreError> {
    let item = Reader::terse("segment", item);
    let place = item.text("sk")?.to_owned();
    let version = keys::segment_version(&place).ok_or_else(|| item.corrupt("sk"))?;
    let window = keys::segment_window(id.month, &place).ok_or_else(|| item.corrupt("sk"))?;
    let block = Block::decode(item.bytes("b")?, id.month.start()).map_err(|_| item.corrupt("b"))?;
    Ok(StoredSegment { place, window, version, block })
}
