//! Instants: RFC 3339 with an offset in, UTC out.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
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

/// What is said of text that is no instant.
pub(crate) const INVALID: &str = "must be an RFC 3339 time with an offset, such as 2025-01-15T10:30:00Z";

/// Reads an instant. A date alone is its first instant in UTC.
pub(crate) fn parse(text: &str) -> Option<DateTime<Utc>> {
    match parse_date(text) {
        Some(date) => Some(date.and_time(NaiveTime::MIN).and_utc()),
        None => DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()),
    }
}

/// Reads a date alone.
pub(crate) fn parse_date(text: &str) -> Option<NaiveDate> {
    if text.len() == 10 { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None }
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
        check("1736937000", None);
        check("", None);
    }
}
