//! Merge patches of Primetime's own objects. A patch contains only the changed parts of a field.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::call::CallError;

/// Returns the merge patch that turns `before` into `after`, or `None` if the values are equal.
/// `null` removes a field, and the patch replaces a changed list as a whole.
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
