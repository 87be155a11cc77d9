//! The certificate of the webhook that the leader makes, and what works while the webhook is down.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use primetime_tests::evening::folder;
use primetime_tests::plane::{Options, Plane};
use primetime_tests::process::{Process, command, free_port, run};
use primetime_tests::tools::{Tools, built, root};
use primetime_tests::wait::wait_for;

const SURGE: &str = r#"
apiVersion: primetime.dev/v1alpha1
kind: ScheduledSurge
metadata: {name: weekly, namespace: shop}
spec:
  schedule: {cron: "50 20 * * SUN", timeZone: ZONE, durationSeconds: 60}
  targets:
    - {name: web, replicas: 5, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
"#;

async fn install(plane: &Plane, webhook: &str) -> Result<String> {
    run(plane
        .helm()
        .args(["upgrade", "--install", "primetime"])
        .arg(root().join("charts/primetime"))
        .args(["--namespace", "primetime", "--set", "clusterName=tests,replicas=0"])
        .args(["--set", &format!("webhook.url=https://{webhook}/validate")]))
    .await
}

/// Starts an operator that makes the certificate of its webhook.
fn start(plane: &Plane, token: &Path, webhook: &str) -> Result<Process> {
    let mut program = command(built("primetime")?);
    program
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("KUBECONFIG", token)
        .env("POD_NAMESPACE", "primetime")
        .args(["--scalable-kind", "apps/Deployment,apps/StatefulSet"])
        .args(["--cluster-name", "tests", "--machines=false", "--log-format", "text"])
        .args(["--http-address", &format!("127.0.0.1:{}", free_port()?)])
        .args(["--webhook-address", webhook, "--webhook-name", "127.0.0.1"])
        .args(["--webhook-secret", "primetime-webhook-made", "--webhook-service", "primetime"]);
    Process::start(&plane.folder, "primetime", &mut program)
}

async fn get(plane: &Plane, object: &[&str], path: &str) -> Result<String> {
    let path = format!("jsonpath={path}");
    run(plane.kubectl().arg("get").args(object).args(["-o", &path])).await
}

/// Applies the surge with a time zone. Returns what kubectl says, refused or not.
async fn apply(plane: &Plane, zone: &str) -> String {
    match plane.apply(&SURGE.replace("ZONE", zone)).await {
        Ok(said) => said,
        Err(error) => format!("{error:#}"),
    }
}

async fn until_it_reviews(plane: &Plane) -> Result<()> {
    wait_for("the webhook to review", Duration::from_secs(60), || async {
        let said = apply(plane, "Europe/Pariss").await;
        Ok(said.contains("is not an IANA time zone").then_some(()))
    })
    .await
}

const SECRET: [&str; 4] = ["secret", "primetime-webhook-made", "-n", "primetime"];

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_makes_and_renews_the_certificate_of_its_webhook() -> Result<()> {
    let tools = Tools::ensure().await?;
    let options = Options { controllers: false, kubelets: false, ..Options::own() };
    let plane = Plane::start(&tools, &folder("certificates"), &options).await?;
    for namespace in ["shop", "primetime"] {
        run(plane.kubectl().args(["create", "namespace", namespace])).await?;
    }
    let webhook = format!("127.0.0.1:{}", free_port()?);
    install(&plane, &webhook).await?;
    let token = plane.kubeconfig_of("primetime", "primetime").await?;
    let mut operator = start(&plane, &token, &webhook)?;
    until_it_reviews(&plane).await?;
    ensure!(apply(&plane, "Europe/Paris").await.contains("created"));
    let rollout = SURGE
        .replace("ZONE", "UTC")
        .replace("apps/v1, kind: Deployment", "argoproj.io/v1alpha1, kind: Rollout");
    let said = plane.apply(&rollout).await.err().map(|error| format!("{error:#}"));
    let said = said.context("a kind that is not allowed was accepted")?;
    ensure!(said.contains("not among scalableKinds of the Helm chart"), "{said}");
    let first = get(&plane, &SECRET, "{.data.tls\\.crt}").await?;

    // An upgrade of the chart keeps the certificate, and the authority that the API server trusts.
    install(&plane, &webhook).await?;
    ensure!(get(&plane, &SECRET, "{.data.tls\\.crt}").await? == first, "it was made anew");
    until_it_reviews(&plane).await?;

    // While the webhook is down, new and changed surges are refused, and nothing else is.
    operator.kill().await?;
    let said = apply(&plane, "Europe/London").await;
    ensure!(said.contains("failed calling webhook"), "{said}");
    let mut label = plane.kubectl();
    label.args(["label", "surge", "weekly", "-n", "shop", "team=shop"]);
    run(&mut label).await.context("labels need no webhook")?;
    let expires = (chrono::Utc::now() + chrono::TimeDelta::hours(1)).to_rfc3339();
    let hold = format!(
        "apiVersion: primetime.dev/v1alpha1\nkind: SurgeOverride\nmetadata: {{name: h, namespace: shop}}\n\
         spec: {{surgeRef: {{name: weekly}}, action: Hold, reason: the show runs late, expireTime: \"{expires}\"}}\n"
    );
    ensure!(plane.apply(&hold).await?.contains("created"), "an override needs no webhook");

    // A certificate that is due is made anew by the next leader, and the API server trusts both.
    let due =
        r#"{"metadata":{"annotations":{"primetime.dev/renew-after":"2020-01-01T00:00:00Z"}}}"#;
    let mut patch = plane.kubectl();
    run(patch.arg("patch").args(SECRET).args(["--type=merge", "-p", due])).await?;
    operator = start(&plane, &token, &webhook)?;
    let renewed = wait_for("another certificate", Duration::from_secs(60), || async {
        let now = get(&plane, &SECRET, "{.data.tls\\.crt}").await?;
        Ok((now != first).then_some(now))
    })
    .await?;
    ensure!(!renewed.is_empty());
    until_it_reviews(&plane).await?;
    let configuration = ["validatingwebhookconfiguration", "primetime"];
    let bundle = get(&plane, &configuration, "{.webhooks[0].clientConfig.caBundle}").await?;
    let bundle = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, bundle)
        .context("a bundle in base64")?;
    let authorities = String::from_utf8(bundle)?.matches("BEGIN CERTIFICATE").count();
    ensure!(authorities == 2, "{authorities} authorities");
    operator.terminate().await?;
    plane.end()
}
