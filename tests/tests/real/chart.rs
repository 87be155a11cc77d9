//! Tests of the Helm chart: the chart names missing values, and grants exactly the rights that the
//! operator needs.

use anyhow::{Result, ensure};
use primetime_tests::process::{command, run};
use primetime_tests::tools::{Tools, root};

async fn template(tools: &Tools, more: &[&str]) -> Result<String> {
    let chart = root().join("charts/primetime");
    run(command(tools.path("helm"))
        .arg("template")
        .arg("primetime")
        .arg(chart)
        .args(["-n", "primetime"])
        .args(more))
    .await
}

/// Checks that the simulated API server grants the same rights as the chart.
#[tokio::test]
async fn the_simulator_grants_what_the_chart_grants() -> Result<()> {
    let tools = Tools::ensure().await?;
    let committed = root().join("controller/sim/src/server/granted.yaml");
    let committed = std::fs::read_to_string(committed)?;
    let (_, committed) = committed.split_once('\n').unwrap_or_default();
    let chart = root().join("charts/primetime");
    let mut helm = command(tools.path("helm"));
    helm.arg("template").arg("primetime").arg(chart).args(["-n", "primetime-system"]);
    let everything = "clusterName=x,image.repository=x,jobs.enabled=true,degrade.configMaps={shop-flags},degrade.httpRoutes={shop},machines.enabled=true";
    let all = ["--set", everything, "-s", "templates/rbac.yaml"];
    let rendered = run(helm.args(all)).await?;
    ensure!(rendered.trim() == committed.trim(), "it has changed: run `make generate`");
    Ok(())
}

#[tokio::test]
async fn the_chart_renders_and_refuses_what_is_missing() -> Result<()> {
    let tools = Tools::ensure().await?;
    let refused = template(&tools, &[]).await;
    ensure!(refused.is_err_and(|e| format!("{e:#}").contains("clusterName is required")));
    let imageless = template(&tools, &["--set", "clusterName=x"]).await;
    ensure!(imageless.is_err_and(|e| format!("{e:#}").contains("image.repository is required")));
    let without = template(&tools, &["--set", "clusterName=x,replicas=0"]).await?;
    ensure!(without.contains("image: \"primetime:"), "an operator outside needs no image");
    let all = [
        "--set",
        "clusterName=x,image.repository=registry.example/primetime",
        "--set",
        "prometheusRule.enabled=true",
        "--set",
        "podMonitor.enabled=true",
    ];
    let rendered = template(&tools, &all).await?;
    ensure!(!rendered.contains("batch"), "Jobs are created only where the chart says so");
    let configmaps = rendered.split("resources: [configmaps]").nth(1).unwrap_or_default();
    ensure!(configmaps.trim_start().starts_with("verbs: [get]"), "and ConfigMaps are written");
    ensure!(!rendered.contains("httproutes"), "and HTTPRoutes");
    for kind in [
        "Deployment",
        "ServiceAccount",
        "ClusterRole",
        "ValidatingWebhookConfiguration",
        "PrometheusRule",
        "PodMonitor",
    ] {
        ensure!(rendered.contains(&format!("kind: {kind}\n")), "no {kind}");
    }
    ensure!(rendered.contains("grafana_dashboard: \"1\"") && rendered.contains("tonight.json"));
    ensure!(rendered.contains("alert: SurgeNotReady"));
    let lease = rendered.split("name: primetime-leader-view\n").nth(3).unwrap_or_default();
    ensure!(
        lease.contains("name: system:authenticated"),
        "an app team may know which operator leads: {lease}"
    );
    let elsewhere = [all.as_slice(), &["--set", "prometheusRule.runbookURL=https://x.example/r"]];
    let elsewhere = template(&tools, &elsewhere.concat()).await?;
    ensure!(elsewhere.contains("runbook_url: https://x.example/r#surgenotready"));
    ensure!(!elsewhere.contains("primetime.dev/docs/runbooks"));
    ensure!(!rendered.contains("\"*\"") && !rendered.contains("- '*'"), "no wildcard is granted");
    ensure!(!rendered.contains("MutatingAdmissionPolicy\n"), "not where it is not served");
    let newer = [
        all.as_slice(),
        &["--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"],
    ]
    .concat();
    ensure!(template(&tools, &newer).await?.contains("kind: MutatingAdmissionPolicy\n"));
    Ok(())
}
