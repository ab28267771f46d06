//! Alerts: each threshold is told of once, whatever comes again, and whatever was missed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use app::{Platform, alerts, customers, ingest_usage, plans, port::Message, subscriptions};
use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use chrono::Duration;
use domain::{
    alert::{Reading, Thresholds, Trigger},
    commit::Verdict,
    event::{Revision, TrackedEvent, UsageEvent},
    id::OrganizationId,
    meter::{Aggregation, DeduplicateBy},
    period::{BillingInterval, BillingPeriod, IntervalUnit},
    plan::PlanType,
};
use fluxrate_bench::rig::Rig;
use fluxrate_local::FileKeys;
use futures::future::join_all;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use store::{PageRequest, Position, StoreError};
use testkit::{Fault, Line};

use crate::client::{World, fields, text};

/// A platform whose plan grants 100 calls a month and charges 0.5 for each, and a customer that has it.
struct Watched {
    world: World,
    meter: Value,
    plan: Value,
    customer: Value,
    subscription: Value,
    organization: OrganizationId,
}

impl Watched {
    async fn new() -> Self {
        let world = World::new().await;
        let meter = world.meter("SUM").await;
        let usage = json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": 0.5});
        let plan = world.plan(&[usage, json!({"type": "FIXED", "unit_price": 30})]).await;
        let granted = json!({"feature_id": meter["id"], "usage_limit": 100, "is_soft_limit": true});
        world.owner.created(&format!("/plans/{}/features", text(&plan["id"])), granted).await;
        let customer = world.customer().await;
        let subscription = world.subscribe(&customer, &plan).await;
        let me = world.owner.get("/auth/me").await;
        let organization = text(&me["organization"]["id"]).parse().unwrap();
        Self { world, meter, plan, customer, subscription, organization }
    }

    async fn alert(&self, body: Value) -> Value {
        let alert = self.world.owner.created("/alerts", body).await;
        self.world.drain().await; // it was looked at once
        alert
    }

    async fn usage_alert(&self, thresholds: Value) -> Value {
        let meter = &self.meter["meter_id"];
        let body = json!({"name": "Busy", "type": "usage", "meter_id": meter, "thresholds": thresholds});
        self.alert(body).await
    }

    /// A message of one event of the customer, now.
    fn message(&self, key: &str, quantity: u32) -> String {
        let now = self.world.running.platform.now();
        wire::message::encode(&Message::CountUsage(vec![TrackedEvent {
            organization: self.organization,
            meter: text(&self.meter["meter_id"]).parse().unwrap(),
            customer: text(&self.customer["id"]).parse().unwrap(),
            has_sender_key: true,
            event: event(key, quantity, now),
        }]))
    }

    /// Another process on the same tables, with a memory of its own.
    fn other_process(&self) -> Platform {
        let platform = &self.world.running.platform;
        let keys = tempfile::tempdir().unwrap();
        Platform::new(
            platform.store.clone(),
            (platform.clock.clone(), platform.random.clone()),
            (platform.queue.clone(), platform.mailer.clone(), platform.bus.clone()),
            Arc::new(FileKeys::open(&keys.path().join("master.key")).unwrap()),
            platform.settings.clone(),
        )
    }

    /// Threshold and value of what an alert told, by time and threshold.
    async fn told(&self, alert: &Value) -> Vec<String> {
        self.world.drain().await;
        let told = self.world.told_by("alert.triggered").into_iter().map(|event| event["data"].clone());
        let mut told = told.filter(|data| data["alert_id"] == alert["id"]).collect::<Vec<_>>();
        // The bus keeps no order.
        told.sort_by_key(|data| {
            (
                text(&data["triggered_at"]).to_owned(),
                data["threshold"].to_string().parse::<Decimal>().unwrap(),
            )
        });
        // What is told is what can be asked for.
        let path = format!("/alerts/{}/triggers?page_size=100", text(&alert["id"]));
        let (status, kept) = self.world.owner.call(Method::GET, &path, None).await;
        if status == 200 {
            assert_eq!(kept["meta"]["total"], told.len());
        }
        told.iter().map(|data| format!("{} at {}", data["threshold"], data["value"])).collect()
    }
}

