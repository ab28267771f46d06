//! Credit: given by invoices of less than nothing, taken by the next, given back by what is voided, once each.

use std::sync::{Arc, atomic::Ordering};

use app::{
    Platform, customers, draft_invoices,
    invoices::{self, Move, Note},
};
use chrono::{DateTime, Utc};
use domain::{
    customer::Address,
    id::{CustomerId, InvoiceId},
    invoice::{Invoice, InvoiceStatus, PaymentDue},
    invoice_draft::ManualLine,
};
use fluxrate_bench::rig::Rig;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use testkit::Line;

use crate::{
    billing_races::racing,
    client::{World, figures, text},
};

/// A customer with USD 24.99 to its credit: 21 of a month paid in advance, and 19 % VAT.
struct Credited {
    world: World,
    customer: Value,
    path: String,
}

impl Credited {
    async fn new(settings: Value) -> Self {
        let mut world = World::new().await;
        let rates = json!([{"name": "VAT", "country": "DE", "rate": 19}]);
        world.settings(json!({"tax_rates": rates, "payment_terms_days": 10})).await;
        world.settings(settings).await;
        let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 31, "in_advance": true})]).await;
        let customer = world.customer_in("DE", "", json!({})).await;
        let subscription = world.subscribe(&customer, &plan).await;
        world.advance_to("2025-01-11T00:00:00Z").await;
        let cancel = format!("/subscriptions/{}/cancel", text(&subscription["id"]));
        world.owner.changed(Method::POST, &cancel, json!({})).await;
        let path = format!("/customers/{}", text(&customer["id"]));
        Self { world, customer, path }
    }

    async fn balances(&self) -> String {
        let balances = self.world.owner.get(&self.path).await["credit_balances"].clone();
        let shown = |one: &Value| format!("{} {}", text(&one["currency"]), one["amount"]);
        balances.as_array().unwrap().iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    /// A draft by hand of one line of this price.
    async fn draft(&self, price: u32, currency: &str) -> Value {
        let line = json!({"description": "Work", "quantity": 1, "unit_amount": price});
        let body = json!({"customer_id": self.customer["id"], "currency": currency, "line_items": [line]});
        self.world.owner.created("/invoices", body).await
    }

    async fn finalized(&self, draft: &Value) -> Value {
        let path = format!("/invoices/{}/finalize", text(&draft["id"]));
        self.world.owner.call(Method::POST, &path, None).await.1
    }

    async fn moved(&self, invoice: &Value, status: &str) -> Value {
        let path = format!("/invoices/{}/status", text(&invoice["id"]));
        self.world.owner.changed(Method::PATCH, &path, json!({"status": status})).await
    }
}

/// What is taken off, what is left to pay, and the status.
fn settled(invoice: &Value) -> String {
    format!("{} {} {}", invoice["credits_applied"], invoice["amount_due"], text(&invoice["status"]))
}

