//! Items: writing attributes, and reading them back with the item named in every complaint.

use std::{collections::HashMap, fmt::Display, str::FromStr};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::{
    id::Id,
    property::{Properties, Property},
};

use crate::{
    due::{Due, DueKind},
    error::StoreError,
    keys::{self, Key},
};

/// An item's attributes, or those of a map inside it.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// The version of the stored shapes. Readers take this one and the one before.
const SCHEMA: u64 = 1;

/// An item, or a map inside one, being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Item {
    attributes: Attributes,
    /// When something is to be done about it, and what.
    due: Option<(DueKind, Due)>,
}

impl Item {
    /// An item of type `kind` under `key`.
    pub(crate) fn new(key: Key, kind: &'static str) -> Self {
        Self::terse(key).text("type", kind).number("schema", SCHEMA)
    }

    /// An item of the usage table, where every byte is paid for with each event: what it is says its key, and
    /// its shape the first of its bytes.
    pub(crate) fn terse(key: Key) -> Self {
        Self { attributes: key.attributes(), due: None }
    }

    pub(crate) fn text(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.insert(name.to_owned(), AttributeValue::S(value.into()));
        self
    }

    pub(crate) fn display(self, name: &str, value: impl Display) -> Self {
        self.text(name, value.to_string())
    }

    /// Nothing is written for `None`.
    pub(crate) fn optional(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.display(name, value),
            None => self,
        }
    }

    pub(crate) fn number(mut self, name: &str, value: u64) -> Self {
        self.attributes.insert(name.to_owned(), AttributeValue::N(value.to_string()));
        self
    }

    pub(crate) fn flag(mut self, name: &str, value: bool) -> Self {
        self.attributes.insert(name.to_owned(), AttributeValue::Bool(value));
        self
    }

    pub(crate) fn bytes(mut self, name: &str, value: Vec<u8>) -> Self {
        self.attributes.insert(name.to_owned(), AttributeValue::B(Blob::new(value)));
        self
    }

    pub(crate) fn time(self, name: &str, at: DateTime<Utc>) -> Self {
        self.text(name, time_text(at))
    }

    pub(crate) fn optional_time(self, name: &str, at: Option<DateTime<Utc>>) -> Self {
        self.optional(name, at.map(time_text))
    }

    pub(crate) fn map(mut self, name: &str, value: Item) -> Self {
        self.attributes.insert(name.to_owned(), AttributeValue::M(value.attributes));
        self
    }

    pub(crate) fn list(mut self, name: &str, values: impl IntoIterator<Item = Item>) -> Self {
        let values = values.into_iter().map(|value| AttributeValue::M(value.attributes)).collect();
        self.attributes.insert(name.to_owned(), AttributeValue::L(values));
        self
    }

    pub(crate) fn texts<T: Into<String>>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let values = values.into_iter().map(|value| AttributeValue::S(value.into())).collect();
        self.attributes.insert(name.to_owned(), AttributeValue::L(values));
        self
    }

    pub(crate) fn properties(self, name: &str, properties: &Properties) -> Self {
        let map = properties.iter().fold(Self::default(), |mut map, (name, property)| {
            let value = match property {
                Property::Null => AttributeValue::Null(true),
                Property::Bool(value) => AttributeValue::Bool(*value),
                Property::Text(text) => AttributeValue::S(text.clone()),
                // Numbers keep their digits, which DynamoDB's own number type does not.
                Property::Number(text) => AttributeValue::M(Self::default().text("number", text).attributes),
                Property::Nested(text) => AttributeValue::M(Self::default().text("json", text).attributes),
            };
            map.attributes.insert(name.clone(), value);
            map
        });
        self.map(name, map)
    }

    /// Lists it in `gsi1`.
    pub(crate) fn listed(self, partition: String, sort: impl Display) -> Self {
        self.text("gsi1pk", partition).display("gsi1sk", sort)
    }

    /// Makes it due.
    pub(crate) fn due(self, kind: DueKind, due: Due) -> Self {
        Self { due: Some((kind, due)), ..self }
    }

    /// What is due of it, which it then no longer is.
    pub(crate) fn take_due(&mut self) -> Option<(DueKind, Due)> {
        self.due.take()
    }

    /// The version it has; 0 if it has none.
    pub(crate) fn version(&self) -> u64 {
        match self.attributes.get("version") {
            Some(AttributeValue::N(text)) => text.parse().unwrap_or_default(),
            _ => 0,
        }
    }

    /// What is written. If it is due, it is in `gsi2`.
    pub(crate) fn into_attributes(self) -> Attributes {
        match self.due {
            Some((kind, due)) => {
                let (partition, sort) = keys::due(kind, due.at, Id::<()>::from_uuid(due.id));
                let item = Self { attributes: self.attributes, due: None };
                item.text("gsi2pk", partition).text("gsi2sk", sort).attributes
            }
            None => self.attributes,
        }
    }
}

