//! The backward plan: each step starts at T0 minus the lead time of that step.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::Instant;
use crate::seconds;
use crate::state::announcement::{Announcement, JobStep, MachineGroup, Target, Window};
use crate::state::world::World;

/// How long the warm-up takes that has to come after each thing that something comes after: a target, a group of machines,
/// another step.
#[must_use]
pub fn times_after(announcement: &Announcement) -> BTreeMap<&str, TimeDelta> {
    let mut times: BTreeMap<&str, TimeDelta> = BTreeMap::new();
    let steps: Vec<&JobStep> = announcement.warm_up().collect();
    // A step names only those that stand before it.
    for step in steps.into_iter().rev() {
        let takes = step.deadline + time_of(&step.name, &times);
        for first in &step.after {
            let time = times.entry(first).or_default();
            *time = takes.max(*time);
        }
    }
    times
}

/// How long what comes after something takes.
#[must_use]
pub fn time_of(name: &str, times_after: &BTreeMap<&str, TimeDelta>) -> TimeDelta {
    times_after.get(name).copied().unwrap_or_default()
}

/// From the start of the first step of the warm-up to T0.
#[must_use]
pub fn longest(announcement: &Announcement) -> TimeDelta {
    let times = times_after(announcement);
    let takes = announcement.warm_up().map(|step| step.deadline + time_of(&step.name, &times));
    takes.max().unwrap_or_default()
}

/// Baselines are recorded this long before the first write, so that at its instant only the write itself is left.
pub const PREPARE_AHEAD: TimeDelta = TimeDelta::seconds(15);

/// One step of a pre-scale raises a target by at most this much: stock kube-controller-manager creates about 20 pods
/// a second in the whole cluster (`--kube-api-qps`), so 200 is ten seconds of its work.
pub const RAMP_STEP_REPLICAS: u32 = 200;

/// Time between two steps of a pre-scale.
pub const RAMP_STEP_TIME: TimeDelta = TimeDelta::seconds(10);

/// The lead time of a class that cannot be found: Bedrock Streaming waited two to four minutes for a node and once
/// 45 (<https://tech.bedrockstreaming.com/2022/02/03/prescaling.html>).
pub const UNKNOWN_CLASS_LEAD: TimeDelta = TimeDelta::minutes(10);

/// When the steps of a run start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The first write to each target, in the order of the announcement.
    pub targets: Vec<Instant>,
    /// The launch of each machine group, in the order of the announcement.
    pub machines: Vec<Instant>,
    /// Each Job of the warm-up, in the order of the announcement.
    pub warm_up: Vec<Instant>,
    /// The first of all.
    pub begin: Instant,
}

/// How long the steps of a pre-scale take from the first to the last write.
#[must_use]
pub fn ramp_time(from: u32, to: u32) -> TimeDelta {
    let steps = to.saturating_sub(from).div_ceil(RAMP_STEP_REPLICAS);
    RAMP_STEP_TIME * i32::try_from(steps.saturating_sub(1)).unwrap_or(i32::MAX).min(8640)
}

/// The part of a pre-scale that is due at `now`, when the first write was at `from_time`. From T0 on it is all due.
#[must_use]
pub fn ramped(
    baseline: u32,
    planned: u32,
    from_time: Instant,
    ready_by: Instant,
    now: Instant,
) -> u32 {
    if planned <= baseline || now >= ready_by {
        return planned;
    }
    let passed = (now - from_time).num_seconds().max(0) / RAMP_STEP_TIME.num_seconds();
    let steps = u32::try_from(passed).unwrap_or(u32::MAX).saturating_add(1);
    planned.min(baseline.saturating_add(RAMP_STEP_REPLICAS.saturating_mul(steps)))
}

/// The first write to a target whose pods are needed by an instant: T0, or before it where a warm-up needs them.
#[must_use]
pub fn target_start(target: &Target, needed_by: Instant, baseline: Option<u32>) -> Instant {
    let ramp = match (baseline, target.want.needs_baseline()) {
        (Some(baseline), _) => ramp_time(baseline, target.want.replicas(baseline)),
        (None, false) => ramp_time(0, target.want.replicas(0)),
        (None, true) => seconds(0),
    };
    // mutate: pre-scaling-begins-t0
    needed_by - target.lead - ramp
}

/// How long machines of a group take from their launch until pods can run on them.
#[must_use]
pub fn class_lead(group: &MachineGroup, world: &World) -> TimeDelta {
    world.classes.get(&group.class).map_or(UNKNOWN_CLASS_LEAD, |class| class.lead)
}

/// Plans all steps backwards. Machines are needed by the first pod that could run on them.
#[must_use]
pub fn plan(
    announcement: &Announcement,
    window: &Window,
    world: &World,
    baseline: impl Fn(&Target) -> Option<u32>,
) -> Timeline {
    let times_after = times_after(announcement);
    let needed_by = |name: &str| window.ready_by - time_of(name, &times_after);
    let target = |t: &Target| target_start(t, needed_by(&t.name), baseline(t));
    let targets: Vec<_> = announcement.targets.iter().map(target).collect();
    let first_pod = targets.iter().copied().fold(window.ready_by, Instant::min);
    let machines = announcement
        .machines
        .iter()
        .map(|group| first_pod.min(needed_by(&group.name)) - class_lead(group, world));
    let machines: Vec<_> = machines.collect();
    let warm_up = announcement.warm_up().map(|step| needed_by(&step.name) - step.deadline);
    let warm_up: Vec<_> = warm_up.collect();
    let all = machines.iter().chain(&targets).chain(&warm_up);
    let begin = all.copied().fold(window.ready_by, Instant::min);
    Timeline { targets, machines, warm_up, begin }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn at(minute: u32, second: u32) -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, minute, second).unwrap()
    }

    #[test]
    fn a_small_raise_is_one_step() {
        assert_eq!(ramp_time(10, 180), seconds(0));
        assert_eq!(ramped(10, 180, at(0, 0), at(10, 0), at(0, 0)), 180);
    }

    #[test]
    fn a_large_raise_goes_in_bounded_steps_that_start_earlier() {
        assert_eq!(ramp_time(0, 1000), seconds(40));
        let due = |second| ramped(0, 1000, at(0, 0), at(10, 0), at(0, second));
        assert_eq!([due(0), due(9), due(10), due(39), due(40)], [200, 200, 400, 800, 1000]);
    }

    #[test]
    fn from_t0_on_everything_is_due_at_once() {
        assert_eq!(ramped(0, 1000, at(10, 0), at(10, 0), at(10, 0)), 1000);
    }

    #[test]
    fn a_plan_below_the_baseline_is_not_ramped() {
        assert_eq!(ramped(50, 20, at(0, 0), at(10, 0), at(0, 0)), 20);
    }
}
