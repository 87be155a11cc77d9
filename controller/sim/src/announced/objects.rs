//! Accessors for fields of the objects that a user gave.

use serde_json::Value;

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn number(object: &Value, pointer: &str) -> Option<u32> {
    object.pointer(pointer).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok())
}

pub(super) fn is(object: &Value, kind: &str, name: &str) -> bool {
    text(object, "/kind") == kind && text(object, "/metadata/name") == name
}

pub(super) fn scales(object: &Value, workload: &str) -> bool {
    text(object, "/kind") == "HorizontalPodAutoscaler"
        && text(object, "/spec/scaleTargetRef/name") == workload
}
