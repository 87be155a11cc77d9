//! A dedicated control plane on loopback: etcd, kube-apiserver, controller manager, scheduler.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use kube::Client;
use rcgen::KeyPair;

use super::{Options, client};
use crate::process::{Process, command, free_port};
use crate::tools::Tools;
use crate::wait::wait_for;

/// User in `admin.kubeconfig`.
pub const ADMIN: &str = "admin";

/// Starts an empty control plane and writes `admin.kubeconfig` into the folder.
pub async fn start(
    tools: &Tools,
    folder: &Path,
    options: &Options,
) -> Result<(Client, Vec<Process>)> {
    let keys = folder.join("keys");
    std::fs::create_dir_all(&keys)?;
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    std::fs::write(keys.join("sa.key"), pair.serialize_pem())?;
    std::fs::write(keys.join("sa.pub"), pair.public_key_pem())?;
    std::fs::write(
        keys.join("tokens.csv"),
        format!("{ADMIN},{ADMIN},{ADMIN},\"system:masters\"\n"),
    )?;
    let port = free_port()?;
    let (etcd, etcd_url) = start_etcd(tools, folder)?;
    let apiserver = start_apiserver(tools, folder, &etcd_url, port, options)?;
    let mut processes = vec![etcd, apiserver];
    let ca = keys.join("apiserver.crt");
    wait_for("the API server's certificate", Duration::from_secs(30), || {
        let made = ca.exists();
        async move { Ok(made.then_some(())) }
    })
    .await?;
    let admin = folder.join("admin.kubeconfig");
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "certificate-authority": ca,
        }}],
        "users": [{"name": "u", "user": {"token": ADMIN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    std::fs::write(&admin, serde_yaml::to_string(&config)?)?;
    let client = client(&admin).await?;
    ready(&client, &mut processes).await?;
    if options.controllers {
        processes.extend(start_controllers(tools, folder, options)?);
    }
    Ok((client, processes))
}

fn start_etcd(tools: &Tools, folder: &Path) -> Result<(Process, String)> {
    let url = format!("http://127.0.0.1:{}", free_port()?);
    let peer_url = format!("http://127.0.0.1:{}", free_port()?);
    let mut etcd = command(tools.path("etcd"));
    etcd.arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
        .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
        .args(["--initial-cluster", &format!("default={peer_url}"), "--unsafe-no-fsync"]);
    Ok((Process::start(folder, "etcd", &mut etcd)?, url))
}

fn start_apiserver(
    tools: &Tools,
    folder: &Path,
    etcd: &str,
    port: u16,
    options: &Options,
) -> Result<Process> {
    let keys = folder.join("keys");
    let mut apiserver = command(tools.path("kube-apiserver"));
    apiserver
        .args(["--etcd-servers", etcd, "--bind-address", "127.0.0.1"])
        .args(["--secure-port", &port.to_string()])
        .arg("--cert-dir")
        .arg(&keys)
        .args(["--service-account-issuer", "https://kubernetes.default.svc"])
        .arg("--service-account-key-file")
        .arg(keys.join("sa.pub"))
        .arg("--service-account-signing-key-file")
        .arg(keys.join("sa.key"))
        .arg("--token-auth-file")
        .arg(keys.join("tokens.csv"))
        .args(["--service-cluster-ip-range", "10.96.0.0/16", "--authorization-mode", "RBAC"])
        .args(["--endpoint-reconciler-type", "none", "--allow-privileged"]);
    if let Some(version) = &options.emulated_version {
        apiserver.args(["--emulated-version", version]);
    }
    Process::start(folder, "kube-apiserver", &mut apiserver)
}

fn start_controllers(tools: &Tools, folder: &Path, options: &Options) -> Result<Vec<Process>> {
    let keys = folder.join("keys");
    let kubeconfig = folder.join("admin.kubeconfig");
    let (qps, burst) = (options.qps.to_string(), (options.qps * 2).to_string());
    let mut started = Vec::new();
    for name in ["kube-controller-manager", "kube-scheduler"] {
        let mut program = command(tools.path(name));
        for flag in ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
            program.arg(flag).arg(&kubeconfig);
        }
        program
            .args(["--authentication-skip-lookup=true", "--bind-address", "127.0.0.1"])
            .args(["--leader-elect=false", "--secure-port", &free_port()?.to_string()])
            .arg("--cert-dir")
            .arg(folder.join(name))
            .args(["--kube-api-qps", &qps, "--kube-api-burst", &burst]);
        if let Some(version) = &options.emulated_version {
            program.args(["--emulated-version", version]);
        }
        if name == "kube-controller-manager" {
            program
                .arg("--service-account-private-key-file")
                .arg(keys.join("sa.key"))
                .arg("--root-ca-file")
                .arg(keys.join("apiserver.crt"))
                .args(["--use-service-account-credentials", "--node-monitor-period=1s"])
                // A short sync period matches the scaled clock of the evening. The algorithm of the
                // HPA is unchanged.
                .arg(format!(
                    "--horizontal-pod-autoscaler-sync-period={}s",
                    options.hpa_sync_seconds
                ))
                .args(["--horizontal-pod-autoscaler-initial-readiness-delay=1s"]);
        }
        started.push(Process::start(folder, name, &mut program)?);
    }
    Ok(started)
}

async fn ready(client: &Client, processes: &mut [Process]) -> Result<()> {
    for _ in 0..600 {
        processes.iter_mut().try_for_each(Process::alive)?;
        let request = http::Request::get("/readyz").body(Vec::new())?;
        if client.request_text(request).await.is_ok_and(|said| said == "ok") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the API server was not ready within a minute");
}
