//! Everything happens at least once: repeating an event, a message, a tick, a mail or a request changes
//! nothing.

use app::port::Message;
use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use domain::event::{TrackedEvent, UsageEvent};
use serde_json::{Value, json};
use store::DueKind;

use crate::client::{World, text};

fn messages(bodies: &[String]) -> SqsEvent {
    let message = |(n, body): (usize, &String)| {
        let mut message = SqsMessage::default();
        message.message_id = Some(format!("m{n}"));
        message.body = Some(body.clone());
        message
    };
    let mut event = SqsEvent::default();
    event.records = bodies.iter().enumerate().map(message).collect();
    event
}

/// A world with one open invoice.
async fn invoiced() -> (World, Value) {
    let mut world = World::new().await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30})]).await;
    let customer = world.customer().await;
    world.subscribe(&customer, &plan).await;
    world.advance_to("2025-02-01T02:00:00Z").await;
    let invoice = world.owner.get("/invoices").await["data"][0].clone();
    (world, invoice)
}

#[tokio::test]
async fn a_repeated_event_is_answered_alike_and_counted_once() {
    let world = World::new().await;
    let meter = world.meter("SUM").await;
    let sender = world.owner.with_key(&["usage.write", "usage.read"]).await;
    let track = |at: &str, quantity: u32| {
        json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": quantity,
            "timestamp": at, "idempotency_key": "the same"})
    };
    let first = sender.created("/sdk/track", track("2024-12-31T23:00:00Z", 4)).await;
    for (at, quantity) in
        [("2024-12-31T23:00:00Z", 4), ("2025-01-01T00:00:00Z", 4), ("2024-11-05T00:00:00Z", 9)]
    {
        // Also with another time, in another month, and with other content: the first is kept.
        let again = sender.created("/sdk/track", track(at, quantity)).await;
        assert_eq!(again["id"], first["id"]);
        world.drain().await;
    }
    let path = format!("/meters/{}/usage?start_date=2024-10-01", text(&meter["meter_id"]));
    let usage = sender.get(&path).await;
    assert_eq!((usage["total_usage"].to_string(), &usage["event_count"]), ("4".into(), &json!(1)));
    // By the other way in, the same key is the same event; of another customer it is another.
    let body = json!({"meter_name": "calls", "customer_external_id": "acme", "properties": {"n": 4}, "idempotency_key": "the same"});
    assert_eq!(sender.created("/usage", body).await["id"], first["id"]);
    let body = json!({"meter_name": "calls", "customer_external_id": "other", "quantity": 5, "idempotency_key": "the same"});
    assert_ne!(sender.created("/usage", body).await["id"], first["id"]);
    world.drain().await;
    let usage = sender.get(&path).await;
    assert_eq!((usage["total_usage"].to_string(), &usage["event_count"]), ("9".into(), &json!(2)));
}

