//! What whole evenings cost: this operator, the HPA alone, a KEDA-like cron window and the least that keeps the promise, on the
//! same loads, in one run. `make bench-evenings`.
//!
//! Each load is played as it was announced, and then with what goes wrong with forecasts: the show starts two minutes early or
//! late, the plan is 30 % off, pods start half or one and a half times as fast, Prometheus is away for a minute in the rise.
//! Short is counted from *ready* replicas, spare from replicas that are *asked for*.

use std::process::ExitCode;

use primetime_core::Instant;
use primetime_sim::announced::{Assumptions, Evening, Strategy};
use primetime_sim::curve::Curve;
use primetime_sim::evening::play;
use primetime_sim::outcome::{self, Outcome};
use primetime_sim::script::{Part, Script};
use serde_json::json;

/// An evening as it was announced.
struct Show {
    curve: &'static str,
    /// Load that a replica carries.
    each: u32,
    /// Replicas before, planned, and at most.
    replicas: (u32, u32, u32),
    /// How long it lasts at least.
    seconds: u32,
}

const SHOWS: [Show; 4] = [
    Show { curve: "capital-2014", each: 200, replicas: (10, 180, 320), seconds: 3_600 },
    Show { curve: "bedrock", each: 100, replicas: (10, 100, 180), seconds: 5_400 },
    Show { curve: "hotstar-2019", each: 50_000, replicas: (100, 506, 900), seconds: 5_400 },
    Show { curve: "worldcup98", each: 1_000, replicas: (74, 215, 390), seconds: 12_600 },
];

/// What is not as it was forecast.
#[derive(Clone, Copy)]
struct Twist {
    name: &'static str,
    /// The load comes so many seconds later than announced.
    late: f64,
    /// Announced replicas, in percent of what the load needs at its peak.
    plan: u32,
    /// Start-up times of pods, in percent of what the announcement allows for.
    start_up: u32,
    /// Prometheus is away for a minute, half a minute into the rise.
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

fn evening(show: &Show, twist: Twist, now: Instant) -> Result<Evening, String> {
    let (before, planned, most) = show.replicas;
    let planned = (planned * twist.plan).div_ceil(100);
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
                "target": "web", "perReplica": show.each.to_string(),
            }],
            "hold": {"untilBelowPercent": 50, "forSeconds": 120, "maxSeconds": 3600},
            "release": {"stepPercent": 20, "stepSeconds": 60},
        },
    });
    let usual = Assumptions::default();
    let of = |n: u32| (n * twist.start_up).div_ceil(100);
    let assumptions = Assumptions {
        replicas: [("web".to_owned(), before)].into(),
        pod_seconds: (of(usual.pod_seconds.0), of(usual.pod_seconds.1)),
        ..usual
    };
    let curve = Curve::named(show.curve).ok_or_else(|| format!("no curve {}", show.curve))?;
    Evening::read(&[surge], assumptions, now, |_| Ok(Some(curve.later(twist.late))))
        .map_err(|why| why.join("; "))
}

/// What it was worth to each of three, and the least.
struct Scores {
    primetime: Outcome,
    hpa: Outcome,
    cron: Outcome,
    least: Outcome,
}

fn scores(show: &Show, twist: Twist, now: Instant) -> Result<Scores, String> {
    let evening = evening(show, twist, now)?;
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
            None => Ok(outcome::measure(&evening, &scenario, &recording)),
        }
    };
    Ok(Scores {
        primetime: played(Strategy::Primetime)?,
        hpa: played(Strategy::Hpa)?,
        cron: played(Strategy::KedaCron)?,
        least: outcome::oracle(&evening),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn share(n: i64, of: i64) -> f64 {
    n as f64 / of.max(1) as f64
}

fn run() -> Result<(), String> {
    let now: Instant = "2026-06-01T00:00:00Z".parse().map_err(|why| format!("{why}"))?;
    println!(
        "bench: whole evenings in virtual time, seed 1; in percent of the replica-seconds that the load needs"
    );
    println!("{:<14}{:<19}{:>27}{:>36}{:>9}", "", "", "short", "spare", "of least");
    println!(
        "{:<14}{:<19}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "load", "forecast", "ours", "HPA", "cron", "ours", "HPA", "cron", "least", "ours"
    );
    let (mut ratios, mut of_cron) = (Vec::new(), Vec::new());
    let (mut short, mut cron_short, mut left_over) = (0, 0, 0);
    for show in &SHOWS {
        for twist in TWISTS {
            let Scores { primetime, hpa, cron, least } = scores(show, twist, now)?;
            let percent = |n: i64| 100.0 * share(n, primetime.demand_replica_seconds);
            let spare = |o: &Outcome| o.excess_replica_seconds;
            let ratio = share(spare(&primetime), spare(&least));
            println!(
                "{:<14}{:<19}{:>9.2}{:>9.2}{:>9.2}{:>9.1}{:>9.1}{:>9.1}{:>9.1}{:>9.2}",
                show.curve,
                twist.name,
                percent(primetime.short_replica_seconds),
                percent(hpa.short_replica_seconds),
                percent(cron.short_replica_seconds),
                percent(spare(&primetime)),
                percent(spare(&hpa)),
                percent(spare(&cron)),
                percent(spare(&least)),
                ratio,
            );
            ratios.push(ratio);
            of_cron.push(share(spare(&primetime), spare(&cron)));
            short += primetime.short_replica_seconds;
            cron_short += cron.short_replica_seconds;
            left_over += primetime.left_over.len();
        }
    }
    println!("  short: {:.3} x the cron window's (goal 0.1)", share(short, cron_short));
    println!(
        "  spare, geometric means: {:.2} x the least (goal 1.2), {:.2} x the cron window's (goal 0.18)",
        mean(&ratios),
        mean(&of_cron)
    );
    println!("  left over: {left_over}");
    Ok(())
}

/// The geometric one.
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
