//! The two tables, as `template.yaml` has them, for everywhere that SAM does not make them.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};

use crate::{
    client::Store,
    error::{StoreError, unavailable},
};

impl Store {
    /// Makes the tables that do not exist yet. For local use and tests: time to live stays off, since a
    /// movable clock may stand in the past.
    pub async fn create_tables(&self) -> Result<(), StoreError> {
        let existing = self.client.list_tables().send().await.map_err(unavailable)?;
        let existing = existing.table_names.unwrap_or_default();
        if !existing.contains(&self.core_table) {
            let attributes = ["pk", "sk", "gsi1pk", "gsi1sk", "gsi2pk", "gsi2sk"];
            let indexes = vec![index("gsi1", ProjectionType::All)?, index("gsi2", ProjectionType::KeysOnly)?];
            self.create_table(&self.core_table, &attributes, Some(indexes)).await?;
        }
        if !existing.contains(&self.usage_table) {
            self.create_table(&self.usage_table, &["pk", "sk"], None).await?;
        }
        Ok(())
    }

    async fn create_table(
        &self,
        name: &str,
        attributes: &[&str],
        indexes: Option<Vec<GlobalSecondaryIndex>>,
    ) -> Result<(), StoreError> {
        let attributes = attributes.iter().map(|name| {
            let definition = AttributeDefinition::builder().attribute_name(*name);
            definition.attribute_type(ScalarAttributeType::S).build().map_err(build_failed)
        });
        self.client
            .create_table()
            .table_name(name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(attributes.collect::<Result<_, _>>()?))
            .set_key_schema(Some(key_schema("pk", "sk")?))
            .set_global_secondary_indexes(indexes)
            .send()
            .await
            .map_err(unavailable)?;
        Ok(())
    }
}

fn index(name: &str, projection: ProjectionType) -> Result<GlobalSecondaryIndex, StoreError> {
    GlobalSecondaryIndex::builder()
        .index_name(name)
        .set_key_schema(Some(key_schema(&format!("{name}pk"), &format!("{name}sk"))?))
        .projection(Projection::builder().projection_type(projection).build())
        .build()
        .map_err(build_failed)
}

fn key_schema(hash: &str, range: &str) -> Result<Vec<KeySchemaElement>, StoreError> {
    let element = |name: &str, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(build_failed)
    };
    Ok(vec![element(hash, KeyType::Hash)?, element(range, KeyType::Range)?])
}

fn build_failed(error: aws_sdk_dynamodb::error::BuildError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
