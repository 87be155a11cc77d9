//! What was observed outside our own objects. Every observation may be [`Seen::Unknown`], which never lowers anything.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::Instant;
use crate::reference;
use crate::state::ledger::Launch;

/// An observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    /// Seen.
    Known(T),
    /// Looked for with a quorum read and not there.
    Absent,
    /// Not seen, and that says nothing.
    Unknown(String),
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self::Unknown("not looked at yet".to_owned())
    }
}

impl<T> Seen<T> {
    /// The value, if it was seen.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

/// The observed state of a workload and its autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetState {
    /// `spec.replicas`.
    pub replicas: u32,
    /// Pods that are ready.
    pub ready: u32,
    /// Some of its pods are of a template of before: a rollout is going on.
    pub rolling: bool,
    /// The field manager that last wrote the replicas.
    pub written_by: Option<String>,
    /// What scales it.
    pub autoscaler: Option<Autoscaler>,
    /// Its autoscaler is paused: the bounds have no effect for now.
    pub paused: bool,
    /// Replicas that the autoscaler keeps only because of the minimum it last read; `None` otherwise.
    pub kept_at: Option<u32>,
}

/// What scales a workload.
#[derive(
    Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaler {
    /// Which kind.
    pub kind: AutoscalerKind,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
    /// Its minimum; absent where the field is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Its maximum; absent where the field is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// What KEDA keeps while none of its triggers is active, whatever the minimum is (`idleReplicaCount`); absent where the
    /// field is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<u32>,
}

impl Autoscaler {
    /// Whether both are the same object.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.kind, &self.name) == (other.kind, &other.name)
    }
}

/// The autoscalers whose floor can be raised.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub enum AutoscalerKind {
    /// `autoscaling/v2`.
    HorizontalPodAutoscaler,
    /// KEDA: its own bounds are written, never those of the HPA it generates.
    ScaledObject,
}

impl AutoscalerKind {
    /// The kind as people write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::ScaledObject => "ScaledObject",
        }
    }
}

/// An `InstanceClass`: the platform team's word on how machines start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceClass {
    /// From asking until the node is Ready.
    pub lead: TimeDelta,
    /// What the cloud is asked.
    pub launch: Launch,
}

/// A `MetricsSource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSource {
    /// Older samples say nothing.
    pub max_age: TimeDelta,
}

/// An instance that carries a run's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The cloud's id.
    pub id: String,
    /// The token of the batch it was started by.
    pub token: String,
    /// It is terminated or shutting down for good.
    pub terminated: bool,
}

/// What the cloud says of a run's instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// All that carry the run's tag.
    pub instances: Vec<Instance>,
    /// When the cloud was asked.
    pub at: Instant,
}

/// The cloud's answer to a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchAnswer {
    /// What came, and why not everything did.
    Came {
        /// Ids.
        ids: Vec<String>,
        /// In the cloud's words.
        shortfall: Option<Refusal>,
    },
    /// Nothing came, and the cloud says so.
    Refused(Refusal),
}

/// Why the cloud did not give what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind of trouble.
    pub class: RefusalClass,
    /// In the cloud's words.
    pub message: String,
}

/// Trouble of different kinds is answered differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalClass {
    /// No machines of that type in that zone now.
    Capacity,
    /// The account may not have more: another zone does not help.
    Quota,
    /// Asked too often.
    Throttled,
    /// The request is wrong: a missing template, a missing right.
    Invalid,
}

/// A node that an instance became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name of the Node.
    pub name: String,
    /// Its Ready condition is True.
    pub ready: bool,
    /// Cordoned.
    pub unschedulable: bool,
    /// Pods that must leave before it may be terminated (daemons and finished pods left out), once counted.
    pub pods_left: Option<u32>,
}

/// The Jobs of a namespace that runs speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jobs {
    /// Names of what a Job can be made from, besides Jobs.
    pub cron_jobs: BTreeSet<String>,
    /// Jobs by name.
    pub jobs: BTreeMap<String, Job>,
    /// Names of Jobs that were asked for by name and are not there any more.
    pub gone: BTreeSet<String>,
    /// Why the last attempt to create a Job was refused, by name.
    pub errors: BTreeMap<String, String>,
}

/// A Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its uid.
    pub uid: String,
    /// The uid of the run that owns it, if one does.
    pub run_uid: Option<String>,
    /// It does not run.
    pub suspended: bool,
    /// It has succeeded, or failed and why; nothing while it goes on.
    pub outcome: Option<Result<(), String>>,
}
