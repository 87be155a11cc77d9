//! A model of what acts on the API server besides us: workload controller, scheduler, kubelets, autoscalers of pods and
//! of nodes, machines that join.

mod hpa;
mod jobs;
mod keda;
mod nodes;
mod pods;

use std::collections::{BTreeMap, VecDeque};

use chrono::TimeDelta;
use primetime_core::Instant;

pub use self::jobs::{FAILS, TAKES};
pub use self::nodes::node;
use crate::cloud::CloudModel;
use crate::field::{at, number, text};
use crate::load::Load;
use crate::script::Part;
use crate::server::Server;
use crate::server::kinds::Kind;
use crate::server::store::{Key, Refusal};

/// How the cluster behaves.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Between two looks of every controller but the HPA.
    pub step: TimeDelta,
    /// Pods that the controller manager creates a second in the whole cluster; stock is about 20.
    pub pods_per_second: u32,
    /// Pods that fit on a node.
    pub pods_per_node: usize,
    /// Pods that a namespace may have: beyond it none is made, and none is waiting.
    pub pods_per_namespace: usize,
    /// Shortest and longest time from a pod's scheduling to its readiness, in milliseconds.
    pub start_up: (u64, u64),
    /// Between two looks of the HPA; stock is 15 s.
    pub hpa_sync: TimeDelta,
    /// The HPA's memory of its own higher recommendations; stock is 300 s.
    pub hpa_memory: TimeDelta,
    /// Machines that an autoscaler of nodes may start for pods that find no room; none without one.
    pub node_autoscaler: u32,
}

/// The controllers and what they remember.
pub struct Cluster {
    server: Server,
    cloud: CloudModel,
    load: Load,
    pace: Pace,
    random: fastrand::Rng,
    pods: pods::Pods,
    /// When each Job began, and when it is done.
    done_at: BTreeMap<Key, (Instant, Instant)>,
    /// Pods that the controller manager may still create now.
    budget: f64,
    /// Pods that are missing because there is no room for them.
    homeless: usize,
    /// Machines of the node autoscaler that carry nothing.
    idle_since: BTreeMap<String, Instant>,
    consolidation_due: Instant,
    hpa_due: Instant,
    keda_due: Instant,
    recommended: BTreeMap<Key, VecDeque<(Instant, i64)>>,
}

fn kind(api_version: &str, name: &str) -> Result<Kind, Refusal> {
    Kind::of(api_version, name).ok_or_else(|| Refusal::Unserved(name.to_owned()))
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
            pods: pods::Pods::default(),
            done_at: BTreeMap::new(),
            budget: 0.0,
            homeless: 0,
            idle_since: BTreeMap::new(),
            consolidation_due: now,
            hpa_due: now,
            keda_due: now,
            recommended: BTreeMap::new(),
        }
    }

    /// One look of every controller.
    ///
    /// # Errors
    ///
    /// If the model contradicts itself.
    pub fn step(&mut self, now: Instant) -> Result<(), Refusal> {
        self.consolidate(now)?;
        self.join_and_leave(now)?;
        self.pods(now)?;
        self.jobs(now)?;
        self.autoscale_nodes(now)?;
        self.generate(now)?;
        if now >= self.hpa_due && !self.load.script.is_out(Part::Api, now) {
            self.hpa_due = now + self.pace.hpa_sync;
            self.autoscale(now)?;
        }
        Ok(())
    }
}
