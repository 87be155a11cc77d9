//! A cluster that is already there, such as kind: an evening borrows it and leaves nothing behind.
//!
//! What an evening makes in it is known beforehand: two namespaces, the played nodes and one `APIService`, all with our
//! label, and the chart's release and kinds. Before an evening, what an interrupted one left is removed; what is others'
//! else's is refused.

use std::fs::File;
use std::net::{ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{lock, write_secret};
use crate::evening::SHOP;
use crate::operator::RELEASE;
use crate::tools::{Tools, root};

/// The switch: its value is the name of the context, so that no production cluster is taken for a playground.
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

/// A cluster that this evening has for itself. What the evening made is removed at its [`Borrowed::end`], or when this is
/// dropped because the evening was cut short.
#[derive(Debug)]
pub struct Borrowed {
    /// Address of this machine as the API server sees it.
    pub address: String,
    cluster: Cluster,
    ended: bool,
    /// Released by the system when this process ends, however it ends.
    _lock: File,
}

impl Borrowed {
    /// Writes `admin.kubeconfig` into the folder and removes what an interrupted evening left.
    ///
    /// # Errors
    ///
    /// If there is no such context, another evening runs on it, or what we would make belongs to others.
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
        Ok(Self { address, cluster, ended: false, _lock: lock })
    }

    /// Removes everything that the evening made.
    ///
    /// # Errors
    ///
    /// What was left.
    pub fn end(&mut self) -> Result<()> {
        eprintln!("removing the evening from context {}", self.cluster.context);
        self.ended = true;
        self.cluster.sweep().context("`make sweep` tries again")?;
        self.cluster.forget_credentials();
        Ok(())
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.end()
        {
            eprintln!("{error:#}");
        }
    }
}

