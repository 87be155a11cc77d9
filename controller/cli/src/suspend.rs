//! `kubectl surge suspend`, `resume` and `cancel`: changes of what is announced.

use std::process::ExitCode;

use anyhow::{Result, bail};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use primetime_api::{FINALIZER, ScheduledSurge, SurgeRun};
use primetime_core::state::run::Stage;
use serde_json::json;

use crate::cluster::{Cluster, bounded};
use crate::leader;
use crate::screen;
use crate::status;

/// Surge to suspend or to resume.
#[derive(Debug, clap::Args)]
pub struct Suspend {
    /// Name of the surge.
    surge: String,
}

/// Run to cancel.
#[derive(Debug, clap::Args)]
pub struct Cancel {
    /// Name of the run (kubectl get runs).
    run: String,
    /// Cancel a run that has begun, too. The operator then releases everything.
    #[arg(long)]
    begun: bool,
}

/// Sets `spec.suspend` of a surge. Runs that have begun continue.
pub async fn suspend(cluster: &Cluster, what: &Suspend, suspend: bool) -> Result<ExitCode> {
    let api: Api<ScheduledSurge> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let Some(found) = bounded(api.get_opt(&what.surge)).await? else {
        return Err(status::unknown(cluster, &what.surge).await);
    };
    let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
    bounded(api.patch(&what.surge, &PatchParams::default(), &patch)).await?;
    let text = match (found.spec.suspend == suspend, suspend) {
        (true, true) => "was suspended already",
        (true, false) => "was not suspended",
        (false, true) => {
            "is suspended: no further occurrence is planned, a run that has begun continues"
        }
        (false, false) => "is resumed: its next occurrences are planned again",
    };
    screen::show(&format!("surge {}/{} {text}\n", cluster.namespace, what.surge))?;
    let leader = leader::look(cluster).await;
    leader.warn();
    Ok(leader.code())
}

/// Deletes a run, which calls the occurrence off.
pub async fn cancel(cluster: &Cluster, what: &Cancel) -> Result<ExitCode> {
    let api: Api<SurgeRun> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let Some(run) = bounded(api.get_opt(&what.run)).await? else {
        bail!(
            "there is no run \"{}\" in {}; kubectl get runs lists them",
            what.run,
            cluster.place()
        )
    };
    if run.status.as_ref().is_some_and(|status| status.stage >= Stage::Done) {
        bail!("run {} is over; kubectl delete surgerun deletes its record and report", what.run)
    }
    let begun = run.finalizers().iter().any(|f| f == FINALIZER);
    if begun && !what.begun {
        bail!("run {} has begun: --begun releases everything that it has raised", what.run)
    }
    // A run that begins in between is not deleted.
    let seen = Preconditions {
        uid: run.metadata.uid.clone(),
        resource_version: run.metadata.resource_version.clone(),
    };
    let params = DeleteParams { preconditions: Some(seen), ..DeleteParams::default() };
    bounded(api.delete(&what.run, &params)).await?;
    let text = if begun {
        "is cancelled: after the delete grace, what it has raised is released step by step"
    } else {
        "is cancelled: this occurrence does not take place"
    };
    screen::show(&format!("run {}/{} {text}\n", cluster.namespace, what.run))?;
    let leader = leader::look(cluster).await;
    leader.warn();
    Ok(leader.code())
}
