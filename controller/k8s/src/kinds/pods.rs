//! Why pods of a workload are missing: what Kubernetes says about the pods, and about pods that were
//! never created.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, ApiResource, GroupVersionKind, ListParams};
use kube::{Client, ResourceExt};
use primetime_core::Instant;
use primetime_core::state::announcement::Workload;
use primetime_core::state::observed::{Obstacle, Obstacles};
use serde::Deserialize;

use crate::call::{CallError, bounded};
use crate::kinds::decode::{dynamic_resource, one_line};
use crate::kinds::workload;
use crate::shared::Shared;

/// Number of objects in one answer. A pod may have annotations of 256 KiB.
const PAGE: u32 = 50;

/// Largest number of pages that are read in search of pods that run and are not ready.
const MOST_PAGES: usize = 10;

/// Age from which an Event says nothing about now. Controllers retry a refused pod after at most
/// 1,000 s, and Events about one object are limited to one in five minutes after a burst.
const OLD: chrono::TimeDelta = chrono::TimeDelta::seconds(1_000);

/// Age of a pod from which a container that is still being created is no ordinary start.
const SLOW_START: chrono::TimeDelta = chrono::TimeDelta::seconds(30);

/// The part of a pod that says why the pod is not ready. The spec is not decoded, so it is in no log.
#[derive(Clone, Debug, Default, Deserialize)]
struct Pod {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    status: PodStatus,
}

dynamic_resource!(Pod);

/// Reads the pods of a workload and Events about them, and stores the reasons in the cache.
///
/// # Errors
///
/// A [`CallError`] if the scale subresource or a list cannot be read. The cache then keeps the reasons
/// that were known, with the error.
pub async fn look(
    client: &Client,
    shared: &Shared,
    namespace: &str,
    target: &Workload,
    now: Instant,
) -> Result<(), CallError> {
    let seen = all(client, namespace, target, now).await;
    let key = (namespace.to_owned(), target.clone());
    shared.with(|cache| {
        let before = cache.obstacles.remove(&key);
        let after = match &seen {
            Ok(all) => Obstacles::seen(before.as_ref(), all.clone(), now),
            Err(error) => Obstacles::failed(before, one_line(&error.to_string()), now),
        };
        cache.obstacles.insert(key, after);
    });
    seen.map(drop)
}

async fn all(
    client: &Client,
    namespace: &str,
    target: &Workload,
    now: Instant,
) -> Result<Vec<Obstacle>, CallError> {
    let Some(selector) = workload::selector(client, namespace, target).await? else {
        let why = format!("{} states no selector in its scale subresource", target.kind);
        return Err(CallError::Failed(why));
    };
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let pods: Api<Pod> = Api::namespaced_with(client.clone(), namespace, &kind);
    let of = |phase: &str| {
        let phase = format!("status.phase={phase}");
        ListParams::default().labels(&selector).fields(&phase).limit(PAGE)
    };
    let pending = bounded(pods.list(&of("Pending"))).await?.items;
    let mut found = by_reason(pending.iter().filter_map(reason));
    let mut running = of("Running");
    for _ in 0..MOST_PAGES {
        let page = bounded(pods.list(&running)).await?;
        let reasons = by_reason(page.items.iter().filter_map(reason));
        let enough = reasons.iter().any(|obstacle| !obstacle.may_pass());
        found = by_reason(found.into_iter().chain(reasons).map(|o| (o.reason, o.message, o.pods)));
        match page.metadata.continue_.filter(|token| !token.is_empty() && !enough) {
            Some(token) => running.continue_token = Some(token),
            None => break,
        }
    }
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let slow = |pod: &&Pod| {
        starts(pod) && pod.creation_timestamp().is_some_and(|at| age(&at, now) > SLOW_START)
    };
    if let Some(pod) = pending.iter().find(slow) {
        let many = u32::try_from(pending.iter().filter(slow).count()).unwrap_or(u32::MAX);
        let of_pod = format!("regarding.kind=Pod,regarding.name={},type=Warning", pod.name_any());
        if let Some((reason, said)) = newest(&events, &of_pod, now).await? {
            found.push(Obstacle::new(
                &one_line(&reason),
                &without_name(&said, &pod.name_any()),
                many,
            ));
        }
    }
    let (kind, name) = (&target.kind, &target.name);
    let refused = format!("regarding.kind={kind},regarding.name={name},reason=FailedCreate");
    if let Some((reason, said)) = newest(&events, &refused, now).await? {
        found.push(Obstacle::new(&reason, &one_line(&said), 0));
    }
    Ok(found)
}

