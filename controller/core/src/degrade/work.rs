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

/// It has ended, or has been there for longer than a Job may run: nobody ends it.
fn has_ended(job: &JobStatus, announcement: &Announcement, now: Instant) -> bool {
    match job.state {
        JobState::Waiting => false,
        JobState::Running => job.uid.is_some() && is_late(job, announcement, now),
        JobState::Succeeded | JobState::Failed => true,
    }
}

fn is_late(job: &JobStatus, announcement: &Announcement, now: Instant) -> bool {
    ends(job, announcement).is_some_and(|at| now >= at)
}

/// When a Job that has begun is ended at the latest.
fn ends(job: &JobStatus, announcement: &Announcement) -> Option<Instant> {
    let step = announcement.jobs.iter().find(|step| step.name == job.name)?;
    Some(job.start_time? + step.deadline + IN_FLIGHT)
}

/// A step that is off has run a Job, and that has not been undone yet. It is waited for as long as Jobs can be created.
pub(super) fn owes(
    shown: &StepStatus,
    status: &RunStatus,
    announcement: &Announcement,
    world: &World,
    now: Instant,
) -> bool {
    let Some(work) = of(announcement, shown).filter(|_| !shown.engaged) else { return false };
    let Some(restore) = &work.restore else { return false };
    let did = find(&status.jobs, &work.degrade).is_some_and(|job| job.state != JobState::Waiting);
    let undone = find(&status.jobs, restore).is_some_and(|job| has_ended(job, announcement, now));
    did && !undone && !matches!(world.jobs, Seen::Absent)
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
    if job.moment == Moment::Degrade {
        return shown.engaged;
    }
    let ended =
        find(&status.jobs, &work.degrade).is_some_and(|did| has_ended(did, announcement, now));
    let mut later = status.degrade.iter().skip(n + 1);
    let waits = later.any(|s| s.engaged || super::owes(s, status, announcement, world, now));
    ended && !waits && owes(shown, status, announcement, world, now)
}

/// The time of a Job of the ladder that was not created by now has gone. What undoes is tried until it is refused.
#[must_use]
pub fn is_over(
    job: &JobStep,
    announcement: &Announcement,
    status: &RunStatus,
    now: Instant,
) -> bool {
    let Some((_, shown, _)) = step_of(job, announcement, status) else { return true };
    if job.moment == Moment::Degrade {
        let off = shown.since_time.filter(|_| !shown.engaged);
        return off.is_some_and(|off| now >= off + IN_FLIGHT);
    }
    let tried = find(&status.jobs, &job.name);
    tried.is_some_and(|job| job.message.is_some() && is_late(job, announcement, now))
}

/// When Jobs of the ladder are ended at the latest.
pub(super) fn next_end<'a>(
    announcement: &'a Announcement,
    status: &'a RunStatus,
) -> impl Iterator<Item = Instant> + 'a {
    let of_ladder = |job: &&JobStatus| {
        let step = announcement.jobs.iter().find(|step| step.name == job.name);
        step.is_some_and(|step| matches!(step.moment, Moment::Degrade | Moment::Restore))
    };
    let running = status.jobs.iter().filter(|job| job.state == JobState::Running);
    running.filter(of_ladder).filter_map(|job| ends(job, announcement))
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
