//! What usage charges are rated from: totals where they are enough, and events where they are not.

use std::collections::BTreeMap;

use domain::{
    charge::{Charge, Price, UsagePrice},
    charge_usage::{ChargeFold, ChargeUsage, UsageByCharge},
    id::{CustomerId, MeterId, OrganizationId},
    month::Month,
    period::BillingPeriod,
};
use futures::future::try_join_all;
use store::HeadId;

use crate::{AppError, Platform, read_usage};

/// What a customer used of `charges` in a period.
pub(crate) async fn by_charge<'a>(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    charges: impl IntoIterator<Item = &'a Charge>,
    period: BillingPeriod,
) -> Result<UsageByCharge, AppError> {
    let usage_prices = charges.into_iter().filter_map(|charge| match &charge.price {
        Price::Fixed(_) => None,
        Price::Usage(price) => Some((charge.id, price)),
    });
    let (by_event, by_total): (Vec<_>, Vec<_>) = usage_prices.partition(|(_, price)| price.needs_events());

    let meters = by_total.iter().map(|(_, price)| price.meter);
    let totals = read_usage::by_meter(platform, organization, customer, meters, period).await?;
    let total = |meter: MeterId| ChargeUsage::of_total(totals.get(&meter).copied().unwrap_or_default());
    let mut usage = by_total.iter().map(|(id, price)| (*id, total(price.meter))).collect::<UsageByCharge>();

    let mut by_meter = BTreeMap::<_, Vec<_>>::new();
    for (id, price) in by_event {
        by_meter.entry(price.meter).or_default().push((id, price));
    }
    let folded = by_meter.into_iter().map(|(meter, charges)| async move {
        let (ids, prices): (Vec<_>, Vec<_>) = charges.into_iter().unzip();
        let usage = fold(platform, organization, customer, meter, &prices, period).await?;
        Ok::<_, AppError>(ids.into_iter().zip(usage).collect::<Vec<_>>())
    });
    usage.extend(try_join_all(folded).await?.into_iter().flatten());
    Ok(usage)
}

/// Folds the events of one meter, once for all of its prices. A month is read at a time.
async fn fold(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    meter: MeterId,
    prices: &[&UsagePrice],
    period: BillingPeriod,
) -> Result<Vec<ChargeUsage>, AppError> {
    let meter = platform.store.get_meter(organization, meter).await?;
    let mut folds = prices.iter().map(|price| ChargeFold::new(price, meter.counting())).collect::<Vec<_>>();
    for month in Month::in_range(period.start(), period.end()) {
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
            if period.contains(event.occurred_at) {
                folds.iter_mut().try_for_each(|fold| fold.add(event)).map_err(AppError::internal)?;
            }
        }
    }
    folds.into_iter().map(|fold| fold.usage().map_err(AppError::internal)).collect()
}
