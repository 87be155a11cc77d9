//! What is assumed of a cluster of which nothing is known, and who looks after an evening.

use std::collections::BTreeMap;

/// Lead time of an InstanceClass that is only named, in seconds: the default of the kind.
pub(super) const ASSUMED_LEAD_SECONDS: u32 = 600;

/// Who looks after an evening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// This operator, above the HPA.
    Primetime,
    /// The HPA alone, with an autoscaler of nodes.
    Hpa,
    /// The HPA with a window of fixed replicas from ten minutes before the start to the end, as KEDA's cron scaler tells
    /// it, and an autoscaler of nodes.
    KedaCron,
}

/// What is assumed of a cluster of which nothing is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Assumptions {
    /// Replicas before the event, by target.
    pub replicas: BTreeMap<String, u32>,
    /// Pods that fit on a machine.
    pub pods_per_node: u32,
    /// Shortest and longest time from a pod's scheduling to its readiness, in seconds.
    pub pod_seconds: (u32, u32),
    /// From the launch of a machine until its node is ready, in seconds.
    pub machine_seconds: u32,
    /// How full, in percent, the HPA wants a replica to be.
    pub hpa_percent: u32,
    /// How long the HPA remembers its wishes on the way down (`stabilizationWindowSeconds`), in seconds.
    pub hpa_memory_seconds: u32,
    /// How full, in percent, a replica is that carries what was announced of it.
    pub full_percent: u32,
}

impl Default for Assumptions {
    /// Pods and machines as Bedrock Streaming measured them: 30 to 60 s, 120 to 240 s
    /// (<https://tech.bedrockstreaming.com/2022/02/03/prescaling.html>).
    fn default() -> Self {
        Self {
            replicas: BTreeMap::new(),
            pods_per_node: 10,
            pod_seconds: (30, 60),
            machine_seconds: 240,
            hpa_percent: 100,
            hpa_memory_seconds: 300,
            full_percent: 100,
        }
    }
}
