//! A level that holds over time: what it comes to between its first and its last change.

use chrono::{DateTime, Utc};

use crate::{
    quantity::{Quantity, QuantityOverflow},
    series::Range,
    totals::Latest,
};

/// Part of the history of a level: each quantity holds until the next one. The area under it is known from
/// the first change to the last; parts that follow one another in time can be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// When it first changed in this part.
    pub first_at: DateTime<Utc>,
    /// The last change in this part, whose quantity holds from then on.
    pub last: Latest,
    /// The area from the first change to the last, in 10^-12 of a unit times milliseconds.
    pub area: i128,
}

impl Held {
    /// The part that one change makes.
    pub fn of(change: Latest) -> Self {
        Self { first_at: change.occurred_at, last: change, area: 0 }
    }

    /// Both parts as one.
    ///
    /// Errors: if the area is too large to be exact, or one part does not lie before the other.
    pub fn merge(self, other: Self) -> Result<Self, QuantityOverflow> {
        let is_after = |part: Self, other: Self| other.last.occurred_at <= part.first_at;
        let (first, second) = if is_after(other, self) {
            (self, other)
        } else if is_after(self, other) {
            (other, self)
        } else {
            return Err(QuantityOverflow);
        };
        let between = area(first.last.quantity, first.last.occurred_at, second.first_at)?;
        let area = first.area.checked_add(between).and_then(|area| area.checked_add(second.area));
        let last = first.last.max(second.last); // of one instant, the one that was said later
        Ok(Self { first_at: first.first_at, last, area: area.ok_or(QuantityOverflow)? })
    }
}

