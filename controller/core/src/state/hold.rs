//! A hold: the claims of all runs on one target, its baseline, and the level that is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::state::announcement::Workload;
use crate::state::observed::{Autoscaler, AutoscalerKind};

/// What one run asks of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Name of the run.
    pub run: String,
    /// It must not fall below this.
    pub floor: u32,
    /// It may climb to this.
    pub ceiling: u32,
}

/// What was found when the target was first held. Written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// `spec.replicas`.
    pub replicas: u32,
    /// The autoscaler and its bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaler: Option<Autoscaler>,
    /// It was paused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The target had no autoscaler when it was first held; the one in `autoscaler` appeared later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub came_later: bool,
}

/// Values of the fields that we write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Level {
    /// `spec.replicas` of the scale subresource.
    pub replicas: u32,
    /// The autoscaler's minimum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// The autoscaler's maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// What KEDA keeps while none of its triggers is active. None while the target is held: it would go below the minimum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<u32>,
}

/// The spec of a `SurgeHold`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// The workload that is held.
    pub target_ref: Workload,
    /// What was found, and what the target goes back to.
    pub baseline: Baseline,
    /// Who holds it, and at what floor. Floors combine by maximum.
    #[serde(default)]
    pub claims: Vec<Claim>,
    /// What we write: the intent, recorded before the write.
    pub level: Level,
    /// What we wrote before that: until the new level is reached, this is still ours.
    pub previous: Level,
    /// The level is not written before this instant.
    pub due_time: Instant,
    /// When the target was first held.
    pub since_time: Instant,
    /// When reverts of another writer were repaired lately.
    #[serde(default)]
    pub repair_times: Vec<Instant>,
    /// The writer that keeps reverting it; it is not repaired any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contested_by: Option<String>,
}

/// A hold as the planner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct HoldRecord {
    /// Name of the object.
    pub name: String,
    /// Its spec as last written.
    pub hold: Hold,
    /// Its deletion was requested.
    pub deleting: bool,
}

/// The name of the hold on a workload: `deployment-web`, or `rollout.argoproj.io-web` outside the `apps` group.
#[must_use]
pub fn name(workload: &Workload) -> String {
    let group = workload.api_version.split_once('/').map(|(group, _)| group);
    let group = group.filter(|group| *group != "apps").unwrap_or_default();
    let length = workload.kind.len() + group.len() + workload.name.len() + 2;
    let mut name = String::with_capacity(length);
    name.push_str(&workload.kind);
    // Kinds are ASCII: see `reference::KIND`.
    name.make_ascii_lowercase();
    if !group.is_empty() {
        name.push('.');
        name.push_str(group);
    }
    name.push('-');
    name.push_str(&workload.name);
    name
}

/// The fields that a hold writes, each with a value of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<T> {
    /// `spec.replicas` of the scale subresource.
    pub replicas: T,
    /// The autoscaler's minimum.
    pub min: T,
    /// The autoscaler's maximum.
    pub max: T,
    /// KEDA's `idleReplicaCount`.
    pub idle: T,
}

impl<T: Copy> Fields<T> {
    pub(crate) fn all(&self) -> [T; 4] {
        [self.replicas, self.min, self.max, self.idle]
    }
}

/// When each field was last seen in force at a level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    pub(crate) level: Level,
    /// The autoscaler whose bounds these are.
    pub(crate) by: Option<(AutoscalerKind, String)>,
    pub(crate) at: Fields<Option<Instant>>,
}
