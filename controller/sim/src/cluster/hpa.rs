//! Model of the HPA.
//!
//! The bounds apply first, then the metrics with tolerance, scale-up limit and stabilization
//! window, as in
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details>.

use primetime_core::Instant;
use serde_json::Value;

use crate::cluster::behavior::{self, Direction};
use crate::cluster::model::{Cluster, kind};
use crate::field::{at, number, text};
use crate::server::object::Key;
use crate::server::refusal::Refusal;
use crate::server::scale;
use crate::server::store::Part;

/// Relative deviation of a metric from its target up to which the HPA keeps the current replicas.
const TOLERANCE: f64 = 0.1;

/// Reason of the `ScalingLimited` condition if no limit applied.
const WITHIN: &str = "DesiredWithinRange";

/// Replicas that the metrics of an HPA request. `complete` is true if the HPA could read all of its
/// metrics.
struct Wish {
    replicas: i64,
    complete: bool,
}

impl Cluster {
    /// Runs a sync of every HPA.
    pub(super) fn autoscale(&mut self, now: Instant) -> Result<(), Refusal> {
        let hpas = kind("autoscaling/v2", "HorizontalPodAutoscaler")?;
        let deployments = kind("apps/v1", "Deployment")?;
        let server = self.server.clone();
        server.with(|store| {
            for (key, hpa) in store.all(hpas) {
                let Some(name) = text(&hpa, "/spec/scaleTargetRef/name") else { continue };
                let target: Key = (deployments, key.1.clone(), name.to_owned());
                let Some(deployment) = store.get(&target) else { continue };
                let current = number(deployment, "/spec/replicas").unwrap_or(1);
                // The HPA ignores a target with 0 replicas, as in Kubernetes: the implicit
                // maintenance mode.
                if current == 0 {
                    continue;
                }
                let (desired, limited) = self.desired(&key, &hpa, current, now);
                // Each sync writes a different value into `status.currentMetrics`, as the real HPA
                // does.
                let conditions = limited.map_or_else(
                    || hpa["status"]["conditions"].clone(),
                    |reason| {
                        let limits = if reason == WITHIN { "False" } else { "True" };
                        serde_json::json!([
                            {"type": "ScalingLimited", "status": limits, "reason": reason},
                        ])
                    },
                );
                let status = serde_json::json!({
                    "currentReplicas": current, "desiredReplicas": desired,
                    "conditions": conditions,
                    "currentMetrics": [{"type": "External", "external": {
                        "metric": {"name": "any"},
                        "current": {"value": now.timestamp_millis().to_string()},
                    }}],
                });
                store.change(&key, Part::Status, |hpa| {
                    hpa["status"] = status;
                    Ok(())
                })?;
                if desired != current {
                    self.changes
                        .entry(key.clone())
                        .or_default()
                        .push_back((now, desired - current));
                    store.change(&target, Part::Main, |deployment| {
                        deployment["spec"]["replicas"] = desired.into();
                        scale::owned_by(deployment, "kube-controller-manager", "f:replicas");
                        Ok(())
                    })?;
                }
            }
            Ok(())
        })
    }

    /// Returns the desired replicas, and the reason of the `ScalingLimited` condition. The reason
    /// is `None` if the minimum or the maximum alone decided the number.
    fn desired(
        &mut self,
        key: &Key,
        hpa: &Value,
        current: i64,
        now: Instant,
    ) -> (i64, Option<&'static str>) {
        let min = number(hpa, "/spec/minReplicas").unwrap_or(1);
        let max = number(hpa, "/spec/maxReplicas").unwrap_or(1);
        let wish = self.wish(hpa, current, now);
        let memory = self.recommended.entry(key.clone()).or_default();
        memory.push_back((now, wish.replicas));
        let window = behavior::memory(hpa).unwrap_or(self.pace.hpa_memory);
        while memory.front().is_some_and(|(at, _)| now - *at > window) {
            memory.pop_front();
        }
        if current < min {
            return (min, None);
        }
        if current > max {
            return (max, None);
        }
        let held = memory.iter().map(|(_, wish)| *wish).max().unwrap_or(wish.replicas);
        let desired = if wish.replicas >= current {
            wish.replicas
        } else if wish.complete {
            held.min(current)
        } else {
            current
        };
        let changes = self.changes.entry(key.clone()).or_default();
        behavior::forget(changes, now);
        let limit = |direction| behavior::limit(hpa, direction, current, changes, now);
        let pace = limit(Direction::Up).unwrap_or_else(|| (current * 2).max(current + 4));
        let pace = pace.max(current);
        let least = limit(Direction::Down).unwrap_or(0).min(current);
        let limited = match desired {
            less if less < min => "TooFewReplicas",
            more if more > max => "TooManyReplicas",
            more if more > pace => "ScaleUpLimit",
            less if less < least => "ScaleDownLimit",
            _ => WITHIN,
        };
        (desired.min(pace).max(least).clamp(min, max), Some(limited))
    }

    /// Returns the highest number of replicas that any metric requests. An HPA without a readable
    /// metric requests the current replicas.
    fn wish(&self, hpa: &Value, current: i64, now: Instant) -> Wish {
        let mut wish = Wish { replicas: 0, complete: true };
        let metrics = at(hpa, "/spec/metrics").and_then(Value::as_array);
        let mut any = false;
        for metric in metrics.into_iter().flatten() {
            let name = text(metric, "/external/metric/name").unwrap_or_default();
            let average = text(metric, "/external/target/averageValue");
            let average = average.and_then(|v| v.parse::<f64>().ok()).filter(|v| *v > 0.0);
            let (Some(value), Some(average)) = (self.load.metric(name, now), average) else {
                wish.complete = false;
                continue;
            };
            any = true;
            let exact = value / average;
            #[expect(clippy::cast_precision_loss, reason = "pods")]
            let deviation = (exact / current as f64 - 1.0).abs();
            #[expect(clippy::cast_possible_truncation, reason = "pods")]
            let asked = if deviation <= TOLERANCE { current } else { exact.ceil() as i64 };
            wish.replicas = wish.replicas.max(asked);
        }
        if any { wish } else { Wish { replicas: current, complete: false } }
    }
}
