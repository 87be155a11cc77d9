//! Replicas that a live load asks for above the floor.
//!
//! A single write raises the target by default. `rungs` restricts the result to named sizes, and
//! `maxStepReplicas` limits the pods that start at once.

use crate::state::announcement::Target;

/// Present state of a target, from which a live load raises the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct From {
    /// Replicas found when the target was first held.
    pub baseline: u32,
    /// Replicas that plan, claim and boosts ask for, without the live load.
    pub floor: u32,
    /// Ready pods; `None` if unknown.
    pub ready: Option<u32>,
    /// Ceiling of the target: `maxReplicas`, or the planned floor if `maxReplicas` is absent.
    pub ceiling: u32,
}

/// Returns the replicas to ask for if the live load needs `required` replicas.
///
/// The result exceeds the ceiling if the load needs more than the ceiling. The caller clips the
/// result.
#[must_use]
pub fn climb(target: &Target, from: From, required: u32) -> u32 {
    if required <= from.floor {
        return from.floor;
    }
    let mut rungs = target.rungs.iter().map(|r| r.multiplier.times_rounded_up(from.baseline));
    let wanted = match rungs.find(|replicas| *replicas >= required) {
        Some(rung) => rung,
        None if target.rungs.is_empty() => required,
        None => required.max(from.ceiling),
    };
    let Some(step) = target.max_step else { return wanted };
    // If the number of ready pods is unknown, the target stays at the floor, because the number of
    // starting pods is unknown too.
    let reached = from.ready.map_or(from.floor, |ready| ready.saturating_add(step));
    if wanted <= reached {
        return wanted;
    }
    // Each step is an API write and a line in the decision log. A step therefore waits until the
    // raise is at least half of `maxStepReplicas`.
    let worth_a_step = reached >= from.floor.saturating_add(step.div_ceil(2));
    if worth_a_step { reached } else { from.floor }
}

/// Returns the name of the rung that equals the floor, if any.
#[must_use]
pub fn rung(target: &Target, baseline: u32, floor: u32) -> Option<&str> {
    let on =
        |r: &&crate::state::announcement::Rung| r.multiplier.times_rounded_up(baseline) == floor;
    target.rungs.iter().find(on).map(|r| r.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::state::announcement::Rung;
    use proptest::prelude::*;

    fn web(rungs: &[&str], max_step: Option<u32>) -> Target {
        let rung = |by: &&str| Rung { name: format!("x{by}"), multiplier: by.parse().unwrap() };
        let rungs = rungs.iter().map(rung).collect();
        Target { rungs, max_step, ..fixtures::web(20) }
    }

    const FROM: From = From { baseline: 10, floor: 20, ready: Some(20), ceiling: 260 };

    #[test]
    fn without_rungs_it_is_one_write_to_the_full_number() {
        let plain = web(&[], None);
        assert_eq!([0, 20, 21, 212, 900].map(|n| climb(&plain, FROM, n)), [20, 20, 21, 212, 900]);
    }

    #[test]
    fn rungs_are_climbed_to_the_first_that_suffices_and_beyond_the_last_to_the_ceiling() {
        let steps = web(&["2", "5", "10", "18"], None);
        let needs = [19, 21, 50, 51, 180, 181, 900];
        assert_eq!(needs.map(|n| climb(&steps, FROM, n)), [20, 50, 50, 100, 180, 260, 900]);
        assert_eq!(rung(&steps, 10, 100), Some("x10"));
        assert_eq!(rung(&steps, 10, 260), None);
    }

    #[test]
    fn no_more_pods_than_allowed_are_on_their_way() {
        let bounded = web(&[], Some(30));
        assert_eq!(climb(&bounded, FROM, 212), 50);
        assert_eq!(climb(&bounded, From { floor: 50, ready: Some(45), ..FROM }, 212), 75);
        // A step raises the floor by at least half of `max_step`, unless the load needs less.
        assert_eq!(climb(&bounded, From { floor: 50, ready: Some(34), ..FROM }, 212), 50);
        assert_eq!(climb(&bounded, From { floor: 50, ready: Some(34), ..FROM }, 60), 60);
        assert_eq!(climb(&bounded, From { ready: Some(200), ..FROM }, 212), 212);
        assert_eq!(climb(&bounded, From { ready: None, ..FROM }, 212), 20);
        // A planned floor above `ready` plus `max_step` stays unchanged.
        assert_eq!(climb(&bounded, From { floor: 180, ..FROM }, 212), 180);
    }

    proptest! {
        #[test]
        fn a_climb_never_goes_down_and_suffices_where_nothing_bounds_it(
            floor in 0_u32..500, ready in 0_u32..500, required in 0_u32..1000, step in 1_u32..100,
        ) {
            let from = From { floor, ready: Some(ready), ..FROM };
            for target in [web(&[], None), web(&["2", "5"], None)] {
                prop_assert!(climb(&target, from, required) >= required.max(floor));
            }
            let bounded = climb(&web(&["2", "5"], Some(step)), from, required);
            prop_assert!(bounded >= floor && bounded <= floor.max(ready + step));
        }
    }
}
