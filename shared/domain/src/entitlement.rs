//! Entitlements: what a customer may use, by the plans it is subscribed to.

use chrono::{DateTime, Duration, Utc};
use rust_decimal::Decimal;

use crate::{
    feature::FeatureType,
    id::{FeatureId, SubscriptionId},
    period::{BillingInterval, BillingPeriod, IntervalUnit, PeriodError},
    property::Property,
    subscription::{Subscription, SubscriptionStatus},
};

/// What is granted of one feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whether it may be used at all.
    pub is_enabled: bool,
    /// How much of it; `None` is without limit.
    pub limit: Option<Decimal>,
    /// How often usage begins at 0 again; `None` is with each billing period.
    pub resets_every: Option<IntervalUnit>,
    /// Whether it may still be used past the limit.
    pub is_soft: bool,
    /// How much of what was left of one window's limit may be used in the next; `None` is nothing.
    pub rollover_max: Option<Decimal>,
    /// The value of a custom feature.
    pub value: Option<Property>,
}

/// A change to a grant. `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantChanges {
    /// Whether it may be used at all.
    pub is_enabled: Option<bool>,
    /// How much of it; an inner `None` is without limit.
    pub limit: Option<Option<Decimal>>,
    /// How often usage begins at 0 again; an inner `None` is with each billing period.
    pub resets_every: Option<Option<IntervalUnit>>,
    /// Whether it may still be used past the limit.
    pub is_soft: Option<bool>,
    /// How much of what was left may be used in the next window; an inner `None` is nothing.
    pub rollover_max: Option<Option<Decimal>>,
    /// The value of a custom feature; an inner `None` takes it away.
    pub value: Option<Option<Property>>,
}

/// A feature as a plan grants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanFeature {
    /// Which.
    pub feature: FeatureId,
    /// What is granted of it.
    pub grant: Grant,
    /// When it was added to the plan.
    pub created_at: DateTime<Utc>,
    /// Counts the changes; writes are conditional on it.
    pub version: u64,
}

/// What one subscription has otherwise than its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantOverride {
    /// Of which feature.
    pub feature: FeatureId,
    /// How it differs.
    pub changes: GrantChanges,
}

/// Why a feature cannot be granted so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Nothing is counted of it.
    #[error("is for features of type meter")]
    LimitWithoutMeter,
    /// It has no value.
    #[error("is for features of type custom")]
    ValueOfOther,
    /// It is nothing without a value.
    #[error("is required for a feature of type custom")]
    ValueMissing,
}

/// What a customer may use of one feature, by all its subscriptions together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// Whether any subscription grants it.
    pub is_enabled: bool,
    /// How much of it; `None` is without limit.
    pub limit: Option<Decimal>,
    /// Whether it may still be used past the limit.
    pub is_soft: bool,
    /// The time that usage is counted over; `None` if nothing is granted.
    pub window: Option<BillingPeriod>,
    /// The window before it, if what was left of that may be used now.
    pub rolls_over_from: Option<BillingPeriod>,
    /// How much of what was left then may be used now.
    pub rollover_max: Decimal,
    /// The value of a custom feature.
    pub value: Option<Property>,
    /// The subscriptions that grant it, oldest first.
    pub subscriptions: Vec<SubscriptionId>,
}

/// Whether more may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may.
    pub is_allowed: bool,
    /// What is left; `None` is without limit.
    pub remaining: Option<Decimal>,
}

impl Default for Grant {
    /// Enabled, without limit.
    fn default() -> Self {
        Self {
            is_enabled: true,
            limit: None,
            resets_every: None,
            is_soft: false,
            rollover_max: None,
            value: None,
        }
    }
}

