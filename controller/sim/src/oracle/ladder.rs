//! Rules about values that ladder steps write, and about the return of these values.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::field::{at, text};
use crate::oracle::case::{Broken, Case};
use crate::server::object::Event;

/// A changed value: a key of a `ConfigMap`, or the weight of a backend in an `HTTPRoute`.
struct Change<'a> {
    event: &'a Event,
    object: &'a str,
    key: String,
    from: Option<String>,
    to: Option<String>,
}

/// Returns the values of an object that ladder steps may write.
fn values(event: &Event) -> BTreeMap<String, String> {
    let data = event.object.get("data").cloned().unwrap_or_default();
    let data: BTreeMap<String, String> = serde_json::from_value(data).unwrap_or_default();
    let rules = at(&event.object, "/spec/rules").and_then(Value::as_array);
    let weights = rules.into_iter().flatten().flat_map(|rule| {
        let backends = rule.get("backendRefs").and_then(Value::as_array);
        let weight = |backend: &Value| {
            let name = format!("{}/{}", text(rule, "/name")?, text(backend, "/name")?);
            Some((name, backend.get("weight")?.to_string()))
        };
        backends.into_iter().flatten().filter_map(weight).collect::<Vec<_>>()
    });
    data.into_iter().chain(weights).collect()
}

/// Returns every change of a value, with its event.
fn changes(case: Case<'_>) -> Vec<Change<'_>> {
    let mut last: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    let mut all = Vec::new();
    for event in case.of("ConfigMap").chain(case.of("HTTPRoute")) {
        let is = values(event);
        let was = last.insert(&event.key.2, is.clone()).unwrap_or_default();
        let keys = was.keys().chain(is.keys().filter(|key| !was.contains_key(*key)));
        for key in keys.filter(|key| was.get(*key) != is.get(*key)) {
            let (from, to) = (was.get(key).cloned(), is.get(key).cloned());
            all.push(Change { event, object: &event.key.2, key: key.clone(), from, to });
        }
    }
    all
}

/// S7: an operator writes a value only after a run has recorded the previous value in
/// `status.degrade[].owed`.
pub(super) fn on_record_before_written(case: Case<'_>) -> Option<Broken> {
    let owes = |run: &Event| {
        let steps = at(&run.object, "/status/degrade").and_then(Value::as_array);
        steps.is_some_and(|steps| steps.iter().any(|step| step.get("owed").is_some()))
    };
    changes(case).into_iter().filter(|change| change.event.by.is_some()).find_map(|change| {
        let mut last: BTreeMap<&str, &Event> = BTreeMap::new();
        for run in case.of("SurgeRun").filter(|run| run.version < change.event.version) {
            last.insert(&run.key.2, run);
        }
        let Change { object, key, from, to, event } = &change;
        let at = event.at;
        (!last.values().any(|run| owes(run))).then(|| {
            format!("S7: {key} in {object} {from:?} -> {to:?} at {at}, and no run has it on record")
        })
    })
}

/// L3: at the end each value equals the value before the operator's first write, unless another
/// writer has changed the value since.
pub(super) fn values_are_returned(case: Case<'_>) -> Option<Broken> {
    let mut before: BTreeMap<(String, String), Option<String>> = BTreeMap::new();
    let mut now: BTreeMap<(String, String), Option<String>> = BTreeMap::new();
    for change in changes(case) {
        let place = (change.object.to_owned(), change.key);
        if change.event.by.is_some() {
            before.entry(place.clone()).or_insert(change.from);
        } else {
            before.remove(&place);
        }
        now.insert(place, change.to);
    }
    before.into_iter().find_map(|((object, key), was)| {
        let is = now.get(&(object.clone(), key.clone())).cloned().flatten();
        (is != was).then(|| format!("L3: {key} in {object} is {is:?}, not {was:?}"))
    })
}

/// State of a step's Jobs: `runs` is true while a Job of the step runs, `owed` is true until the
/// restore Job exists.
#[derive(Default)]
struct Worked {
    runs: bool,
    owed: bool,
}

/// Returns the ladder step of a Job. The second value is true if the Job restores the step.
fn step_of<'a>(run: &'a Value, job: &str) -> Option<(&'a str, bool)> {
    let steps = at(run, "/spec/degrade").and_then(Value::as_array);
    let recorded = at(run, "/status/jobs").and_then(Value::as_array);
    let name = recorded?.iter().find(|j| text(j, "/job") == Some(job))?;
    let name = text(name, "/name")?;
    let mut steps = steps?.iter().filter(|step| step.get("jobs").is_some());
    steps.find_map(|step| {
        let step = text(step, "/name")?;
        let restores = name.strip_suffix("-restore") == Some(step);
        (restores || name == step).then_some((step, restores))
    })
}

fn is_on(run: &Value, step: &str) -> bool {
    let steps = at(run, "/status/degrade").and_then(Value::as_array);
    let shown = steps.and_then(|all| all.iter().find(|s| text(s, "/name") == Some(step)));
    shown.and_then(|s| s.get("engaged")) == Some(&Value::Bool(true))
}

/// L3: the operator undoes the Job of each step before the run completes. The restore Job does not
/// start while the Job still runs or while the step is active.
pub(super) fn work_is_undone(case: Case<'_>) -> Option<Broken> {
    let mut runs: BTreeMap<&str, &Value> = BTreeMap::new();
    // Each Job, with the step to which a run's `status.jobs` assigns the Job.
    let mut known: BTreeMap<(&str, &str), (&str, bool)> = BTreeMap::new();
    let mut worked: BTreeMap<(&str, &str), Worked> = BTreeMap::new();
    for event in &case.recording.history {
        let (name, object) = (event.key.2.as_str(), &event.object);
        if event.key.0.kind == "SurgeRun" {
            let uid = text(object, "/metadata/uid")?;
            runs.insert(uid, object);
            let recorded = at(object, "/status/jobs").and_then(Value::as_array);
            for job in recorded.into_iter().flatten().filter_map(|job| text(job, "/job")) {
                if let Some(step) = step_of(object, job) {
                    known.insert((uid, job), step);
                }
            }
            let mut its = worked.iter().filter(|((run, _), _)| *run == uid);
            if at(object, "/status/completionTime").is_some()
                && let Some(((_, step), _)) = its.find(|(_, worked)| worked.owed)
            {
                return Some(format!("L3: {name} is done, and {step} was not undone"));
            }
        } else if event.key.0.kind == "Job"
            && let Some(uid) = text(object, "/metadata/ownerReferences/0/uid")
            && let Some((step, restores)) = known.get(&(uid, name)).copied()
        {
            let worked = worked.entry((uid, step)).or_default();
            match (event.what, restores) {
                ("ADDED", true) if worked.runs => {
                    return Some(format!("L3: {name} undoes at {} what still runs", event.at));
                }
                ("ADDED", true) if runs.get(uid).is_some_and(|run| is_on(run, step)) => {
                    return Some(format!("L3: {name} undoes at {} what is on", event.at));
                }
                ("ADDED", true) => worked.owed = false,
                ("DELETED", false) => worked.runs = false,
                ("ADDED", false) => (worked.runs, worked.owed) = (true, true),
                (_, false) => {
                    worked.runs = text(object, "/status/conditions/0/type").is_none();
                }
                _ => {}
            }
        }
    }
    None
}
