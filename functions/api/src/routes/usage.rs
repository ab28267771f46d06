//! Usage as it is asked for, what became of single events, and corrections.

use app::{
    AppError, Platform,
    correct_usage::correct,
    find_usage::{self, EventName},
    read_usage::{self, UsageQuestion},
    track_usage::{CustomerRef, MeterRef},
    usage_log::{self, UncountedFilter},
};
use domain::id::EventId;
use wire::{
    Problem,
    extract::{Body, Caller, NoBody, Parameters, PathId},
    list::List,
    query::Query,
    routes::Routes,
    usage_log::{CorrectionBody, EventBody, EventStatusBody, NewCorrectionBody, ReplayBody},
    usage_read::UsageAnswerBody,
};

use crate::answer::{Answer, accepted, ok};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .get("/api/v1/usage", usage)
        .get("/api/v1/usage/aggregate", aggregate)
        .get("/api/v1/usage/events", event)
        .post("/api/v1/usage/corrections", correction)
        .get("/api/v1/usage/rejected", rejected)
        .post("/api/v1/usage/rejected/{id}/replay", replay)
}

async fn usage(Caller { platform, actor }: Caller, Parameters(query): Parameters) -> Answer<UsageAnswerBody> {
    answer(&platform, &actor, query, false).await
}

async fn aggregate(
    Caller { platform, actor }: Caller,
    Parameters(query): Parameters,
) -> Answer<UsageAnswerBody> {
    answer(&platform, &actor, query, true).await
}

async fn answer(
    platform: &Platform,
    actor: &auth::Actor,
    mut query: Query,
    is_of_one_meter: bool,
) -> Answer<UsageAnswerBody> {
    let zone = query.zone();
    let question = query.question(None, zone);
    let is_in_parts = question.steps.is_some() || question.group_by.is_some();
    let has_range = query.has("start_date") || query.has("end_date");
    let (range, end) = query.range(platform.now(), zone);
    let asked = UsageQuestion {
        meter: meter(&mut query),
        customer: customer(&mut query),
        subscription: query.parse("subscription_id"),
        range: has_range.then_some(range),
        default_range: range,
        question,
    };
    if asked.meter.is_none() && (is_of_one_meter || is_in_parts) {
        query.require("meter_id", "is required here: steps and groups are those of one meter");
    }
    query.finish()?;
    let found = read_usage::answer(platform, actor, asked).await?;
    let end = if found.range == range { end } else { found.range.until };
    let shown = (found.range, end);
    ok(match found.one {
        Some((meter, series)) => UsageAnswerBody::of_one(meter, found.customer, &series, shown, found.steps),
        None => UsageAnswerBody::of_several(found.customer, found.several, shown),
    })
}

fn meter(query: &mut Query) -> Option<MeterRef> {
    let id = query.parse("meter_id").map(MeterRef::Id);
    let name = query.text("meter_name").map(MeterRef::Name);
    let token = query.parse("meter_token").map(MeterRef::Token);
    id.or(name).or(token)
}

fn customer(query: &mut Query) -> Option<CustomerRef> {
    let id = query.parse("customer_id").map(CustomerRef::Id);
    let external_id = query.text("customer_external_id").map(CustomerRef::ExternalId);
    id.or(external_id)
}

async fn event(
    Caller { platform, actor }: Caller,
    Parameters(mut query): Parameters,
) -> Answer<EventStatusBody> {
    let (meter, customer, key) = (meter(&mut query), customer(&mut query), query.text("idempotency_key"));
    let timestamp = query.time("timestamp");
    for (field, is_given) in [
        ("meter_id", meter.is_some()),
        ("customer_id", customer.is_some()),
        ("idempotency_key", key.is_some()),
    ] {
        if !is_given {
            query.require(field, "is required");
        }
    }
    query.finish()?;
    let (Some(meter), Some(customer), Some(key)) = (meter, customer, key) else {
        return Err(Problem::from(AppError::internal("a required parameter was let through")));
    };
    let name = EventName { meter, customer, key: key.clone(), timestamp };
    let found = find_usage::find(&platform, &actor, &name).await?;
    ok(EventStatusBody::from_domain(&found, key))
}

async fn correction(
    Caller { platform, actor }: Caller,
    Body(body): Body<NewCorrectionBody>,
) -> Answer<CorrectionBody> {
    let (name, correction) = body.into_domain()?;
    let done = correct(&platform, &actor, &name, correction).await?;
    let body = CorrectionBody::from_accepted(&done).ok_or_else(|| AppError::internal("no correction"))?;
    accepted(body)
}

async fn rejected(
    Caller { platform, actor }: Caller,
    Parameters(mut query): Parameters,
) -> Answer<List<EventBody>> {
    let page = query.page();
    let zone = query.zone();
    let (range, _) = query.range(platform.now(), zone);
    let filter = UncountedFilter {
        meter: query.parse("meter_id"),
        customer: query.parse("customer_id"),
        is_conflict: query.choice("status", &[("conflict", true), ("rejected", false)]),
        range,
    };
    query.finish()?;
    let found = usage_log::list_uncounted(&platform, &actor, &filter, &page).await?;
    ok(List::from_page(found, &page, EventBody::from_uncounted))
}

async fn replay(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<EventId>,
    _: NoBody,
) -> Answer<ReplayBody> {
    accepted(ReplayBody { replayed: usage_log::replay(&platform, &actor, id).await? })
}
