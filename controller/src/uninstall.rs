//! `primetime uninstall`: the Job that runs before `helm uninstall` deletes the operator.
//!
//! Only a running operator returns what it has raised and takes the finalizers off. The Job refuses
//! while something is raised, or releases all runs and waits.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::TimeDelta;
use clap::Parser;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Config, ResourceExt};
use primetime_api::{
    FINALIZER, ObjectRef, OverrideAction, SurgeHold, SurgeOverride, SurgeOverrideSpec, SurgeRun,
};
use primetime_core::port::Clock;
use primetime_k8s::call::bounded;

use crate::clock::SystemClock;

/// Look whether something is raised, before the operator is uninstalled.
#[derive(Clone, Debug, Parser)]
#[command(name = "primetime uninstall")]
pub struct Uninstall {
    /// Create a Release override for each run that has begun, and wait until all is returned.
    #[arg(long)]
    release: bool,
    /// Seconds to wait for the release.
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout_seconds: u32,
}

/// Interval between two reads.
const INTERVAL: Duration = Duration::from_secs(2);

/// Runs and holds that the operator has not returned, in words, and the surges of the runs.
struct Raised {
    told: Vec<String>,
    surges: BTreeSet<(String, String)>,
}

/// Lists what is raised in the cluster.
async fn raised(client: &Client) -> Result<Raised> {
    let runs = bounded(Api::<SurgeRun>::all(client.clone()).list(&ListParams::default())).await?;
    let holds = bounded(Api::<SurgeHold>::all(client.clone()).list(&ListParams::default())).await?;
    let mut found = Raised { told: Vec::new(), surges: BTreeSet::new() };
    let ends = |run: &SurgeRun| run.metadata.deletion_timestamp.is_some();
    for run in runs.items.iter().filter(|run| run.finalizers().iter().any(|f| f == FINALIZER)) {
        let namespace = run.namespace().unwrap_or_default();
        let status = run.status.as_ref();
        let (stage, message) =
            status.map_or(("unknown", ""), |s| (s.stage.as_str(), s.message.as_str()));
        found.told.push(format!("run {namespace}/{} {stage}: {message}", run.name_any()));
        let surge = run.spec.surge_name.clone().unwrap_or_else(|| run.name_any());
        // A run that is being deleted is being released already.
        if !ends(run) {
            found.surges.insert((namespace, surge));
        }
    }
    for hold in &holds.items {
        let target = &hold.spec.hold.target_ref;
        let namespace = hold.namespace().unwrap_or_default();
        found.told.push(format!("{} {namespace}/{} is raised", target.kind, target.name));
    }
    Ok(found)
}

/// Returns once nothing is raised.
///
/// # Errors
///
/// Returns an error with all runs and targets if something is raised and `--release` is not set, or
/// if the release takes longer than the timeout.
pub async fn run(what: &Uninstall) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config::infer().await.context("no kubeconfig and not in a cluster")?;
    let client = Client::try_from(config)?;
    let began = tokio::time::Instant::now();
    let patience = Duration::from_secs(u64::from(what.timeout_seconds));
    let mut asked = BTreeSet::new();
    loop {
        let Raised { told, surges } = match raised(&client).await {
            Ok(raised) => raised,
            Err(why) if what.release && began.elapsed() < patience => {
                println!("{why:#}; trying again");
                tokio::time::sleep(INTERVAL).await;
                continue;
            }
            Err(why) => return Err(why),
        };
        if told.is_empty() {
            println!("nothing is raised: the operator may be uninstalled");
            return Ok(());
        }
        let list = told.join("\n  ");
        if !what.release {
            bail!(
                "still raised:\n  {list}\nset uninstall.release=true in the chart, or wait until \
                 all runs are Done; without the operator nothing is returned"
            );
        }
        // A surge that cannot be released must not keep the others.
        for surge in surges {
            if asked.contains(&surge) {
                continue;
            }
            match release(&client, &surge, what.timeout_seconds).await {
                Ok(()) => {
                    println!("asked for the release of surge {}/{}", surge.0, surge.1);
                    asked.insert(surge);
                }
                Err(why) => println!("{why:#}; trying again"),
            }
        }
        if began.elapsed() >= patience {
            bail!("still raised after {} s:\n  {list}", what.timeout_seconds);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Creates a `Release` override that lasts as long as this process waits, at least ten minutes.
async fn release(client: &Client, surge: &(String, String), seconds: u32) -> Result<()> {
    let (namespace, surge) = surge;
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let params = PostParams::default();
    let review = bounded(reviews.create(&params, &SelfSubjectReview::default())).await?;
    let user = review.status.and_then(|s| s.user_info).and_then(|user| user.username);
    let lasts = TimeDelta::seconds(i64::from(seconds.clamp(600, 86_000)));
    let mut asked = SurgeOverride::new(
        "",
        SurgeOverrideSpec {
            surge_ref: ObjectRef { name: surge.clone() },
            action: OverrideAction::Release,
            target: None,
            replicas: None,
            percent: None,
            step: None,
            reason: "Primetime is uninstalled".into(),
            expire_time: SystemClock.now() + lasts,
            author: user,
        },
    );
    asked.metadata.name = None;
    asked.metadata.generate_name = Some("uninstall-".into());
    let overrides: Api<SurgeOverride> = Api::namespaced(client.clone(), namespace);
    bounded(overrides.create(&params, &asked))
        .await
        .with_context(|| format!("the release of surge {namespace}/{surge}"))?;
    Ok(())
}
