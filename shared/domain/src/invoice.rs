//! Invoices: their lines, their life, and the rule that their figures always add up.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike, Days, Utc};
use rust_decimal::Decimal;

use crate::{
    billing_error::BillingError,
    currency::Currency,
    id::{ChargeId, CustomerId, InvoiceId, MeterId, SubscriptionId},
    invoice_parties::InvoiceParties,
    line_part::{LinePart, PartKind},
    money::{Money, MoneyError},
    period::BillingPeriod,
    property::Properties,
    proration::Proration,
    seen_usage::SeenUsage,
    tax::Tax,
};

/// An invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Its id. That of a subscription's invoice follows from the subscription, the bill, and how many of its invoices
    /// were voided before.
    pub id: InvoiceId,
    /// Who pays it.
    pub customer: CustomerId,
    /// The subscription and the period it bills, unless it was written by hand.
    pub billed: Option<(SubscriptionId, BillingPeriod)>,
    /// The void invoice of the same bill that it was made in place of.
    pub replaces: Option<InvoiceId>,
    /// The invoice of the same bill that was made in place of it, once it was void.
    pub replaced_by: Option<InvoiceId>,
    /// Its number, given when it is finalized.
    pub number: Option<InvoiceNumber>,
    /// Whom it is from and to since it was finalized. A draft has none, nor has one that was finalized before they were
    /// kept.
    pub parties: Option<InvoiceParties>,
    /// Where it is in its life.
    pub status: InvoiceStatus,
    /// What it is in.
    pub currency: Currency,
    /// What is billed.
    pub lines: Vec<LineItem>,
    /// How far the usage was looked at that they were rated from.
    pub seen: Vec<SeenUsage>,
    /// Whether somebody wrote the lines of a subscription's draft anew. They then stay as they are.
    pub has_edited_lines: bool,
    /// Tax on the lines.
    pub tax: Tax,
    /// What is taken off the total of what the customer has to its credit; of a draft, what would be.
    pub credits_applied: Money,
    /// When it is to be paid by.
    pub payment_due: PaymentDue,
    /// A note to whoever pays it.
    pub memo: Option<String>,
    /// Whatever else is to be seen again, and the note of the last change of status.
    pub metadata: Properties,
    /// SHA-256 of the token of its public page, in hexadecimal.
    pub public_token_hash: Option<String>,
    /// What keeps a draft from being finalized by itself.
    pub billing_error: Option<BillingError>,
    /// Since when it counts as not paid in time.
    pub past_due_at: Option<DateTime<Utc>>,
    /// When it was drafted.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was finalized, which is its date; for a draft, when it was drafted.
    pub issued_at: DateTime<Utc>,
    /// When it has to be paid; for a draft, when that would be if it is finalized as planned.
    pub due_at: DateTime<Utc>,
    /// Counts the changes; writes are conditional on it.
    pub version: u64,
}

/// Where an invoice is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceStatus {
    /// May still change.
    Draft {
        /// When its grace period ends and it is finalized by itself; never, if it was written by hand.
        finalize_at: Option<DateTime<Utc>>,
    },
    /// Final, and to be paid.
    Open,
    /// Paid.
    Paid {
        /// When.
        at: DateTime<Utc>,
    },
    /// Not to be paid.
    Void {
        /// Since when.
        at: DateTime<Utc>,
    },
    /// Not expected to be paid.
    Uncollectible {
        /// Since when.
        at: DateTime<Utc>,
    },
}

/// How it is said when an invoice has to be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentDue {
    /// By the organization's payment terms when it is finalized.
    AsSet,
    /// So many days after it is finalized.
    Days(u32),
    /// At an instant, whenever it is finalized.
    On(DateTime<Utc>),
}

/// `INV-2025-0042`: the year it was finalized in, and its place in that year, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InvoiceNumber {
    /// The year, in UTC.
    pub year: i32,
    /// From 1.
    pub sequence: u64,
}

/// One line of an invoice: what, how much, at what price, and how that came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineItem {
    /// What is billed.
    pub description: String,
    /// Where the line comes from.
    pub source: LineSource,
    /// What counted it, on a line of usage that was rated since that is kept.
    pub metered: Option<Metered>,
    /// How much.
    pub quantity: Decimal,
    /// Price of one, where there is one price.
    pub unit_price: Option<Decimal>,
    /// What the amount was added up from. Empty for a line that somebody wrote.
    pub parts: Vec<LinePart>,
    /// What part of that is billed; all of it, if nothing is said.
    pub proration: Option<Proration>,
    /// The time it was used in.
    pub period: Option<BillingPeriod>,
    /// What it costs, rounded to the currency.
    pub amount: Money,
}

