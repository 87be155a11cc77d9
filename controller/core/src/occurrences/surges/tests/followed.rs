//! Tests of surges that follow a calendar.

use super::*;
use crate::state::calendar::{CalendarRecord, CalendarSpec, CalendarStatus, Entry};
use crate::state::surge::Follows;

/// Returns a [`Small`] world whose surge follows the calendar `m6` with the events `entries`.
fn following(entries: &[(&str, &str, &str)]) -> Small {
    let mut small = Small::new();
    small.edit(|spec| {
        spec.schedule.rules.clear();
        spec.follows = Some(Follows { calendar: "m6".into(), duration: TimeDelta::hours(1) });
    });
    small.world.calendars.insert(
        "m6".into(),
        CalendarRecord {
            name: "m6".into(),
            generation: 1,
            spec: Ok(CalendarSpec { what: "guide".into(), accept_digest: None }),
            status: CalendarStatus::default(),
        }
        .into(),
    );
    small.says(entries);
    small
}

impl Small {
    /// Replaces the events of the calendar: id, start, end.
    fn says(&mut self, entries: &[(&str, &str, &str)]) {
        let entry = |(id, start, end): &(&str, &str, &str)| Entry {
            start_time: at(start),
            id: (*id).into(),
            title: "Capital".into(),
            end_time: (!end.is_empty()).then(|| at(end)),
            note: None,
        };
        let status = &mut self.world.calendars.get_mut("m6").unwrap().status;
        status.last_read_time = Some(at("2026-11-20T00:00:00Z"));
        status.entries = entries.iter().map(entry).collect();
    }

    fn window(&self, run: &str) -> (Instant, Instant) {
        let window = self.world.runs.get(run).unwrap().window;
        (window.start, window.end)
    }
}

const FRIDAY: &str = "2026-11-20T00:00:00Z";

const RUN: &str = "show-20261122t195000z";

#[test]
fn the_events_of_a_calendar_have_their_runs() {
    let mut small = following(&[
        ("a", "2026-11-22T19:50:00Z", "2026-11-22T22:00:00Z"),
        ("b", "2026-11-29T19:50:00Z", ""),
    ]);
    assert_eq!(small.look(FRIDAY), [RUN, "show-20261129t195000z"]);
    assert_eq!(small.window(RUN).1, at("2026-11-22T22:00:00Z"));
    assert_eq!(small.window("show-20261129t195000z").1, at("2026-11-29T20:50:00Z"));
    assert_eq!(small.accepted().0, "Scheduled");
}

#[test]
fn an_event_that_moves_stretches_or_vanishes_moves_stretches_or_cancels_its_run() {
    let mut small = following(&[("a", "2026-11-22T19:50:00Z", "2026-11-22T22:00:00Z")]);
    small.look(FRIDAY);
    small.says(&[("a", "2026-11-22T19:50:00Z", "2026-11-22T23:00:00Z")]);
    assert_eq!(small.look(FRIDAY), [RUN]);
    assert_eq!(small.window(RUN).1, at("2026-11-22T23:00:00Z"));
    small.says(&[("a", "2026-11-22T20:02:00Z", "2026-11-22T23:00:00Z")]);
    let moved =
        plan(&small.world, at(FRIDAY)).records.into_iter().find_map(|record| match record {
            Record::CreateRun(planned) => Some(planned.name),
            _ => None,
        });
    assert_eq!(moved.as_deref(), Some("show-20261122t200200z"), "the new one first");
    assert_eq!(small.look(FRIDAY), ["show-20261122t200200z"]);
    assert_eq!(
        small.told,
        [
            "run show-20261122t195000z is not planned any more: its event starts at 2026-11-22T20:02:00Z now, 12 min late"
        ]
    );
    small.says(&[]);
    assert_eq!(small.look(FRIDAY), [""; 0]);
    let (reason, said) = small.accepted();
    assert_eq!(
        (reason.as_str(), said.as_str()),
        ("NothingToCome", "SurgeCalendar m6 has no event to come")
    );
}

#[test]
fn a_run_that_has_begun_is_stretched_with_its_event_and_never_shortened_or_taken_back() {
    let mut small = following(&[("a", "2026-11-22T19:50:00Z", "2026-11-22T22:00:00Z")]);
    small.look(FRIDAY);
    small.world.runs.get_mut(RUN).unwrap().guarded = true;
    let soon = "2026-11-22T19:45:00Z";
    small.says(&[("a", "2026-11-22T20:02:00Z", "2026-11-22T22:12:00Z")]);
    assert_eq!(small.look(soon), [RUN], "one run for one event");
    assert_eq!(small.window(RUN), (at("2026-11-22T19:50:00Z"), at("2026-11-22T22:12:00Z")));
    small.says(&[("a", "2026-11-22T20:02:00Z", "2026-11-22T21:00:00Z")]);
    assert_eq!(small.look(soon), [RUN]);
    small.says(&[]);
    assert_eq!(small.look(soon), [RUN]);
    assert_eq!(small.window(RUN).0, at("2026-11-22T19:50:00Z"));
    // An earlier start makes `spec.readyTime` earlier too, and the targets must be ready sooner.
    small.says(&[("a", "2026-11-22T19:46:00Z", "2026-11-22T21:00:00Z")]);
    assert_eq!(small.look(soon), [RUN]);
    assert_eq!(small.window(RUN).0, at("2026-11-22T19:46:00Z"));
    assert_eq!(small.window(RUN).1, at("2026-11-22T22:12:00Z"));
    // A move of the event to another day gives a second run. The first run goes on until the end of
    // the first run's window.
    small.says(&[("a", "2026-11-24T20:00:00Z", "2026-11-24T22:00:00Z")]);
    assert_eq!(small.look(soon), [RUN, "show-20261124t200000z"]);
    assert_eq!(small.window(RUN).1, at("2026-11-22T22:12:00Z"));
}

