//! Each surge has the runs of its next occurrences: each created once, replaced with its surge until it has begun, kept
//! for a while when it is over.

use chrono::TimeDelta;

use super::{Draft, PlannedRun, Record};
use crate::Instant;
use crate::decision::Decision;
use crate::run::{RunRecord, set_condition};
use crate::schedule::{self, Occurrence};
use crate::surge::{Window, run_name};
use crate::timeline;
use crate::world::{SurgeRecord, SurgeSpec, SurgeStatus, World};

/// A run has begun once it may have touched anything.
fn begun(run: &RunRecord) -> bool {
    run.guarded || run.status.completion_time.is_some()
}

pub(super) fn plan(
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
        Ok(spec) => Occurrences::of(surge, spec, of_its_name, world, now).plan(&mut status, draft),
    };
    let accepted = reason == "Scheduled";
    set_condition(&mut status.conditions, "Accepted", accepted, reason, message, now);
    if status != surge.status {
        draft.record(Record::SurgeStatus { surge: surge.name.clone(), status: Box::new(status) });
    }
}

/// A run is created so long before its first step at the latest, and so often is looked for one.
const AHEAD: TimeDelta = TimeDelta::hours(1);

/// That an occurrence was cancelled is remembered so long after its start: no event is longer.
const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// What a surge announces, and the runs that it has.
struct Occurrences<'a> {
    surge: &'a SurgeRecord,
    spec: &'a SurgeSpec,
    /// Those that are going on, those that begin soon, and the next ones, in order.
    wanted: Vec<Occurrence>,
    /// Those that this surge has planned, and not one of the same name before it.
    runs: Vec<&'a RunRecord>,
    /// Starts whose run's name is somebody else's.
    taken: Vec<Instant>,
    now: Instant,
}

impl<'a> Occurrences<'a> {
    fn of(
        surge: &'a SurgeRecord,
        spec: &'a SurgeSpec,
        of_its_name: &[&'a RunRecord],
        world: &World,
        now: Instant,
    ) -> Self {
        let (runs, others): (Vec<&RunRecord>, Vec<&RunRecord>) =
            of_its_name.iter().partition(|run| run.owner.as_ref() == Some(&surge.uid));
        let taken = others.iter().map(|run| run.window.start).collect();
        // What a person cancelled makes room for another.
        let had = &surge.status.scheduled_times;
        let has_run = |start: &Instant| runs.iter().any(|run| run.window.start == *start);
        let cancelled = had.iter().filter(|start| **start > now && !has_run(start)).count();
        let by = now + lead(spec, world) + AHEAD;
        let wanted = spec.schedule.upcoming(now, spec.upcoming_limit + cancelled, by);
        Self { surge, spec, wanted, runs, taken, now }
    }

    fn window(&self, occurrence: &Occurrence) -> Window {
        let Occurrence { start, end, .. } = *occurrence;
        Window { ready_by: start - self.spec.ready_before, start, end }
    }

    fn run(&self, start: Instant) -> Option<&'a RunRecord> {
        self.runs.iter().find(|run| run.window.start == start).copied()
    }

    /// Whether it is too late to create its run.
    fn is_missed(&self, occurrence: &Occurrence) -> bool {
        let deadline = self.spec.starting_deadline.map(|deadline| occurrence.start + deadline);
        self.now >= occurrence.end || deadline.is_some_and(|deadline| self.now > deadline)
    }

