//! Launches of instances: the intent, the call, and the result of the call.

use chrono::TimeDelta;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::Instant;
use crate::machines::join::{self, launched};
use crate::seconds;
use crate::state::announcement::MachineGroup;
use crate::state::ledger::{Batch, Launch, LedgerInstance, LedgerState};
use crate::state::observed::{Fleet, InstanceState, LaunchAnswer, Presence, Refusal, RefusalClass};
use crate::state::place::Place;
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

/// Largest number of instances that a group may ever start in one run, as a multiple of `count`.
///
/// A template whose instances never join, or end right after the launch, would otherwise start
/// instances all night (<https://github.com/kubernetes-sigs/karpenter/issues/1905>: 235 nodes in
/// twelve hours).
pub const MOST: u32 = 3;

/// Age below which an instance that ends by itself has died young. The planner then waits before the
/// next launch, because the next instance will probably end in the same way: a key, a quota of
/// volumes, or user data that powers off.
const YOUNG: TimeDelta = TimeDelta::minutes(10);

/// Returns the idempotency token of a ledger entry: at most 64 ASCII characters.
///
/// The same cluster, run, group and attempt always give the same token.
#[must_use]
pub fn token(cluster: &str, run_uid: &str, group: &str, attempt: u32) -> String {
    format!("{}{attempt}", stem(cluster, run_uid, group))
}

/// Returns the token of an entry without the attempt.
fn stem(cluster: &str, run_uid: &str, group: &str) -> String {
    // The hash shortens the token, keeps no secret, and must stay the same in all releases of the
    // operator.
    let mut hasher = SipHasher13::new();
    for part in [cluster, "\0", group] {
        hasher.write(part.as_bytes());
    }
    format!("pt-{run_uid}-{:016x}-", hasher.finish())
}

/// Longest pause that [`retry_after`] returns. A longer recorded pause comes from a wrong clock.
const LONGEST_RETRY: TimeDelta = TimeDelta::seconds(600);

/// Returns the pause after instances that died young. What ends them takes a person to mend, and the
/// group may start few more.
fn pause_after_deaths(attempt: u32) -> TimeDelta {
    match attempt {
        0 | 1 => seconds(60),
        2 => seconds(300),
        _ => LONGEST_RETRY,
    }
}

/// Returns the pause after a refusal. The pause doubles with each attempt, up to a limit for each
/// refusal class.
pub(super) fn retry_after(class: RefusalClass, attempt: u32) -> TimeDelta {
    let doubling = |first: u32, most: u32| {
        seconds(first.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(most))
    };
    match class {
        RefusalClass::Capacity => doubling(2, 60),
        RefusalClass::Quota | RefusalClass::Invalid => doubling(15, 300),
    }
}

/// Time without a listed instance, after the last launch call, after which the planner believes that
/// an entry has no further instances. The same time makes an id that the account does not know a
/// terminated instance.
///
/// The describe calls of EC2 lag behind the launches
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>). The documentation
/// states no bound; lags of twelve minutes have been seen.
pub const STRIKE_AFTER: TimeDelta = TimeDelta::minutes(15);

