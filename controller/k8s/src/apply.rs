//! Writes to targets and their autoscalers: the effects of [`primetime_core::write`].

use std::fmt::Debug;

use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Client, Resource};
use primetime_api::APP_FIELD_MANAGER;
use primetime_core::output::{Change, Write};
use primetime_core::state::announcement::Workload;
use primetime_core::state::observed::{Autoscaler, AutoscalerKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::call::{self, CallError, bounded};
use crate::index::Index;
use crate::narrow::{self, Replicas, ScaledObject, count};
use crate::watch::Shared;

fn params() -> PatchParams {
    PatchParams { field_manager: Some(APP_FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// The resource of a workload. Kinds are looked up once, when their watch starts; the plural of the common ones is
/// regular.
fn resource(workload: &Workload) -> ApiResource {
    let (group, version) =
        workload.api_version.split_once('/').unwrap_or(("", &workload.api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &workload.kind))
}

/// Performs one write and shows the index what came of it.
///
/// Each patch tests what was seen before it replaces it, in one call: atomic, and without a read before it. It tests the
/// resourceVersion too: a write that was held up on its way, while another process has raised and given back, finds the
/// old value there again and is late all the same.
///
/// # Errors
///
/// See [`CallError`]. What is not as it was seen is a conflict, and nothing is changed.
pub async fn write(
    client: &Client,
    shared: &Shared,
    namespace: &str,
    write: &Write,
    leads: impl Fn() -> bool,
) -> Result<(), CallError> {
    match write {
        Write::Replicas { workload, from, to } => {
            let scale = scale(client, shared, namespace, workload, (*from, *to), leads).await?;
            shared.with(|index| show_replicas(index, namespace, workload, &scale));
        }
        Write::Bounds { kind: AutoscalerKind::HorizontalPodAutoscaler, name, min, max, .. } => {
            let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), namespace);
            let key = (namespace.to_owned(), name.clone());
            let seen = shared.with(|index| index.hpas.get(&key).map(|row| row.version.clone()));
            let changes = changes([("/spec/minReplicas", *min), ("/spec/maxReplicas", *max)]);
            let done = overtake(&api, name, seen, &changes, leads).await?;
            if let Some(scaler) = narrow::hpa_scaler(&done) {
                let version = done.metadata.resource_version.unwrap_or_default();
                shared.with(|index| index.hpas.apply(key, scaler, version));
            }
        }
        Write::Bounds { kind: AutoscalerKind::ScaledObject, name, min, max, idle, .. } => {
            let api: Api<ScaledObject> =
                Api::namespaced_with(client.clone(), namespace, &narrow::scaled_object_resource());
            let key = (namespace.to_owned(), name.clone());
            let row =
                |index: &mut Index| index.scaled_objects.get(&key).map(|row| row.version.clone());
            let seen = shared.with(row);
            let changes = changes([
                ("/spec/minReplicaCount", *min),
                ("/spec/maxReplicaCount", *max),
                ("/spec/idleReplicaCount", *idle),
            ]);
            let done = overtake(&api, name, seen, &changes, leads).await?;
            let version = done.metadata.resource_version.clone().unwrap_or_default();
            shared.with(|index| index.scaled_objects.apply(key, done.scaler(), version));
        }
    }
    Ok(())
}

/// A workload that comes up has another status, and with it another resourceVersion, many times a second, and an
/// autoscaler at each of its looks: then it is read and tried again, so often.
const OVERTAKEN: u32 = 4;

/// Patches an object whose status others write, if the fields are what was seen and this process still leads.
async fn overtake<K>(
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

/// Sets the replicas of a workload, if they are what was seen and this process still leads.
async fn scale(
    client: &Client,
    shared: &Shared,
    namespace: &str,
    workload: &Workload,
    (from, to): (u32, u32),
    leads: impl Fn() -> bool,
) -> Result<Scale, CallError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &resource(workload));
    let mut seen = shared.with(|index| {
        let table = index.workloads.get(&(workload.api_version.clone(), workload.kind.clone()))?;
        Some(table.get(&(namespace.to_owned(), workload.name.clone()))?.version.clone())
    });
    // A Scale leaves replicas out where they are 0: there is nothing to test then, and nothing to cut.
    let change = Change { from: Some(from).filter(|n| *n > 0), to: Some(to) };
    let mut attempts = 0;
    loop {
        let patch = patch(seen, &[("/spec/replicas", change)])?;
        attempts += 1;
        match tested(api.patch_scale(&workload.name, &params(), &patch)).await {
            Err(CallError::Conflict(_)) if attempts < OVERTAKEN => {}
            result => return result,
        }
        let there = bounded(api.get_scale(&workload.name)).await?;
        let replicas = count(there.spec.as_ref().and_then(|s| s.replicas));
        if replicas != from {
            return Err(CallError::Conflict(format!("{replicas} replicas, not {from}")));
        }
        if !leads() {
            return Err(CallError::Failed("this process does not lead any more".to_owned()));
        }
        seen = there.metadata.resource_version;
    }
}

/// A test that fails is answered 422, as a wrong value would be: both mean to look again, slower and slower.
async fn tested<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    match call::bounded(call).await {
        Err(CallError::Invalid(why)) => Err(CallError::Conflict(why)),
        result => result,
    }
}

