//! A cluster that is already there, such as kind: an evening borrows it and leaves nothing behind.
//!
//! What an evening makes in it is known beforehand: two namespaces and the played nodes, all with our label, the chart's release
//! and kinds, one `APIService`. Before an evening, what an interrupted one left is removed; what is somebody else's is refused.

use std::fs::File;
use std::net::{ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::lock;
use crate::evening::{SHOP, folder as log_folder};
use crate::operator::RELEASE;
use crate::tools::{Tools, root};

/// The switch: its value is the name of the context, so that nobody's production is taken for a playground.
pub const CONTEXT: &str = "PRIMETIME_TEST_CONTEXT";

/// The address by which the cluster's API server reaches this machine.
pub const ADDRESS: &str = "PRIMETIME_TEST_ADDRESS";

/// The label of what an evening makes in a cluster.
pub const LABEL: &str = "tests.primetime.dev/evening";

const METRICS_API: &str = "v1beta1.external.metrics.k8s.io";

/// Whose cluster it is.
#[derive(Clone, Debug)]
pub struct Existing {
    /// The context in it.
    pub context: String,
    /// The kubeconfig, or what `KUBECONFIG` and the home folder say.
    pub kubeconfig: Option<PathBuf>,
    /// Address of this machine as the API server sees it; that of the route to the API server where absent.
    pub address: Option<String>,
}

impl Existing {
    /// The cluster that the environment names, if it names one.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        let context = std::env::var(CONTEXT).ok().filter(|c| !c.is_empty())?;
        Some(Self { context, kubeconfig: None, address: std::env::var(ADDRESS).ok() })
    }
}

/// A cluster that this evening has for itself. What the evening made is removed when this is dropped.
#[derive(Debug)]
pub struct Borrowed {
    /// Address of this machine as the API server sees it.
    pub address: String,
    cluster: Cluster,
    /// Released by the system when this process ends, however it ends.
    _lock: File,
}

impl Borrowed {
    /// Writes `admin.kubeconfig` into the folder and removes what an interrupted evening left.
    ///
    /// # Errors
    ///
    /// If there is no such context, another evening runs on it, or what we would make is somebody else's.
    pub fn borrow(tools: &Tools, folder: &Path, existing: &Existing) -> Result<Self> {
        let cluster = Cluster::open(tools, folder, existing)?;
        let lock = cluster.lock()?;
        if cluster.has_leftovers()? {
            eprintln!("removing what an interrupted evening left in context {}", cluster.context);
            cluster.sweep()?;
        }
        let address = match &existing.address {
            Some(address) => address.clone(),
            None => address_towards(&cluster.server)?,
        };
        Ok(Self { address, cluster, _lock: lock })
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        eprintln!("removing the evening from context {}", self.cluster.context);
        if let Err(error) = self.cluster.sweep() {
            eprintln!("{error:#}; `make sweep` tries again");
        }
    }
}

/// Removes what an interrupted evening left in a cluster, and says whether there was something.
///
/// # Errors
///
/// If something is somebody else's or could not be removed.
pub fn sweep(tools: &Tools, folder: &Path, existing: &Existing) -> Result<bool> {
    std::fs::create_dir_all(folder)?;
    let cluster = Cluster::open(tools, folder, existing)?;
    let _lock = cluster.lock()?;
    let left = cluster.has_leftovers()?;
    if left {
        cluster.sweep()?;
    }
    Ok(left)
}

#[derive(Debug)]
struct Cluster {
    context: String,
    server: String,
    kubectl: PathBuf,
    helm: PathBuf,
    folder: PathBuf,
}

impl Cluster {
    fn open(tools: &Tools, folder: &Path, existing: &Existing) -> Result<Self> {
        let context = existing.context.clone();
        let kubectl = tools.path("kubectl");
        let mut view = Command::new(&kubectl);
        if let Some(file) = &existing.kubeconfig {
            view.arg("--kubeconfig").arg(file);
        }
        view.args(["config", "view", "--minify", "--flatten", "--raw", "--context", &context]);
        let config = finish(&mut view).with_context(|| {
            format!("{CONTEXT} is {context}, which is not a context of the kubeconfig")
        })?;
        std::fs::write(folder.join("admin.kubeconfig"), &config)?;
        let config: serde_json::Value = serde_yaml::from_str(&config)?;
        let server = config["clusters"][0]["cluster"]["server"].as_str().context("no server")?;
        let (server, helm) = (server.to_owned(), tools.path("helm"));
        Ok(Self { context, server, kubectl, helm, folder: folder.into() })
    }

    fn lock(&self) -> Result<File> {
        lock(&log_folder(&format!("context-{}", self.context.replace('/', "_"))))
            .with_context(|| format!("context {} is in use", self.context))
    }

