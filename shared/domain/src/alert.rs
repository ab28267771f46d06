//! Alerts: what somebody wants to be told of as soon as it reaches a threshold.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::{
    currency::Currency,
    id::{AlertId, CustomerId, FeatureId, MeterId, SubscriptionId},
    period::BillingPeriod,
};

/// What is watched, of whom, and which values are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// What people call it.
    pub name: String,
    /// What is watched.
    pub watch: Watch,
    /// Of whom.
    pub scope: AlertScope,
    /// The values that are told of.
    pub thresholds: Thresholds,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes; writes are conditional on it.
    pub version: u64,
}

/// What an alert watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// How much of the limit of a feature was used in its window, in percent.
    Limit {
        /// Which feature.
        feature: FeatureId,
        /// The meter that counts it.
        meter: MeterId,
    },
    /// How many units of a meter were used in the current period of a subscription.
    Usage(MeterId),
    /// What the next bill of a subscription comes to by now, before tax, in its currency.
    Amount,
}

/// Whom an alert watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertScope {
    /// Every customer.
    Everyone,
    /// One customer, by all its subscriptions.
    Customer(CustomerId),
    /// One subscription of a customer.
    Subscription(CustomerId, SubscriptionId),
}

/// The values that an alert tells of: 1 to [`THRESHOLDS_MAX`], each greater than 0, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds(BTreeSet<Decimal>);

/// The most thresholds of one alert: each that is reached is two writes of one transaction.
pub const THRESHOLDS_MAX: usize = 20;

/// The most alerts of an organization: all of them are held against each batch of usage.
pub const ALERTS_MAX: usize = 1_000;

/// Why values are no thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// There are none, or too many.
    #[error("must have 1 to {THRESHOLDS_MAX} values")]
    Count,
    /// The one at this place is not greater than 0.
    #[error("must be greater than 0")]
    NotPositive(usize),
    /// The one at this place is there before.
    #[error("is there twice")]
    Twice(usize),
}

/// What an alert finds of one subscription, or of a customer by all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whose it is.
    pub customer: CustomerId,
    /// Of which subscription; `None` for what the customer may use by all of them.
    pub subscription: Option<SubscriptionId>,
    /// The time it is of. In the next one, thresholds count anew.
    pub period: BillingPeriod,
    /// Units, or an amount.
    pub value: Decimal,
    /// How much may be used, for a limit; `None` is without limit.
    pub limit: Option<Decimal>,
    /// What an amount is in.
    pub currency: Option<Currency>,
}

/// That an alert reached a threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Which alert.
    pub alert: AlertId,
    /// Its name at the time.
    pub name: String,
    /// What it watches.
    pub watch: Watch,
    /// The threshold.
    pub threshold: Decimal,
    /// What was found.
    pub reading: Reading,
    /// When that was.
    pub at: DateTime<Utc>,
}

impl Thresholds {
    /// These values, in whatever order.
    pub fn new(values: impl IntoIterator<Item = Decimal>) -> Result<Self, ThresholdError> {
        let mut thresholds = BTreeSet::new();
        for (place, value) in values.into_iter().enumerate() {
            if value <= Decimal::ZERO {
                return Err(ThresholdError::NotPositive(place));
            }
            if !thresholds.insert(value.normalize()) {
                return Err(ThresholdError::Twice(place));
            }
        }
        let is_some = (1..=THRESHOLDS_MAX).contains(&thresholds.len());
        if is_some { Ok(Self(thresholds)) } else { Err(ThresholdError::Count) }
    }

    /// The values, in order.
    pub fn iter(&self) -> impl Iterator<Item = Decimal> {
        self.0.iter().copied()
    }
}

impl AlertScope {
    /// The customer, unless it is every one.
    pub fn customer(&self) -> Option<CustomerId> {
        match self {
            Self::Everyone => None,
            Self::Customer(customer) | Self::Subscription(customer, _) => Some(*customer),
        }
    }

