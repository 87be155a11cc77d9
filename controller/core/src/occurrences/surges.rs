//! Each surge has the runs of its next occurrences: each created once, replaced with its surge until it has begun, kept
//! for a while when it is over.

use std::borrow::Cow;

use chrono::{SecondsFormat, TimeDelta};

use crate::Instant;
use crate::occurrences::{run_name, schedule_of};
use crate::output::{Draft, PlannedRun, Record};
use crate::schedule::{self, Occurrence, Schedule};
use crate::state::announcement::Window;
use crate::state::condition::set_condition;
use crate::state::decision::Decision;
use crate::state::run::RunRecord;
use crate::state::surge::{ScheduledEvent, SurgeRecord, SurgeSpec, SurgeStatus};
use crate::state::world::World;
use crate::timeline;

/// A run has begun once it may have touched anything.
fn begun(run: &RunRecord) -> bool {
    run.guarded || run.status.completion_time.is_some()
}

pub(crate) fn plan(
    surge: &SurgeRecord,
    of_its_name: &[&RunRecord],
    world: &World,
    now: Instant,
    draft: &mut Draft,
) {
    if surge.deleting {
        return;
    }
    let mut status =
        SurgeStatus { observed_generation: Some(surge.generation), ..surge.status.clone() };
    let (reason, message) = match &surge.spec {
        // The last good plan is kept: runs that exist stay as they are.
        Err(reasons) => ("Invalid", reasons.join("; ")),
        Ok(spec) => match schedule_of(spec, world) {
            Ok(schedule) => {
                let occurrences = Occurrences::of(surge, spec, schedule, of_its_name, world, now);
                let (reason, message) = occurrences.plan(&mut status, draft);
                (reason, with_trouble(message, spec, world))
            }
            Err(why) => ("CalendarUnknown", format!("{why}; what is planned stays")),
        },
    };
    let accepted = reason == "Scheduled";
    set_condition(&mut status.conditions, "Accepted", accepted, reason, message, now);
    if status != surge.status {
        draft.record(Record::SurgeStatus { surge: surge.name.clone(), status: Box::new(status) });
    }
}

/// What is wrong with the calendar is said by those that follow it too.
fn with_trouble(message: String, spec: &SurgeSpec, world: &World) -> String {
    let followed = spec.follows.as_ref().and_then(|f| world.calendars.get(&f.calendar));
    match followed.and_then(|c| c.status.trouble().map(|trouble| (&c.name, trouble))) {
        Some((name, trouble)) => format!("{message}; SurgeCalendar {name}: {trouble}"),
        None => message,
    }
}

/// A run is created so long before its first step at the latest, and so often is looked for one.
const AHEAD: TimeDelta = TimeDelta::hours(1);

/// That an occurrence was cancelled is remembered so long after its start: no event is longer.
const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// A run of a surge of the same name that is gone has begun, and is an occurrence of this schedule.
fn goes_on_in(run: &RunRecord, schedule: &Schedule, events: &[Occurrence]) -> bool {
    let same = |o: &Occurrence| o.event.is_some() && o.event == run.event;
    run.outlives_its_surge() && (schedule.begins_at(run.window.start) || events.iter().any(same))
}

/// What a surge announces, and the runs that it has.
struct Occurrences<'a> {
    surge: &'a SurgeRecord,
    spec: &'a SurgeSpec,
    schedule: Cow<'a, Schedule>,
    /// Those that are going on, those that begin soon, and the next ones, in order.
    wanted: Vec<Occurrence>,
    /// Those that this surge has planned, and not one of the same name before it, nor those that it takes back.
    runs: Vec<&'a RunRecord>,
    /// Those of them that a surge of the same name before it has planned, which was replaced while they went on.
    adopted: Vec<&'a RunRecord>,
    /// Those that it takes back.
    withdrawn: Vec<&'a RunRecord>,
    /// Starts whose run's name is not free: somebody else's, or one that is taken back.
    taken: Vec<Instant>,
    now: Instant,
}

impl<'a> Occurrences<'a> {
    fn of(
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

    fn window(&self, occurrence: &Occurrence) -> Window {
        let Occurrence { start, end, .. } = *occurrence;
        Window { ready_by: start - self.spec.ready_before, start, end }
    }

    fn run(&self, start: Instant) -> Option<&'a RunRecord> {
        self.runs.iter().find(|run| run.window.start == start).copied()
    }

    /// The run of an occurrence: that of its start, or one that has begun for the same event, which was then moved to a time
    /// before that run ends.
    fn run_of(&self, occurrence: &Occurrence) -> Option<&'a RunRecord> {
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
    fn is_cancelled(&self, occurrence: &Occurrence) -> bool {
        let same = |known: &&ScheduledEvent| Some(&known.event_id) == occurrence.event.as_ref();
        let known = self.surge.status.scheduled_events.iter().find(same);
        known.is_some_and(|known| {
            self.run(known.start_time).is_none()
                && !self.runs.iter().any(|run| run.event == occurrence.event)
        })
    }

