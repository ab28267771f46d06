//! Subscriptions that go over to another version of their plan's prices, and what that costs as previewed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, fields, text};

/// A plan at 30 and 5 a seat, of which a new version costs 60 and 7 a seat.
struct Priced {
    world: World,
    plan: Value,
    charges: Vec<Value>,
}

impl Priced {
    async fn new() -> Self {
        let world = World::new().await;
        let plan = world.plan(&[]).await;
        let mut priced = Self { world, plan, charges: Vec::new() };
        priced.add("Base", 30, 1).await;
        priced.add("Seats", 5, 2).await;
        priced
    }

    async fn add(&mut self, name: &str, price: u32, quantity: u32) {
        let body = json!({"type": "FIXED", "unit_price": price, "quantity": quantity, "display_name": name});
        let path = format!("/plans/{}/charges", text(&self.plan["id"]));
        self.charges.push(self.world.owner.created(&path, body).await);
    }

    async fn raise(&mut self) {
        for charge in self.charges.clone() {
            let path = format!("/plans/{}/charges/{}", text(&self.plan["id"]), text(&charge["id"]));
            self.world.owner.changed(Method::PATCH, &path, json!({"status": "INACTIVE"})).await;
        }
        self.add("Base", 60, 1).await;
        self.add("Seats", 7, 2).await;
    }

    async fn subscribed(&self, name: &str, fields: Value) -> String {
        let customer = json!({"name": name, "email": "a@example.com", "external_id": name});
        let customer = self.world.owner.created("/customers", customer).await;
        let mut body = json!({"customer_id": customer["id"], "plan_id": self.plan["id"],
            "start_date": "2025-01-01", "proration": {"unit": "day"}});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        text(&self.world.owner.created("/subscriptions", body).await["id"]).to_owned()
    }

    async fn act(&self, subscription: &str, action: &str, body: Value) -> Value {
        let path = format!("/subscriptions/{subscription}/{action}");
        self.world.owner.changed(Method::POST, &path, body).await
    }

    async fn migrate(&self, action: &str, body: Value) -> (u16, Value) {
        self.world.owner.post(&format!("/plans/{}/{action}", text(&self.plan["id"])), body).await
    }

    /// Each subscription with its verdict, and the totals of a preview.
    async fn shown(&self, action: &str, body: Value) -> String {
        let (status, answer) = self.migrate(action, body).await;
        assert_eq!(status, 200, "{answer}");
        let totals = |invoices: &Value| {
            let shown =
                |invoice: &Value| format!("{} {}", &text(&invoice["issue_date"])[..10], invoice["total"]);
            invoices.as_array().into_iter().flatten().map(shown).collect::<Vec<_>>().join(", ")
        };
        let mut shown = String::new();
        for row in answer["data"].as_array().unwrap() {
            let customer = self.world.owner.get(&format!("/customers/{}", text(&row["customer_id"]))).await;
            let at = row["effective_at"].as_str().map(|at| format!(" at {}", &at[..10])).unwrap_or_default();
            shown += &format!("{}: {}{at}\n", text(&customer["name"]), text(&row["verdict"]));
            if !row["current_invoices"].is_null() {
                shown += &format!("  now {}\n", totals(&row["current_invoices"]));
                shown += &format!("  then {}\n", totals(&row["migrated_invoices"]));
            }
        }
        shown
    }

    async fn get(&self, subscription: &str) -> Value {
        self.world.owner.get(&format!("/subscriptions/{subscription}")).await
    }

    /// What was invoiced to one subscription, oldest first.
    async fn invoiced(&self, subscription: &str) -> Vec<String> {
        let list = self.world.owner.get(&format!("/subscriptions/{subscription}/invoices")).await;
        list["data"].as_array().unwrap().iter().rev().map(|invoice| invoice["total"].to_string()).collect()
    }
}

