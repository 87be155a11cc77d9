//! What the watches have seen, kept compactly: one small record per object, never the object itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use primetime_api::{HowToRead, SurgeCalendar, calendar_record, how_to_read};
use primetime_core::Instant;
use primetime_core::calendar::{CalendarRecord, Reading};
use primetime_core::degrade::{self, Object};
use primetime_core::hold::{self, HoldRecord, Reached};
use primetime_core::overrides::Override;
use primetime_core::port;
use primetime_core::run::RunRecord;
use primetime_core::schedule::Schedule;
use primetime_core::signal::Series;
use primetime_core::surge::Workload;
use primetime_core::world::{
    self, Fleet, Jobs, LaunchAnswer, Node, Seen, SurgeRecord, TargetState, World,
};

use crate::narrow::{Replicas, Scaler};

/// Namespace and name.
pub type Key = (String, String);

/// A record and the resourceVersion it was read at.
#[derive(Clone, Debug)]
pub struct Versioned<T> {
    /// The record.
    pub value: T,
    /// The resourceVersion.
    pub version: String,
}

/// A metrics source as the shell needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What the planner needs.
    pub source: world::MetricsSource,
    /// How it is asked.
    pub asked: port::Source,
    /// Seconds between two questions.
    pub interval_seconds: u32,
}

/// A calendar as the shell needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// What the planner needs.
    pub record: CalendarRecord,
    /// What the reader of feeds needs, where that can be understood.
    pub how: Option<HowToRead>,
}

impl From<&SurgeCalendar> for Calendar {
    fn from(object: &SurgeCalendar) -> Self {
        Self { record: calendar_record(object), how: how_to_read(&object.spec).ok() }
    }
}

/// A map that keeps the newer of two versions, and forgets what a relist no longer shows.
#[derive(Debug)]
pub struct Table<K, T> {
    rows: BTreeMap<K, Versioned<T>>,
    /// Keys seen by the relist that is going on.
    relisting: Option<BTreeSet<K>>,
    /// When it began.
    began: Option<tokio::time::Instant>,
    /// When the last one that came to its end began, and was not doubted.
    as_of: Option<tokio::time::Instant>,
    /// When the last one that came to its end began.
    listed: Option<tokio::time::Instant>,
    /// Keys that it did not show, too many to be believed of one list.
    missing: BTreeSet<K>,
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            relisting: None,
            began: None,
            as_of: None,
            listed: None,
            missing: BTreeSet::new(),
        }
    }
}

/// resourceVersions are opaque before Kubernetes 1.35 and comparable as numbers since (KEP-5504); every API server so
/// far has numbers. Anything else counts as newer.
fn older(version: &str, than: &str) -> bool {
    match (version.parse::<u64>(), than.parse::<u64>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => false,
    }
}

impl<K: Ord + Clone, T: PartialEq> Table<K, T> {
    /// Takes a row over unless a newer one is known: our own write may be ahead of the watch. Says whether that
    /// changed anything.
    pub fn apply(&mut self, key: K, value: T, version: String) -> bool {
        if let Some(seen) = self.relisting.as_mut() {
            seen.insert(key.clone());
        }
        if self.rows.get(&key).is_some_and(|row| older(&version, &row.version)) {
            return false;
        }
        // A list that is going on is judged when it is over; a watch is believed at once.
        if self.relisting.is_none() {
            self.missing.remove(&key);
        }
        let changed = self.rows.get(&key).is_none_or(|row| row.value != value);
        self.rows.insert(key, Versioned { value, version });
        changed
    }
}

impl<K: Ord + Clone, T> Table<K, T> {
    /// Forgets a row that a watch saw deleted, unless the object was created again since.
    pub fn delete(&mut self, key: &K, version: &str) {
        if self.rows.get(key).is_some_and(|row| !older(version, &row.version)) {
            self.forget(key);
        }
    }

    /// A relist begins.
    pub fn relist(&mut self) {
        self.relisting = Some(BTreeSet::new());
        self.began = Some(tokio::time::Instant::now());
    }

