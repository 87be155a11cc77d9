//! The occurrences of a surge, and which of its runs is whose.

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

/// A run has begun once it may have touched anything.
pub(super) fn begun(run: &RunRecord) -> bool {
    run.guarded || run.status.completion_time.is_some()
}

/// A run is created at the latest this long before its first step. Recurring and followed surges are planned again after half of
/// this time.
pub(super) const AHEAD: TimeDelta = TimeDelta::hours(1);

/// That an occurrence was cancelled is remembered so long after its start: no event is longer.
pub(super) const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// A run of a surge of the same name that is gone has begun, and is an occurrence of this schedule.
pub(super) fn goes_on_in(run: &RunRecord, schedule: &Schedule, events: &[Occurrence]) -> bool {
    let same = |o: &Occurrence| o.event.is_some() && o.event == run.event;
    run.decoded
        && run.outlives_its_surge()
        && (schedule.begins_at(run.window.start) || events.iter().any(same))
}

/// What a surge announces, and the runs that it has.
pub(super) struct Occurrences<'a> {
    pub(super) surge: &'a SurgeRecord,
    pub(super) spec: &'a SurgeSpec,
    pub(super) schedule: Cow<'a, Schedule>,
    /// Those that are going on, those that begin soon, and the next ones, in order.
    pub(super) wanted: Vec<Occurrence>,
    /// Those that this surge has planned, and not one of the same name before it, nor those that it takes back.
    pub(super) runs: Vec<&'a RunRecord>,
    /// Those of them that a surge of the same name before it has planned, which was replaced while they went on.
    pub(super) adopted: Vec<&'a RunRecord>,
    /// Those that it takes back.
    pub(super) withdrawn: Vec<&'a RunRecord>,
    /// Starts whose run's name is not free: another run has it, or one that is withdrawn.
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
        // What is taken back stays so, also where it is wanted again: its deletion may be on its way, and would be taken for
        // a person's. It makes room for a new one.
        let (withdrawn, runs): (Vec<&RunRecord>, Vec<&RunRecord>) = own
            .iter()
            .partition(|run| !begun(run) && surge.status.withdrawn_runs.contains(&run.uid));
        let runs = [runs, adopted.clone()].concat();
        let taken = others.iter().chain(&withdrawn).map(|run| run.window.start).collect();
        // What a person cancelled makes room for another.
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

    /// The run of an occurrence: that of its start, or one that has begun for the same event, which was then moved to a time
    /// before that run ends.
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

    /// Its event had a run, and a person deleted that: also where a calendar has moved it since.
    pub(super) fn is_cancelled(&self, occurrence: &Occurrence) -> bool {
        let same = |known: &&ScheduledEvent| Some(&known.event_id) == occurrence.event.as_ref();
        let known = self.surge.status.scheduled_events.iter().find(same);
        known.is_some_and(|known| {
            self.run(known.start_time).is_none()
                && !self.runs.iter().any(|run| run.event == occurrence.event)
        })
    }

    /// Whether it is too late to create its run.
    pub(super) fn is_missed(&self, occurrence: &Occurrence) -> bool {
        let deadline = self.spec.starting_deadline.map(|deadline| occurrence.start + deadline);
        self.now >= occurrence.end || deadline.is_some_and(|deadline| self.now > deadline)
    }

    /// The starts that the status names: those that have a run which stays, and those whose run a person deleted.
    pub(super) fn names(&self, had: &[Instant], last: Option<&Occurrence>) -> Vec<Instant> {
        // Also where an event was moved while its run goes on: when that is deleted, or has come down, it is not repeated.
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

    /// The events that the status names: those whose run stays, and those whose run a person deleted.
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

    /// A run that has not begun and is not wanted any more. One that the surge still announces stays, also where a clock
    /// went back and it is not among the next ones now.
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

    /// The uids of the runs that the status says are taken back, until they are gone.
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

/// How long before the start of an event its first step may be due.
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
