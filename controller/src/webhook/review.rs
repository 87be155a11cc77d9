//! Review of a `ScheduledSurge`: what needs a clock, time zone data, or the kinds of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use kube::{Client, ResourceExt};
use primetime_api::{ScaleTargetRef, ScheduledSurge, named_surge, validate};
use primetime_core::Instant;
use primetime_core::port::Clock;
use primetime_core::reference;
use primetime_core::schedule::Schedule;
use primetime_core::state::observed::Cause;
use primetime_k8s::shared::Shared;
use primetime_k8s::watch;
use serde_json::{Value, json};
use tracing::warn;

/// Most items of the lists of a surge. The schema of the CRD has the same limits; a request that
/// does not come from the API server has passed no schema.
const LISTS: [(&str, usize); 9] = [
    ("targets", 64),
    ("machines", 16),
    ("signals", 16),
    ("degrade", 16),
    ("warmUp", 16),
    ("onLive", 16),
    ("onRelease", 16),
    ("schedule/windows", 16),
    ("schedule/exclude", 366),
];

/// Most kinds of targets for which one review asks the API server.
const KINDS: usize = 4;

/// Dependencies of a review.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) client: Client,
    pub(super) shared: Shared,
    pub(super) clock: Arc<dyn Clock>,
}

/// Answers an `AdmissionReview`.
///
/// # Errors
///
/// Returns a sentence if the body is not an `AdmissionReview` of `admission.k8s.io/v1`.
pub(super) async fn answer(body: &Bytes, means: &Means) -> Result<Value, String> {
    let review: Value =
        serde_json::from_slice(body).map_err(|why| format!("the body is not JSON: {why}"))?;
    let text = |pointer| at(&review, pointer).as_str();
    if (text("/apiVersion"), text("/kind"))
        != (Some("admission.k8s.io/v1"), Some("AdmissionReview"))
    {
        return Err("the body is not an AdmissionReview of admission.k8s.io/v1".to_owned());
    }
    let request = at(&review, "/request");
    let Some(uid) = at(request, "/uid").as_str() else {
        return Err("the AdmissionReview has no request.uid".to_owned());
    };
    let response = match judge(request, means).await {
        Ok(warnings) if warnings.is_empty() => json!({"uid": uid, "allowed": true}),
        Ok(warnings) => json!({"uid": uid, "allowed": true, "warnings": warnings}),
        Err(reasons) => json!({
            "uid": uid,
            "allowed": false,
            "status": {"code": 422, "reason": "Invalid", "message": reasons.join("; ")},
        }),
    };
    Ok(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response,
    }))
}

/// Returns a part of a JSON document, or `null` if the document has no such part.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// Validates the surge in an admission request. Returns the warnings, or every reason for refusing
/// the surge.
async fn judge(request: &Value, means: &Means) -> Result<Vec<String>, Vec<String>> {
    for (list, most) in LISTS {
        let items = at(request, &format!("/object/spec/{list}")).as_array().map_or(0, Vec::len);
        if items > most {
            let field = list.replace('/', ".");
            return Err(vec![format!(
                "spec.{field}: {items} items, and at most {most} are allowed"
            )]);
        }
    }
    let surge: ScheduledSurge = serde_json::from_value(at(request, "/object").clone())
        .map_err(|e| vec![format!("spec: {e}")])?;
    // Accept the surge without validation if the request leaves `spec` unchanged. Labels,
    // finalizers and owners of an accepted surge stay editable.
    if at(request, "/oldObject/spec") == at(request, "/object/spec") {
        return Ok(Vec::new());
    }
    let schedule = "/spec/schedule";
    let moved = at(at(request, "/oldObject"), schedule) != at(at(request, "/object"), schedule);
    let namespace = at(request, "/namespace").as_str().unwrap_or_default();
    let name = surge.name_any();
    // A person may replace a surge during the event. The new surge then announces a start in the
    // past.
    let is_new = at(request, "/oldObject").is_null();
    let goes_on = |schedule: &Schedule| {
        is_new && means.shared.with(|cache| cache.goes_on(namespace, &name, schedule))
    };
    let checked = reasons_against(&surge, moved, goes_on, means.clock.now());
    let kinds = kinds_scale(&surge, means).await;
    match checked {
        checked if kinds.is_empty() => checked,
        checked => Err(checked.err().unwrap_or_default().into_iter().chain(kinds).collect()),
    }
}