#[tokio::test]
async fn a_migration_is_billed_as_previewed_and_is_done_once() {
    let mut priced = Priced::new().await;
    let acme = priced.subscribed("acme", json!({})).await;
    let paused = priced.subscribed("paused", json!({})).await;
    let leaving = priced.subscribed("leaving", json!({})).await;
    let gone = priced.subscribed("gone", json!({})).await;
    let more = priced.subscribed("more", json!({})).await;
    let own = json!([{"charge_id": priced.charges[1]["id"], "quantity": 10}]);
    let seats = priced.subscribed("seats", json!({"overrides": own})).await;
    priced.raise().await;
    let new = priced.subscribed("new", json!({})).await;
    priced.world.advance_to("2025-01-11T00:00:00Z").await;
    priced.act(&paused, "pause", json!({})).await;
    priced.act(&leaving, "cancel", json!({"cancel_at_period_end": true})).await;
    priced.act(&gone, "cancel", json!({})).await;
    let later = json!({"quantity": 5, "charge_id": priced.charges[1]["id"], "at_period_end": true});
    priced.act(&more, "change-quantity", later).await;
    let before = priced.get(&acme).await;
    assert_eq!((&before["price_version"], &priced.get(&new).await["price_version"]), (&json!(3), &json!(7)));

    let preview = priced.shown("migrate/preview", json!({})).await;
    insta::assert_snapshot!(preview, @"
    acme: migrated at 2025-02-01
      now 2025-02-01 40.00, 2025-03-01 40.00
      then 2025-02-01 40.00, 2025-03-01 74.00
    paused: migrated at 2025-02-01
      now 2025-02-01 12.91
      then 2025-02-01 12.91
    leaving: pending_change
    more: pending_change
    seats: migrated at 2025-02-01
      now 2025-02-01 80.00, 2025-03-01 80.00
      then 2025-02-01 80.00, 2025-03-01 130.00
    new: already_on_version
    ");
    assert_eq!(priced.shown("migrate", json!({"preview": true})).await, preview);
    insta::assert_snapshot!(priced.shown("migrate/preview", json!({"when": "now", "from_version": 3})).await, @"
    acme: migrated at 2025-01-11
      now 2025-02-01 40.00, 2025-03-01 40.00
      then 2025-02-01 63.04, 2025-03-01 74.00
    paused: migrated at 2025-01-11
      now 2025-02-01 12.91
      then 2025-02-01 12.91
    leaving: migrated at 2025-01-11
      now 2025-02-01 40.00
      then 2025-02-01 63.04
    more: pending_change
    seats: migrated at 2025-01-11
      now 2025-02-01 80.00, 2025-03-01 80.00
      then 2025-02-01 113.88, 2025-03-01 130.00
    new: already_on_version
    ");
    assert_eq!(priced.get(&acme).await, before, "nothing is stored");

    insta::assert_snapshot!(priced.shown("migrate", json!({})).await, @"
    acme: migrated at 2025-02-01
    paused: migrated at 2025-02-01
    leaving: pending_change
    more: pending_change
    seats: migrated at 2025-02-01
    new: already_on_version
    ");
    let decided = priced.get(&acme).await;
    insta::assert_snapshot!(priced.shown("migrate", json!({})).await, @"
    acme: already_on_version
    paused: already_on_version
    leaving: pending_change
    more: pending_change
    seats: already_on_version
    new: already_on_version
    ");
    assert_eq!(priced.get(&acme).await, decided, "done once");
    assert_eq!(priced.get(&acme).await["price_version"], 3, "until the period ends");
    let ids = json!([gone, acme]);
    insta::assert_snapshot!(priced.shown("migrate", json!({"subscription_ids": ids, "to_version": 5})).await, @"
    gone: canceled
    acme: migrated at 2025-02-01
    ");
    insta::assert_snapshot!(priced.shown("migrate", json!({"subscription_ids": ids})).await, @"
    gone: canceled
    acme: migrated at 2025-02-01
    ");

    priced.world.advance_to("2025-03-02T00:00:00Z").await;
    assert_eq!(priced.get(&acme).await["price_version"], 7);
    for (subscription, expected) in [
        (&acme, vec!["40.00", "74.00"]),
        (&seats, vec!["80.00", "130.00"]),
        (&leaving, vec!["40.00"]),
        (&more, vec!["40.00", "55.00"]),
        (&new, vec!["74.00", "74.00"]),
    ] {
        assert_eq!(priced.invoiced(subscription).await, expected);
    }
    priced.act(&paused, "resume", json!({})).await;
    assert_eq!(priced.get(&paused).await["price_version"], 7);
}

#[tokio::test]
async fn a_migration_at_once_splits_the_period() {
    let mut priced = Priced::new().await;
    let acme = priced.subscribed("acme", json!({})).await;
    let full = priced.subscribed("full", json!({"proration": {"mode": "full"}})).await;
    let trial = priced.subscribed("trial", json!({"trial_end_date": "2025-01-21"})).await;
    priced.raise().await;
    priced.world.advance_to("2025-01-11T00:00:00Z").await;
    let asked = json!({"when": "now"});
    let preview = priced.shown("migrate/preview", asked.clone()).await;
    insta::assert_snapshot!(preview, @"
    acme: migrated at 2025-01-11
      now 2025-02-01 40.00, 2025-03-01 40.00
      then 2025-02-01 63.04, 2025-03-01 74.00
    full: migrated at 2025-01-11
      now 2025-02-01 40.00, 2025-03-01 40.00
      then 2025-02-01 74.00, 2025-03-01 74.00
    trial: migrated at 2025-01-11
      now 2025-02-21 40.00, 2025-03-21 40.00
      then 2025-02-21 74.00, 2025-03-21 74.00
    ");
    let (_, rows) =
        priced.migrate("migrate/preview", json!({"when": "now", "subscription_ids": [acme]})).await;
    let invoice = &rows["data"][0]["migrated_invoices"][0];
    let line = |line: &Value| {
        format!("{} {} {}", text(&line["description"]), line["amount"], line["proration"]["part"])
    };
    let lines = invoice["lines"].as_array().unwrap().iter().map(line).collect::<Vec<_>>();
    insta::assert_snapshot!(lines.join("\n"), @"
    Base 9.68 10
    Seats 3.23 10
    Base 40.65 21
    Seats 9.48 21
    ");
    priced.shown("migrate", asked).await;
    assert_eq!(priced.get(&acme).await["price_version"], 7);
    priced.world.advance_to("2025-02-22T00:00:00Z").await;
    for subscription in [&acme, &full, &trial] {
        let total = &priced.invoiced(subscription).await[0];
        assert!(preview.contains(&format!(" {total}")), "{total} was not previewed:\n{preview}");
    }
}

#[tokio::test]
async fn a_migration_is_settled_as_chosen() {
    let mut priced = Priced::new().await;
    let acme = priced.subscribed("acme", json!({})).await;
    let full = priced.subscribed("full", json!({"proration": {"mode": "full"}})).await;
    priced.raise().await;
    priced.world.advance_to("2025-01-11T00:00:00Z").await;
    let asked = |proration: Value| json!({"when": "now", "proration": proration});
    insta::assert_snapshot!(priced.shown("migrate/preview", asked(json!({"mode": "full"}))).await, @"
    acme: migrated at 2025-01-11
      now 2025-02-01 40.00, 2025-03-01 40.00
      then 2025-02-01 74.00, 2025-03-01 74.00
    full: migrated at 2025-01-11
      now 2025-02-01 40.00, 2025-03-01 40.00
      then 2025-02-01 74.00, 2025-03-01 74.00
    ");
    let none = asked(json!({"mode": "none"}));
    let preview = priced.shown("migrate/preview", none.clone()).await;
    insta::assert_snapshot!(preview, @"
    acme: migrated at 2025-01-11
      now 2025-02-01 40.00, 2025-03-01 40.00
      then 2025-02-01 40.00, 2025-03-01 74.00
    full: migrated at 2025-01-11
      now 2025-02-01 40.00, 2025-03-01 40.00
      then 2025-02-01 40.00, 2025-03-01 74.00
    ");
    let (_, answer) = priced.migrate("migrate", none).await;
    for (row, unit) in answer["data"].as_array().unwrap().iter().zip(["day", "second"]) {
        assert_eq!(row["proration"], json!({"unit": unit, "mode": "none"}), "the unit is each one's own");
    }
    assert_eq!(priced.get(&full).await["proration"]["mode"], "full", "its own policy stays");
    priced.world.advance_to("2025-03-02T00:00:00Z").await;
    for subscription in [&acme, &full] {
        assert_eq!(priced.invoiced(subscription).await, ["40.00", "74.00"]);
    }
}

#[tokio::test]
async fn a_migration_goes_page_by_page() {
    let mut priced = Priced::new().await;
    for name in ["a", "b", "c"] {
        priced.subscribed(name, json!({})).await;
    }
    priced.raise().await;
    let mut cursor = Value::Null;
    let mut pages = Vec::new();
    loop {
        let (status, answer) = priced.migrate("migrate", json!({"page_size": 2, "cursor": cursor})).await;
        assert_eq!((status, &answer["meta"]["page_size"]), (200, &json!(2)));
        pages.push(answer["data"].as_array().unwrap().len());
        cursor = answer["meta"]["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(pages, [2, 1]);
    let (_, answer) = priced.migrate("migrate", json!({})).await;
    let verdicts = answer["data"].as_array().unwrap().iter().map(|row| text(&row["verdict"]));
    assert_eq!(verdicts.collect::<Vec<_>>(), ["already_on_version"; 3]);
}

#[tokio::test]
async fn what_cannot_be_migrated_is_named() {
    let priced = Priced::new().await;
    let acme = priced.subscribed("acme", json!({})).await;
    let nobody = json!("00000000-0000-7000-8000-000000000000");
    let many = vec![nobody.clone(); 101];
    for (body, field) in [
        (json!({"to_version": 4}), "to_version"),
        (json!({"to_version": 0}), "to_version"),
        (json!({"from_version": 9}), "from_version"),
        (json!({"when": "soon"}), "when"),
        (json!({"page_size": 101}), "page_size"),
        (json!({"cursor": "x"}), "cursor"),
        (json!({"subscription_ids": []}), "subscription_ids"),
        (json!({"subscription_ids": many}), "subscription_ids"),
        (json!({"subscription_ids": ["x"]}), "subscription_ids[0]"),
        (json!({"subscription_ids": [acme, acme]}), "subscription_ids[1]"),
        (json!({"subscription_ids": [acme, nobody]}), "subscription_ids[1]"),
        (json!({"version": 3}), "version"),
        (json!({"proration": {"mode": "half"}}), "proration.mode"),
    ] {
        for action in ["migrate", "migrate/preview"] {
            let (status, answer) = priced.migrate(action, body.clone()).await;
            assert_eq!((status, fields(&answer)), (422, vec![field]), "{action} {body}: {answer}");
        }
    }
    let body = json!({"name": "Other", "type": "FIXED", "billing_interval": "month", "currency": "USD"});
    let other = priced.world.owner.created("/plans", body).await;
    let body = json!({"subscription_ids": [acme]});
    let (_, answer) = priced.world.owner.post(&format!("/plans/{}/migrate", text(&other["id"])), body).await;
    assert_eq!(answer["data"][0]["verdict"], "not_on_plan");
    let reader = priced.world.owner.with_key(&["billing.read"]).await;
    let path = format!("/plans/{}/migrate", text(&priced.plan["id"]));
    assert_eq!(reader.post(&path, json!({})).await.0, 403);
    assert_eq!(reader.post(&format!("{path}/preview"), json!({})).await.0, 200);
}
