//! An event: what must be ready, how far it may grow, and how it is given back. A surge announces it, a run is one
//! occurrence of it; both have these fields.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use primetime_core::reference;
use primetime_core::state::announcement::{OnUnknown, Workload};

use crate::degrade::DegradeStep;
use crate::job::JobStep;
use crate::object_ref::ObjectRef;

/// What a surge and its runs have in common. Rules over several of these fields stand on both kinds: a rule of a struct that
/// is flattened into another one does not reach its schema.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EventSpec {
    /// Workloads that must be ready.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub targets: Vec<Target>,
    /// Machines to be started for the event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub machines: Vec<MachineGroup>,
    /// Jobs that have to be done at T0, such as to fill a cache. Each begins so early that its deadline is at T0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub warm_up: Vec<JobStep>,
    /// Jobs that are run when the event begins. Nothing waits for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub on_live: Vec<JobStep>,
    /// Jobs that are run when the way down begins. The run is over once they have ended, or their time is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub on_release: Vec<JobStep>,
    /// Live load that may raise targets above their plan. It never lowers anything before the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub signals: Vec<Signal>,
    /// What is degraded while capacity cannot follow, the mildest step first. Each step goes on by itself; they go off in
    /// reverse order, each back to what stood there before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub degrade: Vec<DegradeStep>,
    /// What becomes of floors on their way down while a signal is unknown. Nothing is lowered then in any case.
    #[serde(default)]
    pub on_unknown: OnUnknown,
    /// After the end: stay up until the load has really gone. Without it the release begins at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldAfterEnd>,
    /// The way down.
    #[serde(default)]
    pub release: Release,
    /// Whether the event begins by itself or when a person says so.
    #[serde(default)]
    pub start_policy: StartPolicy,
    /// Manual: how many seconds after the announced start a person may start it; as long as the event lasts, where absent.
    /// Then it is called off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub armed_seconds: Option<u32>,
}

/// Who says that an event begins.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartPolicy {
    /// The clock.
    #[default]
    Automatic,
    /// A person, with `kubectl surge start`: for events whose second is not known beforehand. Everything is ready by T0 and stays so.
    Manual,
}

/// A workload that must be ready.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.replicas) ? 1 : 0) + (has(self.multiplier) ? 1 : 0) + (has(self.load) ? 1 : 0) == 1")
        .message("spec.targets: exactly one of replicas, multiplier and load"),
    validation = Rule::new("has(self.load) == has(self.loadPerReplica)")
        .message("spec.targets: load and loadPerReplica belong together"),
    validation = Rule::new("!has(self.replicas) || !has(self.maxReplicas) || self.replicas <= self.maxReplicas")
        .message("spec.targets: replicas exceeds maxReplicas"),
    validation = Rule::new("!has(self.load) || !has(self.loadPerReplica) || !has(self.maxReplicas) || self.loadPerReplica <= 0 || (self.load + self.loadPerReplica - 1) / self.loadPerReplica <= self.maxReplicas")
        .message("spec.targets: load needs more replicas than maxReplicas")
)]
pub struct Target {
    /// Name within the surge.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The workload, in the namespace of the surge. Its kind must have a scale subresource.
    pub scale_target_ref: ScaleTargetRef,
    /// How many replicas must be ready at T0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub replicas: Option<i32>,
    /// Or: the replicas found when the target is first held, times this decimal, such as "18".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 12), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub multiplier: Option<String>,
    /// Or: the forecast load, with `loadPerReplica`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub load: Option<i64>,
    /// What one replica carries of `load`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub load_per_replica: Option<i64>,
    /// How far signals and boosts may climb; the planned replicas where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_replicas: Option<i32>,
    /// Signals climb in these steps, and beyond the last one to maxReplicas; without them, to just what the load needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub rungs: Vec<Rung>,
    /// Signals never have more pods than this on their way at once, so that neither the control plane nor what the pods
    /// connect to is the victim. Without it they climb to the full number in one write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_step_replicas: Option<i32>,
    /// Seconds from raising the target until its pods are ready.
    #[serde(default = "default_target_lead_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub lead_seconds: u32,
}

/// A workload. There is no namespace field.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.kind.size() + self.name.size() + (self.apiVersion.contains('/') && !self.apiVersion.startsWith('apps/') ? self.apiVersion.indexOf('/') : 0) <= 251")
        .message("spec.targets: the name is too long: the name of its SurgeHold, which has the kind in it, would exceed 253 characters")
)]
pub struct ScaleTargetRef {
    /// Group and version, such as apps/v1.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::API_VERSION))]
    pub api_version: String,
    /// Kind, such as Deployment.
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::KIND))]
    pub kind: String,
    /// Name of the object.
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

/// Bedrock Streaming measured one to six minutes from metric to ready pod
/// (<https://tech.bedrockstreaming.com/2022/02/03/prescaling.html>).
fn default_target_lead_seconds() -> u32 {
    360
}

/// Machines to be started for the event.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MachineGroup {
    /// Name within the surge.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The InstanceClass that says how.
    pub instance_class_ref: ObjectRef,
    /// How many.
    #[schemars(range(min = 1, max = 1000))]
    pub count: u32,
}

/// A live load, or anything else that says how users are served.
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
    /// Name within the surge: the on-call's word for the load, such as sessions.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The MetricsSource that is asked.
    pub metrics_source_ref: ObjectRef,
    /// An instant query in PromQL that yields one number. It has no comments.
    #[schemars(length(min = 1, max = 4096), regex(pattern = reference::QUERY))]
    #[x_kube(
        validation = Rule::new("!self.contains('#')")
            .message("spec.signals: a query has no comments: remove the # and what follows it; in a string write \\\\x23")
    )]
    pub query: String,
    /// The target it raises. Without one it raises nothing, and steps of `degrade` may look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub target: Option<String>,
    /// The query counts what there is to do, and one replica does so much of it: a decimal, such as "200".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub per_replica: Option<String>,
    /// Or: the query says how full the ready pods are, such as a latency or a share of their processors, and this is as full
    /// as they may be. At twice this, twice the pods are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub threshold: Option<String>,
    /// A load that rises is met where it will be in so many seconds; never further ahead than the target's leadSeconds, and
    /// never at more than twice the load. 60 where absent; 0 meets the load as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 3600))]
    pub look_ahead_seconds: Option<u32>,
}

/// Pods of most services are ready within a minute, and what is further ahead a slope cannot tell.
pub(crate) const LOOK_AHEAD_SECONDS: u32 = 60;

/// A step of a climb.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Rung {
    /// What people call it, such as x5.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The replicas found when the target is first held, times this decimal.
    #[schemars(length(min = 1, max = 12), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub multiplier: String,
}

/// Staying up after the end.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HoldAfterEnd {
    /// The load has gone when it is below this share of the run's own peak ...
    #[serde(default = "default_until_below_percent")]
    #[schemars(range(min = 1, max = 99))]
    pub until_below_percent: u32,
    /// ... for this long without a break.
    #[serde(default = "default_for_seconds")]
    #[schemars(range(min = 0, max = 86400))]
    pub for_seconds: u32,
    /// At most this long past the end.
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

/// The way down.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Share of the way from floor to baseline that one step goes.
    #[serde(default = "default_step_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub step_percent: u32,
    /// Seconds between steps.
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
