//! `kubectl surge version`: versions of the plugin, the operator, the kinds and Kubernetes.

use std::process::ExitCode;

use anyhow::Result;
use http::StatusCode;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::ResourceExt;

use crate::ask;
use crate::cluster::Cluster;
use crate::operator;
use crate::screen;

/// Label with the version of the operator.
const LABEL: &str = "app.kubernetes.io/version";

/// Prints the versions. A version that cannot be read is said to be unknown, with the reason.
pub async fn show(cluster: &Cluster, plugin: &str) -> Result<ExitCode> {
    screen::show(&format!("plugin      {plugin}\n"))?;
    let kubernetes = match ask::decoded::<Info>(cluster, "/version").await? {
        Ok(info) => info.git_version,
        Err(status) => format!("not known: the API server answers {status}"),
    };
    screen::show(&format!("kubernetes  {}\n", screen::plain(&kubernetes)))?;
    let namespace = &cluster.operator_namespace;
    let operator = match operator::deployments(cluster).await? {
        Ok(list) => {
            let version = |d: &Deployment| d.labels().get(LABEL).cloned();
            let found = list.iter().find_map(version);
            found.unwrap_or_else(|| format!("not known: no Deployment in namespace {namespace}"))
        }
        Err(StatusCode::FORBIDDEN) => {
            format!("not known: you may not list deployments in namespace {namespace}")
        }
        Err(status) => format!("not known: the API server answers {status}"),
    };
    screen::show(&format!("operator    {}\n", screen::plain(&operator)))?;
    let unknown = [&kubernetes, &operator].into_iter().any(|said| said.starts_with("not known"));
    Ok(if unknown { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
