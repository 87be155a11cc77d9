//! Step 4: the ledger of a run is kept, and what is on record there is asked of the cloud.

use crate::machines::{self, join, launch, terminate};
use crate::output::{Act, Draft};
use crate::run::context::Run;
use crate::state::announcement::MachineGroup;
use crate::state::run::RunStatus;

impl Run<'_> {
    pub(super) fn keep_ledger(&self, status: &mut RunStatus, draft: &mut Draft) {
        launch::settle(status, self.world, self.record, self.now);
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
                    launch::intend(status, self.record, group, &class.launch, world, now);
                    self.replace_lost(status, group, draft);
                }
            }
            if let Some(at) = launch::next_try(status, self.now) {
                draft.wake(at, self.now);
            }
        } else if Self::let_go(&self.record.status)
            && self.targets_given_back()
            && !self.overrides.hold()
        {
            if self.now < self.world.may_lower_from {
                return draft.wake(self.world.may_lower_from, self.now);
            }
            let pace = self.announcement.release;
            let next = terminate::wind_down(status, self.world, self.record, pace, self.now);
            if let Some(at) = next {
                draft.wake(at, self.now);
            }
        }
        let persisted = &self.record.status;
        for act in machines::acts(persisted, self.record, self.world, self.now) {
            draft.plan.acts.push(Act::Machine { run: self.record.name.clone(), act });
        }
    }

    /// Instances that do not join give way to those that came in their place.
    pub(super) fn replace_lost(
        &self,
        status: &mut RunStatus,
        group: &MachineGroup,
        draft: &mut Draft,
    ) {
        for instance in status.living().filter(|i| i.join_time.is_none()) {
            draft.wake(join::late_from(instance, group, self.world), self.now);
        }
        if self.now < self.world.may_lower_from {
            return draft.wake(self.world.may_lower_from, self.now);
        }
        join::give_up(status, group, self.world, self.now);
        if let Some(act) = join::look(status, group, self.world, self.now) {
            draft.plan.acts.push(Act::Machine { run: self.record.name.clone(), act });
        }
    }
}
