//! Query parameters, as strict as bodies.

use std::{collections::BTreeMap, str::FromStr};

use app::{AppError, FieldError, PageRequest, Position, read_usage::Question};
use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use domain::{
    meter::{FILTERS_MAX, Filter, FilterOperator},
    zone::{Step, Steps},
};

use crate::{
    problem::Problem,
    time::{self, LocalTimeIn},
};

/// The parameters of a request. Each is taken once; what is left over is unknown, and refused.
#[derive(Debug)]
pub struct Query {
    parameters: BTreeMap<String, String>,
    errors: Vec<FieldError>,
}

/// Rows of a page, if not said otherwise.
const PAGE_SIZE: usize = 20;

/// The most rows of a page.
const PAGE_SIZE_MAX: usize = 100;

/// The deepest row that page numbers lead to. Cursors go on from there.
const DEPTH_MAX: usize = 10_000;

impl Query {
    /// Reads pairs of names and values. A name that is there twice is refused.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        let mut query = Self { parameters: BTreeMap::new(), errors: Vec::new() };
        for (name, value) in pairs {
            if query.parameters.insert(name.clone(), value).is_some() {
                query.refuse(&name, "duplicate_field", "is there twice");
            }
        }
        query
    }

    fn refuse(&mut self, field: &str, code: &'static str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(field, code, detail));
    }

    /// A parameter as text; an empty one counts as none.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.parameters.remove(name).filter(|value| !value.is_empty())
    }

    /// Whether a parameter is there and not empty.
    pub fn has(&self, name: &str) -> bool {
        self.parameters.get(name).is_some_and(|value| !value.is_empty())
    }

    /// Complains that a parameter is missing.
    pub fn require(&mut self, name: &str, detail: &str) {
        self.refuse(name, "required", detail);
    }

    /// A parameter that is read from its text.
    pub fn parse<T: FromStr>(&mut self, name: &str) -> Option<T>
    where
        T::Err: ToString,
    {
        let text = self.text(name)?;
        text.parse().map_err(|error: T::Err| self.refuse(name, "invalid", error.to_string())).ok()
    }

    /// An instant.
    pub fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        let at = time::parse(&text);
        if at.is_none() {
            self.refuse(name, "invalid", time::INVALID);
        }
        at
    }

    /// Text that has to be there.
    pub fn required(&mut self, name: &str) -> String {
        self.text(name).unwrap_or_else(|| {
            self.refuse(name, "required", "is required");
            String::new()
        })
    }

    /// That `field` is not acceptable since it `detail`.
    pub fn invalid(&mut self, field: &str, detail: &str) {
        self.refuse(field, "invalid", detail);
    }

    /// A parameter that is one of a few words.
    pub fn choice<T: Copy>(&mut self, name: &str, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words = choices.iter().map(|(word, _)| *word).collect::<Vec<_>>();
            self.refuse(name, "invalid", format!("must be one of {}", words.join(", ")));
        }
        found
    }

    /// A whole number.
    fn whole(&mut self, name: &str) -> Option<usize> {
        let text = self.text(name)?;
        text.parse().map_err(|_| self.refuse(name, "invalid", "must be a whole number")).ok()
    }

    /// `page` and `page_size`, or `cursor` and `page_size`.
    pub fn page(&mut self) -> PageRequest {
        let size = self.whole("page_size").unwrap_or(PAGE_SIZE);
        if !(1..=PAGE_SIZE_MAX).contains(&size) {
            self.refuse("page_size", "invalid", format!("must be between 1 and {PAGE_SIZE_MAX}"));
        }
        let number = self.whole("page");
        let position = match self.text("cursor") {
            Some(cursor) => Position::from_cursor(&cursor).unwrap_or_else(|| {
                self.refuse("cursor", "invalid", "is no cursor of ours");
                Position::Number(1)
            }),
            None => Position::Number(number.unwrap_or(1)),
        };
        if let Some(number) = number {
            if number == 0 {
                self.refuse("page", "invalid", "must be at least 1");
            } else if number.saturating_mul(size) > DEPTH_MAX {
                let detail = format!("lies deeper than {DEPTH_MAX} rows: follow `next_cursor` instead");
                self.refuse("page", "too_deep", detail);
            }
        }
        PageRequest { position, size }
    }

    /// A number from 1 to `max`.
    pub fn number(&mut self, name: &str, default: usize, max: usize) -> usize {
        let number = self.whole(name).unwrap_or(default);
        if !(1..=max).contains(&number) {
            self.refuse(name, "invalid", format!("must be between 1 and {max}"));
        }
        number
    }

    /// `time_zone`, or `timezone`: UTC if neither is given.
    pub fn zone(&mut self) -> Tz {
        let Some(name) = self.text("time_zone").or_else(|| self.text("timezone")) else { return Tz::UTC };
        name.parse().unwrap_or_else(|_| {
            self.refuse("time_zone", "invalid", "must be a name like `Europe/Berlin`");
            Tz::UTC
        })
    }

    /// An instant, or a date alone.
    fn local_time(&mut self, name: &str) -> Option<LocalTimeIn> {
        let text = self.text(name)?;
        let time = LocalTimeIn::parse(&text);
        if time.is_none() {
            self.refuse(name, "invalid", time::INVALID);
        }
        time
    }

    /// `start_date` and `end_date`: by default the 30 days before the end, and until now. A date alone is its first
    /// instant in `zone` as a start, and covers the whole day as an end; an instant is the first that an end leaves
    /// out. Returns the half-open range, and the end as it is echoed.
    pub fn range(&mut self, now: DateTime<Utc>, zone: Tz) -> (domain::series::Range, DateTime<Utc>) {
        self.range_from(now, zone, |end| end - Duration::days(30))
    }

    /// As [`range`](Self::range), but from the start if that is left open; nothing is to be found from now on. `None` if
    /// neither is given.
    pub fn bounds(&mut self, now: DateTime<Utc>, zone: Tz) -> Option<domain::series::Range> {
        if !self.has("start_date") && !self.has("end_date") {
            return None;
        }
        let start = self.parameters.get("start_date").and_then(|start| LocalTimeIn::parse(start));
        let now =
            if self.has("end_date") { now } else { start.map_or(now, |start| start.start(zone).max(now)) };
        Some(self.range_from(now, zone, |_| DateTime::UNIX_EPOCH).0)
    }

    fn range_from(
        &mut self,
        now: DateTime<Utc>,
        zone: Tz,
        start: impl FnOnce(DateTime<Utc>) -> DateTime<Utc>,
    ) -> (domain::series::Range, DateTime<Utc>) {
        let end = self.local_time("end_date");
        let (until, shown) = match end {
            Some(LocalTimeIn::On(_)) => {
                let until = end.map_or(now, |end| end.end(zone));
                (until, until - Duration::seconds(1))
            }
            Some(LocalTimeIn::At(until)) => (until, until),
            // What was just accepted belongs to now.
            None => (now + Duration::milliseconds(1), now),
        };
        let from = self.local_time("start_date").map_or_else(|| start(shown), |start| start.start(zone));
        if self.errors.is_empty() && from >= until {
            match end {
                Some(_) => self.refuse("end_date", "invalid", "must lie after start_date"),
                None => {
                    self.refuse("start_date", "invalid", "must lie before now, which end_date is if left out")
                }
            }
        }
        (domain::series::Range { from, until }, shown)
    }

    /// `group_by` and filters: `group_by` is a step of time in `zone`, in any case, or the name of a property.
    pub fn question(&mut self, step: Option<Step>, zone: Tz) -> Question {
        let group_by = self.text("group_by");
        let by_time = group_by
            .as_deref()
            .and_then(|word| STEPS.iter().find(|(step, _)| step.eq_ignore_ascii_case(word)));
        if let Some(word) = &group_by
            && NO_STEPS.iter().any(|step| step.eq_ignore_ascii_case(word))
        {
            let steps = STEPS.map(|(step, _)| step).join(", ");
            let detail =
                format!("must be one of {steps}, or a property: `properties.{word}` if it has that name");
            self.refuse("group_by", "invalid", detail);
        }
        let step = match (&group_by, by_time) {
            (_, Some((_, step))) => Some(*step),
            (Some(_), None) => None,
            (None, None) => step,
        };
        let name = group_by.filter(|_| by_time.is_none());
        let name = name.map(|name| name.strip_prefix("properties.").map(str::to_owned).unwrap_or(name));
        let steps = step.map(|step| Steps { step, zone });
        Question { steps, filters: self.filters(), group_by: name, ..Question::default() }
    }

    /// `filter[region]=eu`, or with an operator `filter[region][in]=eu,us`.
    fn filters(&mut self) -> Vec<Filter> {
        let names = self.parameters.keys().filter(|name| name.starts_with("filter[")).cloned();
        let names = names.collect::<Vec<_>>();
        if names.len() > FILTERS_MAX {
            self.refuse("filter", "invalid", "must be at most 5");
        }
        let mut filters = Vec::new();
        for name in names {
            let value = self.parameters.remove(&name).unwrap_or_default();
            match filter(&name, &value) {
                Some(filter) => filters.push(filter),
                None => self.refuse(&name, "invalid", FILTER),
            }
        }
        filters
    }

    /// Checks that nothing was wrong and nothing is left over.
    pub fn finish(mut self) -> Result<(), Problem> {
        for name in std::mem::take(&mut self.parameters).into_keys() {
            self.refuse(&name, "unknown_field", "is not a parameter of this request");
        }
        if self.errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(self.errors).into()) }
    }
}

