//! Estimates: what a charge would come to, by the very code that bills. Nothing is stored.

use auth::Actor;
use chrono::{DateTime, Duration};
use domain::{
    charge::{FixedPrice, UsagePrice},
    charge_model::ChargeModel,
    charge_usage::{ChargeFold, ChargeUsage},
    currency::Currency,
    event::{Revision, UsageEvent},
    id::MeterId,
    meter::{Aggregation, Counting, Meter},
    property::Properties,
    quantity::Quantity,
    rating::{self, Rated},
    totals::Usage,
    user::Scope,
};
use rust_decimal::Decimal;
use store::if_there;

use crate::{AppError, Platform, price_override::within, track_usage::previewed_quantity};

/// A charge to be estimated, with what would be used of it.
pub enum Estimate {
    /// A fixed charge, of another quantity than its own if one is given.
    Fixed(FixedPrice, Option<Decimal>),
    /// A usage charge. Its meter decides how events count, if one is given; else they are added up.
    Usage {
        /// The price; its meter is of no interest.
        price: UsagePrice,
        /// The meter, if one is given.
        meter: Option<MeterId>,
        /// What would be used.
        used: Used,
    },
}

/// What would be used.
pub enum Used {
    /// A quantity; for a percentage, in one event.
    Quantity(Quantity),
    /// Events, in the order they would happen.
    Events(Vec<(Option<Quantity>, Properties)>),
}

/// Rates a charge that need not exist.
///
/// Errors: `Invalid` if its meter does not exist, or the amount cannot be computed exactly.
pub async fn estimate(
    platform: &Platform,
    actor: &Actor,
    currency: Currency,
    estimate: Estimate,
) -> Result<Rated, AppError> {
    actor.require(Scope::BillingRead)?;
    let (rated, field) = match estimate {
        Estimate::Fixed(price, quantity) => {
            (rating::fixed(&price, quantity.unwrap_or(price.quantity), currency), "quantity")
        }
        Estimate::Usage { price, meter, used } => {
            let meter = match meter {
                Some(meter) => Some(priced_meter(platform, actor, meter, &price).await?),
                None => None,
            };
            let is_level = meter.as_ref().is_some_and(|meter| meter.aggregation == Aggregation::WeightedSum);
            if is_level && matches!(used, Used::Events(_)) {
                let detail = "have no time here, so they make no level: give the average as a quantity";
                return Err(AppError::invalid("events", detail));
            }
            match used {
                Used::Quantity(quantity) => (rate(&price, quantity, currency), "quantity"),
                Used::Events(events) => {
                    let events = measured(meter.as_ref(), events)?;
                    let usage = folded(&price, counting(meter.as_ref()), events);
                    (usage.and_then(|usage| rating::by_usage(&price, &usage, currency)), "events")
                }
            }
        }
    };
    rated.map_err(|error| AppError::invalid(field, error.to_string()))
}

/// The meter of a usage price, which must be one that can be priced so.
///
/// Errors: `Invalid` otherwise.
pub(crate) async fn priced_meter(
    platform: &Platform,
    actor: &Actor,
    meter: MeterId,
    price: &UsagePrice,
) -> Result<Meter, AppError> {
    let meter = if_there(platform.store.get_meter(actor.organization, meter).await)?;
    let meter = meter.ok_or_else(|| AppError::invalid("meter_id", "names no meter"))?;
    if price.fits(meter.aggregation) {
        Ok(meter)
    } else if meter.aggregation == Aggregation::WeightedSum && !price.filters.is_empty() {
        let detail = "cannot be told apart in the level of a WEIGHTED_SUM meter";
        Err(AppError::invalid("filters", detail))
    } else {
        let detail = "of percentage is taken of every event: the meter must be of type SUM or COUNT";
        Err(AppError::invalid("charge_model", detail))
    }
}

/// How events count: as the meter has it, or added up.
fn counting(meter: Option<&Meter>) -> Counting<'_> {
    meter.map_or(Counting { aggregation: Aggregation::Sum, property: "", filters: &[] }, Meter::counting)
}

/// Events with how much each of them is.
fn measured(
    meter: Option<&Meter>,
    events: Vec<(Option<Quantity>, Properties)>,
) -> Result<Vec<(Quantity, Properties)>, AppError> {
    let measured = |(index, (given, properties)): (usize, (Option<Quantity>, Properties))| {
        let quantity = match meter {
            Some(meter) => previewed_quantity(meter, given, &properties)
                .map_err(|error| within(error, |field| format!("events[{index}].{field}")))?,
            None => given.unwrap_or(Quantity::ONE),
        };
        Ok((quantity, properties))
    };
    events.into_iter().enumerate().map(measured).collect()
}

fn rate(price: &UsagePrice, quantity: Quantity, currency: Currency) -> Result<Rated, rating::RatingError> {
    let usage = match price.pricing.model {
        ChargeModel::Percentage(_) if quantity == Quantity::ZERO => ChargeUsage::default(),
        // One event of that quantity, whatever the meter would make of it.
        ChargeModel::Percentage(_) => folded(price, counting(None), vec![(quantity, Properties::new())])?,
        _ => ChargeUsage::of_total(Usage { quantity, events: u64::from(quantity != Quantity::ZERO) }),
    };
    rating::by_usage(price, &usage, currency)
}

fn folded(
    price: &UsagePrice,
    counting: Counting<'_>,
    events: Vec<(Quantity, Properties)>,
) -> Result<ChargeUsage, rating::RatingError> {
    let mut fold = ChargeFold::new(price, counting);
    for (second, (quantity, properties)) in (0_i64..).zip(events) {
        let at = DateTime::UNIX_EPOCH + Duration::seconds(second);
        let (key, metadata) = (second.to_string(), Properties::new());
        fold.add(&UsageEvent {
            key,
            occurred_at: at,
            ingested_at: at,
            quantity,
            properties,
            metadata,
            revision: Revision::First,
        })?;
    }
    Ok(fold.usage()?)
}
