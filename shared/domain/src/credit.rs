//! Credit: what invoices of less than nothing gave back, taken off the customer's later invoices in that currency.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::{
    currency::Currency,
    invoice::{Invoice, InvoiceStatus},
    money::{Money, MoneyError},
};

/// What a customer has to its credit, by currency. What there is is more than nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreditBalances {
    amounts: BTreeMap<Currency, Decimal>,
}

impl CreditBalances {
    /// What there is in one currency.
    pub fn of(&self, currency: Currency) -> Money {
        let amount = self.amounts.get(&currency).copied().unwrap_or_default();
        Money::new(amount, currency).rounded()
    }

    /// What there is, by currency.
    pub fn iter(&self) -> impl Iterator<Item = Money> {
        self.amounts.iter().map(|(currency, amount)| Money::new(*amount, *currency))
    }

    /// With so much more, or less.
    ///
    /// Errors: `Overflow` from 10^24.
    pub fn changed(&self, by: Money) -> Result<Self, MoneyError> {
        let amount = self.of(by.currency()).checked_add(by)?.rounded().amount();
        let mut amounts = self.amounts.clone();
        if amount > Decimal::ZERO {
            amounts.insert(by.currency(), amount);
        } else {
            amounts.remove(&by.currency());
        }
        Ok(Self { amounts })
    }
}

impl Invoice {
    /// This draft with the credit that it takes if it is finalized now: all there is, and no more than its total.
    ///
    /// Errors: as for [`Invoice::total`].
    pub fn with_credit(self, balances: &CreditBalances) -> Result<Self, MoneyError> {
        let applied = balances.of(self.currency).amount().min(self.total()?.amount()).max(Decimal::ZERO);
        let credits_applied = Money::new(applied, self.currency).rounded();
        Ok(Self { credits_applied, ..self })
    }

    /// What finalizing this invoice leaves of `balances`: less what it takes, and with what it gives back.
    ///
    /// Errors: `Overflow` from 10^24.
    pub fn credit_left(&self, balances: &CreditBalances) -> Result<CreditBalances, MoneyError> {
        let total = self.total()?;
        let given_back = Money::new((-total.amount()).max(Decimal::ZERO), self.currency);
        balances.changed(given_back.checked_sub(self.credits_applied)?)
    }

