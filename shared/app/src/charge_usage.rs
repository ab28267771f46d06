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
        (Price::Usage(price), DueKind::Usage(ranges)) => Some((price, ranges.as_slice())),
        (Price::Usage(_) | Price::Fixed(_), _) => None,
    });
    // A range is read once for all meters whose totals are enough.
    let mut by_range = BTreeMap::<BillingPeriod, BTreeSet<MeterId>>::new();
    for (price, ranges) in used.clone() {
        if let Some(range) = total_of(price, ranges) {
            by_range.entry(range).or_default().insert(price.meter);
        }
    }
    let totals = by_range.into_iter().map(|(range, meters)| async move {
        let totals = read_usage::by_meter(platform, organization, customer, meters, range).await?;
        Ok::<_, AppError>((range, totals))
    });
    let totals = &try_join_all(totals).await?.into_iter().collect::<BTreeMap<_, _>>();
    let usage = used.map(|(price, ranges)| async move {
        match total_of(price, ranges).and_then(|range| totals.get(&range)) {
            Some(totals) => Ok(ChargeUsage::of_total(totals.get(&price.meter).copied().unwrap_or_default())),
            None => folded(platform, organization, customer, price, ranges).await,
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

/// Folds the events of a meter as they are read.
async fn folded(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    price: &UsagePrice,
    ranges: &[BillingPeriod],
) -> Result<ChargeUsage, AppError> {
    let meter = platform.store.get_meter(organization, price.meter).await?;
    let ranges = ranges.iter().map(|range| Range { from: range.start(), until: range.end() });
    let ranges = ranges.collect::<Vec<_>>();
    if meter.aggregation == Aggregation::WeightedSum {
        let usage = visit_usage::level_over(platform, organization, &meter, customer, &ranges).await?;
        return Ok(ChargeUsage::of_total(usage));
    }
    let mut fold = ChargeFold::new(price, meter.counting());
    visit_usage::visit_counted(platform, organization, &meter, customer, &ranges, |event| {
        fold.add(event).map_err(AppError::internal)
    })
    .await?;
    fold.usage().map_err(AppError::internal)
}
