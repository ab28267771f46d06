//! What usage charges are rated from: totals where they are enough, and events where they are not.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    charge::{Charge, Price, UsagePrice},
    charge_usage::{ChargeFold, ChargeUsage},
    head::Head,
    held,
    id::{CustomerId, MeterId, OrganizationId},
    meter::{Aggregation, Meter},
    month::Month,
    period::BillingPeriod,
    quantity::QuantityOverflow,
    rating::UnratedCharge,
    seen_usage::BillUsage,
    series::Range,
    timeline::{Bill, DueKind},
    totals::Usage,
};
use futures::{
    future::try_join_all,
    lock::{Mutex, MutexGuard},
};
use store::HeadId;

use crate::{
    AppError, Platform,
    fold_usage::{Asked, fold_known},
    read_usage::Question,
    visit_usage,
};

/// The heads that the usage of a bill lies in, as they were at one time.
pub(crate) struct BillHeads {
    organization: OrganizationId,
    customer: CustomerId,
    heads: BTreeMap<HeadId, Head>,
}

impl BillHeads {
    /// Those of a customer's bill, as they are now.
    pub(crate) async fn read(
        platform: &Platform,
        organization: OrganizationId,
        customer: CustomerId,
        bill: &Bill,
    ) -> Result<Self, AppError> {
        let this = Self { organization, customer, heads: BTreeMap::new() };
        let ids = used_of(bill).flat_map(|(_, price, ranges, _)| this.ids(price.meter, ranges));
        let ids = Vec::from_iter(ids.collect::<BTreeSet<_>>());
        Ok(Self { heads: platform.store.get_heads(&ids).await?, ..this })
    }

    /// How often they were written.
    pub(crate) fn writes(&self) -> u64 {
        self.heads.values().map(|head| head.version).sum()
    }

    fn ids(&self, meter: MeterId, ranges: &[BillingPeriod]) -> BTreeSet<HeadId> {
        let (organization, customer) = (self.organization, self.customer);
        let months = ranges.iter().flat_map(|range| Month::in_range(range.start(), range.end()));
        months.map(|month| HeadId { organization, meter, customer, month }).collect()
    }

    /// Those of a meter that some ranges touch.
    fn of(&self, meter: MeterId, ranges: &[BillingPeriod]) -> Vec<(HeadId, Head)> {
        let ids = self.ids(meter, ranges).into_iter();
        ids.filter_map(|id| Some((id, self.heads.get(&id)?.clone()))).collect()
    }
}

/// The usage charges of a bill, in their order, with the ranges they are of and the interval that these lie in.
fn used_of(
    bill: &Bill,
) -> impl Iterator<Item = (&Charge, &UsagePrice, &[BillingPeriod], BillingPeriod)> + Clone {
    bill.dues.iter().filter_map(|due| match (&due.charge.price, &due.kind) {
        (Price::Usage(price), DueKind::Usage(ranges, whole)) => {
            Some((&due.charge, price, ranges.as_slice(), *whole))
        }
        (Price::Usage(_) | Price::Fixed(_), _) => None,
    })
}

/// What a customer used of the usage charges of a bill.
///
/// Errors: `cannot_be_billed` with the charge whose usage cannot be computed exactly.
pub(crate) async fn of_bill(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    bill: &Bill,
) -> Result<BillUsage, AppError> {
    let heads = BillHeads::read(platform, organization, customer, bill).await?;
    of_heads(platform, bill, &heads).await
}

/// As [`of_bill`], from heads that were read before.
pub(crate) async fn of_heads(
    platform: &Platform,
    bill: &Bill,
    heads: &BillHeads,
) -> Result<BillUsage, AppError> {
    let organization = heads.organization;
    let used = used_of(bill);
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
        let total = total_in(platform, meter, period, heads).await;
        Ok::<_, AppError>(((id, period), total.map_err(|error| of_charge(charge, error))?))
    });
    let totals = &try_join_all(totals).await?.into_iter().collect::<BTreeMap<_, _>>();
    let usage = used.map(|(charge, price, ranges, whole)| async move {
        let meter = meter_of(price.meter)?;
        let shared = total_of(price, ranges).and_then(|period| totals.get(&(meter.id, period)));
        let usage = match shared {
            Some(total) => ChargeUsage::of_total(*total),
            None => {
                let _turn = turn_of(ChargeFold::holds(price, meter.counting()), turns).await;
                let part = of_part(platform, (price, meter), (ranges, whole), heads).await;
                part.map_err(|error| of_charge(charge, error))?
            }
        };
        Ok::<_, AppError>(usage.counted_by(meter))
    });
    let charges = try_join_all(usage).await?;
    let has_level = meters.values().any(|meter| meter.aggregation == Aggregation::WeightedSum);
    Ok(BillUsage { charges, writes: Some(heads.writes()).filter(|_| !has_level) })
}

/// What has to hold values or events takes turns, so that a bill holds no more at once than one charge may.
async fn turn_of(holds: bool, turns: &Mutex<()>) -> Option<MutexGuard<'_, ()>> {
    if holds { Some(turns.lock().await) } else { None }
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
    (price, meter): (&UsagePrice, &Meter),
    (periods, whole): (&[BillingPeriod], BillingPeriod),
    heads: &BillHeads,
) -> Result<ChargeUsage, AppError> {
    if meter.aggregation == Aggregation::WeightedSum {
        return Ok(ChargeUsage::of_total(level_over(platform, meter, (periods, whole), heads).await?));
    }
    if let Some(period) = total_of(price, periods) {
        return Ok(ChargeUsage::of_total(total_in(platform, meter, period, heads).await?));
    }
    let heads = heads.of(meter.id, periods);
    let ranges = periods.iter().copied().map(range_of).collect::<Vec<_>>();
    let members = heads.iter().map(|(_, head)| head.members).fold(0, u64::saturating_add);
    let holds = ChargeFold::holds(price, meter.counting());
    let share = platform.memory.share(if holds { members } else { 0 });
    let mut fold = ChargeFold::bounded(price, meter.counting(), share.bytes());
    loop {
        visit_usage::visit_counted(platform, &heads, &ranges, |event| Ok(fold.add(event)?)).await?;
        if !fold.begins_further_pass() {
            return Ok(fold.usage()?);
        }
    }
}

/// What was used of a meter in a period, however much it is, if nothing more happens until its end.
async fn total_in(
    platform: &Platform,
    meter: &Meter,
    period: BillingPeriod,
    heads: &BillHeads,
) -> Result<Usage, AppError> {
    let (question, range) = (&Question { holds_on: true, ..Question::default() }, range_of(period));
    let asked =
        Asked { organization: heads.organization, meter, customer: Some(heads.customer), range, question };
    Ok(fold_known(platform, asked, heads.of(meter.id, &[period])).await?.total)
}

/// What the level of a WEIGHTED_SUM meter comes to over several periods, each by its share of `whole`, if nothing more
/// happens until their end.
async fn level_over(
    platform: &Platform,
    meter: &Meter,
    (periods, whole): (&[BillingPeriod], BillingPeriod),
    heads: &BillHeads,
) -> Result<Usage, AppError> {
    let (mut levels, mut events) = (Vec::new(), 0_u64);
    for period in periods {
        let usage = total_in(platform, meter, *period, heads).await?;
        levels.push((usage.quantity, range_of(*period)));
        events += usage.events;
    }
    let quantity = held::weighted(&levels, range_of(whole))?;
    Ok(Usage { quantity, events })
}
