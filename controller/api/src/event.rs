//! Settings of an event in `ScheduledSurge` and `SurgeRun`: capacity at T0, limits of growth, and
//! release.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use primetime_core::reference;
use primetime_core::state::announcement::{OnUnknown, Workload};

use crate::degrade::DegradeStep;
use crate::job::JobStep;
use crate::object_ref::ObjectRef;
use crate::shape::Shape;

/// Settings of an event, in `ScheduledSurge` and `SurgeRun`.
///
/// CEL rules over several fields stand on both kinds, because the schema of a kind loses the rules
/// of a flattened struct.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EventSpec {
    /// Workloads that must be ready at T0. At most 64.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub targets: Vec<Target>,
    /// Share of the planned replicas over the time of the event, for each target without a `shape` of
    /// its own. If absent, the planned replicas count from T0 until the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// Groups of machines that the operator launches for the event. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub machines: Vec<MachineGroup>,
    /// Jobs that must be complete at T0, such as a Job that fills a cache. The operator creates
    /// each Job `deadlineSeconds` before T0, or earlier if another Job names the Job in `after`. At
    /// most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub warm_up: Vec<JobStep>,
    /// Jobs that the operator creates when the event starts. The run does not wait for the Jobs. At
    /// most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub on_live: Vec<JobStep>,
    /// Jobs that the operator creates when the release begins. The run is complete only after each
    /// Job has ended or exceeded `deadlineSeconds`. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub on_release: Vec<JobStep>,
    /// Live metrics that may raise targets above the plan. A signal lowers no target before the end
    /// of the event. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub signals: Vec<Signal>,
    /// Degradation steps for missing capacity, mildest step first. Steps become active
    /// independently and inactive in reverse order. The operator then restores the previous values.
    /// At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub degrade: Vec<DegradeStep>,
    /// Policy for floors during the release while a signal is unknown. `Hold` keeps the floors.
    /// `HoldOrPlan` also raises the floors to the plan after 60 seconds. The release continues
    /// without the signal from `hold.maxSeconds` after the end on. Defaults to `Hold`.
    #[serde(default)]
    pub on_unknown: OnUnknown,
    /// Hold phase after the end: floors stay up until the live load has dropped. If absent, the
    /// release begins at the end of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldAfterEnd>,
    /// Pace of the release.
    #[serde(default)]
    pub release: Release,
    /// Trigger that starts the event: `Automatic` or `Manual`. Defaults to `Automatic`.
    #[serde(default)]
    pub start_policy: StartPolicy,
    /// Time in seconds after the announced start within which a person may start the event. If the
    /// time passes without a start, the operator cancels the event. Allowed with `startPolicy:
    /// Manual` only. Range 1 to 604800. Defaults to the duration of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub armed_seconds: Option<u32>,
}

/// Trigger that starts an event.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartPolicy {
    /// The event starts at the announced time.
    #[default]
    Automatic,
    /// The event starts when a person runs `kubectl surge start`, for an event without a known
    /// exact start. All capacity is ready at T0 and stays up.
    Manual,
}

