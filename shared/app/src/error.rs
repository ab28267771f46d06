//! What a use case says when it does not do what it was asked: what the caller can do about it.

use std::fmt;

use auth::MissingScope;
use domain::{quantity::QuantityOverflow, user::Scope};
use store::StoreError;

use crate::port::PortError;

/// Why a use case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Fields of the request are not acceptable. Correct them.
    #[error("{}", summary(.0))]
    Invalid(Vec<FieldError>),
    /// There is no such thing in this organization.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The state of things does not allow it, or a unique value is taken.
    #[error("{detail}")]
    Conflict {
        /// For programs.
        code: &'static str,
        /// For people.
        detail: String,
        /// The field whose value is taken, if it is about one.
        field: Option<&'static str>,
    },
    /// No valid credential.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The credential does not allow it.
    #[error("the API key lacks a scope")]
    Forbidden(Scope),
    /// Repeat it unchanged, later.
    #[error("try again shortly")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A defect of ours, or damage.
    #[error("something went wrong on our side")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A field of a request that is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where it is: `tiers[0].up_to`.
    pub field: String,
    /// For programs: `required`, `unknown`, `invalid`.
    pub code: &'static str,
    /// What is wrong with it: `must be greater than 0`.
    pub detail: String,
}

impl FieldError {
    /// That `field` is not acceptable since it `detail`.
    pub fn new(field: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { field: field.into(), code, detail: detail.into() }
    }
}

impl AppError {
    /// That one field has a value that is not acceptable.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, "invalid", detail)])
    }

    /// That the state of things does not allow it.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { code, detail: detail.into(), field: None }
    }

    /// That a bill cannot be computed exactly: its usage, or the price, has to be corrected.
    pub fn cannot_be_billed(cause: impl fmt::Display) -> Self {
        Self::conflict(CANNOT_BE_BILLED, cause.to_string())
    }

    /// A defect of ours.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// Whether somebody else changed what was to be changed.
    pub fn is_changed_meanwhile(&self) -> bool {
        matches!(self, Self::Conflict { code, .. } if *code == CHANGED_MEANWHILE)
    }

    /// Whether a bill cannot be computed exactly.
    pub fn is_cannot_be_billed(&self) -> bool {
        matches!(self, Self::Conflict { code, .. } if *code == CANNOT_BE_BILLED)
    }

    /// Whether usage comes to more than can be computed exactly.
    pub(crate) fn is_usage_too_large(&self) -> bool {
        matches!(self, Self::Conflict { code, .. } if *code == USAGE_TOO_LARGE)
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Conflict { code, .. } => *code == CHANGED_MEANWHILE,
            Self::Invalid(_)
            | Self::NotFound(_)
            | Self::Unauthenticated(_)
            | Self::Forbidden(_)
            | Self::Internal(_) => false,
        }
    }
}

const CHANGED_MEANWHILE: &str = "changed_meanwhile";
const CANNOT_BE_BILLED: &str = "cannot_be_billed";
const USAGE_TOO_LARGE: &str = "usage_too_large";

fn summary(fields: &[FieldError]) -> String {
    let fields = fields.iter().map(|error| format!("`{}` {}", error.field, error.detail));
    fields.collect::<Vec<_>>().join("; ")
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(kind) => Self::NotFound(kind),
            StoreError::Taken { field } => Self::Conflict {
                code: "already_exists",
                detail: format!("`{field}` is already taken"),
                field: Some(field),
            },
            StoreError::Conflict => {
                Self::conflict(CHANGED_MEANWHILE, "it was changed meanwhile: read it again, then decide")
            }
            StoreError::Unavailable(_) => Self::Unavailable(Box::new(error)),
            StoreError::Corrupt { .. } => Self::Internal(Box::new(error)),
        }
    }
}

impl From<QuantityOverflow> for AppError {
    fn from(QuantityOverflow: QuantityOverflow) -> Self {
        let detail = "what was used here comes to more than can be told exactly, about 1.7 × 10^26 and 28 digits: \
                      ask over a shorter range, of one customer, or with a filter";
        Self::conflict(USAGE_TOO_LARGE, detail)
    }
}

impl From<PortError> for AppError {
    fn from(error: PortError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl From<MissingScope> for AppError {
    fn from(MissingScope(scope): MissingScope) -> Self {
        Self::Forbidden(scope)
    }
}
