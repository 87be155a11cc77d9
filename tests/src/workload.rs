//! Small workloads for the namespace of the shop, with HPAs and surges.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::evening::SHOP;
use crate::plane::LABEL;

/// Returns a Deployment without resource requests, whose pods become ready after 1 to 2 s.
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

/// Returns an HPA of a Deployment on `shop_sessions`.
///
/// The HPA wants a pod per `sessions_per_pod` sessions.
/// `behavior.scaleDown.stabilizationWindowSeconds` is 5.
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

/// Returns a surge of a Deployment, ready five seconds before the start. The release lowers the
/// floor by 20 % every second.
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