#[tokio::test]
async fn a_repeated_message_is_counted_once_by_any_number_of_workers() {
    let world = World::new().await;
    let meter = world.meter("SUM").await;
    let customer = world.customer().await;
    let platform = &world.running.platform;
    let me = world.owner.get("/auth/me").await;
    let tracked = |n: usize| {
        let at = platform.now() - chrono::Duration::hours(i64::try_from(n).unwrap());
        TrackedEvent {
            organization: text(&me["organization"]["id"]).parse().unwrap(),
            meter: text(&meter["meter_id"]).parse().unwrap(),
            customer: text(&customer["id"]).parse().unwrap(),
            has_sender_key: true,
            event: UsageEvent {
                key: format!("key {n}"),
                occurred_at: at,
                ingested_at: at,
                quantity: "1".parse().unwrap(),
                properties: Default::default(),
                metadata: Default::default(),
                revision: domain::event::Revision::First,
            },
        }
    };
    let bodies = (0..160).map(|n| wire::message::encode(&Message::CountUsage(vec![tracked(n)])));
    let bodies = bodies.collect::<Vec<_>>();
    let path = format!("/meters/{}/usage?start_date=2024-10-01", text(&meter["meter_id"]));
    // First each message at one of eight workers, all at the same head; then everything again at each.
    for share in [8, 1] {
        let workers = (0..8).map(|worker| {
            let own = bodies.iter().enumerate().filter(|(n, _)| n % share == worker % share);
            let own = own.map(|(_, body)| body.clone()).collect::<Vec<_>>();
            let platform = world.running.platform.clone();
            tokio::spawn(async move {
                for batch in own.chunks(1 + worker) {
                    handle_until_done(&platform, batch).await;
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
        let usage = world.owner.get(&path).await;
        assert_eq!((usage["total_usage"].to_string(), &usage["event_count"]), ("160".into(), &json!(160)));
    }
    let events = world.owner.get(&format!("/meters/{}/events?page_size=100", text(&meter["meter_id"]))).await;
    assert_eq!(events["meta"]["total"], 160);
}

/// Handles messages again and again until none has to come again, as SQS would.
async fn handle_until_done(platform: &app::Platform, bodies: &[String]) {
    let mut again = bodies.to_vec();
    while !again.is_empty() {
        let answer = ingest_usage::handle(platform, messages(&again)).await;
        let failed = answer.batch_item_failures.iter().map(|failure| failure.item_identifier.clone());
        let failed = failed.collect::<Vec<_>>();
        let kept = again.iter().enumerate().filter(|(n, _)| failed.contains(&format!("m{n}")));
        again = kept.map(|(_, body)| body.clone()).collect();
    }
}

#[tokio::test]
async fn repeated_ticks_and_closings_change_nothing() {
    let (world, invoice) = invoiced().await;
    let platform = &world.running.platform;
    let subscription = invoice["subscription_id"].clone();
    let me = world.owner.get("/auth/me").await;
    let close = wire::message::encode(&Message::ClosePeriod {
        organization: text(&me["organization"]["id"]).parse().unwrap(),
        subscription: text(&subscription).parse().unwrap(),
    });
    for _ in 0..3 {
        close_periods::tick(platform).await.unwrap();
        let answer =
            close_periods::handle_messages(platform, messages(&[close.clone(), close.clone()])).await;
        assert!(answer.batch_item_failures.is_empty());
        finalize_invoices::tick(platform).await.unwrap();
        world.drain().await;
    }
    let invoices = world.owner.get("/invoices").await;
    assert_eq!(invoices["data"].as_array().unwrap().as_slice(), std::slice::from_ref(&invoice));
    assert_eq!(world.owner.get_local("outbox").await.as_array().unwrap().len(), 1);
    for kind in [DueKind::GraceEnd, DueKind::Outbox] {
        assert!(platform.store.list_due(kind, platform.now(), 10).await.unwrap().is_empty(), "{kind:?}");
    }
}

#[tokio::test]
async fn closings_at_the_same_time_make_one_invoice() {
    let world = World::new().await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30})]).await;
    let customer = world.customer().await;
    let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2024-11-15"});
    let subscription = world.owner.created("/subscriptions", body).await;
    let me = world.owner.get("/auth/me").await;
    let organization = text(&me["organization"]["id"]).parse().unwrap();
    let id = text(&subscription["id"]).parse().unwrap();
    let closings = (0..8).map(|_| {
        let platform = world.running.platform.clone();
        tokio::spawn(async move { app::close_period::close(&platform, organization, id).await.unwrap() })
    });
    for closing in closings.collect::<Vec<_>>() {
        closing.await.unwrap();
    }
    let invoices = world.owner.get("/invoices").await;
    assert_eq!(
        (&invoices["meta"]["total"], &invoices["data"][0]["period_start"]),
        (&json!(1), &json!("2024-11-15T00:00:00Z"))
    );
}

#[tokio::test]
async fn a_repeated_mail_job_sends_no_second_mail() {
    let (world, invoice) = invoiced().await;
    let mails = world.owner.get_local("outbox").await;
    let file = text(&mails[0]["file"]).to_owned();
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    let me = world.owner.get("/auth/me").await;
    let entry = std::path::Path::new(&file).file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let deliver = wire::message::encode(&Message::DeliverEmail {
        organization: text(&me["organization"]["id"]).parse().unwrap(),
        customer: text(&invoice["customer_id"]).parse().unwrap(),
        entry,
    });
    let answer = send_email::handle(&world.running.platform, messages(&[deliver.clone(), deliver])).await;
    assert!(answer.batch_item_failures.is_empty());
    assert_eq!(world.owner.get_local("outbox").await, mails);
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), written, "it was written again");
    // Asked for on purpose, it goes out again.
    let path = format!("/invoices/{}/send-email", text(&invoice["id"]));
    let (status, sent) = world.owner.post(&path, json!({})).await;
    assert_eq!((status, &sent["success"]), (200, &json!(true)));
    world.drain().await;
}

