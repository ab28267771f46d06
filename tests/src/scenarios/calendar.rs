//! Where periods begin and end.

use serde_json::{Value, json};

use super::{Scene, advance, calls, fixed};

#[tokio::test]
async fn the_31st_of_january_comes_back_to_the_31st() {
    let mut scene =
        Scene::new(&[fixed("Base", 30), calls("0.01")], json!({"start_date": "2025-01-31"})).await;
    scene.until("2025-02-28").await;
    scene.used("2025-02-27T23:59:59.999Z", 100).await;
    scene.used("2025-02-28T00:00:00Z", 7).await;
    scene.until("2025-03-31").await;
    scene.used("2025-03-30T23:59:59Z", 20).await;
    scene.until("2025-05-31T00:30:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-31 to 2025-02-28
      Base: 30.00
      Calls × 100: 1.00
      total 31.00
    OPEN INV-2025-0002, 2025-02-28 to 2025-03-31
      Base: 30.00
      Calls × 27: 0.27
      total 30.27
    OPEN INV-2025-0003, 2025-03-31 to 2025-04-30
      Base: 30.00
      Calls × 0: 0.00
      total 30.00
    DRAFT, 2025-04-30 to 2025-05-31
      Base: 30.00
      Calls × 0: 0.00
      total 30.00
    ");
}

#[tokio::test]
async fn a_year_from_a_leap_day_ends_in_february() {
    let charges =
        [json!({"type": "FIXED", "display_name": "Base", "unit_price": 366, "billing_interval": "year"})];
    let mut scene = Scene::new(&[], json!({"start_date": "2026-01-01"})).await;
    let plan = scene.plan("Yearly", "year", &charges).await;
    scene.subscription = scene.subscribed(&plan, json!({"start_date": "2024-02-29"})).await;
    scene.until("2026-08-31").await;
    scene.act("cancel", json!({"cancel_at_period_end": true})).await;
    scene.act("undo", Value::Null).await;
    scene.until("2028-03-01").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2024-02-29 to 2025-02-28
      Base: 366.00
      total 366.00
    OPEN INV-2026-0001, 2025-02-28 to 2026-02-28
      Base: 366.00
      total 366.00
    OPEN INV-2027-0001, 2026-02-28 to 2027-02-28
      Base: 366.00
      total 366.00
    OPEN INV-2028-0001, 2027-02-28 to 2028-02-29
      Base: 366.00
      total 366.00
    ");
}

#[tokio::test]
async fn in_spring_a_month_of_berlin_is_an_hour_short() {
    let fields = json!({"start_date": "2025-03-15", "billing_time": "calendar", "time_zone": "Europe/Berlin",
        "proration": {"unit": "second"}});
    let mut scene = Scene::new(&[fixed("Base", 100), calls("0.01")], fields).await;
    scene.until("2025-03-31T22:00:00Z").await;
    scene.used("2025-03-14T22:59:59Z", 1000).await; // before midnight where the customer is
    scene.used("2025-03-14T23:00:00Z", 1).await;
    scene.used("2025-03-31T21:59:59Z", 2).await;
    scene.used("2025-03-31T22:00:00Z", 40).await; // 1 April there
    scene.until("2025-05-01").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-03-14T23:00:00 to 2025-03-31T22:00:00
      Base, 1465200 of 2674800 seconds: 54.78
      Calls × 3: 0.03
      total 54.81
    OPEN INV-2025-0002, 2025-03-31T22:00:00 to 2025-04-30T22:00:00
      Base: 100.00
      Calls × 40: 0.40
      total 100.40
    ");
}

#[tokio::test]
async fn in_autumn_a_month_of_berlin_is_an_hour_longer() {
    let fields = json!({"start_date": "2025-10-15", "billing_time": "calendar", "time_zone": "Europe/Berlin",
        "proration": {"unit": "second"}});
    let mut scene = Scene::new(&[fixed("Base", 100), calls("0.01")], fields).await;
    scene.until("2025-10-31T23:00:00Z").await;
    scene.used("2025-10-26T00:30:00Z", 1).await; // half past two, for the first time
    scene.used("2025-10-26T01:30:00Z", 2).await; // and for the second
    scene.used("2025-10-31T22:59:59Z", 4).await;
    scene.used("2025-10-31T23:00:00Z", 80).await;
    scene.until("2025-12-01").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-10-14T22:00:00 to 2025-10-31T23:00:00
      Base, 1472400 of 2682000 seconds: 54.90
      Calls × 7: 0.07
      total 54.97
    OPEN INV-2025-0002, 2025-10-31T23:00:00 to 2025-11-30T23:00:00
      Base: 100.00
      Calls × 80: 0.80
      total 100.80
    ");
}

#[tokio::test]
async fn a_trial_costs_nothing_and_is_followed_by_whole_months() {
    let setup = json!({"type": "FIXED", "display_name": "Setup", "unit_price": 500, "one_time": true});
    let charges = [advance("Base", 31), setup, calls("0.10")];
    let mut scene = Scene::new(&charges, json!({"trial_end_date": "2025-01-15"})).await;
    scene.until("2025-01-14").await;
    scene.used("2025-01-14T00:00:00Z", 1000).await; // in the trial
    assert_eq!((scene.status().await.as_str(), scene.billed().await.as_str()), ("TRIAL", ""));
    scene.until("2025-02-01").await;
    scene.used("2025-01-20T00:00:00Z", 7).await;
    scene.until("2025-02-15T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-15 to 2025-02-15
      Base: 31.00
      Setup: 500.00
      total 531.00
    OPEN INV-2025-0002, 2025-01-15 to 2025-02-15
      Calls × 7: 0.70
      Base: 31.00
      total 31.70
    ");
}

#[tokio::test]
async fn every_three_months_beside_every_month() {
    let every_three = |mut charge: Value| {
        charge["billing_interval"] = json!("month");
        charge["interval_count"] = json!(3);
        charge
    };
    let charges = [fixed("Base", 30), every_three(fixed("Support", 90)), every_three(advance("Hosting", 90))];
    let mut scene = Scene::new(&charges, json!({"start_date": "2025-01-31"})).await;
    scene.until("2025-05-15").await;
    scene.act("cancel", json!({"cancel_at_period_end": false})).await;
    scene.until("2025-06-01").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-31 to 2025-02-28
      Hosting: 90.00
      total 90.00
    OPEN INV-2025-0002, 2025-01-31 to 2025-02-28
      Base: 30.00
      total 30.00
    OPEN INV-2025-0003, 2025-02-28 to 2025-03-31
      Base: 30.00
      total 30.00
    OPEN INV-2025-0004, 2025-03-31 to 2025-04-30
      Base: 30.00
      Support: 90.00
      Hosting: 90.00
      total 210.00
    PAID INV-2025-0005, 2025-04-30 to 2025-05-15
      Base, 15 of 31 days: 14.52
      Support, 15 of 92 days: 14.67
      Unused time on Hosting, 77 of 92 days: -75.33
      total -46.14
    ");
}

#[tokio::test]
async fn yen_have_no_parts() {
    let mut scene = Scene::new(&[], json!({"start_date": "2027-01-01"})).await;
    let charges = [fixed("Base", 1000), calls("0.3")];
    let plan = scene.plan_in("JPY", "Tokyo", "month", &charges).await;
    let fields = json!({"start_date": "2025-01-15", "billing_time": "calendar", "time_zone": "Asia/Tokyo"});
    scene.subscription = scene.subscribed(&plan, fields).await;
    scene.until("2025-01-30").await;
    scene.used("2025-01-29T00:00:00Z", 5).await;
    scene.until("2025-02-11").await;
    scene.act("pause", Value::Null).await;
    scene.until("2025-03-02").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-14T15:00:00 to 2025-01-31T15:00:00
      Base, 17 of 31 days: 548
      Calls × 5: 2
      total 550
    OPEN INV-2025-0002, 2025-01-31T15:00:00 to 2025-02-28T15:00:00
      Base, 10 of 28 days: 357
      Calls × 0: 0
      total 357
    ");
}

#[tokio::test]
async fn an_agreed_end_cuts_the_last_month() {
    let charges = [advance("Base", 31), fixed("Support", 30), calls("0.10")];
    let mut scene = Scene::new(&charges, json!({"end_date": "2025-03-10"})).await;
    scene.until("2025-03-11").await;
    scene.used("2025-03-10T23:59:59Z", 10).await;
    scene.used("2025-03-11T00:00:00Z", 1000).await;
    scene.until("2025-05-01").await;
    insta::assert_snapshot!(format!("{}{}\n", scene.billed().await, scene.status().await), @"
    OPEN INV-2025-0001, 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    OPEN INV-2025-0002, 2025-01-01 to 2025-02-01
      Support: 30.00
      Calls × 0: 0.00
      Base: 31.00
      total 61.00
    OPEN INV-2025-0003, 2025-02-01 to 2025-03-01
      Support: 30.00
      Calls × 0: 0.00
      Base, 10 of 31 days: 10.00
      total 40.00
    OPEN INV-2025-0004, 2025-03-01 to 2025-03-11
      Support, 10 of 31 days: 9.68
      Calls × 10: 1.00
      total 10.68
    CANCELED
    ");
}

#[tokio::test]
async fn the_30th_of_january_comes_to_the_29th_of_a_leap_february() {
    let mut scene = Scene::new(&[], json!({"start_date": "2029-01-01"})).await;
    let plan = scene.plan("Leap", "month", &[fixed("Base", 30)]).await;
    scene.until("2028-01-30").await;
    scene.subscription = scene.subscribed(&plan, json!({"start_date": "2028-01-30"})).await;
    scene.until("2028-04-30T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2028-0001, 2028-01-30 to 2028-02-29
      Base: 30.00
      total 30.00
    OPEN INV-2028-0002, 2028-02-29 to 2028-03-30
      Base: 30.00
      total 30.00
    OPEN INV-2028-0003, 2028-03-30 to 2028-04-30
      Base: 30.00
      total 30.00
    ");
}

#[tokio::test]
async fn an_anchor_on_the_31st_cuts_the_first_month() {
    let fields = json!({"start_date": "2025-01-15", "billing_anchor": "2024-12-31"});
    let mut scene = Scene::new(&[advance("Base", 31), fixed("Support", 62)], fields).await;
    scene.until("2025-03-31T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-15 to 2025-01-31
      Base, 16 of 31 days: 16.00
      total 16.00
    OPEN INV-2025-0002, 2025-01-15 to 2025-01-31
      Support, 16 of 31 days: 32.00
      Base: 31.00
      total 63.00
    OPEN INV-2025-0003, 2025-01-31 to 2025-02-28
      Support: 62.00
      Base: 31.00
      total 93.00
    OPEN INV-2025-0004, 2025-02-28 to 2025-03-31
      Support: 62.00
      Base: 31.00
      total 93.00
    ");
}

#[tokio::test]
async fn quarters_of_the_calendar_begin_with_what_is_left_of_one() {
    let mut scene = Scene::new(&[], json!({"start_date": "2027-01-01"})).await;
    let plan = scene.plan("Quarterly", "month", &[advance("Base", 90), calls("0.10")]).await;
    let fields = json!({"start_date": "2025-02-15", "billing_time": "calendar", "billing_interval": "month",
        "interval_count": 3});
    scene.subscription = scene.subscribed(&plan, fields).await;
    scene.until("2025-03-31").await;
    scene.used("2025-03-31T00:00:00Z", 10).await;
    scene.until("2025-07-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-02-15 to 2025-04-01
      Base, 45 of 90 days: 45.00
      total 45.00
    OPEN INV-2025-0002, 2025-02-15 to 2025-04-01
      Calls × 10: 1.00
      Base: 90.00
      total 91.00
    OPEN INV-2025-0003, 2025-04-01 to 2025-07-01
      Calls × 0: 0.00
      Base: 90.00
      total 90.00
    ");
}

#[tokio::test]
async fn weeks_of_new_york_begin_on_mondays_there() {
    let mut scene = Scene::new(&[], json!({"start_date": "2027-01-01"})).await;
    let plan = scene.plan("Weekly", "week", &[fixed("Base", 7), calls("0.10")]).await;
    let fields =
        json!({"start_date": "2025-03-05", "billing_time": "calendar", "time_zone": "America/New_York"});
    scene.subscription = scene.subscribed(&plan, fields).await;
    scene.until("2025-03-10T04:00:00Z").await; // the clocks went forward on Sunday
    scene.used("2025-03-10T03:59:59Z", 10).await;
    scene.used("2025-03-10T04:00:00Z", 100).await;
    scene.until("2025-03-17T06:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-03-05T05:00:00 to 2025-03-10T04:00:00
      Base, 5 of 7 days: 5.00
      Calls × 10: 1.00
      total 6.00
    OPEN INV-2025-0002, 2025-03-10T04:00:00 to 2025-03-17T04:00:00
      Base: 7.00
      Calls × 100: 10.00
      total 17.00
    ");
}

#[tokio::test]
async fn a_day_of_25_hours_costs_as_much_as_any_other() {
    let mut scene = Scene::new(&[], json!({"start_date": "2027-01-01"})).await;
    let plan = scene.plan("Daily", "day", &[fixed("Base", 24), calls("1")]).await;
    let fields = json!({"start_date": "2025-10-25", "end_date": "2025-10-27", "time_zone": "Europe/Berlin"});
    scene.subscription = scene.subscribed(&plan, fields).await;
    scene.until("2025-10-26T23:00:00Z").await;
    scene.used("2025-10-26T22:59:59Z", 5).await; // of the long day
    scene.until("2025-10-28T12:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-10-24T22:00:00 to 2025-10-25T22:00:00
      Base: 24.00
      Calls × 0: 0.00
      total 24.00
    OPEN INV-2025-0002, 2025-10-25T22:00:00 to 2025-10-26T23:00:00
      Base: 24.00
      Calls × 5: 5.00
      total 29.00
    OPEN INV-2025-0003, 2025-10-26T23:00:00 to 2025-10-27T23:00:00
      Base: 24.00
      Calls × 0: 0.00
      total 24.00
    ");
}

#[tokio::test]
async fn dinars_have_three_decimals() {
    let mut scene = Scene::new(&[], json!({"start_date": "2027-01-01"})).await;
    let plan = scene.plan_in("KWD", "Kuwait", "month", &[advance("Base", 10), calls("0.0005")]).await;
    let fields = json!({"start_date": "2025-01-15", "billing_time": "calendar", "time_zone": "Asia/Kuwait"});
    scene.subscription = scene.subscribed(&plan, fields).await;
    scene.until("2025-01-30").await;
    scene.used("2025-01-29T00:00:00Z", 3).await;
    scene.until("2025-02-01T02:00:00Z").await;
    insta::assert_snapshot!(scene.billed().await, @"
    OPEN INV-2025-0001, 2025-01-14T21:00:00 to 2025-01-31T21:00:00
      Base, 17 of 31 days: 5.484
      total 5.484
    OPEN INV-2025-0002, 2025-01-14T21:00:00 to 2025-01-31T21:00:00
      Calls × 3: 0.002
      Base: 10.000
      total 10.002
    ");
}
