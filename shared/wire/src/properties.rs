//! Properties and metadata: names with any JSON value.

use std::{borrow::Cow, fmt};

use domain::property::{Properties, Property};
use rust_decimal::Decimal;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, Type},
    },
};

use crate::json::NUMBER_TOKEN;

/// Properties as they come in. A name that is there twice is refused: either value could be meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesIn(pub Properties);

/// The most names.
const NAMES_MAX: usize = 50;

/// The longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 100;

/// The longest value, in bytes of its text.
const VALUE_BYTES_MAX: usize = 4096;

impl<'de> Deserialize<'de> for PropertiesIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = PropertiesIn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E: de::Error>(self) -> Result<PropertiesIn, E> {
                Ok(PropertiesIn::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<PropertiesIn, A::Error> {
                let mut properties = Properties::new();
                while let Some(name) = entries.next_key::<String>()? {
                    if name == NUMBER_TOKEN {
                        return Err(de::Error::custom("is a number, expected an object"));
                    }
                    if properties.contains_key(&name) {
                        return Err(de::Error::custom(format!("duplicate field `{name}`")));
                    }
                    if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX {
                        return Err(de::Error::custom("must have names of 1 to 100 characters"));
                    }
                    let property = property(entries.next_value::<Value>()?);
                    if text_length(&property) > VALUE_BYTES_MAX {
                        return Err(de::Error::custom(format!(
                            "has a value of more than {VALUE_BYTES_MAX} bytes"
                        )));
                    }
                    properties.insert(name, property);
                    if properties.len() > NAMES_MAX {
                        return Err(de::Error::custom(format!("must have at most {NAMES_MAX} names")));
                    }
                }
                Ok(PropertiesIn(properties))
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

pub(crate) fn property(value: Value) -> Property {
    match value {
        Value::Null => Property::Null,
        Value::Bool(value) => Property::Bool(value),
        Value::Number(number) => Property::Number(usual(number.to_string())),
        Value::String(text) => Property::Text(text),
        nested @ (Value::Array(_) | Value::Object(_)) => Property::Nested(nested.to_string()),
    }
}

/// A number as it is usually written, so that `7.0` and `7e0` are `7`; one of too many digits as it came.
fn usual(number: String) -> String {
    let exact = match number.contains(['e', 'E']) {
        true => Decimal::from_scientific(&number),
        false => Decimal::from_str_exact(&number),
    };
    exact.map_or(number, |exact| exact.normalize().to_string())
}

fn text_length(property: &Property) -> usize {
    match property {
        Property::Null | Property::Bool(_) => 0,
        Property::Number(text) | Property::Text(text) | Property::Nested(text) => text.len(),
    }
}

/// Properties as they go out.
pub(crate) fn to_json(properties: &Properties) -> Map<String, Value> {
    properties.iter().map(|(name, property)| (name.clone(), value(property))).collect()
}

/// A property as it goes out.
pub(crate) fn value(property: &Property) -> Value {
    match property {
        Property::Null => Value::Null,
        Property::Bool(value) => Value::Bool(*value),
        Property::Number(text) | Property::Nested(text) => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
        }
        Property::Text(text) => Value::String(text.clone()),
    }
}

impl PartialSchema for PropertiesIn {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Object).description(Some("Names with any JSON value.")).into()
    }
}

impl ToSchema for PropertiesIn {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Properties")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_are_one_value() {
        for (given, expected) in [
            ("7", "7"),
            ("7.0", "7"),
            ("7e0", "7"),
            ("70E-1", "7"),
            ("-0.0", "0"),
            ("0.10", "0.1"),
            ("1e21", "1000000000000000000000"),
            ("1e-7", "0.0000001"),
            ("1e400", "1e+400"),
            ("0.1234567890123456789012345678901", "0.1234567890123456789012345678901"),
        ] {
            let json = format!(r#"{{"n":{given}}}"#);
            let PropertiesIn(properties) = serde_json::from_str(&json).unwrap();
            assert_eq!(properties["n"], Property::Number(expected.to_owned()), "{given}");
        }
    }
}
