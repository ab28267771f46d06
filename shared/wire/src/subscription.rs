//! Bodies of subscriptions.

use app::{
    AppError,
    subscriptions::{BillingDefaults, NewBilling, NewSubscription},
};
use chrono_tz::Tz;
use domain::{
    period::PeriodError,
    proration::{ProrationChoice, ProrationMode, ProrationPolicy},
    schedule::BillingTime,
    subscription::{Subscription, SubscriptionStatus, SubscriptionTerms},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    billing_error::BillingErrorBody,
    check::Check,
    line::ProrationUnitName,
    number::NumberOut,
    plan::IntervalName,
    price_override::{self, PriceOverrideBody, PriceOverrideOutBody},
    time::{LocalTimeIn, TimeOut},
};

/// A subscription to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSubscriptionBody {
    /// Who is billed.
    customer_id: String,
    /// For what.
    plan_id: String,
    /// How often; the plan's interval if not given. In another one, the plan's prices are for each of that.
    billing_interval: Option<IntervalName>,
    /// Every how many of those; as the plan if not given, and 1 of a unit that is not the plan's.
    interval_count: Option<u32>,
    /// When it begins; now if not given.
    start_date: Option<LocalTimeIn>,
    /// When the trial ends; by the plan's trial days if not given.
    trial_end_date: Option<LocalTimeIn>,
    /// When it ends. A date is its last day.
    end_date: Option<LocalTimeIn>,
    /// What its periods are counted from; `anniversary` if not given.
    billing_time: Option<BillingTimeName>,
    /// An instant to count periods from, in place of the start or the calendar.
    billing_anchor: Option<LocalTimeIn>,
    /// Whose midnights and months count, as `Europe/Berlin`; the organization's if not given.
    time_zone: Option<String>,
    /// How parts of periods are billed; what is not given is as the organization has set.
    proration: Option<ChangeProrationBody>,
    /// Its own prices, in place of the plan's. Another plan later has none of them.
    overrides: Option<Vec<PriceOverrideBody>>,
}

/// What periods are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BillingTimeName {
    /// From the start, or the end of the trial.
    Anniversary,
    /// From the calendar: midnights, Mondays, firsts of the month, 1 January.
    Calendar,
}

/// How parts of periods are billed.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProrationBody {
    /// What parts are measured in.
    unit: ProrationUnitName,
    /// What a part costs.
    mode: ProrationModeName,
}

/// What a part of a period costs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProrationModeName {
    /// Its share.
    Prorate,
    /// Nothing, and nothing is given back: changes count from the next period on.
    None,
    /// As much as all of it: changes count for the whole period.
    Full,
}

/// How parts of periods are to be billed, or one change settled; what is not given stays as it is otherwise.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeProrationBody {
    /// What parts are measured in.
    unit: Option<ProrationUnitName>,
    /// What a part costs.
    mode: Option<ProrationModeName>,
}

/// The fields that say how a subscription to be made is billed.
pub(crate) struct BillingFields {
    pub(crate) billing_interval: Option<IntervalName>,
    pub(crate) interval_count: Option<u32>,
    pub(crate) start_date: Option<LocalTimeIn>,
    pub(crate) trial_end_date: Option<LocalTimeIn>,
    pub(crate) end_date: Option<LocalTimeIn>,
    pub(crate) billing_time: Option<BillingTimeName>,
    pub(crate) billing_anchor: Option<LocalTimeIn>,
    pub(crate) time_zone: Option<String>,
    pub(crate) proration: Option<ChangeProrationBody>,
}

/// What state a subscription is in.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SubscriptionStatusName {
    /// Usage is tracked and not billed.
    Trial,
    /// Billed at the end of each period.
    Active,
    /// As active; an invoice was not paid in time.
    PastDue,
    /// Not billed until it is resumed.
    Paused,
    /// Over.
    Canceled,
}

