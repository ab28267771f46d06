//! Proration: what part of an interval is paid, by a declared policy.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::{
    money::{Money, MoneyError},
    period::BillingPeriod,
    schedule::BillingSchedule,
};

/// What parts of an interval are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProrationUnit {
    /// Seconds.
    Second,
    /// Days of the schedule's time zone. One that is divided belongs to who has it last.
    Day,
}

/// What a part of an interval costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProrationMode {
    /// Its share.
    Prorate,
    /// Nothing, and nothing is given back: changes count from the next interval on.
    None,
    /// As much as all of it: changes count for the whole interval.
    Full,
}

/// How parts of intervals are billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProrationPolicy {
    /// What parts are measured in.
    pub unit: ProrationUnit,
    /// What a part costs.
    pub mode: ProrationMode,
}

/// How one change is to be settled; what is not given is as the policy has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProrationChoice {
    /// What parts are measured in.
    pub unit: Option<ProrationUnit>,
    /// What a part costs.
    pub mode: Option<ProrationMode>,
}

impl ProrationChoice {
    /// The choice in place of `policy`.
    pub fn over(self, policy: ProrationPolicy) -> ProrationPolicy {
        ProrationPolicy { unit: self.unit.unwrap_or(policy.unit), mode: self.mode.unwrap_or(policy.mode) }
    }
}

/// What part of the price of an interval a line is about: `17 of 31 days`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proration {
    /// How many units are billed.
    pub part: u64,
    /// How many units the interval has.
    pub whole: u64,
    /// What is counted.
    pub unit: ProrationUnit,
    /// Whether it is given back.
    pub is_credit: bool,
}

impl ProrationPolicy {
    /// By the second.
    pub const DEFAULT: Self = Self { unit: ProrationUnit::Second, mode: ProrationMode::Prorate };

    /// The part of `whole` that `part` is; both are measured in the same way, so that parts add up.
    pub fn share(&self, schedule: &BillingSchedule, part: BillingPeriod, whole: BillingPeriod) -> Proration {
        let length = |period: BillingPeriod| match self.unit {
            ProrationUnit::Second => period.end().timestamp() - period.start().timestamp(),
            ProrationUnit::Day => (schedule.date(period.end()) - schedule.date(period.start())).num_days(),
        };
        let (part, whole) = (length(part).unsigned_abs(), length(whole).unsigned_abs());
        Proration { part, whole, unit: self.unit, is_credit: false }
    }
}

impl Proration {
    /// Whether it is nothing.
    pub fn is_nothing(&self) -> bool {
        self.part == 0
    }

    /// Whether it is all of the interval.
    pub fn is_whole(&self) -> bool {
        self.part == self.whole
    }

    /// The same part, given back.
    #[must_use]
    pub fn credit(self) -> Self {
        Self { is_credit: true, ..self }
    }

    /// This part of `price`, not rounded. Errors: as for [`Money::checked_mul`].
    pub fn of(&self, price: Money) -> Result<Money, MoneyError> {
        let part = price.checked_mul(Decimal::from(self.part))?;
        let share = part.amount().checked_div(Decimal::from(self.whole)).ok_or(MoneyError::Overflow)?;
        Ok(Money::new(if self.is_credit { -share } else { share }, price.currency()))
    }
}

