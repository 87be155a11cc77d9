//! The report of a run: forecast and actual, lead times achieved, advice for the next run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::state::release::ReleaseCause;

/// The report of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Everything was ready at T0.
    pub ready_at_t0: bool,
    /// Seconds between being ready and T0; negative when it was late, absent when it never was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_seconds: Option<i64>,
    /// Why the way down began.
    pub release_cause: ReleaseCause,
    /// Targets, in the order of the spec.
    pub targets: Vec<TargetReport>,
    /// Signals, in the order of the spec.
    pub signals: Vec<SignalReport>,
    /// Instances started.
    pub machines_launched: u32,
    /// Instances seen terminated.
    pub machines_terminated: u32,
    /// Seconds of all instances together, from the intent to start them until they were seen terminated.
    pub machine_seconds: i64,
    /// What to change for the next run.
    pub advice: Vec<String>,
}

/// What became of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    /// Name within the surge.
    pub name: String,
    /// Replicas before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<u32>,
    /// Forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<u32>,
    /// Actual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_floor: Option<u32>,
    /// Declared.
    pub lead_seconds: i64,
    /// Measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub achieved_lead_seconds: Option<i64>,
}

/// What became of a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalReport {
    /// Name within the surge.
    pub name: String,
    /// The highest load seen, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<String>,
}