/// A subscription.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionBody {
    /// Its id.
    pub id: String,
    /// Who is billed.
    pub customer_id: String,
    /// For what.
    pub plan_id: String,
    /// The plan's name.
    pub plan_name: String,
    /// The version of the plan's prices that it is billed by.
    pub price_version: u32,
    /// Its state.
    pub status: SubscriptionStatusName,
    /// How often it is billed.
    pub billing_interval: IntervalName,
    /// Every how many of those.
    pub interval_count: u32,
    /// What its periods are counted from.
    pub billing_time: BillingTimeName,
    /// The instant they are counted from; null for the calendar.
    pub billing_anchor: Option<TimeOut>,
    /// Whose midnights and months count.
    pub time_zone: &'static str,
    /// How parts of periods are billed.
    pub proration: ProrationBody,
    /// What it is billed in.
    pub currency: String,
    /// When it began.
    pub start_date: TimeOut,
    /// The start of the period that is billed next.
    pub current_period_start: TimeOut,
    /// Its end, which is the first instant after it.
    pub current_period_end: TimeOut,
    /// When the trial ends or ended, if there was one.
    pub trial_end_date: Option<TimeOut>,
    /// When it ends, or ended, by agreement or since it was canceled.
    pub end_date: Option<TimeOut>,
    /// When the next bill falls due.
    pub next_invoice_date: Option<TimeOut>,
    /// Why that bill cannot be made although it fell due; null if nothing is wrong.
    pub billing_error: Option<BillingErrorBody>,
    /// Whether it was canceled, and ends later.
    pub cancel_at_period_end: bool,
    /// When cancellation was asked for.
    pub canceled_at: Option<TimeOut>,
    /// Why.
    pub cancellation_reason: Option<String>,
    /// When the last period was invoiced.
    pub last_invoiced_date: Option<TimeOut>,
    /// Its own prices, in place of the plan's, and quantities that were changed.
    pub overrides: Vec<PriceOverrideOutBody>,
    /// What it is billed by next, where that was decided for later; null if nothing was. An end is in `end_date`.
    pub pending_change: Option<PendingChangeBody>,
    /// What it unlocks.
    pub entitlements: Vec<crate::entitlement::PlanFeatureBody>,
    /// When it was made.
    pub created_at: TimeOut,
    /// When it was last changed.
    pub updated_at: TimeOut,
}

/// What a subscription is billed by from an instant to come on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PendingChangeBody {
    /// From when on.
    pub at: TimeOut,
    /// By which plan.
    pub plan_id: String,
    /// The plan's name.
    pub plan_name: String,
    /// By which version of its prices.
    pub price_version: u32,
    /// How often it is then billed.
    pub billing_interval: IntervalName,
    /// Every how many of those.
    pub interval_count: u32,
    /// How many there are then of the one fixed charge that has a price or quantity of its own; null if none or
    /// several have.
    pub quantity: Option<NumberOut>,
    /// Its own prices then, in place of the plan's, and quantities that were changed.
    pub overrides: Vec<PriceOverrideOutBody>,
    /// Whether it is then paused, and nothing is billed.
    pub is_paused: bool,
}

impl PendingChangeBody {
    /// The body of what comes next.
    pub fn from_domain(terms: &SubscriptionTerms) -> Self {
        let overrides = PriceOverrideOutBody::of_terms(terms);
        let mut quantities = overrides.iter().filter_map(|own| own.quantity);
        let quantity = quantities.next().filter(|_| quantities.next().is_none());
        Self {
            at: TimeOut(terms.from),
            plan_id: terms.plan.to_string(),
            plan_name: terms.plan_name.clone(),
            price_version: terms.price_version,
            billing_interval: IntervalName::from_domain(terms.interval),
            interval_count: terms.interval.count(),
            quantity,
            overrides,
            is_paused: terms.is_paused,
        }
    }
}

impl NewSubscriptionBody {
    /// What was asked for.
    pub fn into_domain(self, defaults: BillingDefaults) -> Result<NewSubscription, AppError> {
        let mut check = Check::default();
        let customer = check.value("customer_id", self.customer_id.parse());
        let plan = check.value("plan_id", self.plan_id.parse());
        let fields = BillingFields {
            billing_interval: self.billing_interval,
            interval_count: self.interval_count,
            start_date: self.start_date,
            trial_end_date: self.trial_end_date,
            end_date: self.end_date,
            billing_time: self.billing_time,
            billing_anchor: self.billing_anchor,
            time_zone: self.time_zone,
            proration: self.proration,
        };
        let billing = fields.billing(&mut check, defaults);
        let overrides = price_override::overrides(&mut check, self.overrides);
        let all = customer.zip(plan).zip(billing);
        check.finish_some(all.map(|((customer, plan), billing)| NewSubscription {
            customer,
            plan,
            overrides,
            billing,
        }))
    }
}

impl BillingFields {
    pub(crate) fn billing(self, check: &mut Check, defaults: BillingDefaults) -> Option<NewBilling> {
        let zone = self.time_zone.map_or(Some(defaults.zone), |name| zone(check, &name));
        if let Some(count) = self.interval_count {
            check.value("interval_count", IntervalName::Day.every(count));
        }
        let zone = zone?;
        let start = |time: LocalTimeIn| time.start(zone);
        Some(NewBilling {
            unit: self.billing_interval.map(IntervalName::unit),
            count: self.interval_count,
            start: self.start_date.map(start),
            trial_end: self.trial_end_date.map(start),
            end: self.end_date.map(|end| end.end(zone)),
            is_calendar: self.billing_time == Some(BillingTimeName::Calendar),
            anchor: self.billing_anchor.map(start),
            zone,
            proration: self
                .proration
                .map_or(defaults.proration, |proration| proration.into_domain().over(defaults.proration)),
        })
    }
}

