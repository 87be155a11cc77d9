//! Empties a node before its instance is terminated: cordon, then evict, PDBs respected.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, EvictParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::call::{CallError, bounded};

/// Pods that a drain leaves alone: daemons come back at once, mirror pods belong to the kubelet, finished pods are no
/// capacity.
fn stays(pod: &Pod) -> bool {
    let daemon = pod.owner_references().iter().any(|o| o.kind == "DaemonSet");
    let mirror = pod.annotations().contains_key("kubernetes.io/config.mirror");
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    daemon || mirror || matches!(phase, Some("Succeeded" | "Failed"))
}

/// Keeps new pods off a node; a node that is gone needs nothing.
///
/// # Errors
///
/// See [`CallError`].
pub async fn cordon(client: &Client, node: &str) -> Result<(), CallError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let cordon = json!({"spec": {"unschedulable": true}});
    match bounded(nodes.patch(node, &PatchParams::default(), &Patch::Merge(&cordon))).await {
        Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Cordons a node, asks each pod on it to leave, and says how many are still there. A pod that a disruption budget
/// keeps is asked again at the next call.
///
/// # Errors
///
/// See [`CallError`].
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
            // 429 is the disruption budget's no, which may be a yes later.
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
