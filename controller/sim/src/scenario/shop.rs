//! The shop of the evenings, and what people create there.

use chrono::TimeDelta;
use chrono::TimeZone;
use primetime_core::Instant;
use serde_json::{Value, json};

use crate::cluster::jobs::FAILS;
use crate::cluster::nodes;
use crate::evening::SHOP;
use crate::load::Load;

/// The evening lasts so long, at least.
pub const DURATION: i64 = 60;

/// T0 is so long before the show.
pub(super) const READY_BEFORE: i64 = 10;

/// The show of all scenarios: the "Capital" evening.
#[must_use]
pub fn show() -> Instant {
    chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).single().unwrap_or_default()
}

/// Seconds, as a time.
#[must_use]
pub fn seconds(n: i64) -> TimeDelta {
    TimeDelta::seconds(n)
}

/// The visitors: usual, then the show, then gone.
#[must_use]
pub fn visitors(peak: f64) -> Load {
    let curve = move |at: Instant| {
        let since = (at - show()).num_seconds();
        if (0..DURATION + 5).contains(&since) { peak } else { 2_000.0 }
    };
    Load::of(curve)
}

/// A metric of an HPA: so much of it is one pod's.
#[must_use]
pub fn external(metric: &str, average: &str) -> Value {
    json!({"type": "External", "external": {
        "metric": {"name": metric}, "target": {"type": "AverageValue", "averageValue": average},
    }})
}

/// The shop of the example: `web` under an HPA, `search` beside it, base nodes, a class and a source.
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
                "leadSeconds": 30,
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

/// The announcement of the example, its clock made 60 times faster.
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

/// A word of on-call, in force until an instant.
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

/// A calendar with the show at an instant, or with nothing in it.
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

/// What a Job is made from; one that fails at each attempt, if so wanted.
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
