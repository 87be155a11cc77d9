//! A run that was deleted, or whose surge was: nothing is lowered until the grace is over.
//!
//! `kubectl replace --force`, `helm upgrade --force` and Flux' `force` delete a surge and create it again. The deletion alone
//! looks like the word of a person who calls the event off. So a run that has begun outlives its surge for the grace
//! (`deleteGraceSeconds` of the chart); a new surge that announces the same occurrence takes the run over meanwhile, with its
//! ledger, holds, overrides and log. A `release` override does not wait.
//!
//! That a list of surges lacks one proves nothing: the API server is asked for it by name first. A uid never comes back, so one
//! answer without it is enough.

use crate::Instant;
use crate::occurrences;
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

/// What is known of the surge that announced a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surge {
    /// A person created the run: there is none.
    None,
    /// It is there.
    There,
    /// No list shows it.
    Missing,
    /// A new surge has its name, and what that announces is not known: its spec is refused, or its calendar was not read yet.
    Unclear,
    /// The API server was asked for it by name, and does not have it.
    Gone,
}

/// What is known of the surge of a run.
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

/// Remembers since when the run, or its surge, is deleted; forgets it once the surge is there again.
pub fn observe(run: &RunRecord, status: &mut RunStatus, world: &World, now: Instant) {
    let since = status.deletion_time;
    status.deletion_time = match (run.deletion_time, surge(run, world)) {
        (Some(at), _) => since.or_else(|| Some(at.min(now))),
        (None, Surge::Gone) => since.or(Some(now)),
        (None, Surge::Missing | Surge::Unclear) => since,
        (None, Surge::None | Surge::There) => None,
    };
}

/// The instant at which the grace ends.
#[must_use]
pub fn counts_from(status: &RunStatus, world: &World) -> Option<Instant> {
    status.deletion_time.map(|at| at + world.delete_grace)
}

/// Whether the deletion counts now: the grace is over, and the surge, if it is the surge that was deleted, is known to be gone.
#[must_use]
pub fn counts(run: &RunRecord, status: &RunStatus, world: &World, now: Instant) -> bool {
    let is_certain = || run.deleting() || surge(run, world) == Surge::Gone;
    counts_from(status, world).is_some_and(|at| now >= at) && is_certain()
}

/// Whether the API server has to be asked for the surge of a run by name, before anything is concluded. Runs that the garbage
/// collector deletes with their surge are not waited for.
#[must_use]
pub fn asks(run: &RunRecord, world: &World) -> bool {
    !run.deleting() && !run.collected && surge(run, world) == Surge::Missing
}

/// What people are told, and what they can do.
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
