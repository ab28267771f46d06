//! Previews of subscriptions: every bill of some periods, by the very code that bills. Nothing is stored.

use std::collections::{BTreeMap, btree_map::Entry};

use auth::Actor;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use domain::{
    charge::Price,
    charge_usage::{ChargeFold, ChargeUsage},
    credit::CreditBalances,
    currency::Currency,
    event::{Revision, UsageEvent},
    held,
    id::{ChargeId, CustomerId, MeterId, PlanId},
    invoice::Invoice,
    invoice_draft::InvoiceTerms,
    meter::{Aggregation, Meter},
    period::BillingPeriod,
    period_close,
    property::Properties,
    proration::{ProrationChoice, ProrationPolicy},
    quantity::Quantity,
    seen_usage::{BillUsage, LateLines},
    series::Range,
    subscription::{PlansById, Subscription},
    subscription_change::{Change, ChangeError},
    timeline::{Bill, Due, DueKind, Reason},
    totals::{Latest, Usage},
    user::Scope,
};
use rust_decimal::Decimal;
use store::StoreError;

use crate::{
    AppError, FieldError, Platform,
    price_override::{PriceOverride, prices, prices_at, within},
    subscriptions::{NewBilling, begun, check_dates, check_plan, find_plan, is_customer},
    track_usage::previewed_quantity,
};

/// A subscription to be previewed.
pub struct NewPreview {
    /// Who would be billed. Without anybody there is no tax.
    pub customer: Option<CustomerId>,
    /// For what.
    pub plan: PlanId,
    /// Its own prices, in place of the plan's.
    pub overrides: Vec<PriceOverride>,
    /// How often, and from when on.
    pub billing: NewBilling,
    /// What would change later, and how that is settled if not as everything else.
    pub changes: Vec<(DateTime<Utc>, PreviewedChange, Option<ProrationChoice>)>,
    /// What would be used.
    pub usage: Vec<PreviewedEvent>,
    /// How many periods are shown, with the bill at the end of the last.
    pub periods: u32,
}

/// An event that would happen.
pub struct PreviewedEvent {
    /// Its meter.
    pub meter: MeterId,
    /// When.
    pub at: DateTime<Utc>,
    /// How much; as the meter finds it in the properties if not given, and else 1.
    pub quantity: Option<Quantity>,
    /// Values to aggregate and filter by.
    pub properties: Properties,
}

/// What would change of a subscription.
pub enum PreviewedChange {
    /// Its plan, with another quantity than that has if one is given.
    Plan(PlanId, Option<Decimal>),
    /// The quantity of a fixed charge: the one that is named, or the one that is sold by quantity.
    Quantity(Option<ChargeId>, Decimal),
    /// Its own prices, in place of all it has.
    Prices(Vec<PriceOverride>),
    /// It is paused.
    Pause,
    /// It is resumed.
    Resume,
    /// It ends.
    Cancel,
}

/// What would be billed.
pub struct Preview {
    /// What it is in.
    pub currency: Currency,
    /// The billing periods.
    pub periods: Vec<BillingPeriod>,
    /// What would be invoiced.
    pub invoices: Vec<PreviewedInvoice>,
}

/// An invoice that would be made.
pub struct PreviewedInvoice {
    /// When.
    pub at: DateTime<Utc>,
    /// The period it closes or opens.
    pub period: BillingPeriod,
    /// How its last change is settled; else, how parts of periods are billed.
    pub proration: ProrationPolicy,
    /// It as it would be drafted.
    pub draft: Invoice,
}

impl PreviewedInvoice {
    /// What a bill would be invoiced.
    pub(crate) fn of(bill: &Bill, proration: ProrationPolicy, draft: Invoice) -> Self {
        Self { at: bill.at, period: bill.period, proration, draft }
    }
}

/// What a subscription would be billed.
///
/// Errors: `Invalid` if something named does not exist, dates do not fit, or an amount cannot be computed.
pub async fn preview(platform: &Platform, actor: &Actor, new: NewPreview) -> Result<Preview, AppError> {
    actor.require(Scope::BillingRead)?;
    let now = platform.now();
    let mut errors = Vec::new();
    let plan = find_plan(platform, actor, new.plan).await?;
    check_plan("plan_id", plan.as_ref(), &mut errors);
    check_dates(&new.billing, now, &mut errors);
    if let Some(customer) = new.customer
        && !is_customer(platform, actor, customer).await?
    {
        errors.push(FieldError::new("customer_id", "invalid", "names no customer"));
    }
    let Some(plan) = plan.filter(|_| errors.is_empty()) else { return Err(AppError::Invalid(errors)) };
    let at_fault = new.field_at_fault();
    let buyer = match new.customer {
        Some(customer) => {
            let settings = platform.store.get_organization(actor.organization).await?.settings;
            let customer = platform.store.get_customer(actor.organization, customer).await?;
            (Some(settings.invoice_terms(&customer)), customer.credits)
        }
        None => (None, CreditBalances::default()),
    };
    let customer = new.customer.unwrap_or_else(|| platform.new_id());
    let prices = prices(platform, actor, (&plan, plan.plan.price_version), &new.overrides).await?;
    let subscription = begun(platform.new_id(), customer, (&plan, prices), &new.billing, now)?;
    let mut plans = PlansById::from([(plan.plan.id, plan)]);
    let subscription = changed(platform, actor, subscription, new.changes, &mut plans).await?;
    let usage = metered(platform, actor, new.usage).await?;
    bills(&subscription, &plans, &usage, buyer, (new.periods, at_fault))
}

