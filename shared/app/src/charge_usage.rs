//! What usage charges are rated from: totals where they are enough, and events where they are not.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    charge::{Price, UsagePrice},
    charge_usage::{ChargeFold, ChargeUsage},
    id::{CustomerId, MeterId, OrganizationId},
    meter::{Aggregation, Meter},
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
    let meters = used.clone().map(|(price, ..)| price.meter).collect::<BTreeSet<_>>();
    let meters = meters
        .into_iter()
        .map(|id| async move { Ok::<_, AppError>((id, platform.store.get_meter(organization, id).await?)) });
    let meters = &try_join_all(meters).await?.into_iter().collect::<BTreeMap<_, _>>();
    let meter_of = |id: MeterId| meters.get(&id).ok_or_else(|| AppError::internal("a meter was left unread"));
    // A total is read once for all charges that it is enough for.
    let mut shared = BTreeSet::<(MeterId, BillingPeriod)>::new();
    for (price, ranges, whole) in used.clone() {
        if total_of(price, ranges) == Some(whole) {
            shared.insert((price.meter, whole));
        }
    }
    let totals = shared.into_iter().map(|(id, period)| async move {
        let meter = meter_of(id)?;
        let total =
            read_usage::total_to_end(platform, organization, meter, customer, range_of(period)).await?;
        Ok::<_, AppError>(((id, period), total))
    });
    let totals = &try_join_all(totals).await?.into_iter().collect::<BTreeMap<_, _>>();
    let usage = used.map(|(price, ranges, whole)| async move {
        let meter = meter_of(price.meter)?;
        let shared = total_of(price, ranges).and_then(|period| totals.get(&(meter.id, period)));
        let usage = match shared {
            Some(total) => ChargeUsage::of_total(*total),
            None => of_part(platform, organization, customer, (price, meter), (ranges, whole)).await?,
        };
        Ok::<_, AppError>(usage.counted_by(meter))
    });
    try_join_all(usage).await
}

fn range_of(period: BillingPeriod) -> Range {
    Range { from: period.start(), until: period.end() }
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
    (price, meter): (&UsagePrice, &Meter),
    (periods, whole): (&[BillingPeriod], BillingPeriod),
) -> Result<ChargeUsage, AppError> {
    let ranges = periods.iter().copied().map(range_of).collect::<Vec<_>>();
    if meter.aggregation == Aggregation::WeightedSum {
        let whole = range_of(whole);
        let usage = visit_usage::level_over(platform, organization, meter, customer, &ranges, whole).await?;
        return Ok(ChargeUsage::of_total(usage));
    }
    if let Some(period) = total_of(price, periods) {
        let usage =
            read_usage::total_to_end(platform, organization, meter, customer, range_of(period)).await?;
        return Ok(ChargeUsage::of_total(usage));
    }
    let mut fold = ChargeFold::new(price, meter.counting());
    visit_usage::visit_counted(platform, organization, meter, customer, &ranges, |event| {
        fold.add(event).map_err(AppError::internal)
    })
    .await?;
    fold.usage().map_err(AppError::internal)
}
