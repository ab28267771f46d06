//! The line between the SDK and DynamoDB, where requests can be counted, lost, or answered late.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use serde_json::{Value, json};

use crate::contention::{UnderWay, refused_tenths};

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered.
    None,
    /// It never arrives.
    LostRequest,
    /// It is carried out, and the answer never arrives.
    LostAnswer,
    /// A read is answered as it would have been before.
    OldAnswer,
    /// Of a read of several keys, the second half is not got to; of one of a single key, nothing is.
    HalfAnswered,
    /// The caller dies before it is sent.
    KilledBefore,
    /// The caller dies after it was carried out.
    KilledAfter,
}

/// Decides what happens to the next request, by the name of its operation and its body.
type Decide = Box<dyn FnMut(&str, &[u8]) -> Fault + Send>;

/// Request units that DynamoDB says were consumed, and how many requests consumed them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Consumed {
    /// Write request units, in tenths.
    pub write_tenths: u64,
    /// Read request units, in tenths.
    pub read_tenths: u64,
    /// Those of the table `usage`.
    pub usage_read_tenths: u64,
    /// Requests.
    pub requests: u64,
    /// Of those, writes that were refused because a transaction was at an item of theirs.
    pub conflicts: u64,
}

/// A line. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct Line {
    inner: SharedHttpClient,
    state: Arc<Mutex<State>>,
}

struct State {
    decide: Decide,
    consumed: Consumed,
    /// The first answers to reads, by request.
    old: HashMap<Vec<u8>, Vec<u8>>,
    keeps_answers: bool,
    under_way: Option<UnderWay>,
}

impl Line {
    /// A line on which `decide` says what happens to each request.
    pub fn new(decide: impl FnMut(&str, &[u8]) -> Fault + Send + 'static) -> Self {
        let state = State {
            decide: Box::new(decide),
            consumed: Consumed::default(),
            old: HashMap::new(),
            keeps_answers: true,
            under_way: None,
        };
        let inner = aws_smithy_http_client::Builder::new().build_http();
        Self { inner, state: Arc::new(Mutex::new(state)) }
    }

    /// A line that only counts.
    pub fn counting() -> Self {
        let line = Self::new(|_, _| Fault::None);
        line.state().keeps_answers = false;
        line
    }

    /// The same line, on which writes of an item are refused while a transaction of it is under way, as DynamoDB does.
    #[must_use]
    pub fn with_contention(self) -> Self {
        self.state().under_way = Some(UnderWay::default());
        self
    }

