//! Assumptions about a cluster of which the simulator has no data, and the scaling strategies.

use std::collections::BTreeMap;

/// Lead time of an `InstanceClass` that the files do not contain, in seconds: the default of
/// `spec.leadSeconds`.
pub(super) const ASSUMED_LEAD_SECONDS: u32 = 600;

/// Scaling strategy that handles an evening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The Primetime operator together with the HPA.
    Primetime,
    /// The HPA and a node autoscaler, without Primetime and without KEDA.
    Hpa,
    /// The HPA with a KEDA cron window, and a node autoscaler. The cron scaler requests the planned
    /// replicas from ten minutes before the start until the end of the event.
    KedaCron,
}

/// Assumptions about a cluster of which the simulator has no data.
#[derive(Clone, Debug, PartialEq)]
pub struct Assumptions {
    /// Replicas before the event, by name of the target.
    pub replicas: BTreeMap<String, u32>,
    /// Pods that fit on a machine.
    pub pods_per_node: u32,
    /// Shortest and longest time from the scheduling of a pod to its readiness, in seconds.
    pub pod_seconds: (u32, u32),
    /// Time from the launch of a machine to the readiness of its Node, in seconds.
    pub machine_seconds: u32,
    /// Load per replica at which the HPA aims (`averageValue`), in percent of the announced load
    /// per replica.
    pub hpa_percent: u32,
    /// Stabilization window of the HPA for scale-down (`stabilizationWindowSeconds`), in seconds.
    pub hpa_memory_seconds: u32,
    /// Utilization of a replica at the announced load per replica, in percent.
    pub full_percent: u32,
}

impl Default for Assumptions {
    /// Start-up times of pods and machines as measured by Bedrock Streaming: 30 to 60 s and 120 to
    /// 240 s (<https://tech.bedrockstreaming.com/2022/02/03/prescaling.html>).
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
