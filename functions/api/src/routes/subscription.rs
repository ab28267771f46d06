//! Subscriptions.

use app::{
    AppError, Page, PageRequest, Platform,
    change_subscription::{self, Asked, change},
    generate_invoice::{self, Generated},
    one_off, preview, read_usage, regenerate_invoice,
    subscriptions::{self, Filter},
};
use auth::Actor;
use axum::http::StatusCode;
use domain::{
    id::{ChargeId, SubscriptionId},
    subscription::Subscription,
};
use futures::future::try_join_all;
use wire::{
    Problem,
    extract::{Body, Caller, NoBody, OptionalBody, Parameters, PathId, PathIds},
    invoice::InvoiceBody,
    invoice_edit::{GenerateInvoiceBody, ManualLineBody},
    list::List,
    one_off::OneOffChargeBody,
    preview::{NewPreviewBody, PreviewBody, PreviewInvoiceBody},
    price_override::PriceOverrideOutBody,
    routes::Routes,
    subscription::{NewSubscriptionBody, PendingChangeBody, SubscriptionBody, SubscriptionStatusName},
    subscription_change::{
        CancelBody, ChangePlanBody, ChangeQuantityBody, ComingInvoicesBody, OverridesBody, PauseBody,
        PreviewChangeBody, ResumeBody,
    },
    usage_read::UsageByMeterBody,
};

use crate::{
    answer::{Answer, created, ok},
    routes::entitlement,
};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .post("/api/v1/subscriptions", create)
        .get("/api/v1/subscriptions", list)
        .post("/api/v1/subscriptions/preview", preview_new)
        .get("/api/v1/subscriptions/{id}", get)
        .delete("/api/v1/subscriptions/{id}", delete)
        .post("/api/v1/subscriptions/{id}/cancel", cancel)
        .post("/api/v1/subscriptions/{id}/change-plan", change_plan)
        .post("/api/v1/subscriptions/{id}/change-quantity", change_quantity)
        .put("/api/v1/subscriptions/{id}/overrides", replace_overrides)
        .post("/api/v1/subscriptions/{id}/pause", pause)
        .post("/api/v1/subscriptions/{id}/resume", resume)
        .post("/api/v1/subscriptions/{id}/undo", undo)
        .post("/api/v1/subscriptions/{id}/one-off-charges", charge_once)
        .get("/api/v1/subscriptions/{id}/one-off-charges", one_off_charges)
        .delete("/api/v1/subscriptions/{id}/one-off-charges/{charge_id}", take_back)
        .post("/api/v1/subscriptions/{id}/preview-invoice", preview_invoice)
        .post("/api/v1/subscriptions/{id}/generate-invoice", generate_invoice)
        .post("/api/v1/subscriptions/{id}/preview-change", preview_change)
        .get("/api/v1/subscriptions/{id}/usage", usage)
}

async fn create(
    Caller { platform, actor }: Caller,
    Body(body): Body<NewSubscriptionBody>,
) -> Answer<SubscriptionBody> {
    let defaults = subscriptions::defaults(&platform, &actor).await?;
    let subscription = subscriptions::create(&platform, &actor, body.into_domain(defaults)?).await?;
    created(self::body(&platform, &actor, subscription).await?)
}

async fn list(
    Caller { platform, actor }: Caller,
    Parameters(mut query): Parameters,
) -> Answer<List<SubscriptionBody>> {
    let page = query.page();
    let filter = Filter {
        customer: query.parse("customer_id"),
        status: query.choice("status", &SubscriptionStatusName::CHOICES),
        plan: query.parse("plan_id"),
    };
    query.finish()?;
    let subscriptions = subscriptions::list(&platform, &actor, &filter, &page).await?;
    self::page(&platform, &actor, subscriptions, &page).await
}

async fn preview_new(
    Caller { platform, actor }: Caller,
    Body(body): Body<NewPreviewBody>,
) -> Answer<PreviewBody> {
    let new = body.into_domain(subscriptions::defaults(&platform, &actor).await?)?;
    let proration = new.billing.proration;
    ok(PreviewBody::from_domain(preview::preview(&platform, &actor, new).await?, proration)?)
}

async fn get(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
) -> Answer<SubscriptionBody> {
    ok(body(&platform, &actor, subscriptions::get(&platform, &actor, id).await?).await?)
}

