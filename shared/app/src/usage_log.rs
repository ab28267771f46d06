//! The log of a meter: its events one by one, newest first, with what became of each.

use auth::Actor;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use domain::{
    event::{TrackedEvent, UsageEvent},
    head::Head,
    id::{CustomerId, EventId, MeterId, OrganizationId},
    meter::Meter,
    month::Month,
    quantity::Quantity,
    series::Range,
    user::Scope,
    zone::{Step, Steps},
};
use store::{HeadId, Page, PageRequest, Position, StoreError, Uncounted, UncountedEvent};

use crate::{
    AppError, Platform,
    fold_usage::{check_folded, months_in},
    port::{Message, PortError},
    track_usage::event_id_of,
    visit_usage::{Member, members_in},
};

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Of one customer.
    pub customer: Option<CustomerId>,
    /// That occurred in a range; else all there ever were.
    pub range: Option<Range>,
    /// Of at least this quantity, as it counts by now.
    pub least: Option<Quantity>,
    /// Of this key.
    pub key: Option<String>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventState {
    /// It counts.
    Counted,
    /// It is kept, and left out by the meter's filters.
    Filtered,
    /// It counts with other content, told later.
    Replaced(Box<UsageEvent>),
    /// It was taken back, and does not count.
    Voided,
    /// Its key had been counted with other content before.
    Conflict,
    /// It could not be counted.
    Rejected {
        /// Why not.
        reason: String,
    },
}

/// One line of a log.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// The id of all events of its key.
    pub id: EventId,
    /// Whose.
    pub customer: CustomerId,
    /// What it counts for.
    pub meter: MeterId,
    /// The event as it was told.
    pub event: UsageEvent,
    /// What became of it.
    pub state: EventState,
}

impl LogEntry {
    /// The event as it is shown: by its latest correction, if it counts with that.
    pub fn shown(&self) -> &UsageEvent {
        match &self.state {
            EventState::Replaced(counted) => counted,
            EventState::Counted
            | EventState::Filtered
            | EventState::Voided
            | EventState::Conflict
            | EventState::Rejected { .. } => &self.event,
        }
    }
}

/// A day with more events than this is looked at hour by hour, and one with far more minute by minute.
const SLICE_EVENTS: u64 = 20_000;

/// The events of a meter, newest first.
pub async fn list(
    platform: &Platform,
    actor: &Actor,
    meter: MeterId,
    filter: &LogFilter,
    page: &PageRequest,
) -> Result<Page<LogEntry>, AppError> {
    actor.require(Scope::UsageRead)?;
    let organization = actor.organization;
    let meter = platform.store.get_meter_or_deleted(organization, meter).await?;
    let mut months = platform.store.list_months(organization, meter.id).await?;
    if let Some(range) = filter.range {
        months.retain(|month| month.start() < range.until && range.from < month.end());
    }
    let (skip, after) = match &page.position {
        Position::Number(number) => (number.saturating_sub(1).saturating_mul(page.size), None),
        Position::After(place) => (0, Some(place.as_str())),
    };
    let mut log = Log { rows: Vec::new(), after, wanted: skip + page.size + 1, filter, meter: &meter };
    let mut total = 0;
    for uncounted in uncounted_of(platform, organization, &meter, filter.customer, months.first()).await? {
        let UncountedEvent { id, customer, event, why, .. } = uncounted;
        let entry = LogEntry { id, customer, meter: meter.id, event, state: state_of(why) };
        total += usize::from(log.add(entry));
    }
    for month in months.into_iter().rev() {
        let heads = heads_of(platform, organization, &meter, filter.customer, month).await?;
        total += count_in(platform, organization, &log, month, &heads).await?;
        for slice in slices(month, &heads, filter.range) {
            if log.is_full_down_to(slice.until) {
                break;
            }
            for (customer, head) in heads.iter().filter(|(_, head)| head.touches(slice)) {
                let id = HeadId { organization, meter: meter.id, customer: *customer, month };
                for member in members_in(platform, id, head, slice).await? {
                    log.add(entry_of(id, &meter, member));
                }
            }
        }
    }
    log.rows.sort_by(|(left, _), (right, _)| right.cmp(left));
    let page = Page::first_of(log.rows.into_iter().skip(skip), page.size);
    Ok(Page { total, ..page })
}

/// The part of a log that is wanted, as it fills.
struct Log<'a> {
    rows: Vec<(String, LogEntry)>,
    after: Option<&'a str>,
    wanted: usize,
    filter: &'a LogFilter,
    meter: &'a Meter,
}