/// The area under `quantity` held from `from` to `until`, in 10^-12 of a unit times milliseconds.
fn area(quantity: Quantity, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<i128, QuantityOverflow> {
    let millis = i128::from((until - from).num_milliseconds().max(0));
    quantity.units().checked_mul(millis).ok_or(QuantityOverflow)
}

/// The average level over `[from, until)`, to 10^-12, halves away from zero. `carried` is the level before
/// the first of `parts`, which are in order of time and lie inside. 0 where nothing was said yet.
///
/// Errors: if it is too large to be computed exactly.
pub fn average(
    carried: Option<Quantity>,
    parts: &[Held],
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Quantity, QuantityOverflow> {
    let millis = i128::from((until - from).num_milliseconds());
    if millis <= 0 {
        return Ok(Quantity::ZERO);
    }
    let (mut level, mut since, mut total) = (carried.unwrap_or_default(), from, 0_i128);
    for part in parts {
        let before = area(level, since, part.first_at)?;
        total =
            total.checked_add(before).and_then(|sum| sum.checked_add(part.area)).ok_or(QuantityOverflow)?;
        (level, since) = (part.last.quantity, part.last.occurred_at);
    }
    total = total.checked_add(area(level, since, until)?).ok_or(QuantityOverflow)?;
    Ok(divided(total, millis))
}

/// The level whose area over so many milliseconds is `total`, halves away from zero. 0 over no time.
fn divided(total: i128, millis: i128) -> Quantity {
    let whole = total.checked_div(millis).unwrap_or_default();
    let rest = total.checked_rem(millis).unwrap_or_default().abs();
    let is_half = rest != 0 && rest >= millis - rest;
    Quantity::from_units(if is_half { whole + total.signum() } else { whole })
}

/// What a level over several ranges comes to, where each counts by its share of `whole`, from all that is known
/// of it: `changes` in any order. What the parts of an interval come to adds up to the average over all of it.
///
/// Errors: if it is too large to be computed exactly.
pub fn share_of(changes: &[Latest], ranges: &[Range], whole: Range) -> Result<Quantity, QuantityOverflow> {
    let mut changes = changes.to_vec();
    changes.sort();
    let mut parts_of_whole = Vec::new();
    for range in ranges {
        let before = changes.iter().rev().find(|change| change.occurred_at < range.from);
        let inside = changes.iter().filter(|change| range.contains(change.occurred_at));
        let parts = inside.copied().map(Held::of).collect::<Vec<_>>();
        let level = average(before.map(|change| change.quantity), &parts, range.from, range.until)?;
        parts_of_whole.push((level, *range));
    }
    weighted(&parts_of_whole, whole)
}

/// The sum of levels that each held over a range, weighted by its share of `whole`, to 10^-12.
///
/// Errors: if it is too large to be computed exactly.
pub fn weighted(levels: &[(Quantity, Range)], whole: Range) -> Result<Quantity, QuantityOverflow> {
    let areas = levels.iter().map(|(level, range)| area(*level, range.from, range.until));
    let total = areas.reduce(|left, right| left?.checked_add(right?).ok_or(QuantityOverflow));
    let millis = i128::from((whole.until - whole.from).num_milliseconds());
    Ok(divided(total.transpose()?.unwrap_or_default(), millis))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change(second: i64, quantity: &str) -> Latest {
        let occurred_at = DateTime::UNIX_EPOCH + chrono::Duration::seconds(second);
        Latest { occurred_at, ingested_at: occurred_at, quantity: quantity.parse().unwrap() }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::Duration::seconds(second)
    }

    #[test]
    fn a_level_holds_until_it_changes() {
        let check = |carried: Option<&str>, changes: &[(i64, &str)], expected: &str| {
            let parts = changes.iter().map(|(second, quantity)| Held::of(change(*second, quantity)));
            let carried = carried.map(|carried| carried.parse().unwrap());
            let average = average(carried, &parts.collect::<Vec<_>>(), at(0), at(10)).unwrap();
            assert_eq!(average.to_string(), expected, "{carried:?} {changes:?}");
        };
        check(None, &[], "0");
        check(Some("3"), &[], "3");
        check(None, &[(0, "10"), (5, "20")], "15");
        check(None, &[(5, "20")], "10");
        check(Some("10"), &[(5, "20")], "15");
        check(Some("10"), &[(5, "0")], "5");
        check(Some("1"), &[(3, "4"), (3, "2")], "1.7"); // of the same instant, the later one said holds
    }

    #[test]
    fn an_average_rounds_halves_away_from_zero_at_its_last_decimal() {
        let one = Quantity::from_units(1);
        let parts = [Held::of(Latest { quantity: one, ..change(5, "0") })];
        assert_eq!(average(None, &parts, at(0), at(10)), Ok(one));
        assert_eq!(average(None, &parts, at(0), at(11)), Ok(one));
        assert_eq!(average(None, &parts, at(0), at(9)), Ok(Quantity::ZERO));
    }

    #[test]
    fn ranges_count_by_their_share_of_the_whole() {
        let changes = [change(30, "6"), change(0, "10")];
        let range = |from, until| Range { from: at(from), until: at(until) };
        let check = |ranges: &[Range], whole: Range, expected: &str| {
            assert_eq!(share_of(&changes, ranges, whole).unwrap().to_string(), expected, "{ranges:?}");
        };
        check(&[range(0, 10)], range(0, 10), "10");
        check(&[range(0, 10)], range(0, 40), "2.5");
        check(&[range(0, 10), range(40, 70)], range(0, 100), "2.8");
        check(&[range(20, 40)], range(20, 40), "8");
        check(&[range(20, 40)], range(0, 80), "2");
        check(&[], range(0, 10), "0");
        check(&[], range(0, 0), "0");
        check(&[range(0, 10)], range(0, 7), "14.285714285714");
        check(&[range(0, 20)], range(0, 30), "6.666666666667");
    }

    #[test]
    fn an_area_too_large_is_an_error() {
        let parts = [Held::of(change(0, "1e22"))];
        assert_eq!(average(None, &parts, at(0), at(10_000_000_000)), Err(QuantityOverflow));
    }

    proptest! {
        /// Parts put together in any grouping give the average of the single changes.
        #[test]
        fn parts_add_up(changes in prop::collection::vec((0_i64..100, 0_i64..1000), 1..20), cut in 0_usize..20) {
            let mut changes = changes
                .iter()
                .map(|(second, quantity)| change(*second, &quantity.to_string()))
                .collect::<Vec<_>>();
            changes.sort();
            let single = changes.iter().copied().map(Held::of).collect::<Vec<_>>();
            let join = |parts: &[Held]| {
                parts.iter().copied().map(Ok).reduce(|left, right| left?.merge(right?)).transpose().unwrap()
            };
            let (left, right) = single.split_at(cut.min(single.len()));
            let parts = join(left).into_iter().chain(join(right)).collect::<Vec<_>>();
            let range = (at(0), at(100));
            prop_assert_eq!(
                average(None, &parts, range.0, range.1),
                average(None, &single, range.0, range.1)
            );
        }
    }
}