    /// A relist has shown everything there is. Where more than a fifth is missing, a second list has to say so too: who
    /// believes half a list gives back half of what is held, as an autoscaler at Reddit did in 2016.
    pub fn relisted(&mut self) {
        if let Some(seen) = self.relisting.take() {
            let missing: BTreeSet<K> =
                self.rows.keys().filter(|key| !seen.contains(key)).cloned().collect();
            let doubted = missing.len() * 5 > self.rows.len();
            let gone = |key: &K| missing.contains(key) && (!doubted || self.missing.contains(key));
            self.rows.retain(|key, _| !gone(key));
            self.missing = missing.into_iter().filter(|key| self.rows.contains_key(key)).collect();
        }
        self.listed = self.began.or(self.listed);
        // What is doubted has not been looked at. The first list can only be believed.
        if self.missing.is_empty() {
            self.as_of = self.began.or(self.as_of);
        }
    }

    /// The last list is to be confirmed by another one.
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        !self.missing.is_empty()
    }

    /// A row.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&Versioned<T>> {
        self.rows.get(key)
    }

    /// Forgets a row that we deleted ourselves.
    pub fn forget(&mut self, key: &K) {
        self.rows.remove(key);
        self.missing.remove(key);
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &T)> {
        self.rows.iter().map(|(key, row)| (key, &row.value))
    }

    /// Everything there was at some instant has been seen.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.as_of.is_some()
    }

    /// Everything that a list shows which began at this instant or later was seen.
    #[must_use]
    pub fn listed_since(&self, at: tokio::time::Instant) -> bool {
        self.listed.is_some_and(|listed| listed >= at)
    }

    /// How long ago the last list that came to its end was asked for.
    #[must_use]
    pub fn age(&self) -> Option<std::time::Duration> {
        self.as_of.map(|at| at.elapsed())
    }
}

impl<T> Table<Key, T> {
    fn of_namespace<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Versioned<T>)> {
        self.rows
            .range((namespace.to_owned(), String::new())..)
            .take_while(move |((ns, _), _)| ns == namespace)
            .map(|((_, name), row)| (name.as_str(), row))
    }
}

/// What a change can concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One namespace.
    Namespace(String),
    /// All of them.
    Everything,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub struct Index {
    /// `ScheduledSurge`.
    pub surges: Table<Key, SurgeRecord>,
    /// Answers of the API server that was asked for a surge by name: the uid of the surge, or that there is none.
    pub surge_looks: BTreeMap<Key, Option<String>>,
    /// `SurgeCalendar`. Not waited for: where the definition of the kind is older than the operator there are none.
    pub calendars: Table<Key, Calendar>,
    /// The last look at the feed of each.
    pub readings: BTreeMap<Key, Arc<Reading>>,
    /// `SurgeRun`.
    pub runs: Table<Key, RunRecord>,
    /// `SurgeHold`, or why one cannot be understood.
    pub holds: Table<Key, Result<HoldRecord, String>>,
    /// `SurgeOverride`.
    pub overrides: Table<Key, Override>,
    /// `InstanceClass` by name.
    pub classes: Table<String, world::InstanceClass>,
    /// `MetricsSource` by name.
    pub sources: Table<String, Source>,
    /// HPAs.
    pub hpas: Table<Key, Scaler>,
    /// KEDA's `ScaledObject`s; empty where KEDA is not installed.
    pub scaled_objects: Table<Key, Scaler>,
    /// Workloads by kind: (apiVersion, kind) to a table by namespace and name.
    pub workloads: BTreeMap<(String, String), Table<Key, Replicas>>,
    /// Kinds that were looked up and cannot be held: not served, or without a scale subresource.
    pub not_scalable: BTreeSet<(String, String)>,
    /// This installation may create Jobs.
    pub may_run_jobs: bool,
    /// What steps of a ladder may write.
    pub may_degrade: BTreeSet<Object>,
    /// What was seen where steps of a ladder write, by namespace.
    pub places: BTreeMap<(String, degrade::Place), degrade::Seen>,
    /// Jobs, those of other people too: they may be templates.
    pub jobs: Table<Key, world::Job>,
    /// `CronJob`s.
    pub cron_jobs: Table<Key, ()>,
    /// Why a Job could not be created.
    pub job_errors: BTreeMap<Key, String>,
    /// Jobs that were asked for by name and are not there.
    pub jobs_gone: BTreeSet<Key>,
    /// Since when this process leads.
    pub leads_from: Option<tokio::time::Instant>,
    /// Nodes by instance id.
    pub nodes: Table<String, Node>,
    /// Pods left on nodes that are being drained, by node name.
    pub pods_left: BTreeMap<String, u32>,
    /// What sources have said lately, by namespace, source and query.
    pub samples: BTreeMap<(String, String, String), Series>,
    /// Instances by run uid.
    pub fleets: BTreeMap<String, Seen<Fleet>>,
    /// Answers to launches by token.
    pub launches: BTreeMap<String, LaunchAnswer>,
    /// When the fields of a hold's level were last seen in force.
    reached: BTreeMap<Key, Reached>,
    /// Namespaces in which something has changed since they were last planned.
    dirty: BTreeSet<String>,
}

