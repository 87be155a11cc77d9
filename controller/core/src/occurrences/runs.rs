//! The occurrences of a surge and the runs that belong to each occurrence.

use std::borrow::Cow;

use chrono::{SecondsFormat, TimeDelta};

use crate::Instant;
use crate::occurrences::run_name;
use crate::output::PlannedRun;
use crate::schedule::{Occurrence, Schedule};
use crate::state::announcement::Window;
use crate::state::run::RunRecord;
use crate::state::surge::{ScheduledEvent, SurgeRecord, SurgeSpec};
use crate::state::world::World;
use crate::timeline;

/// True if the run has our finalizer (the run may have changed a target) or has a
/// `status.completionTime`.
pub(super) fn begun(run: &RunRecord) -> bool {
    run.guarded || run.status.completion_time.is_some()
}

/// Minimum time between the creation of a run and the first step of the run.
///
/// The planner plans recurring and calendar-following surges again after half of this time.
pub(super) const AHEAD: TimeDelta = TimeDelta::hours(1);

/// Time after the start for which the planner remembers a cancelled occurrence: the longest
/// duration of an event.
pub(super) const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// True if a run of an earlier surge of the same name is in progress and is an occurrence of
/// `schedule` or `events`.
pub(super) fn goes_on_in(run: &RunRecord, schedule: &Schedule, events: &[Occurrence]) -> bool {
    let same = |o: &Occurrence| o.event.is_some() && o.event == run.event;
    run.decoded
        && run.outlives_its_surge()
        && (schedule.begins_at(run.window.start) || events.iter().any(same))
}

/// The occurrences that a surge announces, and the runs of the surge.
pub(super) struct Occurrences<'a> {
    pub(super) surge: &'a SurgeRecord,
    pub(super) spec: &'a SurgeSpec,
    pub(super) schedule: Cow<'a, Schedule>,
    /// Occurrences in progress, occurrences that begin soon, and the next `spec.upcomingLimit`
    /// occurrences, in order.
    pub(super) wanted: Vec<Occurrence>,
    /// Runs that the surge planned or adopted, without the withdrawn runs.
    pub(super) runs: Vec<&'a RunRecord>,
    /// Runs of a replaced surge with the same name; `runs` contains the same runs.
    ///
    /// A person replaced the surge while the runs were in progress.
    pub(super) adopted: Vec<&'a RunRecord>,
    /// Runs in `status.withdrawnRuns` that have not begun. The planner deletes the runs.
    pub(super) withdrawn: Vec<&'a RunRecord>,
    /// Starts whose run name is taken, either by a run with another owner or by a withdrawn run.
    pub(super) taken: Vec<Instant>,
    pub(super) now: Instant,
}

impl<'a> Occurrences<'a> {
    pub(super) fn of(
        surge: &'a SurgeRecord,
        spec: &'a SurgeSpec,
        schedule: Cow<'a, Schedule>,
        of_its_name: &[&'a RunRecord],
        world: &World,
        now: Instant,
    ) -> Self {
        let (own, others): (Vec<&RunRecord>, Vec<&RunRecord>) =
            of_its_name.iter().partition(|run| run.owner.as_ref() == Some(&surge.uid));
        let events = if others.is_empty() || spec.follows.is_none() {
            Vec::new()
        } else {
            schedule.upcoming(now, spec.upcoming_limit, now + lead(spec, world) + AHEAD)
        };
        let (adopted, others): (Vec<&RunRecord>, Vec<&RunRecord>) =
            others.into_iter().partition(|run| goes_on_in(run, &schedule, &events));
        // The planner does not use a withdrawn run again, even if the surge announces the
        // occurrence again. The deletion of the run may be in flight, and the planner would take
        // the deletion for a cancellation by a person. A new run replaces the withdrawn run.
        let (withdrawn, runs): (Vec<&RunRecord>, Vec<&RunRecord>) = own
            .iter()
            .partition(|run| !begun(run) && surge.status.withdrawn_runs.contains(&run.uid));
        let runs = [runs, adopted.clone()].concat();
        let taken = others.iter().chain(&withdrawn).map(|run| run.window.start).collect();
        // The planner plans a further occurrence for each occurrence that a person cancelled.
        let had = &surge.status.scheduled_times;
        let has_run = |start: &Instant| runs.iter().any(|run| run.window.start == *start);
        let cancelled = had.iter().filter(|start| **start > now && !has_run(start)).count();
        let by = now + lead(spec, world) + AHEAD;
        let wanted = schedule.upcoming(now, spec.upcoming_limit + cancelled, by);
        Self { surge, spec, schedule, wanted, runs, adopted, withdrawn, taken, now }
    }

    pub(super) fn window(&self, occurrence: &Occurrence) -> Window {
        let Occurrence { start, end, .. } = *occurrence;
        Window { ready_by: start - self.spec.ready_before, start, end }
    }

    pub(super) fn run(&self, start: Instant) -> Option<&'a RunRecord> {
        self.runs.iter().find(|run| run.window.start == start).copied()
    }

