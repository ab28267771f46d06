//! What was used: totals and series over any range, by step, property or customer.

use std::collections::BTreeSet;

use auth::Actor;
use chrono::{DateTime, Utc};
use domain::{
    id::{CustomerId, MeterId, OrganizationId, SubscriptionId},
    meter::{Filter, Meter},
    period::BillingPeriod,
    rating::UsageByMeter,
    series::Range,
    subscription::Subscription,
    totals::Usage,
    user::Scope,
    zone::Steps,
};
use futures::future::try_join_all;
use store::{PageRequest, Position, if_there};

use crate::{
    AppError, Platform, catalog,
    fold_usage::{self, Asked},
    track_usage::{CustomerRef, MeterRef, find_customer, get_read_meter},
};

/// What is asked of usage.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// In which steps.
    pub steps: Option<Steps>,
    /// Of which events.
    pub filters: Vec<Filter>,
    /// By the values of which property.
    pub group_by: Option<String>,
    /// Whether a level holds on until the end of the range, as if nothing more happened, rather than until now.
    pub holds_on: bool,
}

/// Usage over a range.
pub struct UsageSeries {
    /// Over the whole range.
    pub total: Usage,
    /// How many customers used it.
    pub unique_customers: u64,
    /// By step, for steps that have any.
    pub steps: Vec<(DateTime<Utc>, Usage)>,
    /// By the value of the property asked for, most first.
    pub groups: Vec<(Option<String>, Usage)>,
}

/// Usage of a meter over `range`, by one customer or by all.
pub async fn series(
    platform: &Platform,
    actor: &Actor,
    meter: MeterId,
    customer: Option<CustomerId>,
    range: Range,
    question: &Question,
) -> Result<(Meter, UsageSeries), AppError> {
    actor.require(Scope::UsageRead)?;
    let meter = platform.store.get_meter_or_deleted(actor.organization, meter).await?;
    if let Some(customer) = customer {
        platform.store.get_customer(actor.organization, customer).await?;
    }
    let organization = actor.organization;
    let asked = Asked { organization, meter: &meter, customer, range, question };
    let series = fold_usage::answer(platform, asked).await?;
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
    let meters = all_meters(platform, actor).await?;
    totals(platform, actor.organization, meters, Some(customer), range, &Question::default()).await
}

async fn totals(
    platform: &Platform,
    organization: OrganizationId,
    meters: Vec<Meter>,
    customer: Option<CustomerId>,
    range: Range,
    question: &Question,
) -> Result<Vec<(Meter, Usage)>, AppError> {
    let mut usage = Vec::new();
    for meter in meters {
        let asked = Asked { organization, meter: &meter, customer, range, question };
        let series = fold_usage::answer(platform, asked).await?;
        usage.push((meter, series.total));
    }
    Ok(usage)
}

/// What is asked of usage in general: of one meter or all, by one customer, a subscription's, or all.
pub struct UsageQuestion {
    /// Of which meter; of all if none.
    pub meter: Option<MeterRef>,
    /// By whom.
    pub customer: Option<CustomerRef>,
    /// By the customer of which subscription, on its plan's meters.
    pub subscription: Option<SubscriptionId>,
    /// Over which range.
    pub range: Option<Range>,
    /// Over which, if none was asked for. Of a subscription it is the current period.
    pub default_range: Range,
    /// The rest.
    pub question: Question,
}

/// Usage as it was asked for.
pub struct UsageAnswer {
    /// The range that it covers.
    pub range: Range,
    /// The steps that it is in.
    pub steps: Option<Steps>,
    /// Whose it is, if it is one customer's.
    pub customer: Option<CustomerId>,
    /// Of the one meter that was asked for.
    pub one: Option<(Meter, UsageSeries)>,
    /// Else of several.
    pub several: Vec<(Meter, Usage)>,
}