/// What counted the usage of a line, as it was called then: a meter may get another name, or go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metered {
    /// The name of the meter.
    pub by: String,
    /// What it counts, such as `GB`.
    pub unit: Option<String>,
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineSource {
    /// A fixed charge of the plan.
    Fixed {
        /// Which.
        charge: ChargeId,
    },
    /// A usage charge of the plan.
    Usage {
        /// Which.
        charge: ChargeId,
        /// What counted it.
        meter: MeterId,
        /// How many events there were.
        events: u64,
    },
    /// Usage that came after the invoice of its period was final. The line is the difference.
    LateUsage {
        /// Of which usage charge of the plan.
        charge: ChargeId,
        /// What counted it.
        meter: MeterId,
        /// How many events came since the period was last billed.
        events: u64,
        /// How much was used in the whole period, as known when this was rated.
        whole_quantity: Decimal,
        /// What that costs.
        whole_amount: Money,
    },
    /// Somebody wrote it.
    Manual,
}

/// Why an invoice cannot go where it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an invoice that is {from} cannot become {to}")]
pub struct TransitionError {
    from: &'static str,
    to: &'static str,
}

/// A figure of an invoice that does not add up: a defect, or a damaged item. Never shown as an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceMismatch {
    /// A sum cannot be computed.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// An amount has more decimals than the currency.
    #[error("an amount is not rounded to the currency")]
    NotRounded,
    /// A draft with a number, or a finalized invoice without one.
    #[error("the number does not fit the status")]
    Number,
    /// More credit than there is to pay, or less than none.
    #[error("the credit does not fit the total")]
    Credits,
    /// The parts of a line's quantity or amount do not come to the whole.
    #[error("the parts of a line do not add up to it")]
    Parts,
}

/// How long after drafting an invoice is finalized: time for review and for late events.
pub const GRACE_PERIOD: chrono::Duration = chrono::Duration::hours(1);

impl Invoice {
    /// The sum of the lines, without tax. Errors: as for [`Money::sum`].
    pub fn subtotal(&self) -> Result<Money, MoneyError> {
        let sum = self.line_sum()?;
        if !self.tax.is_included {
            return Ok(sum);
        }
        let tax = self.tax.total(self.currency)?;
        sum.checked_sub(tax)
    }

    /// The subtotal and the tax. Errors: as for [`Money::sum`].
    pub fn total(&self) -> Result<Money, MoneyError> {
        self.subtotal()?.checked_add(self.tax.total(self.currency)?)
    }

    /// The sum of the lines as they are. Errors: as for [`Money::sum`].
    pub fn line_sum(&self) -> Result<Money, MoneyError> {
        Ok(Money::sum(self.currency, self.lines.iter().map(|line| line.amount))?.rounded())
    }

    /// What was paid. Errors: as for [`Money::sum`].
    pub fn amount_paid(&self) -> Result<Money, MoneyError> {
        match self.status {
            InvoiceStatus::Paid { .. } => self.owed(),
            InvoiceStatus::Draft { .. }
            | InvoiceStatus::Open
            | InvoiceStatus::Void { .. }
            | InvoiceStatus::Uncollectible { .. } => Ok(Money::zero(self.currency).rounded()),
        }
    }

    /// What is still to be paid: the total less credit, unless it was paid or voided. Errors: as for [`Money::sum`].
    pub fn amount_due(&self) -> Result<Money, MoneyError> {
        match self.status {
            InvoiceStatus::Draft { .. } | InvoiceStatus::Open | InvoiceStatus::Uncollectible { .. } => {
                self.owed()
            }
            InvoiceStatus::Paid { .. } | InvoiceStatus::Void { .. } => {
                Ok(Money::zero(self.currency).rounded())
            }
        }
    }

    /// The total less credit, and nothing where that is less than nothing.
    fn owed(&self) -> Result<Money, MoneyError> {
        let owed = self.total()?.checked_sub(self.credits_applied)?;
        let is_owed = owed.amount() > Decimal::ZERO;
        Ok(if is_owed { owed } else { Money::zero(self.currency).rounded() })
    }

