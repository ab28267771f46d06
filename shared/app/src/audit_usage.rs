//! The audit of usage: every total once more from the events themselves, beside what is stored.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{Datelike, Timelike};
use domain::{
    commit::{Bucket, HeadWrite},
    event::{Event, Revision},
    head::Head,
    hours::Hours,
    id::{CustomerId, MeterId, OrganizationId},
    meter::Meter,
    month::Month,
    quantity::QuantityOverflow,
    refold::Refold,
    revision::Corrections,
    series::Range,
    totals::Totals,
};
use store::{CommitOutcome, HeadId, PageRequest, Position, Store, StoreError};

use crate::AppError;

/// What the audit of one organization has looked at, and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Customers' months.
    pub heads: u64,
    /// Events, each once.
    pub events: u64,
    /// Everything that is not as the events say.
    pub findings: Vec<Finding>,
}

/// Something that is not as the events say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which meter.
    pub meter: MeterId,
    /// Whose.
    pub customer: CustomerId,
    /// In which month.
    pub month: Month,
    /// What is wrong, for people.
    pub what: String,
    /// Whether it was put right.
    pub is_repaired: bool,
}

/// Events of one month whose identities are held to find one that is there twice.
const IDENTITIES_MAX: u64 = 5_000_000;

/// How often a head is looked at again that changes meanwhile.
const ATTEMPTS_MAX: usize = 20;

/// Rebuilds every total of an organization from its events and compares; puts right what is wrong if
/// `repairs`. `progress` is told of every meter.
///
/// Errors: those of the store.
pub async fn audit(
    store: &Store,
    organization: OrganizationId,
    repairs: bool,
    progress: impl Fn(&Meter),
) -> Result<Audit, AppError> {
    let mut audit = Audit::default();
    let mut position = Position::Number(1);
    loop {
        let page = store.list_meters(organization, &PageRequest { position, size: 100 }).await?;
        for meter in &page.rows {
            progress(meter);
            for month in store.list_months(organization, meter.id).await? {
                for (customer, head) in store.list_heads(organization, meter.id, month).await? {
                    let id = HeadId { organization, meter: meter.id, customer, month };
                    audit_head(store, id, meter, head, repairs, &mut audit).await?;
                }
            }
        }
        match page.next_cursor.as_deref().and_then(Position::from_cursor) {
            Some(next) => position = next,
            None => return Ok(audit),
        }
    }
}

async fn audit_head(
    store: &Store,
    id: HeadId,
    meter: &Meter,
    mut head: Head,
    repairs: bool,
    audit: &mut Audit,
) -> Result<(), AppError> {
    for _ in 0..ATTEMPTS_MAX {
        let counted = recount(store, id, meter, &head).await?;
        let stored = store.get_hours(id, hourly_days(&head)).await?;
        if stored.values().any(|(version, _)| *version > head.version) {
            head = store.get_head(id).await?; // sealed in between
            continue;
        }
        let wrong = differences(&head, &stored, &counted)?;
        let mut is_repaired = false;
        if repairs && !wrong.is_empty() {
            let outcome = store.commit_head(id, &repaired(&head, &counted)).await?;
            if outcome == CommitOutcome::Conflict {
                head = store.get_head(id).await?;
                continue;
            }
            is_repaired = true;
        }
        audit.heads += 1;
        audit.events += counted.members;
        let HeadId { meter, customer, month, .. } = id;
        let finding = |what| Finding { meter, customer, month, what, is_repaired };
        audit.findings.extend(wrong.into_iter().map(finding));
        return Ok(());
    }
    Err(AppError::Unavailable("a head changes too often to be audited".into()))
}

fn hourly_days(head: &Head) -> Vec<u32> {
    (1..=31).filter(|day| head.hourly.contains(*day)).collect()
}

/// What the events of a month say.
struct Recount {
    members: u64,
    corrections: u64,
    twice: u64,
    days: BTreeMap<u32, Result<Totals, QuantityOverflow>>,
    hours: BTreeMap<u32, BTreeMap<u32, Result<Totals, QuantityOverflow>>>,
}

