//! Overrides in force on a surge, and the user as the API server knows it.

use anyhow::Result;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Api;
use kube::api::{ListParams, PostParams};
use primetime_api::SurgeOverride;
use primetime_core::state::overrides::Override;

use crate::cluster::{Cluster, bounded, now};

/// Returns the user name that the API server has for the plugin.
///
/// If no mutating admission sets `spec.author`, the validating admission refuses any author but the
/// true user.
pub async fn author(cluster: &Cluster) -> Result<Option<String>> {
    let api: Api<SelfSubjectReview> = Api::all(cluster.client.clone());
    let review = bounded(api.create(&PostParams::default(), &SelfSubjectReview::default())).await?;
    Ok(review.status.and_then(|s| s.user_info).and_then(|u| u.username))
}

/// Returns the overrides of a surge that have not expired, oldest first.
pub async fn in_force(cluster: &Cluster, surge: &str) -> Result<Vec<Override>> {
    let api: Api<SurgeOverride> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let all = bounded(api.list(&ListParams::default())).await?.items;
    let now = now();
    let mut found: Vec<Override> = all
        .iter()
        .filter_map(SurgeOverride::record)
        .filter(|o| o.surge == surge && now < o.expires)
        .collect();
    found.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    Ok(found)
}