    /// The subscription, if it is one alone.
    pub fn subscription(&self) -> Option<SubscriptionId> {
        match self {
            Self::Everyone | Self::Customer(_) => None,
            Self::Subscription(_, subscription) => Some(*subscription),
        }
    }
}

impl Alert {
    /// Whether usage of `meter` by `customer` may change what it finds.
    pub fn is_concerned(&self, customer: CustomerId, meter: MeterId) -> bool {
        let is_of = match self.watch {
            Watch::Limit { meter: watched, .. } | Watch::Usage(watched) => watched == meter,
            Watch::Amount => true,
        };
        is_of && self.scope.customer().is_none_or(|watched| watched == customer)
    }

    /// The thresholds that `reading` reaches, in order.
    pub fn reached<'a>(&'a self, reading: &'a Reading) -> impl Iterator<Item = Decimal> + 'a {
        self.thresholds.iter().filter(|threshold| self.watch.is_reached(*threshold, reading))
    }

    /// What there is to be told at `now` of what `reading` reaches, without what was told of its subject and
    /// period before.
    pub fn triggers(&self, reading: &Reading, fired: &BTreeSet<Decimal>, now: DateTime<Utc>) -> Vec<Trigger> {
        let trigger = |threshold| Trigger {
            alert: self.id,
            name: self.name.clone(),
            watch: self.watch,
            threshold,
            reading: reading.clone(),
            at: now,
        };
        self.reached(reading).filter(|threshold| !fired.contains(threshold)).map(trigger).collect()
    }
}

impl Watch {
    /// Whether a threshold is reached; nothing ever is by nothing.
    fn is_reached(&self, threshold: Decimal, reading: &Reading) -> bool {
        let value = Some(reading.value).filter(|value| *value > Decimal::ZERO);
        let needed = match self {
            Self::Limit { .. } => reading.limit.and_then(|limit| percent_of(limit, threshold)),
            Self::Usage(_) | Self::Amount => Some(threshold),
        };
        value.zip(needed).is_some_and(|(value, needed)| value >= needed)
    }
}

