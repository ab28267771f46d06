//! What DynamoDB does when writes meet at an item: the embedded one carries them out one after the other, and
//! says nothing of what a refused one consumes.
//!
//! While a transaction is under way, other transactions and single writes of its items are refused.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value, json};

/// Names an item: its table and its key.
type ItemName = String;

/// The items of the transactions that are under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay(Arc<Mutex<HashSet<ItemName>>>);

/// The items of one transaction, until it is answered.
#[derive(Debug)]
pub(crate) struct Held {
    items: Vec<ItemName>,
    under_way: UnderWay,
}

impl UnderWay {
    /// Lets a write in, with the items that it holds from then on.
    ///
    /// Errors: the body of the answer if a transaction is at an item of it.
    pub(crate) fn enter(&self, operation: &str, sent: &[u8]) -> Result<Option<Held>, Value> {
        if !matches!(operation, "TransactWriteItems" | "PutItem" | "UpdateItem" | "DeleteItem") {
            return Ok(None);
        }
        let Ok(body) = serde_json::from_slice::<Value>(sent) else { return Ok(None) };
        let mut items = self.items();
        let Some(writes) = writes_of(&body) else {
            let refused = name_of(&body).is_some_and(|name| items.contains(&name));
            return if refused { Err(conflict()) } else { Ok(None) };
        };
        let names = writes.iter().map(|write| name_of(write).unwrap_or_default()).collect::<Vec<_>>();
        if names.iter().any(|name| items.contains(name)) {
            return Err(canceled(names.iter().map(|name| items.contains(name))));
        }
        items.extend(names.iter().cloned());
        Ok(Some(Held { items: names, under_way: self.clone() }))
    }

    fn items(&self) -> MutexGuard<'_, HashSet<ItemName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut items = self.under_way.items();
        for name in &self.items {
            items.remove(name);
        }
    }
}

/// Write request units, in tenths, of a write that was refused because of an item of it: one for each KB begun of
/// what was to be written. Of a transaction that is half: it was prepared, and not carried out.
pub(crate) fn refused_tenths(sent: &[u8]) -> u64 {
    let Ok(body) = serde_json::from_slice::<Value>(sent) else { return 10 };
    match writes_of(&body) {
        Some(writes) => writes.iter().map(|write| kilobytes(write) * 10).sum(),
        None => kilobytes(&body) * 10,
    }
}

/// The writes of a transaction; `None` of anything else.
fn writes_of(body: &Value) -> Option<Vec<&Value>> {
    let writes = body.get("TransactItems")?.as_array()?;
    Some(writes.iter().filter_map(|write| write.as_object()?.values().next()).collect())
}

fn name_of(write: &Value) -> Option<ItemName> {
    let key = write.get("Item").or_else(|| write.get("Key"))?;
    Some(format!("{} {} {}", write.get("TableName")?, key.get("pk")?, key.get("sk")?))
}

/// The KB begun of the item that a write puts; 1 of others, which are small.
fn kilobytes(write: &Value) -> u64 {
    let bytes = write.get("Item").and_then(Value::as_object).map_or(0, item_bytes);
    bytes.div_ceil(1024).max(1)
}

fn item_bytes(item: &Map<String, Value>) -> u64 {
    let value_bytes = |value: &Value| {
        let (kind, content) = value.as_object().and_then(|value| value.iter().next())?;
        let length = content.as_str()?.len();
        Some(match kind.as_str() {
            "B" => length / 4 * 3, // in Base64
            "N" => length / 2 + 1,
            _ => length,
        })
    };
    item.iter().map(|(name, value)| (name.len() + value_bytes(value).unwrap_or(1)) as u64).sum()
}

fn conflict() -> Value {
    json!({"__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
        "message": "Transaction is ongoing for the item"})
}

fn canceled(meets: impl Iterator<Item = bool>) -> Value {
    let reason = |meets: bool| match meets {
        true => json!({"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}),
        false => json!({"Code": "None"}),
    };
    json!({"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
        "CancellationReasons": meets.map(reason).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(sk: &str, bytes: usize) -> Value {
        json!({"TableName": "usage", "Item": {"pk": {"S": "p"}, "sk": {"S": sk}, "b": {"S": "x".repeat(bytes)}}})
    }

    fn sent(body: &Value) -> Vec<u8> {
        body.to_string().into_bytes()
    }

    fn transaction(writes: &[Value]) -> Vec<u8> {
        let writes = writes.iter().map(|write| json!({"Put": write})).collect::<Vec<_>>();
        sent(&json!({"TransactItems": writes}))
    }

    #[test]
    fn a_write_is_refused_while_a_transaction_is_at_its_item() {
        let under_way = UnderWay::default();
        let both = transaction(&[put("a", 1), put("b", 1)]);
        let one = under_way.enter("TransactWriteItems", &both).unwrap();
        assert!(one.is_some());
        let refused = under_way.enter("TransactWriteItems", &transaction(&[put("c", 1), put("b", 1)]));
        let refused = refused.unwrap_err();
        assert_eq!(refused["CancellationReasons"][0], json!({"Code": "None"}));
        assert_eq!(refused["CancellationReasons"][1]["Code"], "TransactionConflict");
        let refused = under_way.enter("PutItem", &sent(&put("a", 1))).unwrap_err();
        assert!(refused["__type"].as_str().unwrap().ends_with("#TransactionConflictException"));
        let update = json!({"TableName": "usage", "Key": {"pk": {"S": "p"}, "sk": {"S": "b"}}});
        assert!(under_way.enter("UpdateItem", &sent(&update)).is_err());
        // Other items and reads are let in, and hold nothing; what was refused does not either.
        assert!(under_way.enter("PutItem", &sent(&put("c", 1))).unwrap().is_none());
        assert!(under_way.enter("GetItem", &sent(&update)).unwrap().is_none());
        drop(one);
        assert!(under_way.enter("TransactWriteItems", &both).unwrap().is_some());
    }

    #[test]
    fn what_is_refused_was_prepared() {
        assert_eq!(refused_tenths(&sent(&put("a", 1))), 10);
        assert_eq!(refused_tenths(&sent(&put("a", 1100))), 20);
        assert_eq!(refused_tenths(&transaction(&[put("a", 1), put("b", 5000)])), 10 + 50);
        let bytes = json!({"TableName": "usage", "Item": {"b": {"B": "x".repeat(1360)}}});
        assert_eq!(refused_tenths(&sent(&bytes)), 10, "1,020 bytes in Base64");
    }
}
