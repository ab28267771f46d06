//! Drafts: made, edited by hand, and brought up to the terms of the organization and its customer.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::{
    currency::Currency,
    id::{CustomerId, InvoiceId},
    invoice::{Invoice, InvoiceStatus, LineItem, LineSource, PaymentDue},
    money::{Money, MoneyError},
    outbox::OutboxMessage,
    period_close::PeriodClose,
    property::Properties,
    seen_usage::{BillUsage, LateLines, SeenUsage},
    tax::{Tax, TaxTerms},
};

/// What a draft takes over from its organization and its customer until it is finalized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceTerms {
    /// The rates of tax.
    pub tax: TaxTerms,
    /// Days from finalizing to the due date, where no other was chosen.
    pub payment_terms_days: u32,
}

/// A change to a draft. `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DraftEdit {
    /// Who pays it.
    pub customer: Option<CustomerId>,
    /// What it is in.
    pub currency: Option<Currency>,
    /// What is billed: all of it.
    pub lines: Option<Vec<GivenLine>>,
    /// When it is to be paid by.
    pub payment_due: Option<PaymentDue>,
    /// A note to whoever pays it; an inner `None` takes it away.
    pub memo: Option<Option<String>>,
    /// Whatever else is to be seen again.
    pub metadata: Option<Properties>,
}

/// A line that somebody writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualLine {
    /// What is billed.
    pub description: String,
    /// How much.
    pub quantity: Decimal,
    /// Price of one.
    pub unit_price: Decimal,
}

/// A line as an edit gives it: one that the draft has already, or one that somebody writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenLine {
    /// What is billed.
    pub description: String,
    /// How much.
    pub quantity: Decimal,
    /// Price of one. A line that the draft has may be without, one that is written may not.
    pub unit_price: Option<Decimal>,
}

/// Why a draft cannot be edited so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It was finalized or voided.
    #[error("an invoice that is {0} is not changed any more")]
    NotDraft(&'static str),
    /// A subscription's invoice goes to its customer.
    #[error("must stay the subscription's customer")]
    SubscriptionCustomer,
    /// A subscription's invoice is in its currency.
    #[error("must stay the subscription's currency")]
    SubscriptionCurrency,
    /// The lines are in another currency.
    #[error("must come with the line items in it")]
    LinesMissing,
    /// Line `n`, from 0, is written anew without a price.
    #[error("is required of a line that differs from those of the draft")]
    NoPrice(usize),
    /// The price of line `n`, which is written anew, is less than nothing.
    #[error("must not be negative on a line that differs from those of the draft")]
    NegativePrice(usize),
    /// The quantity of line `n`, which is written anew, is nothing or less.
    #[error("must be greater than 0 on a line that differs from those of the draft")]
    NoQuantity(usize),
    /// Line `n`, from 0, is too large to be computed.
    #[error("is too large to be computed exactly")]
    Line(usize),
    /// All lines together are.
    #[error("come to an amount too large to be computed exactly")]
    Total,
}

/// The digits of a number that survive a client that computes in double precision: a line whose figures are the
/// same up to here is the same.
const DIGITS_KEPT: u32 = 15;

/// The most lines somebody may write on one invoice: they are one item of at most 400 KB.
pub const MANUAL_LINES_MAX: usize = 250;

impl Invoice {
    /// A draft made `now` that nothing is billed on yet.
    pub fn draft(id: InvoiceId, customer: CustomerId, currency: Currency, now: DateTime<Utc>) -> Self {
        Self {
            id,
            customer,
            billed: None,
            replaces: None,
            replaced_by: None,
            number: None,
            status: InvoiceStatus::Draft { finalize_at: None },
            currency,
            lines: Vec::new(),
            seen: Vec::new(),
            has_edited_lines: false,
            tax: Tax::none(),
            parties: None,
            credits_applied: Money::zero(currency),
            payment_due: PaymentDue::AsSet,
            memo: None,
            metadata: Properties::new(),
            public_token_hash: None,
            billing_error: None,
            past_due_at: None,
            created_at: now,
            updated_at: now,
            issued_at: now,
            due_at: now,
            version: 0,
        }
    }

    /// Whether it may still change.
    pub fn is_draft(&self) -> bool {
        match self.status {
            InvoiceStatus::Draft { .. } => true,
            InvoiceStatus::Open
            | InvoiceStatus::Paid { .. }
            | InvoiceStatus::Void { .. }
            | InvoiceStatus::Uncollectible { .. } => false,
        }
    }

