//! What usage charges are rated from: totals where they are enough, and events where they are not.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    charge::{Price, UsagePrice},
    charge_usage::{ChargeFold, ChargeUsage},
    id::{CustomerId, MeterId, OrganizationId},
    meter::Aggregation,
    period::BillingPeriod,
    series::Range,
    timeline::{Bill, DueKind},
};
use futures::future::try_join_all;

use crate::{AppError, Platform, read_usage, visit_usage};

/// What a customer used of the usage charges of a bill, in their order.
pub(crate) async fn of_bill(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    bill: &Bill,
) -> Result<Vec<ChargeUsage>, AppError> {
    let used = bill.dues.iter().filter_map(|due| match (&due.charge.price, &due.kind) {
        (Price::Usage(price), DueKind::Usage(ranges, whole)) => Some((price, ranges.as_slice(), *whole)),
        (Price::Usage(_) | Price::Fixed(_), _) => None,
    });
    // A range is read once for all meters whose totals are enough.
    let mut by_range = BTreeMap::<BillingPeriod, BTreeSet<MeterId>>::new();
    for (price, ranges, whole) in used.clone() {
        if let Some(range) = total_of(price, ranges).filter(|range| *range == whole) {
            by_range.entry(range).or_default().insert(price.meter);
        }
    }
    let totals = by_range.into_iter().map(|(range, meters)| async move {
        let totals = read_usage::by_meter(platform, organization, customer, meters, range).await?;
        Ok::<_, AppError>((range, totals))
    });
    let totals = &try_join_all(totals).await?.into_iter().collect::<BTreeMap<_, _>>();
    let usage = used.map(|(price, ranges, whole)| async move {
        let range = total_of(price, ranges).filter(|range| *range == whole);
        match range.and_then(|range| totals.get(&range)) {
            Some(totals) => Ok(ChargeUsage::of_total(totals.get(&price.meter).copied().unwrap_or_default())),
            None => of_part(platform, organization, customer, price, (ranges, whole)).await,
        }
    });
    try_join_all(usage).await
}

/// The one range whose total says all there is to know; `None` if events are needed.
fn total_of(price: &UsagePrice, ranges: &[BillingPeriod]) -> Option<BillingPeriod> {
    match ranges {
        [range] if !price.needs_events() => Some(*range),
        _ => None,
    }
}

/// What was used in parts of an interval: a level by their share of it, else what their events come to.
async fn of_part(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    price: &UsagePrice,
    (periods, whole): (&[BillingPeriod], BillingPeriod),
) -> Result<ChargeUsage, AppError> {
    let meter = platform.store.get_meter(organization, price.meter).await?;
    let range = |period: BillingPeriod| Range { from: period.start(), until: period.end() };
    let ranges = periods.iter().copied().map(range).collect::<Vec<_>>();
    if meter.aggregation == Aggregation::WeightedSum {
        let whole = range(whole);
        let usage = visit_usage::level_over(platform, organization, &meter, customer, &ranges, whole).await?;
        return Ok(ChargeUsage::of_total(usage));
    }
    if let Some(period) = total_of(price, periods) {
        let usage = read_usage::total_of(platform, organization, &meter, customer, range(period)).await?;
        return Ok(ChargeUsage::of_total(usage));
    }
    let mut fold = ChargeFold::new(price, meter.counting());
    visit_usage::visit_counted(platform, organization, &meter, customer, &ranges, |event| {
        fold.add(event).map_err(AppError::internal)
    })
    .await?;
    fold.usage().map_err(AppError::internal)
}
