//! A Lambda for one function: starts its binary as AWS would, and feeds it through a Runtime API.

use std::{
    collections::HashMap,
    io::{self, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path as UrlPath, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep},
};

/// A function that runs as a process of its own. Killed when it is dropped.
#[derive(Debug)]
pub struct LambdaProcess {
    name: String,
    child: Mutex<Child>,
    log: Arc<Mutex<String>>,
    api: Arc<RuntimeApi>,
    invocations: mpsc::UnboundedSender<Invocation>,
    server: JoinHandle<()>,
    count: AtomicU64,
}

/// The time a function has for one event, and for its start with the first one.
const INVOKE_MAX: Duration = Duration::from_secs(60);

/// Lambda takes answers of 6 MB.
const ANSWER_BYTES_MAX: usize = 6 << 20;

impl LambdaProcess {
    /// Starts `binary` with nothing in its environment but what Lambda sets and `variables`.
    ///
    /// Errors: if there is no such binary, or if it cannot be started. What it does then shows in the first
    /// [`invoke`](Self::invoke).
    pub async fn start(binary: &Path, variables: &[(&str, &str)]) -> io::Result<Self> {
        if !binary.exists() {
            let message = format!("{} is not built: run `cargo build --bins`", binary.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        let name = binary.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (invocations, next) = mpsc::unbounded_channel();
        let api = Arc::new(RuntimeApi {
            function: name.clone(),
            next: next.into(),
            pending: Mutex::default(),
            init_error: Mutex::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let router = router(api.clone());
        let server = tokio::spawn(async move {
            // Fails only when the listener does, and then no event is answered.
            let _ = axum::serve(listener, router).await;
        });
        let mut child = command(binary, &name, address).envs(variables.iter().copied()).spawn()?;
        let log = Arc::default();
        collect(child.stdout.take(), &log);
        collect(child.stderr.take(), &log);
        let child = Mutex::new(child);
        Ok(Self { name, child, log, api, invocations, server, count: AtomicU64::default() })
    }

    /// What the function answers to `payload`; `Err` is what it reports as its error, or what Lambda says of
    /// one that ended or took too long.
    pub async fn invoke(&self, payload: Value) -> Result<Value, Value> {
        let id = format!("00000000-0000-4000-8000-{:012}", self.count.fetch_add(1, Ordering::Relaxed));
        let (answer, mut answered) = oneshot::channel();
        lock(&self.api.pending).insert(id.clone(), answer);
        if self.invocations.send(Invocation { id, payload }).is_err() {
            return Err(self.failure("Runtime.Unknown", "the Runtime API has ended"));
        }
        let deadline = Instant::now() + INVOKE_MAX;
        loop {
            tokio::select! {
                answer = &mut answered => {
                    return answer.unwrap_or_else(|_| Err(self.failure("Runtime.Unknown", "no answer")));
                }
                () = sleep(Duration::from_millis(20)) => {}
            }
            if let Some(error) = lock(&self.api.init_error).take() {
                return Err(error);
            }
            if let Ok(Some(status)) = lock(&self.child).try_wait() {
                return Err(self.failure("Runtime.ExitError", &format!("{} ended with {status}", self.name)));
            }
            if Instant::now() > deadline {
                return Err(self.failure("Sandbox.Timedout", &format!("{} took too long", self.name)));
            }
        }
    }

    /// Everything it has written so far, to both of its outputs.
    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    /// What it has taken of the machine so far.
    ///
    /// Errors: if it has ended, or where there is no `/proc`.
    pub fn resources(&self) -> io::Result<Resources> {
        let folder = Path::new("/proc").join(lock(&self.child).id().to_string());
        let status = std::fs::read_to_string(folder.join("status"))?;
        let stat = std::fs::read_to_string(folder.join("stat"))?;
        let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "/proc is not as it should be");
        Resources::read(&status, &stat).ok_or_else(unreadable)
    }

    fn failure(&self, error_type: &str, message: &str) -> Value {
        json!({ "errorType": error_type, "errorMessage": message, "log": self.log() })
    }
}

impl Drop for LambdaProcess {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // Fails only if it has ended already.
        let _ = child.kill();
        let _ = child.wait();
        self.server.abort();
    }
}

/// What a process has taken of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// The most memory it had at any time, in bytes.
    pub peak_bytes: u64,
    /// The time that processors worked for it, to a hundredth of a second.
    pub processor: Duration,
}

impl Resources {
    /// From `/proc/<pid>/status` and `/proc/<pid>/stat`.
    fn read(status: &str, stat: &str) -> Option<Self> {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let peak = peak.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
        // The name, in brackets, may hold anything; user and system time are the 12th and 13th field behind it.
        let (_, behind_name) = stat.rsplit_once(')')?;
        let mut times = behind_name.split_whitespace().skip(11).map(|ticks| ticks.parse::<u64>().ok());
        let ticks = times.next()?? + times.next()??;
        Some(Self { peak_bytes: peak * 1024, processor: Duration::from_millis(ticks * 10) })
    }
}

/// One event on its way to the function.
#[derive(Debug)]
struct Invocation {
    id: String,
    payload: Value,
}

/// Gives the function what becomes of an event.
type Answer = oneshot::Sender<Result<Value, Value>>;

#[derive(Debug)]
struct RuntimeApi {
    function: String,
    next: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    pending: Mutex<HashMap<String, Answer>>,
    init_error: Mutex<Option<Value>>,
}

fn router(api: Arc<RuntimeApi>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(respond))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(fail))
        .route("/2018-06-01/runtime/init/error", post(fail_init))
        .layer(DefaultBodyLimit::max(ANSWER_BYTES_MAX))
        .with_state(api)
}

