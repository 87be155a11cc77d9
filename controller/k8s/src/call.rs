//! Every call to the API server has an upper bound, and its failure a class.

use std::future::Future;
use std::time::Duration;

/// No call to the API server takes longer.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Another writer has changed the object: plan again, at once.
    #[error("changed by another writer: {0}")]
    Conflict(String),
    /// It is not there.
    #[error("not found: {0}")]
    NotFound(String),
    /// The object, or what a patch tests, is not as it has to be.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The API server refuses; repeating it soon does not help.
    #[error("refused: {0}")]
    Refused(String),
    /// The API server has too much to do (429).
    #[error("the API server pushes back: {0}")]
    PushedBack(String),
    /// It may work later.
    #[error("{0}")]
    Failed(String),
    /// No answer in time: the request may have had its effect.
    #[error("no answer in time")]
    TimedOut,
}

impl CallError {
    /// A short, stable word for metrics.
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

/// Bounds a call.
///
/// # Errors
///
/// See [`CallError`].
pub async fn bounded<T>(
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(result) => result.map_err(CallError::from),
        Err(_) => Err(CallError::TimedOut),
    }
}
