//! Bodies of previews: what a subscription would be billed.

use app::{
    AppError,
    preview::{NewPreview, Preview, PreviewedChange, PreviewedEvent, PreviewedInvoice},
    subscriptions::BillingDefaults,
};
use chrono::{DateTime, SubsecRound, Utc};
use chrono_tz::Tz;
use domain::{
    explanation,
    invoice::{Invoice, LineItem},
    money::{Money, MoneyError},
    period::BillingPeriod,
    proration::{ProrationChoice, ProrationPolicy},
    quantity::Quantity,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check,
    line::{LinePartBody, LineTypeName, Origin, ShareBody},
    number::{NumberIn, NumberOut, QuantityIn},
    plan::IntervalName,
    price,
    price_override::{self, PriceOverrideBody},
    properties::PropertiesIn,
    subscription::{BillingFields, BillingTimeName, ChangeProrationBody, ProrationBody},
    tax::{TaxLineBody, TaxTreatmentName},
    time::{LocalTimeIn, TimeIn, TimeOut},
};

/// A subscription to be previewed: as one to be made, with what would change and what would be used.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPreviewBody {
    /// Who would be billed; anybody if not given.
    customer_id: Option<String>,
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
    /// How parts of periods are billed; as the organization has set if not given.
    proration: Option<ChangeProrationBody>,
    /// Its own prices, in place of the plan's.
    overrides: Option<Vec<PriceOverrideBody>>,
    /// What would change later.
    #[serde(default)]
    changes: Vec<ChangeBody>,
    /// What would be used.
    #[serde(default)]
    usage: Vec<PreviewUsageBody>,
    /// How many periods are shown, up to 60; 1 if not given. The last invoice is the one that is made at their end, with
    /// what is paid in advance for the period after; if it has nothing else it is not shown.
    periods: Option<u32>,
}

/// A change of a subscription: one of them at a time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    /// When.
    at: LocalTimeIn,
    /// To this plan.
    plan_id: Option<String>,
    /// To this quantity of a fixed charge; of the new plan, if one is given.
    quantity: Option<NumberIn>,
    /// Which fixed charge, where it is not clear.
    charge_id: Option<String>,
    /// To these prices of its own, in place of all it has.
    overrides: Option<Vec<PriceOverrideBody>>,
    /// It ends.
    cancel: Option<bool>,
    /// It is paused.
    pause: Option<bool>,
    /// It is resumed.
    resume: Option<bool>,
    /// How this change is settled; as the subscription if not given.
    proration: Option<ChangeProrationBody>,
}

/// An event that would happen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewUsageBody {
    /// The meter that would count it.
    meter_id: String,
    /// When.
    timestamp: TimeIn,
    /// How much; as the meter finds it in the properties if not given, and else 1.
    quantity: Option<QuantityIn>,
    /// Values that the meter and filters look at.
    #[serde(default)]
    properties: PropertiesIn,
}

/// What a subscription would be billed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewBody {
    /// What it is in.
    pub currency: String,
    /// How parts of periods are billed.
    pub proration: ProrationBody,
    /// The periods.
    pub periods: Vec<PeriodBody>,
    /// What would be invoiced until the end of the last, as it would be drafted.
    pub invoices: Vec<PreviewInvoiceBody>,
}

/// A billing period.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PeriodBody {
    /// The first instant inside.
    pub start: TimeOut,
    /// The first instant after it.
    pub end: TimeOut,
}

/// An invoice that would be made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewInvoiceBody {
    /// When.
    pub issue_date: TimeOut,
    /// The start of the period it closes, or opens.
    pub period_start: TimeOut,
    /// The first instant after that.
    pub period_end: TimeOut,
    /// What it is in.
    pub currency: String,
    /// How its last change is settled; else, how parts of periods are billed.
    pub proration: ProrationBody,
    /// What would be billed.
    pub lines: Vec<PreviewLineBody>,
    /// The sum of the lines, without tax.
    pub subtotal: NumberOut,
    /// Tax on it; 0 where nobody is named who would be billed.
    pub tax: NumberOut,
    /// Each rate of tax and what it comes to.
    pub taxes: Vec<TaxLineBody>,
    /// How it would be taxed, and why.
    pub tax_treatment: TaxTreatmentName,
    /// Whether the amounts of the lines contain the tax.
    pub prices_include_tax: bool,
    /// Both.
    pub total: NumberOut,
    /// What would be taken off that of what the customer has to its credit by then.
    pub credits_applied: NumberOut,
    /// What would be to be paid.
    pub amount_due: NumberOut,
}

