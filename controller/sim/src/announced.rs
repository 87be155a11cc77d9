//! The evening of a surge that a user wrote: given objects, assumed objects and the scaling
//! strategy.

pub mod assumptions;
pub mod evening;
pub mod followed;
pub mod given;
pub mod objects;
pub mod surge;
pub mod target;

use chrono::TimeDelta;
use primetime_api::{InstanceClass, MetricsSource, SurgeBudget};
use primetime_core::schedule::{Occurrence, Rule, Schedule, When};
use primetime_core::shape::floor;
use primetime_core::state::announcement::{Target as Announced, Window};
use primetime_core::state::surge::SurgeSpec;
use primetime_core::{Instant, timeline};
use serde_json::{Value, json};

use crate::announced::assumptions::{ASSUMED_LEAD_SECONDS, Assumptions, Strategy};
use crate::announced::evening::Evening;
use crate::announced::followed::Followed;
use crate::announced::given::fits;
use crate::announced::objects::{is, number, text};
use crate::announced::surge::{read as read_surge, strict};
use crate::announced::target::{Target, announced, stated, targets};
use crate::cloud::Supply;
use crate::cluster::model::Pace;
use crate::curve::Curve;
use crate::evening::{Scenario, Until};
use crate::load::Load;
use crate::operator::Flags;
use crate::whole;

/// Longest time after the end of the event for which an evening plays a load that continues.
const AFTER_THE_EVENT: TimeDelta = TimeDelta::hours(2);

impl Evening {
    /// Reads the documents of a file: a single `ScheduledSurge`, and any number of objects around
    /// the surge.
    ///
    /// If the surge recurs, the evening is the next occurrence as of `now`. The caller's function
    /// `curve` derives the load from the surge. If `curve` returns `None`, the reader derives the
    /// load from the announced replicas.
    ///
    /// The reader makes a single pass over the documents, so that each error names the document
    /// that caused the error.
    ///
    /// # Errors
    ///
    /// Returns a sentence per error. A document fails if its kind is unsupported, if the API server
    /// would refuse the document, or if a given object belongs to no target. The surge fails if its
    /// calendar is unreadable, if its schedule has no future occurrence, or if a target is not a
    /// `Deployment`. The file fails if the number of `ScheduledSurge` objects is not 1. The
    /// assumptions fail if a replica count names an unknown target.
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
                "SurgeBudget" => given.push(strict::<SurgeBudget>(document)?.1),
                "MetricsSource" => given.push(strict::<MetricsSource>(document)?.1),
                "Deployment"
                | "HorizontalPodAutoscaler"
                | "ConfigMap"
                | "HTTPRoute"
                | "ResourceQuota"
                | "LimitRange" => {
                    given.push(document.clone());
                }
                // `followed::schedule` looks up a `SurgeCalendar` in the documents if a surge
                // refers to the calendar. The simulator does not run the template of a `Job` or
                // `CronJob`. The simulator assumes that the template is valid.
                "Namespace" | "SurgeCalendar" | "CronJob" | "Job" => {}
                kind => {
                    return Err(vec![format!(
                        "{kind} {}: not understood here; simulate reads one ScheduledSurge, and Deployment, \
                     HorizontalPodAutoscaler, InstanceClass, MetricsSource, SurgeBudget, SurgeCalendar, ConfigMap, HTTPRoute, ResourceQuota, LimitRange, CronJob and Job beside it",
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
        let Followed { schedule, .. } = followed::schedule(&spec, &namespace, documents, now)?;
        let next = schedule.next_or_last(now);
        let Occurrence { start, end, .. } = next.ok_or_else(|| {
            vec!["spec.schedule: nothing is to come, or every day is excluded".to_owned()]
        })?;
        // The evening plays a single occurrence of a recurring schedule.
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

    /// Returns the times of the event: T0, start and end.
    #[must_use]
    pub fn window(&self) -> Window {
        Window { ready_by: self.ready_by(), start: self.start, end: self.start + self.duration }
    }

    /// Returns T0: `start` minus `spec.readyBeforeSeconds`.
    #[must_use]
    pub fn ready_by(&self) -> Instant {
        self.start - self.spec.ready_before
    }

    /// Returns the load at an instant.
    #[must_use]
    pub fn load(&self, at: Instant) -> f64 {
        self.curve.at((at - self.start).as_seconds_f64())
    }

    /// Returns the replicas that the shape of a target asks for at an instant. Returns `None` without a
    /// shape.
    #[must_use]
    pub fn due(&self, target: &Target, at: Instant) -> Option<u32> {
        let announced = self.spec.announcement.targets.iter().find(|t| t.name == target.name)?;
        let shape = announced.shape.as_ref()?;
        let pace = (TimeDelta::zero(), self.spec.announcement.release);
        Some(floor(shape, (target.planned, target.baseline), &self.window(), pace, at))
    }

    /// Returns the number of machines that the surge requests in `spec.machines[].count`.
    #[must_use]
    pub fn machines(&self) -> u32 {
        self.spec.announcement.machines.iter().map(|m| m.count).sum()
    }

    /// Sets the begin and end of the evening, and the number of nodes before the event.
    ///
    /// The begin leaves all lead times and five minutes before T0. The end leaves twice the nominal
    /// duration of the release, and 30 minutes more.
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
        // A load may continue for days after the event: the evening plays at most two hours of the
        // rest.
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

    /// Builds the scenario of the evening for a strategy: all objects before the event, the load
    /// and the pace of the cluster.
    #[must_use]
    pub fn scenario(&self, strategy: Strategy) -> Scenario {
        let primetime = strategy == Strategy::Primetime;
        let mut objects = self.objects(strategy);
        if primetime {
            objects.push(self.surge.clone());
        }
        let (curve, start) = (self.curve.clone(), self.start);
        let mut load = Load::of(move |at| curve.at((at - start).as_seconds_f64()));
        // The simulator has no data for a signal without `raises`, for example a latency or an
        // error rate. The simulated Prometheus answers such a query with 0.
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
                pods_per_namespace: self.pods_allowed(),
                start_up: (u64::from(least) * 1000, u64::from(most.max(least)) * 1000),
                hpa_sync: TimeDelta::seconds(15),
                hpa_memory: TimeDelta::seconds(self.assumptions.hpa_memory_seconds.into()),
                node_autoscaler: if primetime { 0 } else { self.machines() },
            },
            boot_time: TimeDelta::seconds(i64::from(self.assumptions.machine_seconds)),
            flags: Flags::SHIPPED,
        }
    }
}
