//! Invoices made again: in place of a void one, or of a draft that was deleted. Of two who ask at once, one makes it,
//! and the other is given the same.

use auth::Actor;
use chrono::{DateTime, Utc};
use domain::{
    id::{InvoiceId, OrganizationId, SubscriptionId},
    invoice::Invoice,
    outbox::{InvoiceEvent, OutboxEntry},
    period_close::bill_of,
    regenerate::{RegenerateError, bills_from, first_again},
    subscription::{PlansById, Subscription},
    timeline::Bill,
    user::Scope,
};
use store::StoreError;

use crate::{
    AppError, Platform,
    close_period::plans_of,
    finalize_invoice::{rate, recomputed},
    generate_invoice::Generated,
    outbox::relay_now,
};

/// How often a bill is looked at again whose invoices others make or change at the same time.
const ATTEMPTS_MAX: u32 = 20;

/// Makes a draft in place of a void invoice of a subscription, with its bill as the usage known by now makes it. If
/// there is one that is a draft still, that is the answer.
///
/// Errors: `Conflict` if the invoice is not void, or something else keeps it from being made again.
pub async fn regenerate(platform: &Platform, actor: &Actor, id: InvoiceId) -> Result<Generated, AppError> {
    actor.require(Scope::BillingWrite)?;
    let organization = actor.organization;
    for _ in 0..ATTEMPTS_MAX {
        let void = platform.store.get_invoice(organization, id).await?;
        if let Some(standing) = standing(platform, organization, &void).await? {
            return Ok(Generated { invoice: standing, is_new: false });
        }
        let Some((subscription, _)) = void.billed else { return Err(refused(RegenerateError::ByHand)) };
        let (subscription, plans) = known(platform, organization, subscription).await?;
        let bill = bill_of(&subscription, &plans, &void).map_err(AppError::internal)?;
        let draft = void.made_again(&subscription, &bill, platform.now()).map_err(refused)?;
        let of = (&subscription, &plans);
        if let Some(invoice) = made(platform, actor, of, &bill, draft, Some(&void)).await? {
            return Ok(Generated { invoice, is_new: true });
        }
    }
    Err(AppError::Unavailable("the invoice is changed again and again".into()))
}

/// Makes the drafts again that a period of a subscription had and that were deleted. The newest is the answer.
///
/// Errors: `Invalid` if no such period was billed; `Conflict` if each of its bills has an invoice, or something else
/// keeps them from being made again.
pub async fn regenerate_period(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    start: DateTime<Utc>,
) -> Result<Generated, AppError> {
    actor.require(Scope::BillingWrite)?;
    let organization = actor.organization;
    let (subscription, plans) = known(platform, organization, id).await?;
    let bills = bills_from(&subscription, &plans, start).map_err(AppError::internal)?;
    if bills.is_empty() {
        return Err(AppError::invalid("period_start", "begins no period that was billed"));
    }
    let mut newest = None;
    for (id, bill) in bills {
        match platform.store.get_invoice_of(organization, subscription.customer, id).await {
            Ok(_) => {}
            Err(StoreError::NotFound(_)) => {
                let draft = first_again(&subscription, &bill, platform.now()).map_err(refused)?;
                // Whoever was quicker has made it.
                let made = made(platform, actor, (&subscription, &plans), &bill, draft, None).await?;
                newest = made.or(newest);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let conflict = || {
        let detail = "this period has its invoice: only a deleted draft is made again, and a void invoice by `regenerate`";
        AppError::conflict("already_invoiced", detail)
    };
    newest.map(|invoice| Generated { invoice, is_new: true }).ok_or_else(conflict)
}

/// The invoice that was made in place of a void one, if it is a draft still; `None` if there is none.
///
/// Errors: `Conflict` if it is final.
async fn standing(
    platform: &Platform,
    organization: OrganizationId,
    void: &Invoice,
) -> Result<Option<Invoice>, AppError> {
    let Some(next) = void.replaced_by else { return Ok(None) };
    match platform.store.get_invoice_of(organization, void.customer, next).await {
        Ok(next) if next.is_draft() => recomputed(platform, organization, &next).await.map(Some),
        Ok(next) => {
            let (id, status) = (next.id, next.status.name());
            let detail = format!("it was made again already, as {id}, which is {status}");
            Err(AppError::conflict("already_regenerated", detail))
        }
        Err(StoreError::NotFound(_)) => Ok(None), // that draft was deleted
        Err(error) => Err(error.into()),
    }
}

/// A subscription with all of its plans.
///
/// Errors: `Conflict` if one of these was deleted.
async fn known(
    platform: &Platform,
    organization: OrganizationId,
    id: SubscriptionId,
) -> Result<(Subscription, PlansById), AppError> {
    let subscription = platform.store.get_subscription(organization, id).await?;
    let plans = plans_of(platform, organization, &subscription).await?;
    if subscription.plans().any(|plan| !plans.contains_key(&plan)) {
        let detail = "a plan that it was billed by was deleted: write an invoice by hand";
        return Err(AppError::conflict("plan_deleted", detail));
    }
    Ok((subscription, plans))
}

/// Makes a draft of a bill, as it is rated now. `None` if somebody else did so, or changed `void`, meanwhile.
async fn made(
    platform: &Platform,
    actor: &Actor,
    (subscription, plans): (&Subscription, &PlansById),
    bill: &Bill,
    draft: Invoice,
    void: Option<&Invoice>,
) -> Result<Option<Invoice>, AppError> {
    let organization = actor.organization;
    let settings = platform.store.get_organization(organization).await?.settings;
    let customer = platform.store.get_customer(organization, draft.customer).await?;
    let draft = rate(platform, (organization, &settings), (subscription, plans), bill, draft).await?;
    if draft.lines.is_empty() {
        return Err(AppError::conflict("nothing_due", "nothing is due of this bill any more"));
    }
    let draft = draft.with_terms(&settings.invoice_terms(&customer));
    let draft = draft.and_then(|draft| draft.with_credit(&customer.credits));
    let draft = draft.map_err(AppError::cannot_be_billed)?;
    let created = OutboxEntry::invoice_event(InvoiceEvent::Created, &draft, "DRAFT", platform.now());
    // The same draft may have been made and deleted in this very instant, which was told by the id that follows.
    let outbox = [OutboxEntry { id: platform.new_id(), ..created.map_err(AppError::internal)? }];
    let change = platform.change(organization, actor.name());
    match platform.store.create_draft(&change, &draft, void, &outbox).await {
        Ok(()) => {
            relay_now(platform, organization, &outbox).await;
            let id = draft.id;
            tracing::info!(organization.id = %organization, invoice.id = %id, "made invoice {id} again");
            Ok(Some(Invoice { version: 1, ..draft }))
        }
        Err(StoreError::Conflict) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn refused(error: RegenerateError) -> AppError {
    let code = match error {
        RegenerateError::NotVoid(_) => "invoice_not_void",
        RegenerateError::ByHand => "invoice_by_hand",
        RegenerateError::TooOld => "bill_too_old",
        RegenerateError::TooMany => "too_many_invoices",
    };
    AppError::conflict(code, error.to_string())
}
