//! Customers, and what they have.

use app::{
    customers::{self, CustomerFilter},
    invoices, read_usage, subscriptions,
};
use axum::http::StatusCode;
use domain::id::CustomerId;
use wire::{
    Problem,
    customer::{CustomerBody, CustomerChangesBody, NewCustomerBody},
    extract::{Body, Caller, Parameters, PathId},
    invoice::{InvoiceBody, InvoiceStatusName},
    list::List,
    routes::Routes,
    subscription::{SubscriptionBody, SubscriptionStatusName},
    usage_read::UsageByMeterBody,
};

use crate::{
    answer::{Answer, created, ok},
    routes::{invoice, subscription},
};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .post("/api/v1/customers", create)
        .get("/api/v1/customers", list)
        .get("/api/v1/customers/{id}", get)
        .put("/api/v1/customers/{id}", update)
        .delete("/api/v1/customers/{id}", delete)
        .get("/api/v1/customers/{id}/subscriptions", list_subscriptions)
        .get("/api/v1/customers/{id}/invoices", list_invoices)
        .get("/api/v1/customers/{id}/usage", usage)
}

async fn create(
    Caller { platform, actor }: Caller,
    Body(body): Body<NewCustomerBody>,
) -> Answer<CustomerBody> {
    let customer = customers::create(&platform, &actor, body.into_domain()?).await?;
    created(CustomerBody::from_domain(actor.organization, customer))
}

async fn list(
    Caller { platform, actor }: Caller,
    Parameters(mut query): Parameters,
) -> Answer<List<CustomerBody>> {
    let page = query.page();
    let filter = CustomerFilter { external_id: query.text("external_id"), email: query.text("email") };
    query.finish()?;
    let customers = customers::list(&platform, &actor, &filter, &page).await?;
    ok(List::from_page(customers, &page, |customer| CustomerBody::from_domain(actor.organization, customer)))
}

async fn get(Caller { platform, actor }: Caller, PathId(id): PathId<CustomerId>) -> Answer<CustomerBody> {
    let customer = customers::get(&platform, &actor, id).await?;
    ok(CustomerBody::from_domain(actor.organization, customer))
}

async fn update(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<CustomerId>,
    Body(body): Body<CustomerChangesBody>,
) -> Answer<CustomerBody> {
    let changes = body.check()?;
    let customer = customers::update(&platform, &actor, id, |before| changes.apply(before)).await?;
    ok(CustomerBody::from_domain(actor.organization, customer))
}

async fn delete(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<CustomerId>,
) -> Result<StatusCode, Problem> {
    customers::delete(&platform, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_subscriptions(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<CustomerId>,
    Parameters(mut query): Parameters,
) -> Answer<List<SubscriptionBody>> {
    let page = query.page();
    let status = query.choice("status", &SubscriptionStatusName::CHOICES);
    query.finish()?;
    let filter = subscriptions::Filter { customer: Some(id), status, ..Default::default() };
    let subscriptions = subscriptions::list(&platform, &actor, &filter, &page).await?;
    subscription::page(&platform, &actor, subscriptions, &page).await
}

async fn list_invoices(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<CustomerId>,
    Parameters(mut query): Parameters,
) -> Answer<List<InvoiceBody>> {
    let page = query.page();
    let status = query.choice("status", &InvoiceStatusName::CHOICES);
    query.finish()?;
    let filter = invoices::InvoiceFilter { customer: Some(id), status, ..Default::default() };
    invoice::page(invoices::list(&platform, &actor, filter, &page).await?, &page)
}

async fn usage(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<CustomerId>,
    Parameters(mut query): Parameters,
) -> Answer<UsageByMeterBody> {
    let zone = query.zone();
    let (range, end) = query.range(platform.now(), zone);
    query.finish()?;
    let usage = read_usage::of_customer(&platform, &actor, id, range).await?;
    ok(UsageByMeterBody::from_range(range.from, end, usage))
}
