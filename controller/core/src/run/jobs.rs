//! Jobs of an event: warm-up Jobs before T0, Jobs at the start, Jobs at the release, and ladder
//! Jobs.
//!
//! The planner records a step before the reconciler creates the Job. Each attempt has a distinct
//! Job name, so a process that crashes in between creates the same Job again. The Job itself limits
//! retries and duration (`backoffLimit`, `activeDeadlineSeconds`), so the Job ends without the
//! operator. The planner reads the outcome from the conditions of the Job.

use std::hash::Hasher;

use chrono::TimeDelta;
use siphasher::sip::SipHasher13;

use crate::Instant;
use crate::output::{Act, Draft, JobAct, NewJob, Wake};
use crate::run::context::Run;
use crate::run::degrade::jobs::{self, Known};
use crate::state::announcement::{
    Announcement, JobStep, JobTemplate, Moment, TemplateKind, Window,
};
use crate::state::observed::{Jobs, Seen};
use crate::state::run::{RunRecord, RunStatus};
use crate::state::status::{JobState, JobStatus};
use crate::state::world::World;

/// Longest name of a Job. The name is also the value of a pod label, which may have 63 characters.
const NAME_LIMIT: usize = 63;

/// Returns the name of the Job of an attempt: the same name for the same run, step and attempt.
#[must_use]
pub fn name(run_uid: &str, step: &str, attempt: u32) -> String {
    let mut hasher = SipHasher13::new();
    for part in [run_uid, "\0", step] {
        hasher.write(part.as_bytes());
    }
    let end = format!("-{:08x}-{attempt}", hasher.finish() & 0xffff_ffff);
    let kept: String = step.chars().take(NAME_LIMIT.saturating_sub(end.len())).collect();
    format!("{kept}{end}")
}

/// Inputs for decisions about the Jobs of a run.
#[derive(Clone, Copy, Debug)]
pub struct JobInputs<'a> {
    /// Record of the run.
    pub run: &'a RunRecord,
    /// Announcement of the run.
    pub announcement: &'a Announcement,
    /// Instants in force.
    pub window: &'a Window,
    /// Planned start of each warm-up Job. A Job starts later if a predecessor takes longer than
    /// planned.
    pub warm_up: &'a [Instant],
    /// End in force.
    pub end: Instant,
    /// True if the run waits for a person to start the event.
    pub armed: bool,
}

impl JobInputs<'_> {
    /// Returns the inputs for decisions about ladder Jobs, from the recorded status.
    fn ladder<'a>(&'a self, world: &'a World, now: Instant) -> Known<'a> {
        Known { status: &self.run.status, announcement: self.announcement, world, now }
    }

    /// True if the step may start a Job now.
    ///
    /// If the clock is in doubt, the planner starts no warm-up or live Job, because a started Job
    /// cannot be undone.
    fn is_due(&self, step: &JobStep, world: &World, now: Instant) -> bool {
        let status = &self.run.status;
        match step.moment {
            Moment::Release => status.release.is_some(),
            Moment::Degrade | Moment::Restore => self.ladder(world, now).is_due(step),
            _ if self.is_over(step, world, now) => false,
            Moment::WarmUp => {
                let mut steps = self.announcement.warm_up().zip(self.warm_up);
                let start = steps.find(|(s, _)| s.name == step.name).map(|(_, start)| *start);
                world.clock_error.is_none() && start.is_some_and(|start| now >= start)
            }
            Moment::Live => world.trusts_its_clock(now) && now >= self.window.start && !self.armed,
        }
    }

    /// True if the time for a start of the step has passed.
    fn is_over(&self, step: &JobStep, world: &World, now: Instant) -> bool {
        match step.moment {
            Moment::Release => false,
            Moment::Degrade | Moment::Restore => {
                self.ladder(world, now).is_over(step, self.run.deleting())
            }
            Moment::WarmUp | Moment::Live => self.run.status.release.is_some() || now >= self.end,
        }
    }
}

/// Reads the outcome of each Job, and records the Jobs that may be created now.
pub fn keep(status: &mut RunStatus, facts: JobInputs<'_>, world: &World, now: Instant) {
    let mut before = std::mem::take(&mut status.jobs);
    for step in &facts.announcement.jobs {
        let mut job = match before.iter().position(|old| old.name == step.name) {
            Some(n) => before.swap_remove(n),
            None => JobStatus::waiting(&step.name),
        };
        if let Seen::Known(jobs) = &world.jobs {
            let due = facts.is_due(step, world, now);
            look(&mut job, &facts.run.uid, jobs, due, now);
            // A missing Job of the ladder fails only after a look-up by name. The planner must be
            // certain that the Job has no effect to undo.
            let surely = !jobs::is_of_a_step(step) || jobs.gone.contains(&job.job);
            let absent = job.state == JobState::Running && job.uid.is_none();
            if absent && facts.is_over(step, world, now) && surely {
                let why = job.message.take().unwrap_or_else(|| "it was not created".to_owned());
                job.end(JobState::Failed, Some(format!("its time is over: {why}")), now);
            }
            if due {
                begin(&mut job, step, facts, status, now);
            }
        }
        status.jobs.push(job);
    }
}

