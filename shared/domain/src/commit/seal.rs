//! How the tail of a head becomes segments, and which windows they go to.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use chrono::{Datelike, Timelike};

use super::{Draft, HeadWrite};
use crate::{
    event::{Revision, UsageEvent},
    head::Head,
    hours::Hours,
    meter::Counting,
    quantity::QuantityOverflow,
    window::{Level, Window, level_for},
};

/// Where the totals by hour of a day come from that is about to be sealed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoursSource {
    /// They are kept already.
    Stored,
    /// The day has no members in segments yet.
    Empty,
    /// They are folded from the day's members in segments.
    Members,
}

/// Events that are put as segments of one window, in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentWrite {
    /// The window, which no other segment of the commit has; `None` for corrections, which lie by themselves.
    pub window: Option<Window>,
    /// The events.
    pub events: Vec<UsageEvent>,
}

/// About so many bytes in one window make the next ones finer.
const WINDOW_BYTES: u64 = 64 * 1024;

/// A day of more events than this does not get totals by hour any more: its members would have to be read.
const ADOPTED_EVENTS_MAX: u64 = 50_000;

impl Draft {
    /// The days about to be sealed into of which totals by hour are kept, or are to be from now on.
    pub fn hours_wanted(&self, counting: Counting<'_>, before: &Head) -> Vec<(u32, HoursSource)> {
        let days = self.head.tail.iter().map(|event| event.occurred_at.day()).collect::<BTreeSet<_>>();
        let source = |day: u32| {
            if self.head.hourly.contains(day) {
                return Some((day, HoursSource::Stored));
            }
            if self.head.finest < Level::Hour || self.head.corrections > 0 {
                return None;
            }
            let known = before.days.get(&day).map_or(0, |totals| totals.events);
            let counts = |event: &&UsageEvent| event.occurred_at.day() == day && counting.includes(*event);
            let in_tail = before.tail.iter().filter(counts).count() as u64;
            match known.saturating_sub(in_tail) {
                0 => Some((day, HoursSource::Empty)),
                1..=ADOPTED_EVENTS_MAX => Some((day, HoursSource::Members)),
                _ => None,
            }
        };
        days.into_iter().filter_map(source).collect()
    }

    /// The write that makes segments of the tail. `hours` has what [`Draft::hours_wanted`] asked for.
    ///
    /// Errors: if a total by hour cannot be computed exactly, which that of its day would not be either.
    pub fn seal(
        self,
        counting: Counting<'_>,
        mut hours: BTreeMap<u32, Hours>,
    ) -> Result<HeadWrite, QuantityOverflow> {
        let Self { mut head, hours: refolded, .. } = self;
        let mut events = std::mem::take(&mut head.tail);
        events.sort_unstable_by(UsageEvent::by_identity);
        for (day, hours) in &mut hours {
            let is_folded = |event: &UsageEvent| refolded.contains_key(&(*day, event.occurred_at.hour()));
            for event in events.iter().filter(|event| event.occurred_at.day() == *day && !is_folded(event)) {
                hours.add(counting, event)?;
            }
            let of_day = refolded.iter().filter(|((other, _), _)| other == day);
            let of_day = of_day.map(|((_, hour), totals)| (*hour, *totals)).collect::<Vec<_>>();
            if !of_day.is_empty() {
                hours.totals.extend(of_day);
                head.days.insert(*day, hours.day(counting)?);
            }
            head.hourly.insert(*day);
        }
        head.days.retain(|_, totals| totals.events > 0);
        let segments = head.segments(events);
        Ok(HeadWrite::Seal { head, segments, hours })
    }
}

impl Head {
    /// Sorts events, which are in order of time, into segments, and remembers where they went.
    fn segments(&mut self, events: Vec<UsageEvent>) -> Vec<SegmentWrite> {
        let is_correction = |event: &UsageEvent| event.revision != Revision::First;
        let (corrections, mut late) = if events.iter().any(is_correction) {
            events.into_iter().partition::<Vec<_>, _>(is_correction)
        } else {
            (Vec::new(), events)
        };
        let until = self.sealed.until();
        let is_late = |event: &UsageEvent| until.is_some_and(|until| event.occurred_at <= until);
        let on_time = late.split_off(late.partition_point(is_late));
        // Few events are late, and they are scattered: the hour keeps them together.
        let (late_finest, finest) = (self.finest.min(Level::Hour), self.finest);
        self.fill(&on_time);
        let mut windows = BTreeMap::<Window, Vec<UsageEvent>>::new();
        for (mut events, finest) in [(late, late_finest), (on_time, finest)] {
            let level = self.level_of(&events, finest);
            while let Some(last) = events.last() {
                let window = level.window_of(last.occurred_at);
                let mut inside = match events.partition_point(|event| event.occurred_at < window.start) {
                    0 => std::mem::take(&mut events),
                    before => events.split_off(before),
                };
                match windows.entry(window) {
                    Entry::Vacant(place) => {
                        place.insert(inside);
                    }
                    Entry::Occupied(mut earlier) => earlier.get_mut().append(&mut inside),
                }
            }
        }
        let segment = |(window, events)| SegmentWrite { window: Some(window), events };
        let mut segments = windows.into_iter().map(segment).collect::<Vec<_>>();
        if !corrections.is_empty() {
            self.has_sealed_corrections = true;
            segments.push(SegmentWrite { window: None, events: corrections });
        }
        segments
    }

    /// The level of the windows that events go to, all of them.
    fn level_of(&mut self, events: &[UsageEvent], finest: Level) -> Level {
        let times = events.iter().map(|event| event.occurred_at).collect::<Vec<_>>();
        let level = level_for(&times, bytes_of(events), finest);
        if let (Some(first), Some(last)) = (times.first(), times.last()) {
            self.sealed.extend(level, *first, *last);
        }
        level
    }

    /// Notes how full the newest window becomes, and makes the next ones finer when it is full.
    fn fill(&mut self, on_time: &[UsageEvent]) {
        let Some(last) = on_time.last() else { return };
        let start = self.finest.start_of(last.occurred_at);
        let in_window = on_time.iter().rev().take_while(|event| event.occurred_at >= start);
        let bytes = in_window.map(|event| event.approximate_bytes() as u64).sum::<u64>();
        let before = self.filling.filter(|(other, _)| *other == start).map_or(0, |(_, bytes)| bytes);
        let filled = before + bytes;
        let is_full = filled > WINDOW_BYTES && self.finest != Level::Second;
        self.filling = if is_full { None } else { Some((start, filled)) };
        if is_full {
            self.finest = self.finest.finer();
        }
    }
}

fn bytes_of(events: &[UsageEvent]) -> usize {
    events.iter().map(UsageEvent::approximate_bytes).sum()
}
