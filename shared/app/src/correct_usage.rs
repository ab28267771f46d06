//! Corrections: an event that was counted is told anew or taken back, while its period is open.

use auth::Actor;
use chrono::SubsecRound;
use domain::{
    event::{Revision, TrackedEvent, UsageEvent},
    id::{CorrectionId, CustomerId, EventId, MeterId, OrganizationId},
    invoice::{Invoice, InvoiceStatus, LineItem, LineSource},
    property::Properties,
    quantity::Quantity,
    user::Scope,
};
use store::{InvoiceFilter, PageRequest, Position};

use crate::{
    AppError, Platform,
    find_usage::{EventName, find},
    port::{Message, PortError},
    track_usage::{Usage, checked, get_meter},
};

/// What an event is corrected to.
#[derive(Clone, Debug)]
pub enum Correction {
    /// It counts with this content.
    Replace {
        /// How much; looked for in `properties` if not given.
        quantity: Option<Quantity>,
        /// Values to aggregate, filter and group by.
        properties: Properties,
        /// Whatever else.
        metadata: Properties,
    },
    /// It does not count.
    Void,
}

/// A correction that was accepted.
pub struct AcceptedCorrection {
    /// Names the correction.
    pub id: CorrectionId,
    /// Names the event that it corrects.
    pub event_id: EventId,
    /// The correction as it was queued.
    pub tracked: TrackedEvent,
}

/// Accepts the correction of an event that was counted, and returns only when the queue has it.
///
/// Errors: `NotFound` if the event was not counted (yet); `Conflict` if it is billed already; `Invalid` for content
/// that could not be counted.
pub async fn correct(
    platform: &Platform,
    actor: &Actor,
    name: &EventName,
    correction: Correction,
) -> Result<AcceptedCorrection, AppError> {
    actor.require(Scope::UsageWrite)?;
    get_meter(platform, actor, &name.meter).await?; // of a deleted one nothing is counted any more
    let found = find(platform, &reader(actor), name).await?;
    let member = found.member.ok_or(AppError::NotFound("counted event of this key"))?;
    let organization = actor.organization;
    check_open(platform, organization, found.meter.id, found.customer, &member.event).await?;
    let id = platform.new_id();
    let now = platform.now().trunc_subsecs(3);
    let first = member.event;
    let event = match correction {
        Correction::Void => UsageEvent { ingested_at: now, revision: Revision::Void(id), ..first },
        Correction::Replace { quantity, properties, metadata } => {
            let usage = Usage {
                meter: name.meter.clone(),
                customer: name.customer.clone(),
                quantity,
                timestamp: Some(first.occurred_at),
                idempotency_key: Some(first.key.clone()),
                properties,
                metadata,
            };
            let checked = checked(&found.meter, &usage, now)?;
            UsageEvent {
                key: first.key,
                occurred_at: first.occurred_at,
                properties: usage.properties,
                metadata: usage.metadata,
                revision: Revision::Replacement(id),
                ..checked
            }
        }
    };
    // Its timestamp is that of the event it corrects, so it needs no pin.
    let (meter, customer, has_sender_key) = (found.meter.id, found.customer, false);
    let tracked = TrackedEvent { organization, meter, customer, has_sender_key, event };
    let sent = platform.queue.send(&[Message::CountUsage(vec![tracked.clone()])]).await;
    let missing = || Err(PortError::new("sending", "not confirmed"));
    sent.into_iter().next().unwrap_or_else(missing)?;
    Ok(AcceptedCorrection { id, event_id: found.id, tracked })
}

/// Who may write usage may see what it corrects.
fn reader(actor: &Actor) -> Actor {
    use auth::Credential;
    let credential = match &actor.credential {
        Credential::Session { .. } => actor.credential.clone(),
        Credential::ApiKey { id, .. } => Credential::ApiKey { id: *id, scopes: vec![Scope::UsageRead] },
    };
    Actor { credential, ..actor.clone() }
}

/// Refuses to correct what was billed: an invoice was final after the event came, and has a line of its period. What
/// came later is not on that line. The period is rated again as a whole for it, corrections applied.
async fn check_open(
    platform: &Platform,
    organization: OrganizationId,
    meter: MeterId,
    customer: CustomerId,
    event: &UsageEvent,
) -> Result<(), AppError> {
    let filter = InvoiceFilter { customer: Some(customer), ..InvoiceFilter::default() };
    let mut position = Position::Number(1);
    let mut billed = None::<Invoice>;
    loop {
        let page = PageRequest { position, size: 100 };
        let invoices = platform.store.list_invoices(organization, &filter, &page).await?;
        let rows = invoices.rows.into_iter().filter(|invoice| has_billed(invoice, meter, event));
        // The one that billed it first: late lines of its period came after.
        billed = billed.into_iter().chain(rows).min_by_key(|invoice| invoice.issued_at);
        match invoices.next_cursor.as_deref().and_then(Position::from_cursor) {
            Some(next) => position = next,
            None => break,
        }
    }
    let Some(invoice) = billed else { return Ok(()) };
    let number = invoice.number.map(|number| format!(" by {number}")).unwrap_or_default();
    let detail = format!("this event is billed already{number}: it can be corrected with a credit only");
    Err(AppError::conflict("period_closed", detail))
}

fn has_billed(invoice: &Invoice, meter: MeterId, event: &UsageEvent) -> bool {
    let is_final = match invoice.status {
        InvoiceStatus::Open | InvoiceStatus::Paid { .. } | InvoiceStatus::Uncollectible { .. } => true,
        InvoiceStatus::Draft { .. } | InvoiceStatus::Void { .. } => false,
    };
    let is_of_period = |line: &LineItem| match line.source {
        LineSource::Usage { meter: of, .. } | LineSource::LateUsage { meter: of, .. } => {
            of == meter && line.period.is_some_and(|period| period.contains(event.occurred_at))
        }
        LineSource::Fixed { .. } | LineSource::Manual => false,
    };
    is_final && event.ingested_at < invoice.issued_at && invoice.lines.iter().any(is_of_period)
}
