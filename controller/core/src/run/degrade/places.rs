//! Whether a place may be written, and what is stuck there.

use crate::state::ladder::{Owed, Place, Seen, StepStatus, Trouble};
use crate::state::world::World;

pub(super) fn has_right(place: &Place, world: &World) -> bool {
    world.may_degrade.contains(&place.object())
}

/// What a step owes cannot be given back as things are: nothing else waits for it.
pub(super) fn is_stuck(shown: &StepStatus, world: &World) -> bool {
    shown.owed.as_ref().is_some_and(|Owed { place, .. }| {
        let failed =
            |seen: &Seen| seen.refused.is_some() || matches!(seen.found, Err(Trouble::Failed(_)));
        !has_right(place, world) || world.places.get(place).is_some_and(failed)
    })
}
