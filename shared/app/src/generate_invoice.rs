//! Invoices asked for: what is due is closed at once, not at the next tick. A time that is not over stays
//! open, since each event and each period belongs to one invoice.

use auth::Actor;
use chrono::{DateTime, SecondsFormat};
use domain::{
    id::{OrganizationId, SubscriptionId},
    invoice::Invoice,
    subscription::{Subscription, SubscriptionStatus},
    user::Scope,
};
use store::{InvoiceFilter, PageRequest, Position};

use crate::{AppError, Platform, close_period::close_until, finalize_invoice::recomputed};

/// The invoice of what fell due last.
pub struct Generated {
    /// The draft.
    pub invoice: Invoice,
    /// Whether it was made now. Else it was made when it fell due, and may still change.
    pub is_new: bool,
}

/// Closes what is due of a subscription, as the next tick would, and what was put off. Where there is nothing any more, the draft
/// of what fell due before is the answer.
///
/// Errors: `Conflict` if what is due cannot be billed exactly, or nothing is due and there is no such draft.
pub async fn generate(platform: &Platform, actor: &Actor, id: SubscriptionId) -> Result<Generated, AppError> {
    actor.require(Scope::BillingWrite)?;
    let organization = actor.organization;
    let last = |subscription: &Subscription| subscription.last_invoiced_at;
    let before = last(&platform.store.get_subscription(organization, id).await?);
    close_until(platform, organization, id, DateTime::UNIX_EPOCH).await?;
    let subscription = platform.store.get_subscription(organization, id).await?;
    if let Some(error) = &subscription.billing_error {
        return Err(AppError::cannot_be_billed(&error.detail));
    }
    let is_new = last(&subscription) != before;
    match newest_draft(platform, organization, &subscription).await? {
        Some(draft) => Ok(Generated { invoice: recomputed(platform, organization, &draft).await?, is_new }),
        None => Err(AppError::conflict("nothing_due", nothing_due(&subscription))),
    }
}

async fn newest_draft(
    platform: &Platform,
    organization: OrganizationId,
    subscription: &Subscription,
) -> Result<Option<Invoice>, AppError> {
    let filter = InvoiceFilter {
        customer: Some(subscription.customer),
        subscription: Some(subscription.id),
        status: Some("DRAFT"),
        ..InvoiceFilter::default()
    };
    let page = PageRequest { position: Position::Number(1), size: 1 };
    let found = platform.store.list_invoices(organization, &filter, &page).await?;
    Ok(found.rows.into_iter().next())
}

fn nothing_due(subscription: &Subscription) -> String {
    let Some(due_at) = subscription.due_at() else {
        return "there is nothing to be invoiced any more".to_owned();
    };
    let due_at = due_at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    match subscription.status {
        SubscriptionStatus::Trial { .. } => format!("nothing is due: the trial ends at {due_at}"),
        SubscriptionStatus::Active
        | SubscriptionStatus::PastDue
        | SubscriptionStatus::Paused
        | SubscriptionStatus::Canceled { .. } => {
            format!("nothing is due: the next bill falls due at {due_at}")
        }
    }
}
