//! Cache of the shell: a compact record of each watched object, and the answers of the cloud, the
//! feeds and the metrics sources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use primetime_api::{HowToRead, SurgeCalendar, calendar_record, how_to_read};
use primetime_core::row::Row;
use primetime_core::run::degrade::values;
use primetime_core::schedule::Schedule;
use primetime_core::state::announcement::Workload;
use primetime_core::state::budget::Ceilings;
use primetime_core::state::calendar::{CalendarRecord, Reading};
use primetime_core::state::hold::{HoldRecord, Reached};
use primetime_core::state::ladder::{self, Object};
use primetime_core::state::observed::{
    self, Asked, Cause, CloudLook, ContainerLimits, Fleet, LaunchAnswer, Node, Obstacles,
    PodTemplate, Quota,
};
use primetime_core::state::overrides::Override;
use primetime_core::state::run::RunRecord;
use primetime_core::state::series::Series;
use primetime_core::state::surge::SurgeRecord;
use primetime_core::state::world::World;
use primetime_core::{Instant, port};

use crate::cache::scalers::Scalers;
use crate::cache::table::{Key, Table};
use crate::kinds::drain::Drain;

/// A `MetricsSource`, as cached for the planner and for the signal reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Part of the spec that the planner needs (`spec.maxSampleAgeSeconds`).
    pub source: observed::MetricsSource,
    /// Address, timeout and maximum sample age of the queries.
    pub asked: port::Source,
    /// Interval between two rounds of queries, in seconds (`spec.intervalSeconds`).
    pub interval_seconds: u32,
}

/// A `SurgeCalendar`, as cached for the planner and for the feed reader.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    /// Record of the calendar for the planner.
    pub record: Row<CalendarRecord>,
    /// Settings for the feed reader. The value is `None` if the spec of the calendar is invalid.
    pub how: Option<HowToRead>,
}

impl From<&SurgeCalendar> for Calendar {
    fn from(object: &SurgeCalendar) -> Self {
        Self { record: calendar_record(object).into(), how: how_to_read(&object.spec).ok() }
    }
}

/// Extent of a change: the namespaces that the planner has to plan again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A single namespace.
    Namespace(String),
    /// Every namespace that holds a surge, a calendar, a run or a hold.
    Everything,
}

