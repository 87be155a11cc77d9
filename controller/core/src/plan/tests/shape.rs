//! Tests of a plan with a shape: the clock lowers the floor within the event.

use super::*;
use crate::state::shape::{Interpolation, Point, Shape};

/// Full until 15 min after the start, then a tenth 45 min after the start, with a quarter of headroom.
fn shape() -> Shape {
    let point = |n, percent| Point { offset: seconds(n), percent };
    Shape {
        interpolation: Interpolation::Linear,
        headroom_percent: 25,
        min_replicas: None,
        points: vec![point(0, 100), point(900, 100), point(2_700, 10)],
    }
}

fn shaped() -> Evening {
    let mut evening = Evening::new();
    let surge = evening.world.surges.get_mut("capital").unwrap();
    surge.spec.as_mut().unwrap().announcement.targets[0].shape = Some(shape());
    evening
}

#[test]
fn the_floor_follows_the_clock_and_is_ready_at_t0() {
    for crash_every in [usize::MAX, 7, 3] {
        let mut evening = shaped();
        evening.crash_every = crash_every;
        evening.pass(t0(), seconds(5));
        assert_eq!(evening.web(), (180, 180, 260), "crash every {crash_every} looks");
        evening.pass(start() + seconds(900), seconds(10));
        assert_eq!(evening.web().1, 180);
        let mut before = 180;
        while evening.now < start() + seconds(2_700) {
            evening.pass(evening.now + seconds(10), seconds(10));
            let floor = evening.web().1;
            assert!(before - floor <= 18, "{before} -> {floor}: {}", evening.log());
            before = floor;
        }
        assert_eq!(evening.web().1, 23, "a tenth and a quarter of 180: {}", evening.log());
        let status = &evening.run().status;
        assert_eq!((status.stage, status.targets[0].planned), (Stage::Live, Some(23)));
        assert_eq!(status.targets[0].wanted(false), Some(23));
        assert_ne!(status.verdict, Verdict::AtRisk, "{}", status.message);
        let said = "the shape asks for ";
        assert!(evening.log().contains(said), "{}", evening.log());
        evening.load = Box::new(sessions(500.0));
        evening.pass(end() + seconds(12_000), seconds(30));
        evening.everything_is_back();
        let report = evening.run().status.report.clone().unwrap();
        assert_eq!((report.targets[0].planned, report.ready_at_t0), (Some(180), true));
    }
}

#[test]
fn unknown_load_and_a_hold_override_stop_the_clock() {
    let mut evening = shaped();
    evening.pass(start() + seconds(900), seconds(10));
    evening.load = Box::new(|_| Sample::Unknown(Why::NoAnswer("connection refused".into())));
    evening.pass(start() + seconds(1_500), seconds(10));
    assert_eq!(evening.web().1, 180, "unknown lowers nothing");
    evening.load = Box::new(sessions(2_000.0));
    evening.world.overrides.push(person(Action::Hold, 10, &evening));
    evening.pass(start() + seconds(2_000), seconds(10));
    assert_eq!(evening.web().1, 180, "a person holds it");
    let mut before = 180;
    while evening.now < start() + seconds(3_000) {
        evening.pass(evening.now + seconds(10), seconds(10));
        let floor = evening.web().1;
        assert!(before - floor <= 36, "a fifth of the plan at a time: {before} -> {floor}");
        before = floor;
    }
    assert_eq!(evening.web().1, 23, "{}", evening.log());
}

#[test]
fn a_load_above_the_shape_is_met_and_then_falls_by_the_clock() {
    let mut evening = shaped();
    evening.pass(start() + seconds(1_800), seconds(10));
    let shape = evening.web().1;
    assert!((118..=126).contains(&shape), "{shape}");
    evening.load = Box::new(sessions(35_000.0));
    evening.pass(start() + seconds(1_810), seconds(10));
    assert!(evening.web().1 >= 175, "{}", evening.log());
    evening.load = Box::new(sessions(2_000.0));
    evening.pass(start() + seconds(1_820), seconds(10));
    assert!(evening.web().1 >= 170, "the load alone lowers nothing: {}", evening.log());
    evening.pass(start() + seconds(2_700), seconds(10));
    let floor = evening.web().1;
    assert!((30..=40).contains(&floor), "half as much again as 23: {floor}");
}

