//! Launches: the intent first, then the call, then what came of it.

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

/// A group gives up after this many calls in one run: an endless loop of launches is worse than a missing machine.
pub const MAX_ATTEMPTS: u32 = 30;

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

/// No pause of [`retry_after`] is longer. A wrong clock wrote any longer pause on record.
const LONGEST_RETRY: TimeDelta = TimeDelta::seconds(300);

/// The pause after a refusal. It doubles with each attempt, up to a limit for each class.
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

/// An instance whose termination was asked for and that the cloud no longer shows for this long is gone: EC2 shows
/// terminated instances for about an hour and then forgets them.
pub const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(10);

/// An entry's call is repeated, with its token, for so long. How long EC2 remembers a token is not stated
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>): later only its tag tells what became of it.
pub const RESENT_FOR: TimeDelta = TimeDelta::minutes(10);

/// Closes an entry whose last answer is unknown.
pub(super) fn close_unresolved(batch: &mut Batch) {
    batch.settled = true;
    let came = batch.instances.len();
    batch.shortfall = Some(if came == 0 {
        "the cloud never showed an instance of this entry".to_owned()
    } else {
        format!("the cloud never showed more than {came} instances of this entry")
    });
}

/// Writes what the cloud said into the ledger.
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
            // The call is not repeated any more, and the cloud has had the time to show what came of it.
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

/// Writes the intent of the next launch of a group into the ledger, if one is due: of what is missing, and of
/// replacements for what does not join.
pub fn record_intent(
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

/// An unsettled entry of a run that is being released is struck when the cloud has shown no instance of it for this
/// long: the cloud's describe lags behind its launches
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>).
pub const STRIKE_AFTER: TimeDelta = TimeDelta::seconds(120);