async fn delete(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
) -> Result<StatusCode, Problem> {
    subscriptions::delete(&platform, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn cancel(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    OptionalBody(asked): OptionalBody<CancelBody>,
) -> Answer<SubscriptionBody> {
    let (asked, terms) = asked.into_domain()?;
    ok(body(&platform, &actor, change(&platform, &actor, id, asked, terms).await?).await?)
}

async fn change_plan(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    Body(asked): Body<ChangePlanBody>,
) -> Answer<SubscriptionBody> {
    let (asked, terms) = asked.into_domain()?;
    ok(body(&platform, &actor, change(&platform, &actor, id, asked, terms).await?).await?)
}

async fn change_quantity(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    Body(asked): Body<ChangeQuantityBody>,
) -> Answer<SubscriptionBody> {
    let (asked, terms) = asked.into_domain()?;
    ok(body(&platform, &actor, change(&platform, &actor, id, asked, terms).await?).await?)
}

async fn replace_overrides(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    Body(asked): Body<OverridesBody>,
) -> Answer<SubscriptionBody> {
    let (asked, terms) = asked.into_domain()?;
    ok(body(&platform, &actor, change(&platform, &actor, id, asked, terms).await?).await?)
}

async fn pause(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    OptionalBody(asked): OptionalBody<PauseBody>,
) -> Answer<SubscriptionBody> {
    let changed = change(&platform, &actor, id, Asked::Pause, asked.into_domain()).await?;
    ok(body(&platform, &actor, changed).await?)
}

async fn resume(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    OptionalBody(asked): OptionalBody<ResumeBody>,
) -> Answer<SubscriptionBody> {
    let changed = change(&platform, &actor, id, Asked::Resume, asked.into_domain()).await?;
    ok(body(&platform, &actor, changed).await?)
}

async fn undo(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    _: NoBody,
) -> Answer<SubscriptionBody> {
    ok(body(&platform, &actor, change_subscription::undo(&platform, &actor, id).await?).await?)
}

async fn charge_once(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    Body(line): Body<ManualLineBody>,
) -> Answer<OneOffChargeBody> {
    let charge = one_off::add(&platform, &actor, id, line.into_domain()?).await?;
    created(OneOffChargeBody::from_domain(id, &charge, false))
}

async fn one_off_charges(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    Parameters(mut query): Parameters,
) -> Answer<List<OneOffChargeBody>> {
    let page = query.page();
    query.finish()?;
    let charges = one_off::list(&platform, &actor, id, &page).await?;
    let body = |(charge, is_billed)| OneOffChargeBody::from_domain(id, &charge, is_billed);
    ok(List::from_page(charges, &page, body))
}

async fn take_back(
    Caller { platform, actor }: Caller,
    PathIds(id, charge): PathIds<SubscriptionId, ChargeId>,
) -> Result<StatusCode, Problem> {
    one_off::remove(&platform, &actor, id, charge).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn preview_invoice(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    _: NoBody,
) -> Answer<PreviewInvoiceBody> {
    let (_, invoices) = change_subscription::preview(&platform, &actor, id, None).await?;
    match invoices.into_iter().next() {
        Some(next) => ok(PreviewInvoiceBody::from_domain(next)?),
        None => Err(AppError::conflict("nothing_due", "there is nothing to be invoiced").into()),
    }
}

async fn generate_invoice(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    OptionalBody(asked): OptionalBody<GenerateInvoiceBody>,
) -> Answer<InvoiceBody> {
    let Generated { invoice, is_new } = match asked.period_start() {
        Some(start) => regenerate_invoice::regenerate_period(&platform, &actor, id, start).await?,
        None => generate_invoice::generate(&platform, &actor, id).await?,
    };
    let body = InvoiceBody::from_domain(invoice)?;
    if is_new { created(body) } else { ok(body) }
}

async fn preview_change(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    OptionalBody(asked): OptionalBody<PreviewChangeBody>,
) -> Answer<ComingInvoicesBody> {
    let (asked, terms) = asked.into_domain()?;
    let asked = Some((asked, terms));
    let (subscription, invoices) = change_subscription::preview(&platform, &actor, id, asked).await?;
    ok(ComingInvoicesBody::from_domain(&subscription, terms, invoices)?)
}

async fn usage(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
) -> Answer<UsageByMeterBody> {
    let (period, usage) = read_usage::of_subscription(&platform, &actor, id).await?;
    ok(UsageByMeterBody::from_period(period, usage))
}

/// The body of a subscription with its own prices and what it grants.
async fn body(
    platform: &Platform,
    actor: &Actor,
    subscription: Subscription,
) -> Result<SubscriptionBody, Problem> {
    let entitlements = entitlement::granted(platform, actor, &subscription).await?;
    let now = platform.now();
    let overrides = subscription.terms_at(now).map(PriceOverrideOutBody::of_terms).unwrap_or_default();
    let pending_change = subscription.pending(now).map(PendingChangeBody::from_domain);
    let body = SubscriptionBody::from_domain(subscription).map_err(AppError::internal)?;
    Ok(SubscriptionBody { overrides, pending_change, entitlements, ..body })
}

/// The body of a page of subscriptions.
pub(crate) async fn page(
    platform: &Platform,
    actor: &Actor,
    subscriptions: Page<Subscription>,
    request: &PageRequest,
) -> Answer<List<SubscriptionBody>> {
    let Page { rows, total, next_cursor } = subscriptions;
    let rows = try_join_all(rows.into_iter().map(|row| body(platform, actor, row))).await?;
    ok(List::from_page(Page { rows, total, next_cursor }, request, |body| body))
}