fn event(key: &str, quantity: u32, at: chrono::DateTime<chrono::Utc>) -> UsageEvent {
    UsageEvent {
        key: key.to_owned(),
        occurred_at: at,
        ingested_at: at,
        quantity: quantity.to_string().parse().unwrap(),
        properties: Default::default(),
        metadata: Default::default(),
        revision: Revision::First,
    }
}

/// Delivers messages to a worker, which has to take them all.
async fn deliver(platform: &Platform, bodies: &[&str]) {
    let message = |(n, body): (usize, &&str)| {
        let mut message = SqsMessage::default();
        message.message_id = Some(format!("m{n}"));
        message.body = Some((*body).to_owned());
        message
    };
    let mut event = SqsEvent::default();
    event.records = bodies.iter().enumerate().map(message).collect();
    let answer = ::ingest_usage::handle(platform, event).await;
    assert!(answer.batch_item_failures.is_empty());
}

#[tokio::test]
async fn each_threshold_is_told_of_once_in_a_period_though_the_batch_comes_again() {
    let mut watched = Watched::new().await;
    let body = json!({"name": "Nearly used up", "type": "limit_percent", "feature_id": watched.meter["id"],
        "thresholds": [100, "80.0"]});
    let alert = watched.alert(body).await;
    assert_eq!(alert["thresholds"].to_string(), "[80,100]", "in order");
    let platform = watched.world.running.platform.clone();

    let first = watched.message("a", 79);
    deliver(&platform, &[&first]).await;
    assert_eq!(watched.told(&alert).await, [""; 0]);
    let second = watched.message("b", 1);
    for _ in 0..3 {
        deliver(&platform, &[&first, &second, &second]).await;
    }
    assert_eq!(watched.told(&alert).await, ["80 at 80"]);
    let told = watched.world.told_by("alert.triggered");
    let data = json!({"alert_id": alert["id"], "name": "Nearly used up", "type": "limit_percent",
        "customer_id": watched.customer["id"], "subscription_id": null, "feature_id": watched.meter["id"],
        "meter_id": null, "threshold": 80, "value": 80, "limit": 100, "currency": null,
        "period_start": "2025-01-01T00:00:00Z", "period_end": "2025-02-01T00:00:00Z",
        "triggered_at": "2025-01-01T00:00:00Z", "organization_id": watched.organization.to_string()});
    assert_eq!(told[0]["data"], data);

    let third = watched.message("c", 30);
    let workers = (0..4).map(|_| async { deliver(&platform, &[&third, &first]).await });
    join_all(workers).await;
    assert_eq!(watched.told(&alert).await, ["80 at 80", "100 at 110"]);

    // A new threshold that is reached already is told of, and the old ones are not again.
    let path = format!("/alerts/{}", text(&alert["id"]));
    watched.world.owner.changed(Method::PUT, &path, json!({"thresholds": [80, 90, 100, 200]})).await;
    assert_eq!(watched.told(&alert).await, ["80 at 80", "90 at 110", "100 at 110"]);

    // The next period begins at nothing, and several thresholds are reached at once.
    watched.world.advance_to("2025-02-01T00:10:00Z").await;
    assert_eq!(watched.told(&alert).await.len(), 3);
    let fourth = watched.message("d", 95);
    deliver(&platform, &[&fourth]).await;
    deliver(&platform, &[&fourth]).await;
    let told = watched.told(&alert).await;
    assert_eq!(told[3..], ["80 at 95", "90 at 95"]);
    let path = format!("/alerts/{}/triggers?page_size=2", text(&alert["id"]));
    let page = watched.world.owner.get(&path).await;
    assert_eq!((&page["meta"]["total"], &page["data"][0]["threshold"]), (&json!(5), &json!(90)));
    assert_eq!(page["data"][0]["period_start"], "2025-02-01T00:00:00Z");
}