#[tokio::test]
async fn a_repeated_request_with_an_idempotency_key_gets_the_first_answer() {
    let world = World::new().await;
    let post = async |key: &str, body: Value| {
        let request = world.owner.request(reqwest::Method::POST, "/customers").header("idempotency-key", key);
        crate::client::checked(&reqwest::Method::POST, "/customers", request.json(&body)).await
    };
    let acme = json!({"name": "Acme", "email": "a@example.com"});
    let first = post("k1", acme.clone()).await;
    assert_eq!(first.0, 201);
    assert_eq!(post("k1", acme.clone()).await, first);
    let (status, body) = post("k1", json!({"name": "Other", "email": "a@example.com"})).await;
    assert_eq!((status, &body["code"]), (409, &json!("idempotency_key_reused")));
    assert_eq!(body["request_id"].as_str().map(str::len), Some(36));
    assert_eq!(post("k2", json!({"name": ""})).await.0, 422);
    let again = world.owner.request(reqwest::Method::POST, "/customers").header("idempotency-key", "k1");
    let again = again.header("x-request-id", "ours-8").json(&acme).send().await.unwrap();
    let headers = ["idempotent-replayed", "x-request-id", "cache-control"].map(|name| &again.headers()[name]);
    assert_eq!(headers, ["true", "ours-8", "no-store"]);
    assert_eq!(post("k2", acme).await.0, 201, "what was refused did not use up the key");
    assert_eq!(world.owner.get("/customers").await["meta"]["total"], 2);
}

#[tokio::test]
async fn a_message_that_cannot_be_handled_is_set_aside_with_its_reason() {
    let world = World::new().await;
    let platform = &world.running.platform;
    let wrong = messages(&["{}".to_owned(), "no json".to_owned()]);
    assert!(ingest_usage::handle(platform, wrong.clone()).await.batch_item_failures.is_empty());
    assert!(close_periods::handle_messages(platform, wrong.clone()).await.batch_item_failures.is_empty());
    assert!(send_email::handle(platform, wrong).await.batch_item_failures.is_empty());
    let queues = world.owner.get_local("queues").await.to_string();
    assert_eq!(queues.matches("it is of no known version").count(), 3, "{queues}");
    assert_eq!(queues.matches("expected ident").count(), 3, "{queues}");
}

#[tokio::test]
async fn an_event_whose_meter_is_gone_is_kept_with_its_reason() {
    let world = World::new().await;
    let meter = world.meter("SUM").await;
    let customer = world.customer().await;
    let me = world.owner.get("/auth/me").await;
    let path = format!("/features/{}", text(&meter["id"]));
    assert_eq!(world.owner.call(reqwest::Method::DELETE, &path, None).await.0, 204);
    let platform = &world.running.platform;
    let at = platform.now();
    let event = TrackedEvent {
        organization: text(&me["organization"]["id"]).parse().unwrap(),
        meter: text(&meter["meter_id"]).parse().unwrap(),
        customer: text(&customer["id"]).parse().unwrap(),
        has_sender_key: false,
        event: UsageEvent {
            key: "k".into(),
            occurred_at: at,
            ingested_at: at,
            quantity: "1".parse().unwrap(),
            properties: Default::default(),
            metadata: Default::default(),
            revision: domain::event::Revision::First,
        },
    };
    let body = wire::message::encode(&Message::CountUsage(vec![event.clone()]));
    for _ in 0..2 {
        let answer = ingest_usage::handle(platform, messages(std::slice::from_ref(&body))).await;
        assert!(answer.batch_item_failures.is_empty());
    }
    let month = domain::month::Month::of(at);
    let rejected = platform.store.list_uncounted_events(event.organization, month).await.unwrap();
    let [rejected] = rejected.as_slice() else { panic!("{rejected:?}") };
    let reason = store::Uncounted::Rejected { reason: "its meter was deleted".into() };
    assert_eq!((&rejected.event, &rejected.why), (&event.event, &reason));
}