/// Removes what an interrupted evening left in a cluster, and says whether there was something.
///
/// # Errors
///
/// If an object belongs to others or could not be removed.
pub fn sweep(tools: &Tools, folder: &Path, existing: &Existing) -> Result<bool> {
    std::fs::create_dir_all(folder)?;
    let cluster = Cluster::open(tools, folder, existing)?;
    let _lock = cluster.lock()?;
    let left = cluster.has_leftovers()?;
    if left {
        cluster.sweep()?;
    }
    cluster.forget_credentials();
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
        write_secret(&folder.join("admin.kubeconfig"), &config)?;
        let config: serde_json::Value = serde_yaml::from_str(&config)?;
        let server = config["clusters"][0]["cluster"]["server"].as_str().context("no server")?;
        let (server, helm) = (server.to_owned(), tools.path("helm"));
        Ok(Self { context, server, kubectl, helm, folder: folder.into() })
    }

    /// One evening at a time on one API server, from whichever checkout of this machine.
    fn lock(&self) -> Result<File> {
        let name = self.server.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        lock(&std::env::temp_dir().join(format!("primetime-evening-{name}")))
            .with_context(|| format!("context {} is in use", self.context))
    }

    /// Whether an interrupted evening left something.
    ///
    /// # Errors
    ///
    /// If an object that an evening would make, and then remove, belongs to others.
    fn has_leftovers(&self) -> Result<bool> {
        let context = &self.context;
        let version = self.kubectl(&["version", "-o", "json"])?;
        let version: serde_json::Value = serde_json::from_str(&version)?;
        let minor = version["serverVersion"]["minor"].as_str().unwrap_or_default();
        let minor: u32 = minor.trim_end_matches('+').parse().unwrap_or(0);
        ensure!(minor >= 33, "context {context} is Kubernetes 1.{minor}; 1.33 or later is needed");
        let ours = self.names(&["namespaces,nodes,crds,apiservices", "-l", LABEL])?;
        for namespace in [SHOP, RELEASE] {
            let found = self.names(&["namespace", namespace, "--ignore-not-found"])?;
            ensure!(
                found.iter().all(|name| ours.contains(name)),
                "namespace {namespace} of context {context} belongs to others; choose an empty cluster"
            );
        }
        let service = ["-o", "jsonpath={.spec.service.namespace}", "--ignore-not-found"];
        let metrics =
            self.kubectl(&[&["get", "apiservice", METRICS_API], &service[..]].concat())?;
        ensure!(
            metrics.is_empty() || ours.iter().any(|name| name.ends_with(METRICS_API)),
            "context {context} has an external metrics API, in namespace {metrics}; the evening brings its own"
        );
        let release = r"jsonpath={.metadata.annotations.meta\.helm\.sh/release-namespace}";
        let role = ["get", "clusterrole", RELEASE, "--ignore-not-found", "-o", release];
        let release = self.kubectl(&role)?;
        ensure!(
            release.is_empty() || (release == RELEASE && !ours.is_empty()),
            "Primetime is installed in context {context}, in namespace {release}; choose an empty cluster"
        );
        let installed = self.names(&["crds"])?;
        let installed = installed.iter().any(|n| n.ends_with(".primetime.dev"));
        ensure!(
            !installed || !ours.is_empty(),
            "Primetime's kinds are installed in context {context}; choose an empty cluster"
        );
        if installed {
            for kind in ["scheduledsurges", "surgeruns", "surgeholds", "surgeoverrides"] {
                let namespaces = "jsonpath={.items[*].metadata.namespace}";
                let used = self.kubectl(&["get", kind, "-A", "-o", namespaces])?;
                let other = used.split_whitespace().find(|ns| *ns != SHOP);
                ensure!(
                    other.is_none(),
                    "context {context} has {kind} in namespace {}; choose an empty cluster",
                    other.unwrap_or_default()
                );
            }
        }
        Ok(!ours.is_empty())
    }

    /// Removes everything that an evening makes; what is not there is no error. What carries our label goes last and only
    /// if all else has gone: it is what a second try is known by.
    fn sweep(&self) -> Result<()> {
        let crds = root().join("charts/primetime/crds").display().to_string();
        let context = || format!("something is left in context {}", self.context);
        // An API without a server keeps namespaces from going; a webhook without one keeps objects from changing.
        self.kubectl(&["delete", "apiservice", "-l", LABEL, "--ignore-not-found"])
            .with_context(context)?;
        self.helm_uninstall().with_context(context)?;
        // The operator that would remove its finalizers is gone.
        for kind in ["surgeruns", "surgeholds"] {
            for object in self.names(&[kind, "-n", SHOP]).unwrap_or_default() {
                let without = r#"{"metadata":{"finalizers":null}}"#;
                self.kubectl(&["patch", &object, "-n", SHOP, "--type=merge", "-p", without])
                    .with_context(context)?;
            }
        }
        self.kubectl(&["delete", "-f", &crds, "--ignore-not-found", "--timeout=60s"])
            .with_context(context)?;
        let selector = ["-l", LABEL, "--ignore-not-found", "--timeout=180s"];
        let namespaces = [&["delete", "namespace"], &selector[..]].concat();
        self.kubectl(&[&namespaces[..], &["--wait=false"]].concat()).with_context(context)?;
        // The process that plays the kubelets, and would end the pods, may be gone.
        self.kubectl(&["delete", "pods", "--all", "-n", SHOP, "--force", "--wait=false"])
            .with_context(context)?;
        self.kubectl(&namespaces).with_context(context)?;
        self.kubectl(&[&["delete", "node"], &selector[..]].concat()).with_context(context)?;
        Ok(())
    }

    /// Credentials of a user's cluster do not stay among the logs.
    fn forget_credentials(&self) {
        for who in ["admin", "alice", RELEASE] {
            let _ = std::fs::remove_file(self.folder.join(format!("{who}.kubeconfig")));
        }
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
    ensure!(
        to.is_ipv4(),
        "{server} is reached by IPv6; set {ADDRESS} to an IPv4 address or a name"
    );
    let from = UdpSocket::bind("0.0.0.0:0")?;
    from.connect(to)?;
    Ok(from.local_addr()?.ip().to_string())
}

#[cfg(test)]
mod tests {
    use super::address_towards;

    #[test]
    fn the_address_is_the_one_of_the_route() {
        assert_eq!(address_towards("https://127.0.0.1:6443").ok().as_deref(), Some("127.0.0.1"));
        assert!(address_towards("https://[::1]:6443").is_err());
        assert!(address_towards("no server").is_err());
    }
}
