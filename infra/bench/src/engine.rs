//! The engine without any I/O, on one core.

use std::{collections::BTreeMap, time::Instant};

use app::port::Message;
use chrono::{DateTime, TimeDelta, Utc};
use codec::Block;
use domain::{
    commit::HeadWrite,
    event::{Event, TrackedEvent, UsageEvent},
    head::Head,
    id::{CustomerId, Id},
    meter::{Aggregation, Counting},
    month::Month,
    totals::Fold,
};

use crate::{
    report::{Report, per_second},
    rig::Failure,
    traffic::Traffic,
};

const SUM: Counting<'static> = Counting { aggregation: Aggregation::Sum, property: "n", filters: &[] };

/// Measures the fold and the way from a message to segments.
///
/// Errors: if anything is not as it should be.
pub fn measure(report: &mut Report) -> Result<(), Failure> {
    report.heading("One core, no I/O");
    report.figure("fold_events_per_second", fold()?, "events/s", "target >= 20000000");
    report.figure("ingest_events_per_second", ingest()?, "events/s", "target >= 1000000");
    Ok(())
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_736_935_200, 0).unwrap_or_default()
}

/// Events per second of a SUM over decoded events.
///
/// Errors: if the sum is not exact.
fn fold() -> Result<u64, Failure> {
    let mut traffic = Traffic::new(id(1), id(2), 1, 1);
    let events = traffic.batch(start(), TimeDelta::seconds(10), 20_000);
    let events = events.into_iter().map(|tracked| tracked.event).collect::<Vec<_>>();
    let bytes = codec::encode_events(&events, Month::of(start()).start());
    let block = Block::decode(&bytes, Month::of(start()).start())?;
    let customer = CustomerId::from_uuid(uuid::Uuid::nil());
    let (mut folded, began) = (0, Instant::now());
    while began.elapsed().as_millis() < 1500 {
        let mut fold = Fold::new(SUM);
        for row in block.rows() {
            fold.add_of(customer, &row)?;
        }
        folded += std::hint::black_box(fold.events());
    }
    Ok(per_second(folded, began.elapsed()))
}

/// Events per second from a queue message to the bytes of segments: decoded, told from repeats, folded, encoded.
/// Batches of 10,000 of ten customers; 5 % are repeats, which are looked for in decoded segments.
///
/// Errors: if a message or segment cannot be read.
fn ingest() -> Result<u64, Failure> {
    let mut traffic = Traffic::new(id(1), id(2), 10, 2);
    let mut messages = Vec::new();
    for second in 0..30 {
        let batch = traffic.batch(start() + TimeDelta::seconds(second), TimeDelta::seconds(1), 1000);
        messages.push(
            batch
                .chunks(1000)
                .map(|chunk| wire::message::encode(&Message::CountUsage(chunk.to_vec())))
                .collect::<Vec<_>>(),
        );
    }
    let mut heads = BTreeMap::<CustomerId, (Head, Vec<Vec<u8>>)>::new();
    let (mut counted, began) = (0, Instant::now());
    for batch in &messages {
        let mut groups = BTreeMap::<CustomerId, Vec<UsageEvent>>::new();
        for body in batch {
            let Message::CountUsage(events) = wire::message::decode(body)? else { continue };
            for TrackedEvent { customer, event, .. } in events {
                counted += 1;
                groups.entry(customer).or_default().push(event);
            }
        }
        for (customer, events) in groups {
            count(heads.entry(customer).or_default(), &events)?;
        }
    }
    Ok(per_second(counted, began.elapsed()))
}

/// What a commit does, with the last segments in the place of DynamoDB.
fn count((head, segments): &mut (Head, Vec<Vec<u8>>), events: &[UsageEvent]) -> Result<(), Failure> {
    let month = Month::of(start());
    let lookup = head.lookup(events);
    let mut found = Vec::new();
    if !lookup.is_empty() {
        for bytes in segments.iter().rev().take(8) {
            let block = Block::decode(bytes, month.start())?;
            for (at, key) in &lookup.wanted {
                found.extend(block.rows_at(*at).filter(|row| row.has_key(key)).map(|row| row.to_event()));
            }
        }
    }
    let draft = head.sift(&found, events).admit(SUM, &BTreeMap::new());
    if let HeadWrite::Seal { head: sealed, segments: written, .. } = draft.seal(SUM, BTreeMap::new())? {
        for segment in &written {
            segments.push(codec::encode_events(&segment.events, month.start()));
        }
        std::hint::black_box(codec::encode_head(&sealed, month));
        *head = sealed;
    }
    Ok(())
}

fn id<K>(n: u128) -> Id<K> {
    Id::from_uuid(uuid::Uuid::from_u128(n))
}
