//! Changes that are settled in a way of their own, whatever the subscription's policy is: previewed and billed
//! alike, and again as first billed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, fields, text};

/// A subscription to a plan at 31 in advance and 62 at the end, that stands at 11 January.
struct Subscribed {
    world: World,
    path: String,
    plan: Value,
    base: Value,
}

impl Subscribed {
    async fn new(policy: Value) -> Self {
        let mut world = World::new().await;
        let plan = world
            .plan(&[
                json!({"type": "FIXED", "unit_price": 31, "display_name": "Base", "in_advance": true}),
                json!({"type": "FIXED", "unit_price": 62, "display_name": "Support"}),
            ])
            .await;
        let plan = world.owner.get(&format!("/plans/{}", text(&plan["id"]))).await;
        let customer = world.customer().await;
        let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01",
            "proration": policy});
        let subscription = world.owner.created("/subscriptions", body).await;
        world.advance_to("2025-01-11T00:00:00Z").await;
        let path = format!("/subscriptions/{}", text(&subscription["id"]));
        Self { world, path, base: plan["charges"][0]["id"].clone(), plan }
    }

    async fn act(&self, action: &str, body: Value) -> Value {
        self.world.owner.changed(Method::POST, &format!("{}/{action}", self.path), body).await
    }

    /// The lines of the newest invoice, as computed now.
    async fn newest(&self) -> String {
        let list = self.world.owner.get("/invoices").await;
        let path = format!("/invoices/{}", text(&list["data"][0]["id"]));
        shown(&self.world.owner.get(&path).await, "line_items", "line_total")
    }
}

fn shown(invoice: &Value, lines: &str, amount: &str) -> String {
    let lines = invoice[lines].as_array().unwrap().iter();
    lines
        .map(|line| format!("{} {}", text(&line["description"]), line[amount]))
        .collect::<Vec<_>>()
        .join(", ")
}

const BY_DAY: fn(&str) -> Value = |mode| json!({"unit": "day", "mode": mode});

#[tokio::test]
async fn an_end_at_once_costs_what_is_chosen() {
    for (policy, chosen, expected) in [
        ("prorate", json!({"mode": "none"}), None),
        ("prorate", json!({"mode": "full"}), Some("Support 62.00")),
        ("none", json!({"mode": "prorate"}), Some("Support 20.00, Unused time on Base -21.00")),
        (
            "full",
            json!({"unit": "second", "mode": "prorate"}),
            Some("Support 20.00, Unused time on Base -21.00"),
        ),
        ("none", json!({"unit": "day"}), None),
        ("none", Value::Null, None),
    ] {
        let subscribed = Subscribed::new(BY_DAY(policy)).await;
        let asked = json!({"cancel": true, "proration": chosen});
        let preview = subscribed.act("preview-change", asked).await;
        let next = preview["invoices"].as_array().unwrap().first();
        let next = next.map(|invoice| shown(invoice, "lines", "amount"));
        assert_eq!(next.as_deref(), expected, "{policy} {chosen}");
        if let Some(mode) = chosen["mode"].as_str() {
            assert_eq!(preview["proration"]["mode"], mode);
        }
        let canceled = subscribed.act("cancel", json!({"proration": chosen})).await;
        assert_eq!(
            (&canceled["status"], &canceled["proration"]["mode"]),
            (&json!("CANCELED"), &json!(policy)),
            "the subscription's own policy stays"
        );
        let Some(expected) = expected else {
            assert_eq!(
                subscribed.world.owner.get("/invoices").await["meta"]["total"],
                1,
                "{policy} {chosen}"
            );
            continue;
        };
        assert_eq!(subscribed.newest().await, expected, "{policy} {chosen}");
        let draft = subscribed.world.owner.get("/invoices").await["data"][0].clone();
        assert_eq!(draft["status"], "DRAFT");
        let path = format!("/invoices/{}/recompute", text(&draft["id"]));
        let again = subscribed.world.owner.changed(Method::POST, &path, json!({})).await;
        assert_eq!(shown(&again, "line_items", "line_total"), expected, "rated again");
    }
}

#[tokio::test]
async fn every_change_costs_what_is_chosen() {
    let mut subscribed = Subscribed::new(BY_DAY("prorate")).await;
    let two = json!({"quantity": 2, "charge_id": subscribed.base, "proration": {"mode": "none"}});
    let preview = subscribed.act("preview-change", two.clone()).await;
    let expected = "Support 62.00, Base 62.00";
    assert_eq!(shown(&preview["invoices"][0], "lines", "amount"), expected);
    assert_eq!(preview["invoices"][0]["proration"], BY_DAY("none"));
    assert_eq!(preview["invoices"][1]["proration"], BY_DAY("prorate"), "nothing changes in that period");
    subscribed.act("change-quantity", two).await;
    let next = subscribed.act("preview-invoice", json!({})).await;
    assert_eq!((shown(&next, "lines", "amount"), &next["proration"]), (expected.into(), &BY_DAY("none")));

    // What is given back now is the one that was paid, not the two that were never charged.
    subscribed.world.advance_to("2025-01-22T00:00:00Z").await;
    let other = json!({"name": "Max", "type": "HYBRID", "billing_interval": "month", "currency": "USD"});
    let other = subscribed.world.owner.created("/plans", other).await;
    let charge = json!({"type": "FIXED", "unit_price": 93, "display_name": "Max", "in_advance": true});
    subscribed.world.owner.created(&format!("/plans/{}/charges", text(&other["id"])), charge).await;
    let change = json!({"plan_id": other["id"], "proration": {"mode": "full"}});
    let full = subscribed.act("preview-change", change).await;
    assert_eq!(
        shown(&full["invoices"][0], "lines", "amount"),
        "Unused time on Base -31.00, Remaining time on Max 93.00, Max 93.00"
    );
    subscribed.act("change-plan", json!({"plan_id": other["id"]})).await;
    let expected = "Support 42.00, Unused time on Base -10.00, Remaining time on Max 30.00, Max 93.00";
    subscribed.world.advance_to("2025-02-01T00:10:00Z").await;
    assert_eq!(subscribed.newest().await, expected);
    subscribed.world.advance_to("2025-02-01T02:00:00Z").await;
    assert_eq!(subscribed.newest().await, expected, "as it was finalized");
}

