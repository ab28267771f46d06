//! What usage is answered with where the answer is not plain.

use domain::{
    commit::HeadWrite,
    head::Head,
    month::Month,
    quantity::Quantity,
    totals::{Tally, Totals},
};
use reqwest::Method;
use serde_json::{Value, json};
use store::HeadId;

use crate::client::{World, fields, text};

fn event(meter: &Value, customer: &str, key: &str, at: &str, quantity: Value) -> Value {
    json!({"meter_id": meter["meter_id"], "customer_external_id": customer, "quantity": quantity,
        "timestamp": at, "idempotency_key": key})
}

/// Makes the month of a customer come to 1.5 × 10^26, which is as much as a sum can be, nearly.
async fn fill(world: &World, meter: &Value, customer: &Value, at: &str) {
    let me = world.owner.get("/auth/me").await;
    let id = HeadId {
        organization: text(&me["organization"]["id"]).parse().unwrap(),
        meter: text(&meter["meter_id"]).parse().unwrap(),
        customer: text(&customer["id"]).parse().unwrap(),
        month: Month::of(at.parse().unwrap()),
    };
    let store = &world.running.platform.store;
    let head = store.get_head(id).await.unwrap();
    let sum = Quantity::from_units(15 * 10_i128.pow(25 + Quantity::DECIMALS));
    let days = [(1, Totals { events: 1, tally: Tally::Sum(sum) })].into();
    store.commit_head(id, &HeadWrite::Put(Head { days, ..head })).await.unwrap();
}

#[tokio::test]
async fn a_total_that_is_not_exact_any_more_is_refused_with_what_to_do() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    let plan = world.plan(&[]).await;
    let body = json!({"feature_id": meter["id"], "is_enabled": true, "usage_limit": 10, "usage_reset_period": "year"});
    world.owner.created(&format!("/plans/{}/features", text(&plan["id"])), body).await;
    let acme = world.customer().await;
    let subscription = json!({"customer_id": acme["id"], "plan_id": plan["id"], "start_date": "2025-01-01"});
    let subscription = world.owner.created("/subscriptions", subscription).await;
    let body = json!({"name": "Other", "email": "o@example.com", "external_id": "other"});
    let other = world.owner.created("/customers", body).await;
    world.advance_to("2025-02-20T12:00:00Z").await;
    let heads =
        [(&acme, "acme", "2025-01-01"), (&acme, "acme", "2025-02-01"), (&other, "other", "2025-02-01")];
    for (customer, external_id, day) in heads {
        let at = format!("{day}T00:00:00Z");
        world.owner.created("/usage", event(&meter, external_id, day, &at, json!(1))).await;
        world.drain().await;
        fill(&world, &meter, customer, &at).await;
    }
    let (id, acme) = (text(&meter["meter_id"]), text(&acme["id"]));
    let months = "start_date=2025-01-01&end_date=2025-02-28";
    let february = "start_date=2025-02-01&end_date=2025-02-28";
    for path in [
        format!("/usage?meter_id={id}&{february}"),
        format!("/usage?meter_id={id}&{months}&customer_id={acme}"),
        format!("/usage?{months}&customer_id={acme}"),
        format!("/usage/aggregate?meter_id={id}&customer_id={acme}&{months}"),
        format!("/usage?subscription_id={}&meter_id={id}&{months}", text(&subscription["id"])),
        format!("/meters/{id}/usage?{months}"),
        format!("/meters/{id}/usage?{february}&group_by=month"),
        format!("/meters/{id}/top-customers?{months}"),
        format!("/meters/{id}/stats"),
        format!("/customers/{acme}/usage?{months}"),
        format!("/customers/{acme}/entitlements/calls"),
        "/entitlements/check?customer_external_id=acme&feature=calls".into(),
    ] {
        let (status, problem) = world.owner.call(Method::GET, &path, None).await;
        assert_eq!((status, &problem["code"]), (409, &json!("usage_too_large")), "{path}: {problem}");
        assert!(text(&problem["detail"]).contains("shorter range"), "{path}");
    }
    let path = format!("/meters/{id}/usage?{february}&customer_id={acme}");
    assert_eq!(world.owner.get(&path).await["total_usage"].to_string(), "150000000000000000000000000");
}