impl Log<'_> {
    fn passes(&self, entry: &LogEntry) -> bool {
        let (Self { filter, .. }, LogEntry { event, .. }) = (self, entry);
        filter.range.is_none_or(|range| range.contains(event.occurred_at))
            && filter.least.is_none_or(|least| entry.shown().quantity >= least)
            && filter.key.as_ref().is_none_or(|key| *key == event.key)
    }

    /// Takes in an entry if it is one of those wanted. Whether it is, on whatever page.
    fn add(&mut self, entry: LogEntry) -> bool {
        let is_wanted = self.passes(&entry);
        let place = place_of(&entry);
        if is_wanted && self.after.is_none_or(|after| place.as_str() < after) {
            self.rows.push((place, entry));
        }
        is_wanted
    }

    /// Whether nothing before `at` can be on the page any more.
    fn is_full_down_to(&self, at: DateTime<Utc>) -> bool {
        self.rows.iter().filter(|(_, entry)| entry.event.occurred_at >= at).count() >= self.wanted
    }
}

pub(crate) fn state_of(why: Uncounted) -> EventState {
    match why {
        Uncounted::Rejected { reason } => EventState::Rejected { reason },
        Uncounted::Conflict => EventState::Conflict,
    }
}

/// What became of a member.
fn entry_of(head: HeadId, meter: &Meter, member: Member) -> LogEntry {
    let Member { event, counted } = member;
    let state = match counted {
        None => EventState::Voided,
        Some(counted) if !meter.counting().includes(&counted) => EventState::Filtered,
        Some(counted) if counted.revision != event.revision => EventState::Replaced(Box::new(counted)),
        Some(_) => EventState::Counted,
    };
    let HeadId { organization, meter, customer, .. } = head;
    let id = event_id_of((organization, meter, customer), &event.key);
    LogEntry { id, customer, meter, event, state }
}

/// A place in the log: by time, and then by what tells events of the same time apart.
fn place_of(entry: &LogEntry) -> String {
    let LogEntry { customer, event, state, .. } = entry;
    let (at, accepted) = (event.occurred_at.timestamp_millis(), event.ingested_at.timestamp_millis());
    let is_member = !matches!(state, EventState::Conflict | EventState::Rejected { .. });
    format!("{at:016}#{customer}#{}#{}#{accepted:016}", event.key, u8::from(is_member))
}

async fn heads_of(
    platform: &Platform,
    organization: OrganizationId,
    meter: &Meter,
    customer: Option<CustomerId>,
    month: Month,
) -> Result<Vec<(CustomerId, Head)>, StoreError> {
    match customer {
        Some(customer) => {
            let id = HeadId { organization, meter: meter.id, customer, month };
            Ok(vec![(customer, platform.store.get_head(id).await?)])
        }
        None => platform.store.list_heads(organization, meter.id, month).await,
    }
}

/// How many members of a month are wanted. Heads say it, unless a filter asks for more.
async fn count_in(
    platform: &Platform,
    organization: OrganizationId,
    log: &Log<'_>,
    month: Month,
    heads: &[(CustomerId, Head)],
) -> Result<usize, AppError> {
    let LogFilter { range, least, key, .. } = log.filter;
    let whole = Range { from: month.start(), until: month.end() };
    let is_whole = range.is_none_or(|range| range.covers(whole)) && least.is_none() && key.is_none();
    if is_whole {
        let members = heads.iter().map(|(_, head)| head.members).sum::<u64>();
        return Ok(usize::try_from(members).unwrap_or(usize::MAX));
    }
    let head_of = |customer| HeadId { organization, meter: log.meter.id, customer, month };
    let of_month = heads.iter().map(|(customer, head)| (head_of(*customer), head.clone()));
    check_folded(platform, &of_month.collect::<Vec<_>>(), range.unwrap_or(whole)).await?;
    let mut count = 0;
    for slice in slices(month, heads, *range) {
        for (customer, head) in heads.iter().filter(|(_, head)| head.touches(slice)) {
            let id = HeadId { organization, meter: log.meter.id, customer: *customer, month };
            let members = members_in(platform, id, head, slice).await?;
            let entries = members.into_iter().map(|member| entry_of(id, log.meter, member));
            count += entries.filter(|entry| log.passes(entry)).count();
        }
    }
    Ok(count)
}