fn reasons_against(
    surge: &ScheduledSurge,
    moved: bool,
    goes_on: impl Fn(&Schedule) -> bool,
    now: Instant,
) -> Result<Vec<String>, Vec<String>> {
    let spec = named_surge(surge)?;
    if !moved || goes_on(&spec.schedule) {
        return Ok(Vec::new());
    }
    validate::not_in_the_past(&spec.schedule, now).map_err(|e| vec![e])?;
    validate::not_too_far(&spec.schedule, now).map_err(|e| vec![e])?;
    Ok(validate::warnings(&spec, now))
}

/// Returns a reason for each target whose kind cannot be scaled here.
///
/// The kinds that this installation allows are known, so that no target costs a request. Without
/// `--scalable-kind` the function asks the API server about at most [`KINDS`] kinds, and accepts
/// what it could not ask about.
async fn kinds_scale(surge: &ScheduledSurge, means: &Means) -> Vec<String> {
    let (mut verdicts, mut asked) = (BTreeMap::new(), 0);
    let mut reasons = Vec::new();
    for (i, target) in surge.spec.event.targets.iter().enumerate() {
        let kind = &target.scale_target_ref;
        let key = (kind.api_version.clone(), kind.kind.clone());
        if !verdicts.contains_key(&key) {
            let verdict = match known(kind, &means.shared) {
                Some(verdict) => verdict,
                None if asked < KINDS => {
                    asked += 1;
                    asked_for(kind, &means.client).await
                }
                None => Ok(()),
            };
            verdicts.insert(key.clone(), verdict);
        }
        if let Some(Err(why)) = verdicts.get(&key) {
            reasons.push(format!("spec.targets[{i}]: {why}"));
        }
    }
    reasons
}

fn not_served(ScaleTargetRef { api_version, kind, .. }: &ScaleTargetRef) -> String {
    format!("kind {kind} of {api_version} is not served by this cluster")
}

fn no_scale(named: &ScaleTargetRef) -> String {
    format!("kind {} has no scale subresource", named.kind)
}

/// Returns what the process knows of a kind: `Err` with the reason for which the kind cannot be
/// scaled. Returns `None` if only the API server can tell.
fn known(named: &ScaleTargetRef, shared: &Shared) -> Option<Result<(), String>> {
    let group = reference::group_version(&named.api_version).map_or("", |it| it.group);
    let watched = (named.api_version.clone(), named.kind.clone());
    let (allowed, cause) = shared.with(|cache| {
        (cache.may_scale(group, &named.kind), cache.unwatched.get(&watched).cloned())
    });
    match (allowed, cause) {
        (_, Some(Cause::NotScalable(_))) => Some(Err(no_scale(named))),
        (Some(true), Some(Cause::NotServed(_))) => Some(Err(not_served(named))),
        (Some(true), _) => Some(Ok(())),
        (Some(false), _) => {
            let not_served = not_served(named);
            Some(Err(format!("{not_served}, or not among scalableKinds of the Helm chart")))
        }
        (None, _) => None,
    }
}

/// Asks the API server about a kind. A kind that could not be asked about is accepted.
async fn asked_for(named: &ScaleTargetRef, client: &Client) -> Result<(), String> {
    match watch::probe(client, &named.api_version, &named.kind).await {
        Ok(Some((_, true))) => Ok(()),
        Ok(Some((_, false))) => Err(no_scale(named)),
        Ok(None) => Err(not_served(named)),
        Err(error) => {
            warn!(%error, kind = named.kind, "could not be looked up");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surge_may_be_created_again_while_its_event_goes_on() {
        let surge = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
            "metadata": {"name": "capital", "namespace": "shop"},
            "spec": {
                "schedule": {"startTime": "2026-11-22T20:00:00Z", "durationSeconds": 7200},
                "targets": [{"name": "web", "replicas": 5, "scaleTargetRef":
                    {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}],
            },
        });
        let surge = serde_json::from_value(surge).unwrap();
        let now = "2026-11-22T20:30:00Z".parse().unwrap();
        let refused = reasons_against(&surge, true, |_| false, now).unwrap_err();
        assert!(refused.join("").contains("is in the past"), "{refused:?}");
        assert_eq!(reasons_against(&surge, true, |_| true, now), Ok(vec![]));
    }
}
