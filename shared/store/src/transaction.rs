//! Transactions: several writes that all happen, or none. Each says what it means if its condition fails.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{ConditionCheck, Delete, Put, TransactWriteItem, Update},
};

use crate::{
    client::{DuePlacing, Store, version_condition},
    due::{Due, DueKind},
    error::{StoreError, unavailable},
    item::{Attributes, Item},
    keys::Key,
    test_clock::test_due_item,
};

/// What it means that a write's condition failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Otherwise {
    /// A value that must be unique is taken.
    Taken(&'static str),
    /// Somebody else changed it meanwhile.
    Conflict,
    /// It is not there.
    NotFound(&'static str),
}

/// Writes that are to happen together. DynamoDB takes 100 of them and 4 MB at once.
#[derive(Debug)]
pub(crate) struct Transaction {
    table: String,
    placing: DuePlacing,
    writes: Vec<(TransactWriteItem, Otherwise)>,
}

impl Transaction {
    /// Nothing yet, in the core table.
    pub(crate) fn new(store: &Store) -> Self {
        Self { table: store.core_table.clone(), placing: store.placing, writes: Vec::new() }
    }

    /// Nothing yet, in the usage table.
    pub(crate) fn of_usage(store: &Store) -> Self {
        Self { table: store.usage_table.clone(), ..Self::new(store) }
    }

    /// Puts an item whose key has to be free.
    pub(crate) fn create(self, item: Item, otherwise: Otherwise) -> Self {
        self.put(item, 0, otherwise)
    }

    /// Puts an item over the one of version `expected`.
    pub(crate) fn replace(self, item: Item, expected: u64) -> Self {
        self.put(item, expected, Otherwise::Conflict)
    }

    /// Puts an item over whatever is there. Only for what another write of the transaction protects.
    pub(crate) fn overwrite(self, item: Item) -> Self {
        self.ensure(item)
    }

    /// Claims a key for a value that must be unique. The item says whose claim it is.
    pub(crate) fn claim(self, key: Key, owner: impl std::fmt::Display, field: &'static str) -> Self {
        self.create(Item::new(key, "claim").display("owner", owner), Otherwise::Taken(field))
    }

    /// Puts an item that says the same whenever it is put, whether it is there or not.
    pub(crate) fn ensure(mut self, item: Item) -> Self {
        let attributes = self.placed(item);
        let put = Put::builder().table_name(&self.table).set_item(Some(attributes)).build();
        if let Ok(put) = put {
            self.writes.push((TransactWriteItem::builder().put(put).build(), Otherwise::Conflict));
        }
        self
    }

    fn put(mut self, item: Item, expected: u64, otherwise: Otherwise) -> Self {
        let (condition, names, values) = version_condition(expected);
        let attributes = self.placed(item);
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(attributes))
            .condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .build();
        // The builder only asks for the item and the table, which are always given.
        if let Ok(put) = put {
            self.writes.push((TransactWriteItem::builder().put(put).build(), otherwise));
        }
        self
    }

    /// What is written of an item. What is due of it goes where the organization's time is followed.
    fn placed(&mut self, mut item: Item) -> Attributes {
        if let DuePlacing::TestClock { real_now } = self.placing {
            match item.take_due() {
                Some((DueKind::Outbox, due)) => item = item.due(DueKind::Outbox, Due { at: real_now, ..due }),
                Some((kind, due)) => self.put_test_due(kind, &due, item.version()),
                None => {}
            }
        }
        item.into_attributes()
    }

    fn put_test_due(&mut self, kind: DueKind, due: &Due, version: u64) {
        let item = test_due_item(kind, due, version).into_attributes();
        if let Ok(put) = Put::builder().table_name(&self.table).set_item(Some(item)).build() {
            self.writes.push((TransactWriteItem::builder().put(put).build(), Otherwise::Conflict));
        }
    }

    /// Deletes an item of version `expected`.
    pub(crate) fn delete(mut self, key: Key, expected: u64) -> Self {
        let (condition, names, values) = version_condition(expected);
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .build();
        if let Ok(delete) = delete {
            self.writes.push((TransactWriteItem::builder().delete(delete).build(), Otherwise::Conflict));
        }
        self
    }

    /// Gives up a claim, whether it is held or not.
    pub(crate) fn release(mut self, key: Key) -> Self {
        let delete = Delete::builder().table_name(&self.table).set_key(Some(key.attributes())).build();
        if let Ok(delete) = delete {
            self.writes.push((TransactWriteItem::builder().delete(delete).build(), Otherwise::Conflict));
        }
        self
    }

    /// Asks that an item exists and `condition` holds of it, without writing it.
    pub(crate) fn check(mut self, key: Key, condition: &str, otherwise: Otherwise) -> Self {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .condition_expression(condition)
            .build();
        if let Ok(check) = check {
            self.writes.push((TransactWriteItem::builder().condition_check(check).build(), otherwise));
        }
        self
    }

    /// Moves a counter from `last` to `next`.
    pub(crate) fn count(mut self, key: Key, last: u64, next: u64) -> Self {
        use aws_sdk_dynamodb::types::AttributeValue::N;
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .update_expression("SET #last = :next")
            .condition_expression("#last = :last OR (attribute_not_exists(pk) AND :last = :zero)")
            .expression_attribute_names("#last", "last")
            .expression_attribute_values(":next", N(next.to_string()))
            .expression_attribute_values(":last", N(last.to_string()))
            .expression_attribute_values(":zero", N("0".to_owned()))
            .build();
        if let Ok(update) = update {
            self.writes.push((TransactWriteItem::builder().update(update).build(), Otherwise::Conflict));
        }
        self
    }

    /// Makes all of it happen, or none.
    ///
    /// Errors: what the first write whose condition failed says; `Conflict` if another transaction is at
    /// the same items.
    pub(crate) async fn commit(self, store: &Store) -> Result<(), StoreError> {
        let (writes, otherwise): (Vec<_>, Vec<_>) = self.writes.into_iter().unzip();
        let sent = store.client.transact_write_items().set_transact_items(Some(writes)).send().await;
        sent.map(|_| ()).map_err(|error| refused(error, &otherwise))
    }
}

fn refused<R: std::fmt::Debug>(
    error: SdkError<TransactWriteItemsError, R>,
    otherwise: &[Otherwise],
) -> StoreError {
    let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error()
    else {
        return unavailable(error);
    };
    let codes = canceled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default());
    let mut is_conflict = false;
    for (code, otherwise) in codes.zip(otherwise) {
        match (code, otherwise) {
            ("ConditionalCheckFailed", Otherwise::Taken(field)) => return StoreError::Taken { field },
            ("ConditionalCheckFailed", Otherwise::NotFound(kind)) => return StoreError::NotFound(kind),
            ("ConditionalCheckFailed", Otherwise::Conflict) | ("TransactionConflict", _) => {
                is_conflict = true
            }
            _ => {}
        }
    }
    if is_conflict { StoreError::Conflict } else { unavailable(error) }
}
