//! Replacement of instances that never become Nodes, or whose Nodes fail.
//!
//! The planner replaces a bounded number of instances, a tenth of a group at a time. The planner
//! keeps the older late instances, which may be about to join, until a later instance has joined.

use chrono::TimeDelta;

use crate::Instant;
use crate::output::MachineAct;
use crate::state::announcement::MachineGroup;
use crate::state::ledger::{LedgerInstance, LedgerState};
use crate::state::observed::Node;
use crate::state::run::RunStatus;
use crate::state::world::World;
use crate::timeline;

/// Time for which the Node of a joined instance may be not Ready before the planner replaces the
/// instance. The node lifecycle controller evicts pods after five minutes
/// (<https://kubernetes.io/docs/concepts/architecture/nodes/>), which is too late for an event.
const NOT_READY_FOR: TimeDelta = TimeDelta::minutes(2);

/// Returns the time from which a running instance without a Node counts as late:
/// `spec.joinSeconds` of the `InstanceClass` after the launch.
#[must_use]
pub fn late_from(instance: &LedgerInstance, group: &MachineGroup, world: &World) -> Instant {
    let class = world.classes.get(&group.class);
    instance.since + class.map_or(timeline::UNKNOWN_CLASS_LEAD, |class| class.join)
}

fn instances<'a>(
    status: &'a RunStatus,
    group: &'a MachineGroup,
) -> impl Iterator<Item = &'a LedgerInstance> {
    status.ledger.iter().filter(move |b| b.group == group.name).flat_map(|b| &b.instances)
}

/// Returns the time from which an instance counts as lost: it has not joined in time, or its Node has
/// not been Ready for [`NOT_READY_FOR`]. Returns `None` while the instance is fine.
#[must_use]
pub fn lost_from(
    instance: &LedgerInstance,
    group: &MachineGroup,
    world: &World,
) -> Option<Instant> {
    if instance.state != LedgerState::Live {
        return None;
    }
    if instance.join_time.is_none() {
        return Some(late_from(instance, group, world));
    }
    match world.nodes.get(&instance.id) {
        Some(node) => node.not_ready_since.map(|since| since + NOT_READY_FOR),
        // The Node object is gone, and a new list has to confirm that.
        None => Some(instance.join_time.unwrap_or(instance.since) + NOT_READY_FOR),
    }
}

/// Returns the instances of a group that count as lost by now.
fn overdue<'a>(
    status: &'a RunStatus,
    group: &'a MachineGroup,
    world: &'a World,
    now: Instant,
) -> impl Iterator<Item = &'a LedgerInstance> {
    instances(status, group)
        .filter(move |i| lost_from(i, group, world).is_some_and(|from| now >= from))
}

/// Returns the overdue instances that a recent list of Nodes confirms as lost.
///
/// The shell must have requested the list after [`lost_from`] of the instance. A watch may have
/// missed the join, and an older list may predate the join.
fn late<'a>(
    status: &'a RunStatus,
    group: &'a MachineGroup,
    world: &'a World,
    now: Instant,
) -> impl Iterator<Item = &'a LedgerInstance> {
    overdue(status, group, world, now).filter(move |i| {
        lost_from(i, group, world).is_some_and(|from| looked_since(world, from, now))
    })
}

/// Returns the number of instances of a group that have not joined in time, or are not Ready any
/// more.
#[must_use]
pub fn lost(status: &RunStatus, group: &MachineGroup, world: &World, now: Instant) -> u32 {
    count(late(status, group, world, now))
}

/// Returns a request for a fresh list of Nodes if the present list is too old to judge an overdue
/// instance.
#[must_use]
pub fn look(
    status: &RunStatus,
    group: &MachineGroup,
    world: &World,
    now: Instant,
) -> Option<MachineAct> {
    let mut overdue = overdue(status, group, world, now);
    let unsure = overdue
        .any(|i| lost_from(i, group, world).is_some_and(|from| !looked_since(world, from, now)));
    unsure.then_some(MachineAct::LookAtNodes)
}

fn count<T>(all: impl Iterator<Item = T>) -> u32 {
    u32::try_from(all.count()).unwrap_or(u32::MAX)
}