impl Grant {
    /// This grant with `changes`.
    pub fn changed(self, changes: &GrantChanges) -> Self {
        Self {
            is_enabled: changes.is_enabled.unwrap_or(self.is_enabled),
            limit: changes.limit.unwrap_or(self.limit),
            resets_every: changes.resets_every.unwrap_or(self.resets_every),
            is_soft: changes.is_soft.unwrap_or(self.is_soft),
            rollover_max: changes.rollover_max.unwrap_or(self.rollover_max),
            value: changes.value.clone().unwrap_or(self.value),
        }
    }

    /// Checks that a feature of this type can be granted so.
    pub fn check(&self, feature_type: FeatureType) -> Result<(), GrantError> {
        match feature_type {
            FeatureType::Meter { .. } if self.value.is_some() => Err(GrantError::ValueOfOther),
            FeatureType::Meter { .. } => Ok(()),
            FeatureType::Switch | FeatureType::Custom
                if self.limit.is_some() || self.rollover_max.is_some() =>
            {
                Err(GrantError::LimitWithoutMeter)
            }
            FeatureType::Switch if self.value.is_some() => Err(GrantError::ValueOfOther),
            FeatureType::Switch => Ok(()),
            FeatureType::Custom if self.is_enabled && self.value.is_none() => Err(GrantError::ValueMissing),
            FeatureType::Custom => Ok(()),
        }
    }
}

impl Subscription {
    /// Whether its plan's features may be used at `now`: it has begun, and is neither paused nor over.
    pub fn is_entitled(&self, now: DateTime<Utc>) -> bool {
        match self.status {
            SubscriptionStatus::Trial { .. } | SubscriptionStatus::Active | SubscriptionStatus::PastDue => {
                self.start <= now
            }
            SubscriptionStatus::Paused | SubscriptionStatus::Canceled { .. } => false,
        }
    }

    /// The time around `now` that usage of a grant is counted over, and the one before it, if there was one:
    /// the current billing period, or the day, week, month or year that counts from the billing anchor. The
    /// first begins with the subscription.
    ///
    /// Errors: if it lies outside the calendar.
    fn window(&self, every: Option<IntervalUnit>, now: DateTime<Utc>) -> Result<Windows, PeriodError> {
        let at = |at: DateTime<Utc>| {
            let window = match every {
                None => self.schedule.period(self.interval, at)?,
                Some(unit) => self.schedule.whole(BillingInterval::every(unit), at)?,
            };
            BillingPeriod::new(window.start().max(self.start), window.end())
        };
        let (current, first) = match every {
            None => (self.current_period()?, self.schedule.start.max(self.start)),
            Some(_) => (at(now)?, self.start),
        };
        let before = (first < current.start()).then(|| at(current.start() - Duration::milliseconds(1)));
        Ok((current, before.transpose()?))
    }
}

/// A window, and the one before it.
type Windows = (BillingPeriod, Option<BillingPeriod>);

impl Entitlement {
    /// What `grants` of one feature come to at `now`, each with its subscription. Those of subscriptions
    /// that are not entitled, and those that are not enabled, do not count. Of the others:
    ///
    /// - the limits add up, and what may roll over, and one without limit makes all of it so;
    /// - the limit is soft if any of them is;
    /// - usage is counted over the window of the newest subscription, and the value is the newest's.
    ///
    /// Errors: if a window lies outside the calendar.
    pub fn merged(
        grants: impl IntoIterator<Item = (Subscription, Grant)>,
        now: DateTime<Utc>,
    ) -> Result<Self, PeriodError> {
        let is_granted =
            |(subscription, grant): &(Subscription, Grant)| grant.is_enabled && subscription.is_entitled(now);
        let mut grants = grants.into_iter().filter(is_granted).collect::<Vec<_>>();
        grants.sort_by_key(|(subscription, _)| subscription.id);
        let limits = grants.iter().map(|(_, grant)| grant.limit);
        // Limits too large to be added are as good as none.
        let limit = limits.reduce(|sum, limit| sum?.checked_add(limit?)).flatten();
        let rollover = grants.iter().filter_map(|(_, grant)| grant.rollover_max);
        let rollover_max = rollover.fold(Decimal::ZERO, |sum, max| sum.saturating_add(max));
        let newest = grants.last();
        let windows =
            newest.map(|(subscription, grant)| subscription.window(grant.resets_every, now)).transpose()?;
        Ok(Self {
            is_enabled: newest.is_some(),
            limit: limit.filter(|_| newest.is_some()),
            is_soft: grants.iter().any(|(_, grant)| grant.is_soft),
            window: windows.map(|(window, _)| window),
            rolls_over_from: windows.and_then(|(_, before)| before).filter(|_| !rollover_max.is_zero()),
            rollover_max,
            value: newest.and_then(|(_, grant)| grant.value.clone()),
            subscriptions: grants.iter().map(|(subscription, _)| subscription.id).collect(),
        })
    }

