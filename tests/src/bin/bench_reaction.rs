//! Reaction time of the operator to a jump of the load, on a real API server.
//!
//! The benchmark runs a single surge above an HPA and a load that jumps 200 times. The measured
//! time begins with the first Prometheus answer that has the new load. The measured time ends when
//! a watch sees the new `spec.replicas`. A bare loop that patches `/scale` gives the time for
//! comparison.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::State;
use axum::response::Json;
use axum::routing::post;
use chrono::{TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use primetime_tests::evening::{SHOP, folder};
use primetime_tests::operator::Operator;
use primetime_tests::plane::{Existing, Options, Plane};
use primetime_tests::process::{free_port, run};
use primetime_tests::tls::Loopback;
use primetime_tests::tools::Tools;
use primetime_tests::wait::wait_for;
use primetime_tests::workload::{autoscaler, deployment, surge};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Jumps of the load.
const JUMPS: u32 = 200;
/// Load per replica (`spec.signals[].perReplica`).
const EACH: u32 = 100;
/// Replicas before the first jump. Each jump needs two replicas more, and the last jump needs ten
/// times as many.
const PODS: u32 = 10;

/// A Prometheus that answers every query with the current load, and records the time of the first
/// answer with that load.
#[derive(Clone, Default)]
struct Told {
    load: Arc<Mutex<(u32, Option<Instant>)>>,
}

impl Told {
    fn with<T>(&self, f: impl FnOnce(&mut (u32, Option<Instant>)) -> T) -> T {
        f(&mut self.load.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn open(&self) -> Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/api/v1/query", post(answer)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(url)
    }

    fn jump(&self, load: u32) {
        self.with(|told| *told = (load, None));
    }

    /// Returns the time of the first answer since the last jump.
    fn at(&self) -> Option<Instant> {
        self.with(|told| told.1)
    }
}

async fn answer(State(told): State<Told>) -> Json<Value> {
    let load = told.with(|(load, first)| {
        first.get_or_insert_with(Instant::now);
        *load
    });
    let value = json!([Utc::now().timestamp(), load.to_string()]);
    Json(json!({"status": "success", "data": {
        "resultType": "vector", "result": [{"metric": {}, "value": value}],
    }}))
}

/// Watches the Deployment `web` and sends each new value of `spec.replicas` with the time of the
/// watch event.
fn watch(api: Api<Deployment>) -> mpsc::UnboundedReceiver<(Instant, u32)> {
    let (tell, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let params = WatchParams::default().fields("metadata.name=web");
        let mut events = api.watch(&params, "0").await?.boxed();
        let mut last = None;
        while let Some(event) = events.try_next().await? {
            let (WatchEvent::Added(it) | WatchEvent::Modified(it)) = event else { continue };
            let asked = it.spec.and_then(|spec| u32::try_from(spec.replicas?).ok());
            if asked != last {
                last = asked;
                if let Some(asked) = asked {
                    tell.send((Instant::now(), asked)).ok();
                }
            }
        }
        anyhow::Ok(())
    });
    seen
}

/// Waits until `spec.replicas` reaches `pods`, at most 30 s between two changes.
///
/// Returns the time of the watch event and the number of changes.
async fn reached(
    seen: &mut mpsc::UnboundedReceiver<(Instant, u32)>,
    pods: u32,
) -> Result<(Instant, usize)> {
    let mut steps = 0;
    loop {
        let next = tokio::time::timeout(Duration::from_secs(30), seen.recv()).await;
        let (at, asked) = next
            .with_context(|| format!("{pods} pods were not asked for"))?
            .context("the watch ended")?;
        steps += 1;
        if asked >= pods {
            return Ok((at, steps));
        }
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

fn show(what: &str, times: &mut [Duration]) -> Duration {
    let [half, most, all] = [50, 99, 100].map(|percent| percentile(times, percent));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("  {what}: p50 {:.1} ms, p99 {:.1} ms, last {:.1} ms", ms(half), ms(most), ms(all));
    half
}

/// Measures a bare loop that patches `/scale` `JUMPS` times, from the start of each patch to the
/// watch event.
async fn bare(
    api: &Api<Deployment>,
    seen: &mut mpsc::UnboundedReceiver<(Instant, u32)>,
    from: u32,
) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for n in 1..=JUMPS {
        let began = Instant::now();
        let patch = Patch::Merge(json!({"spec": {"replicas": from + n}}));
        api.patch_scale("web", &PatchParams::default(), &patch).await?;
        times.push(reached(seen, from + n).await?.0 - began);
    }
    Ok(times)
}

#[tokio::main]
async fn main() -> Result<()> {
    ensure!(
        Existing::from_env().is_none(),
        "the benchmark measures a control plane of its own: unset PRIMETIME_TEST_CONTEXT"
    );
    let tools = Tools::ensure().await?;
    let options = Options { controllers: false, kubelets: false, ..Options::own() };
    let plane = Plane::start(&tools, &folder("bench-reaction"), &options).await?;
    let tls = Loopback::new(&plane.callback)?;
    let operator = Operator::install(&plane, &tls, "http://127.0.0.1:9", free_port()?).await?;
    let told = Told::default();
    told.jump(PODS * EACH);
    run(plane.kubectl().args(["create", "namespace", SHOP])).await?;
    let source = json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "MetricsSource", "metadata": {"name": "main"},
        "spec": {"url": told.open().await?, "intervalSeconds": 1, "timeoutSeconds": 5, "maxSampleAgeSeconds": 60},
    });
    let start = Utc::now() + TimeDelta::seconds(20);
    let mut event = surge("jumps", "web", start, 3_600, PODS);
    event["spec"]["targets"][0]["maxReplicas"] = 10_000.into();
    event["spec"]["signals"] = json!([{
        "name": "load", "metricsSourceRef": {"name": "main"}, "target": "it", "query": "load",
        "perReplica": EACH.to_string(), "lookAheadSeconds": 0,
    }]);
    for object in [source, deployment("web", PODS), autoscaler("web", (PODS, 20), EACH), event] {
        plane.apply(&serde_yaml::to_string(&object)?).await?;
    }
    let api: Api<Deployment> = Api::namespaced(plane.client.clone(), SHOP);
    let mut seen = watch(api.clone());
    wait_for("the event to begin", Duration::from_secs(60), || async {
        Ok((Utc::now() > start && told.at().is_some()).then_some(()))
    })
    .await?;
    reached(&mut seen, PODS).await?;

    println!("bench: dev profile, {JUMPS} jumps of a load above an HPA, asked for once a second");
    let (mut waited, mut times) = (Vec::new(), Vec::new());
    for n in 1..=JUMPS {
        let (pods, jumped) = (PODS + 2 * n, Instant::now());
        told.jump(pods * EACH);
        let (at, steps) = reached(&mut seen, pods).await?;
        ensure!(steps == 1, "{steps} writes for one jump");
        let first = told.at().context("it was told")?;
        waited.push(first - jumped);
        times.push(at - first);
    }
    show("from the jump, right after a question, to the next one", &mut waited);
    let ours = show("from Prometheus' answer to the write (goal: p99 100 ms)", &mut times);
    let from = PODS + 2 * JUMPS;
    told.jump(from * 10 * EACH);
    let (at, steps) = reached(&mut seen, from * 10).await?;
    let took = at - told.at().context("it was told")?;
    println!(
        "  ten times the load: {from} -> {} pods in {steps} write, {:.1} ms",
        from * 10,
        took.as_secs_f64() * 1e3
    );
    drop(operator);
    let bare = show("a bare write", &mut bare(&api, &mut seen, from * 10).await?);
    println!("  median: {:.1} x a bare write", ours.as_secs_f64() / bare.as_secs_f64());
    plane.end()
}