    /// Whether an interrupted evening left something.
    ///
    /// # Errors
    ///
    /// If something that an evening would make, and then remove, is somebody else's.
    fn has_leftovers(&self) -> Result<bool> {
        let context = &self.context;
        let ours = self.names(&["namespaces,nodes", "-l", LABEL])?;
        for namespace in [SHOP, RELEASE] {
            let found = self.names(&["namespace", namespace, "--ignore-not-found"])?;
            ensure!(
                found.iter().all(|name| ours.contains(name)),
                "namespace {namespace} of context {context} is somebody else's; choose an empty cluster"
            );
        }
        let service = ["-o", "jsonpath={.spec.service.namespace}", "--ignore-not-found"];
        let metrics =
            self.kubectl(&[&["get", "apiservice", METRICS_API], &service[..]].concat())?;
        ensure!(
            metrics.is_empty() || (metrics == SHOP && !ours.is_empty()),
            "context {context} has an external metrics API, in namespace {metrics}; the evening brings its own"
        );
        let installed = self.names(&["crds"])?.iter().any(|n| n.ends_with(".primetime.dev"));
        ensure!(
            !(installed && ours.is_empty()),
            "Primetime is installed in context {context}; choose an empty cluster"
        );
        Ok(!ours.is_empty())
    }

    /// Removes everything that an evening makes; what is not there is no error.
    fn sweep(&self) -> Result<()> {
        let crds = root().join("charts/primetime/crds").display().to_string();
        let mut failed = Vec::new();
        let mut tried = |result: Result<String>| {
            failed.extend(result.err().map(|error| format!("{error:#}")));
        };
        // An API that nobody answers keeps namespaces from going; a webhook that nobody answers keeps objects from changing.
        tried(self.kubectl(&["delete", "apiservice", METRICS_API, "--ignore-not-found"]));
        tried(self.helm_uninstall());
        // The operator that would remove its finalizers is gone.
        for run in self.names(&["surgeruns", "-n", SHOP]).unwrap_or_default() {
            let without = r#"{"metadata":{"finalizers":null}}"#;
            tried(self.kubectl(&["patch", &run, "-n", SHOP, "--type=merge", "-p", without]));
        }
        tried(self.kubectl(&["delete", "-f", &crds, "--ignore-not-found", "--timeout=60s"]));
        let selector = ["-l", LABEL, "--ignore-not-found", "--timeout=180s"];
        let namespaces = [&["delete", "namespace"], &selector[..]].concat();
        tried(self.kubectl(&[&namespaces[..], &["--wait=false"]].concat()));
        // Nobody may be left who plays the kubelets that would end the pods.
        tried(self.kubectl(&["delete", "pods", "--all", "-n", SHOP, "--force", "--wait=false"]));
        tried(self.kubectl(&namespaces));
        tried(self.kubectl(&[&["delete", "node"], &selector[..]].concat()));
        if failed.is_empty() {
            return Ok(());
        }
        bail!("in context {} something was left: {}", self.context, failed.join("; "))
    }

    fn helm_uninstall(&self) -> Result<String> {
        let mut helm = Command::new(&self.helm);
        helm.arg("--kubeconfig").arg(self.folder.join("admin.kubeconfig"));
        helm.args(["uninstall", RELEASE, "-n", RELEASE, "--ignore-not-found", "--timeout", "60s"]);
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(home, self.folder.join("helm"));
        }
        finish(&mut helm)
    }

    fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut kubectl = Command::new(&self.kubectl);
        kubectl.arg("--kubeconfig").arg(self.folder.join("admin.kubeconfig"));
        finish(kubectl.args(args).arg("--request-timeout=240s"))
    }

    fn names(&self, args: &[&str]) -> Result<Vec<String>> {
        let printed = self.kubectl(&[&["get", "-o", "name"], args].concat())?;
        Ok(printed.lines().map(str::to_owned).collect())
    }
}

/// Runs a program to its end; blocking, because it also runs while everything is being dropped. Out of reach of Ctrl-C.
fn finish(command: &mut Command) -> Result<String> {
    use std::os::unix::process::CommandExt;
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).process_group(0).output().context(shown.clone())?;
    ensure!(
        output.status.success(),
        "{shown} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The address of this machine on the way to a server. Nothing is sent.
fn address_towards(server: &str) -> Result<String> {
    let uri: http::Uri = server.parse().with_context(|| server.to_owned())?;
    let host = uri.host().with_context(|| format!("{server} names no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let to = (host, uri.port_u16().unwrap_or(443)).to_socket_addrs()?.next();
    let to = to.with_context(|| format!("{host} has no address"))?;
    let from = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    from.connect(to)?;
    Ok(from.local_addr()?.ip().to_string())
}

#[cfg(test)]
mod tests {
    use super::address_towards;

    #[test]
    fn the_address_is_the_one_of_the_route() {
        assert_eq!(address_towards("https://127.0.0.1:6443").ok().as_deref(), Some("127.0.0.1"));
        assert_eq!(address_towards("https://[::1]:6443").ok().as_deref(), Some("::1"));
        assert!(address_towards("no server").is_err());
    }
}
