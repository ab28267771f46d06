//! The `/local` routes, which drive this platform and are in no Lambda.

use std::sync::Arc;

use app::port::Clock;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wire::{Problem, TimeIn, TimeOut};

use crate::{
    clock::LocalClock,
    mailer::{OutboxFolder, SentMail},
    queue::{LocalQueue, QueueState, queue_name},
    queue_file::DeadLetter,
    scheduler::{Scheduler, SchedulerError},
};

/// What the routes work with.
pub(crate) struct Local {
    pub(crate) clock: Arc<LocalClock>,
    pub(crate) queue: LocalQueue,
    pub(crate) mailer: OutboxFolder,
    pub(crate) scheduler: Scheduler,
}

/// The routes.
pub(crate) fn router(local: Arc<Local>) -> Router {
    Router::new()
        .route("/local/clock", get(get_clock).post(move_clock))
        .route("/local/drain", post(drain))
        .route("/local/outbox", get(list_mails))
        .route("/local/queues", get(list_queues))
        .with_state(local)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveClock {
    advance_to: TimeIn,
}

async fn get_clock(State(local): State<Arc<Local>>) -> Json<Value> {
    let now = TimeOut(local.clock.now()).text();
    Json(json!({ "now": now, "movable": local.clock.is_movable() }))
}

async fn move_clock(State(local): State<Arc<Local>>, body: Bytes) -> Result<Json<Value>, Problem> {
    let MoveClock { advance_to: TimeIn(to) } = wire::parse(&body)?;
    match local.scheduler.advance(to).await {
        Ok(()) => Ok(get_clock(State(local)).await),
        Err(error) => Err(problem(&local, error).await),
    }
}

async fn drain(State(local): State<Arc<Local>>) -> Result<Json<Value>, Problem> {
    match local.scheduler.drain().await {
        Ok(()) => list_queues(State(local)).await,
        Err(error) => Err(problem(&local, error).await),
    }
}

async fn list_mails(State(local): State<Arc<Local>>) -> Result<Json<Vec<SentMail>>, Problem> {
    local.mailer.list().await.map(Json).map_err(|error| unavailable(&error))
}

async fn list_queues(State(local): State<Arc<Local>>) -> Result<Json<Value>, Problem> {
    let state = local.queue.state().await.map_err(|error| unavailable(&error))?;
    let queues = state.iter().map(|state| (queue_name(state.queue).to_owned(), queue_body(state)));
    Ok(Json(queues.collect::<Map<_, _>>().into()))
}

fn queue_body(state: &QueueState) -> Value {
    json!({
        "waiting": state.counts.waiting,
        "delayed": state.counts.delayed,
        "in_flight": state.counts.in_flight,
        "dead": state.counts.dead,
        "dead_letters": state.dead_letters.iter().map(dead_letter_body).collect::<Vec<_>>(),
    })
}

fn dead_letter_body(letter: &DeadLetter) -> Value {
    let at = DateTime::from_timestamp_millis(letter.at_ms).map(|at| TimeOut(at).text());
    json!({ "reason": letter.reason, "receives": letter.receives, "at": at, "body": letter.body })
}

async fn problem(local: &Local, error: SchedulerError) -> Problem {
    match error {
        SchedulerError::NotMovable => {
            Problem::new(StatusCode::CONFLICT, "clock_not_movable", error.to_string())
        }
        SchedulerError::Backwards(_) => {
            Problem::new(StatusCode::CONFLICT, "clock_backwards", error.to_string())
        }
        SchedulerError::NotEmpty => match local.queue.state().await {
            Ok(state) => {
                let depths = state.iter().map(depth_text).collect::<Vec<_>>().join("; ");
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "queues_not_empty",
                    format!("{error}: {depths}"),
                )
            }
            Err(error) => unavailable(&error),
        },
        SchedulerError::Clock(_)
        | SchedulerError::Queue(_)
        | SchedulerError::Store(_)
        | SchedulerError::Stopping
        | SchedulerError::Interrupted(_) => unavailable(&error),
    }
}

fn depth_text(state: &QueueState) -> String {
    let (name, counts) = (queue_name(state.queue), state.counts);
    format!(
        "{name} has {} waiting, {} delayed, {} in flight",
        counts.waiting, counts.delayed, counts.in_flight
    )
}

fn unavailable(error: &impl std::error::Error) -> Problem {
    tracing::error!(cause = ?error, "{error}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
}
