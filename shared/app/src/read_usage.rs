//! What was used: totals and series over any range, and the events behind them.

use std::collections::BTreeSet;

use auth::Actor;
use chrono::{DateTime, Utc};
use domain::{
    event::{TrackedEvent, UsageEvent},
    head::Head,
    id::{CustomerId, MeterId, OrganizationId, SubscriptionId},
    meter::Meter,
    month::Month,
    period::BillingPeriod,
    rating::UsageByMeter,
    series::{MonthOfUsage, Range, Series, Step, needs_events},
    totals::Usage,
    user::Scope,
};
use futures::future::try_join_all;
use store::{HeadId, Page, PageRequest, Position};

use crate::{AppError, Platform, catalog};

/// Usage over a range, in steps.
pub struct UsageSeries {
    /// Over the whole range.
    pub total: Usage,
    /// How many customers used it.
    pub unique_customers: u64,
    /// By step, for steps that have any.
    pub steps: Vec<(DateTime<Utc>, Usage)>,
}

/// What a meter has seen.
pub struct MeterStats {
    /// All events ever.
    pub total_events: u64,
    /// All customers ever.
    pub unique_customers: u64,
    /// The timestamps of the earliest and the latest event.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Usage since midnight, Monday and the first of the month, in UTC.
    pub today: Usage,
    /// Since Monday.
    pub this_week: Usage,
    /// Since the first of the month.
    pub this_month: Usage,
}

/// The largest range one answer covers. A longer one is asked for in parts.
const MONTHS_MAX: usize = 37;

/// Usage of a meter over `range`, by one customer or by all.
pub async fn series(
    platform: &Platform,
    actor: &Actor,
    meter: MeterId,
    customer: Option<CustomerId>,
    range: Range,
    step: Step,
) -> Result<(Meter, UsageSeries), AppError> {
    actor.require(Scope::UsageRead)?;
    let meter = platform.store.get_meter(actor.organization, meter).await?;
    if let Some(customer) = customer {
        platform.store.get_customer(actor.organization, customer).await?;
    }
    let series = read(platform, actor.organization, &meter, customer, range, Some(step)).await?;
    Ok((meter, series))
}

/// What one customer used of every meter over `range`.
pub async fn of_customer(
    platform: &Platform,
    actor: &Actor,
    customer: CustomerId,
    range: Range,
) -> Result<Vec<(Meter, Usage)>, AppError> {
    actor.require(Scope::UsageRead)?;
    platform.store.get_customer(actor.organization, customer).await?;
    let mut usage = Vec::new();
    for meter in all_meters(platform, actor).await? {
        let series = read(platform, actor.organization, &meter, Some(customer), range, None).await?;
        usage.push((meter, series.total));
    }
    Ok(usage)
}

/// What a subscription's customer used of the plan's meters in its current period.
pub async fn of_subscription(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
) -> Result<(BillingPeriod, Vec<(Meter, Usage)>), AppError> {
    actor.require(Scope::UsageRead)?;
    let organization = actor.organization;
    let subscription = platform.store.get_subscription(organization, id).await?;
    let plan = platform.store.get_plan(organization, subscription.plan).await?;
    let period = subscription.current_period().map_err(AppError::internal)?;
    let meters = plan.charges_in(subscription.price_version).filter_map(|charge| charge.meter());
    let mut usage = Vec::new();
    for meter in meters.collect::<BTreeSet<_>>() {
        let meter = platform.store.get_meter(organization, meter).await?;
        let range = Range { from: period.start(), until: period.end() };
        let series = read(platform, organization, &meter, Some(subscription.customer), range, None).await?;
        usage.push((meter, series.total));
    }
    Ok((period, usage))
}

/// What a customer used of some meters in a period, for rating.
pub(crate) async fn by_meter(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    meters: impl IntoIterator<Item = MeterId>,
    period: BillingPeriod,
) -> Result<UsageByMeter, AppError> {
    let range = Range { from: period.start(), until: period.end() };
    let read = meters.into_iter().collect::<BTreeSet<_>>().into_iter().map(|meter| async move {
        let meter = platform.store.get_meter(organization, meter).await?;
        let series = read(platform, organization, &meter, Some(customer), range, None).await?;
        Ok::<_, AppError>((meter.id, series.total))
    });
    Ok(try_join_all(read).await?.into_iter().collect())
}

/// What a meter has seen so far.
pub async fn stats(platform: &Platform, actor: &Actor, meter: MeterId) -> Result<MeterStats, AppError> {
    actor.require(Scope::UsageRead)?;
    let organization = actor.organization;
    let meter = platform.store.get_meter(organization, meter).await?;
    let mut customers = BTreeSet::new();
    let mut stats = MeterStats {
        total_events: 0,
        unique_customers: 0,
        span: None,
        today: Usage::default(),
        this_week: Usage::default(),
        this_month: Usage::default(),
    };
    for month in platform.store.list_months(organization, meter.id).await? {
        for (customer, head) in platform.store.list_heads(organization, meter.id, month).await? {
            stats.total_events += head.days.values().map(|totals| totals.events).sum::<u64>();
            customers.insert(customer);
            stats.span = match (stats.span, head.span) {
                (Some((first, last)), Some((other_first, other_last))) => {
                    Some((first.min(other_first), last.max(other_last)))
                }
                (left, right) => left.or(right),
            };
        }
    }
    stats.unique_customers = customers.len() as u64;
    let now = platform.now();
    for (step, usage) in [
        (Step::Day, &mut stats.today),
        (Step::Week, &mut stats.this_week),
        (Step::Month, &mut stats.this_month),
    ] {
        let from = step.start_of(now);
        let range = Range { from, until: step.next(from) };
        *usage = read(platform, organization, &meter, None, range, None).await?.total;
    }
    Ok(stats)
}