#[tokio::test]
async fn of_two_who_find_the_same_at_once_one_tells_of_it() {
    let watched = Watched::new().await;
    let alert = watched.usage_alert(json!([10, 20])).await;
    let (store, now) = (&watched.world.running.platform.store, watched.world.running.platform.now());
    let stored = store.get_alert(watched.organization, text(&alert["id"]).parse().unwrap()).await.unwrap();
    let reading = Reading {
        customer: text(&watched.customer["id"]).parse().unwrap(),
        subscription: Some(text(&watched.subscription["id"]).parse().unwrap()),
        period: BillingPeriod::new(now, now + Duration::days(31)).unwrap(),
        value: 20.into(),
        limit: None,
        currency: None,
    };
    let found = |value: u32, after: i64| {
        let reading = Reading { value: value.into(), ..reading.clone() };
        stored.triggers(&reading, &Default::default(), now + Duration::milliseconds(after))
    };
    let tell = async |triggers: Vec<Trigger>| {
        store.commit_triggers(watched.organization, stored.id, &triggers).await
    };
    tell(found(10, 0)).await.unwrap();
    for after in [0, 1] {
        assert!(matches!(tell(found(20, after)).await, Err(StoreError::Conflict)), "all or nothing");
    }
    assert_eq!(watched.told(&alert).await, ["10 at 10"]);
}

#[tokio::test]
async fn an_amount_is_what_the_next_invoice_comes_to_and_a_trial_is_nothing() {
    let mut watched = Watched::new().await;
    let trial = json!({"name": "New Corp", "email": "new@new.example", "external_id": "new"});
    let trial = watched.world.owner.created("/customers", trial).await;
    let body = json!({"customer_id": trial["id"], "plan_id": watched.plan["id"],
        "start_date": "2025-01-01T00:00:00Z", "trial_end_date": "2025-01-15T00:00:00Z"});
    watched.world.owner.created("/subscriptions", body).await;
    let alert = watched.alert(json!({"name": "Spent", "type": "amount", "thresholds": [50, 99.5]})).await;
    let of_trial =
        json!({"name": "Billed", "type": "amount", "customer_id": trial["id"], "thresholds": [30]});
    let of_trial = watched.alert(of_trial).await;
    let track = async |watched: &Watched, customer: &str, quantity: u32| {
        let body = json!({"meter_token": watched.meter["meter_token"], "customer_external_id": customer,
            "quantity": quantity});
        watched.world.owner.created("/sdk/track", body).await;
        watched.world.drain().await;
    };
    track(&watched, "acme", 39).await; // 30 + 19.50
    track(&watched, "new", 1_000).await;
    assert_eq!(watched.told(&alert).await, [""; 0]);
    track(&watched, "acme", 1).await;
    assert_eq!(watched.told(&alert).await, ["50 at 50.00"]);
    let told = &watched.world.told_by("alert.triggered")[0]["data"];
    let subscription = &watched.subscription["id"];
    assert_eq!((&told["currency"], &told["subscription_id"]), (&json!("USD"), subscription));
    let preview = format!("/subscriptions/{}/preview-invoice", text(subscription));
    let preview = watched.world.owner.changed(Method::POST, &preview, json!({})).await;
    assert_eq!(preview["total"], told["value"]);

    // After its trial, the other one is watched too; what it used before is not billed.
    watched.world.advance_to("2025-01-14T23:59:59Z").await;
    assert_eq!(watched.told(&of_trial).await, [""; 0]);
    watched.world.advance_to("2025-01-15T01:00:00Z").await;
    assert_eq!(watched.told(&of_trial).await, ["30 at 30.00"]);
    track(&watched, "new", 139).await;
    assert_eq!(watched.told(&alert).await, ["50 at 50.00", "50 at 99.50", "99.5 at 99.50"]);
}

