//! The `SurgeHold`: the claims of all runs on one target, the baseline of the target, and the level
//! that the reconciler writes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::state::announcement::Workload;
use crate::state::observed::{Autoscaler, AutoscalerKind};

/// The replica bounds that one run asks of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Name of the run.
    pub run: String,
    /// Minimum replicas that the run asks for.
    pub floor: u32,
    /// Maximum replicas that signals and boosts of the run may ask for.
    pub ceiling: u32,
    /// What the signals have added to a plan with a shape; absent if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised: Option<Raised>,
}

/// The most that the signals have asked for above the shape of a target. Only the clock lowers the
/// floor, so the part of the signals follows the shape and not the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Raised {
    /// Highest floor that the signals have asked for.
    pub replicas: u32,
    /// Highest ratio of such a floor to the floor of the shape at the same time, in percent, rounded
    /// up.
    pub percent: u32,
}

impl Raised {
    /// Returns what stays of the rise while the shape asks for `shaped` replicas.
    #[must_use]
    pub fn at(self, shaped: u32) -> u32 {
        let scaled = (u64::from(shaped) * u64::from(self.percent)).div_ceil(100);
        self.replicas.min(u32::try_from(scaled).unwrap_or(u32::MAX))
    }

    /// Returns the rise with a floor that the signals ask for while the shape asks for `shaped`.
    #[must_use]
    pub fn with(this: Option<Self>, replicas: u32, shaped: u32) -> Self {
        let percent = (u64::from(replicas) * 100).div_ceil(u64::from(shaped.max(1)));
        let percent = u32::try_from(percent).unwrap_or(u32::MAX);
        let before = this.unwrap_or(Self { replicas: 0, percent: 100 });
        Self { replicas: before.replicas.max(replicas), percent: before.percent.max(percent) }
    }
}

/// Replicas and autoscaler settings of the target before the first write of a run.
///
/// The planner records the replicas once. Later the planner updates only the autoscaler part, if a
/// different autoscaler appears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// Value of `spec.replicas` of the workload.
    pub replicas: u32,
    /// Autoscaler of the workload, with minimum and maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaler: Option<Autoscaler>,
    /// True if the autoscaler was paused when the planner recorded the baseline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// True if the target had no autoscaler when the hold was created. The autoscaler in
    /// `autoscaler` appeared later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub came_later: bool,
}

/// Values of the fields that the reconciler writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Level {
    /// Value of `spec.replicas` of the scale subresource.
    pub replicas: u32,
    /// Minimum of the autoscaler: `spec.minReplicas` of an HPA, `spec.minReplicaCount` of a
    /// `ScaledObject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Maximum of the autoscaler: `spec.maxReplicas` of an HPA, `spec.maxReplicaCount` of a
    /// `ScaledObject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Value of `spec.idleReplicaCount` of a `ScaledObject`. The field is unset while runs claim
    /// the target, because KEDA would otherwise scale below the minimum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<u32>,
}

/// The spec of a `SurgeHold`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Workload that the hold raises.
    pub target_ref: Workload,
    /// Replicas and autoscaler settings that the reconciler restores after the last claim.
    pub baseline: Baseline,
    /// Claims of the runs on the target. The highest floor and the highest ceiling apply.
    #[serde(default)]
    pub claims: Vec<Claim>,
    /// Values that the reconciler writes. The planner persists the level before the first write.
    pub level: Level,
    /// Values that the reconciler wrote before the current level. A field with such a value counts
    /// as written by Primetime until the reconciler writes the new level.
    pub previous: Level,
    /// Earliest time at which the reconciler writes the level.
    pub due_time: Instant,
    /// Time at which the hold was created.
    pub since_time: Instant,
    /// Times of recent repairs: another writer lowered a field and the reconciler raised the field
    /// again.
    #[serde(default)]
    pub repair_times: Vec<Instant>,
    /// Field manager that keeps lowering the target. The reconciler has stopped repairing the
    /// target after three repairs within ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contested_by: Option<String>,
}

/// A hold as the planner sees the object.
#[derive(Clone, Debug, PartialEq)]
pub struct HoldRecord {
    /// Name of the `SurgeHold`.
    pub name: String,
    /// Spec as last persisted.
    pub hold: Hold,
    /// True if the `SurgeHold` has a deletion timestamp.
    pub deleting: bool,
}

/// Returns the name of the hold on a workload, such as `deployment-web`. The name includes the API
/// group if the group is not `apps`, such as `rollout.argoproj.io-web`.
#[must_use]
pub fn name(workload: &Workload) -> String {
    let group = workload.api_version.split_once('/').map(|(group, _)| group);
    let group = group.filter(|group| *group != "apps").unwrap_or_default();
    let length = workload.kind.len() + group.len() + workload.name.len() + 2;
    let mut name = String::with_capacity(length);
    name.push_str(&workload.kind);
    // Kinds are ASCII, as `reference::KIND` requires.
    name.make_ascii_lowercase();
    if !group.is_empty() {
        name.push('.');
        name.push_str(group);
    }
    name.push('-');
    name.push_str(&workload.name);
    name
}

/// A value for each field that a hold writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<T> {
    /// Value for `spec.replicas` of the scale subresource.
    pub replicas: T,
    /// Value for the minimum of the autoscaler.
    pub min: T,
    /// Value for the maximum of the autoscaler.
    pub max: T,
    /// Value for `spec.idleReplicaCount` of a `ScaledObject`.
    pub idle: T,
}

impl<T: Copy> Fields<T> {
    pub(crate) fn all(&self) -> [T; 4] {
        [self.replicas, self.min, self.max, self.idle]
    }
}

/// The last time at which each live field had at least the value of the level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    pub(crate) level: Level,
    /// Autoscaler that the times in `at` refer to.
    pub(crate) by: Option<(AutoscalerKind, String)>,
    pub(crate) at: Fields<Option<Instant>>,
}
