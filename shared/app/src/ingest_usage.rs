//! Counting usage: from queued events to members of heads, each exactly once, whatever is repeated.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::{
    commit::Verdict,
    event::{TrackedEvent, UsageEvent},
    head::Head,
    id::{CustomerId, MeterId, OrganizationId},
    meter::{DeduplicateBy, Meter},
    month::Month,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use store::{HeadId, StoreError, Uncounted};

use crate::{AppError, Platform, commit_usage::commit, track_usage::event_id, watch_alerts};

/// Heads that are written at once. Each is a few requests to DynamoDB, and waits more than it works.
const CONCURRENT_HEADS: usize = 16;

/// Pins that are put at once: many more than heads, and one small request each.
const CONCURRENT_PINS: usize = 64;

/// Events of one head in one commit, and about how many bytes: within the 100 items and 4 MB of a transaction.
const COMMIT_EVENTS_MAX: usize = 5_000;
const COMMIT_BYTES_MAX: usize = 2 << 20;

/// One event on its way to its head.
struct Placed {
    index: usize,
    event: UsageEvent,
}

/// What happens to an event: a verdict once it is certain, or an error after which it has to come again.
pub type Outcome = Result<Verdict, AppError>;

/// Counts events. One outcome per event, in order. Counting an event again changes nothing.
///
/// Boxed: no caller has to lay out so many nested steps.
pub fn count<'a>(platform: &'a Platform, events: &'a [TrackedEvent]) -> BoxFuture<'a, Vec<Outcome>> {
    count_all(platform, events).boxed()
}

/// Counts events that were set aside before, and forgets that of those that count now. What is set aside stays
/// listed until then, whatever happens on the way.
pub fn recount<'a>(platform: &'a Platform, events: &'a [TrackedEvent]) -> BoxFuture<'a, Vec<Outcome>> {
    recount_all(platform, events).boxed()
}

async fn recount_all(platform: &Platform, events: &[TrackedEvent]) -> Vec<Outcome> {
    let mut outcomes = count(platform, events).await;
    for (tracked, outcome) in events.iter().zip(&mut outcomes) {
        if let Ok(Verdict::Counted | Verdict::Duplicate) = outcome
            && let Err(error) = platform.store.forget_uncounted_event(event_id(tracked), tracked).await
        {
            *outcome = Err(unavailable(&error));
        }
    }
    outcomes
}

async fn count_all(platform: &Platform, events: &[TrackedEvent]) -> Vec<Outcome> {
    let mut outcomes = events.iter().map(|_| None).collect::<Vec<Option<Outcome>>>();
    let meters = meters_of(platform, events).await;
    let mut known = platform.store.get_heads(&own_heads(events)).await;
    let pins = pins_of(platform, events, &meters, known.as_ref().ok()).await;
    let mut heads = BTreeMap::<HeadId, Vec<Placed>>::new();
    for ((index, tracked), outcome) in events.iter().enumerate().zip(&mut outcomes) {
        let organization = tracked.organization;
        let meter = match meters.get(&(organization, tracked.meter)) {
            Some(Ok(meter)) => meter,
            Some(Err(StoreError::NotFound(_))) => {
                *outcome = Some(reject(platform, tracked, "its meter was deleted").await);
                continue;
            }
            Some(Err(error)) => {
                *outcome = Some(Err(unavailable(error)));
                continue;
            }
            None => continue,
        };
        let occurred_at = match pins.get(&group_and_key(tracked)) {
            Some(Ok(first)) if is_pinned(meter, tracked) => *first,
            Some(Err(error)) if is_pinned(meter, tracked) => {
                *outcome = Some(Err(unavailable(error)));
                continue;
            }
            _ => tracked.event.occurred_at,
        };
        let id = head_of(tracked, occurred_at);
        let event = UsageEvent { occurred_at, ..tracked.event.clone() };
        heads.entry(id).or_default().push(Placed { index, event });
    }
    for (index, verdict) in count_heads(platform, &meters, heads, &mut known).await {
        let Some(tracked) = events.get(index) else { continue };
        let kept = match verdict {
            Ok(Verdict::Conflict) => {
                set_aside(platform, tracked, Uncounted::Conflict, Verdict::Conflict).await
            }
            Ok(Verdict::Overflow) => {
                reject(platform, tracked, "the total would be too large to be exact").await
            }
            Ok(Verdict::Counted | Verdict::Duplicate) | Err(_) => verdict,
        };
        if let Some(outcome) = outcomes.get_mut(index) {
            *outcome = Some(kept);
        }
    }
    // Also what was counted before: it may come again because nobody got to the alerts.
    let is_counted =
        |outcome: &Option<Outcome>| matches!(outcome, Some(Ok(Verdict::Counted | Verdict::Duplicate)));
    let counted = events.iter().zip(&outcomes).filter(|(_, outcome)| is_counted(outcome));
    watch_alerts::look_at(platform, counted.map(|(event, _)| event)).await;
    let missing = || Err(AppError::internal("an event was left without a verdict"));
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect()
}

