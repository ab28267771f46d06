//! The platform is started, driven through its port, stopped and started again.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
};

use chrono::{DateTime, Utc};
use fluxrate_local::{Error, Options, Running, start};
use serde_json::{Value, json};

/// What the platform answers: the status, and the body if it is JSON.
async fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = tokio::task::spawn_blocking(exchange).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

async fn start_in(data: &Path, clock: Option<&str>) -> Running {
    let clock = clock.map(|text| text.parse::<DateTime<Utc>>().unwrap());
    start(Options::for_test(data, clock)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_movable_clock_moves_forwards_only_and_survives() {
    let data = tempfile::tempdir().unwrap();
    let running = start_in(data.path(), Some("2025-01-01T00:00:00Z")).await;
    let clock = |now: &str| (200, json!({ "now": now, "movable": true }));
    let at = running.address;
    assert_eq!(call(at, "GET", "/local/clock", "").await, clock("2025-01-01T00:00:00Z"));
    let to = r#"{"advance_to": "2025-02-10T12:00:00+01:00"}"#;
    assert_eq!(call(at, "POST", "/local/clock", to).await, clock("2025-02-10T11:00:00Z"));
    assert_eq!(call(at, "POST", "/local/clock", to).await, clock("2025-02-10T11:00:00Z"));

    let check = async |body: &str, status: u16, field: Option<&str>| {
        let (got, problem) = call(at, "POST", "/local/clock", body).await;
        assert_eq!((got, problem["errors"][0]["field"].as_str()), (status, field), "{body}: {problem}");
    };
    check(r#"{"advance_to": "2025-02-10T10:59:59Z"}"#, 409, None).await;
    check("", 400, None).await;
    check(r#"{"advance_to": "#, 400, None).await;
    check("{}", 422, Some("advance_to")).await;
    check(r#"{"advance_to": "noon"}"#, 422, Some("advance_to")).await;
    check(r#"{"advance_to": 1}"#, 422, Some("advance_to")).await;

    running.stop().await;
    let running = start_in(data.path(), Some("2025-01-01T00:00:00Z")).await;
    assert_eq!(call(running.address, "GET", "/local/clock", "").await, clock("2025-02-10T11:00:00Z"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_serves_everything_and_tolerates_doubled_slashes() {
    let data = tempfile::tempdir().unwrap();
    let running = start_in(data.path(), None).await;
    let at = running.address;
    for path in ["/health", "//health", "//health?a=//b"] {
        assert_eq!(call(at, "GET", path, "").await, (200, json!({ "status": "ok" })), "{path}");
    }
    let (status, clock) = call(at, "GET", "/local/clock", "").await;
    assert_eq!((status, &clock["movable"]), (200, &json!(false)));
    let (status, _) = call(at, "POST", "/local/clock", r#"{"advance_to": "2099-01-01T00:00:00Z"}"#).await;
    assert_eq!(status, 409);

    let empty = json!({ "waiting": 0, "delayed": 0, "in_flight": 0, "dead": 0, "dead_letters": [] });
    let queues = json!({ "usage": empty, "periods": empty, "outbox": empty });
    assert_eq!(call(at, "POST", "/local/drain", "").await, (200, queues.clone()));
    assert_eq!(call(at, "GET", "/local/queues", "").await, (200, queues));
    assert_eq!(call(at, "GET", "/local/outbox", "").await, (200, json!([])));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_belongs_to_one_process_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    let running = start_in(data.path(), None).await;
    let second = start(Options::for_test(data.path(), None)).await;
    assert!(matches!(second, Err(Error::InUse(_))));
    drop(running);
    start_in(data.path(), None).await.stop().await;
}
