//! The client, and the few calls that every access pattern is made of.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    operation::{put_item::PutItemError, query::builders::QueryFluentBuilder},
    types::{AttributeValue, KeysAndAttributes},
};
use chrono::{DateTime, Utc};

use crate::{
    error::{StoreError, unavailable},
    item::{Attributes, Item},
    keys::Key,
};

/// The store: two tables behind one DynamoDB client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) client: Client,
    pub(crate) core_table: String,
    pub(crate) usage_table: String,
    pub(crate) placing: DuePlacing,
}

/// Where what is due is put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DuePlacing {
    /// Where the sweeps find it.
    #[default]
    Swept,
    /// Where the organization's test clock finds it. Only what is to be told is swept, from now on.
    TestClock {
        /// The real time.
        real_now: DateTime<Utc>,
    },
}

impl Store {
    /// A store on two tables that exist (see [`Store::create_tables`]).
    pub fn new(client: Client, core_table: impl Into<String>, usage_table: impl Into<String>) -> Self {
        let placing = DuePlacing::default();
        Self { client, core_table: core_table.into(), usage_table: usage_table.into(), placing }
    }

    /// The same store for an organization in test mode, whose due things no sweep is to find.
    #[must_use]
    pub fn in_test_mode(&self, real_now: DateTime<Utc>) -> Self {
        Self { placing: DuePlacing::TestClock { real_now }, ..self.clone() }
    }

    /// One item of the core table, strongly consistent.
    pub(crate) async fn get(&self, key: Key) -> Result<Option<Attributes>, StoreError> {
        self.get_from(&self.core_table, key).await
    }

    pub(crate) async fn get_from(&self, table: &str, key: Key) -> Result<Option<Attributes>, StoreError> {
        let request = self.client.get_item().table_name(table).consistent_read(true);
        Ok(request.set_key(Some(key.attributes())).send().await.map_err(unavailable)?.item)
    }

    /// Items by their keys, strongly consistent, in no order; those that are not there are left out.
    pub(crate) async fn get_all(
        &self,
        table: &str,
        mut keys: Vec<Key>,
    ) -> Result<Vec<Attributes>, StoreError> {
        let mut items = Vec::new();
        while !keys.is_empty() {
            let mut pause = PAUSE;
            let batch = keys.split_off(keys.len().saturating_sub(BATCH_KEYS_MAX));
            let batch = batch.into_iter().map(Key::attributes).collect();
            let mut wanted =
                KeysAndAttributes::builder().consistent_read(true).set_keys(Some(batch)).build().ok();
            while let Some(request) = wanted.take() {
                let sent = self.client.batch_get_item().request_items(table, request).send().await;
                let output = sent.map_err(unavailable)?;
                items.extend(output.responses.into_iter().flatten().flat_map(|(_, items)| items));
                wanted = output.unprocessed_keys.and_then(|mut rest| rest.remove(table));
                wanted = wanted.filter(|rest| !rest.keys().is_empty());
                if wanted.is_some() {
                    if pause > PAUSE * 64 {
                        return Err(StoreError::Unavailable("reads are throttled".into()));
                    }
                    tokio::time::sleep(jittered(pause)).await;
                    pause *= 2;
                }
            }
        }
        Ok(items)
    }

    /// All items of one partition of the core table whose sort key begins with `prefix`, in order.
    pub(crate) async fn query(&self, pk: String, prefix: &str) -> Result<Vec<Attributes>, StoreError> {
        self.query_in(&self.core_table, pk, prefix).await
    }

    pub(crate) async fn query_in(
        &self,
        table: &str,
        pk: String,
        prefix: &str,
    ) -> Result<Vec<Attributes>, StoreError> {
        let request = self.client.query().table_name(table);
        let request = if prefix.is_empty() {
            request.key_condition_expression("pk = :pk")
        } else {
            request
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
        };
        all_pages(request.expression_attribute_values(":pk", AttributeValue::S(pk))).await
    }

