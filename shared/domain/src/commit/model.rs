//! Every interleaving of the commit protocol, on a model small enough to walk through all of it.
//!
//! A few writers take a few messages from a queue that delivers at least once. A writer may be killed at any
//! step, may read an old head, and may never hear of a write that took effect. `domain::commit` itself decides;
//! the store, the queue and the loop of `app::ingest_usage` and `app::commit_usage` are modelled. The search ends
//! when it finds no new state, so what holds, holds on every path; without one of the rules it fails.

use std::collections::HashSet;

use super::*;
use crate::window::{Level, Window};

mod sent;
mod stored;

use sent::{KEYS, Message, NAMES, Sent, at, correction, parse};
use stored::{Known, Stored};

const MESSAGES: usize = 4;
const WRITERS: usize = 3;

/// What the protocol insists on. Each can be left out.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// A head is put only over the version that was read.
    is_conditional: bool,
    /// A key is pinned to its first timestamp before anything else.
    pins: bool,
    /// Events at or before the latest in a segment are looked for there.
    searches: bool,
    /// Writers look away from segments newer than the head they read.
    writers_filter: bool,
    /// Readers do.
    readers_filter: bool,
    /// Readers take no totals by hour that are newer than their head.
    readers_check_hours: bool,
}

const ALL_RULES: Rules = Rules {
    is_conditional: true,
    pins: true,
    searches: true,
    writers_filter: true,
    readers_filter: true,
    readers_check_hours: true,
};

/// What is searched through.
#[derive(Clone, Copy, Debug)]
struct Model {
    aggregation: Aggregation,
    /// The finest windows at the start. From the hour on, totals by hour are kept.
    finest: Level,
    /// How many events fit into the tail.
    room: usize,
    writers: usize,
    /// Each a few events: `a 1 10:00` is one of key `a` on the first at ten, `-a` takes it back.
    messages: &'static [&'static str],
    rules: Rules,
}

/// One state of the whole system. What is stored is named by its place in [`Search::stores`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    store: u16,
    /// By key: the minute it is pinned to.
    pins: [Option<u16>; KEYS],
    queue: [Delivery; MESSAGES],
    /// Sorted: which is which does not matter.
    writers: [Writer; WRITERS],
}

/// How often a message may still be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Delivery {
    /// At any time, to anyone, until it is acknowledged.
    Waiting,
    /// Once more.
    Acknowledged,
    /// Never again.
    Spent,
}

/// Where a writer stands: the step it takes next. `head` and `found` are all that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Writer {
    Absent,
    Idle,
    Pins { message: usize, event: usize },
    Reads { message: usize, may_be_old: bool },
    Searches { message: usize, head: u16 },
    Writes { message: usize, head: u16, found: u16 },
    Acknowledges { message: usize },
}

/// The search, with all that was found so far.
struct Search {
    model: Model,
    messages: Vec<Message>,
    stores: Vec<Stored>,
    /// What writers found in segments.
    found: Vec<Vec<UsageEvent>>,
    /// What a write comes to, by the store it meets and all that the writer knows.
    writes: HashMap<(u16, [Option<u16>; KEYS], Writer), Write>,
}

/// What a write comes to.
#[derive(Clone, Copy, Debug)]
enum Write {
    /// All was counted before.
    Nothing,
    /// Somebody else wrote meanwhile.
    Conflict,
    /// This is stored now.
    Stored(u16),
}

/// How much there is: states, those in which nothing is left to do, and what is stored with segments.
#[derive(Clone, Copy, Debug)]
struct Explored {
    states: usize,
    ends: usize,
    seals: usize,
}

