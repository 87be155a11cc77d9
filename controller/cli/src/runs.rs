//! Runs of a surge.

use anyhow::Result;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use primetime_api::SurgeRun;

use crate::cluster::{Cluster, bounded};

/// Returns the name of the surge of a run. A run without a surge has its own name.
pub fn surge_of(run: &SurgeRun) -> String {
    run.spec.surge_name.clone().unwrap_or_else(|| run.name_any())
}

/// True if a run has ended and has returned all capacity.
pub fn is_over(run: &SurgeRun) -> bool {
    run.status.as_ref().is_some_and(|status| status.completion_time.is_some())
}

/// Returns the runs of a surge in the selected namespace, earliest first.
pub async fn of_surge(cluster: &Cluster, surge: &str) -> Result<Vec<SurgeRun>> {
    let api: Api<SurgeRun> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let mut runs = bounded(api.list(&ListParams::default())).await?.items;
    runs.retain(|run| surge_of(run) == surge);
    runs.sort_by_key(|run| run.spec.start_time);
    Ok(runs)
}
