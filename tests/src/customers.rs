//! Customers: how they are found, and where they may be billed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, fields, text};

/// The names that a list has.
async fn named(world: &World, query: &str) -> Vec<String> {
    let list = world.owner.get(&format!("/customers?{query}")).await;
    let names = list["data"].as_array().unwrap().iter().map(|row| text(&row["name"]).to_owned());
    let names = names.collect::<Vec<_>>();
    if !query.contains("page") {
        assert_eq!(list["meta"]["total"], names.len(), "{query}");
    }
    names
}

#[tokio::test]
async fn customers_are_found_by_external_id_and_by_email() {
    let world = World::new().await;
    for (name, email, external_id) in [
        ("Acme", "pay@acme.example", json!("acme")),
        ("Acme East", "pay@acme.example", json!("acme/east & more")),
        ("Bolt", "pay@bolt.example", Value::Null),
    ] {
        let body = json!({"name": name, "email": email, "external_id": external_id});
        world.owner.created("/customers", body).await;
    }
    for (query, expected) in [
        ("", &["Bolt", "Acme East", "Acme"][..]),
        ("external_id=acme", &["Acme"]),
        ("external_id=acme%2Feast%20%26%20more", &["Acme East"]),
        ("external_id=ACME", &[]),
        ("external_id=nobody", &[]),
        ("email=pay%40acme.example", &["Acme East", "Acme"]),
        ("email=pay%40acme.example&page=2&page_size=1", &["Acme"]),
        ("email=pay%40acme", &[]),
        ("email=pay%40acme.example&external_id=acme", &["Acme"]),
        ("email=pay%40bolt.example&external_id=acme", &[]),
        ("external_id=acme&page=2", &[]),
    ] {
        assert_eq!(named(&world, query).await, expected, "{query}");
    }
    // Under the name it has now.
    let acme = world.owner.get("/customers?external_id=acme").await["data"][0]["id"].clone();
    let acme = format!("/customers/{}", text(&acme));
    world
        .owner
        .changed(Method::PUT, &acme, json!({"external_id": "acme-2", "email": "a@acme.example"}))
        .await;
    for (query, expected) in [
        ("external_id=acme", &[][..]),
        ("external_id=acme-2", &["Acme"]),
        ("email=pay%40acme.example", &["Acme East"]),
        ("email=a%40acme.example", &["Acme"]),
    ] {
        assert_eq!(named(&world, query).await, expected, "{query}");
    }
    let other = world.anonymous().signed_up("other@example.com").await;
    for query in ["external_id=acme-2", "email=a%40acme.example"] {
        assert_eq!(other.get(&format!("/customers?{query}")).await["meta"]["total"], 0, "{query}");
    }
    assert_eq!(world.owner.call(Method::DELETE, &acme, None).await.0, 204);
    assert_eq!(named(&world, "external_id=acme-2").await, [""; 0]);
    let (status, answer) = world.owner.call(Method::GET, "/customers?name=Acme", None).await;
    assert_eq!((status, fields(&answer)), (422, vec!["name"]));
}

#[tokio::test]
async fn a_billing_country_is_one_of_iso_3166() {
    let world = World::new().await;
    let customer = |country: &str| json!({"name": "Acme", "email": "pay@acme.example", "billing_address_country": country});
    for country in ["XX", "UK", "EU", "ZZ", "D", "DEU", "Germany", "Ä1"] {
        let (status, answer) = world.owner.post("/customers", customer(country)).await;
        assert_eq!((status, fields(&answer)), (422, vec!["billing_address_country"]), "{country}");
    }
    for (country, expected) in
        [("de", json!("DE")), (" US ", json!("US")), ("XK", json!("XK")), ("", Value::Null)]
    {
        let made = world.owner.created("/customers", customer(country)).await;
        assert_eq!(made["billing_address_country"], expected);
        let path = format!("/customers/{}", text(&made["id"]));
        let (status, answer) = world.owner.call(Method::PUT, &path, Some(customer("XX"))).await;
        assert_eq!((status, fields(&answer)), (422, vec!["billing_address_country"]));
        assert_eq!(world.owner.get(&path).await, made);
    }
}
