//! Tax on invoices: by where the customer is, by what it is, on top of prices or in them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, fields, figures, text};

async fn invoice(world: &World, customer: &Value, amount: &str) -> Value {
    let line = json!({"description": "Work", "quantity": 1, "unit_amount": amount});
    let body = json!({"customer_id": customer["id"], "currency": "EUR", "line_items": [line]});
    world.owner.created("/invoices", body).await
}

fn rates() -> Value {
    json!([{"name": "VAT", "country": "DE", "rate": 19}, {"name": "TVA", "country": "FR", "rate": 20},
        {"name": "GST", "country": "CA", "rate": 5}, {"name": "PST", "country": "CA", "state": "BC", "rate": 7},
        {"name": "HST", "country": "CA", "state": "ON", "rate": "13.0", "replaces_country_rates": true},
        {"country": "US", "state": "NY", "rate": 8.875}])
}

#[tokio::test]
async fn tax_is_that_of_the_customer() {
    let world = World::new().await;
    let settings =
        world.settings(json!({"tax_rates": rates(), "address": {"country": "de", "city": "Berlin"}})).await;
    assert_eq!(
        (&settings["address"]["country"], &settings["tax_rates"][5]["name"]),
        (&json!("DE"), &json!("Tax"))
    );
    for (country, state, rest, treatment, expected) in [
        ("DE", "", json!({"tax_id": "DE1"}), "TAXED", "100.00 19.00 119.00 119.00"),
        ("FR", "", json!({}), "TAXED", "100.00 20.00 120.00 120.00"),
        ("FR", "", json!({"tax_id": "FR1"}), "REVERSE_CHARGE", "100.00 0.00 100.00 100.00"),
        ("DE", "", json!({"tax_exempt": "exempt"}), "EXEMPT", "100.00 0.00 100.00 100.00"),
        ("DE", "", json!({"tax_exempt": "reverse"}), "REVERSE_CHARGE", "100.00 0.00 100.00 100.00"),
        ("CA", "AB", json!({}), "TAXED", "100.00 5.00 105.00 105.00"),
        ("CA", "bc", json!({"tax_id": "1"}), "TAXED", "100.00 12.00 112.00 112.00"),
        ("CA", "ON", json!({}), "TAXED", "100.00 13.00 113.00 113.00"),
        ("US", "NY", json!({}), "TAXED", "100.00 8.88 108.88 108.88"),
        ("US", "CA", json!({}), "NO_RATE", "100.00 0.00 100.00 100.00"),
    ] {
        let customer = world.customer_in(country, state, rest).await;
        let invoice = invoice(&world, &customer, "100").await;
        assert_eq!(
            (text(&invoice["tax_treatment"]), figures(&invoice).as_str()),
            (treatment, expected),
            "{country} {state}"
        );
    }
    let customer = world.customer_in("CA", "BC", json!({})).await;
    let invoice = invoice(&world, &customer, "10.10").await;
    assert_eq!(
        invoice["taxes"].to_string(),
        r#"[{"amount":0.51,"name":"GST","rate":5},{"amount":0.71,"name":"PST","rate":7}]"#
    );
    assert_eq!(figures(&invoice), "10.10 1.22 11.32 11.32", "each rate is rounded once: 0.505 and 0.707");
}

#[tokio::test]
async fn prices_may_contain_the_tax() {
    let world = World::new().await;
    world
        .settings(json!({"tax_rates": rates(), "prices_include_tax": true, "address": {"country": "DE"}}))
        .await;
    let customer = world.customer_in("DE", "", json!({})).await;
    let invoice = invoice(&world, &customer, "119").await;
    assert_eq!(
        (figures(&invoice), &invoice["prices_include_tax"]),
        ("100.00 19.00 119.00 119.00".into(), &json!(true))
    );
    assert_eq!(invoice["line_items"][0]["line_total"].to_string(), "119.00");
}

#[tokio::test]
async fn a_draft_follows_its_customer_and_an_open_invoice_does_not() {
    let world = World::new().await;
    world.settings(json!({"tax_rates": rates(), "address": {"country": "DE"}})).await;
    let customer = world.customer_in("FR", "", json!({})).await;
    let draft = invoice(&world, &customer, "100").await;
    let path = format!("/invoices/{}", text(&draft["id"]));
    let customer_path = format!("/customers/{}", text(&customer["id"]));
    world.owner.changed(Method::PUT, &customer_path, json!({"tax_id": "FR1"})).await;
    assert_eq!(figures(&world.owner.get(&path).await), "100.00 0.00 100.00 100.00");
    let changed =
        world.owner.changed(Method::PUT, &customer_path, json!({"tax_exempt": "none", "tax_id": null})).await;
    assert_eq!(changed["tax_exempt"], "none");
    let open = world.owner.changed(Method::POST, &format!("{path}/finalize"), json!({})).await;
    assert_eq!(figures(&open), "100.00 20.00 120.00 120.00");
    world.owner.changed(Method::PUT, &customer_path, json!({"tax_exempt": "exempt"})).await;
    assert_eq!(figures(&world.owner.get(&path).await), figures(&open));
}

#[tokio::test]
async fn a_subscription_is_taxed_like_everything_else() {
    let mut world = World::new().await;
    world.settings(json!({"tax_rates": [{"country": "IN", "rate": 18}]})).await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 500})]).await;
    let customer = world.customer_in("IN", "", json!({})).await;
    world.subscribe(&customer, &plan).await;
    world.advance_to("2025-02-01T00:10:00Z").await;
    let list = world.owner.get("/invoices").await;
    assert_eq!(figures(&list["data"][0]), "500.00 90.00 590.00 590.00", "as it was drafted");
    assert_eq!(list["data"][0]["due_date"], "2025-03-03T01:00:00Z", "as it will be due");
    world.advance_to("2025-02-01T02:00:00Z").await;
    assert_eq!(figures(&world.owner.get("/invoices").await["data"][0]), "500.00 90.00 590.00 590.00");
}

