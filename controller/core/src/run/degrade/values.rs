//! Values that steps write: record of the original value, and restore on deactivation.
//!
//! Several steps, of a single run or of several runs, may write the same place. The step activated
//! last sets the value. If that step is deactivated, the planner restores the value of the step
//! activated before. After the last deactivation the planner restores the original value.

use chrono::TimeDelta;

use crate::Instant;
use crate::format::told;
use crate::output::SwitchAct;
use crate::run::degrade::jobs::{IN_FLIGHT, Known, owes};
use crate::run::degrade::places::has_right;
use crate::state::ladder::{Action, Owed, Place, Seen, StepStatus, Trouble};
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

/// Interval between reads of a place with an active step or a recorded value: 15 s.
///
/// Another writer may change the value in between.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(15);

/// Interval between reads of a place that no step uses yet: 10 min.
const LOOK_AHEAD: TimeDelta = TimeDelta::minutes(10);

/// Longest value, in bytes, that the planner keeps in the status of a run.
///
/// The schema limits the value that a step writes to the same length.
const LONGEST: usize = 4096;

/// Step of a run that has recorded the original value of a place.
struct Entry<'a> {
    run: &'a str,
    index: usize,
    shown: &'a StepStatus,
    owed: &'a Owed,
}

impl Entry<'_> {
    /// Returns the sort key of the step; the greatest key sets the value of the place.
    ///
    /// A later activation is greater. Ties are decided by the position in the ladder, then by the
    /// run name.
    fn turn(&self) -> (Option<Instant>, usize, &str) {
        (self.shown.since_time, self.index, self.run)
    }
}

/// Returns the steps of uncompleted runs that have recorded the original value of the place.
fn entries<'a>(world: &'a World, place: &'a Place) -> impl Iterator<Item = Entry<'a>> {
    let open = world.runs.values().filter(|run| run.status.completion_time.is_none());
    let all = open.flat_map(|run| {
        run.status.degrade.iter().enumerate().filter_map(|(index, shown)| {
            Some(Entry { run: &run.name, index, shown, owed: shown.owed.as_ref()? })
        })
    });
    all.filter(move |entry| entry.owed.place.is(place))
}

fn others<'a>(
    world: &'a World,
    place: &'a Place,
    (run, step): (&'a str, &'a str),
) -> impl Iterator<Item = Entry<'a>> {
    entries(world, place).filter(move |entry| (entry.run, entry.shown.name.as_str()) != (run, step))
}

/// Returns another step that writes the given value to the place, if any.
fn put_there_by<'a>(
    world: &'a World,
    place: &'a Place,
    me: (&'a str, &'a str),
    value: Option<&String>,
) -> Option<Entry<'a>> {
    others(world, place, me).find(|other| value == Some(&other.owed.written))
}

/// True if the step is the active step of the place that was activated last.
fn stands(world: &World, place: &Place, run: &str, step: &str) -> bool {
    let on = entries(world, place).filter(|entry| entry.shown.engaged);
    let last = on.max_by(|a, b| a.turn().cmp(&b.turn()));
    last.is_some_and(|last| (last.run, last.shown.name.as_str()) == (run, step))
}

/// Returns the value to restore on deactivation of a step.
///
/// The result is the value of the other active step that was activated last, or else the original
/// value.
fn rests_at(world: &World, run: &str, step: &str, owed: &Owed) -> Option<String> {
    let place = &owed.place;
    // If another writer changed the place between two activations, the recorded originals differ.
    // The planner then restores the value of the other writer.
    let on = others(world, place, (run, step))
        .filter(|other| other.shown.engaged && other.owed.before == owed.before)
        .max_by(|a, b| a.turn().cmp(&b.turn()));
    on.map_or_else(|| owed.before.clone(), |other| Some(other.owed.written.clone()))
}

/// Returns the last read of a place, if the read happened between `since` and `now`.
fn seen_since<'a>(
    world: &'a World,
    place: &Place,
    since: Option<Instant>,
    now: Instant,
) -> Option<&'a Seen> {
    let seen = world.places.get(place)?;
    (since.is_none_or(|since| seen.at >= since) && seen.at <= now).then_some(seen)
}

/// Returns the earliest time at which a read of a deactivated step is conclusive.
///
/// Every write in flight has landed by then.
fn settles_at(shown: &StepStatus, world: &World, run: &str) -> Option<Instant> {
    let place = &shown.owed.as_ref()?.place;
    let shared = others(world, place, (run, &shown.name)).next().is_some();
    let late = if shown.in_place && !shared { TimeDelta::zero() } else { IN_FLIGHT };
    Some(shown.since_time? + late)
}

