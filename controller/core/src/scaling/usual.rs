//! The usual replicas of a target: what runs there before any run raises it.

use chrono::TimeDelta;

use crate::Instant;
use crate::state::announcement::Workload;
use crate::state::hold;
use crate::state::observed::{Seen, TargetState};
use crate::state::run::RunRecord;
use crate::state::world::World;

/// After a run has completed, its autoscaler still removes pods for some time. The default of an HPA needs 5 minutes
/// (`stabilizationWindowSeconds`), and policies of a few percent a minute need up to an hour.
const SETTLES_IN: TimeDelta = TimeDelta::hours(1);

/// Returns the replicas of the hold on record, or the replicas found now.
///
/// An autoscaled target may still carry pods of a run that has completed within the last hour. The baseline of that run
/// counts then, so a multiplier never multiplies what another run has raised. `None` while nothing is known, and while the hold
/// cannot be decoded: the replicas found may be raised already.
#[must_use]
pub fn replicas(workload: &Workload, world: &World, now: Instant) -> Option<u32> {
    let name = hold::name(workload);
    if let Some(held) = world.holds.get(&name) {
        return Some(held.hold.baseline.replicas);
    }
    if world.unreadable_holds.contains_key(&name) {
        return None;
    }
    match world.target(workload) {
        Seen::Known(live) => Some(found(workload, live, world, now)),
        Seen::Absent | Seen::Unknown(_) => None,
    }
}

/// Returns the usual replicas of a target that no hold records yet.
#[must_use]
pub fn found(workload: &Workload, live: &TargetState, world: &World, now: Instant) -> u32 {
    // Without an autoscaler the release itself has gone back to the baseline. A paused autoscaler removes nothing.
    if live.autoscaler.is_none() || live.paused {
        return live.replicas;
    }
    let before = world.runs.values().filter_map(|run| left_by(run, workload, now));
    before.fold(live.replicas, u32::min)
}

/// Returns the baseline of a run that has held the workload, and has given it back lately. Machines and Jobs of the run may
/// still be there.
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
    // The run has raised the target: a floor of its own is on record.
    shown.highest_floor.and(shown.baseline)
}