impl Search {
    /// Walks through every state. Errors: the first violation, with the states that lead to it.
    fn run(model: Model) -> Result<Explored, String> {
        let messages = model.messages.iter().enumerate().map(parse).collect::<Vec<_>>();
        let head = Head { finest: model.finest, ..Head::default() };
        let mut writers = [Writer::Absent; WRITERS];
        writers[WRITERS - model.writers..].fill(Writer::Idle);
        let mut queue = [Delivery::Spent; MESSAGES];
        queue[..messages.len()].fill(Delivery::Waiting);
        let start = State { store: 0, pins: [None; KEYS], queue, writers };
        let (stores, found) = (vec![Stored::new(head)], vec![Vec::new()]);
        let mut search = Self { model, messages, stores, found, writes: HashMap::new() };
        let (mut reached, mut known) = (vec![(start, 0)], HashSet::from([start]));
        let (mut next, mut ends) = (0, 0);
        while let Some((state, _)) = reached.get(next).copied() {
            let after = search.check(&state).and_then(|()| search.successors(state));
            let after = after.map_err(|what| {
                let back = std::iter::successors(Some(next), |at| (*at > 0).then(|| reached[*at].1));
                let path = back.map(|at| format!("\n{:?}", reached[at].0)).collect::<Vec<_>>();
                format!("{what}{}", path.into_iter().rev().collect::<String>())
            })?;
            ends += usize::from(search.is_end(&state));
            reached.extend(after.into_iter().filter(|after| known.insert(*after)).map(|after| (after, next)));
            next += 1;
        }
        let seals = search.stores.iter().filter(|stored| stored.head.sealed.until().is_some()).count();
        Ok(Explored { states: reached.len(), ends, seals })
    }

    fn of(&self, store: u16) -> &Stored {
        &self.stores[usize::from(store)]
    }

    fn is_end(&self, state: &State) -> bool {
        let is_idle = |writer: &Writer| matches!(writer, Writer::Absent | Writer::Idle);
        !state.queue.contains(&Delivery::Waiting) && state.writers.iter().all(is_idle)
    }

    /// What holds in every state; that of the store itself was checked when it came about.
    fn check(&self, state: &State) -> Result<(), String> {
        let stored = self.of(state.store);
        for ((minute, pin), name) in stored.minutes.iter().zip(state.pins).zip(NAMES) {
            if self.model.rules.pins && minute.is_some() && *minute != pin {
                return Err(format!("{name} is counted elsewhere than it is pinned"));
            }
        }
        for ((index, message), delivery) in self.messages.iter().enumerate().zip(state.queue) {
            let is_counted = |(sent, _): &(Sent, UsageEvent)| match sent.is_void {
                true => stored.corrections.contains(&correction(index)),
                false => stored.minutes[sent.key].is_some(),
            };
            if delivery != Delivery::Waiting && !message.iter().all(is_counted) {
                return Err("a message was acknowledged, and is not counted".into());
            }
        }
        Ok(())
    }

    /// Every state that one step of one writer can lead to.
    fn successors(&mut self, state: State) -> Result<Vec<State>, String> {
        let mut next = Vec::new();
        for index in 0..WRITERS {
            let moved = |mut state: State, writer: Writer| {
                state.writers[index] = writer;
                state.writers.sort_unstable();
                state
            };
            let writer = state.writers[index];
            if !matches!(writer, Writer::Absent | Writer::Idle) {
                next.push(moved(state, Writer::Idle)); // killed
            }
            match writer {
                Writer::Absent => {}
                Writer::Idle => {
                    for message in 0..self.messages.len() {
                        let mut state = state;
                        match state.queue[message] {
                            Delivery::Waiting if !self.is_sent(&state, message) => continue,
                            Delivery::Waiting => {}
                            Delivery::Acknowledged => state.queue[message] = Delivery::Spent,
                            Delivery::Spent => continue,
                        }
                        next.push(moved(state, self.pin_or_read(message, 0)));
                    }
                }
                Writer::Pins { message, event } => {
                    let mut state = state;
                    let Sent { key, minute, .. } = self.messages[message][event].0;
                    state.pins[key].get_or_insert(minute);
                    next.push(moved(state, self.pin_or_read(message, event + 1)));
                }
                Writer::Reads { message, may_be_old } => {
                    let mut head = Some(state.store);
                    while let Some(read) = head {
                        next.push(moved(state, self.after_read(&state, message, read)));
                        head = self.of(read).before.filter(|_| may_be_old);
                    }
                }
                Writer::Searches { message, head } => {
                    let found = self.search(&state, message, head);
                    next.push(moved(state, Writer::Writes { message, head, found }));
                }
                Writer::Writes { message, head, found } => {
                    let again = Writer::Reads { message, may_be_old: false };
                    match self.write(&state, message, head, found)? {
                        Write::Nothing => next.push(moved(state, Writer::Acknowledges { message })),
                        Write::Conflict => next.push(moved(state, again)),
                        Write::Stored(store) => {
                            let state = State { store, ..state };
                            next.push(moved(state, Writer::Acknowledges { message }));
                            next.push(moved(state, again)); // unheard, and the repeat met a conflict
                            next.push(moved(state, Writer::Idle)); // unheard for good, or killed
                        }
                    }
                }
                Writer::Acknowledges { message } => {
                    let mut state = state;
                    if state.queue[message] == Delivery::Waiting {
                        state.queue[message] = Delivery::Acknowledged;
                    }
                    next.push(moved(state, Writer::Idle));
                }
            }
        }
        Ok(next)
    }

