//! Tests of Jobs that a run creates.

use super::*;
use crate::output::JobAct;
use crate::state::announcement::{JobStep, JobTemplate, Moment, TemplateKind};
use crate::state::observed::Jobs;
use crate::state::status::{JobState, JobStatus};

impl Evening {
    pub(super) fn jobs(&mut self) -> &mut Jobs {
        match &mut self.world.jobs {
            Seen::Known(jobs) => jobs,
            other => panic!("Jobs are {other:?}"),
        }
    }

    /// Creates a Job that runs until [`Evening::ends`] sets the outcome of the Job, or looks up a
    /// Job by name.
    pub(super) fn job_act(&mut self, act: JobAct) {
        let job = match act {
            JobAct::Create(job) => *job,
            JobAct::Look { name } => {
                if !self.jobs().jobs.contains_key(&name) {
                    self.jobs().gone.insert(name);
                }
                return;
            }
        };
        let status = &self.run().status;
        assert!(status.jobs.iter().any(|j| j.job == job.name), "intent before effect");
        let run_uid = Some(job.run_uid);
        let created = Job { uid: job.name.clone(), run_uid, suspended: false, outcome: None };
        assert!(self.jobs().jobs.insert(job.name, created).is_none(), "created once");
    }

    pub(super) fn ends(&mut self, step: &str, outcome: Result<(), String>) {
        let name = self.job(step).job.clone();
        self.jobs().jobs.get_mut(&name).unwrap().outcome = Some(outcome);
    }

    pub(super) fn job(&self, step: &str) -> &JobStatus {
        self.run().status.jobs.iter().find(|job| job.name == step).unwrap()
    }

    pub(super) fn state_of(&self, step: &str) -> JobState {
        self.job(step).state
    }
}

