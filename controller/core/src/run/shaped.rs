//! What the shapes of the targets ask for now: pods, and the machines that carry the pods.

use chrono::TimeDelta;

use crate::Instant;
use crate::machines::{Way, join};
use crate::occurrences;
use crate::run::context::Run;
use crate::run::floor::plan_and_ceiling;
use crate::run::load;
use crate::scaling::usual;
use crate::shape;
use crate::state::announcement::{MachineGroup, Target, Window};
use crate::state::ledger::LedgerState;
use crate::state::run::RunStatus;
use crate::timeline;

/// Share of the floor that replaces pods on machines that go, as a divisor.
const REPLACED: u32 = 10;

impl Run<'_> {
    /// Returns the floor that the plan asks for now: the planned floor, or its share in the shape of the
    /// target, one lead ahead.
    pub(super) fn planned_now(&self, target: &Target, baseline: u32) -> u32 {
        let (planned, _) = plan_and_ceiling(target, baseline);
        self.shaped(target, baseline, target.lead + timeline::ramp_time(baseline, planned))
    }

    /// Returns the replicas of a target with a shape that must be ready now: the share of the shape,
    /// what the signals have added, and a boost, up to the ceiling. Returns `None` without a shape.
    pub(super) fn due_now(&self, target: &Target, baseline: u32) -> Option<u32> {
        target.shape.as_ref()?;
        let (_, ceiling) = plan_and_ceiling(target, baseline);
        let shaped = self.shaped(target, baseline, TimeDelta::zero());
        let raised = self.claimed(target).and_then(|claim| claim.raised);
        let boost = self.overrides.boost(&target.name, self.planned_now(target, baseline));
        Some(shaped.max(raised.map_or(0, |raised| raised.at(shaped))).max(boost).min(ceiling))
    }

    /// True if the start of the run is not the one that the run was made for: a calendar has moved the
    /// event to an earlier start after the run began. The shape then stands still, because its offsets are in doubt.
    pub(super) fn is_stretched(&self) -> bool {
        let planned = occurrences::named_after(&self.record.name);
        planned.is_some_and(|(_, start)| start != self.record.window.start)
    }

    /// Returns the present time and the end for shapes. The time stands still while the run waits for a
    /// start, and the event then lasts as long as it was announced from the start on.
    fn clock_of_shapes(&self) -> (Instant, Instant) {
        if !self.is_armed() {
            return (self.now, self.end);
        }
        let lasts = self.record.window.end - self.record.window.start;
        (self.now.min(self.window.start), self.window.start + lasts)
    }

    /// True if a person, an unknown signal or a moved calendar holds the floors above their shapes.
    fn floors_are_held(&self) -> bool {
        self.is_blind() || self.overrides.hold() || self.is_stretched()
    }

    fn shaped(&self, target: &Target, baseline: u32, ahead: TimeDelta) -> u32 {
        let (planned, _) = plan_and_ceiling(target, baseline);
        let Some(shape) = &target.shape else { return planned };
        let (now, end) = self.clock_of_shapes();
        let window = Window { end, ..self.window };
        shape::floor(shape, (planned, baseline), &window, (ahead, self.announcement.release), now)
    }

    /// Returns the replicas beyond the floor while machines of the run are emptied within the event.
    pub(super) fn replacements_now(&self, target: &Target, baseline: u32) -> u32 {
        let status = &self.record.status;
        let goes = status.living().any(|i| i.state == LedgerState::Draining);
        if !goes || status.release.is_some() || target.shape.is_none() {
            return 0;
        }
        (self.planned_now(target, baseline) / REPLACED).max(1)
    }

    /// Returns the pods that a target with a shape needs within the event while machines are emptied: the
    /// floor, and the pods that its autoscaler keeps, without the replacements. A pod beyond may be
    /// evicted. Returns 0 without a shape, and in a release.
    pub(super) fn needed_in_the_event(&self, target: &Target, baseline: u32) -> u32 {
        if target.shape.is_none() || self.record.status.release.is_some() {
            return 0;
        }
        let live = self.world.target(&target.workload).known().map_or(0, |live| live.replicas);
        let claimed = self.claimed(target).map_or(0, |claim| claim.floor);
        let more = self.replacements_now(target, baseline);
        let due = self.due_now(target, baseline).unwrap_or(0);
        self.planned_now(target, baseline).max(due).max(claimed.max(live).saturating_sub(more))
    }

    /// Returns the number of machines to start for a group: `count`, or the part of `count` that carries
    /// the pods which shapes, live load, boosts and other runs ask for until the end of the event,
    /// and one machine more for the pods of a machine that goes.
    pub(super) fn machines_now(&self, group: &MachineGroup) -> u32 {
        let pods = |target: &Target, baseline| self.pods_to_come(target, baseline);
        // mutate: no-room-for-the-pods-of-a-machine-that-goes
        self.machines_for(group, pods).saturating_add(1).min(group.count)
    }

    /// Returns the number of machines of a group that are not emptied: [`Self::machines_now`], and more
    /// while pods run above the shape, because a person, an unknown signal or an autoscaler keeps them.
    pub(super) fn machines_to_keep(&self, group: &MachineGroup) -> u32 {
        let pods = |target: &Target, baseline| {
            let now = self.needed_in_the_event(target, baseline);
            self.pods_to_come(target, baseline).max(now)
        };
        self.machines_for(group, pods).saturating_add(1).min(group.count)
    }

    /// Returns the most pods that a target will need until the end of the event, as far as is known. A
    /// machine that is needed again later is kept: the cloud may refuse another one.
    fn pods_to_come(&self, target: &Target, baseline: u32) -> u32 {
        let (now, end) = self.clock_of_shapes();
        let shaped = self.shaped(target, baseline, end - now.min(end));
        let claim = self.claimed(target).filter(|_| self.floors_are_held());
        let more = self.replacements_now(target, baseline);
        let held = claim.map_or(0, |claim| claim.floor.saturating_sub(more));
        let live = load::required(&self.readings, &target.name).ahead;
        let raised = self.claimed(target).and_then(|claim| claim.raised);
        let raised = raised.map_or(0, |raised| raised.at(self.planned_now(target, baseline)));
        let boost = self.overrides.boost(&target.name, self.planned_now(target, baseline));
        let others = self.claimed_by_others(target).unwrap_or(0);
        shaped.max(live).max(raised).max(boost).max(others).max(held)
    }

    /// Returns the number of machines of a group that must have joined by now.
    pub(super) fn machines_needed(&self, group: &MachineGroup) -> u32 {
        let pods = |target: &Target, baseline| self.due_now(target, baseline).unwrap_or(0);
        self.machines_for(group, pods)
    }

    /// Returns the part of `count` that carries the given pods: of the target that needs the largest
    /// part of its way from the baseline to the plan, because any pod may run on any machine.
    fn machines_for(&self, group: &MachineGroup, pods: impl Fn(&Target, u32) -> u32) -> u32 {
        let mut most = u32::from(self.announcement.targets.is_empty()) * group.count;
        for target in &self.announcement.targets {
            let usual = usual::replicas(target, self.world, self.now);
            let (Some(baseline), Some(_)) = (usual, &target.shape) else { return group.count };
            let (full, _) = plan_and_ceiling(target, baseline);
            let (part, whole) =
                (pods(target, baseline).saturating_sub(baseline), full.saturating_sub(baseline));
            if part >= whole {
                return group.count;
            }
            let carries = (u64::from(group.count) * u64::from(part)).div_ceil(u64::from(whole));
            most = most.max(u32::try_from(carries).unwrap_or(u32::MAX));
        }
        most
    }

    /// Returns whether machines may go within the event, because the shapes need fewer until its end.
    pub(super) fn way_in_the_event(&self, status: &RunStatus) -> Way {
        let targets = &self.announcement.targets;
        let shaped = !targets.is_empty() && targets.iter().all(|target| target.shape.is_some());
        let over = self.now < self.window.ready_by || self.now >= self.end;
        if !shaped || over || self.is_armed() || self.is_stretched() || self.overrides.hold() {
            return Way::Stay;
        }
        // Unknown never lowers, and what the cloud does not answer for now cannot be started again.
        let unsettled = |t: &Target| {
            let live = self.world.target(&t.workload).known();
            live.is_none_or(|live| live.rolling) || self.world.doubted.contains(&t.workload)
        };
        let cloud =
            self.world.cloud.place.is_none() || self.world.cloud.lasting_trouble().is_some();
        let doubt = self.is_blind() || cloud || targets.iter().any(unsettled);
        if doubt || !self.world.trusts_its_clock(self.now) {
            return Way::Wait;
        }
        let draining = status.living().any(|i| i.state == LedgerState::Draining);
        let more = |g: &MachineGroup| {
            join::joined(status, &g.name, self.world) > self.machines_to_keep(g)
                && self.machines_to_keep(g) < g.count
        };
        if draining || self.announcement.machines.iter().any(more) {
            Way::Follow
        } else {
            Way::Stay
        }
    }
}