/// Answers what is asked of usage.
///
/// Errors: `NotFound` for a meter, customer or subscription that is not there.
pub async fn answer(
    platform: &Platform,
    actor: &Actor,
    asked: UsageQuestion,
) -> Result<UsageAnswer, AppError> {
    actor.require(Scope::UsageRead)?;
    let organization = actor.organization;
    let mut customer = match &asked.customer {
        Some(customer) => Some(find_customer(platform, actor, customer).await?),
        None => None,
    };
    let mut range = asked.range.unwrap_or(asked.default_range);
    let mut meters = None;
    if let Some(id) = asked.subscription {
        let subscription = platform.store.get_subscription(organization, id).await?;
        if customer.is_some_and(|customer| customer != subscription.customer) {
            return Err(AppError::NotFound("subscription of this customer"));
        }
        customer = Some(subscription.customer);
        let (period, of_plan) = period_and_meters(platform, organization, &subscription).await?;
        range = asked.range.unwrap_or(Range { from: period.start(), until: period.end() });
        meters = Some(of_plan);
    }
    let (steps, question) = (asked.question.steps, &asked.question);
    if let Some(meter) = &asked.meter {
        let meter = get_read_meter(platform, actor, meter).await?;
        let asked = Asked { organization, meter: &meter, customer, range, question };
        let series = fold_usage::answer(platform, asked).await?;
        let one = Some((meter, series));
        return Ok(UsageAnswer { range, steps, customer, one, several: Vec::new() });
    }
    let meters = match meters {
        Some(meters) => meters,
        None => all_meters(platform, actor).await?,
    };
    let several = totals(platform, organization, meters, customer, range, question).await?;
    Ok(UsageAnswer { range, steps, customer, one: None, several })
}

/// The current period of a subscription, and the meters of its plan.
async fn period_and_meters(
    platform: &Platform,
    organization: OrganizationId,
    subscription: &Subscription,
) -> Result<(BillingPeriod, Vec<Meter>), AppError> {
    let period = subscription.current_period().map_err(AppError::internal)?;
    let Some(plan) = if_there(platform.store.get_plan(organization, subscription.plan).await)? else {
        return Ok((period, Vec::new())); // it was deleted since the subscription ended
    };
    let ids = plan.charges_in(subscription.price_version).filter_map(|charge| charge.meter());
    let mut meters = Vec::new();
    for meter in ids.collect::<BTreeSet<_>>() {
        meters.push(platform.store.get_meter(organization, meter).await?);
    }
    Ok((period, meters))
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
    let (period, meters) = period_and_meters(platform, organization, &subscription).await?;
    let range = Range { from: period.start(), until: period.end() };
    let customer = Some(subscription.customer);
    let usage = totals(platform, organization, meters, customer, range, &Question::default()).await?;
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
        Ok::<_, AppError>((meter.id, total_of(platform, organization, &meter, customer, range).await?))
    });
    Ok(try_join_all(read).await?.into_iter().collect())
}

/// What a customer used of a meter over `range`, however much it is. Reads its heads, and nothing else where they
/// say it.
///
/// Errors: as the store's.
pub async fn total_of(
    platform: &Platform,
    organization: OrganizationId,
    meter: &Meter,
    customer: CustomerId,
    range: Range,
) -> Result<Usage, AppError> {
    let question = &Question::default();
    let asked = Asked { organization, meter, customer: Some(customer), range, question };
    Ok(fold_usage::fold(platform, asked).await?.total)
}

/// The customers who used most of a meter over `range`, most first.
pub async fn top_customers(
    platform: &Platform,
    actor: &Actor,
    meter: MeterId,
    range: Range,
    limit: usize,
) -> Result<Vec<(CustomerId, Usage)>, AppError> {
    actor.require(Scope::UsageRead)?;
    let organization = actor.organization;
    let meter = platform.store.get_meter_or_deleted(organization, meter).await?;
    let question = &Question::default();
    let asked = Asked { organization, meter: &meter, customer: None, range, question };
    let mut usage = fold_usage::answer_by_customer(platform, asked).await?;
    usage.sort_by_key(|(customer, usage)| (std::cmp::Reverse((usage.quantity, usage.events)), *customer));
    usage.truncate(limit);
    Ok(usage)
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
