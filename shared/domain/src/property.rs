//! What a sender says about an event beside its quantity: named values to filter, group and count by.

use std::{
    collections::{BTreeMap, btree_map},
    ops::{Deref, DerefMut},
    sync::Arc,
};

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

/// Properties by name. Cheap to clone: a million events are told the same few of them, and share them then.
#[derive(Clone, Debug, Default)]
pub struct Properties(Option<Arc<ByName>>);

type ByName = BTreeMap<String, Property>;

static NONE: ByName = ByName::new();

impl Properties {
    /// None at all.
    pub const fn new() -> Self {
        Self(None)
    }
}

impl Deref for Properties {
    type Target = ByName;

    fn deref(&self) -> &ByName {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Properties {
    fn deref_mut(&mut self) -> &mut ByName {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl PartialEq for Properties {
    fn eq(&self, other: &Self) -> bool {
        // Shared ones are the same without a look inside.
        self.0 == other.0 || **self == **other
    }
}

impl Eq for Properties {}

impl FromIterator<(String, Property)> for Properties {
    fn from_iter<I: IntoIterator<Item = (String, Property)>>(properties: I) -> Self {
        let by_name = ByName::from_iter(properties);
        Self((!by_name.is_empty()).then(|| Arc::new(by_name)))
    }
}

impl<const N: usize> From<[(String, Property); N]> for Properties {
    fn from(properties: [(String, Property); N]) -> Self {
        Self::from_iter(properties)
    }
}

impl<'a> IntoIterator for &'a Properties {
    type Item = (&'a String, &'a Property);
    type IntoIter = btree_map::Iter<'a, String, Property>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Properties {
    type Item = (String, Property);
    type IntoIter = btree_map::IntoIter<String, Property>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map(Arc::unwrap_or_clone).unwrap_or_default().into_iter()
    }
}

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
