//! Read units of the questions that are asked all the time: the total of a current period, and whether a feature
//! may still be used, for customers of all kinds of traffic.

use app::{
    api_keys, authenticate,
    entitlements::{self, Whose},
    plans::{self, NewPlan},
    read_usage,
    subscriptions::{self, NewBilling, NewSubscription},
    track_usage::{self, CustomerRef, MeterRef, Usage},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    currency::Currency,
    entitlement::GrantChanges,
    event::TrackedEvent,
    id::{CustomerId, FeatureId, PlanId},
    meter::{Aggregation, DeduplicateBy, Meter},
    period::{BillingInterval, IntervalUnit},
    plan::PlanType,
    property::Properties,
    quantity::Quantity,
    series::Range,
    user::Scope,
};
use rust_decimal::Decimal;
use testkit::Line;

use crate::{
    Scale,
    report::{Milli, Report},
    rig::{Failure, Rig},
    traffic::Traffic,
    usage::count,
};

/// The name of the feature, and of its meter.
const CALLS: &str = "calls";

/// What the customer is called.
const ACME: &str = "acme";

/// Measures both questions.
///
/// Errors: if one is not answered.
pub async fn measure(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    report.heading("Questions about a current period, by the traffic of the customer");
    for (name, step, events) in [
        ("dense", TimeDelta::milliseconds(1), 20_000),
        ("medium", TimeDelta::minutes(1), 2000),
        ("sparse", TimeDelta::days(1), 20),
    ] {
        let asked = Asked::new().await?;
        asked.use_it(step, scale.of(events)).await?;
        report.figure(&format!("rru_current_total_{name}"), asked.total().await?, "units", "target <= 1");
        let whose = [Whose::Id(asked.customer), Whose::ExternalId(ACME.into())];
        let [(_, first), (_, first_external)] = asked.checks(whose.clone()).await?;
        let [(of_usage, in_all), (_, external)] = asked.checks(whose).await?;
        report.figure(
            &format!("rru_check_usage_{name}"),
            of_usage,
            "units",
            "target <= 1; of the usage table",
        );
        report.figure(&format!("rru_check_{name}"), in_all, "units", "with key, customer, feature and plan");
        if name == "sparse" {
            report.figure("rru_check_external", external, "units", "the same by external id");
            report.figure("rru_check_first", first, "units", "the first of its feature in a process");
            report.figure("rru_check_first_external", first_external, "units", "the first of its customer");
            report.figure("rru_track", asked.track().await?, "units", "an event at the door");
        }
    }
    Ok(())
}

/// A customer whose plan has a limit on a feature.
struct Asked {
    rig: Rig,
    meter: Meter,
    customer: CustomerId,
    key: String,
}

fn january() -> DateTime<Utc> {
    DateTime::from_timestamp(1_735_689_600, 0).unwrap_or_default() // 2025-01-01
}

impl Asked {
    async fn new() -> Result<Self, Failure> {
        let rig = Rig::new(january(), Line::counting()).await?;
        let meter = rig.meter(CALLS, Aggregation::Sum, DeduplicateBy::KeyAndTimestamp).await?;
        let feature = rig.platform.store.find_feature_by_lookup_key(rig.organization, CALLS).await?;
        let feature = feature.ok_or("the feature was not made")?.id;
        let plan = plan(&rig, feature).await?;
        let customer = rig.customer(ACME).await?;
        let billing = NewBilling { start: Some(january()), ..NewBilling::default() };
        let new = NewSubscription { customer, plan, overrides: Vec::new(), billing };
        subscriptions::create(&rig.platform, &rig.actor(), new).await?;
        let scopes = vec![Scope::UsageRead, Scope::UsageWrite];
        let (_, key) = api_keys::create(&rig.platform, &rig.actor(), "bench".into(), scopes).await?;
        Ok(Self { rig, meter, customer, key })
    }

    /// Counts so many events, a step after each other.
    async fn use_it(&self, step: TimeDelta, events: u32) -> Result<(), Failure> {
        let mut traffic = Traffic::new(self.rig.organization, self.meter.id, 1, 31);
        let length = step * i32::try_from(events)?;
        let batch = traffic.batch(january(), length, events.into());
        let of_customer =
            |tracked: &TrackedEvent| TrackedEvent { customer: self.customer, ..tracked.clone() };
        let batch = batch.iter().map(of_customer).collect::<Vec<_>>();
        self.rig.set_now(january() + length);
        for part in batch.chunks(if events > 100 { 1000 } else { 1 }) {
            count(&self.rig, part).await?;
        }
        Ok(())
    }

    async fn total(&self) -> Result<Milli, Failure> {
        let range = Range { from: january(), until: january() + TimeDelta::days(31) };
        self.rig.line.take_consumed();
        let Rig { platform, organization, line, .. } = &self.rig;
        read_usage::total_of(platform, *organization, &self.meter, self.customer, range).await?;
        Ok(Milli::tenths_per(line.take_consumed().read_tenths, 1))
    }

    /// What checks read of usage, and what they read in all.
    async fn checks<const N: usize>(&self, whose: [Whose; N]) -> Result<[(Milli, Milli); N], Failure> {
        let Rig { platform, line, .. } = &self.rig;
        let mut read = [(Milli::tenths_per(0, 1), Milli::tenths_per(0, 1)); N];
        for (whose, read) in whose.into_iter().zip(&mut read) {
            line.take_consumed();
            let actor = authenticate::with_api_key(platform, &self.key).await?;
            entitlements::check(platform, &actor, whose, CALLS).await?;
            let consumed = line.take_consumed();
            let [of_usage, in_all] = [consumed.usage_read_tenths, consumed.read_tenths];
            *read = (Milli::tenths_per(of_usage, 1), Milli::tenths_per(in_all, 1));
        }
        Ok(read)
    }

    /// What the door reads for an event as the SDK sends it.
    async fn track(&self) -> Result<Milli, Failure> {
        let Rig { platform, line, .. } = &self.rig;
        line.take_consumed();
        let actor = authenticate::with_api_key(platform, &self.key).await?;
        let usage = Usage {
            meter: MeterRef::Token(self.meter.token),
            customer: CustomerRef::ExternalId(ACME.into()),
            quantity: Some(Quantity::ONE),
            timestamp: None,
            idempotency_key: None,
            properties: Properties::new(),
            metadata: Properties::new(),
        };
        track_usage::track(platform, &actor, usage).await?;
        Ok(Milli::tenths_per(line.take_consumed().read_tenths, 1))
    }
}

/// A plan of a limit on a feature.
async fn plan(rig: &Rig, feature: FeatureId) -> Result<PlanId, Failure> {
    let new = NewPlan {
        name: "Basic".into(),
        lookup_id: Some("basic".into()),
        plan_type: PlanType::Fixed,
        billing_interval: BillingInterval::new(IntervalUnit::Month, 1)?,
        currency: Currency::USD,
        trial_days: 0,
        description: None,
        is_active: true,
    };
    let plan = plans::create(&rig.platform, &rig.actor(), new).await?.plan.id;
    let limit = GrantChanges {
        is_enabled: Some(true),
        limit: Some(Some(Decimal::from(1_000_000_000))),
        ..GrantChanges::default()
    };
    entitlements::add_to_plan(&rig.platform, &rig.actor(), plan, feature, limit).await?;
    Ok(plan)
}
