//! Request units of counting usage in batches: for each kind of traffic by the size of its batches, with keys pinned
//! and not, by one writer and by ten at once, who meet at the heads.

use std::ops::Range as Span;

use app::{ingest_usage, read_usage};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    event::TrackedEvent,
    meter::{Aggregation, DeduplicateBy, Meter},
    series::Range,
};
use futures::future::{join, join_all};
use testkit::Line;

use crate::{
    Scale, baseline,
    report::{Milli, Report, Row},
    rig::{Failure, Rig},
    traffic::Traffic,
    usage::{january, noon},
};

/// Writers at once, where there are several.
pub const WRITERS: u64 = 10;

/// The sizes of batches, and about how many events of each are counted.
const SIZES: [(u64, u32); 4] = [(10, 4000), (100, 8000), (1000, 20_000), (10_000, 50_000)];

/// Batches of 10,000 that come before those that are measured: windows have become as fine as they will.
const WARM_UP: u32 = 6;

/// A round of more events than this is for a whole run only.
const QUICK_ROUND_MAX: u64 = 1000;

/// Events of customers who all use something equally often.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// As the figures have it.
    pub(crate) name: &'static str,
    /// How many there are.
    pub(crate) customers: usize,
    /// From when on.
    pub(crate) from: DateTime<Utc>,
    /// The time from an event of a customer to the next.
    step: TimeDelta,
    /// What is said of it.
    heading: &'static str,
    /// At least so many are counted.
    events_min: u32,
    /// Why a larger batch than of ten is nothing of its own, if it is not.
    larger: Option<&'static str>,
}

/// What is measured of one row of the table.
#[derive(Clone, Copy)]
struct Cell {
    kind: Kind,
    by: DeduplicateBy,
    size: u64,
    writers: u64,
    /// About so many events.
    events: u32,
}

/// What counting and asking consumed.
struct Cost {
    events: u64,
    writes: Milli,
    reads: Milli,
    query: Milli,
    conflicts: Milli,
}

/// Measures all of the table.
///
/// Errors: if anything is not counted.
pub async fn measure(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    for kind in kinds(scale) {
        report.heading(kind.heading);
        report.columns();
        for writers in [1, WRITERS] {
            for by in [DeduplicateBy::KeyAndTimestamp, DeduplicateBy::Key] {
                for (size, events) in SIZES {
                    let events = scale.of(events).max(kind.events_min);
                    let cell = Cell { kind, by, size, writers, events };
                    measure_cell(report, scale, cell).await?;
                }
            }
            baseline::measure(report, scale, kind, writers).await?;
        }
    }
    Ok(())
}

fn kinds(scale: Scale) -> [Kind; 3] {
    let sparse = scale.of(300).max(10);
    [
        Kind {
            name: "dense",
            customers: 10,
            from: noon(),
            step: TimeDelta::milliseconds(1),
            heading: "In batches, dense: 10 customers of 1,000 events/s, a tenth of each batch from each of them",
            events_min: 0,
            larger: None,
        },
        Kind {
            name: "medium",
            customers: 10,
            from: january(),
            step: TimeDelta::minutes(1),
            heading: "In batches, medium: 10 customers of an event a minute, a tenth of each batch from each of them",
            events_min: 0,
            larger: None,
        },
        Kind {
            name: "sparse",
            customers: usize::try_from(sparse).unwrap_or(usize::MAX),
            from: january(),
            step: TimeDelta::days(1),
            heading: "In batches, sparse: customers of an event a day, each event of a batch from another of them",
            events_min: sparse * 31, // a whole month
            larger: Some("as of 10: every event of a batch is alone at its head"),
        },
    ]
}

async fn measure_cell(report: &mut Report, scale: Scale, cell: Cell) -> Result<(), Failure> {
    let Cell { kind, by, size, writers, .. } = cell;
    let is_pinned = by == DeduplicateBy::Key;
    let row = Row { batch: Some(size), writers, what: if is_pinned { "pinned" } else { "kept" } };
    if let Some(why) = kind.larger.filter(|_| size > 10) {
        report.no_row(row, why);
        return Ok(());
    }
    if scale != Scale::WHOLE && size * writers > QUICK_ROUND_MAX {
        report.no_row(row, "in a whole run only");
        return Ok(());
    }
    let cost = cost_of(report, scale, cell).await?;
    let name = format!(
        "{}_batch_{size}{}{}",
        kind.name,
        if is_pinned { "_pinned" } else { "" },
        if writers > 1 { "_10_writers" } else { "" }
    );
    report.row(
        row,
        cost.events,
        &[
            (&format!("wru_per_event_{name}"), cost.writes, "units"),
            (&format!("rru_per_event_{name}"), cost.reads, "units"),
            (&format!("rru_per_query_{name}"), cost.query, "units"),
            (&format!("conflicts_per_1000_events_{name}"), cost.conflicts, "conflicts"),
        ],
    );
    Ok(())
}

