//! Records, and what they say to people.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::state::run::{Stage, Verdict};
use serde_json::Value;

use crate::field::{at, number, text};
use crate::oracle::case::{Broken, Case};
use crate::script::Part;

/// S6: the baseline of a hold is written once; an autoscaler that comes later, or in place of another one, is added to it.
pub(super) fn a_baseline_is_written_once(case: Case<'_>) -> Option<Broken> {
    let mut baselines: BTreeMap<(&str, &str, &str), &Value> = BTreeMap::new();
    case.of("SurgeHold").find_map(|event| {
        let uid = text(&event.object, "/metadata/uid")?;
        ["/spec/baseline/replicas", "/spec/baseline/autoscaler"].into_iter().find_map(|field| {
            let is = at(&event.object, field)?;
            let of = text(is, "/name").unwrap_or_default();
            let first = *baselines.entry((uid, field, of)).or_insert(is);
            (first != is).then(|| format!("S6: {} {field} from {first} to {is}", event.key.2))
        })
    })
}

/// S18: a run is guarded while an instance of its lives, and a hold while its target is not given back.
pub(super) fn guarded_until_nothing_is_left(case: Case<'_>) -> Option<Broken> {
    let guarded = |object: &Value| at(object, "/metadata/finalizers").is_some();
    case.of("SurgeRun").filter(|run| run.what == "DELETED" || !guarded(&run.object)).find_map(
        |run| {
            let uid = text(&run.object, "/metadata/uid")?;
            let alive = case.recording.machines.iter().find(|machine| {
                machine.run_uid == uid
                    && machine.started_at < run.at
                    && machine.ended_at.is_none_or(|ended| ended > run.at)
            })?;
            Some(format!("S18: {} is not guarded at {} and {} lives", run.key.2, run.at, alive.id))
        },
    )
}

/// Since when a run says that it is ready.
fn says_ready(run: &Value) -> Option<&str> {
    let conditions = at(run, "/status/conditions").and_then(Value::as_array)?;
    let ready = conditions.iter().find(|c| text(c, "/type") == Some("Ready"))?;
    let since = text(ready, "/lastTransitionTime")?;
    (text(ready, "/status") == Some("True")).then_some(since)
}

/// S19: who says that it is ready has seen the pods, in the last half minute.
pub(super) fn ready_is_said_of_what_is_ready(case: Case<'_>) -> Option<Broken> {
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    let mut ready: BTreeMap<&str, i64> = BTreeMap::new();
    let mut planned: BTreeMap<&str, Vec<(String, i64)>> = BTreeMap::new();
    let mut last_all_ready: BTreeMap<String, Instant> = BTreeMap::new();
    for event in &case.recording.history {
        // What was ready until now, was so until now.
        for (run, targets) in &planned {
            let there = |(name, wanted): &(String, i64)| {
                ready.get(name.as_str()).is_some_and(|ready| ready >= wanted)
            };
            if targets.iter().all(there) {
                last_all_ready.insert((*run).to_owned(), event.at);
            }
        }
        let name = event.key.2.as_str();
        match event.key.0.kind {
            "Deployment" if event.what == "DELETED" => {
                ready.remove(name);
            }
            "Deployment" => {
                let count = number(&event.object, "/status/readyReplicas").unwrap_or_default();
                ready.insert(name, count);
            }
            "SurgeRun" if event.by.is_some() => {
                planned.insert(name, targets(&event.object));
                let Some(since) = says_ready(&event.object) else { continue };
                if said.insert(name, since) == Some(since) {
                    continue;
                }
                let seen = last_all_ready.get(name);
                if seen.is_none_or(|seen| event.at - *seen > TimeDelta::seconds(30)) {
                    return Some(format!(
                        "S19: {name} says at {} that it is ready; its pods were so at {seen:?}",
                        event.at
                    ));
                }
            }
            _ => {}
        }
    }
    None
}

/// What stands in the way of machines and pods, and of nothing that an operator needs to see or to say it.
const OF_CAPACITY: [Part; 6] = [
    Part::Images,
    Part::NeverJoins,
    Part::Cloud,
    Part::CloudThrottles,
    Part::CloudLags,
    Part::Consolidation,
];

