//! What came of an evening.

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

/// A workload at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// What its spec asks for.
    pub replicas: i64,
    /// Ready pods.
    pub ready: i64,
    /// What it is held at, if it is held.
    pub held: Option<i64>,
}

/// What was there at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The instant.
    pub at: Instant,
    /// Workloads, by name: the same ones while nothing has changed.
    pub workloads: Arc<[Workload]>,
    /// Instances that are started and not ended.
    pub machines: usize,
}

/// What came of an evening.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Everything that happened to objects, in order.
    pub history: Vec<Event>,
    /// Workloads and machines, second by second.
    pub looks: Vec<Look>,
    /// All instances that were ever started.
    pub machines: Vec<Machine>,
    /// Launches whose token no persisted, guarded run knew.
    pub unrecorded: Vec<String>,
    /// Instances whose termination was asked for by a run that is not theirs.
    pub foreign: Vec<String>,
    /// What an operator asked for and the chart does not grant.
    pub forbidden: Vec<String>,
    /// What operators asked for and were granted.
    pub used: BTreeSet<Asks>,
    /// Every life of every operator.
    pub lives: Vec<Life>,
    /// When operators stood still.
    pub pauses: Vec<Pause>,
    /// When requests were done that had been sent [`crate::gate::LATE`] before.
    pub late: Vec<Instant>,
    /// What the operators asked for.
    pub requests: Vec<String>,
    /// When all runs were over; nothing if they never were.
    pub over: Option<Instant>,
    /// The model contradicted itself.
    pub broken: Option<String>,
}

impl Recording {
    /// A number that is the same for the same evening.
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

    /// The last state of every object that is still there, by kind and name.
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

    /// What happened to workloads, holds and runs, a line each, for a reader who looks for a reason.
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
