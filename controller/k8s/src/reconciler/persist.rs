//! Records: requests that write Primetime's own objects. A request that uses the values of a cached
//! row carries the `resourceVersion` of that row.

use kube::Resource;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use primetime_api::SurgeRun;
use primetime_core::Instant;
use primetime_core::machines::gate;
use primetime_core::output::Record;
use primetime_core::row::Row;
use primetime_core::state::calendar::CalendarStatus;
use primetime_core::state::decision::Decision;
use primetime_core::state::hold::Hold;
use primetime_core::state::observed::{Reservation, Seen};
use primetime_core::state::run::{RunRecord, RunStatus};
use primetime_core::state::surge::SurgeStatus;
use primetime_core::state::world::World;

use crate::cache::store::{Cache, Scope};
use crate::cache::table::{Key, Table};
use crate::call::CallError;
use crate::kinds::{self, workload};
use crate::reconciler::own_objects::Records;
use crate::reconciler::queue::Outcome;
use crate::reconciler::{Calls, Look, Reconciler, Work, own_classes};

/// Minimum interval between two writes of a run's `status` that are not urgent.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);

/// Pause before the next write of a `status`, if the API server has dropped a field of the last
/// write.
const WHERE_LESS_IS_KEPT: Duration = Duration::from_secs(30);

impl Reconciler {
    /// Starts the request that writes a record. Returns the time for the next plan if the request
    /// has to wait.
    ///
    /// The function is one table: each kind of record stands beside the request that writes the
    /// record.
    pub(super) fn persist(
        self: &Arc<Self>,
        namespace: &str,
        record: Record,
        world: &World,
        look: Look,
    ) -> Option<Instant> {
        let engine = self.clone();
        let ns = namespace.to_owned();
        match record {
            Record::CreateRun(planned) => {
                let work = work(namespace, "run", &planned.name, "create_run");
                self.start(work, look, async move {
                    engine.records(&ns).create_run(&planned).await.map(|()| Outcome::Done)
                })
            }
            Record::ReplanRun(planned) => {
                let work = work(namespace, "run", &planned.name, "replan_run");
                self.start(work, look, async move {
                    engine.records(&ns).replan_run(&planned).await.map(|()| Outcome::Done)
                })
            }
            Record::StretchRun { run, window, news } => {
                let planned = world.runs.get(&run);
                let about = planned.map(|run| reference(namespace, run));
                let version = self.version(namespace, &run, planned, |cache| &cache.runs)?;
                self.start(work(namespace, "run", &run, "stretch_run"), look, async move {
                    engine.records(&ns).stretch_run(&run, window, &version).await?;
                    engine.tell(&ns, &run, about, Some(news));
                    Ok(Outcome::Done)
                })
            }
            Record::DeleteRun { run, uid, news } => {
                let planned = world.runs.get(&run);
                let about = planned.map(|run| reference(namespace, run));
                let version = self.version(namespace, &run, planned, |cache| &cache.runs)?;
                self.start(work(namespace, "run", &run, "delete_run"), look, async move {
                    engine.records(&ns).delete_run(&run, &uid, &version).await?;
                    engine.tell(&ns, &run, about, news);
                    Ok(Outcome::Again(Duration::from_secs(1)))
                })
            }
            Record::AdoptRun { run, owner, generation } => {
                let version =
                    self.version(namespace, &run, world.runs.get(&run), |cache| &cache.runs)?;
                self.start(work(namespace, "run", &run, "adopt_run"), look, async move {
                    let records = engine.records(&ns);
                    records.adopt_run(&run, &owner, generation, &version).await?;
                    Ok(Outcome::Done)
                })
            }
            Record::AddFinalizer { run } => {
                self.start(work(namespace, "guard", &run, "guard"), look, async move {
                    engine.records(&ns).add_finalizer(&run).await.map(|()| Outcome::Done)
                })
            }
            Record::RemoveFinalizer { run, owner } => {
                self.start(work(namespace, "guard", &run, "unguard"), look, async move {
                    let owner = owner.as_deref();
                    engine.records(&ns).remove_finalizer(&run, owner).await.map(|()| Outcome::Done)
                })
            }
            Record::RunStatus { run, status, urgent, news } => {
                self.run_status(namespace, &run, *status, urgent, news, world, look)
            }
            Record::SurgeStatus { surge, status } => {
                self.surge_status(namespace, surge, *status, world, look)
            }
            Record::CalendarStatus { calendar, status } => {
                self.calendar_status(namespace, calendar, *status, world, look)
            }
            Record::Reserve { class, reservation } => {
                self.reserve(namespace, &class, &reservation, world, look)
            }
            Record::CreateHold { name, hold } => {
                self.start(work(namespace, "hold", &name, "create_hold"), look, async move {
                    engine.records(&ns).create_hold(&name, &hold).await.map(|()| Outcome::Done)
                })
            }
            Record::UpdateHold { name, hold } => {
                self.update_hold(namespace, name, *hold, world, look)
            }
            Record::DeleteHold { name } => self.delete_hold(namespace, name, world, look),
        }
    }

