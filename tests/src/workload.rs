//! Small workloads that are put beside the shop's.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::evening::SHOP;
use crate::plane::LABEL;

/// A Deployment whose pods start within a second and ask for nothing.
#[must_use]
pub fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {
                    "labels": {"app": name},
                    "annotations": {"tests.primetime.dev/start-up": "1s"},
                },
                "spec": {
                    "nodeSelector": {LABEL: "played"},
                    "tolerations": [{"key": LABEL, "operator": "Exists"}],
                    "containers": [{"name": "it", "image": "shop/it:1"}],
                },
            },
        },
    })
}

/// An HPA of a Deployment, on the sessions of the shop, so many of them to a pod; five seconds patient.
#[must_use]
pub fn autoscaler(name: &str, (min, max): (u32, u32), sessions_per_pod: u32) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": min, "maxReplicas": max,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
            "metrics": [{
                "type": "External",
                "external": {
                    "metric": {"name": "shop_sessions"},
                    "target": {"type": "AverageValue", "averageValue": sessions_per_pod.to_string()},
                },
            }],
        },
    })
}

/// A surge of one Deployment, ready five seconds before its start, with a step down each second.
#[must_use]
pub fn surge(name: &str, of: &str, start: DateTime<Utc>, seconds: u32, replicas: u32) -> Value {
    json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {
            "schedule": {
                "startTime": start.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "durationSeconds": seconds,
            },
            "readyBeforeSeconds": 5,
            "targets": [{
                "name": "it", "replicas": replicas, "leadSeconds": 10,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": of},
            }],
            "release": {"stepPercent": 20, "stepSeconds": 1},
        },
    })
}
