//! How long people wait: the whole platform in this process, over HTTP.

use std::time::Instant;

use fluxrate_local::Options;
use reqwest::Client;
use serde_json::{Value, json};

use crate::{
    report::{Milli, Report},
    rig::Failure,
};

/// Requests that are timed, after some that are not.
const REQUESTS: usize = 2000;

/// Tracks events one by one and says how long that takes.
///
/// Errors: if the platform cannot be started, or does not answer as it should.
pub async fn measure(report: &mut Report) -> Result<(), Failure> {
    report.heading("Over HTTP, one request at a time, on this machine");
    let data = std::env::temp_dir().join(format!("fluxrate-bench-{}", std::process::id()));
    let running = fluxrate_local::start(Options::for_test(&data, None)).await?;
    let base = format!("http://{}/api/v1", running.address);
    let http = Client::new();
    let sign_up = json!({"email": "bench@example.com", "password": "correct horse battery staple",
        "organization_name": "Bench"});
    let answer = http.post(format!("{base}/auth/signup")).json(&sign_up).send().await?.error_for_status()?;
    let cookies = answer.headers().get_all("set-cookie").iter();
    let cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next()).collect::<Vec<_>>();
    let cookies = cookies.join("; ");
    let make = async |path: &str, body: Value| {
        let request = http.post(format!("{base}{path}")).header("cookie", &cookies).json(&body);
        Ok::<Value, Failure>(request.send().await?.error_for_status()?.json().await?)
    };
    let key = make("/api-keys", json!({"name": "bench", "scopes": ["usage.write", "usage.read"]})).await?;
    let key = key.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
    let feature = json!({"type": "meter", "name": "Calls", "lookup_key": "calls", "meter_name": "calls",
        "property_name": "n", "aggregation_type": "SUM"});
    let token = make("/features", feature).await?.get("meter_token").cloned().unwrap_or_default();
    let mut times = Vec::with_capacity(REQUESTS);
    for n in 0..REQUESTS + 200 {
        let body = json!({"meter_token": token, "customer_external_id": format!("customer {}", n % 50),
            "quantity": 1, "idempotency_key": format!("key {n}")});
        let began = Instant::now();
        let request = http.post(format!("{base}/sdk/track")).header("x-api-key", &key).json(&body);
        request.send().await?.error_for_status()?;
        if n >= 200 {
            times.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
    times.sort_unstable();
    let at = |percent: usize| Milli(times.get(REQUESTS * percent / 100).copied().unwrap_or_default());
    report.figure("track_p50_ms", at(50), "ms", "");
    report.figure("track_p99_ms", at(99), "ms", "");
    running.stop().await;
    let _ = std::fs::remove_dir_all(&data); // left behind, it harms nobody
    Ok(())
}
