//! Changes, starts and ends at the edges of periods.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Scene, advance, calls, fixed, seats};
use crate::client::{fields, text};

#[tokio::test]
async fn of_two_changes_in_one_instant_the_second_counts() {
    let mut scene = Scene::new(&[seats(31, 10), fixed("Support", 62), calls("0.10")], json!({})).await;
    let pro = scene.plan("Pro", "month", &[seats(62, 3), fixed("Help", 31), calls("0.05")]).await;
    scene.until("2025-01-11").await;
    scene.act("change-quantity", json!({"quantity": 20})).await;
    scene.act("change-plan", json!({"plan_id": pro})).await;
    scene.used("2025-01-10T23:59:59.999Z", 10).await;
    scene.used("2025-01-11T00:00:00Z", 100).await;
    scene.until("2025-02-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Seats × 10: 310.00
      total 310.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support, 10 of 31 days: 20.00
      Calls × 10: 1.00
      Help, 21 of 31 days: 21.00
      Calls × 100: 5.00
      Unused time on Seats × 10, 21 of 31 days: -210.00
      Remaining time on Seats × 3, 21 of 31 days: 126.00
      Seats × 3: 186.00
      total 149.00
    ");
}

#[tokio::test]
async fn a_change_in_the_instant_a_month_ends_is_of_the_next() {
    let fields = json!({"proration": {"unit": "second"}});
    let mut scene = Scene::new(&[advance("Basic", 28), fixed("Support", 28), calls("0.10")], fields).await;
    let pro = scene.plan("Pro", "month", &[advance("Pro", 56), fixed("Help", 56), calls("0.05")]).await;
    scene.until("2025-02-01").await;
    scene.act("change-plan", json!({"plan_id": pro})).await;
    scene.used("2025-01-31T23:59:59.999Z", 1000).await;
    scene.used("2025-02-01T00:00:00Z", 10).await; // in the instant of the change
    scene.used("2025-02-01T00:00:00.001Z", 100).await;
    scene.until("2025-03-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Basic: 28.00
      total 28.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 28.00
      Calls × 1000: 100.00
      Basic: 28.00
      total 156.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Help: 56.00
      Calls × 110: 5.50
      Unused time on Basic, 2419200 of 2419200 seconds: -28.00
      Remaining time on Pro: 56.00
      Pro: 56.00
      total 145.50
    ");
}

#[tokio::test]
async fn a_change_a_moment_before_the_month_ends_is_of_that_month() {
    let mut scene = Scene::new(&[advance("Basic", 28), fixed("Support", 28), calls("0.10")], json!({})).await;
    let pro = scene.plan("Pro", "month", &[advance("Pro", 56), fixed("Help", 56), calls("0.05")]).await;
    scene.until("2025-01-31T23:59:59.999Z").await;
    scene.act("change-plan", json!({"plan_id": pro})).await;
    scene.used("2025-01-31T23:59:59.998Z", 10).await;
    scene.used("2025-01-31T23:59:59.999Z", 100).await;
    scene.until("2025-02-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Basic: 28.00
      total 28.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support, 30 of 31 days: 27.10
      Calls × 10: 1.00
      Help, 1 of 31 days: 1.81
      Calls × 100: 5.00
      Unused time on Basic, 1 of 31 days: -0.90
      Remaining time on Pro, 1 of 31 days: 1.81
      Pro: 56.00
      total 91.82
    ");
}

#[tokio::test]
async fn an_upgrade_in_the_trial_costs_nothing_until_it_ends() {
    let fields = json!({"trial_end_date": "2025-01-15"});
    let mut scene = Scene::new(&[advance("Basic", 31), calls("0.10")], fields).await;
    let pro = scene.plan("Pro", "month", &[advance("Pro", 62), calls("0.05")]).await;
    scene.until("2025-01-10").await;
    scene.act("change-plan", json!({"plan_id": pro})).await;
    scene.used("2025-01-10T00:00:00Z", 1000).await; // in the trial
    let mut shown = format!("10 January: {}\n", scene.status().await);
    scene.until("2025-01-20").await;
    scene.used("2025-01-20T00:00:00Z", 100).await;
    scene.until("2025-02-15T02:00:00Z").await;
    shown += &scene.billed().await;
    insta::assert_snapshot!(shown, @"
    10 January: TRIAL
    OPEN INV-2025-0001, 2025-01-15 to 2025-02-15
      Pro: 62.00
      total 62.00
    OPEN INV-2025-0002, 2025-01-15 to 2025-02-15
      Calls × 100: 5.00
      Pro: 62.00
      total 67.00
    ");
}

#[tokio::test]
async fn a_trial_that_ends_in_the_middle_of_a_calendar_month_leaves_a_part() {
    let fields = json!({"trial_end_date": "2025-01-15", "billing_time": "calendar"});
    let mut scene = Scene::new(&[advance("Base", 31), fixed("Support", 62), calls("0.10")], fields).await;
    scene.until("2025-01-14").await;
    scene.used("2025-01-14T00:00:00Z", 1000).await; // in the trial
    scene.until("2025-01-20").await;
    scene.used("2025-01-15T00:00:00Z", 10).await;
    scene.until("2025-03-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-15 to 2025-02-01
      Base, 17 of 31 days: 17.00
      total 17.00
    OPEN INV-2025-0002, 2025-01-15 to 2025-02-01
      Support, 17 of 31 days: 34.00
      Calls × 10: 1.00
      Base: 31.00
      total 66.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Support: 62.00
      Calls × 0: 0.00
      Base: 31.00
      total 93.00
    ");
}

#[tokio::test]
async fn a_subscription_does_not_end_before_its_trial() {
    let mut scene = Scene::new(&[advance("Base", 31)], json!({"start_date": "2027-01-01"})).await;
    let plan = scene.world.owner.get("/plans").await["data"][0]["id"].clone();
    let customer = scene.world.owner.get("/customers").await["data"][0]["id"].clone();
    let body = |end: &str| {
        json!({"customer_id": customer, "plan_id": plan, "start_date": "2025-01-01",
            "trial_end_date": "2025-01-15T00:00:00Z", "end_date": end, "proration": {"unit": "day"}})
    };
    for end in ["2025-01-10", "2025-01-14", "2025-01-15T00:00:00Z"] {
        let (status, answer) = scene.world.owner.post("/subscriptions", body(end)).await;
        assert_eq!((status, fields(&answer)), (422, vec!["end_date"]), "{end}");
    }
    // A day is left of it after the trial.
    scene.subscription = scene.world.owner.created("/subscriptions", body("2025-01-15")).await;
    scene.until("2025-02-01").await;
    insta::assert_snapshot!(format!("{}{}\n", scene.billed().await, scene.status().await), @"
    OPEN INV-2025-0001, 2025-01-15 to 2025-01-16
      Base, 1 of 31 days: 1.00
      total 1.00
    CANCELED
    ");
}

#[tokio::test]
async fn a_start_in_the_past_is_billed_month_by_month_at_once() {
    let mut scene = Scene::new(&[], json!({"start_date": "2027-01-01"})).await;
    let charges = [advance("Base", 30), fixed("Support", 60), calls("0.10")];
    let plan = scene.plan("Backdated", "month", &charges).await;
    scene.until("2025-01-10").await;
    for (at, quantity) in
        [("2024-11-29T23:59:59Z", 10), ("2024-11-30T00:00:00Z", 20), ("2025-01-05T00:00:00Z", 40)]
    {
        scene.used(at, quantity).await;
    }
    scene.subscription = scene.subscribed(&plan, json!({"start_date": "2024-10-31"})).await;
    scene.until("2025-01-10T00:01:00Z").await;
    let shown = format!("a minute later:\n{}", scene.billed().await);
    scene.until("2025-01-31T02:00:00Z").await;
    let list = scene.world.owner.get("/invoices").await;
    let last = scene.world.owner.get(&format!("/invoices/{}", text(&list["data"][0]["id"]))).await;
    assert_eq!(last["period_end"], "2025-01-31T00:00:00Z");
    insta::assert_snapshot!(format!("{shown}at the end of January: {}\n", last["total"]), @"
    a minute later:
    DRAFT, 2024-10-31 to 2024-11-30
      Base: 30.00
      total 30.00
    DRAFT, 2024-10-31 to 2024-11-30
      Support: 60.00
      Calls × 10: 1.00
      Base: 30.00
      total 91.00
    DRAFT, 2024-11-30 to 2024-12-31
      Support: 60.00
      Calls × 20: 2.00
      Base: 30.00
      total 92.00
    at the end of January: 94.00
    ");
}

#[tokio::test]
async fn a_start_in_the_future_is_billed_from_there_on() {
    let fields = json!({"start_date": "2025-02-15"});
    let mut scene = Scene::new(&[advance("Base", 31), fixed("Support", 62), calls("0.10")], fields).await;
    scene.until("2025-02-14T23:00:00Z").await;
    scene.used("2025-02-14T22:59:59Z", 1000).await; // before
    assert_eq!(scene.billed().await, "");
    scene.until("2025-02-20").await;
    scene.used("2025-02-15T00:00:00Z", 10).await;
    scene.until("2025-03-15T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-02-15 to 2025-03-15
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-02-15 to 2025-03-15
      Support: 62.00
      Calls × 10: 1.00
      Base: 31.00
      total 94.00
    ");
}

#[tokio::test]
async fn what_is_canceled_before_it_begins_is_never_billed() {
    let fields = json!({"start_date": "2025-02-15"});
    let mut scene = Scene::new(&[advance("Base", 31), fixed("Support", 62)], fields).await;
    scene.until("2025-01-20").await;
    scene.act("cancel", json!({})).await;
    scene.until("2025-04-01").await;
    insta::assert_snapshot!(format!("{}{}\n", scene.billed().await, scene.status().await), @"
    CANCELED
    ");
}

#[tokio::test]
async fn an_end_on_the_first_day_gives_back_all_but_that_day() {
    let mut scene = Scene::new(&[advance("Base", 31), fixed("Support", 62)], json!({})).await;
    scene.until("2025-01-02").await;
    scene.act("cancel", json!({"reason": "by mistake"})).await;
    scene.until("2025-03-01").await;
    insta::assert_snapshot!(format!("{}{}\n", scene.billed().await, scene.status().await), @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    PAID INV-2025-0002, 2025-01-01 to 2025-01-02
      Support, 1 of 31 days: 2.00
      Unused time on Base, 30 of 31 days: -30.00
      total -28.00
    CANCELED
    ");
}

#[tokio::test]
async fn an_end_on_the_last_second_gives_back_a_second() {
    let fields = json!({"proration": {"unit": "second"}});
    let mut scene = Scene::new(&[advance("Base", 2_678_400), fixed("Support", 2_678_400)], fields).await;
    scene.until("2025-01-31T23:59:59Z").await;
    scene.act("cancel", json!({})).await;
    scene.until("2025-03-01").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 2678400.00
      total 2678400.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-01-31T23:59:59
      Support, 2678399 of 2678400 seconds: 2678399.00
      Unused time on Base, 1 of 2678400 seconds: -1.00
      total 2678398.00
    ");
}

#[tokio::test]
async fn no_seats_cost_nothing_until_there_are_some_again() {
    let mut scene = Scene::new(&[seats(31, 10), fixed("Base", 199)], json!({})).await;
    scene.until("2025-01-11").await;
    scene.act("change-quantity", json!({"quantity": 0})).await;
    scene.until("2025-03-11").await;
    let seats = scene.world.owner.get("/plans").await["data"][0]["charges"][0]["id"].clone();
    scene.act("change-quantity", json!({"quantity": 4, "charge_id": seats})).await;
    scene.until("2025-04-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Seats × 10: 310.00
      total 310.00
    PAID INV-2025-0002, 2025-01-01 to 2025-02-01
      Base: 199.00
      Unused time on Seats × 10, 21 of 31 days: -210.00
      Remaining time on Seats × 0, 21 of 31 days: 0.00
      Seats × 0: 0.00
      total -11.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Base: 199.00
      Seats × 0: 0.00
      total 199.00
    OPEN INV-2025-0004, 2025-03-01 to 2025-04-01
      Base: 199.00
      Unused time on Seats × 0, 21 of 31 days: 0.00
      Remaining time on Seats × 4, 21 of 31 days: 84.00
      Seats × 4: 124.00
      total 407.00
    ");
}

#[tokio::test]
async fn what_is_charged_once_waits_for_the_next_bill_and_can_be_taken_back() {
    let mut scene = Scene::new(&[advance("Base", 31)], json!({})).await;
    let path = format!("/subscriptions/{}/one-off-charges", text(&scene.subscription["id"]));
    scene.until("2025-01-20").await;
    let mut last = Value::Null;
    for (name, price) in [("Onboarding", 500), ("Workshop", 250)] {
        let body = json!({"description": name, "unit_amount": price});
        last = scene.world.owner.created(&path, body).await;
    }
    scene.until("2025-01-25").await;
    let workshop = format!("{path}/{}", text(&last["id"]));
    assert_eq!(scene.world.owner.call(Method::DELETE, &workshop, None).await.0, 204);
    scene.until("2025-03-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Base: 31.00
      Onboarding: 500.00
      total 531.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Base: 31.00
      total 31.00
    ");
}
