//! What a meter has seen so far, in a few numbers. All of them are of the events that count: neither of those that its
//! filters leave out, nor of those that were taken back.

use std::collections::BTreeSet;

use auth::Actor;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    head::Head,
    id::MeterId,
    meter::Meter,
    series::Range,
    totals::Usage,
    user::Scope,
    zone::{Step, Steps},
};
use store::HeadId;

use crate::{AppError, Platform, fold_usage, usage_log::uncounted_of, visit_usage::visit_counted};

/// What a meter has seen.
pub struct MeterStats {
    /// All events that count.
    pub total_events: u64,
    /// All customers who have any.
    pub unique_customers: u64,
    /// The timestamps of the earliest and the latest of them.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Usage since midnight, UTC. `None`, as of the week and the month, where more events have to be looked at for it
    /// than for one answer.
    pub today: Option<Usage>,
    /// Since Monday.
    pub this_week: Option<Usage>,
    /// Since the first of the month.
    pub this_month: Option<Usage>,
    /// Events kept whose key had been counted with other content before.
    pub conflicts: u64,
    /// Events kept that could not be counted.
    pub rejected: u64,
}

/// What a meter has seen so far.
pub async fn stats(platform: &Platform, actor: &Actor, meter: MeterId) -> Result<MeterStats, AppError> {
    actor.require(Scope::UsageRead)?;
    let organization = actor.organization;
    let meter = platform.store.get_meter_or_deleted(organization, meter).await?;
    let mut customers = BTreeSet::new();
    let mut total_events = 0;
    let (mut earliest, mut latest) = (Edge::new(End::First), Edge::new(End::Last));
    let months = platform.store.list_months(organization, meter.id).await?;
    for month in months.iter().copied() {
        for (customer, head) in platform.store.list_heads(organization, meter.id, month).await? {
            let events = counted_in(&head);
            if events > 0 {
                total_events += events;
                customers.insert(customer);
                let id = HeadId { organization, meter: meter.id, customer, month };
                earliest.consider(id, &head);
                latest.consider(id, &head);
            }
        }
    }
    let (first, last) = (earliest.find(platform, &meter).await?, latest.find(platform, &meter).await?);
    let uncounted = uncounted_of(platform, organization, &meter, None, months.first()).await?;
    let conflicts = uncounted.iter().filter(|event| event.is_conflict()).count() as u64;
    let now = platform.now();
    let ranges = [Step::Day, Step::Week, Step::Month].map(|step| {
        let from = Steps::utc(step).start_of(now);
        Range { from, until: Steps::utc(step).next(from) }
    });
    let totals = fold_usage::totals_over(platform, organization, &meter, &ranges).await?;
    let mut totals = totals.into_iter();
    Ok(MeterStats {
        total_events,
        unique_customers: customers.len() as u64,
        span: first.zip(last),
        today: totals.next().flatten(),
        this_week: totals.next().flatten(),
        this_month: totals.next().flatten(),
        conflicts,
        rejected: uncounted.len() as u64 - conflicts,
    })
}

fn counted_in(head: &Head) -> u64 {
    head.days.values().map(|totals| totals.events).sum()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

impl End {
    fn is_further(self, at: DateTime<Utc>, known: DateTime<Utc>) -> bool {
        match self {
            Self::First => at < known,
            Self::Last => at > known,
        }
    }
}

/// One end of the time in which there are events that count: on the outermost day that has any, of whomever.
struct Edge {
    end: End,
    day: Option<Range>,
    /// The outermost timestamp that is known.
    known: Option<DateTime<Utc>>,
    /// Heads with events on that day some of whose events do not count.
    heads: Vec<(HeadId, Head)>,
}

/// How much of a day is looked at first; where nothing counts, the next part is so many times as long.
const LOOKED_AT_FIRST: TimeDelta = TimeDelta::minutes(1);
const GROWTH: i32 = 8;

impl Edge {
    fn new(end: End) -> Self {
        Self { end, day: None, known: None, heads: Vec::new() }
    }

    /// Takes in what a head says, or keeps it to be looked at if it has events on the outermost day.
    fn consider(&mut self, id: HeadId, head: &Head) {
        let mut days = head.days.iter().filter(|(_, totals)| totals.events > 0).map(|(day, _)| *day);
        let day = if self.end == End::First { days.next() } else { days.next_back() };
        let (Some(day), Some((first, last))) = (day, head.span()) else { return };
        let day = id.month.day(day);
        if self.day.is_none_or(|known| self.end.is_further(day.from, known.from)) {
            *self = Self { day: Some(day), ..Self::new(self.end) };
        }
        if self.day != Some(day) {
            return;
        }
        match head.members == counted_in(head) {
            true => self.learn(if self.end == End::First { first } else { last }),
            false => self.heads.push((id, head.clone())),
        }
    }

    fn learn(&mut self, at: DateTime<Utc>) {
        if self.known.is_none_or(|known| self.end.is_further(at, known)) {
            self.known = Some(at);
        }
    }

    /// The outermost timestamp of an event that counts. Days of which some events do not are looked at from their end
    /// inwards.
    async fn find(mut self, platform: &Platform, meter: &Meter) -> Result<Option<DateTime<Utc>>, AppError> {
        for head in std::mem::take(&mut self.heads) {
            let (mut rest, mut length) = (self.further(&head.1), LOOKED_AT_FIRST);
            while let Some(range) = rest {
                let (part, others) = self.split(range, length);
                let mut is_found = false;
                visit_counted(platform, std::slice::from_ref(&head), &[part], |event| {
                    if meter.counting().includes(event) {
                        self.learn(event.occurred_at);
                        is_found = true;
                    }
                    Ok(())
                })
                .await?;
                (rest, length) = (others.filter(|_| !is_found), length * GROWTH);
            }
        }
        Ok(self.known)
    }

    /// Where a head may have something further out than what is known.
    fn further(&self, head: &Head) -> Option<Range> {
        let (first, last) = head.span()?;
        let held = Range { from: first, until: last + TimeDelta::milliseconds(1) };
        let inside = self.day?.intersection(held)?;
        let Some(known) = self.known else { return Some(inside) };
        inside.intersection(match self.end {
            End::First => Range { until: known, ..inside },
            End::Last => Range { from: known + TimeDelta::milliseconds(1), ..inside },
        })
    }

    /// The outer part of a range, of this length, and what is left.
    fn split(&self, range: Range, length: TimeDelta) -> (Range, Option<Range>) {
        let Range { from, until } = range;
        if until - from <= length {
            return (range, None);
        }
        match self.end {
            End::First => {
                let cut = from + length;
                (Range { from, until: cut }, Some(Range { from: cut, until }))
            }
            End::Last => {
                let cut = until - length;
                (Range { from: cut, until }, Some(Range { from, until: cut }))
            }
        }
    }
}
