//! Rules on surges, runs, calendars and holds, from the status that the operator has written.

use kube::{Resource, ResourceExt};
use primetime_api::{ScheduledSurge, SurgeCalendar, SurgeHold, SurgeRun};
use primetime_core::state::condition::{Condition, ConditionReason, ConditionType, condition};
use primetime_core::state::run::Verdict;

use super::finding::{Finding, Rule, Section, State};
use crate::cluster::Cluster;
use crate::runs::is_over;
use crate::status::listed;
use crate::wall::Wall;

fn tell(rule: Rule, state: State, message: &str) -> Finding {
    Finding::new(Section::Surges, rule, state, message)
}

/// Applies the rules on the objects of the namespace, or of all namespaces.
pub async fn look(cluster: &Cluster) -> Vec<Finding> {
    let mut findings = Vec::new();
    match listed::<ScheduledSurge>(cluster).await {
        Ok(surges) => findings.extend(surges.iter().map(announced)),
        Err(why) => findings.push(tell(Rule::Surge, State::Unknown, &format!("{why:#}"))),
    }
    match listed::<SurgeRun>(cluster).await {
        Ok(mut runs) => {
            runs.sort_by_key(|run| run.spec.start_time);
            findings.extend(runs.iter().filter(|run| !is_over(run)).flat_map(run));
        }
        Err(why) => findings.push(tell(Rule::Run, State::Unknown, &format!("{why:#}"))),
    }
    match listed::<SurgeCalendar>(cluster).await {
        Ok(calendars) => findings.extend(calendars.iter().map(calendar)),
        Err(why) => findings.push(tell(Rule::Calendar, State::Unknown, &format!("{why:#}"))),
    }
    match listed::<SurgeHold>(cluster).await {
        Ok(holds) => findings.extend(holds.iter().filter_map(contested)),
        Err(why) => findings.push(tell(Rule::Hold, State::Unknown, &format!("{why:#}"))),
    }
    if findings.is_empty() {
        let text = format!("nothing is announced in {}", cluster.place());
        findings.push(tell(Rule::Surge, State::Ok, &text));
    }
    findings
}

fn place<K: Resource>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// `surge`: the operator has planned the current generation of a surge.
fn announced(surge: &ScheduledSurge) -> Finding {
    let place = place(surge);
    let status = surge.status.as_ref();
    let seen = status.is_some_and(|s| s.observed_generation == surge.metadata.generation);
    let accepted = status.and_then(|s| condition(&s.conditions, ConditionType::Accepted));
    let Some(accepted) = accepted.filter(|_| seen) else {
        let text = format!("{place}: no operator has planned the newest spec yet");
        return tell(Rule::Surge, State::Wrong, &text);
    };
    let usual = [ConditionReason::Suspended, ConditionReason::NothingToCome];
    let state = if accepted.holds() {
        State::Ok
    } else if usual.iter().any(|reason| reason.as_str() == accepted.reason) {
        State::Warning
    } else {
        State::Wrong
    };
    tell(Rule::Surge, state, &format!("{place}: {}: {}", accepted.reason, accepted.message))
}

/// Judgement of a condition of a run that does not have the usual status.
fn judged(type_: ConditionType, found: &Condition) -> Option<(Rule, State)> {
    let warning = ConditionReason::WarningFound.as_str();
    match (type_, found.holds()) {
        (ConditionType::PreflightPassed, false) if found.reason == warning => {
            Some((Rule::Preflight, State::Warning))
        }
        (ConditionType::PreflightPassed, false) => Some((Rule::Preflight, State::Wrong)),
        (ConditionType::SignalsKnown, false) => Some((Rule::Signals, State::Wrong)),
        (ConditionType::LadderReady, false) => Some((Rule::Steps, State::Wrong)),
        (ConditionType::Clipped, true) => Some((Rule::Clipped, State::Warning)),
        (ConditionType::JobsFailed, true) => Some((Rule::Jobs, State::Wrong)),
        (ConditionType::Degraded, true) => Some((Rule::Degraded, State::Warning)),
        _ => None,
    }
}

