//! How changes within an interval are settled: what is to be paid for the interval after each of them.
//!
//! By its share, a charge is paid from its change on. Where a change counts from the next interval on, what was
//! paid before goes on until then; where it counts for the whole interval, what was paid before is not paid at
//! all. After a pause or an end nothing takes the place of what was paid before: by its share that is paid until
//! then, and where a part costs as much as all of it, it is paid as a whole. What is paid in advance is settled
//! change by change, by what differs before and after.

use super::{
    BillingInterval, BillingPeriod, Charge, DateTime, Due, DueKind, PeriodError, Phase, ProrationMode,
    ProrationPolicy, Reason, STEP, Timeline, Utc, between,
    timing::{Timing, timing},
};

#[cfg(test)]
mod tests;

/// What is paid over a span of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Paid {
    /// From where to where.
    span: BillingPeriod,
    /// Since when it was charged, for a reader.
    since: DateTime<Utc>,
    /// What.
    charges: Vec<Charge>,
}

/// Charges of one kind that are paid for an interval.
#[derive(Clone, Copy)]
struct Settled {
    of: Timing,
    interval: BillingInterval,
    whole: BillingPeriod,
}

impl Timeline {
    /// How the last change after `last` and until `at` is settled; else, how parts of intervals are billed.
    pub fn policy_between(&self, last: Option<DateTime<Utc>>, at: DateTime<Utc>) -> ProrationPolicy {
        if self.end() == Some(at) && self.ends_at == Some(at) {
            return self.end_policy.unwrap_or(self.policy);
        }
        let is_between = |phase: &&Phase| last.is_none_or(|last| last < phase.from) && phase.from <= at;
        let last = self.phases.iter().skip(1).rfind(is_between);
        last.and_then(|phase| phase.policy).unwrap_or(self.policy)
    }

    /// Charges that are paid at the end of an interval, which ends at `at` or is cut there.
    pub(super) fn settle_arrears(
        &self,
        interval: BillingInterval,
        whole: BillingPeriod,
        at: DateTime<Utc>,
        dues: &mut Vec<Due>,
    ) {
        let settled = Settled { of: Timing::Arrears, interval, whole };
        let from = whole.start().max(self.schedule.start);
        let mut paid = self.paid_before(settled, at);
        let mut policy = self.policy_between(Some(from), at - STEP);
        if self.ends_at == Some(at) && self.end() == Some(at) && at < whole.end() {
            policy = self.end_policy.unwrap_or(self.policy);
            paid = ended(paid, at, settled.of, policy.mode);
        }
        let mut parts = Vec::<(BillingPeriod, &Charge)>::new();
        for (part, phase) in self.phases_in(from, at) {
            for charge in settled.charges(phase) {
                // A phase may change other things: what goes on at the same price is one part.
                match parts.iter_mut().find(|(before, same)| *same == charge && before.end() == part.start())
                {
                    Some((before, _)) => *before = between(before.start(), part.end()).unwrap_or(*before),
                    None => parts.push((part, charge)),
                }
            }
        }
        let mut found = Vec::new();
        for charge in charges_of(&paid) {
            for (span, since) in spans_of(&paid, charge) {
                let part = parts.iter().find(|(part, same)| *same == charge && part.contains(since));
                let part = part.map_or(span, |(part, _)| *part);
                let proration = policy.share(&self.schedule, span, whole);
                if !proration.is_nothing() {
                    let kind = DueKind::Fixed(part, proration, Reason::Interval);
                    found.push((part.start(), Due { charge: charge.clone(), kind }));
                }
            }
        }
        found.sort_by_key(|(start, _)| *start);
        dues.extend(found.into_iter().map(|(_, due)| due));
    }

    /// What a change at `change` gives back of what was paid in advance, and charges.
    pub(super) fn settle_change(
        &self,
        change: DateTime<Utc>,
        is_end: bool,
        dues: &mut Vec<Due>,
    ) -> Result<(), PeriodError> {
        let policy = match is_end {
            true => self.policy_between(None, change),
            false => self.policy_between(Some(change - STEP), change),
        };
        let Some(part) = between(change, self.schedule.end.unwrap_or(DateTime::<Utc>::MAX_UTC)) else {
            return Ok(());
        };
        let known = self.phases.iter().filter(|phase| phase.from <= change);
        let advance = known.flat_map(|phase| {
            let charges = phase.charges.iter().filter(|charge| timing(charge) == Timing::Advance);
            charges.map(|charge| (phase.interval_of(charge), charge))
        });
        let advance = advance.collect::<Vec<_>>(); // as the plans have them
        let (mut intervals, mut unused, mut remaining) = (Vec::new(), Vec::new(), Vec::new());
        for (interval, _) in &advance {
            let whole = self.schedule.whole(*interval, change)?;
            if intervals.contains(interval) || whole.start() == change {
                continue; // nothing is left of the interval before, and the next is paid for as a whole
            }
            intervals.push(*interval);
            let settled = Settled { of: Timing::Advance, interval: *interval, whole };
            let before = self.paid_before(settled, change);
            let after = match is_end {
                true => ended(before.clone(), change, settled.of, policy.mode),
                false => self.paid_before(settled, change + STEP),
            };
            let part = between(change, part.end().min(whole.end())).unwrap_or(part);
            let due = |charge: &Charge, span: BillingPeriod, reason: Reason| {
                let share = policy.share(&self.schedule, span, whole);
                let proration = if reason == Reason::Unused { share.credit() } else { share };
                let due = Due { charge: charge.clone(), kind: DueKind::Fixed(part, proration, reason) };
                let place = advance.iter().rposition(|one| *one == (*interval, charge));
                Some((place, due)).filter(|_| !proration.is_nothing())
            };
            for charge in charges_of(&before) {
                let unpaid = without(&spans_of(&before, charge), &spans_of(&after, charge));
                unused.extend(unpaid.into_iter().filter_map(|span| due(charge, span, Reason::Unused)));
            }
            for charge in charges_of(&after) {
                let unpaid = without(&spans_of(&after, charge), &spans_of(&before, charge));
                remaining.extend(unpaid.into_iter().filter_map(|span| due(charge, span, Reason::Remaining)));
            }
        }
        for mut found in [unused, remaining] {
            found.sort_by_key(|(place, _)| *place);
            dues.extend(found.into_iter().map(|(_, due)| due));
        }
        Ok(())
    }

