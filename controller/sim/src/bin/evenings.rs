//! Benchmark of whole evenings: Primetime, the HPA alone, a KEDA cron window and two oracles that
//! know the load in advance. `make bench-evenings` runs the benchmark.
//!
//! All strategies get the same loads. The benchmark plays each load as announced, and then with
//! typical forecast errors. The show starts two minutes early or late. The plan is 30 % too low or
//! too high. Pods start in 50 % or 150 % of the usual time. Prometheus is unavailable for a minute
//! during the rise.
//!
//! Each strategy leaves a tenth of each replica free. The benchmark counts short replicas from
//! *ready* replicas, from T0 on: before T0 no strategy promises anything. The benchmark counts
//! spare replicas from *desired* replicas, over the whole evening.
//!
//! The oracle "least" has the announced replicas ready from T0 to the start of the event. After the
//! start, the oracle "least" has exactly the replicas that the load needs, and may scale down at
//! any time. The oracle "floor" follows the rules of Primetime, and scales nothing down before the
//! end of the event.

use std::process::ExitCode;

use primetime_core::Instant;
use primetime_sim::announced::assumptions::{Assumptions, Strategy};
use primetime_sim::announced::evening::Evening;
use primetime_sim::curve::Curve;
use primetime_sim::evening::play;
use primetime_sim::outcome;
use primetime_sim::outcome::{Oracle, Outcome};
use primetime_sim::script::{Part, Script};
use serde_json::json;

/// An evening as announced.
struct Show {
    curve: &'static str,
    /// Load that one replica bears.
    each: f64,
    /// Replicas before the event, planned replicas and maximum replicas, for replicas at 100 %
    /// utilization.
    replicas: (u32, u32, u32),
    /// Seconds from the start of the event until the load begins to fall.
    seconds: u32,
}

/// Planned utilization of a replica, in percent.
const FULL: u32 = 90;

/// Scale-down stabilization windows of the HPA, in seconds: the Kubernetes default, and one minute.
const MEMORIES: [u32; 2] = [300, 60];

const SHOWS: [Show; 4] = [
    Show { curve: "capital-2014", each: 200.0, replicas: (10, 180, 320), seconds: 780 },
    Show { curve: "bedrock", each: 100.0, replicas: (10, 100, 180), seconds: 3_720 },
    Show { curve: "hotstar-2019", each: 50_000.0, replicas: (100, 506, 900), seconds: 2_907 },
    Show { curve: "worldcup98", each: 1_000.0, replicas: (74, 215, 390), seconds: 10_800 },
];

/// A deviation from the forecast.
#[derive(Clone, Copy)]
struct Twist {
    name: &'static str,
    /// Delay of the load against the announcement, in seconds. A negative value means that the load
    /// is early.
    late: f64,
    /// Announced replicas, in percent of the replicas that the load needs at its peak.
    plan: u32,
    /// Start-up times of pods, in percent of the times assumed by default.
    start_up: u32,
    /// True if Prometheus is unavailable for one minute, from 30 s after the start of the event.
    outage: bool,
}

const AS_PLANNED: Twist =
    Twist { name: "as planned", late: 0.0, plan: 100, start_up: 100, outage: false };

const TWISTS: [Twist; 8] = [
    AS_PLANNED,
    Twist { name: "2 min early", late: -120.0, ..AS_PLANNED },
    Twist { name: "2 min late", late: 120.0, ..AS_PLANNED },
    Twist { name: "plan 30 % low", plan: 70, ..AS_PLANNED },
    Twist { name: "plan 30 % high", plan: 130, ..AS_PLANNED },
    Twist { name: "pods start fast", start_up: 50, ..AS_PLANNED },
    Twist { name: "pods start slowly", start_up: 150, ..AS_PLANNED },
    Twist { name: "metrics away", outage: true, ..AS_PLANNED },
];

fn evening(show: &Show, twist: Twist, memory: u32, now: Instant) -> Result<Evening, String> {
    let (before, planned, most) = show.replicas;
    let with_headroom = |n: u32| (n * 100).div_ceil(FULL);
    let (before, most) = (with_headroom(before), with_headroom(most));
    let planned = with_headroom(planned) * twist.plan / 100;
    let each = show.each * f64::from(FULL) / 100.0;
    let surge = json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
        "metadata": {"name": "show", "namespace": "shop"},
        "spec": {
            "schedule": {"startTime": "2026-06-14T19:00:00Z", "durationSeconds": show.seconds},
            "readyBeforeSeconds": 180,
            "targets": [{
                "name": "web", "replicas": planned, "maxReplicas": most, "leadSeconds": 120,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            }],
            "signals": [{
                "name": "load", "metricsSourceRef": {"name": "main"}, "query": "sum(load)",
                "target": "web", "perReplica": each.to_string(),
            }],
            "hold": {"untilBelowPercent": 90, "forSeconds": 60, "maxSeconds": 3600},
            "release": {"stepPercent": 20, "stepSeconds": 60},
        },
    });
    let usual = Assumptions::default();
    let of = |n: u32| (n * twist.start_up).div_ceil(100);
    let assumptions = Assumptions {
        replicas: [("web".to_owned(), before)].into(),
        hpa_memory_seconds: memory,
        full_percent: FULL,
        pod_seconds: (of(usual.pod_seconds.0), of(usual.pod_seconds.1)),
        ..usual
    };
    let curve = Curve::named(show.curve).ok_or_else(|| format!("no curve {}", show.curve))?;
    Evening::read(&[surge], assumptions, now, |_| Ok(Some(curve.later(twist.late))))
        .map_err(|why| why.join("; "))
}

