//! The functions themselves, as they are deployed: the memory they take, and the time a processor works for them.

use std::path::{Path, PathBuf};

use app::{api_keys, authenticate, port::Message, track_usage};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    meter::{Aggregation, DeduplicateBy, Meter},
    property::Properties,
    quantity::Quantity,
    user::Scope,
};
use serde_json::{Value, json};
use testkit::{LambdaProcess, Line, Moto, workspace_root};

use crate::{
    Scale,
    report::{Milli, Report},
    rig::{Failure, Rig},
    traffic::Traffic,
};

/// What the door and counting ask of a processor, in thousandths of a millisecond of a whole one, and of the
/// door in request units.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// A request with one event.
    pub door_single: DoorWork,
    /// A request with a hundred.
    pub door_hundred: DoorWork,
    /// Counting a thousand events of dense traffic.
    pub count_dense: Milli,
    /// Counting a thousand events, each of another customer.
    pub count_scattered: Milli,
}

/// What one request asks of the door.
#[derive(Clone, Copy, Debug)]
pub struct DoorWork {
    /// Milliseconds of a processor.
    pub processor: Milli,
    /// Read request units.
    pub reads: Milli,
    /// Requests to DynamoDB, one after the other.
    pub requests: u64,
}

/// A function that runs as a process of its own, over the tables of a rig.
pub(crate) struct Function(LambdaProcess);

impl Function {
    /// Errors: if its binary is not beside this one.
    pub(crate) async fn start(name: &str, rig: &Rig, variables: &[(&str, &str)]) -> Result<Self, Failure> {
        let dynamo = rig.dynamo.endpoint();
        let mut all = vec![
            ("FLUXRATE_CORE_TABLE", "core"),
            ("FLUXRATE_USAGE_TABLE", "usage"),
            ("FLUXRATE_PUBLIC_URL", "https://billing.example.com"),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamo.as_str()),
        ];
        all.extend(variables);
        Ok(Self(LambdaProcess::start(&binary(name)?, &all).await?))
    }

    pub(crate) async fn invoke(&self, payload: Value) -> Result<Value, Failure> {
        self.0.invoke(payload).await.map_err(|error| error.to_string().into())
    }

    /// The most memory that it ever had, in MiB.
    pub(crate) fn peak_mib(&self) -> Result<Milli, Failure> {
        Ok(Milli::per(self.0.resources()?.peak_bytes, 1 << 20))
    }

    /// Milliseconds of a processor that one of `count` invocations takes, made by `payload` in turn.
    async fn processor(&self, payloads: &[Value]) -> Result<Milli, Failure> {
        let before = self.0.resources()?.processor;
        for payload in payloads {
            self.invoke(payload.clone()).await?;
        }
        let micros = (self.0.resources()?.processor - before).as_micros();
        Ok(Milli(u64::try_from(micros)? / (payloads.len() as u64).max(1)))
    }
}

/// A binary of the workspace, built as this one was.
fn binary(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let mut folders = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let missing = || format!("{name} is not built: run `cargo build --release --bins`").into();
    folders.find(|path| path.is_file()).ok_or_else(missing)
}

/// A payload of `events/`.
pub(crate) fn event(name: &str) -> Result<Value, Failure> {
    let path = workspace_root().join("events").join(Path::new(name).with_extension("json"));
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

fn set(payload: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = payload.pointer_mut(pointer) {
        *place = value;
    }
}

/// A request of an API client, as the HTTP API hands it on.
pub(crate) fn request(name: &str, key: &str, (path, query): (&str, &str)) -> Result<Value, Failure> {
    let mut request = event(name)?;
    set(&mut request, "/rawPath", path.into());
    set(&mut request, "/requestContext/http/path", path.into());
    set(&mut request, "/rawQueryString", query.into());
    if let Some(headers) = request.get_mut("headers").and_then(Value::as_object_mut) {
        headers.insert("x-api-key".into(), key.into());
    }
    Ok(request)
}

/// A batch of messages as SQS delivers them.
fn batch(bodies: &[String]) -> Result<Value, Failure> {
    let mut event = event("ingest-usage")?;
    let record = event.pointer("/Records/0").cloned().unwrap_or_default();
    let records = bodies.iter().enumerate().map(|(index, body)| {
        let mut record = record.clone();
        set(&mut record, "/messageId", format!("message-{index}").into());
        set(&mut record, "/body", body.as_str().into());
        record
    });
    let records = records.collect::<Vec<_>>();
    set(&mut event, "/Records", records.into());
    Ok(event)
}

/// Measures the functions that usage passes through.
///
/// Errors: if one of them is not built, or does not do what it should.
pub async fn measure(report: &mut Report, scale: Scale) -> Result<Work, Failure> {
    report.heading("The functions as they are deployed, over HTTP to DynamoDB and SQS on this machine");
    let rig = Rig::new(start(), Line::counting()).await?;
    let meter = rig.meter("bench", Aggregation::Sum, DeduplicateBy::KeyAndTimestamp).await?;
    let count_dense = dense(report, &rig, &meter, scale).await?;
    let count_scattered = scattered(report, &rig, &meter, scale).await?;
    let door = Door::open(&rig, &meter).await?;
    Ok(Work {
        door_single: door.work(report, "door_processor_ms_per_request", 1, scale.of(2000)).await?,
        door_hundred: door.work(report, "door_processor_ms_per_request_of_100", 100, scale.of(200)).await?,
        count_dense,
        count_scattered,
    })
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_736_942_400, 0).unwrap_or_default() // 2025-01-15T12:00:00Z
}

