//! Authority for raised workloads: each raise needs a run, and each run needs its surge.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::field::{at, number, text};
use crate::oracle::case::{Broken, Case, workload_of};
use crate::server::object::Event;

/// Returns `spec.targets` of a surge or run: workloads with their replicas.
fn announced(object: &Value) -> Option<&Value> {
    at(object, "/spec/targets")
}

fn names<'a>(object: &'a Value, workload: &str) -> bool {
    let name = |target: &'a Value| text(target, "/scaleTargetRef/name");
    let targets = announced(object).and_then(Value::as_array);
    targets.into_iter().flatten().filter_map(name).any(|name| name == workload)
}

/// Returns the uid and the generation of the surge from which the planner made a run.
fn origin(run: &Value) -> Option<(&str, i64)> {
    let surge = at(run, "/metadata/annotations")?.get(primetime_api::SURGE_UID)?.as_str()?;
    Some((surge, number(run, "/spec/surgeGeneration")?))
}

/// S11: `spec.targets` of a run equals `spec.targets` of the surge in the generation that the run
/// names (`spec.surgeGeneration`).
pub(super) fn runs_say_what_their_surge_said(case: Case<'_>) -> Option<Broken> {
    let mut said: BTreeMap<(&str, i64), &Value> = BTreeMap::new();
    case.recording.history.iter().find_map(|event| {
        let name = event.key.2.as_str();
        match event.key.0.kind {
            "ScheduledSurge" => {
                let uid = text(&event.object, "/metadata/uid")?;
                let generation = number(&event.object, "/metadata/generation")?;
                said.insert((uid, generation), announced(&event.object)?);
                None
            }
            "SurgeRun" if event.by.is_some() => {
                let origin = origin(&event.object)?;
                let meant = said.get(&origin).copied();
                (meant != announced(&event.object))
                    .then(|| format!("S11: {name} asks for what its surge did not say: {origin:?}"))
            }
            _ => None,
        }
    })
}

/// S11: an operator raises a workload only while an existing run names the workload.
pub(super) fn raised_in_the_name_of_a_run(case: Case<'_>) -> Option<Broken> {
    let mut runs: BTreeMap<&str, &Event> = BTreeMap::new();
    let raises: BTreeSet<u64> = super::floors::raises(case).collect();
    case.recording.history.iter().find_map(|event| {
        let name = workload_of(event);
        if event.key.0.kind == "SurgeRun" {
            if event.what == "DELETED" {
                runs.remove(name);
            } else {
                runs.insert(name, event);
            }
        }
        let named = || runs.values().any(|run| names(&run.object, name));
        (raises.contains(&event.version) && !named()).then(|| {
            format!(
                "S11: {} {name} is raised at {}, and no run names it",
                event.key.0.kind, event.at
            )
        })
    })
}
