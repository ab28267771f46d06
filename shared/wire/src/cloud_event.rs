//! CloudEvents 1.0 as usage: `type` names the meter, `subject` the customer, `source` and `id` make the idempotency
//! key, `time` is the timestamp, and `data` has the properties.

use std::{collections::BTreeSet, fmt};

use app::{
    AppError,
    event_key::key_of_source,
    track_usage::{CustomerRef, MeterRef, Usage},
};
use domain::{
    event::KEY_CHARACTERS_MAX,
    property::{Properties, Property},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use crate::{
    check::Check,
    json,
    problem::Problem,
    properties::PropertiesIn,
    time::{self, TimeIn},
    usage_batch::{Told, check_count},
};

/// The content type of one event.
pub const SINGLE: &str = "application/cloudevents+json";

/// The content type of a list of events.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// A CloudEvent 1.0 that tells of usage. Other attributes are kept as metadata.
#[derive(Clone, Debug, ToSchema)]
pub struct CloudEventBody {
    /// `1.0`.
    pub specversion: String,
    /// Tells the event from all others of its `source`, in 1 to 255 characters.
    pub id: String,
    /// Where the event comes from. With `id` it makes the idempotency key, `source|id`, with a `\` before each `|` or
    /// `\` in the source: the same `id` of another source is another event. A key of more than 255 characters is
    /// `sha256:` and the hash of it in hexadecimal digits. An event that is also sent another way counts once if that
    /// key is its `idempotency_key` there.
    pub source: String,
    /// The meter's name.
    #[schema(rename = "type")]
    pub kind: String,
    /// What your own systems call the customer.
    pub subject: String,
    /// When; now if not given.
    pub time: Option<TimeIn>,
    /// Values to aggregate, filter and group by.
    pub data: Option<PropertiesIn>,
}

/// One event, its attributes as they came.
#[derive(Debug, Default)]
struct CloudEvent {
    attributes: Properties,
    data: Option<PropertiesIn>,
}

/// The longest value of an attribute, in bytes.
const ATTRIBUTE_BYTES_MAX: usize = 2048;

impl<'de> Deserialize<'de> for CloudEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Attributes;
        impl<'de> Visitor<'de> for Attributes {
            type Value = CloudEvent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<CloudEvent, A::Error> {
                let mut event = CloudEvent::default();
                let mut seen = BTreeSet::new();
                while let Some(name) = entries.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(de::Error::custom(format!("duplicate field `{name}`")));
                    }
                    if name == "data" {
                        event.data = Some(entries.next_value()?);
                        continue;
                    }
                    // Extensions may have any name like this; anything else is a mistake.
                    let is_name =
                        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
                    if name.is_empty() || !name.chars().all(is_name) || seen.len() > 50 {
                        return Err(de::Error::custom(format!("unknown field `{name}`")));
                    }
                    event.attributes.insert(name, attribute(entries.next_value()?)?);
                }
                Ok(event)
            }
        }
        deserializer.deserialize_map(Attributes)
    }
}

fn attribute<E: de::Error>(value: Value) -> Result<Property, E> {
    match value {
        Value::String(text) if text.len() <= ATTRIBUTE_BYTES_MAX => Ok(Property::Text(text)),
        Value::Number(number) => Ok(Property::Number(number.to_string())),
        Value::Bool(value) => Ok(Property::Bool(value)),
        Value::Null => Ok(Property::Null),
        Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Err(E::custom("has an attribute that is no simple value of at most 2048 bytes"))
        }
    }
}

/// Reads one event.
///
/// Errors: if it is no CloudEvent, or says too little to be counted.
pub fn single(body: &[u8]) -> Result<Usage, Problem> {
    let event = json::parse::<CloudEvent>(body)?;
    Ok(into_domain(event)?)
}

/// Reads a list of events, each for itself.
///
/// Errors: if it is no list, or too long.
pub fn batch(body: &[u8]) -> Result<Told, Problem> {
    let events = serde_json::from_slice::<Vec<Box<RawValue>>>(body)
        .map_err(|error| Problem::malformed(format!("the body is no list of events: {error}")))?;
    check_count("events", events.len())?;
    Ok(events.iter().map(|event| single(event.get().as_bytes())).collect())
}

