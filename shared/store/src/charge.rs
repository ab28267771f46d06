//! Charges as items, in the partition of their plan.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    charge::{Charge, FixedPrice, FixedTiming, Limits, Price, PriceFilter, Pricing, UsagePrice},
    charge_model::{ChargeModel, Package, Percentage},
    id::{OrganizationId, PlanId},
    period::BillingInterval,
    tiers::{Tier, Tiers},
};
use rust_decimal::Decimal;

use crate::{
    error::StoreError,
    item::{Attributes, Item, Reader},
    keys,
    plan::{interval_from, interval_item},
};

pub(crate) fn charge_item(organization: OrganizationId, plan: PlanId, charge: &Charge) -> Item {
    let version = if charge.retired_in.is_some() { 2 } else { 1 };
    Item::new(keys::charge(organization, plan, charge.id), "charge")
        .number("version", version)
        .display("id", charge.id)
        .text("display_name", &charge.display_name)
        .map("price", price_item(&charge.price))
        .number("added_in", charge.added_in.into())
        .optional("retired_in", charge.retired_in)
        .time("created_at", charge.created_at)
}

pub(crate) fn charge_from(item: &Attributes) -> Result<Charge, StoreError> {
    let item = Reader::new("charge", item)?;
    Ok(Charge {
        id: item.parse("id")?,
        display_name: item.text("display_name")?.to_owned(),
        price: price_from(item.map("price")?)?,
        added_in: item.small("added_in")?,
        retired_in: item.optional("retired_in")?,
        created_at: item.time("created_at")?,
    })
}

pub(crate) fn price_item(price: &Price) -> Item {
    match price {
        Price::Fixed(price) => {
            let item = Item::default()
                .text("kind", "fixed")
                .display("unit_price", price.unit_price)
                .display("quantity", price.quantity);
            let item = limits_item(included_item(item, price.included_units), price.limits);
            match price.timing {
                FixedTiming::Once => item.text("timing", "once"),
                FixedTiming::Recurring { is_in_advance, interval } => {
                    let item = item.text("timing", if is_in_advance { "in_advance" } else { "in_arrears" });
                    own_interval_item(item, interval)
                }
            }
        }
        Price::Usage(price) => {
            let filters = price.filters.iter().map(|filter| {
                let values = filter.values.iter().fold(Item::default(), |values, (property, texts)| {
                    values.texts(property, texts.iter().map(String::as_str))
                });
                pricing_item(Item::default(), &filter.pricing).map("values", values)
            });
            let item = Item::default().text("kind", "usage").display("meter", price.meter);
            let item = own_interval_item(item, price.interval);
            pricing_item(item, &price.pricing).list("filters", filters)
        }
    }
}

/// Attributes that came later are not there in older items, whose charges had nothing of the kind.
pub(crate) fn price_from(price: Reader<'_>) -> Result<Price, StoreError> {
    match price.text("kind")? {
        "fixed" => {
            let interval = own_interval_from(price)?;
            Ok(Price::Fixed(FixedPrice {
                unit_price: price.parse("unit_price")?,
                quantity: price.parse("quantity")?,
                included_units: included_from(price)?,
                limits: limits_from(price)?,
                timing: match price.optional_text("timing")? {
                    Some("once") => FixedTiming::Once,
                    Some("in_advance") => FixedTiming::Recurring { is_in_advance: true, interval },
                    Some("in_arrears") | None => FixedTiming::Recurring { is_in_advance: false, interval },
                    Some(_) => return Err(price.corrupt("timing")),
                },
            }))
        }
        "usage" => {
            let filters = if price.has("filters") { price.list("filters")? } else { Vec::new() };
            let filter = |filter: Reader<'_>| {
                let values = values_from(filter.map("values")?)?;
                Ok(PriceFilter { values, pricing: pricing_from(filter)? })
            };
            Ok(Price::Usage(UsagePrice {
                meter: price.parse("meter")?,
                interval: own_interval_from(price)?,
                pricing: pricing_from(price)?,
                filters: filters.into_iter().map(filter).collect::<Result<_, StoreError>>()?,
            }))
        }
        _ => Err(price.corrupt("kind")),
    }
}

fn values_from(values: Reader<'_>) -> Result<BTreeMap<String, BTreeSet<String>>, StoreError> {
    let texts = |name: &str| Ok(values.texts(name)?.into_iter().map(str::to_owned).collect());
    values.names().map(|name| Ok((name.to_owned(), texts(name)?))).collect()
}

fn pricing_item(item: Item, pricing: &Pricing) -> Item {
    let item = item.map("model", model_item(&pricing.model));
    limits_item(included_item(item, pricing.included_units), pricing.limits)
}

fn pricing_from(item: Reader<'_>) -> Result<Pricing, StoreError> {
    Ok(Pricing {
        model: model_from(item.map("model")?)?,
        included_units: included_from(item)?,
        limits: limits_from(item)?,
    })
}

/// Of a charge that is billed as often as its plan there is none.
fn own_interval_item(item: Item, interval: Option<BillingInterval>) -> Item {
    match interval {
        Some(interval) => item.map("interval", interval_item(interval)),
        None => item,
    }
}