pub(super) fn step(name: &str, moment: Moment, minutes: u32, after: &[&str]) -> JobStep {
    JobStep {
        name: name.into(),
        moment,
        template: JobTemplate { kind: TemplateKind::CronJob, name: format!("{name}-template") },
        deadline: seconds(minutes * 60),
        retries: Some(2),
        after: after.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// Returns an evening with the given warm-up steps and a `CronJob` template for each step.
pub(super) fn warming(steps: Vec<JobStep>) -> Evening {
    let mut evening = Evening::new();
    let cron_jobs = steps.iter().map(|step| step.template.name.clone()).collect();
    evening.world.jobs = Seen::Known(Jobs { cron_jobs, ..Jobs::default() });
    let spec = evening.world.surges.get_mut("capital").unwrap().spec.as_mut().unwrap();
    spec.announcement.jobs = steps;
    evening
}

fn photos_then_cdn() -> Evening {
    warming(vec![
        step("photos", Moment::WarmUp, 15, &["web"]),
        step("cdn", Moment::WarmUp, 5, &["photos"]),
    ])
}

#[test]
fn everything_starts_early_enough_for_what_comes_after_it() {
    let mut evening = photos_then_cdn();
    // The target `web` needs 300 s, the Job `photos` 900 s, and the Job `cdn` 300 s.
    evening.pass(t0() - seconds(1510), seconds(10));
    assert_eq!(evening.web().1, 10);
    assert_eq!(evening.state_of("photos"), JobState::Waiting);
    evening.pass(t0() - seconds(1480), seconds(10));
    assert_eq!(evening.web().1, 180);
    evening.pass(t0() - seconds(1210), seconds(10));
    assert_eq!(evening.state_of("photos"), JobState::Waiting, "its time has not come");
    evening.pass(t0() - seconds(1190), seconds(10));
    assert_eq!(evening.state_of("photos"), JobState::Running);
    evening.pass(t0() - seconds(600), seconds(10));
    assert_eq!(evening.run().status.verdict, Verdict::OnTrack);
    evening.ends("photos", Ok(()));
    evening.pass(t0() - seconds(290), seconds(10));
    assert_eq!(evening.state_of("cdn"), JobState::Running);
    assert_eq!(evening.run().status.stage, Stage::WarmingUp, "ready means warm");
    evening.ends("cdn", Ok(()));
    evening.pass(t0() - seconds(100), seconds(10));
    assert_eq!(evening.run().status.stage, Stage::Ready);
    let said = &evening.run().status.message;
    assert!(said.contains("warm-up photos 1/1 jobs, warm-up cdn 1/1 jobs"), "{said}");
    let log = evening.log();
    assert!(
        log.contains("JobStarted: photos: warm-up from CronJob photos-template, as Job"),
        "{log}"
    );
    assert!(log.contains("JobSucceeded: cdn: warm-up is done after "), "{log}");
}

#[test]
fn a_failed_warm_up_is_a_risk_at_once_and_is_run_again_when_somebody_deletes_its_job() {
    let mut evening = photos_then_cdn();
    evening.pass(t0() - seconds(1190), seconds(10));
    evening.ends("photos", Err("BackoffLimitExceeded".into()));
    evening.pass(t0() - seconds(1100), seconds(10));
    let first = evening.job("photos").job.clone();
    assert_eq!(evening.run().status.verdict, Verdict::AtRisk);
    let said = evening.run().status.message.clone();
    assert!(said.contains(&format!("Job {first} has failed: BackoffLimitExceeded")), "{said}");
    evening.pass(t0() - seconds(200), seconds(10));
    assert_eq!(evening.state_of("cdn"), JobState::Waiting, "a gate stays closed");
    assert_eq!(evening.job("cdn").message.as_deref(), Some("waits for photos"));

    evening.jobs().jobs.clear();
    evening.pass(t0() - seconds(190), seconds(10));
    assert_eq!((evening.state_of("photos"), evening.job("photos").attempt), (JobState::Running, 2));
    assert_ne!(evening.job("photos").job, first);
    evening.ends("photos", Ok(()));
    evening.pass(t0() - seconds(100), seconds(10));
    evening.ends("cdn", Ok(()));
    evening.pass(t0(), seconds(10));
    assert_eq!(evening.run().status.verdict, Verdict::Ready, "{}", evening.log());
    let failed = evening.run().status.conditions.iter().find(|c| c.type_ == "JobsFailed").unwrap();
    assert_eq!(failed.status, "False");
}

#[test]
fn a_step_waits_for_what_comes_before_it_also_where_that_is_late() {
    let mut evening = warming(vec![step("photos", Moment::WarmUp, 15, &["burst"])]);
    evening.capacity = 3;
    evening.pass(t0() + seconds(60), seconds(30));
    assert_eq!(evening.job("photos").message.as_deref(), Some("waits for burst"));
    evening.capacity = usize::MAX;
    evening.pass(t0() + seconds(600), seconds(30));
    assert_eq!(evening.state_of("photos"), JobState::Running, "better late than never");
}

#[test]
fn what_cannot_be_run_is_said_days_before() {
    let template = || step("photos", Moment::WarmUp, 15, &[]);
    let risk = |evening: &mut Evening| {
        evening.look();
        evening.look();
        let status = &evening.run().status;
        assert_eq!(status.verdict, Verdict::AtRisk, "{}", status.message);
        status.message.clone()
    };
    let mut evening = warming(vec![template()]);
    evening.now = t0() - seconds(86_400);
    evening.jobs().cron_jobs.clear();
    let said = risk(&mut evening);
    assert!(said.contains("CronJob photos-template does not exist"), "{said}");

    let mut evening = warming(vec![template()]);
    evening.now = t0() - seconds(86_400);
    evening.world.jobs = Seen::Absent;
    let said = risk(&mut evening);
    assert!(said.contains("may not create Jobs (chart value jobs.enabled)"), "{said}");

    let mut one = template();
    one.template = JobTemplate { kind: TemplateKind::Job, name: "once".into() };
    let mut evening = warming(vec![one]);
    evening.now = t0() - seconds(86_400);
    let running = Job { uid: "u".into(), run_uid: None, suspended: false, outcome: None };
    evening.jobs().jobs.insert("once".into(), running);
    let said = risk(&mut evening);
    assert!(said.contains("Job once is not suspended: it is no template"), "{said}");
}

#[test]
fn what_is_not_known_of_jobs_starts_nothing_and_ends_nothing() {
    let mut evening = photos_then_cdn();
    evening.world.jobs = Seen::default();
    evening.pass(t0() - seconds(1000), seconds(10));
    assert_eq!(evening.state_of("photos"), JobState::Waiting);
    assert_eq!(evening.web().1, 180, "nothing else waits for it");
}

#[test]
fn jobs_are_run_when_it_begins_and_when_it_comes_down_and_the_end_waits_for_them() {
    let mut evening = warming(vec![
        step("banner", Moment::Live, 5, &[]),
        step("readers", Moment::Release, 30, &[]),
        step("report", Moment::Release, 5, &["readers"]),
    ]);
    evening.pass(start() - seconds(10), seconds(10));
    assert_eq!(evening.run().status.verdict, Verdict::Ready, "only a warm-up is waited for");
    assert_eq!(evening.state_of("banner"), JobState::Waiting);
    evening.pass(start() + seconds(10), seconds(10));
    assert_eq!(evening.state_of("banner"), JobState::Running);
    evening.ends("banner", Err("DeadlineExceeded".into()));
    evening.pass(start() + seconds(60), seconds(10));
    let failed = evening.run().status.conditions.iter().find(|c| c.type_ == "JobsFailed").unwrap();
    assert_eq!(failed.message, "banner: DeadlineExceeded");
    assert_eq!(evening.run().status.verdict, Verdict::Ready);

    evening.load = Box::new(sessions(100.0));
    evening.pass(end() + seconds(1700), seconds(20));
    assert_eq!(evening.state_of("readers"), JobState::Running);
    evening.pass(end() + seconds(2000), seconds(20));
    assert_eq!(evening.run().status.stage, Stage::Releasing, "{}", evening.log());
    assert!(evening.run().status.message.contains("waits for job readers"));
    evening.ends("readers", Ok(()));
    evening.pass(evening.now + seconds(20), seconds(10));
    evening.ends("report", Ok(()));
    evening.pass(evening.now + seconds(20), seconds(10));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
}

#[test]
fn an_end_does_not_wait_for_ever_for_a_job_that_never_ends() {
    let mut evening = warming(vec![step("readers", Moment::Release, 30, &[])]);
    evening.pass(start(), seconds(30));
    evening.load = Box::new(sessions(100.0));
    evening.pass(end() + seconds(1780), seconds(20));
    assert_eq!(evening.run().status.stage, Stage::Releasing);
    evening.pass(end() + seconds(1900), seconds(20));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
}

#[test]
fn a_job_that_is_deleted_is_run_again_at_once_unless_it_is_done() {
    let mut evening = warming(vec![step("photos", Moment::WarmUp, 10, &[])]);
    evening.pass(t0() - seconds(590), seconds(10));
    evening.jobs().jobs.clear();
    evening.pass(t0() - seconds(560), seconds(10));
    assert_eq!(evening.job("photos").attempt, 2, "asked for by name, it was gone");
    evening.ends("photos", Ok(()));
    evening.pass(t0() - seconds(500), seconds(10));
    evening.jobs().jobs.clear();
    evening.pass(t0() + seconds(1800), seconds(10));
    assert_eq!(
        (evening.state_of("photos"), evening.job("photos").attempt),
        (JobState::Succeeded, 2)
    );
}

#[test]
fn what_deletes_every_job_does_not_have_it_run_for_ever() {
    let mut evening = warming(vec![step("photos", Moment::WarmUp, 10, &[])]);
    while evening.now < end() {
        for _ in 0..6 {
            evening.look();
        }
        evening.jobs().jobs.clear();
        evening.now += seconds(10);
    }
    assert_eq!((evening.state_of("photos"), evening.job("photos").attempt), (JobState::Failed, 10));
}

#[test]
fn what_could_not_be_created_in_its_time_is_not_created_after_it() {
    let mut evening = warming(vec![step("banner", Moment::Live, 5, &[])]);
    evening.pass(start() - seconds(10), seconds(10));
    // The API server refuses the creation of the Job, and the planner never sees a Job.
    while evening.now < end() + seconds(7200) {
        for record in plan(&evening.world, evening.now).records {
            evening.persist(record);
        }
        let acts = plan(&evening.world, evening.now).acts;
        let creates = |act: &Act| matches!(act, Act::Job { act: JobAct::Create(_), .. });
        assert_eq!(acts.iter().any(creates), (start()..end()).contains(&evening.now));
        for act in acts.into_iter().filter(|act| !creates(act)) {
            evening.act(act);
        }
        evening.settle();
        evening.now += seconds(10);
    }
    assert_eq!(evening.state_of("banner"), JobState::Failed);
    let said = evening.job("banner").message.clone().unwrap();
    assert_eq!(said, "its time is over: it was not created");
}

#[test]
fn a_clock_in_doubt_starts_no_job() {
    let mut evening = warming(vec![
        step("photos", Moment::WarmUp, 10, &[]),
        step("banner", Moment::Live, 5, &[]),
    ]);
    evening.pass(t0() - seconds(700), seconds(10));
    evening.world.clock_error = Some(seconds(3600));
    evening.pass(start() + seconds(60), seconds(30));
    assert_eq!(evening.state_of("photos"), JobState::Waiting);
    evening.world.clock_error = None;
    evening.world.may_lower_from = evening.now + seconds(120);
    evening.pass(evening.now + seconds(60), seconds(10));
    assert_eq!(evening.state_of("photos"), JobState::Running);
    assert_eq!(evening.state_of("banner"), JobState::Waiting);
    evening.pass(evening.now + seconds(70), seconds(10));
    assert_eq!(evening.state_of("banner"), JobState::Running);
}

#[test]
fn a_warm_up_that_begins_a_moment_after_its_time_is_no_risk() {
    let mut evening = warming(vec![step("photos", Moment::WarmUp, 20, &[])]);
    evening.pass(t0() - seconds(1210), seconds(10));
    evening.now = t0() - seconds(1200) + TimeDelta::milliseconds(3);
    (0..6).for_each(|_| evening.look());
    assert_eq!(evening.state_of("photos"), JobState::Running);
    assert_eq!(evening.run().status.verdict, Verdict::OnTrack, "{}", evening.run().status.message);
}

#[test]
fn a_namespace_that_goes_is_not_kept_by_jobs_that_cannot_be_created() {
    for jobs in [Seen::Known(Jobs::default()), Seen::Absent] {
        let mut evening = warming(vec![step("readers", Moment::Release, 120, &[])]);
        let spec = evening.world.surges.get_mut("capital").unwrap().spec.as_mut().unwrap();
        spec.announcement.machines.clear();
        spec.announcement.signals.clear();
        spec.announcement.hold = None;
        evening.pass(start(), seconds(30));
        let deleted = matches!(jobs, Seen::Known(_));
        evening.world.jobs = jobs;
        evening.world.runs.values_mut().for_each(|run| run.deletion_time = deleted.then(start));
        evening.load = Box::new(sessions(100.0));
        while evening.now < end() + seconds(3600) && !evening.world.runs.is_empty() {
            let Plan { records, acts, .. } = plan(&evening.world, evening.now);
            for record in records {
                evening.persist(record);
            }
            let creates = |act: &Act| matches!(act, Act::Job { .. });
            for act in acts.into_iter().filter(|act| !creates(act)) {
                evening.act(act);
            }
            evening.settle();
            evening.now += seconds(10);
        }
        let over = |run: &RunRecord| run.status.completion_time.is_some();
        assert!(evening.world.runs.values().all(|run| over(run)), "{}", evening.log());
    }
}

#[test]
fn a_job_of_the_same_name_that_is_not_ours_is_not_taken_for_ours() {
    let mut evening = warming(vec![step("photos", Moment::WarmUp, 10, &[])]);
    evening.look();
    let uid = evening.run().uid.clone();
    let name = crate::run::jobs::name(&uid, "photos", 1);
    let stranger = Job { uid: "x".into(), run_uid: None, suspended: false, outcome: Some(Ok(())) };
    evening.jobs().jobs.insert(name.clone(), stranger);
    evening.pass(t0(), seconds(10));
    assert_eq!(evening.run().status.verdict, Verdict::AtRisk);
    let said = &evening.run().status.message;
    assert!(said.contains(&format!("there is a Job {name} that is not of this run")), "{said}");
}
