//! The ladder of graceful degradation: steps that are on while capacity cannot follow, and go back in reverse order.
//!
//! What stood at a place is on record before anything is written there, and is given back only where what stands there is
//! still ours; what a Job has done is undone by another one. An unknown signal turns nothing on and nothing off.

mod owed;
mod place;
pub mod work;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::decimal::Decimal;
use crate::overrides::InForce;
use crate::release;
use crate::run::{RunRecord, RunStatus};
use crate::signal::{self, Reading};
use crate::surge::Announcement;
use crate::world::World;

pub use owed::{acts, next_look, places_of, take_over};
pub use place::{Object, Owed, Place, Seen, SwitchAct, Trouble, told};
pub use work::{Known, Work};

/// A write, or the creation of a Job, of a process that led before may arrive so much later: three times as long as a call
/// may take.
const IN_FLIGHT: TimeDelta = TimeDelta::seconds(30);

/// A step of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name within the surge.
    pub name: String,
    /// When it is on.
    pub when: When,
    /// Once on it stays on for so long.
    pub minimum: TimeDelta,
    /// What it does while it is on.
    pub action: Action,
}

/// What a step does while it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It writes a value, and gives back what stood there before.
    Write {
        /// Where.
        place: Place,
        /// What.
        value: String,
    },
    /// It runs Jobs, which are among those of the announcement.
    Run(Work),
}

/// When a step is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// What is watched.
    pub condition: Condition,
    /// It holds, and later it has ceased to hold, for so long without a break.
    pub for_time: TimeDelta,
}

/// What a step watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A signal is above a line; it has gone once it is below another one, not higher than the first.
    Signal {
        /// Name of the signal.
        signal: String,
        /// The line above which the step is on.
        above: Decimal,
        /// The line below which it goes off again.
        below: Decimal,
    },
    /// Pods that are needed, by the floor or by the live load, are not ready; it has gone once none of them is missing.
    Behind {
        /// Name of the target.
        target: String,
        /// So many, or more.
        replicas: u32,
    },
}

/// A step as people see it; also the record of what stood where it writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Name within the surge.
    pub name: String,
    /// It is on.
    #[serde(default)]
    pub engaged: bool,
    /// Since when it is on, or off again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_time: Option<Instant>,
    /// Since when what would turn it the other way has held without a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turning_since: Option<Instant>,
    /// A person has turned it on: it goes off when their word ends, unless its condition holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
    /// What it has written, and what stood there before. It is owed as long as it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Owed>,
    /// What it writes was seen to stand there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
    /// Why it is on, or why it was turned off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What the ladder of a run depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What the run announces.
    pub announcement: &'a Announcement,
    /// What its signals say.
    pub readings: &'a [Reading],
    /// What on-call asked for.
    pub overrides: &'a InForce<'a>,
    /// From here on missing pods count: before it they are on their way.
    pub ready_by: Instant,
    /// The run has let go of what it held, or a person wants it to: nothing is degraded for it any more.
    pub over: bool,
    /// Nothing is turned off by itself before this.
    pub may_leave_from: Instant,
}

impl Facts<'_> {
    fn known<'a>(&'a self, status: &'a RunStatus, world: &'a World, now: Instant) -> Known<'a> {
        Known { status, announcement: self.announcement, world, now }
    }
}

/// What a condition says at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Says {
    /// It holds, and why, in the on-call's units.
    On(String),
    /// It has gone.
    Off,
    /// It is between its two lines, or fewer pods are missing than the step asks for.
    Neither,
    /// Nobody knows.
    Unknown,
}

impl Condition {
    /// Its signal is unknown for no longer than a gap is.
    fn has_a_gap(&self, status: &RunStatus, now: Instant) -> bool {
        let Self::Signal { signal, .. } = self else { return false };
        let shown = status.signals.iter().find(|s| s.name == *signal);
        shown.and_then(|s| s.unknown_since).is_none_or(|since| now < since + release::SILENCE)
    }

    fn says(&self, facts: &Facts<'_>, status: &RunStatus, now: Instant) -> Says {
        match self {
            Self::Signal { signal, above, below } => {
                let reading = facts.readings.iter().find(|r| r.name == *signal);
                let Some(value) = reading.and_then(|r| r.value) else { return Says::Unknown };
                match value {
                    high if high > above.as_f64() => {
                        let high = release::number(high);
                        Says::On(format!("{high} {signal}, above {above}"))
                    }
                    low if low < below.as_f64() => Says::Off,
                    _ => Says::Neither,
                }
            }
            Self::Behind { .. } if now < facts.ready_by => Says::Off,
            Self::Behind { target, replicas } => {
                let shown = status.targets.iter().find(|t| t.name == *target);
                let Some((shown, ready)) = shown.and_then(|t| Some((t, t.ready?))) else {
                    return Says::Unknown;
                };
                // What maxReplicas clips is missing too.
                let live = signal::required(facts.readings, target);
                let needed = live.replicas.max(shown.floor.unwrap_or(0));
                match needed.saturating_sub(ready) {
                    0 if live.blind => Says::Unknown,
                    0 => Says::Off,
                    missing if missing >= *replicas => {
                        Says::On(format!("{target} is {missing} of {needed} pods behind"))
                    }
                    _ => Says::Neither,
                }
            }
        }
    }
}

