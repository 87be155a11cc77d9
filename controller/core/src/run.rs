//! Planning of a run: claims on targets, ledger, release, and status for people.

mod budget;
pub mod climb;
mod completion;
mod context;
pub mod degrade;
pub mod deletion;
pub mod floor;
pub mod jobs;
mod ledger;
pub mod load;
pub mod manual_start;
mod missing;
mod observe;
pub mod overrides;
mod preflight;
pub mod release;
mod reservation;
mod shaped;
pub mod status;
mod wake;

use chrono::TimeDelta;

use self::deletion::Surge;
use crate::Instant;
use crate::output::{Act, Draft, Record, Wake};
use crate::run::context::Run;
use crate::run::status::decisions;
use crate::state::announcement::Announcement;
use crate::state::condition::{ConditionReason, ConditionType, set_condition};
use crate::state::decision;
use crate::state::run::{RunRecord, RunStatus, Verdict};
use crate::state::world::World;
use crate::timeline::PREPARE_AHEAD;

/// Plans a run, step by step. Returns the time of the next pass.
///
/// 1. `deletion.rs`: the planner asks for a surge that no list shows, and deletes a completed run
///    whose surge is gone.
/// 2. `context.rs`: the planner reads the instants, the overrides in force and the signals.
/// 3. `observe.rs`: the planner updates peaks, quiet time and the time since which a signal is
///    unknown.
/// 4. `release.rs`: the planner handles a manual start, the beginning of the release and the next
///    release step.
/// 5. `run.rs`: the planner adds the finalizer before the first effect of the run.
/// 6. `floor.rs`, `shaped.rs`: the planner computes the claim of the run on each target.
/// 7. `ledger.rs`, `jobs.rs`, `degrade.rs`: the planner updates machines, Jobs and degradation
///    steps.
/// 8. `missing.rs`, `preflight.rs`, `status/explain.rs`, `completion.rs`: the planner writes the status and completes the run.
/// 9. `wake.rs`, `status/decisions.rs`: the planner computes the next instant and the decision log.
pub(crate) fn plan(record: &RunRecord, world: &World, now: Instant, draft: &mut Draft) -> Wake {
    if deletion::asks(record, world) {
        draft.plan.acts.push(Act::LookForSurge { surge: record.surge.clone() });
    }
    if record.status.completion_time.is_some() {
        return let_go_of(record, world, now, draft);
    }
    if record.deleting() && !record.guarded {
        return Wake::NEVER;
    }
    // Version 0.1.0 kept the owner reference on a run in progress. `AddFinalizer` removes the owner
    // reference, so that the garbage collector does not delete the run with the surge.
    if record.guarded && record.collected && !record.deleting() {
        draft.record(Record::AddFinalizer { run: record.name.clone() });
    }
    match &record.announcement {
        Ok(announcement) => live(record, announcement, world, now, draft),
        Err(why) => {
            mark_invalid(record, why, now, draft);
            Wake::NEVER
        }
    }
}

/// Plans steps 2 to 9 of a run that is not completed.
fn live(
    record: &RunRecord,
    announcement: &Announcement,
    world: &World,
    now: Instant,
    draft: &mut Draft,
) -> Wake {
    let run = Run::new(record, announcement, world, now);
    let mut status = record.status.clone();
    // The planner clamps recorded timestamps only if the clock is trusted, because the clamp uses
    // `now`.
    if world.trusts_its_clock(now) {
        status.bring_back_to(now);
    }
    run.observe(&mut status);
    deletion::observe(record, &mut status, world, now);
    if !record.guarded && deletion::counts(record, &status, world, now) {
        draft.record(delete(record));
        return Wake::NEVER;
    }
    let reserved = run.reserve(&status, draft);
    let begun = now >= run.timeline.begin - PREPARE_AHEAD;
    if begun && run.is_armed() {
        run.hear_of_a_start(&mut status);
    }
    let mut wake = run.begin_release(&mut status).or(reserved);
    if begun && status.release.is_none() && !record.guarded && run.over_budget().is_none() {
        draft.record(Record::AddFinalizer { run: record.name.clone() });
    }
    if record.guarded {
        wake = wake.or(run.come_down(&mut status));
        run.ask_for_targets(&mut status, draft);
        wake = wake.or(run.let_maxima_go(draft));
        wake = wake.or(run.keep_ledger(&mut status, draft));
    } else {
        // If a person removes the finalizer, the claims stay as recorded and the planner lowers
        // nothing.
        draft.claims.leave_as_recorded(&record.name);
    }
    run.count(&mut status);
    if record.guarded {
        wake = wake.or(run.keep_jobs(&mut status, draft));
        wake = wake.or(run.keep_ladder(&mut status));
    }
    wake = wake.or(run.switch(draft));
    if record.guarded {
        wake = wake.or(run.look_at_pods(&status, draft));
    }
    run.explain(&mut status);
    wake = wake.or(run.complete(&mut status));
    wake = wake.or(run.next_instant(&status));
    let news = decisions::lines(&record.status, &status, &run);
    decision::append(&mut status.decisions, news.clone());
    if status != record.status {
        let urgent = urgent(&record.status, &status);
        let (run, status) = (record.name.clone(), Box::new(status));
        draft.record(Record::RunStatus { run, status, urgent, news });
    }
    wake
}

