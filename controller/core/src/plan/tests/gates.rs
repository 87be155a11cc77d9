//! Tests of the gates of a launch: nothing is launched before the platform team has opened each of
//! them, and before the run has reserved room.

use super::*;
use crate::state::observed::Reservation;

/// Returns another run's reservation of `instances`, around the whole evening.
fn reserved_by_others(evening: &mut Evening, instances: u32) {
    let reservation = Reservation {
        namespace: "bank".into(),
        run: "other-20140112t190000z".into(),
        uid: "uid-other".into(),
        instances,
        from_time: t0() - seconds(86_400),
        until_time: end() + seconds(86_400),
    };
    let class = evening.world.classes.get_mut("paris").unwrap();
    class.reservations.push(reservation);
}

fn reserved(evening: &Evening) -> u32 {
    evening.world.classes["paris"].reservations.iter().map(|r| r.instances).sum()
}

#[test]
fn instances_are_reserved_as_soon_as_the_run_exists_and_returned_with_it() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(3_500), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Planned);
    assert_eq!(reserved(&evening), 17, "before any launch");
    evening.load = Box::new(sessions(500.0));
    evening.pass(end() + seconds(12_000), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    evening.everything_is_back();
    assert_eq!(reserved(&evening), 0);
}

/// A write of the class may take a minute. A run that goes before leaves places taken that no run
/// holds.
#[test]
fn a_run_keeps_its_finalizer_until_its_reservation_is_returned() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(3_500), seconds(30));
    let reserved = evening.world.classes["paris"].reservations.clone();
    evening.load = Box::new(sessions(500.0));
    evening.pass(end() + seconds(12_000), seconds(30));
    evening.world.runs.values_mut().next().unwrap().guarded = true;
    evening.world.classes.get_mut("paris").unwrap().reservations = reserved;
    let lets_go = |evening: &Evening| {
        let records = plan(&evening.world, evening.now).records;
        records.iter().any(|record| matches!(record, Record::RemoveFinalizer { .. }))
    };
    let done = evening.now;
    evening.world.runs.values_mut().next().unwrap().status.completion_time = Some(done);
    assert!(!lets_go(&evening), "the reservation stands");
    evening.now = done + seconds(300);
    assert!(lets_go(&evening), "a class that cannot be written keeps no run for ever");
    evening.now = done;
    evening.world.classes.get_mut("paris").unwrap().reservations.clear();
    assert!(lets_go(&evening), "nothing is left");
}

#[test]
fn a_run_that_finds_no_room_launches_nothing_and_says_so_until_there_is_room() {
    let mut evening = Evening::new();
    reserved_by_others(&mut evening, 4);
    evening.pass(t0() - seconds(3_000), seconds(30));
    let status = &evening.run().status;
    assert_eq!(status.verdict, Verdict::AtRisk, "{}", status.message);
    let said = "allows 20 instances, 4 are reserved by other runs, and 17 are wanted";
    assert!(status.message.contains(said), "{}", status.message);
    evening.pass(t0() - seconds(400), seconds(30));
    assert!(evening.cloud.is_empty());
    let class = evening.world.classes.get_mut("paris").unwrap();
    class.reservations.clear();
    evening.pass(t0() - seconds(300), seconds(30));
    assert_eq!(evening.cloud.len(), 17);
}

#[test]
fn a_gate_that_closes_takes_no_machine_back() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(300), seconds(30));
    assert_eq!(evening.cloud.len(), 17);
    evening.world.may_launch = false;
    evening.world.classes.get_mut("paris").unwrap().namespaces.clear();
    evening.pass(start() + seconds(600), seconds(30));
    assert!(evening.cloud.values().all(|i| i.state == InstanceState::Living));
    assert_ne!(evening.run().status.verdict, Verdict::AtRisk, "{}", evening.run().status.message);
    evening.load = Box::new(sessions(500.0));
    evening.pass(end() + seconds(12_000), seconds(30));
    evening.everything_is_back();
}

#[test]
fn a_gate_that_closes_after_the_reservation_stops_the_launch() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(3_000), seconds(30));
    assert_eq!(reserved(&evening), 17);
    evening.world.may_launch = false;
    evening.pass(t0() - seconds(300), seconds(30));
    assert!(evening.cloud.is_empty(), "reserved, and not launched");
    let said = &evening.run().status.message;
    assert!(said.contains("machines.enabled"), "{said}");
    evening.world.may_launch = true;
    evening.pass(t0() - seconds(200), seconds(30));
    assert_eq!(evening.cloud.len(), 17);
}

#[test]
fn a_class_that_closes_after_the_reservation_stops_the_launch() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(3_000), seconds(30));
    assert_eq!(reserved(&evening), 17);
    evening.world.classes.get_mut("paris").unwrap().namespaces.clear();
    evening.pass(t0() - seconds(300), seconds(30));
    assert!(evening.cloud.is_empty() && evening.run().status.ledger.is_empty());
    let said = &evening.run().status.message;
    assert!(said.contains("spec.namespaces"), "{said}");
}

#[test]
fn an_edit_to_more_groups_than_were_reserved_launches_none_beyond() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(3_000), seconds(30));
    let surge = evening.world.surges.get_mut("capital").unwrap();
    surge.generation += 1;
    let announced = &mut surge.spec.as_mut().unwrap().announcement;
    let more = MachineGroup { name: "more".into(), class: "paris".into(), count: 17 };
    announced.machines.push(more);
    evening.pass(t0() - seconds(300), seconds(30));
    assert!(evening.cloud.len() <= 20, "{} machines, 20 are allowed", evening.cloud.len());
    let said = &evening.run().status.message;
    assert!(said.contains("allows 20 instances"), "{said}");
}

#[test]
fn a_reservation_follows_an_edit_until_the_launch() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(3_000), seconds(30));
    let surge = evening.world.surges.get_mut("capital").unwrap();
    surge.generation += 1;
    surge.spec.as_mut().unwrap().announcement.machines[0].count = 3;
    evening.pass(t0() - seconds(2_900), seconds(30));
    assert_eq!(reserved(&evening), 3, "room that is not needed is left to others");
}

#[test]
fn machines_that_are_there_are_reserved_though_a_gate_is_closed() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(300), seconds(30));
    let class = evening.world.classes.get_mut("paris").unwrap();
    class.reservations.clear();
    class.limits.max_instances = None;
    evening.pass(t0(), seconds(30));
    assert_eq!(reserved(&evening), 17, "other runs have to know of them");
}

/// The cloud refused each launch. An instance may still show up that the run has to end.
#[test]
fn a_run_that_asked_for_machines_is_done_only_after_a_look_at_the_cloud() {
    let mut evening = Evening::new();
    evening.capacity = 0;
    evening.pass(end(), seconds(30));
    evening.load = Box::new(sessions(100.0));
    evening.blind = true;
    evening.pass(end() + seconds(7200), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Releasing, "{}", evening.log());
    evening.blind = false;
    evening.pass(end() + seconds(7260), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
}
