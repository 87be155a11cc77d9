//! Checks before an override is created: surge, target, step, and a run that a person can start.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use primetime_api::{FINALIZER, ScheduledSurge, StartPolicy, SurgeRun};
use primetime_core::reference;

use super::asked::Steps;
use crate::cluster::{Cluster, bounded};
use crate::status;

/// Returns an error if the surge, the target or a step does not exist. A typing error thus fails at
/// once, not during the event.
pub(super) async fn check(
    cluster: &Cluster,
    surge: &str,
    target: Option<&str>,
    steps: Option<&Steps>,
) -> Result<()> {
    reference::name(surge).map_err(|why| anyhow::anyhow!(why))?;
    let surges: Api<ScheduledSurge> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let runs: Api<SurgeRun> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    // A run keeps the targets that it began with, and continues for a while after the deletion of the
    // surge. A run may also exist without a surge.
    let open = |run: &SurgeRun| run.status.as_ref().is_none_or(|s| s.completion_time.is_none());
    let of_surge =
        |run: &SurgeRun| run.spec.surge_name.as_deref() == Some(surge) || run.name_any() == surge;
    let runs = bounded(runs.list(&ListParams::default())).await?.items;
    let runs = runs.into_iter().filter(|run| of_surge(run) && open(run)).map(|run| run.spec.event);
    let announced = bounded(surges.get_opt(surge)).await?.map(|surge| surge.spec.event);
    let events: Vec<_> = announced.into_iter().chain(runs).collect();
    if events.is_empty() {
        return Err(status::unknown(cluster, surge).await);
    }
    let targets = events.iter().flat_map(|event| &event.targets).map(|t| t.name.as_str());
    let targets: Vec<&str> = targets.collect::<BTreeSet<_>>().into_iter().collect();
    let ladder = events.iter().flat_map(|event| &event.degrade).map(|step| step.name.as_str());
    let ladder: Vec<&str> = ladder.collect::<BTreeSet<_>>().into_iter().collect();
    if let Some(target) = target.filter(|target| !targets.contains(target)) {
        bail!("surge {surge} has no target \"{target}\"; it has {}", targets.join(", "))
    }
    let Some(steps) = steps else { return Ok(()) };
    if ladder.is_empty() {
        bail!("surge {surge} has no steps of degradation")
    }
    if let Some(step) = steps.step.as_deref().filter(|step| !ladder.contains(step)) {
        bail!("surge {surge} has no step \"{step}\"; it has {}", ladder.join(", "))
    }
    Ok(())
}

/// Returns an error if no run of the surge can be started by a person.
///
/// A `Start` override needs a run with `startPolicy: Manual` and with the finalizer of Primetime,
/// which the planner sets at the begin of the preparation. A second start is no error.
pub(super) async fn may_start(cluster: &Cluster, surge: &str) -> Result<()> {
    let runs: Api<SurgeRun> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let mut runs = bounded(runs.list(&ListParams::default())).await?.items;
    runs.retain(|run| {
        let over = run.status.as_ref().is_some_and(|s| s.completion_time.is_some());
        run.spec.surge_name.as_deref().unwrap_or(&run.name_any()) == surge && !over
    });
    runs.sort_by_key(|run| run.spec.start_time);
    let Some(next) = runs.first() else { bail!("surge {surge} has no run to start") };
    if next.spec.event.start_policy == StartPolicy::Automatic {
        let start = next.spec.start_time.format("%Y-%m-%d %H:%M:%SZ");
        bail!("surge {surge} begins by itself at {start}: its startPolicy is Automatic")
    }
    let releases = |run: &SurgeRun| run.status.as_ref().is_some_and(|s| s.release.is_some());
    let guarded = |run: &SurgeRun| run.finalizers().iter().any(|f| f == FINALIZER);
    if !runs.iter().any(|run| guarded(run) && !releases(run)) {
        let begins =
            next.status.as_ref().and_then(|s| s.begin_time).unwrap_or(next.spec.ready_time);
        bail!(
            "run {} is not being prepared yet, which begins at {}; until then move startTime",
            next.name_any(),
            begins.format("%Y-%m-%d %H:%M:%SZ")
        )
    }
    Ok(())
}