/// The next event, once there is one.
async fn next(State(api): State<Arc<RuntimeApi>>) -> Response {
    let Some(Invocation { id, payload }) = api.next.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + INVOKE_MAX;
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            format!("arn:aws:lambda:us-east-1:123456789012:function:{}", api.function),
        ),
        ("lambda-runtime-trace-id", "Root=1-6786f2a8-1c2d3e4f5a6b7c8d9e0f1a2b;Sampled=0".to_owned()),
    ];
    (headers, payload.to_string()).into_response()
}

async fn respond(
    State(api): State<Arc<RuntimeApi>>,
    UrlPath(id): UrlPath<String>,
    body: Bytes,
) -> StatusCode {
    api.answer(&id, Ok(body))
}

async fn fail(State(api): State<Arc<RuntimeApi>>, UrlPath(id): UrlPath<String>, body: Bytes) -> StatusCode {
    api.answer(&id, Err(body))
}

async fn fail_init(State(api): State<Arc<RuntimeApi>>, body: Bytes) -> StatusCode {
    *lock(&api.init_error) = Some(parsed(&body));
    StatusCode::ACCEPTED
}

impl RuntimeApi {
    fn answer(&self, id: &str, body: Result<Bytes, Bytes>) -> StatusCode {
        let Some(answer) = lock(&self.pending).remove(id) else { return StatusCode::NOT_FOUND };
        // Fails only if nobody waits any more.
        let _ = answer.send(body.map(|body| parsed(&body)).map_err(|body| parsed(&body)));
        StatusCode::ACCEPTED
    }
}

/// A body as JSON; one that is none, as text.
fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

fn command(binary: &Path, name: &str, runtime_api: SocketAddr) -> Command {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs([
            ("AWS_LAMBDA_FUNCTION_NAME", name),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "functions"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", name),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ])
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Copies what a process writes into its log, until it ends.
fn collect(output: Option<impl Read + Send + 'static>, log: &Arc<Mutex<String>>) {
    let Some(mut output) = output else { return };
    let log = log.clone();
    thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut part) {
            lock(&log).push_str(&String::from_utf8_lossy(part.get(..count).unwrap_or_default()));
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_takes_is_read_off_proc() {
        let status = "Name:\tapi\nVmPeak:\t  999999 kB\nVmHWM:\t   20480 kB\nVmRSS:\t    1024 kB\n";
        let stat = "77 (a (strange) name) S 1 77 77 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 3 0 8 9 10";
        let read = Resources::read(status, stat).unwrap();
        let expected = Resources { peak_bytes: 20 << 20, processor: Duration::from_millis(420) };
        assert_eq!(read, expected);
        assert_eq!(Resources::read("", stat), None);
        assert_eq!(Resources::read(status, "77 (api) S"), None);
    }
}
