//! Parts of periods, as each mode of proration has them.

use serde_json::{Value, json};

use super::{Scene, advance, calls, fixed};

/// A subscription at 31 in advance and 62 at the end, of which parts cost what `mode` says.
async fn by(mode: &str, fields: Value) -> Scene {
    let mut all = json!({"proration": {"unit": "day", "mode": mode}});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Scene::new(&[advance("Base", 31), fixed("Support", 62), calls("0.10")], all).await
}

/// What is billed when it ends on 11 February, and nothing was used but 10 in that month.
async fn ended(mut scene: Scene) -> String {
    scene.until("2025-02-11").await;
    scene.used("2025-02-10T00:00:00Z", 10).await;
    scene.act("cancel", json!({})).await;
    scene.until("2025-04-01").await;
    scene.billed().await
}

#[tokio::test]
async fn a_part_at_the_end_that_costs_all_of_it_gives_nothing_back() {
    insta::assert_snapshot!(ended(by("full", json!({})).await).await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 62.00
      Calls × 0: 0.00
      Base: 31.00
      total 93.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-02-11
      Support: 62.00
      Calls × 10: 1.00
      total 63.00
    ");
}

#[tokio::test]
async fn a_part_at_the_end_that_costs_nothing_is_not_charged() {
    insta::assert_snapshot!(ended(by("none", json!({})).await).await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 62.00
      Calls × 0: 0.00
      Base: 31.00
      total 93.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-02-11
      Calls × 10: 1.00
      total 1.00
    ");
}

#[tokio::test]
async fn a_part_at_the_start_that_costs_all_of_it() {
    let calendar = json!({"start_date": "2025-01-20", "billing_time": "calendar"});
    insta::assert_snapshot!(ended(by("full", calendar).await).await, @"
    OPEN INV-2025-0001, 2025-01-20 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-20 to 2025-02-01
      Support: 62.00
      Calls × 0: 0.00
      Base: 31.00
      total 93.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-02-11
      Support: 62.00
      Calls × 10: 1.00
      total 63.00
    ");
}

#[tokio::test]
async fn a_part_at_the_start_that_costs_nothing() {
    let calendar = json!({"start_date": "2025-01-20", "billing_time": "calendar"});
    insta::assert_snapshot!(ended(by("none", calendar).await).await, @"
    OPEN INV-2025-0001, 2025-01-20 to 2025-02-01
      Calls × 0: 0.00
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-02-01 to 2025-02-11
      Calls × 10: 1.00
      total 1.00
    ");
}

#[tokio::test]
async fn an_upgrade_that_counts_for_the_whole_month() {
    let mut scene = by("full", json!({})).await;
    let pro = scene.plan("Pro", "month", &[advance("Pro", 93), fixed("Help", 124), calls("0.05")]).await;
    scene.until("2025-01-21").await;
    scene.used("2025-01-20T23:59:59Z", 10).await;
    scene.used("2025-01-21T00:00:00Z", 100).await;
    scene.act("change-plan", json!({"plan_id": pro})).await;
    scene.until("2025-02-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Calls × 10: 1.00
      Help: 124.00
      Calls × 100: 5.00
      Unused time on Base, 31 of 31 days: -31.00
      Remaining time on Pro: 93.00
      Pro: 93.00
      total 285.00
    ");
}

#[tokio::test]
async fn a_pause_that_costs_all_of_the_month_it_begins_in() {
    let mut scene = by("full", json!({})).await;
    scene.until("2025-01-21").await;
    scene.act("pause", Value::Null).await;
    scene.until("2025-03-11").await;
    scene.act("resume", Value::Null).await; // for all of March
    scene.until("2025-04-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 62.00
      Calls × 0: 0.00
      total 62.00
    OPEN INV-2025-0003, 2025-03-01 to 2025-04-01
      Support: 62.00
      Calls × 0: 0.00
      Remaining time on Base: 31.00
      Base: 31.00
      total 124.00
    ");
}

#[tokio::test]
async fn a_pause_that_counts_from_the_next_month_on() {
    let mut scene = by("none", json!({})).await;
    scene.until("2025-01-21").await;
    scene.act("pause", Value::Null).await;
    scene.until("2025-03-11").await;
    scene.act("resume", Value::Null).await; // from April on
    scene.until("2025-04-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 62.00
      Calls × 0: 0.00
      total 62.00
    OPEN INV-2025-0003, 2025-03-01 to 2025-04-01
      Calls × 0: 0.00
      Base: 31.00
      total 31.00
    ");
}

#[tokio::test]
async fn one_change_is_settled_otherwise_than_the_rest() {
    let mut scene = by("prorate", json!({})).await;
    let pro = scene.plan("Pro", "month", &[advance("Pro", 93), fixed("Help", 124), calls("0.05")]).await;
    scene.until("2025-01-11").await;
    scene.act("change-plan", json!({"plan_id": pro, "proration": {"mode": "none"}})).await;
    scene.until("2025-02-15").await;
    scene.act("cancel", json!({"proration": {"mode": "full"}})).await;
    scene.until("2025-03-01").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 62.00
      Calls × 0: 0.00
      Calls × 0: 0.00
      Pro: 93.00
      total 155.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-02-15
      Help: 124.00
      Calls × 0: 0.00
      total 124.00
    ");
}
