//! Features: what a plan unlocks.

use chrono::{DateTime, Utc};

use crate::id::{FeatureId, MeterId};

/// What kind of thing a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureType {
    /// Used by the piece, and counted by a meter.
    Meter {
        /// The meter that counts it.
        meter: MeterId,
    },
    /// On or off.
    Switch,
    /// Has a value given per plan.
    Custom,
}

/// A feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its id.
    pub id: FeatureId,
    /// What people call it.
    pub name: String,
    /// A slug, unique in the organization; what code calls it.
    pub lookup_key: String,
    /// For whoever reads the price list.
    pub description: Option<String>,
    /// What kind of thing it is.
    pub feature_type: FeatureType,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes; writes are conditional on it.
    pub version: u64,
}