/// The time from `from` until `until`, if there is any.
pub(crate) fn between(from: DateTime<Utc>, until: DateTime<Utc>) -> Option<BillingPeriod> {
    BillingPeriod::new(from, until).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::currency::Currency;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn schedule(zone: &str) -> BillingSchedule {
        BillingSchedule { zone: zone.parse().unwrap(), ..BillingSchedule::anniversary(DateTime::UNIX_EPOCH) }
    }

    /// `part of whole`, for times of 2025.
    fn share(unit: ProrationUnit, zone: &str, part: [&str; 2], whole: [&str; 2]) -> String {
        let period = |[from, until]: [&str; 2]| {
            let at = |time: &str| at(&format!("2025-{time}Z"));
            BillingPeriod::new(at(from), at(until)).unwrap()
        };
        let policy = ProrationPolicy { unit, mode: ProrationMode::Prorate };
        let share = policy.share(&schedule(zone), period(part), period(whole));
        format!("{} of {}", share.part, share.whole)
    }

    #[test]
    fn a_part_is_measured_as_the_whole_is() {
        use ProrationUnit::{Day, Second};
        let january = ["01-01T00:00:00", "02-01T00:00:00"];
        for (unit, part, expected) in [
            (Day, ["01-15T00:00:00", "02-01T00:00:00"], "17 of 31"),
            (Day, ["01-15T23:59:59", "02-01T00:00:00"], "17 of 31"), // a day belongs to who has it last
            (Day, ["01-01T00:00:00", "01-15T23:59:59"], "14 of 31"),
            (Day, ["01-15T00:00:00", "01-15T23:59:59"], "0 of 31"),
            (Second, ["01-31T23:59:59", "02-01T00:00:00"], "1 of 2678400"),
            (Second, january, "2678400 of 2678400"),
        ] {
            assert_eq!(share(unit, "UTC", part, january), expected, "{unit:?} {part:?}");
        }
        // Clocks go forward on 30 March in Berlin: a day all the same, and an hour less.
        let march = ["02-28T23:00:00", "03-31T22:00:00"];
        let last_two = ["03-29T23:00:00", "03-31T22:00:00"];
        assert_eq!(share(Day, "Europe/Berlin", last_two, march), "2 of 31");
        assert_eq!(share(Second, "Europe/Berlin", last_two, march), "169200 of 2674800");
        // Of the same part a day is one of another number where midnight is elsewhere.
        assert_eq!(share(Day, "Asia/Kolkata", ["01-15T18:00:00", "01-15T19:00:00"], january), "1 of 31");
    }

    #[test]
    fn a_part_costs_its_share() {
        let share = Proration { part: 17, whole: 31, unit: ProrationUnit::Day, is_credit: false };
        let price = Money::new(Decimal::new(3000, 2), Currency::USD);
        assert_eq!(share.of(price).unwrap().rounded().to_string(), "USD 16.45");
        assert_eq!(share.credit().of(price).unwrap().rounded().to_string(), "USD -16.45");
        assert!(!share.is_whole() && !share.is_nothing());
        let all = Proration { part: 31, ..share };
        assert_eq!((all.is_whole(), all.of(price).unwrap()), (true, price));
        let none = Proration { part: 0, ..share };
        assert!(none.is_nothing() && none.of(price).unwrap().is_zero());
        assert_eq!(share.of(Money::new(Decimal::MAX, Currency::USD)), Err(MoneyError::Overflow));
    }

    proptest! {
        /// However an interval is split: its parts are all of it, and so are their prices but for rounding.
        #[test]
        fn parts_are_the_whole(
            start in 0_i64..4_000_000_000,
            cuts in prop::collection::btree_set(1_i64..400 * 86_400, 1..12),
            by_days in any::<bool>(),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"]),
            cents in 0_i64..1_000_000,
        ) {
            let unit = if by_days { ProrationUnit::Day } else { ProrationUnit::Second };
            let policy = ProrationPolicy { unit, mode: ProrationMode::Prorate };
            let mut instants = vec![start];
            instants.extend(cuts.iter().map(|cut| start + cut));
            let instant = |seconds: &i64| DateTime::from_timestamp(*seconds, 0).unwrap();
            let instants = instants.iter().map(instant).collect::<Vec<_>>();
            let whole = BillingPeriod::new(instants[0], instants[instants.len() - 1]).unwrap();
            let schedule = schedule(zone);
            let parts = instants.windows(2).map(|pair| {
                policy.share(&schedule, BillingPeriod::new(pair[0], pair[1]).unwrap(), whole)
            });
            let parts = parts.collect::<Vec<_>>();
            let all = policy.share(&schedule, whole, whole);
            prop_assert!(all.is_whole());
            prop_assert_eq!(parts.iter().map(|part| part.part).sum::<u64>(), all.whole);
            prop_assert!(parts.iter().all(|part| part.whole == all.whole));
            if all.whole > 0 {
                let price = Money::new(Decimal::new(cents, 2), Currency::USD);
                let amount = |part: &Proration| part.of(price).unwrap().rounded().amount();
                let billed = parts.iter().map(amount).sum::<Decimal>();
                let lines = i64::try_from(parts.len()).unwrap();
                prop_assert!((billed - price.amount()).abs() <= Decimal::new(5 * lines, 3), "{} of {}", billed, price);
                // What is given back for the rest is what was not used of it.
                let given_back = parts.iter().skip(1).map(|part| amount(&part.credit())).sum::<Decimal>();
                prop_assert!((price.amount() + given_back - amount(&parts[0])).abs() <= Decimal::new(5 * lines, 3));
            }
        }
    }
}
