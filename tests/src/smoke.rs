//! A short evening of half a minute, for older Kubernetes minors and existing clusters.

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use primetime_core::state::run::Stage;

use crate::capital;
use crate::evening::{Evening, SHOP};
use crate::plane::Options;
use crate::process::{command, run};
use crate::tools::built;

/// Installs, announces, raises, overrides and releases. Returns the output of `kubectl version`.
///
/// # Errors
///
/// Returns an error if a step fails or takes too long.
pub async fn smoke(name: &str, options: &Options) -> Result<String> {
    let evening = Evening::begin(name, options, |what| eprintln!("{name}: {what}")).await?;
    let version = run(evening.plane.kubectl().args(["version", "-o", "json"])).await?;
    let mut surge = capital::shifted(Utc::now() + TimeDelta::seconds(18), 60)?;
    surge.spec.event.machines.clear();
    surge.spec.ready_before_seconds = 2;
    for target in &mut surge.spec.event.targets {
        target.lead_seconds = 8;
        target.replicas = target.replicas.map(|_| 40);
    }
    evening.announce(&surge).await?;
    evening
        .until("the run to be live and ready", 60, |e| async move {
            let status = e.status("capital").await?;
            let (web, search) = (e.ready("web").await?, e.ready("search").await?);
            Ok((
                status.stage == Stage::Live && web == 40 && search == 90,
                format!("{:?}, {web}, {search}", status.stage),
            ))
        })
        .await?;
    ensure!(evening.bounds().await? == (40, 260));
    let surge_command = |args: &[&str]| {
        let mut plugin = command(built("kubectl-surge")?);
        plugin
            .arg("--kubeconfig")
            .arg(evening.plane.kubeconfig("admin"))
            .args(["-n", SHOP])
            .args(args);
        anyhow::Ok(plugin)
    };
    let said = run(&mut surge_command(&[
        "boost",
        "capital",
        "--percent",
        "150",
        "--for",
        "5m",
        "--reason",
        "more",
    ])?)
    .await?;
    ensure!(said.contains(&format!("by {}", evening.plane.admin)), "{said}");
    evening
        .until("the boost", 5, |e| async move { Ok((e.bounds().await?.0 == 60, String::new())) })
        .await?;
    run(&mut surge_command(&["release", "capital", "--for", "5m", "--reason", "enough"])?).await?;
    evening
        .until("everything to be back", 60, |e| async move {
            let back = e.everything_is_back().await;
            Ok((
                back.is_ok() && e.status("capital").await?.stage == Stage::Done,
                format!("{back:?}"),
            ))
        })
        .await?;
    evening.end()?;
    Ok(version)
}
