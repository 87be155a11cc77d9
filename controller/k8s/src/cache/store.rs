//! What the watches have seen, kept compactly: one small record per object, never the object itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use primetime_api::{HowToRead, SurgeCalendar, calendar_record, how_to_read};
use primetime_core::row::Row;
use primetime_core::run::degrade::values;
use primetime_core::schedule::Schedule;
use primetime_core::state::announcement::Workload;
use primetime_core::state::calendar::{CalendarRecord, Reading};
use primetime_core::state::hold::{HoldRecord, Reached};
use primetime_core::state::ladder::{self, Object};
use primetime_core::state::ledger::{LedgerInstance, LedgerState};
use primetime_core::state::observed::{self, Fleet, LaunchAnswer, Node, Seen};
use primetime_core::state::overrides::Override;
use primetime_core::state::run::RunRecord;
use primetime_core::state::series::Series;
use primetime_core::state::surge::SurgeRecord;
use primetime_core::state::world::World;
use primetime_core::{Instant, port};

use crate::cache::scalers::Scalers;
use crate::cache::table::{Key, Table};

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
pub struct Cache {
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

impl Cache {
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

    /// Remembers which fields of the holds of a namespace are in force, as its world shows them, and says what is remembered.
    /// Forgets answers that a list has overtaken.
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

/// What is kept of a [`Scalable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// `spec.replicas`.
    pub wanted: u32,
    /// `status.readyReplicas`.
    pub ready: u32,
    /// `status.updatedReplicas` is less than `status.replicas`: what `kubectl rollout status` waits for.
    pub rolling: bool,
    /// The field manager that last wrote `spec.replicas`.
    pub written_by: Option<String>,
}
