//! Drain of a Node before the instance terminates: cordons the Node, then evicts the pods, with
//! respect for each `PodDisruptionBudget` and for the pods that targets need.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SubsecRound};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, EvictParams, ListParams, Patch};
use primetime_core::Instant;
use primetime_core::state::announcement::Workload;
use primetime_core::state::observed::KeptBy;
use serde_json::json;

use crate::call::{CallError, bounded};
use crate::kinds::patch;

/// Largest number of pods that a message names.
const NAMED: usize = 3;

/// A drain of a Node, over several calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Number of pods still on the Node at the last call, terminating pods included.
    pub left: u32,
    /// What keeps the pods that are left.
    pub kept_by: Option<KeptBy>,
    /// Second of the first call. A pod that was created from then on, and was not there at the first
    /// call, has come back to the cordoned Node.
    began: Option<Instant>,
    /// UIDs of the pods at the first call.
    first: BTreeSet<String>,
    /// Most pods of each controller at one call, without those that terminate, by UID of the
    /// controller.
    most: BTreeMap<String, u32>,
    /// Evictions of pods that had come back, by UID of the controller. A pod that tolerates everything
    /// comes back each time, so the drain evicts as many as the Node had, and then no more.
    ///
    /// Only the creation time tells: in a partial list a pod that stays looks like one that returns.
    evicted: BTreeMap<String, u32>,
}

/// What a drain may do.
#[derive(Clone, Debug)]
pub struct Order {
    /// Name of the Node.
    pub node: String,
    /// True if the Node is not cordoned yet.
    pub open: bool,
    /// Namespace of the run.
    pub namespace: String,
    /// Pods of the targets in the namespace that may be evicted in this call, by workload.
    pub spare: BTreeMap<Workload, u32>,
    /// True if the pods are deleted, whatever their `PodDisruptionBudget`s say.
    pub overdue: bool,
    /// Time of the call.
    pub now: Instant,
}

/// True if a drain leaves the pod on the Node. The `DaemonSet` controller would recreate a daemon
/// pod at once, the kubelet owns mirror pods, and finished pods use no capacity.
fn stays(pod: &Pod) -> bool {
    let daemon = pod.owner_references().iter().any(|o| o.kind == "DaemonSet");
    let mirror = pod.annotations().contains_key("kubernetes.io/config.mirror");
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    daemon || mirror || matches!(phase, Some("Succeeded" | "Failed"))
}

/// Returns the time at which the API server created a pod, in whole seconds.
fn created(pod: &Pod) -> Option<Instant> {
    let at = pod.metadata.creation_timestamp.as_ref()?.0.as_second();
    DateTime::from_timestamp(at, 0)
}

fn controller(pod: &Pod) -> Option<&OwnerReference> {
    pod.owner_references().iter().find(|owner| owner.controller == Some(true))
}

/// True if the pod is of the workload: the workload controls the pod itself, or through a
/// `ReplicaSet`, whose name is the name of the workload and a hash.
fn is_of(pod: &Pod, workload: &Workload) -> bool {
    controller(pod).is_some_and(|owner| match owner.name.rsplit_once('-') {
        Some((stem, _)) if owner.kind == "ReplicaSet" && workload.kind != "ReplicaSet" => {
            stem == workload.name
        }
        _ => owner.kind == workload.kind && owner.name == workload.name,
    })
}

