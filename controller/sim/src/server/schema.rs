//! Validation against the shipped custom resource definitions: pruning, defaults, and errors in the
//! API server's wording.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde_json::{Map, Value};

use crate::server::kinds::Kind;
use crate::server::refusal::Refusal;

/// A custom resource definition with compiled CEL rules.
struct Schema {
    kind: String,
    fields: Value,
    rules: CompiledSchema,
}

thread_local! {
    static SCHEMAS: Vec<Schema> = schemas();
    static VALIDATOR: Validator = Validator::new();
    static PATTERNS: RefCell<BTreeMap<String, Option<regex::Regex>>> = RefCell::default();
}

/// Path of a value within an object. The validator formats the path only for an error.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Field(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, n) => write!(f, "{parent}[{n}]"),
        }
    }
}

fn schemas() -> Vec<Schema> {
    let read = |crd| {
        let crd = serde_json::to_value(crd).ok()?;
        let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema")?.clone();
        let kind = crd.pointer("/spec/names/kind")?.as_str()?.to_owned();
        Some(Schema { kind, rules: compile_schema(&schema), fields: schema })
    };
    primetime_api::crds().into_iter().filter_map(read).collect()
}

/// Removes unknown fields from an object and fills in the defaults of its schema.
///
/// # Errors
///
/// Returns `Invalid` if the object violates the schema. If `spec` has changed, a violation of a CEL
/// rule is an error too.
pub fn admit(kind: Kind, object: &mut Value, before: Option<&Value>) -> Result<(), Refusal> {
    let errors = complete(kind, object, before);
    if errors.is_empty() { Ok(()) } else { Err(Refusal::Invalid(errors.join(", "))) }
}

/// Completes an object as [`admit`] does, and returns each error as a separate text.
pub fn complete(kind: Kind, object: &mut Value, before: Option<&Value>) -> Vec<String> {
    if kind.group != "primetime.dev" {
        return Vec::new();
    }
    SCHEMAS.with(|schemas| {
        let Some(known) = schemas.iter().find(|s| s.kind == kind.kind) else { return Vec::new() };
        let mut errors = Vec::new();
        take_in(&known.fields, object, before, Path::Root, &mut errors);
        let same_spec = before.is_some_and(|b| b.get("spec") == object.get("spec"));
        if !errors.iter().any(|error| blocks_rules(error)) && !same_spec {
            let judged = VALIDATOR.with(|v| v.validate_compiled(&known.rules, object, before));
            for broken in judged.err().into_iter().flat_map(kube_cel::ValidationErrors::into_vec) {
                errors.push(format!("{}: Invalid value: {}", broken.field_path, broken.message));
            }
        }
        errors
    })
}

/// True if an error prevents the evaluation of CEL rules: a missing, too long or wrongly typed
/// value.
///
/// The API server still evaluates the rules after any other error (`hasBlockingErr` in
/// apiextensions-apiserver's `pkg/registry/customresource/strategy.go`).
fn blocks_rules(error: &str) -> bool {
    ["Required value", "Too long", "Too many", "in body must be of type"]
        .iter()
        .any(|kind| error.contains(kind))
}

/// Removes fields that the schema does not contain, and fills in the defaults of missing fields.
fn complete_fields(schema: &Value, fields: &mut Map<String, Value>, root: bool) {
    let Some(known) = schema.get("properties").and_then(Value::as_object) else { return };
    let always = ["apiVersion", "kind", "metadata"];
    let keeps_all = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    fields.retain(|name, value| {
        let Some(schema) = known.get(name) else {
            return keeps_all || (root && always.contains(&name.as_str()));
        };
        // If a field has a default and is not nullable, the API server treats `null` as a missing
        // field.
        let nullable = schema.get("nullable") == Some(&Value::Bool(true));
        nullable || !value.is_null() || schema.get("default").is_none()
    });
    for (name, schema) in known {
        if let Some(default) = schema.get("default").filter(|_| !fields.contains_key(name)) {
            fields.insert(name.clone(), default.clone());
        }
    }
}