/// Records the values read at the places of the steps.
pub fn take_over(status: &mut RunStatus, run: &RunRecord, world: &World, now: Instant) {
    for shown in &mut status.degrade {
        // The planner acts on a step only after the state of the step is recorded.
        let recorded = run.status.degrade.iter().find(|s| s.name == shown.name);
        if recorded
            .is_none_or(|old| (old.engaged, old.since_time) != (shown.engaged, shown.since_time))
        {
            continue;
        }
        let announced = writes(run).find(|(name, ..)| **name == shown.name);
        match (shown.engaged, shown.owed.clone(), announced) {
            (true, None, Some((_, place, value))) => {
                begin(shown, (place, value), run, world, now);
            }
            (true, Some(owed), _) => go_on(shown, &owed, run, world, now),
            (false, Some(owed), _) => give_back(shown, &owed, run, world, now),
            _ => {}
        }
    }
}

/// Records the value of the place before an active step writes there.
fn begin(
    shown: &mut StepStatus,
    (place, written): (&Place, &str),
    run: &RunRecord,
    world: &World,
    now: Instant,
) {
    let Some(seen) = seen_since(world, place, shown.since_time, now) else { return };
    let Ok(value) = &seen.found else { return };
    if !has_right(place, world) || is_too_long(value.as_ref()) {
        return;
    }
    // A value that another step wrote is not the original value, so the planner copies the original
    // value recorded for the other step.
    let theirs = put_there_by(world, place, (&run.name, &shown.name), value.as_ref());
    shown.owed = Some(Owed {
        place: place.clone(),
        written: written.to_owned(),
        // mutate: another-step-put-stood
        before: theirs.map_or_else(|| value.clone(), |other| other.owed.before.clone()),
    });
}

fn go_on(shown: &mut StepStatus, owed: &Owed, run: &RunRecord, world: &World, now: Instant) {
    let place = &owed.place;
    let Some(seen) = seen_since(world, place, shown.since_time, now) else { return };
    let Ok(value) = &seen.found else { return };
    if value.as_ref() == Some(&owed.written) {
        shown.in_place = true;
        return;
    }
    let me = (run.name.as_str(), shown.name.as_str());
    let of_another = put_there_by(world, place, me, value.as_ref()).is_some();
    // Another writer changed the value between the read and the write, so the planner records the
    // new original value.
    if !shown.in_place && !of_another && !is_too_long(value.as_ref()) {
        shown.owed = Some(Owed { before: value.clone(), ..owed.clone() });
    }
}

fn give_back(shown: &mut StepStatus, owed: &Owed, run: &RunRecord, world: &World, now: Instant) {
    let settles = settles_at(shown, world, &run.name);
    let Some(seen) = seen_since(world, &owed.place, settles, now) else { return };
    let given_back = match &seen.found {
        Ok(value) => {
            let ours = value.as_ref() == Some(&owed.written);
            !ours || rests_at(world, &run.name, &shown.name, owed).as_ref() == Some(&owed.written)
        }
        Err(Trouble::Gone(_)) => true,
        Err(Trouble::Failed(_)) => false,
    };
    if given_back {
        (shown.owed, shown.in_place) = (None, false);
    }
}

fn is_too_long(value: Option<&String>) -> bool {
    value.is_some_and(|value| value.len() > LONGEST)
}

/// Returns the time since which the planner must have read the place of a step.
fn wanted_since(shown: Option<&StepStatus>, world: &World, run: &str, now: Instant) -> Instant {
    let Some(shown) = shown.filter(|s| s.engaged || s.owed.is_some()) else {
        return now - LOOK_AHEAD;
    };
    let settles = if shown.engaged { shown.since_time } else { settles_at(shown, world, run) };
    let again = now - LOOK_AGAIN;
    settles.filter(|at| *at <= now).map_or(again, |at| at.max(again))
}

/// Returns name, place and value of each step of a run that writes a value.
fn writes(run: &RunRecord) -> impl Iterator<Item = (&String, &Place, &String)> {
    let steps = run.announcement.iter().flat_map(|announcement| &announcement.degrade);
    steps.filter_map(|step| match &step.action {
        Action::Write { place, value } => Some((&step.name, place, value)),
        Action::Run(_) => None,
    })
}

/// Returns every place of a run with the status of a step.
///
/// The step is the step that has recorded the place, or else the step that may write there.
fn places(run: &RunRecord) -> Vec<(Place, Option<&StepStatus>)> {
    let recorded = run.status.degrade.iter();
    let owed = recorded.filter_map(|s| Some((s.owed.as_ref()?.place.clone(), Some(s))));
    let announced = writes(run).filter_map(|(name, place, _)| {
        let shown = run.status.degrade.iter().find(|s| s.name == *name);
        shown.is_none_or(|s| s.owed.is_none()).then(|| (place.clone(), shown))
    });
    owed.chain(announced).collect()
}