    /// How much of the window before may be used now, when `used` was used in it: what was left of its own
    /// limit, which is used before anything that rolled over to it.
    pub fn rolled_over(&self, used: Decimal) -> Decimal {
        match (self.limit, self.rolls_over_from) {
            (Some(limit), Some(_)) => limit.saturating_sub(used).max(Decimal::ZERO).min(self.rollover_max),
            (None, _) | (_, None) => Decimal::ZERO,
        }
    }

    /// Whether more may be used after `used`, when `rolled_over` came from the window before: `wanted` of it,
    /// or anything at all.
    pub fn verdict(&self, used: Decimal, rolled_over: Decimal, wanted: Option<Decimal>) -> Verdict {
        let limit = self.limit.map(|limit| limit.saturating_add(rolled_over));
        let Some(limit) = limit.filter(|_| self.is_enabled) else {
            return Verdict {
                is_allowed: self.is_enabled,
                remaining: (!self.is_enabled).then_some(Decimal::ZERO),
            };
        };
        let is_within = match wanted {
            Some(wanted) => used.checked_add(wanted).is_some_and(|sum| sum <= limit),
            None => used < limit,
        };
        let remaining = limit.checked_sub(used).unwrap_or_default().max(Decimal::ZERO);
        Verdict { is_allowed: self.is_soft || is_within, remaining: Some(remaining) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{currency::Currency, id::Id, proration::ProrationPolicy, schedule::BillingSchedule};

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}Z").parse().unwrap()
    }

    pub(crate) fn subscription(n: u8, start: DateTime<Utc>, status: SubscriptionStatus) -> Subscription {
        Subscription {
            id: Id::from_parts(start, [n; 10]),
            customer: Id::from_parts(start, [1; 10]),
            plan: Id::from_parts(start, [2; 10]),
            plan_name: String::new(),
            price_version: 1,
            interval: BillingInterval::every(IntervalUnit::Month),
            currency: Currency::USD,
            status,
            schedule: BillingSchedule::anniversary(start),
            proration: ProrationPolicy::DEFAULT,
            terms: Vec::new(),
            one_offs: Vec::new(),
            billed_until: None,
            next_bill_at: None,
            billing_error: None,
            start,
            trial_end: None,
            ends_at: None,
            end_proration: None,
            cancellation: None,
            last_invoiced_at: None,
            created_at: start,
            updated_at: start,
            version: 1,
        }
    }

    fn start() -> DateTime<Utc> {
        at("2025-01-31T10:00:00")
    }

    fn now() -> DateTime<Utc> {
        at("2025-02-10T12:00:00")
    }

    /// A grant from `limit`, `-` for none, then `soft` or `off`, if it is.
    fn grant(text: &str) -> Grant {
        let limit = text.split(' ').next().unwrap();
        Grant {
            is_enabled: !text.contains("off"),
            limit: (limit != "-").then(|| limit.parse().unwrap()),
            is_soft: text.contains("soft"),
            ..Grant::default()
        }
    }

