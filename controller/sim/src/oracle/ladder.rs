//! What steps of a ladder write, and that it is given back.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Broken, Case};
use crate::server::store::Event;

/// A key of a `ConfigMap` that has changed.
struct Change<'a> {
    event: &'a Event,
    map: &'a str,
    key: String,
    from: Option<String>,
    to: Option<String>,
}

/// Every change of a key, with who made it.
fn changes(case: Case<'_>) -> Vec<Change<'_>> {
    let mut last: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    let mut all = Vec::new();
    for event in case.of("ConfigMap") {
        let data = event.object.get("data").cloned().unwrap_or_default();
        let is: BTreeMap<String, String> = serde_json::from_value(data).unwrap_or_default();
        let was = last.insert(&event.key.2, is.clone()).unwrap_or_default();
        let keys = was.keys().chain(is.keys().filter(|key| !was.contains_key(*key)));
        for key in keys.filter(|key| was.get(*key) != is.get(*key)) {
            let (from, to) = (was.get(key).cloned(), is.get(key).cloned());
            all.push(Change { event, map: &event.key.2, key: key.clone(), from, to });
        }
    }
    all
}

/// S7: what stood at a place stands in the status of a run before anything is written there.
pub(super) fn on_record_before_written(case: Case<'_>) -> Option<Broken> {
    let owes = |run: &Event| {
        let steps = run.object.pointer("/status/degrade").and_then(Value::as_array);
        steps.is_some_and(|steps| steps.iter().any(|step| step.get("owed").is_some()))
    };
    changes(case).into_iter().filter(|change| change.event.by.is_some()).find_map(|change| {
        let mut last: BTreeMap<&str, &Event> = BTreeMap::new();
        for run in case.of("SurgeRun").filter(|run| run.version < change.event.version) {
            last.insert(&run.key.2, run);
        }
        let Change { map, key, from, to, event } = &change;
        let at = event.at;
        (!last.values().any(|run| owes(run))).then(|| {
            format!("S7: {key} in ConfigMap {map} {from:?} -> {to:?} at {at}, and no run has it on record")
        })
    })
}

/// L3: a value is what it was before an operator wrote there, unless somebody else has written since.
pub(super) fn values_are_returned(case: Case<'_>) -> Option<Broken> {
    let mut before: BTreeMap<(String, String), Option<String>> = BTreeMap::new();
    let mut now: BTreeMap<(String, String), Option<String>> = BTreeMap::new();
    for change in changes(case) {
        let place = (change.map.to_owned(), change.key);
        if change.event.by.is_some() {
            before.entry(place.clone()).or_insert(change.from);
        } else {
            before.remove(&place);
        }
        now.insert(place, change.to);
    }
    before.into_iter().find_map(|((map, key), was)| {
        let is = now.get(&(map.clone(), key.clone())).cloned().flatten();
        (is != was).then(|| format!("L3: {key} in ConfigMap {map} is {is:?}, not {was:?}"))
    })
}
