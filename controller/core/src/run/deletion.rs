//! Deletion of a run or of the surge: the planner lowers nothing until the grace period is over.
//!
//! `kubectl replace --force`, `helm upgrade --force` and the option `force` of Flux delete a surge
//! and create the surge again. The deletion alone looks like a person who cancels the event. A run
//! that has begun therefore outlives the surge for the grace period (`deleteGraceSeconds` of the
//! chart). If a new surge announces the same occurrence meanwhile, the new surge takes over the
//! run. Ledger, holds, overrides and decision log of the run stay. A `release` override does not
//! wait for the grace period.
//!
//! The planner asks the API server for a missing surge by name, because absence in a list proves
//! nothing. The API server never reuses a uid, so a single answer without the uid is conclusive.

use crate::Instant;
use crate::occurrences;
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

/// State of the surge that announced a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surge {
    /// A person created the run without a surge.
    None,
    /// The list of surges contains the surge with the recorded uid.
    There,
    /// The list of surges lacks the surge, and the API server has not confirmed the absence.
    Missing,
    /// A new surge has the same name, and the occurrences of the new surge are unknown.
    ///
    /// The spec of the new surge is invalid, or the planner has not read the calendar yet.
    Unclear,
    /// The API server was asked by name and has no surge with the recorded uid.
    Gone,
}

/// Returns the state of the surge of a run.
#[must_use]
pub fn surge(run: &RunRecord, world: &World) -> Surge {
    let Some(uid) = &run.owner else { return Surge::None };
    let listed = world.surges.get(&run.surge);
    if listed.is_some_and(|surge| surge.uid == *uid) {
        return Surge::There;
    }
    let announces = |spec| occurrences::schedule_of(spec, world).is_ok();
    if listed.is_some_and(|new| !new.deleting && !new.spec.as_ref().is_ok_and(announces)) {
        return Surge::Unclear;
    }
    match world.surge_looks.get(&run.surge) {
        Some(look) if look.as_ref() != Some(uid) => Surge::Gone,
        _ => Surge::Missing,
    }
}

/// Writes `status.deletionTime`, the time since which the run or the surge is deleted.
///
/// The function clears the field once the surge exists again.
pub fn observe(run: &RunRecord, status: &mut RunStatus, world: &World, now: Instant) {
    let since = status.deletion_time;
    status.deletion_time = match (run.deletion_time, surge(run, world)) {
        (Some(at), _) => since.or_else(|| Some(at.min(now))),
        (None, Surge::Gone) => since.or(Some(now)),
        (None, Surge::Missing | Surge::Unclear) => since,
        (None, Surge::None | Surge::There) => None,
    };
}

/// Returns the end of the grace period, or `None` without a deletion.
#[must_use]
pub fn counts_from(status: &RunStatus, world: &World) -> Option<Instant> {
    status.deletion_time.map(|at| at + world.delete_grace)
}

/// True if the grace period is over and the deletion is certain.
///
/// The deletion of a run is certain. The deletion of a surge is certain once the API server has
/// confirmed the absence by name.
#[must_use]
pub fn counts(run: &RunRecord, status: &RunStatus, world: &World, now: Instant) -> bool {
    let is_certain = || run.deleting() || surge(run, world) == Surge::Gone;
    counts_from(status, world).is_some_and(|at| now >= at) && is_certain()
}

/// True if the planner must ask the API server for the surge of a run by name.
///
/// The planner does not ask if the run is deleted, or if the garbage collector deletes the run with
/// the surge.
#[must_use]
pub fn asks(run: &RunRecord, world: &World) -> bool {
    !run.deleting() && !run.collected && surge(run, world) == Surge::Missing
}

/// Returns the sentence that states when the release begins and which command skips the grace
/// period.
#[must_use]
pub fn sentence(run: &RunRecord, status: &RunStatus, world: &World) -> Option<String> {
    let at = counts_from(status, world)?.format("%H:%M:%SZ");
    let (name, surge) = (&run.name, &run.surge);
    Some(if run.deleting() {
        format!(
            "run {name} was deleted: the way down begins at {at}; \"kubectl surge release {surge}\" does not wait"
        )
    } else {
        format!(
            "surge {surge} was deleted: the way down begins at {at}, unless the surge is created again with the same start; \
             \"kubectl surge release {surge}\" does not wait"
        )
    })
}