/// Returns the reason and the note of the newest Event of a selection.
async fn newest(
    events: &Api<Event>,
    fields: &str,
    now: Instant,
) -> Result<Option<(String, String)>, CallError> {
    let selected = ListParams::default().fields(fields).limit(PAGE);
    let found = bounded(events.list(&selected)).await?.items;
    let time = |event: &Event| {
        let micro = event.series.as_ref().map(|series| &series.last_observed_time);
        let micro = micro.or(event.event_time.as_ref()).map(|time| time.0.as_second());
        let last = event.deprecated_last_timestamp.as_ref().map(|time| time.0.as_second());
        last.max(micro).and_then(|at| Instant::from_timestamp(at, 0))
    };
    let fresh = found.iter().filter(|event| time(event).is_some_and(|at| now - at < OLD));
    let newest = fresh.max_by_key(|event| time(event));
    Ok(newest.and_then(|event| Some((event.reason.clone()?, event.note.clone()?))))
}

fn age(created: &Time, now: Instant) -> chrono::TimeDelta {
    chrono::TimeDelta::seconds(now.timestamp() - created.0.as_second())
}

/// Sums up reasons by the word of Kubernetes, with the message of the first pod: the others differ in a
/// number or a name. What does not pass by itself comes first, then what concerns most pods.
fn by_reason(reasons: impl Iterator<Item = (String, String, u32)>) -> Vec<Obstacle> {
    let mut all: BTreeMap<String, (String, u32)> = BTreeMap::new();
    for (reason, message, pods) in reasons {
        all.entry(reason).or_insert((message, 0)).1 += pods;
    }
    let obstacle =
        |(reason, (message, pods)): (String, (String, u32))| Obstacle::new(&reason, &message, pods);
    let mut all: Vec<_> = all.into_iter().map(obstacle).collect();
    all.sort_by_key(|obstacle| (obstacle.may_pass(), std::cmp::Reverse(obstacle.pods)));
    all
}

/// Returns why a pod is not ready: the word of Kubernetes, its message, and 1. Returns `None` for a pod
/// that is ready, that is being deleted, or whose containers are being created.
fn reason(pod: &Pod) -> Option<(String, String, u32)> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let name = pod.name_any();
    let told = |word: &str, message: Option<&str>| {
        let message = without_name(message.unwrap_or_default(), &name);
        Some((one_line(word), message, 1))
    };
    let conditions = pod.status.conditions.as_deref().unwrap_or_default();
    let fails = |kind: &str| conditions.iter().find(|c| c.type_ == kind && c.status == "False");
    if let Some(condition) = fails("PodScheduled") {
        let word = condition.reason.as_deref().unwrap_or("Unschedulable");
        return told(word, condition.message.as_deref());
    }
    let init = pod.status.init_container_statuses.iter().flatten();
    let containers = pod.status.container_statuses.iter().flatten();
    if let Some((word, message)) = init.chain(containers).find_map(stuck) {
        return told(&word, Some(&message));
    }
    let running = pod.status.phase.as_deref() == Some("Running");
    let unready = fails("Ready").filter(|_| running)?;
    told(unready.reason.as_deref().unwrap_or("NotReady"), unready.message.as_deref())
}

/// Reasons of a container that starts as usual.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// True if a pod has a Node, and its containers are being created or its init containers run.
fn starts(pod: &Pod) -> bool {
    reason(pod).is_none() && pod.metadata.deletion_timestamp.is_none()
}

/// Reasons whose messages name Secrets, keys or command lines. People who may read runs may not be
/// allowed to read pods.
const PRIVATE: [&str; 2] = ["CreateContainerConfigError", "RunContainerError"];

