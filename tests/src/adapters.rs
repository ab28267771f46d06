//! The adapters of `aws`, each against moto.

use app::port::{Bus, Keys, Mail, Mailer, Message, Queue, QueueName};
use aws::{EventBus, KmsKeys, QueueUrls, SesMailer, SqsQueue};
use aws_sdk_sqs::types::QueueAttributeName;
use domain::{
    event::{TrackedEvent, UsageEvent},
    id::Id,
    money::Money,
    outbox::{InvoiceEvent, InvoiceFacts, OutboxEntry, OutboxMessage},
    property::Property,
};
use serde_json::{Value, json};
use testkit::Moto;

#[tokio::test]
async fn every_kind_of_message_comes_out_of_sqs_as_it_went_in() {
    let moto = Moto::start().await.unwrap();
    let sqs = aws_sdk_sqs::Client::new(&moto.config());
    let (usage, periods, outbox) =
        (queue(&sqs, "usage").await, queue(&sqs, "periods").await, queue(&sqs, "outbox").await);
    let urls = QueueUrls {
        usage: Some(usage.clone()),
        periods: Some(periods.clone()),
        outbox: Some(outbox.clone()),
        dead_letters: None,
    };
    let messages: Vec<Message> = (0..25).map(message).collect();
    let verdicts = SqsQueue::new(sqs.clone(), urls).send(&messages).await;
    assert_eq!(verdicts.len(), 25);
    assert!(verdicts.iter().all(Result::is_ok), "{verdicts:?}");

    for (url, name) in [(usage, QueueName::Usage), (periods, QueueName::Periods), (outbox, QueueName::Outbox)]
    {
        let mut arrived: Vec<_> = received(&sqs, &url).await.iter().map(decoded).collect();
        for sent in messages.iter().filter(|message| message.queue() == name) {
            let place = arrived.iter().position(|message| message == sent);
            arrived.swap_remove(place.unwrap_or_else(|| panic!("{sent:?} did not arrive")));
        }
        assert_eq!(arrived, [], "arrived in {name:?} and was not sent");
    }
}

#[tokio::test]
async fn messages_for_a_queue_that_is_gone_fail_and_the_others_do_not() {
    let moto = Moto::start().await.unwrap();
    let sqs = aws_sdk_sqs::Client::new(&moto.config());
    let urls = QueueUrls {
        usage: Some(queue(&sqs, "usage").await),
        periods: Some(format!("{}/123456789012/gone", moto.endpoint())),
        ..QueueUrls::default()
    };
    let verdicts = SqsQueue::new(sqs, urls).send(&[message(0), message(1), message(2), message(3)]).await;
    let causes = verdicts.iter().map(|verdict| match verdict {
        Ok(()) => "sent".to_owned(),
        Err(error) => error.cause.to_string(),
    });
    let causes: Vec<_> = causes.collect();
    assert_eq!(causes[0], "sent");
    assert!(causes[1].contains("NonExistentQueue"), "{causes:?}");
    assert_eq!(causes[2], "the URL of the outbox queue is not set for this function");
    assert_eq!(causes[3], "sent");
}

#[tokio::test]
async fn a_buried_message_is_in_the_dead_letter_queue_with_its_reason() {
    let moto = Moto::start().await.unwrap();
    let sqs = aws_sdk_sqs::Client::new(&moto.config());
    let dead_letters = queue(&sqs, "dead-letters").await;
    let port = SqsQueue::new(
        sqs.clone(),
        QueueUrls { dead_letters: Some(dead_letters.clone()), ..QueueUrls::default() },
    );
    port.bury(QueueName::Usage, "{\"version\":99}", &"unknown version ".repeat(100)).await.unwrap();
    let received = received(&sqs, &dead_letters).await;
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body(), Some("{\"version\":99}"));
    let reason = received[0].message_attributes().unwrap()["reason"].string_value().unwrap();
    assert!(reason.starts_with("unknown version "), "{reason}");
    assert_eq!(reason.len(), 1000);
}

