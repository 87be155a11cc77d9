//! Writes to targets and their autoscalers: the effects of [`primetime_core::write`].

use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use primetime_api::APP_FIELD_MANAGER;
use primetime_core::surge::Workload;
use primetime_core::world::AutoscalerKind;
use primetime_core::write::Write;
use serde_json::{Map, Value, json};

use crate::call::{CallError, bounded};
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
/// # Errors
///
/// See [`CallError`]. A lowering write that finds another value than expected is a conflict, and nothing is lowered.
pub async fn write(
    client: &Client,
    shared: &Shared,
    namespace: &str,
    write: &Write,
) -> Result<(), CallError> {
    match write {
        Write::Replicas { workload, to, only_from } => {
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), namespace, &resource(workload));
            let scale = replicas(&api, &workload.name, *to, *only_from).await?;
            shared.with(|index| show_replicas(index, namespace, workload, &scale));
        }
        Write::Bounds { kind: AutoscalerKind::HorizontalPodAutoscaler, name, min, max, lowers } => {
            let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), namespace);
            let seen = expected(shared, namespace, name, *lowers, |index| &index.hpas);
            let version = if *lowers {
                let live = bounded(api.get(name)).await?;
                let bounds = narrow::hpa_scaler(&live).map(|s| s.bounds);
                unchanged(bounds == seen, name)?;
                live.metadata.resource_version
            } else {
                None
            };
            let patch = bounds_patch("minReplicas", "maxReplicas", *min, *max, version);
            let done = bounded(api.patch(name, &params(), &Patch::Merge(&patch))).await?;
            if let Some(scaler) = narrow::hpa_scaler(&done) {
                let version = done.metadata.resource_version.unwrap_or_default();
                let key = (namespace.to_owned(), name.clone());
                shared.with(|index| index.hpas.apply(key, scaler, version));
            }
        }
        Write::Bounds { kind: AutoscalerKind::ScaledObject, name, min, max, lowers } => {
            let api: Api<ScaledObject> =
                Api::namespaced_with(client.clone(), namespace, &narrow::scaled_object_resource());
            let seen = expected(shared, namespace, name, *lowers, |index| &index.scaled_objects);
            let version = if *lowers {
                let live = bounded(api.get(name)).await?;
                unchanged(Some(live.scaler().bounds) == seen, name)?;
                live.metadata.resource_version
            } else {
                None
            };
            let patch = bounds_patch("minReplicaCount", "maxReplicaCount", *min, *max, version);
            let done = bounded(api.patch(name, &params(), &Patch::Merge(&patch))).await?;
            let version = done.metadata.resource_version.clone().unwrap_or_default();
            let key = (namespace.to_owned(), name.clone());
            shared.with(|index| index.scaled_objects.apply(key, done.scaler(), version));
        }
    }
    Ok(())
}

fn expected(
    shared: &Shared,
    namespace: &str,
    name: &str,
    lowers: bool,
    table: impl Fn(&Index) -> &crate::index::Table<crate::index::Key, narrow::Scaler>,
) -> Option<primetime_core::world::Autoscaler> {
    let key = (namespace.to_owned(), name.to_owned());
    lowers
        .then(|| shared.with(|index| table(index).get(&key).map(|row| row.value.bounds.clone())))?
}

fn unchanged(same: bool, name: &str) -> Result<(), CallError> {
    if same {
        Ok(())
    } else {
        Err(CallError::Conflict(format!("{name} has other bounds than expected")))
    }
}

/// One patch of the replicas. To lower, a quorum read comes first, and the patch carries its resourceVersion.
async fn replicas(
    api: &Api<DynamicObject>,
    name: &str,
    to: u32,
    only_from: Option<u32>,
) -> Result<Scale, CallError> {
    let mut patch = json!({"spec": {"replicas": to}});
    if let Some(from) = only_from {
        let live = bounded(api.get_scale(name)).await?;
        let is = live.spec.and_then(|s| s.replicas);
        if count(is) != from {
            return Err(CallError::Conflict(format!("{name} has {is:?} replicas, not {from}")));
        }
        if let Some(object) = patch.as_object_mut() {
            object.insert(
                "metadata".into(),
                json!({"resourceVersion": live.metadata.resource_version}),
            );
        }
    }
    bounded(api.patch_scale(name, &params(), &Patch::Merge(&patch))).await
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

fn bounds_patch(
    min_field: &str,
    max_field: &str,
    min: Option<Option<u32>>,
    max: Option<Option<u32>>,
    version: Option<String>,
) -> Value {
    let mut spec = Map::new();
    // In a merge patch null removes a field.
    for (field, bound) in [(min_field, min), (max_field, max)] {
        if let Some(value) = bound {
            spec.insert(field.to_owned(), json!(value));
        }
    }
    let mut patch = json!({ "spec": spec });
    if let (Some(version), Some(object)) = (version, patch.as_object_mut()) {
        object.insert("metadata".into(), json!({"resourceVersion": version}));
    }
    patch
}

fn show_replicas(index: &mut Index, namespace: &str, workload: &Workload, scale: &Scale) {
    let kind = (workload.api_version.clone(), workload.kind.clone());
    let Some(table) = index.workloads.get_mut(&kind) else {
        return;
    };
    let key = (namespace.to_owned(), workload.name.clone());
    let ready = table.get(&key).map_or(0, |row| row.value.ready);
    let row = Replicas {
        wanted: count(scale.spec.as_ref().and_then(|s| s.replicas)),
        ready,
        written_by: Some(APP_FIELD_MANAGER.to_owned()),
    };
    table.apply(key, row, scale.metadata.resource_version.clone().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_one_patch_and_null_removes_a_field() {
        let patch =
            bounds_patch("minReplicas", "maxReplicas", Some(Some(180)), Some(Some(260)), None);
        assert_eq!(patch, json!({"spec": {"minReplicas": 180, "maxReplicas": 260}}));
        let patch =
            bounds_patch("minReplicaCount", "maxReplicaCount", Some(None), None, Some("7".into()));
        assert_eq!(
            patch,
            json!({"spec": {"minReplicaCount": null}, "metadata": {"resourceVersion": "7"}})
        );
    }
}
