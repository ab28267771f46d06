//! What the biller writes down, and holds against the bills.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{Key, Story, fixed};
use crate::{
    charge::Price,
    currency::Currency,
    money::Money,
    period::BillingInterval,
    proration::ProrationMode,
    timeline::{DateTime, DueKind, Phase, Reason, Utc},
};

/// An interval as a row of squares, one for each tick.
struct Whole<'a> {
    story: &'a Story,
    interval: BillingInterval,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Whole<'_> {
    /// What is to be paid for each square. At the start it is written into them, and at each change written over.
    fn squares(&self, ticks: &[DateTime<Utc>], in_advance: bool) -> Vec<Vec<Key>> {
        let timeline = &self.story.timeline;
        let begin = self.from.max(timeline.schedule.start);
        let agreed = timeline.schedule.end.filter(|end| *end < self.until);
        let is_open = |tick: DateTime<Utc>| begin <= tick && agreed.is_none_or(|end| tick < end);
        let sold = |phase: &Phase| {
            let sold = fixed(phase).filter(|(key, advance)| key.0 == self.interval && *advance == in_advance);
            sold.map(|(key, _)| key).collect::<Vec<_>>()
        };
        let first = sold(self.story.phase(begin));
        let squares = ticks.iter().map(|tick| {
            let is_paid = match timeline.policy.mode {
                ProrationMode::Prorate => is_open(*tick),
                ProrationMode::None => begin == self.from && agreed.is_none(),
                ProrationMode::Full => true,
            };
            if is_paid { first.clone() } else { Vec::new() }
        });
        let mut squares = squares.collect::<Vec<_>>();
        let is_inside = |at: DateTime<Utc>| begin < at && at < self.until;
        for phase in timeline.phases.iter().skip(1) {
            if !is_inside(phase.from) || self.story.end <= phase.from {
                continue;
            }
            let next = sold(phase);
            for (square, tick) in squares.iter_mut().zip(ticks) {
                match phase.policy.unwrap_or(timeline.policy).mode {
                    ProrationMode::Prorate if *tick < phase.from => {}
                    ProrationMode::Prorate => {
                        *square = if is_open(*tick) { next.clone() } else { Vec::new() }
                    }
                    ProrationMode::None => {}
                    ProrationMode::Full if phase.is_paused => {}
                    ProrationMode::Full => *square = next.clone(),
                }
            }
        }
        if let Some(end) = timeline.ends_at.filter(|end| is_inside(*end)) {
            for (square, tick) in squares.iter_mut().zip(ticks) {
                let is_paid = match timeline.end_policy.unwrap_or(timeline.policy).mode {
                    ProrationMode::Prorate => *tick < end,
                    ProrationMode::None => in_advance,
                    ProrationMode::Full => true,
                };
                if !is_paid {
                    square.clear();
                }
            }
        }
        squares
    }
}