/// What it costs to count batches, and meanwhile to ask for what a customer used in the month.
async fn cost_of(report: &Report, scale: Scale, cell: Cell) -> Result<Cost, Failure> {
    let Cell { kind, by, size, writers, .. } = cell;
    let rig = Rig::new(kind.from, Line::counting().with_contention()).await?;
    let meter = rig.meter("bench", Aggregation::Sum, by).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, kind.customers, size);
    let mut from = kind.from;
    if scale == Scale::WHOLE && kind.larger.is_none() {
        for _ in 0..WARM_UP {
            let mut batch = kind.round(&mut traffic, &mut from, 10_000);
            // Nobody looks for their keys later, and what is not pinned is counted sooner.
            batch.iter_mut().for_each(|tracked| tracked.has_sender_key = false);
            rig.set_now(from);
            count_at_once(report, &rig, &[batch]).await?;
        }
    }
    let asking = rig.over(Line::counting());
    rig.line.take_consumed();
    let (before, mut asked) = (traffic.distinct, 0_u64);
    while traffic.distinct - before < u64::from(cell.events) {
        let round = kind.round(&mut traffic, &mut from, size * writers);
        rig.set_now(from);
        let batches = dealt(&round, round.len().div_ceil(usize::try_from(size + size / 10)?));
        for at_once in batches.chunks(usize::try_from(writers)?) {
            let customers = traffic.customers();
            let customer = customers.get(usize::try_from(asked)? % customers.len().max(1));
            let ask = async {
                let Some(customer) = customer.copied() else { return Ok(()) };
                total_of(&asking, &meter, customer, january()..january() + TimeDelta::days(31)).await
            };
            let (counted, answered) = join(count_at_once(report, &rig, at_once), ask).await;
            counted?;
            answered?;
            asked += 1;
        }
    }
    let events = traffic.distinct - before;
    let consumed = rig.line.take_consumed();
    Ok(Cost {
        events,
        writes: Milli::tenths_per(consumed.write_tenths, events),
        reads: Milli::tenths_per(consumed.read_tenths, events),
        query: Milli::tenths_per(asking.line.take_consumed().read_tenths, asked),
        conflicts: Milli::per(consumed.conflicts * 1000, events),
    })
}

impl Kind {
    /// The next `size` events, or an event of each customer if they are more.
    pub(crate) fn round(
        &self,
        traffic: &mut Traffic,
        from: &mut DateTime<Utc>,
        size: u64,
    ) -> Vec<TrackedEvent> {
        let each = size.div_ceil(self.customers as u64);
        let length = self.step * i32::try_from(each).unwrap_or(i32::MAX);
        let batch = traffic.batch(*from, length, each);
        *from += length;
        batch
    }
}

/// Deals out events to so many batches: what comes one after the other goes to different ones.
pub(crate) fn dealt(events: &[TrackedEvent], batches: usize) -> Vec<Vec<TrackedEvent>> {
    let deal = |batch| events.iter().skip(batch).step_by(batches.max(1)).cloned().collect();
    (0..batches.max(1)).map(deal).collect()
}

/// Counts batches at once; what could not be counted for so many at a head comes again.
async fn count_at_once(report: &Report, rig: &Rig, batches: &[Vec<TrackedEvent>]) -> Result<(), Failure> {
    let mut waiting = batches.to_vec();
    for attempt in 0.. {
        let outcomes = join_all(waiting.iter().map(|batch| ingest_usage::count(&rig.platform, batch))).await;
        let mut again = Vec::new();
        for (batch, outcomes) in waiting.iter().zip(outcomes) {
            let failed = batch.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_err());
            let failed = failed.map(|(tracked, _)| tracked.clone()).collect::<Vec<_>>();
            match outcomes.into_iter().find_map(Result::err) {
                Some(error) if batches.len() == 1 || attempt == 9 => return Err(error.into()),
                Some(_) => again.push(failed),
                None => {}
            }
        }
        if again.is_empty() {
            break;
        }
        report.progress(&format!("{} events have to come again", again.iter().map(Vec::len).sum::<usize>()));
        waiting = again;
    }
    Ok(())
}

/// Asks for the total of a customer.
async fn total_of(
    rig: &Rig,
    meter: &Meter,
    customer: domain::id::CustomerId,
    span: Span<DateTime<Utc>>,
) -> Result<(), Failure> {
    let range = Range { from: span.start, until: span.end };
    read_usage::total_of(&rig.platform, rig.organization, meter, customer, range).await?;
    Ok(())
}