    /// What was consumed since the last call.
    pub fn take_consumed(&self) -> Consumed {
        std::mem::take(&mut self.state().consumed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass(
        self,
        connector: SharedHttpConnector,
        mut request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let mut sent = request.body().bytes().unwrap_or_default().to_vec();
        let fault = (self.state().decide)(&operation, &sent);
        let mut left = None;
        match fault {
            Fault::LostRequest => return Err(lost()),
            Fault::KilledBefore => std::panic::resume_unwind(Box::new("killed before a request")),
            Fault::OldAnswer => {
                if let Some(old) = self.state().old.get(&sent).cloned() {
                    return success(old);
                }
            }
            Fault::HalfAnswered => {
                if let Some((half, rest)) = halves(&sent) {
                    match half {
                        Some(half) => (sent, left) = (half, Some(rest)),
                        None => return success(json!({"UnprocessedKeys": rest}).to_string().into_bytes()),
                    }
                }
            }
            Fault::None | Fault::LostAnswer | Fault::KilledAfter => {}
        }
        let under_way = self.state().under_way.clone();
        let held = match under_way.map(|under_way| under_way.enter(&operation, &sent)) {
            Some(Err(refusal)) => {
                let refusal = refusal.to_string().into_bytes();
                self.record(&operation, false, &sent, &refusal);
                return answered(400, refusal);
            }
            Some(Ok(held)) => held,
            None => None,
        };
        ask_for_capacity(&mut request, &sent);
        let mut answer = connector.call(request).await?;
        drop(held);
        let body = ByteStream::new(answer.take_body()).collect().await;
        let body = body.map_err(|error| ConnectorError::io(error.into()))?.into_bytes();
        self.record(&operation, answer.status().is_success(), &sent, &body);
        match fault {
            Fault::LostAnswer => return Err(lost()),
            Fault::KilledAfter => std::panic::resume_unwind(Box::new("killed after a request")),
            Fault::None
            | Fault::LostRequest
            | Fault::OldAnswer
            | Fault::HalfAnswered
            | Fault::KilledBefore => {}
        }
        if let (Some(left), Ok(Value::Object(mut told))) = (left, serde_json::from_slice(&body)) {
            told.insert("UnprocessedKeys".to_owned(), left);
            return success(json!(told).to_string().into_bytes());
        }
        *answer.body_mut() = SdkBody::from(body);
        Ok(answer)
    }

    fn record(&self, operation: &str, is_success: bool, sent: &[u8], body: &[u8]) {
        let is_read = matches!(operation, "GetItem" | "BatchGetItem" | "Query" | "Scan");
        let mut tenths = tenths_in(body, |_| true);
        let (mut is_refused, mut is_conflict) = (false, false);
        if !is_success {
            let told = String::from_utf8_lossy(body);
            is_conflict = told.contains("TransactionConflict");
            is_refused = is_conflict || told.contains("ConditionalCheckFailed");
        }
        if is_refused {
            tenths = refused_tenths(sent); // billed, though the error does not say so
        }
        let mut state = self.state();
        state.consumed.requests += 1;
        state.consumed.conflicts += u64::from(is_conflict);
        match is_read {
            true => {
                state.consumed.read_tenths += tenths;
                state.consumed.usage_read_tenths += tenths_in(body, |table| table == "usage");
            }
            false => state.consumed.write_tenths += tenths,
        }
        if is_read && is_success && state.keeps_answers {
            state.old.entry(sent.to_vec()).or_insert_with(|| body.to_vec());
        }
    }
}

fn success(body: Vec<u8>) -> Result<HttpResponse, ConnectorError> {
    answered(200, body)
}

fn answered(status: u16, body: Vec<u8>) -> Result<HttpResponse, ConnectorError> {
    let status = StatusCode::try_from(status).map_err(|error| ConnectorError::other(error.into(), None))?;
    Ok(HttpResponse::new(status, SdkBody::from(body)))
}

/// A read of several keys of one table, cut down to the first half of them, if that is any; and the others, as an
/// answer has what was not got to.
fn halves(sent: &[u8]) -> Option<(Option<Vec<u8>>, Value)> {
    let body = serde_json::from_slice::<Value>(sent).ok()?;
    let (table, request) = body.get("RequestItems")?.as_object()?.iter().next()?;
    let keys = request.get("Keys")?.as_array()?;
    let (first, rest) = keys.split_at_checked(keys.len() / 2)?;
    let of = |keys: &[Value]| json!({table.clone(): {"Keys": keys, "ConsistentRead": true}});
    let half = json!({"RequestItems": of(first)}).to_string().into_bytes();
    Some(((!first.is_empty()).then_some(half), of(rest)))
}

/// Adds to the body of a request that the answer is to say what it consumed. Nothing checks the signature here.
fn ask_for_capacity(request: &mut HttpRequest, sent: &[u8]) {
    let Some(rest) = sent.strip_prefix(b"{") else { return };
    let mut body = br#"{"ReturnConsumedCapacity":"TOTAL""#.to_vec();
    if rest != b"}" {
        body.push(b',');
    }
    body.extend_from_slice(rest);
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body);
}

/// The capacity units in an answer, of the tables asked for: one figure, or one for each table.
fn tenths_in(body: &[u8], is_asked: impl Fn(&str) -> bool) -> u64 {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return 0 };
    let Some(consumed) = answer.get("ConsumedCapacity") else { return 0 };
    let all = consumed.as_array().map_or_else(|| std::slice::from_ref(consumed), Vec::as_slice);
    let is_asked = |of: &&Value| of.get("TableName").and_then(Value::as_str).is_some_and(&is_asked);
    all.iter().filter(is_asked).filter_map(|of| of.get("CapacityUnits")).map(in_tenths).sum()
}

/// A figure with at most one decimal, as tenths.
fn in_tenths(units: &Value) -> u64 {
    let text = units.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    let digit = fraction.get(..1).and_then(|digit| digit.parse::<u64>().ok()).unwrap_or_default();
    whole.parse::<u64>().unwrap_or_default() * 10 + digit
}

fn lost() -> ConnectorError {
    ConnectorError::io("the line is down".into())
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl HttpClient for Line {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Tapped { line: self.clone(), connector })
    }
}

#[derive(Debug)]
struct Tapped {
    line: Line,
    connector: SharedHttpConnector,
}

impl HttpConnector for Tapped {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.line.clone().pass(self.connector.clone(), request))
    }
}
