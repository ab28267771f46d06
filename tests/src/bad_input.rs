//! Bad input anywhere: a 4xx that names the field, and nothing changed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, checked, fields, text};

#[tokio::test]
async fn every_field_at_fault_is_named_and_nothing_changes() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    let plan = world.plan(&[]).await;
    let customer = world.customer().await;
    world.subscribe(&customer, &plan).await;
    world.advance_to("2025-01-10T00:00:00Z").await;
    let before = state(&world).await;
    let charges = format!("/plans/{}/charges", text(&plan["id"]));
    let track = |field: &str, value: Value| {
        let mut body =
            json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": 1});
        body[field] = value;
        body
    };
    let usage = |body: Value| body;
    let starting =
        |date: &str| json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": date});
    let long = "x".repeat(300);
    for (path, body, field) in [
        ("/auth/signup", json!({"email": "x", "password": "short", "organization_name": ""}), "email"),
        (
            "/auth/signup",
            json!({"email": "x@example.com", "password": "short", "organization_name": "X"}),
            "password",
        ),
        ("/auth/login", json!({"email": "x@example.com"}), "password"),
        ("/api-keys", json!({"name": "k", "scopes": []}), "scopes"),
        ("/api-keys", json!({"name": "k", "scopes": ["everything"]}), "scopes[0]"),
        ("/features", json!({"name": "", "lookup_key": "x", "type": "switch"}), "name"),
        ("/features", json!({"name": "X", "lookup_key": "a b", "type": "switch"}), "lookup_key"),
        ("/features", json!({"name": "X", "lookup_key": "x", "type": "toggle"}), "type"),
        ("/features", json!({"name": "X", "lookup_key": "x", "type": "meter"}), "meter_name"),
        ("/features", json!({"name": "X", "lookup_key": "x", "type": "switch", "unit": "GB"}), "unit"),
        (
            "/plans",
            json!({"name": "X", "type": "FIXED", "billing_interval": "month", "currency": "XXX"}),
            "currency",
        ),
        (
            "/plans",
            json!({"name": "X", "type": "FIXED", "billing_interval": "decade", "currency": "USD"}),
            "billing_interval",
        ),
        (
            "/plans",
            json!({"name": "X", "type": "FIXED", "billing_interval": "month", "currency": "USD", "trial_days": -1}),
            "trial_days",
        ),
        (&charges, json!({"type": "FIXED", "unit_price": "one"}), "unit_price"),
        (&charges, json!({"type": "USAGE", "unit_price": 1, "meter_id": meter["id"]}), "meter_id"),
        (
            &charges,
            json!({"type": "USAGE", "charge_model": "volume", "meter_id": meter["meter_id"], "tiers": [{"up_to": 5, "unit_price": 1}]}),
            "tiers[0].up_to",
        ),
        ("/customers", json!({"name": "X", "email": "a@b"}), "email"),
        (
            "/customers",
            json!({"name": "X", "email": "a@example.com", "billing_address_country": "USA"}),
            "billing_address_country",
        ),
        ("/customers", json!({"name": "X", "email": "a@example.com", "metadata": 7}), "metadata"),
        ("/customers", json!({"name": "X", "email": "a@example.com", "emial": 7}), "emial"),
        ("/subscriptions", json!({"customer_id": "x", "plan_id": plan["id"]}), "customer_id"),
        ("/subscriptions", json!({"customer_id": customer["id"], "plan_id": customer["id"]}), "plan_id"),
        (
            "/subscriptions",
            json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "soon"}),
            "start_date",
        ),
        (
            "/subscriptions",
            json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-02-01", "trial_end_date": "2025-01-01"}),
            "trial_end_date",
        ),
        ("/sdk/track", track("quantity", json!(-1)), "quantity"),
        ("/sdk/track", track("quantity", json!(0)), "quantity"),
        ("/customers", json!({"name": "line\nbreak", "email": "a@example.com"}), "name"),
        ("/customers", json!({"name": "X", "email": "a@example.com", "metadata": 1.5}), "metadata"),
        (
            &charges,
            json!({"type": "FIXED", "unit_price": {"$serde_json::private::Number": "5"}}),
            "$serde_json::private::Number",
        ),
        ("/subscriptions", starting("0001-01-01"), "start_date"),
        ("/subscriptions", starting("9999-12-31"), "start_date"),
        ("/subscriptions", starting("1970-01-01"), "start_date"), // 660 months
        ("/sdk/track", track("metadata", json!(1.5)), "metadata"),
        ("/sdk/track", track("quantity", json!("100000000000000000.000000000001")), "quantity"),
        ("/sdk/track", track("timestamp", json!("2025-01-05T23:59:60Z")), "timestamp"),
        ("/sdk/track", track("quantity", json!("x")), "quantity"),
        ("/sdk/track", track("quantity", json!(1e300)), "quantity"),
        ("/sdk/track", track("quantity", Value::Null), "quantity"),
        ("/sdk/track", track("timestamp", json!("2025-01-12T00:00:00Z")), "timestamp"),
        ("/sdk/track", track("timestamp", json!(1736467200)), "timestamp"),
        ("/sdk/track", track("idempotency_key", json!("")), "idempotency_key"),
        ("/sdk/track", track("idempotency_key", json!(long)), "idempotency_key"),
        ("/sdk/track", track("customer_external_id", json!("")), "customer_external_id"),
        ("/sdk/track", track("quantty", json!(1)), "quantty"),
        ("/usage", usage(json!({"customer_external_id": "acme", "quantity": 1})), "meter_name"),
        ("/usage", usage(json!({"meter_name": "calls", "quantity": 1})), "customer_external_id"),
        ("/usage", usage(json!({"meter_name": "calls", "customer_external_id": "acme"})), "properties.n"),
        (
            "/usage",
            usage(
                json!({"meter_name": "calls", "customer_external_id": "acme", "properties": {"n": "many"}}),
            ),
            "properties.n",
        ),
    ] {
        let (status, answer) = world.owner.post(path, body.clone()).await;
        assert_eq!(status, 422, "{path} {body}: {answer}");
        let fields = answer["errors"].as_array().unwrap().iter().map(|error| text(&error["field"]));
        assert!(fields.clone().any(|named| named == field), "{path} {body}: {answer}");
        assert!(!text(&answer["detail"]).is_empty());
        assert!(!text(&answer["request_id"]).is_empty(), "{path} {body}: {answer}");
    }
    assert_eq!(state(&world).await, before);
}

