//! A proxy in front of a Prometheus, which a test can make fail or hang.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

use crate::tls::{self, Loopback};

/// Answers of a [`Front`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// The front forwards each request to the Prometheus.
    #[default]
    Well,
    /// The front answers 500.
    Fails,
    /// The front never answers.
    Hangs,
}

/// A proxy in front of a Prometheus.
#[derive(Clone, Debug)]
pub struct Front {
    /// URL of the front.
    pub url: String,
    behind: String,
    health: Arc<Mutex<Health>>,
}

impl Front {
    /// Opens a front over plain HTTP for the Prometheus at `behind`.
    ///
    /// # Errors
    ///
    /// Returns an error if no port can be bound.
    pub async fn open(behind: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let front = Self::new("http", &listener, behind)?;
        let router = front.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(front)
    }

    /// Opens a front over TLS with a certificate that no client trusts.
    ///
    /// # Errors
    ///
    /// Returns an error if no port can be bound, or no certificate can be created.
    pub async fn open_untrusted(behind: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let front = Self::new("https", &listener, behind)?;
        let server = Loopback::new("127.0.0.1")?.server()?;
        tokio::spawn(tls::serve(listener, server, front.router()));
        Ok(front)
    }

    fn new(scheme: &str, listener: &TcpListener, behind: &str) -> Result<Self> {
        Ok(Self {
            url: format!("{scheme}://127.0.0.1:{}", listener.local_addr()?.port()),
            behind: behind.to_owned(),
            health: Arc::default(),
        })
    }

    fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    /// Sets how the front answers all later requests.
    pub fn set(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass_on(&self, request: Request<Body>) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut onward =
            Request::builder().method(parts.method).uri(format!("{}{path}", self.behind));
        if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
            onward = onward.header(header::CONTENT_TYPE, kind);
        }
        let onward = onward.body(Full::new(body.collect().await?.to_bytes()))?;
        let client: Client<HttpConnector, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        let (parts, body) = client.request(onward).await?.into_parts();
        Ok((parts.status, body.collect().await?.to_bytes()).into_response())
    }
}

async fn answer(State(front): State<Front>, request: Request<Body>) -> Response {
    match front.health() {
        Health::Well => front
            .pass_on(request)
            .await
            .unwrap_or_else(|why| (StatusCode::BAD_GATEWAY, why.to_string()).into_response()),
        Health::Fails => (StatusCode::INTERNAL_SERVER_ERROR, "out of memory").into_response(),
        Health::Hangs => std::future::pending().await,
    }
}
