//! Invoices made again: of a bill whose invoice was voided, or whose draft was deleted. Of each bill there is at most
//! one that is not void: the next has an id that follows from the one before.

use chrono::{DateTime, Utc};

use crate::{
    id::InvoiceId,
    invoice::{Invoice, InvoiceStatus},
    one_off,
    period::PeriodError,
    period_close::{blank, invoice_id, voided_before},
    subscription::{PlansById, Subscription},
    timeline::Bill,
};

/// Why an invoice is not made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegenerateError {
    /// It stands.
    #[error("an invoice that is {0} stands: only a void one is made again")]
    NotVoid(&'static str),
    /// It bills no period.
    #[error("it was written by hand, and bills no period: write another one")]
    ByHand,
    /// What was billed once may be forgotten.
    #[error("it is of a bill that fell due more than a year ago: write an invoice by hand")]
    TooOld,
    /// There are no more ids.
    #[error("too many invoices of this bill were voided: write one by hand")]
    TooMany,
}

impl Invoice {
    /// A draft of the same bill, made `now` in place of this void one, without lines yet. It is always the same.
    pub fn made_again(
        &self,
        subscription: &Subscription,
        bill: &Bill,
        now: DateTime<Utc>,
    ) -> Result<Self, RegenerateError> {
        match self.status {
            InvoiceStatus::Void { .. } => {}
            InvoiceStatus::Draft { .. }
            | InvoiceStatus::Open
            | InvoiceStatus::Paid { .. }
            | InvoiceStatus::Uncollectible { .. } => {
                return Err(RegenerateError::NotVoid(self.status.name()));
            }
        }
        let before = voided_before(subscription, bill.at, self.id).ok_or(RegenerateError::ByHand)?;
        let voided = before.checked_add(1).ok_or(RegenerateError::TooMany)?;
        check_age(bill, now)?;
        Ok(Self { replaces: Some(self.id), ..blank(subscription, bill, voided, now) })
    }

    /// Whether its bill was made again: this is the new one, or the one before where the new one was deleted.
    pub fn is_made_again(&self) -> bool {
        self.replaces.is_some() || self.replaced_by.is_some()
    }
}

/// The first draft of a bill that was made and deleted, made again `now`, without lines yet.
///
/// Errors: `TooOld`.
pub fn first_again(
    subscription: &Subscription,
    bill: &Bill,
    now: DateTime<Utc>,
) -> Result<Invoice, RegenerateError> {
    check_age(bill, now)?;
    Ok(blank(subscription, bill, 0, now))
}

/// The bills of a subscription that fell due and are of the period that begins at `start`, each with the id that its
/// first invoice has. Bills on which nothing was due are left out.
///
/// Errors: `OutOfRange` past the calendar.
pub fn bills_from(
    subscription: &Subscription,
    plans: &PlansById,
    start: DateTime<Utc>,
) -> Result<Vec<(InvoiceId, Bill)>, PeriodError> {
    let timeline = subscription.timeline(plans);
    let (mut bills, mut last) = (Vec::new(), None);
    while let Some(at) = timeline.next(last)?
        && subscription.billed_until.is_some_and(|until| at <= until)
    {
        let bill = timeline.bill(last, at)?;
        if bill.period.start() == start && !bill.dues.is_empty() {
            bills.push((invoice_id(subscription, at, 0), bill));
        }
        last = Some(at);
    }
    Ok(bills)
}

/// What was charged once is kept with the subscription for so long after it was billed.
fn check_age(bill: &Bill, now: DateTime<Utc>) -> Result<(), RegenerateError> {
    if now - one_off::KEPT <= bill.at { Ok(()) } else { Err(RegenerateError::TooOld) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        entitlement::tests::subscription, invoice::InvoiceNumber, period::BillingPeriod,
        subscription::SubscriptionStatus,
    };

    fn at(day: &str) -> DateTime<Utc> {
        format!("{day}T00:00:00Z").parse().unwrap()
    }

    fn bill(at: DateTime<Utc>) -> Bill {
        let period = BillingPeriod::new(at - chrono::Duration::days(31), at).unwrap();
        Bill { at, period, dues: Vec::new() }
    }

    #[test]
    fn each_has_an_id_that_follows_from_the_one_before() {
        let subscription = subscription(1, at("2025-01-01"), SubscriptionStatus::Active);
        let (bill, now) = (bill(at("2025-02-01")), at("2025-02-05"));
        let mut ids = vec![first_again(&subscription, &bill, now).unwrap().id];
        for n in 0..=255 {
            let id = *ids.last().unwrap();
            assert_eq!(voided_before(&subscription, bill.at, id), Some(n));
            assert_eq!(voided_before(&subscription, at("2025-03-01"), id), None);
            let void =
                Invoice { status: InvoiceStatus::Void { at: now }, ..blank(&subscription, &bill, n, now) };
            assert_eq!(void.id, id);
            match void.made_again(&subscription, &bill, now) {
                Ok(next) => {
                    assert_eq!((next.replaces, next.billed), (Some(id), void.billed));
                    assert_eq!(
                        Ok(next.id),
                        void.made_again(&subscription, &bill, at("2025-03-01")).map(|same| same.id)
                    );
                    ids.push(next.id);
                }
                Err(error) => assert_eq!((n, error), (255, RegenerateError::TooMany)),
            }
        }
        assert!(ids.is_sorted_by(|one, next| one < next) && ids.len() == 256, "{ids:?}");
        let other = Subscription { id: subscription.id, ..subscription.clone() };
        assert_eq!(invoice_id(&other, bill.at, 0), first_again(&subscription, &bill, now).unwrap().id);
    }

    #[test]
    fn only_what_is_void_and_not_too_old_is_made_again() {
        let subscription = subscription(1, at("2025-01-01"), SubscriptionStatus::Active);
        let (bill, now) = (bill(at("2025-02-01")), at("2025-02-05"));
        let draft = first_again(&subscription, &bill, now).unwrap();
        let open = draft.finalized(InvoiceNumber::next(0, now), now, 30).unwrap();
        let open = Invoice { status: InvoiceStatus::Open, ..open };
        for (invoice, expected) in [
            (draft.clone(), Some(RegenerateError::NotVoid("draft"))),
            (open.clone(), Some(RegenerateError::NotVoid("open"))),
            (open.paid(now).unwrap(), Some(RegenerateError::NotVoid("paid"))),
            (open.written_off(now).unwrap(), Some(RegenerateError::NotVoid("uncollectible"))),
            (open.voided(now).unwrap(), None),
            (draft.voided(now).unwrap(), None),
            (
                Invoice { id: crate::id::Id::from_parts(now, [7; 10]), ..open.voided(now).unwrap() },
                Some(RegenerateError::ByHand),
            ),
        ] {
            assert_eq!(invoice.made_again(&subscription, &bill, now).err(), expected);
        }
        let void = open.voided(now).unwrap();
        assert!(void.made_again(&subscription, &bill, at("2026-02-02")).is_ok());
        assert_eq!(
            void.made_again(&subscription, &bill, at("2026-02-03")).err(),
            Some(RegenerateError::TooOld)
        );
        assert_eq!(first_again(&subscription, &bill, at("2026-02-03")).err(), Some(RegenerateError::TooOld));
    }
}
