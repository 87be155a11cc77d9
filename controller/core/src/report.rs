//! What a run leaves behind: forecast and actual, lead times achieved, advice for the next run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::run::{LedgerState, ReleaseCause, RunStatus};
use crate::surge::{Announcement, Window};

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

/// Writes the report of a run that has given everything back.
#[must_use]
pub fn write(
    announcement: &Announcement,
    window: &Window,
    status: &RunStatus,
    cause: ReleaseCause,
    now: Instant,
) -> Report {
    let targets: Vec<_> = announcement
        .targets
        .iter()
        .map(|target| {
            let seen = status.targets.iter().find(|t| t.name == target.name);
            TargetReport {
                name: target.name.clone(),
                baseline: seen.and_then(|t| t.baseline),
                planned: seen.and_then(|t| t.planned),
                highest_floor: seen.and_then(|t| t.highest_floor),
                lead_seconds: target.lead.num_seconds(),
                achieved_lead_seconds: seen.and_then(|t| t.achieved_lead_seconds),
            }
        })
        .collect();
    let signals = status
        .signals
        .iter()
        .map(|s| SignalReport { name: s.name.clone(), peak: s.peak.clone() })
        .collect();
    let instances = || status.ledger.iter().flat_map(|b| b.instances.iter().map(move |i| (b, i)));
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let slack_seconds = status.ready_time.map(|at| (window.ready_by - at).num_seconds());
    Report {
        ready_at_t0: slack_seconds.is_some_and(|s| s >= 0),
        slack_seconds,
        release_cause: cause,
        advice: advice(&targets),
        targets,
        signals,
        machines_launched: count(instances().count()),
        machines_terminated: count(
            instances().filter(|(_, i)| i.state == LedgerState::Terminated).count(),
        ),
        machine_seconds: instances()
            .map(|(batch, i)| {
                let until = if i.state == LedgerState::Terminated { i.since } else { now };
                (until - batch.time).num_seconds()
            })
            .sum(),
    }
}

fn advice(targets: &[TargetReport]) -> Vec<String> {
    let mut advice = Vec::new();
    for target in targets {
        if let Some(achieved) = target.achieved_lead_seconds
            && achieved > target.lead_seconds
        {
            advice.push(format!(
                "{}: raising it took {achieved} s, declared were {} s; raise leadSeconds",
                target.name, target.lead_seconds
            ));
        }
        if let (Some(planned), Some(highest)) = (target.planned, target.highest_floor)
            && highest > planned
        {
            advice.push(format!(
                "{}: the load needed {highest} replicas, planned were {planned}; raise the forecast",
                target.name
            ));
        }
    }
    advice
}
