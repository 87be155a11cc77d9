//! Each surge has the runs of its next occurrences: each created once, replaced with its surge until it has begun, kept
//! for a while when it is over.

use super::{Draft, PlannedRun, Record};
use crate::Instant;
use crate::decision::Decision;
use crate::run::{RunRecord, set_condition};
use crate::schedule::{self, Occurrence};
use crate::surge::{Window, run_name};
use crate::world::{SurgeRecord, SurgeSpec, SurgeStatus, World};

/// A run has begun once it may have touched anything.
fn begun(run: &RunRecord) -> bool {
    run.guarded || run.status.completion_time.is_some()
}

pub(super) fn plan(surge: &SurgeRecord, world: &World, now: Instant, draft: &mut Draft) {
    if surge.deleting {
        return;
    }
    let mut status =
        SurgeStatus { observed_generation: Some(surge.generation), ..surge.status.clone() };
    let (reason, message) = match &surge.spec {
        // The last good plan is kept: runs that exist stay as they are.
        Err(reasons) => ("Invalid", reasons.join("; ")),
        Ok(spec) => Occurrences::of(surge, spec, world, now).plan(&mut status, draft),
    };
    let accepted = reason == "Scheduled";
    set_condition(&mut status.conditions, "Accepted", accepted, reason, message, now);
    if status != surge.status {
        draft.record(Record::SurgeStatus { surge: surge.name.clone(), status: Box::new(status) });
    }
}

/// What a surge announces, and the runs that it has.
struct Occurrences<'a> {
    surge: &'a SurgeRecord,
    spec: &'a SurgeSpec,
    /// Those that are going on and the next ones, in order.
    wanted: Vec<Occurrence>,
    runs: Vec<&'a RunRecord>,
    now: Instant,
}

impl<'a> Occurrences<'a> {
    fn of(surge: &'a SurgeRecord, spec: &'a SurgeSpec, world: &'a World, now: Instant) -> Self {
        let own = |run: &&RunRecord| run.surge == surge.name && !run.deleting;
        let wanted = spec.schedule.upcoming(now, spec.upcoming_limit);
        Self { surge, spec, wanted, runs: world.runs.values().filter(own).collect(), now }
    }

    fn window(&self, occurrence: &Occurrence) -> Window {
        let Occurrence { start, end, .. } = *occurrence;
        Window { ready_by: start - self.spec.ready_before, start, end }
    }

    fn run(&self, start: Instant) -> Option<&'a RunRecord> {
        let name = run_name(&self.surge.name, start);
        self.runs.iter().find(|run| run.name == name).copied()
    }

    /// Whether it is too late to create its run.
    fn is_missed(&self, occurrence: &Occurrence) -> bool {
        let deadline = self.spec.starting_deadline.map(|deadline| occurrence.start + deadline);
        self.now >= occurrence.end || deadline.is_some_and(|deadline| self.now > deadline)
    }

    /// Says what is planned, and why not where it is not.
    fn plan(self, status: &mut SurgeStatus, draft: &mut Draft) -> (&'static str, String) {
        let had = std::mem::take(&mut status.scheduled_times);
        self.replace(&had, draft);
        let (mut next, mut cancelled, mut missed) = (None, None, None);
        let last = self.spec.schedule.last_once().filter(|_| self.wanted.is_empty());
        for occurrence in self.wanted.iter().chain(&last) {
            let start = occurrence.start;
            let run = self.run(start);
            let known = run.is_some() || had.contains(&start);
            // What is suspended is no run that somebody deleted: it is planned again when that is over.
            if known && !run.is_some_and(|run| self.spec.suspend && !begun(run)) {
                status.scheduled_times.push(start);
            }
            match run {
                Some(run) => self.keep(run, occurrence, draft),
                // The run was there and somebody deleted it: that cancels the occurrence, it does not repeat it.
                None if known => cancelled = cancelled.or(Some(start)),
                None if self.spec.suspend => continue,
                None if self.is_missed(occurrence) => missed = missed.or(Some(occurrence)),
                None => draft.record(Record::CreateRun(self.planned(occurrence))),
            }
            let planned = run.is_some() || !known && !self.is_missed(occurrence);
            next = next.or_else(|| planned.then_some(occurrence));
            draft.wake(occurrence.start, self.now);
            draft.wake(occurrence.end, self.now);
        }
        self.forget(draft);
        let shown = next.or_else(|| self.wanted.first()).or(last.as_ref()).map(|o| o.start);
        let zone = self.spec.schedule.zone_name();
        status.next_start_time = shown;
        status.next_start_local = shown.map(|at| schedule::in_zone(at, zone));
        status.run = next.filter(|o| self.run(o.start).is_some()).map(|o| self.name(o.start));
        self.told(next, cancelled, missed)
    }

    fn name(&self, start: Instant) -> String {
        run_name(&self.surge.name, start)
    }

    fn told(
        &self,
        next: Option<&Occurrence>,
        cancelled: Option<Instant>,
        missed: Option<&Occurrence>,
    ) -> (&'static str, String) {
        if self.spec.suspend {
            let kept = self.runs.iter().any(|run| begun(run) && run.window.end > self.now);
            let rest = if kept { "; what has begun goes on" } else { "" };
            return ("Suspended", format!("nothing new is planned while suspend is true{rest}"));
        }
        let deleted = |start: Instant| {
            format!("run {} was deleted; move startTime to plan a new one", self.name(start))
        };
        let Some(next) = next else {
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
        let planned = said(&format!("run {}", self.name(next.start)), &self.window(next));
        let more = self.wanted.iter().filter(|o| o.start > next.start).count();
        let more = (more > 0).then(|| format!("{more} more to come"));
        let cancelled =
            cancelled.map(|at| format!("{} is cancelled: its run was deleted", clock(at)));
        let message: Vec<_> = [Some(planned), more, cancelled].into_iter().flatten().collect();
        ("Scheduled", message.join("; "))
    }

    /// Runs that have not begun and are not wanted any more move away, once the status does not name them any more: what
    /// it names and is not there was cancelled by a person.
    fn replace(&self, had: &[Instant], draft: &mut Draft) {
        let wanted = |run: &RunRecord| {
            !self.spec.suspend && self.wanted.iter().any(|o| self.name(o.start) == run.name)
        };
        let named = |run: &RunRecord| had.contains(&run.window.start);
        let why = if self.spec.suspend { "is suspended" } else { "was edited" };
        for run in &self.runs {
            if begun(run) || wanted(run) || named(run) || run.window.end <= self.now {
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
            name: self.name(occurrence.start),
            surge: self.surge.name.clone(),
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
            run.status.completion_time.is_some() && !run.guarded && run.window.end <= self.now
        };
        let mut over: Vec<_> = self.runs.iter().filter(over).collect();
        over.sort_by_key(|run| std::cmp::Reverse((run.window.start, &run.name)));
        for run in over.into_iter().skip(self.spec.history_limit) {
            let (run, uid) = (run.name.clone(), run.uid.clone());
            draft.record(Record::DeleteRun { run, uid, news: None });
        }
    }
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
    use chrono::TimeDelta;

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
                },
            };
            let surge = SurgeRecord {
                name: "show".into(),
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
                Record::CreateRun(PlannedRun { name, surge, generation, window, .. }) => {
                    let record = RunRecord {
                        name: name.clone(),
                        uid: name.clone(),
                        surge,
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
        assert_eq!(small.look("2026-03-20T00:01:00Z"), ["show-20260329t185000z"]);
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
}
