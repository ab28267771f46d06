//! What an invoice says of both parties: a draft follows them, and one that is final says what they were then.

use std::sync::{Arc, atomic::Ordering};

use app::{
    customers::{self, CustomerDetails},
    draft_invoices, invoices,
    settings::{self, SettingsChanges},
};
use chrono::{DateTime, Utc};
use domain::{
    customer::Address,
    id::{CustomerId, OrganizationId},
    invoice::{Invoice, PaymentDue},
    invoice_draft::ManualLine,
    property::Properties,
    tax::{TaxExemption, TaxRate},
};
use fluxrate_bench::rig::Rig;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use testkit::Line;

use crate::{
    billing_races::racing,
    client::{World, text},
};

/// Everything that shows an invoice to its customer.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    public: Value,
    page: String,
    pdf: Vec<u8>,
}

impl Shown {
    async fn of(world: &World, path: &str, token: &str) -> Self {
        let page = reqwest::get(format!("{}/p/{token}", world.owner.base())).await.unwrap();
        let public = world.anonymous().get(&format!("/invoices/public/{token}")).await;
        Self { public, page: page.text().await.unwrap(), pdf: pdf(world, path).await }
    }
}

async fn pdf(world: &World, path: &str) -> Vec<u8> {
    let answer = world.owner.request(Method::GET, &format!("{path}/pdf")).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/pdf");
    answer.bytes().await.unwrap().to_vec()
}

async fn token(world: &World, path: &str) -> String {
    let made = world.owner.changed(Method::POST, &format!("{path}/generate-token"), json!({})).await;
    text(&made["public_token"]).to_owned()
}

/// Kiritimati is on the next day from ten in the morning.
fn seller() -> Value {
    json!({"name": "North GmbH", "email": "hello@north.example", "tax_id": "DE999", "invoice_notes": "Pay in peace.",
        "address": {"line1": "Lindenstr. 12", "city": "Berlin", "country": "DE"}, "time_zone": "Pacific/Kiritimati",
        "tax_rates": [{"name": "VAT", "country": "DE", "rate": 19}]})
}

fn buyer() -> Value {
    json!({"name": "Acme Corp", "email": "billing@acme.example", "tax_id": "DE123", "billing_address_line1": "Ring 1",
        "billing_address_city": "Hamburg", "billing_address_country": "DE"})
}

/// A draft written by hand.
async fn draft(world: &World, customer: &Value) -> String {
    let line = json!({"description": "Work", "quantity": 8, "unit_amount": 150});
    let body = json!({"customer_id": customer["id"], "currency": "USD", "line_items": [line]});
    format!("/invoices/{}", text(&world.owner.created("/invoices", body).await["id"]))
}

/// Everything becomes another: names, addresses, tax ids, notes, and the day.
async fn change_both(world: &World, customer: &Value) {
    let moved = json!({"name": "Renamed Ltd", "email": "new@renamed.example", "tax_id": "FR777",
        "billing_address_line1": "Rue 2", "billing_address_city": "Lyon", "billing_address_country": "FR"});
    world.owner.changed(Method::PUT, &format!("/customers/{}", text(&customer["id"])), moved).await;
    world
        .settings(json!({"name": "South SA", "email": "hi@south.example", "tax_id": "PT1", "invoice_notes": "Hurry.",
            "address": {"line1": "Rua 3", "city": "Porto", "country": "PT"}, "time_zone": "America/Los_Angeles"}))
        .await;
}

async fn stored(world: &World, path: &str) -> (OrganizationId, Invoice) {
    let me = world.owner.get("/auth/me").await;
    let organization = text(&me["organization"]["id"]).parse().unwrap();
    let id = path.rsplit('/').next().unwrap().parse().unwrap();
    (organization, world.running.platform.store.get_invoice(organization, id).await.unwrap())
}

