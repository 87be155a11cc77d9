//! Drain of a Node before the instance terminates: cordons the Node, then evicts the pods, with
//! respect for each `PodDisruptionBudget`.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, EvictParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::call::{CallError, bounded};

/// True if a drain leaves the pod on the Node. The `DaemonSet` controller would recreate a daemon
/// pod at once, the kubelet owns mirror pods, and finished pods use no capacity.
fn stays(pod: &Pod) -> bool {
    let daemon = pod.owner_references().iter().any(|o| o.kind == "DaemonSet");
    let mirror = pod.annotations().contains_key("kubernetes.io/config.mirror");
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    daemon || mirror || matches!(phase, Some("Succeeded" | "Failed"))
}

/// Cordons a Node by `spec.unschedulable: true`. Does nothing if the Node is gone.
///
/// # Errors
///
/// Any [`CallError`] except `NotFound`, if the patch fails.
pub async fn cordon(client: &Client, node: &str) -> Result<(), CallError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let cordon = json!({"spec": {"unschedulable": true}});
    match bounded(nodes.patch(node, &PatchParams::default(), &Patch::Merge(&cordon))).await {
        Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Cordons a Node, evicts each pod on the Node, and returns the number of pods still on the Node,
/// terminating pods included.
///
/// If a `PodDisruptionBudget` forbids an eviction, the next call retries the eviction.
///
/// # Errors
///
/// A [`CallError`] if the cordon or the list of pods fails. `Refused`, `Invalid` or `TimedOut` if
/// an eviction fails for that reason.
pub async fn drain(client: &Client, node: &str) -> Result<u32, CallError> {
    cordon(client, node).await?;
    let all: Api<Pod> = Api::all(client.clone());
    let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let pods = bounded(all.list(&on_node)).await?;
    let mut left = 0;
    for pod in pods.items.iter().filter(|p| !stays(p)) {
        left += 1;
        if pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        match bounded(api.evict(&pod.name_any(), &EvictParams::default())).await {
            // The API server answers 429 if a `PodDisruptionBudget` forbids the eviction for now.
            Ok(_)
            | Err(
                CallError::NotFound(_)
                | CallError::Failed(_)
                | CallError::PushedBack(_)
                | CallError::Conflict(_),
            ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(left)
}
