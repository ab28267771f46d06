//! What changes, pauses and ends come to, before they are made.

use serde_json::{Value, json};

use super::{BY_DAY, Shop, advance, day, fixed, usage};

#[tokio::test]
async fn an_upgrade_splits_its_period() {
    let shop = Shop::new().await;
    let basic = shop.plan("Basic", &[advance("Basic", "30"), usage("Calls", "0.10")]).await;
    let pro = shop.plan("Pro", &[advance("Pro", "60"), usage("Calls", "0.05")]).await;
    let upgrade = |at: &str, proration: Value| {
        json!({"start_date": "2025-01-01", "periods": 2, "proration": proration,
            "changes": [{"at": at, "plan_id": pro}], "usage": [
                {"timestamp": "2025-01-15T23:59:59.999Z", "quantity": 100}, {"timestamp": "2025-01-16T00:00:00Z", "quantity": 10},
                {"timestamp": "2025-01-31T23:59:59.500Z", "quantity": 1}]})
    };
    insta::assert_snapshot!(shop.preview(&basic, upgrade("2025-01-16", BY_DAY())).await, @"
    2025-01-01
      Basic, 2025-01-01 to 2025-02-01: 30.00
      total 30.00
    2025-02-01
      Calls × 100, 2025-01-01 to 2025-01-16: 10.00
      Calls × 11, 2025-01-16 to 2025-02-01: 0.55
      Unused time on Basic, 2025-01-16 to 2025-02-01, 16 of 31 days: -15.48
      Remaining time on Pro, 2025-01-16 to 2025-02-01, 16 of 31 days: 30.97
      Pro, 2025-02-01 to 2025-03-01: 60.00
      total 86.04
    2025-03-01
      Calls × 0, 2025-02-01 to 2025-03-01: 0.00
      Pro, 2025-03-01 to 2025-04-01: 60.00
      total 60.00
    ");
    insta::assert_snapshot!(shop.preview(&basic, upgrade("2025-01-31T23:59:59Z", json!({}))).await, @"
    2025-01-01
      Basic, 2025-01-01 to 2025-02-01: 30.00
      total 30.00
    2025-02-01
      Calls × 110, 2025-01-01 to 2025-01-31T23:59:59: 11.00
      Calls, 2025-01-31T23:59:59 to 2025-02-01: 0.05
      Unused time on Basic, 2025-01-31T23:59:59 to 2025-02-01, 1 of 2678400 seconds: 0.00
      Remaining time on Pro, 2025-01-31T23:59:59 to 2025-02-01, 1 of 2678400 seconds: 0.00
      Pro, 2025-02-01 to 2025-03-01: 60.00
      total 71.05
    2025-03-01
      Calls × 0, 2025-02-01 to 2025-03-01: 0.00
      Pro, 2025-03-01 to 2025-04-01: 60.00
      total 60.00
    ");
    insta::assert_snapshot!(shop.preview(&basic, upgrade("2025-02-01", json!({}))).await, @"
    2025-01-01
      Basic, 2025-01-01 to 2025-02-01: 30.00
      total 30.00
    2025-02-01
      Calls × 111, 2025-01-01 to 2025-02-01: 11.10
      Pro, 2025-02-01 to 2025-03-01: 60.00
      total 71.10
    2025-03-01
      Calls × 0, 2025-02-01 to 2025-03-01: 0.00
      Pro, 2025-03-01 to 2025-04-01: 60.00
      total 60.00
    ");
    insta::assert_snapshot!(shop.preview(&basic, upgrade("2025-01-16", json!({"mode": "none"}))).await, @"
    2025-01-01
      Basic, 2025-01-01 to 2025-02-01: 30.00
      total 30.00
    2025-02-01
      Calls × 100, 2025-01-01 to 2025-01-16: 10.00
      Calls × 11, 2025-01-16 to 2025-02-01: 0.55
      Pro, 2025-02-01 to 2025-03-01: 60.00
      total 70.55
    2025-03-01
      Calls × 0, 2025-02-01 to 2025-03-01: 0.00
      Pro, 2025-03-01 to 2025-04-01: 60.00
      total 60.00
    ");
    insta::assert_snapshot!(shop.preview(&basic, upgrade("2025-01-16", json!({"mode": "full"}))).await, @"
    2025-01-01
      Basic, 2025-01-01 to 2025-02-01: 30.00
      total 30.00
    2025-02-01
      Calls × 100, 2025-01-01 to 2025-01-16: 10.00
      Calls × 11, 2025-01-16 to 2025-02-01: 0.55
      Unused time on Basic, 2025-01-16 to 2025-02-01, 2678400 of 2678400 seconds: -30.00
      Remaining time on Pro, 2025-01-16 to 2025-02-01: 60.00
      Pro, 2025-02-01 to 2025-03-01: 60.00
      total 100.55
    2025-03-01
      Calls × 0, 2025-02-01 to 2025-03-01: 0.00
      Pro, 2025-03-01 to 2025-04-01: 60.00
      total 60.00
    ");
    // And back again, twice within a period.
    let changes = json!({"start_date": "2025-01-01", "periods": 1, "proration": BY_DAY(),
        "changes": [{"at": "2025-01-11", "plan_id": pro}, {"at": "2025-01-21", "plan_id": basic}]});
    insta::assert_snapshot!(shop.preview(&basic, changes).await, @"
    2025-01-01
      Basic, 2025-01-01 to 2025-02-01: 30.00
      total 30.00
    2025-02-01
      Calls × 0, 2025-01-01 to 2025-02-01: 0.00
      Calls × 0, 2025-01-11 to 2025-01-21: 0.00
      Unused time on Basic, 2025-01-11 to 2025-02-01, 21 of 31 days: -20.32
      Remaining time on Pro, 2025-01-11 to 2025-02-01, 21 of 31 days: 40.65
      Unused time on Pro, 2025-01-21 to 2025-02-01, 11 of 31 days: -21.29
      Remaining time on Basic, 2025-01-21 to 2025-02-01, 11 of 31 days: 10.65
      Basic, 2025-02-01 to 2025-03-01: 30.00
      total 39.69
    ");
}

#[tokio::test]
async fn seats_come_and_go() {
    let shop = Shop::new().await;
    let seats = |in_advance: bool| {
        [
            fixed("Base", "199"),
            json!({"type": "FIXED", "display_name": "Seats", "unit_price": 5, "quantity": 10, "in_advance": in_advance}),
        ]
    };
    let changes = json!({"start_date": "2025-04-01", "periods": 2, "proration": BY_DAY(),
        "changes": [{"at": "2025-04-16", "quantity": 13}, {"at": "2025-04-26", "quantity": 4}]});
    let advance = shop.plan("Advance", &seats(true)).await;
    insta::assert_snapshot!(shop.preview(&advance, changes.clone()).await, @"
    2025-04-01
      Seats × 10, 2025-04-01 to 2025-05-01: 50.00
      total 50.00
    2025-05-01
      Base, 2025-04-01 to 2025-05-01: 199.00
      Unused time on Seats × 10, 2025-04-16 to 2025-05-01, 15 of 30 days: -25.00
      Remaining time on Seats × 13, 2025-04-16 to 2025-05-01, 15 of 30 days: 32.50
      Unused time on Seats × 13, 2025-04-26 to 2025-05-01, 5 of 30 days: -10.83
      Remaining time on Seats × 4, 2025-04-26 to 2025-05-01, 5 of 30 days: 3.33
      Seats × 4, 2025-05-01 to 2025-06-01: 20.00
      total 219.00
    2025-06-01
      Base, 2025-05-01 to 2025-06-01: 199.00
      Seats × 4, 2025-06-01 to 2025-07-01: 20.00
      total 219.00
    ");
    let arrears = shop.plan("Arrears", &seats(false)).await;
    insta::assert_snapshot!(shop.preview(&arrears, changes).await, @"
    2025-05-01
      Base, 2025-04-01 to 2025-05-01: 199.00
      Seats × 10, 2025-04-01 to 2025-04-16, 15 of 30 days: 25.00
      Seats × 13, 2025-04-16 to 2025-04-26, 10 of 30 days: 21.67
      Seats × 4, 2025-04-26 to 2025-05-01, 5 of 30 days: 3.33
      total 249.00
    2025-06-01
      Base, 2025-05-01 to 2025-06-01: 199.00
      Seats × 4, 2025-05-01 to 2025-06-01: 20.00
      total 219.00
    ");
}

#[tokio::test]
async fn a_pause_and_an_end_close_what_is_open() {
    let shop = Shop::new().await;
    let plan = shop.plan("Pro", &[advance("Base", "31"), fixed("Support", "62"), usage("Calls", "1")]).await;
    let usage = json!([{"timestamp": "2025-01-05T00:00:00Z", "quantity": 7}, {"timestamp": "2025-01-15T00:00:00Z", "quantity": 100},
        {"timestamp": "2025-01-25T00:00:00Z", "quantity": 5}]);
    let with = |changes: Value| json!({"start_date": "2025-01-01", "periods": 3, "proration": BY_DAY(), "usage": usage, "changes": changes});
    insta::assert_snapshot!(
        shop.preview(&plan, with(json!([{"at": "2025-01-11", "pause": true}, {"at": "2025-01-21", "resume": true}]))).await, @"
    2025-01-01
      Base, 2025-01-01 to 2025-02-01: 31.00
      total 31.00
    2025-02-01
      Support, 2025-01-01 to 2025-01-11, 10 of 31 days: 20.00
      Support, 2025-01-21 to 2025-02-01, 11 of 31 days: 22.00
      Calls × 12, 2025-01-01 to 2025-02-01: 12.00
      Unused time on Base, 2025-01-11 to 2025-02-01, 21 of 31 days: -21.00
      Remaining time on Base, 2025-01-21 to 2025-02-01, 11 of 31 days: 11.00
      Base, 2025-02-01 to 2025-03-01: 31.00
      total 75.00
    2025-03-01
      Support, 2025-02-01 to 2025-03-01: 62.00
      Calls × 0, 2025-02-01 to 2025-03-01: 0.00
      Base, 2025-03-01 to 2025-04-01: 31.00
      total 93.00
    2025-04-01
      Support, 2025-03-01 to 2025-04-01: 62.00
      Calls × 0, 2025-03-01 to 2025-04-01: 0.00
      Base, 2025-04-01 to 2025-05-01: 31.00
      total 93.00
    ");
    insta::assert_snapshot!(shop.preview(&plan, with(json!([{"at": "2025-01-11", "pause": true}]))).await, @"
    2025-01-01
      Base, 2025-01-01 to 2025-02-01: 31.00
      total 31.00
    2025-02-01
      Support, 2025-01-01 to 2025-01-11, 10 of 31 days: 20.00
      Calls × 7, 2025-01-01 to 2025-01-11: 7.00
      Unused time on Base, 2025-01-11 to 2025-02-01, 21 of 31 days: -21.00
      total 6.00
    ");
    insta::assert_snapshot!(shop.preview(&plan, with(json!([{"at": "2025-01-11", "cancel": true}]))).await, @"
    2025-01-01
      Base, 2025-01-01 to 2025-02-01: 31.00
      total 31.00
    2025-01-11
      Support, 2025-01-01 to 2025-01-11, 10 of 31 days: 20.00
      Calls × 7, 2025-01-01 to 2025-01-11: 7.00
      Unused time on Base, 2025-01-11 to 2025-02-01, 21 of 31 days: -21.00
      total 6.00
    ");
    insta::assert_snapshot!(shop.preview(&plan, with(json!([{"at": "2025-02-01", "cancel": true}]))).await, @"
    2025-01-01
      Base, 2025-01-01 to 2025-02-01: 31.00
      total 31.00
    2025-02-01
      Support, 2025-01-01 to 2025-02-01: 62.00
      Calls × 112, 2025-01-01 to 2025-02-01: 112.00
      total 174.00
    ");
    let end =
        json!({"start_date": "2025-01-01", "end_date": "2025-02-14", "periods": 5, "proration": BY_DAY()});
    insta::assert_snapshot!(shop.preview(&plan, end).await, @"
    2025-01-01
      Base, 2025-01-01 to 2025-02-01: 31.00
      total 31.00
    2025-02-01
      Support, 2025-01-01 to 2025-02-01: 62.00
      Calls × 0, 2025-01-01 to 2025-02-01: 0.00
      Base, 2025-02-01 to 2025-02-15, 14 of 28 days: 15.50
      total 77.50
    2025-02-15
      Support, 2025-02-01 to 2025-02-15, 14 of 28 days: 31.00
      Calls × 0, 2025-02-01 to 2025-02-15: 0.00
      total 31.00
    ");
}

#[tokio::test]
async fn a_trial_is_not_billed() {
    let shop = Shop::new().await;
    let plan = shop.plan("Pro", &[advance("Base", "31"), usage("Calls", "1")]).await;
    let pro = shop.plan("Larger", &[advance("Larger", "62")]).await;
    let usage = json!([{"timestamp": "2025-01-14T23:59:59Z", "quantity": 100}, {"timestamp": "2025-01-15T00:00:00Z", "quantity": 7}]);
    let trial = |changes: Value| json!({"start_date": "2025-01-01", "trial_end_date": "2025-01-15", "periods": 1, "usage": usage, "changes": changes});
    insta::assert_snapshot!(shop.preview(&plan, trial(json!([]))).await, @"
    2025-01-15
      Base, 2025-01-15 to 2025-02-15: 31.00
      total 31.00
    2025-02-15
      Calls × 7, 2025-01-15 to 2025-02-15: 7.00
      Base, 2025-02-15 to 2025-03-15: 31.00
      total 38.00
    ");
    // Until it is over, plans come and go for nothing.
    insta::assert_snapshot!(shop.preview(&plan, trial(json!([{"at": "2025-01-10", "plan_id": pro}]))).await, @"
    2025-01-15
      Larger, 2025-01-15 to 2025-02-15: 62.00
      total 62.00
    ");
    assert_eq!(shop.preview(&plan, trial(json!([{"at": "2025-01-10", "cancel": true}]))).await, "");
    let calendar = json!({"start_date": "2025-01-01", "trial_end_date": "2025-01-15", "billing_time": "calendar",
        "proration": BY_DAY(), "periods": 2});
    insta::assert_snapshot!(shop.preview(&plan, calendar).await, @"
    2025-01-15
      Base, 2025-01-15 to 2025-02-01, 17 of 31 days: 17.00
      total 17.00
    2025-02-01
      Calls × 0, 2025-01-15 to 2025-02-01: 0.00
      Base, 2025-02-01 to 2025-03-01: 31.00
      total 31.00
    2025-03-01
      Calls × 0, 2025-02-01 to 2025-03-01: 0.00
      Base, 2025-03-01 to 2025-04-01: 31.00
      total 31.00
    ");
}

#[tokio::test]
async fn periods_follow_one_another_whatever_their_interval_becomes() {
    let shop = Shop::new().await;
    let monthly = shop.plan("Monthly", &[fixed("Base", "31")]).await;
    for (interval, expected) in [
        ("week", ["2025-01-01 2025-02-01", "2025-02-01 2025-02-05", "2025-02-05 2025-02-12"]),
        ("year", ["2025-01-01 2025-02-01", "2025-02-01 2026-01-01", "2026-01-01 2027-01-01"]),
    ] {
        let other = shop.plan_of(interval, interval, "USD", &[fixed("Base", "10")]).await;
        let changes = json!([{"at": "2025-01-15", "plan_id": other}]);
        let asked = json!({"start_date": "2025-01-01", "periods": 3, "changes": changes});
        let (status, preview) = shop.asked(&monthly, asked).await;
        assert_eq!(status, 200, "{preview}");
        let periods = preview["periods"].as_array().unwrap().iter();
        let periods = periods.map(|period| format!("{} {}", day(&period["start"]), day(&period["end"])));
        assert_eq!(periods.collect::<Vec<_>>(), expected, "{interval}");
    }
}
