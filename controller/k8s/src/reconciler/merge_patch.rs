//! Merge patches of our own objects: what changed in a field, and nothing else.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::call::CallError;

/// What a merge patch has to say to turn one object into another: null removes a field, lists are replaced whole.
pub(super) fn difference(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return Some(after.clone());
    };
    let mut patch = Map::new();
    for (key, value) in after {
        let change = match before.get(key) {
            Some(old) => difference(old, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    for key in before.keys().filter(|k| !after.contains_key(*k)) {
        patch.insert(key.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

pub(super) fn patch_of<T: Serialize>(
    field: &str,
    before: &T,
    after: &T,
    version: &str,
) -> Result<Value, CallError> {
    let value = |v: &T| serde_json::to_value(v).map_err(|e| CallError::Refused(e.to_string()));
    let change = difference(&value(before)?, &value(after)?).unwrap_or_else(|| json!({}));
    Ok(json!({"metadata": {"resourceVersion": version}, field: change}))
}
