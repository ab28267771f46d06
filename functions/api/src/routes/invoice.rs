//! Invoices.

use std::sync::Arc;

use app::{
    AppError, Page, PageRequest, Platform,
    invoices::{self, Filter, Move},
};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use domain::{id::InvoiceId, invoice::Invoice};
use wire::{
    Problem,
    explanation::ExplanationBody,
    extract::{Body, Caller, Parameters, PathId},
    invoice::{InvoiceBody, InvoiceStatusBody, InvoiceStatusName, SentBody},
    list::List,
    routes::Routes,
};

use crate::answer::{Answer, ok};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .get("/api/v1/invoices", list)
        .get("/api/v1/invoices/{id}", get)
        .get("/api/v1/invoices/{id}/explain", explain)
        .get("/api/v1/invoices/{id}/pdf", pdf)
        .post("/api/v1/invoices/{id}/finalize", finalize)
        .post("/api/v1/invoices/{id}/send-email", send_email)
        .post("/api/v1/invoices/{id}/pay", pay)
        .patch("/api/v1/invoices/{id}/status", change_status)
}

async fn list(
    State(platform): State<Arc<Platform>>,
    Caller(actor): Caller,
    Parameters(mut query): Parameters,
) -> Answer<List<InvoiceBody>> {
    let page = query.page();
    let filter = Filter {
        customer: query.parse("customer_id"),
        status: query.choice("status", &InvoiceStatusName::CHOICES),
    };
    query.finish()?;
    self::page(invoices::list(&platform, &actor, &filter, &page).await?, &page)
}

async fn get(
    State(platform): State<Arc<Platform>>,
    Caller(actor): Caller,
    PathId(id): PathId<InvoiceId>,
) -> Answer<InvoiceBody> {
    ok(InvoiceBody::from_domain(invoices::get(&platform, &actor, id).await?)?)
}

async fn explain(
    State(platform): State<Arc<Platform>>,
    Caller(actor): Caller,
    PathId(id): PathId<InvoiceId>,
) -> Answer<ExplanationBody> {
    ok(ExplanationBody::from_domain(&invoices::get(&platform, &actor, id).await?)?)
}

async fn pdf(
    State(platform): State<Arc<Platform>>,
    Caller(actor): Caller,
    PathId(id): PathId<InvoiceId>,
) -> Result<Response, Problem> {
    let (name, pdf) = invoices::get_pdf(&platform, &actor, id).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/pdf".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"{name}\"")),
    ];
    Ok((headers, pdf).into_response())
}

async fn finalize(
    State(platform): State<Arc<Platform>>,
    Caller(actor): Caller,
    PathId(id): PathId<InvoiceId>,
) -> Answer<InvoiceBody> {
    ok(InvoiceBody::from_domain(invoices::finalize_now(&platform, &actor, id).await?)?)
}

async fn send_email(
    State(platform): State<Arc<Platform>>,
    Caller(actor): Caller,
    PathId(id): PathId<InvoiceId>,
) -> Answer<SentBody> {
    let invoice = invoices::send_email(&platform, &actor, id).await?;
    let number = invoice.number.map(|number| number.to_string()).unwrap_or_default();
    ok(SentBody { success: true, message: format!("{number} is on its way"), payment_link: None })
}

async fn pay(
    State(platform): State<Arc<Platform>>,
    Caller(actor): Caller,
    PathId(id): PathId<InvoiceId>,
) -> Answer<InvoiceBody> {
    ok(InvoiceBody::from_domain(invoices::move_to(&platform, &actor, id, Move::Pay).await?)?)
}

async fn change_status(
    State(platform): State<Arc<Platform>>,
    Caller(actor): Caller,
    PathId(id): PathId<InvoiceId>,
    Body(body): Body<InvoiceStatusBody>,
) -> Answer<InvoiceBody> {
    let invoice = match body.status {
        InvoiceStatusName::Open => invoices::finalize_now(&platform, &actor, id).await?,
        InvoiceStatusName::Paid => invoices::move_to(&platform, &actor, id, Move::Pay).await?,
        InvoiceStatusName::Void => invoices::move_to(&platform, &actor, id, Move::Void).await?,
        InvoiceStatusName::Uncollectible => invoices::move_to(&platform, &actor, id, Move::WriteOff).await?,
        InvoiceStatusName::Draft => {
            invoices::get(&platform, &actor, id).await?;
            return Err(AppError::conflict("invalid_transition", "no invoice becomes a draft again").into());
        }
    };
    ok(InvoiceBody::from_domain(invoice)?)
}

/// The body of a page of invoices.
pub(crate) fn page(invoices: Page<Invoice>, request: &PageRequest) -> Answer<List<InvoiceBody>> {
    ok(List::from_page(invoices.try_map(InvoiceBody::from_domain)?, request, |body| body))
}
