//! Objects in the store, and events about changes of objects.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use primetime_core::Instant;
use serde_json::Value;

use crate::server::kinds::Kind;

/// Key of an object: kind, namespace and name.
pub type Key = (Kind, String, String);

/// A version of an object. All answers that contain the version share the serialized text.
#[derive(Debug, Default)]
pub struct Object {
    pub(super) value: Value,
    text: OnceLock<String>,
}

impl Object {
    /// Returns the object as JSON text.
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

/// A change of an object, as a watch reports the change.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `resourceVersion` of the event.
    pub version: u64,
    /// Type of the event: `ADDED`, `MODIFIED` or `DELETED`.
    pub what: &'static str,
    /// Key of the object.
    pub key: Key,
    /// The object after the change, or the last state of a deleted object.
    pub object: Arc<Object>,
    /// Time of the change.
    pub at: Instant,
    /// Index of the operator that made the change. The value is `None` for a person or a
    /// controller.
    pub by: Option<usize>,
}
