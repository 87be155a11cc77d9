//! Steps of the ladder that run Jobs.

use super::degrade::{capture, load, sessions_above};
use super::jobs::{step, warming};
use super::*;
use crate::degrade::{Action as Does, Object, Place, Step, When, Work};
use crate::run::JobState;
use crate::surge::Moment;

/// The page is handed to a CDN above 48,000 sessions, and taken back below 47,000; orders are captured above 45,000.
fn with_a_cdn() -> Evening {
    let mut evening = warming(vec![
        step("cdn", Moment::Degrade, 2, &[]),
        step("cdn-restore", Moment::Restore, 5, &[]),
    ]);
    let cdn = Step {
        name: "cdn".into(),
        when: When { condition: sessions_above("48000", "47000"), for_time: seconds(30) },
        minimum: seconds(300),
        action: Does::Run(Work { degrade: "cdn".into(), restore: Some("cdn-restore".into()) }),
    };
    let spec = evening.world.surges.get_mut("capital").unwrap().spec.as_mut().unwrap();
    spec.announcement.degrade = vec![capture(), cdn];
    evening.world.may_degrade.insert(Object::ConfigMap("shop-flags".into()));
    let checkout = Place::ConfigMap { name: "shop-flags".into(), key: "checkout".into() };
    evening.flags.insert(checkout, Ok(Some("normal".into())));
    evening
}

fn states(evening: &Evening) -> (JobState, JobState) {
    (evening.state_of("cdn"), evening.state_of("cdn-restore"))
}

use JobState::{Failed, Running, Succeeded, Waiting};

#[test]
fn a_job_is_run_when_a_step_goes_on_and_another_one_undoes_it() {
    let mut evening = with_a_cdn();
    evening.pass(start() + seconds(60), seconds(5));
    assert_eq!(states(&evening), (Waiting, Waiting));
    for round in 1..=2 {
        load(&mut evening, 50_000.0);
        evening.pass(evening.now + seconds(50), seconds(5));
        assert_eq!(states(&evening), (Running, Waiting), "{}", evening.log());
        evening.ends("cdn", Ok(()));
        evening.pass(evening.now + seconds(30), seconds(5));
        assert_eq!(states(&evening), (Succeeded, Waiting));
        load(&mut evening, 1_000.0);
        evening.pass(evening.now + seconds(400), seconds(5));
        assert_eq!(states(&evening), (Succeeded, Running), "{}", evening.log());
        assert_eq!(evening.flag("checkout"), Some("capture"), "the harder step is undone first");
        evening.ends("cdn-restore", Ok(()));
        evening.pass(evening.now + seconds(60), seconds(5));
        assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
        assert_eq!(evening.job("cdn").attempt, round);
    }
    let log = evening.log();
    assert!(log.contains("JobStarted: cdn: degrade job from CronJob cdn-template, as"), "{log}");
    assert!(log.contains("JobSucceeded: cdn-restore: restore job is done after"), "{log}");
}

#[test]
fn what_was_run_is_undone_whoever_dies_and_however_the_run_ends() {
    for (crash_every, called_off) in [(usize::MAX, false), (2, false), (3, true), (5, true)] {
        let mut evening = with_a_cdn();
        let spec = evening.world.surges.get_mut("capital").unwrap().spec.as_mut().unwrap();
        spec.announcement.jobs[0].deadline = seconds(6 * 3600);
        evening.crash_every = crash_every;
        evening.pass(start(), seconds(30));
        load(&mut evening, 50_000.0);
        evening.pass(start() + seconds(90), seconds(5));
        assert_eq!(states(&evening), (Running, Waiting), "{}", evening.log());
        load(&mut evening, 500.0);
        if called_off {
            let name = evening.run().name.clone();
            evening.world.runs.get_mut(&name).unwrap().deleting = true;
        } else {
            let on = Action::Degrade { step: Some("cdn".into()), on: true };
            evening.world.overrides.push(person(on, 24 * 60, &evening));
            while evening.run().status.degrade.iter().any(|step| step.engaged) {
                assert!(evening.now < end() + seconds(3 * 3600), "{}", evening.log());
                evening.pass(evening.now + seconds(30), seconds(30));
            }
        }
        evening.pass(evening.now + seconds(90), seconds(5));
        assert_eq!(states(&evening), (Running, Waiting), "what goes on is not undone yet");
        assert!(evening.run().status.completion_time.is_none());
        evening.ends("cdn", Err("DeadlineExceeded".into()));
        evening.pass(evening.now + seconds(30), seconds(5));
        assert_eq!(states(&evening), (Failed, Running), "{}", evening.log());
        assert!(evening.says().contains("waits for job cdn-restore"), "{}", evening.says());
        evening.ends("cdn-restore", Ok(()));
        evening.pass(evening.now + seconds(3600), seconds(10));
        assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
        let mut runs = evening.world.runs.values();
        assert!(runs.all(|run| run.status.completion_time.is_some()), "it is done, or gone");
    }
}

#[test]
fn a_job_that_cannot_be_made_is_said_days_before_and_keeps_nothing_for_ever() {
    let mut evening = with_a_cdn();
    evening.jobs().cron_jobs.remove("cdn-restore-template");
    evening.pass(evening.now + seconds(10), seconds(5));
    let said = "degrade step cdn: CronJob cdn-restore-template does not exist";
    assert!(evening.says().contains(said), "{}", evening.says());
    evening.pass(start(), seconds(30));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    evening.ends("cdn", Ok(()));
    load(&mut evening, 500.0);
    // A restore job that never ends, because nobody runs it.
    evening.pass(end() + seconds(3 * 3600), seconds(30));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
    assert!(evening.run().status.completion_time.is_some(), "{}", evening.says());
}

#[test]
fn a_step_that_goes_off_before_its_job_was_created_does_not_create_it_any_more() {
    let mut evening = with_a_cdn();
    evening.pass(start(), seconds(30));
    // Nobody can create Jobs for a while: what is on record stays on record.
    let jobs = std::mem::take(&mut evening.world.jobs);
    let on = Action::Degrade { step: Some("cdn".into()), on: true };
    evening.world.overrides.push(person(on, 1, &evening));
    evening.pass(evening.now + seconds(120), seconds(5));
    evening.world.jobs = jobs;
    evening.pass(evening.now + seconds(60), seconds(5));
    assert_eq!(states(&evening), (Waiting, Waiting), "{}", evening.log());
    assert!(evening.jobs().jobs.is_empty());
}