#[tokio::test]
async fn what_a_final_invoice_says_stays_whatever_its_parties_become() {
    let mut world = World::new().await;
    world.settings(seller()).await;
    let customer = world.owner.created("/customers", buyer()).await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30})]).await;
    world.subscribe(&customer, &plan).await;
    // A month of Kiritimati ends, and an hour of grace: the worker finalizes.
    world.advance_to("2025-02-01T12:30:00Z").await;
    world.drain().await;
    let billed = world.owner.get(&format!("/customers/{}/invoices", text(&customer["id"]))).await;
    let mut paths = vec![format!("/invoices/{}", text(&billed["data"][0]["id"]))];
    for (method, way, body) in [
        (Method::POST, "finalize", json!({})),
        (Method::PATCH, "status", json!({"status": "OPEN"})),
        (Method::POST, "send-email", json!({})),
    ] {
        let path = draft(&world, &customer).await;
        world.owner.changed(method, &format!("{path}/{way}"), body).await;
        paths.push(path);
    }
    world.drain().await;
    let still_draft = draft(&world, &customer).await;
    let draft_before = pdf(&world, &still_draft).await;

    let mut before = Vec::new();
    for path in paths {
        let token = token(&world, &path).await;
        let shown = Shown::of(&world, &path, &token).await;
        assert_eq!(shown.public["status"], "OPEN", "{path}");
        assert_eq!(shown.public["customer"]["tax_id"], "DE123");
        for part in ["Acme Corp", "Ring 1", "DE123", "North GmbH", "Lindenstr. 12", "DE999", "Pay in peace."]
        {
            assert!(shown.page.contains(part), "{part} is not on {path}");
        }
        before.push((path, token, shown));
    }
    assert!(before[1].2.page.contains("2 February 2025"), "it is the second in Kiritimati");

    change_both(&world, &customer).await;
    for (path, token, shown) in &before {
        let after = Shown::of(&world, path, token).await;
        assert_eq!(after.public, shown.public, "{path}");
        assert_eq!(after.page, shown.page, "{path}");
        assert!(after.pdf == shown.pdf, "the PDF of {path} changed");
    }
    assert_ne!(pdf(&world, &still_draft).await, draft_before, "a draft follows");

    // It is mailed to where the customer is now, and says what it said.
    let (path, token, _) = before.last().unwrap();
    world.advance_to("2025-02-01T12:31:00Z").await;
    world.owner.changed(Method::POST, &format!("{path}/send-email"), json!({})).await;
    world.drain().await;
    let mails = world.owner.get_local("outbox").await;
    let [_, first, again] = mails.as_array().unwrap().as_slice() else { panic!("{mails}") };
    assert_eq!((&again["to"], &again["subject"]), (&json!("new@renamed.example"), &first["subject"]));
    let mime = std::fs::read_to_string(text(&again["file"])).unwrap();
    let (head, letter) = mime.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Reply-To: hi@south.example"), "{head}");
    let letter = letter.replace("=\r\n", "");
    assert!(letter.contains("North GmbH") && !letter.contains("South SA"), "{letter}");

    // What becomes of it changes nothing of that, and what is final from now on says what is so now.
    world.owner.changed(Method::POST, &format!("{path}/pay"), json!({})).await;
    let paid = Shown::of(&world, path, token).await;
    assert!(
        paid.page.contains("Acme Corp") && paid.page.contains("Paid on 2 February 2025"),
        "{}",
        paid.page
    );
    world.owner.changed(Method::POST, &format!("{still_draft}/finalize"), json!({})).await;
    let later = Shown::of(&world, &still_draft, &self::token(&world, &still_draft).await).await;
    assert_eq!(
        (&later.public["customer"]["name"], &later.public["organization"]["name"], &later.public["notes"]),
        (&json!("Renamed Ltd"), &json!("South SA"), &json!("Hurry."))
    );
    assert_eq!(later.public["customer"]["tax_id"], "FR777");
    assert!(later.page.contains("1 February 2025"), "it is the first in Los Angeles");
}

