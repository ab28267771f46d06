//! The audit finds whatever is not as the events say, and puts right what can be.

use std::collections::HashMap;

use app::{
    audit_usage::{Audit, Repairs, audit},
    ingest_usage,
};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    commit::HeadWrite,
    head::{Head, Sealed},
    id::CustomerId,
    meter::{Aggregation, DeduplicateBy, Meter},
    month::Month,
};
use fluxrate_bench::{rig::Rig, traffic::Traffic};
use store::HeadId;
use testkit::Line;

type Item = HashMap<String, AttributeValue>;

/// A meter of two customers with 9,000 events each, in segments and totals by hour.
struct Dense {
    rig: Rig,
    meter: Meter,
    traffic: Traffic,
    second: i64,
}

fn start() -> DateTime<Utc> {
    "2025-01-15T12:00:00Z".parse().unwrap()
}

impl Dense {
    async fn new() -> Self {
        let rig = Rig::new(start(), Line::counting()).await.unwrap();
        let meter = rig.meter("audited", Aggregation::Sum, DeduplicateBy::KeyAndTimestamp).await.unwrap();
        let traffic = Traffic::new(rig.organization, meter.id, 2, 1);
        let mut dense = Self { rig, meter, traffic, second: 0 };
        dense.count(30).await;
        let right = dense.audit(Repairs::None).await;
        assert_eq!((right.heads, right.events, right.lost, right.findings), (2, 18_000, 0, vec![]));
        dense
    }

    /// Counts 300 events a second of both.
    async fn count(&mut self, seconds: i64) {
        for _ in 0..seconds {
            let at = start() + TimeDelta::seconds(self.second);
            let batch = self.traffic.batch(at, TimeDelta::seconds(1), 300);
            assert!(ingest_usage::count(&self.rig.platform, &batch).await.iter().all(Result::is_ok));
            self.second += 1;
        }
    }

    async fn audit(&self, repairs: Repairs) -> Audit {
        audit(&self.rig.platform.store, self.rig.organization, repairs, |_| {}).await.unwrap()
    }

    fn customer(&self) -> CustomerId {
        self.traffic.customers()[0]
    }

    fn id(&self) -> HeadId {
        let (organization, meter, month) = (self.rig.organization, self.meter.id, Month::of(start()));
        HeadId { organization, meter, customer: self.customer(), month }
    }

    async fn head(&self) -> Head {
        self.rig.platform.store.get_head(self.id()).await.unwrap()
    }

    /// The items of a kind whose sort key begins with `prefix`.
    async fn items(&self, kind: &str, prefix: &str) -> Vec<Item> {
        let page = self.rig.dynamo.client().scan().table_name("usage").send().await.unwrap();
        assert!(page.last_evaluated_key.is_none(), "one page has all of it");
        let partition_of = |item: &Item| item["pk"].as_s().unwrap().clone();
        let mut found = page.items.unwrap_or_default();
        found.retain(|item| {
            let (pk, sk) = (partition_of(item), item["sk"].as_s().unwrap());
            pk.contains(&format!("#{kind}#")) && sk.starts_with(prefix)
        });
        found.sort_by_key(|item| (partition_of(item), item["sk"].as_s().unwrap().clone()));
        found
    }

    async fn segments(&self) -> Vec<Item> {
        let mut segments = self.items("S", "").await;
        segments.retain(|item| !item["sk"].as_s().unwrap().starts_with("T#"));
        segments
    }

    async fn delete(&self, item: &Item) {
        let key = item.iter().filter(|(name, _)| ["pk", "sk"].contains(&name.as_str()));
        let key = key.map(|(name, value)| (name.clone(), value.clone())).collect();
        let request = self.rig.dynamo.client().delete_item().table_name("usage");
        request.set_key(Some(key)).send().await.unwrap();
    }

    async fn put(&self, item: Item) {
        let request = self.rig.dynamo.client().put_item().table_name("usage");
        request.set_item(Some(item)).send().await.unwrap();
    }

    /// That an audit finds what is wrong and puts it right, once it may.
    async fn is_found_and_repaired(&self, what: &str) {
        let found = self.audit(Repairs::None).await;
        assert!(found.findings.iter().any(|finding| finding.what.contains(what)), "{found:?}");
        assert!(found.findings.iter().all(|finding| !finding.is_repaired));
        assert_eq!(found.lost, 0);
        let repaired = self.audit(Repairs::WithoutLoss).await;
        assert!(repaired.findings.iter().all(|finding| finding.is_repaired), "{repaired:?}");
        assert_eq!(self.audit(Repairs::None).await.findings, vec![]);
    }
}

