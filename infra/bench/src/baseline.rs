//! What the same events cost where every event is an item: with its counter in one transaction, or with a
//! conditional put and a counter beside it, which loses count in a crash between the two.

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, Put, TransactWriteItem, Update},
};
use domain::event::TrackedEvent;

use crate::rig::Failure;

fn item(tracked: &TrackedEvent) -> Vec<(String, AttributeValue)> {
    let text = |text: String| AttributeValue::S(text);
    let event = &tracked.event;
    vec![
        ("pk".into(), text(format!("{}#{}#{}", tracked.organization, tracked.meter, tracked.customer))),
        ("sk".into(), text(format!("EVENT#{}", event.key))),
        ("at".into(), text(event.occurred_at.to_rfc3339())),
        ("quantity".into(), AttributeValue::N(event.quantity.to_string())),
        ("region".into(), text("eu-central-1".into())),
    ]
}

fn counter(tracked: &TrackedEvent) -> [(String, AttributeValue); 2] {
    let pk = format!("{}#{}#{}", tracked.organization, tracked.meter, tracked.customer);
    [("pk".into(), AttributeValue::S(pk)), ("sk".into(), AttributeValue::S("COUNTER".into()))]
}

/// Event and counter in one transaction.
///
/// Errors: those of the request, unless the event was there already.
pub async fn in_a_transaction(client: &Client, tracked: &TrackedEvent) -> Result<(), Failure> {
    let mut put = Put::builder().table_name("usage").condition_expression("attribute_not_exists(pk)");
    for (name, value) in item(tracked) {
        put = put.item(name, value);
    }
    let mut update = Update::builder()
        .table_name("usage")
        .update_expression("ADD quantity :n")
        .expression_attribute_values(":n", AttributeValue::N(tracked.event.quantity.to_string()));
    for (name, value) in counter(tracked) {
        update = update.key(name, value);
    }
    let put = TransactWriteItem::builder().put(put.build()?).build();
    let update = TransactWriteItem::builder().update(update.build()?).build();
    match client.transact_write_items().transact_items(put).transact_items(update).send().await {
        Ok(_) => Ok(()),
        Err(error)
            if error.as_service_error().is_some_and(|error| error.is_transaction_canceled_exception()) =>
        {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// A conditional put of the event, and then the counter.
///
/// Errors: those of the requests, unless the event was there already.
pub async fn with_a_condition(client: &Client, tracked: &TrackedEvent) -> Result<(), Failure> {
    let mut put = client.put_item().table_name("usage").condition_expression("attribute_not_exists(pk)");
    for (name, value) in item(tracked) {
        put = put.item(name, value);
    }
    match put.send().await {
        Ok(_) => {}
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    let mut update = client
        .update_item()
        .table_name("usage")
        .update_expression("ADD quantity :n")
        .expression_attribute_values(":n", AttributeValue::N(tracked.event.quantity.to_string()));
    for (name, value) in counter(tracked) {
        update = update.key(name, value);
    }
    update.send().await?;
    Ok(())
}

/// All bytes of a table: names and values of every item, and the 100 bytes that DynamoDB adds to each.
///
/// Errors: those of the requests.
pub async fn stored_bytes(client: &Client, table: &str) -> Result<u64, Failure> {
    let mut bytes = 0;
    let mut start = None;
    loop {
        let page = client.scan().table_name(table).set_exclusive_start_key(start).send().await?;
        for item in page.items.unwrap_or_default() {
            bytes += 100;
            for (name, value) in item {
                bytes += name.len() as u64;
                bytes += match value {
                    AttributeValue::S(text) => text.len() as u64,
                    AttributeValue::N(digits) => digits.len() as u64 / 2 + 1,
                    AttributeValue::B(blob) => blob.as_ref().len() as u64,
                    _ => 1,
                };
            }
        }
        start = page.last_evaluated_key;
        if start.is_none() {
            return Ok(bytes);
        }
    }
}
