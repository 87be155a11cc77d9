//! Steps that run Jobs: a degrade Job on activation and a restore Job on deactivation.
//!
//! The module [`crate::run::jobs`] records and creates the Jobs; the functions below decide when. A
//! restore Job runs after the degrade Job has ended and after the planner has undone all later
//! steps.

use chrono::TimeDelta;

use crate::Instant;
use crate::run::degrade::places::is_stuck;
use crate::state::announcement::{Announcement, JobStep, Moment};
use crate::state::ladder::{Action, StepStatus, Work};
use crate::state::observed::Seen;
use crate::state::run::RunStatus;
use crate::state::status::{JobState, JobStatus};
use crate::state::world::World;

/// Longest delay of a write or of a Job creation that a former leader has sent: 30 s.
///
/// The value is three times the timeout of an API call (10 s).
pub(super) const IN_FLIGHT: TimeDelta = TimeDelta::seconds(30);

/// Inputs for decisions about the Jobs of the ladder.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Status of the run. The planner derives acts from the recorded status only.
    pub status: &'a RunStatus,
    /// Announcement of the run.
    pub announcement: &'a Announcement,
    /// Snapshot of the namespace.
    pub world: &'a World,
    /// Current time.
    pub now: Instant,
}

/// Returns the Jobs of the step with the given status, or `None` if the step writes a value.
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

/// True if the Job belongs to a step of the ladder.
#[must_use]
pub fn is_of_a_step(job: &JobStep) -> bool {
    matches!(job.moment, Moment::Degrade | Moment::Restore)
}

/// Returns the latest time at which a started Job ends: start, plus deadline, plus `IN_FLIGHT`.
fn ends(job: &JobStatus, announcement: &Announcement) -> Option<Instant> {
    let step = announcement.jobs.iter().find(|step| step.name == job.name)?;
    Some(job.start_time? + step.deadline + IN_FLIGHT)
}

impl<'a> Known<'a> {
    /// Returns the step to which the Job belongs: position in the ladder, status, and Jobs.
    fn step_of(self, job: &JobStep) -> Option<(usize, &'a StepStatus, &'a Work)> {
        let mut all = self.status.degrade.iter().enumerate();
        all.find_map(|(n, shown)| {
            let work = of(self.announcement, shown)?;
            let its = work.degrade == job.name || work.restore.as_ref() == Some(&job.name);
            its.then_some((n, shown, work))
        })
    }

    /// True if the Job succeeded or failed, or if a running Job is past the deadline.
    fn has_ended(self, name: &str) -> bool {
        find(self.status, name).is_some_and(|job| match job.state {
            JobState::Waiting => false,
            JobState::Running => job.uid.is_some() && self.is_late(job),
            JobState::Succeeded | JobState::Failed => true,
        })
    }

    /// True if the Job is past the deadline.
    ///
    /// The result is false while the clock is not trusted, because the age of the Job is then
    /// unknown.
    fn is_late(self, job: &JobStatus) -> bool {
        let late = ends(job, self.announcement).is_some_and(|at| self.now >= at);
        late && self.world.trusts_its_clock(self.now)
    }

    /// True if a deactivated step started a degrade Job, and the degrade or restore Job has not
    /// ended.
    pub(super) fn goes_on(self, shown: &StepStatus) -> bool {
        let work = of(self.announcement, shown).filter(|_| !shown.engaged);
        work.is_some_and(|Work { degrade, restore }| {
            let did = find(self.status, degrade).is_some_and(|job| job.state != JobState::Waiting);
            let undone = restore.as_ref().is_none_or(|name| self.has_ended(name));
            // mutate: restore-job-not-waited-for
            did && !(self.has_ended(degrade) && undone)
        })
    }

    /// True if a restore Job of a deactivated step still has to run or to end.
    ///
    /// The result is false if the operator cannot create Jobs, because the run must not wait for
    /// ever.
    pub(super) fn owes(self, shown: &StepStatus) -> bool {
        let undoes = of(self.announcement, shown).is_some_and(|work| work.restore.is_some());
        undoes && !matches!(self.world.jobs, Seen::Absent) && self.goes_on(shown)
    }

    /// True if a Job of the ladder may start now.
    ///
    /// A degrade Job may start while the step is active. A restore Job may start if the step is
    /// inactive, the degrade Job has ended, and no later step has something to restore.
    #[must_use]
    pub fn is_due(self, job: &JobStep) -> bool {
        let Some((n, shown, work)) = self.step_of(job) else { return false };
        if shown.engaged || job.moment == Moment::Degrade {
            return shown.engaged && job.moment == Moment::Degrade;
        }
        let ended = self.has_ended(&work.degrade);
        // An active later step with a degrade Job does not block the restore Job. A later step with
        // a recorded value does, whether active or not.
        let mut later = self.status.degrade.iter().skip(n + 1);
        let waits = later.any(|later| owes(later, self));
        // mutate: step-runs-undone-while
        ended && !waits && !matches!(self.world.jobs, Seen::Absent)
    }

    /// True if the planner gives up a Job of the ladder that does not exist yet.
    ///
    /// The planner gives up a degrade Job 30 s (`IN_FLIGHT`) after the deactivation of the step.
    /// The planner gives up a restore Job if the creation is refused until the deadline. A refusal
    /// for 30 s suffices in a deleted run (`deleting`), because a terminating namespace accepts no
    /// new objects.
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

    /// True if the planner may create the Job. A degrade Job requires an active step.
    #[must_use]
    pub fn may_create(self, job: &JobStep) -> bool {
        let step = self.step_of(job);
        job.moment != Moment::Degrade || step.is_some_and(|(_, shown, _)| shown.engaged)
    }
}

/// True if the degrade Job of a step ran and the restore Job did not succeed.
pub(super) fn is_left(shown: &StepStatus, status: &RunStatus, announcement: &Announcement) -> bool {
    let Some(work) = of(announcement, shown) else { return false };
    let did = find(status, &work.degrade).is_some_and(|job| job.uid.is_some());
    did && work.restore.as_ref().is_some_and(|restore| !has_succeeded(restore, status))
}

fn has_succeeded(name: &str, status: &RunStatus) -> bool {
    find(status, name).is_some_and(|job| job.state == JobState::Succeeded)
}

/// Returns the latest times at which running Jobs of the ladder end or are given up.
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

/// Resets the Jobs of a step that has just been activated, so that the Jobs run again.
pub(super) fn begin_again(shown: &StepStatus, status: &mut RunStatus, announcement: &Announcement) {
    let Some(work) = of(announcement, shown) else { return };
    for job in &mut status.jobs {
        if work.degrade == job.name || work.restore.as_ref() == Some(&job.name) {
            *job = JobStatus { attempt: job.attempt, ..JobStatus::waiting(&job.name) };
        }
    }
}

/// True if the degrade Job has succeeded.
pub(super) fn is_done(work: &Work, status: &RunStatus) -> bool {
    has_succeeded(&work.degrade, status)
}

/// True if a step has a recorded value or a Job to undo, and the restore is possible now.
///
/// A step with a blocked restore does not delay other steps.
pub(super) fn owes(shown: &StepStatus, known: Known<'_>) -> bool {
    (shown.owed.is_some() && !is_stuck(shown, known.world)) || known.owes(shown)
}
