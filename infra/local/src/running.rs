//! Starting the platform, and stopping it.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use app::{Platform, Settings};
use axum::{Router, extract::Request};
use runtime::SystemRandom;
use store::{Store, StoreError};
use testkit::EmbeddedDynamo;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tower::ServiceExt;
use tracing_subscriber::EnvFilter;

use crate::{
    bus::EventLog,
    clock::LocalClock,
    keys::FileKeys,
    mailer::OutboxFolder,
    options::Options,
    queue::{LocalQueue, QueueError},
    routes::{self, Local},
    scheduler::Scheduler,
    slashes,
    stop::Stop,
    worker::Worker,
};

/// How long requests and batches at hand may take when the platform is stopped. What is not done by then is
/// done after the next start.
const STOP_MAX: Duration = Duration::from_secs(5);
/// What is logged unless `RUST_LOG` says otherwise: what we say, and what worries others. To the embedded
/// DynamoDB every condition that fails is a worry, and to us a normal outcome.
const LOGGED: &str = "warn,dynoxide=error,fluxrate_local=info,api=info,app=info,auth=info,aws=info,\
    close_periods=info,document=info,domain=info,finalize_invoices=info,ingest_usage=info,runtime=info,\
    send_email=info,store=info,track_usage=info,web=info,wire=info";

/// Why the platform does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, the folder or the port.
    #[error("{what}: {cause}")]
    Io {
        /// What of it.
        what: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another process works in the data folder.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The queue file.
    #[error("the queue file: {0:?}")]
    Queue(#[from] QueueError),
    /// The tables.
    #[error("the tables: {0:?}")]
    Store(#[from] StoreError),
}

/// The platform, at work. Dropping it ends it where it stands, like a kill: nothing is lost.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it runs on.
    pub platform: Arc<Platform>,
    /// What moves its clock and waits for its queues.
    pub scheduler: Scheduler,
    request_stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    _dynamo: EmbeddedDynamo,
    _lock: File,
}

/// Starts the platform. It answers requests once this returns.
pub async fn start(options: Options) -> Result<Running, Error> {
    let (data, lock) = open_folder(&options.data)?;
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await;
    let listener = listener.map_err(io_failed(format!("port {}", options.port)))?;
    let address = listener.local_addr().map_err(io_failed("the port"))?;

    let dynamo = match options.is_in_memory {
        true => EmbeddedDynamo::in_memory().await,
        false => EmbeddedDynamo::on_file(&data.join("dynamodb.db")).await,
    };
    let dynamo = dynamo.map_err(io_failed("dynamodb.db"))?;
    let store = Store::new(dynamo.client(), "core", "usage");
    store.create_tables().await?;
    let clock = Arc::new(match options.clock {
        Some(start) => LocalClock::movable(&data.join("clock"), start).map_err(io_failed("clock"))?,
        None => LocalClock::real(),
    });
    let queue = LocalQueue::open(&data.join("queue.db"))?;
    let mailer = OutboxFolder::open(&data.join("outbox")).map_err(io_failed("outbox"))?;
    let bus = EventLog::open(&data.join("events.jsonl")).map_err(io_failed("events.jsonl"))?;
    let keys = FileKeys::open(&data.join("master.key")).map_err(io_failed("master.key"))?;
    let settings =
        Settings { public_url: format!("http://{address}"), email_from: "billing@fluxrate.local".to_owned() };
    let platform = Arc::new(Platform::new(
        store,
        (clock.clone(), Arc::new(SystemRandom)),
        (Arc::new(queue.clone()), Arc::new(mailer.clone()), Arc::new(bus)),
        Arc::new(keys),
        settings,
    ));

    let (request_stop, stop) = Stop::new();
    let mut tasks = Vec::new();
    for worker in Worker::all(&platform, &queue) {
        tasks.push(tokio::spawn(worker.run(stop.clone())));
    }
    let scheduler = Scheduler::new(platform.clone(), clock.clone(), queue.clone(), stop.clone());
    tasks.push(tokio::spawn(scheduler.clone().run()));
    let local = routes::router(Arc::new(Local { clock, queue, mailer, scheduler: scheduler.clone() }));
    let router = api::router(platform.clone())
        .merge(web::router(platform.clone()))
        .merge(track_usage::router(platform.clone()))
        .merge(local);
    tasks.push(tokio::spawn(serve(listener, router, stop)));
    tracing::info!(
        "it is at http://{address}, the API reference at http://{address}/docs, and everything is kept in {}",
        data.display()
    );
    Ok(Running { address, platform, scheduler, request_stop, tasks, _dynamo: dynamo, _lock: lock })
}

impl Running {
    /// Stops: no new requests and batches, and a few seconds for those at hand.
    pub async fn stop(mut self) {
        self.request_stop.send_replace(true);
        let all = futures::future::join_all(self.tasks.iter_mut());
        if timeout(STOP_MAX, all).await.is_err() {
            tracing::warn!("something is still at work: it is done after the next start");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Makes the data folder, for its owner only, and takes it for this process. The system gives it back when
/// the process ends, however that may be.
fn open_folder(data: &Path) -> Result<(PathBuf, File), Error> {
    let failed = || io_failed(data.display().to_string());
    DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed())?;
    let data = data.canonicalize().map_err(failed())?;
    let lock = File::create(data.join("lock")).map_err(failed())?;
    match lock.try_lock() {
        Ok(()) => Ok((data, lock)),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(data)),
        Err(TryLockError::Error(cause)) => Err(io_failed("lock")(cause)),
    }
}

fn io_failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |cause| Error::Io { what, cause }
}

async fn serve(listener: TcpListener, router: Router, stop: Stop) {
    let service = router.map_request(slashes::collapsed);
    let service = axum::ServiceExt::<Request>::into_make_service(service);
    if let Err(error) =
        axum::serve(listener, service).with_graceful_shutdown(async move { stop.requested().await }).await
    {
        tracing::error!(%error, "the port is served no more");
    }
}

/// Logs to standard error. `RUST_LOG` says what.
pub fn init_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // Fails only if it was called before, which is as good.
    let _ = logging.try_init();
}

/// What is ready once the process is asked to end: by Ctrl-C or by SIGTERM. Listens from now on.
///
/// Errors: if signals cannot be listened to.
pub fn stop_signal() -> Result<impl Future<Output = ()>, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(io_failed("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io_failed("signals"))?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