/// Largest number of attempts of a step.
///
/// If a person deletes a failed Job, the planner starts a new attempt.
const ATTEMPTS: u32 = 10;

/// Reads the outcome of the Job of a step.
fn look(job: &mut JobStatus, run_uid: &str, jobs: &Jobs, due: bool, now: Instant) {
    if !matches!(job.state, JobState::Running | JobState::Failed) {
        return;
    }
    let Some(seen) = jobs.jobs.get(&job.job) else {
        // Absence in the list is not conclusive; a look-up by name is.
        let gone = jobs.gone.contains(&job.job);
        match (job.state, &job.uid) {
            (JobState::Failed, Some(_)) if gone && due && job.attempt < ATTEMPTS => {
                job.state = JobState::Waiting;
            }
            (JobState::Running, Some(_)) if gone => {
                job.end(JobState::Failed, Some("its Job was deleted".to_owned()), now);
            }
            (JobState::Running, None) => job.message = jobs.errors.get(&job.job).cloned(),
            _ => {}
        }
        return;
    };
    if job.state == JobState::Failed {
        return;
    }
    if seen.run_uid.as_deref() != Some(run_uid) {
        job.message = Some(format!("there is a Job {} that is not of this run", job.job));
        return;
    }
    if job.uid.is_none() {
        // The deadline counts from the first observation of the Job, because the duration of failed
        // creations is unknown.
        (job.uid, job.start_time) = (Some(seen.uid.clone()), Some(now));
    }
    match &seen.outcome {
        None => job.message = None,
        Some(Ok(())) => job.end(JobState::Succeeded, None, now),
        Some(Err(why)) => job.end(JobState::Failed, Some(why.clone()), now),
    }
}

/// Returns the first predecessor in `after` that is not ready, if any.
fn waits_for<'a>(step: &'a JobStep, status: &RunStatus) -> Option<&'a String> {
    let ready = |name: &str| {
        let target = status.targets.iter().find(|t| t.name == name);
        let machines = status.machines.iter().find(|m| m.name == name);
        let job = status.jobs.iter().find(|j| j.name == name);
        target.is_none_or(|t| t.planned.is_some_and(|planned| t.ready >= Some(planned)))
            && machines.is_none_or(|m| m.joined >= m.wanted)
            && job.is_none_or(|j| j.state == JobState::Succeeded)
    };
    step.after.iter().find(|name| !ready(name))
}

/// Records that the Job may be created, if all predecessors are ready.
fn begin(
    job: &mut JobStatus,
    step: &JobStep,
    facts: JobInputs<'_>,
    status: &RunStatus,
    now: Instant,
) {
    if job.state != JobState::Waiting {
        return;
    }
    if let Some(first) = waits_for(step, status) {
        job.message = Some(format!("waits for {first}"));
        return;
    }
    job.attempt += 1;
    job.state = JobState::Running;
    job.job = name(&facts.run.uid, &step.name, job.attempt);
    (job.start_time, job.end_time) = (Some(now), None);
    (job.uid, job.message) = (None, None);
}

/// Returns the Jobs to create and the Jobs to look up by name.
///
/// The planner creates a recorded Job that has never been observed, and looks up a Job that has
/// disappeared.
#[must_use]
pub fn acts(
    run: &RunRecord,
    announcement: &Announcement,
    world: &World,
    now: Instant,
) -> Vec<JobAct> {
    let Seen::Known(jobs) = &world.jobs else { return Vec::new() };
    let absent = |job: &&JobStatus| !job.job.is_empty() && !jobs.jobs.contains_key(&job.job);
    let ladder = Known { status: &run.status, announcement, world, now };
    let act = |job: &JobStatus| {
        let name = job.job.clone();
        if job.state == JobState::Running && job.uid.is_none() {
            let step = announcement.jobs.iter().find(|step| step.name == job.name)?;
            if jobs::is_of_a_step(step) && ladder.is_over(step, run.deleting()) {
                return (!jobs.gone.contains(&name)).then_some(JobAct::Look { name });
            }
            if !ladder.may_create(step) {
                return None;
            }
            return Some(JobAct::Create(Box::new(NewJob {
                name,
                template: step.template.clone(),
                deadline: step.deadline,
                retries: step.retries,
                run: run.name.clone(),
                run_uid: run.uid.clone(),
            })));
        }
        let ended = matches!(job.state, JobState::Waiting | JobState::Succeeded);
        (!ended && !jobs.gone.contains(&name)).then_some(JobAct::Look { name })
    };
    run.status.jobs.iter().filter(absent).filter_map(act).collect()
}