#[tokio::test]
async fn those_whose_level_is_carried_on_are_among_the_top_customers() {
    let mut world = World::new().await;
    let meter = world.meter("WEIGHTED_SUM").await;
    world.advance_to("2025-03-15T00:00:00Z").await;
    let rows = [
        ("a", "acme", "2025-01-10T00:00:00Z", 20), // and nothing since
        ("b", "other", "2025-01-10T00:00:00Z", 5),
        ("c", "other", "2025-03-01T00:00:00Z", 8),
        ("d", "third", "2025-01-10T00:00:00Z", 7),
        ("e", "third", "2025-02-10T00:00:00Z", 0),  // gone
        ("f", "late", "2025-03-14T00:00:00Z", 100), // not yet, then
    ];
    let events = rows.map(|(key, customer, at, quantity)| event(&meter, customer, key, at, json!(quantity)));
    assert_eq!(world.owner.post("/usage/batch", json!({"events": events})).await.0, 202);
    world.drain().await;
    let id = text(&meter["meter_id"]);
    let top = async |query: &str| {
        let top = world.owner.get(&format!("/meters/{id}/top-customers?{query}")).await;
        let rows = top["customers"].as_array().unwrap().iter();
        let shown = rows.map(|row| format!("{} of {}", row["usage"], row["event_count"])).collect::<Vec<_>>();
        let total = world.owner.get(&format!("/meters/{id}/usage?{query}")).await["total_usage"].to_string();
        (shown, total)
    };
    let march = top("start_date=2025-03-01&end_date=2025-03-13").await;
    assert_eq!(march, (vec!["20 of 0".into(), "8 of 1".into()], "28".into()));
    let february = top("start_date=2025-02-01&end_date=2025-02-28").await.0;
    assert_eq!(february, ["20 of 0", "5 of 0", "2.25 of 1"]);
    let december = top("start_date=2024-12-01&end_date=2024-12-31").await;
    assert_eq!(december, (vec![], "0".into()));
}

#[tokio::test]
async fn the_log_is_filtered_by_the_quantity_that_counts() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    world.customer().await;
    world.advance_to("2025-01-20T12:00:00Z").await;
    let at = "2025-01-15T10:00:00Z";
    for (key, quantity) in [("up", 3), ("down", 300), ("gone", 300), ("kept", 200)] {
        world.owner.created("/usage", event(&meter, "acme", key, at, json!(quantity))).await;
    }
    world.drain().await;
    let id = text(&meter["meter_id"]);
    for (key, correction) in [
        ("up", json!({"action": "replace", "quantity": 500})),
        ("down", json!({"action": "replace", "quantity": 1})),
        ("gone", json!({"action": "void"})),
    ] {
        let mut body = json!({"meter_id": id, "customer_external_id": "acme", "idempotency_key": key});
        body.as_object_mut().unwrap().extend(correction.as_object().unwrap().clone());
        assert_eq!(world.owner.post("/usage/corrections", body).await.0, 202);
    }
    world.drain().await;
    let log = async |least: u32| {
        let log = world.owner.get(&format!("/meters/{id}/events?min_quantity={least}")).await;
        let row = |row: &Value| format!("{} {}", text(&row["quantity"]), text(&row["status"]));
        let rows = log["data"].as_array().unwrap().iter().map(row).collect::<Vec<_>>();
        assert_eq!(log["meta"]["total"], rows.len(), "{least}");
        rows
    };
    assert_eq!(log(1).await, ["500 replaced", "200 counted", "300 voided", "1 replaced"]);
    assert_eq!(log(2).await, ["500 replaced", "200 counted", "300 voided"]);
    assert_eq!(log(400).await, ["500 replaced"]);
}

