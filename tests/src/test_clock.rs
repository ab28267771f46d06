//! Test clocks: an organization in test mode moves its own time, and nobody else's.

use std::time::Duration;

use app::test_clock;
use auth::{Actor, Credential};
use domain::{test_clock::TestClock, user::Role};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Caller, PASSWORD, World, fields, text};

/// An organization in test mode, with a meter and a customer subscribed to it from the start of 2025: USD 10 a
/// month in arrears, and a cent a call.
struct Tester {
    caller: Caller,
    email: &'static str,
    /// The path of its subscription.
    subscription: String,
}

impl Tester {
    async fn new(world: &World, email: &'static str) -> Self {
        let body = json!({"email": email, "password": PASSWORD, "organization_name": "Test", "mode": "TEST"});
        let caller = world.anonymous();
        assert_eq!(caller.post("/auth/signup", body).await.0, 201);
        let caller = caller.logged_in(email).await;
        let subscription = subscribed(&caller).await;
        Self { caller, email, subscription }
    }

    /// Signed in anew, since sessions age in real time.
    async fn again(self, world: &World) -> Self {
        Self { caller: world.anonymous().logged_in(self.email).await, ..self }
    }

    /// Moves the clock; every answer says where it is.
    async fn advance(&self, to: &str) -> (u16, Value) {
        self.caller.post("/test-clock", json!({"advance_to": to})).await
    }

    async fn arrives_at(&self, to: &str) {
        let (status, clock) = self.advance(to).await;
        assert_eq!(status, 200, "{clock}");
        assert_eq!(clock, json!({"mode": "TEST", "now": to, "status": "READY", "advancing_to": null}));
        assert_eq!(self.caller.get("/test-clock").await, clock);
    }

    async fn now(&self) -> String {
        text(&self.caller.get("/test-clock").await["now"]).to_owned()
    }

    async fn track(&self, world: &World, quantity: u32) {
        track(&self.caller, quantity).await;
        world.drain().await;
    }

    /// Moves the clock for no longer than the first thing that is due takes.
    async fn step(&self, world: &World, to: &str) -> TestClock {
        let platform = &world.running.platform;
        let user = platform.store.find_user_by_email(self.email).await.unwrap().unwrap();
        let credential = Credential::Session { user: user.id, role: Role::Owner };
        let actor = Actor { organization: user.organization, credential };
        let platform = platform.of(user.organization).await.unwrap();
        test_clock::advance(&platform, &actor, to.parse().unwrap(), Duration::ZERO).await.unwrap()
    }
}

/// Subscribes a customer.
async fn subscribed(caller: &Caller) -> String {
    let feature = json!({"name": "Calls", "lookup_key": "calls", "type": "meter", "meter_name": "calls",
        "property_name": "n", "aggregation_type": "SUM"});
    let feature = caller.created("/features", feature).await;
    let plan = json!({"name": "Pro", "type": "HYBRID", "billing_interval": "month", "currency": "USD"});
    let plan = caller.created("/plans", plan).await;
    for charge in [
        json!({"type": "FIXED", "unit_price": 10.00, "display_name": "Base"}),
        json!({"type": "USAGE", "meter_id": feature["meter_id"], "charge_model": "standard",
            "unit_price": 0.01, "display_name": "Calls"}),
    ] {
        caller.created(&format!("/plans/{}/charges", text(&plan["id"])), charge).await;
    }
    let customer = json!({"name": "Acme Corp", "email": "billing@acme.example", "external_id": "acme"});
    let customer = caller.created("/customers", customer).await;
    let body =
        json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01T00:00:00Z"});
    let subscription = caller.created("/subscriptions", body).await;
    format!("/subscriptions/{}", text(&subscription["id"]))
}

async fn track(caller: &Caller, quantity: u32) -> Value {
    let body = json!({"meter_name": "calls", "customer_external_id": "acme", "quantity": quantity});
    caller.created("/usage", body).await
}

