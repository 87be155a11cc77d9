//! Step 7: update of the ledger of a run, and cloud calls for the recorded entries.

use std::collections::BTreeMap;

use crate::machines::launch::Offer;
use crate::machines::{self, Terms, join, launch, terminate};
use crate::output::{Act, Draft, Wake};
use crate::run::context::Run;
use crate::state::announcement::{MachineGroup, Target, Workload};
use crate::state::hold::{self, Claim};
use crate::state::observed::Seen;
use crate::state::run::RunStatus;

impl Run<'_> {
    /// Updates `status.ledger`, and adds the cloud calls that the recorded ledger requires.
    pub(super) fn keep_ledger(&self, status: &mut RunStatus, draft: &mut Draft) -> Wake {
        let mut wake = Wake::NEVER;
        launch::record_results(status, self.world, self.record, self.now);
        terminate::drain_what_has_joined(status, self.world, self.now);
        if status.release.is_none() {
            if self.record.status.release.is_some() {
                terminate::keep(status, self.now);
            }
            if self.now >= self.world.may_lower_from {
                terminate::terminate_drained(status, self.world, self.now);
            }
            for (group, start) in self.announcement.machines.iter().zip(&self.timeline.machines) {
                if let Some(class) = self.world.classes.get(&group.class)
                    && self.now >= *start
                {
                    let (world, now) = (self.world, self.now);
                    let (most, expires) = (self.room_of(group, status), self.expires());
                    let offer = Offer { launch: &class.launch, most, expires };
                    launch::record_intent(status, self.record, group, offer, world, now);
                    wake = wake.or(self.replace_lost(status, group, draft));
                }
            }
            wake = wake.or(Wake::at_first(launch::next_try(status, self.now), self.now));
        // mutate: machines-given-back-before
        } else if self.targets_may_do_without() && !self.overrides.hold() {
            if self.now < self.world.may_lower_from {
                return Wake::at(self.world.may_lower_from, self.now);
            }
            let pace = self.announcement.release;
            if self.others_need_the_machines() {
                terminate::wait_for_others(status, self.now);
            }
            let next = terminate::terminate_step(status, self.world, self.record, pace, self.now);
            wake = wake.or(Wake::at_first(next, self.now));
        }
        let terms = Terms { spare: self.spare(status), expires: self.expires() };
        for act in machines::acts(self.record, self.world, &terms, self.now) {
            draft.plan.acts.push(Act::Machine { run: self.record.name.clone(), act });
        }
        wake.or(Wake::at_first(terminate::deadlines(status), self.now))
    }

    /// True if the machines of a run in release may be emptied: each target is given back, or waits
    /// with its last step.
    ///
    /// The persisted release counts, because the level of a target follows the record.
    fn targets_may_do_without(&self) -> bool {
        let Some(way) = &self.record.status.release else { return false };
        self.announcement.targets.iter().all(|target| {
            let floor = way.floors.iter().find(|floor| floor.target == target.name);
            // A target whose hold cannot be read may have pods on any machine.
            let waits = floor.is_some_and(|floor| floor.last) && self.unreadable(target).is_none();
            waits || (floor.is_none_or(|floor| floor.done) && self.given_back(target))
        })
    }

    /// Returns the pods of each target that may be evicted without leaving fewer ready pods than the
    /// baseline, the known load and the floors of other runs need. Before the release the floor of
    /// the run itself counts too. No pod may be evicted of a target that is not known, and each pod of
    /// a target that is gone.
    fn spare(&self, status: &RunStatus) -> BTreeMap<Workload, u32> {
        let spare = |target: &Target| {
            let hold = self.world.holds.get(&hold::name(&target.workload)).map(|h| &h.hold);
            let mine = |c: &&Claim| status.release.is_none() || c.run != self.record.name;
            let claims = hold.iter().flat_map(|h| &h.claims).filter(mine).map(|c| c.floor);
            let needed = claims.chain([self.needed(target)]).max().unwrap_or(0);
            let spare = match self.world.target(&target.workload) {
                Seen::Known(live) => live.ready.saturating_sub(needed),
                Seen::Absent => u32::MAX,
                Seen::Unknown(_) => 0,
            };
            (target.workload.clone(), spare)
        };
        self.announcement.targets.iter().map(spare).collect()
    }

    /// True if the floor of another run leaves no pod of a target to evict.
    fn others_need_the_machines(&self) -> bool {
        self.announcement.targets.iter().any(|target| {
            let hold = self.world.holds.get(&hold::name(&target.workload));
            let others = hold.iter().flat_map(|h| &h.hold.claims);
            let floor = others.filter(|c| c.run != self.record.name).map(|c| c.floor).max();
            let ready = self.world.target(&target.workload).known().map_or(0, |live| live.ready);
            floor.is_some_and(|floor| ready <= floor)
        })
    }

    /// Gives up late instances for which a replacement exists, and asks for a fresh list of Nodes.
    ///
    /// An instance is late if no Node has joined in time.
    pub(super) fn replace_lost(
        &self,
        status: &mut RunStatus,
        group: &MachineGroup,
        draft: &mut Draft,
    ) -> Wake {
        let lost = status.living().filter_map(|i| join::lost_from(i, group, self.world));
        let wake = Wake::at_first(lost, self.now);
        if self.now < self.world.may_lower_from {
            return wake.or(Wake::at(self.world.may_lower_from, self.now));
        }
        join::replace_unjoined(status, group, self.world, self.now);
        if let Some(act) = join::look(status, group, self.world, self.now) {
            draft.plan.acts.push(Act::Machine { run: self.record.name.clone(), act });
        }
        wake
    }
}
