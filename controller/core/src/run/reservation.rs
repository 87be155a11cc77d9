//! Step 7: reservation of instances in the `InstanceClass`, before any machine is launched.

use std::collections::BTreeSet;

use crate::machines::{gate, join};
use crate::output::{Draft, Record};
use crate::run::context::Run;
use crate::state::announcement::MachineGroup;
use crate::state::observed::Reservation;
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

impl Run<'_> {
    /// Reserves the instances of the run in each class that the run names, as soon as the run
    /// exists. A closed gate is therefore known days before the launch.
    pub(super) fn reserve(&self, status: &RunStatus, draft: &mut Draft) {
        if self.record.deleting() || status.release.is_some() {
            return;
        }
        let classes: BTreeSet<&String> =
            self.announcement.machines.iter().map(|g| &g.class).collect();
        for class in classes {
            let wanted = self.wanted(class, status);
            let enough = self.reserved(class).is_some_and(|r| r.covers(&wanted));
            if !enough && gate::closed(class, &wanted, self.world, self.now).is_empty() {
                let wanted = self.reserved(class).map_or(wanted.clone(), |r| r.widened(&wanted));
                let (class, reservation) = (class.clone(), Box::new(wanted));
                draft.record(Record::Reserve { class, reservation });
            }
        }
    }

    /// Returns the closed gates of a group that has no reservation, as a sentence.
    pub(super) fn closed_gates(&self, group: &MachineGroup, status: &RunStatus) -> Option<String> {
        let wanted = self.wanted(&group.class, status);
        let closed = gate::closed(&group.class, &wanted, self.world, self.now);
        let reserved = self.reserved(&group.class).map_or(0, |r| r.instances);
        let missing = reserved < self.announced(&group.class);
        (missing && !closed.is_empty())
            .then(|| format!("no machine may be launched: {}", closed.join("; ")))
    }

    /// Returns the most instances that a group may have: what the run has reserved in the class,
    /// without what its other groups of the class have launched.
    pub(super) fn room_of(&self, group: &MachineGroup, status: &RunStatus) -> u32 {
        let reserved = self.reserved(&group.class).map_or(0, |r| r.instances);
        let others = self.announcement.machines.iter();
        let others = others.filter(|g| g.class == group.class && g.name != group.name);
        let launched = others.map(|g| join::launched(status, &g.name)).sum();
        reserved.saturating_sub(launched)
    }

    /// Number of instances that the announcement asks of a class.
    fn announced(&self, class: &str) -> u32 {
        let groups = self.announcement.machines.iter().filter(|g| g.class == class);
        groups.map(|g| g.count).fold(0, u32::saturating_add)
    }

    fn reserved(&self, class: &str) -> Option<&Reservation> {
        let class = self.world.classes.get(class)?;
        class.reservations.iter().find(|r| r.uid == self.record.uid)
    }

    /// Returns what the run needs of a class: the announced instances, and the replacements of
    /// machines that have not joined.
    fn wanted(&self, class: &str, status: &RunStatus) -> Reservation {
        let groups = self.announcement.machines.iter().zip(&self.timeline.machines);
        let groups = || groups.clone().filter(|(g, _)| g.class == class);
        let begin = groups().map(|(_, start)| *start).min().unwrap_or(self.now);
        let replaced = |g| join::replacements(status, g, self.world, self.now);
        let hold = self.announcement.hold.map(|hold| hold.max_time).unwrap_or_default();
        let pace = self.announcement.release;
        let steps = 100_u32.div_ceil(pace.step_percent.max(1));
        let release = pace.step_time * i32::try_from(steps).unwrap_or(i32::MAX);
        Reservation {
            namespace: self.world.namespace.clone(),
            run: self.record.name.clone(),
            uid: self.record.uid.clone(),
            instances: groups()
                .map(|(g, _)| g.count.saturating_add(replaced(g)))
                .fold(0, u32::saturating_add),
            from_time: begin,
            until_time: self.end + hold + release,
        }
    }
}

/// Returns the reservations of a completed run.
pub(super) fn give_back(record: &RunRecord, world: &World, draft: &mut Draft) {
    for (class, found) in &world.classes {
        for reservation in found.reservations.iter().filter(|r| r.uid == record.uid) {
            let reservation = Box::new(Reservation { instances: 0, ..reservation.clone() });
            draft.record(Record::Reserve { class: class.clone(), reservation });
        }
    }
}