/// Returns the number of instances that a group may have beyond `count` to replace late instances.
///
/// The planner replaces at most a tenth of the group at a time, or one instance of a small group.
/// Returns 0 while the planner does not trust the clock.
#[must_use]
pub fn replacements(status: &RunStatus, group: &MachineGroup, world: &World, now: Instant) -> u32 {
    if !world.trusts_its_clock(now) {
        return 0;
    }
    let goes = |state| matches!(state, LedgerState::Draining | LedgerState::Terminating);
    let going = instances(status, group).filter(|i| goes(i.state));
    let spare = (group.count / 10).max(1).saturating_sub(count(going));
    // mutate: machine-never-joins-replaced
    lost(status, group, world, now).min(spare)
}

/// Marks surplus late instances as `Terminating`.
///
/// The surplus is the number of joined and late instances beyond `keep`: `count`, or fewer where the plan
/// has a shape. As many go at a time as [`replacements`] allows.
///
/// If an instance launched after the oldest late instance has joined, the planner gives up the
/// oldest first. If no later instance has joined, the planner gives up the newest first. The older
/// instances may be about to join, and the termination of the newest instance permits another
/// launch. An instance that has joined and is not Ready any more goes before all others. If no instance of the group has ever joined, the planner keeps all instances, because
/// the instances are probably not the cause.
pub fn replace_unjoined(
    status: &mut RunStatus,
    group: &MachineGroup,
    keep: u32,
    world: &World,
    now: Instant,
) {
    let all: Vec<_> = late(status, group, world, now).collect();
    let key = |i: &&&LedgerInstance| (i.since, i.id.clone());
    let mut waiting: Vec<_> =
        all.iter().filter(|i| i.join_time.is_none()).map(|i| key(&i)).collect();
    let mut broken: Vec<_> =
        all.iter().filter(|i| i.join_time.is_some()).map(|i| key(&i)).collect();
    waiting.sort();
    broken.sort();
    drop(all);
    let surplus = joined(status, &group.name, world) + count(waiting.iter().chain(&broken));
    let going = instances(status, group).filter(|i| i.state == LedgerState::Terminating);
    let at_once = (group.count / 10).max(1).saturating_sub(count(going));
    let most = if keep < group.count { at_once } else { u32::MAX };
    let surplus = surplus.saturating_sub(keep).min(most);
    let some_join = instances(status, group).any(|i| i.join_time.is_some());
    if surplus == 0 || !some_join {
        return;
    }
    let oldest = waiting.first().map(|(since, _)| *since);
    let replaced = instances(status, group)
        .any(|i| i.join_time.is_some() && Some(i.since) > oldest && i.state == LedgerState::Live);
    if !replaced {
        waiting.reverse();
    }
    broken.append(&mut waiting);
    broken.truncate(usize::try_from(surplus).unwrap_or(usize::MAX));
    for instance in status.ledger.iter_mut().flat_map(|b| &mut b.instances) {
        if broken.iter().any(|(_, id)| *id == instance.id) {
            instance.state = LedgerState::Terminating;
            instance.since = now;
        }
    }
}

/// Returns the number of live instances of a group on whose Node pods can be placed: Ready, and not
/// cordoned.
#[must_use]
pub fn joined(status: &RunStatus, group: &str, world: &World) -> u32 {
    let joined = status
        .ledger
        .iter()
        .filter(|b| b.group == group)
        .flat_map(|b| &b.instances)
        .filter(|i| i.state == LedgerState::Live)
        .filter(|i| world.nodes.get(&i.id).is_some_and(|n| n.ready && !n.unschedulable))
        .count();
    u32::try_from(joined).unwrap_or(u32::MAX)
}

/// Returns the Nodes of live instances of a group that another writer has cordoned.
pub fn cordoned_by_others<'a>(
    status: &'a RunStatus,
    group: &'a MachineGroup,
    world: &'a World,
) -> impl Iterator<Item = &'a Node> {
    let live = instances(status, group).filter(|i| i.state == LedgerState::Live);
    let nodes = live.filter_map(|i| world.nodes.get(&i.id));
    nodes.filter(|node| node.unschedulable && !node.cordoned_by_us)
}

/// Returns the number of live instances of a group.
#[must_use]
pub fn launched(status: &RunStatus, group: &str) -> u32 {
    let live = status
        .ledger
        .iter()
        .filter(|b| b.group == group)
        .flat_map(|b| &b.instances)
        .filter(|i| i.state == LedgerState::Live)
        .count();
    u32::try_from(live).unwrap_or(u32::MAX)
}

/// Largest age of a list of Nodes that [`looked_since`] accepts.
const FRESH: TimeDelta = TimeDelta::seconds(60);