/// The invoices of a caller, oldest first: number, status, when it was opened, and its total.
async fn invoices(caller: &Caller) -> Vec<String> {
    let list = caller.get("/invoices?page_size=100").await;
    let row = |row: &Value| {
        let number = row["invoice_number"].as_str().map_or("-", |number| number.rsplit('-').next().unwrap());
        let status = if row["past_due_at"].is_null() { text(&row["status"]) } else { "PAST_DUE" };
        format!("{number} {status} {} {}", text(&row["issue_date"]), row["total"])
    };
    let mut rows = list["data"].as_array().unwrap().iter().map(row).collect::<Vec<_>>();
    rows.reverse();
    rows
}

#[tokio::test]
async fn keys_say_which_mode_they_are_of() {
    let world = World::new().await;
    let tester = Tester::new(&world, "test@example.com").await;
    for (caller, prefix) in [(&tester.caller, "sk_test_"), (&world.owner, "sk_live_")] {
        let key = caller.created("/api-keys", json!({"name": "k", "scopes": ["usage.read"]})).await;
        let text = text(&key["key"]);
        assert!(text.starts_with(prefix), "{text}");
        for written in [text.to_owned(), text.replacen("sk_", "org_", 1)] {
            assert_eq!(caller.with(("x-api-key", written)).call(Method::GET, "/usage", None).await.0, 200);
        }
        let other = if prefix == "sk_test_" {
            text.replacen("test", "live", 1)
        } else {
            text.replacen("live", "test", 1)
        };
        assert_eq!(caller.with(("x-api-key", other)).call(Method::GET, "/usage", None).await.0, 401);
    }
}

#[tokio::test]
async fn months_pass_in_one_request() {
    let world = World::new().await;
    let tester = Tester::new(&world, "test@example.com").await;
    assert_eq!(tester.now().await, "2025-01-01T00:00:00Z");
    assert_eq!(tester.caller.get("/organization").await["mode"], "TEST");
    tester.track(&world, 500).await;
    tester.arrives_at("2025-02-15T12:00:00Z").await;
    assert_eq!(invoices(&tester.caller).await, ["0001 OPEN 2025-02-01T01:00:00Z 15.00"]);

    // Usage without a time is of the clock's now, and one that is ahead is refused by it.
    assert_eq!(track(&tester.caller, 70).await["timestamp"], "2025-02-15T12:00:00Z");
    world.drain().await;
    let ahead = json!({"meter_name": "calls", "customer_external_id": "acme", "quantity": 1,
        "timestamp": "2025-02-16T12:00:01Z"});
    assert_eq!(fields(&tester.caller.post("/usage", ahead).await.1), ["timestamp"]);

    tester.arrives_at("2025-05-01T00:30:00Z").await;
    assert_eq!(
        invoices(&tester.caller).await,
        [
            "0001 PAST_DUE 2025-02-01T01:00:00Z 15.00",
            "0002 PAST_DUE 2025-03-01T01:00:00Z 10.70",
            "0003 OPEN 2025-04-01T01:00:00Z 10.00",
            "- DRAFT 2025-05-01T00:00:00Z 10.00",
        ]
    );
    let draft = tester.caller.get("/invoices").await["data"][0].clone();
    assert_eq!(draft["scheduled_finalize_at"], "2025-05-01T01:00:00Z");
    let subscription = tester.caller.get(&tester.subscription).await;
    assert_eq!(subscription["status"], "PAST_DUE");
    assert_eq!(subscription["current_period_start"], "2025-05-01T00:00:00Z");

    // What is told is told in real time, which stood still meanwhile.
    world.drain().await;
    let mails = world.owner.get_local("outbox").await;
    assert_eq!(mails.as_array().unwrap().len(), 3, "{mails}");
    assert_eq!(world.owner.get_local("clock").await["now"], "2025-01-01T00:00:00Z");
}

