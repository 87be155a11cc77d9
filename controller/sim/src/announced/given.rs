//! Objects of an evening: objects that the user gave, and objects that the simulator assumes.

use chrono::TimeDelta;
use primetime_core::state::announcement::{JobTemplate, TemplateKind};
use primetime_core::state::ladder::{Action, Place};
use primetime_core::state::surge::SurgeSpec;
use serde_json::{Value, json};

use crate::announced::assumptions::{ASSUMED_LEAD_SECONDS, Strategy};
use crate::announced::evening::Evening;
use crate::announced::objects::{is, number, scales, text};
use crate::announced::target::Target;
use crate::cluster::nodes;
use crate::load::Cron;
use crate::scenario::shop::external;

/// Time before the start of the event at which the KEDA cron window opens.
const CRON_AHEAD: TimeDelta = TimeDelta::minutes(10);

impl Evening {
    /// Returns `minReplicas` and `maxReplicas` of the HPA of a target. If the user gave no HPA, the
    /// bounds are the baseline and the maximum of the target.
    #[must_use]
    pub fn bounds(&self, target: &Target) -> (u32, u32) {
        let given = self.given.iter().find(|o| scales(o, &target.workload));
        let bound = |field| given.and_then(|hpa| number(hpa, field));
        (
            // The API server refuses an HPA bound below 1, so a target with 0 replicas gets the
            // bound 1.
            bound("/spec/minReplicas").unwrap_or_else(|| target.baseline.max(1)),
            bound("/spec/maxReplicas").unwrap_or_else(|| target.max.max(target.planned).max(1)),
        )
    }

    /// Returns the pods that the given `ResourceQuota`s allow in the namespace. The simulator plays
    /// no other resource of a quota; the preflight rules of the run judge all of them.
    pub(super) fn pods_allowed(&self) -> usize {
        let quotas = self.given.iter().filter(|o| text(o, "/kind") == "ResourceQuota");
        let hard = quotas.filter_map(|quota| {
            let hard = quota.pointer("/spec/hard")?;
            let pods = hard.get("pods").or_else(|| hard.get("count/pods"))?;
            pods.as_u64().or_else(|| pods.as_str()?.parse().ok())
        });
        hard.min().and_then(|pods| usize::try_from(pods).ok()).unwrap_or(usize::MAX)
    }

    pub(super) fn cron(&self, target: &Target) -> Cron {
        Cron {
            metric: format!("cron-{}", target.name),
            from: self.start - CRON_AHEAD,
            until: self.start + self.duration,
            value: f64::from(target.planned),
        }
    }

    /// Returns the objects that the API server holds at the beginning of the evening. A single
    /// function builds all kinds, so that each assumption stands beside its kind.
    pub(super) fn objects(&self, strategy: Strategy) -> Vec<Value> {
        let named = |api: &str, kind: &str, name: &str| {
            json!({"apiVersion": api, "kind": kind,
                   "metadata": {"name": name, "namespace": self.namespace}})
        };
        let mut objects = Vec::new();
        for target in &self.targets {
            let mut deployment = named("apps/v1", "Deployment", &target.workload);
            deployment["spec"] = json!({"replicas": target.baseline});
            objects.push(deployment);
            let full = target.per_replica * f64::from(self.assumptions.hpa_percent) / 100.0;
            let mut metrics = vec![external("load", &full.to_string())];
            if strategy == Strategy::KedaCron {
                metrics.push(external(&format!("cron-{}", target.name), "1"));
            }
            let mut hpa = named("autoscaling/v2", "HorizontalPodAutoscaler", &target.workload);
            let (min, max) = self.bounds(target);
            hpa["spec"] = json!({
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target.workload},
                "minReplicas": min, "maxReplicas": max, "metrics": metrics,
            });
            let given = self.given.iter().find(|o| scales(o, &target.workload));
            if let Some(behavior) = given.and_then(|hpa| hpa.pointer("/spec/behavior")) {
                hpa["spec"]["behavior"] = behavior.clone();
            }
            objects.push(hpa);
        }
        let platform = |kind: &str| {
            self.given.iter().filter(|o| text(o, "/kind") == kind).cloned().collect::<Vec<_>>()
        };
        for kind in ["ResourceQuota", "LimitRange"] {
            objects.extend(platform(kind).into_iter().map(|mut object| {
                object["metadata"]["namespace"] = self.namespace.clone().into();
                object
            }));
        }
        objects.extend(platform("InstanceClass"));
        objects.extend(platform("MetricsSource"));
        objects.extend(platform("SurgeBudget"));
        for group in &self.spec.announcement.machines {
            if !objects.iter().any(|o| is(o, "InstanceClass", &group.class)) {
                let mut class = named("primetime.dev/v1alpha1", "InstanceClass", &group.class);
                class["spec"] = json!({
                    "launchTemplate": {"name": "assumed", "version": "$Default"},
                    "instanceTypes": ["m6i.xlarge"], "subnets": ["subnet-assumed"],
                    "leadSeconds": ASSUMED_LEAD_SECONDS,
                    "namespaces": ["*"], "limits": {"maxInstances": 10_000},
                });
                objects.push(class);
            }
        }
        for signal in &self.spec.announcement.signals {
            if !objects.iter().any(|o| is(o, "MetricsSource", &signal.source)) {
                let mut source = named("primetime.dev/v1alpha1", "MetricsSource", &signal.source);
                source["spec"] = json!({
                    "url": "http://prometheus:9090", "intervalSeconds": 10, "timeoutSeconds": 5,
                    "maxSampleAgeSeconds": 60,
                });
                objects.push(source);
            }
        }
        for step in &self.spec.announcement.jobs {
            let JobTemplate { kind, name } = &step.template;
            let kind = match kind {
                TemplateKind::CronJob => "CronJob",
                TemplateKind::Job => "Job",
            };
            if !objects.iter().any(|o| is(o, kind, name)) {
                let mut template = named("batch/v1", kind, name);
                template["spec"] = json!({"suspend": true, "jobTemplate": {"spec": {}}});
                objects.push(template);
            }
        }
        for step in &self.spec.announcement.degrade {
            if let Action::Write { place, .. } = &step.action {
                self.assume(place, &mut objects);
            }
        }
        for object in &mut objects {
            if matches!(text(object, "/kind"), "InstanceClass" | "MetricsSource" | "SurgeBudget") {
                object["metadata"] = json!({"name": text(object, "/metadata/name")});
            }
        }
        objects.extend((0..self.base_nodes).map(|n| {
            let mut node = nodes::node(&format!("base-{n:03}"), None);
            node["apiVersion"] = "v1".into();
            node["kind"] = "Node".into();
            node
        }));
        objects
    }
}

