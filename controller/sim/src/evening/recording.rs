//! Recording of an evening.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use primetime_core::Instant;
use serde_json::Value;

use crate::cloud::Machine;
use crate::field::at;
use crate::gate::Pause;
use crate::operator::Life;
use crate::server::access::Asks;
use crate::server::kinds::Kind;
use crate::server::object::Event;
use crate::server::store::Store;

/// State of a workload at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Name of the workload.
    pub name: String,
    /// Desired replicas (`spec.replicas`).
    pub replicas: i64,
    /// Ready pods (`status.readyReplicas`).
    pub ready: i64,
    /// Replicas of the workload's hold (`spec.level.replicas`), if a hold exists.
    pub held: Option<i64>,
}

/// State of all workloads and machines at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Time of the snapshot.
    pub at: Instant,
    /// Workloads by name. Consecutive snapshots share the list while the store is unchanged.
    pub workloads: Arc<[Workload]>,
    /// Number of instances that are started and not terminated.
    pub machines: usize,
}

/// Recording of an evening: the input of the oracles.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// All changes of objects, in order.
    pub history: Vec<Event>,
    /// Snapshots of workloads and machines, second by second.
    pub looks: Vec<Look>,
    /// All instances that an evening started.
    pub machines: Vec<Machine>,
    /// Tokens of launches that stood in the ledger of no guarded run.
    pub unrecorded: Vec<String>,
    /// Instances that belong to one run, but whose termination another run requested.
    pub foreign: Vec<String>,
    /// Requests of an operator that the chart's roles do not allow.
    pub forbidden: Vec<String>,
    /// Verbs and resources that operators requested and that the chart's roles allow.
    pub used: BTreeSet<Asks>,
    /// Lives of all operator processes.
    pub lives: Vec<Life>,
    /// Pauses of operator processes.
    pub pauses: Vec<Pause>,
    /// Execution times of requests that an operator sent [`crate::gate::LATE`] earlier.
    pub late: Vec<Instant>,
    /// Requests of all operators, in order.
    pub requests: Vec<String>,
    /// Time at which the last run completed. The value is `None` if a run never completed.
    pub over: Option<Instant>,
    /// Error of the model, if the model contradicted itself.
    pub broken: Option<String>,
}

impl Recording {
    /// Returns a hash of requests and history. Equal evenings have equal hashes.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.requests.hash(&mut hasher);
        for event in &self.history {
            (event.version, event.what, &event.key.2, event.at).hash(&mut hasher);
            event.object.text().hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Returns the last state of every remaining object, by kind and name.
    #[must_use]
    pub fn last(&self) -> BTreeMap<(&str, &str), &Value> {
        let mut last = BTreeMap::new();
        for event in &self.history {
            let key = (event.key.0.kind, event.key.2.as_str());
            if event.what == "DELETED" {
                last.remove(&key);
            } else {
                last.insert(key, &**event.object);
            }
        }
        last
    }

    /// Returns the changes of workloads, autoscalers, holds and runs as lines of text, for a reader
    /// who investigates a failure.
    #[must_use]
    pub fn story(&self) -> Vec<String> {
        let mut told: BTreeMap<(&str, &str), String> = BTreeMap::new();
        let mut lines = Vec::new();
        for event in &self.history {
            let (kind, name) = (event.key.0.kind, event.key.2.as_str());
            let show = |pointer: &str| {
                at(&event.object, pointer).map_or_else(String::new, Value::to_string)
            };
            let now = match kind {
                "Deployment" => show("/spec/replicas"),
                "HorizontalPodAutoscaler" => {
                    format!("{} to {}", show("/spec/minReplicas"), show("/spec/maxReplicas"))
                }
                "SurgeHold" => show("/spec"),
                "SurgeRun" => format!(
                    "{} {} {}",
                    show("/status/stage"),
                    show("/status/message"),
                    show("/status/release")
                ),
                "Event" => show("/note"),
                _ => continue,
            };
            let now = if event.what == "DELETED" { "gone".to_owned() } else { now };
            if told.insert((kind, name), now.clone()).as_ref() != Some(&now) {
                lines.push(format!("{} {kind} {name}: {now}", event.at.format("%H:%M:%S%.3f")));
            }
        }
        lines
    }
}

pub(super) fn workloads(store: &Store) -> Vec<Workload> {
    let kinds =
        (Kind::of("apps/v1", "Deployment"), Kind::of("primetime.dev/v1alpha1", "SurgeHold"));
    let (Some(deployments), Some(holds)) = kinds else { return Vec::new() };
    let number = |object: &Value, pointer| at(object, pointer).and_then(Value::as_i64);
    store
        .list(deployments, "")
        .map(|((_, namespace, name), deployment)| {
            let of_it = |hold: &Value| {
                at(hold, "/spec/targetRef/name").and_then(Value::as_str) == Some(name)
            };
            let hold = store.list(holds, namespace).find(|(_, hold)| of_it(hold));
            Workload {
                name: name.clone(),
                replicas: number(deployment, "/spec/replicas").unwrap_or(1),
                ready: number(deployment, "/status/readyReplicas").unwrap_or(0),
                held: hold.and_then(|(_, hold)| number(hold, "/spec/level/replicas")),
            }
        })
        .collect()
}