    /// Whether it is too late to create its run.
    fn is_missed(&self, occurrence: &Occurrence) -> bool {
        let deadline = self.spec.starting_deadline.map(|deadline| occurrence.start + deadline);
        self.now >= occurrence.end || deadline.is_some_and(|deadline| self.now > deadline)
    }

    /// Says what is planned, and why not where it is not.
    fn plan(self, status: &mut SurgeStatus, draft: &mut Draft) -> (&'static str, String) {
        let had = std::mem::take(&mut status.scheduled_times);
        self.withdraw(draft);
        self.adopt(draft);
        status.withdrawn_runs = self.withdrawn_runs();
        let last = self.schedule.last_once().filter(|_| self.wanted.is_empty());
        status.scheduled_times = self.names(&had, last.as_ref());
        status.scheduled_events = self.events();
        let (mut planned, mut cancelled, mut missed) = (Vec::new(), None, None);
        for occurrence in self.wanted.iter().chain(&last) {
            let start = occurrence.start;
            draft.wake(start, self.now);
            draft.wake(occurrence.end, self.now);
            match self.run_of(occurrence) {
                Some(run) if !run.deleting() => {
                    self.keep(run, occurrence, draft);
                    planned.push(occurrence);
                }
                // The run was there and somebody deleted it: that cancels the occurrence, it does not repeat it.
                Some(_) => cancelled = cancelled.or(Some(start)),
                None if had.contains(&start) || self.is_cancelled(occurrence) => {
                    cancelled = cancelled.or(Some(start));
                }
                None if self.spec.suspend => {}
                None if self.is_missed(occurrence) => missed = missed.or(Some(occurrence)),
                None => {
                    if !self.taken.contains(&start) {
                        draft.record(Record::CreateRun(self.planned(occurrence)));
                    }
                    planned.push(occurrence);
                }
            }
        }
        if self.schedule.recurs() || self.spec.follows.is_some() {
            draft.wake(self.now + AHEAD / 2, self.now);
        }
        self.forget(draft);
        let next = planned.first().copied();
        let shown = next.or_else(|| self.wanted.first()).or(last.as_ref()).map(|o| o.start);
        status.next_start_time = shown;
        let zone = self.schedule.zone_name();
        status.next_start_local = shown.map(|at| schedule::in_zone(at, zone));
        status.run = next.and_then(|o| self.run_of(o)).map(|run| run.name.clone());
        self.told(&planned, cancelled, missed)
    }

