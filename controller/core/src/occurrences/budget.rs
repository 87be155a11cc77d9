//! The ceilings of a `SurgeBudget` on the surges and the open runs of a namespace.

use crate::output::{Plan, Record};
use crate::state::condition::{ConditionReason, ConditionType, condition};
use crate::state::surge::SurgeRecord;
use crate::state::world::World;

/// Returns a sentence if the surge is beyond the number of surges of a budget. Surges that were
/// accepted before come first, and then the order of names.
pub(super) fn refuses(surge: &SurgeRecord, world: &World) -> Option<String> {
    // Each surge is compared with all others, which a namespace without a budget must not pay for.
    if world.budgets.iter().all(|b| b.limits.surges.is_none()) {
        return None;
    }
    let order = |surge: &SurgeRecord| (!was_accepted(surge), surge.name.clone());
    let there = world.surges.values().filter(|other| !other.deleting);
    let before = there.filter(|other| order(other) < order(surge)).count();
    let before = u32::try_from(before).unwrap_or(u32::MAX);
    world.budgets.iter().find_map(|b| b.exceeded("surges", b.limits.surges, 1, before))
}

/// True if the planner has accepted the surge, so that another one does not take its place.
fn was_accepted(surge: &SurgeRecord) -> bool {
    let accepted = condition(&surge.status.conditions, ConditionType::Accepted);
    accepted.is_some_and(|c| c.reason != ConditionReason::BudgetExceeded.as_str())
}

/// Returns a sentence if a budget allows no further run, with the runs that this pass creates.
pub(super) fn refuses_a_run(plan: &Plan, world: &World) -> Option<String> {
    let open = world.runs.values().filter(|run| run.status.completion_time.is_none()).count();
    let created = plan.records.iter().filter(|r| matches!(r, Record::CreateRun(_))).count();
    let open = u32::try_from(open + created).unwrap_or(u32::MAX);
    world.budgets.iter().find_map(|b| b.exceeded("runs", b.limits.runs, 1, open))
}