#[tokio::test]
async fn a_range_that_is_left_open_goes_until_now_and_an_instant_as_its_end_is_left_out() {
    let mut world = World::new().await;
    let meter = world.meter("COUNT").await;
    let acme = world.customer().await;
    world.advance_to("2025-02-10T12:00:00Z").await;
    let rows = [
        ("old", "2019-05-01T00:00:00Z"),
        ("first", "2025-01-31T00:00:00Z"),
        ("before", "2025-01-31T23:59:58.999Z"),
        ("last second", "2025-01-31T23:59:59Z"),
        ("last instant", "2025-01-31T23:59:59.999Z"),
        ("next", "2025-02-01T00:00:00Z"),
        ("now", "2025-02-10T12:00:00Z"),
        ("to come", "2025-02-11T00:00:00Z"),
    ];
    let events = rows.map(|(key, at)| event(&meter, "acme", key, at, json!(1)));
    assert_eq!(world.owner.post("/usage/batch", json!({"events": events})).await.0, 202);
    world.drain().await;
    let (id, acme) = (text(&meter["meter_id"]), text(&acme["id"]));
    let count = async |query: &str| {
        let log = world.owner.get(&format!("/meters/{id}/events?{query}")).await;
        assert_eq!(log["meta"]["total"], log["data"].as_array().unwrap().len());
        let top = world.owner.get(&format!("/meters/{id}/top-customers?{query}")).await;
        let all = world.owner.get(&format!("/customers/{acme}/usage?{query}")).await;
        let mut counts = vec![log["meta"]["total"].clone(), top["customers"][0]["event_count"].clone()];
        counts.push(all["meters"][0]["event_count"].clone());
        for path in [format!("/meters/{id}/usage?"), format!("/usage?meter_id={id}&"), "/usage?".into()] {
            counts.push(world.owner.get(&format!("{path}{query}")).await["event_count"].clone());
        }
        let path = format!("/usage/aggregate?meter_id={id}&customer_id={acme}&{query}");
        counts.push(world.owner.get(&path).await["event_count"].clone());
        counts.dedup();
        assert_eq!(counts.len(), 1, "{query}: {counts:?}");
        counts[0].as_u64().unwrap()
    };
    assert_eq!(count("start_date=2025-01-31").await, 6, "until now");
    assert_eq!(count("start_date=2025-02-01T00:00:00.001Z").await, 1);
    assert_eq!(count("start_date=2025-01-31&end_date=2025-01-31").await, 4, "a date has all of its day");
    assert_eq!(
        count("start_date=2025-01-31&end_date=2025-01-31T23:59:59Z").await,
        2,
        "an instant is left out"
    );
    assert_eq!(count("start_date=2025-01-31&end_date=2025-02-01T00:00:00Z").await, 4);
    assert_eq!(
        count("start_date=2025-01-31T23:59:59Z&end_date=2025-02-01").await,
        3,
        "ranges that meet share nothing"
    );
    assert_eq!(count("start_date=2025-01-31&end_date=2025-01-31&time_zone=America/New_York").await, 4);
    // The log begins with what there is, and without any range has what is to come.
    let total = async |query: &str| {
        world.owner.get(&format!("/meters/{id}/events?{query}")).await["meta"]["total"].clone()
    };
    assert_eq!(
        [total("end_date=2025-01-31").await, total("start_date=2010-01-01").await, total("").await],
        [5, 7, 8]
    );
    assert_eq!(total("start_date=2025-03-01").await, 0, "a list from a day to come finds nothing");
    for path in [format!("/meters/{id}/usage?"), "/usage?".into(), "/usage/rejected?".into()] {
        let (status, problem) =
            world.owner.call(Method::GET, &format!("{path}start_date=2025-03-01"), None).await;
        assert_eq!((status, fields(&problem)), (422, vec!["start_date"]), "{path}");
    }
}

#[tokio::test]
async fn the_stats_of_a_meter_are_all_of_what_counts() {
    let mut world = World::new().await;
    let body = json!({"name": "Calls", "lookup_key": "calls", "type": "meter", "meter_name": "calls",
        "property_name": "n", "aggregation_type": "COUNT",
        "filters": [{"property": "region", "operator": "equals", "values": ["eu"]}]});
    let meter = world.owner.created("/features", body).await;
    world.advance_to("2025-03-10T12:00:00Z").await;
    let id = text(&meter["meter_id"]);
    let rows = [
        ("filtered before", "acme", "2025-01-05T00:00:00Z", "us"),
        ("void before", "acme", "2025-01-10T08:00:00Z", "eu"),
        ("filtered that day", "other", "2025-01-10T09:00:00Z", "us"),
        ("first", "acme", "2025-01-10T19:30:00Z", "eu"),
        ("later", "other", "2025-01-10T20:00:00Z", "eu"),
        ("last", "other", "2025-03-08T03:00:00.250Z", "eu"),
        ("void after", "other", "2025-03-08T23:00:00Z", "eu"),
        ("of nobody else", "third", "2025-03-09T00:00:00Z", "us"),
        ("void alone", "fourth", "2025-03-09T00:00:00Z", "eu"),
    ];
    let events = rows.map(|(key, customer, at, region)| {
        let mut event = event(&meter, customer, key, at, json!(1));
        event["properties"] = json!({"region": region});
        event
    });
    assert_eq!(world.owner.post("/usage/batch", json!({"events": events})).await.0, 202);
    world.drain().await;
    let stats = async || {
        let stats = world.owner.get(&format!("/meters/{id}/stats")).await;
        let usage = world.owner.get(&format!("/meters/{id}/usage?start_date=2024-12-01")).await;
        assert_eq!(stats["total_events"], usage["event_count"]);
        assert_eq!(stats["unique_customers"], usage["unique_customers"]);
        let dates =
            ["first_event_date", "last_event_date"].map(|name| stats[name].as_str().map(str::to_owned));
        (stats["total_events"].as_u64().unwrap(), stats["unique_customers"].as_u64().unwrap(), dates)
    };
    let between = |first: &str, last: &str| [first, last].map(|date| Some(date.to_owned()));
    assert_eq!(stats().await, (6, 3, between("2025-01-10T08:00:00Z", "2025-03-09T00:00:00Z")));
    for (key, customer, ..) in rows.iter().filter(|(key, ..)| key.starts_with("void")) {
        let body = json!({"meter_id": id, "customer_external_id": customer, "idempotency_key": key, "action": "void"});
        assert_eq!(world.owner.post("/usage/corrections", body).await.0, 202);
    }
    world.drain().await;
    assert_eq!(stats().await, (3, 2, between("2025-01-10T19:30:00Z", "2025-03-08T03:00:00.250Z")));
    for (key, customer, ..) in [rows[3], rows[4], rows[5]] {
        let body = json!({"meter_id": id, "customer_external_id": customer, "idempotency_key": key, "action": "void"});
        assert_eq!(world.owner.post("/usage/corrections", body).await.0, 202);
    }
    world.drain().await;
    assert_eq!(stats().await, (0, 0, [None, None]));
}

