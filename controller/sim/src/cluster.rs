//! A model of what acts on the API server besides us: workload controller, scheduler, kubelets, HPA, machines that join.
//!
//! The HPA follows the algorithm of
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details>.

use std::collections::{BTreeMap, VecDeque};

use chrono::TimeDelta;
use primetime_core::Instant;
use serde_json::{Value, json};

use crate::cloud::CloudModel;
use crate::load::Load;
use crate::server::Server;
use crate::server::kinds::Kind;
use crate::server::store::{Key, Part, Refusal, Store};

/// How the cluster behaves.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Between two looks of every controller but the HPA.
    pub step: TimeDelta,
    /// Pods that the controller manager creates a second in the whole cluster; stock is about 20.
    pub pods_per_second: u32,
    /// Pods that fit on a node.
    pub pods_per_node: usize,
    /// Shortest and longest time from a pod's scheduling to its readiness, in milliseconds.
    pub start_up: (u64, u64),
    /// Between two looks of the HPA; stock is 15 s.
    pub hpa_sync: TimeDelta,
    /// The HPA's memory of its own higher recommendations; stock is 300 s.
    pub hpa_memory: TimeDelta,
    /// Sessions that one pod carries.
    pub per_pod: f64,
}

/// The HPA's tolerance: a smaller deviation is none.
const TOLERANCE: f64 = 0.1;

/// The controllers and what they remember.
pub struct Cluster {
    server: Server,
    cloud: CloudModel,
    load: Load,
    pace: Pace,
    random: fastrand::Rng,
    ready_at: BTreeMap<Key, Instant>,
    budget: f64,
    hpa_due: Instant,
    recommended: BTreeMap<Key, VecDeque<(Instant, i64)>>,
}

fn kind(api_version: &str, name: &str) -> Result<Kind, Refusal> {
    Kind::of(api_version, name).ok_or_else(|| Refusal::Unserved(name.to_owned()))
}

fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

impl Cluster {
    /// Controllers of this server that have just started.
    #[must_use]
    pub fn new(
        server: Server,
        cloud: CloudModel,
        load: Load,
        pace: Pace,
        seed: u64,
        now: Instant,
    ) -> Self {
        Self {
            server,
            cloud,
            load,
            pace,
            random: fastrand::Rng::with_seed(seed),
            ready_at: BTreeMap::new(),
            budget: 0.0,
            hpa_due: now,
            recommended: BTreeMap::new(),
        }
    }

    /// One look of every controller.
    ///
    /// # Errors
    ///
    /// If the model contradicts itself.
    pub fn step(&mut self, now: Instant) -> Result<(), Refusal> {
        self.machines(now)?;
        self.pods(now)?;
        self.kubelets(now)?;
        if now >= self.hpa_due {
            self.hpa_due = now + self.pace.hpa_sync;
            self.autoscale(now)?;
        }
        Ok(())
    }

