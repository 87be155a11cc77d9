//! Report of a completed run: forecast and actual replicas, achieved lead times, and advice.

use crate::Instant;
use crate::state::announcement::{Announcement, Window};
use crate::state::ledger::LedgerState;
use crate::state::release::ReleaseCause;
use crate::state::report::{Report, SignalReport, TargetReport};
use crate::state::run::RunStatus;

/// Builds `status.report` for a run that has restored everything.
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
            let baseline = seen.and_then(|t| t.baseline);
            TargetReport {
                name: target.name.clone(),
                baseline,
                // A shape has let the planned replicas of the status fall.
                planned: target.planned(baseline).or_else(|| seen.and_then(|t| t.planned)),
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