/// Turns steps on and off, the last of the ladder first.
pub fn keep(status: &mut RunStatus, facts: &Facts<'_>, world: &World, now: Instant) {
    let mut old = std::mem::take(&mut status.degrade);
    let mut kept = Vec::new();
    let mut later_is_on = false;
    for step in facts.announcement.degrade.iter().rev() {
        let mut shown = match old.iter().position(|s| s.name == step.name) {
            Some(n) => old.swap_remove(n),
            None => StepStatus { name: step.name.clone(), ..StepStatus::default() },
        };
        let was_on = shown.engaged;
        let goes_on = facts.known(status, world, now).goes_on(&shown);
        // Whoever goes on while something is being given back would not know whose it is.
        if facts.over || shown.engaged || !(shown.owed.is_some() || goes_on) {
            turn(&mut shown, step, facts, status, later_is_on, now);
        }
        if shown.engaged && !was_on {
            work::begin_again(&shown, status, facts.announcement);
        }
        if let Action::Run(work) = &step.action {
            shown.in_place = shown.engaged && work::is_done(work, status);
        }
        later_is_on |= shown.engaged || owes(&shown, facts.known(status, world, now));
        kept.push(shown);
    }
    kept.reverse();
    // A step that is not announced any more is off, and owes what it owes.
    for mut shown in old.into_iter().filter(|shown| shown.owed.is_some()) {
        if shown.engaged {
            set(&mut shown, false, Some("it is not announced any more".to_owned()), now);
        }
        kept.push(shown);
    }
    status.degrade = kept;
}

fn turn(
    shown: &mut StepStatus,
    step: &Step,
    facts: &Facts<'_>,
    status: &RunStatus,
    later_is_on: bool,
    now: Instant,
) {
    if facts.over {
        if shown.engaged {
            set(shown, false, None, now);
        }
        return;
    }
    if let Some((on, why)) = facts.overrides.degrade(&step.name) {
        shown.turning_since = None;
        if on != shown.engaged {
            set(shown, on, Some(why), now);
            shown.by_hand = on;
        }
        return;
    }
    let says = step.when.condition.says(facts, status, now);
    if shown.engaged && shown.by_hand {
        shown.by_hand = false;
        if !matches!(says, Says::On(_)) {
            set(shown, false, Some("the word of on-call is over".to_owned()), now);
        }
        return;
    }
    let turns = match &says {
        Says::On(_) => !shown.engaged,
        Says::Off => shown.engaged,
        // Above the line before and after a gap is above the line. What has to be gone has to be seen to be gone.
        Says::Unknown if !shown.engaged && step.when.condition.has_a_gap(status, now) => return,
        Says::Unknown | Says::Neither => false,
    };
    shown.turning_since = turns.then(|| shown.turning_since.unwrap_or(now));
    let Some(since) = shown.turning_since.filter(|since| now >= *since + step.when.for_time) else {
        return;
    };
    if let Says::On(why) = says {
        let held = (now - since).num_seconds();
        set(shown, true, Some(format!("{why} for {held} s")), now);
        return;
    }
    let stayed = shown.since_time.is_none_or(|at| now >= at + step.minimum);
    if stayed && !later_is_on && now >= facts.may_leave_from {
        set(shown, false, None, now);
    }
}

/// A step that is off has something to give back, and it can be given back as things are: nothing waits for what cannot.
fn owes(shown: &StepStatus, known: Known<'_>) -> bool {
    (shown.owed.is_some() && !owed::is_stuck(shown, known.world)) || known.owes(shown)
}

/// Whether Jobs that steps have run are still to be undone.
#[must_use]
pub fn owes_work(known: Known<'_>) -> bool {
    known.status.degrade.iter().any(|shown| known.owes(shown))
}

/// Names of the steps that have run a Job which was not undone, and is not waited for any more.
pub fn left<'a>(
    status: &'a RunStatus,
    announcement: &'a Announcement,
) -> impl Iterator<Item = &'a str> {
    let left = |shown: &&StepStatus| work::is_left(shown, status, announcement);
    status.degrade.iter().filter(left).map(|shown| shown.name.as_str())
}

/// What stands in the way of a step, if anything does: said days before.
#[must_use]
pub fn trouble(
    step: &Step,
    shown: Option<&StepStatus>,
    run: &RunRecord,
    announcement: &Announcement,
    world: &World,
) -> Option<String> {
    match &step.action {
        Action::Write { place, .. } => owed::trouble(place, &step.name, shown, run, world),
        Action::Run(work) => work::trouble(work, announcement, run, world),
    }
}

fn set(shown: &mut StepStatus, on: bool, why: Option<String>, now: Instant) {
    shown.engaged = on;
    shown.since_time = Some(now);
    shown.turning_since = None;
    shown.message = why;
    shown.by_hand = false;
}

/// The next instant at which a step may turn by itself.
pub fn next_turn<'a>(
    announcement: &'a Announcement,
    status: &'a RunStatus,
) -> impl Iterator<Item = Instant> + 'a {
    let turns = announcement.degrade.iter().flat_map(|step| {
        let shown = status.degrade.iter().find(|s| s.name == step.name);
        let turns = shown.and_then(|s| Some(s.turning_since? + step.when.for_time));
        let may_leave =
            shown.filter(|s| s.engaged).and_then(|s| Some(s.since_time? + step.minimum));
        let off = shown.filter(|s| !s.engaged).and_then(|s| s.since_time);
        turns.into_iter().chain(may_leave).chain(off.map(|at| at + IN_FLIGHT))
    });
    turns.chain(work::next_end(announcement, status))
}
