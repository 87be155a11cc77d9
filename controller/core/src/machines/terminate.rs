//! Removal of machines at release.
//!
//! The planner drains a bounded share of the Nodes, terminates the instances, and waits until the
//! cloud shows each instance as terminated.

use chrono::TimeDelta;

use crate::Instant;
use crate::machines::join::{is_broken, is_open, looked_since};
use crate::machines::launch::{STRIKE_AFTER, close_unresolved};
use crate::state::announcement::ReleasePace;
use crate::state::ledger::{Batch, LedgerInstance, LedgerState};
use crate::state::observed::{KeptBy, Node, Presence};
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

/// Moves the instances of a run in release one step towards `Terminated`. Returns the time of the
/// next step, if instances have to wait.
///
/// The planner drains a Node first, even a Node that joins before the shell has sent the
/// termination. The planner terminates an instance without a Node at once. A missing Node counts
/// only if the shell requested a recent list of Nodes after the release began. A watch may have
/// missed the Node, and pods may run on that Node.
///
/// `pace` is `spec.event.release` of the run and bounds the number of instances per step. A mistake
/// thus ends few instances. The waiting instances are cordoned and get no new pods.
pub fn terminate_step(
    status: &mut RunStatus,
    world: &World,
    run: &RunRecord,
    pace: ReleasePace,
    now: Instant,
) -> Option<Instant> {
    // The silence of the cloud counts from the start of the release, because a launch call may have
    // been in flight.
    let quiet_from = status.release.as_ref().map_or(now, |r| r.start_time);
    let last = status.release.as_ref().and_then(|r| r.machines_time);
    let waits = last.is_some_and(|last| now < last + pace.step_time);
    let mut may_go = if waits { 0 } else { stride(status, pace) };
    let looked = looked_since(world, quiet_from, now);
    let (mut went, mut wait) = (false, false);
    for batch in &mut status.ledger {
        // mutate: struck-too-early
        let silent = world.fleet(&run.uid).is_some_and(|(place, _, at)| {
            batch.is_of(place) && at - batch.time.max(quiet_from) >= STRIKE_AFTER
        });
        if !batch.settled && silent {
            close_unresolved(batch);
        }
        for instance in batch.instances.iter_mut().filter(|i| i.state == LedgerState::Live) {
            let node = world.nodes.get(&instance.id);
            // mutate: instance-no-list-believed
            if may_go == 0 || (node.is_none() && !looked) {
                wait = true;
                continue;
            }
            may_go -= 1;
            went = true;
            instance.state =
                if node.is_some() { LedgerState::Draining } else { LedgerState::Terminating };
            instance.since = now;
        }
    }
    terminate_drained(status, world, now);
    if let Some(release) = status.release.as_mut().filter(|_| went) {
        release.machines_time = Some(now);
    }
    let last = status.release.as_ref().and_then(|r| r.machines_time);
    last.filter(|_| wait).map(|last| last + pace.step_time)
}

/// Drain deadline: time after which the pods of a draining Node are deleted, whatever their
/// `PodDisruptionBudget`s say. Pods that a target needs stay. After twice the time the instance is
/// terminated with what is left.
///
/// A budget that never yields, or a pod that tolerates the cordon, would otherwise keep a machine for
/// ever.
pub const DRAIN_TIME: TimeDelta = TimeDelta::minutes(15);

/// Returns the time from which the drain deadline counts. A process that has just started, or has just
/// become leader, has not evicted anything before `may_lower_from`.
#[must_use]
pub fn draining_since(instance: &LedgerInstance, world: &World) -> Instant {
    instance.since.max(world.may_lower_from)
}

