//! What a sender says about an event beside its quantity: named values to filter, group and count by.

use std::collections::BTreeMap;

/// A value that came with an event. Numbers keep the digits they were sent with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// JSON `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as its digits.
    Number(String),
    /// Text.
    Text(String),
    /// An array or object, as JSON text. Never matched by a filter.
    Nested(String),
}

/// Properties by name.
pub type Properties = BTreeMap<String, Property>;

impl Property {
    /// What filters compare and UNIQUE_COUNT counts: `7` and `"7"` are the same value, `null` and nested
    /// values are none.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Number(text) | Self::Text(text) => Some(text),
            Self::Null | Self::Nested(_) => None,
        }
    }
}