fn changes<const N: usize>(fields: [(&str, Option<Change>); N]) -> Vec<(&str, Change)> {
    fields.into_iter().filter_map(|(field, change)| Some((field, change?))).collect()
}

/// A JSON patch: test the version, and each field that was set, then set or remove it.
fn patch(seen: Option<String>, changes: &[(&str, Change)]) -> Result<Patch<()>, CallError> {
    let version =
        |v| json!({"op": "test", "path": "/metadata/resourceVersion", "value": Value::String(v)});
    let mut operations: Vec<Value> =
        seen.filter(|v| !v.is_empty()).map(version).into_iter().collect();
    for (path, change) in changes {
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

/// Whether an autoscaler really does not scale a target any more: a quorum read.
///
/// # Errors
///
/// See [`CallError`].
pub async fn is_unscaled(
    client: &Client,
    namespace: &str,
    target: &Workload,
    autoscaler: &Autoscaler,
) -> Result<bool, CallError> {
    let name = &autoscaler.name;
    let scaler = match autoscaler.kind {
        AutoscalerKind::HorizontalPodAutoscaler => {
            let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), namespace);
            bounded(api.get(name)).await.map(|hpa| narrow::hpa_scaler(&hpa))
        }
        AutoscalerKind::ScaledObject => {
            let kind = narrow::scaled_object_resource();
            let api: Api<ScaledObject> = Api::namespaced_with(client.clone(), namespace, &kind);
            bounded(api.get(name)).await.map(|scaled| Some(scaled.scaler()))
        }
    };
    match scaler {
        Ok(scaler) => {
            Ok(scaler
                .is_none_or(|s| (&s.target.kind, &s.target.name) != (&target.kind, &target.name)))
        }
        Err(CallError::NotFound(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether the target of a hold is really gone: a quorum read.
///
/// # Errors
///
/// See [`CallError`].
pub async fn is_gone(
    client: &Client,
    namespace: &str,
    workload: &Workload,
) -> Result<bool, CallError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &resource(workload));
    match bounded(api.get_scale(&workload.name)).await {
        Ok(_) => Ok(false),
        Err(CallError::NotFound(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

fn show_replicas(index: &mut Index, namespace: &str, workload: &Workload, scale: &Scale) {
    let kind = (workload.api_version.clone(), workload.kind.clone());
    let Some(table) = index.workloads.get_mut(&kind) else {
        return;
    };
    let key = (namespace.to_owned(), workload.name.clone());
    let seen = table.get(&key).map(|row| &row.value);
    let (ready, rolling) = seen.map_or((0, false), |seen| (seen.ready, seen.rolling));
    let row = Replicas {
        wanted: count(scale.spec.as_ref().and_then(|s| s.replicas)),
        ready,
        rolling,
        written_by: Some(APP_FIELD_MANAGER.to_owned()),
    };
    table.apply(key, row, scale.metadata.resource_version.clone().unwrap_or_default());
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
