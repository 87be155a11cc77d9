//! Each run says what it asks of each target, keeps its ledger, comes down after the end, and explains itself.

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
mod observe;
pub mod overrides;
pub mod release;
pub mod status;
mod wake;

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

/// Plans one run, step by step. Returns when to look again.
///
/// 1. `deletion.rs`: a surge that no list shows is asked for; a run that is over goes with its surge.
/// 2. `context.rs`: the instants that count, the overrides in force, the signals.
/// 3. `observe.rs`: peaks, quiet time, and since when a signal is unknown.
/// 4. `release.rs`: a manual start, the beginning of the release, its next step.
/// 5. The finalizer, before the first effect.
/// 6. `floor.rs`: what the run claims of each target.
/// 7. `ledger.rs`: machines. `jobs.rs`: Jobs. `degrade.rs`: the ladder.
/// 8. `status/explain.rs`: what people read; `completion.rs`: the end.
/// 9. `wake.rs`: the next instant; `status/decisions.rs`: the decision log.
pub(crate) fn plan(record: &RunRecord, world: &World, now: Instant, draft: &mut Draft) -> Wake {
    if deletion::asks(record, world) {
        draft.plan.acts.push(Act::LookForSurge { surge: record.surge.clone() });
    }
    if record.status.completion_time.is_some() {
        let_go_of(record, world, draft);
        return Wake::NEVER;
    }
    if record.deleting() && !record.guarded {
        return Wake::NEVER;
    }
    // Runs of version 0.1.0 that have begun still go with their surge.
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

/// Steps 2 to 9, of a run that is not over.
fn live(
    record: &RunRecord,
    announcement: &Announcement,
    world: &World,
    now: Instant,
    draft: &mut Draft,
) -> Wake {
    let run = Run::new(record, announcement, world, now);
    let mut status = record.status.clone();
    // While the clock itself is in doubt it cannot say which instants have come.
    if world.trusts_its_clock(now) {
        status.bring_back_to(now);
    }
    run.observe(&mut status);
    deletion::observe(record, &mut status, world, now);
    if !record.guarded && deletion::counts(record, &status, world, now) {
        draft.record(delete(record));
        return Wake::NEVER;
    }
    let begun = now >= run.timeline.begin - PREPARE_AHEAD;
    if begun && run.is_armed() {
        run.hear_of_a_start(&mut status);
    }
    let mut wake = run.begin_release(&mut status);
    if begun && status.release.is_none() && !record.guarded {
        draft.record(Record::AddFinalizer { run: record.name.clone() });
    }
    if record.guarded {
        wake = wake.or(run.come_down(&mut status));
        run.ask_for_targets(&mut status, draft);
        wake = wake.or(run.keep_ledger(&mut status, draft));
    } else {
        // A person who removes our finalizer by hand lowers nothing with it.
        draft.claims.leave_as_recorded(&record.name);
    }
    run.count(&mut status);
    if record.guarded {
        wake = wake.or(run.keep_jobs(&mut status, draft));
        wake = wake.or(run.keep_ladder(&mut status));
    }
    wake = wake.or(run.switch(draft));
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

/// A run that is over goes with its surge: at once where that is gone already.
fn let_go_of(record: &RunRecord, world: &World, draft: &mut Draft) {
    let surge = deletion::surge(record, world);
    let stays = surge == Surge::There && !record.collected;
    if record.guarded || (stays && !record.deleting()) {
        let owner = record.owner.clone().filter(|_| surge == Surge::There);
        draft.record(Record::RemoveFinalizer { run: record.name.clone(), owner });
    } else if surge == Surge::Gone && !record.collected && !record.deleting() {
        draft.record(delete(record));
    }
}

fn delete(record: &RunRecord) -> Record {
    Record::DeleteRun { run: record.name.clone(), uid: record.uid.clone(), news: None }
}

/// A run that cannot be understood is not acted upon; what it claimed stays claimed.
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

/// Something waits for the record: an act, or a person.
fn urgent(before: &RunStatus, after: &RunStatus) -> bool {
    let floors = |status: &RunStatus| status.targets.iter().map(|t| t.floor).collect::<Vec<_>>();
    let states = |status: &RunStatus| {
        let each = status.conditions.iter().map(|c| (c.type_.clone(), c.status.clone()));
        each.collect::<Vec<_>>()
    };
    // That a machine has joined is told with the next word.
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
