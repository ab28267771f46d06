//! Usage that comes in time and late, and whose it is.

use serde_json::{Value, json};

use super::{Scene, advance, calls, fixed, seats};

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

/// Usage in two tiers: the first hundred at `first` each, more at `rest`.
fn tiers(first: u32, rest: u32) -> Value {
    json!({"type": "USAGE", "display_name": "Calls", "charge_model": "graduated",
        "tiers": [{"up_to": 100, "unit_price": first}, {"up_to": null, "unit_price": rest}]})
}

#[tokio::test]
async fn each_plan_begins_its_own_tiers() {
    let mut scene = Scene::new(&[tiers(3, 2)], json!({})).await;
    let pro = scene.plan("Pro", "month", &[tiers(2, 1)]).await;
    scene.until("2025-01-11").await;
    scene.used("2025-01-10T00:00:00Z", 150).await;
    scene.act("change-plan", json!({"plan_id": pro})).await;
    scene.used("2025-01-11T00:00:00Z", 130).await;
    scene.until("2025-02-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Calls × 150: 400.00
      Calls × 130: 230.00
      total 630.00
    ");
}

#[tokio::test]
async fn more_seats_do_not_begin_the_tiers_of_usage_anew() {
    let mut scene = Scene::new(&[seats(31, 1), tiers(3, 2)], json!({})).await;
    scene.until("2025-01-11").await;
    scene.used("2025-01-10T00:00:00Z", 90).await;
    scene.act("change-quantity", json!({"quantity": 2})).await;
    scene.used("2025-01-11T00:00:00Z", 30).await;
    scene.until("2025-02-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Seats: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Calls × 120: 340.00
      Unused time on Seats, 21 of 31 days: -21.00
      Remaining time on Seats × 2, 21 of 31 days: 42.00
      Seats × 2: 62.00
      total 423.00
    ");
}

#[tokio::test]
async fn late_usage_that_makes_all_cheaper_is_given_back() {
    let volume = json!({"type": "USAGE", "display_name": "Calls", "charge_model": "volume",
        "tiers": [{"up_to": 100, "unit_price": 3}, {"up_to": null, "unit_price": 2}]});
    let mut scene = Scene::new(&[volume], json!({})).await;
    scene.until("2025-01-31").await;
    scene.used("2025-01-30T00:00:00Z", 90).await;
    scene.until("2025-02-10").await;
    scene.used("2025-01-31T00:00:00Z", 30).await; // 120 at 2, not 90 at 3
    scene.until("2025-03-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Calls × 90: 270.00
      total 270.00
    PAID INV-2025-0002, 2025-02-01 to 2025-03-01
      Calls × 0: 0.00
      Calls, late usage of 2025-01-01 to 2025-02-01 × 30: -30.00
      total -30.00
    ");
}

#[tokio::test]
async fn the_least_amount_holds_for_a_part_of_the_month_too() {
    let mut usage = calls("0.10");
    usage["minimum_amount"] = json!(10);
    let fields = json!({"start_date": "2025-01-20", "billing_time": "calendar"});
    let mut scene = Scene::new(&[usage], fields).await;
    scene.until("2025-02-27").await;
    scene.used("2025-02-26T00:00:00Z", 250).await;
    scene.until("2025-03-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-20 to 2025-02-01
      Calls × 0: 10.00
      total 10.00
    OPEN INV-2025-0002, 2025-02-01 to 2025-03-01
      Calls × 250: 25.00
      total 25.00
    ");
}

#[tokio::test]
async fn a_level_that_goes_on_is_billed_to_each_plan_for_its_time() {
    let storage = |price: u32| json!({"type": "USAGE", "display_name": "Storage", "unit_price": price});
    let mut scene = Scene::counting("WEIGHTED_SUM", &[storage(1)], json!({"start_date": "2025-04-01"})).await;
    let pro = scene.plan("Pro", "month", &[storage(3)]).await;
    scene.until("2025-04-01T00:00:01Z").await;
    scene.used("2025-04-01T00:00:00Z", 30).await;
    scene.until("2025-04-11").await;
    scene.act("change-plan", json!({"plan_id": pro})).await;
    scene.until("2025-06-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-04-01 to 2025-05-01
      Storage × 10: 10.00
      Storage × 20: 60.00
      total 70.00
    OPEN INV-2025-0002, 2025-05-01 to 2025-06-01
      Storage × 30: 90.00
      total 90.00
    ");
}

#[tokio::test]
async fn a_year_in_advance_with_usage_by_the_month() {
    let mut monthly = calls("0.01");
    monthly["included_units"] = json!(1000);
    monthly["billing_interval"] = json!("month");
    let mut scene = Scene::new(&[], json!({"start_date": "2027-01-01"})).await;
    let plan = scene.plan("Yearly", "year", &[advance("Licence", 1200), monthly]).await;
    scene.subscription = scene.subscribed(&plan, json!({})).await;
    for (at, quantity) in [("2025-01-31T23:59:59Z", 1500), ("2025-02-01T00:00:00Z", 900)] {
        scene.until(at).await;
        scene.used(at, quantity).await;
    }
    scene.until("2025-03-16").await;
    scene.used("2025-03-15T00:00:00Z", 1100).await;
    scene.act("cancel", json!({})).await; // on the 75th day
    scene.until("2025-04-01").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-01 to 2026-01-01
      Licence: 1200.00
      total 1200.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Calls × 1500: 5.00
      total 5.00
    PAID INV-2025-0003, 2025-02-01 to 2025-03-01
      Calls × 900: 0.00
      total 0.00
    PAID INV-2025-0004, 2025-01-01 to 2025-03-16
      Calls × 1100: 1.00
      Unused time on Licence, 291 of 365 days: -956.71
      total -955.71
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
