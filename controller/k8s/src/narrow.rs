//! Kinds that are not ours, read narrowly: only the fields the planner needs are decoded.

use std::borrow::Cow;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::core::{ApiResource, DynamicResourceScope};
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Serialize};

use primetime_core::state::announcement::Workload;
use primetime_core::state::observed;

/// Declares a kind whose API resource is known at run time only.
macro_rules! dynamic_resource {
    ($kind:ident) => {
        impl Resource for $kind {
            type DynamicType = ApiResource;
            type Scope = DynamicResourceScope;

            fn kind(dt: &ApiResource) -> Cow<'_, str> {
                dt.kind.as_str().into()
            }
            fn group(dt: &ApiResource) -> Cow<'_, str> {
                dt.group.as_str().into()
            }
            fn version(dt: &ApiResource) -> Cow<'_, str> {
                dt.version.as_str().into()
            }
            fn plural(dt: &ApiResource) -> Cow<'_, str> {
                dt.plural.as_str().into()
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

/// Anything with a scale subresource whose replicas stand where Deployments have them.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Scalable {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    spec: ScalableSpec,
    #[serde(default)]
    status: ScalableStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ScalableSpec {
    replicas: Option<i32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScalableStatus {
    replicas: Option<i32>,
    ready_replicas: Option<i32>,
    updated_replicas: Option<i32>,
}

dynamic_resource!(Scalable);

/// What is kept of a [`Scalable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// `spec.replicas`.
    pub wanted: u32,
    /// `status.readyReplicas`.
    pub ready: u32,
    /// `status.updatedReplicas` is less than `status.replicas`: what `kubectl rollout status` waits for.
    pub rolling: bool,
    /// The field manager that last wrote `spec.replicas`.
    pub written_by: Option<String>,
}

/// A count of the API, which is signed there.
pub(crate) fn count(n: Option<i32>) -> u32 {
    n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

impl Scalable {
    /// Keeps what the planner needs.
    #[must_use]
    pub fn replicas(&self, kind: &str) -> Replicas {
        // A count of 0 is left out there; other kinds have other fields, or none.
        let rolls = matches!(kind, "Deployment" | "StatefulSet");
        let updated = self.status.updated_replicas.unwrap_or_default();
        Replicas {
            wanted: self.spec.replicas.map_or(1, |n| count(Some(n))),
            ready: count(self.status.ready_replicas),
            rolling: rolls && updated < self.status.replicas.unwrap_or_default(),
            written_by: writer_of_replicas(&self.metadata),
        }
    }
}

/// The latest field manager that owns `spec.replicas`.
fn writer_of_replicas(metadata: &ObjectMeta) -> Option<String> {
    let owns = |entry: &&ManagedFieldsEntry| {
        entry
            .fields_v1
            .as_ref()
            .and_then(|f| f.0.get("f:spec"))
            .is_some_and(|spec| spec.get("f:replicas").is_some())
    };
    metadata
        .managed_fields
        .as_ref()?
        .iter()
        .filter(owns)
        .max_by_key(|entry| entry.time.as_ref().map(|t| t.0))
        .and_then(|entry| entry.manager.clone())
}

/// A Job, or what a Job can be made from: of a `CronJob` nothing but its name is kept.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Job {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What of its spec counts.
    #[serde(default)]
    pub spec: JobSpec,
    /// What of its status counts.
    #[serde(default)]
    pub status: JobStatus,
}

/// What of a Job's spec counts.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct JobSpec {
    /// It does not run.
    #[serde(default)]
    pub suspend: bool,
}

/// What of a Job's status counts.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct JobStatus {
    /// `Complete` or `Failed`, once it has ended.
    #[serde(default)]
    pub conditions: Vec<JobCondition>,
}

dynamic_resource!(Job);

/// KEDA's `ScaledObject`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ScaledObject {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    spec: ScaledObjectSpec,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScaledObjectSpec {
    #[serde(default)]
    scale_target_ref: ScaledObjectTarget,
    min_replica_count: Option<i32>,
    max_replica_count: Option<i32>,
    idle_replica_count: Option<i32>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScaledObjectTarget {
    api_version: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    name: String,
}

dynamic_resource!(ScaledObject);

/// The API resource of KEDA's `ScaledObject`.
#[must_use]
pub fn scaled_object_resource() -> ApiResource {
    ApiResource {
        group: "keda.sh".into(),
        version: "v1alpha1".into(),
        api_version: "keda.sh/v1alpha1".into(),
        kind: "ScaledObject".into(),
        plural: "scaledobjects".into(),
    }
}

/// What is kept of an autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaler {
    /// What it scales.
    pub target: Workload,
    /// Its bounds.
    pub bounds: observed::Autoscaler,
    /// It was generated by KEDA: never written, its `ScaledObject` is.
    pub generated: bool,
    /// Somebody has paused it.
    pub paused: bool,
    /// It would go lower, and keeps so many because of the minimum that it has last looked at.
    pub kept_at: Option<u32>,
}

/// Annotations by which people pause a `ScaledObject`
/// (<https://keda.sh/docs/latest/concepts/scaling-deployments/#pausing-autoscaling>).
const PAUSED: &str = "autoscaling.keda.sh/paused";
const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";

