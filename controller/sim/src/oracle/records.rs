//! Rules about records, and about the statuses that people read.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::state::run::{Stage, Verdict};
use serde_json::Value;

use crate::field::{at, number, text};
use crate::oracle::case::{Broken, Case};
use crate::script::Part;

/// S6: an operator writes the baseline of a hold once. The operator adds an autoscaler to the
/// baseline if the autoscaler appears later or replaces another autoscaler.
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

/// S18: a run keeps its finalizer while an instance of the run is alive.
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

/// Returns `lastTransitionTime` of the `Ready` condition of a run, if the condition is `True`.
fn says_ready(run: &Value) -> Option<&str> {
    let conditions = at(run, "/status/conditions").and_then(Value::as_array)?;
    let ready = conditions.iter().find(|c| text(c, "/type") == Some("Ready"))?;
    let since = text(ready, "/lastTransitionTime")?;
    (text(ready, "/status") == Some("True")).then_some(since)
}

/// S19: a run becomes `Ready` only if all of its planned pods were ready at some time in the last
/// 30 s.
pub(super) fn ready_is_said_of_what_is_ready(case: Case<'_>) -> Option<Broken> {
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    let mut ready: BTreeMap<&str, i64> = BTreeMap::new();
    let mut planned: BTreeMap<&str, Vec<(String, i64)>> = BTreeMap::new();
    let mut last_all_ready: BTreeMap<String, Instant> = BTreeMap::new();
    for event in &case.recording.history {
        // Before the event changes a count, the rule records the event's time for each run with all
        // planned pods ready.
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

/// Outages that delay machines and pods, but affect neither the observations nor the writes of the
/// operator.
const OF_CAPACITY: [Part; 8] = [
    Part::Images,
    Part::NeverJoins,
    Part::Cloud,
    Part::CloudThrottles,
    Part::CloudLags,
    Part::Credentials,
    Part::DieYoung,
    Part::Consolidation,
];

/// Margin for the verdict `AtRisk`. The planner writes the verdict after three quarters of a lead
/// time of 15 s, and the write takes a moment.
const TO_SAY_IT: TimeDelta = TimeDelta::seconds(3);

/// L2: if a target is not ready at T0, a run had the verdict `AtRisk` before T0.
pub(super) fn at_risk_is_said_in_time(case: Case<'_>) -> Option<Broken> {
    let script = case.script;
    let of_capacity = script.outages.iter().all(|o| OF_CAPACITY.contains(&o.part));
    let others = !script.faults.is_empty() || !script.jumps.is_empty();
    // If the run ends before T0, the rule does not apply.
    if !of_capacity || others || case.promise.until <= case.t0 {
        return None;
    }
    let look = case.recording.looks.iter().find(|look| look.at >= case.t0)?;
    let (name, floor) = case.promise.floors_at(case.t0).into_iter().find(|(name, floor)| {
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

/// Returns the workloads of a run with their planned replicas from `status.targets`, which the run
/// may report as ready.
fn targets(run: &Value) -> Vec<(String, i64)> {
    let targets = at(run, "/status/targets").and_then(Value::as_array);
    let planned = targets.into_iter().flatten().filter_map(|target| {
        let name = text(target, "/workload")?.rsplit([' ', '/']).next()?;
        // With a shape, a rise that is on its way is not due yet.
        let wanted = target.get("due").or_else(|| target.get("planned"))?;
        Some((name.to_owned(), wanted.as_i64()?))
    });
    planned.collect()
}

/// S19, S22: each occurrence has one run, and the stages of the run only advance.
pub(super) fn one_run_and_one_life(case: Case<'_>) -> Option<Broken> {
    // If the load rises before the start, a run may return from `Ready` to `WarmingUp`. The rule
    // gives both stages the same rank.
    let ready = Stage::Ready.as_str();
    let rank = |stage: &str| {
        let stage = if stage == ready { Stage::WarmingUp.as_str() } else { stage };
        Stage::ALL.iter().position(|s| s.as_str() == stage)
    };
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    let mut made: BTreeMap<&str, usize> = BTreeMap::new();
    case.of("SurgeRun").find_map(|run| {
        let name = run.key.2.as_str();
        // A late create request may create a run again, and the planner then withdraws the run. The
        // rule ignores late creations.
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

/// S10: operators request only what the chart's roles allow, and terminate no instance of another
/// run.
pub(super) fn nothing_but_what_is_granted(case: Case<'_>) -> Option<Broken> {
    let foreign = case.recording.foreign.first().map(|id| format!("S10: {id} is not its own"));
    case.recording.forbidden.first().map(|what| format!("S10: {what}")).or(foreign)
}

/// S17: a single operator process ends only if the simulator kills the process. If several
/// operators run, a process may end after the loss of the lease.
pub(super) fn no_process_gives_up(case: Case<'_>) -> Option<Broken> {
    let alone = case.recording.lives.iter().all(|life| life.operator == 0);
    let gave_up = case.recording.lives.iter().find(|life| life.gave_up)?;
    alone.then(|| format!("S17: the process that began at {} has ended by itself", gave_up.from))
}
