//! Comparison of two evenings that must end in the same state.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::evening::recording::Recording;
use crate::field::at;

/// E1: returns the final state without values that differ between evenings: times, uids, versions,
/// instance ids and messages.
fn left(recording: &Recording) -> BTreeMap<String, String> {
    let last = recording.last();
    last.iter()
        .filter_map(|((kind, name), object)| {
            let show = |pointer: &str| at(object, pointer).map(Value::to_string);
            let state = match *kind {
                "Deployment" | "HorizontalPodAutoscaler" | "ScaledObject" | "SurgeHold" => {
                    show("/spec")?
                }
                "ConfigMap" => show("/data")?,
                "ScheduledSurge" => format!("{:?}", show("/metadata/finalizers")),
                "SurgeRun" => {
                    let mut spec = object.get("spec").cloned().unwrap_or_default();
                    // `spec.surgeGeneration` is a counter, like a `resourceVersion`.
                    spec.as_object_mut().map(|fields| fields.remove("surgeGeneration"));
                    format!("{spec} {:?}", show("/status/stage"))
                }
                _ => return None,
            };
            Some((format!("{kind} {name}"), state))
        })
        .collect()
}

/// E2: counts creations and deletions of surges, runs and holds, and started and ended instances.
///
/// The count ignores runs withdrawn before their begin, because such runs depend on the time of a
/// calendar read. The count ignores Jobs, because a Job depends on the time at which the operator
/// observes a ready target. Rule S8 checks that a Job runs only once.
fn counts(recording: &Recording) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let begun: BTreeSet<&str> = recording
        .history
        .iter()
        .filter(|e| at(&e.object, "/metadata/finalizers").is_some())
        .map(|e| e.key.2.as_str())
        .collect();
    let counts_for = |kind: &str, name: &str| match kind {
        "ScheduledSurge" | "SurgeHold" => true,
        "SurgeRun" => begun.contains(name),
        _ => false,
    };
    for event in recording.history.iter().filter(|e| counts_for(e.key.0.kind, &e.key.2)) {
        if event.what != "MODIFIED" {
            let what = format!("{} {} {}", event.key.0.kind, event.key.2, event.what);
            *counts.entry(what).or_default() += 1;
        }
    }
    let ended = recording.machines.iter().filter(|m| m.ended_at.is_some()).count();
    counts.insert("instances started".to_owned(), recording.machines.len());
    counts.insert("instances ended".to_owned(), ended);
    counts
}

/// Returns the differences between the final states and counts of two evenings.
#[must_use]
pub fn differences(is: &Recording, other: &Recording) -> Vec<String> {
    let mut all = Vec::new();
    let (left, left_there) = (left(is), left(other));
    for name in left.keys().chain(left_there.keys()) {
        if left.get(name) != left_there.get(name) {
            let (a, b) = (left.get(name), left_there.get(name));
            all.push(format!("E1: {name} is {a:?}, not {b:?}"));
        }
    }
    let (made, made_there) = (counts(is), counts(other));
    for name in made.keys().chain(made_there.keys()) {
        if made.get(name) != made_there.get(name) {
            let (a, b) = (made.get(name), made_there.get(name));
            all.push(format!("E2: {name}: {a:?}, not {b:?}"));
        }
    }
    all.sort();
    all.dedup();
    all
}