/// A workload that must be ready at T0. Exactly one of `replicas`, `multiplier` and `load` is
/// required.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.replicas) ? 1 : 0) + (has(self.multiplier) ? 1 : 0) + (has(self.load) ? 1 : 0) == 1")
        .message("spec.targets: exactly one of replicas, multiplier and load"),
    validation = Rule::new("has(self.load) == has(self.loadPerReplica)")
        .message("spec.targets: load and loadPerReplica belong together"),
    validation = Rule::new("!has(self.replicas) || !has(self.maxReplicas) || self.replicas <= self.maxReplicas")
        .message("spec.targets: replicas exceeds maxReplicas"),
    validation = Rule::new("!has(self.load) || !has(self.loadPerReplica) || !has(self.maxReplicas) || self.loadPerReplica <= 0 || (self.load - 1) / self.loadPerReplica < self.maxReplicas")
        .message("spec.targets: load needs more replicas than maxReplicas"),
    validation = Rule::new("!has(self.load) || !has(self.loadPerReplica) || self.loadPerReplica <= 0 || (self.load - 1) / self.loadPerReplica < 10000")
        .message("spec.targets: load needs more than 10000 replicas"),
    validation = Rule::new("!has(self.multiplier) || double(self.multiplier) <= 1000.0")
        .message("spec.targets: multiplier must be at most 1000")
)]
pub struct Target {
    /// Name of the target within the surge.
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::LABEL))]
    pub name: String,
    /// Workload to scale, in the namespace of the surge. The kind must have a scale subresource.
    pub scale_target_ref: ScaleTargetRef,
    /// Number of replicas that must be ready at T0. Range 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub replicas: Option<i32>,
    /// Factor for the planned replicas: a decimal, such as "18", at most 1000. The factor applies to
    /// the replicas found before the first write. The plan is at most 10000 replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 12), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub multiplier: Option<String>,
    /// Forecast load. The planned replicas are `load` divided by `loadPerReplica`, rounded up.
    /// Minimum 1. The plan is at most 10000 replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub load: Option<i64>,
    /// Load per replica, in the unit of `load`. Required with `load`. Minimum 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub load_per_replica: Option<i64>,
    /// Maximum number of replicas that signals and boosts may request. Range 1 to 10000. Defaults
    /// to the planned replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_replicas: Option<i32>,
    /// Replica levels for signals. A signal raises the target to the lowest sufficient level, or
    /// above the last level to `maxReplicas`. If absent, a signal raises the target to the replicas
    /// that the load needs. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub rungs: Vec<Rung>,
    /// Maximum number of unready pods while signals raise the target. The limit protects the
    /// control plane and the backends of the pods. If absent, signals raise the target in a single
    /// write. Range 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_step_replicas: Option<i32>,
    /// Lead time in seconds, from raising the target until the pods are ready. Defaults to 360.
    /// Range 1 to 86400.
    #[serde(default = "default_target_lead_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub lead_seconds: u32,
    /// Share of the planned replicas over the time of the event. Defaults to `spec.shape` of the
    /// surge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
}

/// Reference to a workload in the namespace of the surge.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.kind.size() + self.name.size() + (self.apiVersion.contains('/') && !self.apiVersion.startsWith('apps/') ? self.apiVersion.indexOf('/') : 0) <= 251")
        .message("spec.targets: the name is too long: the name of its SurgeHold, which has the kind in it, would exceed 253 characters")
)]
pub struct ScaleTargetRef {
    /// API group and version of the workload, such as apps/v1.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::API_VERSION))]
    pub api_version: String,
    /// Kind of the workload, such as Deployment.
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::KIND))]
    pub kind: String,
    /// Name of the workload.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
}

impl From<&ScaleTargetRef> for Workload {
    fn from(reference: &ScaleTargetRef) -> Self {
        Self {
            api_version: reference.api_version.clone(),
            kind: reference.kind.clone(),
            name: reference.name.clone(),
        }
    }
}

/// Returns the default of `leadSeconds`. Bedrock Streaming measured one to six minutes from metric
/// to ready pod (<https://tech.bedrockstreaming.com/2022/02/03/prescaling.html>).
fn default_target_lead_seconds() -> u32 {
    360
}

/// A group of machines that the operator launches for the event.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MachineGroup {
    /// Name of the machine group within the surge.
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::LABEL))]
    pub name: String,
    /// Reference to the InstanceClass with the launch settings.
    pub instance_class_ref: ObjectRef,
    /// Number of machines. Range 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub count: u32,
}

