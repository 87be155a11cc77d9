//! Pass 2: the runs of the next occurrences of each surge.
//!
//! The planner creates each run once, and copies the surge again until the run has begun. The
//! planner keeps the last `spec.historyLimit` completed runs.

use chrono::TimeDelta;

use crate::Instant;
use crate::occurrences::budget;
use crate::occurrences::runs::{AHEAD, Occurrences, begun, clock, said};
use crate::occurrences::{run_name, schedule_of};
use crate::output::{Draft, Record, Wake};
use crate::schedule::{self, Occurrence};
use crate::state::announcement::Window;
use crate::state::condition::{ConditionReason, ConditionType, EventReason, set_condition};
use crate::state::decision::Decision;
use crate::state::run::RunRecord;
use crate::state::surge::{SurgeRecord, SurgeSpec, SurgeStatus};
use crate::state::world::World;

pub(crate) fn plan(
    surge: &SurgeRecord,
    of_its_name: &[&RunRecord],
    world: &World,
    now: Instant,
    draft: &mut Draft,
) -> Wake {
    if surge.deleting {
        return Wake::NEVER;
    }
    let mut status =
        SurgeStatus { observed_generation: Some(surge.generation), ..surge.status.clone() };
    let mut wake = Wake::NEVER;
    let (reason, message) = match (&surge.spec, budget::refuses(surge, world)) {
        // An invalid spec leaves the last valid plan in place: existing runs stay unchanged.
        (Err(reasons), _) => (ConditionReason::Invalid, reasons.join("; ")),
        (Ok(_), Some(why)) => (ConditionReason::BudgetExceeded, why),
        (Ok(spec), None) => match schedule_of(spec, world) {
            Ok(schedule) => {
                let occurrences = Occurrences::of(surge, spec, schedule, of_its_name, world, now);
                let (reason, message, next) = occurrences.plan(world, &mut status, draft);
                wake = next;
                (reason, with_trouble(message, spec, world))
            }
            Err(why) => (ConditionReason::CalendarUnknown, format!("{why}; what is planned stays")),
        },
    };
    let accepted = reason == ConditionReason::Scheduled;
    set_condition(&mut status.conditions, ConditionType::Accepted, accepted, reason, message, now);
    if status != surge.status {
        draft.record(Record::SurgeStatus { surge: surge.name.clone(), status: Box::new(status) });
    }
    wake
}

/// Appends the problem of a `SurgeCalendar` to the message of each surge that follows the calendar.
fn with_trouble(message: String, spec: &SurgeSpec, world: &World) -> String {
    let followed = spec.follows.as_ref().and_then(|f| world.calendars.get(&f.calendar));
    match followed.and_then(|c| c.status.trouble().map(|trouble| (&c.name, trouble))) {
        Some((name, trouble)) => format!("{message}; SurgeCalendar {name}: {trouble}"),
        None => message,
    }
}