/// The events of a meter, newest first.
pub async fn events(
    platform: &Platform,
    actor: &Actor,
    meter: MeterId,
    page: &PageRequest,
) -> Result<Page<TrackedEvent>, AppError> {
    actor.require(Scope::UsageRead)?;
    let organization = actor.organization;
    let meter = platform.store.get_meter(organization, meter).await?;
    let mut rows = Vec::new();
    let mut total = 0;
    let (skip, after) = match &page.position {
        Position::Number(number) => (number.saturating_sub(1).saturating_mul(page.size), None),
        Position::After(place) => (0, Some(place.as_str())),
    };
    for month in platform.store.list_months(organization, meter.id).await?.into_iter().rev() {
        let heads = platform.store.list_heads(organization, meter.id, month).await?;
        total += heads.iter().map(|(_, head)| head.members).sum::<u64>();
        if rows.len() > skip + page.size {
            continue; // only the total is still of interest
        }
        for (customer, head) in heads {
            let id = HeadId { organization, meter: meter.id, customer, month };
            let sealed = sealed(platform, id, &head).await?;
            let members = head.tail.into_iter().chain(sealed).map(|event| (event.key.clone(), event));
            for event in members.collect::<std::collections::BTreeMap<_, _>>().into_values() {
                let sort = sort_key(&event, customer);
                if after.is_none_or(|after| sort.as_str() < after) {
                    rows.push((sort, customer, event));
                }
            }
        }
    }
    rows.sort_by(|(left, ..), (right, ..)| right.cmp(left));
    let rows = rows.into_iter().skip(skip).map(|(sort, customer, event)| {
        let has_sender_key = true;
        (sort, TrackedEvent { organization, meter: meter.id, customer, has_sender_key, event })
    });
    let page = Page::first_of(rows, page.size);
    Ok(Page { total: usize::try_from(total).unwrap_or(usize::MAX), ..page })
}

/// A place in the log: by time, and then by what tells events of the same time apart.
fn sort_key(event: &UsageEvent, customer: CustomerId) -> String {
    format!("{:016}#{customer}#{}", event.occurred_at.timestamp_millis(), event.key)
}

async fn sealed(platform: &Platform, id: HeadId, head: &Head) -> Result<Vec<UsageEvent>, AppError> {
    match head.sealed_until {
        Some(_) => Ok(platform.store.list_sealed(id).await?),
        None => Ok(Vec::new()),
    }
}

async fn all_meters(platform: &Platform, actor: &Actor) -> Result<Vec<Meter>, AppError> {
    let mut meters = Vec::new();
    let mut position = Position::Number(1);
    loop {
        let page = PageRequest { position, size: 100 };
        let found = catalog::list_meters_of(platform, actor.organization, &page).await?;
        meters.extend(found.rows);
        match found.next_cursor.as_deref().and_then(Position::from_cursor) {
            Some(next) => position = next,
            None => return Ok(meters),
        }
    }
}

/// Usage over a range: heads say it, and where they do not, their events are folded.
async fn read(
    platform: &Platform,
    organization: OrganizationId,
    meter: &Meter,
    customer: Option<CustomerId>,
    range: Range,
    step: Option<Step>,
) -> Result<UsageSeries, AppError> {
    let months = Month::in_range(range.from, range.until).take(MONTHS_MAX + 1).collect::<Vec<_>>();
    if months.len() > MONTHS_MAX {
        return Err(AppError::invalid(
            "start_date",
            "lies more than three years before the end: ask in parts",
        ));
    }
    let heads = months.into_iter().map(|month| async move {
        let heads = match customer {
            Some(customer) => {
                let id = HeadId { organization, meter: meter.id, customer, month };
                vec![(customer, platform.store.get_head(id).await?)]
            }
            None => platform.store.list_heads(organization, meter.id, month).await?,
        };
        Ok::<_, AppError>((month, heads))
    });
    let mut series = Series::new(meter.counting(), range, step);
    let mut customers = BTreeSet::new();
    for (month, heads) in try_join_all(heads).await? {
        for (customer, head) in heads {
            let id = HeadId { organization, meter: meter.id, customer, month };
            let is_needed = needs_events(meter.aggregation, &head, month, range, step);
            let sealed = if is_needed { platform.store.list_sealed(id).await? } else { Vec::new() };
            let events_before = series.total().events;
            series.add(&MonthOfUsage { month, head, sealed }).map_err(AppError::internal)?;
            if series.total().events > events_before {
                customers.insert(customer);
            }
        }
    }
    Ok(UsageSeries {
        total: series.total(),
        unique_customers: customers.len() as u64,
        steps: series.steps().collect(),
    })
}
