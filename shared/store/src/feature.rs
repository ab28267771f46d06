//! Features, and their meters that are made with them.

use domain::{
    feature::{Feature, FeatureType},
    id::{FeatureId, OrganizationId},
    meter::Meter,
};

use crate::{
    audit::Change,
    client::Store,
    error::StoreError,
    item::{Attributes, Item, Reader},
    keys,
    meter::{deleted_meter_item, meter_item},
    page::{List, Page, PageRequest},
    transaction::{Otherwise, Transaction},
};

const LIST: List = List { what: "FEATURE", shards: 1, filter: None };

impl Store {
    /// Makes a feature, with its meter if it has one.
    ///
    /// Errors: `Taken` if the lookup key or the meter's name is.
    pub async fn create_feature(
        &self,
        change: &Change,
        feature: &Feature,
        meter: Option<&Meter>,
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let lookup_key = keys::claim(organization, "FEATURE", &feature.lookup_key);
        let mut transaction = Transaction::new(self)
            .create(feature_item(organization, feature), Otherwise::Conflict)
            .claim(lookup_key, feature.id, "lookup_key")
            .audited(change, "create feature", feature.id);
        if let Some(meter) = meter {
            transaction = transaction
                .create(meter_item(organization, meter), Otherwise::Conflict)
                .claim(keys::claim(organization, "METER", &meter.name), meter.id, "meter_name")
                .claim(keys::meter_token(organization, meter.token), meter.id, "meter_token");
        }
        transaction.commit(self).await
    }

    /// A feature.
    pub async fn get_feature(
        &self,
        organization: OrganizationId,
        id: FeatureId,
    ) -> Result<Feature, StoreError> {
        let item = self.get(keys::feature(organization, id)).await?.ok_or(StoreError::NotFound("feature"))?;
        from_item(&item)
    }

    /// The feature that code calls `lookup_key`.
    pub async fn find_feature_by_lookup_key(
        &self,
        organization: OrganizationId,
        lookup_key: &str,
    ) -> Result<Option<Feature>, StoreError> {
        let claim = self.get(keys::claim(organization, "FEATURE", lookup_key)).await?;
        let Some(claim) = claim else { return Ok(None) };
        self.get_feature(organization, Reader::new("claim", &claim)?.parse("owner")?).await.map(Some)
    }

    /// The features of an organization.
    pub async fn list_features(
        &self,
        organization: OrganizationId,
        request: &PageRequest,
    ) -> Result<Page<Feature>, StoreError> {
        self.list(organization, &LIST, request).await?.try_map(|item| from_item(&item))
    }

    /// Puts a feature over the version that was read.
    pub async fn update_feature(&self, change: &Change, feature: &Feature) -> Result<(), StoreError> {
        Transaction::new(self)
            .replace(feature_item(change.organization, feature), feature.version)
            .audited(change, "update feature", feature.id)
            .commit(self)
            .await
    }

    /// Deletes a feature and its meter. What was counted stays, and so does what is told of it.
    pub async fn delete_feature(
        &self,
        change: &Change,
        feature: &Feature,
        meter: Option<&Meter>,
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let mut transaction = Transaction::new(self)
            .delete(keys::feature(organization, feature.id), feature.version)
            .release(keys::claim(organization, "FEATURE", &feature.lookup_key))
            .audited(change, "delete feature", feature.id);
        if let Some(meter) = meter {
            transaction = transaction
                .replace(deleted_meter_item(organization, meter, change.at), meter.version)
                .release(keys::claim(organization, "METER", &meter.name))
                .release(keys::meter_token(organization, meter.token));
        }
        transaction.commit(self).await
    }
}

fn feature_item(organization: OrganizationId, feature: &Feature) -> Item {
    let (feature_type, meter) = match feature.feature_type {
        FeatureType::Meter { meter } => ("meter", Some(meter)),
        FeatureType::Switch => ("switch", None),
        FeatureType::Custom => ("custom", None),
    };
    Item::new(keys::feature(organization, feature.id), "feature")
        .listed(keys::list(organization, LIST.what, 0), feature.id)
        .number("version", feature.version + 1)
        .display("id", feature.id)
        .text("name", &feature.name)
        .text("lookup_key", &feature.lookup_key)
        .optional("description", feature.description.as_deref())
        .text("feature_type", feature_type)
        .optional("meter", meter)
        .time("created_at", feature.created_at)
        .time("updated_at", feature.updated_at)
}

fn from_item(item: &Attributes) -> Result<Feature, StoreError> {
    let item = Reader::new("feature", item)?;
    Ok(Feature {
        id: item.parse("id")?,
        name: item.text("name")?.to_owned(),
        lookup_key: item.text("lookup_key")?.to_owned(),
        description: item.owned("description")?,
        feature_type: match item.text("feature_type")? {
            "meter" => FeatureType::Meter { meter: item.parse("meter")? },
            "switch" => FeatureType::Switch,
            "custom" => FeatureType::Custom,
            _ => return Err(item.corrupt("feature_type")),
        },
        created_at: item.time("created_at")?,
        updated_at: item.time("updated_at")?,
        version: item.number("version")?,
    })
}
