//! A target that was lowered by another writer: repaired three times in ten minutes, then reported as contested.

use crate::Instant;
use crate::scaling::autoscaler::{idles, max_or_default, min_or_default, stands_alone};
use crate::scaling::level::baseline_level;
use crate::state::hold::{Fields, Hold, Reached};
use crate::state::observed::TargetState;

/// At most this many repairs ...
pub const REPAIRS: usize = 3;

/// ... in this time; then the target is reported as contested instead of fought over.
pub const REPAIR_WINDOW: chrono::TimeDelta = chrono::TimeDelta::minutes(10);

/// Which fields are below our level.
fn below(hold: &Hold, live: &TargetState) -> Fields<bool> {
    let by = live.autoscaler.as_ref().filter(|_| !stands_alone(&hold.baseline, live));
    Fields {
        replicas: live.replicas < hold.level.replicas,
        min: by.is_some_and(|a| min_or_default(a.kind, a.min) < hold.level.min.unwrap_or(0)),
        max: by.is_some_and(|a| max_or_default(a.kind, a.max) < hold.level.max.unwrap_or(0)),
        idle: by.is_some_and(|a| a.idle.is_some() && idles(hold) && hold.level.idle.is_none()),
    }
}

impl Reached {
    /// What is remembered after a look.
    #[must_use]
    pub fn after(before: Option<&Self>, hold: &Hold, live: &TargetState, now: Instant) -> Self {
        let by = live.autoscaler.as_ref().map(|by| (by.kind, by.name.clone()));
        let before = before.filter(|before| before.level == hold.level);
        let mut at = before.map(|before| before.at).unwrap_or_default();
        if before.is_some_and(|before| before.by != by) {
            at = Fields { replicas: at.replicas, ..Fields::default() };
        }
        let below = below(hold, live);
        // Before it is due nothing was written: what goes down then was not ours.
        let due = now >= hold.due_time;
        let seen = |below: bool, at: Option<Instant>| if below || !due { at } else { Some(now) };
        let at = Fields {
            replicas: seen(below.replicas, at.replicas),
            min: seen(below.min, at.min),
            max: seen(below.max, at.max),
            idle: seen(below.idle, at.idle),
        };
        Self { level: hold.level, by, at }
    }
}

/// A field is below our level.
#[must_use]
pub fn reverted(hold: &Hold, live: &TargetState) -> bool {
    below(hold, live).all().contains(&true)
}

/// Whether everything we write has the value of our level, or a higher one.
#[must_use]
pub fn in_force(hold: &Hold, live: &TargetState) -> bool {
    !reverted(hold, live)
}

/// What becomes of a revert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing was reverted, or the repair is on record already: write.
    Write,
    /// Record a repair first.
    Record(Hold),
    /// It was repaired often enough: report instead of fighting.
    Contested(Hold),
}

/// Decides on a revert: a field that was in force at our level, after the last repair, and is below it now.
///
/// Each field counts by itself. An autoscaler whose bounds cannot be raised lowers the replicas again and again, and not all
/// fields are in force at once then.
#[must_use]
pub fn repair(hold: &Hold, live: &TargetState, reached: Option<&Reached>, now: Instant) -> Repair {
    // Without claims nothing is held any more: what goes down then is an autoscaler's or a person's will.
    let reached = reached.filter(|reached| reached.level == hold.level && !hold.claims.is_empty());
    let Some(reached) = reached else { return Repair::Write };
    let last = hold.repair_times.last().copied();
    let fields = below(hold, live).all().into_iter().zip(reached.at.all());
    if !fields.into_iter().any(|(below, at)| below && at.is_some() && at > last) {
        return Repair::Write;
    }
    let mut next = hold.clone();
    next.repair_times.retain(|t| now - *t < REPAIR_WINDOW);
    if next.repair_times.len() >= REPAIRS {
        next.contested_by =
            Some(live.written_by.clone().unwrap_or_else(|| "an unknown field manager".to_owned()));
        return Repair::Contested(next);
    }
    next.repair_times.push(now);
    next.contested_by = None;
    Repair::Record(next)
}

/// Every field has its old value, or the value of another writer: the hold can be deleted.
#[must_use]
pub fn may_be_deleted(hold: &Hold, live: &TargetState) -> bool {
    let at_rest = baseline_level(&hold.baseline);
    if !hold.claims.is_empty() {
        return false;
    }
    // Nothing is pending: what is live is the level, or another writer's value.
    let replicas = live.replicas == hold.level.replicas || live.replicas != hold.previous.replicas;
    let Some(autoscaler) = hold.baseline.autoscaler.as_ref() else {
        return replicas;
    };
    let alone = stands_alone(&hold.baseline, live);
    let Some(now) = live.autoscaler.as_ref() else {
        return replicas || !hold.baseline.came_later;
    };
    if !now.is(autoscaler) {
        // Another one has taken its place: it was never ours.
        return true;
    }
    let min_pending = hold.level.min == at_rest.min
        && at_rest.min != now.min
        && now.min == hold.previous.min
        && min_or_default(autoscaler.kind, now.min) > min_or_default(autoscaler.kind, at_rest.min);
    let max_pending = max_or_default(now.kind, now.max)
        > max_or_default(autoscaler.kind, at_rest.max)
        && (now.max == hold.level.max || now.max == hold.previous.max);
    let idle_pending = idles(hold) && now.idle.is_none();
    !min_pending && !max_pending && !idle_pending && (replicas || !alone)
}
