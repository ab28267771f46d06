//! Numbers, digit by digit: nothing here ever goes through a float.

use std::{borrow::Cow, str::FromStr};

use domain::quantity::{InvalidQuantity, Quantity};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, OneOfBuilder, Schema, Type},
    },
};

/// A number as it comes in: a JSON number, or the same as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberIn(pub Quantity);

/// A quantity of usage as it comes in: a JSON number, or the same as text. Rounded to twelve decimals, half away from
/// zero, since senders that compute with floats send up to 17 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantityIn(pub Quantity);

/// A number as it goes out: a JSON number with exact digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberOut(pub Decimal);

/// A quantity as it goes out: as [`NumberOut`], also where it has more digits than a decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantityOut(pub Quantity);

impl NumberIn {
    /// The number as a decimal. Errors: if it has more than 28 digits.
    pub fn decimal(self) -> Result<Decimal, &'static str> {
        self.0.to_decimal().map_err(|_| "must have at most 28 digits")
    }
}

impl<'de> Deserialize<'de> for NumberIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        digits(deserializer)?.trim().parse().map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for QuantityIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        digits(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl FromStr for QuantityIn {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        Quantity::rounded(text).map(Self)
    }
}

/// The digits of a number, or of text that should be one.
fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(de::Error::custom(InvalidQuantity::NotANumber))
        }
    }
}

impl Serialize for NumberOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // With arbitrary precision a number is the text of its digits.
        let number = serde_json::Number::from_str(&self.0.to_string()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl Serialize for QuantityOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = serde_json::Number::from_str(&self.0.to_string()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl PartialSchema for QuantityOut {
    fn schema() -> RefOr<Schema> {
        NumberOut::schema()
    }
}

impl ToSchema for QuantityOut {
    fn name() -> Cow<'static, str> {
        NumberOut::name()
    }
}

impl PartialSchema for NumberIn {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        let number = ObjectBuilder::new().schema_type(Type::Number).build();
        let either = OneOfBuilder::new().item(number).item(text);
        either.description(Some("A decimal number, as a JSON number or as text. Read digit by digit.")).into()
    }
}

impl ToSchema for NumberIn {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Decimal")
    }
}

impl PartialSchema for QuantityIn {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        let number = ObjectBuilder::new().schema_type(Type::Number).build();
        let description = "A quantity of up to 1e22, as a JSON number or as text without blanks. Read digit by digit, and \
                           rounded to 12 decimals, half away from zero.";
        OneOfBuilder::new().item(number).item(text).description(Some(description)).into()
    }
}

impl ToSchema for QuantityIn {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Quantity")
    }
}

impl PartialSchema for NumberOut {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .description(Some("A decimal number with exact digits. Read it digit by digit, not as a float."))
            .into()
    }
}

impl ToSchema for NumberOut {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Number")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_survive_both_ways() {
        for (json, out) in [
            ("0.1", "0.1"),
            ("\"0.10\"", "0.1"),
            ("1e-7", "0.0000001"),
            ("1e+21", "1000000000000000000000"),
            ("0.000000000001", "0.000000000001"),
            ("12345678901234.123456789012", "12345678901234.123456789012"),
        ] {
            let number: NumberIn = serde_json::from_str(json).unwrap();
            let out_number = NumberOut(number.decimal().unwrap());
            assert_eq!(serde_json::to_string(&out_number).unwrap(), out, "{json}");
        }
        for (json, out) in
            [("0.30000000000000004", "0.3"), ("\"0.30000000000000004\"", "0.3"), ("1e-7", "0.0000001")]
        {
            let QuantityIn(quantity) = serde_json::from_str(json).unwrap();
            assert_eq!(quantity.to_string(), out, "{json}");
        }
        assert!(serde_json::from_str::<QuantityIn>("\" 1\"").is_err());
        let money = NumberOut(Decimal::new(170_000, 2));
        assert_eq!(serde_json::to_string(&money).unwrap(), "1700.00");
    }
}
