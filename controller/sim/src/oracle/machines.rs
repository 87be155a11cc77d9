//! Rules about instances: a single start, a record before the launch, and an ordered termination.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use primetime_core::Instant;
use serde_json::{Value, json};

use crate::cloud::Machine;
use crate::field::{at, text};
use crate::oracle::case::{Broken, Case};
use crate::script::Part;
use crate::server::object::Event;

/// S7, S18: the token of a launch stands in the ledger of a guarded run before the call to the
/// cloud.
pub(super) fn intent_before_effect(case: Case<'_>) -> Option<Broken> {
    let first = case.recording.unrecorded.first()?;
    Some(format!("S7: {first} was launched and stood in no ledger"))
}

/// S8, S9: operators start exactly the requested number of instances.
///
/// Each instance that another autoscaler has terminated permits another instance. If the cloud
/// failed during the event, fewer instances are permitted. If machines never join or die young, three
/// times the requested number is permitted. The same holds if the clock goes back under a shape: the
/// shape then asks again for machines that have ended.
pub(super) fn nothing_is_started_twice(case: Case<'_>) -> Option<Broken> {
    let (started, asked) = (case.recording.machines.len(), case.promise.machines);
    let consolidated = case.script.outages.iter().any(|o| o.part == Part::Consolidation);
    let taken = case.recording.machines.iter().filter(|m| consolidated && m.reclaimed).count();
    let out = |part| {
        matches!(part, Part::Cloud | Part::CloudThrottles | Part::Credentials | Part::Elsewhere)
    };
    let mut outages = case.script.outages.iter();
    let mute = outages.any(|o| out(o.part) && o.until > case.promise.window_from);
    let useless = |part| matches!(part, Part::NeverJoins | Part::DieYoung);
    let useless = case.script.outages.iter().any(|o| useless(o.part));
    let back = case.promise.shape.is_some() && !case.script.jumps.is_empty();
    let most = if useless || back { asked * 3 } else { asked };
    ((started < asked && !mute) || started > most + taken)
        .then(|| format!("S8: {started} instances were started for {asked}"))
}

/// S8, S9: the instances alive at the same time exceed the requested number by at most a tenth, and
/// at least 1 is permitted.
pub(super) fn few_are_replaced_at_once(case: Case<'_>) -> Option<Broken> {
    let asked = case.promise.machines;
    case.recording.machines.iter().find_map(|last| {
        let at = last.started_at;
        let lives = |m: &&Machine| m.started_at <= at && m.ended_at.is_none_or(|ended| ended > at);
        let alive = case.recording.machines.iter().filter(lives).count();
        (alive > asked + (asked / 10).max(1))
            .then(|| format!("S8: {alive} instances are alive at {at}, {asked} were asked for"))
    })
}

/// S16: within the time of a release step a run selects at most the step's share of its instances
/// for termination. If machines never join, the rule counts those that have joined: the run gives the
/// others up when their time is over.
pub(super) fn sent_away_in_steps(case: Case<'_>) -> Option<Broken> {
    let mut chosen: BTreeMap<&str, Vec<(Instant, i64)>> = BTreeMap::new();
    let useless = case.script.outages.iter().any(|o| o.part == Part::NeverJoins);
    case.of("SurgeRun").find_map(|run| {
        let counts = |i: &&Value| !useless || i.get("joinTime").is_some();
        let counted = ledger(&run.object).filter(counts);
        let states: Vec<&str> = counted.filter_map(|i| text(i, "/state")).collect();
        let all = i64::try_from(states.len()).unwrap_or(i64::MAX);
        let meant = i64::try_from(case.promise.machines).unwrap_or(i64::MAX);
        let left = states.iter().filter(|state| **state == "Live").count();
        let gone = all - i64::try_from(left).unwrap_or(i64::MAX);
        let share = (meant * case.promise.step_percent / 100).max(1);
        let steps = chosen.entry(run.key.2.as_str()).or_default();
        // The run did not select instances that the cloud reclaimed: the rule adds these instances
        // to the share.
        let reclaimed = case.recording.machines.iter().filter(|m| m.reclaimed).count();
        let reclaimed = i64::try_from(reclaimed).unwrap_or(i64::MAX);
        let before = steps.iter().rev().find(|(at, _)| *at <= run.at - case.promise.step);
        let before = before.map_or(0, |(_, gone)| *gone);
        steps.push((run.at, gone));
        (gone - before > share + reclaimed).then(|| {
            format!("S16: {} sends {} instances away by {}", run.key.2, gone - before, run.at)
        })
    })
}