impl ScaledObject {
    /// As KEDA reads it: with a number of replicas, or with anything but a no.
    fn is_paused(&self) -> bool {
        const NO: [&str; 6] = ["0", "f", "F", "FALSE", "false", "False"];
        let annotations = self.annotations();
        annotations.contains_key(PAUSED_REPLICAS)
            || annotations.get(PAUSED).is_some_and(|word| !NO.contains(&word.as_str()))
    }

    /// Keeps what the planner needs.
    #[must_use]
    pub fn scaler(&self) -> Scaler {
        let target = &self.spec.scale_target_ref;
        Scaler {
            target: Workload {
                api_version: target.api_version.clone().unwrap_or_else(|| "apps/v1".to_owned()),
                kind: target.kind.clone().unwrap_or_else(|| "Deployment".to_owned()),
                name: target.name.clone(),
            },
            bounds: observed::Autoscaler {
                kind: observed::AutoscalerKind::ScaledObject,
                name: self.name_any(),
                min: self.spec.min_replica_count.map(|n| count(Some(n))),
                max: self.spec.max_replica_count.map(|n| count(Some(n))),
                idle: self.spec.idle_replica_count.map(|n| count(Some(n))),
            },
            generated: false,
            paused: self.is_paused(),
            kept_at: None,
        }
    }
}

/// Keeps what the planner needs of an HPA.
#[must_use]
pub fn hpa_scaler(hpa: &HorizontalPodAutoscaler) -> Option<Scaler> {
    let spec = hpa.spec.as_ref()?;
    let target = &spec.scale_target_ref;
    Some(Scaler {
        target: Workload {
            api_version: target.api_version.clone().unwrap_or_else(|| "apps/v1".to_owned()),
            kind: target.kind.clone(),
            name: target.name.clone(),
        },
        bounds: observed::Autoscaler {
            kind: observed::AutoscalerKind::HorizontalPodAutoscaler,
            name: hpa.name_any(),
            min: spec.min_replicas.map(|n| count(Some(n))),
            max: Some(count(Some(spec.max_replicas))),
            idle: None,
        },
        paused: false,
        kept_at: kept_at(hpa),
        generated: hpa.owner_references().iter().any(|o| o.kind == "ScaledObject"),
    })
}

/// What an HPA keeps because its minimum forbids less
/// (<https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale-walkthrough/#appendix-horizontal-pod-autoscaler-status-conditions>).
fn kept_at(hpa: &HorizontalPodAutoscaler) -> Option<u32> {
    let status = hpa.status.as_ref()?;
    let limited = status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "ScalingLimited"
            && condition.status == "True"
            && condition.reason.as_deref() == Some("TooFewReplicas")
    });
    limited.then(|| count(Some(status.desired_replicas)))
}

/// Keeps what the planner needs of a node: the instance id and the node, if it has one.
#[must_use]
pub fn machine_node(node: &Node) -> Option<(String, observed::Node)> {
    let spec = node.spec.as_ref()?;
    // aws:///eu-west-3a/i-0123456789abcdef0
    let id = spec.provider_id.as_ref()?.rsplit('/').next()?.to_owned();
    let ready = node
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_ref())
        .is_some_and(|c| c.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
    let node = observed::Node {
        name: node.name_any(),
        ready,
        unschedulable: spec.unschedulable.unwrap_or(false),
        pods_left: None,
    };
    Some((id, node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn scaler(annotations: &Value) -> Scaler {
        let object = json!({
            "metadata": {"name": "web", "annotations": annotations},
            "spec": {
                "scaleTargetRef": {"name": "web"}, "minReplicaCount": 2, "idleReplicaCount": 0,
            },
        });
        serde_json::from_value::<ScaledObject>(object).unwrap().scaler()
    }

    #[test]
    fn an_hpa_says_whether_its_minimum_keeps_it_up() {
        let hpa = |reason: &str, status: &str| {
            let object = json!({
                "metadata": {"name": "web"},
                "spec": {
                    "maxReplicas": 60,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                },
                "status": {
                    "desiredReplicas": 50,
                    "conditions": [
                        {"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"},
                        {"type": "ScalingLimited", "status": status, "reason": reason},
                    ],
                },
            });
            hpa_scaler(&serde_json::from_value(object).unwrap()).unwrap().kept_at
        };
        assert_eq!(hpa("TooFewReplicas", "True"), Some(50));
        assert_eq!(hpa("TooManyReplicas", "True"), None);
        assert_eq!(hpa("DesiredWithinRange", "False"), None);
    }

    #[test]
    fn a_scaled_object_is_paused_by_a_number_or_by_anything_but_a_no() {
        let paused = |annotations: Value| scaler(&annotations).paused;
        assert!(!paused(json!({})));
        assert!(paused(json!({PAUSED_REPLICAS: "3"})));
        for (word, expected) in
            [("true", true), ("", true), ("yes", true), ("false", false), ("0", false)]
        {
            assert_eq!(paused(json!({PAUSED: word})), expected, "{word:?}");
        }
    }

    #[test]
    fn what_keda_keeps_when_idle_is_seen() {
        let bounds = scaler(&json!({})).bounds;
        assert_eq!((bounds.min, bounds.max, bounds.idle), (Some(2), None, Some(0)));
    }
}
