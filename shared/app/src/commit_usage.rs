//! The commit: read a head, decide, write if nobody wrote meanwhile; else again, for this head only. The only
//! way by which anything is written to a head.

use std::collections::BTreeMap;

use chrono::Timelike;
use domain::{
    commit::{Bucket, Draft, HeadWrite, HoursSource, Sifted, Verdict},
    event::{Event, Revision, UsageEvent},
    head::Head,
    hours::Hours,
    meter::Counting,
    quantity::QuantityOverflow,
    refold::Refold,
    revision::Corrections,
    totals::Totals,
};
use store::{CommitOutcome, HeadId, Row, Store, StoreError};

use crate::{AppError, Platform};

/// The most changes of a level that are held at once where its totals are folded anew: some megabytes.
const LEVELS_MAX: usize = 100_000;

/// How often a head that others write at the same time is tried before its messages go back to the queue.
const ATTEMPTS_MAX: u32 = 12;

/// Makes events members of their head. `known` is the head as it was read before, if it was; an older one than
/// is stored only costs a repeat.
///
/// Errors: if the store does not answer, or too many others write the head. Repeating it is harmless.
pub(crate) async fn commit(
    platform: &Platform,
    id: HeadId,
    counting: Counting<'_>,
    events: &[UsageEvent],
    mut known: Option<Head>,
) -> Result<Vec<Verdict>, AppError> {
    let store = &platform.store;
    for attempt in 0..ATTEMPTS_MAX {
        let head = match known.take() {
            Some(head) => head,
            None => store.get_head(id).await?,
        };
        let lookup = head.lookup(events);
        let found =
            if lookup.is_empty() { Vec::new() } else { store.find_members(id, &head, &lookup).await? };
        let sifted = head.sift(&found, events);
        let mut refolded = BTreeMap::new();
        for bucket in sifted.refolds(counting) {
            refolded.insert(bucket, refold(store, id, &head, counting, &sifted, bucket).await?);
        }
        let draft = sifted.admit(counting, &refolded);
        let verdicts = draft.verdicts().to_vec();
        let write = write_of(store, id, &head, counting, draft).await?;
        match store.commit_head(id, &write).await? {
            CommitOutcome::Committed => return Ok(verdicts),
            CommitOutcome::Conflict => tokio::time::sleep(pause(platform, attempt)).await,
        }
    }
    Err(AppError::Unavailable("the head is written by too many at once".into()))
}

/// The one write that makes `draft` come true.
async fn write_of(
    store: &Store,
    id: HeadId,
    before: &Head,
    counting: Counting<'_>,
    draft: Draft,
) -> Result<HeadWrite, AppError> {
    if draft.is_unchanged() {
        return Ok(HeadWrite::Nothing);
    }
    if !draft.must_seal() && Store::fits(id, draft.head()) {
        return Ok(HeadWrite::Put(draft.head().clone()));
    }
    let wanted = draft.hours_wanted(counting, before);
    let is_stored = |(day, source): &(u32, HoursSource)| (*source == HoursSource::Stored).then_some(*day);
    let stored = store.get_hours(id, wanted.iter().filter_map(is_stored)).await?;
    let mut hours = BTreeMap::new();
    for (day, source) in wanted {
        let of_day = match source {
            HoursSource::Stored => match stored.get(&day) {
                Some((_, hours)) => hours.clone(),
                None => hours_of(store, id, before, counting, day).await?, // they were lost
            },
            HoursSource::Empty => Hours::default(),
            HoursSource::Members => hours_of(store, id, before, counting, day).await?,
        };
        hours.insert(day, of_day);
    }
    draft.seal(counting, hours).map_err(AppError::internal)
}

/// The totals of a part of a month, folded from all its members and corrections.
async fn refold(
    store: &Store,
    id: HeadId,
    head: &Head,
    counting: Counting<'_>,
    sifted: &Sifted<'_>,
    bucket: Bucket,
) -> Result<Result<Totals, QuantityOverflow>, StoreError> {
    let sealed = store.list_corrections(id, head).await?;
    let corrections = Corrections::among(sealed.iter().chain(sifted.unsealed_in(bucket)));
    let mut refold = Refold::bounded(counting, corrections, bucket.range(id.month), LEVELS_MAX);
    loop {
        let ranges = refold.slice().to_vec();
        let add = |row: &Row<'_>| {
            refold.add(row);
            Ok(())
        };
        store.visit_members::<StoreError>(id, head, &ranges, add).await?;
        let members = sifted.unsealed_in(bucket).filter(|event| event.revision == Revision::First);
        members.for_each(|event| refold.add(event));
        if !refold.begins_further_slice() {
            return Ok(refold.finish());
        }
    }
}

/// Totals by hour of the members in segments of a day.
async fn hours_of(
    store: &Store,
    id: HeadId,
    head: &Head,
    counting: Counting<'_>,
    day: u32,
) -> Result<Hours, AppError> {
    let corrections = Corrections::among(&store.list_corrections(id, head).await?);
    let mut hours = BTreeMap::new();
    let range = Bucket { day, hour: None }.range(id.month);
    store
        .visit_members::<StoreError>(id, head, &[range], |row| {
            if range.contains(row.occurred_at()) {
                let hour = row.occurred_at().hour();
                let range = Head::hour_range(id.month, day, hour);
                let fold = || Refold::new(counting, corrections.clone(), range);
                hours.entry(hour).or_insert_with(fold).add(row);
            }
            Ok(())
        })
        .await?;
    let totals = hours.into_iter().map(|(hour, fold)| Ok((hour, fold.finish().map_err(AppError::internal)?)));
    Ok(Hours { totals: totals.collect::<Result<_, AppError>>()? })
}

/// How long to wait after the `attempt`th conflict: up to twice as long each time, at random.
fn pause(platform: &Platform, attempt: u32) -> std::time::Duration {
    let longest = 10_u64 << attempt.min(7);
    let [random] = platform.entropy::<1>();
    std::time::Duration::from_millis(longest * u64::from(random) / 255)
}
