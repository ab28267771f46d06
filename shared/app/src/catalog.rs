//! Features and meters.

use auth::Actor;
use domain::{
    feature::{Feature, FeatureType},
    id::{FeatureId, MeterId},
    meter::{Aggregation, DeduplicateBy, Filter, Meter},
    user::Scope,
};
use store::{Page, PageRequest};

use crate::{AppError, Platform};

/// A feature to be made.
pub struct NewFeature {
    /// What people call it.
    pub name: String,
    /// What code calls it.
    pub lookup_key: String,
    /// For whoever reads the price list.
    pub description: Option<String>,
    /// What kind of thing it is.
    pub kind: NewFeatureKind,
}

/// What kind of feature is to be made.
pub enum NewFeatureKind {
    /// On or off.
    Switch,
    /// Has a value given per plan.
    Custom,
    /// Counted by a meter, which is made with it.
    Meter(NewMeter),
}

/// A meter to be made.
pub struct NewMeter {
    /// Its name, unique in the organization.
    pub name: String,
    /// The property that holds what is aggregated.
    pub property: String,
    /// How events become one number.
    pub aggregation: Aggregation,
    /// What one unit is called.
    pub unit: Option<String>,
    /// Which events count.
    pub filters: Vec<Filter>,
    /// What makes two events the same.
    pub deduplicate_by: DeduplicateBy,
}

/// What may be changed of a feature. `None` leaves it as it is.
#[derive(Default)]
pub struct FeatureChanges {
    /// What people call it.
    pub name: Option<String>,
    /// For whoever reads the price list; an inner `None` takes it away.
    pub description: Option<Option<String>>,
}

/// Makes a feature, with its meter if it is one that is metered.
///
/// Errors: `Conflict` if the lookup key or the meter's name is taken.
pub async fn create_feature(
    platform: &Platform,
    actor: &Actor,
    new: NewFeature,
) -> Result<(Feature, Option<Meter>), AppError> {
    actor.require(Scope::BillingWrite)?;
    let (id, now) = (platform.new_id(), platform.now());
    let (feature_type, meter) = match new.kind {
        NewFeatureKind::Switch => (FeatureType::Switch, None),
        NewFeatureKind::Custom => (FeatureType::Custom, None),
        NewFeatureKind::Meter(new) => {
            let meter = Meter {
                id: platform.new_id(),
                token: platform.new_id(),
                feature: id,
                name: new.name,
                property: new.property,
                aggregation: new.aggregation,
                unit: new.unit,
                filters: new.filters,
                deduplicate_by: new.deduplicate_by,
                created_at: now,
                version: 0,
            };
            (FeatureType::Meter { meter: meter.id }, Some(meter))
        }
    };
    let feature = Feature {
        id,
        name: new.name,
        lookup_key: new.lookup_key,
        description: new.description,
        feature_type,
        created_at: now,
        updated_at: now,
        version: 0,
    };
    let change = platform.change(actor.organization, actor.name());
    platform.store.create_feature(&change, &feature, meter.as_ref()).await?;
    Ok((feature, meter))
}

/// A feature and its meter.
pub async fn get_feature(
    platform: &Platform,
    actor: &Actor,
    id: FeatureId,
) -> Result<(Feature, Option<Meter>), AppError> {
    actor.require(Scope::BillingRead)?;
    let feature = platform.store.get_feature(actor.organization, id).await?;
    let meter = meter_of(platform, actor, &feature).await?;
    Ok((feature, meter))
}

/// The organization's features with their meters.
pub async fn list_features(
    platform: &Platform,
    actor: &Actor,
    page: &PageRequest,
) -> Result<Page<(Feature, Option<Meter>)>, AppError> {
    actor.require(Scope::BillingRead)?;
    let features = platform.store.list_features(actor.organization, page).await?;
    let meters = features.rows.iter().map(|feature| meter_of(platform, actor, feature));
    let meters = futures::future::try_join_all(meters).await?;
    let rows = features.rows.into_iter().zip(meters).collect();
    Ok(Page { rows, total: features.total, next_cursor: features.next_cursor })
}

async fn meter_of(platform: &Platform, actor: &Actor, feature: &Feature) -> Result<Option<Meter>, AppError> {
    match feature.feature_type {
        FeatureType::Meter { meter } => Ok(Some(platform.store.get_meter(actor.organization, meter).await?)),
        FeatureType::Switch | FeatureType::Custom => Ok(None),
    }
}

/// Changes what may be changed of a feature.
pub async fn update_feature(
    platform: &Platform,
    actor: &Actor,
    id: FeatureId,
    changes: FeatureChanges,
) -> Result<(Feature, Option<Meter>), AppError> {
    actor.require(Scope::BillingWrite)?;
    let (mut feature, meter) = get_feature(platform, actor, id).await?;
    if let Some(name) = changes.name {
        feature.name = name;
    }
    if let Some(description) = changes.description {
        feature.description = description;
    }
    feature.updated_at = platform.now();
    platform.store.update_feature(&platform.change(actor.organization, actor.name()), &feature).await?;
    Ok((feature, meter))
}

/// Deletes a feature and its meter.
///
/// Errors: `Conflict` if a plan has it, or charges for it.
pub async fn delete_feature(platform: &Platform, actor: &Actor, id: FeatureId) -> Result<(), AppError> {
    actor.require(Scope::BillingWrite)?;
    let (feature, meter) = get_feature(platform, actor, id).await?;
    if let Some(meter) = &meter
        && crate::plans::is_meter_charged(platform, actor, meter.id).await?
    {
        return Err(AppError::conflict("feature_in_use", "a plan charges for this feature's meter"));
    }
    if crate::entitlements::is_granted(platform, actor, feature.id).await? {
        return Err(AppError::conflict("feature_in_use", "a plan has this feature"));
    }
    let change = platform.change(actor.organization, actor.name());
    Ok(platform.store.delete_feature(&change, &feature, meter.as_ref()).await?)
}

/// A meter.
pub async fn get_meter(platform: &Platform, actor: &Actor, id: MeterId) -> Result<Meter, AppError> {
    actor.require(Scope::BillingRead)?;
    Ok(platform.store.get_meter(actor.organization, id).await?)
}

/// The organization's meters.
pub async fn list_meters(
    platform: &Platform,
    actor: &Actor,
    page: &PageRequest,
) -> Result<Page<Meter>, AppError> {
    actor.require(Scope::BillingRead)?;
    Ok(platform.store.list_meters(actor.organization, page).await?)
}

/// The meters of an organization, for use cases that have checked what the caller may do.
pub(crate) async fn list_meters_of(
    platform: &Platform,
    organization: domain::id::OrganizationId,
    page: &PageRequest,
) -> Result<Page<Meter>, AppError> {
    Ok(platform.store.list_meters(organization, page).await?)
}
