//! Meters and their usage.

use app::{
    catalog, meter_stats, read_usage,
    usage_log::{self, LogFilter},
};
use domain::{id::MeterId, zone::Step};
use wire::{
    QuantityIn,
    extract::{Caller, Parameters, PathId},
    list::List,
    meter::{MeterBody, MeterStatsBody},
    routes::Routes,
    usage_log::EventBody,
    usage_read::{SeriesBody, TopCustomersBody},
};

use crate::answer::{Answer, ok};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .get("/api/v1/meters", list)
        .get("/api/v1/meters/{id}", get)
        .get("/api/v1/meters/{id}/usage", usage)
        .get("/api/v1/meters/{id}/top-customers", top_customers)
        .get("/api/v1/meters/{id}/stats", stats)
        .get("/api/v1/meters/{id}/events", events)
}

async fn list(
    Caller { platform, actor }: Caller,
    Parameters(mut query): Parameters,
) -> Answer<List<MeterBody>> {
    let page = query.page();
    query.finish()?;
    let meters = catalog::list_meters(&platform, &actor, &page).await?;
    ok(List::from_page(meters, &page, MeterBody::from_domain))
}

async fn get(Caller { platform, actor }: Caller, PathId(id): PathId<MeterId>) -> Answer<MeterBody> {
    ok(MeterBody::from_domain(catalog::get_meter(&platform, &actor, id).await?))
}

async fn usage(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<MeterId>,
    Parameters(mut query): Parameters,
) -> Answer<SeriesBody> {
    let zone = query.zone();
    let question = query.question(Some(Step::Day), zone);
    let (range, end) = query.range(platform.now(), zone);
    let customer = query.parse("customer_id");
    query.finish()?;
    let (meter, series) = read_usage::series(&platform, &actor, id, customer, range, &question).await?;
    ok(SeriesBody::from_domain(&meter, &series, range, end, question.steps))
}

async fn top_customers(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<MeterId>,
    Parameters(mut query): Parameters,
) -> Answer<TopCustomersBody> {
    let zone = query.zone();
    let (range, end) = query.range(platform.now(), zone);
    let limit = query.number("limit", 10, 100);
    query.finish()?;
    let customers = read_usage::top_customers(&platform, &actor, id, range, limit).await?;
    ok(TopCustomersBody::from_domain(id.to_string(), (range, end), customers))
}

async fn stats(Caller { platform, actor }: Caller, PathId(id): PathId<MeterId>) -> Answer<MeterStatsBody> {
    let stats = meter_stats::stats(&platform, &actor, id).await?;
    ok(MeterStatsBody::from_domain(id.to_string(), &stats))
}

async fn events(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<MeterId>,
    Parameters(mut query): Parameters,
) -> Answer<List<EventBody>> {
    let page = query.page();
    let zone = query.zone();
    let filter = LogFilter {
        customer: query.parse("customer_id"),
        range: query.bounds(platform.now(), zone),
        least: query.parse::<QuantityIn>("min_quantity").map(|least| least.0),
        key: query.text("idempotency_key"),
    };
    query.finish()?;
    let events = usage_log::list(&platform, &actor, id, &filter, &page).await?;
    ok(List::from_page(events, &page, EventBody::from_domain))
}