impl Index {
    /// Our own kinds, the autoscalers and the nodes have been seen completely.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.surges.synced()
            && self.runs.synced()
            && self.holds.synced()
            && self.overrides.synced()
            && self.classes.synced()
            && self.sources.synced()
            && self.hpas.synced()
            && self.nodes.synced()
    }

    /// Our own kinds, HPAs and nodes have been listed since this process leads: watches alone may have kept something to
    /// themselves. Of other kinds only what they concern waits: see [`World::doubted`].
    #[must_use]
    pub fn listed_since_it_leads(&self) -> bool {
        let Some(at) = self.leads_from else { return false };
        self.surges.listed_since(at)
            && self.runs.listed_since(at)
            && self.holds.listed_since(at)
            && self.overrides.listed_since(at)
            && self.hpas.listed_since(at)
            && self.nodes.listed_since(at)
    }

    /// Every kind of workload that is named in a namespace has been listed, or cannot be.
    #[must_use]
    pub fn listed(&self, namespace: &str) -> bool {
        let runs = self.runs.of_namespace(namespace).map(|(_, row)| &row.value);
        let named = runs
            .filter(|r| r.status.completion_time.is_none())
            .flat_map(|r| r.announcement.iter().flat_map(|a| &a.targets));
        named.map(|t| (t.workload.api_version.clone(), t.workload.kind.clone())).all(|kind| {
            self.not_scalable.contains(&kind)
                || self.workloads.get(&kind).is_some_and(Table::synced)
        })
    }

    /// A run of this surge, or of one of its name before it, has begun, is not over, and is an occurrence of this schedule.
    #[must_use]
    pub fn goes_on(&self, namespace: &str, surge: &str, schedule: &Schedule) -> bool {
        self.runs.of_namespace(namespace).map(|(_, row)| &row.value).any(|run| {
            run.surge == surge && run.outlives_its_surge() && schedule.begins_at(run.window.start)
        })
    }

    /// Marks what a change concerns, and says whether there is anything of ours in it.
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

    /// Takes the namespaces in which something has changed.
    pub fn take_dirty(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.dirty)
    }

    fn is_ours(&self, namespace: &str) -> bool {
        self.surges.of_namespace(namespace).next().is_some()
            || self.calendars.of_namespace(namespace).next().is_some()
            || self.runs.of_namespace(namespace).next().is_some()
            || self.holds.of_namespace(namespace).next().is_some()
    }

    /// Namespaces in which there is anything of ours.
    #[must_use]
    pub fn namespaces(&self) -> BTreeSet<String> {
        let surges = self.surges.iter().map(|((ns, _), _)| ns);
        let calendars = self.calendars.iter().map(|((ns, _), _)| ns);
        let runs = self.runs.iter().map(|((ns, _), _)| ns);
        let holds = self.holds.iter().map(|((ns, _), _)| ns);
        surges.chain(calendars).chain(runs).chain(holds).cloned().collect()
    }

    /// Kinds of workloads that anything of ours names.
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

    /// What is known of a workload.
    fn target(&self, namespace: &str, workload: &Workload) -> Seen<TargetState> {
        let kind = (workload.api_version.clone(), workload.kind.clone());
        let Some(table) = self.workloads.get(&kind) else {
            let why = if self.not_scalable.contains(&kind) {
                "is not served, or has no scale subresource"
            } else {
                "is not watched yet"
            };
            return Seen::Unknown(format!("{} {why}", workload.kind));
        };
        let key = (namespace.to_owned(), workload.name.clone());
        match table.get(&key) {
            Some(row) => match self.scaler(namespace, workload) {
                // To take such a target for a plain one would fight KEDA, and lose.
                None if self.scaled_by_unseen_keda(namespace, workload) => {
                    Seen::Unknown("its ScaledObject is not listed yet".to_owned())
                }
                scaler => Seen::Known(TargetState {
                    replicas: row.value.wanted,
                    ready: row.value.ready,
                    rolling: row.value.rolling,
                    written_by: row.value.written_by.clone(),
                    paused: scaler.is_some_and(|scaler| scaler.paused),
                    kept_at: self.kept_at(namespace, workload, scaler),
                    autoscaler: scaler.map(|scaler| scaler.bounds.clone()),
                }),
            },
            None if table.synced() => Seen::Absent,
            None => Seen::Unknown(format!("{} is not listed yet", workload.kind)),
        }
    }

    /// What is known of a workload, or of what scales it, is from before this process led.
    fn is_doubted(&self, workload: &Workload, seen: &Seen<TargetState>) -> bool {
        let Some(from) = self.leads_from else { return false };
        let kind = (workload.api_version.clone(), workload.kind.clone());
        let by_keda = seen
            .known()
            .and_then(|live| live.autoscaler.as_ref())
            .is_some_and(|by| by.kind == world::AutoscalerKind::ScaledObject);
        self.workloads.get(&kind).is_some_and(|table| !table.listed_since(from))
            || (by_keda && !self.scaled_objects.listed_since(from))
    }

    /// What scales a workload: the autoscaler that its hold has on record, as long as it is there; otherwise a `ScaledObject`
    /// before the HPA it generates. A new one beside it (a Helm rename creates before it deletes) changes nothing yet.
    fn scaler<'a>(&'a self, namespace: &'a str, workload: &'a Workload) -> Option<&'a Scaler> {
        let by_keda = || of_workload(&self.scaled_objects, namespace, workload);
        let hpas = || of_workload(&self.hpas, namespace, workload).filter(|s| !s.generated);
        let hold = self.holds.get(&(namespace.to_owned(), hold::name(workload)));
        let known = hold.and_then(|row| row.value.as_ref().ok()?.hold.baseline.autoscaler.as_ref());
        let on_record =
            known.and_then(|known| by_keda().chain(hpas()).find(|s| s.bounds.is(known)));
        on_record.or_else(|| by_keda().next()).or_else(|| hpas().next())
    }

    /// What scales it, or the HPA that KEDA has generated for it, would go below this, if it were not its minimum.
    fn kept_at(
        &self,
        namespace: &str,
        workload: &Workload,
        scaler: Option<&Scaler>,
    ) -> Option<u32> {
        let scaler = scaler?;
        if scaler.bounds.kind == world::AutoscalerKind::HorizontalPodAutoscaler {
            return scaler.kept_at;
        }
        of_workload(&self.hpas, namespace, workload).find(|hpa| hpa.generated)?.kept_at
    }

    /// KEDA has generated an HPA for the workload, and the `ScaledObject` behind it was not seen.
    fn scaled_by_unseen_keda(&self, namespace: &str, workload: &Workload) -> bool {
        of_workload(&self.hpas, namespace, workload).any(|s| s.generated)
            && of_workload(&self.scaled_objects, namespace, workload).next().is_none()
    }

    /// One namespace as the planner sees it. Remembers which levels are in force.
    pub fn world(
        &mut self,
        namespace: &str,
        cluster: &str,
        may_lower_from: Instant,
        now: Instant,
    ) -> World {
        // What a list shows is newer than an answer that says something else.
        self.surge_looks.retain(|key, look| {
            self.surges.get(key).is_none_or(|row| Some(&row.value.uid) == look.as_ref())
        });
        let mut world = World {
            surges: records(&self.surges, namespace),
            calendars: records(&self.calendars, namespace)
                .into_iter()
                .map(|(name, calendar)| (name, calendar.record))
                .collect(),
            readings: self
                .readings
                .range((namespace.to_owned(), String::new())..)
                .take_while(|((ns, _), _)| ns == namespace)
                .map(|((_, name), reading)| (name.clone(), reading.clone()))
                .collect(),
            runs: records(&self.runs, namespace),
            surge_looks: self
                .surge_looks
                .range((namespace.to_owned(), String::new())..)
                .take_while(|((ns, _), _)| ns == namespace)
                .map(|((_, name), look)| (name.clone(), look.clone()))
                .collect(),
            overrides: self
                .overrides
                .of_namespace(namespace)
                .map(|(_, row)| row.value.clone())
                .collect(),
            classes: self.classes.iter().map(|(n, c)| (n.clone(), c.clone())).collect(),
            sources: self.sources.iter().map(|(n, s)| (n.clone(), s.source.clone())).collect(),
            may_degrade: self.may_degrade.clone(),
            may_lower_from,
            cluster: cluster.to_owned(),
            ..World::default()
        };
        for (name, hold) in records(&self.holds, namespace) {
            match hold {
                Ok(hold) => drop(world.holds.insert(name, hold)),
                Err(why) => drop(world.unreadable_holds.insert(name, why)),
            }
        }
        let age = self.nodes.age().map(chrono::TimeDelta::from_std);
        world.nodes_as_of = age.and_then(Result::ok).map(|age| now - age);
        let mut workloads = BTreeSet::new();
        for run in world.runs.values().filter(|r| r.status.completion_time.is_none()) {
            let targets = run.announcement.iter().flat_map(|a| &a.targets);
            workloads.extend(targets.map(|t| t.workload.clone()));
            if let Some(fleet) = self.fleets.get(&run.uid) {
                world.fleets.insert(run.uid.clone(), fleet.clone());
            }
            for batch in &run.status.ledger {
                if let Some(answer) = self.launches.get(&batch.token) {
                    world.launches.insert(batch.token.clone(), answer.clone());
                }
                for instance in &batch.instances {
                    if let Some(row) = self.nodes.get(&instance.id) {
                        let pods_left = self.pods_left.get(&row.value.name).copied();
                        world
                            .nodes
                            .insert(instance.id.clone(), Node { pods_left, ..row.value.clone() });
                    }
                }
            }
            for place in degrade::places_of(run) {
                let key = (namespace.to_owned(), place);
                if let Some(seen) = self.places.get(&key) {
                    world.places.insert(key.1, seen.clone());
                }
            }
            for signal in run.announcement.iter().flat_map(|a| &a.signals) {
                let key = (namespace.to_owned(), signal.source.clone(), signal.query.clone());
                if let Some(series) = self.samples.get(&key) {
                    world.samples.insert((key.1, key.2), series.clone());
                }
            }
        }
        world.jobs = self.jobs(namespace, &world);
        workloads.extend(world.holds.values().map(|h| h.hold.target_ref.clone()));
        for workload in workloads {
            let seen = self.target(namespace, &workload);
            if self.is_doubted(&workload, &seen) {
                world.doubted.insert(workload.clone());
            }
            world.targets.insert(workload, seen);
        }
        self.remember_reached(namespace, &world, now);
        for name in world.holds.keys() {
            if let Some(reached) = self.reached.get(&(namespace.to_owned(), name.clone())) {
                world.reached.insert(name.clone(), reached.clone());
            }
        }
        world
    }

    /// The Jobs that runs of a namespace speak of, and their templates.
    fn jobs(&self, namespace: &str, world: &World) -> Seen<Jobs> {
        if !self.may_run_jobs {
            return Seen::Absent;
        }
        if !self.jobs.synced() || !self.cron_jobs.synced() {
            return Seen::Unknown("Jobs are not listed yet".to_owned());
        }
        if self
            .leads_from
            .is_some_and(|at| !self.jobs.listed_since(at) || !self.cron_jobs.listed_since(at))
        {
            return Seen::Unknown("Jobs are not listed anew yet".to_owned());
        }
        let mut seen = Jobs::default();
        let open = world.runs.values().filter(|r| r.status.completion_time.is_none());
        for run in open {
            let steps = run.announcement.iter().flat_map(|a| &a.jobs);
            let templates = steps.map(|step| &step.template.name);
            let created = run.status.jobs.iter().map(|job| &job.job);
            for name in templates.chain(created) {
                let key = (namespace.to_owned(), name.clone());
                if self.cron_jobs.get(&key).is_some() {
                    seen.cron_jobs.insert(name.clone());
                }
                if let Some(row) = self.jobs.get(&key) {
                    seen.jobs.insert(name.clone(), row.value.clone());
                }
                if self.jobs_gone.contains(&key) {
                    seen.gone.insert(name.clone());
                }
                if let Some(why) = self.job_errors.get(&key) {
                    seen.errors.insert(name.clone(), why.clone());
                }
            }
        }
        Seen::Known(seen)
    }

    fn remember_reached(&mut self, namespace: &str, world: &World, now: Instant) {
        self.reached.retain(|(ns, name), _| ns != namespace || world.holds.contains_key(name));
        for (name, record) in &world.holds {
            if let Some(live) = world.target(&record.hold.target_ref).known() {
                let key = (namespace.to_owned(), name.clone());
                let after = Reached::after(self.reached.get(&key), &record.hold, live, now);
                self.reached.insert(key, after);
            }
        }
    }

    /// Forgets what belongs to runs that are over.
    pub fn forget_the_past(&mut self) {
        let open: BTreeSet<&str> = self
            .runs
            .iter()
            .filter(|(_, r)| r.status.completion_time.is_none())
            .map(|(_, r)| r.uid.as_str())
            .collect();
        self.fleets.retain(|uid, _| open.contains(uid.as_str()));
        let named: BTreeSet<(&str, &str)> =
            self.runs.iter().map(|((ns, _), r)| (ns.as_str(), r.surge.as_str())).collect();
        self.surge_looks.retain(|(ns, name), _| named.contains(&(ns.as_str(), name.as_str())));
        let tokens: BTreeSet<&str> = self
            .runs
            .iter()
            .flat_map(|(_, r)| &r.status.ledger)
            .filter(|b| !b.settled)
            .map(|b| b.token.as_str())
            .collect();
        self.launches.retain(|token, _| tokens.contains(token.as_str()));
        let open = self.runs.iter().filter(|(_, r)| r.status.completion_time.is_none());
        let jobs = open.flat_map(|((ns, _), r)| r.status.jobs.iter().map(move |j| (ns, &j.job)));
        let jobs: BTreeSet<(&String, &String)> = jobs.collect();
        let open = self.runs.iter().filter(|(_, r)| r.status.completion_time.is_none());
        let places = open
            .flat_map(|((ns, _), r)| degrade::places_of(r).map(move |place| (ns.clone(), place)));
        let places: BTreeSet<(String, degrade::Place)> = places.collect();
        self.places.retain(|place, _| places.contains(place));
        self.job_errors.retain(|(ns, name), _| jobs.contains(&(ns, name)));
        self.jobs_gone.retain(|(ns, name)| jobs.contains(&(ns, name)));
        let nodes: BTreeSet<&str> = self.nodes.iter().map(|(_, n)| n.name.as_str()).collect();
        self.pods_left.retain(|node, _| nodes.contains(node.as_str()));
    }
}

