//! Usual replicas of a target: the replicas before any run raises the target.

use chrono::TimeDelta;

use crate::Instant;
use crate::state::announcement::{Target, Workload};
use crate::state::hold;
use crate::state::observed::{Seen, TargetState};
use crate::state::run::RunRecord;
use crate::state::world::World;

/// Time after the completion of a run during which the autoscaler may still remove pods of the run.
///
/// An HPA with default settings needs 5 minutes (`stabilizationWindowSeconds`). Policies of a few
/// percent per minute need up to an hour.
const SETTLES_IN: TimeDelta = TimeDelta::hours(1);

/// Returns the baseline replicas of the hold, or the replicas found now if no hold exists.
///
/// The function returns `None` while the workload is unknown, and while the hold cannot be decoded:
/// a run may have raised the live replicas already. Only a multiplier asks for [`found`], because
/// only a multiplier depends on the usual replicas.
#[must_use]
pub fn replicas(target: &Target, world: &World, now: Instant) -> Option<u32> {
    let name = hold::name(&target.workload);
    if let Some(held) = world.holds.get(&name) {
        return Some(held.hold.baseline.replicas);
    }
    if world.unreadable_holds.contains_key(&name) {
        return None;
    }
    match world.target(&target.workload) {
        Seen::Known(live) if target.want.needs_baseline() => {
            Some(found(&target.workload, live, world, now))
        }
        Seen::Known(live) => Some(live.replicas),
        Seen::Absent | Seen::Unknown(_) => None,
    }
}

/// Returns the usual replicas of a target without a hold.
///
/// An autoscaled target may still carry pods of a run that has given the target back within the
/// last hour. The baseline of that run then counts, so a multiplier never multiplies what another
/// run has raised.
#[must_use]
pub fn found(workload: &Workload, live: &TargetState, world: &World, now: Instant) -> u32 {
    // The release of a run lowers a target without an autoscaler to the baseline. A paused
    // autoscaler removes no pods.
    if live.autoscaler.is_none() || live.paused {
        return live.replicas;
    }
    let before = world.runs.values().filter_map(|run| left_by(run, workload, now));
    before.fold(live.replicas, u32::min)
}

/// Returns the baseline of a run that has raised the workload and has lately given the workload
/// back. The run may still have machines and Jobs.
fn left_by(run: &RunRecord, workload: &Workload, now: Instant) -> Option<u32> {
    let announced = run.announcement.as_ref().ok()?;
    let target = announced.targets.iter().find(|target| target.workload == *workload)?;
    let lately = match (run.status.completion_time, &run.status.release) {
        (Some(completed), _) => completed <= now && now - completed < SETTLES_IN,
        (None, Some(way)) => way.floors.iter().any(|f| f.target == target.name && f.done),
        (None, None) => false,
    };
    if !lately {
        return None;
    }
    let shown = run.status.targets.iter().find(|shown| shown.name == target.name)?;
    // A recorded floor proves that the run has raised the target.
    shown.highest_floor.and(shown.baseline)
}
