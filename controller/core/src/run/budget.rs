//! The ceiling of a `SurgeBudget` on the planned replicas of a namespace.

use crate::Instant;
use crate::run::context::Run;
use crate::scaling::usual;
use crate::state::announcement::Announcement;
use crate::state::run::RunRecord;
use crate::state::world::World;

impl Run<'_> {
    /// Returns a sentence if the run would exceed the replicas of a budget. A run that has begun
    /// never does: the planner lowers nothing because of a budget.
    ///
    /// Runs that have begun come first, and then the earlier start.
    pub(super) fn over_budget(&self) -> Option<String> {
        let limited = self.world.budgets.iter().filter(|b| b.limits.replicas.is_some());
        let limited: Vec<_> = limited.collect();
        if limited.is_empty() || self.record.guarded {
            return None;
        }
        let (world, now) = (self.world, self.now);
        let mine = planned(self.announcement, world, now);
        let others = world.runs.values().filter(|run| self.comes_before(run));
        let each =
            others.filter_map(|run| Some(planned(run.announcement.as_ref().ok()?, world, now)));
        let reserved = each.fold(0, u32::saturating_add);
        limited.iter().find_map(|b| b.exceeded("replicas", b.limits.replicas, mine, reserved))
    }

    /// True if another open run at the same time has the first call on the budget.
    fn comes_before(&self, other: &RunRecord) -> bool {
        let order = |run: &RunRecord| (run.window.start, run.name.clone());
        let ends = |run: &RunRecord| {
            let hold = run.announcement.as_ref().ok().and_then(|a| a.hold);
            run.window.end + hold.map(|hold| hold.max_time).unwrap_or_default()
        };
        let begins = other.status.begin_time.unwrap_or(other.window.ready_by);
        other.uid != self.record.uid
            && other.status.completion_time.is_none()
            && begins < ends(self.record)
            // A run that has begun counts until it has given everything back.
            && (other.guarded || self.timeline.begin < ends(other))
            && (other.guarded || order(other) < order(self.record))
    }
}

/// Planned replicas of all targets. A target whose usual replicas are unknown counts with
/// `maxReplicas`.
fn planned(announcement: &Announcement, world: &World, now: Instant) -> u32 {
    let each = announcement.targets.iter().map(|target| {
        let planned = target.planned(usual::replicas(target, world, now));
        planned.or(target.max_replicas).unwrap_or(0)
    });
    each.fold(0, u32::saturating_add)
}