    /// A correction is accepted only of what is counted.
    fn is_sent(&self, state: &State, message: usize) -> bool {
        let stored = self.of(state.store);
        self.messages[message].iter().all(|(sent, _)| !sent.is_void || stored.minutes[sent.key].is_some())
    }

    fn pin_or_read(&self, message: usize, from: usize) -> Writer {
        let events = self.messages[message].iter().enumerate().skip(from);
        let mut pinned = events.filter(|(_, (sent, _))| self.model.rules.pins && !sent.is_void);
        let reads = Writer::Reads { message, may_be_old: true };
        pinned.next().map_or(reads, |(event, _)| Writer::Pins { message, event })
    }

    fn after_read(&self, state: &State, message: usize, head: u16) -> Writer {
        let is_known = self.of(head).head.lookup(&self.events(message, &state.pins)).is_empty();
        match is_known || !self.model.rules.searches {
            true => Writer::Writes { message, head, found: 0 },
            false => Writer::Searches { message, head },
        }
    }

    /// The events of a message, where their keys are pinned.
    fn events(&self, message: usize, pins: &[Option<u16>; KEYS]) -> Vec<UsageEvent> {
        let events = self.messages[message].iter().map(|(Sent { key, minute, .. }, event)| UsageEvent {
            occurred_at: at(pins[*key].unwrap_or(*minute)),
            ..event.clone()
        });
        events.collect()
    }

    /// What is found in segments of what the head of `head` says has to be looked for.
    fn search(&mut self, state: &State, message: usize, head: u16) -> u16 {
        let events = self.events(message, &state.pins);
        let (stored, read) = (self.of(state.store), &self.of(head).head);
        let lookup = read.lookup(&events);
        let version = self.version_of(read);
        let mut found = stored.members(&lookup.runs, version).cloned().collect::<Vec<_>>();
        if lookup.reads_corrections {
            found.extend(stored.sealed_corrections(version).cloned());
        }
        found.retain(|event| lookup.wanted.contains(&event.identity()));
        let place = self.found.iter().position(|other| *other == found).unwrap_or_else(|| {
            self.found.push(found);
            self.found.len() - 1
        });
        u16::try_from(place).unwrap()
    }

    /// The latest version of segments that a writer takes notice of who read `head`.
    fn version_of(&self, head: &Head) -> u64 {
        if self.model.rules.writers_filter { head.version } else { u64::MAX }
    }

    fn write(&mut self, state: &State, message: usize, head: u16, found: u16) -> Result<Write, String> {
        let key = (state.store, state.pins, Writer::Writes { message, head, found });
        if let Some(write) = self.writes.get(&key) {
            return Ok(*write);
        }
        let events = self.events(message, &state.pins);
        let read = &self.of(head).head;
        let (found, version) = (&self.found[usize::from(found)], self.version_of(read));
        let known = Known { head: read, found, version };
        let write = match self.of(state.store).decided(&self.model, known, &events)? {
            HeadWrite::Nothing => Write::Nothing,
            write => self.stored(state.store, write)?,
        };
        self.writes.insert(key, write);
        Ok(write)
    }

