//! Combination of the claims of all runs in a hold per target, and writes that each hold requires.

use chrono::TimeDelta;

use crate::Instant;
use crate::output::{self, Act, Claims, Draft, Record, Wake};
use crate::scaling::repair::{self, Repair};
use crate::scaling::{level, patch, usual};
use crate::state::announcement::Workload;
use crate::state::hold::{self, Claim, HoldRecord};
use crate::state::observed::{Seen, TargetState};
use crate::state::run::RunRecord;
use crate::state::world::World;

/// Writes per second, by which writes with a known due time are spread over the time before.
///
/// The spread lets the last write arrive in time. A real API server took 840 to 1,070 merge patches
/// a second from a bare load generator with 16 to 64 connections. A quarter of that rate leaves
/// room for a busy API server. The first of 500 writes is sent two seconds early.
const WRITES_PER_SECOND: i64 = 250;

/// Additional lead of 250 ms. A pass and a write together take up to 250 ms on two busy cores.
const LOOK_AHEAD: TimeDelta = TimeDelta::milliseconds(250);

/// A rollout and a scale-down of another controller have this much time: `progressDeadlineSeconds`
/// of a Deployment is 600 by default.
pub(crate) const OTHERS_TIME: TimeDelta = TimeDelta::minutes(10);

pub(crate) fn plan(world: &World, now: Instant, draft: &mut Draft) -> Wake {
    let claims = std::mem::take(&mut draft.claims);
    for (workload, wanted) in &claims.by_target {
        let name = hold::name(workload);
        if !world.holds.contains_key(&name)
            && !world.unreadable_holds.contains_key(&name)
            && let Seen::Known(state) = world.target(workload)
        {
            begin(&name, workload, state, wanted, world, now, draft);
        }
    }
    let (mut due, mut wake) = (Vec::new(), Wake::NEVER);
    for record in world.holds.values() {
        let wanted = claims_on(record, &claims, world);
        let cut = claims.lets_maximum_go(&record.hold.target_ref);
        wake = wake.or(follow(record, (wanted, cut), world, now, draft, &mut due));
    }
    wake.or(emit(due, now, draft))
}

fn begin(
    name: &str,
    workload: &Workload,
    state: &TargetState,
    wanted: &[(Claim, Instant)],
    world: &World,
    now: Instant,
    draft: &mut Draft,
) {
    let due = wanted.iter().map(|(_, due)| *due).min().unwrap_or(now).max(now);
    let claims = wanted.iter().map(|(claim, _)| claim.clone()).collect();
    let mut hold = level::new_hold(workload, state, claims, due, now);
    hold.baseline.replicas = usual::found(workload, state, world, now);
    draft.record(Record::CreateHold { name: name.to_owned(), hold: Box::new(hold) });
}

/// Returns the present claims on a hold.
///
/// If the planner cannot decode a run, or no list shows the run, the recorded claim stays. Absence
/// in a list does not prove a deletion. If a person deletes the hold, the claims of missing runs
/// are dropped.
fn claims_on(record: &HoldRecord, claims: &Claims, world: &World) -> Vec<Claim> {
    let workload = &record.hold.target_ref;
    let mut wanted: Vec<Claim> = claims
        .by_target
        .get(workload)
        .into_iter()
        .flatten()
        .map(|(claim, _)| claim.clone())
        .collect();
    for recorded in &record.hold.claims {
        let unseen = !world.runs.contains_key(&recorded.run) && !record.deleting;
        if claims.undecided.contains(&recorded.run) || unseen {
            wanted.push(recorded.clone());
        }
    }
    wanted.sort_by(|a, b| a.run.cmp(&b.run));
    wanted
}

/// Returns the instant from which a hold without claims restores the maximum, if no run that has
/// begun names the target.
///
/// A person has then removed the finalizer of the run by hand. A run that cannot be decoded may
/// name every target, so the function returns `None`.
fn orphaned_from(record: &HoldRecord, world: &World) -> Option<Instant> {
    let workload = &record.hold.target_ref;
    let live = world.target(workload).known()?;
    if !record.hold.claims.is_empty() || !live.never_scales_down {
        return None;
    }
    let mut begun =
        world.runs.values().filter(|run| run.guarded && run.status.completion_time.is_none());
    let may_name = |run: &RunRecord| match &run.announcement {
        Ok(announced) => announced.targets.iter().any(|target| target.workload == *workload),
        Err(_) => true,
    };
    let undecoded = world.runs.values().any(|run| !run.decoded);
    let named = undecoded || begun.any(|run| may_name(run));
    (!named).then(|| record.hold.due_time + OTHERS_TIME)
}

