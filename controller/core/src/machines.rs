//! The ledger of instances (`status.ledger`).
//!
//! The planner records the intent before each launch call, keeps the instances of a partial
//! success, and terminates only instances of the ledger. The reconciler persists each record before
//! the call.

pub mod gate;
pub mod join;
pub mod launch;
pub mod terminate;

use crate::Instant;
use crate::machines::launch::RESENT_FOR;
use crate::output::MachineAct;
use crate::state::ledger::LedgerState;
use crate::state::run::RunRecord;
use crate::state::world::World;

/// Returns the cloud and Node calls for the ledger of a run.
///
/// The function reads `status.ledger` of the persisted run and ignores entries that are planned in
/// the same pass. Each call therefore has a persisted intent.
#[must_use]
pub fn acts(run: &RunRecord, world: &World, now: Instant) -> Vec<MachineAct> {
    let persisted = &run.status;
    let mut acts: Vec<_> = persisted
        .ledger
        .iter()
        .filter(|b| !b.settled && !world.launches.contains_key(&b.token))
        .filter(|b| world.may_launch && now < b.time + RESENT_FOR)
        // A run in release starts no instances. `record_results` finds the instances of an open
        // entry by tag, or `terminate_step` closes the entry.
        .filter(|_| persisted.release.is_none())
        // mutate: token-different-each-attempt
        .map(|b| MachineAct::Launch { batch: Box::new(b.clone()), run_uid: run.uid.clone() })
        .collect();
    let in_state = |state| {
        persisted.ledger.iter().flat_map(|b| &b.instances).filter(move |i| i.state == state)
    };
    let unseen =
        persisted.release.as_ref().is_some_and(|r| !join::looked_since(world, r.start_time, now));
    if unseen && in_state(LedgerState::Live).any(|i| !world.nodes.contains_key(&i.id)) {
        acts.push(MachineAct::LookAtNodes);
    }
    if persisted.release.as_ref().is_some_and(|r| r.machines_time.is_some()) {
        acts.extend(in_state(LedgerState::Live).filter_map(|i| {
            let node = world.nodes.get(&i.id).filter(|n| !n.unschedulable)?;
            Some(MachineAct::Cordon { node: node.name.clone() })
        }));
    }
    acts.extend(in_state(LedgerState::Draining).filter_map(|i| {
        let node = world.nodes.get(&i.id)?;
        Some(MachineAct::Drain { node: node.name.clone() })
    }));
    // An instance may have joined after the planner persisted the termination. The planner does not
    // terminate an instance whose Node is not cordoned, because pods may run there.
    let ended = in_state(LedgerState::Terminating).filter(|i| !join::is_open(world, &i.id));
    let ids: Vec<_> = ended.map(|i| i.id.clone()).collect();
    if !ids.is_empty() {
        acts.push(MachineAct::Terminate { ids, run_uid: run.uid.clone() });
    }
    acts
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::machines::join::launched;
    use crate::machines::launch::{
        MAX_ATTEMPTS, record_intent, record_results, retry_after, token,
    };
    use crate::seconds;
    use crate::state::announcement::{MachineGroup, Window};
    use crate::state::ledger::Launch;
    use crate::state::observed::{Fleet, Instance, LaunchAnswer, Refusal, RefusalClass, Seen};
    use crate::state::run::RunStatus;
    use chrono::TimeZone;

    const CLUSTER: &str = "paris";

    pub(crate) fn now() -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 19, 0, 0).unwrap()
    }

    pub(crate) fn group() -> MachineGroup {
        MachineGroup { name: "burst".into(), class: "paris-burst".into(), count: 17 }
    }

    pub(crate) fn launch() -> Launch {
        let block = [("template".to_owned(), "lt-1".into())].into();
        Launch { provider: None, block }
    }

    pub(crate) fn run() -> RunRecord {
        RunRecord {
            name: "capital-1".into(),
            uid: "0f5c3b9e-1111-2222-3333-444455556666".into(),
            surge: "capital".into(),
            owner: None,
            surge_generation: None,
            deletion_time: None,
            collected: false,
            guarded: true,
            time_zone: None,
            event: None,
            decoded: true,
            window: Window { ready_by: now(), start: now(), end: now() },
            announcement: Err("not needed here".into()),
            status: RunStatus::default(),
        }
    }

    /// Returns a run with the given persisted status.
    pub(crate) fn recorded(status: &RunStatus) -> RunRecord {
        RunRecord { status: status.clone(), ..run() }
    }

    pub(crate) fn intended(status: &mut RunStatus, at: Instant) {
        let world = World { cluster: CLUSTER.into(), ..World::default() };
        record_intent(status, &run(), &group(), &launch(), u32::MAX, &world, at);
    }

    fn ids(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("i-{i:03}")).collect()
    }

    fn answered(world: &mut World, status: &RunStatus, answer: LaunchAnswer) {
        world.launches.insert(status.ledger.last().unwrap().token.clone(), answer);
    }

    fn refusal(class: RefusalClass) -> Refusal {
        Refusal { class, message: "InsufficientInstanceCapacity: none left".into() }
    }

    #[test]
    fn tokens_are_stable_distinct_and_short_enough() {
        let uid = &run().uid;
        let one = token(CLUSTER, uid, "burst", 1);
        assert_eq!(one, token(CLUSTER, uid, "burst", 1));
        assert_ne!(one, token(CLUSTER, uid, "burst", 2));
        assert_ne!(one, token("london", uid, "burst", 1));
        assert!(token(CLUSTER, uid, "burst", MAX_ATTEMPTS).len() <= 64);
    }

    #[test]
    fn the_intent_stands_in_the_ledger_before_the_call_and_only_once() {
        let on = World { may_launch: true, ..World::default() };
        let mut status = RunStatus::default();
        assert!(acts(&recorded(&status), &World::default(), now()).is_empty());
        intended(&mut status, now());
        intended(&mut status, now());
        assert_eq!(status.ledger.len(), 1);
        assert!(matches!(
            acts(&recorded(&status), &on, now()).as_slice(),
            [MachineAct::Launch { batch, .. }] if batch.count == 17 && batch.launch == launch()
        ));
    }

    #[test]
    fn partial_success_is_kept_and_only_the_rest_is_asked_for_again() {
        let mut status = RunStatus::default();
        let mut world = World::default();
        intended(&mut status, now());
        let shortfall = Some(refusal(RefusalClass::Capacity));
        answered(&mut world, &status, LaunchAnswer::Came { ids: ids(10), shortfall });
        record_results(&mut status, &world, &run(), now());
        assert_eq!(launched(&status, "burst"), 10);
        intended(&mut status, now() + seconds(1));
        assert_eq!(status.ledger.len(), 1, "it waits before it asks again");
        intended(&mut status, now() + seconds(2));
        assert_eq!(status.ledger.last().map(|b| (b.attempt, b.count)), Some((2, 7)));
    }

    #[test]
    fn a_lost_answer_is_found_by_its_tag() {
        let mut status = RunStatus::default();
        intended(&mut status, now());
        let token = status.ledger.last().unwrap().token.clone();
        let instances = ids(17)
            .into_iter()
            .map(|id| Instance { id, token: token.clone(), terminated: false })
            .collect();
        let mut world = World::default();
        world.fleets.insert(run().uid, Seen::Known(Fleet { instances, at: now() }.into()));
        record_results(&mut status, &world, &run(), now());
        assert_eq!(launched(&status, "burst"), 17);
        assert!(acts(&recorded(&status), &world, now()).is_empty());
    }

    #[test]
    fn quota_is_not_asked_again_as_soon_as_capacity() {
        assert!(retry_after(RefusalClass::Quota, 1) > retry_after(RefusalClass::Capacity, 1));
        assert_eq!(retry_after(RefusalClass::Capacity, 40), seconds(60));
    }

    #[test]
    fn attempts_are_bounded() {
        let mut status = RunStatus::default();
        let mut at = now();
        for _ in 0..100 {
            at += seconds(600);
            intended(&mut status, at);
            let mut world = World::default();
            answered(&mut world, &status, LaunchAnswer::Refused(refusal(RefusalClass::Quota)));
            record_results(&mut status, &world, &run(), at);
        }
        assert_eq!(status.ledger.last().unwrap().attempt, MAX_ATTEMPTS);
        assert!(status.ledger.len() <= 2);
    }

    pub(crate) fn with_live(n: usize) -> RunStatus {
        let mut status = RunStatus::default();
        let mut world = World::default();
        intended(&mut status, now());
        answered(&mut world, &status, LaunchAnswer::Came { ids: ids(n), shortfall: None });
        record_results(&mut status, &world, &run(), now());
        status
    }
}
