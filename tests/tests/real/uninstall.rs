//! Uninstallation of the chart in the middle of an event, with the Job that Helm runs before it deletes
//! the operator.

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use primetime_core::state::run::Stage;
use primetime_tests::capital;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::kubelet::{Kubelet, NODE};
use primetime_tests::operator::RELEASE;
use primetime_tests::plane::Options;
use primetime_tests::process::run;
use primetime_tests::tools::root;

/// Changes values of the release. The pods of the chart run on the node of the kubelet.
async fn upgrade(evening: &Evening, values: &str) -> Result<()> {
    let mut helm = evening.plane.helm();
    helm.args(["upgrade", RELEASE, "-n", RELEASE, "--reuse-values"]);
    helm.arg(root().join("charts/primetime"));
    let node = format!("nodeSelector.kubernetes\\.io/hostname={NODE}");
    helm.args(["--set", "replicas=1,image.repository=primetime", "--set", &node]);
    run(helm.args(["--set", values])).await.map(drop)
}

async fn uninstall(evening: &Evening) -> Result<String> {
    let mut helm = evening.plane.helm();
    run(helm.args(["uninstall", RELEASE, "-n", RELEASE, "--timeout", "120s"])).await
}

/// Returns what the Job before the uninstallation has said.
async fn said(evening: &Evening) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(evening.client(), RELEASE);
    let of_the_job = ListParams::default().labels("app.kubernetes.io/name=primetime-uninstall");
    let pods = pods.list(&of_the_job).await?;
    let status = pods.items.first().and_then(|pod| pod.status.clone());
    let containers = status.and_then(|status| status.container_statuses).unwrap_or_default();
    let ended = containers.into_iter().filter_map(|c| c.state.and_then(|state| state.terminated));
    Ok(ended.filter_map(|ended| ended.message).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstallation_in_the_middle_of_an_event_strands_nothing() -> Result<()> {
    let mut evening =
        Evening::begin("uninstall", &Options::own(), |what| eprintln!("{what}")).await?;
    let _kubelet = Kubelet::start(&evening.plane, evening.client()).await?;
    let show = Utc::now() + TimeDelta::seconds(30);
    evening.announce(&capital::web_only("capital", show, 3_600, 60)?).await?;
    evening
        .until("the event to begin", 90, |e| async move {
            let stage = e.status("capital").await.map(|status| status.stage);
            Ok((stage.as_ref().is_ok_and(|stage| *stage == Stage::Live), format!("{stage:?}")))
        })
        .await?;
    ensure!(evening.bounds().await?.0 == 60, "the HPA is raised");

    // The Job refuses, and Helm deletes nothing.
    upgrade(&evening, "uninstall.release=false").await?;
    let refused = uninstall(&evening).await;
    ensure!(refused.is_err(), "uninstalled in the middle of an event: {refused:?}");
    let said = said(&evening).await?;
    for words in ["still raised:", "run shop/capital-", "Live", "uninstall.release=true"] {
        ensure!(said.contains(words), "expected {words} in: {said}");
    }
    let there = ["-n", RELEASE, "get", "serviceaccount/primetime", "deployment/primetime"];
    run(evening.plane.kubectl().args(there)).await?;
    ensure!(evening.bounds().await?.0 == 60, "a refused uninstallation changes nothing");

    // Helm calls a release "uninstalling" after the refusal, and upgrades it only after a rollback.
    let mut helm = evening.plane.helm();
    run(helm.args(["rollback", RELEASE, "2", "-n", RELEASE])).await?;

    // With uninstall.release the Job releases the run and waits until all is returned.
    upgrade(&evening, "uninstall.release=true").await?;
    uninstall(&evening).await?;
    ensure!(evening.holds().await?.is_empty(), "holds are left");
    ensure!(evening.bounds().await? == (10, 60), "the HPA has its own bounds");
    for run in evening.runs().await? {
        ensure!(run.metadata.finalizers.unwrap_or_default().is_empty(), "a finalizer is left");
    }
    evening.operator.kill().await?;

    // Without an operator, the namespace and the kinds can be deleted: nothing waits for a finalizer.
    let mut delete = evening.plane.kubectl();
    let delete = delete.args(["delete", "scheduledsurges,surgeruns,surgeoverrides", "--all"]);
    run(delete.args(["-n", SHOP, "--timeout=30s"])).await?;
    let mut kinds = evening.plane.kubectl();
    let kinds = kinds.args(["delete", "--timeout=60s", "-f"]).arg(root().join("crds"));
    run(kinds).await?;
    evening.end()
}