#[tokio::test]
async fn credit_is_taken_off_the_next_invoices() {
    let mut of = Credited::new(json!({})).await;
    assert_eq!(of.balances().await, "", "the credit is a draft still");
    of.world.advance_to("2025-01-11T02:00:00Z").await;
    assert_eq!(of.balances().await, "USD 24.99");
    let credit = of.world.owner.get("/invoices").await["data"][0].clone();
    assert_eq!(
        (figures(&credit), settled(&credit)),
        ("-21.00 -3.99 -24.99 0.00".into(), "0.00 0.00 PAID".into())
    );

    let euros = of.draft(10, "EUR").await;
    assert_eq!(settled(&of.finalized(&euros).await), "0.00 11.90 OPEN", "of another currency");
    let small = of.draft(10, "USD").await;
    assert_eq!(settled(&small), "11.90 0.00 DRAFT", "a draft shows what it would take");
    assert_eq!(of.balances().await, "USD 24.99", "and takes nothing");
    let small = of.finalized(&small).await;
    assert_eq!(
        (settled(&small), figures(&small)),
        ("11.90 0.00 PAID".into(), "10.00 1.90 11.90 0.00".into())
    );
    assert_eq!((small["amount_paid"].to_string(), of.balances().await), ("0.00".into(), "USD 13.09".into()));
    let large = of.draft(100, "USD").await;
    let large = of.finalized(&large).await;
    assert_eq!((settled(&large), of.balances().await), ("13.09 105.91 OPEN".into(), String::new()));
    of.world.drain().await;
    let told = of.world.told_by("invoice.finalized");
    let told = &told.iter().find(|told| told["data"]["invoice_id"] == large["id"]).unwrap()["data"];
    assert_eq!(
        (told["total"].to_string(), told["amount_due"].to_string()),
        ("119.00".into(), "105.91".into())
    );

    // As its customer sees it.
    let path = format!("/invoices/{}", text(&large["id"]));
    let token = of.world.owner.changed(Method::POST, &format!("{path}/generate-token"), json!({})).await;
    let token = text(&token["public_token"]);
    let public = of.world.owner.get(&format!("/invoices/public/{token}")).await;
    assert_eq!(settled(&public), "13.09 105.91 OPEN");
    let page =
        reqwest::get(format!("{}/p/{token}", of.world.owner.base())).await.unwrap().text().await.unwrap();
    for words in ["Credit applied", "−13.09", "105.91"] {
        assert!(page.contains(words), "{words} in {page}");
    }
    assert_eq!(of.world.owner.call(Method::GET, &format!("{path}/pdf"), None).await.0, 200);
    let paid = of.moved(&large, "PAID").await;
    assert_eq!(
        (settled(&paid), paid["amount_paid"].to_string()),
        ("13.09 0.00 PAID".into(), "105.91".into())
    );
}

#[tokio::test]
async fn what_is_voided_gives_its_credit_back_once() {
    let mut of = Credited::new(json!({})).await;
    of.world.advance_to("2025-01-11T02:00:00Z").await;
    let draft = of.draft(100, "USD").await;
    assert_eq!(settled(&of.moved(&draft, "VOID").await), "0.00 0.00 VOID");
    assert_eq!(of.balances().await, "USD 24.99", "a draft has taken nothing");
    let draft = of.draft(100, "USD").await;
    let open = of.finalized(&draft).await;
    assert_eq!((settled(&open), of.balances().await), ("24.99 94.01 OPEN".into(), String::new()));
    of.moved(&open, "UNCOLLECTIBLE").await;
    assert_eq!(of.balances().await, "", "it is owed still");
    assert_eq!(settled(&of.moved(&open, "VOID").await), "0.00 0.00 VOID");
    assert_eq!(of.balances().await, "USD 24.99");
    let path = format!("/invoices/{}/status", text(&open["id"]));
    assert_eq!(of.world.owner.call(Method::PATCH, &path, Some(json!({"status": "VOID"}))).await.0, 409);
    assert_eq!(of.balances().await, "USD 24.99", "once");
    let renamed = json!({"name": "Acme AG", "billing_address_country": "DE"});
    of.world.owner.changed(Method::PUT, &of.path, renamed).await;
    assert_eq!(of.balances().await, "USD 24.99", "whatever else changes of a customer");
}

