//! Subscriptions that are changed on the way.

use serde_json::{Value, json};

use super::{Scene, advance, calls, fixed};

#[tokio::test]
async fn an_upgrade_on_the_last_second_costs_a_second() {
    let charges = [advance("Basic", 30), fixed("Support", 10), calls("0.10")];
    let mut scene = Scene::new(&charges, json!({"proration": {"unit": "second"}})).await;
    let dear =
        scene.plan("Dear", "month", &[advance("Dear", 2_678_400), fixed("Help", 20), calls("0.05")]).await;
    scene.until("2025-01-31T23:59:59Z").await;
    scene.act("change-plan", json!({"plan_id": dear})).await;
    scene.used("2025-01-31T23:59:58.999Z", 10).await;
    scene.used("2025-01-31T23:59:59Z", 100).await;
    scene.until("2025-02-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Basic: 30.00
      total 30.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support, 2678399 of 2678400 seconds: 10.00
      Calls × 10: 1.00
      Help, 1 of 2678400 seconds: 0.00
      Calls × 100: 5.00
      Unused time on Basic, 1 of 2678400 seconds: 0.00
      Remaining time on Dear, 1 of 2678400 seconds: 1.00
      Dear: 2678400.00
      total 2678417.00
    ");
}

#[tokio::test]
async fn a_downgrade_at_the_end_of_the_period_gives_nothing_back() {
    let mut scene = Scene::new(&[advance("Pro", 60), calls("0.05")], json!({})).await;
    let basic = scene.plan("Small", "month", &[advance("Small", 30), calls("0.10")]).await;
    scene.until("2025-01-20").await;
    scene.act("change-plan", json!({"plan_id": basic, "at_period_end": true})).await;
    scene.used("2025-01-20T00:00:00Z", 100).await;
    scene.until("2025-02-15").await;
    scene.used("2025-02-10T00:00:00Z", 100).await;
    scene.until("2025-03-02").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Pro: 60.00
      total 60.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Calls × 100: 5.00
      Small: 30.00
      total 35.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Calls × 100: 10.00
      Small: 30.00
      total 40.00
    ");
}

#[tokio::test]
async fn what_is_canceled_in_its_trial_is_never_billed() {
    let setup = json!({"type": "FIXED", "display_name": "Setup", "unit_price": 500, "one_time": true});
    let charges = [advance("Base", 31), fixed("Support", 10), setup, calls("0.10")];
    let mut shown = String::new();
    for at_period_end in [false, true] {
        let mut scene = Scene::new(&charges, json!({"trial_end_date": "2025-01-15"})).await;
        scene.until("2025-01-14").await;
        scene.used("2025-01-13T00:00:00Z", 1000).await;
        scene.act("cancel", json!({"cancel_at_period_end": at_period_end})).await;
        shown += &format!("14 January: {}\n", scene.status().await);
        scene.until("2025-03-02").await;
        shown += &format!("2 March: {}, billed: [{}]\n", scene.status().await, scene.billed().await);
    }
    insta::assert_snapshot!(shown, @"
    14 January: CANCELED
    2 March: CANCELED, billed: []
    14 January: TRIAL
    2 March: CANCELED, billed: []
    ");
}

#[tokio::test]
async fn an_end_at_once_is_paid_by_the_day() {
    let charges = [advance("Base", 31), fixed("Support", 62), calls("0.10")];
    let mut scene = Scene::new(&charges, json!({})).await;
    scene.until("2025-02-11T12:00:00Z").await;
    scene.used("2025-02-11T11:59:59Z", 50).await;
    scene.act("cancel", json!({"cancel_at_period_end": false})).await;
    scene.used("2025-02-11T12:00:00Z", 7).await; // in the instant of the end
    scene.used("2025-02-11T12:00:00.001Z", 1000).await; // after it
    scene.until("2025-04-01").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 62.00
      Calls × 0: 0.00
      Base: 31.00
      total 93.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-02-11T12:00:00
      Support, 10 of 28 days: 22.14
      Calls × 57: 5.70
      Unused time on Base, 18 of 28 days: -19.93
      total 7.91
    ");
}

#[tokio::test]
async fn a_pause_over_the_end_of_a_month_is_left_out_of_both() {
    let charges = [advance("Base", 31), fixed("Support", 62), calls("0.10")];
    let mut scene = Scene::new(&charges, json!({})).await;
    scene.until("2025-01-21").await;
    scene.used("2025-01-20T23:59:59Z", 10).await;
    scene.act("pause", Value::Null).await;
    scene.until("2025-02-11").await;
    scene.used("2025-02-10T23:59:59Z", 1000).await; // while it was paused
    scene.act("resume", Value::Null).await;
    scene.until("2025-02-28").await;
    scene.used("2025-02-27T00:00:00Z", 20).await;
    scene.until("2025-03-02").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support, 20 of 31 days: 40.00
      Calls × 10: 1.00
      Unused time on Base, 11 of 31 days: -11.00
      total 30.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Support, 18 of 28 days: 39.86
      Calls × 20: 2.00
      Remaining time on Base, 18 of 28 days: 19.93
      Base: 31.00
      total 92.79
    ");
}

#[tokio::test]
async fn seats_go_up_and_down_in_one_month() {
    let mut seats = advance("Seats", 31);
    seats["quantity"] = json!(10);
    let mut scene = Scene::new(&[seats, fixed("Base", 199)], json!({})).await;
    for (day, quantity) in [("2025-01-11", 15), ("2025-01-21", 8)] {
        scene.until(day).await;
        scene.act("change-quantity", json!({"quantity": quantity})).await;
    }
    scene.until("2025-02-02").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Seats × 10: 310.00
      total 310.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Base: 199.00
      Unused time on Seats × 10, 21 of 31 days: -210.00
      Remaining time on Seats × 15, 21 of 31 days: 315.00
      Unused time on Seats × 15, 11 of 31 days: -165.00
      Remaining time on Seats × 8, 11 of 31 days: 88.00
      Seats × 8: 248.00
      total 475.00
    ");
}

#[tokio::test]
async fn from_month_to_year_in_the_middle_of_a_month() {
    let mut scene =
        Scene::new(&[advance("Monthly", 31), fixed("Support", 31), calls("0.10")], json!({})).await;
    let yearly = [advance("Yearly", 365), fixed("Help", 365), calls("0.05")];
    let yearly = scene.plan("Yearly", "year", &yearly).await;
    scene.until("2025-01-11").await;
    scene.act("change-plan", json!({"plan_id": yearly})).await;
    scene.used("2025-01-10T23:59:59Z", 10).await;
    scene.used("2025-01-11T00:00:00Z", 100).await;
    scene.until("2026-01-02").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Monthly: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support, 10 of 31 days: 10.00
      Calls × 10: 1.00
      Unused time on Monthly, 21 of 31 days: -21.00
      Remaining time on Yearly, 355 of 365 days: 355.00
      total 345.00
    OPEN INV-2026-0001, 2025-01-01 to 2026-01-01
      Help, 355 of 365 days: 355.00
      Calls × 100: 5.00
      Yearly: 365.00
      total 725.00
    ");
}

#[tokio::test]
async fn from_year_to_month_in_the_middle_of_a_year() {
    let mut scene = Scene::new(&[], json!({"start_date": "2027-01-01"})).await;
    let yearly = scene.plan("Yearly", "year", &[advance("Yearly", 365), fixed("Help", 730)]).await;
    let monthly = scene.plan("Monthly", "month", &[advance("Monthly", 62), fixed("Support", 31)]).await;
    scene.subscription = scene.subscribed(&yearly, json!({})).await;
    scene.until("2025-12-02").await;
    scene.act("change-plan", json!({"plan_id": monthly})).await;
    scene.until("2026-02-02").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2026-01-01
      Yearly: 365.00
      total 365.00
    OPEN INV-2026-0001, 2025-12-01 to 2026-01-01
      Help, 335 of 365 days: 670.00
      Support, 30 of 31 days: 30.00
      Unused time on Yearly, 30 of 365 days: -30.00
      Remaining time on Monthly, 30 of 31 days: 60.00
      Monthly: 62.00
      total 792.00
    OPEN INV-2026-0002, 2026-01-01 to 2026-02-01
      Support: 31.00
      Monthly: 62.00
      total 93.00
    ");
}

#[tokio::test]
async fn from_month_to_week_nothing_is_lost() {
    let mut scene = Scene::new(&[fixed("Monthly", 31), calls("0.10")], json!({})).await;
    let weekly = scene.plan("Weekly", "week", &[fixed("Weekly", 7), calls("0.05")]).await;
    scene.until("2025-01-10").await;
    scene.act("change-plan", json!({"plan_id": weekly})).await;
    scene.used("2025-01-09T23:59:59Z", 10).await;
    scene.used("2025-01-10T00:00:00Z", 100).await;
    scene.until("2025-02-06").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-08 to 2025-01-15
      Weekly, 5 of 7 days: 5.00
      Calls × 100: 5.00
      total 10.00
    OPEN INV-2025-0002, 2025-01-15 to 2025-01-22
      Weekly: 7.00
      Calls × 0: 0.00
      total 7.00
    OPEN INV-2025-0003, 2025-01-22 to 2025-01-29
      Weekly: 7.00
      Calls × 0: 0.00
      total 7.00
    OPEN INV-2025-0004, 2025-01-29 to 2025-02-01
      Monthly, 9 of 31 days: 9.00
      Calls × 10: 1.00
      total 10.00
    OPEN INV-2025-0005, 2025-01-29 to 2025-02-05
      Weekly: 7.00
      Calls × 0: 0.00
      total 7.00
    ");
}

#[tokio::test]
async fn without_proration_a_change_waits_for_the_next_month() {
    let charges = [advance("Basic", 30), fixed("Support", 10), calls("0.10")];
    let mut scene = Scene::new(&charges, json!({"proration": {"mode": "none"}})).await;
    let pro = scene.plan("Pro", "month", &[advance("Pro", 60), fixed("Help", 20), calls("0.05")]).await;
    scene.until("2025-01-11").await;
    scene.act("change-plan", json!({"plan_id": pro})).await;
    scene.used("2025-01-10T00:00:00Z", 10).await;
    scene.used("2025-01-11T00:00:00Z", 100).await;
    scene.until("2025-03-02").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Basic: 30.00
      total 30.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 10.00
      Calls × 10: 1.00
      Calls × 100: 5.00
      Pro: 60.00
      total 76.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Help: 20.00
      Calls × 0: 0.00
      Pro: 60.00
      total 80.00
    ");
}