#[tokio::test]
async fn a_mail_arrives_whole_and_only_from_a_verified_sender() {
    let moto = Moto::start().await.unwrap();
    let ses = aws_sdk_ses::Client::new(&moto.config());
    let mailer = SesMailer::new(ses.clone());
    let mime = "From: Acme <billing@example.com>\r\nTo: Ada <ada@example.com>\r\nSubject: Invoice\r\n\r\n12.50 EUR\r\n";
    let mail = Mail {
        id: id(1),
        to: "ada@example.com".into(),
        subject: "Invoice".into(),
        invoice: id(2),
        mime: mime.as_bytes().to_vec(),
    };
    let error = mailer.send(&mail).await.unwrap_err();
    assert!(error.cause.to_string().contains("MessageRejected"), "{error:?}");
    assert!(!format!("{error:?}").contains("example.com"), "{error:?}");

    ses.verify_email_identity().email_address("billing@example.com").send().await.unwrap();
    mailer.send(&mail).await.unwrap();
    let data: Value = serde_json::from_str(&moto.get("/moto-api/data.json").await.unwrap()).unwrap();
    let sent = data["ses"]["RawMessage"].as_array().unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["raw_data"], mime);
    // The one that was given, and the one that moto, unlike SES, adds from the header.
    assert_eq!(sent[0]["destinations"], json!(["ada@example.com", "Ada <ada@example.com>"]));
}

#[tokio::test]
async fn a_data_key_opens_with_its_context_only() {
    let moto = Moto::start().await.unwrap();
    let kms = aws_sdk_kms::Client::new(&moto.config());
    let key_id = kms.create_key().send().await.unwrap().key_metadata.unwrap().key_id;
    let keys = KmsKeys::new(kms, Some(key_id));
    let first = keys.generate("organization-1").await.unwrap();
    let second = keys.generate("organization-1").await.unwrap();
    assert_eq!(first.plain.len(), 32);
    assert_ne!(first.plain, second.plain);
    assert_ne!(first.wrapped, second.wrapped);
    assert!(!first.wrapped.windows(32).any(|bytes| bytes == first.plain.as_slice()));
    assert_eq!(keys.unwrap(&first.wrapped, "organization-1").await.unwrap(), first.plain);

    let error = keys.unwrap(&first.wrapped, "organization-2").await.unwrap_err();
    assert!(error.cause.to_string().contains("InvalidCiphertext"), "{error:?}");
    let mut damaged = first.wrapped.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(keys.unwrap(&damaged, "organization-1").await.is_err());
}

#[tokio::test]
async fn a_function_without_a_key_or_a_bus_says_so() {
    let moto = Moto::start().await.unwrap();
    let keys = KmsKeys::new(aws_sdk_kms::Client::new(&moto.config()), None);
    let error = keys.generate("organization-1").await.err().unwrap();
    assert_eq!(error.cause.to_string(), "the id of the KMS key is not set for this function");
    let bus = EventBus::new(aws_sdk_eventbridge::Client::new(&moto.config()), None);
    let error = bus.publish(id(1), &finalized()).await.unwrap_err();
    assert_eq!(error.cause.to_string(), "the name of the event bus is not set for this function");
}

