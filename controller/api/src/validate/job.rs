//! Validation of the Jobs in `spec.warmUp`, `spec.onLive`, `spec.onRelease` and `spec.degrade`.
//!
//! Each name in `after` must refer to an earlier Job of the same list. A name in `after` of
//! `warmUp` may also refer to a target or a machine group.

use std::collections::BTreeSet;

use primetime_core::state::announcement::{self, JobTemplate, Moment};

use primetime_core::seconds;

use super::degrade;
use super::reference::name;
use crate::event::EventSpec;
use crate::job::{JobStep, JobTemplateRef};

/// Converts all Jobs of the spec.
///
/// # Errors
///
/// Returns every reason for refusing a Job, with the path of the Job.
pub(super) fn jobs(announced: &EventSpec) -> Result<Vec<announcement::JobStep>, Vec<String>> {
    let lists = [
        ("warmUp", Moment::WarmUp, &announced.warm_up),
        ("onLive", Moment::Live, &announced.on_live),
        ("onRelease", Moment::Release, &announced.on_release),
    ];
    let targets = announced.targets.iter().map(|target| target.name.as_str());
    let machines = announced.machines.iter().map(|group| group.name.as_str());
    let capacity: Vec<&str> = targets.chain(machines).collect();
    let (mut jobs, mut errors, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (list, moment, steps) in lists {
        for (i, step) in steps.iter().enumerate() {
            let mut wrong = |why: String| errors.push(format!("spec.{list}[{i}]: {why}"));
            if let Err(why) = name("jobTemplateRef", &step.job_template_ref.name) {
                wrong(why);
            }
            let name = step.name.as_str();
            if !names.insert(name) || capacity.contains(&name) {
                wrong(format!("something else is called \"{name}\" too"));
            }
            let before: Vec<&str> = steps.iter().take(i).map(|s| s.name.as_str()).collect();
            for first in &step.after {
                let ready = capacity.iter().filter(|name| *name == first).count();
                let known = before.contains(&first.as_str());
                match ready {
                    _ if known => {}
                    0 => wrong(format!("after \"{first}\" is nothing that stands before it")),
                    _ if moment != Moment::WarmUp => {
                        wrong(format!("after \"{first}\" is for warm-ups only"));
                    }
                    1 => {}
                    _ => wrong(format!("after \"{first}\" is a target and a group of machines")),
                }
            }
            jobs.push(job(step, moment));
        }
    }
    // A degradation step and the Job of `jobs.degrade` share a name. The name must differ from all
    // other Jobs, targets and machine groups.
    for step in degrade::jobs(&announced.degrade) {
        let others = jobs.iter().any(|other| other.name == step.name);
        if others || capacity.contains(&step.name.as_str()) {
            errors.push(format!("spec.degrade: something else is called \"{}\" too", step.name));
        }
        jobs.push(step);
    }
    if errors.is_empty() { Ok(jobs) } else { Err(errors) }
}

impl From<&JobTemplateRef> for JobTemplate {
    fn from(template: &JobTemplateRef) -> Self {
        Self { kind: template.kind, name: template.name.clone() }
    }
}

fn job(step: &JobStep, moment: Moment) -> announcement::JobStep {
    announcement::JobStep {
        name: step.name.clone(),
        moment,
        template: (&step.job_template_ref).into(),
        deadline: seconds(step.deadline_seconds.max(1)),
        retries: step.retries,
        after: step.after.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn said(jobs: &Value) -> String {
        let mut surge = json!({
            "schedule": {"startTime": "2026-11-22T20:50:00Z", "durationSeconds": 3600},
            "targets": [{"name": "web", "replicas": 5, "scaleTargetRef":
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}],
            "machines": [{"name": "web", "instanceClassRef": {"name": "c"}, "count": 1}],
        });
        for (list, steps) in jobs.as_object().unwrap() {
            surge[list] = steps.clone();
        }
        let surge = serde_json::from_value(surge).unwrap();
        crate::surge_spec(&surge).err().unwrap_or_default().join("\n")
    }

    fn step(name: &str, after: &[&str]) -> Value {
        json!({"name": name, "jobTemplateRef": {"name": "t"}, "after": after})
    }

    #[test]
    fn a_step_waits_for_what_stands_before_it() {
        assert_eq!(said(&json!({"warmUp": [step("a", &[]), step("b", &["a"])]})), "");
        let nothing = "spec.warmUp[0]: after \"b\" is nothing that stands before it";
        assert_eq!(said(&json!({"warmUp": [step("a", &["b"]), step("b", &[])]})), nothing);
        let itself = "spec.warmUp[0]: after \"a\" is nothing that stands before it";
        assert_eq!(said(&json!({"warmUp": [step("a", &["a"])]})), itself);
        let other = "spec.onLive[0]: after \"a\" is nothing that stands before it";
        assert_eq!(
            said(&json!({"warmUp": [step("a", &[])], "onLive": [step("b", &["a"])]})),
            other
        );
    }

    #[test]
    fn names_say_one_thing_each() {
        let twice = "spec.onRelease[0]: something else is called \"a\" too";
        assert_eq!(
            said(&json!({"warmUp": [step("a", &[])], "onRelease": [step("a", &[])]})),
            twice
        );
        let target = "spec.warmUp[0]: something else is called \"web\" too";
        assert_eq!(said(&json!({"warmUp": [step("web", &[])]})), target);
        let both = "spec.warmUp[0]: after \"web\" is a target and a group of machines";
        assert_eq!(said(&json!({"warmUp": [step("a", &["web"])]})), both);
        let late = "spec.onRelease[0]: after \"web\" is for warm-ups only";
        assert_eq!(said(&json!({"onRelease": [step("a", &["web"])]})), late);
    }
}
