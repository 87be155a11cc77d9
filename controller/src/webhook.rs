//! Admission webhook for `ScheduledSurge`. The webhook refuses errors that need a clock, time zone
//! data or discovery.
//!
//! The webhook receives no Pods or Nodes, and the controller validates each spec again. If the
//! webhook is down, the API server refuses new and changed surges, and runs continue.

pub mod certificate;
mod review;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use http_body_util::{BodyExt, Limited};
use kube::Client;
use primetime_core::port::Clock;
use primetime_k8s::shared::Shared;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::listen;
use crate::webhook::review::Means;

/// Timeout of a review with the transfer of its body: 4 s. The API server gives up after 5 s
/// (`timeoutSeconds` in the chart).
const REVIEW: Duration = Duration::from_secs(4);

/// Maximum number of reviews at the same time.
const REVIEWS: usize = 8;

/// Largest body of a request, in bytes: the limit of the API server itself
/// (`k8s.io/apiserver/pkg/server/config.go`, `MaxRequestBodyBytes`).
const BODY: usize = 3 << 20;

#[derive(Clone)]
struct Served {
    means: Means,
    places: Arc<Semaphore>,
}

/// Binds the address, and returns a future that serves the requests. A port in use is therefore an
/// error at start.
pub async fn serve(
    address: SocketAddr,
    tls: watch::Receiver<Option<TlsAcceptor>>,
    client: Client,
    shared: Shared,
    clock: Arc<dyn Clock>,
) -> Result<impl Future<Output = ()>> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be listened on"))?;
    let means = Means { client, shared, clock };
    let served = Served { means, places: Arc::new(Semaphore::new(REVIEWS)) };
    let router = Router::new().route("/validate", post(validate)).with_state(served);
    Ok(listen::serve(listener, Some(tls), router))
}

/// Answers 400 with a sentence to a request that is no review, and 503 to a review that takes too
/// long.
async fn validate(State(served): State<Served>, headers: HeaderMap, body: Body) -> Response {
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content.is_some_and(|text| text.trim_start().starts_with("application/json")) {
        return (StatusCode::BAD_REQUEST, "Content-Type must be application/json").into_response();
    }
    let answered = async {
        // A place is taken for a body that is complete, so that slow bodies hold no place.
        let body = Limited::new(body, BODY).collect().await.map_err(|why| why.to_string())?;
        // The acquisition never fails, because nothing closes the semaphore.
        let _place = served.places.acquire().await;
        review::answer(&body.to_bytes(), &served.means).await
    };
    match tokio::time::timeout(REVIEW, answered).await {
        Ok(Ok(answer)) => Json(answer).into_response(),
        Ok(Err(why)) => (StatusCode::BAD_REQUEST, why).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the review took too long").into_response(),
    }
}
