//! Decoder and patches of KEDA's `ScaledObject`.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource};
use kube::{Client, ResourceExt};
use primetime_core::output::Change;
use primetime_core::state::announcement::Workload;
use primetime_core::state::observed;
use serde::{Deserialize, Serialize};

use crate::cache::scalers::Scaler;
use crate::call::{CallError, bounded};
use crate::kinds::decode::{count, dynamic_resource, writer_of};
use crate::kinds::hpa;
use crate::kinds::patch::{changes, overtake};
use crate::shared::Shared;

/// Decoded part of KEDA's `ScaledObject`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ScaledObject {
    /// Metadata of the object.
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
    #[serde(default)]
    advanced: Advanced,
}

/// `spec.advanced` holds the `behavior` that KEDA copies into the HPA it generates.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Advanced {
    horizontal_pod_autoscaler_config: HpaConfig,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct HpaConfig {
    behavior: HorizontalPodAutoscalerBehavior,
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

/// Returns the API resource of KEDA's `ScaledObject` (`keda.sh/v1alpha1`).
#[must_use]
pub fn resource() -> ApiResource {
    ApiResource {
        group: "keda.sh".into(),
        version: "v1alpha1".into(),
        api_version: "keda.sh/v1alpha1".into(),
        kind: "ScaledObject".into(),
        plural: "scaledobjects".into(),
    }
}

/// Annotation by which users pause a `ScaledObject`
/// (<https://keda.sh/docs/latest/concepts/scaling-deployments/#pausing-autoscaling>).
const PAUSED: &str = "autoscaling.keda.sh/paused";

const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";

impl ScaledObject {
    /// True if KEDA treats the `ScaledObject` as paused. The annotation `paused-replicas` pauses
    /// with any value. The annotation `paused` pauses unless the value is a word for false.
    fn is_paused(&self) -> bool {
        const NO: [&str; 6] = ["0", "f", "F", "FALSE", "false", "False"];
        let annotations = self.annotations();
        annotations.contains_key(PAUSED_REPLICAS)
            || annotations.get(PAUSED).is_some_and(|word| !NO.contains(&word.as_str()))
    }

    fn never_scales_down(&self) -> bool {
        let behavior = &self.spec.advanced.horizontal_pod_autoscaler_config.behavior;
        let policy = behavior.scale_down.as_ref().and_then(|down| down.select_policy.as_deref());
        policy == Some(hpa::DISABLED)
    }

    /// Decodes the target, the bounds and the pause state of the `ScaledObject` for the planner.
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
            never_scales_down: self.never_scales_down(),
            written_by: writer_of(&self.metadata, "f:minReplicaCount"),
        }
    }
}

/// Patches `spec.minReplicaCount`, `spec.maxReplicaCount` and `spec.idleReplicaCount`, if the
/// fields still have the observed values. Stores the result in the cache.
pub(super) async fn set_bounds(
    client: &Client,
    shared: &Shared,
    namespace: &str,
    name: &str,
    (min, max, idle): (Option<Change>, Option<Change>, Option<Change>),
    leads: impl Fn() -> bool,
) -> Result<(), CallError> {
    let api: Api<ScaledObject> = Api::namespaced_with(client.clone(), namespace, &resource());
    let key = (namespace.to_owned(), name.to_owned());
    let seen = shared.with(|cache| cache.scaled_objects.get(&key).map(|row| row.version.clone()));
    let changes = changes([
        ("/spec/minReplicaCount", min),
        ("/spec/maxReplicaCount", max),
        ("/spec/idleReplicaCount", idle),
    ]);
    let done = overtake(&api, name, seen, &changes, leads).await?;
    let version = done.metadata.resource_version.clone().unwrap_or_default();
    shared.with(|cache| cache.scaled_objects.apply(key, done.scaler(), version));
    Ok(())
}

/// Reads the current state of a `ScaledObject` with a quorum read.
pub(super) async fn get(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<Scaler>, CallError> {
    let api: Api<ScaledObject> = Api::namespaced_with(client.clone(), namespace, &resource());
    bounded(api.get(name)).await.map(|scaled| Some(scaled.scaler()))
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
    fn a_scaled_object_that_never_scales_down_is_seen() {
        let down = |policy: &str| {
            let object = json!({
                "metadata": {"name": "web"},
                "spec": {"scaleTargetRef": {"name": "web"}, "advanced": {
                    "horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"selectPolicy": policy}}},
                }},
            });
            serde_json::from_value::<ScaledObject>(object).unwrap().scaler().never_scales_down
        };
        assert!(down("Disabled") && !down("Max"));
    }

    #[test]
    fn what_keda_keeps_when_idle_is_seen() {
        let bounds = scaler(&json!({})).bounds;
        assert_eq!((bounds.min, bounds.max, bounds.idle), (Some(2), None, Some(0)));
    }
}