/// Observations of this process, and the namespaces that the planner has to plan again.
#[derive(Debug, Default)]
pub struct Cache {
    /// `ScheduledSurge` objects.
    pub surges: Table<Key, SurgeRecord>,
    /// Answers of the API server to a GET of a surge by name. The value is the uid, or `None` if
    /// the surge does not exist.
    pub surge_looks: BTreeMap<Key, Option<String>>,
    /// Why pods of a target are missing, by namespace.
    pub obstacles: BTreeMap<(String, Workload), Obstacles>,
    /// `SurgeCalendar` objects. [`Cache::synced`] does not wait for the kind, because the kind does
    /// not exist if the installed CRDs are older than the operator.
    pub calendars: Table<Key, Calendar>,
    /// Result of the last read of each calendar's feed.
    pub readings: BTreeMap<Key, Arc<Reading>>,
    /// `SurgeRun` objects.
    pub runs: Table<Key, RunRecord>,
    /// `SurgeHold` objects, or the reason why a hold cannot be decoded.
    pub holds: Table<Key, Result<Row<HoldRecord>, String>>,
    /// `SurgeOverride` objects.
    pub overrides: Table<Key, Override>,
    /// `InstanceClass` objects by name.
    pub classes: Table<String, observed::InstanceClass>,
    /// `SurgeBudget` objects by name: the namespaces, and the ceilings. [`Cache::synced`] does not
    /// wait for the kind, because the kind does not exist if the installed CRDs are older than the
    /// operator.
    pub budgets: Table<String, (BTreeSet<String>, Ceilings)>,
    /// `MetricsSource` objects by name.
    pub sources: Table<String, Source>,
    /// `HorizontalPodAutoscaler` objects.
    pub hpas: Scalers,
    /// `ScaledObject`s of KEDA. The table is empty if the cluster has no KEDA.
    pub scaled_objects: Scalers,
    /// Workloads by kind: a map from (`apiVersion`, `kind`) to a table by namespace and name.
    pub workloads: BTreeMap<(String, String), Table<Key, Replicas>>,
    /// Kinds that are not watched after the API server was asked for them, and the cause.
    pub unwatched: BTreeMap<(String, String), Cause>,
    /// `ResourceQuota`s that bound ordinary pods.
    pub quotas: Table<Key, Quota>,
    /// `LimitRange`s.
    pub limits: Table<Key, ContainerLimits>,
    /// True if this installation may launch machines.
    pub may_launch: bool,
    /// True if this installation may list pods (chart value `pods.enabled`).
    pub may_look_at_pods: bool,
    /// Kinds that may be targets in this installation, as API group and kind. Empty if the right of
    /// the service account alone decides.
    pub scalable: BTreeSet<(String, String)>,
    /// True if this installation may create Jobs.
    pub may_run_jobs: bool,
    /// Objects (`ConfigMap`, `HTTPRoute`) that the steps of a ladder may write in this
    /// installation.
    pub may_degrade: BTreeSet<Object>,
    /// Last observation of each place that a ladder step writes, by namespace and place.
    pub places: BTreeMap<(String, ladder::Place), ladder::Seen>,
    /// `Job` objects, including Jobs of other owners, because a suspended Job may be a template.
    pub jobs: Table<Key, observed::Job>,
    /// Keys of all `CronJob` objects. The planner needs only the existence of a `CronJob`.
    pub cron_jobs: Table<Key, ()>,
    /// Error of the last failed creation of each Job.
    pub job_errors: BTreeMap<Key, String>,
    /// Jobs for which a GET by name returned 404.
    pub jobs_gone: BTreeSet<Key>,
    /// Monotonic time at which this process became leader. The value is `None` before the first
    /// leadership.
    pub leads_from: Option<tokio::time::Instant>,
    /// `Node` objects by instance id.
    pub nodes: Table<String, Node>,
    /// Drains in progress, by name of the Node.
    pub drains: BTreeMap<String, Drain>,
    /// Recent samples of each signal, by namespace, source and query.
    pub samples: BTreeMap<(String, String, String), Row<Series>>,
    /// What the last looks at the cloud have shown.
    pub cloud: CloudLook,
    /// Cloud instances of the last complete look, by uid of the run.
    pub fleets: BTreeMap<String, Row<Fleet>>,
    /// Answers about ids that no look has shown, by instance id.
    pub asked: BTreeMap<String, Asked>,
    /// Errors of the last termination calls, by instance id.
    pub not_ended: BTreeMap<String, String>,
    /// Answers of the cloud to launch requests, by token of the batch.
    pub launches: BTreeMap<String, LaunchAnswer>,
    /// Time at which each field of a hold's level was last observed in force.
    reached: BTreeMap<Key, Reached>,
    /// Namespaces with a change since the last plan.
    dirty: BTreeSet<String>,
}

