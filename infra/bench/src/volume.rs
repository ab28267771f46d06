//! What is large: one customer who sends without end, and a million distinct values.

use std::time::{Duration, Instant};

use app::api_keys;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    meter::{Aggregation, DeduplicateBy},
    property::{Properties, Property},
    user::Scope,
};
use serde_json::Value;
use testkit::Line;

use crate::{
    Scale,
    functions::{Function, request},
    report::{Report, per_second},
    rig::{Failure, Rig},
    traffic::Traffic,
    usage::count,
};

/// Measures both.
///
/// Errors: if the count of distinct values is not exact.
pub async fn measure(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    report.heading("What is large");
    one_customer(report, scale).await?;
    distinct(report, scale).await
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_736_899_200, 0).unwrap_or_default() // 2025-01-15
}

/// One customer of 5,000 events a second, in batches of a second: all of them meet at one head.
async fn one_customer(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    let rig = Rig::new(start(), Line::counting()).await?;
    let meter = rig.meter("bench", Aggregation::Sum, DeduplicateBy::KeyAndTimestamp).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, 1, 21);
    let mut longest = Duration::ZERO;
    let mut took = Duration::ZERO;
    for n in 0..scale.of(60) {
        let from = start() + TimeDelta::seconds(n.into());
        let batch = traffic.batch(from, TimeDelta::seconds(1), 5000);
        rig.set_now(from + TimeDelta::seconds(1));
        let began = Instant::now();
        count(&rig, &batch).await?;
        longest = longest.max(began.elapsed());
        took += began.elapsed();
    }
    let rate = per_second(traffic.distinct, took);
    report.figure("one_customer_events_per_second", rate, "events/s", "target >= 5000, on this machine");
    report.figure("one_customer_longest_batch_ms", longest.as_millis(), "ms", "5,000 events, in one commit");
    Ok(())
}

/// A million users in a month of one customer, counted by the function that answers for it.
async fn distinct(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    let rig = Rig::new(start(), Line::counting()).await?;
    let meter = rig.meter("users", Aggregation::UniqueCount, DeduplicateBy::KeyAndTimestamp).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, 1, 22);
    let batches = scale.of(200);
    for n in 0..batches {
        let from = start() + TimeDelta::hours(n.into());
        let mut batch = traffic.batch(from, TimeDelta::hours(1), 5000);
        for tracked in &mut batch {
            let user = Property::Text(format!("user-{}", tracked.event.key));
            tracked.event.properties = Properties::from([("n".into(), user)]);
        }
        rig.set_now(from + TimeDelta::hours(1));
        count(&rig, &batch).await?;
        if n % 50 == 49 {
            report.progress(&format!("{} distinct values", traffic.distinct));
        }
    }
    let scopes = vec![Scope::UsageRead];
    let (_, key) = api_keys::create(&rig.platform, &rig.actor(), "bench".into(), scopes).await?;
    let api = Function::start("api", &rig, &[]).await?;
    let path = format!("/api/v1/meters/{}/usage", meter.id);
    let began = Instant::now();
    let query = "group_by=month&start_date=2025-01-01&end_date=2025-01-31";
    let answer = api.invoke(request("api", &key, (&path, query))?).await?;
    let took = began.elapsed();
    let body = answer.get("body").and_then(Value::as_str).unwrap_or_default();
    let total = serde_json::from_str::<Value>(body)?.get("total_usage").map(ToString::to_string);
    if total.as_deref().map(|total| total.trim_matches('"')) != Some(&traffic.distinct.to_string()) {
        return Err(format!("{} distinct values were answered by {answer}", traffic.distinct).into());
    }
    report.figure("unique_count_distinct_values", traffic.distinct, "values", "in one month of one customer");
    report.figure("unique_count_read_ms", took.as_millis(), "ms", "");
    report.figure("unique_count_memory_mib", api.peak_mib()?, "MiB", "target < 512");
    Ok(())
}