    #[test]
    fn the_grants_of_several_subscriptions_come_together() {
        let merged = |grants: &[&str]| {
            let grants = grants
                .iter()
                .zip(1..)
                .map(|(text, n)| (subscription(n, start(), SubscriptionStatus::Active), grant(text)));
            let merged = Entitlement::merged(grants, now()).unwrap();
            let limit = merged.limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
            let soft = if merged.is_soft { " soft" } else { "" };
            if merged.is_enabled { format!("{limit}{soft}") } else { "nothing".to_owned() }
        };
        assert_eq!(merged(&[]), "nothing");
        assert_eq!(merged(&["100 off"]), "nothing");
        assert_eq!(merged(&["0"]), "0"); // a limit of 0 is not no limit
        assert_eq!(merged(&["100"]), "100");
        assert_eq!(merged(&["100", "50.5"]), "150.5");
        assert_eq!(merged(&["100", "-"]), "unlimited");
        assert_eq!(merged(&["-", "100"]), "unlimited");
        assert_eq!(merged(&["100", "- off"]), "100"); // what is off does not count
        assert_eq!(merged(&["100", "50 soft"]), "150 soft");
        assert_eq!(merged(&["100", "50 soft off"]), "100");
        assert_eq!(merged(&["79228162514264337593543950335", "1"]), "unlimited");
    }

    #[test]
    fn only_subscriptions_that_run_grant_anything() {
        use SubscriptionStatus::{Active, Canceled, PastDue, Paused, Trial};
        for (status, expected) in [
            (Trial { until: at("2025-03-01T00:00:00") }, true),
            (Active, true),
            (PastDue, true),
            (Paused, false),
            (Canceled { at: now() }, false),
        ] {
            let grants = [(subscription(1, start(), status), grant("1"))];
            assert_eq!(Entitlement::merged(grants, now()).unwrap().is_enabled, expected, "{status:?}");
        }
        let later = [(subscription(1, at("2025-02-10T12:00:00.001"), Active), grant("1"))];
        assert!(!Entitlement::merged(later, now()).unwrap().is_enabled, "it has not begun");
    }

    #[test]
    fn the_newest_subscription_says_the_value_and_the_window() {
        let older = subscription(1, at("2024-12-05T00:00:00"), SubscriptionStatus::Active);
        let newer = subscription(2, start(), SubscriptionStatus::Active);
        let with = |text: &str, unit| Grant {
            value: Some(Property::Text(text.into())),
            resets_every: Some(unit),
            ..Grant::default()
        };
        let grants = [
            (newer.clone(), with("new", IntervalUnit::Week)),
            (older.clone(), with("old", IntervalUnit::Day)),
        ];
        let merged = Entitlement::merged(grants, now()).unwrap();
        assert_eq!(merged.value, Some(Property::Text("new".into())));
        assert_eq!(merged.window.unwrap().start(), at("2025-02-07T10:00:00"));
        assert_eq!(merged.subscriptions, [older.id, newer.id]);
    }

