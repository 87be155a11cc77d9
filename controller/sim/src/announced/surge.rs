//! A surge as a person wrote it, read as strictly as the API server reads it.

use primetime_api::{ScheduledSurge, Target, validate};
use primetime_core::world::SurgeSpec;
use serde::Serialize;
use serde::de::DeserializeOwned;
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

/// The longest event, and the most replicas, that the API server lets through.
const LONGEST: i32 = 604_800;
const MOST: u32 = 10_000;

/// Reads an object of ours: fields that it does not have are refused, and defaults are filled in.
///
/// # Errors
///
/// Every reason why it would be refused.
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
    let read: T = serde_json::from_value(object.clone()).map_err(|e| said(e.to_string()))?;
    let known = serde_json::to_value(&read).map_err(|e| said(e.to_string()))?;
    let (mut unknown, none) = (Vec::new(), Value::Null);
    let spec = |of: &'_ Value| of.get("spec").unwrap_or(&none).clone();
    unknown_fields(&spec(object), &spec(&known), "spec", &mut unknown);
    if unknown.is_empty() {
        return Ok((read, known));
    }
    Err(unknown.into_iter().map(|path| format!("{what}: {path}: unknown field")).collect())
}

/// Reads a surge as strictly as the API server does.
///
/// # Errors
///
/// Every reason why it would be refused.
pub fn read(object: &Value) -> Result<(ScheduledSurge, SurgeSpec), Vec<String>> {
    let (surge, _) = strict::<ScheduledSurge>(object)?;
    let mut errors = Vec::new();
    if surge.spec.schedule.duration_seconds > LONGEST {
        errors.push(format!("spec.schedule.durationSeconds: at most {LONGEST}"));
    }
    let counts = |t: &Target| t.replicas.max(t.max_replicas).unwrap_or_default();
    for target in &surge.spec.targets {
        let asks = u32::try_from(counts(target)).unwrap_or_default();
        if asks > MOST {
            errors.push(format!("target {}: {asks} replicas; at most {MOST}", target.name));
        }
    }
    let spec = validate::surge(&surge.spec);
    match spec {
        Ok(spec) if errors.is_empty() => Ok((surge, spec)),
        Ok(_) => Err(errors),
        Err(more) => Err(errors.into_iter().chain(more).collect()),
    }
}
