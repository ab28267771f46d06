//! Bodies of features.

use app::{
    AppError,
    catalog::{FeatureChanges, NewFeature, NewFeatureKind, NewMeter},
};
use domain::{
    feature::{Feature, FeatureType},
    meter::{DeduplicateBy, Meter},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check,
    meter::{AggregationName, DeduplicateByName, FilterBody, MeterBody, filters},
    time::TimeOut,
};

/// What kind of thing a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeatureTypeName {
    /// Used by the piece, and counted by a meter.
    Meter,
    /// On or off.
    Switch,
    /// Has a value given per plan.
    Custom,
}

/// A feature to be made. The fields from `meter_name` on are for those of type `meter` alone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFeatureBody {
    /// What people call it.
    name: String,
    /// What code calls it: a slug, unique in the organization.
    lookup_key: String,
    /// What kind of thing it is.
    #[serde(rename = "type")]
    feature_type: FeatureTypeName,
    /// For whoever reads the price list.
    description: Option<String>,
    /// The meter's name, unique in the organization.
    meter_name: Option<String>,
    /// The property that holds what is aggregated.
    property_name: Option<String>,
    /// How events become one number.
    aggregation_type: Option<AggregationName>,
    /// What one unit is called.
    unit: Option<String>,
    /// Which events count: all that match every one of these.
    filters: Option<Vec<FilterBody>>,
    /// What makes two events the same; the key alone, if not given.
    deduplicate_by: Option<DeduplicateByName>,
}

/// Changes to a feature. What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureChangesBody {
    /// What people call it.
    name: Option<String>,
    /// For whoever reads the price list; empty text takes it away.
    description: Option<String>,
}

/// A feature.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureBody {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What code calls it.
    pub lookup_key: String,
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub feature_type: FeatureTypeName,
    /// For whoever reads the price list.
    pub description: Option<String>,
    /// Its meter's id.
    pub meter_id: Option<String>,
    /// What the SDK names its meter by.
    pub meter_token: Option<String>,
    /// Its meter.
    pub meter: Option<MeterBody>,
    /// When it was made.
    pub created_at: TimeOut,
    /// When it was last changed.
    pub updated_at: TimeOut,
}

impl NewFeatureBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<NewFeature, AppError> {
        let mut check = Check::default();
        let name = check.text("name", self.name, 200);
        let lookup_key = check.slug("lookup_key", self.lookup_key);
        let description = check.optional_rows("description", self.description, 2000);
        let kind = match self.feature_type {
            FeatureTypeName::Meter => {
                let mut required = |field: &str, value: Option<String>| match value {
                    Some(value) => check.text(field, value, 100),
                    None => {
                        check.refuse(field, "is required for a feature of type meter");
                        String::new()
                    }
                };
                let name = required("meter_name", self.meter_name);
                let property = match (self.aggregation_type, &self.property_name) {
                    // Events are counted without looking at them.
                    (Some(AggregationName::Count), None) => String::new(),
                    _ => required("property_name", self.property_name),
                };
                if self.aggregation_type.is_none() {
                    check.refuse("aggregation_type", "is required for a feature of type meter");
                }
                let unit = check.optional_text("unit", self.unit, 50);
                let filters = filters(&mut check, self.filters.unwrap_or_default());
                let deduplicate_by =
                    self.deduplicate_by.map_or(DeduplicateBy::Key, DeduplicateByName::into_domain);
                self.aggregation_type.map(|aggregation| {
                    NewFeatureKind::Meter(NewMeter {
                        name,
                        property,
                        aggregation: aggregation.aggregation(),
                        unit,
                        filters,
                        deduplicate_by,
                    })
                })
            }
            FeatureTypeName::Switch | FeatureTypeName::Custom => {
                for (field, is_given) in [
                    ("meter_name", self.meter_name.is_some()),
                    ("property_name", self.property_name.is_some()),
                    ("aggregation_type", self.aggregation_type.is_some()),
                    ("unit", self.unit.is_some()),
                    ("filters", self.filters.is_some()),
                    ("deduplicate_by", self.deduplicate_by.is_some()),
                ] {
                    if is_given {
                        check.refuse(field, "is for features of type meter alone");
                    }
                }
                let is_switch = self.feature_type == FeatureTypeName::Switch;
                Some(if is_switch { NewFeatureKind::Switch } else { NewFeatureKind::Custom })
            }
        };
        check.finish_some(kind.map(|kind| NewFeature { name, lookup_key, description, kind }))
    }
}

impl FeatureChangesBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<FeatureChanges, AppError> {
        let mut check = Check::default();
        let name = self.name.map(|name| check.text("name", name, 200));
        let description =
            self.description.map(|description| check.optional_rows("description", Some(description), 2000));
        check.finish(FeatureChanges { name, description })
    }
}

impl FeatureTypeName {
    pub(crate) fn from_domain(feature_type: FeatureType) -> Self {
        match feature_type {
            FeatureType::Meter { .. } => Self::Meter,
            FeatureType::Switch => Self::Switch,
            FeatureType::Custom => Self::Custom,
        }
    }
}

impl FeatureBody {
    /// The body of a feature and its meter.
    pub fn from_domain(feature: Feature, meter: Option<Meter>) -> Self {
        Self {
            id: feature.id.to_string(),
            name: feature.name,
            lookup_key: feature.lookup_key,
            feature_type: FeatureTypeName::from_domain(feature.feature_type),
            description: feature.description,
            meter_id: meter.as_ref().map(|meter| meter.id.to_string()),
            meter_token: meter.as_ref().map(|meter| meter.token.to_string()),
            meter: meter.map(MeterBody::from_domain),
            created_at: TimeOut(feature.created_at),
            updated_at: TimeOut(feature.updated_at),
        }
    }
}