#[test]
fn a_run_that_comes_down_is_not_called_back_by_a_feed() {
    let mut small = following(&[("a", "2026-11-22T19:50:00Z", "2026-11-22T22:00:00Z")]);
    small.look(FRIDAY);
    small.world.runs.get_mut(RUN).unwrap().guarded = true;
    small.says(&[("a", "2026-11-22T19:50:00Z", "2026-11-22T23:00:00Z")]);
    small.look("2026-11-22T22:00:00Z");
    assert_eq!(small.window(RUN).1, at("2026-11-22T22:00:00Z"));
}

#[test]
fn a_calendar_that_is_gone_or_was_never_read_calls_nothing_off() {
    let mut small = following(&[("a", "2026-11-22T19:50:00Z", "2026-11-22T22:00:00Z")]);
    small.look(FRIDAY);
    let calendar = small.world.calendars.remove("m6").unwrap();
    assert_eq!(small.look(FRIDAY), [RUN]);
    let said = "SurgeCalendar m6 is not there; what is planned stays";
    assert_eq!(small.accepted(), ("CalendarUnknown".to_owned(), said.to_owned()));
    small.world.calendars.insert(
        "m6".into(),
        CalendarRecord { status: CalendarStatus::default(), ..(*calendar).clone() }.into(),
    );
    assert_eq!(small.look(FRIDAY), [RUN]);
    assert!(small.accepted().1.contains("was not read yet"));
}

#[test]
fn an_event_whose_run_a_person_deleted_stays_cancelled() {
    let mut small = following(&[("a", "2026-11-22T19:50:00Z", "2026-11-22T22:00:00Z")]);
    small.look(FRIDAY);
    small.world.runs.remove(RUN);
    assert_eq!(small.look(FRIDAY), [""; 0]);
    assert_eq!(small.accepted().0, "Cancelled");
}

#[test]
fn an_event_that_is_moved_there_and_back_while_its_run_is_being_deleted_is_not_cancelled() {
    let here = ("a", "2026-11-22T19:50:00Z", "2026-11-22T22:00:00Z");
    let mut small = following(&[here]);
    small.look(FRIDAY);
    small.says(&[("a", "2026-11-22T20:02:00Z", "2026-11-22T22:12:00Z")]);
    for record in plan(&small.world, at(FRIDAY)).records {
        small.persist(record);
    }
    small.says(&[here]);
    for record in plan(&small.world, at(FRIDAY)).records {
        if !matches!(record, Record::DeleteRun { .. }) {
            small.persist(record);
        }
    }
    // The watch shows the deletion of the withdrawn run.
    small.world.runs.remove(RUN);
    assert_eq!(small.look(FRIDAY), [RUN]);
    assert_eq!(small.accepted().0, "Scheduled");
}

#[test]
fn an_event_that_a_person_cancelled_stays_cancelled_where_it_moves_and_the_next_one_is_planned() {
    let next = ("b", "2026-11-29T19:50:00Z", "");
    // The calendar moves the event either after the planner has recorded the cancellation, or
    // before.
    for at_once in [false, true] {
        let mut small = following(&[("a", "2026-11-22T19:50:00Z", "2026-11-22T22:00:00Z"), next]);
        small.look(FRIDAY);
        small.world.runs.remove(RUN);
        if !at_once {
            assert_eq!(small.look(FRIDAY), ["show-20261129t195000z"]);
        }
        small.says(&[("a", "2026-11-22T20:02:00Z", "2026-11-22T22:12:00Z"), next]);
        assert_eq!(small.look(FRIDAY), ["show-20261129t195000z"]);
        assert!(small.accepted().1.contains("2026-11-22T20:02:00Z is cancelled"));
        small.says(&[("a", "2026-11-23T20:02:00Z", ""), next]);
        assert_eq!(small.look("2026-11-22T21:00:00Z"), ["show-20261129t195000z"]);
        // The planner forgets the cancellation after the event is over.
        small.says(&[next]);
        small.look("2026-11-22T21:00:00Z");
        small.look("2026-12-01T00:00:00Z");
        let status = &small.world.surges.get("show").unwrap().status;
        assert_eq!(status.scheduled_events, [], "nothing is remembered for ever");
    }
}

#[test]
fn a_moved_event_whose_run_has_come_down_is_not_repeated() {
    for deleted in [true, false] {
        let mut small = following(&[("a", "2026-11-22T19:50:00Z", "2026-11-22T22:00:00Z")]);
        small.look(FRIDAY);
        small.world.runs.get_mut(RUN).unwrap().guarded = true;
        small.says(&[("a", "2026-11-22T20:02:00Z", "2026-11-22T22:12:00Z")]);
        small.look("2026-11-22T19:45:00Z");
        let now = "2026-11-22T20:10:00Z";
        if deleted {
            small.world.runs.remove(RUN);
            assert_eq!(small.look(now), [""; 0]);
        } else {
            let run = small.world.runs.get_mut(RUN).unwrap();
            run.status.completion_time = Some(at(now));
            run.guarded = false;
            assert_eq!(small.look(now), [RUN]);
        }
    }
}