fn own_interval_from(price: Reader<'_>) -> Result<Option<BillingInterval>, StoreError> {
    price.optional_map("interval")?.map(interval_from).transpose()
}

fn included_item(item: Item, included_units: Decimal) -> Item {
    item.optional("included_units", Some(included_units).filter(|included| !included.is_zero()))
}

fn included_from(item: Reader<'_>) -> Result<Decimal, StoreError> {
    Ok(item.optional("included_units")?.unwrap_or_default())
}

fn limits_item(item: Item, limits: Limits) -> Item {
    item.optional("minimum", limits.minimum).optional("maximum", limits.maximum)
}

fn limits_from(item: Reader<'_>) -> Result<Limits, StoreError> {
    Ok(Limits { minimum: item.optional("minimum")?, maximum: item.optional("maximum")? })
}

fn model_item(model: &ChargeModel) -> Item {
    let tiered = |kind: &str, tiers: &Tiers| {
        let tier = |(_, tier): (Decimal, &Tier)| {
            Item::default()
                .optional("up_to", tier.up_to)
                .display("unit_price", tier.unit_price)
                .display("flat_price", tier.flat_price)
        };
        Item::default().text("kind", kind).list("tiers", tiers.iter().map(tier))
    };
    match model {
        ChargeModel::Standard { unit_price } => {
            Item::default().text("kind", "standard").display("unit_price", unit_price)
        }
        ChargeModel::Graduated(tiers) => tiered("graduated", tiers),
        ChargeModel::Volume(tiers) => tiered("volume", tiers),
        ChargeModel::Stairstep(tiers) => tiered("stairstep", tiers),
        ChargeModel::Package(package) => Item::default()
            .text("kind", "package")
            .display("size", package.size)
            .display("unit_price", package.unit_price)
            .display("free_units", package.free_units),
        ChargeModel::Percentage(percentage) => Item::default()
            .text("kind", "percentage")
            .display("rate", percentage.rate)
            .display("fixed_fee", percentage.fixed_fee)
            .optional("free_events", percentage.free_events)
            .optional("free_amount", percentage.free_amount)
            .optional("minimum_per_event", percentage.minimum_per_event)
            .optional("maximum_per_event", percentage.maximum_per_event),
    }
}

fn model_from(model: Reader<'_>) -> Result<ChargeModel, StoreError> {
    match model.text("kind")? {
        "standard" => Ok(ChargeModel::Standard { unit_price: model.parse("unit_price")? }),
        "graduated" => Ok(ChargeModel::Graduated(tiers_from(model)?)),
        "volume" => Ok(ChargeModel::Volume(tiers_from(model)?)),
        "stairstep" => Ok(ChargeModel::Stairstep(tiers_from(model)?)),
        "package" => Ok(ChargeModel::Package(Package {
            size: model.parse("size")?,
            unit_price: model.parse("unit_price")?,
            free_units: model.parse("free_units")?,
        })),
        "percentage" => Ok(ChargeModel::Percentage(Percentage {
            rate: model.parse("rate")?,
            fixed_fee: model.parse("fixed_fee")?,
            free_events: model.optional("free_events")?,
            free_amount: model.optional("free_amount")?,
            minimum_per_event: model.optional("minimum_per_event")?,
            maximum_per_event: model.optional("maximum_per_event")?,
        })),
        _ => Err(model.corrupt("kind")),
    }
}

fn tiers_from(model: Reader<'_>) -> Result<Tiers, StoreError> {
    let tier = |tier: Reader<'_>| {
        Ok(Tier {
            up_to: tier.optional("up_to")?,
            unit_price: tier.parse("unit_price")?,
            flat_price: tier.parse("flat_price")?,
        })
    };
    let tiers = model.list("tiers")?.into_iter().map(tier).collect::<Result<_, StoreError>>()?;
    Tiers::new(tiers).map_err(|_| model.corrupt("tiers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_written_before_they_could_do_more_are_still_read() {
        let fixed = Item::default().text("kind", "fixed").text("unit_price", "49").text("quantity", "2");
        let model = Item::default().text("kind", "standard").text("unit_price", "0.5");
        let meter = "01946a5c-9f00-7abc-8def-0123456789ab";
        let usage = Item::default().text("kind", "usage").text("meter", meter).map("model", model);
        for (price, expected) in [
            (fixed, Price::Fixed(FixedPrice::of(Decimal::from(49), Decimal::TWO))),
            (
                usage,
                Price::Usage(UsagePrice {
                    meter: meter.parse().unwrap(),
                    interval: None,
                    pricing: Pricing::of(ChargeModel::Standard { unit_price: Decimal::new(5, 1) }),
                    filters: Vec::new(),
                }),
            ),
        ] {
            let item = Item::default().text("type", "charge").number("schema", 1).map("price", price);
            let attributes = item.into_attributes();
            let reader = Reader::new("charge", &attributes).unwrap();
            assert_eq!(price_from(reader.map("price").unwrap()).unwrap(), expected);
        }
    }
}
