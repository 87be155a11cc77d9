//! `kubectl surge undo`: delete the newest override of a surge.

use std::process::ExitCode;

use anyhow::{Result, bail};
use kube::Api;
use kube::api::DeleteParams;
use primetime_api::SurgeOverride;
use primetime_core::state::overrides::Action;

use super::in_force::{author, in_force};
use crate::cluster::{Cluster, bounded};
use crate::leader;
use crate::screen;

/// Surge of the override.
#[derive(Debug, clap::Args)]
pub struct Undo {
    /// Name of the surge.
    surge: String,
    /// Delete the newest override even if another user is the author.
    #[arg(long)]
    any_author: bool,
}

/// Deletes the newest override in force of a surge, and prints the consequences.
pub async fn undo(cluster: &Cluster, what: &Undo) -> Result<ExitCode> {
    let Some(newest) = in_force(cluster, &what.surge).await?.pop() else {
        bail!("surge {} has no override in force in {}", what.surge, cluster.place())
    };
    let told = screen::plain(&newest.describe());
    let me = author(cluster).await?;
    if !what.any_author && me.as_ref() != Some(&newest.author) {
        bail!("the newest override is not yours: {told}; delete it with --any-author")
    }
    let api: Api<SurgeOverride> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    bounded(api.delete(&newest.name, &DeleteParams::default())).await?;
    let stays = match newest.action {
        Action::Boost { .. } => "; a floor that was raised stays until the release or the shape",
        Action::Start => "; an event that has started stays started",
        Action::Release => {
            "; a release that has begun continues: hold stops it, boost raises floors"
        }
        Action::Hold | Action::Extend | Action::Degrade { .. } => "",
    };
    screen::show(&format!("undone: {told}{stays}\n"))?;
    let leader = leader::look(cluster).await;
    leader.warn();
    Ok(leader.code())
}