    /// Says what is planned, and why not where it is not.
    fn plan(self, status: &mut SurgeStatus, draft: &mut Draft) -> (&'static str, String) {
        let had = std::mem::take(&mut status.scheduled_times);
        self.withdraw(&had, draft);
        let last = self.spec.schedule.last_once().filter(|_| self.wanted.is_empty());
        status.scheduled_times = self.names(&had, last.as_ref());
        let (mut planned, mut cancelled, mut missed) = (Vec::new(), None, None);
        for occurrence in self.wanted.iter().chain(&last) {
            let start = occurrence.start;
            draft.wake(start, self.now);
            draft.wake(occurrence.end, self.now);
            match self.run(start) {
                Some(run) if !run.deleting => {
                    self.keep(run, occurrence, draft);
                    planned.push(occurrence);
                }
                // The run was there and somebody deleted it: that cancels the occurrence, it does not repeat it.
                Some(_) => cancelled = cancelled.or(Some(start)),
                None if had.contains(&start) => cancelled = cancelled.or(Some(start)),
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
        if self.spec.schedule.recurs() {
            draft.wake(self.now + AHEAD / 2, self.now);
        }
        self.forget(draft);
        let next = planned.first().copied();
        let shown = next.or_else(|| self.wanted.first()).or(last.as_ref()).map(|o| o.start);
        status.next_start_time = shown;
        let zone = self.spec.schedule.zone_name();
        status.next_start_local = shown.map(|at| schedule::in_zone(at, zone));
        status.run = next.and_then(|o| self.run(o.start)).map(|run| run.name.clone());
        self.told(&planned, cancelled, missed)
    }

    /// The starts that the status names: those that have a run which stays, and those whose run a person deleted.
    fn names(&self, had: &[Instant], last: Option<&Occurrence>) -> Vec<Instant> {
        let wanted = self.wanted.iter().chain(last).map(|o| o.start);
        let mut named: Vec<Instant> = wanted.filter(|start| self.run(*start).is_some()).collect();
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
            format!("run {name} was deleted; move startTime to plan a new one")
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
                (None, None) => {
                    ("NothingToCome", "no day on which it could begin is left".to_owned())
                }
            };
        };
        let name = run_name(&self.surge.name, next.start);
        let first = said(&format!("run {name}"), &self.window(next));
        let more = (!more.is_empty()).then(|| format!("{} more to come", more.len()));
        let cancelled =
            cancelled.map(|at| format!("{} is cancelled: its run was deleted", clock(at)));
        let message: Vec<_> = [Some(first), more, cancelled].into_iter().flatten().collect();
        ("Scheduled", message.join("; "))
    }

    /// A run that has not begun and is not wanted any more. One that the surge still announces stays, also where a clock
    /// went back and it is not among the next ones now.
    fn withdraws(&self, run: &RunRecord) -> bool {
        let wanted = |start: Instant| self.wanted.iter().any(|o| o.start == start);
        let announced = |run: &RunRecord| {
            run.surge_generation == Some(self.surge.generation)
                && self.spec.schedule.begins_at(run.window.start)
        };
        !begun(run)
            && !run.deleting
            && run.window.end > self.now
            && (self.spec.suspend || !(wanted(run.window.start) || announced(run)))
    }

    /// Takes runs back, once the status does not name them any more: what it names and is not there was cancelled by a
    /// person.
    fn withdraw(&self, had: &[Instant], draft: &mut Draft) {
        let why = if self.spec.suspend { "is suspended" } else { "was edited" };
        for run in self.runs.iter().filter(|run| !had.contains(&run.window.start)) {
            if !self.withdraws(run) {
                continue;
            }
            let message =
                format!("run {} is not planned any more: surge {} {why}", run.name, run.surge);
            draft.record(Record::DeleteRun {
                run: run.name.clone(),
                uid: run.uid.clone(),
                news: Some(Decision { time: self.now, reason: "Unplanned".into(), message }),
            });
        }
    }

    fn planned(&self, occurrence: &Occurrence) -> PlannedRun {
        PlannedRun {
            name: run_name(&self.surge.name, occurrence.start),
            surge: self.surge.name.clone(),
            owner: self.surge.uid.clone(),
            generation: self.surge.generation,
            window: self.window(occurrence),
            note: occurrence.note.clone(),
        }
    }

    fn keep(&self, run: &RunRecord, occurrence: &Occurrence, draft: &mut Draft) {
        let edited = run.surge_generation != Some(self.surge.generation);
        if edited && !begun(run) && !self.spec.suspend {
            draft.record(Record::ReplanRun(self.planned(occurrence)));
        }
    }

