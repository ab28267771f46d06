//! The seven binaries as Lambda would run them: fed with the payloads of `events/` by a Runtime API, with what
//! `template.yaml` puts into their environment, over an embedded DynamoDB and moto.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use app::{
    PageRequest, Platform, Position, Settings, api_keys,
    catalog::{self, NewFeature, NewFeatureKind, NewMeter},
    close_period,
    customers::{self, CustomerDetails},
    invoices,
    plans::{self, NewCharge, NewPlan},
    port::{Clock, Message},
    sessions::{self, SignUp},
    subscriptions::{self, NewBilling, NewSubscription},
};
use auth::{Actor, Credential};
use aws::{EventBus, KmsKeys, QueueUrls, SesMailer, SqsQueue};
use chrono::{DateTime, Duration, Utc};
use domain::{
    charge::{FixedPrice, Price, Pricing, UsagePrice},
    charge_model::ChargeModel,
    customer::{Address, Customer},
    id::SubscriptionId,
    invoice::{Invoice, InvoiceStatus},
    meter::{Aggregation, DeduplicateBy, Meter},
    period::{BillingInterval, IntervalUnit},
    plan::{Plan, PlanType},
    user::Scope,
};
use runtime::{SystemClock, SystemRandom};
use serde_json::{Value, json};
use store::{InvoiceFilter, Store};
use testkit::{EmbeddedDynamo, LambdaProcess, Moto, workspace_root};

#[tokio::test]
async fn api_answers_and_asks_who_calls() {
    let world = World::new().await;
    let api = world.function("api").await;
    let answer = api.invoke(event("api")).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert_eq!(body(&answer), json!({ "status": "ok" }));

    let mut request = event("api");
    request["rawPath"] = "/api/v1/customers".into();
    request["requestContext"]["http"]["path"] = "/api/v1/customers".into();
    check_problem(&api.invoke(request.clone()).await.unwrap(), 401);
    request["headers"]["x-api-key"] = world.api_key.as_str().into();
    let answer = api.invoke(request).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert_eq!(body(&answer)["data"][0]["external_id"], "acme-corp-001");
    check_secrets(&world, &api);
}

#[tokio::test]
async fn web_shows_its_first_page() {
    let world = World::new().await;
    let web = world.function("web").await;
    let answer = web.invoke(event("web")).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert!(answer["headers"]["content-type"].as_str().unwrap().starts_with("text/html"), "{answer}");
}

#[tokio::test]
async fn track_usage_queues_what_a_valid_key_sends() {
    let world = World::new().await;
    let track_usage = world.function("track-usage").await;
    check_problem(&track_usage.invoke(event("track-usage")).await.unwrap(), 401);
    assert_eq!(world.received("UsageQueue").await, [""; 0]);

    let answer = track_usage.invoke(world.track_event()).await.unwrap();
    assert_eq!(answer["statusCode"], 201, "{answer}");
    let queued = world.received("UsageQueue").await;
    assert_eq!(queued.len(), 1);
    let Message::CountUsage(events) = wire::message::decode(&queued[0]).unwrap() else {
        panic!("{queued:?}")
    };
    assert_eq!(events[0].customer, world.customer.id);
    assert_eq!(events[0].event.key, "request_1");
    check_secrets(&world, &track_usage);
}

#[tokio::test]
async fn ingest_usage_counts_a_good_message_once_and_sets_a_bad_one_aside() {
    let world = World::new().await;
    world.function("track-usage").await.invoke(world.track_event()).await.unwrap();
    let [good] = world.received("UsageQueue").await.try_into().unwrap();

    let ingest_usage = world.function("ingest-usage").await;
    let event = batch("ingest-usage", &[&good, "{\"version\":99}", &good]);
    for _ in 0..2 {
        let answer = ingest_usage.invoke(event.clone()).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }), "{}", ingest_usage.log());
    }
    assert_eq!(world.received("UsageDeadLetters").await, ["{\"version\":99}"; 2]);

    // Twice in each of two batches, and counted once.
    let api = world.function("api").await;
    let mut request = self::event("api");
    let path = format!("/api/v1/meters/{}/usage", world.meter.id);
    request["rawPath"] = path.clone().into();
    request["requestContext"]["http"]["path"] = path.into();
    request["headers"]["x-api-key"] = world.api_key.as_str().into();
    let answer = api.invoke(request).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert_eq!(body(&answer)["event_count"], 1, "{answer}");
    assert_eq!(body(&answer)["total_usage"].to_string().trim_matches('"'), "4", "{answer}");
}

