//! A platform of a test's own, and a client that holds every answer against the OpenAPI document.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use fluxrate_local::{Options, Running};
use reqwest::{Client, Method, RequestBuilder, header};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running platform on a movable clock, with one organization signed up.
pub(crate) struct World {
    pub(crate) running: Running,
    pub(crate) owner: Caller,
    data: TempDir,
}

/// Somebody who calls.
#[derive(Clone)]
pub(crate) struct Caller {
    base: String,
    http: Client,
    credential: Option<(&'static str, String)>,
}

/// A status and a body.
pub(crate) type Answer = (u16, Value);

pub(crate) const PASSWORD: &str = "correct horse battery staple";

impl World {
    /// A platform whose clock stands at the start of 2025.
    pub(crate) async fn new() -> Self {
        let data = TempDir::new().unwrap();
        let start = "2025-01-01T00:00:00Z".parse().unwrap();
        let running = fluxrate_local::start(Options::for_test(data.path(), Some(start))).await.unwrap();
        let owner = Caller::anonymous(&running).signed_up("owner@example.com").await;
        Self { running, owner, data }
    }

    /// As [`World::new`], with tables on disk, which outlive the process.
    pub(crate) async fn on_disk() -> Self {
        let data = TempDir::new().unwrap();
        let running = fluxrate_local::start(on_disk(&data)).await.unwrap();
        let owner = Caller::anonymous(&running).signed_up("owner@example.com").await;
        Self { running, owner, data }
    }

    /// A world [`on_disk`](Self::on_disk) that stood still, and runs again when its clock is at `at`.
    pub(crate) async fn asleep_until(self, at: &str) -> Self {
        let Self { running, data, .. } = self;
        running.stop().await;
        std::fs::write(data.path().join("clock"), at).unwrap();
        let running = fluxrate_local::start(on_disk(&data)).await.unwrap();
        let owner = Caller::anonymous(&running).logged_in("owner@example.com").await;
        Self { running, owner, data }
    }

    pub(crate) fn anonymous(&self) -> Caller {
        Caller::anonymous(&self.running)
    }

    /// Moves the clock; everything that falls due on the way is done.
    pub(crate) async fn advance_to(&mut self, at: &str) {
        self.owner.local("clock", json!({"advance_to": at})).await;
        self.owner = self.anonymous().logged_in("owner@example.com").await;
    }

    /// What listeners were told so far, each once, in order.
    pub(crate) fn told(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.data.path().join("events.jsonl")).unwrap_or_default();
        let mut told = Vec::<Value>::new();
        for line in log.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            if !told.iter().any(|one| one["id"] == event["id"]) {
                told.push(event);
            }
        }
        told
    }

    /// Those of one name.
    pub(crate) fn told_by(&self, name: &str) -> Vec<Value> {
        self.told().into_iter().filter(|event| event["event"] == name).collect()
    }

    /// Waits until every queue is empty.
    pub(crate) async fn drain(&self) {
        self.owner.local("drain", json!({})).await;
    }

    /// A meter feature of an aggregation, as `calls`.
    pub(crate) async fn meter(&self, aggregation: &str) -> Value {
        let body = json!({"name": "Calls", "lookup_key": "calls", "type": "meter", "meter_name": "calls",
            "property_name": "n", "aggregation_type": aggregation});
        self.owner.created("/features", body).await
    }

    /// A plan with these charges.
    pub(crate) async fn plan(&self, charges: &[Value]) -> Value {
        let body = json!({"name": "Pro", "type": "HYBRID", "billing_interval": "month", "currency": "USD"});
        let plan = self.owner.created("/plans", body).await;
        for charge in charges {
            self.owner.created(&format!("/plans/{}/charges", text(&plan["id"])), charge.clone()).await;
        }
        plan
    }

    /// A customer that is called `acme`.
    pub(crate) async fn customer(&self) -> Value {
        let body = json!({"name": "Acme Corp", "email": "billing@acme.example", "external_id": "acme"});
        self.owner.created("/customers", body).await
    }

    /// A customer in a country, and a part of it, with what else there is to say of it.
    pub(crate) async fn customer_in(&self, country: &str, state: &str, rest: Value) -> Value {
        let mut body = json!({"name": "Acme Corp", "email": "billing@acme.example",
            "billing_address_country": country, "billing_address_state": state});
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        self.owner.created("/customers", body).await
    }

    /// Changes settings of the organization.
    pub(crate) async fn settings(&self, body: Value) -> Value {
        self.owner.changed(Method::PATCH, "/organization", body).await
    }

    /// A subscription from the start of 2025.
    pub(crate) async fn subscribe(&self, customer: &Value, plan: &Value) -> Value {
        let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01T00:00:00Z"});
        self.owner.created("/subscriptions", body).await
    }
}

fn on_disk(data: &TempDir) -> Options {
    let start = "2025-01-01T00:00:00Z".parse().unwrap();
    Options { is_in_memory: false, ..Options::for_test(data.path(), Some(start)) }
}

impl Caller {
    fn anonymous(running: &Running) -> Self {
        let base = format!("http://{}", running.address);
        Self { base, http: Client::new(), credential: None }
    }

