//! Workload controller, scheduler and kubelets: pods are made and put on nodes, become ready, and are taken away.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use primetime_core::Instant;
use serde_json::{Value, json};

use super::{Cluster, kind, number, text};
use crate::script::Part as Outage;
use crate::server::kinds::Kind;
use crate::server::store::{Key, Part, Refusal, Store};

/// Pods by workload, and how many each open node carries.
struct Picture {
    pods: BTreeMap<String, Vec<Key>>,
    used: BTreeMap<String, usize>,
}

impl Picture {
    fn of(store: &Store, pods: Kind, nodes: Kind) -> Self {
        let closed = |node: &_| super::at(node, "/spec/unschedulable") == Some(&json!(true));
        let open = store.list(nodes, "").filter(|(_, node)| !closed(node));
        let mut used: BTreeMap<String, usize> = open.map(|(key, _)| (key.2.clone(), 0)).collect();
        let mut of: BTreeMap<String, Vec<Key>> = BTreeMap::new();
        for (key, pod) in store.list(pods, "") {
            if let Some(n) = text(pod, "/spec/nodeName").and_then(|node| used.get_mut(node)) {
                *n += 1;
            }
            let app = text(pod, "/metadata/labels/app").unwrap_or_default();
            of.entry(format!("{}/{app}", key.1)).or_default().push(key.clone());
        }
        Self { pods: of, used }
    }

    /// A place on the node with the most room, if any has some.
    fn place(&mut self, per_node: usize) -> Option<String> {
        let room = self.used.iter_mut().filter(|(_, n)| **n < per_node);
        let (name, n) = room.min_by_key(|(_, n)| **n)?;
        *n += 1;
        Some(name.clone())
    }
}

/// Whose pods are made.
struct Workload<'a> {
    pods: Kind,
    key: &'a Key,
    template: &'a str,
}

/// What distinguishes pods of a rollout from those before it.
fn template(deployment: &Value) -> String {
    deployment.pointer("/spec/template").map(Value::to_string).unwrap_or_default()
}

impl Cluster {
    /// One look of all of them; nothing is done if nothing has changed since the last.
    pub(super) fn pods(&mut self, now: Instant) -> Result<(), Refusal> {
        let deployments = kind("apps/v1", "Deployment")?;
        let (pods, nodes) = (kind("v1", "Pod")?, kind("v1", "Node")?);
        let per_step = f64::from(self.pace.pods_per_second) * self.pace.step.as_seconds_f64();
        self.budget = (self.budget + per_step).min(per_step.max(1.0) * 2.0);
        let kinds = [deployments, pods, nodes];
        let server = self.server.clone();
        let changed = server.with(|store| Some(kinds.map(|k| store.changed(k)))) != self.seen;
        if !changed && !self.waiting && self.next_ready.is_none_or(|at| at > now) {
            return Ok(());
        }
        server.with(|store| {
            self.ready_at.retain(|key, _| store.get(key).is_some());
            let mut picture = Picture::of(store, pods, nodes);
            (self.homeless, self.waiting) = (0, false);
            let wanted: Vec<(Key, i64, String)> = store
                .list(deployments, "")
                .map(|(key, d)| {
                    (key.clone(), number(d, "/spec/replicas").unwrap_or(1), template(d))
                })
                .collect();
            for (key, wanted, template) in wanted {
                let mine = picture.pods.remove(&format!("{}/{}", key.1, key.2));
                let wanted = usize::try_from(wanted).unwrap_or(0);
                let (mine, old): (Vec<Key>, Vec<Key>) =
                    mine.unwrap_or_default().into_iter().partition(|pod| {
                        let of = store.get(pod).and_then(|p| text(p, "/metadata/labels/template"));
                        of.unwrap_or_default() == template
                    });
                // A quarter more while pods are replaced, as a Deployment does by itself.
                let room = (wanted + wanted.div_ceil(4)).saturating_sub(old.len());
                let workload = Workload { pods, key: &key, template: &template };
                let new = if old.is_empty() { wanted } else { wanted.min(room) };
                let mut there = self.make_or_take(store, workload, new, mine, &mut picture, now)?;
                let updated = there.len();
                there.extend(self.retire(store, old, &there, wanted, now)?);
                let ready = there.iter().filter(|k| self.is_ready(k, now));
                let mut status = json!({"replicas": there.len(), "readyReplicas": ready.count()});
                // The real one leaves a count of 0 out.
                if updated > 0 {
                    status["updatedReplicas"] = updated.into();
                }
                store.change(&key, Part::Status, |deployment| {
                    deployment["status"] = status;
                    Ok(())
                })?;
            }
            self.next_ready = self.ready_at.values().filter(|at| **at > now).min().copied();
            self.seen = Some(kinds.map(|k| store.changed(k)));
            Ok(())
        })
    }

