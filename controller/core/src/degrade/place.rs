//! Where steps write: what stood there is recorded, what is ours is given back.
//!
//! Steps of one run, and of several, may write at one place. Whoever turns off gives the place to the step that is still
//! on there, and the last one gives back what stood there before all of them.

use chrono::TimeDelta;

use super::{Before, Step, StepStatus};
use crate::Instant;
use crate::run::{RunRecord, RunStatus};
use crate::world::World;

/// A value in the namespace of a surge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A key of a `ConfigMap`.
    ConfigMap {
        /// Name of the `ConfigMap`.
        name: String,
        /// The key.
        key: String,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ConfigMap { name, key } => write!(f, "{key} in ConfigMap {name}"),
        }
    }
}

/// What was found at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its value; none where the key is not set. Why it could not be read or written, otherwise.
    pub found: Result<Option<String>, Trouble>,
    /// Why the last write there was refused, if it was.
    pub refused: Option<String>,
    /// It was read after this instant.
    pub at: Instant,
}

/// Why a place could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The object does not exist: there is nothing to give back.
    Gone,
    /// Anything else.
    Failed(String),
}

/// What is done about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchAct {
    /// See what stands there.
    Read {
        /// The place.
        place: Place,
    },
    /// Write, if what stands there is still what was seen.
    Write {
        /// The place.
        place: Place,
        /// What was seen; none where the key was not set.
        from: Option<String>,
        /// What it shall be; none takes the key away.
        to: Option<String>,
    },
}

/// What stands at a place that matters is looked at again after this: somebody else may have written there.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(15);

/// What will matter some day is looked at again after this.
const LOOK_AHEAD: TimeDelta = TimeDelta::minutes(10);

/// A write of a process that led before may arrive so much later: three times as long as a call may take.
const IN_FLIGHT: TimeDelta = TimeDelta::seconds(30);

/// A step of some run that has written at a place, or is about to.
struct Entry<'a> {
    run: &'a str,
    step: &'a Step,
    shown: &'a StepStatus,
}

/// Steps that are on, or owe something, of all runs; as recorded.
fn entries(world: &World) -> impl Iterator<Item = Entry<'_>> {
    let open = world.runs.values().filter(|run| run.status.completion_time.is_none());
    open.flat_map(|run| {
        let steps = run.announcement.iter().flat_map(|announcement| &announcement.degrade);
        steps.filter_map(|step| {
            let shown = run.status.degrade.iter().find(|s| s.name == step.name)?;
            Some(Entry { run: &run.name, step, shown })
        })
    })
}

/// Other steps at the same place that have it on record.
fn others<'a>(
    world: &'a World,
    run: &'a RunRecord,
    step: &'a Step,
) -> impl Iterator<Item = Entry<'a>> {
    entries(world).filter(move |other| {
        other.step.place == step.place
            && other.shown.before.is_some()
            && (other.run, &other.step.name) != (&run.name, &step.name)
    })
}

/// What shall stand there once a step is off: what another one that is on writes there, or what stood there before.
fn rests_at(world: &World, run: &RunRecord, step: &Step, before: &Before) -> Option<String> {
    let on = others(world, run, step).filter(|other| other.shown.engaged);
    let last = on.max_by_key(|other| other.shown.since_time);
    last.map_or_else(|| before.value.clone(), |other| Some(other.step.value.clone()))
}

/// What was seen at a place since an instant.
fn seen_since(world: &World, place: &Place, since: Option<Instant>, now: Instant) -> Option<Seen> {
    let seen = world.places.get(place)?;
    (since.is_none_or(|since| seen.at >= since) && seen.at <= now).then(|| seen.clone())
}

/// Takes over what was seen where steps write.
pub fn take_over(status: &mut RunStatus, run: &RunRecord, world: &World, now: Instant) {
    let steps = run.announcement.iter().flat_map(|announcement| &announcement.degrade);
    for step in steps {
        let Some(shown) = status.degrade.iter_mut().find(|s| s.name == step.name) else { continue };
        // What is not on record yet is not acted upon yet.
        let recorded = run.status.degrade.iter().find(|s| s.name == step.name);
        let same = recorded
            .is_some_and(|old| (old.engaged, old.since_time) == (shown.engaged, shown.since_time));
        if !same {
            continue;
        }
        match (shown.engaged, seen_since(world, &step.place, shown.since_time, now)) {
            (true, Some(seen)) => take_over_on(shown, step, seen, run, world),
            (false, Some(seen)) => take_over_off(shown, step, &seen, run, world),
            (_, None) => {}
        }
    }
}

fn take_over_on(shown: &mut StepStatus, step: &Step, seen: Seen, run: &RunRecord, world: &World) {
    let Ok(value) = seen.found else { return };
    if value.as_ref() == Some(&step.value) && shown.before.is_some() {
        shown.in_place = true;
    } else if !shown.in_place {
        // What somebody else's step has put there is not what stood there before.
        let theirs =
            others(world, run, step).find(|other| value.as_ref() == Some(&other.step.value));
        let before = theirs.and_then(|other| other.shown.before.clone());
        shown.before = Some(before.unwrap_or(Before { value }));
    }
}

