//! A second way to the bills of [`super`], as plain as it can be: a biller who writes down where the intervals
//! lie, goes through time tick by tick, and asks each tick what was charged then. A tick is a day of the
//! calendar, or a quarter of an hour, which every instant here is a multiple of.

use std::fmt;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Weekday};
use chrono_tz::Tz;
use proptest::prelude::*;
use rust_decimal::Decimal;

use self::biller::check;
use super::{
    tests::{charge, interval},
    *,
};
use crate::{
    charge::{FixedTiming, Price},
    period::IntervalUnit,
    proration::ProrationUnit,
    schedule::BillingTime,
};

mod biller;

/// What is charged for a time: the interval it is billed by, its name, and how many there are.
type Key = (BillingInterval, String, Decimal);

const QUARTER: i64 = 15 * 60;

fn days_of(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `n` units later, one after the other.
fn moved(local: NaiveDateTime, unit: IntervalUnit, n: i64) -> NaiveDateTime {
    let (mut year, mut month) = (local.year(), local.month());
    let months = match unit {
        IntervalUnit::Day => return local + Duration::days(n),
        IntervalUnit::Week => return local + Duration::days(7 * n),
        IntervalUnit::Month => n,
        IntervalUnit::Year => 12 * n,
    };
    for _ in 0..months.abs() {
        (year, month) = match (months > 0, month) {
            (true, 12) => (year + 1, 1),
            (true, _) => (year, month + 1),
            (false, 1) => (year - 1, 12),
            (false, _) => (year, month - 1),
        };
    }
    let day = local.day().min(days_of(year, month));
    NaiveDate::from_ymd_opt(year, month, day).unwrap().and_time(local.time())
}

/// The instant of a local time: the next minute that exists.
fn instant(mut local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    loop {
        if let Some(at) = zone.from_local_datetime(&local).earliest() {
            return at.to_utc();
        }
        local += Duration::minutes(1);
    }
}

/// All that happens to one subscription.
#[derive(Clone)]
struct Story {
    timeline: Timeline,
    end: DateTime<Utc>,
    events: Vec<DateTime<Utc>>,
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Timeline { schedule, policy, phases, end_policy, .. } = &self.timeline;
        writeln!(f, "{schedule:?}, by {policy:?}")?;
        for phase in phases {
            let names = phase.charges.iter().map(|charge| charge.display_name.as_str()).collect::<Vec<_>>();
            let intervals = fixed(phase).map(|(key, _)| key.0).collect::<Vec<_>>();
            let mode = phase.policy.map(|policy| policy.mode);
            writeln!(f, "{} {:?} {names:?} {intervals:?} {mode:?}", phase.from, phase.interval)?;
        }
        let mode = end_policy.map(|policy| policy.mode);
        write!(f, "{} {mode:?} {:?}", self.end, self.events)
    }
}

impl Story {
    fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.timeline.schedule.zone).naive_local()
    }

    /// Where intervals begin and end, well beyond both ends of the story.
    fn boundaries(&self, interval: BillingInterval) -> Vec<DateTime<Utc>> {
        let schedule = self.timeline.schedule;
        let anchor = match schedule.time {
            BillingTime::Anchored(anchor) => self.local(anchor),
            BillingTime::Calendar => {
                let mut date = self.local(schedule.start).date();
                let is_anchor = |date: NaiveDate| match interval.unit() {
                    IntervalUnit::Day => true,
                    IntervalUnit::Week => date.weekday() == Weekday::Mon,
                    IntervalUnit::Month | IntervalUnit::Year => (date.month(), date.day()) == (1, 1),
                };
                while !is_anchor(date) {
                    date = date.pred_opt().unwrap();
                }
                date.and_time(NaiveTime::MIN)
            }
        };
        let length = match interval.unit() {
            IntervalUnit::Day => 1,
            IntervalUnit::Week => 7,
            IntervalUnit::Month => 28,
            IntervalUnit::Year => 365,
        };
        let count = i64::from(interval.count());
        let most = 1700 / length / count + 2;
        let boundary = |n: i64| instant(moved(anchor, interval.unit(), n * count), schedule.zone);
        (-most..=most).map(boundary).collect()
    }

    /// A tick of each unit of time, and how much it counts: a day belongs to what there is at its end.
    fn ticks(&self) -> (Vec<DateTime<Utc>>, u64) {
        let (start, end) = (self.timeline.schedule.start, self.end);
        match self.timeline.policy.unit {
            ProrationUnit::Day => {
                let first = self.local(start).date() - Days::new(400);
                let midnight =
                    |date: NaiveDate| instant(date.and_time(NaiveTime::MIN), self.timeline.schedule.zone);
                let days = first.iter_days().skip(1).map(|date| midnight(date) - STEP);
                (days.take_while(|at| *at < end + Duration::days(400)).collect(), 1)
            }
            ProrationUnit::Second => {
                let quarter = |n: i64| start + Duration::seconds(n * QUARTER);
                let ticks = (-35 * 96..).map(quarter).take_while(|at| *at < end + Duration::days(35));
                (ticks.collect(), QUARTER.unsigned_abs())
            }
        }
    }

    fn phase(&self, at: DateTime<Utc>) -> &Phase {
        let phases = &self.timeline.phases;
        phases.iter().rev().find(|phase| phase.from <= at).unwrap_or(&phases[0])
    }
}

