//! A surge as the user wrote the manifest, validated as strictly as the API server validates it.

use primetime_api::{ScheduledSurge, named_surge};
use primetime_core::state::surge::SurgeSpec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::server::kinds::Kind;
use crate::server::schema;

/// Collects the field paths of `written` that are missing in `read`.
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

/// Reads an object of the API group `primetime.dev`. The reader refuses unknown fields, and fills
/// in the defaults of the schema.
///
/// # Errors
///
/// Returns every reason for which the API server would refuse the object. Reasons are a wrong
/// `apiVersion`, a missing name, an unknown field, or a value that violates the schema or a CEL
/// rule.
pub fn strict<T: DeserializeOwned + Serialize>(object: &Value) -> Result<(T, Value), Vec<String>> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let what = format!("{} {}", text("/kind"), text("/metadata/name"));
    let said = |why: String| vec![format!("{what}: {why}")];
    if text("/apiVersion") != "primetime.dev/v1alpha1" {
        return Err(said(format!("apiVersion: \"{}\" is not served", text("/apiVersion"))));
    }
    if text("/metadata/name").is_empty() {
        return Err(said("metadata.name: required".to_owned()));
    }
    let mut whole = object.clone();
    let kind = Kind::of(text("/apiVersion"), text("/kind"));
    let wrong = kind.map(|kind| schema::complete(kind, &mut whole, None)).unwrap_or_default();
    let (mut unknown, none) = (Vec::new(), Value::Null);
    let spec = |of: &'_ Value| of.get("spec").unwrap_or(&none).clone();
    unknown_fields(&spec(object), &spec(&whole), "spec", &mut unknown);
    let unknown = unknown.into_iter().map(|path| format!("{path}: unknown field"));
    let wrong: Vec<_> = unknown.chain(wrong).map(|why| format!("{what}: {why}")).collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let read: T = serde_json::from_value(whole).map_err(|e| said(e.to_string()))?;
    let known = serde_json::to_value(&read).map_err(|e| said(e.to_string()))?;
    Ok((read, known))
}

/// Reads a `ScheduledSurge` as strictly as the API server does.
///
/// # Errors
///
/// Returns every reason for which the API server would refuse the surge.
pub fn read(object: &Value) -> Result<(ScheduledSurge, SurgeSpec), Vec<String>> {
    let (surge, _) = strict::<ScheduledSurge>(object)?;
    let name = surge.metadata.name.as_deref().unwrap_or_default();
    let said = |why: String| format!("ScheduledSurge {name}: {why}");
    let spec = named_surge(&surge);
    let spec = spec.map_err(|wrong| wrong.into_iter().map(said).collect::<Vec<_>>())?;
    Ok((surge, spec))
}
