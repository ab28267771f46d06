//! How long people wait: the whole platform in this process, over HTTP.

use std::{path::Path, time::Instant};

use fluxrate_local::{Options, Running};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    Scale,
    report::{Milli, Report},
    rig::Failure,
};

/// Requests that are not timed, before those that are.
const WARM_UP: usize = 100;

/// Tracks events and asks for entitlements one by one, and says how long that takes.
///
/// Errors: if the platform cannot be started, or does not answer as it should.
pub async fn measure(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    report.heading("Over HTTP, one request at a time, on this machine");
    let data = std::env::temp_dir().join(format!("fluxrate-bench-{}", std::process::id()));
    let outcome = measure_in(report, scale, &data).await;
    let _ = std::fs::remove_dir_all(&data); // left behind, it harms nobody
    outcome
}

async fn measure_in(report: &mut Report, scale: Scale, data: &Path) -> Result<(), Failure> {
    let running = fluxrate_local::start(Options::for_test(data, None)).await?;
    let client = Api::sign_up(&running).await?;
    let feature = json!({"type": "meter", "name": "Calls", "lookup_key": "calls", "meter_name": "calls",
        "property_name": "n", "aggregation_type": "SUM"});
    let feature = client.make("/features", feature).await?;
    let customer = client.subscribed(&feature).await?;
    let key = json!({"name": "bench", "scopes": ["usage.write", "usage.read"]});
    let key = text(&client.make("/api-keys", key).await?, "key");

    let requests = scale.len(2000) + WARM_UP;
    let track = (0..requests).map(|n| {
        let body = json!({"meter_token": text(&feature, "meter_token"), "quantity": 1,
            "customer_external_id": format!("customer {}", n % 50), "idempotency_key": format!("key {n}")});
        client.http.post(client.url("/sdk/track")).header("x-api-key", &key).json(&body)
    });
    let track = timed(track).await?;
    report.figure("track_p50_ms", percentile(&track, 50), "ms", "");
    report.figure("track_p99_ms", percentile(&track, 99), "ms", "");
    let check = (0..requests).map(|_| {
        let url = client.url(&format!("/customers/{customer}/entitlements/calls"));
        client.http.get(url).header("x-api-key", &key)
    });
    let check = timed(check).await?;
    report.figure("check_p50_ms", percentile(&check, 50), "ms", "");
    report.figure("check_p99_ms", percentile(&check, 99), "ms", "");
    running.stop().await;
    Ok(())
}

/// Somebody who is signed in.
struct Api {
    http: Client,
    base: String,
    cookies: String,
}

impl Api {
    async fn sign_up(running: &Running) -> Result<Self, Failure> {
        let (http, base) = (Client::new(), format!("http://{}/api/v1", running.address));
        let sign_up = json!({"email": "bench@example.com", "password": "correct horse battery staple",
            "organization_name": "Bench"});
        let answer = http.post(format!("{base}/auth/signup")).json(&sign_up).send().await?;
        let answer = answer.error_for_status()?;
        let cookies = answer.headers().get_all("set-cookie").iter();
        let cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        Ok(Self { http, base, cookies })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn make(&self, path: &str, body: Value) -> Result<Value, Failure> {
        let request = self.http.post(self.url(path)).header("cookie", &self.cookies).json(&body);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// The id of a customer whose plan has a limit on the feature.
    async fn subscribed(&self, feature: &Value) -> Result<String, Failure> {
        let plan = json!({"name": "Basic", "type": "FIXED", "billing_interval": "month", "currency": "USD"});
        let plan = text(&self.make("/plans", plan).await?, "id");
        let limit = json!({"feature_id": text(feature, "id"), "is_enabled": true, "usage_limit": 1_000_000,
            "usage_reset_period": "month", "is_soft_limit": false});
        self.make(&format!("/plans/{plan}/features"), limit).await?;
        let customer = json!({"name": "Acme", "email": "ada@example.com"});
        let customer = text(&self.make("/customers", customer).await?, "id");
        self.make("/subscriptions", json!({"customer_id": customer, "plan_id": plan})).await?;
        Ok(customer)
    }
}

fn text(body: &Value, field: &str) -> String {
    body.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Sends each request when the one before is answered. Microseconds, from short to long.
async fn timed(requests: impl Iterator<Item = RequestBuilder>) -> Result<Vec<u64>, Failure> {
    let mut times = Vec::new();
    for (n, request) in requests.enumerate() {
        let began = Instant::now();
        request.send().await?.error_for_status()?.bytes().await?;
        if n >= WARM_UP {
            times.push(u64::try_from(began.elapsed().as_micros())?);
        }
    }
    times.sort_unstable();
    Ok(times)
}

fn percentile(times: &[u64], percent: usize) -> Milli {
    Milli(times.get(times.len() * percent / 100).copied().unwrap_or_default())
}
