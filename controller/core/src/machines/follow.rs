//! Machines that a plan with a shape needs no more within the event: emptied without the loss of a pod
//! that is needed, or kept.

use chrono::TimeDelta;

use crate::Instant;
use crate::machines::join;
use crate::machines::terminate::{DRAIN_TIME, draining_since, stride};
use crate::state::announcement::ReleasePace;
use crate::state::ledger::{LedgerInstance, LedgerState};
use crate::state::observed::Node;
use crate::state::run::RunStatus;
use crate::state::world::World;

/// Starts to empty machines of a group, because the event needs only `wanted` of them from here on.
///
/// One batch goes at a time, a step of the release after the batch before, and the newest machines
/// first. Returns the time of the next batch if the step is not over. A machine that could not be emptied within
/// the last [`DRAIN_TIME`] stays. A machine whose Node is not known stays too.
pub fn begin_to_empty(
    status: &mut RunStatus,
    group: &str,
    wanted: u32,
    world: &World,
    pace: ReleasePace,
    now: Instant,
) -> Option<Instant> {
    if status.living().any(|i| i.state == LedgerState::Draining) {
        return None;
    }
    let surplus = join::joined(status, group, world).saturating_sub(wanted);
    if surplus == 0 {
        return None;
    }
    // A machine without pods ends at once, so the batch before may be gone already.
    let gone = |i: &&LedgerInstance| i.state != LedgerState::Live && i.join_time.is_some();
    let all = status.ledger.iter().flat_map(|b| &b.instances);
    // mutate: batches-of-machines-without-a-pause
    let next = all.filter(gone).map(|i| i.since).max().map(|last| last + pace.step_time);
    if let Some(next) = next.filter(|next| now < *next) {
        return Some(next);
    }
    let most = stride(status, pace).min(usize::try_from(surplus).unwrap_or(usize::MAX));
    let entries = status.ledger.iter_mut().filter(|b| b.group == group);
    // A machine that has come back to `Live` has done so after it joined.
    let tried = |i: &LedgerInstance| {
        i.join_time.is_some_and(|joined| i.since > joined) && now < i.since + DRAIN_TIME
    };
    let open = |i: &&mut LedgerInstance| {
        i.state == LedgerState::Live
            && !tried(i)
            && world.nodes.get(&i.id).is_some_and(|node| node.ready && !node.unschedulable)
    };
    let mut open: Vec<_> = entries.flat_map(|b| &mut b.instances).filter(open).collect();
    open.sort_by(|a, b| (b.join_time, &b.id).cmp(&(a.join_time, &a.id)));
    for instance in open.into_iter().take(most) {
        (instance.state, instance.since) = (LedgerState::Draining, now);
    }
    None
}

/// Ends the machines that are empty within the event: their Nodes are gone, or cordoned without a pod. A
/// machine with a pod is never ended within the event, whatever time has passed.
pub fn end_what_is_empty(status: &mut RunStatus, world: &World, now: Instant) {
    let draining = |i: &&mut LedgerInstance| i.state == LedgerState::Draining;
    for instance in status.ledger.iter_mut().flat_map(|b| &mut b.instances).filter(draining) {
        // mutate: machine-with-pods-ends-within-the-event
        let empty = |node: &Node| node.unschedulable && node.pods_left == Some(0);
        let gone = join::looked_since(world, instance.since, now);
        if world.nodes.get(&instance.id).map_or(gone, empty) {
            (instance.state, instance.since) = (LedgerState::Terminating, now);
        }
    }
}

/// Keeps the machines of a group that are being emptied within the event, if the group has no more than
/// `wanted` others, or if they are not empty shortly before [`DRAIN_TIME`]. No pod is deleted within
/// the event.
pub fn stop_emptying(
    status: &mut RunStatus,
    group: &str,
    wanted: u32,
    world: &World,
    now: Instant,
) {
    let needed = join::joined(status, group, world) < wanted;
    let entries = status.ledger.iter_mut().filter(|b| b.group == group);
    for instance in entries.flat_map(|b| &mut b.instances) {
        let late = now >= draining_since(instance, world) + DRAIN_TIME - TimeDelta::minutes(1);
        if instance.state == LedgerState::Draining && (needed || late) {
            (instance.state, instance.since) = (LedgerState::Live, now);
        }
    }
}
