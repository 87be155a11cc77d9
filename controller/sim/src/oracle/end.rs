//! Rules about the end of an evening.

use chrono::TimeDelta;
use serde_json::Value;

use crate::field::{at, number, text};
use crate::oracle::case::{Broken, Case};
use crate::server::object::Event;

/// L1, L6: all runs complete, and the planner removes the finalizer of each run.
pub(super) fn it_ends(case: Case<'_>) -> Option<Broken> {
    case.recording.over.is_none().then(|| {
        let last = case.recording.last();
        let runs = last.iter().filter(|((kind, _), _)| *kind == "SurgeRun");
        let said: Vec<_> = runs
            .map(|((_, name), run)| {
                let text = |p| text(run, p).unwrap_or_default();
                format!("{name} is {}: {}", text("/status/stage"), text("/status/message"))
            })
            .collect();
        format!("L1: it does not end: {}", said.join("; "))
    })
}

/// L3: bounds and replicas equal the baseline, no hold and no mark of the operator remains, and
/// every instance is terminated.
pub(super) fn everything_is_returned(case: Case<'_>) -> Option<Broken> {
    let last = case.recording.last();
    if let Some((_, name)) = last.keys().find(|(kind, _)| *kind == "SurgeHold") {
        return Some(format!("L3: hold {name} is left"));
    }
    if let Some(machine) = case.recording.machines.iter().find(|m| m.ended_at.is_none()) {
        return Some(format!("L3: instance {} lives", machine.id));
    }
    let theirs = last.iter().filter(|((_, _), object)| {
        text(object, "/apiVersion").is_some_and(|version| !version.starts_with("primetime.dev"))
    });
    // The garbage collector deletes a Job together with its run: the rule ignores such a Job.
    let ours =
        |object: &Value| text(object, "/metadata/ownerReferences/0/kind") == Some("SurgeRun");
    let theirs = theirs.filter(|(_, object)| !ours(object));
    for ((kind, name), object) in theirs.filter(|((kind, _), _)| !["Event", "Lease"].contains(kind))
    {
        for field in ["/metadata/annotations", "/metadata/labels", "/metadata/finalizers"] {
            if at(object, field).is_some_and(|f| f.to_string().contains("primetime.dev")) {
                return Some(format!("L3: {kind} {name} still has a mark of ours in {field}"));
            }
        }
    }
    case.promise.afterwards.iter().find_map(|(kind, name, pointer, value)| {
        let is = last.get(&(*kind, *name)).and_then(|o| number(o, pointer));
        (is != Some(*value)).then(|| format!("L3: {kind} {name} {pointer} is {is:?}, not {value}"))
    })
}

/// S20: five seconds after the last completion, operators write nothing but their lease and Events.
///
/// The operator goes on reading a calendar, so the rule exempts a `SurgeCalendar` and the surges
/// that follow a calendar.
pub(super) fn quiet_afterwards(case: Case<'_>) -> Option<Broken> {
    let quiet_from = case.recording.over? + TimeDelta::seconds(5);
    let writes = case.recording.history.iter().filter(|e| e.by.is_some() && e.at >= quiet_from);
    let follows = |e: &Event| {
        e.key.0.kind == "SurgeCalendar" || at(&e.object, "/spec/schedule/calendarRef").is_some()
    };
    writes
        .filter(|e| !["Event", "Lease"].contains(&e.key.0.kind) && !follows(e))
        .map(|e| format!("S20: {} {} is written at {}", e.key.0.kind, e.key.2, e.at))
        .next()
}