#[tokio::test]
async fn close_periods_sends_itself_what_is_due_and_drafts_it() {
    let world = World::new().await;
    world.subscribe(&world.platform(Duration::zero())).await;
    let close_periods = world.function("close-periods").await;
    close_periods.invoke(event("close-periods")).await.unwrap();
    let queued = world.received("PeriodsQueue").await;
    assert_eq!(queued.len(), 1, "{}", close_periods.log());

    let message = batch("close-periods-message", &[&queued[0], "nonsense"]);
    for _ in 0..2 {
        let answer = close_periods.invoke(message.clone()).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }), "{}", close_periods.log());
    }
    assert_eq!(world.received("PeriodsDeadLetters").await, ["nonsense"; 2]);
    let invoices = world.invoices().await;
    assert_eq!(invoices.len(), 1);
    assert!(matches!(invoices[0].status, InvoiceStatus::Draft { .. }), "{:?}", invoices[0].status);

    close_periods.invoke(event("close-periods")).await.unwrap();
    assert_eq!(world.received("PeriodsQueue").await, [""; 0], "nothing is due any more");
}

#[tokio::test]
async fn finalize_invoices_opens_what_is_due_and_send_email_mails_it() {
    let world = World::new().await;
    // A draft of two hours ago, whose grace period is over.
    let then = world.platform(Duration::hours(-2));
    let subscription = world.subscribe(&then).await;
    assert_eq!(close_period::close(&then, world.actor.organization, subscription).await.unwrap(), 1);

    let finalize_invoices = world.function("finalize-invoices").await;
    finalize_invoices.invoke(event("finalize-invoices")).await.unwrap();
    let invoices = world.invoices().await;
    assert_eq!(invoices.len(), 1);
    assert_eq!(invoices[0].status, InvoiceStatus::Open, "{}", finalize_invoices.log());
    let told: Vec<Value> = world.received("Listener").await.iter().map(|text| parsed(text)).collect();
    let mut told: Vec<_> = told.iter().map(|event| event["detail-type"].as_str().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, ["invoice.created", "invoice.finalized", "subscription.created"]);
    let queued = world.received("OutboxQueue").await;
    assert_eq!(queued.len(), 1, "{}", finalize_invoices.log());
    finalize_invoices.invoke(event("finalize-invoices")).await.unwrap();
    assert_eq!(world.received("OutboxQueue").await, [""; 0], "it was queued already");

    let send_email = world.function("send-email").await;
    for _ in 0..2 {
        let answer = send_email.invoke(batch("send-email", &[&queued[0], "nonsense"])).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }), "{}", send_email.log());
    }
    assert_eq!(world.received("OutboxDeadLetters").await, ["nonsense"; 2]);
    let mails = world.mails().await;
    assert_eq!(mails.len(), 1, "{}", send_email.log());
    let mail = mails[0]["raw_data"].as_str().unwrap();
    assert_eq!(mails[0]["destinations"][0], "ada@example.com");
    assert!(mail.contains("application/pdf"));
    assert!(mail.contains(&invoices[0].number.unwrap().to_string()));
    check_secrets(&world, &send_email);
}

#[tokio::test]
async fn every_function_says_which_variable_it_misses() {
    for name in
        ["api", "web", "track-usage", "ingest-usage", "close-periods", "finalize-invoices", "send-email"]
    {
        let function = LambdaProcess::start(&binary(name), &[("FLUXRATE_CORE_TABLE", "core")]).await.unwrap();
        let error = function.invoke(json!({})).await.unwrap_err();
        assert_eq!(error["errorType"], "Runtime.ExitError", "{name}: {error}");
        assert!(error["log"].as_str().unwrap().contains("FLUXRATE_USAGE_TABLE"), "{name}: {error}");
    }
}