/// So many percent of a limit; `None` if that is too large to be reached.
fn percent_of(limit: Decimal, percent: Decimal) -> Option<Decimal> {
    limit.checked_div(Decimal::ONE_HUNDRED)?.checked_mul(percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;

    fn id<K>(n: u128) -> Id<K> {
        Id::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn decimals(text: &str) -> Vec<Decimal> {
        text.split_whitespace().map(|value| value.parse().unwrap()).collect()
    }

    fn alert(watch: Watch, thresholds: &str) -> Alert {
        Alert {
            id: id(1),
            name: "Nearly used up".into(),
            watch,
            scope: AlertScope::Everyone,
            thresholds: Thresholds::new(decimals(thresholds)).unwrap(),
            created_at: at("2025-01-01T00:00:00Z"),
            updated_at: at("2025-01-01T00:00:00Z"),
            version: 1,
        }
    }

    const LIMIT: Watch = Watch::Limit { feature: Id::from_uuid(uuid::Uuid::from_u128(2)), meter: METER };
    const METER: MeterId = Id::from_uuid(uuid::Uuid::from_u128(3));

    fn reading(value: &str, limit: Option<&str>) -> Reading {
        Reading {
            customer: id(4),
            subscription: Some(id(5)),
            period: BillingPeriod::new(at("2025-01-01T00:00:00Z"), at("2025-02-01T00:00:00Z")).unwrap(),
            value: value.parse().unwrap(),
            limit: limit.map(|limit| limit.parse().unwrap()),
            currency: None,
        }
    }

    /// `thresholds | value | limit, - for none | thresholds that are reached`
    fn check(watch: Watch, row: &str) {
        let [thresholds, value, limit, reached] =
            row.split('|').map(str::trim).collect::<Vec<_>>().try_into().unwrap();
        let alert = alert(watch, thresholds);
        let reading = reading(value, Some(limit).filter(|limit| *limit != "-"));
        assert_eq!(alert.reached(&reading).collect::<Vec<_>>(), decimals(reached), "{row}");
    }

    #[test]
    fn a_percentage_is_of_the_limit() {
        let check = |row| check(LIMIT, row);
        check("80 100 | 0        | 1000 |");
        check("80 100 | 799.9999 | 1000 |");
        check("80 100 | 800      | 1000 | 80"); // exactly at it
        check("80 100 | 999.9999 | 1000 | 80");
        check("80 100 | 5000     | 1000 | 80 100"); // both at once
        check("120 80 | 1200     | 1000 | 80 120"); // past a soft limit
        check("33.3   | 0.999    | 3    | 33.3");
        check("0.0001 | 0        | 1000 |"); // nothing is no part of anything
        check("80 100 | 0        | 0    |");
        check("80 100 | 1        | 0    | 80 100"); // any use of a limit of 0 is past it
        check("80 100 | -5       | 0    |");
        check("80 100 | 1000000  | -    |"); // without limit nothing is ever reached
        check("80 900 | 79228162514264337593543950335 | 79228162514264337593543950335 | 80");
    }

    #[test]
    fn units_and_amounts_are_taken_as_they_are() {
        for watch in [Watch::Usage(METER), Watch::Amount] {
            let check = |row| check(watch, row);
            check("10 20.5 | 0      | - |");
            check("10 20.5 | 9.9999 | - |");
            check("10 20.5 | 10     | - | 10");
            check("10 20.5 | 20.5   | - | 10 20.5");
            check("10 20.5 | -10    | - |"); // more is given back than charged
        }
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let now = at("2025-01-20T00:00:00Z");
        let told = |thresholds: &str, fired: &str| {
            let fired = decimals(fired).into_iter().collect();
            let triggers = alert(LIMIT, thresholds).triggers(&reading("95", Some("100")), &fired, now);
            assert!(triggers.iter().all(|trigger| trigger.at == now && trigger.reading.value == 95.into()));
            triggers.into_iter().map(|trigger| trigger.threshold).collect::<Vec<_>>()
        };
        assert_eq!(told("80 90 100", ""), decimals("80 90"));
        assert_eq!(told("80 90 100", "80"), decimals("90"));
        assert_eq!(told("80.0 90 100", "80 90"), decimals(""));
        assert_eq!(told("85 100", "80 90"), decimals("85"), "a new threshold counts anew");
    }

    #[test]
    fn thresholds_are_some_that_differ() {
        let thresholds = |text: &str| Thresholds::new(decimals(text));
        let sorted = thresholds("100 80.50 0.001").unwrap();
        assert_eq!(
            sorted.iter().map(|value| value.to_string()).collect::<Vec<_>>(),
            ["0.001", "80.5", "100"]
        );
        let many = |count: usize| Thresholds::new((1..=count).map(Decimal::from));
        assert!(many(THRESHOLDS_MAX).is_ok());
        assert_eq!(many(THRESHOLDS_MAX + 1), Err(ThresholdError::Count));
        assert_eq!(thresholds(""), Err(ThresholdError::Count));
        assert_eq!(thresholds("1 0"), Err(ThresholdError::NotPositive(1)));
        assert_eq!(thresholds("-1"), Err(ThresholdError::NotPositive(0)));
        assert_eq!(thresholds("80 90 80.0"), Err(ThresholdError::Twice(2)));
    }

    #[test]
    fn usage_concerns_what_watches_it() {
        let of = |watch, scope| Alert { scope, ..alert(watch, "1") };
        let everyone = of(LIMIT, AlertScope::Everyone);
        assert!(everyone.is_concerned(id(4), METER));
        assert!(!everyone.is_concerned(id(4), id(9)));
        assert!(of(Watch::Amount, AlertScope::Everyone).is_concerned(id(4), id(9)), "any may be charged");
        for scope in [AlertScope::Customer(id(4)), AlertScope::Subscription(id(4), id(5))] {
            assert!(of(Watch::Usage(METER), scope).is_concerned(id(4), METER));
            assert!(!of(Watch::Usage(METER), scope).is_concerned(id(6), METER));
        }
    }
}
