//! JSON patches of objects with several writers. Each patch tests the observed values before the
//! replacement, in a single call.

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

/// Maximum number of attempts of a patch.
///
/// The pods of a starting workload change the status, and therefore `resourceVersion`, many times a
/// second. Each sync of an autoscaler changes `resourceVersion` too. The function reads the object
/// again before each further attempt.
pub(super) const OVERTAKEN: u32 = 4;

/// Patches fields of an object, if the fields still have the observed values and this process still
/// leads.
///
/// If another writer changed only other fields, the function reads the object and retries, with at
/// most [`OVERTAKEN`] attempts.
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

/// Awaits a patch, and maps HTTP 422 to [`CallError::Conflict`].
///
/// The API server answers 422 to a failed `test` operation and to an invalid value. The planner has
/// to plan again in either case, with backoff.
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

/// Builds a JSON patch. The patch tests `metadata.resourceVersion` first. The patch then tests the
/// old value of each field, if the field had a value, and sets or removes the field.
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
            // The operation `add` replaces an existing value.
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
