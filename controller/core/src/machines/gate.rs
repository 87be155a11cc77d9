//! What must be open before a machine may be launched: the installation, the `InstanceClass`, and
//! room under the limit of the class.
//!
//! A machine costs money for as long as it runs, so each gate is closed until the platform team
//! opens it. A run reserves its instances in the status of the class. The write carries the
//! `resourceVersion` of the class, so that two runs never reserve the same room.

use crate::Instant;
use crate::state::observed::{InstanceClass, Reservation};
use crate::state::world::World;

/// Largest number of reservations that a class keeps. The status of an object is bounded by etcd
/// (1.5 MiB), and a reservation has about 250 bytes.
pub const MOST_RESERVATIONS: usize = 500;

/// Returns each gate that is closed for a reservation, with what opens the gate. The list is empty
/// if the machines may be launched.
#[must_use]
pub fn closed(name: &str, wanted: &Reservation, world: &World, now: Instant) -> Vec<String> {
    let mut closed = Vec::new();
    if !world.may_launch {
        closed.push("machines are off in this installation (chart value machines.enabled)".into());
    }
    let Some(class) = world.classes.get(name) else {
        closed.push(format!("InstanceClass {name} does not exist"));
        return closed;
    };
    let namespace = &world.namespace;
    let open = |to: &str| class.namespaces.contains(to);
    if !open(namespace) && !open("*") {
        closed.push(format!(
            "InstanceClass {name} is not open to namespace {namespace} (spec.namespaces)"
        ));
    }
    let limits = &class.limits;
    match limits.max_instances {
        None => closed.push(format!(
            "InstanceClass {name} allows no instances (spec.limits.maxInstances is not set)"
        )),
        Some(most) => {
            let taken = taken(class, wanted, now);
            if wanted.instances > most.saturating_sub(taken) {
                closed.push(format!(
                    "InstanceClass {name} allows {most} instances, {taken} are reserved by other \
                     runs, and {} are wanted (spec.limits.maxInstances)",
                    wanted.instances
                ));
            }
        }
    }
    if let Some(most) = limits.max_instances_per_run
        && wanted.instances > most
    {
        closed.push(format!(
            "InstanceClass {name} allows a run {most} instances, and {} are wanted \
             (spec.limits.maxInstancesPerRun)",
            wanted.instances
        ));
    }
    let seconds = (wanted.until_time - wanted.from_time).num_seconds();
    if let Some(most) = limits.max_seconds
        && seconds > i64::from(most)
    {
        closed.push(format!(
            "InstanceClass {name} allows machines for {most} s, and this run may need them for \
             {seconds} s (spec.limits.maxSeconds)"
        ));
    }
    closed.extend(over_budget(name, wanted, world, now));
    let mine = class.reservations.iter().any(|r| r.uid == wanted.uid);
    if !mine && class.reservations.len() >= MOST_RESERVATIONS {
        closed.push(format!("InstanceClass {name} has {MOST_RESERVATIONS} reservations already"));
    }
    closed
}

/// Returns the ceilings of budgets that the reservation would exceed: machines of the namespace in
/// all classes, and machine hours of the run.
fn over_budget(name: &str, wanted: &Reservation, world: &World, now: Instant) -> Vec<String> {
    let mut over = Vec::new();
    if world.budgets.is_empty() {
        return over;
    }
    let others = world.classes.iter().flat_map(|(class, found)| {
        let same = class == name;
        let others = found.reservations.iter().filter(move |r| !same || r.uid != wanted.uid);
        others.filter(|r| r.namespace == world.namespace)
    });
    let others: Vec<_> = others.collect();
    let reserved = most_at_once(&others, wanted, now);
    let seconds = (wanted.until_time - wanted.from_time).num_seconds().max(0);
    let hours = i64::from(wanted.instances).saturating_mul(seconds).saturating_add(3_599) / 3_600;
    let hours = u32::try_from(hours).unwrap_or(u32::MAX);
    for budget in &world.budgets {
        let limits = &budget.limits;
        over.extend(budget.exceeded("machines", limits.machines, wanted.instances, reserved));
        over.extend(budget.exceeded("machine hours", limits.machine_hours, hours, 0));
    }
    over
}

/// Returns the most instances that other runs have reserved in a class at one instant of the wanted
/// time.
#[must_use]
pub fn taken(class: &InstanceClass, wanted: &Reservation, now: Instant) -> u32 {
    let others = class.reservations.iter().filter(|r| r.uid != wanted.uid);
    most_at_once(&others.collect::<Vec<_>>(), wanted, now)
}

/// Returns the most instances of `others` at one instant of the wanted time.
///
/// A reservation whose time has passed counts until the run has returned the machines.
fn most_at_once(others: &[&Reservation], wanted: &Reservation, now: Instant) -> u32 {
    let until = |r: &Reservation| match r.until_time {
        passed if passed <= now => Instant::MAX_UTC,
        until => until,
    };
    let at = |t: Instant| {
        let there = others.iter().filter(|r| r.from_time <= t && t < until(r));
        there.map(|r| r.instances).fold(0, u32::saturating_add)
    };
    let begins = others.iter().map(|r| r.from_time);
    let within = begins.filter(|t| wanted.from_time < *t && *t < wanted.until_time);
    within.chain([wanted.from_time]).map(at).max().unwrap_or(0)
}