/// A line of an invoice that would be made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewLineBody {
    /// What would be billed.
    pub description: String,
    /// Where it comes from.
    #[serde(rename = "type")]
    pub line_type: LineTypeName,
    /// The charge it comes from.
    pub charge_id: Option<String>,
    /// The meter that would count.
    pub meter_id: Option<String>,
    /// Its name.
    pub meter_name: Option<String>,
    /// How many events there would be.
    pub event_count: Option<u64>,
    /// How much.
    pub quantity: NumberOut,
    /// What the meter counts, such as `GB`.
    pub unit: Option<String>,
    /// Price of one, where there is one price.
    pub unit_price: Option<NumberOut>,
    /// What it would cost, rounded to the currency.
    pub amount: NumberOut,
    /// What part of the price that is; null for all of it.
    pub proration: Option<ShareBody>,
    /// The start of the time it is for.
    pub period_start: Option<TimeOut>,
    /// The first instant after that.
    pub period_end: Option<TimeOut>,
    /// What the amount is added up from, exactly.
    pub parts: Vec<LinePartBody>,
    /// The computation, in words and figures.
    pub explanation: Vec<String>,
}

/// The most periods one preview shows.
const PERIODS_MAX: u32 = 60;

impl NewPreviewBody {
    /// What was asked for.
    pub fn into_domain(self, defaults: BillingDefaults) -> Result<NewPreview, AppError> {
        let mut check = Check::default();
        let customer = self.customer_id.map(|id| check.value("customer_id", id.parse()));
        let plan = check.value("plan_id", self.plan_id.parse());
        let zone = self.time_zone.as_deref().and_then(|name| name.parse().ok()).unwrap_or(defaults.zone);
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
        let periods = self.periods.unwrap_or(1);
        if !(1..=PERIODS_MAX).contains(&periods) {
            check.refuse("periods", format!("must be between 1 and {PERIODS_MAX}"));
        }
        let changes = self.changes.into_iter().enumerate().filter_map(|(index, body)| {
            check.within(&format!("changes[{index}]"), |check| body.into_domain(check, zone))
        });
        let changes = changes.collect();
        let usage = self.usage.into_iter().enumerate().filter_map(|(index, body)| {
            check.within(&format!("usage[{index}]"), |check| body.into_domain(check))
        });
        let usage = usage.collect();
        let customer = customer.flatten();
        check.finish_some(plan.zip(billing).map(|(plan, billing)| NewPreview {
            customer,
            plan,
            overrides,
            billing,
            changes,
            usage,
            periods,
        }))
    }
}

impl ChangeBody {
    fn into_domain(
        self,
        check: &mut Check,
        zone: Tz,
    ) -> Option<(DateTime<Utc>, PreviewedChange, Option<ProrationChoice>)> {
        let at = self.at.start(zone);
        let quantity = self.quantity.map(|quantity| price::amount(check, "quantity", Some(quantity)));
        let charge = self.charge_id.map(|id| check.value("charge_id", id.parse()));
        let plan = self.plan_id.map(|id| check.value("plan_id", id.parse()));
        let flags = [
            (self.cancel, PreviewedChange::Cancel),
            (self.pause, PreviewedChange::Pause),
            (self.resume, PreviewedChange::Resume),
        ];
        let mut changes = flags.into_iter().filter(|(flag, _)| *flag == Some(true)).map(|(_, change)| change);
        let mut found = changes.by_ref().collect::<Vec<_>>();
        if let Some(overrides) = self.overrides {
            found.push(PreviewedChange::Prices(price_override::overrides(check, Some(overrides))));
        }
        if charge.is_some() && (quantity.is_none() || plan.is_some()) {
            check.refuse("charge_id", "goes with a quantity alone");
        }
        match (plan, quantity) {
            (Some(plan), quantity) => found.push(PreviewedChange::Plan(plan?, quantity.flatten())),
            (None, Some(quantity)) => found.push(PreviewedChange::Quantity(charge.flatten(), quantity?)),
            (None, None) => {}
        }
        let change = found.pop().filter(|_| found.is_empty());
        if change.is_none() {
            check.refuse("at", "needs one change: of plan_id, quantity, overrides, cancel, pause or resume");
        }
        let proration = self.proration.map(ChangeProrationBody::into_domain);
        change.map(|change| (at, change, proration))
    }
}

