//! Nodes that instances became.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use primetime_core::state::observed;

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