/// Time for which an instance may be missing in the looks before the planner asks by id.
pub const MISSED_AFTER: TimeDelta = TimeDelta::minutes(2);

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
    if let Some((place, fleet, _)) = world.fleet(&run.uid) {
        for batch in status.ledger.iter_mut().filter(|b| b.is_of(place)) {
            adopt(batch, fleet, now);
            // A ledger of a version before 0.2 names no place. What is seen here is of here.
            if batch.place.is_none() && fleet.instances.iter().any(|i| i.token == batch.token) {
                batch.place = Some(place.clone());
            }
        }
        record_found(status, world, run, fleet, now);
        record_asked(status, world, place, now);
    }
    let shown = world.fleet(&run.uid);
    for batch in &mut status.ledger {
        for instance in batch.instances.iter_mut().filter(|i| i.join_time.is_none()) {
            instance.join_time = world.nodes.contains_key(&instance.id).then_some(now);
        }
        if batch.settled {
            continue;
        }
        let unsure = is_unsure(batch, world);
        match world.launches.get(&batch.token) {
            Some(LaunchAnswer::Came { ids, shortfall }) => {
                for id in ids {
                    if !batch.instances.iter().any(|i| i.id == *id) {
                        batch.instances.push(instance(id, LedgerState::Live, now));
                    }
                }
                batch.shortfall = None;
                note_shortfall(batch, shortfall.as_ref(), now);
                batch.settled = true;
            }
            // Capacity and quota are looked at for the token. A fault of the request may be newer
            // than a call that has started instances.
            Some(LaunchAnswer::Refused(refusal))
                if unsure && refusal.class == RefusalClass::Invalid =>
            {
                batch.shortfall = Some(short(&refusal.message));
            }
            Some(LaunchAnswer::Refused(refusal)) => {
                note_shortfall(batch, Some(refusal), now);
                batch.settled = true;
            }
            // An earlier call of the entry may have started instances.
            // mutate: open-answer-settles
            Some(LaunchAnswer::Unheard(why)) => batch.shortfall = Some(short(why)),
            Some(LaunchAnswer::Unknown(why)) => {
                (batch.shortfall, batch.unsure) = (Some(short(why)), true);
            }
            None => {}
        }
        // The shell no longer repeats the call, and the cloud has had enough time to list the
        // instances of the call.
        let silent = shown.as_ref().is_some_and(|(place, _, at)| {
            batch.is_of(place) && *at >= batch.time + RESENT_FOR + STRIKE_AFTER
        });
        if !batch.settled && unsure && silent && world.trusts_its_clock(now) {
            close_unresolved(batch);
        }
    }
}

/// True if a call of the entry may have started instances that no answer has named: a call without a
/// readable answer, or a call of an earlier process.
#[must_use]
pub fn is_unsure(batch: &Batch, world: &World) -> bool {
    batch.unsure || batch.time < world.leads_since
}

fn instance(id: &str, state: LedgerState, since: Instant) -> LedgerInstance {
    LedgerInstance { id: id.to_owned(), state, since, join_time: None }
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}

fn note_shortfall(batch: &mut Batch, refusal: Option<&Refusal>, now: Instant) {
    let Some(refusal) = refusal else { return };
    batch.shortfall = Some(short(&refusal.message));
    batch.retry_after_time = Some(now + retry_after(refusal.class, batch.attempt));
}

/// Copies the instances that the cloud lists under the tag of a ledger entry. The list also shows
/// the instances of a call whose answer was lost.
fn adopt(batch: &mut Batch, fleet: &Fleet, now: Instant) {
    let of_entry: Vec<_> = fleet.instances.iter().filter(|i| i.token == batch.token).collect();
    for seen in of_entry {
        let known = batch.instances.iter().position(|i| i.id == seen.id);
        let at = known.unwrap_or(batch.instances.len());
        if known.is_none() {
            batch.instances.push(instance(&seen.id, LedgerState::Live, now));
        }
        match seen.state {
            InstanceState::Terminated => gone(batch, at, seen.reason.as_deref(), now),
            InstanceState::Stopped => stopped(batch, at, seen.reason.as_deref(), now),
            InstanceState::Living => lives(batch, at, now),
        }
    }
    if !batch.settled && batch.instances.len() >= usize::try_from(batch.count).unwrap_or(usize::MAX)
    {
        batch.settled = true;
        batch.shortfall = None;
    }
}

/// Takes back that an instance is terminated, because the cloud shows the instance alive.
fn lives(batch: &mut Batch, at: usize, now: Instant) {
    if let Some(known) = batch.instances.get_mut(at)
        && known.state == LedgerState::Terminated
    {
        (known.state, known.since) = (LedgerState::Live, now);
    }
}

