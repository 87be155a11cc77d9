//! Step 7: reservation of instances in the `InstanceClass`, before any machine is launched.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::machines::{gate, join};
use crate::output::{Draft, Record, Wake};
use crate::run::context::Run;
use crate::state::announcement::MachineGroup;
use crate::state::ledger::{Batch, LedgerState};
use crate::state::observed::{InstanceClass, Reservation};
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

/// Longest time from now to the first launch for which a run reserves. Runs that are weeks ahead
/// leave the places of a class to those before them.
const HORIZON: TimeDelta = TimeDelta::days(14);

/// Longest time by which a reservation may differ from what the run needs before the planner writes
/// it anew. Starts shift by seconds with the replicas found.
const SLACK: TimeDelta = TimeDelta::hours(1);

impl Run<'_> {
    /// Reserves the instances of the run in each class that the run names. A closed gate is
    /// therefore known days before the launch.
    ///
    /// A reservation follows what is announced until the first launch. Machines that are there are
    /// reserved in any case, because they are a fact that other runs have to know.
    pub(super) fn reserve(&self, status: &RunStatus, draft: &mut Draft) -> Wake {
        let mut wake = Wake::NEVER;
        if self.record.deleting() || status.release.is_some() {
            return wake;
        }
        for (name, class) in &self.world.classes {
            let reserved = self.reserved_in(class);
            if !self.named().contains(name) {
                if let Some(reserved) = reserved.filter(|_| committed(status, None) == 0) {
                    draft.record(reserve(name, Reservation { instances: 0, ..reserved.clone() }));
                }
                continue;
            }
            let wanted = self.wanted(name, status);
            let there = self.committed(name, status);
            if wanted.from_time > self.now + HORIZON && there == 0 {
                wake = wake.or(Wake::at(wanted.from_time - HORIZON, self.now));
                continue;
            }
            let wanted = match reserved.filter(|_| there > 0) {
                Some(reserved) => reserved.prolonged(&wanted),
                None => wanted,
            };
            let wanted = Reservation { instances: wanted.instances.max(there), ..wanted };
            if reserved.is_some_and(|reserved| reserved.is_about(&wanted, SLACK)) {
                continue;
            }
            if gate::closed(name, &wanted, self.world, self.now).is_empty() {
                draft.record(reserve(name, wanted));
            } else if there > reserved.map_or(0, |reserved| reserved.instances) {
                draft.record(reserve(name, Reservation { instances: there, ..wanted }));
            }
        }
        wake
    }

    /// Returns the closed gates of a group whose machines have not all joined, as a sentence.
    pub(super) fn closed_gates(&self, group: &MachineGroup, status: &RunStatus) -> Option<String> {
        let missing = join::joined(status, &group.name, self.world) < self.machines_now(group);
        let closed = if missing { self.closed(&group.class, status) } else { Vec::new() };
        (!closed.is_empty()).then(|| format!("no machine may be launched: {}", closed.join("; ")))
    }

    /// Returns the closed gates of a class. They are asked again before each launch, so that a gate
    /// that closes stops what is not launched yet.
    fn closed(&self, class: &str, status: &RunStatus) -> Vec<String> {
        let instances = self.announced(class);
        let announced = Reservation { instances, ..self.wanted(class, status) };
        gate::closed(class, &announced, self.world, self.now)
    }

    /// Returns the most instances that a group may have: what the run has reserved in the class,
    /// without what the other groups of the class have or have asked for. Returns 0 while a gate is
    /// closed, and while the run has not reserved all that is announced.
    pub(super) fn room_of(&self, group: &MachineGroup, status: &RunStatus) -> u32 {
        let class = self.world.classes.get(&group.class);
        let reserved = class.and_then(|class| self.reserved_in(class));
        let reserved = reserved.map_or(0, |r| r.instances);
        // mutate: launches-while-a-gate-is-closed
        if reserved < self.announced(&group.class) || !self.closed(&group.class, status).is_empty()
        {
            return 0;
        }
        let others = self.announcement.machines.iter();
        let others = others.filter(|g| g.class == group.class && g.name != group.name);
        let taken = others.map(|g| committed(status, Some(&g.name))).fold(0, u32::saturating_add);
        reserved.saturating_sub(taken)
    }

    /// Classes that the announcement names.
    fn named(&self) -> BTreeSet<&String> {
        self.announcement.machines.iter().map(|g| &g.class).collect()
    }

    /// Number of instances that the announcement asks of a class.
    fn announced(&self, class: &str) -> u32 {
        let groups = self.announcement.machines.iter().filter(|g| g.class == class);
        groups.map(|g| g.count).fold(0, u32::saturating_add)
    }

    /// Number of instances of a class that are there or were asked for.
    fn committed(&self, class: &str, status: &RunStatus) -> u32 {
        let groups = self.announcement.machines.iter().filter(|g| g.class == class);
        groups.map(|g| committed(status, Some(&g.name))).fold(0, u32::saturating_add)
    }

    fn reserved_in<'c>(&self, class: &'c InstanceClass) -> Option<&'c Reservation> {
        class.reservations.iter().find(|r| r.uid == self.record.uid)
    }

    /// Returns what the run needs of a class: the announced instances, and the replacements of
    /// machines that have not joined.
    fn wanted(&self, class: &str, status: &RunStatus) -> Reservation {
        let groups = self.announcement.machines.iter().zip(&self.timeline.machines);
        let groups = || groups.clone().filter(|(g, _)| g.class == class);
        let begin = groups().map(|(_, start)| *start).min().unwrap_or(self.now);
        let replaced = |g| join::replacements(status, g, self.world, self.now);
        Reservation {
            namespace: self.world.namespace.clone(),
            run: self.record.name.clone(),
            uid: self.record.uid.clone(),
            instances: groups()
                .map(|(g, _)| g.count.saturating_add(replaced(g)))
                .fold(0, u32::saturating_add),
            from_time: begin,
            until_time: self.machines_due(),
        }
    }
}

fn reserve(class: &str, reservation: Reservation) -> Record {
    Record::Reserve { class: class.to_owned(), reservation: Box::new(reservation) }
}

/// Number of instances of a group, or of all groups, that are not terminated, with the open part of
/// launches whose answer is not known.
fn committed(status: &RunStatus, group: Option<&str>) -> u32 {
    let of = |batch: &&Batch| group.is_none_or(|group| batch.group == group);
    let each = status.ledger.iter().filter(of).map(|batch| {
        let there = batch.instances.iter().filter(|i| i.state != LedgerState::Terminated).count();
        let there = u32::try_from(there).unwrap_or(u32::MAX);
        let came = u32::try_from(batch.instances.len()).unwrap_or(u32::MAX);
        let open = if batch.settled { 0 } else { batch.count.saturating_sub(came) };
        there.saturating_add(open)
    });
    each.fold(0, u32::saturating_add)
}

/// Returns the reservations of a completed run. True if none is left, so that the run may go: a
/// reservation that is returned later than the run belongs to a run that no longer exists.
pub(super) fn give_back(record: &RunRecord, world: &World, draft: &mut Draft) -> bool {
    let mut left = false;
    for (class, found) in &world.classes {
        for reservation in found.reservations.iter().filter(|r| r.uid == record.uid) {
            draft.record(reserve(class, Reservation { instances: 0, ..reservation.clone() }));
            left = true;
        }
    }
    !left
}
