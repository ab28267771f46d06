//! Many events in one request: a verdict for each, so that one that is wrong keeps none of the others out.

use app::{
    AppError,
    event_key::key_of_request,
    track_usage::{Accepted, Usage},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{json, problem::Problem, usage::UsageBody};

/// Events as API clients tell of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageBatchBody {
    /// 1 to 1,000 events.
    #[schema(value_type = Vec<UsageBody>)]
    events: Vec<Box<RawValue>>,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageBatchAnswerBody {
    /// How many events were accepted.
    pub accepted: usize,
    /// How many were not.
    pub rejected: usize,
    /// One verdict per event, in order.
    pub results: Vec<VerdictBody>,
}

/// What became of one event of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictBody {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Whether it was accepted.
    pub status: VerdictName,
    /// Its id, if it was accepted: the same for every repeat.
    pub id: Option<String>,
    /// Its key, if it was accepted.
    pub idempotency_key: Option<String>,
    /// Why it was not accepted.
    pub error: Option<Problem>,
}

/// Whether an event was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictName {
    /// It will be counted.
    Accepted,
    /// It cannot be counted: correct it.
    Rejected,
    /// It could not be taken now: send it again.
    Unavailable,
}

/// The most events of one batch.
pub const BATCH_EVENTS_MAX: usize = 1000;

/// What each event of a batch says, or why it says nothing.
pub type Told = Vec<Result<Usage, Problem>>;

impl UsageBatchBody {
    /// What was told, event by event. An event without a key gets one by its index if the request has a key.
    ///
    /// Errors: if there are none, or too many.
    pub fn into_domain(self, request: Option<&str>) -> Result<Told, AppError> {
        check_count("events", self.events.len())?;
        let read = |(index, event): (usize, Box<RawValue>)| {
            let body = json::parse::<UsageBody>(event.get().as_bytes())?;
            Ok(body.into_domain(request.map(|request| key_of_request(request, index)))?)
        };
        Ok(self.events.into_iter().enumerate().map(read).collect())
    }
}

/// Checks that a batch has a size that is served.
pub(crate) fn check_count(field: &str, count: usize) -> Result<(), AppError> {
    match count {
        0 => Err(AppError::invalid(field, "must have at least one event")),
        1..=BATCH_EVENTS_MAX => Ok(()),
        _ => Err(AppError::invalid(field, "must have at most 1000 events")),
    }
}

impl UsageBatchAnswerBody {
    /// The answer to a batch: `accepted` has one verdict for each event of `told` that says something.
    pub fn new(
        told: Vec<Result<(), Problem>>,
        accepted: impl IntoIterator<Item = Result<Accepted, AppError>>,
    ) -> Self {
        let mut accepted = accepted.into_iter();
        let mut verdict = |(index, told): (usize, Result<(), Problem>)| {
            let missing = || Err(AppError::internal("an event was left without a verdict"));
            let outcome = match told {
                Ok(()) => accepted.next().unwrap_or_else(missing).map_err(Problem::from),
                Err(problem) => Err(problem),
            };
            VerdictBody::new(index, outcome)
        };
        let results = told.into_iter().enumerate().map(&mut verdict).collect::<Vec<_>>();
        let count = results.iter().filter(|result| result.status == VerdictName::Accepted).count();
        Self { accepted: count, rejected: results.len() - count, results }
    }

    /// Whether every event was accepted.
    pub fn is_whole(&self) -> bool {
        self.rejected == 0
    }

    /// Whether nothing was accepted that could be at another time.
    pub fn is_unavailable(&self) -> bool {
        self.results.iter().all(|result| result.status == VerdictName::Unavailable)
    }
}

impl VerdictBody {
    fn new(index: usize, outcome: Result<Accepted, Problem>) -> Self {
        match outcome {
            Ok(accepted) => Self {
                index,
                status: VerdictName::Accepted,
                id: Some(accepted.id.to_string()),
                idempotency_key: Some(accepted.tracked.event.key),
                error: None,
            },
            Err(mut problem) => {
                let status =
                    if problem.status >= 500 { VerdictName::Unavailable } else { VerdictName::Rejected };
                for error in &mut problem.errors {
                    error.field = format!("events[{index}].{}", error.field);
                }
                Self { index, status, id: None, idempotency_key: None, error: Some(problem) }
            }
        }
    }
}