/// It is said when three quarters of a lead time of 15 s have passed, and that takes a moment.
const TO_SAY_IT: TimeDelta = TimeDelta::seconds(3);

/// L2: where not everything is ready at T0, `AtRisk` was said before.
pub(super) fn at_risk_is_said_in_time(case: Case<'_>) -> Option<Broken> {
    let script = case.script;
    let of_capacity = script.outages.iter().all(|o| OF_CAPACITY.contains(&o.part));
    let others = !script.faults.is_empty() || !script.jumps.is_empty();
    // Who is called off before T0 promises nothing any more.
    if !of_capacity || others || case.promise.until <= case.t0 {
        return None;
    }
    let look = case.recording.looks.iter().find(|look| look.at >= case.t0)?;
    let (name, floor) = case.promise.floors.iter().find(|(name, floor)| {
        look.workloads.iter().find(|w| w.name == *name).is_none_or(|w| w.ready < *floor)
    })?;
    let before = case.of("SurgeRun").take_while(|run| run.at <= case.t0 - TO_SAY_IT);
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for run in before {
        last.insert(run.key.2.as_str(), text(&run.object, "/status/verdict").unwrap_or_default());
    }
    let said = last.values().any(|verdict| *verdict == Verdict::AtRisk.as_str());
    (!said).then(|| format!("L2: {name} is not at {floor} at T0, and no run says AtRisk: {last:?}"))
}

/// The workloads of a run and what it plans for them: that is what it may call ready.
fn targets(run: &Value) -> Vec<(String, i64)> {
    let targets = at(run, "/status/targets").and_then(Value::as_array);
    let planned = targets.into_iter().flatten().filter_map(|target| {
        let name = text(target, "/workload")?.rsplit([' ', '/']).next()?;
        Some((name.to_owned(), target.get("planned")?.as_i64()?))
    });
    planned.collect()
}

/// S19, S22: one run of an occurrence, and its life goes one way.
pub(super) fn one_run_and_one_life(case: Case<'_>) -> Option<Broken> {
    // A load that rises before the show asks for more than is ready: until the event begins that is a way back.
    let ready = Stage::Ready.as_str();
    let rank = |stage: &str| {
        let stage = if stage == ready { Stage::WarmingUp.as_str() } else { stage };
        Stage::ALL.iter().position(|s| s.as_str() == stage)
    };
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    let mut made: BTreeMap<&str, usize> = BTreeMap::new();
    case.of("SurgeRun").find_map(|run| {
        let name = run.key.2.as_str();
        // What was sent long ago is not called back; it is taken back again.
        if run.what == "ADDED" && !case.recording.late.contains(&run.at) {
            let times = made.entry(name).or_default();
            *times += 1;
            return (*times > 1).then(|| format!("S22: {name} is made a second time"));
        }
        let stage = text(&run.object, "/status/stage")?;
        let now = rank(stage)?;
        let before = reached.insert(name, now).unwrap_or_default();
        let may = !case.promise.edits.is_empty() || !case.script.jumps.is_empty();
        (now < before && !may).then(|| format!("S19: {name} goes back to {stage} at {}", run.at))
    })
}

/// S10: operators ask for nothing that the chart does not grant, and end no instance of others.
pub(super) fn nothing_but_what_is_granted(case: Case<'_>) -> Option<Broken> {
    let foreign = case.recording.foreign.first().map(|id| format!("S10: {id} is not its own"));
    case.recording.forbidden.first().map(|what| format!("S10: {what}")).or(foreign)
}

/// S17: a process ends because it is killed, or because it does not lead any more.
pub(super) fn no_process_gives_up(case: Case<'_>) -> Option<Broken> {
    let alone = case.recording.lives.iter().all(|life| life.operator == 0);
    let gave_up = case.recording.lives.iter().find(|life| life.gave_up)?;
    alone.then(|| format!("S17: the process that began at {} has ended by itself", gave_up.from))
}
