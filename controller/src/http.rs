//! HTTP server for probes and metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use primetime_k8s::lease::Leadership;
use primetime_k8s::reconciler::Reconciler;
use primetime_k8s::shared::Shared;

use crate::listen;
use crate::metrics::Metrics;

#[derive(Clone)]
struct Served {
    shared: Shared,
    metrics: Arc<Metrics>,
    leadership: Leadership,
    engine: Arc<Reconciler>,
}

/// Time without a turn of the reconcile loop after which the process is not alive. The loop turns
/// every second ([`primetime_k8s::reconciler::HEARTBEAT`]).
const STANDS_STILL: Duration = Duration::from_mins(1);

/// Binds the address and returns a future that serves the requests. A port in use is therefore an
/// error at start.
pub async fn serve(
    address: SocketAddr,
    shared: Shared,
    metrics: Arc<Metrics>,
    leadership: Leadership,
    engine: Arc<Reconciler>,
) -> Result<impl Future<Output = ()>> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be listened on"))?;
    let router = Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Served { shared, metrics, leadership, engine });
    Ok(listen::serve(listener, None, router))
}

/// Returns 200 while the reconcile loop turns, otherwise 503, so that the kubelet restarts the
/// process.
async fn alive(State(served): State<Served>) -> impl IntoResponse {
    let idle = served.engine.idle();
    if idle < STANDS_STILL {
        return (StatusCode::OK, "ok".to_owned());
    }
    let said = format!("the reconcile loop has not turned for {} s", idle.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, said)
}

/// Returns 200 if every watch has listed all objects, otherwise 503. The rule is the same for
/// leader and standby.
async fn ready(State(served): State<Served>) -> impl IntoResponse {
    if served.shared.with(|cache| cache.synced()) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not everything was listed yet")
    }
}

async fn scrape(State(served): State<Served>) -> impl IntoResponse {
    let leads = served.leadership.leads();
    match served.metrics.text(leads) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text)
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
