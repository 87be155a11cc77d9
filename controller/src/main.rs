//! The Primetime operator: wiring only.

mod args;
mod clock;
mod cloud;
mod feeds;
mod http;
mod metrics;
mod webhook;

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

fn main() -> ExitCode {
    let args = Args::parse();
    log(&args);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "the runtime could not be started");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The client logs the body of an answer that it cannot decode as a warning, and such a body may have secrets in it. So it
/// reports errors only, whatever the level of the rest is, unless a directive names it.
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

/// A client whose calls are bounded here and not by up to 15 retries of its own, and whose answers tell the time.
async fn client(server_time: &ServerTime) -> Result<Client> {
    let mut config = Config::infer().await.context("no kubeconfig and not in a cluster")?;
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    let client = ClientBuilder::try_from(config)
        .context("the API server's address or credentials cannot be used")?;
    Ok(client.with_layer(server_time).build())
}

/// Wires the process. One list: each part is made once, and the first one that ends stops all the others.
async fn run(args: Args) -> Result<()> {
    // Only ring is compiled in; a second provider would make this fail at start and not at 20:59.
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

    let http = http::serve(args.http_address, shared.clone(), metrics, leadership.clone()).await?;
    let webhook = match &args.webhook_cert_dir {
        Some(folder) => Some(
            webhook::serve(
                args.webhook_address,
                folder,
                client.clone(),
                shared.clone(),
                clock.clone(),
            )
            .await?,
        ),
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
    let feeds = Arc::new(HttpFeeds::new(args.calendar_urls));
    let calendars =
        calendars::run(client.clone(), shared.clone(), feeds, clock.clone(), leadership.clone());
    tokio::select! {
        () = watch::everything(client.clone(), shared.clone()) => anyhow::bail!("the watches have ended"),
        () = engine.clone().run() => anyhow::bail!("the engine has ended"),
        () = engine.clone().tell_events() => anyhow::bail!("the events have ended"),
        () = engine.watch_cloud() => anyhow::bail!("the cloud watch has ended"),
        () = signals::run(shared, Arc::new(Prometheus::default()), clock) => anyhow::bail!("the signals have ended"),
        () = calendars => anyhow::bail!("the calendars have ended"),
        () = election => anyhow::bail!("this process does not lead any more; a fresh one takes its place"),
        result = http => result.context("the HTTP server has ended"),
        result = webhook_or_never(webhook) => result.context("the webhook has ended"),
        () = stopped() => {
            info!("stops; capacity stays as it is");
            lease::give_up(client, &candidate, &leadership).await;
            Ok(())
        }
    }
}

/// What of the engine is set by flags.
fn settings(args: &Args) -> Settings {
    Settings {
        cluster: args.cluster_name.clone(),
        settle: chrono::TimeDelta::seconds(i64::from(args.settle_seconds)),
        cloud_interval: Duration::from_secs(u64::from(args.cloud_interval_seconds)),
        delete_grace: chrono::TimeDelta::seconds(i64::from(args.delete_grace_seconds)),
        heartbeat: HEARTBEAT,
    }
}

/// Runs for leader, or never ends where this process leads alone.
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

async fn webhook_or_never(webhook: Option<impl Future<Output = Result<()>>>) -> Result<()> {
    match webhook {
        Some(webhook) => webhook.await,
        None => std::future::pending().await,
    }
}

/// SIGTERM, or Ctrl-C.
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
