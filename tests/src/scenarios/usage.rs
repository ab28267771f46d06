//! Usage that comes in time and late, and whose it is.

use serde_json::{Value, json};

use super::{Scene, calls, fixed};

#[tokio::test]
async fn what_comes_in_the_grace_hour_is_on_the_invoice() {
    let mut scene = Scene::new(&[calls("0.01")], json!({})).await;
    scene.until("2025-01-31").await;
    scene.used("2025-01-30T00:00:00Z", 100).await;
    scene.until("2025-02-01T00:01:00Z").await;
    let mut shown = format!("a minute after:\n{}", scene.billed().await);
    scene.until("2025-02-01T00:59:59Z").await;
    scene.used("2025-01-31T23:59:59Z", 20).await;
    scene.used("2025-02-01T00:00:00Z", 3).await;
    shown += &format!("the last second:\n{}", scene.billed().await);
    scene.until("2025-02-01T01:01:00Z").await;
    shown += &format!("an hour after:\n{}", scene.billed().await);
    insta::assert_snapshot!(shown, @"
    a minute after:
    DRAFT, 2025-01-01 to 2025-02-01
      Calls × 100: 1.00
      total 1.00
    the last second:
    DRAFT, 2025-01-01 to 2025-02-01
      Calls × 120: 1.20
      total 1.20
    an hour after:
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Calls × 120: 1.20
      total 1.20
    ");
}

#[tokio::test]
async fn what_comes_after_the_grace_hour_is_on_the_next_invoice() {
    let tiers = json!([{"up_to": 100, "unit_price": 1}, {"up_to": null, "unit_price": 0.5}]);
    let usage =
        json!({"type": "USAGE", "display_name": "Calls", "charge_model": "graduated", "tiers": tiers});
    let mut scene = Scene::new(&[usage, fixed("Base", 30)], json!({})).await;
    scene.until("2025-01-31").await;
    scene.used("2025-01-30T00:00:00Z", 90).await;
    scene.until("2025-02-01T01:01:00Z").await;
    scene.used("2025-01-31T23:59:59Z", 20).await; // ten at 1, ten at 0.5
    scene.used("2025-02-01T00:00:00Z", 3).await;
    scene.until("2025-03-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Calls × 90: 90.00
      Base: 30.00
      total 120.00
    OPEN INV-2025-0002, 2025-02-01 to 2025-03-01
      Calls × 3: 3.00
      Base: 30.00
      Calls, late usage of 2025-01-01 to 2025-02-01 × 20: 15.00
      total 48.00
    ");
}

#[tokio::test]
async fn two_subscriptions_bill_the_usage_of_one_meter_each_in_its_own_periods() {
    let mut scene = Scene::new(&[calls("0.01")], json!({})).await;
    let other = [json!({"type": "USAGE", "display_name": "Calls by the package", "charge_model": "package",
        "package_size": 100, "unit_price": 5})];
    let other = scene.plan("Packages", "month", &other).await;
    scene.subscribed(&other, json!({"start_date": "2025-01-15"})).await;
    scene.until("2025-01-31").await;
    scene.used("2025-01-10T00:00:00Z", 1000).await; // of the first alone
    scene.used("2025-01-20T00:00:00Z", 150).await; // of both
    scene.until("2025-02-10").await;
    scene.used("2025-02-10T00:00:00Z", 70).await;
    scene.until("2025-03-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Calls × 1150: 11.50
      total 11.50
    OPEN INV-2025-0002, 2025-01-15 to 2025-02-15
      Calls by the package × 220: 15.00
      total 15.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Calls × 70: 0.70
      total 0.70
    ");
}

/// The total of January of what was sold, with `used` of the meter.
async fn january(charges: &[Value], used: u32) -> String {
    let mut scene = Scene::new(charges, json!({})).await;
    scene.until("2025-01-31").await;
    if used > 0 {
        scene.used("2025-01-20T00:00:00Z", used).await;
    }
    scene.until("2025-02-01T02:00:00Z").await;
    scene.billed().await
}

#[tokio::test]
async fn the_documented_totals_come_out() {
    let mut included = calls("0.0005");
    included["included_units"] = json!(100_000);
    let mut seats = fixed("Seats", 5);
    seats["quantity"] = json!(10);
    let shown = [
        january(&[fixed("Base", 49), calls("0.001")], 145_200).await,
        january(&[fixed("Base", 99), included], 150_000).await,
        january(&[fixed("Base", 199), seats], 0).await,
    ];
    insta::assert_snapshot!(shown.concat(), @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 49.00
      Calls × 145200: 145.20
      total 194.20
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 99.00
      Calls × 150000: 25.00
      total 124.00
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 199.00
      Seats × 10: 50.00
      total 249.00
    ");
}
