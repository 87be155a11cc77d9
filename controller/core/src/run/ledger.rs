//! Step 7: update of the ledger of a run, and cloud calls for the recorded entries.

use crate::machines::{self, join, launch, terminate};
use crate::output::{Act, Draft, Wake};
use crate::run::context::Run;
use crate::state::announcement::MachineGroup;
use crate::state::run::RunStatus;

impl Run<'_> {
    /// Updates `status.ledger`, and adds the cloud calls that the recorded ledger requires.
    pub(super) fn keep_ledger(&self, status: &mut RunStatus, draft: &mut Draft) -> Wake {
        let mut wake = Wake::NEVER;
        launch::record_results(status, self.world, self.record, self.now);
        terminate::drain_what_has_joined(status, self.world, self.now);
        if status.release.is_none() {
            if self.now >= self.world.may_lower_from {
                terminate::terminate_drained(status, self.world, self.now);
            }
            for (group, start) in self.announcement.machines.iter().zip(&self.timeline.machines) {
                if let Some(class) = self.world.classes.get(&group.class)
                    && self.now >= *start
                    && self.now < self.end
                {
                    let (world, now) = (self.world, self.now);
                    let most = self.room_of(group, status);
                    let launch = &class.launch;
                    launch::record_intent(status, self.record, group, launch, most, world, now);
                    wake = wake.or(self.replace_lost(status, group, draft));
                }
            }
            wake = wake.or(Wake::at_first(launch::next_try(status, self.now), self.now));
        // mutate: machines-given-back-before
        } else if Self::let_go(&self.record.status)
            && self.targets_given_back()
            && !self.overrides.hold()
        {
            if self.now < self.world.may_lower_from {
                return Wake::at(self.world.may_lower_from, self.now);
            }
            let pace = self.announcement.release;
            let next = terminate::terminate_step(status, self.world, self.record, pace, self.now);
            wake = wake.or(Wake::at_first(next, self.now));
        }
        for act in machines::acts(self.record, self.world, self.now) {
            draft.plan.acts.push(Act::Machine { run: self.record.name.clone(), act });
        }
        wake
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
        let coming = status.living().filter(|i| i.join_time.is_none());
        let late = coming.map(|instance| join::late_from(instance, group, self.world));
        let wake = Wake::at_first(late, self.now);
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
