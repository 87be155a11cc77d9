//! A request, read, and the body of its answer.

use http::Method;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Bytes;
use serde_json::Value;

use crate::server::path::{Place, parameter};

/// The body of an answer: whole, or a watch that goes on.
pub(super) type Answer = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// An apply creates what is not there.
pub(super) const APPLY: &str = "application/apply-patch+yaml";

/// What a request asks for, read.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) content_type: String,
    pub(super) body: Value,
    /// The operator that asks; none for a person or a controller, who may do everything.
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
