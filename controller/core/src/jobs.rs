//! Jobs that are run for an event: before it, so that caches are warm; when it begins; when it comes down.
//!
//! A step is on record before its Job is created, and the Job of each attempt has a name of its own: whoever crashes in
//! between creates the same Job. Retries and the deadline are the Job's own (`backoffLimit`, `activeDeadlineSeconds`), so that
//! it ends when nobody is there to end it; what came of it is read from its conditions.

use std::hash::Hasher;

use chrono::TimeDelta;
use siphasher::sip::SipHasher13;

use crate::Instant;
use crate::run::{JobState, JobStatus, RunRecord, RunStatus};
use crate::surge::{Announcement, JobStep, JobTemplate, Moment, TemplateKind, Window};
use crate::world::{Jobs, Seen, World};

/// The Job of a step, to be created from its template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobAct {
    /// Name of the Job.
    pub name: String,
    /// What it is made from.
    pub template: JobTemplate,
    /// It is ended so long after it has begun.
    pub deadline: TimeDelta,
    /// So many of its pods may fail before it does; as its template says, where absent.
    pub retries: Option<u32>,
    /// The run that owns it, and its uid.
    pub run: String,
    /// See above.
    pub run_uid: String,
}

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

/// How long the warm-up takes that has to come after something: a target, a group of machines, another step.
#[must_use]
pub fn time_after(name: &str, announcement: &Announcement) -> TimeDelta {
    // A step names only those that stand before it, so nothing comes after itself.
    let next = announcement.warm_up().filter(|step| step.after.iter().any(|a| a == name));
    next.map(|step| step.deadline + time_after(&step.name, announcement)).max().unwrap_or_default()
}

/// When a step of the warm-up starts, unless what comes before it takes longer.
#[must_use]
pub fn start(step: &JobStep, announcement: &Announcement, window: &Window) -> Instant {
    window.ready_by - step.deadline - time_after(&step.name, announcement)
}

/// What a step waits for.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The run.
    pub run: &'a RunRecord,
    /// What it announces.
    pub announcement: &'a Announcement,
    /// The instants that count.
    pub window: &'a Window,
    /// The end in force.
    pub end: Instant,
    /// A person has yet to say that the event begins.
    pub armed: bool,
}

impl Facts<'_> {
    /// The time of a step has come.
    fn is_due(&self, step: &JobStep, now: Instant) -> bool {
        let comes_down = self.run.status.release.is_some();
        match step.moment {
            Moment::Release => comes_down,
            _ if comes_down || now >= self.end => false,
            Moment::WarmUp => now >= start(step, self.announcement, self.window),
            Moment::Live => now >= self.window.start && !self.armed,
        }
    }
}

/// Takes over what Jobs say, and puts on record which may be created now.
pub fn keep(status: &mut RunStatus, facts: Facts<'_>, world: &World, now: Instant) {
    let mut before = std::mem::take(&mut status.jobs);
    for step in &facts.announcement.jobs {
        let mut job = match before.iter().position(|old| old.name == step.name) {
            Some(n) => before.swap_remove(n),
            None => JobStatus::waiting(&step.name),
        };
        if let Seen::Known(jobs) = &world.jobs {
            look(&mut job, step, &facts.run.uid, jobs, now);
            begin(&mut job, step, facts, status, now);
        }
        status.jobs.push(job);
    }
}

/// What the Job of a step says.
fn look(job: &mut JobStatus, step: &JobStep, run_uid: &str, jobs: &Jobs, now: Instant) {
    if !matches!(job.state, JobState::Running | JobState::Failed) {
        return;
    }
    let seen = jobs.jobs.get(&job.job);
    if job.state == JobState::Failed {
        // Whoever deletes a failed Job wants it to be run again.
        if seen.is_none() {
            job.state = JobState::Waiting;
        }
        return;
    }
    let Some(seen) = seen else {
        let late = job.start_time.is_none_or(|at| now >= at + step.deadline);
        if job.uid.is_some() && late {
            job.end(JobState::Failed, Some("it was deleted".to_owned()), now);
        } else {
            job.message = jobs.errors.get(&job.job).cloned();
        }
        return;
    };
    if seen.run_uid.as_deref() != Some(run_uid) {
        job.message = Some(format!("there is a Job {} that is not of this run", job.job));
        return;
    }
    job.uid = Some(seen.uid.clone());
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
fn begin(job: &mut JobStatus, step: &JobStep, facts: Facts<'_>, status: &RunStatus, now: Instant) {
    if job.state != JobState::Waiting || !facts.is_due(step, now) {
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

/// Jobs that are on record and not there yet.
#[must_use]
pub fn acts(run: &RunRecord, announcement: &Announcement, world: &World) -> Vec<JobAct> {
    let Seen::Known(jobs) = &world.jobs else { return Vec::new() };
    let to_create = |job: &&JobStatus| {
        job.state == JobState::Running && job.uid.is_none() && !jobs.jobs.contains_key(&job.job)
    };
    let act = |job: &JobStatus| {
        let step = announcement.jobs.iter().find(|step| step.name == job.name)?;
        Some(JobAct {
            name: job.job.clone(),
            template: step.template.clone(),
            deadline: step.deadline,
            retries: step.retries,
            run: run.name.clone(),
            run_uid: run.uid.clone(),
        })
    };
    run.status.jobs.iter().filter(to_create).filter_map(act).collect()
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

/// Until when a run waits for what it runs on its way down; nothing where all of it has ended.
#[must_use]
pub fn waits_until(status: &RunStatus, announcement: &Announcement) -> Option<Instant> {
    let of_release = || announcement.jobs.iter().filter(|step| step.moment == Moment::Release);
    let state =
        |step: &JobStep| status.jobs.iter().find(|job| job.name == step.name).map(|j| j.state);
    let ended =
        |step: &JobStep| matches!(state(step), Some(JobState::Succeeded | JobState::Failed));
    let began = status.release.as_ref()?.start_time;
    let all: TimeDelta = of_release().map(|step| step.deadline).sum();
    of_release().any(|step| !ended(step)).then(|| began + all)
}

#[cfg(test)]
mod tests;