    /// When it is finalized by itself; `None` unless it is a draft of a subscription.
    pub fn finalize_at(&self) -> Option<DateTime<Utc>> {
        match self.status {
            InvoiceStatus::Draft { finalize_at } => finalize_at,
            InvoiceStatus::Open
            | InvoiceStatus::Paid { .. }
            | InvoiceStatus::Void { .. }
            | InvoiceStatus::Uncollectible { .. } => None,
        }
    }

    /// This draft as an open invoice with `number`, dated `now`. One with nothing to pay is paid at once.
    ///
    /// Errors: if it is no draft.
    pub fn finalized(
        &self,
        number: InvoiceNumber,
        now: DateTime<Utc>,
        payment_terms_days: u32,
    ) -> Result<Self, TransitionError> {
        self.may_become("finalized", matches!(self.status, InvoiceStatus::Draft { .. }))?;
        let is_settled = self.owed().is_ok_and(Money::is_zero);
        let status = if is_settled { InvoiceStatus::Paid { at: now } } else { InvoiceStatus::Open };
        let due_at = self.payment_due.from(now, payment_terms_days);
        Ok(Self { status, number: Some(number), issued_at: now, due_at, ..self.changed(now) })
    }

    /// This invoice as paid. Errors: unless it is open or uncollectible.
    pub fn paid(&self, now: DateTime<Utc>) -> Result<Self, TransitionError> {
        let is_payable = matches!(self.status, InvoiceStatus::Open | InvoiceStatus::Uncollectible { .. });
        self.may_become("paid", is_payable)?;
        Ok(Self { status: InvoiceStatus::Paid { at: now }, ..self.changed(now) })
    }

    /// This invoice as void. Errors: if it is paid or void already.
    pub fn voided(&self, now: DateTime<Utc>) -> Result<Self, TransitionError> {
        let is_final = matches!(self.status, InvoiceStatus::Paid { .. } | InvoiceStatus::Void { .. });
        self.may_become("void", !is_final)?;
        Ok(Self {
            status: InvoiceStatus::Void { at: now },
            credits_applied: Money::zero(self.currency),
            billing_error: None,
            ..self.changed(now)
        })
    }

    /// This invoice as uncollectible. Errors: unless it is open.
    pub fn written_off(&self, now: DateTime<Utc>) -> Result<Self, TransitionError> {
        self.may_become("uncollectible", matches!(self.status, InvoiceStatus::Open))?;
        Ok(Self { status: InvoiceStatus::Uncollectible { at: now }, ..self.changed(now) })
    }

    /// Checks that the figures add up, before every write and after every read.
    pub fn verify(&self) -> Result<(), InvoiceMismatch> {
        let total = self.total()?;
        let taxes = self.tax.lines.iter().map(|line| line.amount);
        let mut amounts = self.lines.iter().map(|line| line.amount).chain(taxes).chain([total]);
        if !amounts.all(Money::is_rounded) {
            return Err(InvoiceMismatch::NotRounded);
        }
        let credits = self.credits_applied;
        let is_within = (Decimal::ZERO..=total.amount().max(Decimal::ZERO)).contains(&credits.amount());
        if credits.currency() != self.currency || !credits.is_rounded() || !is_within {
            return Err(InvoiceMismatch::Credits);
        }
        let is_number_right = match self.status {
            InvoiceStatus::Draft { .. } => self.number.is_none(),
            InvoiceStatus::Open | InvoiceStatus::Paid { .. } | InvoiceStatus::Uncollectible { .. } => {
                self.number.is_some()
            }
            InvoiceStatus::Void { .. } => true, // a draft may be voided, and never gets a number
        };
        if !is_number_right {
            return Err(InvoiceMismatch::Number);
        }
        self.lines.iter().try_for_each(LineItem::verify)
    }

    pub(crate) fn changed(&self, now: DateTime<Utc>) -> Self {
        Self { updated_at: now, ..self.clone() }
    }

    fn may_become(&self, to: &'static str, may: bool) -> Result<(), TransitionError> {
        if may { Ok(()) } else { Err(TransitionError { from: self.status.name(), to }) }
    }
}