impl Evening {
    /// Adds the `ConfigMap` or `HTTPRoute` that a degradation step writes, if the object list does
    /// not yet contain the object. If the user gave the object, the simulator uses a copy.
    pub(super) fn assume(&self, place: &Place, objects: &mut Vec<Value>) {
        let (api, kind, name) = match place {
            Place::ConfigMap { name, .. } => ("v1", "ConfigMap", name),
            Place::HttpRoute { name, .. } => ("gateway.networking.k8s.io/v1", "HTTPRoute", name),
        };
        let given = self.given.iter().find(|o| is(o, kind, name));
        let at = objects.iter().position(|o| is(o, kind, name)).unwrap_or_else(|| {
            let metadata = json!({"name": name, "namespace": self.namespace});
            let mut assumed = given.cloned().unwrap_or_else(|| json!({"spec": {"rules": []}}));
            assumed["apiVersion"] = api.into();
            assumed["kind"] = kind.into();
            assumed["metadata"] = metadata;
            objects.push(assumed);
            objects.len() - 1
        });
        let Place::HttpRoute { rule, backend, .. } = place else { return };
        let rules = objects.get_mut(at).and_then(|o| o["spec"]["rules"].as_array_mut());
        if let Some(rules) = rules.filter(|_| given.is_none()) {
            let its = json!({"name": rule, "backendRefs": [{"name": backend, "weight": 1}]});
            if !rules.contains(&its) {
                rules.push(its);
            }
        }
    }
}

/// Checks that each given `Deployment` and HPA belongs to a target of the surge. An object that
/// belongs to no target would have no effect, so the check reports such an object as an error.
pub(super) fn fits(given: &[Value], spec: &SurgeSpec, namespace: &str) -> Result<(), Vec<String>> {
    let mut errors = Vec::new();
    for object in given {
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        let workload = match kind {
            "Deployment" => name,
            "HorizontalPodAutoscaler" => text(object, "/spec/scaleTargetRef/name"),
            _ => continue,
        };
        let place = object.pointer("/metadata/namespace").and_then(Value::as_str);
        if let Some(place) = place.filter(|place| *place != namespace) {
            errors.push(format!("{kind} {name} is in namespace {place}, the surge in {namespace}"));
        } else if !spec.announcement.targets.iter().any(|t| t.workload.name == workload) {
            errors.push(format!(
                "{kind} {name}: no target of the surge is Deployment \"{workload}\""
            ));
        }
        let bound = |field| number(object, field);
        if let (Some(min), Some(max)) = (bound("/spec/minReplicas"), bound("/spec/maxReplicas"))
            && min > max
        {
            errors.push(format!("{kind} {name}: minReplicas {min} exceeds maxReplicas {max}"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}
