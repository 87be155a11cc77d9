//! Workload controller, scheduler and kubelets: the model creates, places and deletes pods, and
//! marks pods ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use primetime_core::Instant;
use serde_json::{Value, json};

use crate::cluster::model::{Cluster, Pod, Pods, kind};
use crate::field::{at, number, text};
use crate::script::Part as Outage;
use crate::server::kinds::Kind;
use crate::server::object::Key;
use crate::server::refusal::Refusal;
use crate::server::store::{Part, Store};

impl Pods {
    /// Removes deleted pods from the memory of the workload controller. Other components delete
    /// pods by eviction, or together with a Node.
    fn forget_deleted(&mut self, store: &Store, pods: Kind) {
        let events = store.since(self.told).filter(|e| e.key.0 == pods && e.what == "DELETED");
        for event in events {
            let (_, namespace, name) = &event.key;
            let app = text(&event.object, "/metadata/labels/app").unwrap_or_default();
            if let Some(of_app) = self.of.get_mut(&(namespace.clone(), app.to_owned())) {
                of_app.retain(|pod| pod.name != *name);
            }
        }
        self.told = store.version();
    }

    /// Returns the number of pods in a namespace, without the pods of one workload.
    fn others(&self, namespace: &str, name: &str) -> usize {
        let others = self.of.iter().filter(|((ns, of), _)| ns == namespace && of != name);
        others.map(|(_, pods)| pods.len()).sum()
    }
}

/// Number of pods on each schedulable node. The scheduler counts the pods at the first placement of
/// a pass.
struct Room(Option<BTreeMap<String, usize>>);

impl Room {
    /// Reserves a place on the node with the fewest pods, if any node has room. `there` holds pods
    /// that `pods` does not contain at present.
    fn place(
        &mut self,
        store: &Store,
        nodes: Kind,
        pods: &Pods,
        there: &[&[Pod]],
        per_node: usize,
    ) -> Option<String> {
        let used = self.0.get_or_insert_with(|| {
            let closed = |node: &Value| at(node, "/spec/unschedulable") == Some(&json!(true));
            let open = store.list(nodes, "").filter(|(_, node)| !closed(node));
            let mut used: BTreeMap<String, usize> =
                open.map(|(key, _)| (key.2.clone(), 0)).collect();
            let known = pods.of.values().flatten();
            for pod in known.chain(there.iter().copied().flatten()) {
                if let Some(n) = used.get_mut(&pod.node) {
                    *n += 1;
                }
            }
            used
        });
        let room = used.iter_mut().filter(|(_, n)| **n < per_node);
        let (name, n) = room.min_by_key(|(_, n)| **n)?;
        *n += 1;
        Some(name.clone())
    }
}

/// Owner and template of the pods to create.
struct Workload<'a> {
    namespace: &'a str,
    name: &'a str,
    template: Arc<str>,
}

/// Returns the pod template as text, which distinguishes the pods of a rollout from older pods.
fn template(deployment: &Value) -> Arc<str> {
    deployment.pointer("/spec/template").map(Value::to_string).unwrap_or_default().into()
}

fn ready(pods: &[Pod], now: Instant) -> usize {
    pods.iter().filter(|pod| pod.ready_at <= now).count()
}

impl Cluster {
    /// Runs a pass of the workload controllers, the scheduler and the kubelets. The pass ends early
    /// if no `Deployment`, pod or node has changed, no pod is missing and no pod becomes ready.
    pub(super) fn pods(&mut self, now: Instant) -> Result<(), Refusal> {
        let deployments = kind("apps/v1", "Deployment")?;
        let (pods, nodes) = (kind("v1", "Pod")?, kind("v1", "Node")?);
        let per_step = f64::from(self.pace.pods_per_second) * self.pace.step.as_seconds_f64();
        self.budget = (self.budget + per_step).min(per_step.max(1.0) * 2.0);
        let kinds = [deployments, pods, nodes];
        let server = self.server.clone();
        server.with(|store| {
            let changed = Some(kinds.map(|k| store.changed(k))) != self.pods.seen;
            let due = self.pods.next_ready.is_some_and(|at| at <= now);
            if !changed && !self.pods.waiting && !due {
                return Ok(());
            }
            self.pods.forget_deleted(store, pods);
            let mut room = Room(None);
            (self.homeless, self.pods.waiting) = (0, false);
            let wanted: Vec<(Key, i64, Arc<str>)> = store
                .list(deployments, "")
                .map(|(key, d)| {
                    (key.clone(), number(d, "/spec/replicas").unwrap_or(1), template(d))
                })
                .collect();
            for (key, wanted, template) in wanted {
                let (_, namespace, name) = &key;
                let of = (namespace.clone(), name.clone());
                let mine = self.pods.of.remove(&of).unwrap_or_default();
                let wanted = usize::try_from(wanted).unwrap_or(0);
                let (mut there, mut old): (Vec<Pod>, Vec<Pod>) =
                    mine.into_iter().partition(|pod| pod.template == template);
                // During a rollout a Deployment may have a quarter more pods: the default
                // `maxSurge` of 25 %.
                let most = (wanted + wanted.div_ceil(4)).saturating_sub(old.len());
                let new = if old.is_empty() { wanted } else { wanted.min(most) };
                let workload = Workload { namespace, name, template };
                take(store, pods, &workload, new, &mut there)?;
                self.make(store, [pods, nodes], &workload, new, &mut there, &old, &mut room, now)?;
                let updated = there.len();
                self.retire(store, pods, &workload, &mut old, &there, wanted, now)?;
                there.append(&mut old);
                let mut status =
                    json!({"replicas": there.len(), "readyReplicas": ready(&there, now)});
                self.pods.of.insert(of, there);
                // The real Deployment controller omits a count of 0 from the status.
                if updated > 0 {
                    status["updatedReplicas"] = updated.into();
                }
                store.change(&key, Part::Status, |deployment| {
                    deployment["status"] = status;
                    Ok(())
                })?;
            }
            let to_come = self.pods.of.values().flatten().map(|pod| pod.ready_at);
            self.pods.next_ready = to_come.filter(|at| *at > now).min();
            self.pods.seen = Some(kinds.map(|k| store.changed(k)));
            Ok(())
        })
    }

