//! Reasons for which the API server refuses a request.

/// Reason for which the model refuses a request, with the HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 404: the model does not serve the path.
    #[error("404 page not found")]
    Nowhere,
    /// 404: the object does not exist.
    #[error("{0} not found")]
    NotFound(String),
    /// 409 for a creation: an object with the same name exists.
    #[error("{0} already exists")]
    AlreadyExists(String),
    /// 409 for a change or a deletion: the `resourceVersion` or `uid` differs.
    #[error("the object has been modified; please apply your changes to the latest version: {0}")]
    Conflict(String),
    /// 403: the chart's roles do not allow the request.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// 429: a disruption budget does not allow the eviction.
    #[error("not now: {0}")]
    TooMany(String),
    /// 422: the object violates the schema or a CEL rule, or a patch does not apply.
    #[error("invalid: {0}")]
    Invalid(String),
    /// 415: the model does not implement the request.
    #[error("the model does not serve this: {0}")]
    Unserved(String),
}

impl Refusal {
    /// Returns the HTTP status and the `reason` of the `Status` object.
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