    /// Makes a write, if its conditions hold, and checks what is stored then.
    fn stored(&mut self, before: u16, write: HeadWrite) -> Result<Write, String> {
        let Model { rules, .. } = self.model;
        let stored = self.of(before);
        let next = stored.after(before, write, rules.is_conditional);
        let Some(next) = next else { return Ok(Write::Conflict) };
        if let Some(place) = self.stores.iter().position(|other| *other == next) {
            return Ok(Write::Stored(u16::try_from(place).unwrap()));
        }
        next.check()?;
        next.check_reader(&next, self.model.counting(), rules)?;
        for earlier in std::iter::successors(Some(stored), |then| Some(self.of(then.before?))) {
            next.check_reader(earlier, self.model.counting(), rules)?;
        }
        self.stores.push(next);
        Ok(Write::Stored(u16::try_from(self.stores.len() - 1).unwrap()))
    }
}

const MODEL: Model = Model {
    aggregation: Aggregation::Sum,
    finest: Level::Month,
    room: 1,
    writers: 2,
    // A repeat of `a` with another timestamp; `c` and `d` are late once `b` is sealed, and are sealed too.
    messages: &["a 1 10:00, b 1 12:00", "a 1 13:00, c 1 10:30", "d 1 11:00"],
    rules: ALL_RULES,
};

/// Searches through all of it, and makes sure that there was something to search through.
fn check_holds(model: Model) -> Explored {
    let explored = Search::run(model).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(explored.states > 4000 && explored.seals > 0 && explored.ends > 0, "{explored:?}");
    explored
}

#[test]
fn two_writers_count_everything_once() {
    let explored = check_holds(MODEL);
    assert!(explored.states > 200_000, "{explored:?}");
}

#[test]
fn three_writers_count_everything_once() {
    check_holds(Model { writers: 3, messages: &MODEL.messages[..2], ..MODEL });
}

#[test]
fn totals_by_hour_change_with_their_head() {
    check_holds(Model { finest: Level::Hour, room: 0, messages: &MODEL.messages[..2], ..MODEL });
}

#[test]
fn a_level_told_out_of_order_is_folded_anew() {
    let aggregation = Aggregation::WeightedSum;
    check_holds(Model { aggregation, messages: &MODEL.messages[..2], ..MODEL });
}

#[test]
fn a_correction_counts_once_too() {
    let messages = &["c 1 10:00", "a 1 12:00", "-c 1 10:00"];
    check_holds(Model { aggregation: Aggregation::Max, messages, ..MODEL });
}

/// What a writer decides on segments newer than its head is either that all is counted, which is true, or a
/// write that fails, since the head has a newer version. Readers write nothing, and have to look away.
#[test]
fn a_writer_may_see_newer_segments_than_its_head() {
    let messages = &["a 1 10:00, b 1 12:00", "c 1 10:30, d 1 11:00"];
    let filtered = check_holds(Model { messages, ..MODEL });
    let rules = Rules { writers_filter: false, ..ALL_RULES };
    let unfiltered = check_holds(Model { rules, messages, ..MODEL });
    assert!(unfiltered.states > filtered.states, "{unfiltered:?}: it saw none");
}

/// Leaves out one rule, and expects a path on which it was needed.
#[test]
fn each_other_rule_is_needed() {
    let check = |rules: Rules, expected: &str| {
        let violation = Search::run(Model { rules, ..MODEL }).map(|explored| format!("{explored:?}"));
        assert!(violation.as_ref().is_err_and(|what| what.starts_with(expected)), "{violation:?}");
    };
    check(Rules { is_conditional: false, ..ALL_RULES }, "the head says 1 members, and there are 3");
    check(Rules { pins: false, ..ALL_RULES }, "a is counted twice");
    check(Rules { searches: false, ..ALL_RULES }, "a is stored twice");
    check(Rules { readers_filter: false, ..ALL_RULES }, "read at 2, at 3");
}

/// A day's totals by hour are one item, which the next commit replaces: who takes newer ones counts what its head does
/// not have.
#[test]
fn readers_need_totals_by_hour_that_are_no_newer_than_their_head() {
    let rules = Rules { readers_check_hours: false, ..ALL_RULES };
    let model = Model { finest: Level::Hour, room: 0, messages: &MODEL.messages[..2], rules, ..MODEL };
    let violation = Search::run(model).map(|explored| format!("{explored:?}"));
    assert!(violation.as_ref().is_err_and(|what| what.starts_with("read at 1, at 2")), "{violation:?}");
}
