//! Rules about Jobs that an operator runs for an event.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::field::{at, text};
use crate::oracle::case::{Broken, Case};

/// Returns the Jobs in `status.jobs` of a run: name of the step and name of the Job.
fn on_record(run: &Value) -> impl Iterator<Item = (&str, &str)> {
    let jobs = at(run, "/status/jobs").and_then(Value::as_array);
    jobs.into_iter().flatten().filter_map(|job| Some((text(job, "/name")?, text(job, "/job")?)))
}

/// S7: `status.jobs` of a run names a Job before an operator creates the Job, and the Job's owner
/// is that run.
pub(super) fn recorded_before_created(case: Case<'_>) -> Option<Broken> {
    let mut recorded: BTreeSet<(String, String)> = BTreeSet::new();
    for event in &case.recording.history {
        let name = &event.key.2;
        match event.key.0.kind {
            "SurgeRun" => {
                let uid = text(&event.object, "/metadata/uid").unwrap_or_default();
                let jobs = on_record(&event.object);
                recorded.extend(jobs.map(|(_, job)| (uid.to_owned(), job.to_owned())));
            }
            "Job" if event.what == "ADDED" && event.by.is_some() => {
                let owner = text(&event.object, "/metadata/ownerReferences/0/uid");
                let owner = owner.unwrap_or_default().to_owned();
                if !recorded.contains(&(owner, name.clone())) {
                    return Some(format!("S7: Job {name} is created and on no record"));
                }
            }
            _ => {}
        }
    }
    None
}

/// Returns the number of activations of each ladder step, as recorded in
/// `status.degrade[].engaged`.
fn times_on(case: Case<'_>) -> BTreeMap<String, usize> {
    let mut on: BTreeMap<(String, String), bool> = BTreeMap::new();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for event in case.of("SurgeRun") {
        let steps = at(&event.object, "/status/degrade").and_then(Value::as_array);
        for step in steps.into_iter().flatten() {
            let name = text(step, "/name").unwrap_or_default().to_owned();
            let is = step.get("engaged") == Some(&Value::Bool(true));
            let was = on.insert((event.key.2.clone(), name.clone()), is).unwrap_or_default();
            *times.entry(name).or_default() += usize::from(is && !was);
        }
    }
    times
}

/// S8: an operator creates a single Job per step, and a single Job per activation of a ladder step.
/// A failed Job permits another Job.
pub(super) fn created_once(case: Case<'_>) -> Option<Broken> {
    let times_on = times_on(case);
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    let mut failed: BTreeMap<String, usize> = BTreeMap::new();
    case.of("Job")
        .filter(|event| text(&event.object, "/metadata/ownerReferences/0/uid").is_some())
        .find_map(|event| {
            let step = event.key.2.rsplitn(3, '-').nth(2)?;
            let has_failed = text(&event.object, "/status/conditions/0/type") == Some("Failed");
            if event.what == "ADDED" {
                *made.entry(step.to_owned()).or_default() += 1;
            } else if has_failed && event.what == "MODIFIED" {
                *failed.entry(step.to_owned()).or_default() += 1;
            }
            let of_ladder = times_on.get(step.strip_suffix("-restore").unwrap_or(step));
            let times = of_ladder.copied().unwrap_or_default().max(1);
            let may = times + failed.get(step).copied().unwrap_or_default();
            (made.get(step).copied().unwrap_or_default() > may)
                .then(|| format!("S8: {step} is run again at {}, and has not failed", event.at))
        })
}

/// S19: a run with the verdict `Ready` has recorded a completed Job for each of its warm-up steps.
pub(super) fn ready_means_warm(case: Case<'_>) -> Option<Broken> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for event in &case.recording.history {
        let name = event.key.2.as_str();
        match event.key.0.kind {
            "Job" if text(&event.object, "/status/conditions/0/type") == Some("Complete") => {
                done.insert(name);
            }
            "SurgeRun" if event.by.is_some() => {
                let run = &event.object;
                if text(run, "/status/verdict") != Some("Ready") {
                    continue;
                }
                let steps = at(run, "/spec/warmUp").and_then(Value::as_array);
                let mut steps = steps.into_iter().flatten().filter_map(|step| text(step, "/name"));
                let cold = |step: &&str| {
                    !on_record(run).any(|(name, job)| name == *step && done.contains(job))
                };
                if let Some(step) = steps.find(cold) {
                    return Some(format!(
                        "S19: {name} says at {} that it is ready; {step} is not",
                        event.at
                    ));
                }
            }
            _ => {}
        }
    }
    None
}
