//! Command-line flags. Environment variables and chart values use the same names.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use primetime_core::reference;
use primetime_core::state::ladder::Object;

use crate::feeds::Below;
use crate::webhook::certificate::{Made, Source};

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Plain text.
    Text,
}

/// The Primetime operator.
#[derive(Clone, Debug, Parser)]
#[command(name = "primetime", version = version(), about)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the chart")]
pub struct Args {
    /// Name of the cluster in the tags of all instances. The name distinguishes clusters that share
    /// an AWS account.
    #[arg(long, env = "PRIMETIME_CLUSTER_NAME", value_parser = name)]
    pub cluster_name: String,

    /// Namespace of this process and of the Lease for leader election.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub namespace: String,

    /// Name of this process as holder of the Lease.
    #[arg(long, env = "POD_NAME", default_value = "primetime")]
    pub identity: String,

    /// Take part in leader election. If false, exactly one process may run.
    #[arg(long, env = "PRIMETIME_LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,

    /// Address and port for probes and metrics.
    #[arg(long, env = "PRIMETIME_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    pub http_address: SocketAddr,

    /// Address and port for the admission webhook.
    #[arg(long, env = "PRIMETIME_WEBHOOK_ADDRESS", default_value = "0.0.0.0:9443")]
    pub webhook_address: SocketAddr,

    /// Folder with tls.crt and tls.key for the admission webhook. If absent, the operator serves no
    /// webhook.
    #[arg(long, env = "PRIMETIME_WEBHOOK_CERT_DIR")]
    pub webhook_cert_dir: Option<PathBuf>,

    /// Secret in the namespace of the operator with tls.crt and tls.key for the admission webhook.
    /// The leader fills an empty Secret, and renews what it made. Not allowed with
    /// --webhook-cert-dir.
    #[arg(
        long,
        env = "PRIMETIME_WEBHOOK_SECRET",
        conflicts_with = "webhook_cert_dir",
        requires = "webhook_service"
    )]
    pub webhook_secret: Option<String>,

    /// Name of the Service of the webhook, and of the `ValidatingWebhookConfiguration` that trusts
    /// the certificate.
    #[arg(long, env = "PRIMETIME_WEBHOOK_SERVICE")]
    pub webhook_service: Option<String>,

    /// Further DNS name or IP address for the certificate that the leader makes. The flag accepts
    /// several names, separated by commas or as repeated flags.
    #[arg(
        long = "webhook-name",
        env = "PRIMETIME_WEBHOOK_NAMES",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub webhook_names: Vec<String>,

    /// AWS region. Defaults to the region in the environment.
    #[arg(long, env = "PRIMETIME_AWS_REGION")]
    pub aws_region: Option<String>,

    /// URL of the EC2 endpoint. Defaults to the endpoint of AWS.
    #[arg(long, env = "PRIMETIME_AWS_ENDPOINT_URL")]
    pub aws_endpoint_url: Option<String>,

    /// Seconds after the start, or after becoming leader, in which the operator lowers nothing.
    #[arg(long, env = "PRIMETIME_SETTLE_SECONDS", default_value_t = 120)]
    pub settle_seconds: u32,

    /// Seconds after the deletion of a surge or run in which the operator lowers nothing because of
    /// the deletion. The grace allows for a surge that `kubectl replace --force` deletes and
    /// creates again. Maximum 86400.
    #[arg(long, env = "PRIMETIME_DELETE_GRACE_SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(..=86_400))]
    pub delete_grace_seconds: u32,

    /// Seconds between two queries to the cloud for the instances of a run. Minimum 1.
    #[arg(long, env = "PRIMETIME_CLOUD_INTERVAL_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub cloud_interval_seconds: u32,

    /// List pods of a target while some are missing, to say why. The operator needs the RBAC permission
    /// to list pods and Events.
    #[arg(long, env = "PRIMETIME_PODS", default_value_t = true, action = clap::ArgAction::Set)]
    pub pods: bool,

    /// Launch machines for surges. The operator needs the RBAC permission to watch and cordon Nodes
    /// and to evict pods.
    #[arg(long, env = "PRIMETIME_MACHINES", default_value_t = true, action = clap::ArgAction::Set)]
    pub machines: bool,

    /// Kind that may be a target, as API group and kind, such as apps/Deployment. The flag accepts
    /// several kinds, separated by commas or as repeated flags. If absent, the operator tries every
    /// kind, and the RBAC permissions decide.
    #[arg(
        long = "scalable-kind",
        env = "PRIMETIME_SCALABLE_KINDS",
        value_delimiter = ',',
        value_name = "GROUP/KIND",
        value_parser = group_kind
    )]
    pub scalable_kinds: Vec<(String, String)>,

    /// Create Jobs from the templates that surges name. The operator needs the RBAC permission to
    /// create Jobs.
    #[arg(long, env = "PRIMETIME_JOBS", default_value_t = false, action = clap::ArgAction::Set)]
    pub jobs: bool,

    /// Name of a `ConfigMap` that degradation steps may write in any namespace. The flag accepts
    /// several names, separated by commas or as repeated flags. The operator needs the RBAC
    /// permission to write the `ConfigMap`.
    #[arg(
        long = "degrade-config-map",
        env = "PRIMETIME_DEGRADE_CONFIG_MAPS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub degrade_config_maps: Vec<String>,

    /// Name of an `HTTPRoute` of the Gateway API that degradation steps may write in any namespace.
    /// The flag accepts several names, separated by commas or as repeated flags. The operator needs
    /// the RBAC permission to write the `HTTPRoute`.
    #[arg(
        long = "degrade-http-route",
        env = "PRIMETIME_DEGRADE_HTTP_ROUTES",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub degrade_http_routes: Vec<String>,

    /// Folder with time zone data to use instead of the bundled data, such as /usr/share/zoneinfo.
    #[arg(long, env = "PRIMETIME_ZONEINFO")]
    pub zoneinfo: Option<PathBuf>,

    /// URL prefix of allowed calendar feeds. The flag accepts several prefixes, separated by commas
    /// or as repeated flags. If absent, the operator reads calendars from a `ConfigMap` only.
    #[arg(
        long = "calendar-url",
        env = "PRIMETIME_CALENDAR_URLS",
        value_delimiter = ',',
        value_name = "HTTPS://HOST/FOLDER/"
    )]
    pub calendar_urls: Vec<Below>,

    /// Log filter: a level, or tracing directives.
    #[arg(long, env = "PRIMETIME_LOG", default_value = "info")]
    pub log: String,

    /// Format of log lines.
    #[arg(long, env = "PRIMETIME_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

