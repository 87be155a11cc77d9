//! Steps that run Jobs: one when the step goes on, and one that undoes it when the step goes off.
//!
//! The Jobs are kept and created as all others are (see [`crate::jobs`]); here is when. What undoes is run once what it
//! undoes has ended, and after what is further down the ladder was undone.

use super::{Action, IN_FLIGHT, StepStatus};
use crate::Instant;
use crate::jobs;
use crate::run::{JobState, JobStatus, RunRecord, RunStatus};
use crate::surge::{Announcement, JobStep, Moment};
use crate::world::{Seen, World};

/// The Jobs of a step, by their names among the Jobs of the announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Run when the step goes on.
    pub degrade: String,
    /// Run when it goes off; none where nothing has to be undone.
    pub restore: Option<String>,
}

/// The Jobs of the step that is shown so, if it runs any.
fn of<'a>(announcement: &'a Announcement, shown: &StepStatus) -> Option<&'a Work> {
    let step = announcement.degrade.iter().find(|step| step.name == shown.name)?;
    match &step.action {
        Action::Run(work) => Some(work),
        Action::Write { .. } => None,
    }
}

/// The step of the ladder that a Job belongs to, its place in the ladder, and its Jobs.
fn step_of<'a>(
    job: &JobStep,
    announcement: &'a Announcement,
    status: &'a RunStatus,
) -> Option<(usize, &'a StepStatus, &'a Work)> {
    let mut all = status.degrade.iter().enumerate();
    all.find_map(|(n, shown)| {
        let work = of(announcement, shown)?;
        let its = work.degrade == job.name || work.restore.as_ref() == Some(&job.name);
        its.then_some((n, shown, work))
    })
}

fn find<'a>(jobs: &'a [JobStatus], name: &str) -> Option<&'a JobStatus> {
    jobs.iter().find(|job| job.name == name)
}

/// A Job that belongs to a step of the ladder.
#[must_use]
pub fn is_of_a_step(job: &JobStep) -> bool {
    matches!(job.moment, Moment::Degrade | Moment::Restore)
}

/// It has ended, or has been there for longer than a Job may run: nobody ends it.
fn has_ended(job: &JobStatus, announcement: &Announcement, world: &World, now: Instant) -> bool {
    match job.state {
        JobState::Waiting => false,
        JobState::Running => job.uid.is_some() && is_late(job, announcement, world, now),
        JobState::Succeeded | JobState::Failed => true,
    }
}

/// A clock that has just jumped says nothing of how long it runs.
fn is_late(job: &JobStatus, announcement: &Announcement, world: &World, now: Instant) -> bool {
    world.trusts_its_clock(now) && ends(job, announcement).is_some_and(|at| now >= at)
}

/// When a Job that has begun is ended at the latest.
fn ends(job: &JobStatus, announcement: &Announcement) -> Option<Instant> {
    let step = announcement.jobs.iter().find(|step| step.name == job.name)?;
    Some(job.start_time? + step.deadline + IN_FLIGHT)
}

/// A step that is off has run a Job that goes on, or that was not undone yet.
pub(super) fn goes_on(
    shown: &StepStatus,
    status: &RunStatus,
    announcement: &Announcement,
    world: &World,
    now: Instant,
) -> bool {
    let Some(work) = of(announcement, shown).filter(|_| !shown.engaged) else { return false };
    let ended = |name: &String| {
        find(&status.jobs, name).is_some_and(|job| has_ended(job, announcement, world, now))
    };
    let did = find(&status.jobs, &work.degrade).is_some_and(|job| job.state != JobState::Waiting);
    did && !(ended(&work.degrade) && work.restore.as_ref().is_none_or(ended))
}

/// A step that is off has run a Job, and that has not been undone yet. It is waited for as long as Jobs can be created.
pub(super) fn owes(
    shown: &StepStatus,
    status: &RunStatus,
    announcement: &Announcement,
    world: &World,
    now: Instant,
) -> bool {
    let undoes = of(announcement, shown).is_some_and(|work| work.restore.is_some());
    undoes
        && !matches!(world.jobs, Seen::Absent)
        && goes_on(shown, status, announcement, world, now)
}