#[tokio::test]
async fn what_is_no_request_at_all_is_refused() {
    let world = World::new().await;
    let send = async |path: &str, content_type: &str, body: Vec<u8>| {
        let request = world.owner.request(Method::POST, path).header("content-type", content_type).body(body);
        checked(&Method::POST, path, request).await.0
    };
    let json_type = "application/json";
    for body in ["", "{", "{\"name\": }", "\u{feff}{}", "{} {}", "{\"a\":\"\u{1}\"}"] {
        assert_eq!(send("/customers", json_type, body.into()).await, 400, "{body}");
    }
    assert_eq!(send("/customers", json_type, vec![0xff, 0xfe]).await, 400);
    assert_eq!(send("/customers", json_type, "[".repeat(100_000).into()).await, 400);
    assert_eq!(send("/customers", json_type, "[]".into()).await, 422);
    assert_eq!(send("/customers", json_type, "null".into()).await, 422);
    assert_eq!(send("/customers", "text/plain", "{}".into()).await, 415);
    assert_eq!(send("/customers", json_type, vec![b' '; 2 * 1024 * 1024]).await, 413);
    assert_eq!(world.owner.call(Method::DELETE, "/customers", None).await.0, 405);
    for path in ["/nothing", "/customers/not-an-id", "/invoices/00000000-0000-7000-8000-000000000000"] {
        assert_eq!(world.owner.call(Method::GET, path, None).await.0, 404, "{path}");
    }
    for query in ["page=0", "page_size=101", "page=x", "pgae=1", "cursor=%00", "page=9999999&page_size=100"] {
        assert_eq!(
            world.owner.call(Method::GET, &format!("/customers?{query}"), None).await.0,
            422,
            "{query}"
        );
    }
    let answer = reqwest::get(format!("{}/nowhere", world.owner.base())).await.unwrap();
    let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["request_id"].clone()),
        (404, json!(request_id))
    );
    let named = world.owner.request(Method::GET, "/customers/not-an-id").header("x-request-id", "ours-7");
    let answer = named.send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "ours-7");
    let problem = answer.json::<Value>().await.unwrap();
    assert_eq!((text(&problem["request_id"]), text(&problem["code"])), ("ours-7", "not_found"));
}

