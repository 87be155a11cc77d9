//! Jobs that are run for an event: before it, so that caches are warm; when it begins; when it comes down.
//!
//! A step is on record before its Job is created, and the Job of each attempt has a name of its own: a process that crashes in
//! between creates the same Job. Retries and the deadline are the Job's own (`backoffLimit`, `activeDeadlineSeconds`), so that
//! it ends without an operator; what came of it is read from its conditions.

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

/// A Job's name is a label of its pods too.
const NAME_LIMIT: usize = 63;

/// The name of the Job of one attempt: the same for the same run, step and attempt.
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

/// What is known of the run whose Jobs these are.
#[derive(Clone, Copy, Debug)]
pub struct JobInputs<'a> {
    /// The run.
    pub run: &'a RunRecord,
    /// What it announces.
    pub announcement: &'a Announcement,
    /// The instants that count.
    pub window: &'a Window,
    /// When each step of the warm-up starts, unless what comes before it takes longer.
    pub warm_up: &'a [Instant],
    /// The end in force.
    pub end: Instant,
    /// A person has yet to say that the event begins.
    pub armed: bool,
}

impl JobInputs<'_> {
    /// What is on record of the ladder.
    fn ladder<'a>(&'a self, world: &'a World, now: Instant) -> Known<'a> {
        Known { status: &self.run.status, announcement: self.announcement, world, now }
    }

    /// The time of a step has come, and has not gone. A clock that is in doubt starts nothing that cannot be taken back.
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

    /// The time of a step has gone.
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

/// Takes over what Jobs say, and puts on record which may be created now.
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
            // What a step of the ladder has to undo is not guessed from a list.
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

/// A person who deletes a failed Job wants it to be run again. So many deletions are believed to be a person's.
const ATTEMPTS: u32 = 10;

/// What the Job of a step says.
fn look(job: &mut JobStatus, run_uid: &str, jobs: &Jobs, due: bool, now: Instant) {
    if !matches!(job.state, JobState::Running | JobState::Failed) {
        return;
    }
    let Some(seen) = jobs.jobs.get(&job.job) else {
        // That a list does not have it says too little.
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
        // Its deadline counts from here: how long it could not be created is unknown.
        (job.uid, job.start_time) = (Some(seen.uid.clone()), Some(now));
    }
    match &seen.outcome {
        None => job.message = None,
        Some(Ok(())) => job.end(JobState::Succeeded, None, now),
        Some(Err(why)) => job.end(JobState::Failed, Some(why.clone()), now),
    }
}

/// What a step has to wait for, if anything.
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

/// Puts on record that a Job may be created.
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

/// What has to be done of what is on record: Jobs that are not there yet are created, and those that have gone are looked
/// for.
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

/// What was run on a way down that was taken back is run again on the next one.
pub fn begin_again(status: &mut RunStatus, announcement: &Announcement) {
    let of_release = announcement.jobs.iter().filter(|step| step.moment == Moment::Release);
    for step in of_release {
        for job in status.jobs.iter_mut().filter(|job| job.name == step.name) {
            *job = JobStatus { attempt: job.attempt, ..JobStatus::waiting(&step.name) };
        }
    }
}

/// What stands in the way of a step, if anything does: said days before.
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

/// Until when a run waits for what it runs on its way down; nothing where all of it has ended, or cannot be.
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
            // Where a run is deleted nothing new is waited for: its namespace may be going too.
            (Seen::Known(jobs), _) if run.deleting() => seen(jobs),
            _ => true,
        }
    };
    let began = status.release.as_ref()?.start_time;
    let all: TimeDelta = of_release().map(|step| step.deadline).sum();
    of_release().any(goes_on).then(|| began + all)
}

impl Run<'_> {
    /// Jobs are run in their time, each once what comes before it is ready.
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