/// Results of three strategies and of two oracles that know the load in advance.
struct Scores {
    primetime: Outcome,
    hpa: Outcome,
    cron: Outcome,
    least: Outcome,
    floor: Outcome,
}

fn scores(show: &Show, twist: Twist, memory: u32, now: Instant) -> Result<Scores, String> {
    let evening = evening(show, twist, memory, now)?;
    let away = evening.start + chrono::TimeDelta::seconds(30);
    let script = if twist.outage {
        Script::out(Part::Prometheus, away, away + chrono::TimeDelta::seconds(60))
    } else {
        Script::default()
    };
    let played = |strategy| {
        let scenario = evening.scenario(strategy);
        let recording = play(&scenario, &script, 1).map_err(|why| why.to_string())?;
        match &recording.broken {
            Some(why) => Err(format!("the model contradicts itself: {why}")),
            None => Ok(outcome::measure(&evening, &scenario, &recording, evening.ready_by())),
        }
    };
    Ok(Scores {
        primetime: played(Strategy::Primetime)?,
        hpa: played(Strategy::Hpa)?,
        cron: played(Strategy::KedaCron)?,
        least: outcome::oracle(&evening, Oracle::Least),
        floor: outcome::oracle(&evening, Oracle::KeepingTheFloor),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn share(n: i64, of: i64) -> f64 {
    n as f64 / of.max(1) as f64
}

/// Prints all evenings for an HPA with a scale-down stabilization window of `memory` seconds.
fn table(memory: u32, now: Instant) -> Result<(), String> {
    println!("  an HPA that remembers for {memory} s");
    println!("{:<33}{:>27}{:>45}{:>18}", "", "short", "spare", "spare, ours of");
    println!(
        "{:<14}{:<19}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "load",
        "forecast",
        "ours",
        "HPA",
        "cron",
        "ours",
        "HPA",
        "cron",
        "least",
        "floor",
        "least",
        "floor"
    );
    let (mut of_least, mut of_floor, mut of_cron) = (Vec::new(), Vec::new(), Vec::new());
    let (mut planned_short, mut short, mut cron_short, mut left_over) = (0, 0, 0, 0);
    for show in &SHOWS {
        for twist in TWISTS {
            let Scores { primetime, hpa, cron, least, floor } = scores(show, twist, memory, now)?;
            let percent = |n: i64| 100.0 * share(n, primetime.demand_replica_seconds);
            let spare = |o: &Outcome| o.excess_replica_seconds;
            of_least.push(share(spare(&primetime), spare(&least)));
            of_floor.push(share(spare(&primetime), spare(&floor)));
            of_cron.push(share(spare(&primetime), spare(&cron)));
            print!("{:<14}{:<19}", show.curve, twist.name);
            for it in [&primetime, &hpa, &cron] {
                print!("{:>9.2}", percent(it.short_replica_seconds));
            }
            for it in [&primetime, &hpa, &cron, &least, &floor] {
                print!("{:>9.1}", percent(spare(it)));
            }
            let ratios = of_least.last().zip(of_floor.last());
            println!("{}", ratios.map_or_else(String::new, |(l, f)| format!("{l:>9.2}{f:>9.2}")));
            if twist.plan >= 100 {
                planned_short += primetime.short_replica_seconds;
            }
            short += primetime.short_replica_seconds;
            cron_short += cron.short_replica_seconds;
            left_over += primetime.left_over.len();
        }
    }
    println!(
        "  short: {planned_short} replica-seconds where the plan is enough (goal 0); of all {short}, {:.3} x the cron window's (goal 0.1)",
        share(short, cron_short)
    );
    println!(
        "  spare, geometric means: {:.2} x the least (goal 1.2), {:.2} x the floor, {:.2} x the cron window's (goal 0.18)",
        mean(&of_least),
        mean(&of_floor),
        mean(&of_cron)
    );
    println!("  left over: {left_over}");
    Ok(())
}

fn run() -> Result<(), String> {
    let now: Instant = "2026-06-01T00:00:00Z".parse().map_err(|why| format!("{why}"))?;
    println!(
        "bench: whole evenings in virtual time, seed 1; in percent of the replica-seconds that the load needs; replicas {FULL} % full"
    );
    MEMORIES.into_iter().try_for_each(|memory| table(memory, now))
}

/// Returns the geometric mean.
fn mean(ratios: &[f64]) -> f64 {
    let (sum, count) = ratios
        .iter()
        .fold((0.0, 0.0), |(sum, count), ratio| (sum + ratio.max(1e-9).ln(), count + 1.0));
    f64::exp(sum / f64::max(count, 1.0))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}