impl NewPreview {
    /// The field that an invoice is at odds with which cannot be computed exactly.
    fn field_at_fault(&self) -> &'static str {
        match (self.usage.is_empty(), self.overrides.is_empty(), self.changes.is_empty()) {
            (false, ..) => "usage",
            (true, false, _) => "overrides",
            (true, true, false) => "changes",
            (true, true, true) => "plan_id",
        }
    }
}

/// The subscription with all that would change, in order of time.
async fn changed(
    platform: &Platform,
    actor: &Actor,
    mut subscription: Subscription,
    changes: Vec<(DateTime<Utc>, PreviewedChange, Option<ProrationChoice>)>,
    plans: &mut PlansById,
) -> Result<Subscription, AppError> {
    let mut changes = changes.into_iter().enumerate().collect::<Vec<_>>();
    changes.sort_by_key(|(_, (at, ..))| *at);
    for (index, (at, change, proration)) in changes {
        let field = |name: &str| format!("changes[{index}].{name}");
        let at = at.trunc_subsecs(3);
        if at <= subscription.start {
            return Err(AppError::invalid(field("at"), "must lie after the start"));
        }
        let change = match change {
            PreviewedChange::Plan(id, quantity) => {
                let mut errors = Vec::new();
                let plan = find_plan(platform, actor, id).await?;
                check_plan(&field("plan_id"), plan.as_ref(), &mut errors);
                let Some(plan) = plan.filter(|_| errors.is_empty()) else {
                    return Err(AppError::Invalid(errors));
                };
                plans.insert(id, plan.clone());
                Change::Plan(Box::new(plan), quantity)
            }
            PreviewedChange::Quantity(charge, quantity) => Change::Quantity(charge, quantity),
            PreviewedChange::Prices(overrides) => {
                let prices = prices_at(platform, actor, (&subscription, plans), &overrides, at).await;
                Change::Prices(prices.map_err(|error| within(error, field))?)
            }
            PreviewedChange::Pause => Change::Pause,
            PreviewedChange::Resume => Change::Resume,
            PreviewedChange::Cancel => Change::Cancel,
        };
        subscription = subscription
            .changed(&change, proration, at, plans)
            .map_err(|error| invalid_change(error, field))?;
    }
    Ok(subscription)
}

/// The field of a change that is at fault.
pub(crate) fn invalid_change(error: ChangeError, field: impl Fn(&str) -> String) -> AppError {
    AppError::invalid(field(error.field()), error.to_string())
}

/// The events by meter.
async fn metered(
    platform: &Platform,
    actor: &Actor,
    usage: Vec<PreviewedEvent>,
) -> Result<BTreeMap<MeterId, (Meter, Vec<UsageEvent>)>, AppError> {
    let mut by_meter = BTreeMap::new();
    for (index, PreviewedEvent { meter: id, at, quantity, properties }) in usage.into_iter().enumerate() {
        let field = |field: &str| format!("usage[{index}].{field}");
        let (meter, events) = match by_meter.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match platform.store.get_meter(actor.organization, id).await {
                Ok(meter) => place.insert((meter, Vec::new())),
                Err(StoreError::NotFound(_)) => {
                    return Err(AppError::invalid(field("meter_id"), "names no meter"));
                }
                Err(error) => return Err(error.into()),
            },
        };
        let quantity =
            previewed_quantity(meter, quantity, &properties).map_err(|error| within(error, field))?;
        events.push(UsageEvent {
            key: index.to_string(),
            occurred_at: at,
            ingested_at: at + TimeDelta::milliseconds(i64::try_from(index).unwrap_or(i64::MAX >> 20)),
            quantity,
            properties,
            metadata: Properties::new(),
            revision: Revision::First,
        });
    }
    Ok(by_meter)
}