/// One AWS account with an organization in it, which has a customer on a plan of 9.00 a month and 0.25 a call.
struct World {
    moto: Moto,
    dynamo: EmbeddedDynamo,
    sqs: aws_sdk_sqs::Client,
    /// What `!Ref` gives for the resources and parameters of the template.
    refs: BTreeMap<&'static str, String>,
    actor: Actor,
    api_key: String,
    meter: Meter,
    customer: Customer,
    plan: Plan,
}

const QUEUES: [&str; 7] = [
    "UsageQueue",
    "UsageDeadLetters",
    "PeriodsQueue",
    "PeriodsDeadLetters",
    "OutboxQueue",
    "OutboxDeadLetters",
    "Listener", // to what is told on the bus
];

impl World {
    async fn new() -> Self {
        let (moto, dynamo) = (Moto::start().await.unwrap(), EmbeddedDynamo::in_memory().await.unwrap());
        let config = moto.config();
        let sqs = aws_sdk_sqs::Client::new(&config);
        let mut refs: BTreeMap<_, _> = [
            ("CoreTable", "core"),
            ("UsageTable", "usage"),
            ("EmailFrom", "billing@example.com"),
            ("EventBus", "bus"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();
        for name in QUEUES {
            let url = sqs.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap();
            refs.insert(name, url);
        }
        let key = aws_sdk_kms::Client::new(&config).create_key().send().await.unwrap().key_metadata.unwrap();
        refs.insert("EncryptionKey", key.key_id);
        let ses = aws_sdk_ses::Client::new(&config);
        ses.verify_email_identity().email_address(&refs["EmailFrom"]).send().await.unwrap();
        listen(&aws_sdk_eventbridge::Client::new(&config)).await;
        Store::new(dynamo.client(), "core", "usage").create_tables().await.unwrap();

        let platform = platform(&moto, &dynamo, &refs, Duration::days(-40));
        let actor = signed_up(&platform).await;
        let scopes = vec![Scope::UsageWrite, Scope::UsageRead, Scope::BillingRead];
        let (_, api_key) = api_keys::create(&platform, &actor, "test".into(), scopes).await.unwrap();
        let meter = metered(&platform, &actor).await;
        let customer = known(&platform, &actor).await;
        let plan = priced(&platform, &actor, &meter).await;
        Self { moto, dynamo, sqs, refs, actor, api_key, meter, customer, plan }
    }

    /// The platform of this world at `offset` from the real time.
    fn platform(&self, offset: Duration) -> Platform {
        platform(&self.moto, &self.dynamo, &self.refs, offset)
    }

    /// A subscription whose first month is over.
    async fn subscribe(&self, platform: &Platform) -> SubscriptionId {
        let new = NewSubscription {
            customer: self.customer.id,
            plan: self.plan.id,
            overrides: Vec::new(),
            billing: NewBilling { start: Some(platform.now() - Duration::days(40)), ..NewBilling::default() },
        };
        subscriptions::create(platform, &self.actor, new).await.unwrap().id
    }

    /// A function with what the template gives it.
    async fn function(&self, name: &str) -> LambdaProcess {
        let (moto, dynamo) = (self.moto.endpoint(), self.dynamo.endpoint());
        let given = variables(name, &self.refs);
        let mut all: Vec<_> = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        all.extend([("AWS_ENDPOINT_URL", moto.as_str()), ("AWS_ENDPOINT_URL_DYNAMODB", dynamo.as_str())]);
        LambdaProcess::start(&binary(name), &all).await.unwrap()
    }

    /// The bodies of everything in a queue, which is empty then.
    async fn received(&self, queue: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            let request = self.sqs.receive_message().queue_url(&self.refs[queue]).max_number_of_messages(10);
            let messages = request.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            for message in messages {
                let delete = self.sqs.delete_message().queue_url(&self.refs[queue]);
                delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
                bodies.push(message.body.unwrap());
            }
        }
    }

    async fn invoices(&self) -> Vec<Invoice> {
        let page = PageRequest { position: Position::Number(1), size: 10 };
        let platform = self.platform(Duration::zero());
        invoices::list(
            &platform,
            &self.actor,
            InvoiceFilter { customer: Some(self.customer.id), ..InvoiceFilter::default() },
            &page,
        )
        .await
        .unwrap()
        .rows
    }

    async fn mails(&self) -> Vec<Value> {
        let data = parsed(&self.moto.get("/moto-api/data.json").await.unwrap());
        data["ses"]["RawMessage"].as_array().cloned().unwrap_or_default()
    }

    /// The payload of `events/track-usage.json` with a key and a meter that exist.
    fn track_event(&self) -> Value {
        let mut request = event("track-usage");
        request["headers"]["x-api-key"] = self.api_key.as_str().into();
        let mut usage = body(&request);
        usage["meter_token"] = self.meter.token.to_string().into();
        request["body"] = usage.to_string().into();
        request
    }
}

/// A clock that is slow or fast.
struct OffsetClock(Duration);

impl Clock for OffsetClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }
}

