//! Evenings that are played with every fault at every request. One minute of the example is one second here.

use std::sync::Arc;

use chrono::{TimeDelta, TimeZone};
use primetime_core::Instant;
use serde_json::{Value, json};

use crate::cluster::Pace;
use crate::evening::{Deed, SHOP, Scenario, shop};
use crate::load::Load;
use crate::oracle::Promise;

/// The show of all scenarios: the "Capital" evening.
#[must_use]
pub fn show() -> Instant {
    chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).single().unwrap_or_default()
}

fn seconds(n: i64) -> TimeDelta {
    TimeDelta::seconds(n)
}

/// The evening lasts so long, at least.
const DURATION: i64 = 60;

/// T0 is so long before the show.
const READY_BEFORE: i64 = 10;

/// The visitors: usual, then the show, then gone.
fn visitors(peak: f64) -> Load {
    let curve = move |at: Instant| {
        let since = (at - show()).num_seconds();
        if (0..DURATION + 5).contains(&since) { peak } else { 2_000.0 }
    };
    Load { curve: Arc::new(curve), silent: None }
}

/// The announcement of the example, its clock made 60 times faster.
fn capital(name: &str) -> Value {
    json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {
            "schedule": {
                "startTime": show().format("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "durationSeconds": DURATION,
            },
            "readyBeforeSeconds": READY_BEFORE,
            "targets": [
                {
                    "name": "web", "replicas": 180, "maxReplicas": 260, "leadSeconds": 15,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                },
                {
                    "name": "search", "multiplier": "18", "leadSeconds": 15,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "search"},
                },
            ],
            "machines": [{"name": "burst", "count": 17, "instanceClassRef": {"name": "paris-burst"}}],
            "signals": [{
                "name": "sessions", "metricsSourceRef": {"name": "main"}, "target": "web",
                "query": "sum(shop_sessions)", "perReplica": "200",
            }],
            "hold": {"untilBelowPercent": 30, "forSeconds": 15, "maxSeconds": 120},
            "release": {"stepPercent": 20, "stepSeconds": 2},
        },
    })
}

fn plain() -> (Scenario, Promise) {
    let mut objects = shop();
    objects.push(capital("capital"));
    let scenario = Scenario {
        name: "a plain evening",
        begin: show() - seconds(80),
        at_most: seconds(600),
        objects,
        deeds: Vec::new(),
        load: visitors(36_000.0),
        capacity: Vec::new(),
        pace: Pace {
            step: TimeDelta::milliseconds(250),
            pods_per_second: 200,
            pods_per_node: 10,
            start_up: (500, 2_000),
            hpa_sync: seconds(1),
            hpa_memory: seconds(5),
            per_pod: 200.0,
        },
        boot_time: seconds(5),
    };
    let promise = Promise {
        ready_by: show() - seconds(READY_BEFORE),
        until: show() + seconds(DURATION),
        floors: vec![("web", 180), ("search", 90)],
        afterwards: vec![
            ("HorizontalPodAutoscaler", "web", "/spec/minReplicas", 10),
            ("HorizontalPodAutoscaler", "web", "/spec/maxReplicas", 60),
            ("Deployment", "search", "/spec/replicas", 5),
        ],
        machines: 17,
    };
    (scenario, promise)
}

/// The load goes beyond the forecast while Prometheus is silent for a while.
fn beyond() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    scenario.name = "beyond the forecast, with a silent Prometheus";
    scenario.load = visitors(45_000.0);
    scenario.load.silent = Some((show() + seconds(20), show() + seconds(40)));
    (scenario, promise)
}

/// Ten machines of seventeen come at the first call, the rest at the second.
fn partial() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    scenario.name = "machines with partial capacity";
    scenario.capacity = vec![10, u32::MAX];
    (scenario, promise)
}

/// A second surge on `web` overlaps the first, with a lower floor and without machines.
fn overlapping() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    scenario.name = "two overlapping runs";
    let mut second = capital("second");
    second["spec"]["machines"] = json!([]);
    second["spec"]["schedule"]["startTime"] =
        (show() + seconds(30)).format("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    second["spec"]["targets"] = json!([second["spec"]["targets"][0]]);
    second["spec"]["targets"][0]["replicas"] = 60.into();
    scenario.objects.push(second);
    (scenario, promise)
}

/// On-call raises `web` in the middle.
fn boosted() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    scenario.name = "a boost in the middle";
    let boost = json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeOverride",
        "metadata": {"name": "boost", "namespace": SHOP},
        "spec": {
            "surgeRef": {"name": "capital"}, "action": "Boost", "target": "web", "replicas": 240,
            "reason": "the trailer ran twice", "author": "alice",
            "expireTime": (show() + seconds(40)).to_rfc3339(),
        },
    });
    scenario.deeds = vec![Deed { at: show() + seconds(10), object: boost }];
    (scenario, promise)
}

/// The load lingers past the end, so that the release waits for it.
fn lingering() -> (Scenario, Promise) {
    let (mut scenario, mut promise) = plain();
    scenario.name = "a release with lingering load";
    let curve = |at: Instant| match (at - show()).num_seconds() {
        0..65 => 36_000.0,
        65..110 => 14_000.0,
        _ => 2_000.0,
    };
    scenario.load = Load { curve: Arc::new(curve), silent: None };
    promise.until = show() + seconds(110);
    (scenario, promise)
}

/// All of them, each with what it has to keep.
#[must_use]
pub fn all() -> Vec<(Scenario, Promise)> {
    vec![plain(), beyond(), partial(), overlapping(), boosted(), lingering()]
}
