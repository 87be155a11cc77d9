//! The ledger of instances: intent before the call, partial success kept, only our own terminated.

mod join;
mod wind_down;

use std::hash::Hasher;

use chrono::TimeDelta;
use siphasher::sip::SipHasher13;

use crate::Instant;
use crate::run::{Batch, Launch, LedgerInstance, LedgerState, RunRecord, RunStatus};
use crate::seconds;
use crate::surge::MachineGroup;
use crate::world::{Fleet, LaunchAnswer, Refusal, RefusalClass, Seen, World};

pub use join::{give_up, late_from, look, not_joined};
pub use wind_down::{STRIKE_AFTER, drain_what_has_joined, terminate_drained, wind_down};

/// A group gives up after this many calls in one run: an endless loop of launches is worse than a missing machine.
pub const MAX_ATTEMPTS: u32 = 30;

/// A call to the cloud or to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineAct {
    /// Start the instances of a ledger entry.
    Launch {
        /// The entry, as persisted.
        batch: Box<Batch>,
        /// Uid of the run: a tag.
        run_uid: String,
    },
    /// Keep new pods off a node that will go in a later step, so that none has to move twice.
    Cordon {
        /// Name of the node.
        node: String,
    },
    /// Cordon a node and evict what runs on it, PDBs respected.
    Drain {
        /// Name of the node.
        node: String,
    },
    /// List the nodes anew: an instance is not on the list that there is, and that may be the list's fault.
    LookAtNodes,
    /// Terminate instances. The shell checks the tags once more.
    Terminate {
        /// Ids from the ledger.
        ids: Vec<String>,
        /// Uid of the run, which their tags must carry.
        run_uid: String,
    },
}

/// The token of a ledger entry: at most 64 ASCII characters, the same for the same cluster, run, group and attempt.
#[must_use]
pub fn token(cluster: &str, run_uid: &str, group: &str, attempt: u32) -> String {
    // Not a secret, only short, and the same from release to release.
    let mut hasher = SipHasher13::new();
    for part in [cluster, "\0", group] {
        hasher.write(part.as_bytes());
    }
    format!("pt-{run_uid}-{:016x}-{attempt}", hasher.finish())
}

/// When the next call may be made after a refusal. Classes of trouble are answered differently.
/// No try waits longer for its next: see [`retry_after`].
const LONGEST_RETRY: TimeDelta = TimeDelta::seconds(300);

fn retry_after(class: RefusalClass, attempt: u32) -> TimeDelta {
    let doubling = |first: u32, most: u32| {
        seconds(first.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(most))
    };
    match class {
        RefusalClass::Capacity => doubling(2, 60),
        RefusalClass::Throttled => doubling(2, 30),
        RefusalClass::Quota | RefusalClass::Invalid => doubling(15, 300),
    }
}

/// An instance whose termination was asked for and that the cloud no longer shows for this long is gone: EC2 shows
/// terminated instances for about an hour and then forgets them.
pub const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(10);

/// An entry's call is repeated, with its token, for so long. How long EC2 remembers a token is not stated
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>): later only its tag tells what became of it.
pub const RESENT_FOR: TimeDelta = TimeDelta::minutes(10);

/// Closes an entry of which nobody knows whether more will come.
fn strike(batch: &mut Batch) {
    batch.settled = true;
    let came = batch.instances.len();
    batch.shortfall = Some(if came == 0 {
        "the cloud never showed an instance of this entry".to_owned()
    } else {
        format!("the cloud never showed more than {came} instances of this entry")
    });
}

