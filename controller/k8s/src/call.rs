//! Timeout and error classes for calls to the API server.

use std::future::Future;
use std::time::Duration;

/// Maximum duration of a call to the API server.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Cause of a failed call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// HTTP 409: another writer has changed the object. The planner plans again at once.
    #[error("changed by another writer: {0}")]
    Conflict(String),
    /// HTTP 404: the object does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// HTTP 422: the object is invalid, or a `test` operation of a JSON patch failed.
    #[error("invalid: {0}")]
    Invalid(String),
    /// HTTP 400, 401, 403 or 405: the API server refuses the request. An early retry does not help.
    #[error("refused: {0}")]
    Refused(String),
    /// HTTP 429: the API server is overloaded.
    #[error("the API server pushes back: {0}")]
    PushedBack(String),
    /// Any other error, for example of the network. A later retry may succeed.
    #[error("{0}")]
    Failed(String),
    /// Timeout: the API server did not answer within [`TIMEOUT`] and may have executed the request.
    #[error("no answer in time")]
    TimedOut,
}

impl CallError {
    /// Returns a short, stable word for a metric label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::NotFound(_) => "not_found",
            Self::Invalid(_) => "invalid",
            Self::Refused(_) => "refused",
            Self::PushedBack(_) => "pushed_back",
            Self::Failed(_) => "failed",
            Self::TimedOut => "timeout",
        }
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else {
            return Self::Failed(error.to_string());
        };
        let said = status.message.clone();
        match status.code {
            409 => Self::Conflict(said),
            404 => Self::NotFound(said),
            422 => Self::Invalid(said),
            429 => Self::PushedBack(said),
            400 | 401 | 403 | 405 => Self::Refused(said),
            _ => Self::Failed(said),
        }
    }
}

/// Limits a call to [`TIMEOUT`] and classifies the error.
///
/// # Errors
///
/// [`CallError::TimedOut`] if the API server does not answer in time. Any other [`CallError`]
/// according to the HTTP status.
pub async fn bounded<T>(
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(result) => result.map_err(CallError::from),
        Err(_) => Err(CallError::TimedOut),
    }
}