#[tokio::test]
async fn a_limit_is_the_customers_or_that_of_one_subscription() {
    let watched = Watched::new().await;
    watched.world.subscribe(&watched.customer, &watched.plan).await; // 200 in all
    let of = |scope: &str, id: &Value| {
        json!({"name": "Half", "type": "limit_percent", "feature_id": watched.meter["id"], scope: id,
            "thresholds": [50]})
    };
    let of_customer = watched.alert(of("customer_id", &watched.customer["id"])).await;
    let of_one = watched.alert(of("subscription_id", &watched.subscription["id"])).await;
    assert_eq!(of_one["customer_id"], watched.customer["id"]);
    deliver(&watched.world.running.platform, &[&watched.message("a", 99)]).await;
    assert_eq!(watched.told(&of_one).await, ["50 at 99"]);
    assert_eq!(watched.told(&of_customer).await, [""; 0]);
    deliver(&watched.world.running.platform, &[&watched.message("b", 1)]).await;
    assert_eq!(watched.told(&of_customer).await, ["50 at 100"]);
    assert_eq!(watched.told(&of_one).await.len(), 1);

    // Without limit, no part of it is ever reached.
    let path = format!("/plans/{}/features/{}", text(&watched.plan["id"]), text(&watched.meter["id"]));
    watched.world.owner.changed(Method::PUT, &path, json!({"usage_limit": null})).await;
    let unlimited = watched.alert(of("customer_id", &watched.customer["id"])).await;
    deliver(&watched.world.running.platform, &[&watched.message("c", 1_000_000)]).await;
    assert_eq!(watched.told(&unlimited).await, [""; 0]);
}