    /// Whether its lines are rated from usage until it is finalized: a subscription's draft that nobody
    /// wrote the lines of.
    pub fn is_rated(&self) -> bool {
        self.is_draft() && self.billed.is_some() && !self.has_edited_lines
    }

    /// This draft with `edit`. Lines that are given replace all there are, and stay: they are not rated
    /// from usage any more. One that is given as it is here is kept with all it has; if all are, nothing is edited.
    pub fn edited(&self, edit: DraftEdit, now: DateTime<Utc>) -> Result<Self, EditError> {
        if !self.is_draft() {
            return Err(EditError::NotDraft(self.status.name()));
        }
        let customer = edit.customer.unwrap_or(self.customer);
        if self.billed.is_some() && customer != self.customer {
            return Err(EditError::SubscriptionCustomer);
        }
        let currency = edit.currency.unwrap_or(self.currency);
        if currency != self.currency {
            if self.billed.is_some() {
                return Err(EditError::SubscriptionCurrency);
            }
            if edit.lines.is_none() {
                return Err(EditError::LinesMissing);
            }
        }
        let (lines, is_edited) = match edit.lines {
            Some(given) => self.with_given(given, currency)?,
            None => (self.lines.clone(), false),
        };
        let has_edited_lines = self.has_edited_lines || (is_edited && self.billed.is_some());
        let edited = Self {
            customer,
            currency,
            lines,
            seen: if is_edited { Vec::new() } else { self.seen.clone() },
            has_edited_lines,
            payment_due: edit.payment_due.unwrap_or(self.payment_due),
            memo: edit.memo.unwrap_or_else(|| self.memo.clone()),
            metadata: edit.metadata.unwrap_or_else(|| self.metadata.clone()),
            ..self.changed(now)
        };
        // Tax of the old lines says nothing of the new ones, nor does credit.
        let edited = Self { tax: Tax::none(), credits_applied: Money::zero(currency), ..edited };
        edited.line_sum().map_err(|_| EditError::Total)?;
        Ok(edited)
    }

    /// This draft with lines that were rated from what was used, and from what is late for bills before.
    #[must_use]
    pub fn with_lines(self, mut lines: Vec<LineItem>, usage: &BillUsage, late: LateLines) -> Self {
        lines.extend(late.lines);
        let own = usage.writes.map(|writes| SeenUsage { invoice: self.id, writes });
        Self { lines, seen: own.into_iter().chain(late.seen).collect(), ..self }
    }

    /// The lines as they are given, in their order, and whether they differ from those of this draft.
    fn with_given(
        &self,
        given: Vec<GivenLine>,
        currency: Currency,
    ) -> Result<(Vec<LineItem>, bool), EditError> {
        let known = if currency == self.currency { self.lines.as_slice() } else { &[] };
        let mut left = known.iter().collect::<Vec<_>>();
        let mut is_edited = given.len() != self.lines.len();
        let line = |(index, given): (usize, GivenLine)| {
            if let Some(at) = left.iter().position(|line| given.is(line)) {
                return Ok(left.remove(at).clone());
            }
            is_edited = true;
            given.written(index, currency)
        };
        let lines = given.into_iter().enumerate().map(line).collect::<Result<_, _>>()?;
        Ok((lines, is_edited))
    }

    /// This draft under `terms`: its tax, and when it would be due, before any credit. Nothing is wrong with it then.
    ///
    /// Errors: if the amounts cannot be computed.
    pub fn with_terms(&self, terms: &InvoiceTerms) -> Result<Self, MoneyError> {
        let tax = terms.tax.tax_on(self.line_sum()?)?;
        let opens_at = self.finalize_at().unwrap_or(self.issued_at);
        let due_at = self.payment_due.from(opens_at, terms.payment_terms_days);
        let credits_applied = Money::zero(self.currency);
        let with_terms = Self { tax, due_at, credits_applied, billing_error: None, ..self.clone() };
        with_terms.total()?;
        Ok(with_terms)
    }
}