impl LineItem {
    fn verify(&self) -> Result<(), InvoiceMismatch> {
        if self.parts.is_empty() {
            return Ok(());
        }
        // What was billed before is rounded already, and taken off after the whole was rounded.
        let sum = |is_before: bool| {
            let parts = self.parts.iter().filter(|part| (part.kind == PartKind::BilledBefore) == is_before);
            Money::sum(self.amount.currency(), parts.map(|part| part.amount))
        };
        let whole = sum(false)?;
        let whole = self.proration.map_or(Ok(whole), |proration| proration.of(whole))?;
        let amount = whole.rounded().checked_add(sum(true)?)?;
        let quantity = self.parts.iter().map(LinePart::covers).sum::<Decimal>();
        if amount == self.amount && quantity == self.quantity { Ok(()) } else { Err(InvoiceMismatch::Parts) }
    }
}

impl InvoiceStatus {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft { .. } => "draft",
            Self::Open => "open",
            Self::Paid { .. } => "paid",
            Self::Void { .. } => "void",
            Self::Uncollectible { .. } => "uncollectible",
        }
    }
}

impl PaymentDue {
    /// The due date of an invoice that is finalized at `at`.
    pub fn from(self, at: DateTime<Utc>, payment_terms_days: u32) -> DateTime<Utc> {
        let after = |days: u32| at.checked_add_days(Days::new(days.into())).unwrap_or(at);
        match self {
            Self::AsSet => after(payment_terms_days),
            Self::Days(days) => after(days),
            Self::On(due_at) => due_at,
        }
    }
}

impl InvoiceNumber {
    /// The number after `last` (0 for none) in the year of `now`, which is that of its time zone.
    pub fn next(last: u64, now: impl Datelike) -> Self {
        Self { year: now.year(), sequence: last.saturating_add(1) }
    }
}

/// That text is no number of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the number of an invoice, such as INV-2025-0042")]
pub struct InvalidInvoiceNumber;

impl FromStr for InvoiceNumber {
    type Err = InvalidInvoiceNumber;

    fn from_str(text: &str) -> Result<Self, InvalidInvoiceNumber> {
        let parts = text.strip_prefix("INV-").and_then(|rest| rest.split_once('-'));
        let number = parts.and_then(|(year, sequence)| {
            Some(Self { year: year.parse().ok()?, sequence: sequence.parse().ok()? })
        });
        number.filter(|number| number.to_string() == text).ok_or(InvalidInvoiceNumber)
    }
}

