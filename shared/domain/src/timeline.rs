//! The timeline of a subscription: when something falls due, and what. Closing a period, previews and
//! recomputed drafts all read it, so that what is shown is what is billed.
//!
//! At each end of an interval one bill is made, of what was used and of what is paid at the end; of what is
//! paid in advance for the interval that begins; and of what changed on the way, given back and charged.

use std::{borrow::Cow, collections::BTreeSet};

use chrono::{DateTime, Duration, Utc};

use crate::{
    charge::Charge,
    period::{BillingInterval, BillingPeriod, PeriodError},
    proration::{Proration, ProrationMode, ProrationPolicy, between},
    schedule::BillingSchedule,
    timeline::timing::{Timing, timing},
};

#[cfg(test)]
mod instant_tests;
#[cfg(test)]
mod naive;
mod settlement;
#[cfg(test)]
mod tests;
mod timing;

/// All that decides the bills of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Where its intervals lie.
    pub schedule: BillingSchedule,
    /// How parts of intervals are billed.
    pub policy: ProrationPolicy,
    /// What is charged since when, in order of time. The first is in force from the start.
    pub phases: Vec<Phase>,
    /// What is billed once, each on the first bill after it was made.
    pub one_offs: Vec<Charge>,
    /// When it ends before its time.
    pub ends_at: Option<DateTime<Utc>>,
    /// How that end is settled, if not as everything else.
    pub end_policy: Option<ProrationPolicy>,
}

/// What is charged since some instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Since when.
    pub from: DateTime<Utc>,
    /// How often its plan is billed.
    pub interval: BillingInterval,
    /// What is charged; nothing while it is paused.
    pub charges: Vec<Charge>,
    /// Whether it is paused.
    pub is_paused: bool,
    /// How the change to it is settled, if not as everything else.
    pub policy: Option<ProrationPolicy>,
}

/// What falls due at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// When.
    pub at: DateTime<Utc>,
    /// The period it closes; the first bill of what is paid in advance opens it.
    pub period: BillingPeriod,
    /// What is due, in the order of the lines.
    pub dues: Vec<Due>,
}

/// A charge that falls due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// At the price of its time.
    pub charge: Charge,
    /// Why, and for what time.
    pub kind: DueKind,
}

/// Why a charge falls due, and for what time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DueKind {
    /// What was used in these ranges of time, which do not overlap, and the whole interval that they lie in.
    Usage(Vec<BillingPeriod>, BillingPeriod),
    /// A fixed charge, once.
    Once,
    /// A fixed charge for a period, and what part of the price that is.
    Fixed(BillingPeriod, Proration, Reason),
}

/// How a period of a fixed charge came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An interval of it ended, or began.
    Interval,
    /// It was begun in the middle of an interval.
    Remaining,
    /// It was given up in the middle of an interval.
    Unused,
}

/// The smallest step of time that is told apart.
const STEP: Duration = Duration::milliseconds(1);

impl Timeline {
    /// When the next bill falls due after the one at `last`, or the first. `None` after the end.
    ///
    /// Errors: `OutOfRange` past the calendar.
    pub fn next(&self, last: Option<DateTime<Utc>>) -> Result<Option<DateTime<Utc>>, PeriodError> {
        let start = self.schedule.start;
        let end = self.end();
        if end.is_some_and(|end| end <= last.unwrap_or(start)) {
            return Ok(None);
        }
        let Some(last) = last else {
            return if self.bills_in_advance(start) { Ok(Some(start)) } else { self.next(Some(start)) };
        };
        Ok(self.ends_after(last)?.into_iter().chain(end).min())
    }

    /// When it ends, by agreement or before.
    pub fn end(&self) -> Option<DateTime<Utc>> {
        [self.ends_at, self.schedule.end].into_iter().flatten().min()
    }

    /// What falls due at `at`, where the bill before it was at `last`. Both must be of [`Timeline::next`].
    ///
    /// Errors: `OutOfRange` past the calendar.
    pub fn bill(&self, last: Option<DateTime<Utc>>, at: DateTime<Utc>) -> Result<Bill, PeriodError> {
        let start = self.schedule.start;
        let mut dues = Vec::new();
        if start < at {
            let counted = self.counted()?;
            counted.used(at, &mut dues)?;
            counted.in_arrears(at, &mut dues)?;
            let charges = self.phases.iter().flat_map(|phase| &phase.charges).map(|charge| charge.id);
            let order = charges.collect::<Vec<_>>(); // as the plans have them
            dues.sort_by_key(|due| order.iter().position(|id| *id == due.charge.id));
            self.changed(last.unwrap_or(start), at, &mut dues)?;
        }
        if self.end() != Some(at) {
            self.in_advance(at, &mut dues)?;
        }
        if last.is_none() {
            let once = self.charges_at(start).iter().filter(|charge| timing(charge) == Timing::Once);
            dues.extend(once.map(|charge| Due { charge: charge.clone(), kind: DueKind::Once }));
        }
        let is_since = |charge: &&Charge| last.is_none_or(|last| last < charge.created_at);
        let one_offs = self.one_offs.iter().filter(|charge| charge.created_at <= at).filter(is_since);
        dues.extend(one_offs.map(|charge| Due { charge: charge.clone(), kind: DueKind::Once }));
        let main = self.period_at(at - STEP)?;
        let is_main_end = main.end() == at || self.end() == Some(at);
        let since = if is_main_end { main.start() } else { last.unwrap_or(start) };
        let period = between(since, at).map_or_else(|| self.period_at(at), Ok)?;
        Ok(Bill { at, period, dues })
    }

