//! Invoices as their customers see them, without signing in.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, figures, text};

async fn open_invoice() -> (World, String) {
    let world = World::new().await;
    let settings = world
        .settings(json!({"tax_rates": [{"name": "VAT", "country": "DE", "rate": 19}], "email": "hello@north.example",
            "address": {"line1": "Lindenstr. 12", "city": "Berlin", "country": "DE"}, "tax_id": "DE999",
            "invoice_notes": "Pay in peace.", "branding": {"color": "#0f5f5c", "logo_url": "https://north.example/logo.svg"},
            "bank_details": {"account_holder": "North GmbH", "iban": "DE89 3704 0044 0532 0130 00"}}))
        .await;
    assert_eq!(settings["bank_details"]["iban"], "DE89 3704 0044 0532 0130 00");
    let customer = world.customer_in("DE", "", json!({"tax_id": "DE123"})).await;
    let line = json!({"description": "Work <b>", "quantity": 8, "unit_amount": 150});
    let body = json!({"customer_id": customer["id"], "currency": "EUR", "line_items": [line],
        "memo": "For January", "due_date": "2025-02-15", "meta_data": {"internal": "secret"}});
    let draft = world.owner.created("/invoices", body).await;
    let path = format!("/invoices/{}", text(&draft["id"]));
    world.owner.changed(Method::POST, &format!("{path}/finalize"), json!({})).await;
    (world, path)
}

async fn token(world: &World, path: &str) -> String {
    let made = world.owner.changed(Method::POST, &format!("{path}/generate-token"), json!({})).await;
    let token = text(&made["public_token"]).to_owned();
    assert_eq!(made["public_url"], format!("{}/p/{token}", world.owner.base()));
    token
}

