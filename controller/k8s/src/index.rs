//! What the watches have seen, kept compactly: one small record per object, never the object itself.

mod scalers;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use primetime_api::{HowToRead, SurgeCalendar, calendar_record, how_to_read};
use primetime_core::Instant;
use primetime_core::port;
use primetime_core::row::Row;
use primetime_core::run::degrade::values;
use primetime_core::schedule::Schedule;
use primetime_core::state::announcement::Workload;
use primetime_core::state::calendar::{CalendarRecord, Reading};
use primetime_core::state::hold::{HoldRecord, Reached};
use primetime_core::state::ladder::{self, Object};
use primetime_core::state::ledger::{LedgerInstance, LedgerState};
use primetime_core::state::observed::{self, Fleet, Jobs, LaunchAnswer, Node, Seen, TargetState};
use primetime_core::state::overrides::Override;
use primetime_core::state::run::RunRecord;
use primetime_core::state::series::Series;
use primetime_core::state::surge::SurgeRecord;
use primetime_core::state::world::World;

pub use self::scalers::Scalers;
pub use self::table::{Lookup, Table};
use crate::narrow::Replicas;

/// Namespace and name.
pub type Key = (String, String);

/// A metrics source as the shell needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What the planner needs.
    pub source: observed::MetricsSource,
    /// How it is asked.
    pub asked: port::Source,
    /// Seconds between two questions.
    pub interval_seconds: u32,
}

/// A calendar as the shell needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    /// What the planner needs.
    pub record: Row<CalendarRecord>,
    /// What the reader of feeds needs, where that can be understood.
    pub how: Option<HowToRead>,
}

impl From<&SurgeCalendar> for Calendar {
    fn from(object: &SurgeCalendar) -> Self {
        Self { record: calendar_record(object).into(), how: how_to_read(&object.spec).ok() }
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
    pub holds: Table<Key, Result<Row<HoldRecord>, String>>,
    /// `SurgeOverride`.
    pub overrides: Table<Key, Override>,
    /// `InstanceClass` by name.
    pub classes: Table<String, observed::InstanceClass>,
    /// `MetricsSource` by name.
    pub sources: Table<String, Source>,
    /// HPAs.
    pub hpas: Scalers,
    /// KEDA's `ScaledObject`s; empty where KEDA is not installed.
    pub scaled_objects: Scalers,
    /// Workloads by kind: (apiVersion, kind) to a table by namespace and name.
    pub workloads: BTreeMap<(String, String), Table<Key, Replicas>>,
    /// Kinds that were looked up and cannot be held: not served, or without a scale subresource.
    pub not_scalable: BTreeSet<(String, String)>,
    /// This installation may create Jobs.
    pub may_run_jobs: bool,
    /// What steps of a ladder may write.
    pub may_degrade: BTreeSet<Object>,
    /// What was seen where steps of a ladder write, by namespace.
    pub places: BTreeMap<(String, ladder::Place), ladder::Seen>,
    /// Jobs, those of other people too: they may be templates.
    pub jobs: Table<Key, observed::Job>,
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
    pub samples: BTreeMap<(String, String, String), Row<Series>>,
    /// Instances by run uid.
    pub fleets: BTreeMap<String, Seen<Row<Fleet>>>,
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
            .is_some_and(|by| by.kind == observed::AutoscalerKind::ScaledObject);
        self.workloads.get(&kind).is_some_and(|table| !table.listed_since(from))
            || (by_keda && !self.scaled_objects.listed_since(from))
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
                .map(|(name, calendar)| (name, calendar.record.clone()))
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
                .map(|(_, row)| Override::clone(&row.value))
                .collect(),
            classes: self.classes.iter().map(|(n, c)| (n.clone(), c.clone())).collect(),
            sources: self.sources.iter().map(|(n, s)| (n.clone(), s.source.clone())).collect(),
            may_degrade: self.may_degrade.clone(),
            may_lower_from,
            cluster: cluster.to_owned(),
            ..World::default()
        };
        for (name, hold) in records(&self.holds, namespace) {
            match &*hold {
                Ok(hold) => drop(world.holds.insert(name, hold.clone())),
                Err(why) => drop(world.unreadable_holds.insert(name, why.clone())),
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
                        world.nodes.insert(
                            instance.id.clone(),
                            Node { pods_left, ..Node::clone(&row.value) },
                        );
                    }
                }
            }
            for place in values::places_of(run) {
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
                    seen.jobs.insert(name.clone(), observed::Job::clone(&row.value));
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

    /// Takes over what the cloud says of a run's instances. Says whether that is to be planned with: it differs from what
    /// was known, or the ledger waits for the cloud's silence to last.
    pub fn see_fleet(&mut self, uid: String, fleet: Fleet) -> bool {
        let known = self.fleets.get(&uid).and_then(Seen::known);
        let same = known.is_some_and(|known| known.instances == fleet.instances);
        let run = self.runs.iter().find(|(_, run)| run.uid == uid);
        let waits = |run: &RunRecord| {
            let asked_for = |i: &LedgerInstance| i.state == LedgerState::Terminating;
            run.status.ledger.iter().any(|b| !b.settled || b.instances.iter().any(asked_for))
        };
        let news = run.filter(|(_, run)| !same || waits(run)).map(|((ns, _), _)| ns.clone());
        self.fleets.insert(uid, Seen::Known(fleet.into()));
        news.is_some_and(|namespace| self.mark(Scope::Namespace(namespace)))
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
            .flat_map(|((ns, _), r)| values::places_of(r).map(move |place| (ns.clone(), place)));
        let places: BTreeSet<(String, ladder::Place)> = places.collect();
        self.places.retain(|place, _| places.contains(place));
        self.job_errors.retain(|(ns, name), _| jobs.contains(&(ns, name)));
        self.jobs_gone.retain(|(ns, name)| jobs.contains(&(ns, name)));
        let nodes: BTreeSet<&str> = self.nodes.iter().map(|(_, n)| n.name.as_str()).collect();
        self.pods_left.retain(|node, _| nodes.contains(node.as_str()));
    }
}

fn records<T>(table: &Table<Key, T>, namespace: &str) -> BTreeMap<String, Row<T>> {
    table.of_namespace(namespace).map(|(name, row)| (name.to_owned(), row.value.clone())).collect()
}
