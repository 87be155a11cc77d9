//! KEDA: the HPA of each `ScaledObject` is what the `ScaledObject` says, whoever writes to that HPA.

use primetime_core::Instant;
use serde_json::{Value, json};

use super::{Cluster, at, kind, number, text};
use crate::server::store::{Key, Part, Refusal};

/// KEDA's own default of `maxReplicaCount`.
const MOST: i64 = 100;

/// The HPA that KEDA makes of a `ScaledObject`. An HPA has no minimum of 0: KEDA itself does the step from 0 to 1.
fn generated(name: &str, scaled: &Value) -> Value {
    let triggers = at(scaled, "/spec/triggers").and_then(Value::as_array);
    let metrics: Vec<Value> = triggers
        .into_iter()
        .flatten()
        .filter_map(|trigger| {
            let metric = text(trigger, "/metadata/query")?;
            let threshold = text(trigger, "/metadata/threshold")?;
            Some(crate::scenario::external(metric, threshold))
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

impl Cluster {
    /// One look at every `ScaledObject`.
    pub(super) fn generate(&mut self, now: Instant) -> Result<(), Refusal> {
        if now < self.keda_due || self.load.script.is_out(crate::script::Part::Api, now) {
            return Ok(());
        }
        self.keda_due = now + self.pace.hpa_sync;
        let scaled = kind("keda.sh/v1alpha1", "ScaledObject")?;
        let hpas = kind("autoscaling/v2", "HorizontalPodAutoscaler")?;
        self.server.with(|store| {
            let all: Vec<(Key, Value)> =
                store.list(scaled, "").map(|(key, v)| (key.clone(), v.clone())).collect();
            for (key, scaled) in all {
                // Its status says when it looked: at each look something else.
                let status = json!({"lastActiveTime": now.to_rfc3339()});
                store.change(&key, Part::Status, |scaled| {
                    scaled["status"] = status;
                    Ok(())
                })?;
                let (_, namespace, name) = key;
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
