//! Removal of machines at release.
//!
//! The planner drains a bounded share of the Nodes, terminates the instances, and waits until the
//! cloud shows each instance as terminated.

use crate::Instant;
use crate::machines::join::{is_open, looked_since};
use crate::machines::launch::{STRIKE_AFTER, close_unresolved};
use crate::state::announcement::ReleasePace;
use crate::state::ledger::{LedgerInstance, LedgerState};
use crate::state::observed::Seen;
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
    let fleet_at = match world.fleets.get(&run.uid) {
        Some(Seen::Known(fleet)) => Some(fleet.at),
        _ => None,
    };
    // The silence of the cloud counts from the start of the release, because a launch call may have
    // been in flight.
    let quiet_from = status.release.as_ref().map_or(now, |r| r.start_time);
    let last = status.release.as_ref().and_then(|r| r.machines_time);
    let waits = last.is_some_and(|last| now < last + pace.step_time);
    let mut may_go = if waits { 0 } else { stride(status, pace) };
    let looked = looked_since(world, quiet_from, now);
    let (mut went, mut wait) = (false, false);
    for batch in &mut status.ledger {
        let silent = fleet_at.is_some_and(|at| at - batch.time.max(quiet_from) >= STRIKE_AFTER);
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

/// Marks a draining instance as `Terminating` if the Node is gone, or is cordoned and has no pods
/// left.
pub fn terminate_drained(status: &mut RunStatus, world: &World, now: Instant) {
    let draining = |i: &&mut LedgerInstance| i.state == LedgerState::Draining;
    for instance in status.ledger.iter_mut().flat_map(|b| &mut b.instances).filter(draining) {
        let node = world.nodes.get(&instance.id);
        // Without a list of Nodes a missing Node says nothing: `machines.enabled` may be off.
        let unlisted = node.is_none() && world.nodes_as_of.is_none();
        if !unlisted && node.is_none_or(|node| node.unschedulable && node.pods_left == Some(0)) {
            instance.state = LedgerState::Terminating;
            instance.since = now;
        }
    }
}

/// Drains an instance that joined after the planner chose the instance for termination, if the Node
/// is not cordoned.
///
/// The shell may not have sent the termination yet. If the shell has sent the call, the cloud will
/// list the instance as terminated.
pub fn drain_what_has_joined(status: &mut RunStatus, world: &World, now: Instant) {
    for instance in status.ledger.iter_mut().flat_map(|b| &mut b.instances) {
        if instance.state == LedgerState::Terminating && is_open(world, &instance.id) {
            instance.state = LedgerState::Draining;
            instance.since = now;
        }
    }
}

/// Returns the largest number of instances that may start to drain or terminate in one step.
///
/// The number is `release.stepPercent` of the instances present when the release began, and at
/// least 1.
fn stride(status: &RunStatus, pace: ReleasePace) -> usize {
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
    use crate::machines::acts;
    use crate::machines::launch::{FORGOTTEN_AFTER, record_results};
    use crate::machines::tests::{intended, now, recorded, run, with_live};
    use crate::output::MachineAct;
    use crate::run::release;
    use crate::seconds;
    use crate::state::observed::{Fleet, Instance, Node};
    use crate::state::release::ReleaseCause;
    use chrono::TimeDelta;

    const PACE: ReleasePace = ReleasePace { step_percent: 20, step_time: TimeDelta::seconds(120) };

    /// Returns a world whose list of Nodes is from `now`.
    fn looked() -> World {
        looked_at(now())
    }

    fn looked_at(at: Instant) -> World {
        World { nodes_as_of: Some(at), ..World::default() }
    }

    fn node(pods_left: Option<u32>, unschedulable: bool) -> Node {
        Node { name: "ip-10-0-0-1".into(), ready: true, unschedulable, pods_left }
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
        let mut world = World::default();
        world.nodes.insert("i-000".into(), node(None, false));
        terminate_step(&mut status, &world, &run(), PACE, now());
        assert_eq!(
            acts(&recorded(&status), &world, now()),
            [MachineAct::Drain { node: "ip-10-0-0-1".into() }]
        );
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
        drain_what_has_joined(&mut status, &world, now());
        assert!(matches!(asked(&status, &world).as_slice(), [MachineAct::Drain { .. }]));
        let later = now() + seconds(1);
        terminate_drained(&mut status, &world, later);
        assert!(matches!(asked(&status, &world).as_slice(), [MachineAct::Drain { .. }]));
        world.nodes.insert("i-000".into(), node(Some(0), true));
        terminate_drained(&mut status, &world, later);
        assert!(matches!(asked(&status, &world).as_slice(), [MachineAct::Terminate { .. }]));
        // The planner keeps a cordoned Node chosen for termination for as long as the cache lists
        // the Node.
        drain_what_has_joined(&mut status, &world, later);
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
        let gone = Instance { id: "i-000".into(), token, terminated: true };
        let mut world = World::default();
        world
            .fleets
            .insert(run().uid, Seen::Known(Fleet { instances: vec![gone], at: now() }.into()));
        record_results(&mut status, &world, &run(), now());
        assert!(!status.owes_machines());
    }

    #[test]
    fn an_instance_that_the_cloud_has_forgotten_is_gone() {
        let mut status = with_live(1);
        terminate_step(&mut status, &looked(), &run(), PACE, now());
        let mut forgotten = |after| {
            let mut world = World::default();
            let fleet = Fleet { instances: vec![], at: now() + after };
            world.fleets.insert(run().uid, Seen::Known(fleet.into()));
            record_results(&mut status, &world, &run(), now() + after);
            !status.owes_machines()
        };
        assert!(!forgotten(FORGOTTEN_AFTER - seconds(1)));
        assert!(forgotten(FORGOTTEN_AFTER));
    }

    #[test]
    fn an_open_entry_is_struck_when_the_cloud_stays_silent_long_enough() {
        let mut status = RunStatus::default();
        intended(&mut status, now());
        status.release = Some(release::begin(ReleaseCause::Deleted, &[], now()));
        let mut world = World::default();
        let silent = |at| Seen::Known(Fleet { instances: vec![], at }.into());
        world.fleets.insert(run().uid, silent(now() + seconds(119)));
        terminate_step(&mut status, &world, &run(), PACE, now());
        assert!(status.owes_machines());
        world.fleets.insert(run().uid, silent(now() + STRIKE_AFTER));
        terminate_step(&mut status, &world, &run(), PACE, now());
        assert!(!status.owes_machines());
    }
}