#[tokio::test]
async fn what_falls_due_is_done_in_order() {
    let world = World::new().await;
    let tester = Tester::new(&world, "test@example.com").await;
    let plan = tester.caller.get("/plans").await["data"][0]["id"].clone();
    let customer = tester.caller.get("/customers").await["data"][0]["id"].clone();
    let subscribe = async |more: Value| {
        let mut body =
            json!({"customer_id": customer, "plan_id": plan, "start_date": "2025-01-01T00:30:00Z"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = tester.caller.created("/subscriptions", body).await;
        format!("/subscriptions/{}", text(&made["id"]))
    };
    // Half an hour after the first in all, so that drafts of one are made before those of the other are final.
    let canceled = subscribe(json!({})).await;
    let cancel = json!({"cancel_at_period_end": true});
    tester.caller.changed(Method::POST, &format!("{canceled}/cancel"), cancel).await;
    let trial = subscribe(json!({"trial_end_date": "2025-02-10T00:00:00Z"})).await;
    let undone = subscribe(json!({})).await;
    tester.caller.call(Method::DELETE, &undone, None).await;

    tester.arrives_at("2025-03-20T00:00:00Z").await;
    let mut opened = invoices(&tester.caller).await;
    opened.sort();
    assert_eq!(
        opened,
        [
            "0001 PAST_DUE 2025-02-01T01:00:00Z 10.00",
            "0002 PAST_DUE 2025-02-01T01:30:00Z 10.00",
            "0003 OPEN 2025-03-01T01:00:00Z 10.00",
            "0004 OPEN 2025-03-10T01:00:00Z 10.00",
        ]
    );
    assert_eq!(tester.caller.get(&canceled).await["status"], "CANCELED");
    assert_eq!(tester.caller.get(&trial).await["status"], "ACTIVE");
}

#[tokio::test]
async fn an_interrupted_move_goes_on_where_it_stopped() {
    let world = World::new().await;
    let tester = Tester::new(&world, "test@example.com").await;
    let to = "2025-03-15T00:00:00Z";
    let mut stops = Vec::new();
    while let clock = tester.step(&world, to).await
        && clock.advancing_to.is_some()
    {
        stops.push(clock.now.to_rfc3339());
        let seen = tester.caller.get("/test-clock").await;
        assert_eq!((text(&seen["status"]), text(&seen["advancing_to"])), ("ADVANCING", to));
        let (status, answer) = tester.advance("2025-03-16T00:00:00Z").await;
        assert_eq!((status, text(&answer["code"])), (409, "clock_under_way"));
    }
    // The first invoice is to be paid within 30 days.
    let expected = ["02-01T00:00", "02-01T01:00", "03-01T00:00", "03-01T01:00", "03-03T01:00"];
    assert_eq!(stops, expected.map(|stop| format!("2025-{stop}:00+00:00")));
    let expected = ["0001 PAST_DUE 2025-02-01T01:00:00Z 10.00", "0002 OPEN 2025-03-01T01:00:00Z 10.00"];
    assert_eq!(invoices(&tester.caller).await, expected);
    tester.arrives_at(to).await; // once more changes nothing
    assert_eq!(invoices(&tester.caller).await, expected);
}

#[tokio::test]
async fn at_one_instant_periods_end_before_grace_periods() {
    let world = World::new().await;
    let tester = Tester::new(&world, "test@example.com").await;
    let first = tester.caller.get(&tester.subscription).await;
    let second = json!({"customer_id": first["customer_id"], "plan_id": first["plan_id"],
        "start_date": "2025-01-01T01:00:00Z"});
    tester.caller.created("/subscriptions", second).await;
    let to = "2025-02-02T00:00:00Z";
    tester.step(&world, to).await;
    assert_eq!(tester.step(&world, to).await.now.to_rfc3339(), "2025-02-01T01:00:00+00:00");
    let drafts = ["- DRAFT 2025-02-01T00:00:00Z 10.00", "- DRAFT 2025-02-01T01:00:00Z 10.00"];
    assert_eq!(invoices(&tester.caller).await, drafts);
    assert_eq!(tester.step(&world, to).await.now.to_rfc3339(), "2025-02-01T01:00:00+00:00");
    assert_eq!(invoices(&tester.caller).await, ["0001 OPEN 2025-02-01T01:00:00Z 10.00", drafts[1]]);
}

#[tokio::test]
async fn two_who_move_a_clock_do_no_harm() {
    let world = World::new().await;
    let tester = Tester::new(&world, "test@example.com").await;
    let to = "2025-04-15T00:00:00Z";
    let answers = tokio::join!(tester.advance(to), tester.advance(to), tester.advance(to));
    for (status, answer) in [answers.0, answers.1, answers.2] {
        assert!(status == 200 || answer["code"] == "clock_under_way", "{status} {answer}");
    }
    tester.arrives_at(to).await;
    assert_eq!(
        invoices(&tester.caller).await,
        [
            "0001 PAST_DUE 2025-02-01T01:00:00Z 10.00",
            "0002 PAST_DUE 2025-03-01T01:00:00Z 10.00",
            "0003 OPEN 2025-04-01T01:00:00Z 10.00",
        ]
    );
}

#[tokio::test]
async fn clocks_go_forwards_each_for_itself() {
    let mut world = World::new().await;
    let one = Tester::new(&world, "one@example.com").await;
    let other = Tester::new(&world, "other@example.com").await;
    one.arrives_at("2025-02-10T00:00:00Z").await;
    assert_eq!(other.now().await, "2025-01-01T00:00:00Z");
    assert_eq!(invoices(&other.caller).await, [""; 0]);
    for to in ["2025-02-09T23:59:59Z", "2027-02-13T00:00:00Z"] {
        let (status, answer) = one.advance(to).await;
        assert_eq!((status, fields(&answer)), (422, vec!["advance_to"]), "{to}");
    }
    let reader = one.caller.with_key(&["billing.read"]).await;
    assert_eq!(reader.get("/test-clock").await["now"], "2025-02-10T00:00:00Z");
    assert_eq!(reader.post("/test-clock", json!({"advance_to": "2025-02-11T00:00:00Z"})).await.0, 403);

    // Months of real time, in which sweeps do what is due, are none of theirs.
    subscribed(&world.owner).await;
    world.advance_to("2025-03-15T00:00:00Z").await;
    let live = ["0001 PAST_DUE 2025-02-01T01:00:00Z 10.00", "0002 OPEN 2025-03-01T01:00:00Z 10.00"];
    assert_eq!(invoices(&world.owner).await, live);
    let one = one.again(&world).await;
    assert_eq!(one.now().await, "2025-02-10T00:00:00Z");
    assert_eq!(invoices(&one.caller).await, ["0001 OPEN 2025-02-01T01:00:00Z 10.00"]);
    let other = other.again(&world).await;
    assert_eq!(invoices(&other.caller).await, [""; 0]);
    other.arrives_at("2025-02-01T00:00:00Z").await;
    assert_eq!(invoices(&other.caller).await, ["- DRAFT 2025-02-01T00:00:00Z 10.00"]);
}

#[tokio::test]
async fn a_live_organization_has_no_clock_to_move() {
    let world = World::new().await;
    let live = world.owner.get("/test-clock").await;
    assert_eq!(
        live,
        json!({"mode": "LIVE", "now": "2025-01-01T00:00:00Z", "status": "READY", "advancing_to": null})
    );
    assert_eq!(world.owner.get("/organization").await["mode"], "LIVE");
    let (status, answer) =
        world.owner.post("/test-clock", json!({"advance_to": "2025-02-01T00:00:00Z"})).await;
    assert_eq!((status, text(&answer["code"])), (409, "not_in_test_mode"));
    let (status, answer) = world.owner.post("/test-clock", json!({})).await;
    assert_eq!((status, fields(&answer)), (422, vec!["advance_to"]));
    let body =
        json!({"email": "x@example.com", "password": PASSWORD, "organization_name": "X", "mode": "test"});
    assert_eq!(fields(&world.anonymous().post("/auth/signup", body).await.1), ["mode"]);
}

#[tokio::test]
async fn alerts_are_looked_at_when_the_clock_was_moved() {
    let world = World::new().await;
    let tester = Tester::new(&world, "tester@example.com").await;
    let body = json!({"name": "Billed", "type": "amount", "thresholds": [10]});
    tester.caller.created("/alerts", body).await;
    world.drain().await;
    tester.arrives_at("2025-02-10T00:00:00Z").await;
    world.drain().await;
    world.drain().await;
    let told = world.told_by("alert.triggered");
    let told = told.iter().map(|event| [&event["data"]["period_start"], &event["data"]["triggered_at"]]);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            [&json!("2025-01-01T00:00:00Z"), &json!("2025-01-01T00:00:00Z")],
            [&json!("2025-02-01T00:00:00Z"), &json!("2025-02-10T00:00:00Z")],
        ]
    );
}
