//! Tests of events that a person starts (`startPolicy: Manual`).

use super::*;

fn armed(within: Option<u32>) -> Evening {
    let mut evening = Evening::new();
    let spec = evening.world.surges.get_mut("capital").unwrap().spec.as_mut().unwrap();
    spec.announcement.start = Start::Manual { within: within.map(seconds) };
    evening
}

#[test]
fn an_armed_event_is_ready_and_waits_for_a_person_and_lasts_from_there() {
    let mut evening = armed(Some(4 * 3600));
    evening.pass(start() + seconds(3 * 3600), seconds(60));
    assert_eq!(evening.run().status.stage, Stage::Ready, "{}", evening.log());
    assert_eq!(evening.web().1, 180);
    let said = &evening.run().status.message;
    assert!(said.ends_with("armed: it begins when a person says so, until 00:00:00Z"), "{said}");

    evening.world.overrides.push(person(Action::Start, 10, &evening));
    evening.pass(evening.now + seconds(5), seconds(1));
    assert_eq!(evening.run().status.stage, Stage::Live);
    let started = evening.run().status.started_time.unwrap();

    evening.load = Box::new(sessions(36_000.0));
    evening.pass(started + seconds(300), seconds(60));
    evening.world.overrides.push(person(Action::Start, 10, &evening));
    evening.load = Box::new(sessions(1_000.0));
    evening.pass(started + seconds(7100), seconds(30));
    assert_eq!(evening.run().status.started_time, Some(started), "a second start is harmless");
    assert_eq!(evening.run().status.stage, Stage::Live, "{}", evening.log());
    evening.pass(started + seconds(7200 + 3600), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    evening.everything_is_back();
}

#[test]
fn an_event_that_nobody_starts_is_called_off_and_given_back() {
    let mut evening = armed(None);
    evening.pass(end() - seconds(60), seconds(60));
    assert_eq!(evening.run().status.stage, Stage::Ready);
    evening.pass(end() + seconds(3600), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Cancelled, "{}", evening.log());
    let report = evening.run().status.report.clone().unwrap();
    assert_eq!(report.release_cause, ReleaseCause::NeverStarted);
    evening.everything_is_back();
}

#[test]
fn a_start_before_the_announced_hour_begins_at_once_when_the_preparation_has_begun() {
    let mut evening = armed(None);
    evening.pass(t0() - seconds(2000), seconds(60));
    evening.world.overrides.push(person(Action::Start, 10, &evening));
    evening.pass(t0() - seconds(950), seconds(10));
    assert_eq!(
        evening.run().status.started_time,
        None,
        "nothing was prepared while it was in force"
    );
    evening.pass(t0() - seconds(700), seconds(10));
    evening.world.overrides.push(person(Action::Start, 10, &evening));
    let said = evening.now;
    evening.pass(said + seconds(2), seconds(1));
    assert_eq!(evening.run().status.stage, Stage::Live);
    assert_eq!(evening.run().status.started_time, Some(said));
    assert_eq!(evening.web().1, 180, "everything at once");
}

#[test]
fn a_start_that_comes_after_the_wait_takes_the_release_back() {
    let mut evening = armed(None);
    evening.load = Box::new(sessions(36_000.0));
    evening.pass(end() + seconds(400), seconds(10));
    assert_eq!(evening.run().status.stage, Stage::Releasing, "{}", evening.log());
    evening.world.overrides.push(person(Action::Start, 10, &evening));
    evening.pass(end() + seconds(420), seconds(5));
    assert_eq!(evening.run().status.stage, Stage::Live, "{}", evening.log());
    assert_eq!(evening.web().1, 180);
}

/// The machines were cordoned, and some of them emptied, when the start came.
#[test]
fn a_start_during_the_way_down_of_the_machines_opens_them_again() {
    let mut evening = armed(None);
    evening.load = Box::new(sessions(1_000.0));
    let cordoned =
        |evening: &Evening| evening.world.nodes.values().filter(|n| n.unschedulable).count();
    while cordoned(&evening) < 10 {
        evening.pass(evening.now + seconds(10), seconds(10));
        assert!(evening.now < end() + seconds(7200), "{}", evening.log());
    }
    assert_eq!(evening.run().status.stage, Stage::Releasing);
    evening.world.overrides.push(person(Action::Start, 10, &evening));
    evening.pass(evening.now + seconds(60), seconds(5));
    assert_eq!(evening.run().status.stage, Stage::Live, "{}", evening.log());
    assert_eq!(cordoned(&evening), 0);
    let alive = evening.cloud.values().filter(|i| i.state == InstanceState::Living).count();
    assert_eq!(alive, 17, "those that had gone were started again");
}

#[test]
fn a_clock_that_goes_back_for_a_while_moves_no_start() {
    let mut evening = armed(None);
    evening.pass(start(), seconds(10));
    evening.world.overrides.push(person(Action::Start, 10, &evening));
    evening.pass(start() + seconds(300), seconds(10));
    let started = evening.run().status.started_time;
    let right = evening.now;
    evening.now = right - seconds(3600);
    evening.world.clock_error = Some(-seconds(3600));
    evening.pass(evening.now + seconds(30), seconds(10));
    evening.world.clock_error = None;
    evening.now = right + seconds(60);
    evening.pass(start() + seconds(7100), seconds(30));
    assert_eq!(evening.run().status.started_time, started);
    assert_eq!(evening.run().status.stage, Stage::Live, "{}", evening.log());
}

#[test]
fn of_two_armed_runs_the_first_is_started() {
    let mut evening = armed(Some(4 * 3600));
    let spec = evening.world.surges.get_mut("capital").unwrap().spec.as_mut().unwrap();
    let encore = spec.schedule.rules.first().unwrap().clone();
    spec.schedule.rules.push(Rule { when: When::Once(start() + seconds(600)), ..encore });
    evening.pass(start() + seconds(900), seconds(30));
    evening.world.overrides.push(person(Action::Start, 10, &evening));
    evening.pass(start() + seconds(960), seconds(10));
    evening.world.overrides.push(person(Action::Start, 10, &evening));
    evening.pass(start() + seconds(1020), seconds(10));
    let started: Vec<bool> =
        evening.world.runs.values().map(|r| r.status.started_time.is_some()).collect();
    assert_eq!(started, [true, false], "and a second start belongs to it");
}

#[test]
fn a_start_means_nothing_to_an_event_that_begins_by_itself() {
    let mut evening = Evening::new();
    evening.pass(t0(), seconds(10));
    evening.world.overrides.push(person(Action::Start, 10, &evening));
    evening.pass(start() - seconds(10), seconds(10));
    assert_eq!(evening.run().status.stage, Stage::Ready);
    assert_eq!(evening.run().status.started_time, None);
}

/// Returns an evening whose machines are being emptied: all are cordoned, and some are gone.
fn emptying() -> Evening {
    let mut evening = Evening::new();
    evening.pass(end(), seconds(20));
    evening.load = Box::new(sessions(100.0));
    while evening.world.nodes.values().filter(|n| n.unschedulable).count() < 10 {
        evening.pass(evening.now + seconds(10), seconds(10));
        assert!(evening.now < end() + seconds(9000), "{}", evening.log());
    }
    evening
}

fn alive(evening: &Evening) -> usize {
    evening.cloud.values().filter(|i| i.state == InstanceState::Living).count()
}

#[test]
fn a_hold_on_the_way_down_of_the_machines_keeps_and_opens_those_that_are_left() {
    let mut evening = emptying();
    evening.world.overrides.push(person(Action::Hold, 60, &evening));
    evening.pass(evening.now + seconds(30), seconds(5));
    let left = alive(&evening);
    assert!(left > 0 && left < 17);
    assert!(evening.world.nodes.values().all(|n| !n.unschedulable), "{:?}", evening.world.nodes);
    evening.pass(evening.now + seconds(3000), seconds(30));
    assert_eq!(alive(&evening), left, "{}", evening.log());
    evening.pass(evening.now + seconds(6000), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    assert_eq!(alive(&evening), 0);
}

#[test]
fn no_machine_goes_while_a_signal_is_unknown() {
    let mut evening = emptying();
    evening.load = Box::new(|_| Sample::Unknown(Why::NoAnswer("down".into())));
    evening.pass(evening.now + seconds(60), seconds(5));
    let left = alive(&evening);
    evening.pass(evening.now + seconds(2400), seconds(30));
    assert_eq!(alive(&evening), left, "{}", evening.log());
    evening.load = Box::new(sessions(100.0));
    evening.pass(evening.now + seconds(3000), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
}
