//! The evening of a surge that somebody wrote: what is given, what is assumed, and who looks after it.

pub mod followed;
pub mod surge;
mod target;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use primetime_api::{InstanceClass, MetricsSource};
use primetime_core::Instant;
use primetime_core::schedule::{Occurrence, Rule, Schedule, When};
use primetime_core::state::announcement::{JobTemplate, Target as Announced, TemplateKind};
use primetime_core::state::ladder::{Action, Place};
use primetime_core::state::surge::SurgeSpec;
use primetime_core::timeline;
use serde_json::{Value, json};

use self::surge::{read as read_surge, strict};
pub use self::target::Target;
use self::target::{announced, stated, targets};
use crate::cloud::Supply;
use crate::cluster::{self, Pace};
use crate::curve::Curve;
use crate::evening::{Flags, Scenario, Until};
use crate::load::{Cron, Load};
use crate::scenario::external;
use crate::whole;

/// A KEDA cron window opens so long before the event's start.
const CRON_AHEAD: TimeDelta = TimeDelta::minutes(10);

/// So long after the event its load is played, if it goes on.
const AFTER_THE_EVENT: TimeDelta = TimeDelta::hours(2);

/// Lead time of an InstanceClass that is only named, in seconds: the default of the kind.
const ASSUMED_LEAD_SECONDS: u32 = 600;

/// Who looks after an evening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// This operator, above the HPA.
    Primetime,
    /// The HPA alone, with an autoscaler of nodes.
    Hpa,
    /// The HPA with a window of fixed replicas from ten minutes before the start to the end, as KEDA's cron scaler tells
    /// it, and an autoscaler of nodes.
    KedaCron,
}

/// What is assumed of a cluster of which nothing is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Assumptions {
    /// Replicas before the event, by target.
    pub replicas: BTreeMap<String, u32>,
    /// Pods that fit on a machine.
    pub pods_per_node: u32,
    /// Shortest and longest time from a pod's scheduling to its readiness, in seconds.
    pub pod_seconds: (u32, u32),
    /// From the launch of a machine until its node is ready, in seconds.
    pub machine_seconds: u32,
    /// How full, in percent, the HPA wants a replica to be.
    pub hpa_percent: u32,
    /// How long the HPA remembers its wishes on the way down (`stabilizationWindowSeconds`), in seconds.
    pub hpa_memory_seconds: u32,
    /// How full, in percent, a replica is that carries what was announced of it.
    pub full_percent: u32,
}

impl Default for Assumptions {
    /// Pods and machines as Bedrock Streaming measured them: 30 to 60 s, 120 to 240 s
    /// (<https://tech.bedrockstreaming.com/2022/02/03/prescaling.html>).
    fn default() -> Self {
        Self {
            replicas: BTreeMap::new(),
            pods_per_node: 10,
            pod_seconds: (30, 60),
            machine_seconds: 240,
            hpa_percent: 100,
            hpa_memory_seconds: 300,
            full_percent: 100,
        }
    }
}

/// A surge with everything around it.
#[derive(Clone, Debug)]
pub struct Evening {
    /// Name of the surge.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The surge, validated.
    pub spec: SurgeSpec,
    /// When the event starts.
    pub start: Instant,
    /// How long it lasts at least.
    pub duration: TimeDelta,
    /// When the clock starts.
    pub begin: Instant,
    /// When it stops.
    pub end: Instant,
    /// The targets.
    pub targets: Vec<Target>,
    /// The visitors.
    pub curve: Curve,
    /// Machines that are there before.
    pub base_nodes: u32,
    /// What is assumed of the cluster.
    pub assumptions: Assumptions,
    surge: Value,
    given: Vec<Value>,
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(object: &Value, pointer: &str) -> Option<u32> {
    object.pointer(pointer).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok())
}