#[tokio::test]
async fn parties_are_kept_sealed_and_those_of_an_invoice_without_them_are_as_they_are() {
    let world = World::new().await;
    world.settings(seller()).await;
    let customer = world.owner.created("/customers", buyer()).await;
    let path = draft(&world, &customer).await;
    assert_eq!(stored(&world, &path).await.1.parties, None);
    world.owner.changed(Method::POST, &format!("{path}/finalize"), json!({})).await;
    let (organization, invoice) = stored(&world, &path).await;
    let kept = format!("{:?}", invoice.parties);
    assert!(kept.contains("Acme Corp") && kept.contains("gAAAA") && !kept.contains("DE123"), "{kept}");

    // As one that was finalized before parties were kept.
    let platform = &world.running.platform;
    let change = platform.change(organization, "test");
    let before = Invoice { parties: None, ..invoice };
    platform.store.update_invoice(&change, "test", &before, &[]).await.unwrap();
    let token = token(&world, &path).await;
    change_both(&world, &customer).await;
    let shown = Shown::of(&world, &path, &token).await;
    assert_eq!(
        (&shown.public["customer"]["name"], &shown.public["organization"]["name"]),
        (&json!("Renamed Ltd"), &json!("South SA"))
    );
    assert_eq!(shown.public["customer"]["tax_id"], "FR777");
}

/// Moves a customer to another country.
async fn move_to(rig: &Rig, customer: CustomerId, country: &str) {
    let moved = |open: customers::OpenCustomer| CustomerDetails {
        name: open.customer.name,
        email: None,
        external_id: open.customer.external_id,
        phone: None,
        billing_address: Address { country: Some(country.into()), ..Address::default() },
        tax_id: None,
        tax_exemption: TaxExemption::None,
        metadata: Properties::new(),
    };
    customers::update(&rig.platform, &rig.actor(), customer, moved).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invoice_is_taxed_where_it_says_that_its_customer_is() {
    let rig =
        Rig::new("2025-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap(), Line::counting()).await.unwrap();
    let rig = Arc::new(rig);
    let (platform, actor) = (&rig.platform, &rig.actor());
    let percent = Decimal::from(19);
    let rate =
        TaxRate { name: "VAT".into(), country: "DE".into(), state: None, percent, replaces_country: false };
    let changes = SettingsChanges { tax_rates: Some(vec![rate]), ..SettingsChanges::default() };
    settings::update(platform, actor, changes).await.unwrap();
    let customer = rig.customer("acme").await.unwrap();
    let mut taxed = Vec::new();
    for n in 0.. {
        move_to(&rig, customer, "DE").await;
        let line =
            ManualLine { description: "Work".into(), quantity: Decimal::ONE, unit_price: Decimal::TEN };
        let new = draft_invoices::NewInvoice {
            customer,
            currency: "EUR".parse().unwrap(),
            lines: vec![line],
            payment_due: PaymentDue::AsSet,
            memo: None,
            metadata: Properties::new(),
        };
        let draft = draft_invoices::create(platform, actor, new).await.unwrap().id;
        // It moves to France right before the request of that number.
        let other = rig.clone();
        let (racing, sent) = racing(&rig, n, move || {
            let other = other.clone();
            async move { move_to(&other, customer, "FR").await }
        });
        let invoice = invoices::finalize_now(&racing.platform, actor, draft).await.unwrap();
        let is_taxed = !invoice.tax.lines.is_empty();
        let said = invoice.parties.unwrap().buyer.address.country;
        assert_eq!(said.as_deref(), Some(if is_taxed { "DE" } else { "FR" }), "before request {n}");
        taxed.push(is_taxed);
        if sent.load(Ordering::Relaxed) <= n {
            break;
        }
    }
    assert!(!taxed[0] && *taxed.last().unwrap(), "{taxed:?}");
}
