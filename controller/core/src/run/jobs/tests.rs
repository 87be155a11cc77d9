//! Tests of Job names and of the planned duration of a warm-up.

use super::*;
use crate::timeline::{longest, time_of, times_after};

#[test]
fn a_name_is_the_same_for_the_same_attempt_and_short_enough_for_a_label() {
    let uid = "00000000-0000-4000-8000-000000000000";
    assert_eq!(name(uid, "photos", 1), name(uid, "photos", 1));
    assert_ne!(name(uid, "photos", 1), name(uid, "photos", 2));
    assert_ne!(name(uid, "photos", 1), name(uid, "prices", 1));
    assert_ne!(name(uid, "photos", 1), name("another", "photos", 1));
    let long = name(uid, &"x".repeat(63), u32::MAX);
    assert!(long.len() <= 63, "{long}");
}

#[test]
fn many_steps_that_all_wait_for_one_another_are_planned_in_a_moment() {
    use crate::state::announcement::{Announcement, OnUnknown, ReleasePace, Start};
    let step = |n: u32| JobStep {
        name: format!("s{n}"),
        moment: Moment::WarmUp,
        template: JobTemplate { kind: TemplateKind::CronJob, name: "t".into() },
        deadline: crate::seconds(60),
        retries: None,
        after: (0..n).map(|before| format!("s{before}")).chain(["web".to_owned()]).collect(),
    };
    let announcement = Announcement {
        targets: vec![],
        machines: vec![],
        jobs: (0..40).map(step).collect(),
        signals: vec![],
        degrade: vec![],
        on_unknown: OnUnknown::Hold,
        hold: None,
        release: ReleasePace { step_percent: 20, step_time: crate::seconds(60) },
        start: Start::Automatic,
    };
    let times = times_after(&announcement);
    assert_eq!(time_of("web", &times), crate::seconds(40 * 60));
    assert_eq!(time_of("s0", &times), crate::seconds(39 * 60));
    assert_eq!(time_of("s39", &times), crate::seconds(0));
    assert_eq!(longest(&announcement), crate::seconds(40 * 60));
}
