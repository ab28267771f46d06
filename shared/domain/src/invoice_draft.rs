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
    pub lines: Option<Vec<ManualLine>>,
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
    /// Line `n`, from 0, is too large to be computed.
    #[error("is too large to be computed exactly")]
    Line(usize),
    /// All lines together are.
    #[error("come to an amount too large to be computed exactly")]
    Total,
}

/// The most lines somebody may write on one invoice: they are one item of at most 400 KB.
pub const MANUAL_LINES_MAX: usize = 250;

impl Invoice {
    /// A draft made `now` that nothing is billed on yet.
    pub fn draft(id: InvoiceId, customer: CustomerId, currency: Currency, now: DateTime<Utc>) -> Self {
        Self {
            id,
            customer,
            billed: None,
            number: None,
            status: InvoiceStatus::Draft { finalize_at: None },
            currency,
            lines: Vec::new(),
            seen: Vec::new(),
            has_edited_lines: false,
            tax: Tax::none(),
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
    /// from usage any more.
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
        let has_edited_lines = self.has_edited_lines || (edit.lines.is_some() && self.billed.is_some());
        let (lines, seen) = match edit.lines {
            Some(lines) => (manual_lines(lines, currency)?, Vec::new()),
            None => (self.lines.clone(), self.seen.clone()),
        };
        let edited = Self {
            customer,
            currency,
            lines,
            seen,
            has_edited_lines,
            payment_due: edit.payment_due.unwrap_or(self.payment_due),
            memo: edit.memo.unwrap_or_else(|| self.memo.clone()),
            metadata: edit.metadata.unwrap_or_else(|| self.metadata.clone()),
            ..self.changed(now)
        };
        // Tax of the old lines says nothing of the new ones.
        let edited = Self { tax: Tax::none(), ..edited };
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

    /// This draft under `terms`: its tax, and when it would be due. Nothing is wrong with it then.
    ///
    /// Errors: if the amounts cannot be computed.
    pub fn with_terms(&self, terms: &InvoiceTerms) -> Result<Self, MoneyError> {
        let tax = terms.tax.tax_on(self.line_sum()?)?;
        let opens_at = self.finalize_at().unwrap_or(self.issued_at);
        let due_at = self.payment_due.from(opens_at, terms.payment_terms_days);
        let with_terms = Self { tax, due_at, billing_error: None, ..self.clone() };
        with_terms.total()?;
        Ok(with_terms)
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
                }
                OutboxMessage::InvoiceEvent { .. }
                | OutboxMessage::EmailInvoice { .. }
                | OutboxMessage::SubscriptionEvent { .. }
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

        let edit =
            DraftEdit { lines: Some(vec![line("1", "49"), line("12000", "0.001")]), ..DraftEdit::default() };
        let edited = of_subscription().edited(edit.clone(), now()).unwrap();
        assert_eq!(edited.subtotal().unwrap().to_string(), "USD 61.00");
        assert!(edited.has_edited_lines && !edited.is_rated());
        assert!(!manual().edited(edit, now()).unwrap().has_edited_lines, "all its lines are written by hand");
    }

    #[test]
    fn what_belongs_to_the_subscription_stays() {
        let euros: Currency = "EUR".parse().unwrap();
        let customer = DraftEdit { customer: Some(id(9)), ..DraftEdit::default() };
        let currency = DraftEdit { currency: Some(euros), ..DraftEdit::default() };
        let both = DraftEdit { lines: Some(vec![line("1", "1")]), ..currency.clone() };
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
        let edited =
            draft.edited(DraftEdit { lines: Some(vec![line("2", "10")]), ..DraftEdit::default() }, now());
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