    /// What is to be paid for an interval after the changes before `until`, as if nothing changed from there on.
    fn paid_before(&self, settled: Settled, until: DateTime<Utc>) -> Vec<Paid> {
        let whole = settled.whole;
        let from = whole.start().max(self.schedule.start);
        let end = self.schedule.end.map_or(whole.end(), |end| end.min(whole.end()));
        let Some(open) = between(from, end) else { return Vec::new() };
        let first = self.phases.iter().rfind(|phase| phase.from <= from).or(self.phases.first());
        let first = first.map(|phase| settled.charges(phase).cloned().collect()).unwrap_or_default();
        let (span, first) = match self.policy.mode {
            ProrationMode::Full => (whole, first),
            ProrationMode::None if open != whole => (open, Vec::new()),
            ProrationMode::Prorate | ProrationMode::None => (open, first),
        };
        let mut paid = vec![Paid { span, since: from, charges: first }];
        for phase in self.phases.iter().skip(1).filter(|phase| from < phase.from && phase.from < until) {
            let begun = |span: BillingPeriod| Paid {
                span,
                since: phase.from,
                charges: settled.charges(phase).cloned().collect(),
            };
            match phase.policy.unwrap_or(self.policy).mode {
                ProrationMode::None => {}
                ProrationMode::Full if phase.is_paused => {}
                ProrationMode::Full => paid = vec![begun(whole)],
                ProrationMode::Prorate => {
                    paid = cut(paid, phase.from);
                    paid.extend(between(phase.from, open.end()).map(begun));
                }
            }
        }
        paid
    }
}

impl Settled {
    /// The charges of a phase that are paid so.
    fn charges<'a>(&self, phase: &'a Phase) -> impl Iterator<Item = &'a Charge> + use<'a> {
        phase.charged(self.of, self.interval)
    }
}

/// What is paid if all ends at `at`, within the interval.
fn ended(paid: Vec<Paid>, at: DateTime<Utc>, of: Timing, mode: ProrationMode) -> Vec<Paid> {
    match (mode, of) {
        (ProrationMode::Prorate, _) => cut(paid, at),
        // A part costs nothing: what is paid at the end is not charged.
        (ProrationMode::None, Timing::Arrears) => Vec::new(),
        // Nothing is given back.
        (ProrationMode::None | ProrationMode::Full, _) => paid,
    }
}

/// What is paid before `at`.
fn cut(paid: Vec<Paid>, at: DateTime<Utc>) -> Vec<Paid> {
    let before = |paid: Paid| {
        let span = between(paid.span.start(), paid.span.end().min(at))?;
        Some(Paid { span, ..paid })
    };
    paid.into_iter().filter_map(before).collect()
}

/// Each charge once.
fn charges_of(paid: &[Paid]) -> Vec<&Charge> {
    let mut found = Vec::new();
    for charge in paid.iter().flat_map(|paid| &paid.charges) {
        if !found.contains(&charge) {
            found.push(charge);
        }
    }
    found
}

/// Over which spans a charge is paid, each with when it began to be charged.
fn spans_of(paid: &[Paid], charge: &Charge) -> Vec<(BillingPeriod, DateTime<Utc>)> {
    let mut spans = Vec::<(BillingPeriod, DateTime<Utc>)>::new();
    for paid in paid.iter().filter(|paid| paid.charges.contains(charge)) {
        match spans.last_mut() {
            Some((last, _)) if last.end() == paid.span.start() => {
                *last = between(last.start(), paid.span.end()).unwrap_or(*last);
            }
            _ => spans.push((paid.span, paid.since)),
        }
    }
    spans
}

/// What of `spans` is in none of `others`.
fn without(
    spans: &[(BillingPeriod, DateTime<Utc>)],
    others: &[(BillingPeriod, DateTime<Utc>)],
) -> Vec<BillingPeriod> {
    let mut left = spans.iter().map(|(span, _)| *span).collect::<Vec<_>>();
    for (other, _) in others {
        let around = |span: BillingPeriod| {
            let before = between(span.start(), span.end().min(other.start()));
            let after = between(span.start().max(other.end()), span.end());
            before.into_iter().chain(after)
        };
        left = left.into_iter().flat_map(around).collect();
    }
    left
}
