//! The controllers of the cluster model, and their state.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::TimeDelta;
use primetime_core::Instant;

use crate::cloud::CloudModel;
use crate::cluster::behavior::Change;
use crate::load::Load;
use crate::server::Server;
use crate::server::kinds::Kind;
use crate::server::object::Key;
use crate::server::refusal::Refusal;

/// Timing and capacity of the simulated cluster.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Time between two passes of every controller but the HPA and KEDA.
    pub step: TimeDelta,
    /// Pods that the controller manager creates per second in the whole cluster. Kubernetes creates
    /// about 20.
    pub pods_per_second: u32,
    /// Pods that fit on a node.
    pub pods_per_node: usize,
    /// Pod quota of a namespace. A workload controller creates no pod beyond the quota, not even a
    /// pending pod.
    pub pods_per_namespace: usize,
    /// Shortest and longest time from the scheduling of a pod to its readiness, in milliseconds.
    pub start_up: (u64, u64),
    /// Time between two syncs of the HPA or of KEDA. The Kubernetes default is 15 s.
    pub hpa_sync: TimeDelta,
    /// Scale-down stabilization window of the HPA. The Kubernetes default is 300 s.
    pub hpa_memory: TimeDelta,
    /// Maximum number of machines that the node autoscaler may run for pods without room. A value
    /// of 0 means no node autoscaler.
    pub node_autoscaler: u32,
}

/// Record of a pod in the memory of the workload controller.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) node: String,
    /// Pod template (`spec.template`) from which the controller created the pod.
    pub(super) template: Arc<str>,
    pub(super) ready_at: Instant,
}

/// Pods by workload (namespace and name) in the order of creation, and the store's versions at the
/// last pass.
#[derive(Debug, Default)]
pub(super) struct Pods {
    pub(super) of: BTreeMap<(String, String), Vec<Pod>>,
    /// `resourceVersion` up to which the controller has processed deletions.
    pub(super) told: u64,
    /// Versions of the store at the last change of a `Deployment`, pod or node. The value is `None`
    /// before the first pass, whose pods are ready at once.
    pub(super) seen: Option<[u64; 3]>,
    /// Earliest time at which a further pod becomes ready.
    pub(super) next_ready: Option<Instant>,
    /// True if a pod is missing or an old pod cannot be removed yet, for any reason.
    pub(super) waiting: bool,
}

/// The controllers of the cluster model, and their state.
pub struct Cluster {
    pub(super) server: Server,
    pub(super) cloud: CloudModel,
    pub(super) load: Load,
    pub(super) pace: Pace,
    pub(super) random: fastrand::Rng,
    pub(super) pods: Pods,
    /// Begin and planned end of each Job.
    pub(super) done_at: BTreeMap<Key, (Instant, Instant)>,
    /// Number of pods that the controller manager may still create in the current pass.
    pub(super) budget: f64,
    /// Pods that are missing because no node has room.
    pub(super) homeless: usize,
    /// Start of the idle time of each empty machine of the node autoscaler, by instance id.
    pub(super) idle_since: BTreeMap<String, Instant>,
    pub(super) consolidation_due: Instant,
    pub(super) hpa_due: Instant,
    pub(super) keda_due: Instant,
    pub(super) recommended: BTreeMap<Key, VecDeque<(Instant, i64)>>,
    /// Changes of `spec.replicas` by each HPA, oldest first.
    pub(super) changes: BTreeMap<Key, VecDeque<Change>>,
}

pub(super) fn kind(api_version: &str, name: &str) -> Result<Kind, Refusal> {
    Kind::of(api_version, name).ok_or_else(|| Refusal::Unserved(name.to_owned()))
}

impl Cluster {
    /// Builds the controllers of a server, as just started.
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
            changes: BTreeMap::new(),
        }
    }
}