/// The clock stands still here: all of these happen and come in one millisecond.
#[tokio::test]
async fn of_events_at_one_time_the_one_told_last_counts() {
    for aggregation in ["LAST", "WEIGHTED_SUM"] {
        let world = World::new().await;
        world.customer().await;
        let meter = world.meter(aggregation).await;
        let event = |quantity: u32| json!({"meter_id": meter["meter_id"], "customer_external_id": "acme", "quantity": quantity});
        let last = async || {
            world.drain().await;
            let path = format!("/meters/{}/events", text(&meter["meter_id"]));
            let newest = world.owner.get(&path).await["data"][0]["quantity"].clone();
            let path = format!("/meters/{}/usage?start_date=2025-01-01", text(&meter["meter_id"]));
            let total = match aggregation {
                "LAST" => world.owner.get(&path).await["total_usage"].to_string(),
                _ => text(&newest).to_owned(), // nothing was held for any time yet
            };
            (text(&newest).to_owned(), total)
        };
        let events = [5, 9, 3].map(event);
        assert_eq!(world.owner.post("/usage/batch", json!({"events": events})).await.0, 202);
        assert_eq!(last().await, ("3".to_owned(), "3".to_owned()), "{aggregation}");
        for quantity in [9, 5] {
            world.owner.created("/usage", event(quantity)).await;
        }
        assert_eq!(last().await, ("5".to_owned(), "5".to_owned()), "{aggregation}");
    }
}

#[tokio::test]
async fn what_a_deleted_meter_counted_is_told_of() {
    let world = World::new().await;
    let meter = world.meter("SUM").await;
    let acme = world.customer().await;
    let at = "2024-12-31T10:00:00Z";
    for (key, quantity) in [("a", 3), ("b", 4)] {
        world.owner.created("/usage", event(&meter, "acme", key, at, json!(quantity))).await;
    }
    world.drain().await;
    let (owner, id) = (&world.owner, text(&meter["meter_id"]));
    let told = async || {
        let mut told = Vec::new();
        for path in [
            format!("/meters/{id}/events"),
            format!("/meters/{id}/usage"),
            format!("/meters/{id}/stats"),
            format!("/meters/{id}/top-customers"),
            format!("/usage?meter_id={id}&customer_external_id=acme"),
            format!("/usage/events?meter_id={id}&customer_external_id=acme&idempotency_key=a"),
        ] {
            told.push(owner.get(&path).await);
        }
        told
    };
    let before = told().await;
    assert_eq!((&before[0]["meta"]["total"], &before[1]["total_usage"]), (&json!(2), &json!(7)));
    let feature = format!("/features/{}", text(&meter["id"]));
    assert_eq!(owner.call(Method::DELETE, &feature, None).await.0, 204);
    assert_eq!(told().await, before);
    for path in [format!("/meters/{id}"), feature.clone()] {
        assert_eq!(owner.call(Method::GET, &path, None).await.0, 404, "{path}");
    }
    assert_eq!(owner.get("/meters").await["meta"]["total"], 0);
    assert_eq!(owner.post("/usage", event(&meter, "acme", "c", at, json!(1))).await.0, 404);
    let void =
        json!({"meter_id": id, "customer_external_id": "acme", "idempotency_key": "a", "action": "void"});
    assert_eq!(owner.post("/usage/corrections", void).await.0, 404);
    assert_eq!(owner.call(Method::DELETE, &feature, None).await.0, 404);
    let again = world.meter("SUM").await;
    assert_ne!(again["meter_id"], meter["meter_id"], "its name is free again");
    assert_eq!(
        owner.get(&format!("/customers/{}/usage", text(&acme["id"]))).await["meters"][0]["event_count"],
        0
    );
}