/// The words for the steps of a series.
const STEPS: [(&str, Step); 4] =
    [("hour", Step::Hour), ("day", Step::Day), ("week", Step::Week), ("month", Step::Month)];

/// Words that mean a step, and that no series has.
const NO_STEPS: [&str; 13] = [
    "second", "seconds", "minute", "minutes", "hours", "days", "weeks", "months", "quarter", "quarters",
    "year", "years", "decade",
];

const FILTER: &str = "must be like `filter[region]=eu`, or with one of the operators equals, not_equals, in, \
                      not_in, exists like `filter[region][in]=eu,us`";

fn filter(name: &str, value: &str) -> Option<Filter> {
    let inside = name.strip_prefix("filter[")?.strip_suffix(']')?;
    let (property, operator) = inside.split_once("][").unwrap_or((inside, "equals"));
    let operator = match operator {
        "equals" | "eq" => FilterOperator::Equals,
        "not_equals" | "ne" => FilterOperator::NotEquals,
        "in" => FilterOperator::In,
        "not_in" => FilterOperator::NotIn,
        "exists" => FilterOperator::Exists,
        _ => return None,
    };
    if property.is_empty() {
        return None;
    }
    let values = match operator {
        FilterOperator::Exists if !matches!(value, "" | "true") => return None,
        FilterOperator::Exists => Vec::new(),
        FilterOperator::In | FilterOperator::NotIn => value.split(',').map(str::to_owned).collect(),
        FilterOperator::Equals | FilterOperator::NotEquals => vec![value.to_owned()],
    };
    Some(Filter { property: property.to_owned(), operator, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn refused(mut given: Query, read: impl FnOnce(&mut Query)) -> Vec<String> {
        read(&mut given);
        let errors = given.finish().err().map(|problem| problem.errors).unwrap_or_default();
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn what_is_not_a_page_is_refused() {
        let check = |pairs: &[(&str, &str)], expected: &[&str]| {
            assert_eq!(refused(query(pairs), |query| _ = query.page()), expected, "{pairs:?}");
        };
        check(&[], &[]);
        check(&[("page", "100"), ("page_size", "100")], &[]);
        check(&[("page", "101"), ("page_size", "100")], &["page"]);
        check(&[("page", "0")], &["page"]);
        check(&[("page", "-1")], &["page"]);
        check(&[("page_size", "101")], &["page_size"]);
        check(&[("page_size", "x")], &["page_size"]);
        check(&[("cursor", "%%")], &["cursor"]);
        check(&[("pgae", "1")], &["pgae"]);
        check(&[("page", "1"), ("page", "2")], &["page"]);
        let mut given = query(&[("page", "1.5"), ("page_size", "99999999999999999999")]);
        given.page();
        let errors = given.finish().unwrap_err().errors;
        assert_eq!(
            errors.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>(),
            ["must be a whole number"; 2]
        );
    }

    #[test]
    fn a_date_alone_covers_its_day() {
        let now = "2025-03-01T12:00:00Z".parse().unwrap();
        let text = |at| crate::TimeOut(at).text();
        let check = |pairs: &[(&str, &str)], expected: [&str; 3]| {
            let (range, shown) = query(pairs).range(now, Tz::UTC);
            assert_eq!([text(range.from), text(range.until), text(shown)], expected, "{pairs:?}");
        };
        check(
            &[("start_date", "2025-01-01"), ("end_date", "2025-01-31")],
            ["2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z", "2025-01-31T23:59:59Z"],
        );
        check(
            &[("end_date", "2025-01-31T10:00:00Z")],
            ["2025-01-01T10:00:00Z", "2025-01-31T10:00:00Z", "2025-01-31T10:00:00Z"],
        );
        check(&[], ["2025-01-30T12:00:00Z", "2025-03-01T12:00:00.001Z", "2025-03-01T12:00:00Z"]);
        let backwards = query(&[("start_date", "2025-02-02"), ("end_date", "2025-02-01")]);
        assert_eq!(refused(backwards, |query| _ = query.range(now, Tz::UTC)), ["end_date"]);
        let bounds = |pairs: &[(&str, &str)]| {
            query(pairs).bounds(now, Tz::UTC).map(|range| [text(range.from), text(range.until)])
        };
        assert_eq!(bounds(&[]), None);
        let day = bounds(&[("start_date", "2025-01-31"), ("end_date", "2025-01-31")]);
        assert_eq!(day.unwrap(), ["2025-01-31T00:00:00Z", "2025-02-01T00:00:00Z"]);
        assert_eq!(bounds(&[("end_date", "2025-01-31T10:00:00Z")]).unwrap()[1], "2025-01-31T10:00:00Z");
        assert_eq!(bounds(&[("end_date", "2025-01-31T10:00:00Z")]).unwrap()[0], "1970-01-01T00:00:00Z");
        let until_now = ["2025-02-01T00:00:00Z", "2025-03-01T12:00:00.001Z"];
        assert_eq!(bounds(&[("start_date", "2025-02-01")]).unwrap(), until_now);
        check(&[("start_date", "2025-02-01")], [until_now[0], until_now[1], "2025-03-01T12:00:00Z"]);
        let to_come = [("start_date", "2025-03-02")];
        assert_eq!(refused(query(&to_come), |query| _ = query.range(now, Tz::UTC)), ["start_date"]);
        assert_eq!(bounds(&to_come).unwrap(), ["2025-03-02T00:00:00Z", "2025-03-02T00:00:00.001Z"]);
        // The last second of a day by its instant is the first that is left out.
        check(
            &[("start_date", "2025-01-31"), ("end_date", "2025-01-31T23:59:59Z")],
            ["2025-01-31T00:00:00Z", "2025-01-31T23:59:59Z", "2025-01-31T23:59:59Z"],
        );
        let wrong = query(&[("start_date", "2025-02-01"), ("end_date", "soon")]);
        assert_eq!(refused(wrong, |query| _ = query.bounds(now, Tz::UTC)), ["end_date"]);
        let unreadable = query(&[("start_date", "yesterday")]);
        assert_eq!(refused(unreadable, |query| _ = query.range(now, Tz::UTC)), ["start_date"]);
    }

    #[test]
    fn a_group_is_a_step_in_any_case_or_a_property() {
        let asked = |word: &str| {
            let mut given = query(&[("group_by", word)]);
            let Question { steps, group_by, .. } = given.question(None, Tz::UTC);
            (steps.map(|steps| steps.step), group_by)
        };
        assert_eq!(asked("hour"), (Some(Step::Hour), None));
        assert_eq!(asked("Day"), (Some(Step::Day), None));
        assert_eq!(asked("MONTH"), (Some(Step::Month), None));
        assert_eq!(asked("model"), (None, Some("model".into())));
        assert_eq!(asked("properties.year"), (None, Some("year".into())));
        for wrong in ["minute", "Second", "year", "QUARTER", "days"] {
            let read = |query: &mut Query| _ = query.question(None, Tz::UTC);
            assert_eq!(refused(query(&[("group_by", wrong)]), read), ["group_by"], "{wrong}");
        }
    }

    #[test]
    fn a_date_alone_is_a_day_of_the_time_zone() {
        let now = "2025-12-01T12:00:00Z".parse().unwrap();
        let text = |at| crate::TimeOut(at).text();
        let check = |day: &str, zone: &str, expected: [&str; 3]| {
            let pairs = [("start_date", day), ("end_date", day), ("time_zone", zone)];
            let mut given = query(&pairs);
            let zone = given.zone();
            let (range, shown) = given.range(now, zone);
            assert_eq!([text(range.from), text(range.until), text(shown)], expected, "{pairs:?}");
            let mut given = query(&pairs);
            let zone = given.zone();
            assert_eq!(given.bounds(now, zone), Some(range), "{pairs:?}");
        };
        check(
            "2025-03-30",
            "Europe/Berlin",
            ["2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z", "2025-03-30T21:59:59Z"],
        );
        check(
            "2025-11-02",
            "America/New_York",
            ["2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z", "2025-11-03T04:59:59Z"],
        );
        check("2025-03-30", "", ["2025-03-30T00:00:00Z", "2025-03-31T00:00:00Z", "2025-03-30T23:59:59Z"]);
        let nowhere = query(&[("time_zone", "Mars/Base")]);
        assert_eq!(refused(nowhere, |query| _ = query.zone()), ["time_zone"]);
    }
}