/// All bills until the end of so many periods, as closing makes them: the last has what is paid in advance for
/// the period after. One that has nothing else belongs to that, and is not shown.
fn bills(
    subscription: &Subscription,
    plans: &PlansById,
    usage: &BTreeMap<MeterId, (Meter, Vec<UsageEvent>)>,
    (terms, mut credits): (Option<InvoiceTerms>, CreditBalances),
    (count, at_fault): (u32, &'static str),
) -> Result<Preview, AppError> {
    let invalid = |error: &dyn std::error::Error| AppError::invalid("periods", error.to_string());
    let timeline = subscription.timeline(plans);
    let mut periods = Vec::new();
    let mut next = timeline.schedule.start;
    while periods.len() < usize::try_from(count).unwrap_or(usize::MAX)
        && timeline.end().is_none_or(|end| next < end)
    {
        let period = timeline.period_at(next).map_err(|error| invalid(&error))?;
        let end = timeline.end().map_or(period.end(), |end| end.min(period.end()));
        // One of another interval than that before goes on where that ends.
        let start = period.start().max(next);
        periods.push(BillingPeriod::new(start, end).map_err(|error| invalid(&error))?);
        next = period.end();
    }
    let end = periods.last().map_or(timeline.schedule.start, BillingPeriod::end);
    let mut invoices = Vec::new();
    let mut last = None;
    while let Some(at) = timeline.next(last).map_err(|error| invalid(&error))?
        && at <= end
    {
        let bill = timeline.bill(last, at).map_err(|error| invalid(&error))?;
        let is_after = |due: &Due| match &due.kind {
            DueKind::Fixed(period, _, Reason::Interval) => end <= period.start(),
            DueKind::Fixed(..) | DueKind::Once | DueKind::Usage(..) => false,
        };
        if !bill.dues.iter().all(is_after) {
            let overflow = |error: &dyn std::error::Error| AppError::invalid(at_fault, error.to_string());
            let used = used(&bill, usage).map_err(|error| overflow(&error))?;
            let draft = period_close::draft(subscription, &bill, &used, LateLines::default(), at);
            let draft = draft.map_err(|error| overflow(&error))?;
            let draft = match &terms {
                Some(terms) => draft.with_terms(terms).map_err(|error| overflow(&error))?,
                None => draft,
            };
            let draft = draft.with_credit(&credits).map_err(|error| overflow(&error))?;
            credits = draft.credit_left(&credits).map_err(|error| overflow(&error))?;
            invoices.push(PreviewedInvoice::of(&bill, timeline.policy_between(last, at), draft));
        }
        last = Some(at);
    }
    Ok(Preview { currency: subscription.currency, periods, invoices })
}

/// What was used of the usage charges of a bill, in their order.
fn used(
    bill: &Bill,
    usage: &BTreeMap<MeterId, (Meter, Vec<UsageEvent>)>,
) -> Result<BillUsage, domain::quantity::QuantityOverflow> {
    let used = bill.dues.iter().filter_map(|due| match (&due.charge.price, &due.kind) {
        (Price::Usage(price), DueKind::Usage(ranges, whole)) => Some((price, ranges, whole)),
        (Price::Usage(_) | Price::Fixed(_), _) => None,
    });
    let charges = used.map(|(price, ranges, whole)| {
        let Some((meter, events)) = usage.get(&price.meter) else { return Ok(ChargeUsage::default()) };
        if meter.aggregation == Aggregation::WeightedSum {
            return Ok(level(meter, events, ranges, *whole)?.counted_by(meter));
        }
        let mut fold = ChargeFold::new(price, meter.counting());
        for event in events {
            if ranges.iter().any(|range| range.contains(event.occurred_at)) {
                fold.add(event)?;
            }
        }
        Ok(fold.usage()?.counted_by(meter))
    });
    Ok(BillUsage { charges: charges.collect::<Result<_, _>>()?, writes: None })
}

/// What the level of a WEIGHTED_SUM meter comes to over `ranges`, each by its share of `whole`.
fn level(
    meter: &Meter,
    events: &[UsageEvent],
    ranges: &[BillingPeriod],
    whole: BillingPeriod,
) -> Result<ChargeUsage, domain::quantity::QuantityOverflow> {
    let changes = events.iter().filter(|event| meter.counting().includes(*event)).map(Latest::of);
    let spans = ranges.iter().map(|range| Range { from: range.start(), until: range.end() });
    let whole = Range { from: whole.start(), until: whole.end() };
    let quantity = held::share_of(&changes.collect::<Vec<_>>(), &spans.collect::<Vec<_>>(), whole)?;
    let inside = events.iter().filter(|event| ranges.iter().any(|range| range.contains(event.occurred_at)));
    Ok(ChargeUsage::of_total(Usage { quantity, events: inside.count() as u64 }))
}