/// Cordons a Node by `spec.unschedulable: true`. Does nothing if the Node is gone.
///
/// # Errors
///
/// Any [`CallError`] except `NotFound`, if the patch fails.
pub async fn cordon(client: &Client, node: &str, closed: bool) -> Result<(), CallError> {
    let nodes: Api<Node> = Api::all(client.clone());
    // The value `false` is not stored, and the field manager of a missing field is forgotten.
    let value = if closed { json!(true) } else { json!(null) };
    let change = json!({"spec": {"unschedulable": value}});
    match bounded(nodes.patch(node, &patch::params(), &Patch::Merge(&change))).await {
        Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Cordons a Node, and evicts pods of the Node within the bounds of the order. Returns the state of
/// the drain, which the next call needs.
///
/// If the API server refuses an eviction, the state says why, and the next call retries.
///
/// # Errors
///
/// A [`CallError`] if the cordon or the list of pods fails, or the API server does not answer.
pub async fn drain(client: &Client, order: &Order, before: Drain) -> Result<Drain, CallError> {
    if order.open {
        cordon(client, &order.node, true).await?;
    }
    let all: Api<Pod> = Api::all(client.clone());
    let on_node = ListParams::default().fields(&format!("spec.nodeName={}", order.node));
    let pods = bounded(all.list(&on_node)).await?;
    let pods: Vec<_> = pods.items.iter().filter(|pod| !stays(pod)).collect();
    let mut state = Drain { left: u32::try_from(pods.len()).unwrap_or(u32::MAX), ..before };
    let (going, staying): (Vec<&Pod>, Vec<&Pod>) =
        pods.iter().partition(|pod| pod.metadata.deletion_timestamp.is_some());
    let began = if let Some(began) = state.began {
        began
    } else {
        state.first = pods.iter().filter_map(|pod| pod.uid()).collect();
        // The API server truncates creation times to seconds.
        *state.began.insert(order.now.trunc_subsecs(0))
    };
    for (owner, pods) in by_controller(&staying) {
        let most = state.most.entry(owner).or_default();
        *most = pods.max(*most);
    }
    let ours = |pod: &Pod, workload: &Workload| {
        pod.namespace().as_deref() == Some(order.namespace.as_str()) && is_of(pod, workload)
    };
    // A pod that terminates may still count as ready.
    let mut spare = order.spare.clone();
    for (workload, spare) in &mut spare {
        let going = going.iter().filter(|pod| ours(pod, workload)).count();
        *spare = spare.saturating_sub(u32::try_from(going).unwrap_or(u32::MAX));
    }
    let (mut back, mut alone, mut refused) = (BTreeSet::new(), BTreeSet::new(), None);
    for pod in &staying {
        let Some(owner) = controller(pod).map(|owner| owner.uid.clone()) else {
            alone.insert(pod.name_any());
            if order.overdue {
                refused = delete(client, pod).await?.or(refused);
            }
            continue;
        };
        let had = state.most.get(&owner).copied().unwrap_or(1).max(1);
        let came_back = created(pod).is_some_and(|created| created >= began)
            && pod.uid().is_some_and(|uid| !state.first.contains(&uid));
        let evicted = state.evicted.entry(owner).or_default();
        if came_back && *evicted >= had {
            back.insert(pod.name_any());
            continue;
        }
        let mut of_target = spare.iter_mut().filter(|(workload, _)| ours(pod, workload));
        let may = of_target.next().map(|(_, spare)| spare);
        // What a target needs is kept also past the deadline, until the machine ends.
        if may.as_ref().is_some_and(|spare| **spare == 0) {
            continue;
        }
        let why = if order.overdue { delete(client, pod).await } else { evict(client, pod).await }?;
        if why.is_some() {
            refused = why;
            continue;
        }
        *evicted += u32::from(came_back);
        if let Some(spare) = may {
            *spare -= 1;
        }
    }
    let named = |pods: BTreeSet<String>| pods.into_iter().take(NAMED).collect();
    state.kept_by = match refused {
        _ if !back.is_empty() && back.len() == staying.len() => Some(KeptBy::CameBack(named(back))),
        Some(why) => Some(KeptBy::Refused(why)),
        None if !alone.is_empty() => Some(KeptBy::Alone(named(alone))),
        None => None,
    };
    Ok(state)
}

/// Number of pods of each controller.
fn by_controller(pods: &[&Pod]) -> BTreeMap<String, u32> {
    let mut all = BTreeMap::new();
    for owner in pods.iter().filter_map(|pod| controller(pod)) {
        *all.entry(owner.uid.clone()).or_default() += 1;
    }
    all
}

/// Evicts a pod. Returns the message of the API server if it refuses, as it does with 429 while a
/// `PodDisruptionBudget` forbids the eviction.
async fn evict(client: &Client, pod: &Pod) -> Result<Option<String>, CallError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    refusal(pod, bounded(api.evict(&pod.name_any(), &EvictParams::default())).await)
}

/// Deletes a pod, with the grace period of the pod. A fence keeps the pods of `kube-system` from the
/// operator, so they end with the machine.
async fn delete(client: &Client, pod: &Pod) -> Result<Option<String>, CallError> {
    let namespace = pod.namespace().unwrap_or_default();
    if namespace == "kube-system" {
        return Ok(Some(format!("{}: pods of kube-system are not deleted", pod.name_any())));
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    refusal(pod, bounded(api.delete(&pod.name_any(), &DeleteParams::default())).await)
}

/// Returns the refusal of one pod as a sentence. A refusal must not keep the pods after it.
fn refusal<T>(pod: &Pod, answer: Result<T, CallError>) -> Result<Option<String>, CallError> {
    match answer {
        Ok(_) | Err(CallError::NotFound(_) | CallError::Conflict(_)) => Ok(None),
        Err(CallError::TimedOut) => Err(CallError::TimedOut),
        Err(error) => Ok(Some(format!("{}: {error}", pod.name_any()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(kind: &str, name: &str) -> Pod {
        let owner =
            json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true});
        serde_json::from_value(json!({"metadata": {"name": "p", "ownerReferences": [owner]}}))
            .unwrap()
    }

    #[test]
    fn a_pod_belongs_to_the_workload_whose_replica_set_controls_it() {
        let workload = |kind: &str, name: &str| Workload {
            api_version: "apps/v1".into(),
            kind: kind.into(),
            name: name.into(),
        };
        let web = workload("Deployment", "web");
        assert!(is_of(&owned("ReplicaSet", "web-5d4f"), &web));
        assert!(!is_of(&owned("ReplicaSet", "web-api-5d4f"), &web));
        assert!(!is_of(&owned("StatefulSet", "web"), &web));
        assert!(is_of(&owned("StatefulSet", "search-db"), &workload("StatefulSet", "search-db")));
        assert!(!is_of(&Pod::default(), &web));
    }
}