/// Steps that have run a Job which was not undone: what undoes it has failed, or could not be created.
pub(super) fn is_left(shown: &StepStatus, status: &RunStatus, announcement: &Announcement) -> bool {
    let Some(work) = of(announcement, shown) else { return false };
    let succeeded =
        |name| find(&status.jobs, name).is_some_and(|job| job.state == JobState::Succeeded);
    let did = find(&status.jobs, &work.degrade).is_some_and(|job| job.uid.is_some());
    did && work.restore.as_ref().is_some_and(|restore| !succeeded(restore))
}

/// The time of a Job of the ladder has come: as recorded, its step is on, or is off and what it undoes has ended.
#[must_use]
pub fn is_due(
    job: &JobStep,
    announcement: &Announcement,
    status: &RunStatus,
    world: &World,
    now: Instant,
) -> bool {
    let Some((n, shown, work)) = step_of(job, announcement, status) else { return false };
    if shown.engaged || job.moment == Moment::Degrade {
        return shown.engaged && job.moment == Moment::Degrade;
    }
    let ended = find(&status.jobs, &work.degrade)
        .is_some_and(|did| has_ended(did, announcement, world, now));
    // Those that are on stay on: what a person turns off is not kept waiting.
    let mut later = status.degrade.iter().skip(n + 1);
    let waits = later.any(|s| super::owes(s, status, announcement, world, now));
    ended && !waits && !matches!(world.jobs, Seen::Absent)
}

/// The time of a Job of the ladder that was not created by now has gone. What undoes is tried until it is refused; in a
/// namespace that goes nothing is created any more.
#[must_use]
pub fn is_over(job: &JobStep, announcement: &Announcement, run: &RunRecord, now: Instant) -> bool {
    let status = &run.status;
    let Some((_, shown, _)) = step_of(job, announcement, status) else { return true };
    if job.moment == Moment::Degrade {
        let off = shown.since_time.filter(|_| !shown.engaged);
        return off.is_some_and(|off| now >= off + IN_FLIGHT);
    }
    let tried = find(&status.jobs, &job.name).filter(|job| job.message.is_some());
    tried.is_some_and(|job| {
        let patience = if run.deleting {
            job.start_time.map(|at| at + IN_FLIGHT)
        } else {
            ends(job, announcement)
        };
        patience.is_some_and(|at| now >= at)
    })
}

/// When Jobs of the ladder are ended at the latest.
pub(super) fn next_end<'a>(
    announcement: &'a Announcement,
    status: &'a RunStatus,
) -> impl Iterator<Item = Instant> + 'a {
    let of_ladder = |job: &&JobStatus| {
        let step = announcement.jobs.iter().find(|step| step.name == job.name);
        step.is_some_and(is_of_a_step)
    };
    let running = status.jobs.iter().filter(|job| job.state == JobState::Running);
    let ends = |job: &JobStatus| [ends(job, announcement), job.start_time.map(|at| at + IN_FLIGHT)];
    running.filter(of_ladder).flat_map(move |job| ends(job).into_iter().flatten())
}

/// A Job is not created once its step is off.
#[must_use]
pub fn may_create(job: &JobStep, announcement: &Announcement, status: &RunStatus) -> bool {
    let step = step_of(job, announcement, status);
    job.moment != Moment::Degrade || step.is_some_and(|(_, shown, _)| shown.engaged)
}

/// A step that has just gone on runs its Jobs anew.
pub(super) fn begin_again(shown: &StepStatus, status: &mut RunStatus, announcement: &Announcement) {
    let Some(work) = of(announcement, shown) else { return };
    for job in &mut status.jobs {
        if work.degrade == job.name || work.restore.as_ref() == Some(&job.name) {
            *job = JobStatus { attempt: job.attempt, ..JobStatus::waiting(&job.name) };
        }
    }
}

/// What it does is done.
pub(super) fn is_done(work: &Work, status: &RunStatus) -> bool {
    find(&status.jobs, &work.degrade).is_some_and(|job| job.state == JobState::Succeeded)
}

/// What stands in the way of the Jobs of a step, if anything does.
pub(super) fn trouble(
    work: &Work,
    announcement: &Announcement,
    run: &RunRecord,
    world: &World,
) -> Option<String> {
    let names = [Some(&work.degrade), work.restore.as_ref()].into_iter().flatten();
    let mut steps =
        names.filter_map(|name| announcement.jobs.iter().find(|step| step.name == *name));
    steps.find_map(|step| jobs::trouble(step, find(&run.status.jobs, &step.name), world))
}