    /// Returns the run of an occurrence.
    ///
    /// The run starts with the occurrence, or has begun for the same event. The calendar may have
    /// moved the event of a begun run to a time before the end of that run.
    pub(super) fn run_of(&self, occurrence: &Occurrence) -> Option<&'a RunRecord> {
        let goes_on = |run: &&&RunRecord| {
            occurrence.event.is_some()
                && run.event == occurrence.event
                && begun(run)
                && run.status.completion_time.is_none()
                && (self.now.max(occurrence.start)) < run.window.end
        };
        self.run(occurrence.start).or_else(|| self.runs.iter().find(goes_on).copied())
    }

    /// True if the event of the occurrence had a run and a person deleted the run. The answer stays
    /// the same if the calendar moves the event afterwards.
    pub(super) fn is_cancelled(&self, occurrence: &Occurrence) -> bool {
        let same = |known: &&ScheduledEvent| Some(&known.event_id) == occurrence.event.as_ref();
        let known = self.surge.status.scheduled_events.iter().find(same);
        known.is_some_and(|known| {
            self.run(known.start_time).is_none()
                && !self.runs.iter().any(|run| run.event == occurrence.event)
        })
    }

    /// True if the planner can no longer create the run of the occurrence: the event is over, or
    /// `spec.startingDeadlineSeconds` has passed.
    pub(super) fn is_missed(&self, occurrence: &Occurrence) -> bool {
        let deadline = self.spec.starting_deadline.map(|deadline| occurrence.start + deadline);
        self.now >= occurrence.end || deadline.is_some_and(|deadline| self.now > deadline)
    }

    /// Returns `status.scheduledTimes`: the starts whose run stays, and the starts whose run a
    /// person deleted.
    pub(super) fn names(&self, had: &[Instant], last: Option<&Occurrence>) -> Vec<Instant> {
        // The planner also records the start of a moved event whose run is in progress. A deleted
        // or completed run of that event is then not created again.
        let has_or_had = |o: &&Occurrence| self.run_of(o).is_some() || self.is_cancelled(o);
        let wanted = self.wanted.iter().chain(last).filter(has_or_had);
        let mut named: Vec<Instant> = wanted.map(|o| o.start).collect();
        named.extend(had);
        let is_last = |start: Instant| last.is_some_and(|last| last.start == start);
        named.retain(|start| match self.run(*start) {
            Some(run) => !self.withdraws(run) && (run.window.end > self.now || is_last(*start)),
            None => *start + REMEMBERED > self.now || is_last(*start),
        });
        named.sort();
        named.dedup();
        named
    }

    /// Returns `status.scheduledEvents`: the events whose run stays, and the events whose run a
    /// person deleted.
    pub(super) fn events(&self) -> Vec<ScheduledEvent> {
        let stays = |run: &&RunRecord| !self.withdraws(run) && run.window.end > self.now;
        let now = self.wanted.iter().filter_map(|o| {
            let start_time = match self.run_of(o).filter(stays) {
                Some(run) => run.window.start,
                None if self.is_cancelled(o) => o.start,
                None => return None,
            };
            Some(ScheduledEvent { event_id: o.event.clone()?, start_time })
        });
        let mut events: Vec<_> = now.collect();
        for known in &self.surge.status.scheduled_events {
            let kept = self
                .run(known.start_time)
                .map_or_else(|| known.start_time + REMEMBERED > self.now, |run| stays(&run));
            if kept && !events.iter().any(|e| e.event_id == known.event_id) {
                events.push(known.clone());
            }
        }
        events.sort_by(|a, b| (a.start_time, &a.event_id).cmp(&(b.start_time, &b.event_id)));
        events
    }

    /// True if the surge withdraws the run: the run has neither begun nor ended, and the surge is
    /// suspended or no longer announces the run.
    ///
    /// A run stays if the present generation of the surge still schedules the run. After a clock
    /// has gone back, such a run may be missing from the next occurrences.
    pub(super) fn withdraws(&self, run: &RunRecord) -> bool {
        let wanted = |start: Instant| self.wanted.iter().any(|o| o.start == start);
        let announced = |run: &RunRecord| {
            run.surge_generation == Some(self.surge.generation)
                && self.schedule.begins_at(run.window.start)
        };
        run.decoded
            && !begun(run)
            && !run.deleting()
            && run.window.end > self.now
            && (self.spec.suspend || !(wanted(run.window.start) || announced(run)))
    }

    /// Returns `status.withdrawnRuns`: the uids of old and new withdrawn runs that still exist.
    pub(super) fn withdrawn_runs(&self) -> Vec<String> {
        let newly = self.runs.iter().filter(|run| self.withdraws(run));
        let mut uids: Vec<_> =
            self.withdrawn.iter().chain(newly).map(|run| run.uid.clone()).collect();
        uids.sort();
        uids
    }

    pub(super) fn planned(&self, occurrence: &Occurrence) -> PlannedRun {
        PlannedRun {
            name: run_name(&self.surge.name, occurrence.start),
            surge: self.surge.name.clone(),
            owner: self.surge.uid.clone(),
            generation: self.surge.generation,
            window: self.window(occurrence),
            note: occurrence.note.clone(),
            event: occurrence.event.clone(),
        }
    }
}

/// Returns the longest time before the start of an event at which the first step may be due.
pub(super) fn lead(spec: &SurgeSpec, world: &World) -> TimeDelta {
    let announcement = &spec.announcement;
    let pods = announcement.targets.iter().map(|target| target.lead).max();
    let machines =
        announcement.machines.iter().map(|group| timeline::class_lead(group, world)).max();
    let warm_up = timeline::longest(announcement);
    spec.ready_before + pods.unwrap_or_default() + machines.unwrap_or_default() + warm_up
}

pub(super) fn said(what: &str, window: &Window) -> String {
    format!("{what}: ready by {}, ends {}", clock(window.ready_by), clock(window.end))
}

pub(super) fn clock(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
