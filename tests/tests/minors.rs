//! The same on older Kubernetes minors: install, announce, raise, overrule, release.

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use primetime_core::run::Stage;
use primetime_tests::capital;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::plane::Options;
use primetime_tests::process::{command, run};
use primetime_tests::tools::built;

async fn smoke(minor: &str) -> Result<()> {
    let options = Options { emulated_version: Some(minor.to_owned()), ..Options::default() };
    let mut evening =
        Evening::begin(&format!("minor-{minor}"), &options, |what| eprintln!("{minor}: {what}"))
            .await?;
    let version = run(evening.plane.kubectl().args(["version", "-o", "json"])).await?;
    ensure!(
        version.contains(&format!("\"emulationMinor\": \"{}\"", minor.trim_start_matches("1."))),
        "{version}"
    );
    let mut surge = capital::shifted(Utc::now() + TimeDelta::seconds(18), 60)?;
    surge.spec.machines.clear();
    surge.spec.ready_before_seconds = 2;
    for target in &mut surge.spec.targets {
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
    ensure!(said.contains("by admin"), "{said}");
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
    evening.plane.alive()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_1_33_and_1_34() -> Result<()> {
    smoke("1.33").await?;
    smoke("1.34").await
}
