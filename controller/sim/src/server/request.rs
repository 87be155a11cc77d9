//! A parsed request, and the body of its answer.

use http::Method;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Bytes;
use serde_json::Value;

use crate::server::path::{Place, parameter};

/// Body of an answer: a complete text, or the stream of a watch.
pub(super) type Answer = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// Content type of a server-side apply. An apply creates a missing object.
pub(super) const APPLY: &str = "application/apply-patch+yaml";

/// A parsed request.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) content_type: String,
    pub(super) body: Value,
    /// Index of the requesting operator. The value is `None` for a person or a controller, to whom
    /// the roles do not apply.
    pub(super) by: Option<usize>,
}

impl Asked {
    pub(super) fn watches(&self) -> bool {
        parameter(&self.query, "watch").as_deref() == Some("true")
    }

    pub(super) fn verb(&self, place: &Place) -> &'static str {
        match self.method {
            Method::GET if self.watches() => "watch",
            Method::GET if place.name.is_none() => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "get",
        }
    }
}