async fn recount(store: &Store, id: HeadId, meter: &Meter, head: &Head) -> Result<Recount, AppError> {
    let counting = meter.counting();
    let sealed = store.list_corrections(id, head).await?;
    let corrections = Corrections::among(sealed.iter().chain(&head.tail));
    let mut days = BTreeMap::new();
    let mut hours = BTreeMap::new();
    let (mut members, mut twice, mut seen) = (0, 0, HashSet::new());
    let mut see = |event: &dyn Fn() -> (i64, String), is_held: bool| {
        members += 1;
        twice += u64::from(is_held && !seen.insert(event()));
    };
    let is_held = head.members <= IDENTITIES_MAX;
    let fold_of = |bucket: Bucket| {
        let (corrections, range) = (&corrections, bucket.range(id.month));
        move || Refold::new(counting, corrections.clone(), range)
    };
    for event in head.tail.iter().filter(|event| event.revision == Revision::First) {
        see(&|| (event.occurred_at.timestamp_millis(), event.key.clone()), is_held);
        let day = event.occurred_at.day();
        days.entry(day).or_insert_with(fold_of(Bucket { day, hour: None })).add(event);
    }
    let whole = Range { from: id.month.start(), until: id.month.end() };
    store
        .visit_members::<StoreError>(id, head, &[whole], |row| {
            let at = row.occurred_at();
            see(&|| (at.timestamp_millis(), row.key().into_owned()), is_held);
            let (day, hour) = (at.day(), at.hour());
            days.entry(day).or_insert_with(fold_of(Bucket { day, hour: None })).add(row);
            if head.hourly.contains(day) {
                let bucket = Bucket { day, hour: Some(hour) };
                hours.entry((day, hour)).or_insert_with(fold_of(bucket)).add(row);
            }
            Ok(())
        })
        .await?;
    let days = days.into_iter().map(|(day, fold)| (day, fold.finish())).collect();
    let mut by_day = BTreeMap::<_, BTreeMap<_, _>>::new();
    for ((day, hour), fold) in hours {
        by_day.entry(day).or_default().insert(hour, fold.finish());
    }
    let in_tail = head.tail.iter().filter(|event| event.revision != Revision::First).count();
    let corrections = (sealed.len() + in_tail) as u64;
    Ok(Recount { members, corrections, twice, days, hours: by_day })
}

/// What is not as the events say, for people.
fn differences(
    head: &Head,
    hours: &BTreeMap<u32, (u64, Hours)>,
    counted: &Recount,
) -> Result<Vec<String>, AppError> {
    let mut wrong = Vec::new();
    let mut number = |what: &str, stored: u64, counted: u64| {
        if stored != counted {
            wrong.push(format!("{what}: {stored} stored, {counted} found"));
        }
    };
    number("events", head.members, counted.members);
    number("corrections", head.corrections, counted.corrections);
    number("events that are there twice", 0, counted.twice);
    let days = head.days.keys().chain(counted.days.keys()).collect::<BTreeSet<_>>();
    for day in days {
        let found = exact(counted.days.get(day))?;
        if head.days.get(day).copied() != found {
            wrong.push(format!("day {day}: {:?} stored, {found:?} found", head.days.get(day)));
        }
    }
    for (day, (_, stored)) in hours {
        let found = counted.hours.get(day);
        for hour in 0..24 {
            let found = exact(found.and_then(|hours| hours.get(&hour)))?;
            let stored = stored.totals.get(&hour).copied().filter(|totals| totals.events > 0);
            if stored != found {
                wrong.push(format!("day {day}, hour {hour}: {stored:?} stored, {found:?} found"));
            }
        }
    }
    Ok(wrong)
}

/// Totals with anything in them.
fn exact(totals: Option<&Result<Totals, QuantityOverflow>>) -> Result<Option<Totals>, AppError> {
    let totals = totals.cloned().transpose().map_err(AppError::internal)?;
    Ok(totals.filter(|totals| totals.events > 0))
}

/// The head with the totals that its events say, tail and segments as they are.
fn repaired(head: &Head, counted: &Recount) -> HeadWrite {
    let exact = |totals: &BTreeMap<u32, Result<Totals, QuantityOverflow>>| {
        let totals = totals.iter().filter_map(|(place, totals)| Some((*place, (*totals).ok()?)));
        totals.filter(|(_, totals)| totals.events > 0).collect::<BTreeMap<_, _>>()
    };
    let (members, corrections) = (counted.members, counted.corrections);
    let head_as_found = Head { members, corrections, days: exact(&counted.days), ..head.clone() };
    let hours = hourly_days(head).into_iter().map(|day| {
        let totals = counted.hours.get(&day).map(&exact).unwrap_or_default();
        (day, Hours { totals })
    });
    HeadWrite::Seal { head: head_as_found, segments: Vec::new(), hours: hours.collect() }
}