    /// Machines that have booted join; terminated ones leave, and their pods with them.
    fn machines(&self, now: Instant) -> Result<(), Refusal> {
        let (nodes, pods) = (kind("v1", "Node")?, kind("v1", "Pod")?);
        let machines = self.cloud.with(|fleet| fleet.machines.clone());
        self.server.with(|store| {
            for machine in machines {
                let name = format!("burst-{}", machine.id);
                let key: Key = (nodes, String::new(), name.clone());
                let joined = store.get(&key).is_some();
                if !machine.terminated && !joined && now >= machine.boots_at {
                    store.create(nodes, "", node(&name, Some(&machine.id)))?;
                } else if machine.terminated && joined {
                    store.delete(&key, None, None)?;
                    let on_it = |pod: &Value| text(pod, "/spec/nodeName") == Some(name.as_str());
                    let orphans: Vec<Key> = store
                        .list(pods, "")
                        .filter(|(_, pod)| on_it(pod))
                        .map(|(key, _)| key.clone())
                        .collect();
                    for orphan in orphans {
                        store.delete(&orphan, None, None)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Workload controller and scheduler: pods are made and put on nodes, or taken away.
    fn pods(&mut self, now: Instant) -> Result<(), Refusal> {
        let (deployments, pods) = (kind("apps/v1", "Deployment")?, kind("v1", "Pod")?);
        let per_step = f64::from(self.pace.pods_per_second) * self.pace.step.as_seconds_f64();
        self.budget = (self.budget + per_step).min(per_step.max(1.0) * 2.0);
        let (random, ready_at, pace) = (&mut self.random, &mut self.ready_at, &self.pace);
        let budget = &mut self.budget;
        self.server.with(|store| {
            let wanted: Vec<(Key, i64)> = store
                .list(deployments, "")
                .map(|(key, d)| (key.clone(), number(d, "/spec/replicas").unwrap_or(1)))
                .collect();
            ready_at.retain(|key, _| store.get(key).is_some());
            for (key, wanted) in wanted {
                let (_, namespace, name) = &key;
                let mut there: Vec<Key> = store
                    .list(pods, namespace)
                    .filter(|(_, pod)| text(pod, "/metadata/labels/app") == Some(name.as_str()))
                    .map(|(key, _)| key.clone())
                    .collect();
                let wanted = usize::try_from(wanted).unwrap_or(0);
                // Those that are not ready go first, as the ReplicaSet controller does.
                there.sort_by_key(|key| ready_at.get(key).copied().unwrap_or(Instant::MAX_UTC));
                while there.len() > wanted
                    && let Some(surplus) = there.pop()
                {
                    store.delete(&surplus, None, None)?;
                    ready_at.remove(&surplus);
                }
                let mut missing = wanted.saturating_sub(there.len());
                while missing > 0 && *budget >= 1.0 {
                    let Some(node) = roomiest(store, pace.pods_per_node)? else { break };
                    *budget -= 1.0;
                    missing -= 1;
                    let pod = json!({
                        "metadata": {"generateName": format!("{name}-"), "labels": {"app": name}},
                        "spec": {"nodeName": node}, "status": {"phase": "Running"},
                    });
                    let pod = store.create(pods, namespace, pod)?;
                    let pod_name = text(&pod, "/metadata/name").unwrap_or_default().to_owned();
                    let (least, most) = pace.start_up;
                    let after = i64::try_from(random.u64(least..=most)).unwrap_or(i64::MAX);
                    let at = now + TimeDelta::milliseconds(after);
                    ready_at.insert((pods, namespace.clone(), pod_name), at);
                }
            }
            Ok(())
        })
    }

    /// Kubelets: pods become ready, and the workload's status says so.
    fn kubelets(&self, now: Instant) -> Result<(), Refusal> {
        let deployments = kind("apps/v1", "Deployment")?;
        let pods = kind("v1", "Pod")?;
        self.server.with(|store| {
            let keys: Vec<Key> = store.list(deployments, "").map(|(k, _)| k.clone()).collect();
            for key in keys {
                let of_it = |pod: &Value| text(pod, "/metadata/labels/app") == Some(key.2.as_str());
                let mine: Vec<Key> = store
                    .list(pods, &key.1)
                    .filter(|(_, pod)| of_it(pod))
                    .map(|(key, _)| key.clone())
                    .collect();
                let ready =
                    mine.iter().filter(|k| self.ready_at.get(*k).is_some_and(|at| *at <= now));
                let status = json!({"replicas": mine.len(), "readyReplicas": ready.count()});
                store.change(&key, Part::Status, |deployment| {
                    deployment["status"] = status;
                    Ok(())
                })?;
            }
            Ok(())
        })
    }

    /// The HPA: bounds first, then the metric with tolerance, doubling and memory.
    fn autoscale(&mut self, now: Instant) -> Result<(), Refusal> {
        let (hpas, deployments) =
            (kind("autoscaling/v2", "HorizontalPodAutoscaler")?, kind("apps/v1", "Deployment")?);
        let (load, pace) = (self.load.at(now), &self.pace);
        let recommended = &mut self.recommended;
        self.server.with(|store| {
            let all: Vec<(Key, Value)> =
                store.list(hpas, "").map(|(k, v)| (k.clone(), v.clone())).collect();
            for (key, hpa) in all {
                let Some(name) = text(&hpa, "/spec/scaleTargetRef/name") else { continue };
                let target: Key = (deployments, key.1.clone(), name.to_owned());
                let Some(deployment) = store.get(&target) else { continue };
                let current = number(deployment, "/spec/replicas").unwrap_or(1);
                // A target at 0 is left alone: the implicit maintenance mode.
                if current == 0 {
                    continue;
                }
                let min = number(&hpa, "/spec/minReplicas").unwrap_or(1);
                let max = number(&hpa, "/spec/maxReplicas").unwrap_or(1);
                let exact = load / pace.per_pod;
                #[expect(clippy::cast_precision_loss, reason = "pods")]
                let deviation = (exact / current as f64 - 1.0).abs();
                #[expect(clippy::cast_possible_truncation, reason = "pods")]
                let wish = if deviation <= TOLERANCE { current } else { exact.ceil() as i64 };
                let memory = recommended.entry(key.clone()).or_default();
                memory.push_back((now, wish));
                while memory.front().is_some_and(|(at, _)| now - *at > pace.hpa_memory) {
                    memory.pop_front();
                }
                let held = memory.iter().map(|(_, wish)| *wish).max().unwrap_or(wish);
                let desired = if wish < current { held.min(current) } else { wish };
                let at_most = (current * 2).max(current + 4);
                let desired = if current < min {
                    min
                } else if current > max {
                    max
                } else {
                    desired.min(at_most).clamp(min, max)
                };
                if desired != current {
                    store.change(&target, Part::Main, |deployment| {
                        deployment["spec"]["replicas"] = desired.into();
                        crate::server::scale::owned_by(deployment, "kube-controller-manager");
                        Ok(())
                    })?;
                }
            }
            Ok(())
        })
    }
}

/// A node that is ready.
#[must_use]
pub fn node(name: &str, instance: Option<&str>) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"providerID": instance.map(|id| format!("aws:///eu-west-3a/{id}"))},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// The node with the most room, if any has some.
fn roomiest(store: &Store, per_node: usize) -> Result<Option<String>, Refusal> {
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, pod) in store.list(kind("v1", "Pod")?, "") {
        *used.entry(text(pod, "/spec/nodeName").unwrap_or_default()).or_default() += 1;
    }
    let open = |node: &Value| node.pointer("/spec/unschedulable") != Some(&json!(true));
    let nodes = store.list(kind("v1", "Node")?, "").filter(|(_, node)| open(node));
    let room = nodes.map(|((_, _, name), _)| (used.get(name.as_str()).copied().unwrap_or(0), name));
    Ok(room.filter(|(used, _)| *used < per_node).min().map(|(_, name)| name.clone()))
}
