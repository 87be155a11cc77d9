//! Effects of requests on objects, and the format of answers.

use http::{Method, Response};
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::server::kinds::Kind;
use crate::server::protobuf;
use crate::server::refusal::Refusal;
use crate::server::request::{APPLY, Answer, Asked};

/// True if an object has all labels of a selector of the form `a=b,c=d`.
pub(super) fn is_labelled(object: &Value, selector: &str) -> bool {
    selector.split(',').filter_map(|pair| pair.split_once('=')).all(|(name, value)| {
        let labels = object.get("metadata").and_then(|m| m.get("labels"));
        let label = labels.and_then(|labels| labels.get(name)).and_then(Value::as_str);
        label == Some(value.trim_start_matches('='))
    })
}

/// True if each field of a field selector, such as `spec.nodeName=burst-1`, has its value.
pub(super) fn has(object: &Value, selector: &str) -> bool {
    selector.split(',').filter_map(|pair| pair.split_once('=')).all(|(field, value)| {
        let pointer = format!("/{}", field.replace('.', "/"));
        object.pointer(&pointer).and_then(Value::as_str) == Some(value)
    })
}

/// Removes every second item of a list.
pub(super) fn halve(list: &mut Value) {
    if let Some(items) = list["items"].as_array_mut() {
        let mut keep = false;
        items.retain(|_| {
            keep = !keep;
            keep
        });
    }
}

/// Returns the Kubernetes version of the model.
pub(super) fn version() -> Value {
    json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0-simulated"})
}

/// Returns the `Status` that answers a deletion if the object is gone at once.
pub(super) fn success(kind: Kind, object: &Value) -> Value {
    let meta = |name: &str| object.pointer(&format!("/metadata/{name}"));
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {
            "name": meta("name"), "group": Some(kind.group).filter(|g| !g.is_empty()),
            "kind": kind.plural, "uid": meta("uid"),
        },
    })
}

/// Parses a request body: JSON, YAML as in an apply, or a `Secret` in protobuf.
pub(super) fn read(bytes: &[u8]) -> Value {
    let text = || serde_json::from_slice(bytes).or_else(|_| serde_yaml::from_slice(bytes));
    protobuf::read(bytes).or_else(|| text().ok()).unwrap_or_default()
}

pub(super) fn unserved(asked: &Asked) -> Refusal {
    Refusal::Unserved(format!("{} {} {}", asked.method, asked.path, asked.content_type))
}

/// Applies the body of a request to an object.
pub(super) fn edit(object: &mut Value, asked: &Asked) -> Result<(), Refusal> {
    match asked.content_type.as_str() {
        // Strategic merge patch and apply merge lists by key in a real API server. The model
        // replaces lists in both cases.
        "application/merge-patch+json" | "application/strategic-merge-patch+json" | APPLY => {
            json_patch::merge(object, &asked.body);
            Ok(())
        }
        "application/json-patch+json" => {
            let patch: json_patch::Patch = serde_json::from_value(asked.body.clone())
                .map_err(|e| Refusal::Invalid(e.to_string()))?;
            json_patch::patch(object, &patch).map_err(|e| Refusal::Invalid(e.to_string()))
        }
        _ if asked.method == Method::PUT => {
            *object = asked.body.clone();
            Ok(())
        }
        _ => Err(unserved(asked)),
    }
}

pub(super) fn reply(code: u16, body: String) -> Response<Answer> {
    let body = Full::new(Bytes::from(body)).boxed_unsync();
    let mut response = Response::new(body);
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    *response.status_mut() =
        http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Response<Answer> {
    let said = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    reply(code, said.to_string())
}