/// The parts in which a month is looked at, newest first: none of them holds too many events at once.
fn slices(month: Month, heads: &[(CustomerId, Head)], range: Option<Range>) -> Vec<Range> {
    let whole = Range { from: month.start(), until: month.end() };
    let spans = heads.iter().filter_map(|(_, head)| head.span());
    let span = spans.reduce(|(first, last), (from, until)| (first.min(from), last.max(until)));
    let Some((first, last)) = span else { return Vec::new() };
    let held = Range { from: first, until: last + TimeDelta::milliseconds(1) };
    let Some(inside) = range.unwrap_or(whole).intersection(held) else { return Vec::new() };
    let mut slices = Vec::new();
    for start in Steps::utc(Step::Day).starts_in(inside) {
        let day = start.day();
        let of_day = heads.iter().filter_map(|(_, head)| head.days.get(&day)).map(|totals| totals.events);
        let parts = match of_day.sum::<u64>() / SLICE_EVENTS {
            0 => 1,
            1..24 => 24,
            _ => 24 * 60,
        };
        let length = TimeDelta::days(1) / parts;
        slices.extend((0..parts).filter_map(|part| {
            let from = start + length * part;
            Range { from, until: from + length }.intersection(inside)
        }));
    }
    slices.reverse();
    slices
}

/// What was not counted of a meter, ever. `first` is the first month that it was used in.
pub(crate) async fn uncounted_of(
    platform: &Platform,
    organization: OrganizationId,
    meter: &Meter,
    customer: Option<CustomerId>,
    first: Option<&Month>,
) -> Result<Vec<UncountedEvent>, AppError> {
    // They are kept by when they were accepted: not before there was a meter, unless clocks were moved.
    let made = meter.created_at.min(platform.now());
    let first = first.map_or(made, |first| first.start().min(made));
    let mut found = Vec::new();
    for month in Month::in_range(first, platform.now() + TimeDelta::days(1)) {
        let events = platform.store.list_uncounted_events(organization, month).await?;
        found.extend(events.into_iter().filter(|event| {
            event.meter == meter.id && customer.is_none_or(|customer| customer == event.customer)
        }));
    }
    Ok(found)
}

/// Which events are wanted that were not counted.
#[derive(Clone, Copy, Debug)]
pub struct UncountedFilter {
    /// Of one meter.
    pub meter: Option<MeterId>,
    /// Of one customer.
    pub customer: Option<CustomerId>,
    /// Conflicts alone, or none of them.
    pub is_conflict: Option<bool>,
    /// Accepted in which range.
    pub range: Range,
}

impl UncountedFilter {
    fn passes(&self, uncounted: &UncountedEvent) -> bool {
        self.range.contains(uncounted.event.ingested_at)
            && self.meter.is_none_or(|meter| meter == uncounted.meter)
            && self.customer.is_none_or(|customer| customer == uncounted.customer)
            && self.is_conflict.is_none_or(|is_conflict| is_conflict == uncounted.is_conflict())
    }
}

/// What was accepted in the last months and not counted, newest first.
pub async fn list_uncounted(
    platform: &Platform,
    actor: &Actor,
    filter: &UncountedFilter,
    page: &PageRequest,
) -> Result<Page<UncountedEvent>, AppError> {
    actor.require(Scope::UsageRead)?;
    let mut rows = Vec::new();
    for month in months_in(filter.range)? {
        let events = platform.store.list_uncounted_events(actor.organization, month).await?;
        rows.extend(events.into_iter().filter(|uncounted| filter.passes(uncounted)));
    }
    let placed = rows.into_iter().map(|row| {
        let accepted = row.event.ingested_at.timestamp_millis();
        (format!("{accepted:016}#{}#{}", row.id, row.event.occurred_at.timestamp_millis()), row)
    });
    let mut placed = placed.collect::<Vec<_>>();
    placed.sort_by(|(left, _), (right, _)| right.cmp(left));
    Ok(Page::of(placed, page))
}

/// Sends what was not counted under an id again, and says how many events that were. It stays listed until it
/// counts.
///
/// Errors: `NotFound` if there is nothing; `Unavailable` if the queue did not take it.
pub async fn replay(platform: &Platform, actor: &Actor, id: EventId) -> Result<usize, AppError> {
    actor.require(Scope::UsageWrite)?;
    let uncounted = platform.store.list_uncounted_of(actor.organization, id).await?;
    if uncounted.is_empty() {
        return Err(AppError::NotFound("rejected event"));
    }
    let replayed = uncounted.len();
    for UncountedEvent { meter, customer, has_sender_key, event, .. } in uncounted {
        let organization = actor.organization;
        let tracked = TrackedEvent { organization, meter, customer, has_sender_key, event };
        let sent = platform.queue.send(&[Message::RecountUsage(vec![tracked])]).await;
        let missing = || Err(PortError::new("sending", "not confirmed"));
        sent.into_iter().next().unwrap_or_else(missing)?;
    }
    Ok(replayed)
}
