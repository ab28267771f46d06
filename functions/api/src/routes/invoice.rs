//! Invoices.

use std::sync::Arc;

use app::{
    AppError, Page, PageRequest, Platform, draft_invoices,
    generate_invoice::Generated,
    invoices::{self, InvoiceFilter, Move, Note},
    public_invoices, regenerate_invoice, subscriptions,
};
use axum::{
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    id::{InvoiceId, SubscriptionId},
    invoice::Invoice,
};
use wire::{
    Problem,
    explanation::ExplanationBody,
    extract::{Body, Caller, NoBody, Parameters, PathId},
    invoice::{InvoiceBody, InvoiceStatusName, SentBody},
    invoice_edit::{InvoiceChangesBody, InvoiceStatusBody, NewInvoiceBody, PublicTokenBody},
    list::List,
    public_invoice::PublicInvoiceBody,
    routes::Routes,
};

use crate::answer::{Answer, created, ok};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .post("/api/v1/invoices", create)
        .get("/api/v1/invoices", list)
        .get("/api/v1/invoices/{id}", get)
        .put("/api/v1/invoices/{id}", edit)
        .delete("/api/v1/invoices/{id}", delete)
        .post("/api/v1/invoices/{id}/recompute", recompute)
        .post("/api/v1/invoices/{id}/regenerate", regenerate)
        .post("/api/v1/invoices/{id}/generate-token", generate_token)
        .get("/api/v1/invoices/public/{token}", public)
        .get("/api/v1/subscriptions/{id}/invoices", list_of_subscription)
        .get("/api/v1/invoices/{id}/explain", explain)
        .get("/api/v1/invoices/{id}/pdf", pdf)
        .post("/api/v1/invoices/{id}/finalize", finalize)
        .post("/api/v1/invoices/{id}/send-email", send_email)
        .post("/api/v1/invoices/{id}/pay", pay)
        .patch("/api/v1/invoices/{id}/status", change_status)
}

async fn list(
    Caller { platform, actor }: Caller,
    Parameters(mut query): Parameters,
) -> Answer<List<InvoiceBody>> {
    let page = query.page();
    let zone = query.zone();
    let filter = InvoiceFilter {
        customer: query.parse("customer_id"),
        status: query.choice("status", &InvoiceStatusName::CHOICES),
        subscription: query.parse("subscription_id"),
        issued: query.bounds(platform.now(), zone),
        number: query.parse("invoice_number"),
    };
    query.finish()?;
    self::page(invoices::list(&platform, &actor, filter, &page).await?, &page)
}

async fn list_of_subscription(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    Parameters(mut query): Parameters,
) -> Answer<List<InvoiceBody>> {
    let page = query.page();
    query.finish()?;
    let filter = InvoiceFilter { subscription: Some(id), ..InvoiceFilter::default() };
    self::page(invoices::list(&platform, &actor, filter, &page).await?, &page)
}

async fn create(Caller { platform, actor }: Caller, Body(body): Body<NewInvoiceBody>) -> Answer<InvoiceBody> {
    let zone = subscriptions::defaults(&platform, &actor).await?.zone;
    let invoice = draft_invoices::create(&platform, &actor, body.into_domain(zone)?).await?;
    created(InvoiceBody::from_domain(invoice)?)
}

async fn edit(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<InvoiceId>,
    Body(body): Body<InvoiceChangesBody>,
) -> Answer<InvoiceBody> {
    let zone = subscriptions::defaults(&platform, &actor).await?.zone;
    let invoice = draft_invoices::edit(&platform, &actor, id, body.into_domain(zone)?).await?;
    ok(InvoiceBody::from_domain(invoice)?)
}

async fn delete(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<InvoiceId>,
) -> Result<StatusCode, Problem> {
    draft_invoices::delete(&platform, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn recompute(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<InvoiceId>,
    _: NoBody,
) -> Answer<InvoiceBody> {
    ok(InvoiceBody::from_domain(draft_invoices::recompute(&platform, &actor, id).await?)?)
}

async fn regenerate(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<InvoiceId>,
    _: NoBody,
) -> Answer<InvoiceBody> {
    let Generated { invoice, is_new } = regenerate_invoice::regenerate(&platform, &actor, id).await?;
    let body = InvoiceBody::from_domain(invoice)?;
    if is_new { created(body) } else { ok(body) }
}

async fn generate_token(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<InvoiceId>,
    _: NoBody,
) -> Answer<PublicTokenBody> {
    let public_token = public_invoices::generate_token(&platform, &actor, id).await?;
    let public_url = public_invoices::page_address(&platform, &public_token);
    ok(PublicTokenBody { public_token, public_url })
}

async fn public(
    State(platform): State<Arc<Platform>>,
    Path(token): Path<String>,
) -> Answer<PublicInvoiceBody> {
    ok(PublicInvoiceBody::from_domain(public_invoices::get(&platform, &token).await?)?)
}

async fn get(Caller { platform, actor }: Caller, PathId(id): PathId<InvoiceId>) -> Answer<InvoiceBody> {
    ok(InvoiceBody::from_domain(invoices::get(&platform, &actor, id).await?)?)
}

async fn explain(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<InvoiceId>,
) -> Answer<ExplanationBody> {
    ok(ExplanationBody::from_domain(&invoices::get(&platform, &actor, id).await?)?)
}

async fn pdf(Caller { platform, actor }: Caller, PathId(id): PathId<InvoiceId>) -> Result<Response, Problem> {
    let (name, pdf) = invoices::get_pdf(&platform, &actor, id).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/pdf".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"{name}\"")),
    ];
    Ok((headers, pdf).into_response())
}

async fn finalize(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<InvoiceId>,
    _: NoBody,
) -> Answer<InvoiceBody> {
    ok(InvoiceBody::from_domain(invoices::finalize_now(&platform, &actor, id).await?)?)
}

async fn send_email(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<InvoiceId>,
    _: NoBody,
) -> Answer<SentBody> {
    let invoice = invoices::send_email(&platform, &actor, id).await?;
    let number = invoice.number.map(|number| number.to_string()).unwrap_or_default();
    ok(SentBody { success: true, message: format!("{number} is on its way"), payment_link: None })
}

async fn pay(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<InvoiceId>,
    _: NoBody,
) -> Answer<InvoiceBody> {
    ok(InvoiceBody::from_domain(invoices::move_to(&platform, &actor, id, Move::Pay, &Note(None)).await?)?)
}

async fn change_status(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<InvoiceId>,
    Body(body): Body<InvoiceStatusBody>,
) -> Answer<InvoiceBody> {
    let note = body.note()?;
    let to = match body.status {
        InvoiceStatusName::Open => {
            return ok(InvoiceBody::from_domain(
                invoices::open_with_note(&platform, &actor, id, &note).await?,
            )?);
        }
        InvoiceStatusName::Paid => Move::Pay,
        InvoiceStatusName::Void => Move::Void,
        InvoiceStatusName::Uncollectible => Move::WriteOff,
        InvoiceStatusName::Draft => {
            invoices::get(&platform, &actor, id).await?;
            return Err(AppError::conflict("invalid_transition", "no invoice becomes a draft again").into());
        }
    };
    ok(InvoiceBody::from_domain(invoices::move_to(&platform, &actor, id, to, &note).await?)?)
}

/// The body of a page of invoices.
pub(crate) fn page(invoices: Page<Invoice>, request: &PageRequest) -> Answer<List<InvoiceBody>> {
    ok(List::from_page(invoices.try_map(InvoiceBody::from_domain)?, request, |body| body))
}