type Meters = BTreeMap<(OrganizationId, MeterId), Result<Meter, StoreError>>;

/// The meters of `events`, each read once.
async fn meters_of(platform: &Platform, events: &[TrackedEvent]) -> Meters {
    let ids = events.iter().map(|event| (event.organization, event.meter));
    let ids = ids.collect::<BTreeSet<_>>();
    let read = ids.into_iter().map(|(organization, meter)| async move {
        ((organization, meter), platform.store.get_meter(organization, meter).await)
    });
    stream::iter(read).buffer_unordered(CONCURRENT_HEADS).collect().await
}

/// What a key is unique within, and the key.
type GroupAndKey<'a> = (OrganizationId, MeterId, CustomerId, &'a str);

fn group_and_key(tracked: &TrackedEvent) -> GroupAndKey<'_> {
    (tracked.organization, tracked.meter, tracked.customer, &tracked.event.key)
}

/// Whether a repeat of the event may carry another timestamp.
fn is_pinned(meter: &Meter, tracked: &TrackedEvent) -> bool {
    tracked.has_sender_key && meter.deduplicate_by == DeduplicateBy::Key
}

/// The head of an event that occurred at `at`.
fn head_of(tracked: &TrackedEvent, at: DateTime<Utc>) -> HeadId {
    let TrackedEvent { organization, meter, customer, .. } = *tracked;
    HeadId { organization, meter, customer, month: Month::of(at) }
}

/// The heads of all events, by the timestamps that they carry themselves. Nearly always those they end up in.
fn own_heads(events: &[TrackedEvent]) -> Vec<HeadId> {
    let own = events.iter().map(|tracked| head_of(tracked, tracked.event.occurred_at));
    own.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The timestamps that keys are pinned to: a repeat lands where the first one went, whatever timestamp it
/// carries. If the process dies after pinning, the event that comes again lands there too.
///
/// What is a member already under the timestamp that it carries was pinned to it before, and needs no look at
/// the pin: `known` tells of those that are in a tail still, as repeats within minutes mostly are.
async fn pins_of<'a>(
    platform: &Platform,
    events: &'a [TrackedEvent],
    meters: &Meters,
    known: Option<&BTreeMap<HeadId, Head>>,
) -> HashMap<GroupAndKey<'a>, Result<DateTime<Utc>, StoreError>> {
    let tails = known.into_iter().flatten().map(|(id, head)| {
        let identities = head.tail.iter().map(|event| (event.occurred_at, event.key.as_str()));
        (*id, identities.collect::<HashSet<_>>())
    });
    let tails = tails.collect::<HashMap<_, _>>();
    let mut first = HashMap::<GroupAndKey<'a>, &'a TrackedEvent>::new();
    for tracked in events {
        let meter = meters.get(&(tracked.organization, tracked.meter));
        if meter.is_some_and(|meter| meter.as_ref().is_ok_and(|meter| is_pinned(meter, tracked))) {
            first.entry(group_and_key(tracked)).or_insert(tracked);
        }
    }
    let now = platform.real_now();
    let pin = first.into_iter().map(|(named, tracked)| {
        let (organization, meter, customer, key) = named;
        let at = tracked.event.occurred_at;
        let tail = tails.get(&head_of(tracked, at));
        let is_member = tail.is_some_and(|tail| tail.contains(&(at, key)));
        async move {
            if is_member {
                return (named, Ok(at));
            }
            (named, platform.store.pin_event((organization, meter, customer), key, at, now).await)
        }
    });
    let pins = pin.collect::<Vec<_>>();
    stream::iter(pins).buffer_unordered(CONCURRENT_PINS).collect().await
}