fn fixed(phase: &Phase) -> impl Iterator<Item = (Key, bool)> {
    phase.charges.iter().filter_map(|charge| match &charge.price {
        Price::Fixed(price) => match price.timing {
            FixedTiming::Recurring { interval, is_in_advance } => {
                let interval = interval.unwrap_or(phase.interval);
                Some(((interval, charge.display_name.clone(), price.quantity), is_in_advance))
            }
            FixedTiming::Once => None,
        },
        Price::Usage(_) => None,
    })
}

/// What there is to be changed to: another plan, other seats, nothing, and plans with an interval of their own.
fn phase(from: DateTime<Utc>, plan: usize, interval: BillingInterval, own: &str) -> Phase {
    let charges: Vec<String> = match plan {
        0 | 1 => vec!["a 29 in advance".into(), "b 29".into(), "u usage".into()],
        2 => vec!["c 29 in advance".into(), "d 29".into(), "v usage".into()],
        3 => vec![
            format!("e 29 in advance every {own}"),
            format!("f 29 every {own}"),
            format!("w usage every {own}"),
        ],
        _ => Vec::new(),
    };
    let mut charges = charges.iter().map(|text| charge(text)).collect::<Vec<_>>();
    for charge in charges.iter_mut().filter(|_| plan == 1) {
        if let Price::Fixed(price) = &mut charge.price {
            price.quantity = Decimal::from(7);
        }
    }
    Phase { from, interval, is_paused: charges.is_empty(), charges, policy: None }
}

const MODES: [ProrationMode; 3] = [ProrationMode::Prorate, ProrationMode::None, ProrationMode::Full];

/// Subscriptions that live for up to `days`, by intervals of `every`. Changes and ends may be settled in ways of
/// their own, and an end may be agreed on from the beginning.
fn story(unit: ProrationUnit, days: i64, every: &'static [&'static str]) -> impl Strategy<Value = Story> {
    let quarters = days * 96;
    let zone = prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]);
    // A tenth of all begin on the last days of a month.
    let day =
        prop_oneof![9 => 0_i64..1461, 1 => prop::sample::select(vec![28_i64, 29, 30, 58, 59, 90, 1095])];
    let start = (day, prop_oneof![Just(0), 0_i64..96]);
    let anchor = prop::option::of(prop_oneof![Just(0), -20_i64 * 96..20 * 96]);
    let mode = || prop::sample::select(MODES.to_vec());
    let chosen = || prop::option::of(mode());
    let changes = prop::collection::vec((-10_i64 * 96..quarters, 0_usize..5, 0..every.len(), chosen()), 0..7);
    let events = prop::collection::vec((-5_i64 * 96..quarters + 480, -1_i64..=1), 0..24);
    let plans = (0_usize..4, 0..every.len(), 0..every.len());
    let ends = (1..quarters, chosen(), prop::option::of(0..40_i64 * 96));
    (zone, start, anchor, plans, changes, events, mode(), ends).prop_map(
        move |(zone, (day, quarter), anchor, (plan, interval_of, own), mut changes, events, mode, ends)| {
            let at = |from: DateTime<Utc>, quarters: i64| from + Duration::seconds(quarters * QUARTER);
            let start = at("2024-01-01T00:00:00Z".parse().unwrap(), day * 96 + quarter);
            let policy_of = |mode| ProrationPolicy { unit, mode };
            changes.sort_by_key(|(from, ..)| *from);
            let mut phases = vec![phase(at(start, -10 * 96), plan, interval(every[interval_of]), every[own])];
            phases.extend(changes.into_iter().map(|(from, plan, interval_of, mode)| Phase {
                policy: mode.map(policy_of),
                ..phase(at(start, from), plan, interval(every[interval_of]), every[own])
            }));
            let (quarters, end_mode, agreed) = ends;
            let end = at(start, quarters);
            let schedule = BillingSchedule {
                start,
                end: agreed.map(|later| at(end, later)),
                time: anchor.map_or(BillingTime::Calendar, |anchor| BillingTime::Anchored(at(start, anchor))),
                zone: zone.parse().unwrap(),
            };
            let events = events
                .into_iter()
                .map(|(quarters, steps)| at(start, quarters) + Duration::milliseconds(steps));
            let events = events.chain([end]).collect();
            Story {
                timeline: Timeline {
                    schedule,
                    policy: policy_of(mode),
                    phases,
                    one_offs: Vec::new(),
                    ends_at: Some(end).filter(|end| schedule.end != Some(*end)),
                    end_policy: end_mode.map(policy_of),
                },
                end,
                events,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_biller_who_counts_days_bills_the_same(
        story in story(ProrationUnit::Day, 700, &["1 month", "1 day", "1 week", "3 month", "1 year"]),
    ) {
        check(&story)?;
    }

    #[test]
    fn a_biller_who_counts_quarters_of_an_hour_bills_the_same(
        story in story(ProrationUnit::Second, 40, &["1 month", "1 day", "1 week"]),
    ) {
        check(&story)?;
    }

    /// Where a biller marks the calendar, intervals begin.
    #[test]
    fn intervals_lie_where_the_calendar_has_them(
        story in story(ProrationUnit::Day, 700, &["1 month", "1 day", "1 week", "3 month", "1 year"]),
    ) {
        for phase in &story.timeline.phases {
            let boundaries = story.boundaries(phase.interval);
            for pair in boundaries.windows(2).take(400) {
                let whole = BillingPeriod::new(pair[0], pair[1]).unwrap();
                for at in [pair[0], pair[1] - STEP] {
                    prop_assert_eq!(story.timeline.schedule.whole(phase.interval, at).unwrap(), whole);
                }
            }
        }
    }
}