/// Returns the places that a run writes, may write or has to restore.
pub fn places_of(run: &RunRecord) -> impl Iterator<Item = Place> {
    places(run).into_iter().map(|(place, _)| place)
}

/// Returns the reads and writes of places that the recorded status requires.
#[must_use]
pub fn acts(run: &RunRecord, world: &World, now: Instant) -> Vec<SwitchAct> {
    let mut acts: Vec<SwitchAct> = Vec::new();
    for (place, shown) in places(run) {
        let matters = has_right(&place, world) || shown.is_some_and(|s| s.owed.is_some());
        let since = wanted_since(shown, world, &run.name, now);
        let read = SwitchAct::Read { place };
        let (SwitchAct::Read { place } | SwitchAct::Write { place, .. }) = &read;
        if matters && seen_since(world, place, Some(since), now).is_none() && !acts.contains(&read)
        {
            acts.push(read);
        }
    }
    let announcement = run.announcement.as_ref().ok();
    let known = announcement.map(|a| Known { status: &run.status, announcement: a, world, now });
    let mut later_owes = false;
    for shown in run.status.degrade.iter().rev() {
        acts.extend(write(shown, later_owes, run, world, now));
        later_owes |= !shown.engaged && known.is_some_and(|known| owes(shown, known));
    }
    acts
}

/// Returns the write that a step requires, if any.
fn write(
    shown: &StepStatus,
    later_owes: bool,
    run: &RunRecord,
    world: &World,
    now: Instant,
) -> Option<SwitchAct> {
    let owed = shown.owed.as_ref()?;
    let place = owed.place.clone();
    let since = wanted_since(Some(shown), world, &run.name, now);
    let from = seen_since(world, &place, Some(since), now)?.found.clone().ok()?;
    let ours = from.as_ref() == Some(&owed.written);
    let to = match shown.engaged {
        // The write replaces the recorded original value or the value of another step, and no other
        // value.
        true if !ours && !shown.in_place && stands(world, &place, &run.name, &shown.name) => {
            let me = (run.name.as_str(), shown.name.as_str());
            let known =
                from == owed.before || put_there_by(world, &place, me, from.as_ref()).is_some();
            known.then(|| Some(owed.written.clone()))
        }
        // mutate: foreign-value-taken-back
        false if ours && !later_owes => Some(rests_at(world, &run.name, &shown.name, owed)),
        _ => None,
    }?;
    (to != from && has_right(&place, world)).then_some(SwitchAct::Write { place, from, to })
}

/// Returns the next time at which the planner has to read a place of the run.
#[must_use]
pub fn next_look(run: &RunRecord, world: &World, now: Instant) -> Option<Instant> {
    let next = places(run).into_iter().filter_map(|(place, shown)| {
        let matters = shown.is_some_and(|s| s.engaged || s.owed.is_some());
        let again = world.places.get(&place)?.at + if matters { LOOK_AGAIN } else { LOOK_AHEAD };
        let off = shown.filter(|s| !s.engaged);
        let settles = off.and_then(|s| settles_at(s, world, &run.name)).filter(|at| *at > now);
        Some(settles.map_or(again, |at| at.min(again)))
    });
    next.min()
}

/// Returns the obstacle to a step that writes a value, if any.
pub(super) fn trouble(
    announced: &Place,
    name: &str,
    shown: Option<&StepStatus>,
    run: &RunRecord,
    world: &World,
) -> Option<String> {
    let owed = shown.and_then(|s| s.owed.as_ref());
    let place = owed.map_or(announced, |owed| &owed.place);
    if !has_right(place, world) {
        let object = place.object();
        let value = object.chart_value();
        return Some(format!("this installation may not write {object} (chart value {value})"));
    }
    let seen = world.places.get(place)?;
    let waits = shown.is_some_and(|s| s.engaged != s.in_place && s.owed.is_some());
    if let Some(why) = seen.refused.as_ref().filter(|_| waits) {
        return Some(format!("{place}: {why}"));
    }
    let value = match &seen.found {
        Err(Trouble::Gone(why)) => return Some(why.clone()),
        Err(Trouble::Failed(why)) => return Some(format!("{place}: {why}")),
        Ok(value) => value,
    };
    if is_too_long(value.as_ref()) {
        return Some(format!("{place} holds more than {LONGEST} bytes: it is not written"));
    }
    let of_a_step = value.as_ref() == owed.map(|owed| &owed.written)
        || put_there_by(world, place, (&run.name, name), value.as_ref()).is_some();
    let theirs = shown.is_some_and(|s| s.engaged && s.in_place) && !of_a_step;
    theirs.then(|| format!("{place} was set to {} by another writer", told(value.as_deref())))
}