/// A live metric: a load, or a measure of the service for users.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.target) || has(self.perReplica) != has(self.threshold)")
        .message("spec.signals: exactly one of perReplica and threshold"),
    validation = Rule::new("has(self.target) || !(has(self.perReplica) || has(self.threshold))")
        .message("spec.signals: perReplica and threshold belong to a target"),
    validation = Rule::new("!has(self.lookAheadSeconds) || has(self.perReplica)")
        .message("spec.signals: lookAheadSeconds belongs to perReplica only")
)]
pub struct Signal {
    /// Name of the signal within the surge, in the words of the on-call person, such as sessions.
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::LABEL))]
    pub name: String,
    /// Reference to the MetricsSource that answers the query.
    pub metrics_source_ref: ObjectRef,
    /// PromQL instant query that returns a single number. The query must not contain comments.
    /// Maximum 4096 characters.
    #[schemars(length(min = 1, max = 4096), regex(pattern = reference::QUERY))]
    #[x_kube(
        validation = Rule::new("!self.contains('#')")
            .message("spec.signals: a query has no comments: remove the # and what follows it; in a string write \\\\x23")
    )]
    pub query: String,
    /// Name of the target that the signal raises. If absent, the signal raises no target, and steps
    /// in `degrade` may use the signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub target: Option<String>,
    /// Amount of work per replica: a decimal, such as "200". The query must return the total amount
    /// of work. Exactly one of `perReplica` and `threshold` is required with `target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub per_replica: Option<String>,
    /// Highest acceptable value of a query for the utilisation of the ready pods, such as latency
    /// or CPU share: a decimal. A value of twice the threshold requests twice the ready pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub threshold: Option<String>,
    /// Time in seconds by which the operator extrapolates a rising load. The limits are
    /// `leadSeconds` of the target and twice the load. 0 disables the extrapolation. Allowed with
    /// `perReplica` only. Defaults to 60. Maximum 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 3600))]
    pub look_ahead_seconds: Option<u32>,
}

/// Default of `lookAheadSeconds`. Pods of most services are ready within a minute, and the slope of
/// a load predicts no further.
pub(crate) const LOOK_AHEAD_SECONDS: u32 = 60;

/// A replica level for signals.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Rung {
    /// Name of the level for people, such as x5.
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::LABEL))]
    pub name: String,
    /// Factor for the replicas of the level: a decimal, at most 1000. The factor applies to the
    /// replicas found before the first write.
    #[schemars(length(min = 1, max = 12), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    #[x_kube(
        validation = Rule::new("double(self) <= 1000.0")
            .message("spec.targets.rungs: multiplier must be at most 1000")
    )]
    pub multiplier: String,
}

/// Hold phase after the end of the event.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HoldAfterEnd {
    /// Quiet threshold in percent of the peak load of the run. Defaults to 30. Range 1 to 99.
    ///
    /// A signal with `threshold` is quiet below `threshold` instead.
    #[serde(default = "default_until_below_percent")]
    #[schemars(range(min = 1, max = 99))]
    pub until_below_percent: u32,
    /// Time in seconds that the load must stay below the quiet threshold without a break. Defaults
    /// to 900. Maximum 86400.
    #[serde(default = "default_for_seconds")]
    #[schemars(range(min = 0, max = 86400))]
    pub for_seconds: u32,
    /// Maximum duration of the hold phase in seconds after the end of the event. Defaults to 7200.
    /// Maximum 86400.
    #[serde(default = "default_max_seconds")]
    #[schemars(range(min = 0, max = 86400))]
    pub max_seconds: u32,
}

fn default_until_below_percent() -> u32 {
    30
}

fn default_for_seconds() -> u32 {
    900
}

fn default_max_seconds() -> u32 {
    7200
}

/// Pace of the release.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Size of a release step, in percent of the distance from the floor at the start of the
    /// release to the baseline. Defaults to 20. Range 1 to 100.
    #[serde(default = "default_step_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub step_percent: u32,
    /// Time in seconds between two release steps. Defaults to 120. Range 1 to 3600.
    #[serde(default = "default_step_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub step_seconds: u32,
}

fn default_step_percent() -> u32 {
    20
}

fn default_step_seconds() -> u32 {
    120
}

impl Default for Release {
    fn default() -> Self {
        Self { step_percent: default_step_percent(), step_seconds: default_step_seconds() }
    }
}
