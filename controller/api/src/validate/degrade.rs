//! Validation of `spec.degrade`. A step may refer only to signals and targets that the same spec
//! declares.

use primetime_core::decimal::Decimal;
use primetime_core::reference;
use primetime_core::state::announcement::{self, Moment};
use primetime_core::state::ladder::{self, Action, Place, Trigger, When, Work};

use super::reference::name;
use primetime_core::seconds;

use crate::degrade::DegradeStep;
use crate::event::EventSpec;
use crate::job::JobTemplateRef;

/// Converts `spec.degrade` into the steps of the ladder.
///
/// # Errors
///
/// Returns the reason for refusing each invalid step, with the path of the step.
pub(super) fn ladder(announced: &EventSpec) -> Result<Vec<ladder::Step>, Vec<String>> {
    let (mut steps, mut errors) = (Vec::new(), Vec::new());
    for (i, written) in announced.degrade.iter().enumerate() {
        match step(written, announced) {
            Ok(step) => steps.push(step),
            Err(why) => errors.push(format!("spec.degrade[{i}]: {why}")),
        }
    }
    if errors.is_empty() { Ok(steps) } else { Err(errors) }
}

fn step(written: &DegradeStep, announced: &EventSpec) -> Result<ladder::Step, String> {
    Ok(ladder::Step {
        name: written.name.clone(),
        when: When {
            condition: condition(written, announced)?,
            for_time: seconds(written.when.for_seconds),
        },
        minimum: seconds(written.minimum_seconds),
        action: action(written)?,
    })
}

fn action(written: &DegradeStep) -> Result<Action, String> {
    match (&written.config_map_ref, &written.http_route_ref, &written.jobs) {
        (Some(to), None, None) => {
            let name = name("configMapRef", &to.name)?;
            reference::key(&to.key).map_err(|why| format!("configMapRef.key: {why}"))?;
            let place = Place::ConfigMap { name, key: to.key.clone() };
            Ok(Action::Write { place, value: to.value.clone() })
        }
        (None, Some(to), None) => {
            let (rule, backend) = (to.rule.clone(), to.backend.clone());
            let place = Place::HttpRoute { name: name("httpRouteRef", &to.name)?, rule, backend };
            Ok(Action::Write { place, value: to.weight.to_string() })
        }
        (None, None, Some(jobs)) => {
            name("jobs.degrade", &jobs.degrade.name)?;
            jobs.restore.as_ref().map(|to| name("jobs.restore", &to.name)).transpose()?;
            Ok(Action::Run(Work {
                degrade: written.name.clone(),
                restore: jobs.restore.as_ref().map(|_| restore_name(written)),
            }))
        }
        _ => Err("exactly one of configMapRef, httpRouteRef and jobs".to_owned()),
    }
}

fn restore_name(written: &DegradeStep) -> String {
    format!("{}-restore", written.name)
}

/// Returns the Jobs of all steps that have `jobs`: the Job of `jobs.degrade` and, if set, of
/// `jobs.restore`.
pub(super) fn jobs(ladder: &[DegradeStep]) -> impl Iterator<Item = announcement::JobStep> + '_ {
    let runs = ladder.iter().filter_map(|written| Some((written, written.jobs.as_ref()?)));
    runs.flat_map(|(written, jobs)| {
        let job = |name: String, moment, template: &JobTemplateRef| announcement::JobStep {
            name,
            moment,
            template: template.into(),
            deadline: seconds(jobs.deadline_seconds.max(1)),
            retries: jobs.retries,
            after: Vec::new(),
        };
        let restore = jobs.restore.as_ref();
        let undoes = restore.map(|to| job(restore_name(written), Moment::Restore, to));
        [Some(job(written.name.clone(), Moment::Degrade, &jobs.degrade)), undoes]
    })
    .flatten()
}

fn condition(written: &DegradeStep, announced: &EventSpec) -> Result<Trigger, String> {
    let when = &written.when;
    let line = |field: &str, text: &str| {
        text.parse::<Decimal>().map_err(|error| format!("when.{field}: {error}"))
    };
    match (&when.signal, &when.above, &when.target, when.behind_replicas) {
        (Some(signal), Some(above), None, None) => {
            if !announced.signals.iter().any(|s| s.name == *signal) {
                return Err(format!("signal \"{signal}\" is not a signal of this surge"));
            }
            let above = line("above", above)?;
            let below = when.below.as_ref().map(|text| line("below", text)).transpose()?;
            let below = below.unwrap_or_else(|| above.percent(90));
            if below > above {
                return Err(format!("below ({below}) is higher than above ({above})"));
            }
            Ok(Trigger::Signal { signal: signal.clone(), above, below })
        }
        (None, None, Some(target), Some(replicas)) if when.below.is_none() => {
            if !announced.targets.iter().any(|t| t.name == *target) {
                return Err(format!("target \"{target}\" is not a target of this surge"));
            }
            Ok(Trigger::Behind { target: target.clone(), replicas: replicas.max(1) })
        }
        _ => Err("when: either signal with above, or target with behindReplicas".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn said(when: &Value) -> String {
        let surge = json!({
            "schedule": {"startTime": "2026-11-22T20:50:00Z", "durationSeconds": 3600},
            "targets": [{"name": "web", "replicas": 5, "scaleTargetRef":
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}],
            "signals": [{"name": "p95", "metricsSourceRef": {"name": "main"}, "query": "p95"}],
            "degrade": [{"name": "light", "when": when,
                "configMapRef": {"name": "flags", "key": "page", "value": "light"}}],
        });
        let surge = serde_json::from_value(surge).unwrap();
        crate::surge_spec(&surge).err().unwrap_or_default().join("\n")
    }

    #[test]
    fn a_step_watches_a_signal_or_a_target_of_its_surge() {
        assert_eq!(said(&json!({"signal": "p95", "above": "0.8"})), "");
        assert_eq!(said(&json!({"target": "web", "behindReplicas": 3})), "");
        for (when, why) in [
            (json!({"signal": "p99", "above": "1"}), "signal \"p99\" is not a signal"),
            (json!({"target": "till", "behindReplicas": 1}), "target \"till\" is not a target"),
            (json!({"signal": "p95"}), "either signal with above"),
            (json!({"target": "web"}), "either signal with above"),
            (
                json!({"target": "web", "behindReplicas": 1, "below": "1"}),
                "either signal with above",
            ),
            (
                json!({"signal": "p95", "above": "1", "below": "2"}),
                "below (2) is higher than above (1)",
            ),
            (
                json!({"signal": "p95", "above": "much"}),
                "when.above: \"much\" is not a positive decimal",
            ),
        ] {
            let said = said(&when);
            assert!(said.starts_with("spec.degrade[0]: ") && said.contains(why), "{said}");
        }
    }
}
