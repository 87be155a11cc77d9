//! Snapshot of one namespace for the planner: a projection of the cache, without side effects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use primetime_core::Instant;
use primetime_core::row::Row;
use primetime_core::run::degrade::values;
use primetime_core::state::announcement::Workload;
use primetime_core::state::budget::Budget;
use primetime_core::state::hold;
use primetime_core::state::observed::{
    self, Bounds, Cause, ContainerLimits, Jobs, Node, Quota, Seen, TargetState,
};
use primetime_core::state::overrides::Override;
use primetime_core::state::world::World;

use crate::cache::scalers::{Scaler, Scalers, group};
use crate::cache::store::Cache;
use crate::cache::table::{Key, Lookup, Table};

impl Cache {
    /// Returns the cached state of a workload, or the reason why the state is unknown.
    #[must_use]
    pub fn target(&self, namespace: &str, workload: &Workload) -> Seen<TargetState> {
        let kind = (workload.api_version.clone(), workload.kind.clone());
        let Some(table) = self.workloads.get(&kind) else {
            let cause = self.unwatched.get(&kind).cloned();
            return Seen::Unknown(cause.unwrap_or(Cause::NotWatched(kind.1)));
        };
        let key = (namespace.to_owned(), workload.name.clone());
        match table.get(&key) {
            Some(row) => match self.scaler(namespace, workload) {
                // The cache must not report a target of KEDA as a target without autoscaler,
                // because KEDA would revert every write to `spec.replicas`.
                None if self.scaled_by_unseen_keda(namespace, workload) => {
                    Seen::Unknown(Cause::ScaledObjectNotListed)
                }
                scaler => Seen::Known(TargetState {
                    replicas: row.value.wanted,
                    ready: row.value.ready,
                    rolling: row.value.rolling,
                    written_by: row.value.written_by.clone(),
                    paused: scaler.is_some_and(|scaler| scaler.paused),
                    kept_at: self.kept_at(namespace, workload, scaler),
                    autoscaler: scaler.map(|scaler| scaler.bounds.clone()),
                    created: row.value.created,
                    never_scales_down: scaler.is_some_and(|scaler| scaler.never_scales_down),
                    bounds_written_by: scaler.and_then(|scaler| scaler.written_by.clone()),
                    pods: row.value.pods.clone(),
                    failure: row.value.failure.clone(),
                }),
            },
            None if table.synced() => Seen::Absent,
            None => Seen::Unknown(unlisted(
                table,
                &workload.kind,
                "add it to scalableKinds of the Helm chart",
            )),
        }
    }

    /// True if no list of the workload's kind began since this process became leader. The watch of
    /// a standby may have missed events. If a `ScaledObject` scales the workload, the rule applies
    /// to the list of `ScaledObject`s too.
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