fn follow(
    record: &HoldRecord,
    (wanted, cut): (Vec<Claim>, bool),
    world: &World,
    now: Instant,
    draft: &mut Draft,
    due: &mut Vec<(Instant, Act)>,
) -> Wake {
    let seen = world.target(&record.hold.target_ref);
    let live = seen.known();
    let update = |draft: &mut Draft, hold| {
        draft.record(Record::UpdateHold { name: record.name.clone(), hold: Box::new(hold) });
    };
    let mut next = level::updated_hold(&record.hold, wanted, live, now);
    let orphaned = orphaned_from(record, world);
    let is_orphan = orphaned.is_some_and(|at| now >= at) && world.trusts_its_clock(now);
    if next == record.hold && (cut || is_orphan) {
        next = level::with_its_maximum(&next, live, now);
    }
    if next != record.hold {
        update(draft, next);
        return Wake::NEVER;
    }
    let let_go = record.hold.claims.is_empty()
        && match &seen {
            Seen::Known(live) => repair::may_be_deleted(&record.hold, live),
            // The target itself is gone, so the hold has nothing to restore.
            Seen::Absent => true,
            Seen::Unknown(_) => false,
        };
    if let_go {
        draft.record(Record::DeleteHold { name: record.name.clone() });
        return Wake::NEVER;
    }
    let Some(live) = live else { return Wake::NEVER };
    match repair::repair(&record.hold, live, world.reached.get(&record.name), now) {
        Repair::Record(next) => {
            update(draft, next);
            return Wake::NEVER;
        }
        Repair::Contested(next) => {
            let first = next.repair_times.first().copied();
            if next != record.hold {
                update(draft, next);
            }
            return Wake::at_first(first.map(|at| at + repair::REPAIR_WINDOW), now);
        }
        Repair::Write => {}
    }
    if record.hold.contested_by.is_some() && repair::in_force(&record.hold, live) {
        update(draft, hold::Hold { contested_by: None, ..record.hold.clone() });
        return Wake::NEVER;
    }
    let mut wake = Wake::at_first(orphaned, now);
    let mut writes = patch::writes(record, live, Instant::MAX_UTC);
    if now < world.may_lower_from && writes.iter().any(output::Write::lowers) {
        writes.retain(|w| !w.lowers());
        wake = wake.or(Wake::at(world.may_lower_from, now));
    }
    if !writes.is_empty() {
        let act = Act::Write { hold: record.name.clone(), writes, due: record.hold.due_time };
        due.push((record.hold.due_time, act));
    }
    wake
}

/// Emits the writes in the order of `spec.dueTime`, each write early enough for all writes to be in
/// time.
///
/// Each write is sent early by the number of remaining writes divided by `WRITES_PER_SECOND`, plus
/// `LOOK_AHEAD`. The lead is at most half of `PREPARE_AHEAD` (7.5 s). All pending writes count,
/// including writes with another due time. The function returns the time of the next write.
fn emit(mut due: Vec<(Instant, Act)>, now: Instant, draft: &mut Draft) -> Wake {
    due.sort_by_key(|(at, _)| *at);
    let mut after: i64 = i64::try_from(due.len()).unwrap_or(i64::MAX);
    let mut wake = Wake::NEVER;
    for (at, act) in due {
        let spread = TimeDelta::milliseconds(after.saturating_mul(1000) / WRITES_PER_SECOND);
        let early = (spread + LOOK_AHEAD).min(crate::timeline::PREPARE_AHEAD / 2);
        after -= 1;
        // The planner creates a hold shortly before the due time. A due time more than 30 s ahead
        // (twice `PREPARE_AHEAD`) comes from a wrong clock, so the write is sent at once.
        if now >= at - early || at - now > crate::timeline::PREPARE_AHEAD * 2 {
            draft.plan.acts.push(act);
        } else {
            wake = wake.or(Wake::at(at - early, now));
        }
    }
    wake
}
