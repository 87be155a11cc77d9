//! Why the API server refuses a request.

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 404, of a path that is not served at all.
    #[error("404 page not found")]
    Nowhere,
    /// 404.
    #[error("{0} not found")]
    NotFound(String),
    /// 409, at creation.
    #[error("{0} already exists")]
    AlreadyExists(String),
    /// 409, at a change.
    #[error("the object has been modified; please apply your changes to the latest version: {0}")]
    Conflict(String),
    /// 403.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// 429.
    #[error("not now: {0}")]
    TooMany(String),
    /// 422.
    #[error("invalid: {0}")]
    Invalid(String),
    /// 415: the model does not do this.
    #[error("the model does not serve this: {0}")]
    Unserved(String),
}

impl Refusal {
    /// The HTTP status and the API's word for it.
    #[must_use]
    pub fn code(&self) -> (u16, &'static str) {
        match self {
            Self::NotFound(_) | Self::Nowhere => (404, "NotFound"),
            Self::AlreadyExists(_) => (409, "AlreadyExists"),
            Self::Conflict(_) => (409, "Conflict"),
            Self::Forbidden(_) => (403, "Forbidden"),
            Self::TooMany(_) => (429, "TooManyRequests"),
            Self::Invalid(_) => (422, "Invalid"),
            Self::Unserved(_) => (415, "UnsupportedMediaType"),
        }
    }
}