#[tokio::test]
async fn a_deleted_alert_tells_of_nothing_though_a_process_still_knows_it() {
    let watched = Watched::new().await;
    let (kept, deleted) = (watched.usage_alert(json!([10])).await, watched.usage_alert(json!([10])).await);
    let other = watched.other_process();
    deliver(&other, &[&watched.message("a", 9)]).await;
    let path = format!("/alerts/{}", text(&deleted["id"]));
    assert_eq!(watched.world.owner.call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(watched.world.owner.call(Method::GET, &path, None).await.0, 404);
    deliver(&other, &[&watched.message("b", 1)]).await;
    assert_eq!(watched.told(&kept).await, ["10 at 10"]);
    assert_eq!(watched.told(&deleted).await, [""; 0]);
    assert_eq!(watched.world.owner.get("/alerts").await["meta"]["total"], 1);
}

#[tokio::test]
async fn the_sweep_makes_up_for_what_counting_missed() {
    let mut watched = Watched::new().await;
    // A process that looked for alerts before there were any goes on without them for a minute.
    let other = watched.other_process();
    deliver(&other, &[&watched.message("a", 9)]).await;
    let alert = watched.usage_alert(json!([10, 1000])).await;
    deliver(&other, &[&watched.message("b", 1)]).await;
    assert_eq!(watched.told(&alert).await, [""; 0]);
    watched.world.advance_to("2025-01-01T00:59:59Z").await;
    assert_eq!(watched.told(&alert).await, [""; 0]);
    watched.world.advance_to("2025-01-01T01:00:00Z").await;
    assert_eq!(watched.told(&alert).await, ["10 at 10"]);
    watched.world.advance_to("2025-01-01T05:00:00Z").await;
    assert_eq!(watched.told(&alert).await, ["10 at 10"]);
    // What was used before an alert was made is told of at once.
    let late = watched.usage_alert(json!([5])).await;
    assert_eq!(watched.told(&late).await, ["5 at 10"]);
}

#[tokio::test]
async fn the_sweep_goes_through_all_subscriptions_of_many_customers() {
    let watched = Watched::new().await;
    let platform = &watched.world.running.platform;
    let sender = watched.world.owner.with_key(&["usage.write"]).await;
    // More than one turn takes.
    for chunk in (0..205).collect::<Vec<_>>().chunks(41) {
        let watched = &watched;
        let subscribe = chunk.iter().map(|n| async move {
            let external_id = format!("customer-{n}");
            let body = json!({"name": external_id, "email": "a@b.example", "external_id": external_id});
            let customer = watched.world.owner.created("/customers", body).await;
            watched.world.subscribe(&customer, &watched.plan).await;
        });
        join_all(subscribe).await;
    }
    let event = |n: usize| {
        json!({"meter_token": watched.meter["meter_token"],
        "customer_external_id": format!("customer-{n}"), "quantity": 10})
    };
    let events = (0..205).map(event).collect::<Vec<_>>();
    let (status, answer) = sender.post("/usage/batch", json!({"events": events})).await;
    assert_eq!(status, 202, "{answer}");
    watched.world.drain().await;
    let alert = watched.usage_alert(json!([10])).await;
    assert_eq!(watched.told(&alert).await.len(), 205);
    assert_eq!(platform.store.list_due_alerts(platform.now(), 10).await.unwrap(), []);
}

#[tokio::test]
async fn counting_goes_on_when_alerts_cannot_be_looked_at() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let is_lost = is_broken.clone();
    let line = Line::new(move |_, body| {
        let is_of_alert = String::from_utf8_lossy(body).contains("ALERT#");
        if is_of_alert && is_lost.load(Ordering::Relaxed) { Fault::LostRequest } else { Fault::None }
    });
    let now = "2025-01-15T12:00:00Z".parse().unwrap();
    let rig = Rig::new(now, line).await.unwrap();
    let (platform, actor) = (&rig.platform, rig.actor());
    let meter = rig.meter("calls", Aggregation::Sum, DeduplicateBy::Key).await.unwrap();
    let details = customers::CustomerDetails {
        name: "Acme".into(),
        email: None,
        external_id: None,
        phone: None,
        billing_address: Default::default(),
        tax_id: None,
        tax_exemption: Default::default(),
        metadata: Default::default(),
    };
    let customer = customers::create(platform, &actor, details).await.unwrap().customer.id;
    let plan = plans::NewPlan {
        name: "Pro".into(),
        lookup_id: Some("pro".into()),
        plan_type: PlanType::Fixed,
        billing_interval: BillingInterval::every(IntervalUnit::Month),
        currency: domain::currency::Currency::USD,
        trial_days: 0,
        description: None,
        is_active: true,
    };
    let plan = plans::create(platform, &actor, plan).await.unwrap().plan.id;
    let new =
        subscriptions::NewSubscription { customer, plan, overrides: Vec::new(), billing: Default::default() };
    subscriptions::create(platform, &actor, new).await.unwrap();
    let new = alerts::NewAlert {
        name: "Busy".into(),
        watch: alerts::NewWatch::Usage(meter.id),
        customer: None,
        subscription: None,
        thresholds: Thresholds::new([10.into()]).unwrap(),
    };
    let alert = alerts::create(platform, &actor, new).await.unwrap();
    let told = async || {
        let page = PageRequest { position: Position::Number(1), size: 10 };
        platform.store.list_triggers(rig.organization, alert.id, &page).await.unwrap().total
    };
    let event = TrackedEvent {
        organization: rig.organization,
        meter: meter.id,
        customer,
        has_sender_key: true,
        event: event("a", 10, now),
    };
    let counted = async || match ingest_usage::count(platform, std::slice::from_ref(&event)).await.as_slice()
    {
        [Ok(verdict)] => *verdict,
        other => panic!("{other:?}"),
    };
    is_broken.store(true, Ordering::Relaxed);
    assert_eq!(counted().await, Verdict::Counted);
    is_broken.store(false, Ordering::Relaxed);
    assert_eq!(told().await, 0);
    assert_eq!(counted().await, Verdict::Duplicate);
    assert_eq!(told().await, 1, "an event that comes again is looked at again");
}

