//! Ladder of graceful degradation: the planner activates steps while capacity falls short.
//!
//! The planner deactivates the steps in reverse order. The planner records the original value of a
//! place before a step writes there. The planner restores the original value on deactivation, if
//! the place still holds the value of a step. A restore Job undoes the effect of a degrade Job. An
//! unknown signal neither activates nor deactivates a step.

pub mod jobs;
mod places;
pub(crate) mod report;
pub mod values;

use self::jobs::{IN_FLIGHT, Known, owes};
use crate::Instant;
use crate::format;
use crate::run::load::{self, Reading};
use crate::run::overrides::InForce;
use crate::state::announcement::Announcement;
use crate::state::ladder::{Action, Step, StepStatus, Trigger};
use crate::state::run::RunStatus;
use crate::state::world::World;

/// Inputs for the ladder of a run.
#[derive(Clone, Copy, Debug)]
pub struct LadderInputs<'a> {
    /// Announcement of the run.
    pub announcement: &'a Announcement,
    /// Current readings of the signals.
    pub readings: &'a [Reading],
    /// Overrides in force.
    pub overrides: &'a InForce<'a>,
    /// T0. Missing pods activate a step only from T0 on, because pods are still starting before T0.
    pub ready_by: Instant,
    /// True if the run has restored all targets, or if a person asked for the release.
    ///
    /// The planner then deactivates all steps and activates no step.
    pub over: bool,
    /// Earliest time for an automatic deactivation.
    pub may_leave_from: Instant,
}

impl LadderInputs<'_> {
    fn known<'a>(&'a self, status: &'a RunStatus, world: &'a World, now: Instant) -> Known<'a> {
        Known { status, announcement: self.announcement, world, now }
    }
}

/// Result of a trigger at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Says {
    /// The condition for activation is met; the text gives the reason in the units of the on-call
    /// engineer.
    On(String),
    /// The condition for deactivation is met.
    Off,
    /// The signal is between `below` and `above`, or fewer pods than `behindReplicas` are missing.
    Neither,
    /// The signal, the number of ready pods or the live load is unknown.
    Unknown,
}

impl Trigger {
    /// True if the signal of the trigger is known, or unknown for less than 60 s (`load::SILENCE`).
    fn has_a_gap(&self, status: &RunStatus, now: Instant) -> bool {
        let Self::Signal { signal, .. } = self else { return false };
        let shown = status.signals.iter().find(|s| s.name == *signal);
        shown.and_then(|s| s.unknown_since).is_none_or(|since| now < since + load::SILENCE)
    }

    fn says(&self, facts: &LadderInputs<'_>, status: &RunStatus, now: Instant) -> Says {
        match self {
            Self::Signal { signal, above, below } => {
                let reading = facts.readings.iter().find(|r| r.name == *signal);
                let Some(value) = reading.and_then(|r| r.value) else { return Says::Unknown };
                match value {
                    high if high > above.as_f64() => {
                        let high = format::number(high);
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
                // The count of missing pods includes the pods that `maxReplicas` forbids.
                let live = load::required(facts.readings, target);
                // With a shape, a rise is written before it is due.
                let needed = live.replicas.max(shown.due.or(shown.floor).unwrap_or(0));
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

/// Activates and deactivates the steps of the ladder, starting with the last step.
pub fn keep(status: &mut RunStatus, facts: &LadderInputs<'_>, world: &World, now: Instant) {
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
        // A step does not activate before the previous activation is undone: the value or the Jobs.
        // The owner of the value would otherwise be unclear.
        if facts.over || shown.engaged || !(shown.owed.is_some() || goes_on) {
            turn(&mut shown, step, facts, status, later_is_on, now);
        }
        if shown.engaged && !was_on {
            jobs::begin_again(&shown, status, facts.announcement);
        }
        if let Action::Run(work) = &step.action {
            shown.in_place = shown.engaged && jobs::is_done(work, status);
        }
        later_is_on |= shown.engaged || owes(&shown, facts.known(status, world, now));
        kept.push(shown);
    }
    kept.reverse();
    // The planner deactivates a recorded step that the announcement no longer contains. The record
    // stays until the value is restored.
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
    facts: &LadderInputs<'_>,
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
        // A signal above the threshold before and after a gap counts as above the threshold during
        // the gap, so the activation timer continues. Deactivation needs a known signal.
        Says::Unknown if !shown.engaged && step.when.condition.has_a_gap(status, now) => return,
        // mutate: degraded-goes-back-because
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

/// True if a restore Job of a deactivated step still has to run or to end.
#[must_use]
pub fn owes_work(known: Known<'_>) -> bool {
    known.status.degrade.iter().any(|shown| known.owes(shown))
}

/// Returns the names of the steps whose degrade Job ran and whose restore Job did not succeed.
pub fn left<'a>(
    status: &'a RunStatus,
    announcement: &'a Announcement,
) -> impl Iterator<Item = &'a str> {
    let left = |shown: &&StepStatus| jobs::is_left(shown, status, announcement);
    status.degrade.iter().filter(left).map(|shown| shown.name.as_str())
}

fn set(shown: &mut StepStatus, on: bool, why: Option<String>, now: Instant) {
    shown.engaged = on;
    shown.since_time = Some(now);
    shown.turning_since = None;
    shown.message = why;
    shown.by_hand = false;
}

/// Returns the times at which a step may change state without a new observation.
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
    turns.chain(jobs::next_end(announcement, status))
}