/// True if the last list of Nodes was requested after `since` and within the last 60 seconds.
///
/// An older list proves nothing, because a machine may join at any time.
pub(super) fn looked_since(world: &World, since: Instant, now: Instant) -> bool {
    world.nodes_as_of.is_some_and(|at| at >= since.max(now - FRESH))
}

/// True if the instance has a Node on which pods may run: not cordoned, and Ready or not Ready for a
/// short time only.
pub(super) fn is_open(world: &World, id: &str, now: Instant) -> bool {
    world.nodes.get(id).is_some_and(|node| !node.unschedulable && !is_broken(node, now))
}

/// True if a Node has not been Ready for [`NOT_READY_FOR`].
pub(super) fn is_broken(node: &Node, now: Instant) -> bool {
    node.not_ready_since.is_some_and(|since| now >= since + NOT_READY_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines::launch::{self, record_results};
    use crate::machines::tests::{
        acts, group, instance, intend, now, recorded, run, shown, with_live,
    };
    use crate::seconds;
    use crate::state::observed::{Fleet, InstanceState, LaunchAnswer, Node};

    /// Returns a world in which the first `n` instances have a Node and the list of Nodes dates
    /// from `at`.
    ///
    /// The `InstanceClass` is unknown, and the join deadline is therefore ten minutes.
    fn with_nodes(n: usize, at: Instant) -> World {
        let node = |i: usize| Node {
            name: format!("ip-10-0-0-{i}"),
            ready: true,
            not_ready_since: None,
            unschedulable: false,
            cordoned_by_us: false,
            pods_left: None,
            kept_by: None,
        };
        let mut world = World { nodes_as_of: Some(at), ..shown(Vec::new(), now()) };
        world.nodes = (0..n).map(|i| (format!("i-{i:03}"), node(i))).collect();
        world
    }

    fn intended(status: &mut RunStatus, world: &World, at: Instant) -> u32 {
        let before = status.ledger.len();
        record_results(status, world, &run(), at);
        intend(status, &group(), world, at);
        status.ledger.get(before).map_or(0, |batch| batch.count)
    }

    /// Answers the last ledger entry with new instances.
    fn came(status: &mut RunStatus, world: &mut World, at: Instant) {
        let (token, first) = {
            let last = status.ledger.last().unwrap();
            (last.token.clone(), status.ledger.iter().map(|b| b.instances.len()).sum::<usize>())
        };
        let count = usize::try_from(status.ledger.last().unwrap().count).unwrap();
        let ids = (first..first + count).map(|i| format!("i-{i:03}")).collect();
        world.launches.insert(token, LaunchAnswer::Came { ids, shortfall: None });
        record_results(status, world, &run(), at);
    }

    #[test]
    fn one_that_does_not_join_is_replaced_and_ended_when_its_replacement_has_joined() {
        let mut status = with_live(17);
        let early = now() + seconds(599);
        assert_eq!(intended(&mut status, &with_nodes(15, early), early), 0, "it may still join");
        let late = now() + seconds(600);
        let mut world = with_nodes(15, late);
        assert_eq!(intended(&mut status, &world, late), 1, "a tenth at a time");
        came(&mut status, &mut world, late);
        assert_eq!(intended(&mut status, &world, late), 0);
        replace_unjoined(&mut status, &group(), group().count, &world, late);
        assert_eq!(status.living().count(), 18, "nothing goes before its replacement has come");
        let join = |world: &mut World, id: &str| {
            let node = world.nodes.values().next().unwrap().clone();
            world.nodes.insert(id.into(), node);
        };
        join(&mut world, "i-017");
        let stale = World { nodes_as_of: Some(late - seconds(1)), ..world.clone() };
        replace_unjoined(&mut status, &group(), group().count, &stale, late);
        assert_eq!(status.living().count(), 18);
        let asked = look(&status, &group(), &stale, late);
        assert_eq!(asked, Some(MachineAct::LookAtNodes), "it may be on a newer list");
        record_results(&mut status, &world, &run(), late);
        replace_unjoined(&mut status, &group(), group().count, &world, late);
        let ended = acts(&recorded(&status), &world, late);
        assert!(
            matches!(ended.as_slice(), [MachineAct::Terminate { ids, .. }] if ids == &["i-015"]),
            "{ended:?}"
        );
        assert_eq!(intended(&mut status, &world, late), 0, "it has to go first");
        let token = status.ledger.first().unwrap().token.clone();
        let gone = instance("i-015", &token, InstanceState::Terminated);
        world.fleets.insert(run().uid, Fleet { instances: vec![gone] }.into());
        assert_eq!(intended(&mut status, &world, late), 1, "then the next");
    }

    #[test]
    fn a_template_whose_instances_never_join_starts_three_times_its_count_at_most() {
        let few = MachineGroup { count: 3, ..group() };
        let mut status = with_live(3);
        let mut at = now();
        let mut alive = 0;
        for _ in 0..200 {
            at += seconds(601);
            let mut world = with_nodes(1, at);
            record_results(&mut status, &world, &run(), at);
            let before = status.ledger.len();
            intend(&mut status, &few, &world, at);
            if status.ledger.len() > before {
                came(&mut status, &mut world, at);
            }
            replace_unjoined(&mut status, &few, few.count, &world, at);
            alive = alive.max(launched(&status, "burst"));
            let ended = status.ledger.iter_mut().flat_map(|b| &mut b.instances);
            let ended = ended.filter(|i| i.state == LedgerState::Terminating);
            ended.for_each(|i| i.state = LedgerState::Terminated);
        }
        let ever: usize = status.ledger.iter().map(|b| b.instances.len()).sum();
        assert_eq!(ever, 9, "it tries, and not for ever");
        assert_eq!(alive, 4);
    }

    #[test]
    fn where_the_cloud_is_slow_nothing_is_ended_that_is_about_to_join() {
        let mut status = with_live(17);
        let alive = |status: &RunStatus| launched(status, "burst");
        let mut at = now() + seconds(600);
        let mut world = with_nodes(0, at);
        assert_eq!(intended(&mut status, &world, at), 1);
        came(&mut status, &mut world, at);
        at += seconds(600);
        let none = with_nodes(0, at);
        replace_unjoined(&mut status, &group(), group().count, &none, at);
        assert_eq!(alive(&status), 18, "none has ever joined: that is not their fault");
        let one = with_nodes(1, at);
        record_results(&mut status, &one, &run(), at);
        replace_unjoined(&mut status, &group(), group().count, &one, at);
        let ended: Vec<&str> = status
            .ledger
            .iter()
            .flat_map(|b| &b.instances)
            .filter(|i| i.state == LedgerState::Terminating)
            .map(|i| i.id.as_str())
            .collect();
        assert_eq!(ended, ["i-017"], "the replacement gives way to another one");
    }

    #[test]
    fn one_that_joins_after_all_stays() {
        let mut status = with_live(17);
        let late = now() + seconds(600);
        let mut world = with_nodes(16, late);
        assert_eq!(intended(&mut status, &world, late), 1);
        came(&mut status, &mut world, late);
        let world = with_nodes(17, late);
        record_results(&mut status, &world, &run(), late);
        replace_unjoined(&mut status, &group(), group().count, &world, late);
        assert_eq!(launched(&status, "burst"), 18, "the other one goes with the release");
        assert_eq!(intended(&mut status, &world, late), 0);
    }

    #[test]
    fn a_joined_machine_that_is_not_ready_for_two_minutes_is_replaced_before_all_others() {
        let mut status = with_live(17);
        let mut world = with_nodes(17, now());
        record_results(&mut status, &world, &run(), now());
        let since = now() + seconds(300);
        let node = world.nodes.get_mut("i-004").unwrap();
        (node.ready, node.not_ready_since) = (false, Some(since));
        for (after, launched) in [(119, 0), (120, 1)] {
            let at = since + seconds(after);
            world.nodes_as_of = Some(at);
            assert_eq!(intended(&mut status, &world, at), launched);
        }
        let at = since + seconds(120);
        came(&mut status, &mut world, at);
        replace_unjoined(&mut status, &group(), group().count, &world, at);
        assert_eq!(status.living().count(), 18, "nothing goes before its replacement has come");
        let ready = world.nodes["i-000"].clone();
        world.nodes.insert("i-017".into(), ready);
        replace_unjoined(&mut status, &group(), group().count, &world, at);
        let ended = acts(&recorded(&status), &world, at);
        assert!(
            matches!(ended.as_slice(), [MachineAct::Terminate { ids, .. }] if ids == &["i-004"]),
            "{ended:?}"
        );
        assert_eq!(launch::ever(&status, "burst"), 18);
    }
}