impl PreviewUsageBody {
    fn into_domain(self, check: &mut Check) -> Option<PreviewedEvent> {
        let meter = check.value("meter_id", self.meter_id.parse());
        let quantity = self.quantity.map(|QuantityIn(quantity)| quantity);
        if quantity.is_some_and(|quantity| quantity < Quantity::ZERO) {
            check.refuse("quantity", "must not be negative");
        }
        let at = self.timestamp.0.trunc_subsecs(3);
        meter.map(|meter| PreviewedEvent { meter, at, quantity, properties: self.properties.0 })
    }
}

impl PreviewBody {
    /// The body of a preview under a policy. Errors: as for [`PreviewInvoiceBody::from_domain`].
    pub fn from_domain(preview: Preview, proration: ProrationPolicy) -> Result<Self, AppError> {
        let invoices = preview.invoices.into_iter().map(PreviewInvoiceBody::from_domain);
        Ok(Self {
            currency: preview.currency.code().to_owned(),
            proration: ProrationBody::from_domain(proration),
            periods: preview.periods.into_iter().map(PeriodBody::from_domain).collect(),
            invoices: invoices.collect::<Result<_, _>>()?,
        })
    }
}

impl PeriodBody {
    fn from_domain(period: BillingPeriod) -> Self {
        Self { start: TimeOut(period.start()), end: TimeOut(period.end()) }
    }
}

impl PreviewInvoiceBody {
    /// The body of an invoice that would be made. Errors: if it does not add up, which none that was
    /// computed fails to.
    pub fn from_domain(invoice: PreviewedInvoice) -> Result<Self, AppError> {
        let PreviewedInvoice { at, period, proration, draft } = invoice;
        let amounts = Amounts::of(&draft)?;
        Ok(Self {
            issue_date: TimeOut(at),
            period_start: TimeOut(period.start()),
            period_end: TimeOut(period.end()),
            currency: draft.currency.code().to_owned(),
            proration: ProrationBody::from_domain(proration),
            subtotal: amounts.subtotal,
            tax: amounts.tax,
            taxes: draft.tax.lines.iter().map(TaxLineBody::from_domain).collect(),
            tax_treatment: TaxTreatmentName::from_domain(draft.tax.treatment),
            prices_include_tax: draft.tax.is_included,
            total: amounts.total,
            credits_applied: amounts.credits_applied,
            amount_due: amounts.amount_due,
            lines: draft.lines.into_iter().map(PreviewLineBody::from_domain).collect(),
        })
    }
}

/// What an invoice comes to.
pub(crate) struct Amounts {
    pub(crate) subtotal: NumberOut,
    pub(crate) tax: NumberOut,
    pub(crate) total: NumberOut,
    pub(crate) credits_applied: NumberOut,
    pub(crate) amount_due: NumberOut,
}

impl Amounts {
    /// Errors: if it does not add up.
    pub(crate) fn of(invoice: &Invoice) -> Result<Self, AppError> {
        let amount = |money: Result<Money, MoneyError>| {
            money.map(|money| NumberOut(money.rounded().amount())).map_err(AppError::internal)
        };
        Ok(Self {
            subtotal: amount(invoice.subtotal())?,
            tax: amount(invoice.tax.total(invoice.currency))?,
            total: amount(invoice.total())?,
            credits_applied: amount(Ok(invoice.credits_applied))?,
            amount_due: amount(invoice.amount_due())?,
        })
    }
}

impl PreviewLineBody {
    fn from_domain(line: LineItem) -> Self {
        let Origin { line_type, charge_id, meter_id, event_count } = Origin::from_domain(line.source);
        let explanation = explanation::steps(&line);
        let (meter_name, unit) = line.metered.map(|metered| (metered.by, metered.unit)).unzip();
        Self {
            description: line.description,
            line_type,
            charge_id,
            meter_id,
            meter_name,
            event_count,
            quantity: NumberOut(line.quantity),
            unit: unit.flatten(),
            unit_price: line.unit_price.map(NumberOut),
            amount: NumberOut(line.amount.amount()),
            proration: line.proration.map(ShareBody::from_domain),
            period_start: line.period.map(|period| TimeOut(period.start())),
            period_end: line.period.map(|period| TimeOut(period.end())),
            parts: line.parts.into_iter().map(LinePartBody::from_domain).collect(),
            explanation,
        }
    }
}