/// Batches of 10,000 events of ten customers, in ten messages.
async fn dense(report: &mut Report, rig: &Rig, meter: &Meter, scale: Scale) -> Result<Milli, Failure> {
    let function = Function::start("ingest-usage", rig, &[]).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, 10, 11);
    let mut payloads = Vec::new();
    for n in 0..scale.of(40) + 2 {
        let events = traffic.batch(start() + TimeDelta::seconds(n.into()), TimeDelta::seconds(1), 1000);
        let bodies =
            events.chunks(1000).map(|chunk| wire::message::encode(&Message::CountUsage(chunk.to_vec())));
        payloads.push(batch(&bodies.collect::<Vec<_>>())?);
    }
    let (first, rest) = payloads.split_at(2);
    function.processor(first).await?; // it starts, and its connections do
    let per_thousand = Milli(function.processor(rest).await?.0 / 10);
    report.figure("ingest_processor_ms_per_1000_dense", per_thousand, "ms", "");
    report.figure("ingest_memory_mib_batch_10000", function.peak_mib()?, "MiB", "target < 512");
    Ok(per_thousand)
}

/// Batches of 1,000 events, each of another customer and a message of its own.
async fn scattered(report: &mut Report, rig: &Rig, meter: &Meter, scale: Scale) -> Result<Milli, Failure> {
    let function = Function::start("ingest-usage", rig, &[]).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, 950, 12);
    let mut payloads = Vec::new();
    for n in 0..scale.of(10) + 1 {
        let events = traffic.batch(start() + TimeDelta::minutes(n.into()), TimeDelta::minutes(1), 1);
        let bodies = events.into_iter().map(|event| wire::message::encode(&Message::CountUsage(vec![event])));
        payloads.push(batch(&bodies.collect::<Vec<_>>())?);
    }
    let (first, rest) = payloads.split_at(1);
    function.processor(first).await?;
    let per_batch = function.processor(rest).await?;
    report.figure("ingest_processor_ms_per_1000_scattered", per_batch, "ms", "");
    report.figure("ingest_memory_mib_batch_1000_messages", function.peak_mib()?, "MiB", "target < 512");
    Ok(per_batch)
}

/// The door, with an SQS behind it and somebody who may come in.
struct Door<'a> {
    rig: &'a Rig,
    function: Function,
    _moto: Moto,
    key: String,
    meter: &'a Meter,
}

impl<'a> Door<'a> {
    async fn open(rig: &'a Rig, meter: &'a Meter) -> Result<Self, Failure> {
        let moto = Moto::start().await?;
        let sqs = aws_sdk_sqs::Client::new(&moto.config());
        let queue = sqs.create_queue().queue_name("usage").send().await?.queue_url.unwrap_or_default();
        rig.customer("acme").await?;
        let scopes = vec![Scope::UsageWrite];
        let (_, key) = api_keys::create(&rig.platform, &rig.actor(), "bench".into(), scopes).await?;
        let endpoint = moto.endpoint();
        let variables =
            [("FLUXRATE_USAGE_QUEUE_URL", queue.as_str()), ("AWS_ENDPOINT_URL", endpoint.as_str())];
        let function = Function::start("track-usage", rig, &variables).await?;
        Ok(Self { rig, function, _moto: moto, key, meter })
    }

    /// What a request of `events` asks of it.
    async fn work(
        &self,
        report: &mut Report,
        name: &str,
        events: u32,
        requests: u32,
    ) -> Result<DoorWork, Failure> {
        let payloads = (0..=requests).map(|n| self.payload(events, n)).collect::<Result<Vec<_>, _>>()?;
        let (first, rest) = payloads.split_at(1);
        self.function.processor(first).await?;
        let processor = self.function.processor(rest).await?;
        report.figure(name, processor, "ms", "");
        let work = DoorWork { processor, ..self.consumed(events).await? };
        report.figure(&format!("rru_per_request_of_{events}"), work.reads, "units", "");
        Ok(work)
    }

    fn payload(&self, events: u32, n: u32) -> Result<Value, Failure> {
        let event = |index: u32| {
            json!({"meter_token": self.meter.token.to_string(), "customer_external_id": "acme", "quantity": 1,
                "idempotency_key": format!("key {events} {n} {index}")})
        };
        let (path, body) = match events {
            1 => ("/api/v1/sdk/track", event(0)),
            _ => ("/api/v1/usage/batch", json!({"events": (0..events).map(event).collect::<Vec<_>>()})),
        };
        let mut request = request("track-usage", &self.key, (path, ""))?;
        set(&mut request, "/body", body.to_string().into());
        Ok(request)
    }

    /// What it consumes of DynamoDB, asked in this process.
    async fn consumed(&self, events: u32) -> Result<DoorWork, Failure> {
        let told = |n: u32| track_usage::Usage {
            meter: track_usage::MeterRef::Token(self.meter.token),
            customer: track_usage::CustomerRef::ExternalId("acme".to_owned()),
            quantity: Some(Quantity::ONE),
            timestamp: None,
            idempotency_key: Some(format!("consumed {events} {n}")),
            properties: Properties::new(),
            metadata: Properties::new(),
        };
        let platform = &self.rig.platform;
        self.rig.line.take_consumed();
        let actor = authenticate::with_api_key(platform, &self.key).await?;
        track_usage::track_all(platform, &actor, (0..events).map(told).collect()).await?;
        let consumed = self.rig.line.take_consumed();
        let reads = Milli::tenths_per(consumed.read_tenths, 1);
        Ok(DoorWork { processor: Milli(0), reads, requests: consumed.requests })
    }
}
