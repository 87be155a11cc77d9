//! A real Prometheus that scrapes the shop and the operator every second.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::process::{Process, command, free_port};
use crate::tools::{Tools, root};
use crate::wait::wait_for;

/// A running or killed Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    /// URL of the Prometheus.
    pub url: String,
    port: u16,
    folder: PathBuf,
    tools: Tools,
    process: Option<Process>,
}

/// Fetches a page of a server on loopback.
///
/// # Errors
///
/// Returns an error if the server does not answer, the status is not 2xx, or the body is not UTF-8.
pub async fn fetch(url: &str) -> Result<String> {
    let client: Client<HttpConnector, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let response = client.get(url.parse()?).await.with_context(|| url.to_owned())?;
    let status = response.status();
    let body = String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?;
    if status.is_success() { Ok(body) } else { bail!("{url}: {status}: {body}") }
}

impl Prometheus {
    /// Starts a Prometheus that scrapes the ports `site` and `operator`.
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration cannot be written, or Prometheus is not ready within
    /// 30 s.
    pub async fn start(tools: &Tools, folder: &Path, site: u16, operator: u16) -> Result<Self> {
        let config = serde_json::json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [root().join("charts/primetime/rules/primetime.yaml")],
            "scrape_configs": [
                {"job_name": "shop", "static_configs": [{"targets": [format!("127.0.0.1:{site}")]}]},
                {"job_name": "primetime", "static_configs": [{"targets": [format!("127.0.0.1:{operator}")]}]},
            ],
        });
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("prometheus.yaml"), serde_yaml::to_string(&config)?)?;
        let port = free_port()?;
        let mut prometheus = Self {
            url: format!("http://127.0.0.1:{port}"),
            port,
            folder: folder.into(),
            tools: tools.clone(),
            process: None,
        };
        prometheus.resume().await?;
        Ok(prometheus)
    }

    /// Starts Prometheus, or restarts Prometheus on the same data and port.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus is not ready within 30 s.
    pub async fn resume(&mut self) -> Result<()> {
        let process = Process::start(
            &self.folder,
            "prometheus",
            command(self.tools.path("prometheus"))
                .arg(format!("--config.file={}", self.folder.join("prometheus.yaml").display()))
                .arg(format!("--storage.tsdb.path={}", self.folder.join("prometheus").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{}", self.port)),
        )?;
        self.process = Some(process);
        let ready = format!("{}/-/ready", self.url);
        wait_for("Prometheus", Duration::from_secs(30), || async { fetch(&ready).await.map(Some) })
            .await?;
        Ok(())
    }

    /// Kills Prometheus with SIGKILL.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Returns the series that an instant query selects.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not answer, or refuses the query.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let mut encoded = String::new();
        for byte in query.bytes() {
            write!(encoded, "%{byte:02X}")?;
        }
        let body = fetch(&format!("{}/api/v1/query?query={encoded}", self.url)).await?;
        let answer: Value = serde_json::from_str(&body)?;
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }
}