    fn tell(
        &self,
        namespace: &str,
        run: &str,
        about: Option<ObjectReference>,
        news: Option<Decision>,
    ) {
        if let (Some(news), Some(about)) = (news, about) {
            tracing::info!(namespace, run, "{}", news.message);
            self.events.tell(&about, news);
        }
    }

    pub(super) fn records<'a>(&'a self, namespace: &'a str) -> Records<'a> {
        Records { client: &self.client, shared: &self.shared, namespace }
    }

    /// Returns the `resourceVersion` of the row that the record was planned from. Returns `None` if
    /// the cached row has changed since, because the planner has to plan the change first.
    fn version<T: PartialEq>(
        &self,
        namespace: &str,
        name: &str,
        planned_from: Option<&Row<T>>,
        table: impl Fn(&Cache) -> &Table<Key, T>,
    ) -> Option<String> {
        let key = (namespace.to_owned(), name.to_owned());
        self.shared.with(|cache| {
            let row = table(cache).get(&key).filter(|row| Some(&row.value) == planned_from)?;
            Some(row.version.clone())
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one record")]
    fn run_status(
        self: &Arc<Self>,
        namespace: &str,
        name: &str,
        status: RunStatus,
        urgent: bool,
        news: Vec<Decision>,
        world: &World,
        look: Look,
    ) -> Option<Instant> {
        let before = world.runs.get(name)?.clone();
        let version = self.version(namespace, name, Some(&before), |cache| &cache.runs)?;
        let work = work(namespace, "run", name, "run_status");
        if !urgent && let Some(wait) = self.lanes.paced(&work.lane, STATUS_INTERVAL, look.seen) {
            return Some(look.after(wait));
        }
        let engine = self.clone();
        let ns = namespace.to_owned();
        self.start(work, look, async move {
            let run = &before.name;
            let records = engine.records(&ns);
            let kept = records.run_status(run, &before.status, &status, &version).await?;
            let about = reference(&ns, &before);
            for decision in news {
                tracing::info!(
                    namespace = ns,
                    run,
                    reason = decision.reason,
                    "{}",
                    decision.message
                );
                engine.events.tell(&about, decision);
            }
            // The reconciler would otherwise write the dropped fields again at once, without end.
            Ok(if kept { Outcome::Done } else { Outcome::Again(WHERE_LESS_IS_KEPT) })
        })
    }

    fn surge_status(
        self: &Arc<Self>,
        namespace: &str,
        name: String,
        status: SurgeStatus,
        world: &World,
        look: Look,
    ) -> Option<Instant> {
        let before = world.surges.get(&name)?.clone();
        let version = self.version(namespace, &name, Some(&before), |cache| &cache.surges)?;
        let engine = self.clone();
        let ns = namespace.to_owned();
        self.start(work(namespace, "surge", &name, "surge_status"), look, async move {
            let records = engine.records(&ns);
            let kept = records.surge_status(&name, &before.status, &status, &version).await?;
            // The reconciler would otherwise write the dropped fields again at once, without end.
            Ok(if kept { Outcome::Done } else { Outcome::Again(WHERE_LESS_IS_KEPT) })
        })
    }

    fn calendar_status(
        self: &Arc<Self>,
        namespace: &str,
        name: String,
        status: CalendarStatus,
        world: &World,
        look: Look,
    ) -> Option<Instant> {
        let key = (namespace.to_owned(), name.clone());
        let (before, version) = self.shared.with(|cache| {
            let row = cache.calendars.get(&key)?;
            let same = Some(&row.value.record) == world.calendars.get(&name);
            same.then(|| (row.value.record.clone(), row.version.clone()))
        })?;
        let engine = self.clone();
        let ns = namespace.to_owned();
        self.start(work(namespace, "calendar", &name, "calendar_status"), look, async move {
            let records = engine.records(&ns);
            records
                .calendar_status(&name, &before.status, &status, &version)
                .await
                .map(|()| Outcome::Done)
        })
    }

    /// Writes a reservation into the status of a class, if the class is as it was planned from.
    fn reserve(
        self: &Arc<Self>,
        namespace: &str,
        class: &str,
        reservation: &Reservation,
        world: &World,
        look: Look,
    ) -> Option<Instant> {
        let before = world.classes.get(class)?;
        let version = self.shared.with(|cache| {
            let row = cache.classes.get(&class.to_owned()).filter(|row| *row.value == *before)?;
            Some(row.version.clone())
        })?;
        let after = gate::with(&before.reservations, reservation);
        self.write_reservations(namespace, class, after, version, look)
    }

    /// Writes the reservations of a class. Every namespace is then planned again, because the room
    /// of the class has changed.
    pub(super) fn write_reservations(
        self: &Arc<Self>,
        namespace: &str,
        class: &str,
        after: Vec<Reservation>,
        version: String,
        look: Look,
    ) -> Option<Instant> {
        let engine = self.clone();
        let class = class.to_owned();
        // One lane for all classes: the ceilings of a budget span classes, and a plan of a snapshot
        // older than the last reservation is deferred.
        let lane = "reservations".to_owned();
        let work = Work { namespace, lane, kind: "reserve", due: None, calls: Calls::Api };
        self.start(work, look, async move {
            let (client, shared) = (&engine.client, &engine.shared);
            let written = own_classes::reserve(client, shared, &class, after, &version).await;
            // Namespaces that found the lane busy are planned again.
            shared.with(|cache| cache.mark(Scope::Everything));
            written.map(|()| Outcome::Done)
        })
    }

    fn update_hold(
        self: &Arc<Self>,
        namespace: &str,
        name: String,
        hold: Hold,
        world: &World,
        look: Look,
    ) -> Option<Instant> {
        let before = world.holds.get(&name)?;
        let seen = Ok(before.clone()).into();
        let version = self.version(namespace, &name, Some(&seen), |cache| &cache.holds)?;
        let before = before.hold.clone();
        let engine = self.clone();
        let ns = namespace.to_owned();
        self.start(work(namespace, "hold", &name, "update_hold"), look, async move {
            let records = engine.records(&ns);
            records.update_hold(&name, &before, &hold, &version).await.map(|()| Outcome::Done)
        })
    }

    fn delete_hold(
        self: &Arc<Self>,
        namespace: &str,
        name: String,
        world: &World,
        look: Look,
    ) -> Option<Instant> {
        let before = world.holds.get(&name)?;
        let record = Ok(before.clone()).into();
        let version = self.version(namespace, &name, Some(&record), |cache| &cache.holds)?;
        let target = before.hold.target_ref.clone();
        let seen = world.target(&target);
        let absent = *seen == Seen::Absent;
        let unscaled = seen.known().is_some_and(|live| live.autoscaler.is_none());
        let autoscaler = before.hold.baseline.autoscaler.clone().filter(|_| unscaled);
        let engine = self.clone();
        let ns = namespace.to_owned();
        self.start(work(namespace, "hold", &name, "delete_hold"), look, async move {
            // A list without the target is no proof of deletion. A quorum read decides whether the
            // target is gone and needs no restore.
            if absent && !workload::is_gone(&engine.client, &ns, &target).await? {
                return Err(CallError::Conflict(format!("{target} is there after all")));
            }
            if let Some(autoscaler) = autoscaler
                && !kinds::is_unscaled(&engine.client, &ns, &target, &autoscaler).await?
            {
                let name = autoscaler.name;
                return Err(CallError::Conflict(format!("{name} scales {target} after all")));
            }
            engine.records(&ns).delete_hold(&name, &version).await.map(|()| Outcome::Done)
        })
    }
}

fn work<'a>(namespace: &'a str, object: &str, name: &str, kind: &'static str) -> Work<'a> {
    Work {
        namespace,
        lane: format!("{object}/{namespace}/{name}"),
        kind,
        due: None,
        calls: Calls::Api,
    }
}

fn reference(namespace: &str, run: &RunRecord) -> ObjectReference {
    ObjectReference {
        api_version: Some(SurgeRun::api_version(&()).into_owned()),
        kind: Some(SurgeRun::kind(&()).into_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(run.name.clone()),
        uid: Some(run.uid.clone()),
        ..ObjectReference::default()
    }
}
