//! The `scale` subresource of a workload.

use serde_json::{Value, json};

use crate::server::refusal::Refusal;

/// Builds the `Scale` of a workload.
#[must_use]
pub fn of(object: &Value) -> Value {
    let meta = |name: &str| object.get("metadata").and_then(|m| m.get(name)).cloned();
    let replicas = object.pointer("/spec/replicas").cloned().unwrap_or_else(|| 1.into());
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta("name"), "namespace": meta("namespace"), "uid": meta("uid"),
            "resourceVersion": meta("resourceVersion"),
            "creationTimestamp": meta("creationTimestamp"),
        },
        "spec": {},
        "status": {
            "replicas": object.pointer("/status/replicas").cloned().unwrap_or_else(|| 0.into()),
            // Each pod of the model carries the name of its workload as a label.
            "selector": format!("app={}", meta("name").as_ref().and_then(Value::as_str).unwrap_or("")),
        },
    });
    // The server omits a value of 0, because the real field has the option `omitempty`.
    if replicas != json!(0) {
        scale["spec"]["replicas"] = replicas;
    }
    scale
}

/// Copies `spec.replicas` of a changed `Scale` into the workload.
///
/// # Errors
///
/// Returns `Invalid` if `spec.replicas` is not an integer, or negative.
pub fn into(object: &mut Value, scale: &Value, manager: &str) -> Result<(), Refusal> {
    let wanted = scale.pointer("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
    if wanted.as_i64().is_none_or(|n| n < 0) {
        return Err(Refusal::Invalid(format!("spec.replicas: Invalid value: {wanted}")));
    }
    if object.pointer("/spec/replicas") != Some(&wanted) {
        object["spec"]["replicas"] = wanted;
        owned_by(object, manager, "f:replicas");
    }
    Ok(())
}

/// Records in `metadata.managedFields` the field manager that last wrote a field of `spec`, such as
/// `f:replicas`.
pub fn owned_by(object: &mut Value, manager: &str, field: &str) {
    object["metadata"]["managedFields"] = json!([{
        "manager": manager, "operation": "Update", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {field: {}}},
    }]);
}
