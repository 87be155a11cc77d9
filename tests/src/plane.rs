//! A real Kubernetes control plane: a dedicated control plane on loopback, or an existing cluster.
//! KWOK simulates Nodes and kubelets.

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

/// Settings of the control plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// Existing cluster to use instead of a dedicated control plane. The plane then ignores all
    /// other options except `kubelets`.
    pub existing: Option<Existing>,
    /// Kubernetes minor version that the control plane emulates (`--emulated-version`), such as
    /// `1.34`. If absent, the version is that of the binaries.
    pub emulated_version: Option<String>,
    /// Seconds between two syncs of the HPA controller. The default of Kubernetes is 15.
    pub hpa_sync_seconds: u32,
    /// API requests per second of controller manager and scheduler (`--kube-api-qps`). The defaults
    /// of Kubernetes are 20 and 50.
    pub qps: u32,
    /// True if controller manager and scheduler run. If false, only etcd and the API server run.
    pub controllers: bool,
    /// True if KWOK simulates kubelets. Nodes never become ready if false.
    pub kubelets: bool,
}

impl Options {
    /// Returns the options of a dedicated control plane, fast enough for an evening of a few
    /// minutes.
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
    /// Returns the options for the cluster in `PRIMETIME_TEST_CONTEXT`, or for a dedicated control
    /// plane.
    fn default() -> Self {
        Self { existing: Existing::from_env(), ..Self::own() }
    }
}

/// A running control plane.
pub struct Plane {
    /// Folder of logs, keys and kubeconfigs.
    pub folder: PathBuf,
    /// A client with all rights.
    pub client: Client,
    /// Name of the user with all rights, as the API server knows the user.
    pub admin: String,
    /// Address at which the API server reaches this machine.
    pub callback: String,
    tools: Tools,
    // Rust drops the fields in order. KWOK still simulates pods and Nodes while the evening is
    // removed from a borrowed cluster.
    borrowed: Option<Borrowed>,
    processes: Vec<Process>,
    _lock: File,
}

impl Plane {
    /// Starts a control plane in an empty folder, or borrows an existing cluster.
    ///
    /// # Errors
    ///
    /// Returns an error if another evening uses the folder or the cluster, or a part does not
    /// become ready. If a process has ended, the error contains the end of the log.
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

    /// Starts KWOK for the Nodes with the annotation [`LABEL`] of value `played`. KWOK ignores all
    /// other Nodes.
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

    /// Fails if a process of the control plane has ended.
    ///
    /// # Errors
    ///
    /// Returns an error if a process has ended. The error contains the end of the log.
    pub fn alive(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::alive)
    }

    /// Removes the evening from a borrowed cluster, and stops all processes.
    ///
    /// # Errors
    ///
    /// Returns an error if objects of the evening remain in the borrowed cluster.
    pub fn end(mut self) -> Result<()> {
        self.borrowed.as_mut().map_or(Ok(()), Borrowed::end)
    }

    /// Returns the listen address for servers that the API server must reach at [`Self::callback`].
    #[must_use]
    pub fn listen(&self) -> &'static str {
        if self.callback == "127.0.0.1" { "127.0.0.1" } else { "0.0.0.0" }
    }

    /// Returns a kubectl command with all rights.
    #[must_use]
    pub fn kubectl(&self) -> tokio::process::Command {
        let mut kubectl = command(self.tools.path("kubectl"));
        kubectl.arg("--kubeconfig").arg(self.kubeconfig("admin"));
        kubectl
    }

    /// Returns a Helm command with all rights. Helm keeps its files in the folder of the plane.
    #[must_use]
    pub fn helm(&self) -> tokio::process::Command {
        let mut helm = command(self.tools.path("helm"));
        helm.arg("--kubeconfig").arg(self.kubeconfig("admin"));
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(home, self.folder.join("helm"));
        }
        helm
    }

    /// Returns the path of the kubeconfig of a user: `admin`, `alice` or a service account.
    #[must_use]
    pub fn kubeconfig(&self, who: &str) -> PathBuf {
        self.folder.join(format!("{who}.kubeconfig"))
    }

    /// Applies a manifest with `kubectl apply --validate=strict`. Returns the output of kubectl.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free (the port number names the file), the file cannot be
    /// written or removed, or kubectl fails.
    pub async fn apply(&self, manifest: &str) -> Result<String> {
        let file = self.folder.join(format!("apply-{}.yaml", free_port()?));
        std::fs::write(&file, manifest)?;
        let applied =
            run(self.kubectl().args(["apply", "--validate=strict", "-f"]).arg(&file)).await;
        std::fs::remove_file(&file)?;
        applied
    }

    /// Writes a kubeconfig whose only credential is a token of a service account, valid for 2 h.
    /// Returns the path.
    ///
    /// # Errors
    ///
    /// Returns an error if the API server issues no token, or the kubeconfig cannot be written.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str) -> Result<PathBuf> {
        let mut create = self.kubectl();
        create.args(["create", "token", account, "-n", namespace, "--duration=2h"]);
        let token = run(&mut create).await?;
        self.write_kubeconfig(account, |user| *user = json!({"token": token.trim()}))
    }

    /// Writes a copy of the kubeconfig of the admin with other credentials. Returns the path.
    fn write_kubeconfig(&self, who: &str, edit: impl FnOnce(&mut Value)) -> Result<PathBuf> {
        let file = self.kubeconfig(who);
        with_user(&self.kubeconfig("admin"), &file, edit)?;
        Ok(file)
    }
}

/// Writes a copy of a kubeconfig with other credentials.
///
/// # Errors
///
/// Returns an error if the kubeconfig cannot be read, or the copy cannot be written.
pub fn with_user(admin: &Path, copy: &Path, edit: impl FnOnce(&mut Value)) -> Result<()> {
    let mut config: Value = serde_yaml::from_str(&std::fs::read_to_string(admin)?)?;
    edit(&mut config["users"][0]["user"]);
    write_secret(copy, &serde_yaml::to_string(&config)?)
}

/// Locks a folder for the lifetime of the process. The operating system releases the lock after any
/// kind of exit.
fn lock(folder: &Path) -> Result<File> {
    let file = folder.with_extension("lock");
    std::fs::create_dir_all(folder.parent().unwrap_or(folder))?;
    let lock = File::create(&file).with_context(|| file.display().to_string())?;
    ensure!(lock.try_lock().is_ok(), "another evening runs in {}", folder.display());
    Ok(lock)
}

/// Writes a file with mode 0600, which only the owner may read.
fn write_secret(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut opened = options.open(file).with_context(|| file.display().to_string())?;
    Ok(opened.write_all(text.as_bytes())?)
}

/// Creates a client from a kubeconfig, without retries.
///
/// # Errors
///
/// Returns an error if the file cannot be read, or is not a valid kubeconfig.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let parsed =
        Kubeconfig::read_from(kubeconfig).with_context(|| kubeconfig.display().to_string())?;
    let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