/// `run`, and a rule for each condition of a run that does not have the usual status.
fn run(run: &SurgeRun) -> Vec<Finding> {
    let place = place(run);
    let wall = Wall::of(run.spec.time_zone.as_deref());
    let Some(status) = &run.status else {
        let text = format!("{place}: no operator has looked at this run yet");
        return vec![tell(Rule::Run, State::Wrong, &text)];
    };
    let message = wall.text(&status.message, run.spec.start_time);
    let text = format!("{place}: {} {}: {message}", status.stage.as_str(), status.verdict.as_str());
    let state = if status.verdict == Verdict::AtRisk { State::Wrong } else { State::Ok };
    let mut findings = vec![tell(Rule::Run, state, &text)];
    let types = [
        ConditionType::PreflightPassed,
        ConditionType::SignalsKnown,
        ConditionType::Clipped,
        ConditionType::JobsFailed,
        ConditionType::LadderReady,
        ConditionType::Degraded,
    ];
    findings.extend(types.into_iter().filter_map(|type_| {
        let found = condition(&status.conditions, type_)?;
        let (rule, state) = judged(type_, found)?;
        let text = wall.text(&found.message, run.spec.start_time);
        Some(tell(rule, state, &format!("{place}: {text}")))
    }));
    findings
}

/// `calendar`: the operator has read the newest copy of the feed.
fn calendar(calendar: &SurgeCalendar) -> Finding {
    let place = place(calendar);
    let status = calendar.status.as_ref();
    match status.and_then(|s| condition(&s.conditions, ConditionType::Ready)) {
        None => {
            tell(Rule::Calendar, State::Wrong, &format!("{place}: no operator has read it yet"))
        }
        Some(ready) => {
            let state = if ready.holds() { State::Ok } else { State::Wrong };
            tell(Rule::Calendar, state, &format!("{place}: {}: {}", ready.reason, ready.message))
        }
    }
}

/// `hold`: no other writer keeps lowering a target.
fn contested(hold: &SurgeHold) -> Option<Finding> {
    let by = hold.spec.hold.contested_by.as_ref()?;
    let target = &hold.spec.hold.target_ref;
    let place = hold.namespace().unwrap_or_default();
    let text = format!("{place}: {by} keeps lowering {} {}", target.kind, target.name);
    Some(tell(Rule::Hold, State::Wrong, &text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn run_with(status: &Value) -> Vec<Finding> {
        let object = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun",
            "metadata": {"name": "capital-1", "namespace": "shop"},
            "spec": {"startTime": "2031-01-12T20:00:00Z", "readyTime": "2031-01-12T19:50:00Z",
                "endTime": "2031-01-12T21:00:00Z", "targets": []},
            "status": status,
        });
        run(&serde_json::from_value(object).unwrap())
    }

    fn said(type_: &str, status: &str, reason: &str) -> Value {
        json!({"verdict": "OnTrack", "conditions": [{"type": type_, "status": status, "reason": reason,
            "message": "web", "lastTransitionTime": "2031-01-12T19:00:00Z"}]})
    }

    #[test]
    fn a_run_at_risk_and_each_condition_is_a_finding() {
        let states =
            |status: &Value| run_with(status).iter().map(|f| (f.rule, f.state)).collect::<Vec<_>>();
        assert_eq!(states(&json!({"verdict": "AtRisk"})), [(Rule::Run, State::Wrong)]);
        let fine = said("PreflightPassed", "True", "NothingFound");
        assert_eq!(states(&fine), [(Rule::Run, State::Ok)]);
        let cases = [
            ("PreflightPassed", "False", "RiskFound", (Rule::Preflight, State::Wrong)),
            ("PreflightPassed", "False", "WarningFound", (Rule::Preflight, State::Warning)),
            ("SignalsKnown", "False", "NoAnswer", (Rule::Signals, State::Wrong)),
            ("Clipped", "True", "AtMaxReplicas", (Rule::Clipped, State::Warning)),
            ("JobsFailed", "True", "Failed", (Rule::Jobs, State::Wrong)),
            ("LadderReady", "False", "Impossible", (Rule::Steps, State::Wrong)),
        ];
        for (type_, status, reason, expected) in cases {
            assert_eq!(states(&said(type_, status, reason))[1], expected, "{type_}");
        }
    }

    #[test]
    fn what_no_operator_has_seen_is_wrong() {
        let surge = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
            "metadata": {"name": "capital", "namespace": "shop", "generation": 2},
            "spec": {"schedule": {"startTime": "2031-01-12T20:00:00Z"}, "durationSeconds": 60,
                "targets": []},
        });
        let surge: ScheduledSurge = serde_json::from_value(surge).unwrap();
        assert_eq!(announced(&surge).state, State::Wrong);
        assert_eq!(run_with(&Value::Null).first().map(|f| f.state), Some(State::Wrong));
    }
}
