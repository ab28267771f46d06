//! Segments: the members of a head that are not in its tail, read as they were when the head was.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use codec::Block;
use domain::{
    commit::Lookup,
    event::{Event, UsageEvent},
    head::Head,
    hours::Hours,
    series::Range,
    window::WindowRun,
};
use futures::{StreamExt, TryStreamExt, stream};

pub use codec::Row;

use crate::{
    client::Store,
    error::{StoreError, unavailable},
    item::{Attributes, Reader},
    keys,
    usage::HeadId,
};

/// Windows that are looked into at once.
const CONCURRENT: usize = 16;

impl Store {
    /// Passes every member in segments that occurred in `ranges` to `visit`, each once, in no order. Members
    /// outside of the ranges may come with them. What was sealed after `head` was read does not: the head's
    /// own tail has it.
    ///
    /// Errors: those of the store, and of `visit`.
    pub async fn visit_members<E: From<StoreError>>(
        &self,
        id: HeadId,
        head: &Head,
        ranges: &[Range],
        mut visit: impl FnMut(&Row<'_>) -> Result<(), E> + Send,
    ) -> Result<(), E> {
        for run in head.runs_in(ranges) {
            let (first, last) = keys::segments_of(id.month, run);
            let mut start = None;
            loop {
                let (items, next) = self.segments(id, (&first, &last), start).await?;
                for block in blocks(id, head, &items)? {
                    block.rows().try_for_each(|row| visit(&row))?;
                }
                start = next;
                if start.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The members and corrections in segments that `lookup` asks for.
    pub async fn find_members(
        &self,
        id: HeadId,
        head: &Head,
        lookup: &Lookup<'_>,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        let mut found = Vec::new();
        if lookup.reads_corrections {
            let is_wanted = |event: &UsageEvent| lookup.wanted.contains(&event.identity());
            found.extend(self.list_corrections(id, head).await?.into_iter().filter(is_wanted));
        }
        let runs = lookup.runs.iter().map(|run| self.find_in(id, head, *run, lookup)).collect::<Vec<_>>();
        let in_windows = stream::iter(runs).buffer_unordered(CONCURRENT).try_concat().await?;
        found.extend(in_windows);
        Ok(found)
    }

    async fn find_in(
        &self,
        id: HeadId,
        head: &Head,
        run: WindowRun,
        lookup: &Lookup<'_>,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        let (first, last) = keys::segments_of(id.month, run);
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let (items, next) = self.segments(id, (&first, &last), start).await?;
            let find = |bytes: &[u8], epoch| Block::find(bytes, epoch, &lookup.wanted);
            for block in blocks_by(id, head, &items, find)? {
                found.extend(block.to_events());
            }
            start = next;
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    /// The corrections of a head that are in segments.
    pub async fn list_corrections(&self, id: HeadId, head: &Head) -> Result<Vec<UsageEvent>, StoreError> {
        if !head.has_sealed_corrections {
            return Ok(Vec::new());
        }
        let prefix = format!("{}#", keys::CORRECTIONS);
        let items = self.query_in(&self.usage_table, keys::segments_partition(id), &prefix).await?;
        let blocks = blocks(id, head, &items)?;
        Ok(blocks.iter().flat_map(|block| block.rows().map(|row| row.to_event())).collect())
    }

    /// Totals by hour of some days, with the version that the head got with them.
    pub async fn get_hours(
        &self,
        id: HeadId,
        days: impl IntoIterator<Item = u32>,
    ) -> Result<BTreeMap<u32, (u64, Hours)>, StoreError> {
        let days = days.into_iter().map(|day| (keys::hours(id, day).sk, day)).collect::<BTreeMap<_, _>>();
        let keys = days.values().map(|day| keys::hours(id, *day)).collect();
        let items = self.get_all(&self.usage_table, keys).await?;
        let read = |item: &Attributes| {
            let item = Reader::terse("totals by hour", item);
            let day = *days.get(item.text("sk")?).ok_or_else(|| item.corrupt("sk"))?;
            let hours = codec::decode_hours(item.bytes("b")?, id.month).map_err(|_| item.corrupt("b"))?;
            Ok((day, (item.number("version")?, hours)))
        };
        items.iter().map(read).collect()
    }

    /// One page of the segments between two sort keys.
    pub(crate) async fn segments(
        &self,
        id: HeadId,
        (first, last): (&str, &str),
        start: Option<Attributes>,
    ) -> Result<(Vec<Attributes>, Option<Attributes>), StoreError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let page = self.client.query().table_name(&self.usage_table).consistent_read(true);
        let page = page
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":pk", AttributeValue::S(keys::segments_partition(id)))
            .expression_attribute_values(":first", text(first))
            .expression_attribute_values(":last", text(last))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(unavailable)?;
        Ok((page.items.unwrap_or_default(), page.last_evaluated_key))
    }
}

/// The segments among `items` that were there when `head` was read.
fn blocks(id: HeadId, head: &Head, items: &[Attributes]) -> Result<Vec<Block>, StoreError> {
    blocks_by(id, head, items, Block::decode)
}

/// The same, as `read` reads them.
fn blocks_by(
    id: HeadId,
    head: &Head,
    items: &[Attributes],
    read: impl Fn(&[u8], DateTime<Utc>) -> Result<Block, codec::Damaged>,
) -> Result<Vec<Block>, StoreError> {
    let mut blocks = Vec::with_capacity(items.len());
    for item in items {
        let item = Reader::terse("segment", item);
        let version = keys::segment_version(item.text("sk")?).ok_or_else(|| item.corrupt("sk"))?;
        if version <= head.version {
            let block = read(item.bytes("b")?, id.month.start());
            blocks.push(block.map_err(|_| item.corrupt("b"))?);
        }
    }
    Ok(blocks)
}