    /// The period of the plan that `at` lies in, as far as it is billed.
    ///
    /// Errors: `OutOfRange` past the calendar.
    pub fn period_at(&self, at: DateTime<Utc>) -> Result<BillingPeriod, PeriodError> {
        let at = at.max(self.schedule.start);
        let phase = self.phases.iter().rfind(|phase| phase.from <= at).or(self.phases.first());
        let interval = phase.ok_or(PeriodError::Empty)?.interval;
        self.schedule.period(interval, at)
    }

    /// What is charged at `at`.
    pub fn charges_at(&self, at: DateTime<Utc>) -> &[Charge] {
        let phase = self.phases.iter().rfind(|phase| phase.from <= at).or(self.phases.first());
        phase.map_or(&[], |phase| &phase.charges)
    }

    /// Whether anything that is charged at `at` is paid in advance.
    pub fn bills_in_advance(&self, at: DateTime<Utc>) -> bool {
        self.charges_at(at).iter().any(|charge| timing(charge) == Timing::Advance)
    }

    /// Whether the bill at `at` leaves nothing open: nothing is paid in advance from there on, or was charged
    /// once since, and no interval of what is billed at its end goes on.
    ///
    /// Errors: `OutOfRange` past the calendar.
    pub fn is_settled_at(&self, at: DateTime<Utc>) -> Result<bool, PeriodError> {
        for (part, phase) in self.phases_in(self.schedule.start, at) {
            for charge in phase.charges.iter().filter(|charge| timing(charge).is_at_end()) {
                if self.schedule.whole(phase.interval_of(charge), at)?.start() < part.end() {
                    return Ok(false);
                }
            }
        }
        Ok(!self.bills_in_advance(at) && self.one_offs.iter().all(|charge| charge.created_at <= at))
    }

