//! Tests of the runs of a surge over several passes of the planner.

use super::*;
use crate::fixtures::persist;
use crate::plan::plan;
use crate::schedule::Schedule;
use crate::schedule::{Cron, Rule, When, Zone};
use crate::state::announcement::{Announcement, ReleasePace};
use chrono::TimeDelta;

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn every(cron: &str) -> Schedule {
    let rule = Rule {
        name: None,
        when: When::Cron(Cron::read(cron).unwrap()),
        duration: TimeDelta::hours(2),
        event: None,
        note: None,
    };
    let zone = Some(Zone::named("Europe/Paris").unwrap());
    Schedule { zone, rules: vec![rule], exclude: vec![] }
}

/// A surge on Sundays in a namespace without other objects.
struct Small {
    world: World,
    /// Messages about withdrawn runs.
    told: Vec<String>,
}

impl Small {
    fn new() -> Self {
        let pace = ReleasePace { step_percent: 20, step_time: TimeDelta::seconds(60) };
        let spec = SurgeSpec {
            follows: None,
            schedule: every("50 20 * * SUN"),
            ready_before: TimeDelta::minutes(10),
            suspend: false,
            starting_deadline: None,
            upcoming_limit: 2,
            history_limit: 2,
            announcement: Announcement {
                targets: vec![],
                machines: vec![],
                jobs: vec![],
                signals: vec![],
                degrade: vec![],
                on_unknown: crate::state::announcement::OnUnknown::Hold,
                hold: None,
                release: pace,
                start: crate::state::announcement::Start::Automatic,
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
        let world = World { surges: [("show".into(), surge.into())].into(), ..World::default() };
        Self { world, told: vec![] }
    }

    fn edit(&mut self, edit: impl FnOnce(&mut SurgeSpec)) {
        let surge = self.world.surges.get_mut("show").unwrap();
        surge.generation += 1;
        edit(surge.spec.as_mut().unwrap());
    }

    /// Runs the planner five times and persists the records.
    ///
    /// The function fails if a sixth pass still changes runs or the surge. Returns the names of the
    /// runs.
    fn look(&mut self, now: &str) -> Vec<String> {
        for _ in 0..5 {
            for record in plan(&self.world, at(now)).records {
                self.persist(record);
            }
        }
        let mut restless = plan(&self.world, at(now)).records;
        restless.retain(|r| !matches!(r, Record::RunStatus { .. } | Record::AddFinalizer { .. }));
        assert_eq!(restless, [], "at rest");
        self.world.runs.keys().cloned().collect()
    }

    /// Persists a record, but ignores the records of the runs themselves: runs stay as created.
    fn persist(&mut self, record: Record) {
        match &record {
            Record::RunStatus { .. } | Record::AddFinalizer { .. } => return,
            Record::DeleteRun { news, .. } => {
                self.told.extend(news.as_ref().map(|news| news.message.clone()));
            }
            _ => {}
        }
        persist(&mut self.world, record);
    }

    fn over(&mut self, run: &str) {
        let run = self.world.runs.get_mut(run).unwrap();
        run.status.completion_time = Some(run.window.end);
    }

    fn accepted(&self) -> (String, String) {
        let status = &self.world.surges.get("show").unwrap().status;
        let accepted = status.conditions.iter().find(|c| c.type_ == "Accepted").unwrap();
        (accepted.reason.clone(), accepted.message.clone())
    }
}

#[test]
fn the_next_ones_have_their_runs_whenever_somebody_looks() {
    let mut small = Small::new();
    let friday = small.look("2026-03-20T00:00:00Z");
    assert_eq!(friday, ["show-20260322t195000z", "show-20260329t185000z"]);
    // The planner keeps two future runs beside the run in progress.
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
    small.world.runs.remove("show-20260322t195000z");
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

/// After a rollback the operator cannot decode a run of a newer version. The planner does not treat
/// such a run as deleted.
#[test]
fn a_run_that_cannot_be_decoded_keeps_its_occurrence() {
    for guarded in [false, true] {
        let mut small = Small::new();
        let runs = small.look("2026-03-20T00:00:00Z");
        let whole = small.world.runs["show-20260322t195000z"].clone();
        let run = small.world.runs.get_mut("show-20260322t195000z").unwrap();
        let never = Instant::MAX_UTC;
        run.window = Window { ready_by: run.window.start, start: run.window.start, end: never };
        (run.surge_generation, run.event, run.guarded) = (None, None, guarded);
        run.decoded = false;
        run.announcement = Err("status.stage: unknown variant".into());
        for now in ["2026-03-20T00:01:00Z", "2026-03-22T20:00:00Z"] {
            assert_eq!(small.look(now)[0], runs[0]);
            let (reason, message) = small.accepted();
            assert_eq!(reason, "Scheduled");
            assert!(!message.contains("cancelled"), "{message}");
            assert!(
                message.contains("run show-20260322t195000z cannot be decoded")
                    && message.contains("unknown variant"),
                "{message}"
            );
        }
        // An edit or a suspension neither deletes nor changes a run that the operator cannot
        // decode.
        small.edit(|spec| spec.schedule = every("50 21 * * SAT"));
        assert!(small.look("2026-03-22T20:01:00Z").contains(&runs[0]));
        small.edit(|spec| spec.schedule = every("50 20 * * SUN"));
        *small.world.runs.get_mut("show-20260322t195000z").unwrap() = whole;
        small.look("2026-03-22T20:02:00Z");
        assert!(!small.accepted().1.contains("cannot be decoded"));
        assert!(!small.accepted().1.contains("cancelled"), "{}", small.accepted().1);
    }
}

#[test]
fn an_edit_replaces_what_has_not_begun_and_nothing_else() {
    let mut small = Small::new();
    small.look("2026-03-20T00:00:00Z");
    small.world.runs.get_mut("show-20260322t195000z").unwrap().guarded = true;
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
fn a_plan_that_comes_again_while_its_run_is_being_deleted_is_not_cancelled() {
    let mut small = Small::new();
    let planned = small.look("2026-03-20T00:00:00Z");
    small.edit(|spec| spec.suspend = true);
    let now = at("2026-03-20T00:01:00Z");
    let taken_back = plan(&small.world, now).records;
    assert!(!taken_back.iter().any(|r| matches!(r, Record::DeleteRun { .. })), "first it is said");
    for record in taken_back {
        small.persist(record);
    }
    // The shell has sent the deletions but lost the answers, and no watch event has shown the
    // deletions.
    let sent = plan(&small.world, now).records;
    assert_eq!(sent.iter().filter(|r| matches!(r, Record::DeleteRun { .. })).count(), 2);
    small.edit(|spec| spec.suspend = false);
    for record in plan(&small.world, now).records {
        assert!(!matches!(record, Record::ReplanRun(_)), "what is taken back is not used again");
        if !matches!(record, Record::DeleteRun { .. }) {
            small.persist(record);
        }
    }
    small.world.runs.clear();
    assert_eq!(small.look("2026-03-20T00:02:00Z"), planned);
    assert_eq!(small.accepted().0, "Scheduled");
    let status = &small.world.surges.get("show").unwrap().status;
    assert_eq!(status.withdrawn_runs, [""; 0], "nothing is remembered for ever");
}

#[test]
fn a_run_that_has_begun_before_it_was_taken_back_goes_on() {
    let mut small = Small::new();
    small.look("2026-03-20T00:00:00Z");
    small.edit(|spec| spec.suspend = true);
    let now = "2026-03-22T19:45:00Z";
    for record in plan(&small.world, at(now)).records {
        small.persist(record);
    }
    small.world.runs.get_mut("show-20260322t195000z").unwrap().guarded = true;
    assert_eq!(small.look(now), ["show-20260322t195000z"]);
    small.edit(|spec| spec.suspend = false);
    small.look(now);
    assert!(small.accepted().1.contains("run show-20260322t195000z"), "{}", small.accepted().1);
}

#[test]
fn what_has_begun_outlives_a_suspension() {
    let mut small = Small::new();
    small.look("2026-03-20T00:00:00Z");
    small.world.runs.get_mut("show-20260322t195000z").unwrap().guarded = true;
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
    small.world.runs.remove("show-20260329t185000z");
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
    let surge = small.world.surges.get_mut("show").unwrap();
    (surge.uid, surge.status) = ("second".into(), SurgeStatus::default());
    // The runs of the first surge still exist. The garbage collector deletes each run in turn.
    assert_eq!(small.look("2026-03-20T00:00:01Z"), planned);
    small.world.runs.clear();
    assert_eq!(small.look("2026-03-20T00:00:02Z"), planned);
    assert!(small.world.runs.values().all(|run| run.owner.as_deref() == Some("second")));
}

#[test]
fn a_run_that_is_coming_down_after_its_deletion_is_not_made_again() {
    let mut small = Small::new();
    let planned = small.look("2026-03-22T20:00:00Z");
    small.world.runs.get_mut("show-20260322t195000z").unwrap().deletion_time =
        Some(at("2026-03-22T00:00:00Z"));
    assert_eq!(small.look("2026-03-22T20:01:00Z"), planned);
    small.world.runs.remove("show-20260322t195000z");
    assert_eq!(small.look("2026-03-22T20:02:00Z").len(), 2);
    assert!(small.accepted().1.contains("2026-03-22T19:50:00Z is cancelled"));
}

#[test]
fn a_clock_that_goes_back_takes_no_run_away() {
    let mut small = Small::new();
    let planned = small.look("2026-03-22T19:50:01Z");
    assert_eq!(small.look("2026-03-22T19:49:59Z"), planned);
}

mod followed;
