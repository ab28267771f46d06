//! The engine without any I/O, on one core: the fold of what was decoded, and the way from a message to segments,
//! whole and by its stages.

use std::collections::BTreeMap;

use app::port::Message;
use chrono::{DateTime, TimeDelta, Utc};
use codec::Block;
use criterion::BatchSize;
use domain::{
    commit::{Draft, HeadWrite, HoursSource, Sifted},
    event::{TrackedEvent, UsageEvent},
    head::Head,
    hours::Hours,
    id::{CustomerId, Id},
    meter::{Aggregation, Counting},
    month::Month,
    quantity::QuantityOverflow,
    totals::Fold,
    window::Window,
};

use crate::{
    Scale,
    report::Report,
    rig::Failure,
    timing::{Rate, Timing},
    traffic::Traffic,
};

const SUM: Counting<'static> = Counting { aggregation: Aggregation::Sum, property: "n", filters: &[] };

/// Seconds that have passed when the one comes that is measured: repeats are of the last twenty.
const SECONDS_BEFORE: u32 = 30;

/// Measures the fold and the way from a message to segments.
///
/// Errors: if anything is not as it should be.
pub fn measure(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    report.heading("One core, no I/O, timed by criterion");
    let mut timing = Timing::new(scale)?;
    let fold = fold(&mut timing, scale)?;
    let stages = ingest(&mut timing, scale)?;
    let fold = ("fold", fold, "target >= 20000000; of decoded events");
    for (name, Rate { wall, processor }, what) in [fold].into_iter().chain(stages) {
        report.figure(&format!("{name}_events_per_second"), wall, "events/s", what);
        report.figure(&format!("{name}_events_per_cpu_second"), processor, "events/s", "");
    }
    Ok(())
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_736_935_200, 0).unwrap_or_default() // 2025-01-15, 10:00
}

fn month() -> Month {
    Month::of(start())
}

/// Events per second of a SUM over decoded events.
///
/// Errors: if the sum is not exact.
fn fold(timing: &mut Timing, scale: Scale) -> Result<Rate, Failure> {
    let mut traffic = Traffic::new(id(1), id(2), 1, 1);
    let events = traffic.batch(start(), TimeDelta::seconds(10), scale.of(20_000).into());
    let events = events.into_iter().map(|tracked| tracked.event).collect::<Vec<_>>();
    let bytes = codec::encode_events(&events, month().start());
    let block = Block::decode(&bytes, month().start())?;
    let customer = CustomerId::from_uuid(uuid::Uuid::nil());
    let sum = || {
        let mut fold = Fold::new(SUM);
        block.rows().try_for_each(|row| fold.add_of(customer, &row).map(drop))?;
        Ok::<_, QuantityOverflow>(fold.events())
    };
    let folded = sum()?;
    timing.events_per_second("fold of decoded", folded, |bencher| bencher.iter(sum))
}

/// Events per second from a queue message to the bytes of segments: decoded, told from repeats, folded, encoded.
/// A batch of a second of dense traffic; 5 % are repeats, which are looked for in the segments of the windows that
/// they can lie in, as they are stored.
///
/// Errors: if a message or segment cannot be read.
fn ingest(timing: &mut Timing, scale: Scale) -> Result<[(&'static str, Rate, &'static str); 5], Failure> {
    let each = scale.of(1000).max(100);
    let mut traffic = Traffic::new(id(1), id(2), 10, 2);
    let mut stored = BTreeMap::<CustomerId, Stored>::new();
    let mut second = |second: u32| {
        let from = start() + TimeDelta::seconds(second.into());
        let batch = traffic.batch(from, TimeDelta::seconds(1), each.into());
        let message = |chunk: &[TrackedEvent]| wire::message::encode(&Message::CountUsage(chunk.to_vec()));
        batch.chunks(1000).map(message).collect::<Vec<_>>()
    };
    for n in 0..SECONDS_BEFORE {
        for (customer, events) in decoded(&second(n))? {
            let stored = stored.entry(customer).or_default();
            let written = stored.count(&events)?;
            stored.put(written);
        }
    }
    let messages = second(SECONDS_BEFORE);
    let groups = decoded(&messages)?;
    let events = groups.values().map(Vec::len).sum::<usize>() as u64;

    // What each stage leaves to the next, of every head.
    let of_heads = || groups.iter().filter_map(|(customer, events)| Some((stored.get(customer)?, events)));
    let found = of_heads().map(|(stored, events)| stored.found(events)).collect::<Result<Vec<_>, _>>()?;
    let sifted = of_heads().zip(&found).map(|((stored, events), found)| stored.head.sift(found, events));
    let sifted = sifted.collect::<Vec<_>>();
    let drafts = sifted.iter().cloned().map(admitted).collect::<Vec<_>>();

    let whole = timing.events_per_second("whole", events, |bencher| {
        bencher.iter(|| {
            let groups = decoded(&messages)?;
            let heads = groups.iter().filter_map(|(customer, events)| Some((stored.get(customer)?, events)));
            heads.map(|(stored, events)| stored.count(events)).collect::<Result<Vec<_>, _>>()
        });
    })?;
    let decode = timing.events_per_second("decode", events, |bencher| bencher.iter(|| decoded(&messages)))?;
    let dedupe = timing.events_per_second("dedupe", events, |bencher| {
        bencher.iter(|| {
            for (stored, events) in of_heads() {
                let found = stored.found(events)?;
                std::hint::black_box(stored.head.sift(&found, events));
            }
            Ok::<_, Failure>(())
        });
    })?;
    let fold = timing.events_per_second("fold", events, |bencher| {
        let admit = |sifted: Vec<Sifted<'_>>| sifted.into_iter().map(admitted).collect::<Vec<_>>();
        bencher.iter_batched(|| sifted.clone(), admit, BatchSize::PerIteration);
    })?;
    let encode = timing.events_per_second("encode", events, |bencher| {
        let encode = |drafts: Vec<Draft>| {
            let encoded = of_heads().zip(drafts).map(|((stored, _), draft)| stored.encoded(draft));
            encoded.collect::<Result<Vec<_>, _>>()
        };
        bencher.iter_batched(|| drafts.clone(), encode, BatchSize::PerIteration);
    })?;
    Ok([
        ("ingest", whole, "target >= 1000000; all of these four"),
        ("ingest_decode", decode, "messages read, by customer"),
        ("ingest_dedupe", dedupe, "segments read and searched"),
        ("ingest_fold", fold, "taken into the totals of heads"),
        ("ingest_encode", encode, "segments and heads written"),
    ])
}

