//! The real KEDA for the tests: the operator and the metrics adapter.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::plane::Plane;
use crate::process::{Process, command, free_port, run};
use crate::prometheus::fetch;
use crate::tls::Loopback;
use crate::tools::Tools;
use crate::wait::{wait_for, wait_until};

/// Namespace of KEDA.
const KEDA: &str = "keda";

/// KEDA in a dedicated control plane. The external metrics API of KEDA replaces that of the shop.
#[derive(Debug)]
pub struct Keda {
    tools: Tools,
    folder: PathBuf,
    kubeconfig: PathBuf,
    certs: PathBuf,
    grpc: u16,
    operator: Option<Process>,
    _adapter: Process,
}

impl Keda {
    /// Installs the definitions of KEDA, and starts the adapter and the operator.
    ///
    /// # Errors
    ///
    /// Returns an error if kubectl fails, a process cannot be started, or KEDA is not ready within
    /// 60 s.
    pub async fn start(tools: &Tools, plane: &Plane) -> Result<Self> {
        // kubectl does not read a folder through a symbolic link, so the function resolves the
        // link.
        let definitions = tools.path("keda-definitions").canonicalize()?;
        let apply = ["apply", "--server-side", "-f"];
        run(plane.kubectl().args(apply).arg(definitions)).await?;
        run(plane.kubectl().args(["wait", "--for=condition=Established", "crd", "--all"])).await?;
        run(plane.kubectl().args(["create", "namespace", KEDA])).await?;
        let folder = plane.folder.clone();
        let certs = folder.join("keda");
        std::fs::create_dir_all(&certs)?;
        let tls = Loopback::new("localhost")?;
        for (name, text) in [("tls.crt", &tls.cert), ("tls.key", &tls.key), ("ca.crt", &tls.ca)] {
            std::fs::write(certs.join(name), text)?;
        }
        let (grpc, https) = (free_port()?, free_port()?);
        let kubeconfig = plane.kubeconfig("admin");
        let adapter = Process::start(
            &folder,
            "keda-adapter",
            command(tools.path("keda-adapter"))
                .env("KUBECONFIG", &kubeconfig)
                .env("POD_NAMESPACE", KEDA)
                .env("WATCH_NAMESPACE", "")
                .arg("--lister-kubeconfig")
                .arg(&kubeconfig)
                .arg("--authentication-kubeconfig")
                .arg(&kubeconfig)
                .arg("--authorization-kubeconfig")
                .arg(&kubeconfig)
                .arg("--tls-cert-file")
                .arg(certs.join("tls.crt"))
                .arg("--tls-private-key-file")
                .arg(certs.join("tls.key"))
                .arg("--cert-dir")
                .arg(&certs)
                .args(["--authentication-skip-lookup=true", "--bind-address", "127.0.0.1"])
                .args(["--secure-port", &https.to_string(), "--port", &free_port()?.to_string()])
                .args(["--metrics-service-address", &format!("127.0.0.1:{grpc}")]),
        )?;
        let mut keda = Self {
            tools: tools.clone(),
            folder,
            kubeconfig,
            certs,
            grpc,
            operator: None,
            _adapter: adapter,
        };
        keda.resume().await?;
        serve_metrics(plane, https).await?;
        Ok(keda)
    }

    /// Starts the KEDA operator, or restarts the KEDA operator after [`Self::kill`].
    ///
    /// # Errors
    ///
    /// Returns an error if the KEDA operator is not ready within 60 s. The error contains the end
    /// of the log.
    pub async fn resume(&mut self) -> Result<()> {
        let probes = free_port()?;
        let process = Process::start(
            &self.folder,
            "keda-operator",
            command(self.tools.path("keda-operator"))
                .env("KUBECONFIG", &self.kubeconfig)
                .env("KEDA_CLUSTER_OBJECT_NAMESPACE", KEDA)
                .env("POD_NAMESPACE", KEDA)
                .env("POD_NAME", "keda-operator-0")
                .env("WATCH_NAMESPACE", "")
                .env("KUBERNETES_CLUSTER_DOMAIN", "cluster.local")
                .arg("--cert-dir")
                .arg(&self.certs)
                .arg("--ca-dir")
                .arg(&self.certs)
                .args(["--enable-cert-rotation=false", "--metrics-bind-address", "0"])
                .args(["--health-probe-bind-address", &format!("127.0.0.1:{probes}")])
                .args(["--metrics-service-bind-address", &format!("127.0.0.1:{}", self.grpc)]),
        )?;
        self.operator = Some(process);
        let ready = format!("http://127.0.0.1:{probes}/readyz");
        let became_ready = wait_for("KEDA to be ready", Duration::from_secs(60), || async {
            fetch(&ready).await.map(Some)
        });
        match (became_ready.await, self.operator.as_ref()) {
            (Err(error), Some(process)) => Err(error.context(process.tail())),
            (result, _) => result.map(|_| ()),
        }
    }

    /// Kills the KEDA operator, as a crash does.
    ///
    /// # Errors
    ///
    /// Returns an error if the KEDA operator does not run, or cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        self.operator.take().context("KEDA does not run")?.kill().await
    }
}

/// Registers KEDA as the external metrics API.
///
/// The control plane has no front proxy certificate. The API server therefore calls KEDA as
/// `system:anonymous`, and a `ClusterRole` allows the anonymous user to read external metrics.
async fn serve_metrics(plane: &Plane, port: u16) -> Result<()> {
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "keda-metrics", "namespace": KEDA},
            "spec": {
                "type": "ExternalName", "externalName": "127.0.0.1", "ports": [{"port": port}],
            },
        }),
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
            "spec": {
                "group": "external.metrics.k8s.io", "version": "v1beta1",
                "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": true,
                "service": {"name": "keda-metrics", "namespace": KEDA, "port": port},
            },
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "external-metrics"},
            "rules": [
                {
                    "apiGroups": ["external.metrics.k8s.io"], "resources": ["*"],
                    "verbs": ["get", "list"],
                },
                {"nonResourceURLs": ["/apis/external.metrics.k8s.io/*"], "verbs": ["get"]},
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "external-metrics"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                "name": "external-metrics",
            },
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:anonymous",
            }],
        }),
    ];
    let texts = objects.iter().map(serde_yaml::to_string).collect::<Result<Vec<_>, _>>()?;
    plane.apply(&texts.join("\n---\n")).await?;
    wait_until("KEDA to serve metrics", Duration::from_secs(60), || async {
        let get = ["get", "--raw", "/apis/external.metrics.k8s.io/v1beta1"];
        let said = run(plane.kubectl().args(get)).await?;
        Ok((said.contains("APIResourceList"), said))
    })
    .await
}
