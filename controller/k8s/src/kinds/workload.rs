//! Workloads: kinds with a scale subresource, and with the replica fields of a Deployment.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use primetime_api::APP_FIELD_MANAGER;
use primetime_core::output::Change;
use primetime_core::state::announcement::Workload;
use primetime_core::state::observed::{InitContainer, PodTemplate, Resources};
use serde::Deserialize;
use serde_json::Value;

use crate::cache::store::{Cache, Replicas};
use crate::call::{CallError, bounded};
use crate::kinds::decode::{count, dynamic_resource, one_line, thousandths, writer_of};
use crate::kinds::patch::{OVERTAKEN, params, patch, tested};
use crate::shared::Shared;

/// Returns the API resource of a workload.
///
/// The function derives the plural from the kind without a request; the common kinds have a regular
/// plural. The watch asks the API server about each kind once, at the start of the watch.
fn resource(workload: &Workload) -> ApiResource {
    let (group, version) =
        workload.api_version.split_once('/').unwrap_or(("", &workload.api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &workload.kind))
}

/// Sets `spec.replicas` through the scale subresource, if the field still has the observed value
/// and this process still leads. Stores the result in the cache.
pub(super) async fn scale(
    client: &Client,
    shared: &Shared,
    namespace: &str,
    workload: &Workload,
    (from, to): (u32, u32),
    leads: impl Fn() -> bool,
) -> Result<(), CallError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &resource(workload));
    let mut seen = shared.with(|cache| {
        let table = cache.workloads.get(&(workload.api_version.clone(), workload.kind.clone()))?;
        Some(table.get(&(namespace.to_owned(), workload.name.clone()))?.version.clone())
    });
    // A Scale with 0 replicas omits `spec.replicas`, so a `test` operation on the field would fail.
    // The patch needs no test of 0, because no write can lower 0 replicas.
    let change = Change { from: Some(from).filter(|n| *n > 0), to: Some(to) };
    let mut attempts = 0;
    loop {
        let patch = patch(seen, &[("/spec/replicas", change)])?;
        attempts += 1;
        match tested(api.patch_scale(&workload.name, &params(), &patch)).await {
            Err(CallError::Conflict(_)) if attempts < OVERTAKEN => {}
            result => {
                let scale = result?;
                shared.with(|cache| show_replicas(cache, namespace, workload, &scale));
                return Ok(());
            }
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

/// True if the target of a hold no longer exists, according to a quorum read of the scale
/// subresource.
///
/// # Errors
///
/// Any [`CallError`] except `NotFound`, if the read fails.
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

/// Returns the label selector of the pods of a workload, as the scale subresource states it. Returns
/// `None` if the kind states no selector.
///
/// # Errors
///
/// A [`CallError`] if the read fails.
pub(super) async fn selector(
    client: &Client,
    namespace: &str,
    workload: &Workload,
) -> Result<Option<String>, CallError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &resource(workload));
    let scale = bounded(api.get_scale(&workload.name)).await?;
    Ok(scale.status.and_then(|status| status.selector).filter(|selector| !selector.is_empty()))
}

fn show_replicas(cache: &mut Cache, namespace: &str, workload: &Workload, scale: &Scale) {
    let kind = (workload.api_version.clone(), workload.kind.clone());
    let Some(table) = cache.workloads.get_mut(&kind) else {
        return;
    };
    let key = (namespace.to_owned(), workload.name.clone());
    let seen = table.get(&key).map(|row| &row.value);
    let row = Replicas {
        wanted: count(scale.spec.as_ref().and_then(|s| s.replicas)),
        ready: seen.map_or(0, |seen| seen.ready),
        rolling: seen.is_some_and(|seen| seen.rolling),
        created: seen.map_or(0, |seen| seen.created),
        pods: seen.map(|seen| seen.pods.clone()).unwrap_or_default(),
        failure: seen.and_then(|seen| seen.failure.clone()),
        written_by: Some(APP_FIELD_MANAGER.to_owned()),
    };
    table.apply(key, row, scale.metadata.resource_version.clone().unwrap_or_default());
}

