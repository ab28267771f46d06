//! Slices of time: events of a range that cannot be summed up as they come are read slice by slice, each so short
//! that not too many have to be held.

use chrono::{DateTime, TimeDelta, Utc};

use crate::range::Range;

/// The ranges that are read now, and those that are left to be read.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    current: Vec<Range>,
    /// The next one last.
    further: Vec<Vec<Range>>,
}

impl Slices {
    /// One slice of all `ranges`, which are in order and do not overlap.
    pub fn of(ranges: Vec<Range>) -> Self {
        Self { current: Vec::new(), further: vec![ranges] }
    }

    /// Goes on to the next slice. `false` if there is nothing left to be read. Slices come in order of time.
    pub fn begin(&mut self) -> bool {
        self.current = self.further.pop().unwrap_or_default();
        !self.current.is_empty()
    }

    /// What is read now.
    pub fn current(&self) -> &[Range] {
        &self.current
    }

    /// Whether `at` is read now.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.current.iter().any(|range| range.contains(at))
    }

    /// Leaves the later half of what is read now to the next slice, and returns it. `None` if it cannot be any
    /// shorter: events are told apart by the millisecond.
    pub fn halve(&mut self) -> Option<&[Range]> {
        let later = match self.current.as_mut_slice() {
            [] => return None,
            [range] => {
                let half = (range.until - range.from).num_milliseconds() / 2;
                if half == 0 {
                    return None;
                }
                let middle = range.from + TimeDelta::milliseconds(half);
                let later = Range { from: middle, until: range.until };
                range.until = middle;
                vec![later]
            }
            ranges => {
                let half = ranges.len() / 2;
                self.current.split_off(half)
            }
        };
        self.further.push(later);
        self.further.last().map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, until: i64) -> Range {
        let at = |millis| DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis);
        Range { from: at(from), until: at(until) }
    }

    #[test]
    fn every_instant_is_of_one_slice() {
        let mut slices = Slices::of(vec![range(0, 7), range(10, 11), range(20, 22)]);
        let mut seen = Vec::new();
        while slices.begin() {
            while slices.halve().is_some() {}
            assert_eq!(slices.current().len(), 1);
            seen.extend_from_slice(slices.current());
        }
        let instants = (0..7).chain([10, 20, 21]).map(|at| range(at, at + 1)).collect::<Vec<_>>();
        assert_eq!(seen, instants);
        assert!(!slices.begin() && slices.halve().is_none());
        assert!(!Slices::of(Vec::new()).begin());
    }
}