/// Longest time after the completion for which a run waits until its reservations are returned. Where a
/// class cannot be written, the shell returns the reservations of runs that are gone.
const RETURN_TIME: TimeDelta = TimeDelta::minutes(5);

/// Releases a completed run to the garbage collector, or deletes the run if the surge is gone.
fn let_go_of(record: &RunRecord, world: &World, now: Instant, draft: &mut Draft) -> Wake {
    let returned = reservation::give_back(record, world, draft);
    let until = record.status.completion_time.map(|at| at + RETURN_TIME).filter(|at| now < *at);
    // mutate: lets-a-run-go-before-its-reservation
    if !returned && record.guarded && until.is_some() {
        return Wake::at_first(until, now);
    }
    let surge = deletion::surge(record, world);
    let stays = surge == Surge::There && !record.collected;
    if record.guarded || (stays && !record.deleting()) {
        let owner = record.owner.clone().filter(|_| surge == Surge::There);
        draft.record(Record::RemoveFinalizer { run: record.name.clone(), owner });
    } else if surge == Surge::Gone && !record.collected && !record.deleting() {
        draft.record(delete(record));
    }
    Wake::NEVER
}

fn delete(record: &RunRecord) -> Record {
    Record::DeleteRun { run: record.name.clone(), uid: record.uid.clone(), news: None }
}

/// Marks a run with an invalid spec: condition `Accepted` is false and the verdict is `AtRisk`.
///
/// The planner takes no other action, and the recorded claims of the run stay.
fn mark_invalid(record: &RunRecord, why: &str, now: Instant, draft: &mut Draft) {
    draft.claims.leave_as_recorded(&record.name);
    let mut status = record.status.clone();
    why.clone_into(&mut status.message);
    status.verdict = Verdict::AtRisk;
    set_condition(
        &mut status.conditions,
        ConditionType::Accepted,
        false,
        ConditionReason::Invalid,
        why.to_owned(),
        now,
    );
    if status != record.status {
        let (run, status) = (record.name.clone(), Box::new(status));
        draft.record(Record::RunStatus { run, status, urgent: true, news: Vec::new() });
    }
}

/// True if an act or a person waits for the status change, so that the write must not be delayed.
fn urgent(before: &RunStatus, after: &RunStatus) -> bool {
    let floors = |status: &RunStatus| status.targets.iter().map(|t| t.floor).collect::<Vec<_>>();
    let states = |status: &RunStatus| {
        let each = status.conditions.iter().map(|c| (c.type_.clone(), c.status.clone()));
        each.collect::<Vec<_>>()
    };
    // A new `joinTime` alone is not urgent. The next status write carries the value.
    let calls = |status: &RunStatus| {
        let mut ledger = status.ledger.clone();
        ledger.iter_mut().flat_map(|b| &mut b.instances).for_each(|i| i.join_time = None);
        ledger
    };
    calls(before) != calls(after)
        || before.jobs != after.jobs
        || before.degrade != after.degrade
        || before.release != after.release
        || before.stage != after.stage
        || before.verdict != after.verdict
        || before.overrides != after.overrides
        || before.started_time != after.started_time
        || before.deletion_time != after.deletion_time
        || before.completion_time != after.completion_time
        || states(before) != states(after)
        || floors(before) != floors(after)
}