impl Occurrences<'_> {
    /// Plans the runs of the surge. Returns the reason and message of the `Accepted` condition, and
    /// the time of the next pass.
    pub(super) fn plan(
        self,
        world: &World,
        status: &mut SurgeStatus,
        draft: &mut Draft,
    ) -> (ConditionReason, String, Wake) {
        let had = std::mem::take(&mut status.scheduled_times);
        self.withdraw(draft);
        self.adopt(draft);
        status.withdrawn_runs = self.withdrawn_runs();
        let last = self.schedule.last_once().filter(|_| self.wanted.is_empty());
        status.scheduled_times = self.names(&had, last.as_ref());
        status.scheduled_events = self.events();
        let (mut planned, mut cancelled, mut missed) = (Vec::new(), None, None);
        let mut refused = None;
        let mut wake = Wake::NEVER;
        for occurrence in self.wanted.iter().chain(&last) {
            let start = occurrence.start;
            wake = wake.or(Wake::at_first([start, occurrence.end], self.now));
            match self.run_of(occurrence) {
                Some(run) if !run.deleting() => {
                    self.keep(run, occurrence, draft);
                    planned.push(occurrence);
                }
                // A person has deleted the run: the planner cancels the occurrence and creates no
                // second run.
                Some(_) => cancelled = cancelled.or(Some(start)),
                None if had.contains(&start) || self.is_cancelled(occurrence) => {
                    cancelled = cancelled.or(Some(start));
                }
                None if self.spec.suspend => {}
                None if self.is_missed(occurrence) => missed = missed.or(Some(occurrence)),
                None => {
                    if !self.taken.contains(&start) {
                        if let Some(why) = budget::refuses_a_run(&draft.plan, world) {
                            refused.get_or_insert(why);
                            continue;
                        }
                        draft.record(Record::CreateRun(self.planned(occurrence)));
                    }
                    planned.push(occurrence);
                }
            }
        }
        if self.schedule.recurs() || self.spec.follows.is_some() {
            wake = wake.or(Wake::at(self.now + AHEAD / 2, self.now));
        }
        self.forget(draft);
        let next = planned.first().copied();
        let shown = next.or_else(|| self.wanted.first()).or(last.as_ref()).map(|o| o.start);
        status.next_start_time = shown;
        let zone = self.schedule.zone_name();
        status.next_start_local = shown.map(|at| schedule::in_zone(at, zone));
        status.run = next.and_then(|o| self.run_of(o)).map(|run| run.name.clone());
        let (reason, message) = match (self.told(&planned, cancelled, missed), refused) {
            (told, None) => told,
            (_, Some(why)) if planned.is_empty() => (ConditionReason::BudgetExceeded, why),
            ((reason, message), Some(why)) => (reason, format!("{message}; the next {why}")),
        };
        (reason, message, wake)
    }

    pub(super) fn told(
        &self,
        planned: &[&Occurrence],
        cancelled: Option<Instant>,
        missed: Option<&Occurrence>,
    ) -> (ConditionReason, String) {
        if self.spec.suspend {
            let kept = self.runs.iter().any(|run| begun(run) && run.window.end > self.now);
            let rest = if kept { "; what has begun goes on" } else { "" };
            return (
                ConditionReason::Suspended,
                format!("nothing new is planned while suspend is true{rest}"),
            );
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
                (Some(start), _) => (ConditionReason::Cancelled, deleted(start)),
                (None, Some(o)) if self.now < o.end => (
                    ConditionReason::Missed,
                    said(
                        "startingDeadlineSeconds passed before it could be planned",
                        &self.window(o),
                    ),
                ),
                (None, Some(o)) => (
                    ConditionReason::Missed,
                    said("the event was over before it could be planned", &self.window(o)),
                ),
                (None, None) => (ConditionReason::NothingToCome, self.nothing()),
            };
        };
        let run = self.run_of(next);
        let name = run.map_or_else(|| run_name(&self.surge.name, next.start), |r| r.name.clone());
        let window = run
            .filter(|run| begun(run) && run.decoded)
            .map_or_else(|| self.window(next), |r| r.window);
        let first = said(&format!("run {name}"), &window);
        let more = (!more.is_empty()).then(|| format!("{} more to come", more.len()));
        let cancelled =
            cancelled.map(|at| format!("{} is cancelled: its run was deleted", clock(at)));
        let undecoded = planned.iter().filter_map(|o| self.run_of(o)).find(|run| !run.decoded);
        let undecoded = undecoded.and_then(|run| {
            let why = run.announcement.as_ref().err()?;
            Some(format!("run {} cannot be decoded, and is left as it is: {why}", run.name))
        });
        let message: Vec<_> =
            [Some(first), undecoded, more, cancelled].into_iter().flatten().collect();
        (ConditionReason::Scheduled, message.join("; "))
    }

    pub(super) fn nothing(&self) -> String {
        match &self.spec.follows {
            Some(follows) => format!("SurgeCalendar {} has no event to come", follows.calendar),
            None => "no day on which it could begin is left".to_owned(),
        }
    }

    /// Deletes the withdrawn runs that `status.withdrawnRuns` already lists.
    ///
    /// The planner would otherwise treat a missing run in `status.scheduledTimes` as deleted by a
    /// person.
    pub(super) fn withdraw(&self, draft: &mut Draft) {
        for run in self.withdrawn.iter().filter(|run| !run.deleting()) {
            let message = format!("run {} is not planned any more: {}", run.name, self.why(run));
            draft.record(Record::DeleteRun {
                run: run.name.clone(),
                uid: run.uid.clone(),
                news: Some(Decision::new(self.now, EventReason::Unplanned, message)),
            });
        }
    }

    /// Adopts runs in progress whose surge was deleted and created again, as `kubectl replace
    /// --force` does.
    pub(super) fn adopt(&self, draft: &mut Draft) {
        for run in &self.adopted {
            let same = run.announcement.as_ref() == Ok(&self.spec.announcement);
            draft.record(Record::AdoptRun {
                run: run.name.clone(),
                owner: self.surge.uid.clone(),
                generation: same.then_some(self.surge.generation),
            });
        }
    }

    /// Returns the reason for the withdrawal of a run.
    pub(super) fn why(&self, run: &RunRecord) -> String {
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

    pub(super) fn keep(&self, run: &RunRecord, occurrence: &Occurrence, draft: &mut Draft) {
        if !run.decoded {
            return;
        }
        let window = self.window(occurrence);
        let edited = run.surge_generation != Some(self.surge.generation);
        let moved = occurrence.event.is_some() && run.window != window;
        if !begun(run) {
            if (edited || moved) && !self.spec.suspend {
                draft.record(Record::ReplanRun(self.planned(occurrence)));
            }
            return;
        }
        // A feed may extend a run that has begun, but never shorten the run. A person must shorten
        // the run.
        let wider = Window {
            ready_by: window.ready_by.min(run.window.ready_by),
            start: window.start.min(run.window.start),
            end: window.end.max(run.window.end),
        };
        if moved && wider != run.window && self.now < run.window.end {
            let message = said("its event was moved or stretched", &wider);
            let news = Decision::new(self.now, EventReason::Stretched, message);
            let run = run.name.clone();
            draft.record(Record::StretchRun { run, window: wider, news });
        }
    }

    /// Deletes completed runs beyond the last `spec.historyLimit` runs.
    pub(super) fn forget(&self, draft: &mut Draft) {
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

#[cfg(test)]
mod tests;