/// Delays the next launch after an instance that has died young.
fn wait_after_death(batch: &mut Batch, joined: bool, now: Instant) {
    if !joined && now - batch.time < YOUNG {
        batch.retry_after_time = Some(now + pause_after_deaths(batch.attempt));
    }
}

/// Records that an instance is terminated. If the run has not ended the instance, the entry says
/// why, and an instance that died young delays the next launch.
fn gone(batch: &mut Batch, at: usize, reason: Option<&str>, now: Instant) {
    let Some(known) = batch.instances.get_mut(at) else { return };
    if known.state == LedgerState::Terminated {
        return;
    }
    let ours = known.state == LedgerState::Terminating;
    let joined = known.join_time.is_some();
    (known.state, known.since) = (LedgerState::Terminated, now);
    if ours {
        return;
    }
    let id = known.id.clone();
    let reason = reason.unwrap_or("the cloud gives no reason");
    batch.shortfall = Some(short(&format!("{id} was terminated outside of Primetime: {reason}")));
    wait_after_death(batch, joined, now);
}

/// Records that the cloud has stopped an instance. A stopped instance runs no pod, so the planner
/// ends the instance and may start another.
fn stopped(batch: &mut Batch, at: usize, reason: Option<&str>, now: Instant) {
    let Some(known) = batch.instances.get_mut(at) else { return };
    if matches!(known.state, LedgerState::Live | LedgerState::Draining) {
        (known.state, known.since) = (LedgerState::Terminating, now);
        let (id, joined) = (known.id.clone(), known.join_time.is_some());
        let reason = reason.unwrap_or("the cloud gives no reason");
        batch.shortfall = Some(short(&format!("{id} was stopped outside of Primetime: {reason}")));
        wait_after_death(batch, joined, now);
    }
}

/// Adds an entry for each token of the run that the ledger lacks, with the instances of the token.
///
/// Such an instance belongs to an entry that was closed or dropped before the cloud showed it. The
/// run counts the instance, and ends the instance with the others.
fn record_found(
    status: &mut RunStatus,
    world: &World,
    run: &RunRecord,
    fleet: &Fleet,
    now: Instant,
) {
    for seen in &fleet.instances {
        let known = status.ledger.iter().position(|b| b.token == seen.token);
        if known.is_some() || seen.state == InstanceState::Terminated {
            continue;
        }
        let groups = run.announcement.iter().flat_map(|a| &a.machines);
        let mut of = groups.filter_map(|group| {
            let attempt = seen.token.strip_prefix(&stem(&world.cluster, &run.uid, &group.name))?;
            Some((group.name.clone(), attempt.parse().ok()?))
        });
        let (group, attempt) = of.next().unwrap_or_default();
        let count = fleet.instances.iter().filter(|i| i.token == seen.token).count();
        let mut batch = Batch {
            group,
            attempt,
            token: seen.token.clone(),
            count: u32::try_from(count).unwrap_or(u32::MAX),
            time: now,
            launch: Launch::default(),
            expires_time: seen.expires,
            place: world.cloud.place.clone(),
            unsure: false,
            settled: true,
            instances: Vec::new(),
            shortfall: None,
            retry_after_time: None,
        };
        adopt(&mut batch, fleet, now);
        status.ledger.push(batch);
    }
}

/// Records the answers of the cloud about ids that no look has shown.
///
/// An id that the account does not know is a terminated instance only in the place of the entry, in an
/// account that is known, and after [`STRIKE_AFTER`] of the same answer.
fn record_asked(status: &mut RunStatus, world: &World, place: &Place, now: Instant) {
    for batch in status.ledger.iter_mut().filter(|b| b.is_of(place)) {
        for at in 0..batch.instances.len() {
            let Some(known) = batch.instances.get(at) else { continue };
            let gone_for_good = world.asked.get(&known.id).is_some_and(|asked| {
                let from = asked.since.max(known.since).max(batch.time);
                match asked.presence {
                    Presence::Terminated => true,
                    // mutate: unknown-id-is-gone
                    Presence::NotKnown => {
                        !place.account.is_empty() && asked.at >= from + STRIKE_AFTER
                    }
                    Presence::Untagged => false,
                }
            });
            if gone_for_good {
                gone(batch, at, Some("its id is not known any more"), now);
            }
        }
    }
}