    /// With a new organization of its own.
    pub(crate) async fn signed_up(&self, email: &str) -> Self {
        let body =
            json!({"email": email, "password": PASSWORD, "organization_name": format!("Org of {email}")});
        self.with_cookies("/auth/signup", body, 201).await
    }

    pub(crate) async fn logged_in(&self, email: &str) -> Self {
        self.with_cookies("/auth/login", json!({"email": email, "password": PASSWORD}), 200).await
    }

    async fn with_cookies(&self, path: &str, body: Value, status: u16) -> Self {
        let answer = self.request(Method::POST, path).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let cookies = answer.headers().get_all(header::SET_COOKIE).into_iter();
        let cookies = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
        self.with(("cookie", cookies.collect::<Vec<_>>().join("; ")))
    }

    /// The same caller with another credential.
    pub(crate) fn with(&self, credential: (&'static str, String)) -> Self {
        Self { credential: Some(credential), ..self.clone() }
    }

    /// With a new API key of these scopes.
    pub(crate) async fn with_key(&self, scopes: &[&str]) -> Self {
        let key = self.created("/api-keys", json!({"name": "test", "scopes": scopes})).await;
        self.with(("x-api-key", text(&key["key"]).to_owned()))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.base));
        match &self.credential {
            Some((name, value)) => request.header(*name, value),
            None => request,
        }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method.clone(), path);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = checked(&method, path, request).await;
        // Of a batch that was taken in part, the rest may be anything.
        let is_taken = answer.0 < 300 && answer.0 != 207;
        if let (true, Some(body), Some(operation)) = (is_taken, &body, operation(&method, path))
            && let Some(schema) =
                operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
        {
            let errors = validate(schema.rsplit('/').next().unwrap(), body);
            assert!(errors.is_empty(), "{method} {path} took what is not documented: {errors:?}\n{body}");
        }
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn created(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.post(path, body).await;
        assert_eq!(status, 201, "POST {path}: {body}");
        body
    }

    /// What comes of a change that is accepted.
    pub(crate) async fn changed(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method.clone(), path, Some(body)).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// A local-only route.
    pub(crate) async fn local(&self, what: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}/local/{what}", self.base)).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{what}");
        answer.json().await.unwrap_or_default()
    }

    pub(crate) async fn get_local(&self, what: &str) -> Value {
        self.http.get(format!("{}/local/{what}", self.base)).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }
}

/// Sends a request and holds its answer against the OpenAPI document.
pub(crate) async fn checked(method: &Method, path: &str, request: RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let content_type =
        answer.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
    let bytes = answer.bytes().await.unwrap();
    let Some(content_type) = content_type else {
        assert!(bytes.is_empty(), "{method} {path}: a body without a type");
        return (status, Value::Null);
    };
    if content_type == "application/pdf" {
        return (status, Value::Null);
    }
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{method} {path}: {bytes:?}"));
    let is_problem = content_type == "application/problem+json";
    assert_eq!(is_problem, status >= 400, "{method} {path}: {status} {content_type}");
    if let Some(schema) = schema(method, path, status) {
        let errors = validate(&schema, &body);
        assert!(errors.is_empty(), "{method} {path} {status} is not as documented: {:?}", errors.first());
    }
    (status, body)
}

pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(wire::openapi::document()).unwrap());

/// What the document says of an operation; `None` if it does not have it.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let path = format!("/api/v1{}", path.split('?').next().unwrap());
    let matches = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(part, given)| part.starts_with('{') || part == given)
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let (_, item) = paths.iter().find(|(template, _)| matches(template))?;
    item.get(method.as_str().to_lowercase())
}

/// The name of the schema of an answer; `None` for paths that are not documented.
fn schema(method: &Method, path: &str, status: u16) -> Option<String> {
    let responses = &operation(method, path)?["responses"];
    let response = responses.get(status.to_string()).unwrap_or(&responses["default"]);
    let (_, content) = response["content"].as_object()?.iter().next()?;
    let reference = content["schema"]["$ref"].as_str()?;
    Some(reference.rsplit('/').next().unwrap().to_owned())
}

/// What in `body` is not as the schema of that name has it.
fn validate(name: &str, body: &Value) -> Vec<String> {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, jsonschema::Validator>>> =
        LazyLock::new(Default::default);
    let mut validators = VALIDATORS.lock().unwrap();
    let validator = validators.entry(name.to_owned()).or_insert_with(|| {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": format!("#/components/schemas/{name}"),
            "components": DOCUMENT["components"],
        });
        jsonschema::validator_for(&schema).unwrap()
    });
    validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The figures of an invoice: subtotal, tax, total, and what is due.
pub(crate) fn figures(invoice: &Value) -> String {
    ["subtotal", "tax", "total", "amount_due"].map(|name| invoice[name].to_string()).join(" ")
}

/// The fields that an answer finds fault with.
pub(crate) fn fields(answer: &Value) -> Vec<&str> {
    answer["errors"].as_array().into_iter().flatten().map(|error| text(&error["field"])).collect()
}

/// The text of a JSON string.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}