/// Resets the release Jobs of a withdrawn release, so that the next release runs the Jobs again.
pub fn begin_again(status: &mut RunStatus, announcement: &Announcement) {
    let of_release = announcement.jobs.iter().filter(|step| step.moment == Moment::Release);
    for step in of_release {
        for job in status.jobs.iter_mut().filter(|job| job.name == step.name) {
            *job = JobStatus { attempt: job.attempt, ..JobStatus::waiting(&step.name) };
        }
    }
}

/// Returns the obstacle to a step, if any. The status names the obstacle days before the event.
#[must_use]
pub fn trouble(step: &JobStep, job: Option<&JobStatus>, world: &World) -> Option<String> {
    let state = job.map_or(JobState::Waiting, |job| job.state);
    if state == JobState::Succeeded {
        return None;
    }
    let jobs = match &world.jobs {
        Seen::Known(jobs) => jobs,
        Seen::Absent => {
            let why = "this installation may not create Jobs (chart value jobs.enabled)";
            return Some(why.to_owned());
        }
        Seen::Unknown(_) => return None,
    };
    let failed = job.filter(|_| state != JobState::Waiting).and_then(|job| {
        let why = job.message.as_ref()?;
        Some(match state {
            JobState::Failed => {
                format!("Job {} has failed: {why}; delete it to run it again", job.job)
            }
            _ => why.clone(),
        })
    });
    failed.or_else(|| {
        let JobTemplate { kind, name } = &step.template;
        match kind {
            _ if state != JobState::Waiting => None,
            TemplateKind::CronJob if jobs.cron_jobs.contains(name) => None,
            TemplateKind::Job => match jobs.jobs.get(name) {
                Some(template) if template.suspended => None,
                Some(_) => Some(format!("Job {name} is not suspended: it is no template")),
                None => Some(format!("Job {name} does not exist")),
            },
            TemplateKind::CronJob => Some(format!("CronJob {name} does not exist")),
        }
    })
}

/// Returns the time until which the run waits for release Jobs.
///
/// The result is `None` if all release Jobs have ended or cannot be created.
#[must_use]
pub fn waits_until(
    run: &RunRecord,
    status: &RunStatus,
    announcement: &Announcement,
    world: &World,
) -> Option<Instant> {
    let of_release = || announcement.jobs.iter().filter(|step| step.moment == Moment::Release);
    let goes_on = |step: &JobStep| {
        let job = status.jobs.iter().find(|job| job.name == step.name);
        let seen = |jobs: &Jobs| job.is_some_and(|job| jobs.jobs.contains_key(&job.job));
        match (&world.jobs, job.map(|job| job.state)) {
            (_, Some(JobState::Succeeded | JobState::Failed)) | (Seen::Absent, _) => false,
            // A deleted run waits only for existing Jobs, because the namespace may be terminating.
            (Seen::Known(jobs), _) if run.deleting() => seen(jobs),
            _ => true,
        }
    };
    let began = status.release.as_ref()?.start_time;
    let all: TimeDelta = of_release().map(|step| step.deadline).sum();
    of_release().any(goes_on).then(|| began + all)
}

impl Run<'_> {
    /// Updates `status.jobs`, and adds the acts that create or look up Jobs.
    pub(super) fn keep_jobs(&self, status: &mut RunStatus, draft: &mut Draft) -> Wake {
        let facts = JobInputs {
            run: self.record,
            announcement: self.announcement,
            window: &self.window,
            warm_up: &self.timeline.warm_up,
            end: self.end,
            armed: self.is_armed(),
        };
        keep(status, facts, self.world, self.now);
        for act in acts(self.record, self.announcement, self.world, self.now) {
            draft.plan.acts.push(Act::Job { run: self.record.name.clone(), act });
        }
        let any = !self.announcement.jobs.is_empty();
        let settled = any.then_some(self.world.may_lower_from);
        Wake::at_first(settled.into_iter().chain(self.waits_for_jobs_until(status)), self.now)
    }

    pub(super) fn waits_for_jobs_until(&self, status: &RunStatus) -> Option<Instant> {
        waits_until(self.record, status, self.announcement, self.world)
    }
}

#[cfg(test)]
mod tests;
