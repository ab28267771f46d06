//! An AWS on a loopback port: moto, from the virtual environment that `make test` makes.

use std::{
    fs::{self, File},
    io,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// SQS, SES, KMS, EventBridge and more, in memory. Gone when it is dropped, and also when the process that
/// started it ends without dropping it.
#[derive(Debug)]
pub struct Moto {
    port: u16,
    child: Child,
}

/// Runs `moto_server` and ends it when its standard input does: the operating system closes that with the
/// process that started it, however that ends.
const MAIN: &str = "\
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(['-p', sys.argv[1]])
";

/// It takes two seconds when nothing else runs.
const START_MAX: Duration = Duration::from_secs(60);

/// Somebody else may take the port that was found free.
const STARTS_MAX: usize = 3;

impl Moto {
    /// One that answers.
    ///
    /// Errors: if there is no virtual environment, or if it does not start.
    pub async fn start() -> io::Result<Self> {
        let mut outcome = Self::try_start().await;
        for _ in 1..STARTS_MAX {
            if !outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
                break;
            }
            outcome = Self::try_start().await;
        }
        outcome
    }

    async fn try_start() -> io::Result<Self> {
        let python = environment()?.join("bin/python3");
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let log_path = std::env::temp_dir().join(format!("moto-{port}.log"));
        let log = File::create(&log_path)?;
        let child = Command::new(python)
            .args(["-c", MAIN, &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut moto = Self { port, child };
        let started = moto.wait(&log_path).await;
        // Still open in the child, which goes on writing to it.
        fs::remove_file(&log_path)?;
        started.map(|()| moto)
    }

    async fn wait(&mut self, log: &PathBuf) -> io::Result<()> {
        let since = Instant::now();
        while self.get("/moto-api/").await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(log).unwrap_or_default();
                let is_taken = log.contains("Address already in use");
                let kind = if is_taken { io::ErrorKind::AddrInUse } else { io::ErrorKind::Other };
                return Err(io::Error::new(kind, format!("moto ended with {status}: {log}")));
            }
            if since.elapsed() > START_MAX {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "moto does not answer"));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The configuration of clients of it.
    pub fn config(&self) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "moto");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(self.endpoint())
            .build()
    }

    /// What it answers to a GET of `path`, such as `/moto-api/data.json`, which holds everything it was sent.
    ///
    /// Errors: if it does not answer, or not with a 200.
    pub async fn get(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split_whitespace().nth(1);
        if status == Some("200") {
            Ok(body.to_owned())
        } else {
            Err(io::Error::other(format!("{path} answers {}", status.unwrap_or("nothing"))))
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The virtual environment at the root of the workspace.
fn environment() -> io::Result<PathBuf> {
    let environment = crate::workspace_root().join(".venv");
    if environment.join("bin/moto_server").exists() {
        return Ok(environment);
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        "moto is not installed: run `make test` once, it makes .venv",
    ))
}