    /// The starts that the status names: those that have a run which stays, and those whose run a person deleted.
    fn names(&self, had: &[Instant], last: Option<&Occurrence>) -> Vec<Instant> {
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
    fn events(&self) -> Vec<ScheduledEvent> {
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

    fn told(
        &self,
        planned: &[&Occurrence],
        cancelled: Option<Instant>,
        missed: Option<&Occurrence>,
    ) -> (&'static str, String) {
        if self.spec.suspend {
            let kept = self.runs.iter().any(|run| begun(run) && run.window.end > self.now);
            let rest = if kept { "; what has begun goes on" } else { "" };
            return ("Suspended", format!("nothing new is planned while suspend is true{rest}"));
        }
        let deleted = |start: Instant| {
            let name = run_name(&self.surge.name, start);
            match &self.spec.follows {
                Some(_) => {
                    format!(
                        "run {name} was deleted; its event stays cancelled, also where it moves"
                    )
                }
                None => format!("run {name} was deleted; move startTime to plan a new one"),
            }
        };
        let Some((next, more)) = planned.split_first() else {
            return match (cancelled, missed) {
                (Some(start), _) => ("Cancelled", deleted(start)),
                (None, Some(o)) if self.now < o.end => (
                    "Missed",
                    said(
                        "startingDeadlineSeconds passed before it could be planned",
                        &self.window(o),
                    ),
                ),
                (None, Some(o)) => (
                    "Missed",
                    said("the event was over before it could be planned", &self.window(o)),
                ),
                (None, None) => ("NothingToCome", self.nothing()),
            };
        };
        let run = self.run_of(next);
        let name = run.map_or_else(|| run_name(&self.surge.name, next.start), |r| r.name.clone());
        let window = run.filter(|run| begun(run)).map_or_else(|| self.window(next), |r| r.window);
        let first = said(&format!("run {name}"), &window);
        let more = (!more.is_empty()).then(|| format!("{} more to come", more.len()));
        let cancelled =
            cancelled.map(|at| format!("{} is cancelled: its run was deleted", clock(at)));
        let message: Vec<_> = [Some(first), more, cancelled].into_iter().flatten().collect();
        ("Scheduled", message.join("; "))
    }

    fn nothing(&self) -> String {
        match &self.spec.follows {
            Some(follows) => format!("SurgeCalendar {} has no event to come", follows.calendar),
            None => "no day on which it could begin is left".to_owned(),
        }
    }

    /// A run that has not begun and is not wanted any more. One that the surge still announces stays, also where a clock
    /// went back and it is not among the next ones now.
    fn withdraws(&self, run: &RunRecord) -> bool {
        let wanted = |start: Instant| self.wanted.iter().any(|o| o.start == start);
        let announced = |run: &RunRecord| {
            run.surge_generation == Some(self.surge.generation)
                && self.schedule.begins_at(run.window.start)
        };
        !begun(run)
            && !run.deleting()
            && run.window.end > self.now
            && (self.spec.suspend || !(wanted(run.window.start) || announced(run)))
    }

    /// The uids of the runs that the status says are taken back, until they are gone.
    fn withdrawn_runs(&self) -> Vec<String> {
        let newly = self.runs.iter().filter(|run| self.withdraws(run));
        let mut uids: Vec<_> =
            self.withdrawn.iter().chain(newly).map(|run| run.uid.clone()).collect();
        uids.sort();
        uids
    }

    /// Takes runs back, once the status says so: a run that it names and that is not there was cancelled by a person.
    fn withdraw(&self, draft: &mut Draft) {
        for run in self.withdrawn.iter().filter(|run| !run.deleting()) {
            let message = format!("run {} is not planned any more: {}", run.name, self.why(run));
            draft.record(Record::DeleteRun {
                run: run.name.clone(),
                uid: run.uid.clone(),
                news: Some(Decision { time: self.now, reason: "Unplanned".into(), message }),
            });
        }
    }

    /// Takes over what goes on: the surge was deleted and created again, as `kubectl replace --force` does.
    fn adopt(&self, draft: &mut Draft) {
        for run in &self.adopted {
            let same = run.announcement.as_ref() == Ok(&self.spec.announcement);
            draft.record(Record::AdoptRun {
                run: run.name.clone(),
                owner: self.surge.uid.clone(),
                generation: same.then_some(self.surge.generation),
            });
        }
    }

    /// Why a run is taken back.
    fn why(&self, run: &RunRecord) -> String {
        let Some(follows) = self.spec.follows.as_ref().filter(|_| !self.spec.suspend) else {
            let why = if self.spec.suspend { "is suspended" } else { "was edited" };
            return format!("surge {} {why}", run.surge);
        };
        let moved = self.wanted.iter().find(|o| o.event.is_some() && o.event == run.event);
        let Some(moved) = moved else {
            return format!("SurgeCalendar {} does not have its event any more", follows.calendar);
        };
        let by = moved.start - run.window.start;
        if by.is_zero() {
            return "its event was moved and came back; it is planned anew".to_owned();
        }
        let late = if by > TimeDelta::zero() { "late" } else { "early" };
        let (start, minutes) = (clock(moved.start), by.num_minutes().abs());
        format!("its event starts at {start} now, {minutes} min {late}")
    }

    fn planned(&self, occurrence: &Occurrence) -> PlannedRun {
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

    fn keep(&self, run: &RunRecord, occurrence: &Occurrence, draft: &mut Draft) {
        let window = self.window(occurrence);
        let edited = run.surge_generation != Some(self.surge.generation);
        let moved = occurrence.event.is_some() && run.window != window;
        if !begun(run) {
            if (edited || moved) && !self.spec.suspend {
                draft.record(Record::ReplanRun(self.planned(occurrence)));
            }
            return;
        }
        // A feed may ask for more of what has begun, never for less: that takes a person.
        let wider = Window {
            ready_by: window.ready_by.min(run.window.ready_by),
            start: window.start.min(run.window.start),
            end: window.end.max(run.window.end),
        };
        if moved && wider != run.window && self.now < run.window.end {
            let message = said("its event was moved or stretched", &wider);
            let news = Decision { time: self.now, reason: "Stretched".into(), message };
            let run = run.name.clone();
            draft.record(Record::StretchRun { run, window: wider, news });
        }
    }

    /// Of the runs that are over the last ones are kept.
    fn forget(&self, draft: &mut Draft) {
        let over = |run: &&&RunRecord| {
            let ended = run.status.completion_time.is_some() && run.window.end <= self.now;
            ended && !run.guarded && !run.deleting()
        };
        let mut over: Vec<_> = self.runs.iter().filter(over).collect();
        over.sort_by_key(|run| std::cmp::Reverse(run.window.start));
        for run in over.into_iter().skip(self.spec.history_limit) {
            let (run, uid) = (run.name.clone(), run.uid.clone());
            draft.record(Record::DeleteRun { run, uid, news: None });
        }
    }
}

/// How long before the start of an event its first step may be due.
fn lead(spec: &SurgeSpec, world: &World) -> TimeDelta {
    let announcement = &spec.announcement;
    let pods = announcement.targets.iter().map(|target| target.lead).max();
    let machines =
        announcement.machines.iter().map(|group| timeline::class_lead(group, world)).max();
    let warm_up = timeline::longest(announcement);
    spec.ready_before + pods.unwrap_or_default() + machines.unwrap_or_default() + warm_up
}

fn said(what: &str, window: &Window) -> String {
    format!("{what}: ready by {}, ends {}", clock(window.ready_by), clock(window.end))
}

fn clock(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests;
