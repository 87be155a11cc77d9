//! In whose name workloads are raised.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::field::{at, number, text};
use crate::oracle::case::{Broken, Case, workload_of};
use crate::server::object::Event;

/// What an announcement names: workloads, and how many of each.
fn announced(object: &Value) -> Option<&Value> {
    at(object, "/spec/targets")
}

fn names<'a>(object: &'a Value, workload: &str) -> bool {
    let name = |target: &'a Value| text(target, "/scaleTargetRef/name");
    let targets = announced(object).and_then(Value::as_array);
    targets.into_iter().flatten().filter_map(name).any(|name| name == workload)
}

/// Which generation of which surge a run was made from.
fn origin(run: &Value) -> Option<(&str, i64)> {
    let surge = at(run, "/metadata/annotations")?.get(primetime_api::SURGE_UID)?.as_str()?;
    Some((surge, number(run, "/spec/surgeGeneration")?))
}

/// S11: what a run asks for is what its surge said in the generation that the run names.
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

/// S11: a workload is raised while a run that is there names it.
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