/// Completes and checks a value, from the outer to the inner fields. An unchanged value stays as
/// stored, because an earlier request has already validated the value.
fn take_in(
    schema: &Value,
    value: &mut Value,
    before: Option<&Value>,
    path: Path<'_>,
    errors: &mut Vec<String>,
) {
    if before == Some(&*value) {
        return;
    }
    if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
        return;
    }
    let text = |name: &str| schema.get(name).and_then(Value::as_str);
    let fits = match text("type") {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !fits {
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(n) if n.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let must = text("type").unwrap_or_default();
        errors.push(format!(
            "{path}: Invalid value: \"{is}\": {path} in body must be of type {must}: \"{is}\""
        ));
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        errors.push(format!(
            "{path}: Unsupported value: {value}: supported values: {}",
            allowed.join(", ")
        ));
    }
    match value {
        Value::Object(fields) => take_in_fields(schema, fields, before, path, errors),
        Value::Array(items) => take_in_items(schema, items, path, errors),
        Value::String(value) => check_text(schema, value, path, errors),
        Value::Number(_) => check_number(schema, value, path, errors),
        _ => {}
    }
}

fn take_in_fields(
    schema: &Value,
    fields: &mut Map<String, Value>,
    before: Option<&Value>,
    path: Path<'_>,
    errors: &mut Vec<String>,
) {
    complete_fields(schema, fields, matches!(path, Path::Root));
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if !fields.contains_key(name) {
            errors.push(format!("{}: Required value", Path::Field(&path, name)));
        }
    }
    let known = schema.get("properties").and_then(Value::as_object);
    let of_all = schema.get("additionalProperties").filter(|a| a.is_object());
    for (name, value) in fields {
        if let Some(schema) = known.and_then(|k| k.get(name)).or(of_all) {
            let before = before.and_then(|b| b.get(name));
            take_in(schema, value, before, Path::Field(&path, name), errors);
        }
    }
}

fn take_in_items(schema: &Value, items: &mut [Value], path: Path<'_>, errors: &mut Vec<String>) {
    let limit = |name: &str| schema.get(name).and_then(Value::as_u64);
    let count = items.len() as u64;
    if let Some(most) = limit("maxItems").filter(|most| count > *most) {
        errors.push(format!("{path}: Too many: {count}: must have at most {most} items"));
    }
    if let Some(least) = limit("minItems").filter(|least| count < *least) {
        errors.push(format!(
            "{path}: Invalid value: {count}: {path} in body should have at least {least} items"
        ));
    }
    let keys: Vec<&str> = schema
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array)
        .map(|keys| keys.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut seen = BTreeSet::new();
    for (n, item) in items.iter_mut().enumerate() {
        let path = Path::Item(&path, n);
        if !keys.is_empty() {
            let key: Map<String, Value> = keys
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), item.get(key)?.clone())))
                .collect();
            let key = Value::Object(key).to_string();
            if !seen.insert(key.clone()) {
                errors.push(format!("{path}: Duplicate value: {key}"));
            }
        }
        if let Some(schema) = schema.get("items") {
            take_in(schema, item, None, path, errors);
        }
    }
}