/// Writes each head once. Those that are not `known`, because a pin led there, are read by their commit.
async fn count_heads(
    platform: &Platform,
    meters: &Meters,
    heads: BTreeMap<HeadId, Vec<Placed>>,
    known: &mut Result<BTreeMap<HeadId, Head>, StoreError>,
) -> Vec<(usize, Outcome)> {
    let counts = heads.into_iter().map(|(id, placed)| {
        let meter = meters.get(&(id.organization, id.meter)).and_then(|meter| meter.as_ref().ok());
        let head = match known {
            Ok(heads) => Ok(heads.remove(&id)),
            Err(error) => Err(unavailable(error)),
        };
        async move {
            let (Some(meter), Ok(head)) = (meter, head) else {
                let again = || Err(AppError::Unavailable("the heads could not be read".into()));
                return placed.into_iter().map(|placed| (placed.index, again())).collect();
            };
            count_head(platform, meter, id, head, placed).await
        }
    });
    let counts = counts.collect::<Vec<_>>();
    stream::iter(counts).buffer_unordered(CONCURRENT_HEADS).concat().await
}

async fn count_head(
    platform: &Platform,
    meter: &Meter,
    id: HeadId,
    mut head: Option<Head>,
    placed: Vec<Placed>,
) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::with_capacity(placed.len());
    for part in parts(placed) {
        let (indexes, part): (Vec<_>, Vec<_>) =
            part.into_iter().map(|placed| (placed.index, placed.event)).unzip();
        match commit(platform, id, meter.counting(), &part, head.take()).await {
            Ok(verdicts) => outcomes.extend(indexes.into_iter().zip(verdicts.into_iter().map(Ok))),
            Err(error) => {
                let reason = error.to_string();
                tracing::warn!(error = ?error, "a head could not be written");
                let again = || Err(AppError::Unavailable(reason.clone().into()));
                outcomes.extend(indexes.into_iter().map(|index| (index, again())));
            }
        }
    }
    outcomes
}

/// Splits events so that each part goes into one transaction.
fn parts(placed: Vec<Placed>) -> Vec<Vec<Placed>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for placed in placed {
        bytes += placed.event.approximate_bytes() * 4;
        match parts.last_mut() {
            Some(part) if part.len() < COMMIT_EVENTS_MAX && (bytes < COMMIT_BYTES_MAX || part.is_empty()) => {
                part.push(placed);
            }
            _ => {
                bytes = placed.event.approximate_bytes() * 4;
                parts.push(vec![placed]);
            }
        }
    }
    parts
}

/// Keeps an event that can never be counted, with the reason: that is what became of it.
async fn reject(platform: &Platform, tracked: &TrackedEvent, reason: &str) -> Outcome {
    let why = Uncounted::Rejected { reason: reason.to_owned() };
    set_aside(platform, tracked, why, Verdict::Overflow).await
}

async fn set_aside(platform: &Platform, tracked: &TrackedEvent, why: Uncounted, verdict: Verdict) -> Outcome {
    platform.store.put_uncounted_event(event_id(tracked), tracked, &why, platform.real_now()).await?;
    Ok(verdict)
}

fn unavailable(error: &StoreError) -> AppError {
    AppError::Unavailable(error.to_string().into())
}