/// Returns the instances of a run that the last look lacks, for [`MISSED_AFTER`] at least.
#[must_use]
pub fn missed<'a>(run: &'a RunRecord, world: &World) -> Vec<&'a LedgerInstance> {
    let Some((place, fleet, at)) = world.fleet(&run.uid) else { return Vec::new() };
    let shown = |id: &str| fleet.instances.iter().any(|i| i.id == id);
    let entries = run.status.ledger.iter().filter(|b| b.is_of(place));
    let each = entries.flat_map(|b| b.instances.iter().map(move |i| (b.time, i)));
    each.filter(|(started, i)| {
        let old = at >= i.since.max(*started) + MISSED_AFTER;
        i.state != LedgerState::Terminated && old && !shown(&i.id)
    })
    .map(|(_, i)| i)
    .collect()
}

/// Returns the number of instances that a group has started in the run, terminated ones included.
#[must_use]
pub fn ever(status: &RunStatus, group: &str) -> u32 {
    let entries = status.ledger.iter().filter(|b| b.group == group);
    let each = entries.map(|b| u32::try_from(b.instances.len()).unwrap_or(u32::MAX));
    each.fold(0, u32::saturating_add)
}

/// Returns a sentence if a group has started as many instances as it ever may.
#[must_use]
pub fn exhausted(status: &RunStatus, group: &MachineGroup) -> Option<String> {
    let ever = ever(status, &group.name);
    (ever >= group.count.saturating_mul(MOST)).then(|| {
        format!(
            "{ever} machines were started for {}, so no further one is started: look why they end \
             or do not join",
            group.count
        )
    })
}

/// What a launch needs beside the group.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Launch settings of the class.
    pub launch: &'a Launch,
    /// Instances to have now: `count`, or fewer where the plan has a shape.
    pub wanted: u32,
    /// Most instances of the group at the same time: what the run has reserved.
    pub most: u32,
    /// Time in the expiry tag.
    pub expires: Instant,
}

/// Appends the intent of the next launch of a group to the ledger, if a launch is due.
///
/// The launch covers the missing instances of the group and the replacements of late instances.
pub fn record_intent(
    status: &mut RunStatus,
    run: &RunRecord,
    group: &MachineGroup,
    offer: Offer<'_>,
    world: &World,
    now: Instant,
) {
    // The entry names the place, so an operator with other credentials leaves the entry alone.
    let Some(place) = &world.cloud.place else { return };
    let entries = || status.ledger.iter().filter(|b| b.group == group.name);
    // The planner ignores a recorded pause longer than `LONGEST_RETRY`, because a wrong clock wrote
    // the pause.
    let waits = |t: Instant| now < t && t - now <= LONGEST_RETRY;
    // An open entry of another place waits for its own operator, and keeps no machine from this one.
    let open = |b: &Batch| !b.settled && b.is_of(place);
    if entries().any(|b| open(b) || b.retry_after_time.is_some_and(waits)) {
        return;
    }
    // mutate: launches-without-a-reservation
    let wanted = (offer.wanted + join::replacements(status, group, world, now)).min(offer.most);
    // mutate: machines-never-join-replaced
    let left = group.count.saturating_mul(MOST).saturating_sub(ever(status, &group.name));
    let count = wanted.saturating_sub(launched(status, &group.name)).min(left);
    let attempt = entries().map(|b| b.attempt).max().unwrap_or(0).saturating_add(1);
    if count == 0 {
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
        count,
        time: now,
        launch: offer.launch.clone(),
        expires_time: Some(offer.expires),
        place: Some(place.clone()),
        unsure: false,
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
