//! What was decided for later, and given up or not.

use serde_json::{Value, json};

use super::{Scene, advance, calls, fixed, seats};

/// January, with a change that was decided on the 20th, and given up on the 25th; and February.
async fn given_up(mut scene: Scene, action: &str, body: Value) -> String {
    scene.until("2025-01-20").await;
    scene.act(action, body).await;
    scene.until("2025-01-25").await;
    scene.act("undo", Value::Null).await;
    scene.until("2025-03-01T02:00:00Z").await;
    format!("{}{}\n", scene.billed().await, scene.status().await)
}

#[tokio::test]
async fn an_end_that_was_given_up_never_comes() {
    let scene = Scene::new(&[advance("Base", 31), fixed("Support", 62)], json!({})).await;
    insta::assert_snapshot!(given_up(scene, "cancel", json!({"cancel_at_period_end": true})).await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 62.00
      Base: 31.00
      total 93.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Support: 62.00
      Base: 31.00
      total 93.00
    PAST_DUE
    ");
}

#[tokio::test]
async fn an_upgrade_that_was_given_up_never_comes() {
    let scene = Scene::new(&[advance("Basic", 31), calls("0.10")], json!({})).await;
    let pro = scene.plan("Pro", "month", &[advance("Pro", 62), calls("0.05")]).await;
    let asked = json!({"plan_id": pro, "at_period_end": true});
    insta::assert_snapshot!(given_up(scene, "change-plan", asked).await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Basic: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Calls × 0: 0.00
      Basic: 31.00
      total 31.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Calls × 0: 0.00
      Basic: 31.00
      total 31.00
    PAST_DUE
    ");
}

#[tokio::test]
async fn seats_that_were_given_up_are_never_paid() {
    let scene = Scene::new(&[seats(31, 10)], json!({})).await;
    let asked = json!({"quantity": 20, "at_period_end": true});
    insta::assert_snapshot!(given_up(scene, "change-quantity", asked).await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Seats × 10: 310.00
      total 310.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Seats × 10: 310.00
      total 310.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Seats × 10: 310.00
      total 310.00
    PAST_DUE
    ");
}

#[tokio::test]
async fn a_pause_that_was_given_up_never_begins() {
    let scene = Scene::new(&[advance("Base", 31), fixed("Support", 62)], json!({})).await;
    insta::assert_snapshot!(given_up(scene, "pause", json!({"at_period_end": true})).await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 62.00
      Base: 31.00
      total 93.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Support: 62.00
      Base: 31.00
      total 93.00
    PAST_DUE
    ");
}

#[tokio::test]
async fn a_pause_at_the_end_of_the_month_leaves_the_month_whole() {
    let mut scene = Scene::new(&[advance("Base", 31), fixed("Support", 62), calls("0.10")], json!({})).await;
    scene.until("2025-01-20").await;
    let decided = scene.act("pause", json!({"at_period_end": true})).await;
    let pending = &decided["pending_change"];
    assert_eq!((&pending["at"], &pending["is_paused"]), (&json!("2025-02-01T00:00:00Z"), &json!(true)));
    scene.used("2025-01-20T00:00:00Z", 10).await;
    let mut shown = format!("20 January: {}\n", scene.status().await);
    scene.until("2025-02-10").await;
    scene.used("2025-02-01T00:00:00Z", 1000).await; // while it is paused
    shown += &format!("10 February: {}\n", scene.status().await);
    scene.until("2025-03-22").await;
    scene.act("resume", Value::Null).await;
    shown += &format!("22 March: {}\n", scene.status().await);
    scene.until("2025-04-01T02:00:00Z").await;
    insta::assert_snapshot!(shown + &scene.billed().await, @"
    20 January: ACTIVE
    10 February: PAUSED
    22 March: PAST_DUE
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 62.00
      Calls × 10: 1.00
      total 63.00
    OPEN INV-2025-0003, 2025-03-01 to 2025-04-01
      Support, 10 of 31 days: 20.00
      Calls × 0: 0.00
      Remaining time on Base, 10 of 31 days: 10.00
      Base: 31.00
      total 61.00
    ");
}

#[tokio::test]
async fn what_was_changed_at_once_stays_when_what_was_to_come_is_given_up() {
    let mut scene = Scene::new(&[advance("Basic", 31)], json!({})).await;
    let pro = scene.plan("Pro", "month", &[advance("Pro", 62)]).await;
    let max = scene.plan("Max", "month", &[advance("Max", 93)]).await;
    scene.until("2025-01-11").await;
    scene.act("change-plan", json!({"plan_id": pro})).await;
    scene.act("change-plan", json!({"plan_id": max, "at_period_end": true})).await;
    scene.act("cancel", json!({"cancel_at_period_end": true})).await;
    scene.until("2025-01-21").await;
    scene.act("undo", Value::Null).await; // both
    scene.until("2025-02-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Basic: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Unused time on Basic, 21 of 31 days: -21.00
      Remaining time on Pro, 21 of 31 days: 42.00
      Pro: 62.00
      total 83.00
    ");
}

#[tokio::test]
async fn of_two_changes_to_come_the_later_one_counts() {
    let mut scene = Scene::new(&[advance("Basic", 31)], json!({})).await;
    let pro = scene.plan("Pro", "month", &[advance("Pro", 62)]).await;
    let max = scene.plan("Max", "month", &[advance("Max", 93)]).await;
    scene.until("2025-01-11").await;
    for plan in [&max, &pro] {
        scene.act("change-plan", json!({"plan_id": plan, "at_period_end": true})).await;
    }
    scene.until("2025-02-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Basic: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Pro: 62.00
      total 62.00
    ");
}
