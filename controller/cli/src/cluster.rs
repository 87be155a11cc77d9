//! Cluster and namespace of a command, from the usual flags of kubectl, and the clock of the
//! plugin.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use primetime_core::Instant;
use primetime_core::reference;

/// Flags that select the cluster and the namespace.
#[derive(Debug, clap::Args)]
pub struct Where {
    /// Namespace [default: namespace of the kubeconfig context].
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
    /// Namespace of the operator, which contains the Lease of the leading operator.
    #[arg(long, global = true, env = "PRIMETIME_NAMESPACE", default_value = "primetime")]
    operator_namespace: String,
}

/// Connection to a cluster, with the selected namespace.
pub struct Cluster {
    /// Client for the API server.
    pub client: Client,
    /// Selected namespace.
    pub namespace: String,
    /// True if the user selected all namespaces.
    pub all: bool,
    /// Namespace of the operator.
    pub operator_namespace: String,
}

impl Where {
    /// True if the user selected all namespaces.
    pub fn all(&self) -> bool {
        self.all_namespaces
    }

    /// Adds the context of the kubeconfig to an error. A wrong context is the usual cause of an
    /// unknown name.
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

    /// Connects to the cluster of the flags, of the kubeconfig, or of the Pod's service account.
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
    /// Returns an error if the selected namespace does not exist. If the API server refuses the
    /// read or does not answer, the function returns `Ok`.
    pub async fn has_namespace(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = tokio::time::timeout(PATIENCE, namespaces.get_opt(&self.namespace)).await;
        match found {
            Ok(Ok(None)) if !self.all => bail!("there is no namespace \"{}\"", self.namespace),
            _ => Ok(()),
        }
    }

    /// Returns the selected namespace in words, for messages.
    pub fn place(&self) -> String {
        if self.all { "any namespace".to_owned() } else { format!("namespace {}", self.namespace) }
    }
}

/// Timeout of every call to the API server. The plugin fails fast, because on-call waits for the
/// answer during an event.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Returns the result of a call, or an error with a sentence on the cause. Causes are a refusal by
/// the API server, no connection, or the timeout [`PATIENCE`].
pub async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(value)) => Ok(value),
        // The API server answers "404 page not found" if no `CustomResourceDefinition` of Primetime
        // is installed.
        Ok(Err(kube::Error::Api(status))) if status.message.trim() == "404 page not found" => {
            bail!("Primetime is not installed in this cluster: its kinds are not served")
        }
        Ok(Err(kube::Error::Api(status))) => bail!("{}", status.message),
        Ok(Err(error)) => Err(error).context("the API server does not answer"),
        Err(_) => bail!("the API server does not answer within {} s", PATIENCE.as_secs()),
    }
}

/// Returns the current time. The plugin reads the clock only here.
#[expect(clippy::disallowed_methods, reason = "the plugin's one place")]
pub fn now() -> Instant {
    chrono::Utc::now()
}
