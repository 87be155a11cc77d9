//! A shop under load: the test sets the sessions, and the capacity follows the ready pods.
//!
//! The same process serves `/metrics` for Prometheus and, over TLS, the external metrics API for
//! the real HPA.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::response::Json;
use axum::routing::get;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::tls::{self, Loopback};

/// Sessions that a pod carries (A Little Market's figures give 200).
pub const SESSIONS_PER_POD: f64 = 200.0;

#[derive(Clone, Copy, Debug)]
struct Load {
    sessions: f64,
    carried: f64,
    ready: u32,
    unserved_session_seconds: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            sessions: 2_000.0,
            carried: SESSIONS_PER_POD,
            ready: 0,
            unserved_session_seconds: 0.0,
        }
    }
}

/// A handle on the shop.
#[derive(Clone, Debug, Default)]
pub struct Site {
    load: Arc<Mutex<Load>>,
    more: Arc<Mutex<String>>,
    /// Port of `/metrics`.
    pub port: u16,
    /// Port of the external metrics API.
    pub tls_port: u16,
}

impl Site {
    /// Opens the shop. The metrics API listens on `address`, and `/metrics` listens on loopback.
    ///
    /// # Errors
    ///
    /// Returns an error if no port can be bound, or the TLS configuration is invalid.
    pub async fn open(tls: &Loopback, address: &str) -> Result<Self> {
        let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let secure = tokio::net::TcpListener::bind((address, 0)).await?;
        let site = Self {
            load: Arc::default(),
            more: Arc::default(),
            port: plain.local_addr()?.port(),
            tls_port: secure.local_addr()?.port(),
        };
        let router = Router::new().route("/metrics", get(metrics)).with_state(site.clone());
        tokio::spawn(async move { axum::serve(plain, router).await });
        let external = "/apis/external.metrics.k8s.io/v1beta1";
        let router = Router::new()
            .route(external, get(resources))
            .route(&format!("{external}/namespaces/{{namespace}}/{{metric}}"), get(value))
            .with_state(site.clone());
        tokio::spawn(tls::serve(secure, tls.server()?, router));
        Ok(site)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Load) -> T) -> T {
        f(&mut self.load.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets the current number of sessions.
    pub fn set_sessions(&self, sessions: f64) {
        self.with(|load| load.sessions = sessions);
    }

    /// Sets the number of sessions that a pod carries.
    pub fn set_carried(&self, sessions: f64) {
        self.with(|load| load.carried = sessions);
    }

    /// Returns the current number of sessions.
    #[must_use]
    pub fn sessions(&self) -> f64 {
        self.with(|load| load.sessions)
    }

    /// Sets additional text of `/metrics` in the Prometheus format. The site replaces `@now` by the
    /// time in milliseconds.
    pub fn expose(&self, text: &str) {
        text.clone_into(&mut self.more.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns the load that found no pod so far, in sessions times seconds.
    #[must_use]
    pub fn unserved_session_seconds(&self) -> f64 {
        self.with(|load| load.unserved_session_seconds)
    }

    /// Updates the capacity from the ready pods of a Deployment every 500 ms. Never returns.
    pub async fn serve(self, client: Client, namespace: &str, deployment: &str) {
        let api: Api<Deployment> = Api::namespaced(client, namespace);
        let step = Duration::from_millis(500);
        loop {
            if let Ok(found) = api.get(deployment).await {
                let ready = found.status.and_then(|s| s.ready_replicas).unwrap_or(0);
                self.with(|load| load.ready = u32::try_from(ready).unwrap_or(0));
            }
            self.with(|load| {
                let short = load.sessions - f64::from(load.ready) * load.carried;
                load.unserved_session_seconds += short.max(0.0) * step.as_secs_f64();
            });
            tokio::time::sleep(step).await;
        }
    }
}

async fn metrics(State(site): State<Site>) -> String {
    let load = site.with(|load| *load);
    let more = site.more.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let more = more.replace("@now", &chrono::Utc::now().timestamp_millis().to_string());
    format!(
        "# TYPE shop_sessions gauge\nshop_sessions {}\n\
         # TYPE shop_capacity_sessions gauge\nshop_capacity_sessions {}\n\
         # TYPE shop_unserved_session_seconds_total counter\nshop_unserved_session_seconds_total {}\n{more}",
        load.sessions,
        f64::from(load.ready) * load.carried,
        load.unserved_session_seconds
    )
}

async fn resources() -> Json<Value> {
    Json(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "external.metrics.k8s.io/v1beta1",
        "resources": [{
            "name": "shop_sessions", "singularName": "", "namespaced": true,
            "kind": "ExternalMetricValueList", "verbs": ["get"],
        }],
    }))
}

async fn value(State(site): State<Site>) -> Json<Value> {
    let now = jiff::Timestamp::from_second(chrono::Utc::now().timestamp())
        .unwrap_or_default()
        .to_string();
    Json(json!({
        "kind": "ExternalMetricValueList",
        "apiVersion": "external.metrics.k8s.io/v1beta1",
        "metadata": {},
        "items": [{
            "metricName": "shop_sessions",
            "metricLabels": {},
            "timestamp": now,
            "value": format!("{:.0}", site.sessions()),
        }],
    }))
}
