//! The end of a month: how long it takes to close the periods of many subscriptions, and what each invoice costs.

use std::time::{Duration, Instant};

use app::{
    close_period,
    plans::{self, NewCharge, NewPlan},
    port::Message,
    subscriptions::{self, NewBilling, NewSubscription},
    sweep,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    charge::{FixedPrice, Price, Pricing, UsagePrice},
    charge_model::ChargeModel,
    event::{Revision, TrackedEvent, UsageEvent},
    id::{CustomerId, PlanId},
    meter::{Aggregation, DeduplicateBy, Meter},
    period::{BillingInterval, IntervalUnit},
    plan::PlanType,
    property::Properties,
    quantity::Quantity,
};
use futures::{StreamExt, TryStreamExt, stream};
use rust_decimal::Decimal;
use testkit::{Consumed, Line};

use crate::{
    Scale,
    report::{Milli, Report, per_second},
    rig::{Failure, Rig},
    usage::count,
};

/// Periods that are closed at once, as one close-periods function does.
const AT_ONCE: usize = 8;

/// Closes a month of subscriptions with a fixed and a usage charge each, and finalizes the invoices.
///
/// Errors: if not every subscription gets exactly one open invoice.
pub async fn measure(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    let subscriptions = scale.of(10_000);
    report.heading(&format!("The end of a month of {subscriptions} subscriptions"));
    let rig = Rig::new(january(), Line::counting()).await?;
    let meter = rig.meter("bench", Aggregation::Sum, DeduplicateBy::Key).await?;
    let plan = plan(&rig, &meter).await?;
    subscribe(report, &rig, plan, &meter, subscriptions).await?;

    rig.set_now(february());
    rig.take_sent();
    rig.line.take_consumed();
    let closing = Stage::of(&rig, close(report, &rig)).await?;
    rig.set_now(february() + TimeDelta::hours(1));
    let finalizing = Stage::of(&rig, finalize(report, &rig)).await?;
    for (name, stage) in [("close", &closing), ("finalize", &finalizing)] {
        if stage.invoices != u64::from(subscriptions) {
            return Err(format!("{name}: {} of {subscriptions} invoices", stage.invoices).into());
        }
        stage.report(report, name);
    }
    let took = closing.took + finalizing.took;
    let rate = per_second(subscriptions.into(), took);
    report.figure("close_invoices_per_second", rate, "invoices/s", "closed and finalized, one process");
    let millis = Milli::per(u64::try_from(took.as_micros())?, u64::from(subscriptions) * 1000);
    report.figure("close_ms_per_invoice", millis, "ms", "");
    Ok(())
}

fn january() -> DateTime<Utc> {
    DateTime::from_timestamp(1_735_689_600, 0).unwrap_or_default() // 2025-01-01
}

fn february() -> DateTime<Utc> {
    january() + TimeDelta::days(31)
}

/// One half of the way, and what it took.
struct Stage {
    invoices: u64,
    took: Duration,
    consumed: Consumed,
}

impl Stage {
    async fn of(rig: &Rig, work: impl Future<Output = Result<u64, Failure>>) -> Result<Self, Failure> {
        let began = Instant::now();
        let invoices = work.await?;
        Ok(Self { invoices, took: began.elapsed(), consumed: rig.line.take_consumed() })
    }

    fn report(&self, report: &mut Report, name: &str) {
        let rate = per_second(self.invoices, self.took);
        report.figure(&format!("{name}_stage_invoices_per_second"), rate, "invoices/s", "");
        let writes = Milli::tenths_per(self.consumed.write_tenths, self.invoices);
        report.figure(&format!("{name}_stage_wru_per_invoice"), writes, "units", "");
        let reads = Milli::tenths_per(self.consumed.read_tenths, self.invoices);
        report.figure(&format!("{name}_stage_rru_per_invoice"), reads, "units", "");
    }
}

