//! A surge as a person wrote it, read as strictly as the API server reads it.

use primetime_api::{ScheduledSurge, validate};
use primetime_core::world::SurgeSpec;
use serde_json::{Value, json};

/// Field paths of `written` that `read` does not know.
fn unknown_fields(written: &Value, read: &Value, path: &str, unknown: &mut Vec<String>) {
    match (written, read) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a.iter().filter(|(_, value)| !value.is_null()) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match b.get(name) {
                    Some(there) => unknown_fields(value, there, &path, unknown),
                    None if *value == json!([]) || *value == json!({}) => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (n, (value, there)) in a.iter().zip(b).enumerate() {
                unknown_fields(value, there, &format!("{path}[{n}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Reads a surge as strictly as the API server does.
///
/// # Errors
///
/// Every reason why it would be refused.
pub fn read(object: &Value) -> Result<(ScheduledSurge, SurgeSpec), Vec<String>> {
    let surge: ScheduledSurge =
        serde_json::from_value(object.clone()).map_err(|e| vec![e.to_string()])?;
    let mut unknown = Vec::new();
    let known = serde_json::to_value(&surge).map_err(|e| vec![e.to_string()])?;
    unknown_fields(
        object.get("spec").unwrap_or(&Value::Null),
        known.get("spec").unwrap_or(&Value::Null),
        "spec",
        &mut unknown,
    );
    if !unknown.is_empty() {
        return Err(unknown.into_iter().map(|path| format!("{path}: unknown field")).collect());
    }
    let spec = validate::surge(&surge.spec)?;
    Ok((surge, spec))
}
