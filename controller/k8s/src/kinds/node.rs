//! Decoder of Nodes that run on cloud instances.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use primetime_api::APP_FIELD_MANAGER;
use primetime_core::state::observed;

use crate::kinds::decode::writer_of;

/// Returns the instance id (from `spec.providerID`) and the fields of the Node that the planner
/// needs. Returns `None` if the Node has no provider id.
#[must_use]
pub fn machine_node(node: &Node) -> Option<(String, observed::Node)> {
    let spec = node.spec.as_ref()?;
    // Example of a provider id: aws:///eu-west-3a/i-0123456789abcdef0
    let id = spec.provider_id.as_ref()?.rsplit('/').next()?.to_owned();
    let ready = node.status.as_ref().and_then(|s| s.conditions.as_ref());
    let ready = ready.and_then(|all| all.iter().find(|c| c.type_ == "Ready"));
    let is_ready = ready.is_some_and(|c| c.status == "True");
    let changed = ready.and_then(|c| c.last_transition_time.as_ref());
    let changed = changed.and_then(|at| chrono::DateTime::from_timestamp(at.0.as_second(), 0));
    let node = observed::Node {
        name: node.name_any(),
        ready: is_ready,
        not_ready_since: changed.filter(|_| !is_ready),
        unschedulable: spec.unschedulable.unwrap_or(false),
        cordoned_by_us: writer_of(&node.metadata, "f:unschedulable").as_deref()
            == Some(APP_FIELD_MANAGER),
        pods_left: None,
        kept_by: None,
    };
    Some((id, node))
}
