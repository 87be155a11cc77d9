//! The operator under test: Helm installs the chart, and the binary runs with exactly the account and rights it creates.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::plane::{LABEL, Plane};
use crate::process::{Process, command, free_port, run};
use crate::prometheus::fetch;
use crate::tls::Loopback;
use crate::tools::{Tools, built, root};
use crate::wait::wait_for;

/// Namespace and name of the release.
pub const RELEASE: &str = "primetime";

/// Seconds in which a deletion lowers nothing: two minutes, scaled as the evening is.
pub const DELETE_GRACE: i64 = 10;

/// The operator's key to the cloud: it must not be read anywhere.
pub const SECRET: &str = "canary-that-never-sings";

/// The operator, outside of the cluster but with nothing more than its account inside.
#[derive(Debug)]
pub struct Operator {
    kubeconfig: PathBuf,
    folder: PathBuf,
    certs: PathBuf,
    webhook: String,
    /// Port of probes and metrics.
    pub http_port: u16,
    /// Port at which it may fetch feeds of calendars.
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
    /// If Helm fails or the operator does not become ready.
    pub async fn install(
        tools: &Tools,
        plane: &Plane,
        tls: &Loopback,
        ec2: &str,
        http_port: u16,
    ) -> Result<Self> {
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
        run(command(tools.path("helm"))
            .arg("--kubeconfig")
            .arg(plane.kubeconfig("admin"))
            .args(["upgrade", "--install", RELEASE])
            .arg(root().join("charts/primetime"))
            .args(["--namespace", RELEASE])
            .args(["--set", "clusterName=tests", "--set", "replicas=0"])
            .args([
                "--set",
                "jobs.enabled=true,degrade.configMaps={shop-flags},degrade.httpRoutes={shop}",
            ])
            .args([
                "--set",
                &format!("webhook.url=https://{}:{webhook_port}/validate", plane.callback),
            ])
            .arg(format!("--set-file=webhook.caCert={}", certs.join("ca.crt").display()))
            .arg(format!("--set-file=webhook.cert={}", certs.join("tls.crt").display()))
            .arg(format!("--set-file=webhook.key={}", certs.join("tls.key").display()))
            .env("HELM_CACHE_HOME", plane.folder.join("helm"))
            .env("HELM_CONFIG_HOME", plane.folder.join("helm"))
            .env("HELM_DATA_HOME", plane.folder.join("helm")))
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

    /// A second replica, which waits for the lease. Its webhook is never asked.
    ///
    /// # Errors
    ///
    /// If it does not become ready.
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

    /// Asks the operator to stop, as Kubernetes does, and waits until it has.
    ///
    /// # Errors
    ///
    /// If it does not stop, or not cleanly.
    pub async fn terminate(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the operator does not run")?;
        process.terminate().await
    }

    /// Whether it says of itself that it leads.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub async fn leads(&self) -> Result<bool> {
        Ok(self.metrics().await?.lines().any(|l| l == "primetime_leader 1"))
    }

    /// Starts the operator, or starts it again.
    ///
    /// # Errors
    ///
    /// If it does not become ready.
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
                .arg("--jobs=true")
                .args(["--degrade-config-map=shop-flags", "--degrade-http-route=shop"])
                .args(["--calendar-url", &format!("http://127.0.0.1:{}/feeds/", self.feeds_port)])
                // The evening's clock is scaled; so is the operator's patience.
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

    /// Everything it has logged, in all its lives.
    ///
    /// # Errors
    ///
    /// If it has logged nothing.
    pub fn logged(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.folder.join("primetime.log"))?)
    }

    /// Kills the operator as a crash would: SIGKILL.
    ///
    /// # Errors
    ///
    /// If it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Kills the operator and starts it again.
    ///
    /// # Errors
    ///
    /// If it does not come back.
    pub async fn crash(&mut self) -> Result<()> {
        self.kill().await?;
        self.start().await
    }

    /// Its resident memory in MiB.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn resident_mib(&self) -> Result<f64> {
        let id =
            self.process.as_ref().and_then(Process::id).context("the operator does not run")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// Its metrics.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        fetch(&format!("http://127.0.0.1:{}/metrics", self.http_port)).await
    }
}
