//! Rule on the validating webhook: a dry run with a surge that only the webhook refuses.

use anyhow::Result;
use kube::Api;
use kube::api::PostParams;
use primetime_api::{GROUP, ScheduledSurge};
use serde_json::json;

use super::cluster::may;
use super::finding::State;
use crate::cluster::{Cluster, PATIENCE};

/// Surge that satisfies the schema and has a start in the past, which CEL cannot check.
fn in_the_past() -> Result<ScheduledSurge> {
    Ok(serde_json::from_value(json!({
        "apiVersion": format!("{GROUP}/{}", primetime_api::VERSION),
        "kind": "ScheduledSurge",
        "metadata": {"name": "primetime-check"},
        "spec": {
            "schedule": {"startTime": "2001-01-01T00:00:00Z", "durationSeconds": 60},
            "targets": [{
                "name": "none",
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "primetime-check"},
                "replicas": 1,
            }],
        },
    }))?)
}

/// `webhook`: the webhook refuses what CEL cannot check. The API server stores nothing in a dry run.
pub async fn probe(cluster: &Cluster) -> Result<(State, String)> {
    let namespace = &cluster.namespace;
    if !may(cluster, "create", GROUP, "scheduledsurges", Some(namespace)).await? {
        return Ok((State::NotAsked, format!("you may not create surges in {namespace}")));
    }
    let api: Api<ScheduledSurge> = Api::namespaced(cluster.client.clone(), namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let answer = tokio::time::timeout(PATIENCE, api.create(&dry, &in_the_past()?)).await?;
    Ok(match answer {
        Ok(_) => (
            State::Warning,
            "off: a start in the past is accepted, and what CEL cannot check is said in the status only"
                .into(),
        ),
        Err(kube::Error::Api(status)) => judge(&status.message),
        Err(why) => return Err(why.into()),
    })
}

/// Judges the refusal of the surge.
fn judge(refusal: &str) -> (State, String) {
    if refusal.contains("in the past") {
        (State::Ok, "the webhook answers, and refuses a start in the past".into())
    } else if refusal.contains("failed calling webhook") {
        (State::Wrong, format!("no surge can be applied: {refusal}"))
    } else if refusal.contains("ValidatingAdmissionPolicy") {
        (State::NotAsked, "you may not announce an event for a Deployment here".into())
    } else {
        (State::Unknown, format!("the dry run was refused for another reason: {refusal}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surge_of_the_probe_is_refused_for_its_start_only() {
        let surge = serde_json::to_value(in_the_past().unwrap()).unwrap();
        let stated = crate::validate::errors(&surge).unwrap();
        assert_eq!(stated.len(), 1, "{stated:?}");
        assert!(stated.iter().all(|error| error.contains("in the past")), "{stated:?}");
        assert_eq!(judge("admission webhook denied: spec.schedule.at is in the past").0, State::Ok);
        assert_eq!(judge("failed calling webhook \"x\": no route to host").0, State::Wrong);
        assert_eq!(judge("namespaces \"shop\" not found").0, State::Unknown);
    }
}
