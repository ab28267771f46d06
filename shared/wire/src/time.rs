//! Instants: RFC 3339 with an offset in, UTC out.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use domain::zone::midnight;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type},
    },
};

/// An instant as it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeIn(pub DateTime<Utc>);

/// An instant as it goes out: `2025-01-15T10:30:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOut(pub DateTime<Utc>);

/// An instant as it comes in, or a date, whose first instant is that of some time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalTimeIn {
    /// An instant.
    At(DateTime<Utc>),
    /// A date alone.
    On(NaiveDate),
}

/// What is said of text that is no instant.
pub(crate) const INVALID: &str = "must be an RFC 3339 time with an offset, such as 2025-01-15T10:30:00Z";

/// Reads an instant. A date alone is its first instant in UTC.
pub(crate) fn parse(text: &str) -> Option<DateTime<Utc>> {
    match parse_date(text) {
        Some(date) => Some(date.and_time(NaiveTime::MIN).and_utc()),
        // A leap second would be taken for the one before, and no other system counts it.
        None => DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|at| at.to_utc())
            .filter(|at| at.timestamp_subsec_nanos() < 1_000_000_000),
    }
}

/// Reads a date alone.
fn parse_date(text: &str) -> Option<NaiveDate> {
    if text.len() == 10 { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None }
}

impl LocalTimeIn {
    /// Reads either.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match parse_date(text) {
            Some(date) => Some(Self::On(date)),
            None => parse(text).map(Self::At),
        }
    }

    /// The instant; of a date, the first in `zone`.
    pub fn start(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::On(date) => midnight(zone, date),
        }
    }

    /// The instant; of a date, the first after it in `zone`: a date that something ends on is covered.
    pub fn end(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::On(date) => midnight(zone, date.succ_opt().unwrap_or(date)),
        }
    }
}

impl TimeOut {
    /// The text of it.
    pub fn text(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }
}

impl<'de> Deserialize<'de> for TimeIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        parse(&text).map(Self).ok_or_else(|| de::Error::custom(INVALID))
    }
}

impl<'de> Deserialize<'de> for LocalTimeIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(INVALID))
    }
}

impl Serialize for TimeOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

fn date_time_schema() -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
}

impl PartialSchema for TimeIn {
    fn schema() -> RefOr<Schema> {
        date_time_schema()
    }
}

impl ToSchema for TimeIn {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Time")
    }
}

impl PartialSchema for LocalTimeIn {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("An instant, or a date in the time zone of the request."))
            .into()
    }
}

impl ToSchema for LocalTimeIn {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("LocalTime")
    }
}

impl PartialSchema for TimeOut {
    fn schema() -> RefOr<Schema> {
        date_time_schema()
    }
}

impl ToSchema for TimeOut {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Time")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_begins_where_the_customer_is() {
        let check = |text: &str, zone: &str, start: &str, end: &str| {
            let time: LocalTimeIn = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            let zone = zone.parse().unwrap();
            assert_eq!(
                [TimeOut(time.start(zone)).text(), TimeOut(time.end(zone)).text()],
                [start, end],
                "{text}"
            );
        };
        check("2025-01-15", "UTC", "2025-01-15T00:00:00Z", "2025-01-16T00:00:00Z");
        check("2025-03-09", "America/New_York", "2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z");
        check("2025-04-25", "Africa/Cairo", "2025-04-24T22:00:00Z", "2025-04-25T21:00:00Z"); // no midnight
        check("2025-01-15T10:00:00+01:00", "Asia/Tokyo", "2025-01-15T09:00:00Z", "2025-01-15T09:00:00Z");
    }

    #[test]
    fn times_have_an_offset() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(parse(text).map(|at| TimeOut(at).text()).as_deref(), expected, "{text}");
        };
        check("2025-01-15T10:30:00Z", Some("2025-01-15T10:30:00Z"));
        check("2025-01-15T10:30:00.250+05:30", Some("2025-01-15T05:00:00.250Z"));
        check("2025-01-15", Some("2025-01-15T00:00:00Z"));
        check("2025-01-15T10:30:00", None);
        check("2025-02-29", None);
        check("2025-01-15T24:00:00Z", None);
        check("2016-12-31T23:59:60Z", None);
        check("1736937000", None);
        check("", None);
    }
}