    /// Returns the planner's view of one namespace.
    ///
    /// The function is one table: each field of [`World`] stands beside the cache rows that supply
    /// the field.
    #[must_use]
    pub fn world(
        &self,
        namespace: &str,
        cluster: &str,
        may_lower_from: Instant,
        now: Instant,
    ) -> World {
        let mut world = World {
            namespace: namespace.to_owned(),
            may_launch: self.may_launch,
            may_look_at_pods: self.may_look_at_pods,
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
                // The cached row of a surge is newer than the answer to a GET with another uid, so
                // the filter drops that answer.
                .filter(|(key, look)| {
                    self.surges.get(key).is_none_or(|row| Some(&row.value.uid) == look.as_ref())
                })
                .map(|((_, name), look)| (name.clone(), look.clone()))
                .collect(),
            overrides: self
                .overrides
                .of_namespace(namespace)
                .map(|(_, row)| Override::clone(&row.value))
                .collect(),
            classes: self.classes.iter().map(|(n, c)| (n.clone(), c.clone())).collect(),
            budgets: self.budgets_of(namespace),
            sources: self.sources.iter().map(|(n, s)| (n.clone(), s.source.clone())).collect(),
            may_degrade: self.may_degrade.clone(),
            bounds: self.bounds(namespace),
            may_lower_from,
            cloud: self.cloud.clone(),
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
            for id in run.status.living().map(|i| &i.id) {
                if let Some(answer) = self.asked.get(id) {
                    world.asked.insert(id.clone(), *answer);
                }
                if let Some(why) = self.not_ended.get(id) {
                    world.not_ended.insert(id.clone(), why.clone());
                }
            }
            for batch in &run.status.ledger {
                if let Some(answer) = self.launches.get(&batch.token) {
                    world.launches.insert(batch.token.clone(), answer.clone());
                }
                for instance in &batch.instances {
                    if let Some(row) = self.nodes.get(&instance.id) {
                        let drain = self.drains.get(&row.value.name);
                        let pods_left = drain.map(|drain| drain.left);
                        let kept_by = drain.and_then(|drain| drain.kept_by.clone());
                        let node = Node { pods_left, kept_by, ..Node::clone(&row.value) };
                        world.nodes.insert(instance.id.clone(), node);
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
        self.show_targets(&mut world, workloads);
        world
    }

    fn show_targets(&self, world: &mut World, workloads: BTreeSet<Workload>) {
        for workload in workloads {
            let seen = self.target(&world.namespace, &workload);
            if self.is_doubted(&workload, &seen) {
                world.doubted.insert(workload.clone());
            }
            let key = (world.namespace.clone(), workload);
            if let Some(seen) = self.obstacles.get(&key) {
                world.obstacles.insert(key.1.clone(), seen.clone());
            }
            world.targets.insert(key.1, seen);
        }
    }

    /// The budgets that name a namespace.
    fn budgets_of(&self, namespace: &str) -> Vec<Budget> {
        let all = self.budgets.iter();
        let ours = all.filter(|(_, (namespaces, _))| {
            namespaces.contains(namespace) || namespaces.contains("*")
        });
        ours.map(|(name, (_, limits))| Budget { name: name.clone(), limits: *limits }).collect()
    }

    /// The `ResourceQuota`s and `LimitRange`s of a namespace.
    #[must_use]
    pub fn bounds(&self, namespace: &str) -> Seen<Arc<Bounds>> {
        if !self.quotas.synced() || self.quotas.forbidden().is_some() {
            return Seen::Unknown(unlisted(&self.quotas, "ResourceQuota", GRANTED_BY_CHART));
        }
        if !self.limits.synced() || self.limits.forbidden().is_some() {
            return Seen::Unknown(unlisted(&self.limits, "LimitRange", GRANTED_BY_CHART));
        }
        let quotas = self.quotas.of_namespace(namespace);
        let limits = self.limits.of_namespace(namespace);
        Seen::Known(Arc::new(Bounds {
            quotas: quotas.map(|(name, row)| (name.to_owned(), Quota::clone(&row.value))).collect(),
            limits: limits
                .map(|(name, row)| (name.to_owned(), ContainerLimits::clone(&row.value)))
                .collect(),
        }))
    }

    /// Returns the Jobs and the job templates that the open runs of a namespace name. Returns
    /// [`Seen::Absent`] if this installation may not create Jobs. Returns [`Seen::Unknown`] until
    /// this leader has listed `Job`s and `CronJob`s.
    fn jobs(&self, namespace: &str, world: &World) -> Seen<Jobs> {
        if !self.may_run_jobs {
            return Seen::Absent;
        }
        if !self.jobs.synced() || !self.cron_jobs.synced() {
            return Seen::Unknown(Cause::NotListed("Job".to_owned()));
        }
        if self
            .leads_from
            .is_some_and(|at| !self.jobs.listed_since(at) || !self.cron_jobs.listed_since(at))
        {
            return Seen::Unknown(Cause::NotRelisted("Job".to_owned()));
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
}

/// Remedy for a right that the chart always grants.
const GRANTED_BY_CHART: &str = "upgrade the Helm chart, whose ClusterRole grants it";

/// Returns the cause of a missing list: the right is missing, or the API server has not answered
/// yet.
fn unlisted<K, T, L>(table: &Table<K, T, L>, kind: &str, remedy: &'static str) -> Cause
where
    K: Ord + Clone,
    L: Lookup<K, T>,
{
    let kind = kind.to_owned();
    match table.forbidden() {
        Some(why) => Cause::Forbidden { kind, remedy, why: why.to_owned() },
        None => Cause::NotListed(kind),
    }
}

fn records<T>(table: &Table<Key, T>, namespace: &str) -> BTreeMap<String, Row<T>> {
    table.of_namespace(namespace).map(|(name, row)| (name.to_owned(), row.value.clone())).collect()
}

impl Cache {
    /// Returns the autoscaler of a workload.
    ///
    /// The autoscaler recorded in the hold (`spec.baseline.autoscaler`) has priority as long as the
    /// object exists. If that object is gone, a `ScaledObject` has priority over an HPA. An HPA
    /// that KEDA generated does not count. A second autoscaler changes nothing before the recorded
    /// autoscaler is gone: a Helm rename creates the new object before Helm deletes the old object.
    pub(super) fn scaler<'a>(
        &'a self,
        namespace: &'a str,
        workload: &'a Workload,
    ) -> Option<&'a Scaler> {
        let by_keda = || of_workload(&self.scaled_objects, namespace, workload);
        let hpas = || of_workload(&self.hpas, namespace, workload).filter(|s| !s.generated);
        let hold = self.holds.get(&(namespace.to_owned(), hold::name(workload)));
        let known = hold.and_then(|row| row.value.as_ref().ok()?.hold.baseline.autoscaler.as_ref());
        let on_record =
            known.and_then(|known| by_keda().chain(hpas()).find(|s| s.bounds.is(known)));
        on_record.or_else(|| by_keda().next()).or_else(|| hpas().next())
    }

    /// Returns the replicas that the workload's HPA keeps only because of `spec.minReplicas`. If a
    /// `ScaledObject` scales the workload, the HPA that KEDA generated supplies the number.
    pub(super) fn kept_at(
        &self,
        namespace: &str,
        workload: &Workload,
        scaler: Option<&Scaler>,
    ) -> Option<u32> {
        let scaler = scaler?;
        if scaler.bounds.kind == observed::AutoscalerKind::HorizontalPodAutoscaler {
            return scaler.kept_at;
        }
        of_workload(&self.hpas, namespace, workload).find(|hpa| hpa.generated)?.kept_at
    }

    /// True if the cache has an HPA that KEDA generated for the workload, but no `ScaledObject`
    /// that scales the workload.
    pub(super) fn scaled_by_unseen_keda(&self, namespace: &str, workload: &Workload) -> bool {
        of_workload(&self.hpas, namespace, workload).any(|s| s.generated)
            && of_workload(&self.scaled_objects, namespace, workload).next().is_none()
    }
}

/// Returns the autoscalers in `table` that scale the workload. The comparison covers API group,
/// kind and name.
fn of_workload<'a>(
    table: &'a Scalers,
    namespace: &'a str,
    workload: &'a Workload,
) -> impl Iterator<Item = &'a Scaler> {
    let names = table.lookup().of(namespace, &workload.name);
    let scalers = names.filter_map(move |name| table.get(&(namespace.to_owned(), name.to_owned())));
    scalers.map(|row| &*row.value).filter(|s| {
        s.target.kind == workload.kind
            && s.target.name == workload.name
            && group(&s.target.api_version) == group(&workload.api_version)
    })
}
