//! The store on an embedded DynamoDB of its own.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use domain::{
    customer::{Address, Customer},
    event::Event,
    event::UsageEvent,
    head::Head,
    id::{Id, OrganizationId},
    meter::{Aggregation, Counting},
    month::Month,
    property::{Properties, Property},
    series::Range,
};
use store::{Change, CommitOutcome, CustomerFilter, HeadId, PageRequest, Position, Store, StoreError};
use testkit::EmbeddedDynamo;

const SUM: Counting<'static> = Counting { aggregation: Aggregation::Sum, property: "", filters: &[] };

async fn empty() -> (EmbeddedDynamo, Store) {
    let dynamo = EmbeddedDynamo::in_memory().await.unwrap();
    let store = Store::new(dynamo.client(), "core", "usage");
    store.create_tables().await.unwrap();
    store.create_tables().await.unwrap(); // again, as every start does
    (dynamo, store)
}

fn now() -> DateTime<Utc> {
    "2025-01-15T00:00:00Z".parse().unwrap()
}

fn id<K>(n: u8) -> Id<K> {
    Id::from_parts(now() + Duration::seconds(n.into()), [n; 10])
}

fn change(n: u8) -> Change {
    let audit: Id<()> = id(n);
    Change { organization: id(1), by: "test".into(), at: now(), id: audit.uuid() }
}

fn customer(n: u8, external_id: &str) -> Customer {
    Customer {
        id: id(n),
        name: format!("Customer {n}"),
        email: None,
        external_id: Some(external_id.into()),
        phone: None,
        billing_address: Address::default(),
        tax_id: None,
        tax_exemption: Default::default(),
        credits: Default::default(),
        metadata: Properties::from([("a".into(), Property::Number("1.50".into()))]),
        created_at: now(),
        updated_at: now(),
        version: 0,
    }
}

#[tokio::test]
async fn pages_by_number_and_by_cursor_have_every_row_once_newest_first() {
    let (_dynamo, store) = empty().await;
    for n in 0..45 {
        store.create_customer(&change(n), &customer(n, &n.to_string())).await.unwrap();
    }
    let expected = (0..45).rev().map(id).collect::<Vec<_>>();
    let organization: OrganizationId = id(1);
    let (mut by_number, mut by_cursor) = (Vec::new(), Vec::new());
    for number in 1..=5 {
        let request = PageRequest { position: Position::Number(number), size: 10 };
        let page = store.list_customers(organization, &CustomerFilter::default(), &request).await.unwrap();
        assert_eq!((page.total, page.next_cursor.is_some()), (45, number < 5));
        by_number.extend(page.rows.into_iter().map(|row| row.id));
    }
    let mut position = Some(Position::Number(1));
    while let Some(at) = position {
        let page = store
            .list_customers(organization, &CustomerFilter::default(), &PageRequest { position: at, size: 7 })
            .await
            .unwrap();
        position = page.next_cursor.map(|cursor| Position::from_cursor(&cursor).unwrap());
        by_cursor.extend(page.rows.into_iter().map(|row| row.id));
    }
    assert_eq!(by_number, expected);
    assert_eq!(by_cursor, expected);
    let request = PageRequest { position: Position::Number(1), size: 10 };
    assert_eq!(
        store.list_customers(id(2), &CustomerFilter::default(), &request).await.unwrap().total,
        0,
        "of another organization"
    );
}

#[tokio::test]
async fn a_value_that_is_taken_stops_the_whole_write() {
    let (_dynamo, store) = empty().await;
    let first = customer(10, "acme");
    store.create_customer(&change(10), &first).await.unwrap();
    let refused = store.create_customer(&change(11), &customer(11, "acme")).await;
    assert!(matches!(refused, Err(StoreError::Taken { field: "external_id" })), "{refused:?}");
    assert!(matches!(store.get_customer(id(1), id(11)).await, Err(StoreError::NotFound("customer"))));

    let stored = store.get_customer(id(1), id(10)).await.unwrap();
    assert_eq!(stored, Customer { version: 1, ..first });
    let renamed = Customer { external_id: Some("acme-2".into()), ..stored.clone() };
    store.update_customer(&change(12), &stored, &renamed).await.unwrap();
    let late = Customer { name: "Late".into(), ..stored.clone() };
    let stale = store.update_customer(&change(13), &stored, &late).await;
    assert!(matches!(stale, Err(StoreError::Conflict)), "{stale:?}");
    store.create_customer(&change(14), &customer(14, "acme")).await.unwrap();
    assert_eq!(store.find_customer_by_external_id(id(1), "acme-2").await.unwrap(), Some(id(10)));
}

#[tokio::test]
async fn a_key_stays_pinned_to_its_first_timestamp() {
    let (_dynamo, store) = empty().await;
    let whose = (id(1), id(2), id(3));
    let pin = async |key: &str, minutes| {
        store.pin_event(whose, key, now() + Duration::minutes(minutes), now()).await.unwrap()
    };
    assert_eq!(pin("k", 5).await, now() + Duration::minutes(5));
    assert_eq!(pin("k", 9).await, now() + Duration::minutes(5));
    assert_eq!(pin("k ", 9).await, now() + Duration::minutes(9), "another key");
}

#[tokio::test]
async fn a_large_batch_is_sealed_into_several_segments_and_read_back() {
    let (_dynamo, store) = empty().await;
    let head = HeadId { organization: id(1), meter: id(2), customer: id(3), month: Month::of(now()) };
    let event = |n: usize| UsageEvent {
        key: format!("{n}"),
        occurred_at: now() + Duration::milliseconds(n.try_into().unwrap()),
        ingested_at: now(),
        quantity: "1".parse().unwrap(),
        properties: Properties::from([("text".into(), Property::Text("x".repeat(1000)))]),
        metadata: Properties::new(),
        revision: domain::event::Revision::First,
    };
    let events = (0..600).map(event).collect::<Vec<_>>();
    let empty = Head::default();
    let draft = empty.sift(&[], &events).admit(SUM, &Default::default());
    assert!(draft.must_seal(), "600 events do not stay in a head");
    let write = draft.seal(SUM, Default::default()).unwrap();
    assert_eq!(store.commit_head(head, &write).await.unwrap(), CommitOutcome::Committed);
    assert_eq!(store.commit_head(head, &write).await.unwrap(), CommitOutcome::Conflict, "it was written");

    let stored = store.get_head(head).await.unwrap();
    assert_eq!((stored.version, stored.members, stored.tail.len()), (1, 600, 0));
    let whole = Range { from: head.month.start(), until: head.month.end() };
    let mut keys = Vec::new();
    let visit = |row: &store::Row<'_>| {
        keys.push(row.key().into_owned());
        Ok::<_, StoreError>(())
    };
    store.visit_members(head, &stored, &[whole], visit).await.unwrap();
    assert_eq!(keys.len(), 600);
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 600);
    assert_eq!(store.list_heads(id(1), id(2), head.month).await.unwrap(), [(id(3), stored)]);
    assert_eq!(store.list_months(id(1), id(2)).await.unwrap(), [head.month]);
}
