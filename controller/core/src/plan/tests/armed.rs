//! Events that a person starts.

use super::*;
use crate::surge::Start;

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
fn a_start_before_the_announced_hour_begins_at_once_and_one_of_long_ago_does_not() {
    let mut evening = armed(None);
    evening.pass(t0() - seconds(2000), seconds(60));
    evening.world.overrides.push(person(Action::Start, 600, &evening));
    evening.pass(t0() - seconds(250), seconds(10));
    assert_eq!(evening.run().status.started_time, None, "it was said before anything was prepared");
    evening.world.overrides.push(person(Action::Start, 10, &evening));
    evening.pass(t0() - seconds(200), seconds(1));
    assert_eq!(evening.run().status.stage, Stage::Live);
    assert_eq!(evening.web().1, 180);
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
