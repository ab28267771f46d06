//! What can go wrong in the store, told by what the caller can do about it.

use aws_sdk_dynamodb::error::SdkError;

/// Why a store operation did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing in this organization.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A value that must be unique is taken.
    #[error("`{field}` is already taken")]
    Taken {
        /// The field that must be unique, as the wire calls it.
        field: &'static str,
    },
    /// Somebody else changed it meanwhile. Read it again and decide again.
    #[error("it was changed meanwhile")]
    Conflict,
    /// Throttled, out of reach or timed out. Repeat it unchanged.
    #[error("the store did not answer: {0}")]
    Unavailable(String),
    /// What is stored makes no sense. A defect or damage; repeating does not help.
    #[error("a stored {kind} is damaged: {reason}")]
    Corrupt {
        /// The type of the item.
        kind: &'static str,
        /// What is wrong with it. Names attributes, never their values.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Conflict | Self::Unavailable(_) => true,
            Self::NotFound(_) | Self::Taken { .. } | Self::Corrupt { .. } => false,
        }
    }
}

/// What was read, or `None` if there is no such thing.
///
/// Errors: all others.
pub fn if_there<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Any failure of a call that has no outcome of its own to tell apart.
pub(crate) fn unavailable<E, R>(error: SdkError<E, R>) -> StoreError
where
    E: std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let cause = match &error {
        SdkError::ServiceError(service) => service.err().to_string(),
        other => other.to_string(),
    };
    StoreError::Unavailable(cause)
}
