//! The operator under test. Helm installs the chart, and the binary runs with exactly the service
//! account and rights of the chart.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::plane::{LABEL, Plane};
use crate::process::{Process, command, free_port, run};
use crate::prometheus::fetch;
use crate::tls::Loopback;
use crate::tools::{built, root};
use crate::wait::wait_for;

/// Namespace and name of the Helm release.
pub const RELEASE: &str = "primetime";

/// Seconds after a deletion in which the operator lowers nothing (`--delete-grace-seconds`). The
/// default is 120; the tests shorten the grace to match the scaled clock of the evening.
pub const DELETE_GRACE: i64 = 10;

/// The operator's secret access key for EC2. The key must not appear in any log, metric, Event or
/// object.
pub const SECRET: &str = "canary-that-never-sings";

/// The operator as a process outside of the cluster, with only the rights of the service account.
#[derive(Debug)]
pub struct Operator {
    kubeconfig: PathBuf,
    folder: PathBuf,
    certs: PathBuf,
    webhook: String,
    /// Port of probes and metrics.
    pub http_port: u16,
    /// Port from which the operator may fetch calendar feeds (`--calendar-url`).
    pub feeds_port: u16,
    ec2: String,
    identity: String,
    process: Option<Process>,
}

impl Operator {
    /// Installs the chart and starts the operator.
    ///
    /// # Errors
    ///
    /// Returns an error if Helm fails, the API server issues no token, or the operator is not ready
    /// within 30 s.
    pub async fn install(plane: &Plane, tls: &Loopback, ec2: &str, http_port: u16) -> Result<Self> {
        let certs = plane.folder.join("webhook");
        std::fs::create_dir_all(&certs)?;
        std::fs::write(certs.join("tls.crt"), &tls.cert)?;
        std::fs::write(certs.join("tls.key"), &tls.key)?;
        std::fs::write(certs.join("ca.crt"), &tls.ca)?;
        let webhook_port = free_port()?;
        let namespace = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": RELEASE, "labels": {LABEL: "played"}},
        });
        plane.apply(&serde_yaml::to_string(&namespace)?).await?;
        run(plane.helm()
            .args(["upgrade", "--install", RELEASE])
            .arg(root().join("charts/primetime"))
            .args(["--namespace", RELEASE])
            .args(["--set", "clusterName=tests", "--set", "replicas=0"])
            .args([
                "--set",
                "roles.aggregate=true,machines.enabled=true,jobs.enabled=true,degrade.configMaps={shop-flags},degrade.httpRoutes={shop}",
            ])
            .args([
                "--set",
                &format!("webhook.url=https://{}:{webhook_port}/validate", plane.callback),
            ])
            .arg(format!("--set-file=webhook.caCert={}", certs.join("ca.crt").display()))
            .arg(format!("--set-file=webhook.cert={}", certs.join("tls.crt").display()))
            .arg(format!("--set-file=webhook.key={}", certs.join("tls.key").display())))
        .await?;
        let mut operator = Self {
            kubeconfig: plane.kubeconfig_of(RELEASE, RELEASE).await?,
            folder: plane.folder.clone(),
            certs,
            webhook: format!("{}:{webhook_port}", plane.listen()),
            http_port,
            feeds_port: free_port()?,
            ec2: ec2.to_owned(),
            identity: "primetime-0".to_owned(),
            process: None,
        };
        operator.start().await?;
        Ok(operator)
    }

    /// Starts a second replica, which waits for the Lease. The API server never calls the webhook
    /// of the second replica.
    ///
    /// # Errors
    ///
    /// Returns an error if the second replica is not ready within 30 s.
    pub async fn standby(&self) -> Result<Self> {
        let mut standby = Self {
            kubeconfig: self.kubeconfig.clone(),
            folder: self.folder.join("standby"),
            certs: self.certs.clone(),
            webhook: format!("127.0.0.1:{}", free_port()?),
            http_port: free_port()?,
            feeds_port: self.feeds_port,
            ec2: self.ec2.clone(),
            identity: "primetime-1".to_owned(),
            process: None,
        };
        standby.start().await?;
        Ok(standby)
    }

    /// Sends SIGTERM to the operator, as Kubernetes does, and waits at most 15 s for the exit.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not run, does not exit in time, or exits with a
    /// failure.
    pub async fn terminate(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the operator does not run")?;
        process.terminate().await
    }

    /// True if the operator reports the metric `primetime_leader` as 1.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not answer.
    pub async fn leads(&self) -> Result<bool> {
        Ok(self.metrics().await?.lines().any(|l| l == "primetime_leader 1"))
    }

    /// Starts or restarts the operator.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator is not ready within 30 s. The error contains the end of the
    /// log.
    pub async fn start(&mut self) -> Result<()> {
        let process = Process::start(
            &self.folder,
            "primetime",
            command(built("primetime")?)
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                .env("KUBECONFIG", &self.kubeconfig)
                .env("POD_NAMESPACE", RELEASE)
                .env("POD_NAME", &self.identity)
                .env("AWS_ACCESS_KEY_ID", "test")
                .env("AWS_SECRET_ACCESS_KEY", SECRET)
                .env("AWS_EC2_METADATA_DISABLED", "true")
                .args([
                    "--cluster-name",
                    "tests",
                    "--aws-region",
                    "eu-west-3",
                    "--aws-endpoint-url",
                    &self.ec2,
                ])
                .args(["--http-address", &format!("127.0.0.1:{}", self.http_port)])
                .args(["--webhook-address", &self.webhook])
                .arg("--webhook-cert-dir")
                .arg(&self.certs)
                .args(["--machines=true", "--jobs=true"])
                .args(["--degrade-config-map=shop-flags", "--degrade-http-route=shop"])
                .args(["--calendar-url", &format!("http://127.0.0.1:{}/feeds/", self.feeds_port)])
                // Shorter delays of the operator match the scaled clock of the evening.
                .args([
                    "--delete-grace-seconds",
                    &DELETE_GRACE.to_string(),
                    "--settle-seconds",
                    "2",
                    "--cloud-interval-seconds",
                    "1",
                    "--log-format",
                    "text",
                ])
                .args(["--log", "info,primetime_k8s=debug"]),
        )?;
        self.process = Some(process);
        let ready = format!("http://127.0.0.1:{}/readyz", self.http_port);
        let became_ready =
            wait_for("the operator to be ready", Duration::from_secs(30), || async {
                fetch(&ready).await.map(Some)
            });
        match (became_ready.await, self.process.as_mut()) {
            (Err(error), Some(process)) => Err(error.context(process.tail())),
            (result, _) => result.map(|_| ()),
        }
    }

    /// Returns the whole log of the operator, including earlier starts.
    ///
    /// # Errors
    ///
    /// Returns an error if the log cannot be read.
    pub fn logged(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.folder.join("primetime.log"))?)
    }

    /// Kills the operator with SIGKILL, as a crash does.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Kills and restarts the operator.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator cannot be killed, or is not ready within 30 s.
    pub async fn crash(&mut self) -> Result<()> {
        self.kill().await?;
        self.start().await
    }

    /// Returns the resident memory in MiB (`VmRSS`).
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not run, or `/proc` has no `VmRSS` of the process.
    pub fn resident_mib(&self) -> Result<f64> {
        let id =
            self.process.as_ref().and_then(Process::id).context("the operator does not run")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// Returns the text of `/metrics`.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not answer.
    pub async fn metrics(&self) -> Result<String> {
        fetch(&format!("http://127.0.0.1:{}/metrics", self.http_port)).await
    }
}
