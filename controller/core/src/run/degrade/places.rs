//! Write permission for a place, and detection of a blocked restore.

use crate::state::ladder::{Owed, Place, Seen, StepStatus, Trouble};
use crate::state::world::World;

pub(super) fn has_right(place: &Place, world: &World) -> bool {
    world.may_degrade.contains(&place.object())
}

/// True if the planner cannot restore the recorded value of a step now.
///
/// The cause is a missing permission, a refused write or a failed read. Other steps do not wait.
pub(super) fn is_stuck(shown: &StepStatus, world: &World) -> bool {
    shown.owed.as_ref().is_some_and(|Owed { place, .. }| {
        let failed =
            |seen: &Seen| seen.refused.is_some() || matches!(seen.found, Err(Trouble::Failed(_)));
        !has_right(place, world) || world.places.get(place).is_some_and(failed)
    })
}
