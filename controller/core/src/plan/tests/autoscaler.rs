//! Tests of the release while an autoscaler scales down the same target.

use super::*;

/// Returns an evening after the first release step: the floor is 146 instead of 180, and the HPA
/// still keeps 180 pods.
fn coming_down() -> Evening {
    let mut evening = Evening::new();
    evening.pass(start() + seconds(60), seconds(30));
    evening.state("web").kept_at = Some(180);
    evening.load = Box::new(sessions(500.0));
    evening.pass(end() + seconds(150), seconds(30));
    assert_eq!(evening.web().1, 146, "{}", evening.log());
    evening
}

#[test]
fn a_step_down_waits_until_the_autoscaler_has_seen_the_one_before() {
    let mut evening = coming_down();
    evening.pass(end() + seconds(400), seconds(30));
    assert_eq!(evening.web().1, 146, "two steps would be one fall of 68 pods");
    let said = &evening.run().status.message;
    assert!(said.contains("web waits for its autoscaler to follow"), "{said}");

    evening.state("web").kept_at = Some(146);
    evening.pass(evening.now + seconds(130), seconds(10));
    assert_eq!(evening.web().1, 112, "{}", evening.log());

    // The HPA keeps more pods because of the load, not because of the minimum. The planner waits
    // for no sync of the HPA.
    evening.state("web").kept_at = None;
    evening.pass(evening.now + seconds(130), seconds(10));
    assert_eq!(evening.web().1, 78, "{}", evening.log());
}

#[test]
fn a_minimum_that_is_somebody_elses_is_not_waited_for() {
    let mut evening = coming_down();
    if let Some(autoscaler) = evening.state("web").autoscaler.as_mut() {
        autoscaler.min = Some(200);
    }
    evening.state("web").kept_at = Some(200);
    evening.pass(evening.now + seconds(900), seconds(30));
    let floors = &evening.run().status.release.as_ref().unwrap().floors;
    assert!(floors.iter().all(|f| f.floor < 146), "{floors:?} {}", evening.log());
}

#[test]
fn an_autoscaler_that_is_dead_is_not_waited_for_for_ever_nor_against_a_person() {
    let mut evening = coming_down();
    evening.pass(end() + seconds(7200 + 1800), seconds(60));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());

    let mut evening = coming_down();
    evening.world.overrides.push(person(Action::Release, 60, &evening));
    evening.pass(evening.now + seconds(130), seconds(10));
    assert!(evening.web().1 < 146, "{}", evening.log());
}