/// Writes what the cloud said into the ledger.
pub fn settle(status: &mut RunStatus, world: &World, run: &RunRecord, now: Instant) {
    let fleet = world.fleets.get(&run.uid);
    let shown_at = match fleet {
        Some(Seen::Known(fleet)) => Some(fleet.at),
        _ => None,
    };
    for batch in &mut status.ledger {
        if let Some(Seen::Known(fleet)) = fleet {
            adopt(batch, fleet, now);
        }
        for instance in batch.instances.iter_mut().filter(|i| i.join_time.is_none()) {
            instance.join_time = world.nodes.contains_key(&instance.id).then_some(now);
        }
        if batch.settled {
            continue;
        }
        match world.launches.get(&batch.token) {
            Some(LaunchAnswer::Came { ids, shortfall }) => {
                for id in ids {
                    if !batch.instances.iter().any(|i| i.id == *id) {
                        let id = id.clone();
                        batch.instances.push(LedgerInstance {
                            id,
                            state: LedgerState::Live,
                            since: now,
                            join_time: None,
                        });
                    }
                }
                note_shortfall(batch, shortfall.as_ref(), now);
                batch.settled = true;
            }
            Some(LaunchAnswer::Refused(refusal)) => {
                note_shortfall(batch, Some(refusal), now);
                batch.settled = true;
            }
            // The call is not repeated any more, and the cloud has had the time to show what came of it.
            None if world.trusts_its_clock(now)
                && shown_at.is_some_and(|at| at >= batch.time + RESENT_FOR + STRIKE_AFTER) =>
            {
                strike(batch);
            }
            None => {}
        }
    }
}

fn note_shortfall(batch: &mut Batch, refusal: Option<&Refusal>, now: Instant) {
    let Some(refusal) = refusal else { return };
    batch.shortfall = Some(refusal.message.chars().take(300).collect());
    batch.retry_after_time = Some(now + retry_after(refusal.class, batch.attempt));
}

/// Takes over what the cloud shows under the entry's tag: also the answer to a call whose reply was lost.
fn adopt(batch: &mut Batch, fleet: &Fleet, now: Instant) {
    for seen in fleet.instances.iter().filter(|i| i.token == batch.token) {
        match batch.instances.iter_mut().find(|i| i.id == seen.id) {
            Some(known) if seen.terminated && known.state != LedgerState::Terminated => {
                known.state = LedgerState::Terminated;
                known.since = now;
            }
            Some(_) => {}
            None => batch.instances.push(LedgerInstance {
                id: seen.id.clone(),
                state: if seen.terminated { LedgerState::Terminated } else { LedgerState::Live },
                since: now,
                join_time: None,
            }),
        }
    }
    for known in &mut batch.instances {
        let asked_for = known.state == LedgerState::Terminating;
        let shown = fleet.instances.iter().any(|i| i.id == known.id);
        if asked_for && !shown && fleet.at - known.since >= FORGOTTEN_AFTER {
            known.state = LedgerState::Terminated;
            known.since = now;
        }
    }
    if !batch.settled && batch.instances.len() >= usize::try_from(batch.count).unwrap_or(usize::MAX)
    {
        batch.settled = true;
    }
}

/// How many instances of a group live.
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

/// How many of them have become Ready nodes.
#[must_use]
pub fn joined(status: &RunStatus, group: &str, world: &World) -> u32 {
    let joined = status
        .ledger
        .iter()
        .filter(|b| b.group == group)
        .flat_map(|b| &b.instances)
        .filter(|i| i.state == LedgerState::Live)
        .filter(|i| world.nodes.get(&i.id).is_some_and(|n| n.ready))
        .count();
    u32::try_from(joined).unwrap_or(u32::MAX)
}

/// Writes the intent of the next launch of a group into the ledger, if one is due: of what is missing, and of
/// replacements for what does not join.
pub fn intend(
    status: &mut RunStatus,
    run: &RunRecord,
    group: &MachineGroup,
    launch: &Launch,
    world: &World,
    now: Instant,
) {
    let entries = || status.ledger.iter().filter(|b| b.group == group.name);
    // A wait that is longer than any was written by a wrong clock.
    let waits = |t: Instant| now < t && t - now <= LONGEST_RETRY;
    if entries().any(|b| !b.settled || b.retry_after_time.is_some_and(waits)) {
        return;
    }
    let wanted = group.count + join::replacements(status, group, world, now);
    let missing = wanted.saturating_sub(launched(status, &group.name));
    let attempt = entries().map(|b| b.attempt).max().unwrap_or(0) + 1;
    if missing == 0 || attempt > MAX_ATTEMPTS {
        return;
    }
    // Entries that the cloud refused have told their story in the decision log. What it never showed it may show yet.
    let refused = |b: &Batch| b.settled && b.instances.is_empty() && b.retry_after_time.is_some();
    status.ledger.retain(|b| b.group != group.name || !refused(b));
    status.ledger.push(Batch {
        group: group.name.clone(),
        attempt,
        token: token(&world.cluster, &run.uid, &group.name, attempt),
        count: missing,
        time: now,
        launch: launch.clone(),
        settled: false,
        instances: Vec::new(),
        shortfall: None,
        retry_after_time: None,
    });
}

