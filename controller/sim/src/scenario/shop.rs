//! Objects of the shop in the simulated evenings, and objects that people create in the shop.

use chrono::TimeDelta;
use chrono::TimeZone;
use primetime_core::Instant;
use serde_json::{Value, json};

use crate::cluster::jobs::FAILS;
use crate::cluster::nodes;
use crate::evening::SHOP;
use crate::load::Load;

/// Minimum duration of the event, in seconds.
pub const DURATION: i64 = 60;

/// Time from T0 to the start of the show, in seconds.
pub(super) const READY_BEFORE: i64 = 10;

/// Returns the start of the show in all scenarios: the "Capital" evening of 12 January 2014.
#[must_use]
pub fn show() -> Instant {
    chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).single().unwrap_or_default()
}

/// Converts a number of seconds to a duration.
#[must_use]
pub fn seconds(n: i64) -> TimeDelta {
    TimeDelta::seconds(n)
}

/// Returns the visitors: 2,000, then `peak` from the start of the show until 5 s after the end,
/// then 2,000.
#[must_use]
pub fn visitors(peak: f64) -> Load {
    let curve = move |at: Instant| {
        let since = (at - show()).num_seconds();
        if (0..DURATION + 5).contains(&since) { peak } else { 2_000.0 }
    };
    Load::of(curve)
}

/// Returns an HPA metric of type `External`. `average` is the load that a pod carries.
#[must_use]
pub fn external(metric: &str, average: &str) -> Value {
    json!({"type": "External", "external": {
        "metric": {"name": metric}, "target": {"type": "AverageValue", "averageValue": average},
    }})
}

/// Returns the objects of the example: `web` under an HPA, `search` without an HPA, 20 base Nodes,
/// an `InstanceClass` and a `MetricsSource`.
pub(super) fn shop() -> Vec<Value> {
    let deployment = |name: &str, replicas: u32| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": SHOP},
            "spec": {"replicas": replicas},
        })
    };
    let mut objects = vec![
        deployment("web", 10),
        deployment("search", 5),
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": SHOP},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 10, "maxReplicas": 60,
                "metrics": [external("sessions", "200")],
            },
        }),
        json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "InstanceClass",
            "metadata": {"name": "paris-burst"},
            "spec": {
                "provider": "EC2",
                "ec2": {
                    "launchTemplate": {"name": "shop-burst", "version": "1"},
                    "instanceTypes": ["m6i.xlarge"], "subnets": ["subnet-0a1b2c3d4e5f60001"],
                },
                "leadSeconds": 30, "namespaces": [SHOP], "limits": {"maxInstances": 1000},
            },
        }),
        json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "MetricsSource",
            "metadata": {"name": "main"},
            "spec": {
                "url": "http://prometheus:9090", "intervalSeconds": 1, "timeoutSeconds": 2,
                "maxSampleAgeSeconds": 10,
            },
        }),
    ];
    objects.extend((0..20).map(|n| {
        let mut node = nodes::node(&format!("base-{n:02}"), None);
        node["apiVersion"] = "v1".into();
        node["kind"] = "Node".into();
        node
    }));
    objects
}

/// Returns the `ScheduledSurge` of the "Capital" evening. One second stands for one minute of
/// `examples/capital-2014.yaml`.
pub(super) fn capital(name: &str) -> Value {
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

/// Returns a `SurgeOverride` of on-call that expires at `until`.
#[must_use]
pub fn override_until(action: &str, until: Instant) -> Value {
    json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeOverride",
        "metadata": {"name": action.to_lowercase(), "namespace": SHOP},
        "spec": {
            "surgeRef": {"name": "capital"}, "action": action, "author": "alice",
            "reason": "the trailer ran twice", "expireTime": until.to_rfc3339(),
        },
    })
}

/// Returns a `ConfigMap` with an iCalendar feed. The feed contains the show at `start`, or no event
/// if `start` is `None`.
pub(super) fn guide(start: Option<Instant>) -> Value {
    let stamp = |at: Instant| at.format("%Y%m%dT%H%M%SZ").to_string();
    let event = start.map(|start| {
        let end = stamp(start + seconds(DURATION));
        let start = stamp(start);
        format!("BEGIN:VEVENT\r\nUID:capital\r\nDTSTART:{start}\r\nDTEND:{end}\r\nSUMMARY:Capital\r\nEND:VEVENT\r\n")
    });
    let text = format!("BEGIN:VCALENDAR\r\n{}END:VCALENDAR\r\n", event.unwrap_or_default());
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "guide", "namespace": SHOP},
        "data": {"guide.ics": text},
    })
}

/// Returns a suspended CronJob as a Job template. If `fails` is true, every attempt of a Job of the
/// template fails.
#[must_use]
pub fn cron_job(name: &str, fails: bool) -> Value {
    let annotations = if fails { json!({FAILS: "yes"}) } else { json!({}) };
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {
            "schedule": "0 3 * * *", "suspend": true,
            "jobTemplate": {"metadata": {"annotations": annotations}, "spec": {}},
        },
    })
}
