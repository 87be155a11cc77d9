//! Rules on the installation: kinds, leader, pods of the operator, rights of the user, alerts.

use std::collections::BTreeSet;

use anyhow::Result;
use http::StatusCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use primetime_api::{GROUP, VERSION};
use serde::Deserialize;
use serde_json::Value;

use super::cluster::may;
use super::finding::{Finding, Rule, Section, State};
use super::webhook;
use crate::ask;
use crate::cluster::Cluster;
use crate::leader::{self, Leader};
use crate::operator;

/// Items of a list.
#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

fn tell(rule: Rule, state: State, message: &str) -> Finding {
    Finding::new(Section::Installation, rule, state, message)
}

/// Returns the finding of a rule, or a finding in the state `Unknown` if the rule fails.
fn settled(rule: Rule, found: Result<(State, String)>) -> Finding {
    match found {
        Ok((state, message)) => tell(rule, state, &message),
        Err(why) => tell(rule, State::Unknown, &format!("{why:#}")),
    }
}

/// Applies the rules on the installation.
pub async fn look(cluster: &Cluster) -> Vec<Finding> {
    let kinds = settled(Rule::Kinds, kinds(cluster).await);
    if kinds.state == State::Wrong {
        return vec![kinds];
    }
    vec![
        kinds,
        settled(Rule::KindsVersion, fields(cluster).await),
        leader(cluster).await,
        settled(Rule::OperatorPods, pods(cluster).await),
        settled(Rule::Webhook, webhook::probe(cluster).await),
        settled(Rule::Rights, rights(cluster).await),
        settled(Rule::Alerts, alerts(cluster).await),
    ]
}

/// `kinds`: the API server serves every kind of Primetime.
async fn kinds(cluster: &Cluster) -> Result<(State, String)> {
    let path = format!("/apis/{GROUP}/{VERSION}");
    let served: APIResourceList = match ask::decoded(cluster, &path).await? {
        Ok(served) => served,
        Err(StatusCode::NOT_FOUND) => {
            return Ok((State::Wrong, format!("no kind of {GROUP}/{VERSION} is installed")));
        }
        Err(status) => anyhow::bail!("{path} answers {status}"),
    };
    let all = primetime_api::crds();
    let missing: Vec<&str> = all
        .iter()
        .map(|crd| crd.spec.names.kind.as_str())
        .filter(|kind| !served.resources.iter().any(|resource| resource.kind == *kind))
        .collect();
    Ok(if missing.is_empty() {
        (State::Ok, format!("all {} kinds are served", all.len()))
    } else {
        (State::Wrong, format!("{} not served", missing.join(", ")))
    })
}

/// `kinds-version`: the served kinds have every field that this plugin knows. The document
/// is readable for every user, unlike the definitions.
async fn fields(cluster: &Cluster) -> Result<(State, String)> {
    let path = format!("/openapi/v3/apis/{GROUP}/{VERSION}");
    let document: Value = match ask::decoded(cluster, &path).await? {
        Ok(document) => document,
        Err(status) => anyhow::bail!("{path} answers {status}"),
    };
    let reversed: Vec<&str> = GROUP.split('.').rev().collect();
    let prefix = format!("{}.{VERSION}.", reversed.join("."));
    let mut missing = Vec::new();
    for crd in primetime_api::crds() {
        let kind = &crd.spec.names.kind;
        let served = paths(document.pointer(&format!("/components/schemas/{prefix}{kind}")));
        let known = serde_json::to_value(&crd)?;
        let known = paths(known.pointer("/spec/versions/0/schema/openAPIV3Schema"));
        missing.extend(known.difference(&served).map(|field| format!("{kind}{field}")));
    }
    Ok(match missing.as_slice() {
        [] => (State::Ok, "the served kinds have every field that this plugin knows".into()),
        [first, ..] => (
            State::Wrong,
            format!(
                "the served kinds are older than this plugin: {} fields are dropped without a word, such as {first}",
                missing.len()
            ),
        ),
    })
}

/// Returns the paths of all properties of a schema, except those of `metadata`.
fn paths(schema: Option<&Value>) -> BTreeSet<String> {
    fn walk(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
        for part in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(part) {
                walk(inner, path, found);
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, inner) in properties.into_iter().flatten() {
            if path.is_empty() && ["metadata", "apiVersion", "kind"].contains(&name.as_str()) {
                continue;
            }
            let path = format!("{path}.{name}");
            walk(inner, &path, found);
            found.insert(path);
        }
    }
    let mut found = BTreeSet::new();
    if let Some(schema) = schema {
        walk(schema, "", &mut found);
    }
    found
}

