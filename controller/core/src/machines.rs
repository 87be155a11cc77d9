//! The ledger of instances (`status.ledger`).
//!
//! The planner records the intent before each launch call, keeps the instances of a partial
//! success, and terminates only instances of the ledger. The reconciler persists each record before
//! the call.

pub mod follow;
pub mod gate;
pub mod join;
pub mod launch;
pub mod sweep;
pub mod terminate;

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::Instant;
use crate::machines::launch::RESENT_FOR;
use crate::machines::terminate::DRAIN_TIME;
use crate::output::MachineAct;
use crate::state::announcement::Workload;
use crate::state::ledger::{Batch, LedgerInstance, LedgerState};
use crate::state::observed::{Instance, InstanceState, LaunchAnswer, Node, RefusalClass};
use crate::state::run::RunRecord;
use crate::state::world::World;

/// What the calls for a ledger need beside the run and the world.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Pods of each target that may be evicted now without leaving fewer ready pods than needed.
    pub spare: BTreeMap<Workload, u32>,
    /// What the machines of a run in release wait for.
    pub way: Way,
    /// Expiry that the instances of the run are to carry.
    pub expires: Instant,
}

/// Whether the machines of a run go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The run needs its machines: no release, a `Hold` override, or a load that has come back. Nodes
    /// that the operator has cordoned are opened again.
    Stay,
    /// Nothing may be lowered now, or a signal is unknown: nothing is cordoned, evicted or opened.
    Wait,
    /// The event goes on, and the plan needs fewer machines: those that drain are emptied, and all
    /// others are open.
    Follow,
    /// The machines go, step by step.
    Go,
}

/// Least time by which the expiry tag must fall short before the planner renews the tag.
const RENEW_SLACK: TimeDelta = TimeDelta::hours(1);

/// Returns the cloud and Node calls for the ledger of a run.
///
/// The function reads `status.ledger` of the persisted run and ignores entries that are planned in
/// the same pass. Each call therefore has a persisted intent.
#[must_use]
pub fn acts(run: &RunRecord, world: &World, terms: &Terms, now: Instant) -> Vec<MachineAct> {
    let persisted = &run.status;
    let mut acts: Vec<_> = launches(run, world, now).collect();
    let in_state = |state| {
        persisted.ledger.iter().flat_map(|b| &b.instances).filter(move |i| i.state == state)
    };
    let unseen =
        persisted.release.as_ref().is_some_and(|r| !join::looked_since(world, r.start_time, now));
    if unseen && in_state(LedgerState::Live).any(|i| !world.nodes.contains_key(&i.id)) {
        acts.push(MachineAct::LookAtNodes);
    }
    let live = in_state(LedgerState::Live).filter_map(|i| world.nodes.get(&i.id));
    match terms.way {
        Way::Go => {
            let begun = persisted.release.as_ref().is_some_and(|r| r.machines_time.is_some());
            let open = live.filter(|n| begun && !n.unschedulable);
            acts.extend(open.map(|n| MachineAct::Cordon { node: n.name.clone() }));
            acts.extend(drains(in_state(LedgerState::Draining), world, terms, now));
        }
        Way::Wait if persisted.release.is_some() => {}
        // Within the event, each machine that is not being emptied is open.
        // mutate: cordon-stays
        Way::Stay | Way::Follow | Way::Wait => {
            let ours = live.filter(|n| n.unschedulable && n.cordoned_by_us);
            acts.extend(ours.map(|n| MachineAct::Uncordon { node: n.name.clone() }));
            if terms.way == Way::Follow {
                acts.extend(drains(in_state(LedgerState::Draining), world, terms, now));
            }
        }
    }
    let missed: Vec<_> = launch::missed(run, world).iter().map(|i| i.id.clone()).collect();
    if !missed.is_empty() {
        acts.push(MachineAct::Ask { ids: missed });
    }
    acts.extend(renewal(run, world, terms.expires));
    // An instance may have joined after the planner persisted the termination. The planner does not
    // terminate an instance whose Node is not cordoned, because pods may run there.
    let seen = |b: &&Batch| world.cloud.place.as_ref().is_none_or(|place| b.is_of(place));
    let ended = persisted.ledger.iter().filter(seen).flat_map(|b| &b.instances);
    let ended = ended.filter(|i| i.state == LedgerState::Terminating);
    let ended =
        ended.filter(|i| world.is_stopped(&run.uid, &i.id) || !join::is_open(world, &i.id, now));
    let ids: Vec<_> = ended.map(|i| i.id.clone()).collect();
    if !ids.is_empty() {
        acts.push(MachineAct::Terminate { ids, run_uid: run.uid.clone() });
    }
    acts
}