/// When a group's next launch may be tried, if it waits.
#[must_use]
pub fn next_try(status: &RunStatus, now: Instant) -> Option<Instant> {
    status.ledger.iter().filter_map(|b| b.retry_after_time).filter(|t| *t > now).min()
}

/// The calls that the persisted ledger asks for.
#[must_use]
pub fn acts(
    persisted: &RunStatus,
    run: &RunRecord,
    world: &World,
    now: Instant,
) -> Vec<MachineAct> {
    let mut acts: Vec<_> = persisted
        .ledger
        .iter()
        .filter(|b| !b.settled && !world.launches.contains_key(&b.token))
        .filter(|b| now < b.time + RESENT_FOR)
        // While a run is released nothing new is started: an open entry is found by its tag, or struck.
        .filter(|_| persisted.release.is_none())
        .map(|b| MachineAct::Launch { batch: Box::new(b.clone()), run_uid: run.uid.clone() })
        .collect();
    let in_state = |state| {
        persisted.ledger.iter().flat_map(|b| &b.instances).filter(move |i| i.state == state)
    };
    let unseen = persisted
        .release
        .as_ref()
        .is_some_and(|r| !wind_down::looked_since(world, r.start_time, now));
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
    // The record may be of before its instance joined.
    let ended = in_state(LedgerState::Terminating).filter(|i| !wind_down::is_open(world, &i.id));
    let ids: Vec<_> = ended.map(|i| i.id.clone()).collect();
    if !ids.is_empty() {
        acts.push(MachineAct::Terminate { ids, run_uid: run.uid.clone() });
    }
    acts
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::surge::Window;
    use crate::world::Instance;
    use chrono::TimeZone;

    const CLUSTER: &str = "paris";

    pub(crate) fn now() -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 19, 0, 0).unwrap()
    }

    pub(crate) fn group() -> MachineGroup {
        MachineGroup { name: "burst".into(), class: "paris-burst".into(), count: 17 }
    }

    pub(crate) fn launch() -> Launch {
        Launch {
            template: "lt-1".into(),
            template_version: "1".into(),
            instance_types: vec!["m6i.xlarge".into()],
            subnets: vec!["subnet-a".into()],
        }
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
            window: Window { ready_by: now(), start: now(), end: now() },
            announcement: Err("not needed here".into()),
            status: RunStatus::default(),
        }
    }

    pub(crate) fn intended(status: &mut RunStatus, at: Instant) {
        let world = World { cluster: CLUSTER.into(), ..World::default() };
        intend(status, &run(), &group(), &launch(), &world, at);
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
        let mut status = RunStatus::default();
        assert!(acts(&status, &run(), &World::default(), now()).is_empty());
        intended(&mut status, now());
        intended(&mut status, now());
        assert_eq!(status.ledger.len(), 1);
        assert!(matches!(
            acts(&status, &run(), &World::default(), now()).as_slice(),
            [MachineAct::Launch { batch, .. }] if batch.count == 17
        ));
    }

    #[test]
    fn partial_success_is_kept_and_only_the_rest_is_asked_for_again() {
        let mut status = RunStatus::default();
        let mut world = World::default();
        intended(&mut status, now());
        let shortfall = Some(refusal(RefusalClass::Capacity));
        answered(&mut world, &status, LaunchAnswer::Came { ids: ids(10), shortfall });
        settle(&mut status, &world, &run(), now());
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
        settle(&mut status, &world, &run(), now());
        assert_eq!(launched(&status, "burst"), 17);
        assert!(acts(&status, &run(), &world, now()).is_empty());
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
            settle(&mut status, &world, &run(), at);
        }
        assert_eq!(status.ledger.last().unwrap().attempt, MAX_ATTEMPTS);
        assert!(status.ledger.len() <= 2);
    }

    pub(crate) fn with_live(n: usize) -> RunStatus {
        let mut status = RunStatus::default();
        let mut world = World::default();
        intended(&mut status, now());
        answered(&mut world, &status, LaunchAnswer::Came { ids: ids(n), shortfall: None });
        settle(&mut status, &world, &run(), now());
        status
    }
}
