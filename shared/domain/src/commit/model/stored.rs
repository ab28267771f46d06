//! What the model's store holds, and what must hold of it after every write.

use super::{
    sent::{key_of, minute_of, month},
    *,
};
use crate::{
    commit::tests::visible,
    id::{CorrectionId, CustomerId},
    refold::Refold,
    revision::Corrections,
    series::{Query, Series},
    totals::{Fold, HeldOver, Usage},
};

const ME: CustomerId = CustomerId::from_uuid(uuid::Uuid::from_u128(7));

/// What is stored: the outcome of one sequence of writes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    /// What was stored before the last write.
    pub(super) before: Option<u16>,
    pub(super) head: Head,
    /// Each with the version that the head got with it, and its window; `None` for corrections.
    segments: Vec<(u64, Option<Window>, UsageEvent)>,
    /// By day, with that version.
    hours: BTreeMap<u32, (u64, Hours)>,
    /// By key: the minute it is counted at.
    pub(super) minutes: [Option<u16>; KEYS],
    pub(super) corrections: Vec<CorrectionId>,
}

/// All that a writer knows.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// The head, as it was read.
    pub(super) head: &'a Head,
    /// What was found in segments.
    pub(super) found: &'a [UsageEvent],
    /// The latest version of segments that it takes notice of.
    pub(super) version: u64,
}

impl Stored {
    /// Nothing yet, under an empty head.
    pub(super) fn new(head: Head) -> Self {
        let (segments, hours, corrections) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { before: None, head, segments, hours, minutes: [None; KEYS], corrections }
    }

    /// Members in segments that lie in `runs`, of versions up to `version`.
    pub(super) fn members(&self, runs: &[WindowRun], version: u64) -> impl Iterator<Item = &UsageEvent> {
        let is_inside = |window: &Window| {
            let mut same_level = runs.iter().filter(|run| run.level == window.level);
            same_level.any(|run| run.first <= window.start && window.start <= run.last)
        };
        let is_seen = move |row: &&(u64, Option<Window>, UsageEvent)| {
            row.0 <= version && row.1.as_ref().is_some_and(is_inside)
        };
        self.segments.iter().filter(is_seen).map(|(_, _, event)| event)
    }

    /// Corrections in segments, of versions up to `version`.
    pub(super) fn sealed_corrections(&self, version: u64) -> impl Iterator<Item = &UsageEvent> {
        let rows = self.segments.iter().filter(move |(of, window, _)| *of <= version && window.is_none());
        rows.map(|(_, _, event)| event)
    }

    fn all(&self) -> impl Iterator<Item = &UsageEvent> {
        self.segments.iter().map(|(_, _, event)| event).chain(&self.head.tail)
    }

    /// What to write to count `events`, as `app::commit_usage` has it decided.
    pub(super) fn decided(
        &self,
        model: &Model,
        known: Known<'_>,
        events: &[UsageEvent],
    ) -> Result<HeadWrite, String> {
        let (counting, Known { head, found, version }) = (model.counting(), known);
        let sifted = head.sift(found, events);
        let mut refolded = BTreeMap::new();
        for bucket in sifted.refolds(counting) {
            let unsealed = sifted.unsealed_in(bucket).collect::<Vec<_>>();
            let sealed = self.sealed_corrections(version);
            let corrections = Corrections::among(sealed.chain(unsealed.iter().copied()));
            refolded.insert(bucket, self.folded(counting, known, bucket, &unsealed, corrections));
        }
        let draft = sifted.admit(counting, &refolded);
        if draft.verdicts().iter().any(|one| matches!(one, Verdict::Conflict | Verdict::Overflow)) {
            return Err("an event was neither counted nor a repeat".into());
        }
        if draft.is_unchanged() {
            return Ok(HeadWrite::Nothing);
        }
        if !draft.must_seal() && draft.head().tail.len() <= model.room {
            return Ok(HeadWrite::Put(draft.head().clone()));
        }
        let hours = draft.hours_wanted(counting, head).into_iter().map(|(day, source)| match source {
            HoursSource::Stored => {
                (day, self.hours.get(&day).map(|(_, hours)| hours.clone()).unwrap_or_default())
            }
            HoursSource::Empty => (day, Hours::default()),
            HoursSource::Members => {
                let of_hour = |hour| {
                    let bucket = Bucket { day, hour: Some(hour) };
                    let totals = self.folded(counting, known, bucket, &[], Corrections::default()).unwrap();
                    (totals.events > 0).then_some((hour, totals))
                };
                (day, Hours { totals: (0..24).filter_map(of_hour).collect() })
            }
        });
        draft.seal(counting, hours.collect()).map_err(|error| error.to_string())
    }

    /// The totals of a part of the month, over its members in segments and `unsealed`.
    fn folded(
        &self,
        counting: Counting<'_>,
        known: Known<'_>,
        bucket: Bucket,
        unsealed: &[&UsageEvent],
        corrections: Corrections,
    ) -> Result<Totals, QuantityOverflow> {
        let range = bucket.range(month());
        let mut fold = Refold::new(counting, corrections, range);
        let runs = known.head.runs_in(&[range]);
        let members = self.members(&runs, known.version).chain(unsealed.iter().copied());
        let firsts = members.filter(|event| event.revision == Revision::First);
        firsts.for_each(|event| fold.add(event));
        fold.finish()
    }