/// Returns the reservations of a class with the reservation of a run replaced, or removed if the
/// run reserves no instance.
#[must_use]
pub fn with(reservations: &[Reservation], wanted: &Reservation) -> Vec<Reservation> {
    let others = reservations.iter().filter(|r| r.uid != wanted.uid).cloned();
    let mut all: Vec<_> = others.collect();
    if wanted.instances > 0 {
        all.push(wanted.clone());
    }
    all
}

/// Returns the reservations of a class without those of runs that no longer exist, or `None` if each
/// has its run.
#[must_use]
pub fn without_the_gone(
    reservations: &[Reservation],
    exists: impl Fn(&str) -> bool,
) -> Option<Vec<Reservation>> {
    let kept: Vec<_> = reservations.iter().filter(|r| exists(&r.uid)).cloned().collect();
    (kept.len() < reservations.len()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seconds;
    use crate::state::budget::{Budget, Ceilings};
    use crate::state::observed::MachineLimits;

    const NOW: Instant = Instant::UNIX_EPOCH;

    fn reserved(uid: &str, instances: u32, from: u32, until: u32) -> Reservation {
        Reservation {
            namespace: "shop".into(),
            run: uid.into(),
            uid: uid.into(),
            instances,
            from_time: NOW + seconds(from),
            until_time: NOW + seconds(until),
        }
    }

    fn world(reservations: Vec<Reservation>) -> World {
        let limits = MachineLimits {
            max_instances: Some(20),
            max_instances_per_run: Some(15),
            max_seconds: Some(3_600),
        };
        let namespaces = ["shop".to_owned()].into();
        let class = InstanceClass { namespaces, limits, reservations, ..InstanceClass::default() };
        World {
            may_launch: true,
            namespace: "shop".into(),
            classes: [("burst".to_owned(), class)].into(),
            ..World::default()
        }
    }

    #[test]
    fn all_gates_are_closed_until_each_is_opened_and_one_message_lists_them() {
        let wanted = reserved("a", 16, 0, 7_200);
        assert_eq!(closed("nowhere", &wanted, &world(vec![]), NOW).len(), 1);
        let shut = World {
            classes: [("burst".to_owned(), InstanceClass::default())].into(),
            namespace: "shop".into(),
            ..World::default()
        };
        let said = closed("burst", &wanted, &shut, NOW).join("; ");
        for part in ["machines.enabled", "spec.namespaces", "maxInstances is not set"] {
            assert!(said.contains(part), "{said}");
        }
        let said = closed("burst", &wanted, &world(vec![]), NOW).join("; ");
        for part in ["allows a run 15 instances", "for 3600 s", "for 7200 s"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(closed("burst", &reserved("a", 15, 0, 3_600), &world(vec![]), NOW).is_empty());
        let mut elsewhere = world(vec![]);
        elsewhere.namespace = "bank".into();
        let said = closed("burst", &reserved("a", 1, 0, 60), &elsewhere, NOW).join("; ");
        assert!(said.contains("not open to namespace bank"), "{said}");
    }

    #[test]
    fn runs_at_other_times_share_the_room_and_runs_at_the_same_time_do_not() {
        let class = |all| world(all).classes["burst"].clone();
        let wanted = reserved("a", 10, 100, 200);
        let others = vec![
            reserved("a", 20, 0, 1_000),
            reserved("before", 20, 0, 100),
            reserved("early", 4, 50, 150),
            reserved("late", 5, 150, 300),
            reserved("after", 20, 200, 300),
        ];
        assert_eq!(taken(&class(others), &wanted, NOW), 5);
        let both = vec![reserved("early", 4, 50, 160), reserved("late", 5, 150, 300)];
        assert_eq!(taken(&class(both), &wanted, NOW), 9);
        let overdue = vec![reserved("overdue", 7, 0, 50)];
        assert_eq!(taken(&class(overdue.clone()), &wanted, NOW), 0);
        assert_eq!(taken(&class(overdue), &wanted, NOW + seconds(60)), 7, "it has not returned");
    }

    #[test]
    fn a_budget_narrows_the_machines_of_a_namespace_over_all_classes() {
        let mut world = world(vec![reserved("other", 3, 0, 3_600)]);
        let limits = Ceilings { machines: Some(10), machine_hours: Some(5), ..Ceilings::default() };
        world.budgets = vec![Budget { name: "team-a".into(), limits }];
        let gpu = InstanceClass {
            reservations: vec![reserved("a", 4, 0, 3_600)],
            ..world.classes["burst"].clone()
        };
        world.classes.insert("gpu".into(), gpu);
        let closed = |n: u32, until: u32| closed("burst", &reserved("a", n, 0, until), &world, NOW);
        assert!(closed(3, 3_600).is_empty());
        let said = closed(4, 3_600).join("; ");
        assert_eq!(said, "exceeds SurgeBudget \"team-a\": machines 4 > 10 (reserved 7)");
        let said = closed(2, 3_600 * 3).join("; ");
        assert!(said.contains("machine hours 6 > 5 (reserved 0)"), "{said}");
    }

    #[test]
    fn a_reservation_replaces_the_one_of_its_run() {
        let before = [reserved("a", 1, 0, 1), reserved("b", 2, 0, 1)];
        let after = with(&before, &reserved("a", 3, 0, 1));
        assert_eq!(after.iter().map(|r| r.instances).sum::<u32>(), 5);
        assert_eq!(with(&after, &reserved("a", 0, 0, 1)), before[1..]);
        assert_eq!(without_the_gone(&before, |uid| uid == "b").as_deref(), Some(&before[1..]));
        assert_eq!(without_the_gone(&before, |_| true), None);
    }
}