#[test]
fn a_surge_that_waits_for_its_start_waits_at_the_floor_of_t0() {
    let mut evening = shaped();
    let surge = evening.world.surges.get_mut("capital").unwrap();
    surge.spec.as_mut().unwrap().announcement.start =
        crate::state::announcement::Start::Manual { within: Some(seconds(7_200)) };
    evening.pass(start() + seconds(3_000), seconds(10));
    assert_eq!(evening.web().1, 180, "{}", evening.log());
    evening.world.overrides.push(person(Action::Start, 10, &evening));
    evening.pass(start() + seconds(3_000 + 2_700), seconds(10));
    assert_eq!(evening.web().1, 23, "{}", evening.log());
}

fn living(evening: &Evening) -> usize {
    evening.cloud.values().filter(|i| i.state == InstanceState::Living).count()
}

#[test]
fn machines_follow_the_shape_with_one_to_spare_and_pods_are_replaced_first() {
    let mut evening = shaped();
    let surge = evening.world.surges.get_mut("capital").unwrap();
    surge.spec.as_mut().unwrap().announcement.targets[1].shape = Some(shape());
    evening.pass(start() + seconds(900), seconds(10));
    assert_eq!(living(&evening), 17);
    let mut before = 17;
    while evening.now < start() + seconds(4_500) {
        evening.pass(evening.now + seconds(10), seconds(10));
        let (now, floor) = (living(&evening), evening.run().status.targets[0].planned.unwrap());
        assert!(before - now <= 3, "a fifth at a time: {before} -> {now}");
        let carries = usize::try_from(floor).unwrap().saturating_sub(10).div_ceil(10);
        assert!(now >= carries.min(17), "{now} machines for {floor} pods: {}", evening.log());
        before = now;
    }
    assert!((2..=4).contains(&before), "{before} machines: {}", evening.log());
    let status = &evening.run().status;
    assert_eq!(status.stage, Stage::Live);
    assert_ne!(status.verdict, Verdict::AtRisk, "{}", status.message);
    evening.load = Box::new(|_| Sample::Unknown(Why::NoAnswer("connection refused".into())));
    evening.pass(end() - seconds(60), seconds(10));
    assert!(living(&evening) >= before, "unknown lowers nothing");
    evening.load = Box::new(sessions(100.0));
    evening.pass(end() + seconds(12_000), seconds(30));
    evening.everything_is_back();
}

#[test]
fn a_target_without_a_shape_keeps_all_machines() {
    let mut evening = shaped();
    evening.pass(start() + seconds(4_500), seconds(10));
    assert_eq!((living(&evening), evening.web().1), (17, 23));
}

/// A match starts at two fifths, and its peak comes later than the run waits for a start.
#[test]
fn an_armed_run_has_the_machines_of_the_later_peak_too() {
    let mut evening = shaped();
    let surge = evening.world.surges.get_mut("capital").unwrap();
    let announcement = &mut surge.spec.as_mut().unwrap().announcement;
    announcement.start = crate::state::announcement::Start::Manual { within: Some(seconds(1_800)) };
    let point = |n, percent| Point { offset: seconds(n), percent };
    let points = vec![point(0, 40), point(6_000, 100)];
    for target in &mut announcement.targets {
        target.shape = Some(Shape { points: points.clone(), ..shape() });
    }
    evening.pass(t0(), seconds(10));
    assert_eq!((living(&evening), evening.web().1), (17, 72), "{}", evening.log());
}

#[test]
fn a_step_that_is_not_written_yet_is_not_followed_by_another() {
    let mut evening = shaped();
    evening.pass(start() + seconds(1_800), seconds(10));
    let (floor, now) = (evening.web().1, evening.now);
    // The autoscaler has not seen the last minimum.
    evening.state("web").kept_at = Some(floor + 20);
    evening.now = now + seconds(300);
    let records = plan(&evening.world, evening.now).records;
    let lower = |r: &Record| matches!(r, Record::UpdateHold { hold, .. } if hold.level.min < Some(floor) && hold.target_ref == workload("web"));
    assert!(!records.iter().any(lower), "{records:?}");
}
