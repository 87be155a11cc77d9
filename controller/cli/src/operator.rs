//! Deployments of the operator, in the namespace of `--operator-namespace`.

use anyhow::Result;
use http::StatusCode;
use k8s_openapi::api::apps::v1::Deployment;
use serde::Deserialize;

use crate::ask;
use crate::cluster::Cluster;

/// Items of a list.
#[derive(Deserialize)]
struct Deployments {
    items: Vec<Deployment>,
}

/// Lists the Deployments with the label of the chart. The inner error is the status code of a refusal.
pub async fn deployments(cluster: &Cluster) -> Result<Result<Vec<Deployment>, StatusCode>> {
    let namespace = &cluster.operator_namespace;
    let path = format!(
        "/apis/apps/v1/namespaces/{namespace}/deployments?labelSelector=app.kubernetes.io%2Fname%3Dprimetime"
    );
    let list = ask::decoded::<Deployments>(cluster, &path).await?;
    Ok(list.map(|list| list.items))
}