/// The events of messages, by customer.
fn decoded(messages: &[String]) -> Result<BTreeMap<CustomerId, Vec<UsageEvent>>, Failure> {
    let mut groups = BTreeMap::<CustomerId, Vec<UsageEvent>>::new();
    for body in messages {
        let Message::CountUsage(events) = wire::message::decode(body)? else { continue };
        for TrackedEvent { customer, event, .. } in events {
            groups.entry(customer).or_default().push(event);
        }
    }
    Ok(groups)
}

fn admitted(sifted: Sifted<'_>) -> Draft {
    sifted.admit(SUM, &BTreeMap::new())
}

/// What DynamoDB has of a customer.
#[derive(Default)]
struct Stored {
    head: Head,
    segments: Vec<Segment>,
    hours: BTreeMap<u32, Hours>,
}

type Segment = (Option<Window>, Vec<u8>);

/// What a commit puts there.
struct Written {
    head: Head,
    segments: Vec<Segment>,
    hours: BTreeMap<u32, Hours>,
    /// The bytes of the head and of the totals by hour.
    others: Vec<Vec<u8>>,
}

impl Stored {
    /// What a commit does.
    fn count(&self, events: &[UsageEvent]) -> Result<Written, Failure> {
        let found = self.found(events)?;
        self.encoded(admitted(self.head.sift(&found, events)))
    }

    /// What of `events` may be in segments, found there.
    fn found(&self, events: &[UsageEvent]) -> Result<Vec<UsageEvent>, Failure> {
        let lookup = self.head.lookup(events);
        let mut found = Vec::new();
        for (window, bytes) in &self.segments {
            let is_inside = window.is_some_and(|window| {
                let mut runs = lookup.runs.iter().filter(|run| run.level == window.level);
                runs.any(|run| run.first <= window.start && window.start <= run.last)
            });
            if !is_inside {
                continue;
            }
            found.extend(Block::find(bytes, month().start(), &lookup.wanted)?.to_events());
        }
        Ok(found)
    }

    fn encoded(&self, draft: Draft) -> Result<Written, Failure> {
        let mut hours = BTreeMap::new();
        for (day, source) in draft.hours_wanted(SUM, &self.head) {
            let stored = self.hours.get(&day).filter(|_| source == HoursSource::Stored);
            hours.insert(day, stored.cloned().unwrap_or_default());
        }
        let HeadWrite::Seal { head, segments, hours } = draft.seal(SUM, hours)? else {
            return Err("a dense batch is sealed".into());
        };
        let encoded = |segment: &domain::commit::SegmentWrite| {
            (segment.window, codec::encode_events(&segment.events, month().start()))
        };
        let segments = segments.iter().map(encoded).collect();
        let mut others = vec![codec::encode_head(&head, month())];
        others.extend(hours.values().map(|hours| codec::encode_hours(hours, month())));
        Ok(Written { head, segments, hours, others })
    }

    fn put(&mut self, written: Written) {
        std::hint::black_box(written.others);
        self.head = Head { version: self.head.version + 1, ..written.head };
        self.segments.extend(written.segments);
        self.hours.extend(written.hours);
    }
}

fn id<K>(n: u128) -> Id<K> {
    Id::from_uuid(uuid::Uuid::from_u128(n))
}
