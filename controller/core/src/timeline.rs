//! Start times computed backwards from T0: each step starts at T0 minus the lead time of the step.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::Instant;
use crate::seconds;
use crate::state::announcement::{Announcement, JobStep, MachineGroup, Target, Window};
use crate::state::world::World;

/// Returns the time that the longest chain of warm-up steps takes after each named target, machine
/// group or step.
#[must_use]
pub fn times_after(announcement: &Announcement) -> BTreeMap<&str, TimeDelta> {
    let mut times: BTreeMap<&str, TimeDelta> = BTreeMap::new();
    let steps: Vec<&JobStep> = announcement.warm_up().collect();
    // A step can name only earlier steps in `after`.
    for step in steps.into_iter().rev() {
        let takes = step.deadline + time_of(&step.name, &times);
        for first in &step.after {
            let time = times.entry(first).or_default();
            *time = takes.max(*time);
        }
    }
    times
}

/// Returns the time that the steps after `name` take, or zero if no step follows.
#[must_use]
pub fn time_of(name: &str, times_after: &BTreeMap<&str, TimeDelta>) -> TimeDelta {
    times_after.get(name).copied().unwrap_or_default()
}

/// Returns the time from the start of the first warm-up step to T0.
#[must_use]
pub fn longest(announcement: &Announcement) -> TimeDelta {
    let times = times_after(announcement);
    let takes = announcement.warm_up().map(|step| step.deadline + time_of(&step.name, &times));
    takes.max().unwrap_or_default()
}

/// Time between the record of the baselines and the first write. The record is therefore persisted
/// before the write is due.
pub const PREPARE_AHEAD: TimeDelta = TimeDelta::seconds(15);

/// Maximum increase of a target in one step of a pre-scale.
///
/// Stock kube-controller-manager creates about 20 pods a second in the whole cluster
/// (`--kube-api-qps`). 200 pods are therefore ten seconds of work for the controller manager.
pub const RAMP_STEP_REPLICAS: u32 = 200;

/// Time between two steps of a pre-scale.
pub const RAMP_STEP_TIME: TimeDelta = TimeDelta::seconds(10);

/// Lead time of an unknown `InstanceClass`.
///
/// Bedrock Streaming waited two to four minutes for a node, and once 45 minutes
/// (<https://tech.bedrockstreaming.com/2022/02/03/prescaling.html>).
pub const UNKNOWN_CLASS_LEAD: TimeDelta = TimeDelta::minutes(10);

/// Start times of the steps of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// First write to each target, in the order of the announcement.
    pub targets: Vec<Instant>,
    /// Launch of each machine group, in the order of the announcement.
    pub machines: Vec<Instant>,
    /// Start of each warm-up Job, in the order of the announcement.
    pub warm_up: Vec<Instant>,
    /// Earliest of all start times and of the ready time.
    pub begin: Instant,
}

/// Returns the time from the first to the last write of a pre-scale.
#[must_use]
pub fn ramp_time(from: u32, to: u32) -> TimeDelta {
    let steps = to.saturating_sub(from).div_ceil(RAMP_STEP_REPLICAS);
    RAMP_STEP_TIME * i32::try_from(steps.saturating_sub(1)).unwrap_or(i32::MAX).min(8640)
}

/// Returns the replicas of a pre-scale that are due at `now`. All planned replicas are due from
/// `ready_by` on.
///
/// The first write was at `from_time`.
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

/// Returns the time of the first write to a target whose pods must be ready at `needed_by`.
///
/// `needed_by` is T0, or the start of a warm-up step that uses the pods.
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

/// Returns the time from the launch of the machines of a group until pods can run on the machines.
#[must_use]
pub fn class_lead(group: &MachineGroup, world: &World) -> TimeDelta {
    world.classes.get(&group.class).map_or(UNKNOWN_CLASS_LEAD, |class| class.lead)
}

/// Plans all steps backwards from the ready time.
///
/// The planner launches machines in time for the earliest first write to a target, because the pods
/// may need the machines.
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