fn check_text(schema: &Value, value: &str, path: Path<'_>, errors: &mut Vec<String>) {
    let limit = |name: &str| schema.get(name).and_then(Value::as_u64);
    let length = value.chars().count() as u64;
    if let Some(most) = limit("maxLength").filter(|most| length > *most) {
        errors.push(format!("{path}: Too long: may not be more than {most} bytes"));
    }
    if let Some(least) = limit("minLength").filter(|least| length < *least) {
        errors.push(format!(
            "{path}: Invalid value: {value:?}: {path} in body should be at least {least} chars long"
        ));
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && !matches(pattern, value)
    {
        errors.push(format!(
            "{path}: Invalid value: {value:?}: {path} in body should match '{pattern}'"
        ));
    }
    if schema.get("format").and_then(Value::as_str) == Some("date-time")
        && chrono::DateTime::parse_from_rfc3339(value).is_err()
    {
        errors.push(format!(
            "{path}: Invalid value: {value:?}: {path} in body must be of type date-time: {value:?}"
        ));
    }
}

/// True if the value matches the pattern. An invalid pattern matches no value.
fn matches(pattern: &str, value: &str) -> bool {
    PATTERNS.with_borrow_mut(|patterns| {
        let compiled = patterns
            .entry(pattern.to_owned())
            .or_insert_with_key(|pattern| regex::Regex::new(pattern).ok());
        compiled.as_ref().is_some_and(|pattern| pattern.is_match(value))
    })
}

fn check_number(schema: &Value, value: &Value, path: Path<'_>, errors: &mut Vec<String>) {
    let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
    let Some(number) = value.as_f64() else { return };
    if let Some(least) = limit("minimum").filter(|least| number < *least) {
        errors.push(format!(
            "{path}: Invalid value: {value}: {path} in body should be greater than or equal to {least}"
        ));
    }
    if let Some(most) = limit("maximum").filter(|most| number > *most) {
        errors.push(format!(
            "{path}: Invalid value: {value}: {path} in body should be less than or equal to {most}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn surge(change: impl FnOnce(&mut Value)) -> Result<Value, String> {
        let kind = Kind::of("primetime.dev/v1alpha1", "ScheduledSurge").unwrap();
        let mut object = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
            "metadata": {"name": "capital"},
            "spec": {
                "schedule": {"startTime": "2027-01-12T20:00:00Z", "durationSeconds": 3600},
                "targets": [{
                    "name": "web", "replicas": 180, "maxReplicas": 260,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                }],
            },
        });
        change(&mut object);
        admit(kind, &mut object, None).map_err(|e| e.to_string())?;
        Ok(object)
    }

    #[test]
    fn what_is_unknown_is_left_out_and_what_is_missing_filled_in() {
        let object = surge(|s| s["spec"]["colour"] = "red".into()).unwrap();
        assert_eq!(object["spec"].get("colour"), None);
        assert!(object["spec"]["readyBeforeSeconds"].is_u64(), "{object}");
    }

    #[test]
    fn the_block_of_a_launch_is_kept_as_it_is() {
        let kind = Kind::of("primetime.dev/v1alpha1", "SurgeRun").unwrap();
        let launch =
            json!({"template": "lt-1", "instanceTypes": ["m6i.xlarge"], "of": {"any": [1]}});
        let mut object = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun", "metadata": {"name": "r"},
            "spec": {
                "startTime": "2027-01-12T20:00:00Z", "readyTime": "2027-01-12T20:00:00Z",
                "endTime": "2027-01-12T21:00:00Z",
                "machines": [{"name": "m", "instanceClassRef": {"name": "c"}, "count": 1}],
            },
            "status": {"ledger": [{
                "group": "m", "attempt": 1, "token": "t", "count": 1, "time": "2027-01-12T20:00:00Z",
                "launch": launch.clone(), "settled": false, "colour": "red",
            }]},
        });
        admit(kind, &mut object, None).unwrap();
        let batch = &object["status"]["ledger"][0];
        assert_eq!((&batch["launch"], batch.get("colour")), (&launch, None));
    }

    #[test]
    fn schema_and_rules_refuse() {
        let replicas = |s: &mut Value| s["spec"]["targets"][0]["replicas"] = 300.into();
        let twice = |s: &mut Value| {
            let first = s["spec"]["targets"][0].clone();
            s["spec"]["targets"].as_array_mut().unwrap().push(first);
        };
        let missing = |s: &mut Value| {
            s["spec"].as_object_mut().unwrap().remove("schedule");
        };
        let text = |s: &mut Value| s["spec"]["schedule"]["durationSeconds"] = "long".into();
        for (change, said) in [
            (replicas as fn(&mut Value), "maxReplicas"),
            (twice, "Duplicate value: {\"name\":\"web\"}"),
            (missing, "spec.schedule: Required value"),
            (text, "must be of type integer: \"string\""),
        ] {
            let refused = surge(change).unwrap_err();
            assert!(refused.contains(said), "{refused}, not {said}");
        }
    }
}