fn ledger(run: &Value) -> impl Iterator<Item = &Value> {
    let batches = at(run, "/status/ledger").and_then(Value::as_array);
    let instances = batches.into_iter().flatten().filter_map(|b| b.get("instances")?.as_array());
    instances.flatten()
}

/// S24: the operator cordons and drains a Node, terminates the instance, observes the termination,
/// and then records `Terminated`.
pub(super) fn emptied_and_ended_in_order(case: Case<'_>) -> Option<Broken> {
    let mut closed: BTreeSet<&str> = BTreeSet::new();
    let by_us = |id: &str| {
        let machine = case.recording.machines.iter().find(|m| m.id == id)?;
        (!machine.reclaimed).then_some(machine)
    };
    case.recording.history.iter().find_map(|event| match event.key.0.kind {
        "Node" if event.what == "DELETED" => {
            let id = event.key.2.strip_prefix("burst-")?;
            by_us(id)?;
            (!closed.contains(id)).then(|| format!("S24: {id} was ended and not closed before"))
        }
        "Node" => {
            if at(&event.object, "/spec/unschedulable") == Some(&json!(true)) {
                closed.insert(event.key.2.strip_prefix("burst-")?);
            }
            None
        }
        "Pod" if event.what == "DELETED" && event.by.is_none() => {
            // If the workload controller did not delete a pod, the pod was on a Node that
            // disappeared.
            let id = text(&event.object, "/spec/nodeName")?.strip_prefix("burst-")?;
            let ended = by_us(id)?.ended_at?;
            (event.at >= ended)
                .then(|| format!("S24: {} was on {id} when that was ended", event.key.2))
        }
        "SurgeRun" => {
            let terminated = ledger(&event.object)
                .filter(|i| text(i, "/state") == Some("Terminated"))
                .filter_map(|i| text(i, "/id"));
            let early = terminated
                .filter_map(by_us)
                .find(|machine| machine.told_at.is_none_or(|told| told > event.at))?;
            Some(format!("S24: {} is called terminated at {} unseen", early.id, event.at))
        }
        _ => None,
    })
}

/// L4: three minutes after its launch an instance stands in a ledger or is gone. If an outage
/// delays the check, the limit is 45 s after the outage.
pub(super) fn known_to_their_ledger(case: Case<'_>) -> Option<Broken> {
    let mut known: BTreeMap<&str, Instant> = BTreeMap::new();
    let mut runs: BTreeSet<&str> = BTreeSet::new();
    for run in case.of("SurgeRun") {
        runs.extend(text(&run.object, "/metadata/uid"));
        for id in ledger(&run.object).filter_map(|instance| text(instance, "/id")) {
            known.entry(id).or_insert(run.at);
        }
    }
    let mut ours = case.recording.machines.iter().filter(|m| runs.contains(m.run_uid.as_str()));
    ours.find_map(|machine| {
        let by = case.recovered(machine.started_at + TimeDelta::minutes(3));
        let found = known.get(machine.id.as_str()).is_some_and(|at| *at <= by);
        let gone = machine.ended_at.is_some_and(|at| at <= by);
        (!found && !gone).then(|| format!("L4: {} is in no ledger at {by}", machine.id))
    })
}

/// Maximum time between `spec.endTime` of a run and the expiry of its instances. A manual start may
/// delay the end by up to 18 hours, an extension by 24 hours, a hold by hours, and an instance expires
/// 24 hours after the latest end.
const LONGEST: TimeDelta = TimeDelta::hours(80);

/// L7: an instance carries an expiry tag, from which any clean-up tool may terminate the instance.
///
/// The expiry lies after the end of the event, by at most [`LONGEST`]. An instance with a working
/// operator ends before the expiry.
pub(super) fn gone_when_they_expire(case: Case<'_>) -> Option<Broken> {
    case.recording.machines.iter().find_map(|machine| {
        let of_it = |run: &&Event| text(&run.object, "/metadata/uid") == Some(&machine.run_uid);
        let said = case.of("SurgeRun").take_while(|run| run.at <= machine.started_at);
        let end: Instant =
            text(&said.filter(of_it).last()?.object, "/spec/endTime")?.parse().ok()?;
        let (id, expires) = (&machine.id, machine.expires);
        if expires <= end || expires > end + LONGEST {
            return Some(format!("L7: {id} expires at {expires}, its event ends at {end}"));
        }
        machine
            .ended_at
            .is_none_or(|ended| ended > case.recovered(expires))
            .then(|| format!("L7: {id} has lived longer than to {expires}"))
    })
}