    /// What the customer gets back of the credit that was taken for this invoice, once it is as `after`: all, if it
    /// is not to be paid any more.
    pub fn credit_returned(&self, after: &Self) -> Money {
        match (self.status, after.status) {
            (InvoiceStatus::Open | InvoiceStatus::Uncollectible { .. }, InvoiceStatus::Void { .. }) => {
                self.credits_applied
            }
            // A draft has taken nothing yet; what is paid or void stays so.
            (
                InvoiceStatus::Draft { .. }
                | InvoiceStatus::Open
                | InvoiceStatus::Uncollectible { .. }
                | InvoiceStatus::Paid { .. }
                | InvoiceStatus::Void { .. },
                _,
            ) => Money::zero(self.currency),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        id::Id,
        invoice::{InvoiceNumber, LineItem},
    };

    fn now() -> DateTime<Utc> {
        "2025-02-01T00:00:00Z".parse().unwrap()
    }

    fn draft(cents: i64, currency: Currency) -> Invoice {
        let price = Decimal::new(cents, 2);
        let line = LineItem::manual("A".into(), Decimal::ONE, price, currency).unwrap();
        let id = |n| uuid::Uuid::from_u128(n);
        let draft = Invoice::draft(Id::from_uuid(id(1)), Id::from_uuid(id(2)), currency, now());
        Invoice { lines: vec![line], ..draft }
    }

    fn finalized(cents: i64, balances: &CreditBalances) -> (Invoice, CreditBalances) {
        let draft = draft(cents, Currency::USD).with_credit(balances).unwrap();
        let invoice = draft.finalized(InvoiceNumber::next(0, now()), now(), 30).unwrap();
        let left = invoice.credit_left(balances).unwrap();
        (invoice, left)
    }

    fn balance(cents: i64) -> CreditBalances {
        CreditBalances::default().changed(Money::new(Decimal::new(cents, 2), Currency::USD)).unwrap()
    }

    #[test]
    fn credit_is_taken_as_far_as_it_goes_and_no_further_than_is_owed() {
        // balance, total | applied, due, paid at once, left
        for (before, total, expected) in [
            (0, 3000, "0.00 30.00 false 0.00"),
            (1000, 3000, "10.00 20.00 false 0.00"),
            (3000, 3000, "30.00 0.00 true 0.00"),
            (5000, 3000, "30.00 0.00 true 20.00"),
            (1000, 0, "0.00 0.00 true 10.00"),
            (1000, -500, "0.00 0.00 true 15.00"),
            (0, -500, "0.00 0.00 true 5.00"),
        ] {
            let (invoice, left) = finalized(total, &balance(before));
            let is_paid = matches!(invoice.status, InvoiceStatus::Paid { .. });
            let (applied, due) = (invoice.credits_applied.amount(), invoice.amount_due().unwrap().amount());
            let found = format!("{applied} {due} {is_paid} {}", left.of(Currency::USD).amount());
            assert_eq!(found, expected, "{before} {total}");
            assert_eq!(invoice.verify(), Ok(()));
        }
    }

    #[test]
    fn credit_is_of_one_currency() {
        let euros = "EUR".parse().unwrap();
        let draft = draft(3000, euros).with_credit(&balance(1000)).unwrap();
        assert!(draft.credits_applied.is_zero());
        let both = balance(1000).changed(Money::new(5.into(), euros)).unwrap();
        let shown = both.iter().map(|money| money.to_string()).collect::<Vec<_>>();
        assert_eq!(shown, ["EUR 5.00", "USD 10.00"]);
    }

    #[test]
    fn what_is_not_to_be_paid_any_more_gives_its_credit_back() {
        let (open, left) = finalized(3000, &balance(1000));
        assert_eq!(left, CreditBalances::default());
        let lost = open.written_off(now()).unwrap();
        for (before, after, expected) in [
            (&open, open.voided(now()).unwrap(), 1000),
            (&lost, lost.voided(now()).unwrap(), 1000),
            (&open, open.paid(now()).unwrap(), 0),
            (&open, lost.clone(), 0),
            (&lost, lost.paid(now()).unwrap(), 0),
        ] {
            assert_eq!(left.changed(before.credit_returned(&after)).unwrap(), balance(expected));
            assert_eq!(after.verify(), Ok(()));
        }
        let draft = draft(3000, Currency::USD).with_credit(&balance(1000)).unwrap();
        let void = draft.voided(now()).unwrap();
        assert!(draft.credit_returned(&void).is_zero(), "it has taken none yet");
        assert!(void.credits_applied.is_zero() && open.voided(now()).unwrap().credits_applied.is_zero());
    }

    #[test]
    fn more_credit_than_is_owed_is_a_mistake() {
        let (open, _) = finalized(3000, &balance(1000));
        for (cents, is_right) in [(0, true), (3000, true), (3001, false), (-1, false)] {
            let credits_applied = Money::new(Decimal::new(cents, 2), Currency::USD);
            let invoice = Invoice { credits_applied, ..open.clone() };
            assert_eq!(invoice.verify().is_ok(), is_right, "{cents}");
        }
    }

    proptest! {
        #[test]
        fn no_credit_is_made_or_lost(totals in prop::collection::vec(-100_000_i64..100_000, 1..20)) {
            let (mut balances, mut owed) = (CreditBalances::default(), Decimal::ZERO);
            for total in &totals {
                let (invoice, left) = finalized(*total, &balances);
                balances = left;
                let paid = invoice.amount_due().unwrap().checked_add(invoice.amount_paid().unwrap()).unwrap();
                owed += paid.amount();
            }
            let all = totals.iter().map(|cents| Decimal::new(*cents, 2)).sum::<Decimal>();
            prop_assert_eq!(owed - balances.of(Currency::USD).amount(), all);
        }
    }
}