/// The figures of an invoice that would be made: subtotal, tax, total.
fn previewed(invoice: &Value) -> String {
    ["subtotal", "tax", "total"].map(|name| invoice[name].to_string()).join(" ")
}

#[tokio::test]
async fn previews_are_taxed_like_the_invoice() {
    let mut world = World::new().await;
    world.settings(json!({"tax_rates": rates(), "address": {"country": "DE"}})).await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": "30.00", "in_advance": true})]).await;
    let customer = world.customer_in("CA", "BC", json!({})).await;
    let id = text(&world.subscribe(&customer, &plan).await["id"]).to_owned();
    world.advance_to("2025-01-17T00:00:00Z").await;
    let path = |what: &str| format!("/subscriptions/{id}/{what}");
    let next = world.owner.changed(Method::POST, &path("preview-invoice"), json!({})).await;
    assert_eq!(previewed(&next), "30.00 3.60 33.60");
    assert_eq!((text(&next["tax_treatment"]), text(&next["currency"])), ("TAXED", "USD"));
    assert_eq!(next["proration"], json!({"unit": "second", "mode": "prorate"}));
    assert_eq!(
        next["taxes"].to_string(),
        r#"[{"amount":1.50,"name":"GST","rate":5},{"amount":2.10,"name":"PST","rate":7}]"#
    );
    let changed = json!({"quantity": 2});
    let changed = world.owner.changed(Method::POST, &path("preview-change"), changed).await;
    assert_eq!(
        previewed(&changed["invoices"][0]),
        "74.51 8.95 83.46",
        "14.51 for 15 of 31 days, and 60 ahead"
    );
    let migrate = format!("/plans/{}", text(&plan["id"]));
    let body = json!({"type": "FIXED", "unit_price": 1});
    world.owner.created(&format!("{migrate}/charges"), body).await;
    let migrated = world.owner.changed(Method::POST, &format!("{migrate}/migrate/preview"), json!({})).await;
    let row = &migrated["data"][0];
    assert_eq!(row["proration"], json!({"unit": "second", "mode": "prorate"}));
    assert_eq!(previewed(&row["current_invoices"][0]), "30.00 3.60 33.60");
    assert_eq!(previewed(&row["migrated_invoices"][1]), "31.00 3.72 34.72");
    let new = async |body: Value| {
        let mut new = json!({"plan_id": plan["id"], "start_date": "2025-01-01"});
        new.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        world.owner.changed(Method::POST, "/subscriptions/preview", new).await["invoices"][0].clone()
    };
    assert_eq!(previewed(&new(json!({"customer_id": customer["id"]})).await), "30.00 3.60 33.60");
    let nobody = new(json!({})).await;
    assert_eq!((previewed(&nobody), text(&nobody["tax_treatment"])), ("30.00 0.00 30.00".into(), "NO_RATE"));

    world.advance_to("2025-02-01T00:10:00Z").await;
    let drafted = world.owner.get("/invoices").await["data"][0].clone();
    assert_eq!(previewed(&drafted), previewed(&next));
    assert_eq!(drafted["taxes"], next["taxes"]);

    world.settings(json!({"prices_include_tax": true})).await;
    let next = world.owner.changed(Method::POST, &path("preview-invoice"), json!({})).await;
    assert_eq!((previewed(&next), &next["prices_include_tax"]), ("26.78 3.22 30.00".into(), &json!(true)));
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_by_field() {
    let world = World::new().await;
    let before = world.owner.get("/organization").await;
    for (body, expected) in [
        (
            json!({"tax_rates": [{"country": "IN", "rate": 18}, {"country": "India", "rate": 101}]}),
            "tax_rates[1].country",
        ),
        (json!({"tax_rates": [{"country": "IN", "rate": 101}]}), "tax_rates[0].rate"),
        (json!({"tax_rates": [{"country": "IN", "rate": -1}]}), "tax_rates[0].rate"),
        (json!({"tax_rates": [{"rate": 1}]}), "tax_rates[0].country"),
        (
            json!({"tax_rates": [{"country": "IN", "rate": 1, "replaces_country_rates": true}]}),
            "tax_rates[0].replaces_country_rates",
        ),
        (json!({"tax_rates": [{"country": "UK", "rate": 20}]}), "tax_rates[0].country"),
        (json!({"address": {"country": "Germany"}}), "address.country"),
        (json!({"address": {"country": "XX"}}), "address.country"),
        (json!({"branding": {"color": "red"}}), "branding.color"),
        (json!({"branding": {"logo_url": "javascript:alert(1)"}}), "branding.logo_url"),
        (json!({"bank_details": {"pin": "1"}}), "bank_details.pin"),
        (json!({"zero_invoices": "hide"}), "zero_invoices"),
        (json!({"payment_terms_days": 366}), "payment_terms_days"),
        (json!({"email": "x"}), "email"),
    ] {
        let (status, answer) = world.owner.call(Method::PATCH, "/organization", Some(body.clone())).await;
        assert!(status == 422 && fields(&answer).contains(&expected), "{body}: {answer}");
    }
    assert_eq!(world.owner.get("/organization").await, before);
}
