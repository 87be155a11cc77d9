//! A real Kubernetes control plane on loopback: etcd, kube-apiserver, controller manager, scheduler; KWOK plays kubelets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rcgen::KeyPair;

use crate::process::{Process, command, free_port, run};
use crate::tools::{Tools, root};
use crate::wait::wait_for;

/// How the plane is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Kubernetes minor whose API it serves, such as `1.34`; its own where absent.
    pub emulated_version: Option<String>,
    /// Seconds between two looks of the HPA controller; stock is 15.
    pub hpa_sync_seconds: u32,
    /// Requests a second of controller manager and scheduler; stock is 20 and 50.
    pub qps: u32,
    /// Controller manager, scheduler and kubelets; without them only the API is there.
    pub controllers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { emulated_version: None, hpa_sync_seconds: 1, qps: 500, controllers: true }
    }
}

const ADMIN: &str = "admin";

/// A running control plane.
pub struct Plane {
    /// Where logs, keys and kubeconfigs are.
    pub folder: PathBuf,
    /// Address of the API server.
    pub url: String,
    /// A client with all rights.
    pub client: Client,
    tools: Tools,
    processes: Vec<Process>,
}

impl Plane {
    /// Starts one, from nothing, in a folder of its own.
    ///
    /// # Errors
    ///
    /// If a part does not become ready; its log is in the message.
    pub async fn start(tools: &Tools, folder: &Path, options: &Options) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        let keys = folder.join("keys");
        std::fs::create_dir_all(&keys)?;
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        std::fs::write(keys.join("sa.key"), pair.serialize_pem())?;
        std::fs::write(keys.join("sa.pub"), pair.public_key_pem())?;
        std::fs::write(
            keys.join("tokens.csv"),
            format!("{ADMIN},{ADMIN},{ADMIN},\"system:masters\"\nalice,alice,alice,\"oncall\"\n"),
        )?;

        let port = free_port()?;
        let (etcd, etcd_url) = start_etcd(tools, folder)?;
        let apiserver = start_apiserver(tools, folder, &etcd_url, port, options)?;
        let url = format!("https://127.0.0.1:{port}");
        let mut processes = vec![etcd, apiserver];
        let ca = keys.join("apiserver.crt");
        wait_for("the API server's certificate", Duration::from_secs(30), || {
            let made = ca.exists();
            async move { Ok(made.then_some(())) }
        })
        .await?;
        write_kubeconfig(&folder.join("admin.kubeconfig"), &url, &ca, ADMIN)?;
        write_kubeconfig(&folder.join("alice.kubeconfig"), &url, &ca, "alice")?;
        let client = client(&folder.join("admin.kubeconfig")).await?;
        ready(&client, &mut processes).await?;
        let mut plane =
            Self { folder: folder.into(), url, client, tools: tools.clone(), processes };
        if !options.controllers {
            return Ok(plane);
        }
        plane.start_controllers(&keys, options)?;
        plane.start_kubelets()?;
        let accounts: Api<ServiceAccount> = Api::namespaced(plane.client.clone(), "default");
        let acted = wait_for("the controllers to act", Duration::from_secs(60), || async {
            Ok(accounts.get_opt("default").await?)
        });
        acted.await?;
        plane.alive()?;
        Ok(plane)
    }

    fn start_controllers(&mut self, keys: &Path, options: &Options) -> Result<()> {
        let kubeconfig = self.folder.join("admin.kubeconfig");
        let (qps, burst) = (options.qps.to_string(), (options.qps * 2).to_string());
        for name in ["kube-controller-manager", "kube-scheduler"] {
            let mut program = command(self.tools.path(name));
            for flag in
                ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"]
            {
                program.arg(flag).arg(&kubeconfig);
            }
            program
                .args([
                    "--authentication-skip-lookup=true",
                    "--bind-address",
                    "127.0.0.1",
                    "--leader-elect=false",
                ])
                .args(["--secure-port", &free_port()?.to_string()])
                .arg("--cert-dir")
                .arg(self.folder.join(name))
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
                    .arg(format!(
                        "--horizontal-pod-autoscaler-sync-period={}s",
                        options.hpa_sync_seconds
                    ))
                    // The evening's clock is scaled; so are the HPA's, with the algorithm left as it is.
                    .args(["--horizontal-pod-autoscaler-downscale-stabilization=10s"])
                    .args(["--horizontal-pod-autoscaler-initial-readiness-delay=1s"]);
            }
            self.processes.push(Process::start(&self.folder, name, &mut program)?);
        }
        Ok(())
    }

    fn start_kubelets(&mut self) -> Result<()> {
        let mut kwok = command(self.tools.path("kwok"));
        kwok.arg("--kubeconfig")
            .arg(self.folder.join("admin.kubeconfig"))
            .arg("--config")
            .arg(root().join("tests/stages/stages.yaml"))
            .args(["--manage-all-nodes", "--node-lease-duration-seconds", "40"])
            .args(["--server-address", &format!("127.0.0.1:{}", free_port()?)]);
        self.processes.push(Process::start(&self.folder, "kwok", &mut kwok)?);
        Ok(())
    }

    /// Fails if a part has ended.
    ///
    /// # Errors
    ///
    /// With the end of its log.
    pub fn alive(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::alive)
    }

    /// A kubectl command with all rights.
    #[must_use]
    pub fn kubectl(&self) -> tokio::process::Command {
        self.kubectl_as(ADMIN)
    }

    /// A kubectl command of somebody: `admin` or `alice`.
    #[must_use]
    pub fn kubectl_as(&self, who: &str) -> tokio::process::Command {
        let mut kubectl = command(self.tools.path("kubectl"));
        kubectl.arg("--kubeconfig").arg(self.kubeconfig(who));
        kubectl
    }

    /// The kubeconfig of somebody.
    #[must_use]
    pub fn kubeconfig(&self, who: &str) -> PathBuf {
        self.folder.join(format!("{who}.kubeconfig"))
    }

    /// Applies a manifest with kubectl.
    ///
    /// # Errors
    ///
    /// What kubectl says.
    pub async fn apply(&self, manifest: &str) -> Result<String> {
        let file = self.folder.join(format!("apply-{}.yaml", free_port()?));
        std::fs::write(&file, manifest)?;
        let applied =
            run(self.kubectl().args(["apply", "--validate=strict", "-f"]).arg(&file)).await;
        std::fs::remove_file(&file)?;
        applied
    }

    /// A kubeconfig for a service account: a token of it, and nothing else.
    ///
    /// # Errors
    ///
    /// If the API server gives no token.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str) -> Result<PathBuf> {
        let token = run(self.kubectl().args([
            "create",
            "token",
            account,
            "-n",
            namespace,
            "--duration=2h",
        ]))
        .await?;
        let file = self.folder.join(format!("{account}.kubeconfig"));
        write_kubeconfig(&file, &self.url, &self.folder.join("keys/apiserver.crt"), token.trim())?;
        Ok(file)
    }
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

fn write_kubeconfig(file: &Path, url: &str, ca: &Path, token: &str) -> Result<()> {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": ca}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    Ok(std::fs::write(file, serde_yaml::to_string(&config)?)?)
}

/// A client from a kubeconfig.
///
/// # Errors
///
/// If the file cannot be used.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let parsed =
        Kubeconfig::read_from(kubeconfig).with_context(|| kubeconfig.display().to_string())?;
    let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
