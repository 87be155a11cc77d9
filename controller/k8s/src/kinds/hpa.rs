//! Decoder and patches of the `HorizontalPodAutoscaler`.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::Api;
use kube::{Client, ResourceExt};
use primetime_core::output::Change;
use primetime_core::state::announcement::Workload;
use primetime_core::state::observed;

use crate::cache::scalers::Scaler;
use crate::call::{CallError, bounded};
use crate::kinds::decode::{count, writer_of};
use crate::kinds::patch::{changes, overtake};
use crate::shared::Shared;

/// The `selectPolicy` that forbids a direction of scaling
/// (<https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#example-disable-scale-down>).
pub(super) const DISABLED: &str = "Disabled";

/// Decodes the target, the bounds and the scaling limit of an HPA for the planner. Returns `None`
/// if the HPA has no `spec`.
#[must_use]
pub fn scaler(hpa: &HorizontalPodAutoscaler) -> Option<Scaler> {
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
        never_scales_down: spec
            .behavior
            .as_ref()
            .and_then(|behavior| behavior.scale_down.as_ref()?.select_policy.as_deref())
            .is_some_and(|policy| policy == DISABLED),
        written_by: writer_of(&hpa.metadata, "f:minReplicas"),
        generated: hpa.owner_references().iter().any(|o| o.kind == "ScaledObject"),
    })
}

/// Returns `status.desiredReplicas` if the condition `ScalingLimited` has the reason
/// `TooFewReplicas`: the HPA would scale lower without `spec.minReplicas`
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

/// Patches `spec.minReplicas` and `spec.maxReplicas` if both fields still have the observed values.
/// Stores the result in the cache.
pub(super) async fn set_bounds(
    client: &Client,
    shared: &Shared,
    namespace: &str,
    name: &str,
    (min, max): (Option<Change>, Option<Change>),
    leads: impl Fn() -> bool,
) -> Result<(), CallError> {
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), namespace);
    let key = (namespace.to_owned(), name.to_owned());
    let seen = shared.with(|cache| cache.hpas.get(&key).map(|row| row.version.clone()));
    let changes = changes([("/spec/minReplicas", min), ("/spec/maxReplicas", max)]);
    let done = overtake(&api, name, seen, &changes, leads).await?;
    if let Some(scaler) = scaler(&done) {
        let version = done.metadata.resource_version.unwrap_or_default();
        shared.with(|cache| cache.hpas.apply(key, scaler, version));
    }
    Ok(())
}

/// Reads the current state of an HPA with a quorum read.
pub(super) async fn get(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<Scaler>, CallError> {
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), namespace);
    bounded(api.get(name)).await.map(|hpa| scaler(&hpa))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_hpa_that_never_scales_down_and_the_writer_of_its_minimum_are_seen() {
        let hpa = |behavior: serde_json::Value| {
            let owns = |fields: serde_json::Value| json!({"f:spec": fields});
            let object = json!({
                "metadata": {"name": "web", "managedFields": [
                    {"manager": "argocd-controller", "time": "2026-01-01T00:00:00Z",
                     "fieldsV1": owns(json!({"f:minReplicas": {}}))},
                    {"manager": "kubectl-edit", "time": "2026-01-02T00:00:00Z",
                     "fieldsV1": owns(json!({"f:maxReplicas": {}}))},
                ]},
                "spec": {
                    "maxReplicas": 60, "behavior": behavior,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                },
            });
            scaler(&serde_json::from_value(object).unwrap()).unwrap()
        };
        let never = hpa(json!({"scaleDown": {"selectPolicy": "Disabled"}}));
        assert!(never.never_scales_down);
        assert_eq!(never.written_by.as_deref(), Some("argocd-controller"));
        for other in [
            json!({}),
            json!({"scaleDown": {"selectPolicy": "Min"}}),
            json!({"scaleUp": {"selectPolicy": "Disabled"}}),
        ] {
            assert!(!hpa(other.clone()).never_scales_down, "{other}");
        }
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
            scaler(&serde_json::from_value(object).unwrap()).unwrap().kept_at
        };
        assert_eq!(hpa("TooFewReplicas", "True"), Some(50));
        assert_eq!(hpa("TooManyReplicas", "True"), None);
        assert_eq!(hpa("DesiredWithinRange", "False"), None);
    }
}