fn platform(
    moto: &Moto,
    dynamo: &EmbeddedDynamo,
    refs: &BTreeMap<&'static str, String>,
    offset: Duration,
) -> Platform {
    let config = moto.config();
    let queue = SqsQueue::new(aws_sdk_sqs::Client::new(&config), QueueUrls::default());
    let mailer = SesMailer::new(aws_sdk_ses::Client::new(&config));
    let bus = EventBus::new(aws_sdk_eventbridge::Client::new(&config), None);
    let keys = KmsKeys::new(aws_sdk_kms::Client::new(&config), Some(refs["EncryptionKey"].clone()));
    Platform::new(
        Store::new(dynamo.client(), "core", "usage"),
        (Arc::new(OffsetClock(offset)), Arc::new(SystemRandom)),
        (Arc::new(queue), Arc::new(mailer), Arc::new(bus)),
        Arc::new(keys),
        Settings::default(),
    )
}

/// A queue hears everything that is told on the bus.
async fn listen(events: &aws_sdk_eventbridge::Client) {
    events.create_event_bus().name("bus").send().await.unwrap();
    let rule =
        events.put_rule().event_bus_name("bus").name("all").event_pattern("{\"source\":[\"fluxrate\"]}");
    rule.send().await.unwrap();
    let target = aws_sdk_eventbridge::types::Target::builder().id("listener");
    let target = target.arn("arn:aws:sqs:us-east-1:123456789012:Listener").build().unwrap();
    events.put_targets().event_bus_name("bus").rule("all").targets(target).send().await.unwrap();
}

async fn signed_up(platform: &Platform) -> Actor {
    let sign_up = SignUp {
        email: "owner@example.com".into(),
        password: "correct horse battery staple".into(),
        organization_name: "Example".into(),
        mode: domain::test_clock::Mode::Live,
    };
    let user = sessions::sign_up(platform, sign_up).await.unwrap().user;
    Actor {
        organization: user.organization,
        credential: Credential::Session { user: user.id, role: user.role },
    }
}

async fn metered(platform: &Platform, actor: &Actor) -> Meter {
    let meter = NewMeter {
        name: "calls".into(),
        property: "quantity".into(),
        aggregation: Aggregation::Sum,
        unit: Some("calls".into()),
        filters: Vec::new(),
        deduplicate_by: DeduplicateBy::Key,
    };
    let feature = NewFeature {
        name: "API calls".into(),
        lookup_key: "api-calls".into(),
        description: None,
        kind: NewFeatureKind::Meter(meter),
    };
    catalog::create_feature(platform, actor, feature).await.unwrap().1.unwrap()
}