/// Marks a draining instance as `Terminating` if the Node is gone, or is cordoned and has no pods
/// left, or has been draining for twice [`DRAIN_TIME`].
pub fn terminate_drained(status: &mut RunStatus, world: &World, now: Instant) {
    let draining = |i: &&mut LedgerInstance| i.state == LedgerState::Draining;
    for instance in status.ledger.iter_mut().flat_map(|b| &mut b.instances).filter(draining) {
        let node = world.nodes.get(&instance.id);
        // Without a list of Nodes a missing Node says nothing: `machines.enabled` may be off.
        let unlisted = node.is_none() && world.nodes_as_of.is_none();
        // mutate: drain-never-ends
        let since = draining_since(instance, world);
        let over = now >= since + DRAIN_TIME * 2 && world.trusts_its_clock(now);
        // A deletion would bring back a pod that tolerates the cordon as an eviction does.
        let due = now >= since + DRAIN_TIME && world.trusts_its_clock(now);
        let returns = |node: &Node| due && matches!(node.kept_by, Some(KeptBy::CameBack(_)));
        let empty = |node: &Node| {
            let empty = node.pods_left == Some(0) || over || returns(node);
            node.unschedulable && (empty || is_broken(node, now))
        };
        if !unlisted && node.is_none_or(empty) {
            instance.state = LedgerState::Terminating;
            instance.since = now;
        }
    }
}

/// Takes back the termination of an instance that joined after the planner chose the instance, if the
/// Node is not cordoned: the instance is drained in a release, and stays otherwise.
///
/// The shell may not have sent the termination yet. If the shell has sent the call, the cloud will
/// list the instance as terminated.
pub fn spare_what_has_joined(status: &mut RunStatus, run: &RunRecord, world: &World, now: Instant) {
    let state = if status.release.is_some() { LedgerState::Draining } else { LedgerState::Live };
    for instance in status.ledger.iter_mut().flat_map(|b| &mut b.instances) {
        let ends = instance.state == LedgerState::Terminating;
        if ends && is_open(world, &instance.id, now) && !world.is_stopped(&run.uid, &instance.id) {
            (instance.state, instance.since) = (state, now);
        }
    }
}

/// Returns the deadlines of the instances that are on their way down.
pub fn deadlines<'a>(
    status: &'a RunStatus,
    world: &'a World,
) -> impl Iterator<Item = Instant> + 'a {
    status.living().flat_map(|i| match i.state {
        LedgerState::Draining => {
            let since = draining_since(i, world);
            vec![since + DRAIN_TIME, since + DRAIN_TIME * 2]
        }
        LedgerState::Terminating => vec![i.since + END_TIME],
        LedgerState::Live | LedgerState::Terminated => Vec::new(),
    })
}

/// Time after the decision on a termination within which the cloud is to show the instance as
/// terminated.
const END_TIME: TimeDelta = TimeDelta::minutes(10);

