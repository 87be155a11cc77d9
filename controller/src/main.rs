//! The Primetime operator: start of the process, and wiring of all parts.

mod args;
mod clock;
mod cloud;
mod feeds;
mod http;
mod listen;
mod metrics;
mod secrets;
mod uninstall;
mod webhook;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use primetime_core::port::Clock;
use primetime_core::schedule;
use primetime_k8s::calendars;
use primetime_k8s::call;
use primetime_k8s::lease;
use primetime_k8s::lease::{Candidate, Leadership};
use primetime_k8s::reconciler::{HEARTBEAT, Reconciler, Settings};
use primetime_k8s::server_time::ServerTime;
use primetime_k8s::shared::Shared;
use primetime_k8s::signals;
use primetime_k8s::watch;
use primetime_k8s::zoneinfo;
use primetime_prom::Prometheus;
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

use crate::args::{Args, LogFormat};
use crate::clock::SystemClock;
use crate::feeds::HttpFeeds;
use crate::metrics::Metrics;
use crate::secrets::NamedSecrets;
use crate::uninstall::Uninstall;
use crate::webhook::certificate::{Keeper, Source};

/// Name of the subcommand that the chart runs before an uninstallation.
const UNINSTALL: &str = "uninstall";

fn main() -> ExitCode {
    // The operator has required flags that the subcommand has not, so each has a parser of its own.
    let mut words = std::env::args_os().skip(1).peekable();
    if words.peek().is_some_and(|word| word == UNINSTALL) {
        let what = Uninstall::parse_from(words);
        let result = block_on(uninstall::run(&what));
        return result.map_or_else(
            |why| {
                eprintln!("{why:#}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    let args = Args::parse();
    log(&args);
    match block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a future to its end.
fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("the runtime could not be started")?.block_on(work)
}

/// Adds `kube_client=error` to the log directives unless a directive names `kube_client`.
///
/// The client logs the body of an undecodable response as a warning, and the body may contain
/// secrets.
fn log_directives(said: &str) -> String {
    if said.contains("kube_client") { said.to_owned() } else { format!("{said},kube_client=error") }
}

fn log(args: &Args) {
    let filter = EnvFilter::try_new(log_directives(&args.log)).unwrap_or_else(|error| {
        eprintln!("--log {}: {error}; info is used", args.log);
        EnvFilter::new(log_directives("info"))
    });
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.with_ansi(false).init(),
    }
}

/// Creates a client for the API server, without the built-in retries (up to 15). The operator
/// bounds each call with a timeout instead. [`ServerTime`] reads the server's clock from each
/// response.
async fn client(server_time: &ServerTime) -> Result<Client> {
    let mut config = Config::infer().await.context("no kubeconfig and not in a cluster")?;
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    let client = ClientBuilder::try_from(config)
        .context("the API server's address or credentials cannot be used")?;
    Ok(client.with_layer(server_time).build())
}

/// Starts all parts of the process and waits until the first part ends. The other parts then stop
/// too.
///
/// The function is long because the process has each part once.
async fn run(args: Args) -> Result<()> {
    // Install `ring`, the only compiled-in provider, at start. A second provider without an
    // installed default would make `rustls` fail at the first connection.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(folder) = &args.zoneinfo {
        zoneinfo::mount(folder).with_context(|| format!("--zoneinfo {}", folder.display()))?;
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let server_time = ServerTime::of(clock.clone());
    let client = client(&server_time).await?;
    let version = call::bounded(client.apiserver_version())
        .await
        .context("the API server does not answer")?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        tzdb = schedule::tzdb_version(),
        kubernetes = version.git_version,
        cluster = args.cluster_name,
        "primetime starts"
    );
    let shared = Shared::default();
    shared.with(|cache| {
        cache.may_launch = args.machines;
        cache.may_look_at_pods = args.pods;
        cache.scalable = args.scalable_kinds.iter().cloned().collect();
        cache.may_run_jobs = args.jobs;
        cache.may_degrade = args.may_degrade();
    });
    let metrics = Arc::new(Metrics::new()?);
    let cloud = cloud::open(&args).await;
    let candidate = Candidate {
        namespace: args.namespace.clone(),
        name: "primetime".to_owned(),
        identity: args.identity.clone(),
    };
    let leadership =
        if args.leader_elect { Leadership::default() } else { Leadership::alone(clock.now()) };
    let engine = Reconciler::new(
        client.clone(),
        shared.clone(),
        cloud,
        clock.clone(),
        leadership.clone(),
        server_time,
        &args.identity,
        settings(&args),
        metrics.clone(),
    );

    let http =
        http::serve(args.http_address, shared.clone(), metrics, leadership.clone(), engine.clone())
            .await?;
    let webhook = match args.webhook() {
        Some(source) => {
            let (client, clock) = (client.clone(), clock.clone());
            Some(
                webhook(args.webhook_address, source, client, shared.clone(), clock, &leadership)
                    .await?,
            )
        }
        None => None,
    };
    let election = election(
        args.leader_elect,
        client.clone(),
        candidate.clone(),
        leadership.clone(),
        clock.clone(),
        shared.clone(),
    );
    let secrets = Arc::new(NamedSecrets::of(client.clone(), &args.namespace));
    let feeds = Arc::new(HttpFeeds::new(args.calendar_urls));
    let calendars =
        calendars::run(client.clone(), shared.clone(), feeds, clock.clone(), leadership.clone());
    tokio::select! {
        () = watch::everything(client.clone(), shared.clone()) => anyhow::bail!("the watches have ended"),
        () = engine.clone().run() => anyhow::bail!("the engine has ended"),
        () = engine.clone().tell_events() => anyhow::bail!("the events have ended"),
        () = engine.watch_cloud() => anyhow::bail!("the cloud watch has ended"),
        () = signals::run(shared, Arc::new(Prometheus::new(secrets)), clock) => anyhow::bail!("the signals have ended"),
        () = calendars => anyhow::bail!("the calendars have ended"),
        () = election => anyhow::bail!("this process does not lead any more; a fresh one takes its place"),
        () = http => anyhow::bail!("the HTTP server has ended"),
        () = webhook_or_never(webhook) => anyhow::bail!("the webhook has ended"),
        () = stopped() => {
            info!("stops; capacity stays as it is");
            lease::give_up(client, &candidate, &leadership).await;
            Ok(())
        }
    }
}

/// Returns the settings of the reconciler that flags define.
fn settings(args: &Args) -> Settings {
    Settings {
        cluster: args.cluster_name.clone(),
        settle: chrono::TimeDelta::seconds(i64::from(args.settle_seconds)),
        cloud_interval: Duration::from_secs(u64::from(args.cloud_interval_seconds)),
        delete_grace: chrono::TimeDelta::seconds(i64::from(args.delete_grace_seconds)),
        heartbeat: HEARTBEAT,
    }
}

/// Runs the leader election until this process loses the Lease. The function never returns if
/// `--leader-elect` is false.
async fn election(
    elect: bool,
    client: Client,
    candidate: Candidate,
    leadership: Leadership,
    clock: Arc<dyn Clock>,
    shared: Shared,
) {
    if !elect {
        return std::future::pending().await;
    }
    lease::run(client, candidate, leadership, clock, || shared.notify()).await;
}

/// Opens the webhook. Returns a future that serves the reviews and keeps the certificate current.
async fn webhook(
    address: SocketAddr,
    source: Source,
    client: Client,
    shared: Shared,
    clock: Arc<dyn Clock>,
    leadership: &Leadership,
) -> Result<impl Future<Output = ()> + use<>> {
    let opened = Keeper::open(source, client.clone(), leadership.clone(), clock.clone()).await;
    let (keeper, tls) = opened?;
    let served = webhook::serve(address, tls, client, shared, clock).await?;
    Ok(async move {
        tokio::join!(served, keeper.run());
    })
}

async fn webhook_or_never(webhook: Option<impl Future<Output = ()>>) {
    match webhook {
        Some(webhook) => webhook.await,
        None => std::future::pending().await,
    }
}

/// Waits for SIGTERM or Ctrl-C.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
