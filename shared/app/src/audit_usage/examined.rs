//! What of a head is not as its events say, and the head as they say it.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    head::{DaySet, Head},
    hours::Hours,
    meter::Meter,
    quantity::QuantityOverflow,
    totals::Totals,
};
use store::{HeadId, Store};

use super::recount::{Recount, Scope, Strays, recount};
use crate::AppError;

/// A head beside its events.
pub(super) struct Examined {
    pub(super) counted: Recount,
    /// What is not as the events say, for people.
    pub(super) wrong: Vec<String>,
    /// What is, and no total can put right.
    pub(super) beyond_repair: Vec<String>,
    /// The newest version of any segment, or of totals by hour.
    pub(super) newest: u64,
    hourly: DaySet,
    /// Whether the head is to know of all segments from now on.
    takes_strays: bool,
}

/// Looks at a head and at all that lies with it. One of version 0 is not there.
pub(super) async fn examine(
    store: &Store,
    id: HeadId,
    meter: &Meter,
    head: &Head,
) -> Result<Examined, AppError> {
    let stored = store.list_hours(id).await?;
    let mut hourly = head.hourly;
    if head.version == 0 {
        stored.keys().for_each(|day| hourly.insert(*day));
    }
    let all = recount(store, id, meter, (head, hourly), Scope::All).await?;
    let has_strays = all.strays.segments > 0;
    let takes_strays = has_strays && all.twice == Some(0) && !all.strays.is_misplaced;
    let (mut wrong, mut beyond_repair) = (Vec::new(), Vec::new());
    if has_strays {
        let list = if takes_strays { &mut wrong } else { &mut beyond_repair };
        list.push(all.strays.described(head, all.twice));
    }
    let counted = match has_strays && !takes_strays {
        true => recount(store, id, meter, (head, hourly), Scope::Known).await?,
        false => all,
    };
    let newest = stored.values().map(|(version, _)| *version).chain([counted.newest]).max();
    let newest = newest.unwrap_or_default();
    if let Some(twice @ 1..) = counted.twice {
        beyond_repair.push(format!("{twice} events are there twice: totals would count them twice"));
    }
    if head.version > 0 {
        let mut differences = Differences { wrong: &mut wrong, beyond_repair: &mut beyond_repair };
        differences.find(head, &stored, &counted);
    }
    Ok(Examined { counted, wrong, beyond_repair, newest, hourly, takes_strays })
}

/// A head that is made anew begins so many versions after its last segment: behind any that it had when it was gone,
/// since it is sealed at the latest when its tail has 250 events.
const VERSIONS_SKIPPED: u64 = 1000;

impl Strays {
    fn described(&self, head: &Head, twice: Option<u64>) -> String {
        let Self { segments, events, .. } = self;
        let what = match head.version {
            0 => "without their head: totals leave them out, and what was only in its tail is gone",
            _ => "that their head does not know of: nobody finds them",
        };
        let first = self.first.as_deref().unwrap_or_default();
        let why = match twice {
            _ if self.is_misplaced => "; some do not belong into their window",
            Some(0) => "",
            Some(_) => "; some of them are there already",
            None => "; they are too many to tell whether some are there already",
        };
        format!("{events} events lie in {segments} segments {what} (`{first}`{why})")
    }
}

impl Examined {
    /// Whether totals can be made to agree with the events.
    pub(super) fn is_repairable(&self) -> bool {
        let Recount { twice, days, hours, .. } = &self.counted;
        let mut totals = days.values().chain(hours.values().flat_map(BTreeMap::values));
        !self.wrong.is_empty() && twice.unwrap_or_default() == 0 && totals.all(Result::is_ok)
    }

    /// The head with the totals that its events say, tail and segments as they are, and its totals by hour.
    pub(super) fn restored(&self, head: &Head) -> (Head, BTreeMap<u32, Hours>) {
        let Self { counted, newest, hourly, .. } = self;
        let exact = |totals: &BTreeMap<u32, Result<Totals, QuantityOverflow>>| {
            let totals = totals.iter().filter_map(|(place, totals)| Some((*place, (*totals).ok()?)));
            totals.filter(|(_, totals)| totals.events > 0).collect::<BTreeMap<_, _>>()
        };
        let version = match head.version {
            0 => newest + VERSIONS_SKIPPED,
            version => version.max(*newest),
        };
        let mut restored = Head {
            version,
            members: counted.members,
            corrections: counted.corrections,
            days: exact(&counted.days),
            hourly: *hourly,
            ..head.clone()
        };
        if self.takes_strays {
            let strays = &counted.strays;
            for (level, (first, last)) in strays.sealed.iter() {
                restored.sealed.extend(level, first, last);
            }
            restored.finest = restored.finest.max(strays.finest);
            restored.has_sealed_corrections |= strays.has_corrections;
        }
        let days = (1..=31).filter(|day| hourly.contains(*day));
        let hours = days.map(|day| {
            let totals = counted.hours.get(&day).map(&exact).unwrap_or_default();
            (day, Hours { totals })
        });
        (restored, hours.collect())
    }
}

/// Where what is stored differs from what the events say.
struct Differences<'a> {
    wrong: &'a mut Vec<String>,
    beyond_repair: &'a mut Vec<String>,
}

impl Differences<'_> {
    fn find(&mut self, head: &Head, stored: &BTreeMap<u32, (u64, Hours)>, counted: &Recount) {
        self.number("events", head.members, counted.members);
        self.number("corrections", head.corrections, counted.corrections);
        for day in head.days.keys().chain(counted.days.keys()).collect::<BTreeSet<_>>() {
            self.totals(&format!("day {day}"), head.days.get(day), counted.days.get(day));
        }
        for day in (1..=31).filter(|day| head.hourly.contains(*day)) {
            let found = counted.hours.get(&day);
            let Some((version, hours)) = stored.get(&day) else {
                self.wrong.push(format!("day {day}: its totals by hour are not there"));
                continue;
            };
            if *version > head.version {
                self.wrong.push(format!("day {day}: its totals by hour are newer than the head"));
            }
            for hour in 0..24 {
                let stored = hours.totals.get(&hour).filter(|totals| totals.events > 0);
                let found = found.and_then(|hours| hours.get(&hour));
                self.totals(&format!("day {day}, hour {hour}"), stored, found);
            }
        }
    }

    fn number(&mut self, what: &str, stored: u64, counted: u64) {
        if stored != counted {
            self.wrong.push(format!("{what}: {stored} stored, {counted} found"));
        }
    }

    fn totals(
        &mut self,
        what: &str,
        stored: Option<&Totals>,
        found: Option<&Result<Totals, QuantityOverflow>>,
    ) {
        match found.copied().transpose() {
            Err(error) => self.beyond_repair.push(format!("{what}: {error}")),
            Ok(found) => {
                let found = found.filter(|totals| totals.events > 0);
                if stored.copied() != found {
                    self.wrong.push(format!("{what}: {stored:?} stored, {found:?} found"));
                }
            }
        }
    }
}
