//! Benchmark of a reconcile pass over a large namespace: 1,000 Deployments with 1,000 HPAs, held by
//! 20 runs.
//!
//! The benchmark changes a `Deployment` in each round, and times the snapshot of the cache and the
//! plan separately. A second namespace with a tenth of the targets shows growth: a time ratio far
//! above ten means quadratic cost.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant as Watch};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use primetime_api::{SurgeRun, run_record};
use primetime_core::output::Record;
use primetime_core::plan::plan;
use primetime_core::state::announcement::Workload;
use primetime_core::state::hold::HoldRecord;
use primetime_core::state::observed::{Autoscaler, AutoscalerKind};
use primetime_core::state::world::World;
use primetime_k8s::cache::scalers::Scaler;
use primetime_k8s::cache::store::Cache;
use primetime_k8s::cache::store::Replicas;
use primetime_k8s::cache::table::Table;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Targets of one run.
const TARGETS: usize = 50;

/// Rounds: the result is the median.
const ROUNDS: usize = 51;

/// Durations of the snapshot (`look`) and of the plan.
struct Cost {
    look: Duration,
    plan: Duration,
}

fn workload(n: usize) -> Workload {
    let (api_version, kind) = ("apps/v1".to_owned(), "Deployment".to_owned());
    Workload { api_version, kind, name: format!("web-{n}") }
}

fn run(number: usize, now: DateTime<Utc>) -> Result<SurgeRun> {
    let targets: Vec<Value> = (number * TARGETS..(number + 1) * TARGETS)
        .map(|n| {
            json!({
                "name": format!("web-{n}"), "replicas": 20, "maxReplicas": 40, "leadSeconds": 300,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": format!("web-{n}")},
            })
        })
        .collect();
    let at = |minutes| (now + TimeDelta::minutes(minutes)).to_rfc3339();
    let object = json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun",
        "metadata": {
            "name": format!("run-{number}"), "namespace": "shop", "uid": format!("uid-{number}"),
            "finalizers": [primetime_api::FINALIZER],
        },
        "spec": {
            "readyTime": at(-10), "startTime": at(0), "endTime": at(120),
            "release": {"stepPercent": 20, "stepSeconds": 120}, "targets": targets,
        },
    });
    Ok(serde_json::from_value(object)?)
}

/// Builds the HPA of the n-th workload with the given bounds.
fn scaler(n: usize, min: Option<u32>, max: Option<u32>) -> Scaler {
    let kind = AutoscalerKind::HorizontalPodAutoscaler;
    let bounds = Autoscaler { kind, name: format!("web-{n}"), min, max, idle: None };
    Scaler {
        target: workload(n),
        bounds,
        generated: false,
        paused: false,
        kept_at: None,
        never_scales_down: false,
        written_by: None,
    }
}

/// A workload with 20 replicas, of which `ready` pods are ready.
fn replicas_of(ready: u32) -> Replicas {
    let pods = Arc::default();
    Replicas {
        wanted: 20,
        ready,
        rolling: false,
        written_by: None,
        created: 20,
        pods,
        failure: None,
    }
}

/// Takes the snapshot of the namespace as the reconciler does.
fn look(cache: &mut Cache, now: DateTime<Utc>) -> World {
    let world = cache.world("shop", "bench", now, now);
    World { reached: cache.observe("shop", &world, now), ..world }
}

/// Plans until the planner writes no further record, as the shell does, and then times further
/// passes.
///
/// The function keeps the set-up and the measurement together, so that the set-up stays outside the
/// timed section.
fn cost(runs: usize, now: DateTime<Utc>) -> Result<Cost> {
    let mut index = Cache::default();
    let key = |name: String| ("shop".to_owned(), name);
    let (count, kind) = (runs * TARGETS, ("apps/v1".to_owned(), "Deployment".to_owned()));
    let mut replicas = Table::default();
    replicas.relist();
    index.hpas.relist();
    for n in 0..count {
        let seen = replicas_of(20);
        replicas.apply(key(format!("web-{n}")), seen, "1".to_owned());
        index.hpas.apply(key(format!("web-{n}")), scaler(n, Some(10), Some(60)), "1".to_owned());
    }
    replicas.relisted();
    index.hpas.relisted();
    index.workloads.insert(kind, replicas);
    for number in 0..runs {
        let record = run_record(&run(number, now)?);
        index.runs.apply(key(format!("run-{number}")), record, "1".to_owned());
    }
    let mut version = 1;
    loop {
        version += 1;
        let planned = plan(&look(&mut index, now), now);
        if planned.records.is_empty() {
            break;
        }
        for record in planned.records {
            match record {
                Record::CreateHold { name, hold } | Record::UpdateHold { name, hold } => {
                    let n = hold.target_ref.name.trim_start_matches("web-").parse()?;
                    let scaler = scaler(n, hold.level.min, hold.level.max);
                    let record = HoldRecord { name: name.clone(), hold: *hold, deleting: false };
                    index.holds.apply(key(name), Ok(record.into()), version.to_string());
                    index.hpas.apply(key(format!("web-{n}")), scaler, version.to_string());
                }
                Record::RunStatus { run, status, .. } => {
                    let before = index.runs.get(&key(run.clone())).context("a run")?;
                    let mut record = (*before.value).clone();
                    record.status = *status;
                    index.runs.apply(key(run), record, version.to_string());
                }
                Record::AddFinalizer { run } => {
                    let before = index.runs.get(&key(run.clone())).context("a run")?;
                    let mut record = (*before.value).clone();
                    (record.guarded, record.collected) = (true, false);
                    index.runs.apply(key(run), record, version.to_string());
                }
                _ => {}
            }
        }
        anyhow::ensure!(version < 100, "it does not come to rest");
    }
    let (mut looks, mut plans) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        version += 1;
        let ready = if round % 2 == 0 { 19 } else { 20 };
        let seen = replicas_of(ready);
        let kind = ("apps/v1".to_owned(), "Deployment".to_owned());
        let table = index.workloads.get_mut(&kind).context("Deployments")?;
        table.apply(key("web-7".to_owned()), seen, version.to_string());
        let watch = now_is();
        let world = black_box(look(&mut index, now));
        looks.push(watch.elapsed());
        let watch = now_is();
        black_box(plan(&world, now));
        plans.push(watch.elapsed());
    }
    Ok(Cost { look: median(looks), plan: median(plans) })
}

fn now_is() -> Watch {
    #[expect(clippy::disallowed_methods, reason = "a benchmark")]
    Watch::now()
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort();
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

fn main() -> Result<()> {
    let now: DateTime<Utc> = "2031-01-12T20:00:00Z".parse()?;
    let (small, large) = (cost(2, now)?, cost(20, now)?);
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    for (targets, cost) in [(100, &small), (1_000, &large)] {
        println!(
            "bench: {targets:5} targets under as many HPAs, after one change: look {:.2} ms, plan {:.2} ms, together {:.2} ms",
            milliseconds(cost.look),
            milliseconds(cost.plan),
            milliseconds(cost.look + cost.plan)
        );
    }
    let ratio = (large.look + large.plan).as_secs_f64() / (small.look + small.plan).as_secs_f64();
    println!("  ten times the targets take {ratio:.1} times as long");
    Ok(())
}