/// The scalers of a workload in a table.
fn of_workload<'a>(
    table: &'a Table<Key, Scaler>,
    namespace: &'a str,
    workload: &'a Workload,
) -> impl Iterator<Item = &'a Scaler> {
    table.of_namespace(namespace).map(|(_, row)| &row.value).filter(|s| {
        s.target.kind == workload.kind
            && s.target.name == workload.name
            && group(&s.target.api_version) == group(&workload.api_version)
    })
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

fn records<T: Clone>(table: &Table<Key, T>, namespace: &str) -> BTreeMap<String, T> {
    table.of_namespace(namespace).map(|(name, row)| (name.to_owned(), row.value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_list_is_believed_when_a_second_one_says_the_same() {
        let mut table: Table<u32, u32> = Table::default();
        let list = |table: &mut Table<u32, u32>, keys: std::ops::Range<u32>| {
            table.relist();
            for key in keys {
                table.apply(key, 0, String::new());
            }
            table.relisted();
            table.iter().count()
        };
        assert_eq!(list(&mut table, 0..10), 10);
        assert_eq!((list(&mut table, 0..8), table.is_doubted()), (8, false), "a fifth is believed");
        assert_eq!((list(&mut table, 0..4), table.is_doubted()), (8, true));
        assert_eq!((list(&mut table, 0..8), table.is_doubted()), (8, false), "they are back");
        list(&mut table, 0..4);
        assert_eq!((list(&mut table, 0..4), table.is_doubted()), (4, false), "they are gone");
    }

    #[test]
    fn our_own_write_is_not_undone_by_a_watch_that_lags() {
        let mut table = Table::default();
        assert!(table.apply("web", 10, "100".into()));
        assert!(table.apply("web", 180, "105".into()));
        assert!(!table.apply("web", 10, "101".into()));
        assert_eq!(table.get(&"web").unwrap().value, 180);
        table.delete(&"web", "104");
        assert!(table.get(&"web").is_some(), "a deletion of an earlier object");
        table.delete(&"web", "106");
        assert!(table.get(&"web").is_none());
    }

    #[test]
    fn a_relist_forgets_what_it_does_not_show() {
        let mut table = Table::default();
        table.apply("gone", 1, "1".into());
        for stays in ["web", "a", "b", "c"] {
            table.apply(stays, 1, "2".into());
        }
        table.relist();
        for stays in ["web", "a", "b", "c"] {
            table.apply(stays, 2, "3".into());
        }
        assert!(!table.synced());
        table.relisted();
        assert!(table.synced() && table.get(&"gone").is_none());
        assert_eq!(table.get(&"web").unwrap().value, 2);
    }
}