/// `leader`: an operator has renewed the Lease in time.
async fn leader(cluster: &Cluster) -> Finding {
    let leader = leader::look(cluster).await;
    let state = match leader {
        Leader::Leads { .. } => State::Ok,
        Leader::None { .. } => State::Wrong,
        Leader::Unknown { .. } => State::Unknown,
    };
    tell(Rule::Leader, state, &leader.line())
}

/// `operator-pods`: all replicas of the operator are available.
async fn pods(cluster: &Cluster) -> Result<(State, String)> {
    let namespace = &cluster.operator_namespace;
    let list = match operator::deployments(cluster).await? {
        Ok(list) => list,
        Err(StatusCode::FORBIDDEN) => {
            return Ok((State::NotAsked, format!("you may not list deployments in {namespace}")));
        }
        Err(status) => anyhow::bail!("the list of deployments in {namespace} answers {status}"),
    };
    let Some(operator) = list.first() else {
        return Ok((
            State::Warning,
            format!(
                "no Deployment of the operator in {namespace}; --operator-namespace names another"
            ),
        ));
    };
    let wanted = operator.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = operator.status.as_ref();
    let available = status.and_then(|status| status.available_replicas).unwrap_or(0);
    let text = format!("{available} of {wanted} operator pods available in {namespace}");
    Ok(match (available, wanted) {
        (_, 0) => (State::Warning, "the chart runs no operator here (replicas: 0)".into()),
        (0, _) => (State::Wrong, text),
        (available, wanted) if available < wanted => (State::Warning, text),
        (1, _) => (State::Warning, format!("{text}: without a standby, a restart takes longer")),
        _ => (State::Ok, text),
    })
}

/// `rights`: the user may announce events and override runs in the namespace.
async fn rights(cluster: &Cluster) -> Result<(State, String)> {
    let namespace = Some(cluster.namespace.as_str());
    let announces = may(cluster, "create", GROUP, "scheduledsurges", namespace).await?;
    let overrides = may(cluster, "create", GROUP, "surgeoverrides", namespace).await?;
    let place = &cluster.namespace;
    Ok(match (announces, overrides) {
        (true, true) => {
            (State::Ok, format!("you may announce events and override runs in {place}"))
        }
        (true, false) => (State::Warning, format!("you may not override runs in {place}")),
        (false, true) => (State::Warning, format!("you may not announce events in {place}")),
        (false, false) => (
            State::Warning,
            format!("you may neither announce events nor override runs in {place}"),
        ),
    })
}

/// `alerts`: a `PrometheusRule` of the chart is loaded.
async fn alerts(cluster: &Cluster) -> Result<(State, String)> {
    let path = "/apis/monitoring.coreos.com/v1/prometheusrules?labelSelector=app.kubernetes.io%2Fname%3Dprimetime";
    Ok(match ask::decoded::<Items<Value>>(cluster, path).await? {
        Ok(rules) if rules.items.is_empty() => (
            State::Warning,
            "no PrometheusRule of Primetime: set prometheusRule.enabled=true in the chart".into(),
        ),
        Ok(_) => (
            State::Ok,
            "a PrometheusRule of the chart exists; whether a Prometheus loads it is not asked"
                .into(),
        ),
        Err(StatusCode::NOT_FOUND) => (
            State::Warning,
            "the cluster has no PrometheusRules: load charts/primetime/rules into your Prometheus"
                .into(),
        ),
        Err(StatusCode::FORBIDDEN) => (State::NotAsked, "you may not list PrometheusRules".into()),
        Err(status) => anyhow::bail!("the list of PrometheusRules answers {status}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_paths_of_a_schema_include_lists_and_maps() {
        let leaf = json!({"type": "string"});
        let schema = json!({"properties": {
            "kind": leaf, "metadata": {"properties": {"name": leaf}},
            "spec": {"properties": {
                "steps": {"items": {"properties": {"name": leaf}}},
                "limits": {"additionalProperties": {"properties": {"pods": leaf}}},
            }},
        }});
        let found: Vec<_> = paths(Some(&schema)).into_iter().collect();
        let expected =
            [".spec", ".spec.limits", ".spec.limits.pods", ".spec.steps", ".spec.steps.name"];
        assert_eq!(found, expected);
        assert!(paths(None).is_empty());
    }
}