/// Sweeps and closes what the sweeps send, until nothing is due any more.
async fn close(report: &Report, rig: &Rig) -> Result<u64, Failure> {
    let mut closed = 0;
    while sweep::close_periods(&rig.platform).await? > 0 {
        let due = rig.take_sent().into_iter().filter_map(|message| match message {
            Message::ClosePeriod { organization, subscription } => Some((organization, subscription)),
            Message::CountUsage(_) | Message::RecountUsage(_) | Message::DeliverEmail { .. } => None,
        });
        let due = due.collect::<Vec<_>>();
        let closes = due.into_iter().map(|(organization, subscription)| {
            close_period::close(&rig.platform, organization, subscription)
        });
        let closes = closes.collect::<Vec<_>>();
        let counts = stream::iter(closes).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        closed += counts.into_iter().sum::<usize>();
        report.progress(&format!("closed {closed}"));
    }
    Ok(u64::try_from(closed)?)
}

/// Sweeps until nothing is due any more.
async fn finalize(report: &Report, rig: &Rig) -> Result<u64, Failure> {
    let mut finalized = 0;
    loop {
        let now = sweep::finalize_invoices(&rig.platform).await?;
        if now == 0 {
            return Ok(u64::try_from(finalized)?);
        }
        finalized += now;
        report.progress(&format!("finalized {finalized}"));
    }
}

/// 9.00 a month and 0.25 a call.
async fn plan(rig: &Rig, meter: &Meter) -> Result<PlanId, Failure> {
    let new = NewPlan {
        name: "Basic".into(),
        lookup_id: Some("basic".into()),
        plan_type: PlanType::Hybrid,
        billing_interval: BillingInterval::new(IntervalUnit::Month, 1)?,
        currency: domain::currency::Currency::USD,
        trial_days: 0,
        description: None,
        is_active: true,
    };
    let plan = plans::create(&rig.platform, &rig.actor(), new).await?.plan.id;
    let pricing = Pricing::of(ChargeModel::Standard { unit_price: Decimal::new(25, 2) });
    for price in [
        Price::Fixed(FixedPrice::of(Decimal::new(900, 2), Decimal::ONE)),
        Price::Usage(UsagePrice { meter: meter.id, interval: None, pricing, filters: Vec::new() }),
    ] {
        plans::add_charge(&rig.platform, &rig.actor(), plan, NewCharge { display_name: None, price }).await?;
    }
    Ok(plan)
}

/// Customers with a subscription each, who all used something.
async fn subscribe(
    report: &Report,
    rig: &Rig,
    plan: PlanId,
    meter: &Meter,
    count_of: u32,
) -> Result<(), Failure> {
    let made = (0..count_of).map(|n| async move {
        let customer = rig.customer(&format!("customer-{n}")).await?;
        let billing = NewBilling { start: Some(january()), ..NewBilling::default() };
        let new = NewSubscription { customer, plan, overrides: Vec::new(), billing };
        subscriptions::create(&rig.platform, &rig.actor(), new).await?;
        if n % 1000 == 999 {
            report.progress(&format!("subscribed {}", n + 1));
        }
        Ok::<_, Failure>(customer)
    });
    let made = made.collect::<Vec<_>>();
    let customers = stream::iter(made).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
    let events = customers.into_iter().map(|customer| event(rig, meter, customer)).collect::<Vec<_>>();
    for batch in events.chunks(1000) {
        count(rig, batch).await?;
    }
    Ok(())
}

fn event(rig: &Rig, meter: &Meter, customer: CustomerId) -> TrackedEvent {
    let at = january() + TimeDelta::days(3);
    TrackedEvent {
        organization: rig.organization,
        meter: meter.id,
        customer,
        has_sender_key: true,
        event: UsageEvent {
            key: "one".to_owned(),
            occurred_at: at,
            ingested_at: at,
            quantity: Quantity::from_count(40),
            properties: Properties::new(),
            metadata: Properties::new(),
            revision: Revision::First,
        },
    }
}