    /// Of the runs that are over the last ones are kept.
    fn forget(&self, draft: &mut Draft) {
        let over = |run: &&&RunRecord| {
            let ended = run.status.completion_time.is_some() && run.window.end <= self.now;
            ended && !run.guarded && !run.deleting
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
    spec.ready_before + pods.unwrap_or_default() + machines.unwrap_or_default()
}

fn said(what: &str, window: &Window) -> String {
    format!("{what}: ready by {}, ends {}", clock(window.ready_by), clock(window.end))
}

fn clock(at: Instant) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan;
    use crate::run::RunStatus;
    use crate::schedule::{Cron, Rule, Schedule, When, Zone};
    use crate::surge::{Announcement, ReleasePace};

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn every(cron: &str) -> Schedule {
        let rule = Rule {
            name: None,
            when: When::Cron(Cron::read(cron).unwrap()),
            duration: TimeDelta::hours(2),
        };
        let zone = Some(Zone::named("Europe/Paris").unwrap());
        Schedule { zone, rules: vec![rule], exclude: vec![] }
    }

    /// A surge on Sundays in a namespace with nothing else in it.
    struct Small(World);

    impl Small {
        fn new() -> Self {
            let pace = ReleasePace { step_percent: 20, step_time: TimeDelta::seconds(60) };
            let spec = SurgeSpec {
                schedule: every("50 20 * * SUN"),
                ready_before: TimeDelta::minutes(10),
                suspend: false,
                starting_deadline: None,
                upcoming_limit: 2,
                history_limit: 2,
                announcement: Announcement {
                    targets: vec![],
                    machines: vec![],
                    signals: vec![],
                    hold: None,
                    release: pace,
                    start: crate::surge::Start::Automatic,
                },
            };
            let surge = SurgeRecord {
                name: "show".into(),
                uid: "first".into(),
                generation: 1,
                deleting: false,
                spec: Ok(spec),
                status: SurgeStatus::default(),
            };
            Self(World { surges: [("show".into(), surge)].into(), ..World::default() })
        }

        fn edit(&mut self, edit: impl FnOnce(&mut SurgeSpec)) {
            let surge = self.0.surges.get_mut("show").unwrap();
            surge.generation += 1;
            edit(surge.spec.as_mut().unwrap());
        }

        /// Looks until nothing changes; the records of runs and of the surge are all that counts.
        fn look(&mut self, now: &str) -> Vec<String> {
            for _ in 0..5 {
                for record in plan(&self.0, at(now)).records {
                    self.persist(record);
                }
            }
            let mut restless = plan(&self.0, at(now)).records;
            restless.retain(|r| !matches!(r, Record::RunStatus { .. } | Record::Guard { .. }));
            assert_eq!(restless, [], "at rest");
            self.0.runs.keys().cloned().collect()
        }

        fn persist(&mut self, record: Record) {
            match record {
                Record::CreateRun(PlannedRun {
                    name, surge, owner, generation, window, ..
                }) => {
                    let record = RunRecord {
                        name: name.clone(),
                        uid: name.clone(),
                        surge,
                        owner: Some(owner),
                        surge_generation: Some(generation),
                        deleting: false,
                        guarded: false,
                        time_zone: None,
                        window,
                        announcement: Err("nothing to do".into()),
                        status: RunStatus::default(),
                    };
                    assert!(self.0.runs.insert(name, record).is_none(), "a name is created once");
                }
                Record::ReplanRun(planned) => {
                    let run = self.0.runs.get_mut(&planned.name).unwrap();
                    (run.surge_generation, run.window) = (Some(planned.generation), planned.window);
                }
                Record::DeleteRun { run, .. } => {
                    self.0.runs.remove(&run).unwrap();
                }
                Record::SurgeStatus { status, .. } => {
                    self.0.surges.get_mut("show").unwrap().status = *status;
                }
                _ => {}
            }
        }

        fn over(&mut self, run: &str) {
            let run = self.0.runs.get_mut(run).unwrap();
            run.status.completion_time = Some(run.window.end);
        }

        fn accepted(&self) -> (String, String) {
            let status = &self.0.surges.get("show").unwrap().status;
            let accepted = status.conditions.iter().find(|c| c.type_ == "Accepted").unwrap();
            (accepted.reason.clone(), accepted.message.clone())
        }
    }

    #[test]
    fn the_next_ones_have_their_runs_whenever_somebody_looks() {
        let mut small = Small::new();
        let friday = small.look("2026-03-20T00:00:00Z");
        assert_eq!(friday, ["show-20260322t195000z", "show-20260329t185000z"]);
        // While one is going on there are two more to come.
        let sunday = small.look("2026-03-22T20:00:00Z");
        assert_eq!(sunday.len(), 3);
        assert_eq!(
            small.accepted().1,
            "run show-20260322t195000z: ready by 2026-03-22T19:40:00Z, ends 2026-03-22T21:50:00Z; 2 more to come"
        );
    }

    #[test]
    fn a_run_that_somebody_deletes_is_cancelled_and_the_next_is_not() {
        let mut small = Small::new();
        small.look("2026-03-20T00:00:00Z");
        small.0.runs.remove("show-20260322t195000z");
        assert_eq!(
            small.look("2026-03-20T00:01:00Z"),
            ["show-20260329t185000z", "show-20260405t185000z"]
        );
        let (reason, message) = small.accepted();
        assert_eq!(reason, "Scheduled");
        assert!(message.contains("2026-03-22T19:50:00Z is cancelled"), "{message}");
        assert_eq!(
            small.look("2026-03-22T23:00:00Z"),
            ["show-20260329t185000z", "show-20260405t185000z"]
        );
        assert!(!small.accepted().1.contains("cancelled"));
    }

    #[test]
    fn an_edit_replaces_what_has_not_begun_and_nothing_else() {
        let mut small = Small::new();
        small.look("2026-03-20T00:00:00Z");
        small.0.runs.get_mut("show-20260322t195000z").unwrap().guarded = true;
        small.edit(|spec| spec.schedule = every("0 21 * * SUN"));
        assert_eq!(
            small.look("2026-03-22T19:45:00Z"),
            ["show-20260322t195000z", "show-20260322t200000z", "show-20260329t190000z"]
        );
    }

    #[test]
    fn a_plan_that_was_taken_back_and_comes_again_is_not_cancelled() {
        let mut small = Small::new();
        let planned = small.look("2026-03-20T00:00:00Z");
        small.edit(|spec| spec.suspend = true);
        assert!(small.look("2026-03-20T00:01:00Z").is_empty());
        assert_eq!(small.accepted().0, "Suspended");
        small.edit(|spec| spec.suspend = false);
        assert_eq!(small.look("2026-03-20T00:02:00Z"), planned);
    }

    #[test]
    fn what_has_begun_outlives_a_suspension() {
        let mut small = Small::new();
        small.look("2026-03-20T00:00:00Z");
        small.0.runs.get_mut("show-20260322t195000z").unwrap().guarded = true;
        small.edit(|spec| spec.suspend = true);
        assert_eq!(small.look("2026-03-22T20:00:00Z"), ["show-20260322t195000z"]);
        assert!(small.accepted().1.contains("what has begun goes on"));
    }

    #[test]
    fn whoever_wakes_in_the_middle_plans_it_unless_that_is_too_late_to_start() {
        let mut small = Small::new();
        small.edit(|spec| spec.upcoming_limit = 1);
        let now = "2026-03-22T21:00:00Z";
        assert_eq!(small.look(now), ["show-20260322t195000z", "show-20260329t185000z"]);
        let mut strict = Small::new();
        strict.edit(|spec| {
            (spec.upcoming_limit, spec.starting_deadline) = (1, Some(TimeDelta::hours(1)));
        });
        assert_eq!(strict.look(now), ["show-20260329t185000z"]);
    }

    #[test]
    fn history_is_bounded_and_what_was_forgotten_is_not_repeated() {
        let mut small = Small::new();
        for sunday in ["2026-11-01", "2026-11-08", "2026-11-15", "2026-11-22"] {
            small.look(&format!("{sunday}T20:00:00Z"));
            let run = format!("show-{}t195000z", sunday.replace('-', ""));
            small.over(&run);
            small.look(&format!("{sunday}T23:00:00Z"));
        }
        assert_eq!(
            small.look("2026-11-23T00:00:00Z"),
            [
                "show-20261115t195000z",
                "show-20261122t195000z",
                "show-20261129t195000z",
                "show-20261206t195000z"
            ]
        );
    }

    #[test]
    fn days_that_are_excluded_later_lose_their_runs() {
        let mut small = Small::new();
        small.look("2026-03-20T00:00:00Z");
        let day = "2026-03-22".parse().unwrap();
        small.edit(|spec| {
            spec.schedule.exclude = vec![crate::schedule::Days { first: day, last: day }];
        });
        assert_eq!(
            small.look("2026-03-20T00:01:00Z"),
            ["show-20260329t185000z", "show-20260405t185000z"]
        );
    }

    #[test]
    fn a_run_is_there_before_its_first_step_however_few_are_planned_ahead() {
        let mut small = Small::new();
        small.edit(|spec| {
            spec.schedule = every("50 20 * * SUN");
            spec.schedule.rules.extend(every("40 21 * * SUN").rules);
            (spec.upcoming_limit, spec.ready_before) = (1, TimeDelta::hours(1));
        });
        assert_eq!(small.look("2026-03-22T18:39:00Z"), ["show-20260322t195000z"]);
        assert_eq!(
            small.look("2026-03-22T18:40:00Z"),
            ["show-20260322t195000z", "show-20260322t204000z"]
        );
    }

    #[test]
    fn a_cancelled_one_makes_room_for_another_and_stays_cancelled() {
        let mut small = Small::new();
        small.look("2026-03-20T00:00:00Z");
        small.0.runs.remove("show-20260329t185000z");
        let rest = ["show-20260322t195000z", "show-20260405t185000z"];
        assert_eq!(small.look("2026-03-20T00:01:00Z"), rest);
        small.edit(|spec| spec.upcoming_limit = 1);
        assert_eq!(small.look("2026-03-20T00:02:00Z"), ["show-20260322t195000z"]);
        small.edit(|spec| spec.upcoming_limit = 2);
        assert_eq!(small.look("2026-03-20T00:03:00Z"), rest);
    }

    #[test]
    fn a_surge_that_is_created_again_has_runs_of_its_own() {
        let mut small = Small::new();
        let planned = small.look("2026-03-20T00:00:00Z");
        let surge = small.0.surges.get_mut("show").unwrap();
        (surge.uid, surge.status) = ("second".into(), SurgeStatus::default());
        // Those of the first are still there, and go one after the other.
        assert_eq!(small.look("2026-03-20T00:00:01Z"), planned);
        small.0.runs.clear();
        assert_eq!(small.look("2026-03-20T00:00:02Z"), planned);
        assert!(small.0.runs.values().all(|run| run.owner.as_deref() == Some("second")));
    }

    #[test]
    fn a_run_that_is_coming_down_after_its_deletion_is_not_made_again() {
        let mut small = Small::new();
        let planned = small.look("2026-03-22T20:00:00Z");
        small.0.runs.get_mut("show-20260322t195000z").unwrap().deleting = true;
        assert_eq!(small.look("2026-03-22T20:01:00Z"), planned);
        small.0.runs.remove("show-20260322t195000z");
        assert_eq!(small.look("2026-03-22T20:02:00Z").len(), 2);
        assert!(small.accepted().1.contains("2026-03-22T19:50:00Z is cancelled"));
    }

    #[test]
    fn a_clock_that_goes_back_takes_no_run_away() {
        let mut small = Small::new();
        let planned = small.look("2026-03-22T19:50:01Z");
        assert_eq!(small.look("2026-03-22T19:49:59Z"), planned);
    }
}