/// Decoded workload of a kind with a scale subresource, and with the replica fields of a
/// Deployment.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Scalable {
    /// Metadata of the object.
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    spec: ScalableSpec,
    #[serde(default)]
    status: ScalableStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScalableSpec {
    replicas: Option<i32>,
    pod_management_policy: Option<String>,
    paused: bool,
    template: Template,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: TemplateSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TemplateSpec {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    resources: ResourceRequirements,
    restart_policy: Option<String>,
}

impl Container {
    /// A sidecar (`restartPolicy: Always`) runs beside the containers.
    fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    fn resources(&self) -> Resources {
        let of = |prefix: &'static str, list: &Option<BTreeMap<String, Quantity>>| {
            let quantity = |(name, quantity): (&String, &Quantity)| {
                Some((format!("{prefix}.{name}"), thousandths(quantity)?))
            };
            list.iter().flatten().filter_map(quantity).collect::<Vec<_>>()
        };
        let ResourceRequirements { requests, limits, .. } = &self.resources;
        of("requests", requests).into_iter().chain(of("limits", limits)).collect()
    }
}

impl ScalableSpec {
    fn pods(&self, kind: &str) -> PodTemplate {
        let TemplateSpec { containers, init_containers } = &self.template.spec;
        let (mut side_by_side, mut init) = (Vec::new(), Vec::new());
        for container in init_containers {
            let resources = container.resources();
            if container.is_sidecar() {
                side_by_side.push(resources);
            } else {
                init.push(InitContainer { resources, sidecars_before: side_by_side.len() });
            }
        }
        side_by_side.extend(containers.iter().map(Container::resources));
        PodTemplate {
            // `OrderedReady` is the default of a StatefulSet.
            one_by_one: kind == "StatefulSet"
                && self.pod_management_policy.as_deref() != Some("Parallel"),
            containers: side_by_side,
            init_containers: init,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScalableStatus {
    replicas: Option<i32>,
    ready_replicas: Option<i32>,
    updated_replicas: Option<i32>,
    /// Any value: kinds other than those of Kubernetes have conditions of other forms, and one object
    /// with an odd status must not stop the watch of its kind.
    #[serde(default)]
    conditions: Value,
}

impl ScalableStatus {
    /// Returns the message of the condition `ReplicaFailure`, which Deployments and `ReplicaSet`s
    /// have while their pods cannot be created.
    fn failure(&self) -> Option<Arc<str>> {
        let text = |condition: &Value, field| {
            condition.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let holds = |c: &&Value| text(c, "type") == "ReplicaFailure" && text(c, "status") == "True";
        let failure = self.conditions.as_array()?.iter().find(holds)?;
        Some(one_line(&text(failure, "message")).into())
    }
}

dynamic_resource!(Scalable);

impl Scalable {
    /// Decodes the replica counts, the rollout state and the last writer of `spec.replicas` for the
    /// planner.
    #[must_use]
    pub fn replicas(&self, kind: &str) -> Replicas {
        // The status of a Deployment or StatefulSet omits a count of 0. Other kinds have other
        // fields for updated replicas, or no such field.
        let rolls = matches!(kind, "Deployment" | "StatefulSet");
        let updated = self.status.updated_replicas.unwrap_or_default();
        Replicas {
            wanted: self.spec.replicas.map_or(1, |n| count(Some(n))),
            ready: count(self.status.ready_replicas),
            rolling: rolls && updated < self.status.replicas.unwrap_or_default(),
            written_by: writer_of(&self.metadata, "f:replicas"),
            created: count(self.status.replicas),
            pods: self.spec.pods(kind).into(),
            failure: if self.spec.paused && rolls {
                Some("its rollout is paused (spec.paused)".into())
            } else {
                self.status.failure()
            },
        }
    }
}