#[tokio::test]
async fn an_unknown_customer_follows_the_setting_and_an_unknown_meter_is_never_taken() {
    let world = World::new().await;
    let meter = world.meter("SUM").await;
    let track = |token: &Value, customer: &str| json!({"meter_token": token, "customer_external_id": customer, "quantity": 1});
    let nobody = json!("00000000-0000-7000-8000-000000000000");
    for token in [nobody, json!("x")] {
        let (status, body) = world.owner.post("/sdk/track", track(&token, "acme")).await;
        assert_eq!((status, text(&body["detail"])), (404, "there is no such meter"));
    }
    assert_eq!(world.owner.get("/customers").await["meta"]["total"], 0);
    world.owner.created("/sdk/track", track(&meter["meter_token"], "first")).await;
    let off = json!({"create_customers_on_track": false});
    assert_eq!(world.owner.call(Method::PATCH, "/organization", Some(off)).await.0, 200);
    let (status, body) = world.owner.post("/sdk/track", track(&meter["meter_token"], "second")).await;
    assert_eq!((status, text(&body["detail"])), (404, "there is no such customer"));
    world.owner.created("/sdk/track", track(&meter["meter_token"], "first")).await;
    assert_eq!(world.owner.get("/customers").await["meta"]["total"], 1);
}

/// Everything that a refused request could have changed.
async fn state(world: &World) -> Vec<Value> {
    world.drain().await;
    let mut state = Vec::new();
    for path in ["/api-keys", "/features", "/meters", "/plans", "/customers", "/subscriptions", "/invoices"] {
        state.push(world.owner.get(path).await);
    }
    let meter = text(&state[2]["data"][0]["id"]).to_owned();
    state.push(world.owner.get(&format!("/meters/{meter}/stats")).await);
    state.push(world.owner.get_local("queues").await);
    state
}

#[tokio::test]
async fn routes_without_a_body_take_none() {
    let mut world = World::new().await;
    world.meter("SUM").await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30})]).await;
    let customer = world.customer().await;
    let subscription = world.subscribe(&customer, &plan).await;
    world.advance_to("2025-02-01T00:10:00Z").await;
    let invoice = world.owner.get("/invoices").await["data"][0].clone();
    let before = state(&world).await;
    let paths = |of: &str, thing: &Value, actions: &[&str]| {
        let path = |action: &&str| format!("/{of}/{}/{action}", text(&thing["id"]));
        actions.iter().map(path).collect::<Vec<_>>()
    };
    let actions = ["pause", "resume", "undo", "preview-invoice", "generate-invoice"];
    let mut all = paths("subscriptions", &subscription, &actions);
    let actions = ["recompute", "generate-token", "finalize", "send-email", "pay"];
    all.extend(paths("invoices", &invoice, &actions));
    all.extend(paths("usage/rejected", &subscription, &["replay"]));
    all.extend(["/auth/refresh", "/auth/logout"].map(str::to_owned));
    for path in all {
        let (status, answer) = world.owner.post(&path, json!({"nonsense": 1})).await;
        assert_eq!((status, fields(&answer)), (422, vec!["nonsense"]), "{path}: {answer}");
        let (status, answer) = world.owner.post(&path, json!([])).await;
        assert_eq!((status, fields(&answer)), (422, vec!["body"]), "{path}: {answer}");
        let request = world.owner.request(Method::POST, &path).body("{nonsense");
        assert_eq!(checked(&Method::POST, &path, request).await.0, 400, "{path}");
    }
    assert_eq!(state(&world).await, before);
    let pause = format!("/subscriptions/{}/pause", text(&subscription["id"]));
    let resume = format!("/subscriptions/{}/resume", text(&subscription["id"]));
    assert_eq!(world.owner.call(Method::POST, &pause, None).await.0, 200);
    assert_eq!(world.owner.call(Method::POST, &resume, Some(json!({}))).await.0, 200);
}