fn into_domain(event: CloudEvent) -> Result<Usage, AppError> {
    let mut check = Check::default();
    let mut attributes = event.attributes;
    let mut take = |name: &str| attributes.remove(name).and_then(|value| value.as_text().map(str::to_owned));
    let (version, id, kind, subject, time) =
        (take("specversion"), take("id"), take("type"), take("subject"), take("time"));
    take("datacontenttype");
    take("dataschema");
    if version.as_deref() != Some("1.0") {
        check.refuse("specversion", "must be `1.0`");
    }
    let source = attributes.get("source").and_then(Property::as_text).unwrap_or_default().to_owned();
    if source.is_empty() {
        check.refuse("source", "is required");
    }
    let id = id.unwrap_or_default();
    if !(1..=KEY_CHARACTERS_MAX).contains(&id.chars().count()) {
        check.refuse("id", "must have 1 to 255 characters");
    }
    // Together they are what tells events apart, and `source` stays among what is told.
    let key = key_of_source(&source, &id);
    let is_hashed = !key.contains('|');
    if is_hashed {
        attributes.insert("id".to_owned(), Property::Text(id));
    }
    let kind = check.text("type", kind.unwrap_or_default(), 255);
    let subject = check.text("subject", subject.unwrap_or_default(), 255);
    let timestamp = time.and_then(|text| check.value("time", time::parse(&text).ok_or(time::INVALID)));
    check.finish(Usage {
        meter: MeterRef::Name(kind),
        customer: CustomerRef::ExternalId(subject),
        quantity: None,
        timestamp,
        idempotency_key: Some(key),
        properties: event.data.unwrap_or_default().0,
        metadata: attributes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"specversion": "1.0", "id": "e1", "source": "/api", "type": "calls",
        "subject": "acme", "time": "2025-01-15T10:00:00Z", "region": "eu",
        "datacontenttype": "application/json", "data": {"amount": 1.50, "model": "x"}}"#;

    #[test]
    fn a_cloud_event_is_usage() {
        let usage = single(EVENT.as_bytes()).unwrap();
        assert_eq!(usage.meter, MeterRef::Name("calls".into()));
        assert_eq!(usage.customer, CustomerRef::ExternalId("acme".into()));
        assert_eq!(usage.idempotency_key.as_deref(), Some("/api|e1"));
        assert_eq!(usage.timestamp, Some("2025-01-15T10:00:00Z".parse().unwrap()));
        assert_eq!(usage.properties["amount"], Property::Number("1.5".into()));
        let kept = usage.metadata.keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(kept, ["region", "source"], "what says where it comes from is kept");
    }

    #[test]
    fn an_event_whose_key_is_hashed_keeps_its_id() {
        let body = EVENT.replace("/api", &format!("/{}", "a".repeat(300)));
        let usage = single(body.as_bytes()).unwrap();
        assert!(usage.idempotency_key.unwrap().starts_with("sha256:"));
        assert_eq!(usage.metadata["id"], Property::Text("e1".into()));
        assert_eq!(usage.metadata["source"].as_text().unwrap().len(), 301);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let check = |from: &str, to: &str, field: &str| {
            let body = EVENT.replace(from, to);
            assert_ne!(body, EVENT);
            let problem = single(body.as_bytes()).unwrap_err();
            let fields = problem.errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>();
            assert_eq!(fields, [field], "{body}");
        };
        check(r#""1.0""#, r#""0.3""#, "specversion");
        check(r#""id": "e1", "#, "", "id");
        check(r#""e1""#, r#""""#, "id");
        check("e1", &"e".repeat(256), "id");
        check(r#""source": "/api", "#, "", "source");
        check(r#""subject": "acme","#, "", "subject");
        check(r#""type": "calls","#, "", "type");
        check(r#"2025-01-15T10:00:00Z"#, "yesterday", "time");
        check(r#""region""#, r#""Region""#, "Region");
        check(r#""region""#, r#""source""#, "source");
        assert_eq!(batch(b"{}").unwrap_err().status, 400);
        assert_eq!(batch(b"[]").unwrap_err().status, 422);
        let list = format!("[{EVENT}, {{}}]");
        let told = batch(list.as_bytes()).unwrap();
        assert!(told[0].is_ok() && told[1].is_err());
    }
}
