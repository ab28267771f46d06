//! `make demo`, held against a computation of its own.

use std::{collections::BTreeMap, process::Stdio};

use rust_decimal::Decimal;
use testkit::workspace_root;
use tokio::process::Command;

use crate::client::World;

/// What the demo's events come to, the slow way: a list of events, a set of keys, a price per unit.
fn naive_total() -> Decimal {
    // The demo sends event n with key `request-n`, 1 + (7 n mod 13) calls, and every twentieth one twice.
    let sent = (0..10_000_u32).flat_map(|n| std::iter::repeat_n(n, if n % 20 == 0 { 2 } else { 1 }));
    let distinct = sent.map(|n| (format!("request-{n}"), 1 + 7 * n % 13)).collect::<BTreeMap<_, _>>();
    let calls = distinct.values().sum::<u32>();
    let price = |call: u32| match call {
        1..=1_000 => Decimal::new(20, 4),
        1_001..=10_000 => Decimal::new(10, 4),
        _ => Decimal::new(5, 4),
    };
    let usage = (1..=calls).map(price).sum::<Decimal>();
    Decimal::from(49) + usage.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero)
}

#[tokio::test]
async fn the_demos_invoice_is_exact_to_the_cent() {
    let world = World::new().await;
    let output = Command::new("python3")
        .arg(workspace_root().join("tools/demo.py"))
        .args(["--base", world.owner.base()])
        .stdout(Stdio::piped())
        .output()
        .await
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    let total = shown.lines().find_map(|line| line.trim().strip_prefix("total      USD "));
    assert_eq!(total.unwrap_or_else(|| panic!("{shown}")).parse(), Ok(naive_total()), "{shown}");
}
