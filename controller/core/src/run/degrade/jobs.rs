//! Steps that run Jobs: one when the step goes on, and one that undoes it when the step goes off.
//!
//! The Jobs are kept and created as all others are (see [`crate::run::jobs`]); here is when. What undoes is run once what it
//! undoes has ended, and after what is further down the ladder was undone.

use chrono::TimeDelta;

use crate::Instant;
use crate::run::degrade::places::is_stuck;
use crate::state::announcement::{Announcement, JobStep, Moment};
use crate::state::ladder::{Action, StepStatus, Work};
use crate::state::observed::Seen;
use crate::state::run::RunStatus;
use crate::state::status::{JobState, JobStatus};
use crate::state::world::World;

/// A write, or the creation of a Job, of a process that led before may arrive so much later: three times as long as a call
/// may take.
pub(super) const IN_FLIGHT: TimeDelta = TimeDelta::seconds(30);

/// What is known of a run whose steps run Jobs.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its status: as recorded, where something is done about it.
    pub status: &'a RunStatus,
    /// What it announces.
    pub announcement: &'a Announcement,
    /// The world around it.
    pub world: &'a World,
    /// Now.
    pub now: Instant,
}

/// The Jobs of the step that is shown so, if it runs any.
fn of<'a>(announcement: &'a Announcement, shown: &StepStatus) -> Option<&'a Work> {
    let step = announcement.degrade.iter().find(|step| step.name == shown.name)?;
    match &step.action {
        Action::Run(work) => Some(work),
        Action::Write { .. } => None,
    }
}

fn find<'a>(status: &'a RunStatus, name: &str) -> Option<&'a JobStatus> {
    status.jobs.iter().find(|job| job.name == name)
}

/// A Job that belongs to a step of the ladder.
#[must_use]
pub fn is_of_a_step(job: &JobStep) -> bool {
    matches!(job.moment, Moment::Degrade | Moment::Restore)
}

/// When a Job that has begun is ended at the latest.
fn ends(job: &JobStatus, announcement: &Announcement) -> Option<Instant> {
    let step = announcement.jobs.iter().find(|step| step.name == job.name)?;
    Some(job.start_time? + step.deadline + IN_FLIGHT)
}

impl<'a> Known<'a> {
    /// The step of the ladder that a Job belongs to, its place in the ladder, and its Jobs.
    fn step_of(self, job: &JobStep) -> Option<(usize, &'a StepStatus, &'a Work)> {
        let mut all = self.status.degrade.iter().enumerate();
        all.find_map(|(n, shown)| {
            let work = of(self.announcement, shown)?;
            let its = work.degrade == job.name || work.restore.as_ref() == Some(&job.name);
            its.then_some((n, shown, work))
        })
    }

    /// True if the Job has ended, or is older than its deadline allows and was not ended.
    fn has_ended(self, name: &str) -> bool {
        find(self.status, name).is_some_and(|job| match job.state {
            JobState::Waiting => false,
            JobState::Running => job.uid.is_some() && self.is_late(job),
            JobState::Succeeded | JobState::Failed => true,
        })
    }

    /// A clock that has just jumped says nothing of how long it runs.
    fn is_late(self, job: &JobStatus) -> bool {
        let late = ends(job, self.announcement).is_some_and(|at| self.now >= at);
        late && self.world.trusts_its_clock(self.now)
    }

    /// A step that is off has run a Job that goes on, or that was not undone yet.
    pub(super) fn goes_on(self, shown: &StepStatus) -> bool {
        let work = of(self.announcement, shown).filter(|_| !shown.engaged);
        work.is_some_and(|Work { degrade, restore }| {
            let did = find(self.status, degrade).is_some_and(|job| job.state != JobState::Waiting);
            let undone = restore.as_ref().is_none_or(|name| self.has_ended(name));
            // mutate: restore-job-not-waited-for
            did && !(self.has_ended(degrade) && undone)
        })
    }

    /// A step that is off has run a Job, and that has not been undone yet. It is waited for as long as Jobs can be created.
    pub(super) fn owes(self, shown: &StepStatus) -> bool {
        let undoes = of(self.announcement, shown).is_some_and(|work| work.restore.is_some());
        undoes && !matches!(self.world.jobs, Seen::Absent) && self.goes_on(shown)
    }

    /// The time of a Job of the ladder has come: its step is on, or is off and what it undoes has ended.
    #[must_use]
    pub fn is_due(self, job: &JobStep) -> bool {
        let Some((n, shown, work)) = self.step_of(job) else { return false };
        if shown.engaged || job.moment == Moment::Degrade {
            return shown.engaged && job.moment == Moment::Degrade;
        }
        let ended = self.has_ended(&work.degrade);
        // Those that are on stay on: what a person turns off is not kept waiting.
        let mut later = self.status.degrade.iter().skip(n + 1);
        let waits = later.any(|later| owes(later, self));
        // mutate: step-runs-undone-while
        ended && !waits && !matches!(self.world.jobs, Seen::Absent)
    }

    /// The time of a Job of the ladder that was not created by now has gone. What undoes is tried until it is refused; in a
    /// namespace that goes (`deleting`) nothing is created any more.
    #[must_use]
    pub fn is_over(self, job: &JobStep, deleting: bool) -> bool {
        let Some((_, shown, _)) = self.step_of(job) else { return true };
        let in_flight = |at: Instant| self.now >= at + IN_FLIGHT;
        if job.moment == Moment::Degrade {
            return !shown.engaged && shown.since_time.is_some_and(in_flight);
        }
        let refused = find(self.status, &job.name).filter(|job| job.message.is_some());
        refused.is_some_and(|job| {
            self.is_late(job) || (deleting && job.start_time.is_some_and(in_flight))
        })
    }

    /// A Job is not created once its step is off.
    #[must_use]
    pub fn may_create(self, job: &JobStep) -> bool {
        let step = self.step_of(job);
        job.moment != Moment::Degrade || step.is_some_and(|(_, shown, _)| shown.engaged)
    }
}

/// A step has run a Job which was not undone: what undoes it has failed, or could not be created.
pub(super) fn is_left(shown: &StepStatus, status: &RunStatus, announcement: &Announcement) -> bool {
    let Some(work) = of(announcement, shown) else { return false };
    let did = find(status, &work.degrade).is_some_and(|job| job.uid.is_some());
    did && work.restore.as_ref().is_some_and(|restore| !has_succeeded(restore, status))
}

fn has_succeeded(name: &str, status: &RunStatus) -> bool {
    find(status, name).is_some_and(|job| job.state == JobState::Succeeded)
}

/// When Jobs of the ladder are ended, or given up, at the latest.
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
    has_succeeded(&work.degrade, status)
}

/// A step that is off has something to give back, and it can be given back as things are: nothing waits for what cannot.
pub(super) fn owes(shown: &StepStatus, known: Known<'_>) -> bool {
    (shown.owed.is_some() && !is_stuck(shown, known.world)) || known.owes(shown)
}