#[tokio::test]
async fn bills_of_subscriptions_take_it_and_previews_show_it() {
    let mut of = Credited::new(json!({"zero_invoices": "skip"})).await;
    of.world.advance_to("2025-01-11T02:00:00Z").await;
    let body = json!({"name": "Small", "type": "FIXED", "billing_interval": "month", "currency": "USD"});
    let plan = of.world.owner.created("/plans", body).await;
    let charge = json!({"type": "FIXED", "unit_price": 10, "display_name": "Base"});
    of.world.owner.created(&format!("/plans/{}/charges", text(&plan["id"])), charge).await;
    let body = json!({"customer_id": of.customer["id"], "plan_id": plan["id"], "start_date": "2025-01-11", "periods": 3});
    let preview = of.world.owner.post("/subscriptions/preview", body).await.1;
    let shown = |invoices: &Value| {
        let show = |one: &Value| format!("{} {}", one["credits_applied"], one["amount_due"]);
        invoices.as_array().unwrap().iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(
        shown(&preview["invoices"]),
        ["11.90 0.00", "11.90 0.00", "1.19 10.71"],
        "one after the other"
    );
    let body = json!({"customer_id": of.customer["id"], "plan_id": plan["id"], "start_date": "2025-01-11"});
    let subscription = of.world.owner.created("/subscriptions", body).await;
    let path = format!("/subscriptions/{}/preview-invoice", text(&subscription["id"]));
    let next = of.world.owner.call(Method::POST, &path, None).await.1;
    assert_eq!(shown(&json!([next])), ["11.90 0.00"]);

    of.world.advance_to("2025-02-11T00:10:00Z").await;
    let draft = of.world.owner.get("/invoices?status=DRAFT").await["data"][0].clone();
    assert_eq!(settled(&draft), "11.90 0.00 DRAFT");
    of.world.advance_to("2025-04-11T02:00:00Z").await;
    let invoices = of.world.owner.get("/invoices").await["data"].clone();
    let settled = invoices.as_array().unwrap().iter().take(3).map(settled).collect::<Vec<_>>();
    assert_eq!(
        settled,
        ["1.19 10.71 OPEN", "11.90 0.00 PAID", "11.90 0.00 PAID"],
        "nothing to pay is not nothing"
    );
    assert_eq!(of.balances().await, "");
}

/// A customer with EUR 10 to its credit, on tables that two work on.
struct Shared {
    rig: Arc<Rig>,
    customer: CustomerId,
}

impl Shared {
    async fn new() -> Self {
        let rig = Rig::new("2025-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap(), Line::counting())
            .await
            .unwrap();
        let details = customers::CustomerDetails {
            name: "Acme".into(),
            email: None,
            external_id: None,
            phone: None,
            billing_address: Address { country: Some("DE".into()), ..Address::default() },
            tax_id: None,
            tax_exemption: Default::default(),
            metadata: Default::default(),
        };
        let customer = customers::create(&rig.platform, &rig.actor(), details).await.unwrap().customer.id;
        let this = Self { rig: Arc::new(rig), customer };
        let credit = this.draft(-10).await;
        this.finalize(&this.rig.platform, credit).await.unwrap();
        this
    }

    async fn draft(&self, price: i64) -> InvoiceId {
        let line =
            ManualLine { description: "Work".into(), quantity: Decimal::ONE, unit_price: price.into() };
        let new = draft_invoices::NewInvoice {
            customer: self.customer,
            currency: "EUR".parse().unwrap(),
            lines: vec![line],
            payment_due: PaymentDue::AsSet,
            memo: None,
            metadata: Default::default(),
        };
        draft_invoices::create(&self.rig.platform, &self.rig.actor(), new).await.unwrap().id
    }

    async fn finalize(&self, platform: &Platform, id: InvoiceId) -> Result<Invoice, app::AppError> {
        invoices::finalize_now(platform, &self.rig.actor(), id).await
    }

    async fn void(&self, platform: &Platform, id: InvoiceId) -> Result<Invoice, app::AppError> {
        invoices::move_to(platform, &self.rig.actor(), id, Move::Void, &Note(None)).await
    }

    async fn balance(&self) -> Decimal {
        let store = &self.rig.platform.store;
        let customer = store.get_customer(self.rig.organization, self.customer).await.unwrap();
        customer.credits.of("EUR".parse().unwrap()).amount()
    }

    /// What the invoices that stand have taken and given: with the balance it is nothing.
    async fn taken(&self) -> Decimal {
        let store = &self.rig.platform.store;
        let invoices = store.list_invoices_of(self.rig.organization, self.customer).await.unwrap();
        let of = |invoice: &Invoice| match invoice.status {
            InvoiceStatus::Draft { .. } | InvoiceStatus::Void { .. } => Decimal::ZERO,
            InvoiceStatus::Open | InvoiceStatus::Paid { .. } | InvoiceStatus::Uncollectible { .. } => {
                invoice.credits_applied.amount() + invoice.total().unwrap().amount().min(Decimal::ZERO)
            }
        };
        invoices.iter().map(of).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_are_finalized_at_once_each_takes_what_the_other_left() {
    let shared = Arc::new(Shared::new().await);
    let mut firsts = Vec::new();
    for n in 0.. {
        let (first, second) = (shared.draft(8).await, shared.draft(7).await);
        let other = shared.clone();
        let (racing, sent) = racing(&shared.rig, n, move || {
            let other = other.clone();
            async move { _ = other.finalize(&other.rig.platform, second).await.unwrap() }
        });
        let first = shared.finalize(&racing.platform, first).await.unwrap();
        let is_over = sent.load(Ordering::Relaxed) <= n;
        if is_over {
            shared.finalize(&shared.rig.platform, second).await.unwrap();
        }
        assert_eq!(shared.taken().await + shared.balance().await, Decimal::ZERO, "before request {n}");
        assert_eq!(shared.balance().await, Decimal::ZERO, "both together are more than there is");
        firsts.push(first.credits_applied.amount() == Decimal::from(8));
        if is_over {
            break;
        }
        let credit = shared.draft(-10).await;
        shared.finalize(&shared.rig.platform, credit).await.unwrap();
    }
    assert!(!firsts[0] && *firsts.last().unwrap() && firsts.len() > 4, "{firsts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credit_that_comes_back_meanwhile_is_not_lost() {
    let shared = Arc::new(Shared::new().await);
    for n in 0.. {
        // All 10 are taken, and come back while another invoice of 20 is finalized.
        let taken = shared.draft(12).await;
        shared.finalize(&shared.rig.platform, taken).await.unwrap();
        let open = shared.draft(20).await;
        let other = shared.clone();
        let (racing, sent) = racing(&shared.rig, n, move || {
            let other = other.clone();
            async move { _ = other.void(&other.rig.platform, taken).await.unwrap() }
        });
        shared.finalize(&racing.platform, open).await.unwrap();
        let is_over = sent.load(Ordering::Relaxed) <= n;
        if is_over {
            shared.void(&shared.rig.platform, taken).await.unwrap();
        }
        assert_eq!(shared.taken().await + shared.balance().await, Decimal::ZERO, "before request {n}");
        shared.void(&shared.rig.platform, open).await.unwrap();
        assert_eq!(shared.balance().await, Decimal::TEN, "before request {n}");
        if is_over {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_while_other_credit_comes_back_is_not_lost() {
    let shared = Arc::new(Shared::new().await);
    for n in 0.. {
        // All 10 are taken, and come back while another 10 are given.
        let open = shared.draft(12).await;
        shared.finalize(&shared.rig.platform, open).await.unwrap();
        let credit = shared.draft(-10).await;
        let other = shared.clone();
        let (racing, sent) = racing(&shared.rig, n, move || {
            let other = other.clone();
            async move { _ = other.finalize(&other.rig.platform, credit).await.unwrap() }
        });
        shared.void(&racing.platform, open).await.unwrap();
        let is_over = sent.load(Ordering::Relaxed) <= n;
        if is_over {
            shared.finalize(&shared.rig.platform, credit).await.unwrap();
        }
        assert_eq!(shared.balance().await, Decimal::from(20), "before request {n}");
        if is_over {
            break;
        }
        let all = shared.draft(10).await;
        shared.finalize(&shared.rig.platform, all).await.unwrap();
    }
}
