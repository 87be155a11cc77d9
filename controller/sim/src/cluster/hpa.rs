//! The HPA: bounds first, then its metrics with tolerance, doubling and memory, as in
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details>.

use primetime_core::Instant;
use serde_json::Value;

use crate::cluster::model::{Cluster, kind};
use crate::field::{at, number, text};
use crate::server::object::Key;
use crate::server::refusal::Refusal;
use crate::server::scale;
use crate::server::store::Part;

/// A smaller deviation is none.
const TOLERANCE: f64 = 0.1;

/// Nothing has limited it.
const WITHIN: &str = "DesiredWithinRange";

/// What the metrics of an HPA ask for; `complete` if all of them could be read.
struct Wish {
    replicas: i64,
    complete: bool,
}

impl Cluster {
    /// One look at every HPA.
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
                // A target at 0 is left alone: the implicit maintenance mode.
                if current == 0 {
                    continue;
                }
                let (desired, limited) = self.desired(&key, &hpa, current, now);
                // Its status says what it has read: at each look something else.
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
                    store.change(&target, Part::Main, |deployment| {
                        deployment["spec"]["replicas"] = desired.into();
                        scale::owned_by(deployment, "kube-controller-manager");
                        Ok(())
                    })?;
                }
            }
            Ok(())
        })
    }

    /// What it asks for, and what has limited it where its metrics had a say.
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
        while memory.front().is_some_and(|(at, _)| now - *at > self.pace.hpa_memory) {
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
        let pace = (current * 2).max(current + 4);
        let limited = match desired {
            less if less < min => "TooFewReplicas",
            more if more > max => "TooManyReplicas",
            more if more > pace => "ScaleUpLimit",
            _ => WITHIN,
        };
        (desired.min(pace).clamp(min, max), Some(limited))
    }

    /// The highest of what the metrics ask for. An HPA without a metric asks for what there is.
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
