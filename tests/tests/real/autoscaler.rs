//! Floors under the real HPA: special cases of the HPA algorithm, each with a separate workload, in
//! a single evening.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::Api;
use primetime_core::state::run::Stage;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::plane::Options;
use primetime_tests::recorder::{Asked, Recorder};
use primetime_tests::workload::{autoscaler, deployment, surge};

/// Name, replicas, bounds of the HPA, sessions per pod (of 2,000 sessions), replicas of the surge,
/// replicas after the event.
type Case = (&'static str, u32, (u32, u32), u32, u32, i32);

const CASES: [Case; 6] = [
    // The HPA is disabled while the workload has 0 replicas, so `spec.minReplicas` has no effect.
    // After the surge has enabled the HPA, the HPA stays enabled.
    ("asleep", 0, (2, 20), 1_000, 8, 2),
    // The HPA does not scale while the load is within the tolerance of 10 %. The tolerance does not
    // apply to `spec.minReplicas`.
    ("nine", 9, (9, 200), 1_000, 10, 9),
    ("eighty-eight", 88, (88, 200), 1_000, 89, 88),
    ("adjoining", 4, (4, 40), 1_000, 12, 4),
    // The load needs 5 pods when the run releases the floor of 50.
    ("cliff", 5, (3, 60), 400, 50, 5),
    // The HPA would remove 30 pods at once if the run restored the maximum of 20 while 50 pods run.
    ("capped", 10, (10, 20), 200, 50, 10),
];

/// Duration of the event in seconds.
const SECONDS: u32 = 20;

async fn bounds(evening: &Evening, name: &str) -> Result<(i32, i32)> {
    let hpas: Api<HorizontalPodAutoscaler> = Api::namespaced(evening.client(), SHOP);
    let spec = hpas.get(name).await?.spec.context("no spec")?;
    Ok((spec.min_replicas.unwrap_or(1), spec.max_replicas))
}

/// Returns the replicas at `from`, and all later values before `until`.
fn within(all: &[(DateTime<Utc>, i32)], from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<i32> {
    let stood = all.iter().rfind(|(at, _)| *at <= from);
    let changed = all.iter().filter(|(at, _)| *at > from && *at < until);
    stood.into_iter().chain(changed).map(|(_, replicas)| *replicas).collect()
}

/// Adds an HPA, whose load needs two pods, to a workload that a run already holds.
async fn late_comer(evening: &Evening, start: DateTime<Utc>) -> Result<()> {
    let objects = [deployment("late", 4), surge("late", "late", start, SECONDS, 12)];
    let texts = objects.iter().map(serde_yaml::to_string).collect::<Result<Vec<_>, _>>()?;
    evening.plane.apply(&texts.join("\n---\n")).await?;
    evening
        .until("the workload to be held", 60, |e| async move {
            let replicas = e.replicas("late").await?;
            Ok((replicas == 12, format!("{replicas} of 12")))
        })
        .await?;
    let hpa = autoscaler("late", (2, 30), 1_000);
    evening.plane.apply(&serde_yaml::to_string(&hpa)?).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_is_reached_exactly_and_given_back_without_a_fall() -> Result<()> {
    let evening = Evening::begin("autoscaler", &Options::own(), |what| eprintln!("{what}")).await?;
    let mut objects = Vec::new();
    for (name, replicas, bounds, per_pod, ..) in CASES {
        objects.push(serde_yaml::to_string(&deployment(name, replicas))?);
        objects.push(serde_yaml::to_string(&autoscaler(name, bounds, per_pod))?);
    }
    evening.plane.apply(&objects.join("\n---\n")).await?;
    for (name, replicas, ..) in CASES {
        evening
            .until("the workloads to be there", 60, |e| async move {
                let ready = e.ready(name).await?;
                Ok((ready == i32::try_from(replicas)?, format!("{name} has {ready} pods")))
            })
            .await?;
    }

    let recorder = Recorder::start(&evening.client());
    let start = Utc::now() + TimeDelta::seconds(25);
    let (t0, end) = (start - TimeDelta::seconds(5), start + TimeDelta::seconds(SECONDS.into()));
    let mut surges = Vec::new();
    for (name, _, _, _, floor, _) in CASES {
        surges.push(serde_yaml::to_string(&surge(name, name, start, SECONDS, floor))?);
    }
    // The surge `afterwards` begins when the surge of `adjoining` ends.
    surges.push(serde_yaml::to_string(&surge("afterwards", "adjoining", end, SECONDS, 12))?);
    evening.plane.apply(&surges.join("\n---\n")).await?;
    late_comer(&evening, start).await?;
    let all: Vec<&str> = CASES.iter().map(|case| case.0).chain(["afterwards", "late"]).collect();
    evening
        .until("every event to be over", 180, |e| {
            let all = &all;
            async move {
                let mut left = Vec::new();
                for name in all {
                    let status = e.status(name).await?;
                    if status.stage != Stage::Done {
                        left.push(format!("{name} is {:?}: {}", status.stage, status.message));
                    }
                }
                Ok((left.is_empty(), left.join("; ")))
            }
        })
        .await?;

    for (name, _, (min, max), _, floor, rest) in CASES {
        let floor = i32::try_from(floor)?;
        let asked = recorder.replicas(name);
        let during = within(&asked, t0, end);
        ensure!(during == [floor], "{name} from T0 to its end: {during:?} of {floor}; {asked:?}");
        let is = bounds(&evening, name).await?;
        ensure!(is == (i32::try_from(min)?, i32::try_from(max)?), "{name} has bounds {is:?}");
        evening
            .until("the autoscaler to have its way again", 60, |e| async move {
                let replicas = e.replicas(name).await?;
                Ok((replicas == rest, format!("{name} is at {replicas}, not at {rest}")))
            })
            .await?;
    }

    let late = within(&recorder.replicas("late"), t0, end);
    ensure!(late == [12], "under an HPA that came later: {late:?}");
    ensure!(bounds(&evening, "late").await? == (2, 30), "{:?}", bounds(&evening, "late").await?);

    let adjoining = within(&recorder.replicas("adjoining"), t0, end + (end - start));
    ensure!(adjoining == [12], "between two windows: {adjoining:?}");

    let cliff = recorder.replicas("cliff");
    let falls = cliff.windows(2).filter_map(|w| Some(w.first()?.1 - w.get(1)?.1));
    let deepest = falls.max().context("it has changed")?;
    ensure!(deepest <= 10, "a fifth of 50 at once, and not {deepest}: {cliff:?}");
    let lowest = cliff.iter().filter(|(at, _)| *at > t0).map(|(_, replicas)| *replicas).min();
    ensure!(lowest == Some(5), "what the load needs stays: {cliff:?}");

    let (mut replicas, mut highest) = (10, 0);
    for change in recorder.of("capped") {
        match change.asked {
            Asked::Replicas(now) => replicas = now,
            Asked::Bounds(_, max) => {
                ensure!(max >= replicas, "{replicas} run under a maximum of {max}");
                highest = highest.max(max);
            }
        }
    }
    ensure!(highest >= 50, "the maximum was raised to {highest}");
    evening.end()
}