/// Returns the launch calls of the open entries.
fn launches<'a>(
    run: &'a RunRecord,
    world: &'a World,
    now: Instant,
) -> impl Iterator<Item = MachineAct> + 'a {
    let answered = |b: &Batch| {
        let answer = world.launches.get(&b.token);
        match answer {
            Some(LaunchAnswer::Came { .. }) => true,
            Some(LaunchAnswer::Refused(refusal)) => {
                refusal.class != RefusalClass::Invalid || !launch::is_unsure(b, world)
            }
            Some(LaunchAnswer::Unheard(_) | LaunchAnswer::Unknown(_)) | None => false,
        }
    };
    let here = |b: &Batch| world.cloud.place.as_ref().is_some_and(|place| b.is_of(place));
    let open = run.status.ledger.iter().filter(move |b| !b.settled && !answered(b) && here(b));
    // Where no call can have had an effect, nothing speaks against a later one.
    open.filter(move |b| {
        let may = now < b.time + RESENT_FOR || !launch::is_unsure(b, world);
        world.may_launch && may
    })
    // A run in release starts no instances. `record_results` finds the instances of an open
    // entry by tag, or `terminate_step` closes the entry.
    .filter(|_| run.status.release.is_none())
    // mutate: token-different-each-attempt
    .map(|b| MachineAct::Launch { batch: Box::new(b.clone()), run_uid: run.uid.clone() })
}

/// Returns a drain for each draining instance, and divides the pods that may be evicted among them.
fn drains<'a>(
    draining: impl Iterator<Item = &'a LedgerInstance>,
    world: &World,
    terms: &Terms,
    now: Instant,
) -> Vec<MachineAct> {
    let nodes: Vec<_> = draining.filter_map(|i| Some((i, world.nodes.get(&i.id)?))).collect();
    let many = u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1);
    let share = |n: u32, all: u32| all / many + u32::from(n < all % many);
    let drain = |(n, (instance, node)): (u32, &(&LedgerInstance, &Node))| MachineAct::Drain {
        node: node.name.clone(),
        open: !node.unschedulable,
        // mutate: evicted-below-what-is-needed
        spare: terms.spare.iter().map(|(w, all)| (w.clone(), share(n, *all))).collect(),
        // Within the event no pod is deleted.
        overdue: terms.way == Way::Go
            && now >= terminate::draining_since(instance, world) + DRAIN_TIME,
    };
    (0..).zip(&nodes).map(drain).collect()
}

/// Returns the renewal of the expiry tags that end too early.
///
/// The tag is what ends an instance that has lost its operator, so it must not end an instance of a
/// run that goes on.
fn renewal(run: &RunRecord, world: &World, expires: Instant) -> Option<MachineAct> {
    let (_, fleet, _) = world.fleet(&run.uid)?;
    let early = |i: &&Instance| {
        let early = i.expires.is_none_or(|at| at < expires - RENEW_SLACK);
        i.state != InstanceState::Terminated && early
    };
    let ids: Vec<_> = fleet.instances.iter().filter(early).map(|i| i.id.clone()).collect();
    (!ids.is_empty()).then_some(MachineAct::Renew { ids, expires })
}

#[cfg(test)]
pub(crate) mod tests;