/// How instants are stored, so that text order is time order: to the millisecond, in UTC.
pub(crate) fn time_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads the attributes of an item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    kind: &'static str,
    attributes: &'a Attributes,
}

impl<'a> Reader<'a> {
    /// Reads an item of type `kind`. Errors: if it is of another type, or of a shape not known yet.
    pub(crate) fn new(kind: &'static str, attributes: &'a Attributes) -> Result<Self, StoreError> {
        let reader = Self { kind, attributes };
        if reader.text("type")? != kind {
            return Err(reader.corrupt("type"));
        }
        match reader.number("schema")? {
            SCHEMA => Ok(reader),
            _ => Err(reader.corrupt("schema")),
        }
    }

    /// Reads an item that was written by [`Item::terse`].
    pub(crate) fn terse(kind: &'static str, attributes: &'a Attributes) -> Self {
        Self { kind, attributes }
    }

    pub(crate) fn corrupt(&self, attribute: &str) -> StoreError {
        StoreError::Corrupt { kind: self.kind, reason: format!("attribute `{attribute}`") }
    }

    /// Whether there is such an attribute at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    /// The names of all attributes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.attributes.keys().map(String::as_str)
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str, StoreError> {
        self.optional_text(name)?.ok_or_else(|| self.corrupt(name))
    }

    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<&'a str>, StoreError> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(AttributeValue::S(text)) => Ok(Some(text)),
            Some(_) => Err(self.corrupt(name)),
        }
    }

    pub(crate) fn owned(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.optional_text(name)?.map(str::to_owned))
    }

    pub(crate) fn parse<T: FromStr>(&self, name: &str) -> Result<T, StoreError> {
        self.text(name)?.parse().map_err(|_| self.corrupt(name))
    }

    pub(crate) fn optional<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let parse = |text: &str| text.parse().map_err(|_| self.corrupt(name));
        self.optional_text(name)?.map(parse).transpose()
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, StoreError> {
        match self.attributes.get(name) {
            Some(AttributeValue::N(text)) => text.parse().map_err(|_| self.corrupt(name)),
            _ => Err(self.corrupt(name)),
        }
    }

    pub(crate) fn small(&self, name: &str) -> Result<u32, StoreError> {
        u32::try_from(self.number(name)?).map_err(|_| self.corrupt(name))
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, StoreError> {
        match self.attributes.get(name) {
            Some(AttributeValue::Bool(value)) => Ok(*value),
            _ => Err(self.corrupt(name)),
        }
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<&'a [u8], StoreError> {
        match self.attributes.get(name) {
            Some(AttributeValue::B(blob)) => Ok(blob.as_ref()),
            _ => Err(self.corrupt(name)),
        }
    }

    pub(crate) fn time(&self, name: &str) -> Result<DateTime<Utc>, StoreError> {
        self.parse(name)
    }

    pub(crate) fn optional_time(&self, name: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.optional(name)
    }

    pub(crate) fn map(&self, name: &str) -> Result<Reader<'a>, StoreError> {
        self.optional_map(name)?.ok_or_else(|| self.corrupt(name))
    }

    pub(crate) fn optional_map(&self, name: &str) -> Result<Option<Reader<'a>>, StoreError> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(AttributeValue::M(attributes)) => Ok(Some(Self { kind: self.kind, attributes })),
            Some(_) => Err(self.corrupt(name)),
        }
    }

    pub(crate) fn list(&self, name: &str) -> Result<Vec<Reader<'a>>, StoreError> {
        let Some(AttributeValue::L(values)) = self.attributes.get(name) else {
            return Err(self.corrupt(name));
        };
        let read = |value: &'a AttributeValue| match value {
            AttributeValue::M(attributes) => Ok(Self { kind: self.kind, attributes }),
            _ => Err(self.corrupt(name)),
        };
        values.iter().map(read).collect()
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&'a str>, StoreError> {
        let Some(AttributeValue::L(values)) = self.attributes.get(name) else {
            return Err(self.corrupt(name));
        };
        let read = |value: &'a AttributeValue| match value {
            AttributeValue::S(text) => Ok(text.as_str()),
            _ => Err(self.corrupt(name)),
        };
        values.iter().map(read).collect()
    }

    pub(crate) fn properties(&self, name: &str) -> Result<Properties, StoreError> {
        let map = self.map(name)?;
        let read = |(key, value): (&String, &AttributeValue)| {
            let property = match value {
                AttributeValue::Null(_) => Property::Null,
                AttributeValue::Bool(value) => Property::Bool(*value),
                AttributeValue::S(text) => Property::Text(text.clone()),
                AttributeValue::M(attributes) => {
                    let inner = Reader { kind: self.kind, attributes };
                    match inner.optional_text("number")? {
                        Some(text) => Property::Number(text.to_owned()),
                        None => Property::Nested(inner.text("json")?.to_owned()),
                    }
                }
                _ => return Err(self.corrupt(name)),
            };
            Ok((key.clone(), property))
        };
        map.attributes.iter().map(read).collect()
    }
}
