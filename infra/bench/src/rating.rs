//! Rating alone: from charges and usage to the lines of an invoice, on one core, without any I/O.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    charge::{Charge, FixedPrice, Price, Pricing, UsagePrice},
    charge_model::ChargeModel,
    charge_usage::ChargeUsage,
    currency::Currency,
    id::Id,
    period::{BillingInterval, IntervalUnit},
    proration::{ProrationMode, ProrationPolicy, ProrationUnit},
    quantity::Quantity,
    rating::lines,
    schedule::BillingSchedule,
    tiers::{Tier, Tiers},
    timeline::{Phase, Timeline},
    totals::Usage,
};
use rust_decimal::Decimal;

use crate::{Scale, report::Report, rig::Failure};

/// Measures how many invoices are rated in a second: a fixed fee, a price per unit and three graduated tiers.
///
/// Errors: if one does not come to what it should.
pub fn measure(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    let start = DateTime::from_timestamp(1_735_689_600, 0).unwrap_or_default(); // 2025-01-01
    let timeline = Timeline {
        schedule: BillingSchedule::anniversary(start),
        policy: ProrationPolicy { unit: ProrationUnit::Second, mode: ProrationMode::Prorate },
        phases: vec![Phase {
            from: start,
            interval: BillingInterval::new(IntervalUnit::Month, 1)?,
            charges: charges(start)?,
            is_paused: false,
            policy: None,
        }],
        one_offs: Vec::new(),
        ends_at: None,
        end_policy: None,
    };
    let (count, began) = (scale.of(300_000), Instant::now());
    for n in 0..count {
        let used =
            ChargeUsage::of_total(Usage { quantity: Quantity::from_count(15_000), events: u64::from(n) });
        let at = timeline.next(Some(start))?.ok_or("no bill falls due")?;
        let bill = timeline.bill(Some(start), at)?;
        let lines = lines(&bill, Currency::USD, &[used.clone(), used])?;
        let total = lines.iter().map(|line| line.amount.amount()).sum::<Decimal>();
        // 99.00 + 15,000 × 0.005 + 13.50
        if std::hint::black_box(total) != Decimal::new(18_750, 2) {
            return Err(format!("the invoice comes to {total}").into());
        }
    }
    let rate = crate::report::per_second(count.into(), began.elapsed());
    report.figure("rating_invoices_per_second", rate, "invoices/s", "3 lines, 3 tiers");
    Ok(())
}

fn charges(at: DateTime<Utc>) -> Result<Vec<Charge>, Failure> {
    let tier = |up_to: Option<i64>, millionths: i64| Tier {
        up_to: up_to.map(Decimal::from),
        unit_price: Decimal::new(millionths, 6),
        flat_price: Decimal::ZERO,
    };
    let tiers = vec![tier(Some(1000), 2000), tier(Some(10_000), 1000), tier(None, 500)];
    let usage = |model| {
        Price::Usage(UsagePrice {
            meter: id(9),
            interval: None,
            pricing: Pricing::of(model),
            filters: Vec::new(),
        })
    };
    let prices = [
        Price::Fixed(FixedPrice::of(Decimal::new(9900, 2), Decimal::ONE)),
        usage(ChargeModel::Standard { unit_price: Decimal::new(5, 3) }),
        usage(ChargeModel::Graduated(Tiers::new(tiers)?)),
    ];
    let charge = |(n, price): (u128, Price)| Charge {
        id: id(n),
        display_name: format!("Charge {n}"),
        price,
        added_in: 1,
        retired_in: None,
        created_at: at - TimeDelta::days(1),
    };
    Ok((1..).zip(prices).map(charge).collect())
}

fn id<K>(n: u128) -> Id<K> {
    Id::from_uuid(uuid::Uuid::from_u128(n))
}
