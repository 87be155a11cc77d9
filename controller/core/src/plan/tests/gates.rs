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
    assert!(evening.cloud.values().all(|i| !i.terminated));
    assert_ne!(evening.run().status.verdict, Verdict::AtRisk, "{}", evening.run().status.message);
    evening.load = Box::new(sessions(500.0));
    evening.pass(end() + seconds(12_000), seconds(30));
    evening.everything_is_back();
}