impl Cache {
    /// True if the first list of every kind needed for planning is complete. The kinds are surges,
    /// runs, holds, overrides, instance classes, metrics sources and HPAs, and Nodes if this
    /// installation may launch machines.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.surges.synced()
            && self.runs.synced()
            && self.holds.synced()
            && self.overrides.synced()
            && self.classes.synced()
            && self.sources.synced()
            && self.hpas.synced()
            && (!self.may_launch || self.nodes.synced())
    }

    /// True if the last complete lists of surges, runs, holds, overrides, HPAs and Nodes all began
    /// since this process became leader. The watch of a standby may have missed events. Workloads
    /// and `ScaledObject`s do not count here, because [`World::doubted`] covers each target
    /// separately.
    #[must_use]
    pub fn listed_since_it_leads(&self) -> bool {
        let Some(at) = self.leads_from else { return false };
        self.surges.listed_since(at)
            && self.runs.listed_since(at)
            && self.holds.listed_since(at)
            && self.overrides.listed_since(at)
            && self.hpas.listed_since(at)
            && (!self.may_launch || self.nodes.listed_since(at))
    }

    /// True if each workload kind named by an open run of the namespace is listed or not scalable.
    #[must_use]
    pub fn listed(&self, namespace: &str) -> bool {
        let runs = self.runs.of_namespace(namespace).map(|(_, row)| &row.value);
        let named = runs
            .filter(|r| r.status.completion_time.is_none())
            .flat_map(|r| r.announcement.iter().flat_map(|a| &a.targets));
        named.map(|t| (t.workload.api_version.clone(), t.workload.kind.clone())).all(|kind| {
            self.unwatched.contains_key(&kind)
                || self.workloads.get(&kind).is_some_and(Table::synced)
        })
    }

    /// True if a run of the named surge has begun, is not over, and starts at an occurrence of
    /// `schedule`. The run may belong to a deleted surge of the same name.
    #[must_use]
    pub fn goes_on(&self, namespace: &str, surge: &str, schedule: &Schedule) -> bool {
        self.runs.of_namespace(namespace).map(|(_, row)| &row.value).any(|run| {
            run.surge == surge && run.outlives_its_surge() && schedule.begins_at(run.window.start)
        })
    }

    /// Marks the namespaces of `scope` for the next plan. Returns true for [`Scope::Everything`],
    /// and for a namespace that the call newly marks. A namespace without surge, calendar, run and
    /// hold stays unmarked.
    pub fn mark(&mut self, scope: Scope) -> bool {
        let before = self.dirty.len();
        match scope {
            Scope::Everything => {
                let all = self.namespaces();
                self.dirty.extend(all);
                true
            }
            Scope::Namespace(namespace) => {
                if self.is_ours(&namespace) {
                    self.dirty.insert(namespace);
                }
                self.dirty.len() > before
            }
        }
    }

    /// Returns the marked namespaces and clears the marks.
    pub fn take_dirty(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.dirty)
    }

    fn is_ours(&self, namespace: &str) -> bool {
        self.surges.of_namespace(namespace).next().is_some()
            || self.calendars.of_namespace(namespace).next().is_some()
            || self.runs.of_namespace(namespace).next().is_some()
            || self.holds.of_namespace(namespace).next().is_some()
    }

    /// Returns the namespaces that hold a surge, a calendar, a run or a hold.
    #[must_use]
    pub fn namespaces(&self) -> BTreeSet<String> {
        let surges = self.surges.iter().map(|((ns, _), _)| ns);
        let calendars = self.calendars.iter().map(|((ns, _), _)| ns);
        let runs = self.runs.iter().map(|((ns, _), _)| ns);
        let holds = self.holds.iter().map(|((ns, _), _)| ns);
        surges.chain(calendars).chain(runs).chain(holds).cloned().collect()
    }

    /// True if a kind may be a target in this installation, false if not. Returns `None` if the right
    /// of the service account alone decides.
    #[must_use]
    pub fn may_scale(&self, group: &str, kind: &str) -> Option<bool> {
        let key = (group.to_owned(), kind.to_owned());
        (!self.scalable.is_empty()).then(|| self.scalable.contains(&key))
    }

    /// Returns the workload kinds that surges, runs and holds name.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<(String, String)> {
        let of = |w: &Workload| (w.api_version.clone(), w.kind.clone());
        let mut kinds = BTreeSet::new();
        for (_, surge) in self.surges.iter() {
            let spec = surge.spec.as_ref().ok();
            kinds.extend(
                spec.into_iter().flat_map(|s| &s.announcement.targets).map(|t| of(&t.workload)),
            );
        }
        for (_, run) in self.runs.iter() {
            let spec = run.announcement.as_ref().ok();
            kinds.extend(spec.into_iter().flat_map(|a| &a.targets).map(|t| of(&t.workload)));
        }
        kinds.extend(self.holds.iter().flat_map(|(_, h)| h).map(|h| of(&h.hold.target_ref)));
        kinds
    }

    /// Records which fields of each hold's level are in force in `world`, and returns the records
    /// by name of the hold. Drops GET answers in `surge_looks` that a newer row of the surge
    /// contradicts.
    pub fn observe(
        &mut self,
        namespace: &str,
        world: &World,
        now: Instant,
    ) -> BTreeMap<String, Reached> {
        self.surge_looks.retain(|key, look| {
            self.surges.get(key).is_none_or(|row| Some(&row.value.uid) == look.as_ref())
        });
        self.reached.retain(|(of, name), _| of != namespace || world.holds.contains_key(name));
        let mut all = BTreeMap::new();
        for (name, record) in &world.holds {
            let key = (namespace.to_owned(), name.clone());
            if let Some(live) = world.target(&record.hold.target_ref).known() {
                let after = Reached::after(self.reached.get(&key), &record.hold, live, now);
                self.reached.insert(key.clone(), after);
            }
            all.extend(self.reached.get(&key).map(|reached| (name.clone(), reached.clone())));
        }
        all
    }

    /// Drops the places, Job errors, answers of the cloud, surge answers and drains that no open run,
    /// known run or Node needs.
    pub fn forget_the_past(&mut self) {
        let named: BTreeSet<(&str, &str)> =
            self.runs.iter().map(|((ns, _), r)| (ns.as_str(), r.surge.as_str())).collect();
        self.surge_looks.retain(|(ns, name), _| named.contains(&(ns.as_str(), name.as_str())));
        let held = self.holds.iter().flat_map(|((ns, _), hold)| {
            hold.iter().map(move |record| (ns.as_str(), &record.hold.target_ref))
        });
        let held: BTreeSet<(&str, &Workload)> = held.collect();
        self.obstacles.retain(|(ns, target), _| held.contains(&(ns.as_str(), target)));
        let tokens: BTreeSet<&str> = self
            .runs
            .iter()
            .flat_map(|(_, r)| &r.status.ledger)
            .filter(|b| !b.settled)
            .map(|b| b.token.as_str())
            .collect();
        self.launches.retain(|token, _| tokens.contains(token.as_str()));
        let open = self.runs.iter().filter(|(_, r)| r.status.completion_time.is_none());
        let ids: BTreeSet<&str> =
            open.flat_map(|(_, r)| r.status.living().map(|i| i.id.as_str())).collect();
        self.asked.retain(|id, _| ids.contains(id.as_str()));
        self.not_ended.retain(|id, _| ids.contains(id.as_str()));
        let open = self.runs.iter().filter(|(_, r)| r.status.completion_time.is_none());
        let jobs = open.flat_map(|((ns, _), r)| r.status.jobs.iter().map(move |j| (ns, &j.job)));
        let jobs: BTreeSet<(&String, &String)> = jobs.collect();
        let open = self.runs.iter().filter(|(_, r)| r.status.completion_time.is_none());
        let places = open
            .flat_map(|((ns, _), r)| values::places_of(r).map(move |place| (ns.clone(), place)));
        let places: BTreeSet<(String, ladder::Place)> = places.collect();
        self.places.retain(|place, _| places.contains(place));
        self.job_errors.retain(|(ns, name), _| jobs.contains(&(ns, name)));
        self.jobs_gone.retain(|(ns, name)| jobs.contains(&(ns, name)));
        let nodes: BTreeSet<&str> = self.nodes.iter().map(|(_, n)| n.name.as_str()).collect();
        self.drains.retain(|node, _| nodes.contains(node.as_str()));
    }
}

/// Cached record of a [`Scalable`](crate::kinds::workload::Scalable).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// Desired replicas (`spec.replicas`).
    pub wanted: u32,
    /// Ready replicas (`status.readyReplicas`).
    pub ready: u32,
    /// True if `status.updatedReplicas` is less than `status.replicas`: the rollout is incomplete,
    /// as judged by `kubectl rollout status`.
    pub rolling: bool,
    /// Field manager that last wrote `spec.replicas`.
    pub written_by: Option<String>,
    /// `status.replicas`.
    pub created: u32,
    /// Message of the condition `ReplicaFailure`.
    pub failure: Option<Arc<str>>,
    /// The parts of the pod template that the planner judges.
    pub pods: Arc<PodTemplate>,
}