    /// As what is billed at the end of an interval counts changes. One that was made in the instant of a bill stands
    /// one [`STEP`] after it, so that the bill stays as it was; what is used and paid later it counts for from
    /// that instant on.
    fn counted(&self) -> Result<Cow<'_, Self>, PeriodError> {
        let mut counted = Cow::Borrowed(self);
        for (place, (before, phase)) in self.phases.iter().zip(self.phases.iter().skip(1)).enumerate() {
            let charged = [before, phase].into_iter().flat_map(|phase| {
                let intervals = phase.charges.iter().map(|charge| phase.interval_of(charge));
                intervals.chain([phase.interval])
            });
            let mut is_begun = false;
            for interval in charged.collect::<BTreeSet<_>>() {
                let open = self.schedule.whole(interval, phase.from)?.start().max(self.schedule.start);
                is_begun |= open + STEP == phase.from;
            }
            if is_begun && let Some(phase) = counted.to_mut().phases.get_mut(place + 1) {
                phase.from -= STEP;
            }
        }
        Ok(counted)
    }

    /// The phases that have a part in `[from, until)`, each with that part.
    fn phases_in(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> impl Iterator<Item = (BillingPeriod, &Phase)> {
        let starts =
            self.phases.iter().enumerate().map(|(place, phase)| {
                if place == 0 { phase.from.min(self.schedule.start) } else { phase.from }
            });
        let ends = self.phases.iter().skip(1).map(|phase| Some(phase.from)).chain([None]);
        starts.zip(ends).zip(&self.phases).filter_map(move |((start, end), phase)| {
            between(start.max(from), end.map_or(until, |end| end.min(until))).map(|part| (part, phase))
        })
    }

    /// When intervals end that are open after `at`: those that it lies in, of all that is charged then, or was in them
    /// before and is billed at their end; and of what will be charged later, those that it begins in. What is paid
    /// in advance may begin with a whole one.
    fn ends_after(&self, at: DateTime<Utc>) -> Result<BTreeSet<DateTime<Utc>>, PeriodError> {
        let mut ends = BTreeSet::new();
        for (part, phase) in self.phases_in(self.schedule.start, DateTime::<Utc>::MAX_UTC) {
            let is_past = part.end() <= at;
            let left = phase.charges.iter().filter(|charge| !is_past || timing(charge).is_at_end());
            let left = left.map(|charge| (phase.interval_of(charge), timing(charge)));
            let plan = Some((phase.interval, Timing::Usage)).filter(|_| !is_past);
            for (interval, timing) in left.chain(plan) {
                let whole = self.schedule.whole(interval, at.max(part.start()))?;
                if timing == Timing::Advance && at < whole.start() && whole.start() == part.start() {
                    ends.insert(whole.start());
                }
                if whole.start() < part.end() {
                    ends.insert(whole.end());
                }
            }
        }
        Ok(ends)
    }

    /// The intervals that charges of this timing had before `at` and that are to be billed there, since they
    /// end, or all does: each as a whole. An end right after the instant in which one began is no part of it to pay for.
    fn ending_at(
        &self,
        at: DateTime<Utc>,
        of: Timing,
    ) -> Result<Vec<(BillingInterval, BillingPeriod)>, PeriodError> {
        let mut intervals = BTreeSet::new();
        for (_, phase) in self.phases_in(self.schedule.start, at) {
            let charges = phase.charges.iter().filter(|charge| timing(charge) == of);
            intervals.extend(charges.map(|charge| phase.interval_of(charge)));
        }
        let mut ending = Vec::new();
        for interval in intervals {
            let whole = self.schedule.whole(interval, at - STEP)?;
            let is_begun = whole.start().max(self.schedule.start) + STEP < at;
            if whole.end() == at || self.end() == Some(at) && (is_begun || of == Timing::Usage) {
                ending.push((interval, whole));
            }
        }
        Ok(ending)
    }

    /// What was used in the intervals that end at `at`.
    fn used(&self, at: DateTime<Utc>, dues: &mut Vec<Due>) -> Result<(), PeriodError> {
        for (interval, whole) in self.ending_at(at, Timing::Usage)? {
            // What was used in the instant in which it is ended is billed: nobody owns it after.
            let is_cut = self.ends_at == Some(at) && whole.end() != at;
            let until = if is_cut { at + STEP } else { at };
            let mut used = Vec::<(&Charge, Vec<BillingPeriod>)>::new();
            for (part, phase) in self.phases_in(whole.start().max(self.schedule.start), until) {
                for charge in phase.charged(Timing::Usage, interval) {
                    match used.iter_mut().find(|(same, _)| *same == charge) {
                        Some((_, ranges)) => extend(ranges, part),
                        None => used.push((charge, vec![part])),
                    }
                }
            }
            let due = |(charge, ranges): (&Charge, _)| Due {
                charge: charge.clone(),
                kind: DueKind::Usage(ranges, whole),
            };
            dues.extend(used.into_iter().map(due));
        }
        Ok(())
    }

    /// Fixed charges whose intervals end at `at`.
    fn in_arrears(&self, at: DateTime<Utc>, dues: &mut Vec<Due>) -> Result<(), PeriodError> {
        for (interval, whole) in self.ending_at(at, Timing::Arrears)? {
            self.settle_arrears(interval, whole, at, dues);
        }
        Ok(())
    }

    /// What changed of charges that were paid in advance, after `last` and until `at`: given back from then
    /// on, and charged from then on.
    fn changed(
        &self,
        last: DateTime<Utc>,
        at: DateTime<Utc>,
        dues: &mut Vec<Due>,
    ) -> Result<(), PeriodError> {
        let changes =
            self.phases.iter().skip(1).map(|phase| phase.from).filter(|from| *from > self.schedule.start);
        let ends = self.end().filter(|end| *end == at);
        for change in
            changes.chain(ends).filter(|change| last < *change && *change <= at).collect::<BTreeSet<_>>()
        {
            self.settle_change(change, ends == Some(change), dues)?;
        }
        Ok(())
    }

    /// Charges paid in advance whose intervals begin at `at`.
    fn in_advance(&self, at: DateTime<Utc>, dues: &mut Vec<Due>) -> Result<(), PeriodError> {
        for (interval, charge) in self.advance_charges(at) {
            let whole = self.schedule.whole(interval, at)?;
            if whole.start() != at && self.schedule.start != at {
                continue;
            }
            let part = self.schedule.period(interval, at)?;
            let is_whole = part == whole;
            let proration = match self.policy.mode {
                ProrationMode::None if !is_whole => continue,
                ProrationMode::Prorate | ProrationMode::None => {
                    self.policy.share(&self.schedule, part, whole)
                }
                ProrationMode::Full => self.policy.share(&self.schedule, whole, whole),
            };
            if !proration.is_nothing() {
                dues.push(Due { charge, kind: DueKind::Fixed(part, proration, Reason::Interval) });
            }
        }
        Ok(())
    }

    fn advance_charges(&self, at: DateTime<Utc>) -> Vec<(BillingInterval, Charge)> {
        let phase = self.phases.iter().rfind(|phase| phase.from <= at).or(self.phases.first());
        let of_phase = |phase: &Phase| {
            let advance = phase.charges.iter().filter(|charge| timing(charge) == Timing::Advance);
            advance.map(|charge| (phase.interval_of(charge), charge.clone())).collect()
        };
        phase.map(of_phase).unwrap_or_default()
    }
}

/// Adds a range that lies after the others, and may go on from the last.
fn extend(ranges: &mut Vec<BillingPeriod>, range: BillingPeriod) {
    match ranges.last_mut() {
        Some(last) if last.end() == range.start() => {
            *last = between(last.start(), range.end()).unwrap_or(*last);
        }
        _ => ranges.push(range),
    }
}