/// The time zone of that name.
pub(crate) fn zone(check: &mut Check, name: &str) -> Option<Tz> {
    let invalid = || "must be a time zone of the IANA database, such as Europe/Berlin";
    check.value("time_zone", name.parse::<Tz>().map_err(|_| invalid()))
}

impl ProrationModeName {
    fn into_domain(self) -> ProrationMode {
        match self {
            Self::Prorate => ProrationMode::Prorate,
            Self::None => ProrationMode::None,
            Self::Full => ProrationMode::Full,
        }
    }
}

impl ChangeProrationBody {
    pub(crate) fn into_domain(self) -> ProrationChoice {
        let Self { unit, mode } = self;
        ProrationChoice {
            unit: unit.map(ProrationUnitName::into_domain),
            mode: mode.map(ProrationModeName::into_domain),
        }
    }
}

impl ProrationBody {
    pub(crate) fn from_domain(policy: ProrationPolicy) -> Self {
        let mode = match policy.mode {
            ProrationMode::Prorate => ProrationModeName::Prorate,
            ProrationMode::None => ProrationModeName::None,
            ProrationMode::Full => ProrationModeName::Full,
        };
        Self { unit: ProrationUnitName::from_domain(policy.unit), mode }
    }
}

impl SubscriptionStatusName {
    /// The words that lists are filtered by.
    pub const CHOICES: [(&'static str, &'static str); 5] = [
        ("TRIAL", "TRIAL"),
        ("ACTIVE", "ACTIVE"),
        ("PAST_DUE", "PAST_DUE"),
        ("PAUSED", "PAUSED"),
        ("CANCELED", "CANCELED"),
    ];

    fn from_domain(status: SubscriptionStatus) -> Self {
        match status {
            SubscriptionStatus::Trial { .. } => Self::Trial,
            SubscriptionStatus::Active => Self::Active,
            SubscriptionStatus::PastDue => Self::PastDue,
            SubscriptionStatus::Paused => Self::Paused,
            SubscriptionStatus::Canceled { .. } => Self::Canceled,
        }
    }
}

impl SubscriptionBody {
    /// The body of a subscription. Errors: if its period lies outside the calendar, which no stored one's
    /// does.
    pub fn from_domain(subscription: Subscription) -> Result<Self, PeriodError> {
        let period = subscription.current_period()?;
        let (billing_time, billing_anchor) = match subscription.schedule.time {
            BillingTime::Anchored(anchor) => (BillingTimeName::Anniversary, Some(TimeOut(anchor))),
            BillingTime::Calendar => (BillingTimeName::Calendar, None),
        };
        let ends = [subscription.ends_at, subscription.schedule.end];
        let next_invoice_date = subscription.due_at().map(TimeOut);
        let cancel_at_period_end = subscription.cancels_at_period_end();
        Ok(Self {
            id: subscription.id.to_string(),
            customer_id: subscription.customer.to_string(),
            plan_id: subscription.plan.to_string(),
            plan_name: subscription.plan_name,
            price_version: subscription.price_version,
            status: SubscriptionStatusName::from_domain(subscription.status),
            billing_interval: IntervalName::from_domain(subscription.interval),
            interval_count: subscription.interval.count(),
            billing_time,
            billing_anchor,
            time_zone: subscription.schedule.zone.name(),
            proration: ProrationBody::from_domain(subscription.proration),
            end_date: ends.into_iter().flatten().min().map(TimeOut),
            next_invoice_date,
            billing_error: subscription.billing_error.map(BillingErrorBody::from_domain),
            currency: subscription.currency.code().to_owned(),
            start_date: TimeOut(subscription.start),
            current_period_start: TimeOut(period.start()),
            current_period_end: TimeOut(period.end()),
            trial_end_date: subscription.trial_end.map(TimeOut),
            cancel_at_period_end,
            canceled_at: subscription.cancellation.as_ref().map(|cancellation| TimeOut(cancellation.at)),
            cancellation_reason: subscription.cancellation.and_then(|cancellation| cancellation.reason),
            last_invoiced_date: subscription.last_invoiced_at.map(TimeOut),
            overrides: Vec::new(),
            pending_change: None,
            entitlements: Vec::new(),
            created_at: TimeOut(subscription.created_at),
            updated_at: TimeOut(subscription.updated_at),
        })
    }
}
