//! Step 7: update of the ledger of a run, and cloud calls for the recorded entries.

use std::collections::BTreeMap;

use crate::machines::launch::Offer;
use crate::machines::{self, Terms, Way, follow, join, launch, terminate};
use crate::output::{Act, Draft, Wake};
use crate::run::context::Run;
use crate::state::announcement::{MachineGroup, Target, Workload};
use crate::state::observed::Seen;
use crate::state::release::Release;
use crate::state::run::RunStatus;

impl Run<'_> {
    /// Updates `status.ledger`, and adds the cloud calls that the recorded ledger requires.
    pub(super) fn keep_ledger(&self, status: &mut RunStatus, draft: &mut Draft) -> Wake {
        let mut wake = Wake::NEVER;
        launch::record_results(status, self.world, self.record, self.now);
        terminate::spare_what_has_joined(status, self.record, self.world, self.now);
        let way = match status.release {
            None => self.way_in_the_event(status),
            Some(_) => self.way_of_machines(),
        };
        if status.release.is_none() {
            wake = wake.or(self.follow_the_shape(status, way));
            for (group, start) in self.announcement.machines.iter().zip(&self.timeline.machines) {
                if let Some(class) = self.world.classes.get(&group.class)
                    && self.now >= *start
                    // Past the end a lost machine is replaced, and no event begins.
                    && (self.now < self.end || launch::ever(status, &group.name) > 0)
                {
                    let (world, now) = (self.world, self.now);
                    let (most, expires) = (self.room_of(group, status), self.expires());
                    let wanted = self.machines_now(group);
                    let offer = Offer { launch: &class.launch, wanted, most, expires };
                    launch::record_intent(status, self.record, group, offer, world, now);
                    wake = wake.or(self.replace_lost(status, group, draft));
                }
            }
            wake = wake.or(Wake::at_first(launch::next_try(status, self.now), self.now));
        // mutate: machines-given-back-before
        } else if way == Way::Go {
            let pace = self.announcement.release;
            if self.others_need_the_machines() {
                terminate::put_off(status, self.now);
            }
            let next = terminate::terminate_step(status, self.world, self.record, pace, self.now);
            wake = wake.or(Wake::at_first(next, self.now));
        } else if way == Way::Stay {
            terminate::keep(status, self.now);
        } else {
            terminate::put_off(status, self.now);
            wake = wake.or(Wake::at(self.world.may_lower_from, self.now));
        }
        let terms = Terms { spare: self.spare(), way, expires: self.expires() };
        for act in machines::acts(self.record, self.world, &terms, self.now) {
            draft.plan.acts.push(Act::Machine { run: self.record.name.clone(), act });
        }
        let deadlines = terminate::deadlines(status, self.world);
        wake.or(Wake::at_first(deadlines, self.now))
    }

    /// Empties the machines that the shapes of the targets need no more, or keeps those that are being
    /// emptied. Returns the time of the next batch.
    fn follow_the_shape(&self, status: &mut RunStatus, way: Way) -> Wake {
        if matches!(way, Way::Stay | Way::Go) {
            terminate::keep(status, self.now);
            return Wake::NEVER;
        }
        let (world, pace, now) = (self.world, self.announcement.release, self.now);
        let mut next = None;
        for group in &self.announcement.machines {
            let wanted = self.machines_to_keep(group);
            follow::stop_emptying(status, &group.name, wanted, world, now);
        }
        if way == Way::Follow {
            follow::end_what_is_empty(status, world, now);
            for group in &self.announcement.machines {
                let wanted = self.machines_to_keep(group);
                let waits = follow::begin_to_empty(status, &group.name, wanted, world, pace, now);
                next = next.into_iter().chain(waits).min();
            }
        }
        Wake::at_first(next, self.now)
    }

    /// Returns whether the machines of the run go. The persisted release counts, because the level of
    /// a target follows the record.
    fn way_of_machines(&self) -> Way {
        let Some(way) = &self.record.status.release else { return Way::Stay };
        if self.now < self.world.may_lower_from {
            return Way::Wait;
        }
        if self.overrides.hold() || !self.targets_may_do_without(way) {
            return Way::Stay;
        }
        // Unknown never lowers, until the longest hold is over or a person asks.
        let patient = !way.cause.by_a_person() && self.now < self.end + self.longest_hold();
        let unknown = |t: &Target| matches!(self.world.target(&t.workload), Seen::Unknown(_));
        if (patient && self.is_blind()) || self.announcement.targets.iter().any(unknown) {
            return Way::Wait;
        }
        Way::Go
    }

    /// True if each target is given back, or waits with its last step.
    fn targets_may_do_without(&self, way: &Release) -> bool {
        self.announcement.targets.iter().all(|target| {
            let floor = way.floors.iter().find(|floor| floor.target == target.name);
            // A target whose hold cannot be read may have pods on any machine.
            let waits = floor.is_some_and(|floor| floor.last) && self.unreadable(target).is_none();
            waits || (floor.is_none_or(|floor| floor.done) && self.given_back(target))
        })
    }

    /// Returns the pods that may be evicted without leaving fewer ready pods than the baseline, the
    /// known load and the floors of other runs need: of the targets of the run, and of each other
    /// target that a run of the namespace holds. No pod may be evicted of a target that is not known,
    /// and each pod of a target that is gone.
    fn spare(&self) -> BTreeMap<Workload, u32> {
        let mine = self.announcement.targets.iter();
        let mine = mine.map(|target| (&target.workload, self.needed(target)));
        let held = self.world.holds.values().map(|record| {
            let claims = record.hold.claims.iter().filter(|c| c.run != self.record.name);
            let needed = claims.map(|c| c.floor).chain([record.hold.baseline.replicas]).max();
            (&record.hold.target_ref, needed.unwrap_or(0))
        });
        let mut all: BTreeMap<Workload, u32> = BTreeMap::new();
        // What the run needs of its own targets replaces what their holds say.
        for (workload, needed) in held.chain(mine) {
            let spare = match self.world.target(workload) {
                Seen::Known(live) => live.ready.saturating_sub(needed),
                Seen::Absent => u32::MAX,
                Seen::Unknown(_) => 0,
            };
            all.insert(workload.clone(), spare);
        }
        all
    }

    /// True if the floor of another run leaves no pod of a target to evict.
    fn others_need_the_machines(&self) -> bool {
        self.announcement.targets.iter().any(|target| {
            let ready = self.world.target(&target.workload).known().map_or(0, |live| live.ready);
            self.claimed_by_others(target).is_some_and(|floor| ready <= floor)
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
        let keep = self.machines_to_keep(group);
        join::replace_unjoined(status, group, keep, self.world, self.now);
        if let Some(act) = join::look(status, group, self.world, self.now) {
            draft.plan.acts.push(Act::Machine { run: self.record.name.clone(), act });
        }
        wake
    }
}