    #[test]
    fn windows_count_from_the_anchor() {
        let check = |every: Option<IntervalUnit>, now: &str, expected: [&str; 2]| {
            let (window, before) =
                subscription(1, start(), SubscriptionStatus::Active).window(every, at(now)).unwrap();
            assert!(before.is_none_or(|before| before.end() == window.start()));
            assert_eq!(before.is_none(), window.start() == start(), "the first follows none");
            assert_eq!([window.start(), window.end()], expected.map(at), "{every:?} {now}");
        };
        use IntervalUnit::{Day, Month, Week, Year};
        check(None, "2025-02-10T12:00:00", ["2025-01-31T10:00:00", "2025-02-28T10:00:00"]); // the period
        check(Some(Day), "2025-02-10T12:00:00", ["2025-02-10T10:00:00", "2025-02-11T10:00:00"]);
        check(Some(Day), "2025-02-10T09:59:59.999", ["2025-02-09T10:00:00", "2025-02-10T10:00:00"]);
        check(Some(Day), "2025-01-31T10:00:00", ["2025-01-31T10:00:00", "2025-02-01T10:00:00"]); // the first
        check(Some(Week), "2025-02-07T10:00:00", ["2025-02-07T10:00:00", "2025-02-14T10:00:00"]);
        check(Some(Month), "2025-03-01T00:00:00", ["2025-02-28T10:00:00", "2025-03-31T10:00:00"]);
        check(Some(Year), "2031-01-31T09:00:00", ["2030-01-31T10:00:00", "2031-01-31T10:00:00"]);
        // During a trial, days count back from the anchor, which is where it ends.
        let mut trial =
            subscription(1, start(), SubscriptionStatus::Trial { until: at("2025-03-01T00:00:00") });
        trial.schedule.start = at("2025-03-01T00:00:00");
        trial.schedule.time = crate::schedule::BillingTime::Anchored(trial.schedule.start);
        assert_eq!(trial.window(Some(Day), now()).unwrap().0.start(), at("2025-02-10T00:00:00"));
        let (first, before) = trial.window(Some(Day), start()).unwrap();
        assert_eq!((first.start(), first.end(), before), (start(), at("2025-02-01T00:00:00"), None), "cut");
        let (whole, before) = trial.window(None, now()).unwrap();
        assert_eq!((whole.start(), whole.end(), before), (start(), at("2025-03-01T00:00:00"), None));
    }

    #[test]
    fn a_limit_holds_unless_it_is_soft() {
        let check = |text: &str, used: i64, wanted: Option<i64>, expected: (bool, Option<i64>)| {
            let grants = [(subscription(1, start(), SubscriptionStatus::Active), grant(text))];
            let merged = Entitlement::merged(grants, now()).unwrap();
            let verdict = merged.verdict(used.into(), Decimal::ZERO, wanted.map(Decimal::from));
            let expected = Verdict { is_allowed: expected.0, remaining: expected.1.map(Decimal::from) };
            assert_eq!(verdict, expected, "{text} {used} {wanted:?}");
        };
        check("100", 0, None, (true, Some(100)));
        check("100", 99, None, (true, Some(1)));
        check("100", 100, None, (false, Some(0))); // used up
        check("100", 101, None, (false, Some(0)));
        check("100", 90, Some(10), (true, Some(10))); // exactly what is left
        check("100", 90, Some(11), (false, Some(10)));
        check("100 soft", 100, Some(1), (true, Some(0)));
        check("0", 0, None, (false, Some(0)));
        check("-", 1_000_000, Some(1), (true, None));
        check("- off", 0, None, (false, Some(0)));
    }

    #[test]
    fn what_was_left_rolls_over_once_and_up_to_its_bound() {
        let check = |limit: &str, bound: &str, used_before: i64, expected: i64| {
            let rollover_max = (bound != "-").then(|| bound.parse().unwrap());
            let every = Some(IntervalUnit::Day);
            let grant = Grant { rollover_max, resets_every: every, ..grant(limit) };
            let grants = [(subscription(1, start(), SubscriptionStatus::Active), grant)];
            let merged = Entitlement::merged(grants.clone(), now()).unwrap();
            assert_eq!(
                merged.rolled_over(used_before.into()),
                expected.into(),
                "{limit} {bound} {used_before}"
            );
            let first = Entitlement::merged(grants, start()).unwrap();
            assert_eq!(
                first.rolled_over(Decimal::ZERO),
                Decimal::ZERO,
                "nothing comes before the first window"
            );
        };
        check("100", "-", 0, 0);
        check("100", "30", 0, 30); // no more than its bound
        check("100", "30", 70, 30);
        check("100", "30", 71, 29);
        check("100", "30", 100, 0);
        check("100", "30", 110, 0); // what had rolled over is not given again
        check("100", "1000", 0, 100); // no more than the limit
        check("-", "30", 0, 0);
        let two = [("100", "10"), ("50", "5")].into_iter().zip(1..).map(|((limit, bound), n)| {
            let grant = Grant { rollover_max: Some(bound.parse().unwrap()), ..grant(limit) };
            let later = Subscription {
                billed_until: Some(at("2025-02-28T10:00:00")),
                ..subscription(n, start(), SubscriptionStatus::Active)
            };
            (later, grant)
        });
        let merged = Entitlement::merged(two, at("2025-03-01T00:00:00")).unwrap();
        let rolled_over = merged.rolled_over(140.into());
        assert_eq!(rolled_over, 10.into());
        assert_eq!(merged.verdict(155.into(), rolled_over, None).remaining, Some(5.into()));
    }

