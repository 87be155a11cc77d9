//! Patches of objects that others write too: each tests what was seen before it replaces it, in one call.

use std::fmt::Debug;

use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use primetime_api::APP_FIELD_MANAGER;
use primetime_core::output::Change;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::call::{self, CallError, bounded};

pub(super) fn params() -> PatchParams {
    PatchParams { field_manager: Some(APP_FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// A workload that comes up has another status, and with it another resourceVersion, many times a second, and an
/// autoscaler at each of its looks: then it is read and tried again, so often.
pub(super) const OVERTAKEN: u32 = 4;

/// Patches an object whose status others write, if the fields are what was seen and this process still leads.
pub(super) async fn overtake<K>(
    api: &Api<K>,
    name: &str,
    mut seen: Option<String>,
    changes: &[(&str, Change)],
    leads: impl Fn() -> bool,
) -> Result<K, CallError>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let mut attempts = 0;
    loop {
        attempts += 1;
        match tested(api.patch(name, &params(), &patch(seen.take(), changes)?)).await {
            Err(CallError::Conflict(_)) if attempts < OVERTAKEN => {}
            result => return result,
        }
        let there = bounded(api.get(name)).await?;
        let object = serde_json::to_value(&there).map_err(|e| CallError::Refused(e.to_string()))?;
        let is = |path: &str| object.pointer(path).and_then(Value::as_u64);
        if let Some((path, change)) =
            changes.iter().find(|(path, c)| is(path) != c.from.map(u64::from))
        {
            let (is, from) = (is(path), change.from);
            return Err(CallError::Conflict(format!("{path} is {is:?}, not {from:?}")));
        }
        if !leads() {
            return Err(CallError::Failed("this process does not lead any more".to_owned()));
        }
        seen.clone_from(&there.meta().resource_version);
    }
}

/// A test that fails is answered 422, as a wrong value would be: both mean to look again, slower and slower.
pub(super) async fn tested<T>(
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    match call::bounded(call).await {
        Err(CallError::Invalid(why)) => Err(CallError::Conflict(why)),
        result => result,
    }
}

pub(super) fn changes<const N: usize>(fields: [(&str, Option<Change>); N]) -> Vec<(&str, Change)> {
    fields.into_iter().filter_map(|(field, change)| Some((field, change?))).collect()
}

/// A JSON patch: test the version, and each field that was set, then set or remove it.
pub(super) fn patch(
    seen: Option<String>,
    changes: &[(&str, Change)],
) -> Result<Patch<()>, CallError> {
    let version =
        |v| json!({"op": "test", "path": "/metadata/resourceVersion", "value": Value::String(v)});
    let mut operations: Vec<Value> =
        // mutate: patch-late-done
        seen.filter(|v| !v.is_empty()).map(version).into_iter().collect();
    for (path, change) in changes {
        // mutate: patch-does-test-seen
        if let Some(from) = change.from {
            operations.push(json!({"op": "test", "path": path, "value": from}));
        }
        match (change.from, change.to) {
            // "add" replaces what is there.
            (_, Some(to)) => operations.push(json!({"op": "add", "path": path, "value": to})),
            (Some(_), None) => operations.push(json!({"op": "remove", "path": path})),
            (None, None) => {}
        }
    }
    let operations = serde_json::from_value(Value::Array(operations));
    operations.map(Patch::Json).map_err(|e| CallError::Refused(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(changes: &[(&str, Change)]) -> Value {
        match patch(Some("7".to_owned()), changes).unwrap() {
            Patch::Json(operations) => serde_json::to_value(operations).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_patch_tests_what_was_seen_before_it_replaces_it() {
        let min = Some(Change { from: Some(10), to: Some(180) });
        let max = Some(Change { from: Some(60), to: Some(260) });
        assert_eq!(
            shown(&changes([("/spec/minReplicas", min), ("/spec/maxReplicas", max)])),
            json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "test", "path": "/spec/minReplicas", "value": 10},
                {"op": "add", "path": "/spec/minReplicas", "value": 180},
                {"op": "test", "path": "/spec/maxReplicas", "value": 60},
                {"op": "add", "path": "/spec/maxReplicas", "value": 260},
            ])
        );
    }

    #[test]
    fn a_field_that_was_not_set_is_removed_again() {
        let back = Change { from: Some(40), to: None };
        assert_eq!(
            shown(&[("/spec/minReplicaCount", back)]),
            json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "test", "path": "/spec/minReplicaCount", "value": 40},
                {"op": "remove", "path": "/spec/minReplicaCount"},
            ])
        );
    }
}