impl fmt::Display for InvoiceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INV-{}-{:04}", self.year, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tax::{TaxTerms, TaxTreatment};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn draft() -> Invoice {
        let now = at("2025-02-01T00:00:00Z");
        let line = |description: &str, quantity: i64, price: i64| {
            LineItem::manual(description.into(), quantity.into(), price.into(), Currency::USD).unwrap()
        };
        let (id, customer) = (InvoiceId::from_parts(now, [1; 10]), CustomerId::from_parts(now, [2; 10]));
        let mut draft = Invoice::draft(id, customer, Currency::USD, now);
        draft.lines = vec![line("Setup", 1, 500), line("Hours", 8, 150)];
        draft.tax = TaxTerms {
            treatment: TaxTreatment::Taxed,
            is_included: false,
            rates: vec![("GST".into(), Decimal::from(18))],
        }
        .tax_on(draft.line_sum().unwrap())
        .unwrap();
        draft
    }

    #[test]
    fn the_documented_invoice_adds_up() {
        let invoice = draft();
        assert_eq!(invoice.subtotal().unwrap().to_string(), "USD 1700.00");
        assert_eq!(invoice.tax.total(Currency::USD).unwrap().to_string(), "USD 306.00");
        assert_eq!(invoice.total().unwrap().to_string(), "USD 2006.00");
        assert_eq!(invoice.verify(), Ok(()));
        let mut included = invoice;
        included.tax.is_included = true; // 306 of the 1,700 are tax
        assert_eq!(included.subtotal().unwrap().to_string(), "USD 1394.00");
        assert_eq!(included.total().unwrap().to_string(), "USD 1700.00");
    }

    #[test]
    fn an_invoice_with_nothing_to_pay_is_paid_when_it_is_finalized() {
        let now = at("2025-02-01T01:00:00Z");
        let mut nothing = draft();
        nothing.lines.clear();
        nothing.tax = Tax::none();
        let finalized = nothing.finalized(InvoiceNumber::next(0, now), now, 30).unwrap();
        assert_eq!(finalized.status, InvoiceStatus::Paid { at: now });
        assert_eq!(finalized.verify(), Ok(()));
        let mut credit = Invoice { tax: Tax::none(), ..draft() };
        credit.lines.iter_mut().for_each(|line| line.amount = Money::new((-1).into(), Currency::USD));
        assert_eq!(credit.amount_due().unwrap().to_string(), "USD 0.00");
    }

    #[test]
    fn the_due_date_is_the_one_that_was_chosen() {
        let now = at("2025-02-01T01:00:00Z");
        for (payment_due, expected) in [
            (PaymentDue::AsSet, "2025-03-03T01:00:00Z"),
            (PaymentDue::Days(0), "2025-02-01T01:00:00Z"),
            (PaymentDue::Days(14), "2025-02-15T01:00:00Z"),
            (PaymentDue::On(at("2025-06-30T00:00:00Z")), "2025-06-30T00:00:00Z"),
        ] {
            let draft = Invoice { payment_due, ..draft() };
            let open = draft.finalized(InvoiceNumber::next(0, now), now, 30).unwrap();
            assert_eq!(open.due_at, at(expected));
        }
    }

    #[test]
    fn an_invoice_goes_only_where_it_may() {
        let now = at("2025-02-01T01:00:00Z");
        let number = InvoiceNumber::next(41, now);
        let draft = draft();
        let open = draft.finalized(number, now, 30).unwrap();
        assert_eq!(open.number.unwrap().to_string(), "INV-2025-0042");
        let new_york = at("2025-01-01T01:00:00Z").with_timezone(&chrono_tz::Tz::America__New_York);
        assert_eq!(InvoiceNumber::next(41, new_york).to_string(), "INV-2024-0042", "it says so itself");
        assert_eq!(open.due_at, at("2025-03-03T01:00:00Z"));
        let paid = open.paid(now).unwrap();
        let void = open.voided(now).unwrap();
        let uncollectible = open.written_off(now).unwrap();
        // from | finalized, paid, void, uncollectible
        for (from, allowed) in [
            (&draft, [true, false, true, false]),
            (&open, [false, true, true, true]),
            (&paid, [false; 4]),
            (&void, [false; 4]),
            (&uncollectible, [false, true, true, false]),
        ] {
            let may = [
                from.finalized(number, now, 30).is_ok(),
                from.paid(now).is_ok(),
                from.voided(now).is_ok(),
                from.written_off(now).is_ok(),
            ];
            assert_eq!(may, allowed, "from {}", from.status.name());
            assert_eq!(from.verify(), Ok(()));
        }
        assert_eq!(paid.paid(now).unwrap_err().to_string(), "an invoice that is paid cannot become paid");
        assert_eq!(paid.amount_due().unwrap().to_string(), "USD 0.00");
        assert_eq!(void.amount_paid().unwrap().to_string(), "USD 0.00");
    }

    #[test]
    fn figures_that_do_not_add_up_are_found() {
        let mut invoice = draft();
        invoice.tax.lines.first_mut().unwrap().amount = Money::new("306.001".parse().unwrap(), Currency::USD);
        assert_eq!(invoice.verify(), Err(InvoiceMismatch::NotRounded));

        let mut invoice = draft();
        invoice.status = InvoiceStatus::Open;
        assert_eq!(invoice.verify(), Err(InvoiceMismatch::Number));

        let mut invoice = draft();
        let line = invoice.lines.first_mut().unwrap();
        line.parts = vec![LinePart {
            filter: None,
            kind: PartKind::Units,
            quantity: Decimal::ONE,
            unit_price: Some(Decimal::from(499)),
            flat_price: Decimal::ZERO,
            amount: Money::new(Decimal::from(499), Currency::USD),
        }];
        assert_eq!(invoice.verify(), Err(InvoiceMismatch::Parts));
    }

    #[test]
    fn numbers_grow_past_four_digits() {
        let number = InvoiceNumber::next(9_999, at("2026-01-01T00:00:00Z"));
        assert_eq!(number.to_string(), "INV-2026-10000");
        assert_eq!("INV-2026-10000".parse(), Ok(number));
        for wrong in ["", "INV-2026-1", "2026-10000", "INV-2026", "inv-2026-10000", "INV-2026-10000 "] {
            assert_eq!(wrong.parse::<InvoiceNumber>(), Err(InvalidInvoiceNumber), "{wrong}");
        }
    }
}
