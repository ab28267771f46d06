//! What the events of one month say, read from wherever they lie.

use std::{
    collections::{BTreeMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use chrono::{DateTime, Datelike, Timelike, Utc};
use domain::{
    commit::Bucket,
    event::{Event, Revision, UsageEvent},
    head::{DaySet, Head, Sealed},
    meter::{Counting, Meter},
    month::Month,
    quantity::QuantityOverflow,
    refold::Refold,
    revision::Corrections,
    totals::Totals,
    window::Level,
};
use store::{HeadId, Store, StoreError, StoredSegment};

/// Which segments are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those that the head knows of.
    Known,
    /// All that there are.
    All,
}

type Folded = Result<Totals, QuantityOverflow>;

/// What the events of a month say.
pub(super) struct Recount {
    pub(super) members: u64,
    pub(super) corrections: u64,
    /// How many are there once more; `None` if they are too many to tell.
    pub(super) twice: Option<u64>,
    pub(super) days: BTreeMap<u32, Folded>,
    pub(super) hours: BTreeMap<u32, BTreeMap<u32, Folded>>,
    /// Segments that the head does not know of.
    pub(super) strays: Strays,
    /// The newest version of any segment.
    pub(super) newest: u64,
}

/// Segments that a head does not know of, be it that nobody looks for events where they lie, or that they are newer.
#[derive(Default)]
pub(super) struct Strays {
    pub(super) segments: u64,
    pub(super) events: u64,
    /// The sort key of the first.
    pub(super) first: Option<String>,
    /// Whether any has events that do not belong into its window.
    pub(super) is_misplaced: bool,
    pub(super) has_corrections: bool,
    /// Where they lie.
    pub(super) sealed: Sealed,
    pub(super) finest: Level,
}

impl Recount {
    /// How many events and corrections the totals of `head` have, and are not there.
    pub(super) fn lost(&self, head: &Head) -> u64 {
        head.members.saturating_sub(self.members) + head.corrections.saturating_sub(self.corrections)
    }
}

/// Events of one month whose identities are held to find one that is there twice.
const IDENTITIES_MAX: usize = 20_000_000;

/// Folds everything in `scope`, and the tail of `head`. Totals by hour are those of the days in `hourly`.
pub(super) async fn recount(
    store: &Store,
    id: HeadId,
    meter: &Meter,
    (head, hourly): (&Head, DaySet),
    scope: Scope,
) -> Result<Recount, StoreError> {
    let mut fold = Folding::new(meter.counting(), id.month, hourly);
    let in_tail = |is_first: bool| {
        head.tail.iter().filter(move |event| (event.revision == Revision::First) == is_first)
    };
    fold.corrections.extend(in_tail(false).cloned());
    store
        .visit_segments::<StoreError>(id, |segment| {
            fold.newest = fold.newest.max(segment.version);
            let is_known = knows(head, segment);
            if !is_known {
                fold.strays.add(segment);
            }
            if !is_known && scope == Scope::Known {
                return Ok(());
            }
            match segment.window {
                None => fold.corrections.extend(segment.rows().map(|row| row.to_event())),
                Some(_) => segment.rows().for_each(|row| fold.add(&row, true)),
            }
            Ok(())
        })
        .await?;
    in_tail(true).for_each(|event| fold.add(event, false));
    Ok(fold.finish())
}

/// Whether whoever reads the head finds what lies in a segment.
fn knows(head: &Head, segment: &StoredSegment) -> bool {
    let Some((first, last)) = segment.span() else { return true };
    let is_in_reach = match segment.window {
        None => head.has_sealed_corrections,
        Some(window) => {
            let mut spans = head.sealed.iter().filter(|(level, _)| *level == window.level);
            let is_inside =
                |(_, (from, until)): (Level, (DateTime<Utc>, DateTime<Utc>))| from <= first && last <= until;
            spans.next().is_some_and(is_inside) && is_placed(segment)
        }
    };
    segment.version <= head.version && is_in_reach
}

/// Whether all events of a segment lie in the window that its key says.
fn is_placed(segment: &StoredSegment) -> bool {
    let (Some(window), Some((first, last))) = (segment.window, segment.span()) else { return true };
    window.level.window_of(first) == window && window.level.window_of(last) == window
}

impl Strays {
    fn add(&mut self, segment: &StoredSegment) {
        self.segments += 1;
        self.events += segment.rows().count() as u64;
        self.first.get_or_insert_with(|| segment.place.clone());
        self.is_misplaced |= !is_placed(segment);
        match (segment.window, segment.span()) {
            (Some(window), Some((first, last))) => {
                self.sealed.extend(window.level, first, last);
                self.finest = self.finest.max(window.level);
            }
            (Some(_), None) => {}
            (None, _) => self.has_corrections = true,
        }
    }
}

/// The folds of one month as its events pass by: corrections first, then members.
struct Folding<'a> {
    counting: Counting<'a>,
    month: Month,
    hourly: DaySet,
    corrections: Vec<UsageEvent>,
    /// Those of `corrections` that decide, once all of them have passed by.
    deciding: Option<Corrections>,
    members: u64,
    /// Hashes of identities, while there are not too many.
    seen: Option<HashSet<u64>>,
    twice: u64,
    days: BTreeMap<u32, Refold<'a>>,
    hours: BTreeMap<(u32, u32), Refold<'a>>,
    strays: Strays,
    newest: u64,
}

impl<'a> Folding<'a> {
    fn new(counting: Counting<'a>, month: Month, hourly: DaySet) -> Self {
        Self {
            counting,
            month,
            hourly,
            corrections: Vec::new(),
            deciding: None,
            members: 0,
            seen: Some(HashSet::new()),
            twice: 0,
            days: BTreeMap::new(),
            hours: BTreeMap::new(),
            strays: Strays::default(),
            newest: 0,
        }
    }

    fn add(&mut self, event: &impl Event, is_sealed: bool) {
        let Self { counting, month, corrections, deciding, .. } = self;
        let deciding = &*deciding.get_or_insert_with(|| Corrections::among(&*corrections));
        let fold = |bucket: Bucket| Refold::new(*counting, deciding.clone(), bucket.range(*month));
        let at = event.occurred_at();
        let (day, hour) = (at.day(), at.hour());
        self.days.entry(day).or_insert_with(|| fold(Bucket { day, hour: None })).add(event);
        // Totals by hour are those of segments alone.
        if is_sealed && self.hourly.contains(day) {
            let of_hour = || fold(Bucket { day, hour: Some(hour) });
            self.hours.entry((day, hour)).or_insert_with(of_hour).add(event);
        }
        self.members += 1;
        if let Some(seen) = &mut self.seen {
            let mut identity = DefaultHasher::new();
            (at.timestamp_millis(), event.key()).hash(&mut identity);
            self.twice += u64::from(!seen.insert(identity.finish()));
            if seen.len() > IDENTITIES_MAX {
                self.seen = None;
            }
        }
    }

    fn finish(self) -> Recount {
        let Self { days, hours, .. } = self;
        let days = days.into_iter().map(|(day, fold)| (day, fold.finish()));
        let mut by_day = BTreeMap::<_, BTreeMap<_, _>>::new();
        for ((day, hour), fold) in hours {
            by_day.entry(day).or_default().insert(hour, fold.finish());
        }
        Recount {
            members: self.members,
            corrections: self.corrections.len() as u64,
            twice: self.seen.map(|_| self.twice),
            days: days.collect(),
            hours: by_day,
            strays: self.strays,
            newest: self.newest,
        }
    }
}
