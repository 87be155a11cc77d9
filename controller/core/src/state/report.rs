//! The report of a finished run: planned and actual replicas, measured lead times, and advice for
//! the next run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::state::release::ReleaseCause;

/// The report of a finished run (`status.report`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// True if all targets, machines and warm-up Jobs were ready at T0.
    pub ready_at_t0: bool,
    /// Seconds from readiness to T0, negative if the run was ready after T0. The value is absent if
    /// the run was never ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_seconds: Option<i64>,
    /// Cause of the release.
    pub release_cause: ReleaseCause,
    /// Reports of the targets, in the order of the spec.
    pub targets: Vec<TargetReport>,
    /// Reports of the signals, in the order of the spec.
    pub signals: Vec<SignalReport>,
    /// Number of started instances.
    pub machines_launched: u32,
    /// Number of instances that the cloud reported as terminated.
    pub machines_terminated: u32,
    /// Total run time of all instances in seconds, from the recorded launch to the observed
    /// termination.
    pub machine_seconds: i64,
    /// Suggested changes to the spec of the surge.
    pub advice: Vec<String>,
}

/// The planned and actual values of one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    /// Name of the target within the surge.
    pub name: String,
    /// Replicas before the first write of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<u32>,
    /// Replicas planned for T0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<u32>,
    /// Highest floor that the run claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_floor: Option<u32>,
    /// Lead time in seconds as declared in `leadSeconds`.
    pub lead_seconds: i64,
    /// Measured lead time in seconds, from the first write until the planned pods were ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub achieved_lead_seconds: Option<i64>,
}

/// The measured load of one signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalReport {
    /// Name of the signal within the surge.
    pub name: String,
    /// Highest measured load during the run, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<String>,
}
