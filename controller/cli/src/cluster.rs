//! Which cluster and namespace, by the flags that kubectl users know; and the plugin's one clock.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use primetime_core::Instant;
use primetime_core::reference;

/// Where to look.
#[derive(Debug, clap::Args)]
pub struct Where {
    /// Namespace [default: that of the context].
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, global = true)]
    all_namespaces: bool,
    /// Path of the kubeconfig file.
    #[arg(long, global = true)]
    kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig.
    #[arg(long, global = true)]
    context: Option<String>,
    /// Namespace of the operator, whose Lease says which one leads.
    #[arg(long, global = true, env = "PRIMETIME_NAMESPACE", default_value = "primetime")]
    operator_namespace: String,
}

/// A connection.
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// The namespace that is meant.
    pub namespace: String,
    /// All of them are meant.
    pub all: bool,
    /// The namespace of the operator.
    pub operator_namespace: String,
}

impl Where {
    /// An error with the context of the kubeconfig in front: a wrong context is the usual reason for a wrong name.
    pub fn named(&self, why: anyhow::Error) -> anyhow::Error {
        if crate::screen::is_closed(&why) {
            return why;
        }
        let file = self.kubeconfig.as_ref().map_or_else(Kubeconfig::read, Kubeconfig::read_from);
        let current = || file.ok().and_then(|file| file.current_context);
        match self.context.clone().or_else(current) {
            Some(context) => why.context(format!("context {context}")),
            None => why,
        }
    }

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
        for (flag, name) in [("-n", &namespace), ("--operator-namespace", &self.operator_namespace)]
        {
            reference::name(name).map_err(|why| anyhow::anyhow!("{flag}: {why}"))?;
        }
        Ok(Cluster {
            client: Client::try_from(config)?,
            namespace,
            all: self.all_namespaces,
            operator_namespace: self.operator_namespace.clone(),
        })
    }
}

impl Cluster {
    /// Fails where the namespace that is meant does not exist. Where that may not be asked, nothing is concluded.
    pub async fn has_namespace(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = tokio::time::timeout(PATIENCE, namespaces.get_opt(&self.namespace)).await;
        match found {
            Ok(Ok(None)) if !self.all => bail!("there is no namespace \"{}\"", self.namespace),
            _ => Ok(()),
        }
    }

    /// The namespace that is meant, in words.
    pub fn place(&self) -> String {
        if self.all { "any namespace".to_owned() } else { format!("namespace {}", self.namespace) }
    }
}

/// No call takes longer: on-call is waiting at 21:04.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The result of a call, or one sentence on why there is none.
pub async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(value)) => Ok(value),
        // The API server says so of a kind that it does not serve.
        Ok(Err(kube::Error::Api(status))) if status.message.trim() == "404 page not found" => {
            bail!("Primetime is not installed in this cluster: its kinds are not served")
        }
        Ok(Err(kube::Error::Api(status))) => bail!("{}", status.message),
        Ok(Err(error)) => Err(error).context("the API server does not answer"),
        Err(_) => bail!("the API server does not answer within {} s", PATIENCE.as_secs()),
    }
}

/// The plugin's clock.
#[expect(clippy::disallowed_methods, reason = "the plugin's one place")]
pub fn now() -> Instant {
    chrono::Utc::now()
}
