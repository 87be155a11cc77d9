//! The controllers of the model and what they remember.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::TimeDelta;
use primetime_core::Instant;

use crate::cloud::CloudModel;
use crate::load::Load;
use crate::server::Server;
use crate::server::kinds::Kind;
use crate::server::object::Key;
use crate::server::refusal::Refusal;

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

/// A pod as its controller remembers it.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) node: String,
    /// The template that it was made from.
    pub(super) template: Arc<str>,
    pub(super) ready_at: Instant,
}

/// Pods by workload (namespace and name), in the order in which they were made, and what was seen of the store when they
/// were looked at last.
#[derive(Debug, Default)]
pub(super) struct Pods {
    pub(super) of: BTreeMap<(String, String), Vec<Pod>>,
    /// The resourceVersion up to which deletions were taken in.
    pub(super) told: u64,
    /// The resourceVersions of deployments, pods and nodes; nothing before the first look: what is there then is up.
    pub(super) seen: Option<[u64; 3]>,
    /// The next pod is ready then.
    pub(super) next_ready: Option<Instant>,
    /// Pods are missing, whyever.
    pub(super) waiting: bool,
}

/// The controllers and what they remember.
pub struct Cluster {
    pub(super) server: Server,
    pub(super) cloud: CloudModel,
    pub(super) load: Load,
    pub(super) pace: Pace,
    pub(super) random: fastrand::Rng,
    pub(super) pods: Pods,
    /// When each Job began, and when it is done.
    pub(super) done_at: BTreeMap<Key, (Instant, Instant)>,
    /// Pods that the controller manager may still create now.
    pub(super) budget: f64,
    /// Pods that are missing because there is no room for them.
    pub(super) homeless: usize,
    /// Machines of the node autoscaler that carry nothing.
    pub(super) idle_since: BTreeMap<String, Instant>,
    pub(super) consolidation_due: Instant,
    pub(super) hpa_due: Instant,
    pub(super) keda_due: Instant,
    pub(super) recommended: BTreeMap<Key, VecDeque<(Instant, i64)>>,
}

pub(super) fn kind(api_version: &str, name: &str) -> Result<Kind, Refusal> {
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
            pods: Pods::default(),
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
}