    /// All items of one partition of the core table whose sort key lies from `first` to `last`, in order.
    pub(crate) async fn query_between(
        &self,
        pk: String,
        (first, last): (&str, &str),
    ) -> Result<Vec<Attributes>, StoreError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let request = self.client.query().table_name(&self.core_table);
        let request = request
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":pk", AttributeValue::S(pk))
            .expression_attribute_values(":first", text(first))
            .expression_attribute_values(":last", text(last));
        all_pages(request).await
    }

    /// Puts an item if its key is free. `false` if it is not, and nothing was written.
    pub(crate) async fn put_new(&self, table: &str, item: Item) -> Result<bool, StoreError> {
        let request = self.client.put_item().table_name(table).set_item(Some(item.into_attributes()));
        match request.condition_expression("attribute_not_exists(pk)").send().await {
            Ok(_) => Ok(true),
            Err(error) if is_condition_failed(&error) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Puts an item over what is there, whatever it is.
    pub(crate) async fn put(&self, item: Item) -> Result<(), StoreError> {
        let request = self.client.put_item().table_name(&self.core_table);
        request.set_item(Some(item.into_attributes())).send().await.map_err(unavailable)?;
        Ok(())
    }

    /// Puts an item over the one of version `expected`; 0 stands for none.
    ///
    /// Errors: `Conflict` if another version is stored, or a transaction is at the item just now.
    pub(crate) async fn put_over(&self, table: &str, item: Item, expected: u64) -> Result<(), StoreError> {
        let (condition, names, values) = version_condition(expected);
        let request = self.client.put_item().table_name(table).set_item(Some(item.into_attributes()));
        let request = request
            .condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_condition_failed(&error) || is_in_a_transaction(&error) => {
                Err(StoreError::Conflict)
            }
            Err(error) => Err(unavailable(error)),
        }
    }
}

/// All that a query finds, strongly consistent.
async fn all_pages(request: QueryFluentBuilder) -> Result<Vec<Attributes>, StoreError> {
    let request = request.consistent_read(true);
    let mut items = Vec::new();
    let mut start = None;
    loop {
        let page = request.clone().set_exclusive_start_key(start).send().await.map_err(unavailable)?;
        items.extend(page.items.unwrap_or_default());
        start = page.last_evaluated_key;
        if start.is_none() {
            return Ok(items);
        }
    }
}

/// DynamoDB takes so many keys in one request.
const BATCH_KEYS_MAX: usize = 100;

/// The first pause before keys are asked for again that DynamoDB did not get to. Each is twice as long, and
/// shortened at random by up to half, so that readers who were held up together do not come back together.
const PAUSE: Duration = Duration::from_millis(20);

/// A pause of half to all of `longest`.
fn jittered(longest: Duration) -> Duration {
    // Every state of a hasher has keys of its own, which nobody has to guess.
    let random = RandomState::new().build_hasher().finish() % 1024;
    let half = longest / 2;
    half + half.saturating_mul(u32::try_from(random).unwrap_or_default()) / 1024
}

/// A condition expression, with the names and values it refers to.
pub(crate) type Condition =
    (&'static str, Option<HashMap<String, String>>, Option<HashMap<String, AttributeValue>>);

/// The condition under which an item of version `expected` may be replaced; 0 stands for none.
pub(crate) fn version_condition(expected: u64) -> Condition {
    if expected == 0 {
        return ("attribute_not_exists(pk)", None, None);
    }
    let names = HashMap::from([("#version".to_owned(), "version".to_owned())]);
    let values = HashMap::from([(":expected".to_owned(), AttributeValue::N(expected.to_string()))]);
    ("#version = :expected", Some(names), Some(values))
}

fn is_condition_failed<R>(error: &aws_sdk_dynamodb::error::SdkError<PutItemError, R>) -> bool {
    error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception)
}

fn is_in_a_transaction<R>(error: &aws_sdk_dynamodb::error::SdkError<PutItemError, R>) -> bool {
    error.as_service_error().is_some_and(PutItemError::is_transaction_conflict_exception)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_of_half_to_all_their_length_and_differ() {
        let longest = PAUSE * 64;
        let pauses = (0..100).map(|_| jittered(longest)).collect::<std::collections::BTreeSet<_>>();
        assert!(pauses.iter().all(|pause| longest / 2 <= *pause && *pause <= longest), "{pauses:?}");
        assert!(pauses.len() > 50, "{pauses:?}");
    }
}
