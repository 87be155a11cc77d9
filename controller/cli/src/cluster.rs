//! Which cluster and namespace, by the flags that kubectl users know; and the plugin's one clock.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use primetime_core::Instant;

/// Where to look.
#[derive(Debug, clap::Args)]
pub struct Where {
    /// Namespace; that of the kubeconfig's context where absent.
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, global = true)]
    all_namespaces: bool,
    /// Path of the kubeconfig.
    #[arg(long, global = true)]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, global = true)]
    context: Option<String>,
}

/// A connection.
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// The namespace that is meant.
    pub namespace: String,
    /// All of them are meant.
    pub all: bool,
}

impl Where {
    /// Connects.
    pub async fn connect(&self) -> Result<Cluster> {
        let options =
            KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &self.kubeconfig {
            Some(path) => {
                let file =
                    Kubeconfig::read_from(path).with_context(|| path.display().to_string())?;
                Config::from_custom_kubeconfig(file, &options).await
            }
            None if self.context.is_some() => Config::from_kubeconfig(&options).await,
            None => return self.inferred().await,
        }
        .context("the kubeconfig cannot be used")?;
        config.default_retry = false;
        self.cluster(config)
    }

    async fn inferred(&self) -> Result<Cluster> {
        let mut config =
            Config::infer().await.context("no kubeconfig; set KUBECONFIG or --kubeconfig")?;
        config.default_retry = false;
        self.cluster(config)
    }

    fn cluster(&self, config: Config) -> Result<Cluster> {
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Cluster { client: Client::try_from(config)?, namespace, all: self.all_namespaces })
    }
}

/// No call takes longer: somebody is waiting at 21:04.
pub async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T> {
    match tokio::time::timeout(Duration::from_secs(10), call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) => bail!("{}", status.message),
        Ok(Err(error)) => Err(error).context("the API server does not answer"),
        Err(_) => bail!("the API server does not answer within 10 s"),
    }
}

/// The plugin's clock.
#[expect(clippy::disallowed_methods, reason = "the plugin's one place")]
pub fn now() -> Instant {
    chrono::Utc::now()
}
