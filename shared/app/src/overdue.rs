//! Payment in time: what a late invoice, and settling it, means for its subscription.

use domain::{
    customer::Customer,
    id::{CustomerId, InvoiceId, OrganizationId},
    invoice::Invoice,
    outbox::{OutboxEntry, subscription_events},
    overdue::{caught_up, fallen_behind},
    subscription::Subscription,
};
use store::{Change, StoreError, if_there};

use crate::{AppError, Platform};

/// How often an invoice and its subscription are looked at again that others change at the same time.
const ATTEMPTS_MAX: u32 = 20;

/// Marks an invoice that is not paid in time, and its subscription with it. Anything else is left as it is:
/// it was paid, or is marked already. `true` if it was marked now.
pub async fn mark(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    id: InvoiceId,
) -> Result<bool, AppError> {
    for _ in 0..ATTEMPTS_MAX {
        let invoice = match platform.store.get_invoice_of(organization, customer, id).await {
            Ok(invoice) => invoice,
            Err(StoreError::NotFound(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let now = platform.now();
        let Some(late) = invoice.past_due(now) else { return Ok(false) };
        let subscription = subscription_of(platform, organization, &invoice).await?;
        let behind = subscription.as_ref().map(|subscription| fallen_behind(subscription, now));
        let both = subscription.as_ref().zip(behind.as_ref());
        let outbox = both.map(|(before, after)| subscription_events(before, after, now)).unwrap_or_default();
        let change = platform.change(organization, "finalize-invoices");
        let with = (behind.as_ref(), None);
        let action = "mark invoice past due";
        match platform.store.update_invoice_with(&change, action, &late, with, &outbox).await {
            Ok(()) => {
                tracing::info!(organization.id = %organization, invoice.id = %id, "invoice {id} is past due");
                return Ok(true);
            }
            Err(StoreError::Conflict) => {} // one of the two changed: look again
            Err(error) => return Err(error.into()),
        }
    }
    Err(AppError::Unavailable("the invoice is changed again and again".into()))
}

/// Puts an invoice that was settled over `before`, brings its subscription back if nothing else is late, and gives the
/// customer credit back that is not needed any more. Returns all that is to be told.
///
/// Errors: `Conflict` if the invoice changed since it was read.
pub(crate) async fn settle(
    platform: &Platform,
    change: impl Fn() -> Change,
    action: &'static str,
    (before, settled): (&Invoice, &Invoice),
    event: OutboxEntry,
) -> Result<Vec<OutboxEntry>, AppError> {
    let organization = change().organization;
    for _ in 0..ATTEMPTS_MAX {
        let mut caught = None;
        let mut outbox = vec![event.clone()];
        if before.is_past_due()
            && let Some(subscription) = subscription_of(platform, organization, before).await?
        {
            let invoices = platform.store.list_invoices_of(organization, before.customer).await?;
            let others = invoices.iter().filter(|other| {
                let is_same = |invoice: &Invoice| invoice.billed.map(|(id, _)| id) == Some(subscription.id);
                is_same(other) && other.id != before.id
            });
            // Written also if it stays past due: of two invoices settled at once, one then looks again.
            let now = settled.updated_at;
            let after = caught_up(&subscription, others, now);
            outbox.extend(subscription_events(&subscription, &after, now));
            caught = Some(after);
        }
        let customer = credited(platform, organization, (before, settled)).await?;
        let with = (caught.as_ref(), customer.as_ref());
        match platform.store.update_invoice_with(&change(), action, settled, with, &outbox).await {
            Ok(()) => return Ok(outbox),
            Err(StoreError::Conflict) => {
                let stored = platform.store.get_invoice_of(organization, before.customer, before.id).await?;
                if stored.version != before.version {
                    return Err(StoreError::Conflict.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(AppError::Unavailable("the subscription or its customer is changed again and again".into()))
}

/// The customer of an invoice with the credit back that was taken for it, if any was.
async fn credited(
    platform: &Platform,
    organization: OrganizationId,
    (before, settled): (&Invoice, &Invoice),
) -> Result<Option<Customer>, AppError> {
    let returned = before.credit_returned(settled);
    if returned.is_zero() {
        return Ok(None);
    }
    let customer = platform.store.get_customer(organization, before.customer).await?;
    let credits = customer.credits.changed(returned).map_err(AppError::internal)?;
    Ok(Some(Customer { credits, ..customer }))
}

/// The subscription that an invoice bills, unless it was deleted since.
async fn subscription_of(
    platform: &Platform,
    organization: OrganizationId,
    invoice: &Invoice,
) -> Result<Option<Subscription>, AppError> {
    let Some((id, _)) = invoice.billed else { return Ok(None) };
    Ok(if_there(platform.store.get_subscription(organization, id).await)?)
}