async fn known(platform: &Platform, actor: &Actor) -> Customer {
    let details = CustomerDetails {
        name: "Acme Corp".into(),
        email: Some("ada@example.com".into()),
        external_id: Some("acme-corp-001".into()),
        phone: None,
        billing_address: Address::default(),
        tax_id: Some(TAX_ID.into()),
        tax_exemption: Default::default(),
        metadata: [].into(),
    };
    customers::create(platform, actor, details).await.unwrap().customer
}

async fn priced(platform: &Platform, actor: &Actor, meter: &Meter) -> Plan {
    let new = NewPlan {
        name: "Basic".into(),
        lookup_id: Some("basic".into()),
        plan_type: PlanType::Hybrid,
        billing_interval: BillingInterval::new(IntervalUnit::Month, 1).unwrap(),
        currency: "EUR".parse().unwrap(),
        trial_days: 0,
        description: None,
        is_active: true,
    };
    let plan = plans::create(platform, actor, new).await.unwrap().plan;
    let fixed = Price::Fixed(FixedPrice::of("9.00".parse().unwrap(), "1".parse().unwrap()));
    let pricing = Pricing::of(ChargeModel::Standard { unit_price: "0.25".parse().unwrap() });
    for price in
        [fixed, Price::Usage(UsagePrice { meter: meter.id, interval: None, pricing, filters: Vec::new() })]
    {
        plans::add_charge(platform, actor, plan.id, NewCharge { display_name: None, price }).await.unwrap();
    }
    plans::get(platform, actor, plan.id).await.unwrap().plan
}

/// Sealed in the table, shown on invoices, and nobody's business elsewhere.
const TAX_ID: &str = "DE123456789";

/// What `template.yaml` puts into the environment of a function, with `refs` for its `!Ref`s.
fn variables(function: &str, refs: &BTreeMap<&'static str, String>) -> Vec<(String, String)> {
    let template = fs::read_to_string(workspace_root().join("template.yaml")).unwrap();
    let (globals, resources) = template.split_once("\nResources:").unwrap();
    let mut functions = resources.split("Type: AWS::Serverless::Function");
    let own = functions.find(|part| part.contains(&format!("Binary: {function} }}"))).unwrap();
    let mut variables = BTreeMap::new();
    for line in globals.lines().chain(own.lines()) {
        if let Some((name, value)) = line.trim().split_once(": ")
            && name.starts_with("FLUXRATE_")
        {
            let value = match value.strip_prefix("!Ref ") {
                Some(name) => refs[name].clone(),
                None => "https://billing.example.com".to_owned(),
            };
            variables.insert(name.to_owned(), value);
        }
    }
    variables.into_iter().collect()
}

/// The binary of a function, beside this test's own.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(name)
}

/// A payload of `events/`.
fn event(name: &str) -> Value {
    parsed(&fs::read_to_string(workspace_root().join("events").join(name).with_extension("json")).unwrap())
}

/// The payload of that name with one record for each body.
fn batch(name: &str, bodies: &[&str]) -> Value {
    let mut event = event(name);
    let record = event["Records"][0].clone();
    let records = bodies.iter().enumerate().map(|(index, body)| {
        let mut record = record.clone();
        record["messageId"] = format!("message-{index}").into();
        record["body"] = (*body).into();
        record
    });
    event["Records"] = records.collect::<Vec<_>>().into();
    event
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The JSON in the body of an HTTP request or answer.
fn body(message: &Value) -> Value {
    parsed(message["body"].as_str().unwrap_or_else(|| panic!("no body: {message}")))
}

fn check_problem(answer: &Value, status: u64) {
    assert_eq!(answer["statusCode"], status, "{answer}");
    assert_eq!(answer["headers"]["content-type"], "application/problem+json", "{answer}");
    let problem = body(answer);
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["detail"].is_string(), "{problem}");
}

/// Neither a key nor what is sealed shows in the log.
fn check_secrets(world: &World, function: &LambdaProcess) {
    let log = function.log();
    for secret in [world.api_key.as_str(), TAX_ID, "ada@example.com"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}