async fn page(world: &World, token: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{}/p/{token}", world.owner.base())).await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert!(answer.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn whoever_has_the_token_sees_the_invoice_and_how_to_pay_it() {
    let (world, path) = open_invoice().await;
    let token = token(&world, &path).await;
    let public = world.anonymous().get(&format!("/invoices/public/{token}")).await;
    assert_eq!(figures(&public), "1200.00 228.00 1428.00 1428.00");
    assert_eq!((&public["invoice_number"], &public["status"]), (&json!("INV-2025-0001"), &json!("OPEN")));
    assert_eq!(public["taxes"].to_string(), r#"[{"amount":228.00,"name":"VAT","rate":19}]"#);
    assert_eq!(public["line_items"][0]["description"], "Work <b>");
    assert_eq!(public["bank_details"]["iban"], "DE89 3704 0044 0532 0130 00");
    assert_eq!(
        (&public["branding"]["color"], &public["organization"]["tax_id"]),
        (&json!("#0f5f5c"), &json!("DE999"))
    );
    assert_eq!((&public["memo"], &public["notes"]), (&json!("For January"), &json!("Pay in peace.")));
    assert_eq!(public["customer"]["tax_id"], "DE123");
    assert!(!public.to_string().contains("secret"), "what the organization keeps for itself");

    let (status, html) = page(&world, &token).await;
    assert_eq!(status, 200);
    for shown in [
        "INV-2025-0001",
        "Work &#60;b&#62;",
        "VAT 19 %",
        "228.00",
        "1,428.00",
        "DE89 3704 0044 0532 0130 00",
        "For January",
        "Pay in peace.",
        "15 February 2025",
        "Lindenstr. 12",
        "DE999",
        "Account holder",
    ] {
        assert!(html.contains(shown), "{shown} is not in {html}");
    }
    assert_eq!(world.owner.call(Method::GET, &format!("{path}/pdf"), None).await.0, 200);

    // Once paid, it says so and asks for nothing.
    world.owner.changed(Method::POST, &format!("{path}/pay"), json!({})).await;
    let (_, html) = page(&world, &token).await;
    assert!(html.contains("Paid") && !html.contains("DE89"), "{html}");
}

#[tokio::test]
async fn bank_details_are_shown_until_it_is_paid_or_void() {
    for (moves, is_shown) in [
        (&[][..], true),
        (&["UNCOLLECTIBLE"], true),
        (&["PAID"], false),
        (&["UNCOLLECTIBLE", "PAID"], false),
        (&["VOID"], false),
    ] {
        let (world, path) = open_invoice().await;
        let token = token(&world, &path).await;
        for status in moves {
            world.owner.changed(Method::PATCH, &format!("{path}/status"), json!({"status": status})).await;
        }
        let public = world.anonymous().get(&format!("/invoices/public/{token}")).await;
        let (_, html) = page(&world, &token).await;
        let iban = Value::from(is_shown.then_some("DE89 3704 0044 0532 0130 00"));
        assert_eq!((&public["bank_details"]["iban"], html.contains("DE89")), (&iban, is_shown), "{moves:?}");
    }
}

#[tokio::test]
async fn a_new_token_takes_the_old_one_away() {
    let (world, path) = open_invoice().await;
    let first = token(&world, &path).await;
    let second = token(&world, &path).await;
    assert_ne!(first, second);
    let seen = async |token: &str| {
        let path = format!("/invoices/public/{token}");
        (world.anonymous().call(Method::GET, &path, None).await.0, page(&world, token).await.0)
    };
    assert_eq!((seen(&first).await, seen(&second).await), ((404, 404), (200, 200)));
    let key = world.owner.created("/api-keys", json!({"name": "k", "scopes": ["billing.read"]})).await;
    let last = if second.ends_with('A') { 'B' } else { 'A' };
    let changed = format!("{}{last}", &second[..second.len() - 1]);
    for wrong in ["x", &second[1..], &changed, text(&key["key"]), text(&key["id"]), "%00", "..%2f..%2f"] {
        assert_eq!(seen(wrong).await, (404, 404), "{wrong}");
    }
}

/// Gives an invoice a token whatever its status is, as drafts once had them.
pub(crate) async fn planted(world: &World, invoice: &Value) -> String {
    let platform = &world.running.platform;
    let me = world.owner.get("/auth/me").await;
    let organization = text(&me["organization"]["id"]).parse().unwrap();
    let invoice =
        platform.store.get_invoice(organization, text(&invoice["id"]).parse().unwrap()).await.unwrap();
    let secret = auth::new_public_token(platform.entropy());
    let change = platform.change(organization, "test");
    platform.store.put_public_token(&change, &invoice, &secret.hash).await.unwrap();
    secret.text
}

#[tokio::test]
async fn a_draft_has_no_page() {
    let world = World::new().await;
    let customer = world.customer_in("DE", "", json!({})).await;
    let line = json!({"description": "A", "unit_amount": 1});
    let body = json!({"customer_id": customer["id"], "currency": "EUR", "line_items": [line]});
    let seen = async |token: &str| {
        let path = format!("/invoices/public/{token}");
        (world.anonymous().call(Method::GET, &path, None).await.0, page(&world, token).await.0)
    };
    let draft = world.owner.created("/invoices", body.clone()).await;
    let path = format!("/invoices/{}", text(&draft["id"]));
    let (status, problem) = world.owner.post(&format!("{path}/generate-token"), json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("invoice_not_final")));
    let before = planted(&world, &draft).await;
    assert_eq!(seen(&before).await, (404, 404));
    world.owner.changed(Method::POST, &format!("{path}/finalize"), json!({})).await;
    assert_eq!(seen(&before).await, (200, 200), "now it is final");
    let made = token(&world, &path).await;
    assert_eq!((seen(&before).await, seen(&made).await), ((404, 404), (200, 200)));

    let deleted = world.owner.created("/invoices", body).await;
    let before = planted(&world, &deleted).await;
    let path = format!("/invoices/{}", text(&deleted["id"]));
    assert_eq!(world.owner.call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(seen(&before).await, (404, 404));
}

#[tokio::test]
async fn bank_details_are_sealed_and_tokens_are_only_kept_as_hashes() {
    let (world, path) = open_invoice().await;
    let token = token(&world, &path).await;
    let me = world.owner.get("/auth/me").await;
    let organization = text(&me["organization"]["id"]).parse().unwrap();
    let store = &world.running.platform.store;
    let stored = format!("{:?}", store.get_organization(organization).await.unwrap());
    assert!(stored.contains("gAAAA") && !stored.contains("DE89"), "{stored}");
    let id = text(&world.owner.get(&path).await["id"]).parse().unwrap();
    let stored = format!("{:?}", store.get_invoice(organization, id).await.unwrap());
    assert!(stored.contains("public_token_hash: Some") && !stored.contains(&token), "{stored}");
    // Nor in the answer that is kept for a repeat.
    let request = || {
        let path = format!("{path}/generate-token");
        world.owner.request(Method::POST, &path).header("idempotency-key", "once").json(&json!({}))
    };
    let first: Value = request().send().await.unwrap().json().await.unwrap();
    let again: Value = request().send().await.unwrap().json().await.unwrap();
    assert_eq!(first, again);
    let hash = app::idempotency::request_hash(&format!("/api/v1{path}/generate-token"), b"{}");
    let now = world.running.platform.now();
    let kept = store.claim_idempotency_key(organization, "once", &hash, now).await.unwrap();
    let store::Claimed::Answered(kept) = kept else { panic!("{kept:?}") };
    let kept = String::from_utf8(kept.body).unwrap();
    assert!(kept.starts_with("gAAAA") && !kept.contains(text(&first["public_token"])), "{kept}");
    let cleared = world.settings(json!({"bank_details": null, "address": {}, "email": null})).await;
    assert_eq!((&cleared["bank_details"]["iban"], &cleared["email"]), (&Value::Null, &Value::Null));
    assert_eq!(cleared["address"]["country"], Value::Null);
}
