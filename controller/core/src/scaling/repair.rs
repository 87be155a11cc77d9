//! Repair of a target that another writer lowered: three repairs in ten minutes, then a contest.

use crate::Instant;
use crate::scaling::autoscaler::{idles, max_or_default, min_or_default, stands_alone};
use crate::scaling::level::baseline_level;
use crate::state::hold::{Fields, Hold, Reached};
use crate::state::observed::TargetState;

/// Largest number of repairs within [`REPAIR_WINDOW`].
pub const REPAIRS: usize = 3;

/// Period in which repairs are counted: 10 min.
///
/// After [`REPAIRS`] repairs in the period the planner reports the target as contested, and makes
/// no further repair.
pub const REPAIR_WINDOW: chrono::TimeDelta = chrono::TimeDelta::minutes(10);

/// Returns the fields whose live value is below the level of the hold.
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
    /// Returns the time at which each field was last seen at the level, updated from the live
    /// target.
    #[must_use]
    pub fn after(before: Option<&Self>, hold: &Hold, live: &TargetState, now: Instant) -> Self {
        let by = live.autoscaler.as_ref().map(|by| (by.kind, by.name.clone()));
        let before = before.filter(|before| before.level == hold.level);
        let mut at = before.map(|before| before.at).unwrap_or_default();
        if before.is_some_and(|before| before.by != by) {
            at = Fields { replicas: at.replicas, ..Fields::default() };
        }
        let below = below(hold, live);
        // Before `spec.dueTime` the operator has written nothing, so a lower value is not a revert.
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

/// True if a field is below the level of the hold.
#[must_use]
pub fn reverted(hold: &Hold, live: &TargetState) -> bool {
    below(hold, live).all().contains(&true)
}

/// True if every field has the value of the level or a higher value.
#[must_use]
pub fn in_force(hold: &Hold, live: &TargetState) -> bool {
    !reverted(hold, live)
}

/// Decision about a revert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The planner found no new revert, or the repair is recorded already. The reconciler may
    /// write.
    Write,
    /// The planner records the repair before the write.
    Record(Hold),
    /// Another writer reverted the level too often. The planner reports the contest and writes
    /// nothing.
    Contested(Hold),
}

/// Decides whether another writer has reverted the level.
///
/// A field is reverted if the field reached the level after the last repair and is below the level
/// now. Each field counts separately. If the operator cannot raise the bounds, the autoscaler
/// lowers the replicas again and again. The fields then never reach the level at the same time.
#[must_use]
pub fn repair(hold: &Hold, live: &TargetState, reached: Option<&Reached>, now: Instant) -> Repair {
    // If the hold has no claims, a lower value is the decision of an autoscaler or a person.
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

/// True if the hold may be deleted: every field has the old value or a value of another writer.
///
/// A hold with claims stays.
#[must_use]
pub fn may_be_deleted(hold: &Hold, live: &TargetState) -> bool {
    let at_rest = baseline_level(&hold.baseline);
    if !hold.claims.is_empty() {
        return false;
    }
    // The replicas are settled if the live value equals the level or comes from another writer.
    let replicas = live.replicas == hold.level.replicas || live.replicas != hold.previous.replicas;
    let Some(autoscaler) = hold.baseline.autoscaler.as_ref() else {
        return replicas;
    };
    let alone = stands_alone(&hold.baseline, live);
    let Some(now) = live.autoscaler.as_ref() else {
        return replicas || !hold.baseline.came_later;
    };
    if !now.is(autoscaler) {
        // Another autoscaler has replaced the recorded autoscaler, and the operator never raised
        // the new autoscaler.
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
