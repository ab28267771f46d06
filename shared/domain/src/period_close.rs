//! What happens when a bill falls due, or a trial ends: the whole decision, for one write.

use chrono::{DateTime, Utc};

use crate::{
    id::InvoiceId,
    invoice::{GRACE_PERIOD, Invoice, InvoiceStatus},
    money::MoneyError,
    outbox::{InvoiceEvent, OutboxEntry, subscription_events},
    period::PeriodError,
    rating::{UnratedCharge, lines},
    seen_usage::{BillUsage, LateLines},
    subscription::{PlansById, Subscription, SubscriptionStatus},
    timeline::Bill,
};

/// A bill that fell due, or a trial that ended: the draft, if there is anything on it, the subscription as
/// it goes on, and what is to be told. One transaction commits it all, so nothing is closed halfway, or
/// twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodClose {
    /// The draft invoice. A trial ends without one, and so does a time that was paused.
    pub invoice: Option<Invoice>,
    /// The subscription as it goes on.
    pub subscription: Subscription,
    /// What is to be told.
    pub outbox: Vec<OutboxEntry>,
}

/// Why a period cannot be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// It has not ended yet, or nothing ever ends. A repeated tick comes here, and changes nothing.
    #[error("nothing is due")]
    NotDue,
    /// The next period lies outside the calendar.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// A charge cannot be rated.
    #[error(transparent)]
    Rating(#[from] UnratedCharge),
    /// The total cannot be computed.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl PeriodClose {
    /// The bill that is due at `now`; `None` if it is the trial that ends.
    ///
    /// Errors: `NotDue` if nothing is.
    pub fn due(
        subscription: &Subscription,
        plans: &PlansById,
        now: DateTime<Utc>,
    ) -> Result<Option<Bill>, CloseError> {
        let due_at = subscription.due_at().filter(|due_at| *due_at <= now).ok_or(CloseError::NotDue)?;
        match subscription.status {
            SubscriptionStatus::Trial { .. } => Ok(None),
            SubscriptionStatus::Active | SubscriptionStatus::PastDue | SubscriptionStatus::Paused => {
                Ok(Some(subscription.timeline(plans).bill(subscription.billed_until, due_at)?))
            }
            SubscriptionStatus::Canceled { .. } => Err(CloseError::NotDue),
        }
    }

    /// The end of a trial: the subscription is billed from now on, unless it was canceled.
    ///
    /// Errors: `NotDue` if there is no trial.
    pub fn trial(
        subscription: &Subscription,
        plans: &PlansById,
        now: DateTime<Utc>,
    ) -> Result<Self, CloseError> {
        let SubscriptionStatus::Trial { until } = subscription.status else { return Err(CloseError::NotDue) };
        let is_over = subscription.ends_at.is_some_and(|ends_at| ends_at <= until);
        let status =
            if is_over { SubscriptionStatus::Canceled { at: until } } else { SubscriptionStatus::Active };
        let next = Subscription { status, billing_error: None, updated_at: now, ..subscription.clone() };
        let next = next.settled(plans, until)?;
        let outbox = subscription_events(subscription, &next, now);
        Ok(Self { invoice: None, subscription: next, outbox })
    }

    /// What a bill that is due means at `now`, by what was used of it. `late` is what was late for earlier bills,
    /// whose lines come after its own.
    pub fn decide(
        subscription: &Subscription,
        plans: &PlansById,
        bill: &Bill,
        usage: &BillUsage,
        late: LateLines,
        now: DateTime<Utc>,
    ) -> Result<Self, CloseError> {
        let mut outbox = Vec::new();
        let mut next = Subscription {
            updated_at: now,
            billed_until: Some(bill.at),
            billing_error: None,
            ..subscription.clone()
        };
        let draft = draft(subscription, bill, usage, late, now)?;
        let invoice = Some(draft).filter(|draft| !draft.lines.is_empty());
        if let Some(draft) = &invoice {
            outbox.push(OutboxEntry::invoice_event(InvoiceEvent::Created, draft, "DRAFT", now)?);
            next.last_invoiced_at = Some(now);
        }
        if subscription.timeline(plans).end() == Some(bill.at) {
            next.status = SubscriptionStatus::Canceled { at: bill.at };
        }
        let next = next.settled(plans, bill.at)?;
        outbox.extend(subscription_events(subscription, &next, now));
        Ok(Self { invoice, subscription: next, outbox })
    }
}