/// Returns the number of instances that should be gone and are not: not empty at the drain deadline,
/// not terminated ten minutes after the decision, without our tags, or of another place.
#[must_use]
pub fn not_given_back(run: &RunRecord, world: &World, now: Instant) -> u32 {
    let place = world.cloud.place.as_ref();
    let stuck = |batch: &Batch, i: &LedgerInstance| {
        let asked = world.asked.get(&i.id);
        let untagged = asked.is_some_and(|asked| asked.presence == Presence::Untagged);
        let elsewhere = place.is_some_and(|place| !batch.is_of(place));
        match i.state {
            LedgerState::Draining => now >= draining_since(i, world) + DRAIN_TIME,
            LedgerState::Terminating => untagged || elsewhere || now >= i.since + END_TIME,
            LedgerState::Live => run.status.release.is_some() && (untagged || elsewhere),
            LedgerState::Terminated => false,
        }
    };
    let each = run.status.ledger.iter();
    let all = each.map(|b| b.instances.iter().filter(|i| stuck(b, i)).count()).sum::<usize>();
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// Restarts the drain deadline of all draining instances shortly before it ends, because the pods on
/// their Nodes are of the floor of another run, or a target or a signal is unknown.
pub fn put_off(status: &mut RunStatus, now: Instant) {
    let near = |i: &&mut LedgerInstance| {
        let near = now >= i.since + DRAIN_TIME - TimeDelta::minutes(1);
        i.state == LedgerState::Draining && near
    };
    let all = status.ledger.iter_mut().flat_map(|b| &mut b.instances);
    all.filter(near).for_each(|instance| instance.since = now);
}

/// Keeps the instances that drain, because the release was withdrawn.
pub fn keep(status: &mut RunStatus, now: Instant) {
    for instance in status.ledger.iter_mut().flat_map(|b| &mut b.instances) {
        if instance.state == LedgerState::Draining {
            instance.state = LedgerState::Live;
            instance.since = now;
        }
    }
}

/// Returns the largest number of instances that may start to drain or terminate in one step.
///
/// The number is `release.stepPercent` of the instances present when the release began, and at
/// least 1.
pub(super) fn stride(status: &RunStatus, pace: ReleasePace) -> usize {
    let from = status.release.as_ref().map(|r| r.start_time);
    let there = |i: &&LedgerInstance| {
        i.state != LedgerState::Terminated || from.is_some_and(|from| i.since >= from)
    };
    let all = status.ledger.iter().flat_map(|b| &b.instances).filter(there).count();
    let percent = usize::try_from(pace.step_percent.clamp(1, 100)).unwrap_or(1);
    // mutate: machines-sent-away
    (all * percent / 100).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines::launch::record_results;
    use crate::machines::tests::{acts, instance, intended, now, recorded, run, shown, with_live};
    use crate::machines::{Terms, Way};
    use crate::output::MachineAct;
    use crate::run::release;
    use crate::seconds;
    use crate::state::observed::{InstanceState, Node};
    use crate::state::release::ReleaseCause;

    const PACE: ReleasePace = ReleasePace { step_percent: 20, step_time: TimeDelta::seconds(120) };

    /// Returns a world whose list of Nodes is from `now`.
    fn looked() -> World {
        looked_at(now())
    }

    fn looked_at(at: Instant) -> World {
        World { nodes_as_of: Some(at), ..shown(Vec::new(), now()) }
    }

    fn node(pods_left: Option<u32>, unschedulable: bool) -> Node {
        Node {
            name: "ip-10-0-0-1".into(),
            ready: true,
            not_ready_since: None,
            unschedulable,
            cordoned_by_us: unschedulable,
            pods_left,
            kept_by: None,
        }
    }

    #[test]
    fn a_fifth_goes_at_a_time() {
        let mut status = with_live(17);
        status.release = Some(release::begin(ReleaseCause::LoadGone, &[], now()));
        let gone = |status: &RunStatus| {
            let all = status.ledger.iter().flat_map(|b| &b.instances);
            all.filter(|i| i.state != LedgerState::Live).count()
        };
        let mut at = now();
        for expected in [3, 6, 9, 12, 15, 17] {
            let next = terminate_step(&mut status, &looked_at(at), &run(), PACE, at);
            assert_eq!(gone(&status), expected);
            let later = at + seconds(119);
            terminate_step(&mut status, &looked_at(later), &run(), PACE, later);
            assert_eq!(gone(&status), expected, "nothing goes before the step is over");
            assert_eq!(next, (expected < 17).then(|| at + seconds(120)));
            at += seconds(120);
        }
    }

    #[test]
    fn an_instance_without_a_node_goes_once_the_nodes_were_listed_since_the_release_began() {
        let mut status = with_live(1);
        status.release = Some(release::begin(ReleaseCause::LoadGone, &[], now()));
        let before = World { nodes_as_of: Some(now() - seconds(1)), ..World::default() };
        for world in [World::default(), before] {
            terminate_step(&mut status, &world, &run(), PACE, now());
            assert_eq!(acts(&recorded(&status), &world, now()), [MachineAct::LookAtNodes]);
        }
        terminate_step(&mut status, &looked(), &run(), PACE, now());
        let acts = acts(&recorded(&status), &looked(), now());
        assert!(matches!(acts.as_slice(), [MachineAct::Terminate { .. }]), "{acts:?}");
    }

    #[test]
    fn a_list_counts_that_is_of_the_last_minute_and_of_this_release() {
        let before = now() - seconds(3600);
        assert!(looked_since(&looked_at(now() - seconds(60)), before, now()));
        assert!(!looked_since(&looked_at(now() - seconds(61)), before, now()));
        assert!(!looked_since(&looked_at(now() - seconds(1)), now(), now()));
        assert!(
            !looked_since(&looked_at(now()), now(), now() + seconds(61)),
            "one may have joined since"
        );
    }

    #[test]
    fn machines_that_wait_take_no_new_pods() {
        let mut status = with_live(2);
        status.release = Some(release::begin(ReleaseCause::LoadGone, &[], now()));
        let mut world = World::default();
        world.nodes.insert("i-000".into(), node(None, false));
        world.nodes.insert("i-001".into(), Node { name: "waits".into(), ..node(None, false) });
        assert!(acts(&recorded(&status), &world, now()).is_empty());
        terminate_step(&mut status, &world, &run(), PACE, now());
        let cordon = MachineAct::Cordon { node: "waits".into() };
        assert!(acts(&recorded(&status), &world, now()).contains(&cordon));
        world.nodes.insert("i-001".into(), Node { name: "waits".into(), ..node(None, true) });
        assert!(!acts(&recorded(&status), &world, now()).contains(&cordon));
    }

    #[test]
    fn a_node_is_drained_before_its_instance_is_terminated() {
        let mut status = with_live(1);
        status.release = Some(release::begin(ReleaseCause::LoadGone, &[], now()));
        let mut world = World::default();
        world.nodes.insert("i-000".into(), node(None, false));
        terminate_step(&mut status, &world, &run(), PACE, now());
        assert!(matches!(
            acts(&recorded(&status), &world, now()).as_slice(),
            [MachineAct::Drain { node, open: true, overdue: false, .. }] if node == "ip-10-0-0-1"
        ));
        world.nodes.insert("i-000".into(), node(Some(3), true));
        terminate_step(&mut status, &world, &run(), PACE, now());
        assert!(matches!(
            acts(&recorded(&status), &world, now()).as_slice(),
            [MachineAct::Drain { .. }]
        ));
        world.nodes.insert("i-000".into(), node(Some(0), true));
        terminate_step(&mut status, &world, &run(), PACE, now());
        assert!(matches!(
            acts(&recorded(&status), &world, now()).as_slice(),
            [MachineAct::Terminate { .. }]
        ));
    }

    #[test]
    fn an_instance_that_joins_while_its_termination_waits_is_drained_first() {
        let mut status = with_live(1);
        status.release = Some(release::begin(ReleaseCause::LoadGone, &[], now()));
        let asked = |status: &RunStatus, world: &World| acts(&recorded(status), world, now());
        terminate_step(&mut status, &looked(), &run(), PACE, now());
        assert!(matches!(asked(&status, &looked()).as_slice(), [MachineAct::Terminate { .. }]));
        let mut world = looked();
        world.nodes.insert("i-000".into(), node(Some(2), false));
        assert_eq!(asked(&status, &world), [], "what is on record asks for its end, and is open");
        spare_what_has_joined(&mut status, &run(), &world, now());
        assert!(matches!(asked(&status, &world).as_slice(), [MachineAct::Drain { .. }]));
        let later = now() + seconds(1);
        terminate_drained(&mut status, &world, later);
        assert!(matches!(asked(&status, &world).as_slice(), [MachineAct::Drain { .. }]));
        world.nodes.insert("i-000".into(), node(Some(0), true));
        terminate_drained(&mut status, &world, later);
        assert!(matches!(asked(&status, &world).as_slice(), [MachineAct::Terminate { .. }]));
        // The planner keeps a cordoned Node chosen for termination for as long as the cache lists
        // the Node.
        spare_what_has_joined(&mut status, &run(), &world, later);
        assert!(matches!(asked(&status, &world).as_slice(), [MachineAct::Terminate { .. }]));
    }

    #[test]
    fn an_instance_is_struck_only_when_the_cloud_shows_it_terminated() {
        let mut status = with_live(1);
        let world = looked();
        terminate_step(&mut status, &world, &run(), PACE, now());
        terminate_step(&mut status, &world, &run(), PACE, now() + seconds(3600));
        assert!(status.owes_machines());
        let token = status.ledger.last().unwrap().token.clone();
        let gone = vec![instance("i-000", &token, InstanceState::Terminated)];
        record_results(&mut status, &shown(gone, now()), &run(), now());
        assert!(!status.owes_machines());
    }

    /// Two minutes are less than the lag of a bad day.
    #[test]
    fn an_open_entry_is_struck_when_the_cloud_stays_silent_for_a_quarter_of_an_hour() {
        let mut status = RunStatus::default();
        intended(&mut status, now());
        status.release = Some(release::begin(ReleaseCause::Deleted, &[], now()));
        for (after, owes) in [(STRIKE_AFTER - seconds(1), true), (STRIKE_AFTER, false)] {
            let world = shown(Vec::new(), now() + after);
            terminate_step(&mut status, &world, &run(), PACE, now());
            assert_eq!(status.owes_machines(), owes);
        }
    }

    /// A `PodDisruptionBudget` that never yields, and pods that come back to the cordoned Node.
    #[test]
    fn a_drain_ends_at_its_deadline() {
        let mut status = with_live(1);
        status.release = Some(release::begin(ReleaseCause::LoadGone, &[], now()));
        let mut world = looked();
        world.nodes.insert("i-000".into(), node(Some(2), false));
        terminate_step(&mut status, &world, &run(), PACE, now());
        world.nodes.insert("i-000".into(), node(Some(2), true));
        let late = World { may_lower_from: now() + DRAIN_TIME, ..world.clone() };
        let mut waits = status.clone();
        terminate_drained(&mut waits, &late, now() + DRAIN_TIME * 2);
        assert_eq!(waits, status, "a process that has just begun has evicted nothing");
        let act = |status: &RunStatus, world: &World, after| {
            let at = now() + after;
            let mut status = status.clone();
            terminate_drained(&mut status, &World { may_lower_from: now(), ..world.clone() }, at);
            acts(&recorded(&status), world, at).remove(0)
        };
        let second = seconds(1);
        for (after, late) in [(DRAIN_TIME - second, false), (DRAIN_TIME, true)] {
            assert!(matches!(act(&status, &world, after),
                MachineAct::Drain { overdue, .. } if overdue == late));
        }
        assert!(matches!(act(&status, &world, DRAIN_TIME * 2), MachineAct::Terminate { .. }));
        let back = Some(KeptBy::CameBack(vec!["stubborn".into()]));
        world.nodes.insert("i-000".into(), Node { kept_by: back, ..node(Some(2), true) });
        assert!(matches!(act(&status, &world, DRAIN_TIME - second), MachineAct::Drain { .. }));
        assert!(matches!(act(&status, &world, DRAIN_TIME), MachineAct::Terminate { .. }));
    }

    #[test]
    fn the_pods_that_may_be_evicted_are_divided_among_the_nodes_that_drain() {
        let mut status = with_live(3);
        let mut world = looked();
        for n in 0..3 {
            let node = Node { name: format!("n{n}"), ..node(Some(9), true) };
            world.nodes.insert(format!("i-00{n}"), node);
        }
        status.ledger[0].instances.iter_mut().for_each(|i| i.state = LedgerState::Draining);
        let web = crate::fixtures::workload("web");
        let terms = Terms { spare: [(web.clone(), 5)].into(), way: Way::Go, expires: now() };
        let acts = crate::machines::acts(&recorded(&status), &world, &terms, now());
        let spare = acts.iter().filter_map(|act| match act {
            MachineAct::Drain { spare, .. } => spare.get(&web).copied(),
            _ => None,
        });
        assert_eq!(spare.collect::<Vec<_>>(), [2, 2, 1]);
    }

    #[test]
    fn a_release_that_is_withdrawn_opens_the_nodes_again() {
        let mut status = with_live(2);
        status.ledger[0].instances[0].state = LedgerState::Draining;
        keep(&mut status, now());
        let mut world = shown(Vec::new(), now());
        let closed = Node { name: "ours".into(), ..node(None, true) };
        let theirs = Node { name: "theirs".into(), cordoned_by_us: false, ..closed.clone() };
        world.nodes.insert("i-000".into(), closed);
        world.nodes.insert("i-001".into(), theirs);
        let opened = MachineAct::Uncordon { node: "ours".into() };
        assert_eq!(acts(&recorded(&status), &world, now()), [opened], "what others closed stays");
    }
}