#[tokio::test]
async fn a_pause_and_its_end_cost_what_is_chosen() {
    for (policy, pause, resume, expected) in [
        ("prorate", json!({"mode": "full"}), json!({"mode": "none"}), "Support 62.00, Base 31.00"),
        (
            "none",
            json!({"mode": "prorate"}),
            json!({"mode": "full"}),
            "Support 62.00, Unused time on Base -21.00, Remaining time on Base 21.00, Base 31.00",
        ),
        (
            "full",
            json!({"mode": "prorate"}),
            json!({"mode": "prorate"}),
            "Support 20.00, Support 20.00, Unused time on Base -21.00, Remaining time on Base 10.00, Base 31.00",
        ),
        ("none", Value::Null, json!({"unit": "second"}), "Support 62.00, Base 31.00"),
    ] {
        let mut subscribed = Subscribed::new(BY_DAY(policy)).await;
        let changes = json!([{"at": "2025-01-11", "pause": true, "proration": pause},
            {"at": "2025-01-22", "resume": true, "proration": resume}]);
        let body = json!({"plan_id": subscribed.plan["id"], "start_date": "2025-01-01", "periods": 2,
            "changes": changes, "proration": BY_DAY(policy)});
        let preview = subscribed.world.owner.changed(Method::POST, "/subscriptions/preview", body).await;
        assert_eq!(shown(&preview["invoices"][1], "lines", "amount"), expected, "{policy} {pause} {resume}");

        let asked = json!({"pause": true, "proration": pause});
        let asked = subscribed.act("preview-change", asked).await;
        assert_eq!(asked["proration"]["mode"], *pause.get("mode").unwrap_or(&json!(policy)));
        subscribed.act("pause", json!({"proration": pause})).await;
        let next = subscribed.act("preview-invoice", json!({})).await;
        assert_eq!(next["lines"], asked["invoices"][0]["lines"], "{policy} {pause}");
        subscribed.world.advance_to("2025-01-22T00:00:00Z").await;
        let asked = json!({"resume": true, "proration": resume});
        let asked = subscribed.act("preview-change", asked).await;
        assert_eq!(shown(&asked["invoices"][0], "lines", "amount"), expected, "{policy} {pause} {resume}");
        subscribed.act("resume", json!({"proration": resume})).await;
        subscribed.world.advance_to("2025-02-01T00:10:00Z").await;
        assert_eq!(subscribed.newest().await, expected, "{policy} {pause} {resume}");
    }
}

#[tokio::test]
async fn changes_of_a_preview_are_settled_as_chosen() {
    let subscribed = Subscribed::new(BY_DAY("prorate")).await;
    let preview = async |proration: Value| {
        let change =
            json!({"at": "2025-01-11", "quantity": 2, "charge_id": subscribed.base, "proration": proration});
        let body = json!({"plan_id": subscribed.plan["id"], "start_date": "2025-01-01", "changes": [change],
            "proration": BY_DAY("prorate")});
        let preview = subscribed.world.owner.changed(Method::POST, "/subscriptions/preview", body).await;
        shown(&preview["invoices"][1], "lines", "amount")
    };
    let share = "Support 62.00, Unused time on Base -21.00, Remaining time on Base 42.00, Base 62.00";
    assert_eq!(preview(Value::Null).await, share);
    assert_eq!(preview(json!({"mode": "prorate"})).await, share);
    assert_eq!(preview(json!({"mode": "none"})).await, "Support 62.00, Base 62.00");
    assert_eq!(
        preview(json!({"mode": "full"})).await,
        "Support 62.00, Unused time on Base -31.00, Remaining time on Base 62.00, Base 62.00"
    );
}

#[tokio::test]
async fn a_choice_that_cannot_be_is_refused() {
    let subscribed = Subscribed::new(BY_DAY("prorate")).await;
    let before = subscribed.world.owner.get(&subscribed.path).await;
    for (action, body, field) in [
        ("cancel", json!({"proration": {"mode": "half"}}), "proration.mode"),
        ("cancel", json!({"proration": {"unit": "week"}}), "proration.unit"),
        ("change-quantity", json!({"quantity": 1, "proration": {"how": "none"}}), "proration.how"),
        ("pause", json!({"proration": {"mode": "half"}}), "proration.mode"),
        ("resume", json!({"proration": []}), "proration"),
        ("preview-change", json!({"pause": true, "proration": {"unit": "week"}}), "proration.unit"),
        ("preview-change", json!({"pause": true, "charge_id": "x"}), "charge_id"),
        ("preview-change", json!({"quantity": 2, "charge_id": "x"}), "charge_id"),
    ] {
        let path = format!("{}/{action}", subscribed.path);
        let (status, answer) = subscribed.world.owner.post(&path, body).await;
        assert_eq!((status, fields(&answer)), (422, vec![field]), "{action}: {answer}");
    }
    assert_eq!(subscribed.world.owner.get(&subscribed.path).await, before);
}
