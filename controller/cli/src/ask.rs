//! GET requests for paths of the API server, with the status code and the clock of the server.

use anyhow::Result;
use chrono::{DateTime, Utc};
use http::{Request, StatusCode, header};
use kube::client::Body;
use serde::de::DeserializeOwned;

use crate::cluster::{Cluster, PATIENCE};

/// Answer of the API server to a request.
pub enum Answer {
    /// Body, and the time of the answer on the clock of the API server (`Date` header), if known.
    Body(Vec<u8>, Option<DateTime<Utc>>),
    /// Status code of a refusal.
    Refused(StatusCode),
}

/// Requests a path. The function fails if the API server does not answer in time.
pub async fn get(cluster: &Cluster, path: &str) -> Result<Answer> {
    let request = Request::get(path).body(Body::empty())?;
    let response = tokio::time::timeout(PATIENCE, cluster.client.send(request)).await??;
    let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    let at = date.map(|date| date.with_timezone(&Utc));
    if !response.status().is_success() {
        return Ok(Answer::Refused(response.status()));
    }
    Ok(Answer::Body(response.into_body().collect_bytes().await?.to_vec(), at))
}

/// Requests a path and decodes the body. The inner error is the status code of a refusal.
pub async fn decoded<T: DeserializeOwned>(
    cluster: &Cluster,
    path: &str,
) -> Result<Result<T, StatusCode>> {
    match get(cluster, path).await? {
        Answer::Body(body, _) => Ok(Ok(serde_json::from_slice(&body)?)),
        Answer::Refused(status) => Ok(Err(status)),
    }
}
