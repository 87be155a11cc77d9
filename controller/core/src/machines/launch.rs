//! Launches of instances: the intent, the call, and the result of the call.

use chrono::TimeDelta;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::Instant;
use crate::machines::join::{self, launched};
use crate::seconds;
use crate::state::announcement::MachineGroup;
use crate::state::ledger::{Batch, Launch, LedgerInstance, LedgerState};
use crate::state::observed::{Fleet, LaunchAnswer, Refusal, RefusalClass, Seen};
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

/// Largest number of launch attempts (ledger entries) of a group in one run. An endless loop of
/// launches would be worse than a missing machine.
pub const MAX_ATTEMPTS: u32 = 30;

/// Returns the idempotency token of a ledger entry: at most 64 ASCII characters.
///
/// The same cluster, run, group and attempt always give the same token.
#[must_use]
pub fn token(cluster: &str, run_uid: &str, group: &str, attempt: u32) -> String {
    // The hash shortens the token, keeps no secret, and must stay the same in all releases of the
    // operator.
    let mut hasher = SipHasher13::new();
    for part in [cluster, "\0", group] {
        hasher.write(part.as_bytes());
    }
    format!("pt-{run_uid}-{:016x}-{attempt}", hasher.finish())
}

/// Longest pause that [`retry_after`] returns. A longer recorded pause comes from a wrong clock.
const LONGEST_RETRY: TimeDelta = TimeDelta::seconds(300);

/// Returns the pause after a refusal. The pause doubles with each attempt, up to a limit for each
/// refusal class.
pub(super) fn retry_after(class: RefusalClass, attempt: u32) -> TimeDelta {
    let doubling = |first: u32, most: u32| {
        seconds(first.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(most))
    };
    match class {
        RefusalClass::Capacity => doubling(2, 60),
        RefusalClass::Throttled => doubling(2, 30),
        RefusalClass::Quota | RefusalClass::Invalid => doubling(15, 300),
    }
}

/// Time after which the planner treats an unlisted instance with a requested termination as
/// terminated.
///
/// EC2 lists a terminated instance for about an hour.
pub const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(10);

/// Time for which the shell repeats the call of a ledger entry with the same token.
///
/// AWS does not state for how long EC2 remembers a token
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>). After this time
/// the planner finds the instances of the call by tag.
pub const RESENT_FOR: TimeDelta = TimeDelta::minutes(10);

/// Closes a ledger entry whose last call got no known answer.
pub(super) fn close_unresolved(batch: &mut Batch) {
    batch.settled = true;
    let came = batch.instances.len();
    batch.shortfall = Some(if came == 0 {
        "the cloud never showed an instance of this entry".to_owned()
    } else {
        format!("the cloud never showed more than {came} instances of this entry")
    });
}

/// Writes the answers of the cloud and the join times of the instances into the ledger.
pub fn record_results(status: &mut RunStatus, world: &World, run: &RunRecord, now: Instant) {
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
            // The shell no longer repeats the call, and the cloud has had enough time to list the
            // instances of the call.
            None if world.trusts_its_clock(now)
                && shown_at.is_some_and(|at| at >= batch.time + RESENT_FOR + STRIKE_AFTER) =>
            {
                close_unresolved(batch);
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

/// Copies the instances that the cloud lists under the tag of a ledger entry. The list also shows
/// the instances of a call whose answer was lost.
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

/// Appends the intent of the next launch of a group to the ledger, if a launch is due.
///
/// The launch covers the missing instances of the group and the replacements of late instances, up
/// to `most` instances at the same time: what the run has reserved.
pub fn record_intent(
    status: &mut RunStatus,
    run: &RunRecord,
    group: &MachineGroup,
    launch: &Launch,
    most: u32,
    world: &World,
    now: Instant,
) {
    let entries = || status.ledger.iter().filter(|b| b.group == group.name);
    // The planner ignores a recorded pause longer than `LONGEST_RETRY`, because a wrong clock wrote
    // the pause.
    let waits = |t: Instant| now < t && t - now <= LONGEST_RETRY;
    if entries().any(|b| !b.settled || b.retry_after_time.is_some_and(waits)) {
        return;
    }
    // mutate: launches-without-a-reservation
    let wanted = (group.count + join::replacements(status, group, world, now)).min(most);
    let missing = wanted.saturating_sub(launched(status, &group.name));
    let attempt = entries().map(|b| b.attempt).max().unwrap_or(0) + 1;
    if missing == 0 || attempt > MAX_ATTEMPTS {
        return;
    }
    // The planner removes a refused entry, because the decision log has reported the refusal. The
    // planner keeps an entry without a refusal, because the cloud may still list an instance of the
    // entry.
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

/// Returns the earliest pending `retryAfterTime` of the ledger, or `None` if no group waits.
#[must_use]
pub fn next_try(status: &RunStatus, now: Instant) -> Option<Instant> {
    status.ledger.iter().filter_map(|b| b.retry_after_time).filter(|t| *t > now).min()
}

/// Time without a listed instance after which the planner closes an unsettled ledger entry of a run
/// in release.
///
/// The describe calls of EC2 lag behind the launches
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>).
pub const STRIKE_AFTER: TimeDelta = TimeDelta::seconds(120);