fn take_over_off(shown: &mut StepStatus, step: &Step, seen: &Seen, run: &RunRecord, world: &World) {
    let Some(before) = &shown.before else { return };
    let settled = shown.in_place || shown.since_time.is_none_or(|at| seen.at >= at + IN_FLIGHT);
    let given_back = match &seen.found {
        Ok(value) => {
            let ours = value.as_ref() == Some(&step.value);
            !ours || rests_at(world, run, step, before).as_ref() == Some(&step.value)
        }
        Err(Trouble::Gone) => true,
        Err(Trouble::Failed(_)) => false,
    };
    if given_back && settled {
        (shown.before, shown.in_place) = (None, false);
    }
}

/// From when on the place of a step has to have been seen.
fn wanted_since(shown: Option<&StepStatus>, now: Instant) -> Instant {
    match shown {
        Some(s) if s.engaged || s.before.is_some() => {
            let unsettled = !s.engaged && !s.in_place;
            let settles = s.since_time.map(|at| if unsettled { at + IN_FLIGHT } else { at });
            let again = now - LOOK_AGAIN;
            settles.filter(|at| *at <= now).map_or(again, |at| at.max(again))
        }
        _ => now - LOOK_AHEAD,
    }
}

/// What has to be done of what is on record.
#[must_use]
pub fn acts(run: &RunRecord, world: &World, now: Instant) -> Vec<SwitchAct> {
    let mut acts: Vec<SwitchAct> = Vec::new();
    let mut later_owes = false;
    let steps = run.announcement.iter().flat_map(|announcement| announcement.degrade.iter().rev());
    for step in steps {
        let shown = run.status.degrade.iter().find(|s| s.name == step.name);
        let place = step.place.clone();
        let seen = seen_since(world, &place, Some(wanted_since(shown, now)), now);
        if seen.is_none() && trouble_of_right(step, world).is_none() {
            let read = SwitchAct::Read { place: place.clone() };
            if !acts.contains(&read) {
                acts.push(read);
            }
        }
        let value = seen.and_then(|seen| seen.found.ok());
        if let Some((shown, from)) = shown.zip(value)
            && let Some(before) = &shown.before
        {
            let ours = from.as_ref() == Some(&step.value);
            let to = match shown.engaged {
                // It is written from what is recorded to have stood there, or from what another step has put there.
                true if !ours
                    && !shown.in_place
                    && may_write_over(from.as_ref(), before, step, run, world) =>
                {
                    Some(Some(step.value.clone()))
                }
                false if ours && !later_owes => Some(rests_at(world, run, step, before)),
                _ => None,
            };
            acts.extend(to.filter(|to| *to != from).map(|to| SwitchAct::Write { place, from, to }));
        }
        later_owes |= shown.is_some_and(|s| s.before.is_some() && !s.engaged);
    }
    acts
}

fn may_write_over(
    from: Option<&String>,
    before: &Before,
    step: &Step,
    run: &RunRecord,
    world: &World,
) -> bool {
    from == before.value.as_ref()
        || others(world, run, step).any(|other| from == Some(&other.step.value))
}

/// When the place of a step has to be looked at again.
#[must_use]
pub fn next_look(run: &RunRecord, world: &World, now: Instant) -> Option<Instant> {
    let steps = run.announcement.iter().flat_map(|announcement| &announcement.degrade);
    let next = steps.filter_map(|step| {
        let shown = run.status.degrade.iter().find(|s| s.name == step.name);
        let matters = shown.is_some_and(|s| s.engaged || s.before.is_some());
        let at = world.places.get(&step.place)?.at;
        let unsettled = shown.filter(|s| !s.engaged && s.before.is_some() && !s.in_place);
        let settles =
            unsettled.and_then(|s| Some(s.since_time? + IN_FLIGHT)).filter(|at| *at > now);
        let again = at + if matters { LOOK_AGAIN } else { LOOK_AHEAD };
        Some(settles.map_or(again, |at| at.min(again)))
    });
    next.min()
}

fn trouble_of_right(step: &Step, world: &World) -> Option<String> {
    let Place::ConfigMap { name, .. } = &step.place;
    (!world.may_degrade.contains(name)).then(|| {
        format!("this installation may not write ConfigMap {name} (chart value degrade.configMaps)")
    })
}

/// What stands in the way of a step, if anything does: said days before.
#[must_use]
pub fn trouble(step: &Step, shown: Option<&StepStatus>, world: &World) -> Option<String> {
    trouble_of_right(step, world).or_else(|| {
        let seen = world.places.get(&step.place)?;
        let waits = shown.is_some_and(|s| s.engaged != s.in_place && s.before.is_some());
        if let Some(why) = seen.refused.as_ref().filter(|_| waits) {
            return Some(format!("{}: {why}", step.place));
        }
        match &seen.found {
            Err(Trouble::Gone) => {
                let Place::ConfigMap { name, .. } = &step.place;
                Some(format!("ConfigMap {name} does not exist"))
            }
            Err(Trouble::Failed(why)) => Some(format!("{}: {why}", step.place)),
            Ok(value) => {
                let theirs = shown.is_some_and(|s| s.engaged && s.in_place)
                    && value.as_ref() != Some(&step.value);
                let value = value.as_deref().unwrap_or_default();
                theirs.then(|| format!("{} was set to \"{value}\" by somebody else", step.place))
            }
        }
    })
}