impl GivenLine {
    /// Whether it says what `line` is.
    fn is(&self, line: &LineItem) -> bool {
        let is_same = |one: Decimal, other: Decimal| {
            one == other || one.round_sf(DIGITS_KEPT) == other.round_sf(DIGITS_KEPT)
        };
        let is_price_same = match (self.unit_price, line.unit_price) {
            (Some(given), Some(price)) => is_same(given, price),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.description == line.description && is_same(self.quantity, line.quantity) && is_price_same
    }

    /// The line that somebody writes so, as line `index`.
    fn written(self, index: usize, currency: Currency) -> Result<LineItem, EditError> {
        let Self { description, quantity, unit_price } = self;
        if quantity <= Decimal::ZERO {
            return Err(EditError::NoQuantity(index));
        }
        match unit_price {
            None => Err(EditError::NoPrice(index)),
            Some(price) if price < Decimal::ZERO => Err(EditError::NegativePrice(index)),
            Some(price) => {
                LineItem::manual(description, quantity, price, currency).map_err(|_| EditError::Line(index))
            }
        }
    }
}

impl LineItem {
    /// A line that somebody writes, rounded once. Errors: if it is too large.
    pub fn manual(
        description: String,
        quantity: Decimal,
        unit_price: Decimal,
        currency: Currency,
    ) -> Result<Self, MoneyError> {
        let amount = Money::new(unit_price, currency).checked_mul(quantity)?.rounded();
        Ok(Self {
            description,
            source: LineSource::Manual,
            metered: None,
            quantity,
            unit_price: Some(unit_price),
            parts: Vec::new(),
            proration: None,
            period: None,
            amount,
        })
    }
}

impl PeriodClose {
    /// The same end of a period with its draft under `terms`, and what is to be told of it.
    ///
    /// Errors: if the amounts cannot be computed.
    pub fn with_terms(mut self, terms: &InvoiceTerms) -> Result<Self, MoneyError> {
        let Some(draft) = &self.invoice else { return Ok(self) };
        let draft = draft.with_terms(terms)?;
        for entry in &mut self.outbox {
            match &mut entry.message {
                OutboxMessage::InvoiceEvent { invoice, .. } if invoice.id == draft.id => {
                    invoice.total = draft.total()?;
                    invoice.amount_due = draft.amount_due()?;
                }
                OutboxMessage::InvoiceEvent { .. }
                | OutboxMessage::EmailInvoice { .. }
                | OutboxMessage::SubscriptionEvent { .. }
                | OutboxMessage::OneOffEvent { .. }
                | OutboxMessage::AlertTriggered(_) => {}
            }
        }
        self.invoice = Some(draft);
        Ok(self)
    }
}

/// Lines that somebody writes. Errors: `Line` with the one that is too large.
pub fn manual_lines(lines: Vec<ManualLine>, currency: Currency) -> Result<Vec<LineItem>, EditError> {
    let line = |(index, line): (usize, ManualLine)| {
        LineItem::manual(line.description, line.quantity, line.unit_price, currency)
            .map_err(|_| EditError::Line(index))
    };
    lines.into_iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        id::Id,
        invoice::InvoiceNumber,
        period::BillingPeriod,
        tax::{TaxPolicy, TaxRate, Taxpayer},
    };