    #[test]
    fn an_override_changes_what_it_says() {
        let plan = Grant { limit: Some(100.into()), is_soft: true, ..Grant::default() };
        let nothing = GrantChanges::default();
        assert_eq!(plan.clone().changed(&nothing), plan);
        let unlimited = GrantChanges { limit: Some(None), ..GrantChanges::default() };
        assert_eq!(plan.clone().changed(&unlimited), Grant { limit: None, ..plan.clone() });
        let off = GrantChanges { is_enabled: Some(false), ..GrantChanges::default() };
        assert_eq!(plan.clone().changed(&off), Grant { is_enabled: false, ..plan });
    }

    #[test]
    fn each_type_of_feature_is_granted_in_its_way() {
        let meter = FeatureType::Meter { meter: Id::from_parts(now(), [9; 10]) };
        let limited = Grant { limit: Some(1.into()), ..Grant::default() };
        let valued = Grant { value: Some(Property::Bool(true)), ..Grant::default() };
        let plain = Grant::default();
        use FeatureType::{Custom, Switch};
        for (feature_type, grant, expected) in [
            (meter, &limited, Ok(())),
            (meter, &plain, Ok(())),
            (meter, &valued, Err(GrantError::ValueOfOther)),
            (Switch, &plain, Ok(())),
            (Switch, &limited, Err(GrantError::LimitWithoutMeter)),
            (Switch, &valued, Err(GrantError::ValueOfOther)),
            (Custom, &valued, Ok(())),
            (Custom, &plain, Err(GrantError::ValueMissing)),
            (Custom, &limited, Err(GrantError::LimitWithoutMeter)),
        ] {
            assert_eq!(grant.check(feature_type), expected, "{feature_type:?}");
        }
    }

    proptest! {
        #[test]
        fn a_window_contains_now_and_the_next_begins_where_it_ends(
            anchor in 0_i64..2_000_000_000, after in 0_i64..2_000_000_000, unit in 0_usize..4,
        ) {
            let unit = [IntervalUnit::Day, IntervalUnit::Week, IntervalUnit::Month, IntervalUnit::Year][unit];
            let anchor = DateTime::from_timestamp(anchor, 0).unwrap();
            let now = anchor + Duration::seconds(after);
            let subscription = subscription(1, anchor, SubscriptionStatus::Active);
            let (window, _) = subscription.window(Some(unit), now).unwrap();
            prop_assert!(window.contains(now));
            let (next, before) = subscription.window(Some(unit), window.end()).unwrap();
            prop_assert_eq!(next.start(), window.end());
            prop_assert_eq!(before, Some(window));
        }

        #[test]
        fn what_is_left_is_allowed_and_not_a_unit_more(limit in 0_i64..1000, used in 0_i64..1000) {
            let grants = [(subscription(1, start(), SubscriptionStatus::Active), grant(&limit.to_string()))];
            let merged = Entitlement::merged(grants, now()).unwrap();
            let verdict = |wanted| merged.verdict(used.into(), Decimal::ZERO, wanted);
            let remaining = verdict(None).remaining.unwrap();
            prop_assert_eq!(verdict(Some(remaining)).is_allowed, used <= limit);
            prop_assert!(!verdict(Some(remaining + Decimal::ONE)).is_allowed);
        }
    }
}
