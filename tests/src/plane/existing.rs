//! An existing cluster, such as kind: an evening borrows the cluster and removes all objects at the
//! end.
//!
//! An evening creates a known set of objects. The set has two namespaces, the simulated Nodes and
//! an `APIService`, all with [`LABEL`], and the release and kinds of the chart. Before an evening
//! starts, the plane removes the objects of an interrupted evening. The plane refuses a cluster if
//! an object of the set exists and belongs to others.

use std::fs::File;
use std::net::{ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{lock, write_secret};
use crate::evening::SHOP;
use crate::operator::RELEASE;
use crate::tools::{Tools, root};

/// Environment variable with the name of the context. An explicit name prevents accidental use of a
/// production cluster.
pub const CONTEXT: &str = "PRIMETIME_TEST_CONTEXT";

/// Environment variable with the address at which the API server reaches this machine.
pub const ADDRESS: &str = "PRIMETIME_TEST_ADDRESS";

/// Label of the objects that an evening creates in a cluster.
pub const LABEL: &str = "tests.primetime.dev/evening";

const METRICS_API: &str = "v1beta1.external.metrics.k8s.io";

/// An existing cluster, as a context of a kubeconfig.
#[derive(Clone, Debug)]
pub struct Existing {
    /// Name of the context.
    pub context: String,
    /// Path of the kubeconfig. If absent, kubectl uses `KUBECONFIG` or the home folder.
    pub kubeconfig: Option<PathBuf>,
    /// Address of this machine as the API server sees the machine. If absent, the plane uses the
    /// address of the route to the API server.
    pub address: Option<String>,
}

impl Existing {
    /// Returns the cluster in `PRIMETIME_TEST_CONTEXT`, if the variable is set and not empty.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        let context = std::env::var(CONTEXT).ok().filter(|c| !c.is_empty())?;
        Some(Self { context, kubeconfig: None, address: std::env::var(ADDRESS).ok() })
    }
}

/// A cluster in exclusive use by an evening.
///
/// [`Borrowed::end`] removes the objects of the evening. Dropping the value does the same after an
/// interruption.
#[derive(Debug)]
pub struct Borrowed {
    /// Address of this machine as the API server sees the machine.
    pub address: String,
    cluster: Cluster,
    ended: bool,
    /// Lock that the operating system releases after any kind of process exit.
    _lock: File,
}

impl Borrowed {
    /// Writes `admin.kubeconfig` into the folder and removes the objects of an interrupted evening.
    ///
    /// # Errors
    ///
    /// Returns an error if the context does not exist, another evening uses the cluster, or an
    /// object that the evening would create belongs to others.
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

    /// Removes all objects of the evening.
    ///
    /// # Errors
    ///
    /// Returns an error if objects of the evening remain. The error names the failed command.
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

/// Removes the objects of an interrupted evening from a cluster. Returns true if the cluster had
/// such objects.
///
/// # Errors
///
/// Returns an error if an object belongs to others, or could not be removed.
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

    /// Locks the API server against other evenings on this machine, from any checkout.
    fn lock(&self) -> Result<File> {
        let name = self.server.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        lock(&std::env::temp_dir().join(format!("primetime-evening-{name}")))
            .with_context(|| format!("context {} is in use", self.context))
    }

    /// True if an interrupted evening left objects in the cluster.
    ///
    /// # Errors
    ///
    /// Returns an error if the cluster is older than Kubernetes 1.33, or an object that an evening
    /// would create and remove belongs to others.
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

    /// Removes all objects of an evening. Missing objects cause no error.
    ///
    /// The namespaces and Nodes with [`LABEL`] go last, and only if all earlier steps have
    /// succeeded. A second sweep recognizes an interrupted evening by the label.
    fn sweep(&self) -> Result<()> {
        let crds = root().join("charts/primetime/crds").display().to_string();
        let context = || format!("something is left in context {}", self.context);
        // An `APIService` without a server blocks the deletion of namespaces. A webhook without a
        // server blocks changes of objects.
        self.kubectl(&["delete", "apiservice", "-l", LABEL, "--ignore-not-found"])
            .with_context(context)?;
        self.helm_uninstall().with_context(context)?;
        // The operator is gone and cannot remove the finalizers.
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
        // KWOK may be gone, so no kubelet would end the pods.
        self.kubectl(&["delete", "pods", "--all", "-n", SHOP, "--force", "--wait=false"])
            .with_context(context)?;
        self.kubectl(&namespaces).with_context(context)?;
        self.kubectl(&[&["delete", "node"], &selector[..]].concat()).with_context(context)?;
        Ok(())
    }

    /// Deletes the kubeconfigs, so that credentials of a user's cluster do not remain among the
    /// logs.
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

/// Runs a program to the end and returns the standard output.
///
/// The call blocks, because `Drop` also calls the function. The program runs in a separate process
/// group, so Ctrl-C does not reach the program.
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

/// Returns the IPv4 address of this machine on the route to a server. The function sends no packet.
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
