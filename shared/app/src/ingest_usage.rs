//! Counting usage: from queued events to members of heads, each exactly once, whatever is repeated.

use std::collections::BTreeMap;

use domain::{
    event::{TrackedEvent, UsageEvent},
    head::Verdict,
    id::{CustomerId, MeterId, OrganizationId},
    meter::{DeduplicateBy, Meter},
    month::Month,
};
use futures::{StreamExt, stream};
use store::{CommitOutcome, HeadId, Store, StoreError};

use crate::{AppError, Platform};

/// How often a head that others write at the same time is tried before its messages go back to the queue.
const ATTEMPTS_MAX: u32 = 12;

/// Writes under way at once. Each is a request to DynamoDB, and waits more than it works.
const CONCURRENT: usize = 16;

/// Events of one head in one commit: within the 100 items and 4 MB of a transaction.
const COMMIT_EVENTS_MAX: usize = 5_000;

/// Counts events. One result per event, in order: a verdict once it is certain, or an error after which
/// the event has to come again. Counting an event again changes nothing.
pub async fn count(platform: &Platform, events: &[TrackedEvent]) -> Vec<Result<Verdict, AppError>> {
    let mut groups = BTreeMap::<_, Vec<usize>>::new();
    for (index, tracked) in events.iter().enumerate() {
        groups.entry((tracked.organization, tracked.meter, tracked.customer)).or_default().push(index);
    }
    let counts = groups.into_iter().map(|(group, indexes)| async move {
        let members = indexes.iter().filter_map(|index| events.get(*index)).collect::<Vec<_>>();
        let verdicts = count_group(platform, group, &members).await;
        indexes.into_iter().zip(verdicts).collect::<Vec<_>>()
    });
    let counted = stream::iter(counts).buffer_unordered(CONCURRENT).concat().await;
    let mut results = BTreeMap::from_iter(counted);
    let missing = || Err(AppError::internal("an event was left without a verdict"));
    (0..events.len()).map(|index| results.remove(&index).unwrap_or_else(missing)).collect()
}

/// Counts the events of one customer on one meter.
async fn count_group(
    platform: &Platform,
    group: (OrganizationId, MeterId, CustomerId),
    events: &[&TrackedEvent],
) -> Vec<Result<Verdict, AppError>> {
    let (organization, meter, customer) = group;
    let meter = match platform.store.get_meter(organization, meter).await {
        Ok(meter) => meter,
        Err(StoreError::NotFound(_)) => return reject(platform, events, "its meter was deleted").await,
        Err(error) => return fail(events.len(), error),
    };
    let mut pins = Vec::with_capacity(events.len());
    for tracked in events {
        pins.push(pinned(platform, group, &meter, tracked));
    }
    let pinned = stream::iter(pins).buffered(CONCURRENT).collect::<Vec<_>>().await;
    let mut results = events.iter().map(|_| None).collect::<Vec<_>>();
    let mut months = BTreeMap::<Month, Vec<(usize, UsageEvent)>>::new();
    for ((index, event), result) in pinned.into_iter().enumerate().zip(&mut results) {
        match event {
            Ok(event) => months.entry(Month::of(event.occurred_at)).or_default().push((index, event)),
            Err(error) => *result = Some(Err(error.into())),
        }
    }
    for (month, events_of_month) in months {
        let head = HeadId { organization, meter: meter.id, customer, month };
        for part in events_of_month.chunks(COMMIT_EVENTS_MAX) {
            let (indexes, part): (Vec<_>, Vec<_>) = part.iter().cloned().unzip();
            let verdicts = match commit(platform, head, &meter, &part).await {
                Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
                Err(error) => fail(part.len(), error),
            };
            for (index, verdict) in indexes.into_iter().zip(verdicts) {
                if let (Ok(Verdict::Overflow), Some(tracked)) = (&verdict, events.get(index)) {
                    let kept = reject(platform, &[tracked], "the total would be too large to be exact").await;
                    if let (Some(result), Some(kept)) = (results.get_mut(index), kept.into_iter().next()) {
                        *result = Some(kept);
                    }
                } else if let Some(result) = results.get_mut(index) {
                    *result = Some(verdict);
                }
            }
        }
    }
    let missing = || Err(AppError::internal("an event was left without a verdict"));
    results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
}

/// The event at the timestamp its key is pinned to: a repeat lands where the first one went, whatever
/// timestamp it carries.
async fn pinned(
    platform: &Platform,
    group: (OrganizationId, MeterId, CustomerId),
    meter: &Meter,
    tracked: &TrackedEvent,
) -> Result<UsageEvent, StoreError> {
    let event = tracked.event.clone();
    if !tracked.has_sender_key || meter.deduplicate_by == DeduplicateBy::KeyAndTimestamp {
        return Ok(event);
    }
    let first = platform.store.pin_event(group, &event.key, event.occurred_at, platform.now()).await?;
    Ok(UsageEvent { occurred_at: first, ..event })
}

/// Makes events members of their head. Read, decide, write if nobody wrote meanwhile; else again.
async fn commit(
    platform: &Platform,
    id: HeadId,
    meter: &Meter,
    events: &[UsageEvent],
) -> Result<Vec<Verdict>, AppError> {
    for attempt in 0..ATTEMPTS_MAX {
        let head = platform.store.get_head(id).await?;
        let sealed =
            if head.may_have_sealed(events) { platform.store.list_sealed(id).await? } else { Vec::new() };
        let commit = head.commit(meter.counting(), &sealed, events, |head| Store::fits(id, head));
        match platform.store.commit_head(id, &commit.write).await? {
            CommitOutcome::Committed => return Ok(commit.verdicts),
            CommitOutcome::Conflict => tokio::time::sleep(pause(platform, attempt)).await,
        }
    }
    Err(AppError::Unavailable("the head is written by too many at once".into()))
}

/// How long to wait after the `attempt`th conflict: up to twice as long each time, at random.
fn pause(platform: &Platform, attempt: u32) -> std::time::Duration {
    let longest = 10_u64 << attempt.min(7);
    let [random] = platform.entropy::<1>();
    std::time::Duration::from_millis(longest * u64::from(random) / 255)
}

/// Keeps events that can never be counted, with the reason: that is what became of them.
async fn reject(
    platform: &Platform,
    events: &[&TrackedEvent],
    reason: &str,
) -> Vec<Result<Verdict, AppError>> {
    let mut results = Vec::new();
    for tracked in events {
        let kept = platform.store.put_rejected_event(tracked, reason, platform.now()).await;
        results.push(kept.map(|()| Verdict::Overflow).map_err(AppError::from));
    }
    results
}

fn fail(count: usize, error: impl Into<AppError>) -> Vec<Result<Verdict, AppError>> {
    let error = error.into();
    let reason = error.to_string();
    let again = |_| Err(AppError::Unavailable(reason.clone().into()));
    std::iter::once(Err(error)).chain((1..count).map(again)).take(count).collect()
}