/// The draft of a bill, rated from `usage`, with lines of `late` usage after its own. The same bill always gives
/// the same id.
///
/// Errors: as for [`lines`].
pub fn draft(
    subscription: &Subscription,
    bill: &Bill,
    usage: &BillUsage,
    late: LateLines,
    now: DateTime<Utc>,
) -> Result<Invoice, CloseError> {
    let lines = lines(bill, subscription.currency, &usage.charges)?;
    Ok(blank(subscription, bill, 0, now).with_lines(lines, usage, late))
}

/// The draft of a bill, of whose invoices so many were voided before, without lines yet.
pub(crate) fn blank(subscription: &Subscription, bill: &Bill, voided: u8, now: DateTime<Utc>) -> Invoice {
    let id = invoice_id(subscription, bill.at, voided);
    Invoice {
        billed: Some((subscription.id, bill.period)),
        status: InvoiceStatus::Draft { finalize_at: Some(now + GRACE_PERIOD) },
        ..Invoice::draft(id, subscription.customer, subscription.currency, now)
    }
}

/// The id of a subscription's invoice for the bill at `at`, of which so many before were voided. Its time is that, and a
/// millisecond more for each of those, so that they are in order; its bytes are those that tell subscriptions apart, but
/// for two: the first bill may fall due in the millisecond of the subscription's id, or some milliseconds after another.
pub(crate) fn invoice_id(subscription: &Subscription, at: DateTime<Utc>, voided: u8) -> InvoiceId {
    let mut entropy = [0; 10];
    for (to, from) in entropy.iter_mut().zip(subscription.id.uuid().as_bytes().iter().skip(6)) {
        *to = *from;
    }
    for (to, mark) in entropy.iter_mut().rev().zip([0x20, voided]) {
        *to ^= mark;
    }
    let later = at.checked_add_signed(chrono::Duration::milliseconds(voided.into()));
    InvoiceId::from_parts(later.unwrap_or(at), entropy)
}

/// How many invoices of the bill at `at` were voided before this one; `None` if it is of another bill.
pub(crate) fn voided_before(subscription: &Subscription, at: DateTime<Utc>, id: InvoiceId) -> Option<u8> {
    let mark = |id: InvoiceId| id.uuid().as_bytes().iter().rev().nth(1).copied();
    let voided = mark(id)? ^ mark(invoice_id(subscription, at, 0))?;
    (invoice_id(subscription, at, voided) == id).then_some(voided)
}

/// The bill that a subscription's invoice was drafted from, from the terms as they are now.
///
/// Errors: `NotDue` if there never was one.
pub fn bill_of(
    subscription: &Subscription,
    plans: &PlansById,
    invoice: &Invoice,
) -> Result<Bill, CloseError> {
    let (_, period) = invoice.billed.ok_or(CloseError::NotDue)?;
    let timeline = subscription.timeline(plans);
    // What is paid in advance is first billed when its period begins; all other bills close one.
    let at = [period.start(), period.end()]
        .into_iter()
        .find(|at| voided_before(subscription, *at, invoice.id).is_some());
    let at = at.ok_or(CloseError::NotDue)?;
    let mut last = None;
    // From the start on, since only from there it is known when something was due.
    while let Some(next) = timeline.next(last)?
        && next <= at
    {
        if next == at {
            return Ok(timeline.bill(last, at)?);
        }
        last = Some(next);
    }
    Err(CloseError::NotDue)
}
