//! Model of KEDA.
//!
//! KEDA overwrites the HPA of each `ScaledObject` with the values of the `ScaledObject`. If no
//! trigger is active, KEDA itself keeps the target at `spec.idleReplicaCount`, or at least at
//! `spec.minReplicaCount`.

use primetime_core::Instant;
use serde_json::{Value, json};

use crate::cluster::model::{Cluster, kind};
use crate::field::{at, number, text};
use crate::server::object::Key;
use crate::server::refusal::Refusal;
use crate::server::store::Part;

/// KEDA's default of `spec.maxReplicaCount`.
const MOST: i64 = 100;

/// Builds the HPA that KEDA generates from a `ScaledObject`. An HPA has no minimum of 0: KEDA
/// itself does the step from 0 to 1.
fn generated(name: &str, scaled: &Value) -> Value {
    let triggers = at(scaled, "/spec/triggers").and_then(Value::as_array);
    let metrics: Vec<Value> = triggers
        .into_iter()
        .flatten()
        .filter_map(|trigger| {
            let metric = text(trigger, "/metadata/query")?;
            let threshold = text(trigger, "/metadata/threshold")?;
            Some(crate::scenario::shop::external(metric, threshold))
        })
        .collect();
    json!({
        "metadata": {"name": format!("keda-hpa-{name}"), "ownerReferences": [{
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": name,
            "uid": text(scaled, "/metadata/uid"), "controller": true,
        }]},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1", "kind": "Deployment",
                "name": text(scaled, "/spec/scaleTargetRef/name"),
            },
            "minReplicas": number(scaled, "/spec/minReplicaCount").unwrap_or_default().max(1),
            "maxReplicas": number(scaled, "/spec/maxReplicaCount").unwrap_or(MOST),
            "metrics": metrics,
        },
    })
}

/// Returns the range of replicas that KEDA itself keeps while no trigger is active. A trigger with
/// a query counts as active, because the simulated site always has visitors.
fn kept(scaled: &Value) -> Option<std::ops::RangeInclusive<i64>> {
    let triggers = at(scaled, "/spec/triggers").and_then(Value::as_array);
    let mut triggers = triggers.into_iter().flatten();
    if triggers.any(|trigger| text(trigger, "/metadata/query").is_some()) {
        return None;
    }
    let least = number(scaled, "/spec/minReplicaCount").unwrap_or_default();
    Some(number(scaled, "/spec/idleReplicaCount").map_or(least..=i64::MAX, |idle| idle..=idle))
}

impl Cluster {
    /// Runs a pass over every `ScaledObject`.
    pub(super) fn generate(&mut self, now: Instant) -> Result<(), Refusal> {
        if now < self.keda_due || self.load.script.is_out(crate::script::Part::Api, now) {
            return Ok(());
        }
        self.keda_due = now + self.pace.hpa_sync;
        let scaled = kind("keda.sh/v1alpha1", "ScaledObject")?;
        let hpas = kind("autoscaling/v2", "HorizontalPodAutoscaler")?;
        let deployments = kind("apps/v1", "Deployment")?;
        self.server.with(|store| {
            for (key, scaled) in store.all(scaled) {
                // Each pass writes a different time into `status.lastActiveTime`, as the real KEDA
                // does.
                let status = json!({"lastActiveTime": now.to_rfc3339()});
                store.change(&key, Part::Status, |scaled| {
                    scaled["status"] = status;
                    Ok(())
                })?;
                let (_, namespace, name) = key;
                let target = text(&scaled, "/spec/scaleTargetRef/name").unwrap_or_default();
                let target: Key = (deployments, namespace.clone(), target.to_owned());
                let replicas = store.get(&target).and_then(|d| number(d, "/spec/replicas"));
                if let (Some(kept), Some(replicas)) = (kept(&scaled), replicas)
                    && !kept.contains(&replicas)
                {
                    let to = replicas.clamp(*kept.start(), *kept.end());
                    store.change(&target, Part::Main, |deployment| {
                        deployment["spec"]["replicas"] = to.into();
                        Ok(())
                    })?;
                }
                let wanted = generated(&name, &scaled);
                let key: Key = (hpas, namespace.clone(), format!("keda-hpa-{name}"));
                match store.get(&key) {
                    None => store.create(hpas, &namespace, wanted).map(|_| ())?,
                    Some(there) if there.get("spec") != wanted.get("spec") => {
                        store.change(&key, Part::Main, |hpa| {
                            hpa["spec"] = wanted["spec"].clone();
                            Ok(())
                        })?;
                    }
                    Some(_) => {}
                }
            }
            Ok(())
        })
    }
}
