//! Flags, environment and chart values: one set of names.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use primetime_core::state::ladder::Object;

use crate::feeds::Below;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The Primetime operator.
#[derive(Clone, Debug, Parser)]
#[command(name = "primetime", version = version(), about)]
pub struct Args {
    /// Distinguishes the instances of this cluster from those of others in the same account.
    #[arg(long, env = "PRIMETIME_CLUSTER_NAME", value_parser = name)]
    pub cluster_name: String,

    /// Namespace of this process, for its Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub namespace: String,

    /// Name of this process in the Lease.
    #[arg(long, env = "POD_NAME", default_value = "primetime")]
    pub identity: String,

    /// Run for leader; without it, exactly one process may run.
    #[arg(long, env = "PRIMETIME_LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,

    /// Where probes and metrics are served.
    #[arg(long, env = "PRIMETIME_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    pub http_address: SocketAddr,

    /// Where the admission webhook is served.
    #[arg(long, env = "PRIMETIME_WEBHOOK_ADDRESS", default_value = "0.0.0.0:9443")]
    pub webhook_address: SocketAddr,

    /// Folder with tls.crt and tls.key of the webhook; without it there is none.
    #[arg(long, env = "PRIMETIME_WEBHOOK_CERT_DIR")]
    pub webhook_cert_dir: Option<PathBuf>,

    /// AWS region; from the environment where absent.
    #[arg(long, env = "PRIMETIME_AWS_REGION")]
    pub aws_region: Option<String>,

    /// Another EC2 endpoint than AWS's own.
    #[arg(long, env = "PRIMETIME_AWS_ENDPOINT_URL")]
    pub aws_endpoint_url: Option<String>,

    /// Seconds after the start, or after becoming leader, in which nothing is lowered.
    #[arg(long, env = "PRIMETIME_SETTLE_SECONDS", default_value_t = 120)]
    pub settle_seconds: u32,

    /// Seconds after the deletion of a surge, or of a run, in which nothing is lowered because of it: the surge may be created
    /// again, as `kubectl replace --force` does.
    #[arg(long, env = "PRIMETIME_DELETE_GRACE_SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(..=86_400))]
    pub delete_grace_seconds: u32,

    /// Seconds between two questions to the cloud about the instances of a run.
    #[arg(long, env = "PRIMETIME_CLOUD_INTERVAL_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub cloud_interval_seconds: u32,

    /// Jobs may be created from the templates that surges name: the right to do so has been granted.
    #[arg(long, env = "PRIMETIME_JOBS", default_value_t = false, action = clap::ArgAction::Set)]
    pub jobs: bool,

    /// A `ConfigMap` that steps of a ladder of degradation may write, by name and in any namespace; may be repeated, or be
    /// several with commas between them: the right to do so has been granted.
    #[arg(
        long = "degrade-config-map",
        env = "PRIMETIME_DEGRADE_CONFIG_MAPS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub degrade_config_maps: Vec<String>,

    /// An `HTTPRoute` of the Gateway API that steps of a ladder of degradation may write, by name and in any namespace; may be
    /// repeated, or be several with commas between them: the right to do so has been granted.
    #[arg(
        long = "degrade-http-route",
        env = "PRIMETIME_DEGRADE_HTTP_ROUTES",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub degrade_http_routes: Vec<String>,

    /// A folder with time zone data that counts instead of the bundled one, such as /usr/share/zoneinfo.
    #[arg(long, env = "PRIMETIME_ZONEINFO")]
    pub zoneinfo: Option<PathBuf>,

    /// An address below which feeds of calendars may be; may be repeated, or be several with commas between them. Without
    /// any, calendars are read from config maps only.
    #[arg(
        long = "calendar-url",
        env = "PRIMETIME_CALENDAR_URLS",
        value_delimiter = ',',
        value_name = "HTTPS://HOST/FOLDER/"
    )]
    pub calendar_urls: Vec<Below>,

    /// What is logged: a level, or tracing directives.
    #[arg(long, env = "PRIMETIME_LOG", default_value = "info")]
    pub log: String,

    /// How log lines look.
    #[arg(long, env = "PRIMETIME_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

impl Args {
    /// What steps of a ladder of degradation may write.
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

/// A tag value that people can read.
fn name(text: &str) -> Result<String, String> {
    let fits = (1..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b));
    if fits { Ok(text.to_owned()) } else { Err("1 to 100 letters, digits, and -_./:".to_owned()) }
}