    /// What is stored after `write`, or `None` if its conditions fail.
    pub(super) fn after(&self, place: u16, write: HeadWrite, is_conditional: bool) -> Option<Self> {
        let (head, segments, hours) = match write {
            HeadWrite::Nothing => return None,
            HeadWrite::Put(head) => (head, Vec::new(), BTreeMap::new()),
            HeadWrite::Seal { head, segments, hours } => (head, segments, hours),
        };
        let version = head.version + 1;
        let is_taken = |segment: &SegmentWrite| {
            self.segments.iter().any(|(of, window, _)| *of == version && *window == segment.window)
        };
        if is_conditional && self.head.version != head.version || segments.iter().any(is_taken) {
            return None;
        }
        let head = Head { version, ..head };
        let mut next = Self { before: Some(place), head, ..self.clone() };
        for SegmentWrite { window, events } in segments {
            next.segments.extend(events.into_iter().map(|event| (version, window, event)));
        }
        next.hours.extend(hours.into_iter().map(|(day, hours)| (day, (version, hours))));
        next.minutes = [None; KEYS];
        next.corrections = next.all().filter_map(|event| event.revision.correction()).collect();
        let firsts = next.all().filter(|event| event.revision == Revision::First);
        let minutes =
            firsts.map(|event| (key_of(&event.key), minute_of(event.occurred_at))).collect::<Vec<_>>();
        minutes.into_iter().for_each(|(key, minute)| next.minutes[key] = Some(minute));
        Some(next)
    }

    /// Whether nothing is there twice, and the head says of itself what it holds.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut identities = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for event in self.all() {
            if !identities.insert((event.identity(), event.revision.correction())) {
                return Err(format!("{} is stored twice", event.key));
            }
            if event.revision == Revision::First && !keys.insert(&event.key) {
                return Err(format!("{} is counted twice", event.key));
            }
        }
        let corrections = self.corrections.len() as u64;
        let members = self.all().count() as u64 - corrections;
        if (self.head.members, self.head.corrections) != (members, corrections) {
            return Err(format!("the head says {} members, and there are {members}", self.head.members));
        }
        let month = Range { from: month().start(), until: month().end() };
        let in_windows = self.members(&self.head.runs_in(&[month]), self.head.version).count();
        match in_windows + self.sealed_corrections(self.head.version).count() == self.segments.len() {
            true => Ok(()),
            false => Err("a segment lies where nobody looks".into()),
        }
    }

    /// Whether who read the head of `then` before, and looks into segments only now, sees what was there then.
    pub(super) fn check_reader(
        &self,
        then: &Self,
        counting: Counting<'_>,
        rules: Rules,
    ) -> Result<(), String> {
        let whole = Range { from: month().start(), until: month().end() };
        let cut = Range { from: month().start(), until: at(11 * 60) };
        for range in [whole, cut] {
            let (read, expected) = (self.read(then, counting, range, rules), then.naive(counting, range));
            if read != expected {
                let (from, to) = (then.head.version, self.head.version);
                return Err(format!(
                    "read at {from}, at {to}, until {}: {read:?} for {expected:?}",
                    range.until
                ));
            }
        }
        Ok(())
    }

    fn read(&self, then: &Self, counting: Counting<'_>, range: Range, rules: Rules) -> Usage {
        let head = &then.head;
        let version = if rules.readers_filter { head.version } else { u64::MAX };
        let query = Query { counting, range, now: range.until, steps: None, filters: &[], group_by: None };
        let wanted = query.hours_wanted(month(), head);
        let hours = wanted.into_iter().filter_map(|day| Some((day, self.hours.get(&day)?.clone())));
        let hours = hours.collect::<BTreeMap<_, _>>();
        // Whoever meets newer ones reads the head again, or lets the events say it.
        let is_known = !rules.readers_check_hours || hours.values().all(|(of, _)| *of <= head.version);
        let hours = hours.into_iter().filter(|_| is_known).map(|(day, (_, hours))| (day, hours)).collect();
        let mut corrections = Corrections::among(self.sealed_corrections(version).chain(&head.tail));
        let mut series = Series::new(query);
        series.add_head(ME, month(), head, &hours, &mut corrections).unwrap();
        while series.begins_slice(ME, head, &mut corrections).unwrap() {
            for event in self.members(&head.runs_in(series.slice()), version) {
                series.add_member(ME, event, &mut corrections).unwrap();
            }
            series.end_slice(ME, &corrections).unwrap();
        }
        series.total().unwrap()
    }

    /// What is stored comes to this, the plain way.
    fn naive(&self, counting: Counting<'_>, range: Range) -> Usage {
        let all = self.all().cloned().collect::<Vec<_>>();
        let mut fold = Fold::new(counting);
        for event in visible(&all).into_iter().filter(|event| range.contains(event.occurred_at)) {
            fold.add_of(ME, event).unwrap();
        }
        fold.usage(HeldOver { from: range.from, until: range.until, carried: &BTreeMap::new() }).unwrap()
    }
}