#[tokio::test]
async fn an_alert_says_what_is_wrong_with_it() {
    let watched = Watched::new().await;
    let owner = &watched.world.owner;
    let feature = json!({"name": "SSO", "lookup_key": "sso", "type": "switch"});
    let switch = owner.created("/features", feature).await["id"].clone();
    let nobody = json!("00000000-0000-7000-8000-000000000000");
    let meter = &watched.meter["meter_id"];
    let other = json!({"name": "Other", "email": "o@o.example"});
    let other = owner.created("/customers", other).await["id"].clone();
    let many = (1..=21).collect::<Vec<_>>();
    for (body, wrong) in [
        (json!({"type": "usage", "thresholds": [1]}), "meter_id"),
        (json!({"type": "usage", "meter_id": "x", "thresholds": [1]}), "meter_id"),
        (json!({"type": "usage", "meter_id": nobody, "thresholds": [1]}), "meter_id"),
        (json!({"type": "usage", "meter_id": meter, "feature_id": meter, "thresholds": [1]}), "feature_id"),
        (json!({"type": "limit_percent", "thresholds": [80]}), "feature_id"),
        (json!({"type": "limit_percent", "feature_id": nobody, "thresholds": [80]}), "feature_id"),
        (json!({"type": "limit_percent", "feature_id": switch, "thresholds": [80]}), "feature_id"),
        (json!({"type": "amount", "meter_id": meter, "thresholds": [1]}), "meter_id"),
        (json!({"type": "amount", "customer_id": nobody, "thresholds": [1]}), "customer_id"),
        (json!({"type": "amount", "subscription_id": nobody, "thresholds": [1]}), "subscription_id"),
        (
            json!({"type": "amount", "subscription_id": watched.subscription["id"], "customer_id": other,
                "thresholds": [1]}),
            "customer_id",
        ),
        (json!({"type": "amount", "thresholds": []}), "thresholds"),
        (json!({"type": "amount", "thresholds": many}), "thresholds"),
        (json!({"type": "amount", "thresholds": [1, 0]}), "thresholds[1]"),
        (json!({"type": "amount", "thresholds": [1, -1]}), "thresholds[1]"),
        (json!({"type": "amount", "thresholds": [1, 2, "1.0"]}), "thresholds[2]"),
        (json!({"type": "amount", "thresholds": [1], "limit": 5}), "limit"),
        (json!({"type": "cost", "thresholds": [1]}), "type"),
        (json!({"type": "amount", "thresholds": [1], "name": ""}), "name"),
    ] {
        let mut named = json!({"name": "Wrong"});
        named.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let (status, answer) = owner.post("/alerts", named.clone()).await;
        assert_eq!((status, fields(&answer)), (422, vec![wrong]), "{named}: {answer}");
    }
    let alert = watched.usage_alert(json!([1])).await;
    let path = format!("/alerts/{}", text(&alert["id"]));
    for (body, wrong) in [
        (json!({"thresholds": [0]}), "thresholds[0]"),
        (json!({"thresholds": []}), "thresholds"),
        (json!({"type": "amount"}), "type"),
    ] {
        let (status, answer) = owner.call(Method::PUT, &path, Some(body.clone())).await;
        assert_eq!((status, fields(&answer)), (422, vec![wrong]), "{body}: {answer}");
    }
    let changed = owner.changed(Method::PUT, &path, json!({"name": "Busier"})).await;
    assert_eq!((&changed["name"], &changed["thresholds"]), (&json!("Busier"), &json!([1])));
    assert_eq!(owner.get("/alerts").await["data"], json!([changed]));
    let reader = owner.with_key(&["billing.read"]).await;
    assert_eq!(reader.get(&path).await, changed);
    assert_eq!(reader.call(Method::DELETE, &path, None).await.0, 403);
}
