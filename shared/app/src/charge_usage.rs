//! What usage charges are rated from: totals where they are enough, and events where they are not.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    charge::{Charge, Price, UsagePrice},
    charge_usage::{ChargeFold, ChargeUsage},
    id::{CustomerId, MeterId, OrganizationId},
    meter::{Aggregation, Meter},
    period::BillingPeriod,
    quantity::QuantityOverflow,
    rating::UnratedCharge,
    series::Range,
    timeline::{Bill, DueKind},
};
use futures::{
    future::try_join_all,
    lock::{Mutex, MutexGuard},
};

use crate::{AppError, Platform, read_usage, visit_usage};

/// What a customer used of the usage charges of a bill, in their order.
///
/// Errors: `cannot_be_billed` with the charge whose usage cannot be computed exactly.
pub(crate) async fn of_bill(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    bill: &Bill,
) -> Result<Vec<ChargeUsage>, AppError> {
    let used = bill.dues.iter().filter_map(|due| match (&due.charge.price, &due.kind) {
        (Price::Usage(price), DueKind::Usage(ranges, whole)) => {
            Some((&due.charge, price, ranges.as_slice(), *whole))
        }
        (Price::Usage(_) | Price::Fixed(_), _) => None,
    });
    let meters = used.clone().map(|(_, price, ..)| price.meter).collect::<BTreeSet<_>>();
    let meters = meters
        .into_iter()
        .map(|id| async move { Ok::<_, AppError>((id, platform.store.get_meter(organization, id).await?)) });
    let meters = &try_join_all(meters).await?.into_iter().collect::<BTreeMap<_, _>>();
    let meter_of = |id: MeterId| meters.get(&id).ok_or_else(|| AppError::internal("a meter was left unread"));
    // A total is read once for all charges that it is enough for.
    let mut shared = BTreeMap::<(MeterId, BillingPeriod), &Charge>::new();
    for (charge, price, ranges, whole) in used.clone() {
        if total_of(price, ranges) == Some(whole) {
            shared.entry((price.meter, whole)).or_insert(charge);
        }
    }
    let turns = &Mutex::new(());
    let totals = shared.into_iter().map(|((id, period), charge)| async move {
        let meter = meter_of(id)?;
        let _turn = turn_of(meter.aggregation == Aggregation::UniqueCount, turns).await;
        let total = read_usage::total_to_end(platform, organization, meter, customer, range_of(period)).await;
        Ok::<_, AppError>(((id, period), total.map_err(|error| of_charge(charge, error))?))
    });
    let totals = &try_join_all(totals).await?.into_iter().collect::<BTreeMap<_, _>>();
    let usage = used.map(|(charge, price, ranges, whole)| async move {
        let meter = meter_of(price.meter)?;
        let shared = total_of(price, ranges).and_then(|period| totals.get(&(meter.id, period)));
        let usage = match shared {
            Some(total) => ChargeUsage::of_total(*total),
            None => {
                let _turn = turn_of(meter.aggregation != Aggregation::WeightedSum, turns).await;
                let part = of_part(platform, organization, customer, (price, meter), (ranges, whole)).await;
                part.map_err(|error| of_charge(charge, error))?
            }
        };
        Ok::<_, AppError>(usage.counted_by(meter))
    });
    try_join_all(usage).await
}

/// What is folded from events takes turns, so that a bill holds no more at once than one charge may.
async fn turn_of(is_by_event: bool, turns: &Mutex<()>) -> Option<MutexGuard<'_, ()>> {
    if is_by_event { Some(turns.lock().await) } else { None }
}

/// The error, told of the charge that cannot be billed for it.
fn of_charge(charge: &Charge, error: AppError) -> AppError {
    if !error.is_usage_too_large() {
        return error;
    }
    AppError::cannot_be_billed(UnratedCharge::of(&charge.display_name, QuantityOverflow))
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
    let heads = visit_usage::heads_in(platform, organization, meter, customer, &ranges).await?;
    let members = heads.iter().map(|(_, head)| head.members).fold(0, u64::saturating_add);
    let share = platform.memory.share(members);
    let mut fold = ChargeFold::bounded(price, meter.counting(), share.bytes());
    loop {
        visit_usage::visit_counted(platform, &heads, &ranges, |event| Ok(fold.add(event)?)).await?;
        if !fold.begins_further_pass() {
            return Ok(fold.usage()?);
        }
    }
}