impl Evening {
    /// Reads the documents of a file: one `ScheduledSurge`, and as much of what is around it as the user has.
    /// Of what recurs the next evening is meant, as of `now`. `curve` makes the load from the surge.
    ///
    /// # Errors
    ///
    /// What is wrong with them, a sentence a line.
    pub fn read(
        documents: &[Value],
        assumptions: Assumptions,
        now: Instant,
        curve: impl FnOnce(&SurgeSpec) -> Result<Option<Curve>, String>,
    ) -> Result<Self, Vec<String>> {
        let (mut surges, mut given) = (Vec::new(), Vec::new());
        for document in documents {
            match text(document, "/kind") {
                "ScheduledSurge" => surges.push(document.clone()),
                "InstanceClass" => given.push(strict::<InstanceClass>(document)?.1),
                "MetricsSource" => given.push(strict::<MetricsSource>(document)?.1),
                "Deployment" | "HorizontalPodAutoscaler" | "ConfigMap" | "HTTPRoute" => {
                    given.push(document.clone());
                }
                // A calendar is looked up where a surge follows it.
                // What a Job would do is not known; that it can be made is assumed.
                "Namespace" | "SurgeCalendar" | "CronJob" | "Job" => {}
                kind => {
                    return Err(vec![format!(
                        "{kind} {}: not understood here; simulate reads one ScheduledSurge, and Deployment, \
                     HorizontalPodAutoscaler, InstanceClass, MetricsSource, SurgeCalendar, ConfigMap, HTTPRoute, CronJob and Job beside it",
                        text(document, "/metadata/name")
                    )]);
                }
            }
        }
        let [object] = surges.as_slice() else {
            return Err(vec![format!("{} ScheduledSurges; one evening at a time", surges.len())]);
        };
        let (mut surge, mut spec) = read_surge(object)?;
        let namespace = surge.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let (schedule, _) = followed::schedule(&spec, &namespace, documents, now)?;
        let next = schedule.next_or_last(now);
        let Occurrence { start, end, .. } = next.ok_or_else(|| {
            vec!["spec.schedule: nothing is to come, or every day is excluded".to_owned()]
        })?;
        // One evening of those that recur.
        let once = Rule {
            name: None,
            when: When::Once(start),
            duration: end - start,
            event: None,
            note: None,
        };
        spec.follows = None;
        spec.schedule = Schedule { rules: vec![once], exclude: vec![], ..spec.schedule };
        surge.spec.schedule = primetime_api::Schedule {
            start_time: Some(start.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
            time_zone: surge.spec.schedule.time_zone.take(),
            duration_seconds: i32::try_from((end - start).num_seconds()).ok(),
            ..Default::default()
        };
        let curve = curve(&spec).map_err(|e| vec![e])?;
        let name = surge.metadata.name.clone().unwrap_or_else(|| "surge".to_owned());
        fits(&given, &spec, &namespace)?;
        for target in &spec.announcement.targets {
            if target.workload.kind != "Deployment" {
                return Err(vec![format!(
                    "target {}: simulate plays Deployments, not a {}",
                    target.name, target.workload.kind
                )]);
            }
        }
        for name in assumptions.replicas.keys() {
            if !spec.announcement.targets.iter().any(|t| t.name == *name) {
                return Err(vec![format!(
                    "\"{name}\" is not a target of {}",
                    text(object, "/metadata/name")
                )]);
            }
        }
        let mut surge = serde_json::to_value(&surge).map_err(|e| vec![e.to_string()])?;
        surge["metadata"] = json!({"name": name, "namespace": namespace});
        let baseline = |t: &Announced| stated(t, &given, &assumptions);
        let curve = curve.unwrap_or_else(|| announced(&spec, &baseline));
        let targets = targets(&spec, &curve, assumptions.full_percent, baseline);
        let mut evening = Self {
            name,
            namespace,
            start,
            duration: end - start,
            begin: start,
            end: start,
            targets,
            curve,
            base_nodes: 0,
            assumptions,
            surge,
            given,
            spec,
        };
        evening.frame();
        Ok(evening)
    }

    /// T0.
    #[must_use]
    pub fn ready_by(&self) -> Instant {
        self.start - self.spec.ready_before
    }

    /// The load at an instant.
    #[must_use]
    pub fn load(&self, at: Instant) -> f64 {
        self.curve.at((at - self.start).as_seconds_f64())
    }

    /// Machines that the surge asks for.
    #[must_use]
    pub fn machines(&self) -> u32 {
        self.spec.announcement.machines.iter().map(|m| m.count).sum()
    }

    /// From well before the first step to well after the last; and as many machines as are there before.
    fn frame(&mut self) {
        let announcement = &self.spec.announcement;
        let first = self
            .targets
            .iter()
            .map(|t| t.lead + timeline::ramp_time(t.baseline, t.planned))
            .fold(TimeDelta::zero(), TimeDelta::max);
        let lead = |name: &str| {
            let class = self.given.iter().find(|o| is(o, "InstanceClass", name));
            class.and_then(|c| number(c, "/spec/leadSeconds")).unwrap_or(ASSUMED_LEAD_SECONDS)
        };
        let machines =
            announcement.machines.iter().map(|m| lead(&m.class)).max().unwrap_or_default();
        let earlier = TimeDelta::seconds(i64::from(machines)) + TimeDelta::minutes(5);
        let warm_up: TimeDelta = announcement.warm_up().map(|step| step.deadline).sum();
        self.begin = self.ready_by() - first - earlier - warm_up;
        let held = announcement.hold.as_ref().map_or(TimeDelta::zero(), |h| h.max_time);
        // Of a load that goes on for days only what the event is about.
        let curve_ends = TimeDelta::seconds(whole(self.curve.ends()));
        let over = self.start
            + (self.duration + held).max(curve_ends.min(self.duration + AFTER_THE_EVENT));
        let steps = 100_u32.div_ceil(announcement.release.step_percent.max(1));
        let down = announcement.release.step_time * i32::try_from(steps * 2).unwrap_or(200);
        self.end = over + down + TimeDelta::minutes(30);
        let per_node = self.assumptions.pods_per_node.max(1);
        let before: u32 = self.targets.iter().map(|t| t.baseline).sum();
        let most: u32 = self.targets.iter().map(|t| self.bounds(t).1.max(t.planned)).sum();
        let burst = self.machines() * per_node;
        self.base_nodes =
            before.div_ceil(per_node).max(most.saturating_sub(burst).div_ceil(per_node));
    }

    /// Everything that is there before the evening, and how it goes.
    #[must_use]
    pub fn scenario(&self, strategy: Strategy) -> Scenario {
        let primetime = strategy == Strategy::Primetime;
        let mut objects = self.objects(strategy);
        if primetime {
            objects.push(self.surge.clone());
        }
        let (curve, start) = (self.curve.clone(), self.start);
        let mut load = Load::of(move |at| curve.at((at - start).as_seconds_f64()));
        // Of what is only looked at, a latency or a share of errors, nothing is known: it is assumed to be fine.
        let signals = self.spec.announcement.signals.iter();
        load.others = signals.filter(|s| s.raises.is_none()).map(|s| s.query.clone()).collect();
        if strategy == Strategy::KedaCron {
            load.crons = self.targets.iter().map(|t| self.cron(t)).collect();
        }
        let (least, most) = self.assumptions.pod_seconds;
        Scenario {
            name: "the evening of a surge",
            begin: self.begin,
            until: Until::Passed(self.end - self.begin),
            deceivable: self.start + self.duration,
            operators: usize::from(primetime),
            objects,
            deeds: Vec::new(),
            load,
            supply: Supply::default(),
            keda: false,
            insists: Vec::new(),
            pace: Pace {
                step: TimeDelta::seconds(1),
                pods_per_second: 20,
                pods_per_node: usize::try_from(self.assumptions.pods_per_node).unwrap_or(10),
                pods_per_namespace: usize::MAX,
                start_up: (u64::from(least) * 1000, u64::from(most.max(least)) * 1000),
                hpa_sync: TimeDelta::seconds(15),
                hpa_memory: TimeDelta::seconds(self.assumptions.hpa_memory_seconds.into()),
                node_autoscaler: if primetime { 0 } else { self.machines() },
            },
            boot_time: TimeDelta::seconds(i64::from(self.assumptions.machine_seconds)),
            flags: Flags::SHIPPED,
        }
    }

    /// The bounds of the HPA above a target: those of the user's, or from what is there to what was announced.
    #[must_use]
    pub fn bounds(&self, target: &Target) -> (u32, u32) {
        let given = self.given.iter().find(|o| scales(o, &target.workload));
        let bound = |field| given.and_then(|hpa| number(hpa, field));
        (
            bound("/spec/minReplicas").unwrap_or(target.baseline),
            bound("/spec/maxReplicas").unwrap_or_else(|| target.max.max(target.planned)),
        )
    }

    fn cron(&self, target: &Target) -> Cron {
        Cron {
            metric: format!("cron-{}", target.name),
            from: self.start - CRON_AHEAD,
            until: self.start + self.duration,
            value: f64::from(target.planned),
        }
    }

    fn objects(&self, strategy: Strategy) -> Vec<Value> {
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
            objects.push(hpa);
        }
        let platform = |kind: &str| {
            self.given.iter().filter(|o| text(o, "/kind") == kind).cloned().collect::<Vec<_>>()
        };
        objects.extend(platform("InstanceClass"));
        objects.extend(platform("MetricsSource"));
        for group in &self.spec.announcement.machines {
            if !objects.iter().any(|o| is(o, "InstanceClass", &group.class)) {
                let mut class = named("primetime.dev/v1alpha1", "InstanceClass", &group.class);
                class["spec"] = json!({
                    "launchTemplate": {"name": "assumed", "version": "$Default"},
                    "instanceTypes": ["m6i.xlarge"], "subnets": ["subnet-assumed"],
                    "leadSeconds": ASSUMED_LEAD_SECONDS,
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
            if matches!(text(object, "/kind"), "InstanceClass" | "MetricsSource") {
                object["metadata"] = json!({"name": text(object, "/metadata/name")});
            }
        }
        objects.extend((0..self.base_nodes).map(|n| {
            let mut node = cluster::node(&format!("base-{n:03}"), None);
            node["apiVersion"] = "v1".into();
            node["kind"] = "Node".into();
            node
        }));
        objects
    }
}

impl Evening {
    /// What a step writes is as it is given, or stands there once.
    fn assume(&self, place: &Place, objects: &mut Vec<Value>) {
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

/// Whether what is given beside a surge belongs to it: what would change nothing is a mistake.
fn fits(given: &[Value], spec: &SurgeSpec, namespace: &str) -> Result<(), Vec<String>> {
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

fn is(object: &Value, kind: &str, name: &str) -> bool {
    text(object, "/kind") == kind && text(object, "/metadata/name") == name
}

fn scales(object: &Value, workload: &str) -> bool {
    text(object, "/kind") == "HorizontalPodAutoscaler"
        && text(object, "/spec/scaleTargetRef/name") == workload
}
