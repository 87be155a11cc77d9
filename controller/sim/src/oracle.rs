//! What must hold, whatever went wrong. Each rule is a function with its sentence.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use primetime_core::Instant;
use serde_json::Value;

use crate::evening::Recording;
use crate::script::Script;
use crate::server::store::Event;

/// What an evening was meant to be.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Everything is ready from this instant on.
    pub ready_by: Instant,
    /// Nothing is taken away from this instant on.
    pub window_from: Instant,
    /// The end of the event as it was announced: nothing is raised after it.
    pub end: Instant,
    /// Nothing goes below the floors before this instant.
    pub until: Instant,
    /// The floor of each workload.
    pub floors: Vec<(&'static str, i64)>,
    /// What each object has to be like afterwards: kind, name, pointer, value.
    pub afterwards: Vec<(&'static str, &'static str, &'static str, i64)>,
    /// How many instances the evening needs.
    pub machines: usize,
}

/// A rule that an evening broke.
pub type Broken = String;

/// After an outage, everything is ready again within this time: restart, watches that back off, machines that boot.
const RECOVERY: TimeDelta = TimeDelta::seconds(45);

/// What one fault at a request may cost: a call that hangs for 10 s, and the pause before the next.
const SETBACK: TimeDelta = TimeDelta::seconds(15);

/// Every rule that an evening broke, with all that went wrong in it.
#[must_use]
pub fn judge(recording: &Recording, promise: &Promise, script: &Script) -> Vec<Broken> {
    let mut promise = promise.clone();
    // Nobody can be ready without an API server. One fault at a request fits into the slack of every scenario.
    let setbacks = i32::try_from(script.faults.len()).unwrap_or(i32::MAX).saturating_sub(1).max(0);
    promise.ready_by += SETBACK * setbacks;
    if let Some(last) = script.last_outage() {
        promise.ready_by = promise.ready_by.max(last + RECOVERY);
        // What is possible again after the end comes too late.
        if last + RECOVERY >= promise.end {
            promise.ready_by = promise.until;
        }
    }
    // Whose clock says that it is not time, or too late, starts nothing.
    if !script.jumps.is_empty() {
        promise.machines = promise.machines.min(recording.machines.len());
    }
    broken(recording, &promise)
}

fn broken(recording: &Recording, promise: &Promise) -> Vec<Broken> {
    let rules: [fn(&Recording, &Promise) -> Option<Broken>; 9] = [
        the_model_is_sound,
        ready_at_t0,
        never_lowered_in_the_window,
        a_baseline_is_written_once,
        intent_before_effect,
        nothing_is_started_twice,
        it_ends,
        everything_is_returned,
        quiet_afterwards,
    ];
    rules.iter().filter_map(|rule| rule(recording, promise)).collect()
}

fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

fn of<'a>(recording: &'a Recording, kind: &'a str) -> impl Iterator<Item = &'a Event> {
    recording.history.iter().filter(move |e| e.key.0.kind == kind)
}

fn the_model_is_sound(recording: &Recording, _: &Promise) -> Option<Broken> {
    recording.broken.clone().map(|why| format!("the model contradicts itself: {why}"))
}

/// L2: if capacity exists, ready pods reach the floor by T0 and stay there to the end.
fn ready_at_t0(recording: &Recording, promise: &Promise) -> Option<Broken> {
    let looks = recording.looks.iter();
    let within = looks.filter(|l| l.at >= promise.ready_by && l.at < promise.until);
    for look in within {
        for (name, floor) in &promise.floors {
            let ready = look.workloads.iter().find(|w| w.name == *name).map_or(0, |w| w.ready);
            if ready < *floor {
                return Some(format!(
                    "L2: {name} has {ready} of {floor} pods ready at {}",
                    look.at
                ));
            }
        }
    }
    None
}

/// S1, S2: what was raised is not lowered in the window, whoever writes.
fn never_lowered_in_the_window(recording: &Recording, promise: &Promise) -> Option<Broken> {
    let mut replicas: BTreeMap<&str, i64> = BTreeMap::new();
    let mut held: BTreeMap<&str, i64> = BTreeMap::new();
    let mut raised: BTreeSet<&str> = BTreeSet::new();
    recording.history.iter().find_map(|event| {
        let (is, was, name) = match event.key.0.kind {
            "SurgeHold" => {
                let name = event.object.pointer("/spec/targetRef/name")?.as_str()?;
                held.insert(name, number(&event.object, "/spec/level/replicas")?);
                let is = *replicas.get(name)?;
                (is, is, name)
            }
            "Deployment" => {
                let name = event.key.2.as_str();
                let is = number(&event.object, "/spec/replicas")?;
                (is, replicas.insert(name, is).unwrap_or(is), name)
            }
            _ => return None,
        };
        let floor = promise.floors.iter().find(|(of, _)| *of == name)?.1;
        if is >= floor && held.get(name).is_some_and(|level| *level >= floor) {
            raised.insert(name);
        }
        let within = event.at >= promise.window_from && event.at < promise.until;
        (within && is < was && is < floor && raised.contains(name))
            .then(|| format!("S1: {name} is at {is}, below {floor}, at {}", event.at))
    })
}

/// S6: the baseline of a hold is written once.
fn a_baseline_is_written_once(recording: &Recording, _: &Promise) -> Option<Broken> {
    let mut baselines: BTreeMap<&str, &Value> = BTreeMap::new();
    of(recording, "SurgeHold").find_map(|event| {
        let uid = event.object.pointer("/metadata/uid")?.as_str()?;
        let baseline = event.object.pointer("/spec/baseline")?;
        let first = *baselines.entry(uid).or_insert(baseline);
        (first != baseline)
            .then(|| format!("S6: {} changed from {first} to {baseline}", event.key.2))
    })
}

/// S7, S18: a launch's token stands in the ledger of a guarded run before the call.
fn intent_before_effect(recording: &Recording, _: &Promise) -> Option<Broken> {
    let first = recording.unrecorded.first()?;
    Some(format!("S7: {first} was launched and stood in no ledger"))
}

/// S8: as many instances as asked for, and not one more.
fn nothing_is_started_twice(recording: &Recording, promise: &Promise) -> Option<Broken> {
    let started = recording.machines.len();
    (started != promise.machines)
        .then(|| format!("S8: {started} instances were started for {}", promise.machines))
}

/// L1: all runs come to their end.
fn it_ends(recording: &Recording, _: &Promise) -> Option<Broken> {
    recording.over.is_none().then(|| {
        let last = recording.last();
        let runs = last.iter().filter(|((kind, _), _)| *kind == "SurgeRun");
        let said: Vec<_> = runs
            .map(|((_, name), run)| {
                let text = |p| run.pointer(p).and_then(Value::as_str).unwrap_or_default();
                format!("{name} is {}: {}", text("/status/stage"), text("/status/message"))
            })
            .collect();
        format!("L1: it does not end: {}", said.join("; "))
    })
}

/// L3: bounds and replicas are back, no hold is left, every instance is terminated.
fn everything_is_returned(recording: &Recording, promise: &Promise) -> Option<Broken> {
    let last = recording.last();
    if let Some((_, name)) = last.keys().find(|(kind, _)| *kind == "SurgeHold") {
        return Some(format!("L3: hold {name} is left"));
    }
    if let Some(machine) = recording.machines.iter().find(|m| m.ended_at.is_none()) {
        return Some(format!("L3: instance {} lives", machine.id));
    }
    promise.afterwards.iter().find_map(|(kind, name, pointer, value)| {
        let is = last.get(&(*kind, *name)).and_then(|o| number(o, pointer));
        (is != Some(*value)).then(|| format!("L3: {kind} {name} {pointer} is {is:?}, not {value}"))
    })
}

/// S20: once everything was given back, nothing of ours changes any more.
fn quiet_afterwards(recording: &Recording, _: &Promise) -> Option<Broken> {
    let over = recording.over?;
    let quiet_from = over + TimeDelta::seconds(5);
    let ours = ["ScheduledSurge", "SurgeRun", "SurgeHold"];
    recording
        .history
        .iter()
        .find(|e| e.at >= quiet_from && ours.contains(&e.key.0.kind))
        .map(|e| format!("S20: {} {} is written at {}", e.key.0.kind, e.key.2, e.at))
}
