//! A front before a Prometheus, which can be told to be ill.

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

/// How a front answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// As the Prometheus behind it.
    #[default]
    Well,
    /// With 500.
    Fails,
    /// Never.
    Hangs,
}

/// A front.
#[derive(Clone, Debug)]
pub struct Front {
    /// Its address.
    pub url: String,
    behind: String,
    health: Arc<Mutex<Health>>,
}

impl Front {
    /// Opens one before a Prometheus.
    ///
    /// # Errors
    ///
    /// If no port can be listened on.
    pub async fn open(behind: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let front = Self::new("http", &listener, behind)?;
        let router = front.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(front)
    }

    /// Opens one that speaks TLS, with a certificate that is not trusted.
    ///
    /// # Errors
    ///
    /// If no port can be listened on.
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

    /// It answers so from now on.
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