    fn is_ready(&self, pod: &Key, now: Instant) -> bool {
        self.ready_at.get(pod).is_some_and(|at| *at <= now)
    }

    /// Takes pods of a template of before away, as far as enough are ready without them: none may be unavailable.
    fn retire(
        &mut self,
        store: &mut Store,
        mut old: Vec<Key>,
        new: &[Key],
        wanted: usize,
        now: Instant,
    ) -> Result<Vec<Key>, Refusal> {
        let serve = |pods: &[Key]| pods.iter().filter(|k| self.is_ready(k, now)).count();
        let mut ready = serve(&old) + serve(new);
        // Those that are not ready go first.
        old.sort_by_cached_key(|key| self.ready_at.get(key).copied().unwrap_or(Instant::MAX_UTC));
        while let Some(surplus) = old.last() {
            let serves = self.is_ready(surplus, now);
            if serves && ready <= wanted {
                self.waiting = true;
                break;
            }
            ready -= usize::from(serves);
            store.delete(surplus, None, None)?;
            self.ready_at.remove(surplus);
            old.pop();
        }
        Ok(old)
    }

    /// Brings one workload to its number of pods, as far as pace and room allow.
    fn make_or_take(
        &mut self,
        store: &mut Store,
        Workload { pods, key: workload, template }: Workload<'_>,
        wanted: usize,
        mut there: Vec<Key>,
        picture: &mut Picture,
        now: Instant,
    ) -> Result<Vec<Key>, Refusal> {
        let (_, namespace, name) = workload;
        if there.len() > wanted {
            // Those that are not ready go first, as the ReplicaSet controller does.
            there.sort_by_cached_key(|key| {
                self.ready_at.get(key).copied().unwrap_or(Instant::MAX_UTC)
            });
        }
        while there.len() > wanted
            && let Some(surplus) = there.pop()
        {
            store.delete(&surplus, None, None)?;
            self.ready_at.remove(&surplus);
        }
        let others = picture.pods.iter().filter(|(of, _)| of.starts_with(&format!("{namespace}/")));
        let others: usize = others.map(|(_, pods)| pods.len()).sum();
        let allowed = self.pace.pods_per_namespace.saturating_sub(others);
        while there.len() < wanted.min(allowed) {
            self.waiting = true;
            let first = self.seen.is_none();
            if self.budget < 1.0 && !first {
                break;
            }
            let Some(node) = picture.place(self.pace.pods_per_node) else {
                self.homeless += wanted - there.len();
                break;
            };
            self.budget -= 1.0;
            let pod = json!({
                "metadata": {
                    "generateName": format!("{name}-"),
                    "labels": {"app": name, "template": template},
                },
                "spec": {"nodeName": node}, "status": {"phase": "Running"},
            });
            let pod = store.create(pods, namespace, pod)?;
            let pod_name = text(&pod, "/metadata/name").unwrap_or_default().to_owned();
            let (least, most) = self.pace.start_up;
            let after = i64::try_from(self.random.u64(least..=most)).unwrap_or(i64::MAX);
            let key = (pods, namespace.clone(), pod_name);
            let after = TimeDelta::milliseconds(if first { 0 } else { after });
            let pulled = self.load.script.out_until(Outage::Images, now).unwrap_or(now);
            self.ready_at.insert(key.clone(), pulled + after);
            there.push(key);
        }
        Ok(there)
    }
}
