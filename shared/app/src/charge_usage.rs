//! What usage charges are rated from: totals where they are enough, and events where they are not.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    charge::{Price, UsagePrice},
    charge_usage::{ChargeFold, ChargeUsage},
    id::{CustomerId, MeterId, OrganizationId},
    month::Month,
    period::BillingPeriod,
    timeline::{Bill, DueKind},
};
use futures::future::try_join_all;
use store::HeadId;

use crate::{AppError, Platform, read_usage};

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

/// Folds the events of a meter. A month is read at a time.
async fn folded(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    price: &UsagePrice,
    ranges: &[BillingPeriod],
) -> Result<ChargeUsage, AppError> {
    let meter = platform.store.get_meter(organization, price.meter).await?;
    let mut fold = ChargeFold::new(price, meter.counting());
    let months = ranges.iter().flat_map(|range| Month::in_range(range.start(), range.end()));
    for month in months.collect::<BTreeSet<_>>() {
        let id = HeadId { organization, meter: meter.id, customer, month };
        let head = platform.store.get_head(id).await?;
        let sealed = match head.sealed_until {
            Some(_) => platform.store.list_sealed(id).await?,
            None => Vec::new(),
        };
        // Between reading the head and its segments a tail may have been sealed: take each event once.
        let members = head.tail.iter().chain(&sealed);
        let members = members.map(|event| ((event.occurred_at, event.key.as_str()), event));
        for event in members.collect::<BTreeMap<_, _>>().into_values() {
            if ranges.iter().any(|range| range.contains(event.occurred_at)) {
                fold.add(event).map_err(AppError::internal)?;
            }
        }
    }
    fold.usage().map_err(AppError::internal)
}
