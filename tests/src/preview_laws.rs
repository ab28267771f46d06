//! What `/subscriptions/preview` shows of random plans, changes and usage is what is then billed.

use chrono::{DateTime, TimeDelta, Utc};
use fluxrate_bench::traffic::Random;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    chaos::setting,
    client::{World, text},
};

const SUBSCRIPTIONS: usize = 6;

/// Instants at which things are used and changed, over two months.
const STOPS: usize = 10;

/// One of `choices`.
fn any<'a, T>(random: &mut Random, choices: &'a [T]) -> &'a T {
    &choices[usize::try_from(random.below(choices.len() as u64)).unwrap()]
}

fn is(random: &mut Random, percent: u64) -> bool {
    random.below(100) < percent
}

fn iso(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Adds the fields of an object to another.
fn add(body: &mut Value, fields: &Value) {
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
}

fn fixed_charge(random: &mut Random) -> Value {
    let mut charge = json!({"type": "FIXED", "display_name": "Seats", "unit_price": any(random, &[31.0, 7.333, 99.99]),
        "quantity": any(random, &[1.0, 2.5, 10.0]), "in_advance": is(random, 50)});
    if is(random, 30) {
        add(&mut charge, &json!({"billing_interval": any(random, &["week", "month"]), "interval_count": 2}));
    }
    if is(random, 20) {
        add(&mut charge, &json!({"minimum_amount": 15}));
    }
    charge
}

fn usage_charge(random: &mut Random, meter: &Value, is_level: bool) -> Value {
    let tiers = json!([{"up_to": 10, "unit_price": 1, "flat_price": 1.5}, {"up_to": 100.5, "unit_price": 0.25},
        {"up_to": null, "unit_price": 0.1}]);
    let models = [
        json!({"unit_price": 0.333}),
        json!({"charge_model": "graduated", "tiers": tiers}),
        json!({"charge_model": "volume", "tiers": tiers}),
        json!({"charge_model": "package", "package_size": 7, "unit_price": 3, "free_units": 5}),
        json!({"unit_price": 2, "included_units": 5, "minimum_amount": 8}),
        json!({"unit_price": 1, "filters": [{"match": {"model": ["a"]}, "unit_price": 3}]}),
    ];
    let models = if is_level { &models[..5] } else { &models[..] };
    let mut charge = json!({"type": "USAGE", "meter_id": meter["meter_id"], "display_name": meter["name"]});
    add(&mut charge, any(random, models));
    charge
}

/// A plan with a fixed charge and up to two usage charges.
async fn plan(world: &World, random: &mut Random, meters: &[(Value, bool)], n: usize) -> Value {
    let body = json!({"name": format!("Plan {n}"), "type": "HYBRID", "currency": "USD",
        "billing_interval": any(random, &["month", "month", "week"])});
    let plan = world.owner.created("/plans", body).await;
    let mut charges = vec![fixed_charge(random)];
    for _ in 0..random.below(3) {
        let (meter, is_level) = any(random, meters);
        charges.push(usage_charge(random, meter, *is_level));
    }
    for charge in charges {
        world.owner.created(&format!("/plans/{}/charges", text(&plan["id"])), charge).await;
    }
    plan["id"].clone()
}

/// A subscription with what is known of it before it begins.
struct Case {
    body: Value,
    /// At which stop what is changed: the route, and its body.
    changes: Vec<(usize, &'static str, Value)>,
    /// At which stop what is used.
    usage: Vec<(usize, Value)>,
}

fn case(random: &mut Random, plans: &[Value], meters: &[(Value, bool)], customer: &Value) -> Case {
    let start = any(random, &["2025-01-01", "2025-01-15T13:00:00Z", "2025-01-31"]);
    let mut body = json!({"customer_id": customer["id"], "plan_id": any(random, plans), "start_date": start,
        "time_zone": any(random, &["UTC", "Europe/Berlin", "America/New_York"]),
        "billing_time": any(random, &["anniversary", "anniversary", "calendar"]),
        "proration": {"unit": any(random, &["second", "day"]), "mode": any(random, &["prorate", "prorate", "none", "full"])}});
    if is(random, 20) {
        add(&mut body, &json!({"trial_end_date": "2025-02-03"}));
    }
    let (mut changes, mut is_paused) = (Vec::new(), false);
    for stop in (1..STOPS).filter(|stop| stop % 3 == 1) {
        let (action, mut change) = match random.below(10) {
            _ if is_paused => ("resume", json!({})),
            0..4 => ("change-plan", json!({"plan_id": any(random, plans)})),
            4..7 => ("change-quantity", json!({"quantity": any(random, &[1.0, 4.0, 7.5])})),
            7 => ("pause", json!({})),
            _ => continue,
        };
        if matches!(action, "change-plan" | "change-quantity") && is(random, 40) {
            add(&mut change, &json!({"proration": {"mode": any(random, &["prorate", "none", "full"])}}));
        }
        is_paused = action == "pause";
        changes.push((stop, action, change));
    }
    let mut usage = Vec::new();
    for stop in 0..STOPS {
        if is(random, 60) {
            let (meter, _) = any(random, meters);
            usage.push((
                stop,
                json!({"meter_id": meter["meter_id"], "quantity": any(random, &[1.0, 12.0, 50.5, 120.0]),
                "properties": {"model": any(random, &["a", "b"])}}),
            ));
        }
    }
    Case { body, changes, usage }
}

/// The preview of a case, whose stops are at these instants.
fn previewed(case: &Case, stops: &[DateTime<Utc>]) -> Value {
    let at = |stop: &usize| iso(stops[*stop]);
    let change = |(stop, action, body): &(usize, &str, Value)| {
        let mut change = json!({"at": at(stop)});
        match *action {
            "pause" => add(&mut change, &json!({"pause": true})),
            "resume" => add(&mut change, &json!({"resume": true})),
            _ => add(&mut change, body),
        }
        change
    };
    let used = |(stop, usage): &(usize, Value)| {
        let mut used = json!({"timestamp": at(stop)});
        add(&mut used, usage);
        used
    };
    let mut body = case.body.clone();
    add(
        &mut body,
        &json!({"changes": case.changes.iter().map(change).collect::<Vec<_>>(),
        "usage": case.usage.iter().map(used).collect::<Vec<_>>(), "periods": 20}),
    );
    body
}

/// What is billed, without what only an invoice has or only a preview has.
fn summary(invoice: &Value, lines: &str, amount: &str) -> String {
    let line = |line: &Value| {
        format!(
            "{} {} {} {} {} {}",
            text(&line["description"]),
            line["quantity"],
            line[amount],
            line["period_start"],
            line["period_end"],
            line["proration"]
        )
    };
    let mut lines = invoice[lines].as_array().unwrap().iter().map(line).collect::<Vec<_>>();
    lines.sort();
    format!(
        "{} to {}\n  {}\n  total {}",
        invoice["period_start"],
        invoice["period_end"],
        lines.join("\n  "),
        invoice["total"]
    )
}

async fn bills_as_previewed(seed: u64) {
    let random = &mut Random::new(seed);
    let mut world = World::new().await;
    let mut meters = Vec::new();
    for (name, aggregation) in [("sum", "SUM"), ("max", "MAX"), ("level", "WEIGHTED_SUM")] {
        let body = json!({"name": name, "lookup_key": name, "type": "meter", "meter_name": name,
            "property_name": "n", "aggregation_type": aggregation});
        meters.push((world.owner.created("/features", body).await, aggregation == "WEIGHTED_SUM"));
    }
    let mut plans = Vec::new();
    for n in 0..6 {
        plans.push(plan(&world, random, &meters, n).await);
    }
    // Not in the instant of a bill, and none before all have begun and every trial is over.
    let first: DateTime<Utc> = "2025-02-03T06:00:07Z".parse().unwrap();
    let mut stops =
        (0..STOPS).map(|_| first + TimeDelta::seconds(random.below(60 * 86_400) as i64)).collect::<Vec<_>>();
    stops.sort();
    let mut cases = Vec::new();
    for n in 0..SUBSCRIPTIONS {
        let body = json!({"name": "Acme", "email": format!("{n}@acme.example")});
        let customer = world.owner.created("/customers", body).await;
        let case = case(random, &plans, &meters, &customer);
        let subscription = world.owner.created("/subscriptions", case.body.clone()).await;
        let preview =
            world.owner.changed(Method::POST, "/subscriptions/preview", previewed(&case, &stops)).await;
        cases.push((case, customer, format!("/subscriptions/{}", text(&subscription["id"])), preview));
    }
    for (stop, at) in stops.iter().enumerate() {
        world.advance_to(&iso(*at)).await;
        for (case, customer, path, _) in &cases {
            for (_, usage) in case.usage.iter().filter(|(of, _)| *of == stop) {
                let mut body = json!({"customer_id": customer["id"], "timestamp": iso(*at)});
                add(&mut body, usage);
                world.owner.created("/usage", body).await;
            }
            for (_, action, body) in case.changes.iter().filter(|(of, ..)| *of == stop) {
                world.owner.changed(Method::POST, &format!("{path}/{action}"), body.clone()).await;
            }
        }
        world.drain().await;
    }
    let end: DateTime<Utc> = "2025-05-02T00:00:00Z".parse().unwrap();
    world.advance_to(&iso(end)).await;
    for (case, _, path, preview) in &cases {
        let list = world.owner.get(&format!("{path}/invoices?page_size=100")).await;
        let billed = list["data"].as_array().unwrap().iter().rev();
        let billed = billed.map(|invoice| summary(invoice, "line_items", "line_total")).collect::<Vec<_>>();
        let shown = preview["invoices"].as_array().unwrap().iter();
        let shown =
            shown.filter(|invoice| text(&invoice["issue_date"]).parse::<DateTime<Utc>>().unwrap() <= end);
        let shown = shown.map(|invoice| summary(invoice, "lines", "amount")).collect::<Vec<_>>();
        assert_eq!(billed.join("\n"), shown.join("\n"), "seed {seed}: {} {:?}", case.body, case.changes);
        assert!(!billed.is_empty(), "seed {seed}: {}", case.body);
    }
}

#[tokio::test]
async fn what_is_previewed_is_what_is_billed() {
    for seed in 1..=setting("FLUXRATE_PREVIEW_SEEDS", 1) {
        bills_as_previewed(seed).await;
    }
}