    /// Deletes pods of an older template while enough other pods are ready: `maxUnavailable` is 0.
    #[expect(clippy::too_many_arguments, reason = "one step of a look")]
    fn retire(
        &mut self,
        store: &mut Store,
        pods: Kind,
        workload: &Workload<'_>,
        old: &mut Vec<Pod>,
        new: &[Pod],
        wanted: usize,
        now: Instant,
    ) -> Result<(), Refusal> {
        let mut serve = ready(old, now) + ready(new, now);
        // The sort puts pods that are not ready last: the loop removes from the end.
        old.sort_by_key(|pod| pod.ready_at);
        while let Some(surplus) = old.last() {
            let serves = surplus.ready_at <= now;
            if serves && serve <= wanted {
                self.pods.waiting = true;
                break;
            }
            serve -= usize::from(serves);
            store.delete(&workload.key(pods, &surplus.name), None, None)?;
            old.pop();
        }
        Ok(())
    }

    /// Creates missing pods, limited by the creation rate, the quota of the namespace and the room
    /// on nodes.
    #[expect(clippy::too_many_arguments, reason = "one step of a look")]
    fn make(
        &mut self,
        store: &mut Store,
        [pods, nodes]: [Kind; 2],
        workload: &Workload<'_>,
        wanted: usize,
        there: &mut Vec<Pod>,
        old: &[Pod],
        room: &mut Room,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Workload { namespace, name, template } = workload;
        let others = self.pods.others(namespace, name);
        let wanted = wanted.min(self.pace.pods_per_namespace.saturating_sub(others));
        while there.len() < wanted {
            self.pods.waiting = true;
            let first = self.pods.seen.is_none();
            if self.budget < 1.0 && !first {
                break;
            }
            let known = [there.as_slice(), old];
            let per_node = self.pace.pods_per_node;
            let Some(node) = room.place(store, nodes, &self.pods, &known, per_node) else {
                self.homeless += wanted - there.len();
                break;
            };
            self.budget -= 1.0;
            let pod = json!({
                "metadata": {
                    "generateName": format!("{name}-"),
                    "labels": {"app": name, "template": &**template},
                    "ownerReferences": [{
                        "apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                        "name": format!("{name}-1"), "uid": format!("rs-{namespace}-{name}"),
                    }],
                },
                "spec": {"nodeName": node}, "status": {"phase": "Running"},
            });
            let pod = store.create(pods, namespace, pod)?;
            let (least, most) = self.pace.start_up;
            let after = i64::try_from(self.random.u64(least..=most)).unwrap_or(i64::MAX);
            let after = TimeDelta::milliseconds(if first { 0 } else { after });
            let pulled = self.load.script.out_until(Outage::Images, now).unwrap_or(now);
            there.push(Pod {
                name: text(&pod, "/metadata/name").unwrap_or_default().to_owned(),
                node,
                template: template.clone(),
                ready_at: pulled + after,
            });
        }
        Ok(())
    }
}

impl Workload<'_> {
    fn key(&self, pods: Kind, pod: &str) -> Key {
        (pods, self.namespace.to_owned(), pod.to_owned())
    }
}

/// Deletes surplus pods. Pods that are not ready go first, as in the `ReplicaSet` controller.
fn take(
    store: &mut Store,
    pods: Kind,
    workload: &Workload<'_>,
    wanted: usize,
    there: &mut Vec<Pod>,
) -> Result<(), Refusal> {
    if there.len() > wanted {
        there.sort_by_key(|pod| pod.ready_at);
    }
    while there.len() > wanted
        && let Some(surplus) = there.pop()
    {
        store.delete(&workload.key(pods, &surplus.name), None, None)?;
    }
    Ok(())
}
