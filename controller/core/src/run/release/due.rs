//! Instants at which a release should have given back maxima, machines and everything else.

use chrono::TimeDelta;

use crate::Instant;
use crate::machines::terminate::DRAIN_TIME;
use crate::output::{Draft, Wake};
use crate::run::context::Run;
use crate::run::{load, manual_start};
use crate::scaling::{autoscaler, holds};
use crate::state::announcement::{Moment, Target};
use crate::state::hold;
use crate::state::ledger::{LedgerInstance, LedgerState};
use crate::state::release::Release;

/// Longest time by which an `Extend` override may move the end: the longest life of an override.
const LONGEST_EXTENSION: TimeDelta = TimeDelta::hours(24);

/// Time between the latest possible end of a run and the expiry of its instances.
const BEYOND: TimeDelta = TimeDelta::hours(24);

impl Run<'_> {
    /// Restores the maximum of an HPA that never scales down, from [`Self::maximum_due`] on, although
    /// more pods run than the maximum allows.
    ///
    /// Such an HPA would keep pods and machines of the event for ever. The maximum stays raised while
    /// the load needs more pods, and while another released run still waits. Every other autoscaler
    /// follows the load down, and keeps the raised maximum until all pods fit.
    pub(in crate::run) fn let_maxima_go(&self, draft: &mut Draft) -> Wake {
        let Some(way) = self.record.status.release.as_ref() else { return Wake::NEVER };
        let due = self.maximum_due(way);
        let is_due = self.now >= due.max(self.world.may_lower_from) && !self.overrides.hold();
        for target in &self.announcement.targets {
            let done = way.floors.iter().any(|f| f.target == target.name && f.done);
            let lets_go = done && is_due && self.never_fits(target) && !self.needs_more(target);
            draft.claims.let_maximum_go(&target.workload, lets_go);
        }
        Wake::at_first([due - holds::OTHERS_TIME, due, self.world.may_lower_from], self.now)
    }

    /// True if the HPA of a target never scales down, so its pods never fit under the old maximum.
    fn never_fits(&self, target: &Target) -> bool {
        let live = self.world.target(&target.workload).known();
        live.is_some_and(|live| live.never_scales_down)
    }

    /// True if the known load needs more pods than the old maximum allows.
    fn needs_more(&self, target: &Target) -> bool {
        let hold = self.world.holds.get(&hold::name(&target.workload));
        let by = hold.and_then(|record| record.hold.baseline.autoscaler.as_ref());
        let max = by.map(|by| autoscaler::max_or_default(by.kind, by.max));
        max.is_some_and(|max| load::required(&self.readings, &target.name).ahead > max)
    }

    /// Returns the instant at which the run restores the maximum of an HPA that never scales down.
    ///
    /// The instant follows the longest hold and all release steps by [`holds::OTHERS_TIME`]. The run
    /// tells people during that time.
    pub(in crate::run) fn maximum_due(&self, way: &Release) -> Instant {
        let hold = self.end + self.longest_hold();
        let hold = if way.cause.by_a_person() { way.start_time } else { hold };
        hold.max(way.start_time) + self.all_steps() + holds::OTHERS_TIME
    }

    /// Time at which the machines of a run that is not releasing yet are returned at the latest: after
    /// the longest hold, the steps of the targets, and as many steps of the machines.
    pub(in crate::run) fn machines_due(&self) -> Instant {
        let steps = self.all_steps() + self.all_steps();
        self.end + self.longest_hold() + steps + holds::OTHERS_TIME + holds::OTHERS_TIME
    }

    /// Returns the time for the expiry tag of the instances of the run: the latest possible end of
    /// the event, with the longest extension and the longest hold, and [`BEYOND`] more.
    ///
    /// The tag ends what has lost its operator, and must end nothing while an operator is only dead
    /// for an evening.
    pub(in crate::run) fn expires(&self) -> Instant {
        // mutate: instance-expires-before-event
        let end = manual_start::latest_end(self.record).max(self.end).max(self.now);
        let way_down = self.machines_due() - self.end;
        end + LONGEST_EXTENSION + way_down + BEYOND
    }

    /// True if pods may run on machines of the run that the release still has to empty.
    ///
    /// The last step of the targets waits for that, but not for ever: a machine that cannot be
    /// drained must not keep the targets.
    pub(in crate::run) fn machines_carry_pods(&self, way: &Release) -> bool {
        let carries =
            |i: &LedgerInstance| matches!(i.state, LedgerState::Live | LedgerState::Draining);
        let until = way.start_time.max(self.end + self.longest_hold());
        let until = until + self.all_steps() + self.all_steps() + DRAIN_TIME * 2;
        self.now < until + holds::OTHERS_TIME && self.record.status.living().any(carries)
    }

    /// Returns the instant at which the run should have given everything back.
    ///
    /// Machines follow the targets by the same number of steps. Each Job of the release has until the
    /// deadline of the Job.
    pub(in crate::run) fn all_due(&self, way: &Release) -> Instant {
        let machines = if self.announcement.machines.is_empty() {
            TimeDelta::zero()
        } else {
            self.all_steps() + holds::OTHERS_TIME
        };
        let jobs = self
            .announcement
            .jobs
            .iter()
            .filter(|step| matches!(step.moment, Moment::Release | Moment::Restore));
        let jobs = jobs.map(|step| step.deadline).fold(TimeDelta::zero(), |sum, next| sum + next);
        self.maximum_due(way) + machines + jobs
    }

    /// Returns the time of all release steps. The first step follows the begin by one step time.
    fn all_steps(&self) -> TimeDelta {
        let pace = self.announcement.release;
        let steps = 100_u32.div_ceil(pace.step_percent.clamp(1, 100)) + 1;
        pace.step_time * i32::try_from(steps).unwrap_or(i32::MAX)
    }
}