#[tokio::test]
async fn an_event_reaches_who_has_a_rule_for_its_name() {
    let moto = Moto::start().await.unwrap();
    let (sqs, events) =
        (aws_sdk_sqs::Client::new(&moto.config()), aws_sdk_eventbridge::Client::new(&moto.config()));
    let listener = queue(&sqs, "listener").await;
    let attributes =
        sqs.get_queue_attributes().queue_url(&listener).attribute_names(QueueAttributeName::QueueArn);
    let arn = attributes.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    events.create_event_bus().name("fluxrate").send().await.unwrap();
    let pattern = json!({ "source": ["fluxrate"], "detail-type": ["invoice.finalized"] }).to_string();
    let rule = events.put_rule().event_bus_name("fluxrate").name("finalized").event_pattern(pattern);
    rule.send().await.unwrap();
    let target = aws_sdk_eventbridge::types::Target::builder().id("listener").arn(arn).build().unwrap();
    events.put_targets().event_bus_name("fluxrate").rule("finalized").targets(target).send().await.unwrap();

    let bus = EventBus::new(events.clone(), Some("fluxrate".into()));
    let entry = finalized();
    bus.publish(id(1), &entry).await.unwrap();
    let heard = received(&sqs, &listener).await;
    assert_eq!(heard.len(), 1);
    let heard: Value = serde_json::from_str(heard[0].body().unwrap()).unwrap();
    assert_eq!(heard["source"], "fluxrate");
    assert_eq!(heard["detail-type"], "invoice.finalized");
    let detail: Value = serde_json::from_str(&wire::message::event(id(1), &entry)).unwrap();
    assert_eq!(heard["detail"], detail);

    let nowhere = EventBus::new(events, Some("nowhere".into()));
    let error = nowhere.publish(id(1), &entry).await.unwrap_err();
    assert!(error.cause.to_string().contains("ResourceNotFound"), "{error:?}");
}

/// The `n`th message, of the kinds in turn. Texts hold what SQS refuses unless it is escaped.
fn message(n: u8) -> Message {
    let (organization, customer) = (id(n), id(100));
    match n % 3 {
        0 => Message::CountUsage(vec![TrackedEvent {
            organization,
            meter: id(101),
            customer,
            has_sender_key: n.is_multiple_of(2),
            event: UsageEvent {
                key: format!("key \u{fffe}\u{0}\u{1f980} {n}"),
                occurred_at: "2025-01-15T10:30:00.123Z".parse().unwrap(),
                ingested_at: "2025-01-15T10:30:01.456Z".parse().unwrap(),
                quantity: "12345678901234.000000000001".parse().unwrap(),
                properties: [
                    ("number".to_owned(), Property::Number("1e-7".into())),
                    ("text".to_owned(), Property::Text("\u{ffff}é\n\"".into())),
                ]
                .into(),
                metadata: [("nested".to_owned(), Property::Nested("[1,{\"a\":null}]".into()))].into(),
                revision: domain::event::Revision::First,
            },
        }]),
        1 => Message::ClosePeriod { organization, subscription: id(102) },
        _ => Message::DeliverEmail { organization, customer, entry: id(103) },
    }
}

fn finalized() -> OutboxEntry {
    OutboxEntry {
        id: id(1),
        customer: id(2),
        at: "2025-02-01T01:00:00Z".parse().unwrap(),
        message: OutboxMessage::InvoiceEvent {
            event: InvoiceEvent::Finalized,
            invoice: InvoiceFacts {
                id: id(3),
                number: None,
                total: Money::new("12.25".parse().unwrap(), "EUR".parse().unwrap()),
                amount_due: Money::new("2.25".parse().unwrap(), "EUR".parse().unwrap()),
                status: "OPEN",
            },
        },
    }
}

fn id<K>(n: u8) -> Id<K> {
    Id::from_parts("2025-01-15T10:30:00Z".parse().unwrap(), [n; 10])
}

async fn queue(sqs: &aws_sdk_sqs::Client, name: &str) -> String {
    sqs.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap()
}

/// Everything in a queue.
async fn received(sqs: &aws_sdk_sqs::Client, url: &str) -> Vec<aws_sdk_sqs::types::Message> {
    let mut all = Vec::new();
    loop {
        let request = sqs.receive_message().queue_url(url).max_number_of_messages(10);
        let received =
            request.message_attribute_names("All").send().await.unwrap().messages.unwrap_or_default();
        if received.is_empty() {
            return all;
        }
        all.extend(received);
    }
}

fn decoded(message: &aws_sdk_sqs::types::Message) -> Message {
    wire::message::decode(message.body().unwrap()).unwrap()
}
