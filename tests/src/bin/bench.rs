//! Write latency, memory and idle load of the operator, measured as ratios within a single run.
//!
//! The benchmark compares 500 writes that fall due at the same instant with a bare load generator.
//! Operator and generator use 32 connections each to the same API server. A second part measures
//! resident memory and idle requests with 1,000 surges.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use primetime_api::{
    ObjectRef, OverrideAction, ScheduledSurge, SurgeHold, SurgeOverride, SurgeOverrideSpec,
    SurgeRun,
};
use primetime_tests::capital;
use primetime_tests::evening::folder;
use primetime_tests::operator::Operator;
use primetime_tests::plane::{Existing, Options, Plane};
use primetime_tests::process::{free_port, run};
use primetime_tests::tls::Loopback;
use primetime_tests::tools::Tools;
use primetime_tests::wait::wait_until;
use serde_json::json;

/// Writes to targets that fall due at the same instant.
const WRITES: usize = 500;
/// Concurrent requests of the operator: `AT_ONCE` of the reconciler.
const CONNECTIONS: usize = 32;
/// Targets per surge. The schema allows 64 items in `spec.targets`.
const PER_SURGE: usize = 50;
/// Rounds of the benchmark. Each round runs the bare generator and the operator in turn; the
/// summary prints the medians.
const ROUNDS: usize = 5;
/// Surges of the idle measurement. Each surge starts 30 days later.
const IDLE_SURGES: usize = 1000;
/// Period over which the benchmark counts idle requests.
const IDLE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    ensure!(
        Existing::from_env().is_none(),
        "the benchmark measures a control plane of its own: unset PRIMETIME_TEST_CONTEXT"
    );
    let tools = Tools::ensure().await?;
    let options = Options { controllers: false, ..Options::own() };
    let plane = Plane::start(&tools, &folder("bench"), &options).await?;
    let tls = Loopback::new(&plane.callback)?;
    let mut operator = Operator::install(&plane, &tls, "http://127.0.0.1:9", free_port()?).await?;
    println!("bench: dev profile, {CONNECTIONS} connections, {WRITES} writes, {ROUNDS} rounds");
    let (mut ratios, mut same_ratios) = (Vec::new(), Vec::new());
    let (mut lateness, mut per_object) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let bare = bare_generator(&plane, round).await?;
        let ours = known_before(&plane, &operator, round).await?;
        let (together, records) = (ours.together.as_secs_f64(), ours.bare_records.as_secs_f64());
        ratios.push(together / bare.as_secs_f64());
        same_ratios.push(together / (bare.as_secs_f64() + records));
        lateness.push(ours.last_late_ms);
        per_object.push(ours.writes_per_object);
        println!(
            "  round {round}: bare generator {:.0} ms, and {:.0} ms for as many records; known before: last write {:+.0} ms after T, \
             {:.3} writes per object; boosted together: last write {:.0} ms after the overrides, {:.2} x bare writes, {:.2} x bare writes and records",
            bare.as_secs_f64() * 1e3,
            records * 1e3,
            ours.last_late_ms,
            ours.writes_per_object,
            together * 1e3,
            together / bare.as_secs_f64(),
            together / (bare.as_secs_f64() + records)
        );
    }
    println!(
        "  median: known before {:+.0} ms after T (goal +20), {:.3} writes per object and edge (goal 1.02); not known before: {:.2} x the \
         bare generator's writes (goal 1.15), {:.2} x its writes and records",
        median(&mut lateness),
        median(&mut per_object),
        median(&mut ratios),
        median(&mut same_ratios)
    );
    idle(&plane, &mut operator).await
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Creates a namespace and `count` Deployments in that namespace, with `spec.replicas: 1`.
async fn deployments(plane: &Plane, namespace: &str, count: usize) -> Result<()> {
    run(plane.kubectl().args(["create", "namespace", namespace])).await?;
    let api: Api<Deployment> = Api::namespaced(plane.client.clone(), namespace);
    stream::iter(0..count)
        .map(|n| {
            let api = api.clone();
            async move {
                let name = format!("w-{n:04}");
                let deployment: Deployment = serde_json::from_value(json!({
                    "metadata": {"name": name},
                    "spec": {
                        "replicas": 1,
                        "selector": {"matchLabels": {"app": name}},
                        "template": {
                            "metadata": {"labels": {"app": name}},
                            "spec": {"containers": [{"name": "c", "image": "x"}]},
                        },
                    },
                }))?;
                api.create(&PostParams::default(), &deployment).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(CONNECTIONS)
        .try_collect::<()>()
        .await
}

/// Measures the bare load generator: `WRITES` patches of `/scale` with at most `CONNECTIONS`
/// requests in flight.
async fn bare_generator(plane: &Plane, round: usize) -> Result<Duration> {
    let namespace = format!("bare-{round}");
    deployments(plane, &namespace, WRITES).await?;
    let api: Api<Deployment> = Api::namespaced(plane.client.clone(), &namespace);
    // The generator opens all connections before the measurement, because the connections of the
    // operator are open too.
    stream::iter(0..CONNECTIONS)
        .for_each_concurrent(CONNECTIONS, |n| {
            let api = api.clone();
            async move {
                let _ = api.get(&format!("w-{n:04}")).await;
            }
        })
        .await;
    let started = Instant::now();
    stream::iter(0..WRITES)
        .map(|n| {
            let api = api.clone();
            async move {
                let patch = Patch::Merge(json!({"spec": {"replicas": 5}}));
                api.patch_scale(&format!("w-{n:04}"), &PatchParams::default(), &patch).await
            }
        })
        .buffer_unordered(CONNECTIONS)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    Ok(started.elapsed())
}

/// Measures how long a bare loop takes to patch every `SurgeHold` of a namespace.
///
/// The operator persists a hold before each effect, so the duration is the minimum cost of the
/// records.
async fn bare_records(plane: &Plane, namespace: &str) -> Result<Duration> {
    let api: Api<SurgeHold> = Api::namespaced(plane.client.clone(), namespace);
    let holds = api.list(&ListParams::default()).await?.items;
    ensure!(holds.len() == WRITES, "{} holds", holds.len());
    let started = Instant::now();
    stream::iter(holds)
        .map(|hold| {
            let api = api.clone();
            async move {
                let patch = Patch::Merge(json!({"metadata": {"labels": {"bench": "bare"}}}));
                api.patch(&hold.name_any(), &PatchParams::default(), &patch).await
            }
        })
        .buffer_unordered(CONNECTIONS)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    let took = started.elapsed();
    // The pause lets the operator process the watch events of all patched holds before the next
    // measurement.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(took)
}

struct Known {
    /// Time from the creation of ten overrides to the last of the 500 resulting writes, records
    /// included.
    together: Duration,
    /// Time in which the bare generator writes the same number of records.
    bare_records: Duration,
    last_late_ms: f64,
    writes_per_object: f64,
}

/// Builds surge number `part` for `PER_SURGE` Deployments. The writes to the Deployments fall due
/// at `due`.
fn surge(namespace: &str, part: usize, due: DateTime<Utc>, lead: u32) -> Result<ScheduledSurge> {
    let mut surge = capital::shifted(due + TimeDelta::seconds(i64::from(lead)), 60)?;
    surge.metadata.namespace = Some(namespace.to_owned());
    surge.metadata.name = Some(format!("s-{part}"));
    let spec = &mut surge.spec;
    spec.event.machines.clear();
    spec.event.signals.clear();
    spec.ready_before_seconds = 0;
    let pattern = spec.event.targets.first().context("the example has a target")?.clone();
    spec.event.targets = (part * PER_SURGE..(part + 1) * PER_SURGE)
        .map(|n| {
            let mut target = pattern.clone();
            target.name = format!("w-{n:04}");
            target.scale_target_ref.name.clone_from(&target.name);
            target.replicas = Some(5);
            target.max_replicas = Some(10);
            target.lead_seconds = lead;
            target
        })
        .collect();
    Ok(surge)
}

/// Values of `spec.replicas` in the order of the watch events, each with the time of the event.
type Sightings = Arc<Mutex<Vec<(i32, DateTime<Utc>)>>>;

/// A watch on the Deployments of a namespace and the values of `spec.replicas` in its events.
struct Seen {
    at: Sightings,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    async fn watch(plane: &Plane, namespace: &str) -> Result<Self> {
        let api: Api<Deployment> = Api::namespaced(plane.client.clone(), namespace);
        let version =
            api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
        let at = Sightings::default();
        let sink = at.clone();
        let task = tokio::spawn(async move {
            let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
            while let Some(event) = events.try_next().await? {
                if let WatchEvent::Modified(d) = event {
                    let replicas = d.spec.as_ref().and_then(|s| s.replicas).unwrap_or(0);
                    sink.lock().expect("lock").push((replicas, Utc::now()));
                }
            }
            Ok(())
        });
        Ok(Self { at, task })
    }

    /// Waits until `WRITES` watch events show `replicas`, at most 90 s.
    ///
    /// Returns the times of the first and of the last of the matching events.
    async fn all(&self, replicas: i32) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
        let at = || {
            let seen = self.at.lock().expect("lock");
            seen.iter().filter(|(r, _)| *r == replicas).map(|(_, at)| *at).collect::<Vec<_>>()
        };
        wait_until("the writes", Duration::from_secs(90), || {
            let count = at().len();
            async move { Ok((count >= WRITES, format!("{count} of {WRITES}"))) }
        })
        .await?;
        let mut at = at();
        at.sort();
        Ok((*at.first().context("none")?, *at.get(WRITES - 1).context("too few")?))
    }
}

/// Creates ten boost overrides at once, which cause 500 records and 500 writes.
///
/// The operator cannot prepare the writes in advance. Returns the time from the first override to
/// the last write.
async fn boosted(plane: &Plane, namespace: &str, seen: &Seen) -> Result<Duration> {
    let api: Api<SurgeOverride> = Api::namespaced(plane.client.clone(), namespace);
    let sent = Utc::now();
    stream::iter(0..WRITES / PER_SURGE)
        .map(|part| {
            let api = api.clone();
            async move {
                let spec = SurgeOverrideSpec {
                    surge_ref: ObjectRef { name: format!("s-{part}") },
                    action: OverrideAction::Boost,
                    step: None,
                    target: None,
                    replicas: Some(8),
                    percent: None,
                    reason: "benchmark".to_owned(),
                    expire_time: Utc::now() + TimeDelta::minutes(1),
                    author: None,
                };
                let one = SurgeOverride::new(&format!("boost-{part}"), spec);
                api.create(&PostParams::default(), &one).await
            }
        })
        .buffer_unordered(CONNECTIONS)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    let (_, last) = seen.all(8).await?;
    run(plane.kubectl().args(["delete", "overrides", "--all", "-n", namespace])).await?;
    Ok((last - sent).to_std()?)
}

/// Measures 500 writes that the operator knows 40 s in advance, by the time at which a watch sees
/// each write.
async fn known_before(plane: &Plane, operator: &Operator, round: usize) -> Result<Known> {
    let namespace = format!("known-{round}");
    deployments(plane, &namespace, WRITES).await?;
    let lead = 3600;
    let due = DateTime::from_timestamp(Utc::now().timestamp() + 40, 0).context("now")?;
    let surges: Api<ScheduledSurge> = Api::namespaced(plane.client.clone(), &namespace);
    for part in 0..WRITES / PER_SURGE {
        surges.create(&PostParams::default(), &surge(&namespace, part, due, lead)?).await?;
    }
    let seen = Seen::watch(plane, &namespace).await?;
    let before = writes(&operator.metrics().await?);
    let (_, last) = seen.all(5).await?;
    // The pause lets the watch see a second write to the same object, if the operator makes a
    // second write.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = writes(&operator.metrics().await?);
    let bare_records = bare_records(plane, &namespace).await?;
    let together = boosted(plane, &namespace, &seen).await?;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let known = Known {
        together,
        bare_records,
        last_late_ms: (last - due).num_microseconds().unwrap_or(0) as f64 / 1e3,
        writes_per_object: (after - before) / WRITES as f64,
    };
    run(plane.kubectl().args(["delete", "surges", "--all", "-n", &namespace, "--wait=false"]))
        .await?;
    // The plane runs no garbage collector, so the benchmark deletes the runs itself. The benchmark
    // does not measure the release.
    run(plane.kubectl().args(["delete", "runs", "--all", "-n", &namespace, "--wait=false"]))
        .await?;
    let runs: Api<SurgeRun> = Api::namespaced(plane.client.clone(), &namespace);
    wait_until("the round to be given back", Duration::from_secs(120), || async {
        let left = runs.list(&ListParams::default()).await?.items;
        Ok((left.is_empty(), left.iter().map(ResourceExt::name_any).collect::<Vec<_>>().join(", ")))
    })
    .await?;
    Ok(known)
}

/// Returns the number of successful writes to targets, from `primetime_operations_total` in the
/// operator's metrics.
fn writes(metrics: &str) -> f64 {
    let line = metrics.lines().find(|l| {
        l.starts_with("primetime_operations_total")
            && l.contains("operation=\"write\"")
            && l.contains("outcome=\"ok\"")
    });
    line.and_then(|l| l.rsplit(' ').next()).and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

/// Returns the sum of `apiserver_request_total` over all verbs but `WATCH`. The sum includes the
/// requests that the API server sends to itself.
async fn requests(client: &Client) -> Result<f64> {
    let text = client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let counted = text
        .lines()
        .filter(|l| l.starts_with("apiserver_request_total") && !l.contains("verb=\"WATCH\""));
    Ok(counted.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

async fn requests_per_minute(client: &Client) -> Result<f64> {
    let before = requests(client).await?;
    tokio::time::sleep(IDLE).await;
    Ok((requests(client).await? - before) * 60.0 / IDLE.as_secs_f64())
}

/// Measures resident memory and requests per minute with 1,000 surges that start in 30 days.
async fn idle(plane: &Plane, operator: &mut Operator) -> Result<()> {
    let empty = operator.resident_mib()?;
    deployments(plane, "idle", PER_SURGE).await?;
    let surges: Api<ScheduledSurge> = Api::namespaced(plane.client.clone(), "idle");
    let due = Utc::now() + TimeDelta::days(30);
    stream::iter(0..IDLE_SURGES)
        .map(|n| {
            let surges = surges.clone();
            async move {
                let mut one = surge("idle", 0, due, 3600)?;
                one.metadata.name = Some(format!("idle-{n:04}"));
                one.spec.event.targets.truncate(10);
                surges.create(&PostParams::default(), &one).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(CONNECTIONS)
        .try_collect::<()>()
        .await?;
    let runs: Api<SurgeRun> = Api::namespaced(plane.client.clone(), "idle");
    wait_until("1,000 runs to be planned", Duration::from_secs(300), || async {
        let planned = runs.list(&ListParams::default()).await?.items;
        let with_status = planned.iter().filter(|r| r.status.is_some()).count();
        Ok((with_status == IDLE_SURGES, with_status.to_string()))
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let full = operator.resident_mib()?;
    let with = requests_per_minute(&plane.client).await?;
    operator.kill().await?;
    let without = requests_per_minute(&plane.client).await?;
    println!(
        "  {IDLE_SURGES} idle surges of 10 targets: {full:.0} MiB resident ({empty:.0} MiB before); {:.0} requests a minute ({with:.0} with the operator, {without:.0} without)",
        with - without
    );
    ensure!(full > 0.0);
    Ok(())
}