/// Returns why a container does not run: the word of the kubelet, and what is known.
///
/// The kubelet alternates between words for one cause, so the function names each cause with one word.
fn stuck(container: &ContainerStatus) -> Option<(String, String)> {
    let state = container.state.as_ref()?;
    let waiting = state.waiting.as_ref();
    let word = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let ended = state.terminated.as_ref().or(last).filter(|ended| ended.exit_code != 0);
    match (word, ended) {
        ("ErrImagePull" | "ImagePullBackOff", _) => {
            let said = waiting.and_then(|waiting| waiting.message.clone());
            Some(("ImagePullBackOff".to_owned(), said.unwrap_or_default()))
        }
        (word, _) if PRIVATE.contains(&word) => Some((word.to_owned(), String::new())),
        (_, Some(ended)) if !container.ready => {
            let why = ended.reason.as_deref().unwrap_or("ended");
            let said =
                format!("container {}: {why}, exit code {}", container.name, ended.exit_code);
            Some(("CrashLoopBackOff".to_owned(), said))
        }
        ("", _) => None,
        (word, _) if STARTING.contains(&word) => None,
        (word, _) => {
            let said = waiting.and_then(|waiting| waiting.message.clone());
            Some((word.to_owned(), said.unwrap_or_default()))
        }
    }
}

/// Returns a message as one line without the name of the pod, so that equal reasons are equal.
fn without_name(message: &str, pod: &str) -> String {
    one_line(&if pod.len() < 5 { message.to_owned() } else { message.replace(pod, "POD") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(name: &str, status: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).unwrap()
    }

    fn with_container(name: &str, phase: &str, state: &Value, last: &Value) -> Pod {
        let container = json!({
            "name": "web", "image": "web", "imageID": "", "ready": false, "restartCount": 0,
            "state": state, "lastState": last,
        });
        pod(name, &json!({"phase": phase, "containerStatuses": [container]}))
    }

    fn waiting(name: &str, reason: &str, message: &str) -> Pod {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        with_container(name, "Pending", &state, &json!({}))
    }

    fn unschedulable(name: &str, message: &str) -> Pod {
        pod(
            name,
            &json!({"phase": "Pending", "conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": message,
            }]}),
        )
    }

    fn said(pods: &[Pod]) -> Vec<String> {
        by_reason(pods.iter().filter_map(reason)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pods_are_counted_by_the_word_of_kubernetes_and_what_stays_comes_first() {
        let ready = json!({"phase": "Running", "conditions": [
            {"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"},
        ]});
        let pods = [
            unschedulable("web-2", "0/3 nodes are available: 3 Insufficient cpu."),
            unschedulable("web-3", "0/4 nodes are available: 4 Insufficient cpu."),
            waiting("web-4", "ContainerCreating", ""),
            waiting("web-1", "ErrImagePull", "Back-off pulling image \"web:7\" of web-1"),
            pod("web-5", &ready),
        ];
        assert_eq!(
            said(&pods),
            [
                "1 pod: ImagePullBackOff: Back-off pulling image \"web:7\" of POD",
                "2 pods: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.",
            ]
        );
    }

    #[test]
    fn a_crash_loop_has_one_word_in_each_of_its_states() {
        let oom = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
        let back_off =
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}});
        let pods = [
            with_container("web-1", "Running", &back_off, &oom),
            with_container("web-2", "Running", &json!({"running": {}}), &oom),
            with_container("web-3", "Running", &oom, &json!({})),
        ];
        let word = "3 pods: CrashLoopBackOff: container web: OOMKilled, exit code 137";
        assert_eq!(said(&pods), [word]);
    }

    #[test]
    fn a_failing_probe_is_said_and_a_secret_is_not() {
        let unready = json!({"phase": "Running", "conditions": [{
            "type": "Ready", "status": "False", "reason": "ContainersNotReady",
            "message": "containers with unready status: [web]",
        }]});
        let secret = waiting("web-2", "CreateContainerConfigError", "secret \"db\" not found");
        let words = [
            "1 pod: CreateContainerConfigError",
            "1 pod: ContainersNotReady: containers with unready status: [web]",
        ];
        assert_eq!(said(&[pod("web-1", &unready), secret]), words);
    }
}