impl Args {
    /// Returns the source of the webhook's certificate, or `None` if the operator serves no
    /// webhook.
    pub fn webhook(&self) -> Option<Source> {
        if let Some(folder) = &self.webhook_cert_dir {
            return Some(Source::Folder(folder.clone()));
        }
        let (secret, service) = (self.webhook_secret.clone()?, self.webhook_service.clone()?);
        let namespace = self.namespace.clone();
        let name = format!("{service}.{namespace}.svc");
        let mut names = vec![name.clone(), format!("{name}.cluster.local")];
        names.extend(self.webhook_names.iter().cloned());
        Some(Source::Secret(Made { namespace, secret, configuration: service, names }))
    }

    /// Returns the objects that degradation steps may write.
    pub fn may_degrade(&self) -> BTreeSet<Object> {
        let maps = self.degrade_config_maps.iter().cloned().map(Object::ConfigMap);
        let routes = self.degrade_http_routes.iter().cloned().map(Object::HttpRoute);
        maps.chain(routes).collect()
    }
}

fn version() -> &'static str {
    use std::sync::OnceLock;
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        format!("{} (tzdb {})", env!("CARGO_PKG_VERSION"), primetime_core::schedule::tzdb_version())
    })
}

/// Parses a tag value for `--cluster-name`: 1 to 100 letters, digits and `-_./:`.
fn name(text: &str) -> Result<String, String> {
    let fits = (1..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b));
    if fits { Ok(text.to_owned()) } else { Err("1 to 100 letters, digits, and -_./:".to_owned()) }
}

/// Parses an API group and a kind for `--scalable-kind`. A kind of the core group has no group.
fn group_kind(text: &str) -> Result<(String, String), String> {
    let (group, kind) = text.rsplit_once('/').unwrap_or(("", text));
    reference::kind(kind)?;
    if !group.is_empty() {
        reference::name(group)?;
    }
    Ok((group.to_owned(), kind.to_owned()))
}
