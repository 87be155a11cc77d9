//! Decoder of Nodes that run on cloud instances.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use primetime_core::state::observed;

/// Returns the instance id (from `spec.providerID`) and the fields of the Node that the planner
/// needs. Returns `None` if the Node has no provider id.
#[must_use]
pub fn machine_node(node: &Node) -> Option<(String, observed::Node)> {
    let spec = node.spec.as_ref()?;
    // Example of a provider id: aws:///eu-west-3a/i-0123456789abcdef0
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
