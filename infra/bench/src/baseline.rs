//! What the same events cost where every event is an item: with its counter in one transaction, or with a
//! conditional put and a counter beside it, which loses count in a crash between the two.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, Put, TransactWriteItem, Update},
};
use domain::{
    event::TrackedEvent,
    meter::{Aggregation, DeduplicateBy},
};
use futures::future::try_join_all;
use testkit::Line;

use crate::{
    Scale,
    batches::{Kind, dealt},
    report::{Milli, Report, Row},
    rig::{Failure, Rig},
    traffic::{Random, Traffic},
};

/// How often an event is tried whose counter others are at.
const ATTEMPTS_MAX: u32 = 100;

/// Measures both ways.
///
/// Errors: if an event is not counted.
pub(crate) async fn measure(
    report: &mut Report,
    scale: Scale,
    kind: Kind,
    writers: u64,
) -> Result<(), Failure> {
    for (what, name) in [("naive", "naive"), ("conditional put", "conditional_put")] {
        let row = Row { batch: None, writers, what };
        let of_kind = match kind.name {
            "dense" => "",
            "medium" => {
                report.no_row(row, "as dense: an item and a counter, whenever it was");
                continue;
            }
            _ => "_sparse",
        };
        let rig = Rig::new(kind.from, Line::counting().with_contention()).await?;
        let meter = rig.meter("bench", Aggregation::Sum, DeduplicateBy::KeyAndTimestamp).await?;
        let mut traffic = Traffic::new(rig.organization, meter.id, kind.customers, 9);
        let mut from = kind.from;
        let events = kind.round(&mut traffic, &mut from, scale.of(2000).into());
        let client = rig.dynamo.client_over(&rig.line);
        rig.line.take_consumed();
        let shares = dealt(&events, usize::try_from(writers)?);
        try_join_all((0..).zip(&shares).map(|(writer, share)| {
            let (client, mut random) = (&client, Random::new(writer));
            async move {
                for tracked in share {
                    match what {
                        "naive" => in_a_transaction(client, tracked, &mut random).await?,
                        _ => with_a_condition(client, tracked).await?,
                    }
                }
                Ok::<_, Failure>(())
            }
        }))
        .await?;
        let consumed = rig.line.take_consumed();
        if let Some(tracked) = events.first() {
            let request = client.get_item().table_name("usage").consistent_read(true);
            request.set_key(Some(counter(tracked).into())).send().await?;
        }
        let name = format!("{name}{of_kind}{}", if writers > 1 { "_10_writers" } else { "" });
        let events = traffic.distinct;
        report.row(
            row,
            events,
            &[
                (&format!("wru_per_event_{name}"), Milli::tenths_per(consumed.write_tenths, events), "units"),
                (&format!("rru_per_event_{name}"), Milli::tenths_per(consumed.read_tenths, events), "units"),
                (
                    &format!("rru_per_query_{name}"),
                    Milli::tenths_per(rig.line.take_consumed().read_tenths, 1),
                    "units",
                ),
                (
                    &format!("conflicts_per_1000_events_{name}"),
                    Milli::per(consumed.conflicts * 1000, events),
                    "conflicts",
                ),
            ],
        );
    }
    Ok(())
}

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

/// Event and counter in one transaction, again while others are at the counter.
///
/// Errors: those of the request, unless the event was there already.
async fn in_a_transaction(
    client: &Client,
    tracked: &TrackedEvent,
    random: &mut Random,
) -> Result<(), Failure> {
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
    for attempt in 0..ATTEMPTS_MAX {
        let request = client.transact_write_items().transact_items(put.clone());
        let Err(error) = request.transact_items(update.clone()).send().await else { return Ok(()) };
        let canceled = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled,
            _ => return Err(error.into()),
        };
        let mut reasons = canceled.cancellation_reasons().iter();
        if !reasons.any(|reason| reason.code() == Some("TransactionConflict")) {
            return Ok(());
        }
        let longest = 10_u64 << attempt.min(7);
        tokio::time::sleep(Duration::from_millis(random.below(longest))).await;
    }
    Err("others are always at the counter".into())
}

/// A conditional put of the event, and then the counter.
///
/// Errors: those of the requests, unless the event was there already.
async fn with_a_condition(client: &Client, tracked: &TrackedEvent) -> Result<(), Failure> {
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