    fn id<K>(n: u128) -> Id<K> {
        Id::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn now() -> DateTime<Utc> {
        "2025-02-01T00:00:00Z".parse().unwrap()
    }

    fn line(quantity: &str, unit_price: &str) -> ManualLine {
        ManualLine {
            description: "Work".into(),
            quantity: quantity.parse().unwrap(),
            unit_price: unit_price.parse().unwrap(),
        }
    }

    fn given(description: &str, quantity: &str, unit_price: Option<&str>) -> GivenLine {
        GivenLine {
            description: description.into(),
            quantity: quantity.parse().unwrap(),
            unit_price: unit_price.map(|price| price.parse().unwrap()),
        }
    }

    fn manual() -> Invoice {
        let lines = manual_lines(vec![line("1", "10")], Currency::USD).unwrap();
        Invoice { lines, ..Invoice::draft(id(1), id(2), Currency::USD, now()) }
    }

    fn of_subscription() -> Invoice {
        let period = BillingPeriod::new(now() - chrono::Duration::days(31), now()).unwrap();
        Invoice { billed: Some((id(3), period)), ..manual() }
    }

    #[test]
    fn a_line_is_rounded_to_its_currency() {
        let check = |quantity: &str, unit_price: &str, currency: &str, expected: &str| {
            let lines = manual_lines(vec![line(quantity, unit_price)], currency.parse().unwrap()).unwrap();
            assert_eq!(lines.first().unwrap().amount.to_string(), expected);
        };
        check("12000", "0.001", "USD", "USD 12.00");
        check("3", "0.335", "USD", "USD 1.01"); // 1.005, half away from zero
        check("1", "10.5", "JPY", "JPY 11");
        check("1", "0.0005", "KWD", "KWD 0.001");
        let huge = manual_lines(vec![line("1", "1"), line("1e20", "1e20")], Currency::USD);
        assert_eq!(huge, Err(EditError::Line(1)));
    }

    #[test]
    fn an_edit_changes_what_it_says_and_nothing_else() {
        let edit = DraftEdit { memo: Some(Some("Thanks".into())), ..DraftEdit::default() };
        let edited = of_subscription().edited(edit, now()).unwrap();
        assert_eq!((edited.memo.as_deref(), edited.has_edited_lines), (Some("Thanks"), false));
        assert_eq!(edited.lines, of_subscription().lines);
        assert!(edited.is_rated(), "its lines still follow usage");

        let edit = DraftEdit {
            lines: Some(vec![given("Base", "1", Some("49")), given("Calls", "12000", Some("0.001"))]),
            ..DraftEdit::default()
        };
        let edited = of_subscription().edited(edit.clone(), now()).unwrap();
        assert_eq!(edited.subtotal().unwrap().to_string(), "USD 61.00");
        assert!(edited.has_edited_lines && !edited.is_rated());
        assert!(!manual().edited(edit, now()).unwrap().has_edited_lines, "all its lines are written by hand");
    }

    #[test]
    fn a_line_that_is_given_as_it_is_is_kept_with_all_it_has() {
        let money = |text: &str| Money::new(text.parse().unwrap(), Currency::USD);
        let written = |description: &str, quantity: &str, price: &str| {
            let (quantity, price) = (quantity.parse().unwrap(), price.parse().unwrap());
            LineItem::manual(description.into(), quantity, price, Currency::USD).unwrap()
        };
        let period = of_subscription().billed.map(|(_, period)| period);
        let source = LineSource::Fixed { charge: id(7) };
        let unused =
            LineItem { amount: money("-30.97"), source, period, ..written("Unused time", "1", "60") };
        let tiered = LineItem { unit_price: None, amount: money("7.50"), ..written("Calls", "0", "0") };
        let draft =
            Invoice { lines: vec![unused.clone(), tiered.clone(), unused.clone()], ..of_subscription() };
        let edited = |draft: &Invoice, lines: &[GivenLine]| {
            draft.edited(DraftEdit { lines: Some(lines.to_vec()), ..DraftEdit::default() }, now())
        };
        let same = given("Unused time", "1", Some("60.00"));
        let all = [same.clone(), given("Calls", "0", None), same.clone()];
        let kept = edited(&draft, &all).unwrap();
        assert_eq!((&kept.lines, kept.has_edited_lines), (&draft.lines, false), "nothing changed");
        let again = Invoice { has_edited_lines: true, ..draft.clone() };
        assert!(edited(&again, &all).unwrap().has_edited_lines, "it stays as it was");

        let fewer = edited(&draft, &[given("Calls", "0", None)]).unwrap();
        assert_eq!((fewer.lines, fewer.has_edited_lines), (vec![tiered], true));
        // Each is matched once: what is given more often is written, and costs what it says.
        let [first, second] = [same.clone(), given("Work", "2", Some("5"))];
        let more = edited(&draft, &[first, second, same.clone(), same.clone()]).unwrap();
        assert_eq!(
            more.lines.iter().map(|line| line.amount).collect::<Vec<_>>(),
            ["-30.97", "10", "-30.97", "60"].map(|text| money(text).rounded())
        );
        assert_eq!(more.lines.last().unwrap().source, LineSource::Manual);
        // A client that computes in double precision does not write a line anew.
        let third = LineItem { quantity: "0.3333333333333333333333333333".parse().unwrap(), ..unused };
        let level = Invoice { lines: vec![third], ..draft.clone() };
        let rounded = edited(&level, &[given("Unused time", "0.3333333333333333", Some("60"))]);
        assert_eq!(rounded.unwrap().lines, level.lines);

        for (line, expected) in [
            (given("Calls", "1", None), EditError::NoPrice(1)),
            (given("Calls", "0", Some("0")), EditError::NoQuantity(1)),
            (given("Unused time", "1", Some("-30.97")), EditError::NegativePrice(1)),
        ] {
            assert_eq!(edited(&draft, &[same.clone(), line]), Err(expected));
        }
        let euros =
            DraftEdit { lines: Some(vec![same]), currency: "EUR".parse().ok(), ..DraftEdit::default() };
        let elsewhere = Invoice { billed: None, ..draft }.edited(euros, now()).unwrap();
        assert_eq!(elsewhere.total().unwrap().to_string(), "EUR 60.00", "no line is of another currency");
    }

    #[test]
    fn what_belongs_to_the_subscription_stays() {
        let euros: Currency = "EUR".parse().unwrap();
        let customer = DraftEdit { customer: Some(id(9)), ..DraftEdit::default() };
        let currency = DraftEdit { currency: Some(euros), ..DraftEdit::default() };
        let both = DraftEdit { lines: Some(vec![given("Work", "1", Some("1"))]), ..currency.clone() };
        assert_eq!(of_subscription().edited(customer.clone(), now()), Err(EditError::SubscriptionCustomer));
        assert_eq!(of_subscription().edited(both.clone(), now()), Err(EditError::SubscriptionCurrency));
        assert_eq!(manual().edited(customer, now()).unwrap().customer, id(9));
        assert_eq!(manual().edited(currency, now()), Err(EditError::LinesMissing));
        assert_eq!(manual().edited(both, now()).unwrap().total().unwrap().to_string(), "EUR 1.00");
        let open = manual().finalized(InvoiceNumber::next(0, now()), now(), 30).unwrap();
        assert_eq!(open.edited(DraftEdit::default(), now()), Err(EditError::NotDraft("open")));
    }

    #[test]
    fn terms_set_the_tax_and_the_due_date() {
        let rate = TaxRate {
            name: "GST".into(),
            country: "IN".into(),
            state: None,
            percent: 18.into(),
            replaces_country: false,
        };
        let policy = TaxPolicy { rates: vec![rate], ..TaxPolicy::default() };
        let buyer = Taxpayer { country: Some("IN"), ..Taxpayer::default() };
        let terms = InvoiceTerms { tax: policy.terms(None, buyer), payment_terms_days: 10 };
        let draft = manual().with_terms(&terms).unwrap();
        assert_eq!(draft.total().unwrap().to_string(), "USD 11.80");
        assert_eq!(draft.due_at.to_rfc3339(), "2025-02-11T00:00:00+00:00");
        let chosen = Invoice { payment_due: PaymentDue::On(now()), ..manual() };
        assert_eq!(chosen.with_terms(&terms).unwrap().due_at, now());
        let edited = draft.edited(
            DraftEdit { lines: Some(vec![given("Work", "2", Some("10"))]), ..DraftEdit::default() },
            now(),
        );
        let edited = edited.unwrap().with_terms(&terms).unwrap();
        assert_eq!(edited.total().unwrap().to_string(), "USD 23.60", "tax follows the lines");
    }

    proptest! {
        #[test]
        fn the_figures_of_any_invoice_add_up(
            lines in prop::collection::vec((1_i64..1_000_000, 0_i64..1_000_000), 0..20),
            percents in prop::collection::vec(0_i64..10_000, 0..4),
            is_included in any::<bool>(),
            currency in prop::sample::select(vec!["USD", "JPY", "KWD", "CLF"]),
        ) {
            let lines = lines.into_iter().map(|(quantity, price)| ManualLine {
                description: "A".into(),
                quantity: Decimal::new(quantity, 3),
                unit_price: Decimal::new(price, 4),
            });
            let rates = percents.into_iter().map(|percent| ("Tax".to_owned(), Decimal::new(percent, 2)));
            let treatment = crate::tax::TaxTreatment::Taxed;
            let tax = TaxTerms { treatment, is_included, rates: rates.collect() };
            let terms = InvoiceTerms { tax, payment_terms_days: 30 };
            let currency: Currency = currency.parse().unwrap();
            let lines = manual_lines(lines.collect(), currency).unwrap();
            let draft = Invoice { lines, ..Invoice::draft(id(1), id(2), currency, now()) };
            let draft = draft.with_terms(&terms).unwrap();
            prop_assert_eq!(draft.verify(), Ok(()));
            let (subtotal, total) = (draft.subtotal().unwrap(), draft.total().unwrap());
            let tax = draft.tax.total(currency).unwrap();
            prop_assert_eq!(subtotal.checked_add(tax).unwrap(), total);
            let gross_or_net = if is_included { total } else { subtotal };
            prop_assert_eq!(draft.line_sum().unwrap(), gross_or_net);
            prop_assert!(subtotal.amount() >= Decimal::ZERO && subtotal.is_rounded());
            // Its terms are the same when they are applied again, and after it is finalized.
            prop_assert_eq!(&draft.with_terms(&terms).unwrap(), &draft);
            let open = draft.finalized(InvoiceNumber::next(0, now()), now(), 30).unwrap();
            prop_assert_eq!(open.verify(), Ok(()));
            prop_assert_eq!(open.total().unwrap(), total);
            let both = open.amount_due().unwrap().checked_add(open.amount_paid().unwrap()).unwrap();
            prop_assert_eq!(both, total);
        }
    }
}
