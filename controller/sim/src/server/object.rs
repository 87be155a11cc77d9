//! Objects as the model keeps them, and what has become of them.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use primetime_core::Instant;
use serde_json::Value;

use crate::server::kinds::Kind;

/// Kind, namespace, name.
pub type Key = (Kind, String, String);

/// A state of an object. All answers that send it share its text.
#[derive(Debug, Default)]
pub struct Object {
    pub(super) value: Value,
    text: OnceLock<String>,
}

impl Object {
    /// The object as JSON.
    pub fn text(&self) -> &str {
        self.text.get_or_init(|| self.value.to_string())
    }
}

impl From<Value> for Object {
    fn from(value: Value) -> Self {
        Self { value, text: OnceLock::new() }
    }
}

impl Deref for Object {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// What happened to an object, as a watch tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The resourceVersion of this event.
    pub version: u64,
    /// `ADDED`, `MODIFIED`, `DELETED`.
    pub what: &'static str,
    /// Which object.
    pub key: Key,
    /// The object after it, or its last state.
    pub object: Arc<Object>,
    /// When.
    pub at: Instant,
    /// The operator that did it; none if it was a person or a controller.
    pub by: Option<usize>,
}
