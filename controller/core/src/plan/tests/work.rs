//! Tests of ladder steps that run Jobs.

use super::*;
use JobState::{Failed, Running, Succeeded, Waiting};

use crate::plan::tests::degrade::{capture, load, sessions_above};
use crate::plan::tests::jobs::{step, warming};
use crate::state::announcement::Moment;
use crate::state::ladder::{Action as Does, Object, Step, When, Work};
use crate::state::status::JobState;

/// Returns an evening with two ladder steps.
///
/// The step `cdn` runs above 48,000 sessions and is undone below 47,000. The step `order-capture`
/// is on above 45,000.
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
            evening.world.runs.get_mut(&name).unwrap().deletion_time = Some(start());
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
    // The restore Job never ends, because no controller runs the Job.
    evening.pass(end() + seconds(3 * 3600), seconds(30));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
    assert!(evening.run().status.completion_time.is_some(), "{}", evening.says());
}

#[test]
fn a_step_that_goes_off_before_its_job_was_created_does_not_create_it_any_more() {
    let mut evening = with_a_cdn();
    evening.pass(start(), seconds(30));
    // The operator cannot create Jobs for a while. The persisted intent stays in `status`.
    let jobs = std::mem::take(&mut evening.world.jobs);
    let on = Action::Degrade { step: Some("cdn".into()), on: true };
    evening.world.overrides.push(person(on, 1, &evening));
    evening.pass(evening.now + seconds(120), seconds(5));
    evening.world.jobs = jobs;
    evening.pass(evening.now + seconds(60), seconds(5));
    assert_eq!(states(&evening), (Waiting, Waiting), "{}", evening.log());
    assert!(evening.jobs().jobs.is_empty());
}

#[test]
fn a_restore_job_that_has_failed_is_said_and_run_again_when_somebody_deletes_it() {
    let mut evening = with_a_cdn();
    evening.pass(start(), seconds(30));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    evening.ends("cdn", Ok(()));
    load(&mut evening, 1_000.0);
    evening.pass(start() + seconds(500), seconds(5));
    evening.ends("cdn-restore", Err("BackoffLimitExceeded".into()));
    evening.pass(start() + seconds(520), seconds(5));
    assert_eq!(states(&evening), (Succeeded, Failed));
    let job = evening.job("cdn-restore").job.clone();
    assert!(evening.says().contains(&format!("{job} has failed")), "{}", evening.says());
    evening.jobs().jobs.remove(&job);
    evening.pass(start() + seconds(540), seconds(5));
    assert_eq!(states(&evening), (Succeeded, Running), "{}", evening.log());
    evening.ends("cdn-restore", Err("BackoffLimitExceeded".into()));
    load(&mut evening, 500.0);
    evening.pass(end() + seconds(2 * 3600), seconds(30));
    let said = "everything was given back, but what cdn has run was not undone";
    assert!(evening.says().contains(said), "{}", evening.says());
}

#[test]
fn a_job_that_may_be_there_is_looked_for_before_it_is_called_not_created() {
    let mut evening = with_a_cdn();
    evening.pass(start(), seconds(30));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(40), seconds(5));
    // The shell created the Job and lost the answer, and no list shows the Job.
    let job = evening.job("cdn").job.clone();
    let created = evening.jobs().jobs.remove(&job).unwrap();
    let name = evening.run().name.clone();
    let status = &mut evening.world.runs.get_mut(&name).unwrap().status;
    status.jobs.iter_mut().for_each(|job| job.uid = None);
    let off = Action::Degrade { step: None, on: false };
    evening.world.overrides.push(person(off, 60, &evening));
    let mut asked = 0;
    for _ in 0..20 {
        evening.now += seconds(5);
        let plan = plan(&evening.world, evening.now);
        for record in plan.records {
            evening.persist(record);
        }
        asked += plan.acts.iter().filter(|act| matches!(act, Act::Job { .. })).count();
    }
    assert!(asked > 0);
    assert_eq!(states(&evening), (Running, Waiting), "no read has shown that it is not there");
    evening.jobs().jobs.insert(job, created);
    evening.pass(evening.now + seconds(30), seconds(5));
    assert_eq!(states(&evening), (Running, Waiting), "{}", evening.log());
    evening.ends("cdn", Ok(()));
    evening.pass(evening.now + seconds(30), seconds(5));
    assert_eq!(states(&evening), (Succeeded, Running), "{}", evening.log());
}

#[test]
fn a_step_without_anything_to_undo_does_not_run_beside_itself() {
    let mut evening = with_a_cdn();
    let spec = evening.world.surges.get_mut("capital").unwrap().spec.as_mut().unwrap();
    spec.announcement.degrade[1].action = Does::Run(Work { degrade: "cdn".into(), restore: None });
    evening.pass(start(), seconds(30));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    let off = Action::Degrade { step: Some("cdn".into()), on: false };
    evening.world.overrides.push(person(off, 1, &evening));
    evening.pass(start() + seconds(150), seconds(5));
    assert_eq!(evening.job("cdn").attempt, 1, "{}", evening.log());
    evening.ends("cdn", Ok(()));
    evening.pass(start() + seconds(250), seconds(5));
    assert_eq!((evening.job("cdn").attempt, evening.state_of("cdn")), (2, Running));
}
