//! Admission webhook for `ScheduledSurge`. The webhook refuses errors that need a clock, time zone
//! data or discovery.
//!
//! The webhook receives no Pods or Nodes, and the controller validates each spec again. If the
//! webhook is down, the API server refuses new and changed surges, and runs continue.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use kube::{Client, ResourceExt};
use primetime_api::{ScheduledSurge, named_surge, validate};
use primetime_core::Instant;
use primetime_core::port::Clock;
use primetime_core::schedule::Schedule;
use primetime_k8s::shared::Shared;
use primetime_k8s::watch;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// Timeout of the TLS handshake with a client: 10 s.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Served {
    client: Client,
    shared: Shared,
    clock: Arc<dyn Clock>,
}

fn acceptor(folder: &Path) -> Result<TlsAcceptor> {
    let (chain, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    let chain = CertificateDer::pem_file_iter(&chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{} holds no certificate", chain.display()))?;
    let key = PrivateKeyDer::from_pem_file(&key)
        .with_context(|| format!("{} holds no key", key.display()))?;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("certificate and key do not fit together")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Loads the certificate, binds the address, and returns a future that serves the requests.
///
/// A port in use or a broken certificate is therefore an error at start.
pub async fn serve(
    address: SocketAddr,
    folder: &Path,
    client: Client,
    shared: Shared,
    clock: Arc<dyn Clock>,
) -> Result<impl Future<Output = Result<()>>> {
    let acceptor = acceptor(folder)?;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be listened on"))?;
    let router =
        Router::new().route("/validate", post(review)).with_state(Served { client, shared, clock });
    Ok(async move {
        loop {
            let (stream, _) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await
                else {
                    return;
                };
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
                    .await;
                if let Err(error) = served {
                    debug!(%error, "a webhook connection ended early");
                }
            });
        }
    })
}

async fn review(State(served): State<Served>, Json(review): Json<Value>) -> Response {
    let request = at(&review, "/request");
    let Some(uid) = at(request, "/uid").as_str() else {
        return (StatusCode::BAD_REQUEST, "not an AdmissionReview").into_response();
    };
    let verdict = judge(request, &served).await;
    let response = match verdict {
        Ok(warnings) if warnings.is_empty() => json!({"uid": uid, "allowed": true}),
        Ok(warnings) => json!({"uid": uid, "allowed": true, "warnings": warnings}),
        Err(reasons) => json!({
            "uid": uid,
            "allowed": false,
            "status": {"code": 422, "reason": "Invalid", "message": reasons.join("; ")},
        }),
    };
    Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})).into_response()
}

/// Returns a part of a JSON document, or `null` if the document has no such part.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// Validates the surge in an admission request. Returns the warnings, or every reason for refusing
/// the surge.
async fn judge(request: &Value, served: &Served) -> Result<Vec<String>, Vec<String>> {
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
        is_new && served.shared.with(|cache| cache.goes_on(namespace, &name, schedule))
    };
    let checked = reasons_against(&surge, moved, goes_on, served.clock.now());
    match (checked, kinds_scale(&surge, &served.client).await) {
        (checked, Ok(())) => checked,
        (Ok(_), Err(kinds)) => Err(kinds),
        (Err(mut reasons), Err(kinds)) => {
            reasons.extend(kinds);
            Err(reasons)
        }
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

/// Refuses each target whose kind is unknown or has no scale subresource. If discovery fails, the
/// function accepts the target.
async fn kinds_scale(surge: &ScheduledSurge, client: &Client) -> Result<(), Vec<String>> {
    let mut reasons = Vec::new();
    for (i, target) in surge.spec.event.targets.iter().enumerate() {
        let reference = &target.scale_target_ref;
        match watch::probe(client, &reference.api_version, &reference.kind).await {
            Ok(Some((_, true))) => {}
            Ok(Some((_, false))) => {
                reasons.push(format!(
                    "spec.targets[{i}]: kind {} has no scale subresource",
                    reference.kind
                ));
            }
            Ok(None) => reasons.push(format!(
                "spec.targets[{i}]: kind {} of {} is not served by this cluster",
                reference.kind, reference.api_version
            )),
            Err(error) => warn!(%error, kind = reference.kind, "could not be looked up"),
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
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