/// Holds what is billed against what is to be paid.
pub(super) fn check(story: &Story) -> Result<(), TestCaseError> {
    let timeline = &story.timeline;
    let (start, end) = (timeline.schedule.start, story.end);
    let own = |phase: &Phase| {
        let own = phase.charges.iter().filter_map(|charge| charge.price.interval());
        own.chain([phase.interval]).collect::<Vec<_>>()
    };
    let boundaries =
        timeline.phases.iter().flat_map(own).map(|interval| (interval, story.boundaries(interval)));
    let boundaries = boundaries.collect::<BTreeMap<_, _>>();
    // The interval an instant lies in: where it begins, and where it ends.
    let around = |interval: BillingInterval, at: DateTime<Utc>| {
        let place = boundaries[&interval].iter().position(|boundary| *boundary > at).unwrap();
        (boundaries[&interval][place - 1], boundaries[&interval][place])
    };

    // Square by square: how long an interval is, and how much of it is to be paid.
    let (ticks, weight) = story.ticks();
    let mut wholes = BTreeMap::<(BillingInterval, DateTime<Utc>), u64>::new();
    let mut owed = BTreeMap::<(Key, DateTime<Utc>), i128>::new();
    for (interval, boundaries) in &boundaries {
        for (from, until) in boundaries.iter().copied().zip(boundaries.iter().copied().skip(1)) {
            if until <= start || end <= from {
                continue;
            }
            let [first, last] = [from, until].map(|at| ticks.partition_point(|tick| *tick < at));
            let ticks = &ticks[first..last];
            wholes.insert((*interval, from), ticks.len() as u64 * weight);
            let whole = Whole { story, interval: *interval, from, until };
            for key in [true, false].map(|in_advance| whole.squares(ticks, in_advance)).concat().concat() {
                *owed.entry((key, from)).or_default() += i128::from(weight);
            }
        }
    }

    // The bills: what they add up to for each interval, and whose the events are.
    let mut billed = BTreeMap::<(Key, DateTime<Utc>), i128>::new();
    let mut amounts = BTreeMap::<(Key, DateTime<Utc>), (Decimal, i64)>::new();
    let mut owners = vec![Vec::new(); story.events.len()];
    let mut last = None;
    while let Some(at) = timeline.next(last).unwrap() {
        prop_assert!(last.is_none_or(|last| last < at) && at <= end);
        for due in timeline.bill(last, at).unwrap().dues {
            let name = due.charge.display_name.clone();
            match (&due.kind, &due.charge.price) {
                (DueKind::Usage(ranges, _), _) => {
                    for (event, owners) in story.events.iter().zip(&mut owners) {
                        let held = ranges.iter().filter(|range| range.contains(*event)).count();
                        owners.extend(vec![(name.clone(), at); held]);
                    }
                }
                (DueKind::Fixed(period, share, reason), Price::Fixed(price)) => {
                    // Which of the intervals that it was sold by: no two are of one length.
                    let sold =
                        timeline.phases.iter().flat_map(fixed).find(|((interval, named, quantity), _)| {
                            let from = around(*interval, period.start()).0;
                            *named == name
                                && *quantity == price.quantity
                                && wholes.get(&(*interval, from)) == Some(&share.whole)
                        });
                    let (key, is_in_advance) = sold.expect("what is billed is sold");
                    let (from, until) = around(key.0, period.start());
                    prop_assert!(period.end() <= until);
                    match reason {
                        Reason::Interval if is_in_advance => prop_assert_eq!(at, period.start()),
                        Reason::Interval => prop_assert_eq!(at, until.min(end)),
                        Reason::Remaining | Reason::Unused => {
                            prop_assert!(
                                last.is_none_or(|last| last < period.start()) && period.start() <= at
                            );
                        }
                    }
                    let part = i128::from(share.part) * if share.is_credit { -1 } else { 1 };
                    *billed.entry((key.clone(), from)).or_default() += part;
                    let all = Money::new(price.unit_price * price.quantity, Currency::USD);
                    let (amount, lines) = amounts.entry((key, from)).or_default();
                    *amount += share.of(all).unwrap().rounded().amount();
                    *lines += 1;
                }
                _ => panic!("{due:?}"),
            }
        }
        last = Some(at);
    }
    prop_assert_eq!(last, Some(end));
    billed.retain(|_, part| *part != 0);
    prop_assert_eq!(&billed, &owed);
    for ((key, from), (amount, lines)) in amounts {
        let part = owed.get(&(key.clone(), from)).copied().unwrap_or(0);
        let exact = Decimal::from(29) * key.2 * Decimal::from(part) / Decimal::from(wholes[&(key.0, from)]);
        prop_assert!(
            (amount - exact).abs() <= Decimal::new(lines, 2),
            "{} for {} in {} lines",
            amount,
            exact,
            lines
        );
    }
    for (event, owners) in story.events.iter().zip(owners) {
        let phase = story.phase(*event);
        let usage = |phase: &Phase| {
            let charge = phase.charges.iter().find(|charge| charge.meter().is_some())?.clone();
            Some((charge.price.interval().unwrap_or(phase.interval), charge.display_name))
        };
        let owner = usage(phase).filter(|(interval, _)| {
            let is_inside = start <= *event && *event < end;
            // Who is stopped in the middle of an interval pays for the instant of that, too.
            let is_stopped = *event == end && timeline.ends_at == Some(end);
            let was_in_force = |n: usize, phase: &Phase| {
                phase.from < end && timeline.phases.get(n + 1).is_none_or(|next| start < next.from)
            };
            let mut phases = timeline.phases.iter().enumerate().filter(|(n, phase)| was_in_force(*n, phase));
            is_inside
                || is_stopped
                    && around(*interval, end).0 != end
                    && phases.any(|(_, phase)| usage(phase).is_some_and(|(other, _)| other == *interval))
        });
        let owner = owner.map(|(interval, name)| (name, around(interval, *event).1.min(end)));
        prop_assert_eq!(owners, Vec::from_iter(owner), "the event of {}", event);
    }
    Ok(())
}
