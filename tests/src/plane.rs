//! A real Kubernetes control plane: our own on loopback, or a cluster that is already there. KWOK plays nodes and kubelets.

mod existing;
mod own;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use self::existing::Borrowed;
pub use self::existing::{Existing, LABEL, sweep};
use crate::process::{Process, command, free_port, run};
use crate::tools::{Tools, root};
use crate::wait::wait_for;

/// How the plane is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster to use instead of a plane of our own; the other options say nothing then.
    pub existing: Option<Existing>,
    /// The Kubernetes minor whose API it serves, such as `1.34`; its own where absent.
    pub emulated_version: Option<String>,
    /// Seconds between two looks of the HPA controller; stock is 15.
    pub hpa_sync_seconds: u32,
    /// Requests a second of controller manager and scheduler; stock is 20 and 50.
    pub qps: u32,
    /// Controller manager and scheduler; without them only the API is there.
    pub controllers: bool,
    /// Kubelets, played; without them nodes are never ready.
    pub kubelets: bool,
}

impl Options {
    /// A plane of our own, fast enough for an evening in minutes.
    #[must_use]
    pub fn own() -> Self {
        Self {
            existing: None,
            emulated_version: None,
            hpa_sync_seconds: 1,
            qps: 500,
            controllers: true,
            kubelets: true,
        }
    }
}

impl Default for Options {
    /// The cluster that the environment names, or a plane of our own.
    fn default() -> Self {
        Self { existing: Existing::from_env(), ..Self::own() }
    }
}

/// A running control plane.
pub struct Plane {
    /// Where logs, keys and kubeconfigs are.
    pub folder: PathBuf,
    /// A client with all rights.
    pub client: Client,
    /// The user with all rights, as the API server knows it.
    pub admin: String,
    /// The address by which the API server reaches this machine.
    pub callback: String,
    tools: Tools,
    // In the order in which they are dropped: what is borrowed is given back while its pods and nodes are still played.
    borrowed: Option<Borrowed>,
    processes: Vec<Process>,
    _lock: File,
}

impl Plane {
    /// Starts one, from nothing, in a folder of its own; or borrows one.
    ///
    /// # Errors
    ///
    /// If a part does not become ready; its log is in the message.
    pub async fn start(tools: &Tools, folder: &Path, options: &Options) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let lock = lock(folder)?;
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        let (client, borrowed, processes) = if let Some(existing) = &options.existing {
            let borrowed = Borrowed::borrow(tools, folder, existing)?;
            (client(&folder.join("admin.kubeconfig")).await?, Some(borrowed), Vec::new())
        } else {
            let (client, processes) = own::start(tools, folder, options).await?;
            (client, None, processes)
        };
        let loopback = "127.0.0.1".to_owned();
        let mut plane = Self {
            folder: folder.into(),
            client,
            admin: own::ADMIN.to_owned(),
            callback: borrowed.as_ref().map_or(loopback, |b| b.address.clone()),
            tools: tools.clone(),
            borrowed,
            processes,
            _lock: lock,
        };
        plane.write_kubeconfig("alice", |user| {
            user["as"] = json!("alice");
            user["as-groups"] = json!(["oncall"]);
        })?;
        if options.existing.is_some() {
            let whoami = ["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"];
            plane.admin = run(plane.kubectl().args(whoami)).await?;
        } else if !options.controllers {
            return Ok(plane);
        }
        if options.kubelets {
            plane.start_kubelets()?;
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(plane.client.clone(), "default");
        let acted = wait_for("the controllers to act", Duration::from_secs(60), || async {
            Ok(accounts.get_opt("default").await?)
        });
        acted.await?;
        plane.alive()?;
        Ok(plane)
    }

    /// KWOK plays the nodes that carry its annotation, and no other.
    fn start_kubelets(&mut self) -> Result<()> {
        let mut kwok = command(self.tools.path("kwok"));
        kwok.arg("--kubeconfig")
            .arg(self.kubeconfig("admin"))
            .arg("--config")
            .arg(root().join("tests/stages/stages.yaml"))
            .args(["--manage-nodes-with-annotation-selector", &format!("{LABEL}=played")])
            .args(["--node-lease-duration-seconds", "40"])
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

    /// Gives a borrowed cluster back; a plane of our own just ends.
    ///
    /// # Errors
    ///
    /// What was left in it.
    pub fn end(mut self) -> Result<()> {
        self.borrowed.as_mut().map_or(Ok(()), Borrowed::end)
    }

    /// Where a server has to listen so that the API server reaches it at [`Self::callback`].
    #[must_use]
    pub fn listen(&self) -> &'static str {
        if self.callback == "127.0.0.1" { "127.0.0.1" } else { "0.0.0.0" }
    }

    /// A kubectl command with all rights.
    #[must_use]
    pub fn kubectl(&self) -> tokio::process::Command {
        let mut kubectl = command(self.tools.path("kubectl"));
        kubectl.arg("--kubeconfig").arg(self.kubeconfig("admin"));
        kubectl
    }

    /// The kubeconfig of a user: `admin`, `alice` or an account.
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
        let mut create = self.kubectl();
        create.args(["create", "token", account, "-n", namespace, "--duration=2h"]);
        let token = run(&mut create).await?;
        self.write_kubeconfig(account, |user| *user = json!({"token": token.trim()}))
    }

    /// The kubeconfig of the admin, for another address.
    fn write_kubeconfig(&self, who: &str, edit: impl FnOnce(&mut Value)) -> Result<PathBuf> {
        let admin = std::fs::read_to_string(self.kubeconfig("admin"))?;
        let mut config: Value = serde_yaml::from_str(&admin)?;
        edit(&mut config["users"][0]["user"]);
        let file = self.kubeconfig(who);
        write_secret(&file, &serde_yaml::to_string(&config)?)?;
        Ok(file)
    }
}

/// Holds a folder as long as this process lives, however it ends: the system releases it.
fn lock(folder: &Path) -> Result<File> {
    let file = folder.with_extension("lock");
    std::fs::create_dir_all(folder.parent().unwrap_or(folder))?;
    let lock = File::create(&file).with_context(|| file.display().to_string())?;
    ensure!(lock.try_lock().is_ok(), "another evening runs in {}", folder.display());
    Ok(lock)
}

/// Writes a file that only its owner may read.
fn write_secret(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut opened = options.open(file).with_context(|| file.display().to_string())?;
    Ok(opened.write_all(text.as_bytes())?)
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