#[tokio::test]
async fn a_month_that_is_not_noted_is_found_and_noted_again() {
    let dense = Dense::new().await;
    let [note] = dense.items("M", "").await.try_into().unwrap();
    dense.delete(&note).await;
    dense.is_found_and_repaired("not noted").await;
    assert_eq!(dense.items("M", "").await, [note]);
}

#[tokio::test]
async fn a_head_that_is_gone_is_made_anew_from_its_segments() {
    let mut dense = Dense::new().await;
    let before = dense.head().await;
    let sealed = before.members - before.tail.len() as u64;
    for item in dense.items("H", "").await {
        dense.delete(&item).await;
        if dense.head().await.version == 0 {
            break;
        }
        dense.put(item).await;
    }
    dense.is_found_and_repaired("without their head").await;
    let after = dense.head().await;
    assert_eq!((after.members, after.version > before.version), (sealed, true));
    assert_eq!((after.hourly, after.has_sealed_corrections), (before.hourly, before.has_sealed_corrections));
    // It goes on as before.
    dense.count(5).await;
    let right = dense.audit(Repairs::None).await;
    assert_eq!((right.findings, dense.head().await.members), (vec![], sealed + 1500));
}

#[tokio::test]
async fn totals_by_hour_that_are_gone_are_found_and_folded_anew() {
    let mut dense = Dense::new().await;
    let hours = dense.items("S", "T#").await;
    assert_eq!(hours.len(), 2);
    dense.delete(&hours[0]).await;
    dense.is_found_and_repaired("totals by hour are not there").await;
    // Or they are folded anew when the day is sealed into next.
    dense.delete(&hours[0]).await;
    assert!(!dense.audit(Repairs::None).await.findings.is_empty());
    dense.count(2).await;
    assert_eq!(dense.audit(Repairs::None).await.findings, vec![]);
}

#[tokio::test]
async fn segments_that_no_reader_finds_are_found() {
    let dense = Dense::new().await;
    let head = dense.head().await;
    // The head has forgotten where they lie.
    let store = &dense.rig.platform.store;
    let forgetful = Head { sealed: Sealed::default(), ..head.clone() };
    store.commit_head(dense.id(), &HeadWrite::Put(forgetful)).await.unwrap();
    dense.is_found_and_repaired("does not know of").await;
    assert_eq!(dense.head().await.sealed, head.sealed);
    // It is older than they are, as if a stale copy had been put back.
    let stale = Head { version: 1, members: head.tail.len() as u64, ..head.clone() };
    let current = dense.head().await.version;
    store.restore_head(dense.id(), &stale, &[].into(), current).await.unwrap();
    dense.is_found_and_repaired("does not know of").await;
    assert_eq!(dense.head().await.members, head.members);
    // A copy of one lies where nobody looks.
    let mut copy = dense.segments().await.remove(0);
    let place = copy["sk"].as_s().unwrap().clone();
    let (_, rest) = place.split_once('#').unwrap();
    copy.insert("sk".into(), AttributeValue::S(format!("D{:06x}#{rest}", 30 * 86_400)));
    dense.put(copy).await;
    for repairs in [Repairs::None, Repairs::WithoutLoss, Repairs::AcceptingLoss] {
        let found = dense.audit(repairs).await;
        assert_eq!((found.events, found.lost), (18_000, 0));
        let [finding] = found.findings.as_slice() else { panic!("{found:?}") };
        assert!(
            finding.what.contains("do not belong into their window") && !finding.is_repaired,
            "{finding:?}"
        );
    }
}

#[tokio::test]
async fn totals_do_not_forget_what_is_lost_unless_that_is_accepted() {
    let dense = Dense::new().await;
    let segment = dense.segments().await.remove(0);
    dense.delete(&segment).await;
    let found = dense.audit(Repairs::None).await;
    assert!(found.lost > 0, "{found:?}");
    let refused = dense.audit(Repairs::WithoutLoss).await;
    assert_eq!(refused, found, "it says so still");
    let accepted = dense.audit(Repairs::AcceptingLoss).await;
    assert!(accepted.lost == found.lost && accepted.findings.iter().all(|finding| finding.is_repaired));
    let after = dense.audit(Repairs::None).await;
    assert_eq!((after.events, after.lost, after.findings), (18_000 - found.lost, 0, vec![]));
}
