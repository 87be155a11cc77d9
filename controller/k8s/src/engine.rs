//! The loop: observe, plan, persist records, act, sleep until something changes or falls due.
//!
//! Each record and act runs in a lane of its own, named after the object it concerns: one object's error, or a hanging
//! call, never delays another's work, and nothing is done twice at once to the same object.

mod lanes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, Resource};
use primetime_api::SurgeRun;
use primetime_core::Instant;
use primetime_core::machines::MachineAct;
use primetime_core::plan::{Act, Plan, Record, plan};
use primetime_core::port::{Clock, Cloud};
use primetime_core::run::RunRecord;
use primetime_core::world::{Fleet, Seen, World};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::apply;
use crate::call::CallError;
use crate::drain;
use crate::events::Events;
use crate::index::Scope;
use crate::lease::Leadership;
use crate::record::Records;
use crate::watch::Shared;
use lanes::Lanes;
pub use lanes::Outcome;

/// Calls to the API server at once. kube speaks HTTP/1.1: this many connections. A bare load generator on a real API
/// server gained nothing beyond 16.
const AT_ONCE: usize = 32;

/// A status that nothing waits for is written at most this often.
const STATUS_INTERVAL: chrono::TimeDelta = chrono::TimeDelta::seconds(2);

/// Instances expire this long after the end of their run: nobody can need them any more.
const INSTANCE_LIFE_AFTER_END: chrono::TimeDelta = chrono::TimeDelta::hours(6);

/// How the engine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Distinguishes this cluster's instances from others in the same account.
    pub cluster: String,
    /// Nothing is lowered for this long after the start, or after becoming leader.
    pub settle: chrono::TimeDelta,
    /// How often the cloud is asked for the instances of a run that has any.
    pub cloud_interval: Duration,
}

/// Something to be counted.
pub trait Observer: Send + Sync {
    /// A record or an act was finished.
    fn finished(&self, kind: &'static str, outcome: &'static str, late: Option<chrono::TimeDelta>);
    /// A namespace was planned.
    fn planned(&self, namespace: &str, world: &World, took: Duration);
    /// A namespace has nothing of ours any more.
    fn gone(&self, namespace: &str);
}

/// The loop and what it needs.
pub struct Engine {
    client: Client,
    shared: Shared,
    cloud: Arc<dyn Cloud>,
    clock: Arc<dyn Clock>,
    leadership: Leadership,
    events: Events,
    settings: Settings,
    observer: Arc<dyn Observer>,
    permits: Arc<Semaphore>,
    lanes: Lanes,
}

impl Engine {
    /// Puts an engine together.
    #[expect(clippy::too_many_arguments, reason = "called once, from the wiring")]
    pub fn new(
        client: Client,
        shared: Shared,
        cloud: Arc<dyn Cloud>,
        clock: Arc<dyn Clock>,
        leadership: Leadership,
        identity: &str,
        settings: Settings,
        observer: Arc<dyn Observer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            events: Events::new(client.clone(), identity),
            client,
            shared,
            cloud,
            clock,
            leadership,
            settings,
            observer,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            lanes: Lanes::default(),
        })
    }

    /// Runs for ever.
    pub async fn run(self: Arc<Self>) {
        let started = self.clock.now();
        let mut wakes: BTreeMap<String, Instant> = BTreeMap::new();
        loop {
            let now = self.clock.now();
            if self.leadership.leads(now) && self.shared.with(|index| index.synced()) {
                let may_lower_from = started.max(self.leadership.since()) + self.settings.settle;
                let mut due = self.shared.with(|index| index.take_dirty());
                due.extend(
                    wakes
                        .iter()
                        .filter(|(_, at)| **at <= now)
                        .map(|(ns, _)| ns.clone()),
                );
                for namespace in due {
                    match self.pass(&namespace, may_lower_from, now) {
                        Some(at) => wakes.insert(namespace, at),
                        None => wakes.remove(&namespace),
                    };
                }
            }
            let next = wakes.values().min().copied();
            let pause = next
                .and_then(|at| (at - self.clock.now()).to_std().ok())
                .unwrap_or(if next.is_some() {
                    Duration::ZERO
                } else {
                    Duration::from_secs(1)
                })
                .clamp(Duration::from_millis(1), Duration::from_secs(1));
            tokio::select! {
                () = self.shared.rung() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Plans one namespace and sets everything in motion. Returns when to look again.
    fn pass(
        self: &Arc<Self>,
        namespace: &str,
        may_lower_from: Instant,
        now: Instant,
    ) -> Option<Instant> {
        let cluster = &self.settings.cluster;
        let world = self
            .shared
            .with(|index| index.world(namespace, cluster, may_lower_from, now));
        let watch = tokio::time::Instant::now();
        let Plan {
            records,
            acts,
            wake,
        } = plan(&world, now);
        self.observer.planned(namespace, &world, watch.elapsed());
        if world.surges.is_empty() && world.runs.is_empty() && world.holds.is_empty() {
            self.observer.gone(namespace);
        }
        let mut next = wake;
        for record in records {
            if let Some(at) = self.persist(namespace, record, &world, now) {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        for act in acts {
            if let Some(at) = self.act(namespace, act, &world, now) {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        next
    }

    /// Starts a lane unless it is busy or has to wait; then says until when.
    fn start<F>(
        self: &Arc<Self>,
        namespace: &str,
        lane: String,
        kind: &'static str,
        due: Option<Instant>,
        now: Instant,
        work: F,
    ) -> Option<Instant>
    where
        F: Future<Output = Result<Outcome, CallError>> + Send + 'static,
    {
        match self.lanes.enter(&lane, now) {
            lanes::Entry::Busy => return None,
            lanes::Entry::Until(at) => return Some(at),
            lanes::Entry::Free => {}
        }
        let engine = self.clone();
        let namespace = namespace.to_owned();
        tokio::spawn(async move {
            // A lane that panicked, or was cancelled, would stay busy for ever: the guard frees it.
            let guard = engine.lanes.guard(&lane);
            let result = engine.guarded(work).await;
            let now = engine.clock.now();
            let outcome = match &result {
                Ok(_) => "ok",
                Err(error) => error.reason(),
            };
            engine
                .observer
                .finished(kind, outcome, due.map(|at| now - at));
            match &result {
                Err(CallError::Conflict(why)) => debug!(lane, why, "looks again"),
                Err(error) => warn!(lane, %error, "could not be done; it is tried again"),
                Ok(_) => {}
            }
            guard.leave(&result, now);
            engine
                .shared
                .with(|index| index.mark(Scope::Namespace(namespace)));
            engine.shared.ring();
        });
        None
    }

    /// Leadership is checked at the write, not only at start.
    async fn guarded(
        &self,
        work: impl Future<Output = Result<Outcome, CallError>>,
    ) -> Result<Outcome, CallError> {
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|e| CallError::Failed(e.to_string()))?;
        if !self.leadership.leads(self.clock.now()) {
            return Err(CallError::Failed(
                "this process does not lead any more".to_owned(),
            ));
        }
        work.await
    }

    fn persist(
        self: &Arc<Self>,
        namespace: &str,
        record: Record,
        world: &World,
        now: Instant,
    ) -> Option<Instant> {
        let engine = self.clone();
        let ns = namespace.to_owned();
        let key = |name: &str| (namespace.to_owned(), name.to_owned());
        // A record is written with the version it was planned from: if the index has moved on, so must the plan.
        let run_version = |name: &str| {
            let planned = world.runs.get(name);
            self.shared.with(|i| {
                i.runs
                    .get(&key(name))
                    .filter(|row| Some(&row.value) == planned)
                    .map(|row| row.version.clone())
            })
        };
        let hold_version = |name: &str| {
            let planned = world.holds.get(name);
            self.shared.with(|i| {
                i.holds
                    .get(&key(name))
                    .filter(|row| Some(&row.value) == planned)
                    .map(|row| row.version.clone())
            })
        };
        match record {
            Record::CreateRun {
                surge,
                generation,
                run,
                window,
            } => self.start(
                namespace,
                format!("run/{ns}/{run}"),
                "create_run",
                None,
                now,
                async move {
                    engine
                        .records(&ns)
                        .create_run(&surge, generation, &run, &window)
                        .await
                        .map(|()| Outcome::Done)
                },
            ),
            Record::ReplanRun {
                surge,
                generation,
                run,
                window,
            } => self.start(
                namespace,
                format!("run/{ns}/{run}"),
                "replan_run",
                None,
                now,
                async move {
                    engine
                        .records(&ns)
                        .replan_run(&surge, generation, &run, &window)
                        .await
                        .map(|()| Outcome::Done)
                },
            ),
            Record::DeleteRun { run, uid } => self.start(
                namespace,
                format!("run/{ns}/{run}"),
                "delete_run",
                None,
                now,
                async move {
                    engine
                        .records(&ns)
                        .delete_run(&run, &uid)
                        .await
                        .map(|()| Outcome::Again(Duration::from_secs(1)))
                },
            ),
            Record::Guard { run } => self.start(
                namespace,
                format!("guard/{ns}/{run}"),
                "guard",
                None,
                now,
                async move {
                    engine
                        .records(&ns)
                        .guard_run(&run, true)
                        .await
                        .map(|()| Outcome::Done)
                },
            ),
            Record::Unguard { run } => self.start(
                namespace,
                format!("guard/{ns}/{run}"),
                "unguard",
                None,
                now,
                async move {
                    engine
                        .records(&ns)
                        .guard_run(&run, false)
                        .await
                        .map(|()| Outcome::Done)
                },
            ),
            Record::RunStatus {
                run,
                status,
                urgent,
                news,
            } => {
                let version = run_version(&run)?;
                let before = world.runs.get(&run)?.clone();
                let lane = format!("run/{ns}/{run}");
                if !urgent && let Some(at) = self.lanes.paced(&lane, STATUS_INTERVAL, now) {
                    return Some(at);
                }
                self.start(namespace, lane, "run_status", None, now, async move {
                    engine
                        .records(&ns)
                        .run_status(&run, &before.status, &status, &version)
                        .await?;
                    let about = reference(&ns, &before);
                    for decision in &news {
                        tracing::info!(
                            namespace = ns,
                            run,
                            reason = decision.reason,
                            "{}",
                            decision.message
                        );
                        engine.tell(about.clone(), decision.clone());
                    }
                    Ok(Outcome::Done)
                })
            }
            Record::SurgeStatus { surge, status } => {
                let before = world.surges.get(&surge)?.clone();
                let version = self.shared.with(|i| {
                    let row = i.surges.get(&key(&surge)).filter(|row| row.value == before);
                    row.map(|row| row.version.clone())
                })?;
                self.start(
                    namespace,
                    format!("surge/{ns}/{surge}"),
                    "surge_status",
                    None,
                    now,
                    async move {
                        let records = engine.records(&ns);
                        records
                            .surge_status(&surge, &before.status, &status, &version)
                            .await
                            .map(|()| Outcome::Done)
                    },
                )
            }
            Record::CreateHold { name, hold } => self.start(
                namespace,
                format!("hold/{ns}/{name}"),
                "create_hold",
                None,
                now,
                async move {
                    engine
                        .records(&ns)
                        .create_hold(&name, &hold)
                        .await
                        .map(|()| Outcome::Done)
                },
            ),
            Record::UpdateHold { name, hold } => {
                let version = hold_version(&name)?;
                let before = world.holds.get(&name)?.hold.clone();
                self.start(
                    namespace,
                    format!("hold/{ns}/{name}"),
                    "update_hold",
                    None,
                    now,
                    async move {
                        let records = engine.records(&ns);
                        records
                            .update_hold(&name, &before, &hold, &version)
                            .await
                            .map(|()| Outcome::Done)
                    },
                )
            }
            Record::DeleteHold { name } => {
                let version = hold_version(&name)?;
                let target = world.holds.get(&name)?.hold.target_ref.clone();
                let absent = world.target(&target) == Seen::Absent;
                self.start(
                    namespace,
                    format!("hold/{ns}/{name}"),
                    "delete_hold",
                    None,
                    now,
                    async move {
                        // Absence in a list is not absence: a quorum read decides whether there is nothing to give back.
                        if absent && !apply::is_gone(&engine.client, &ns, &target).await? {
                            return Err(CallError::Conflict(format!(
                                "{target} is there after all"
                            )));
                        }
                        engine
                            .records(&ns)
                            .delete_hold(&name, &version)
                            .await
                            .map(|()| Outcome::Done)
                    },
                )
            }
        }
    }

    fn records<'a>(&'a self, namespace: &'a str) -> Records<'a> {
        Records {
            client: &self.client,
            shared: &self.shared,
            namespace,
        }
    }

    /// Events are told on the side: nothing waits for them.
    fn tell(
        self: &Arc<Self>,
        about: ObjectReference,
        decision: primetime_core::decision::Decision,
    ) {
        let engine = self.clone();
        tokio::spawn(async move { engine.events.tell(&about, &decision).await });
    }

    fn act(
        self: &Arc<Self>,
        namespace: &str,
        act: Act,
        world: &World,
        now: Instant,
    ) -> Option<Instant> {
        let engine = self.clone();
        let ns = namespace.to_owned();
        match act {
            Act::Write { hold, writes, due } => self.start(
                namespace,
                format!("hold/{ns}/{hold}"),
                "write",
                Some(due),
                now,
                async move {
                    for write in &writes {
                        apply::write(&engine.client, &engine.shared, &ns, write).await?;
                    }
                    Ok(Outcome::Done)
                },
            ),
            Act::Machine { run, act } => {
                let expires = world.runs.get(&run)?.window.end + INSTANCE_LIFE_AFTER_END;
                self.machine(namespace, &run, act, expires, now)
            }
        }
    }

    fn machine(
        self: &Arc<Self>,
        namespace: &str,
        run: &str,
        act: MachineAct,
        expires: Instant,
        now: Instant,
    ) -> Option<Instant> {
        let engine = self.clone();
        match act {
            MachineAct::Launch { batch, run_uid } => {
                let lane = format!("launch/{}", batch.token);
                self.start(namespace, lane, "launch", None, now, async move {
                    let answer = engine
                        .cloud
                        .launch(&run_uid, &batch, expires)
                        .await
                        .map_err(CallError::Failed)?;
                    engine
                        .shared
                        .with(|index| index.launches.insert(batch.token.clone(), answer));
                    Ok(Outcome::Done)
                })
            }
            MachineAct::Drain { node } => self.start(
                namespace,
                format!("drain/{node}"),
                "drain",
                None,
                now,
                async move {
                    let left = drain::drain(&engine.client, &node).await?;
                    engine
                        .shared
                        .with(|index| index.pods_left.insert(node, left));
                    Ok(Outcome::Again(Duration::from_secs(2)))
                },
            ),
            MachineAct::Terminate { ids, run_uid } => {
                let lane = format!("terminate/{namespace}/{run}");
                self.start(namespace, lane, "terminate", None, now, async move {
                    engine
                        .cloud
                        .terminate(&run_uid, &ids)
                        .await
                        .map_err(CallError::Failed)?;
                    Ok(Outcome::Again(Duration::from_secs(5)))
                })
            }
        }
    }

    /// Asks the cloud for the instances of every run that has, or may have, any. Runs for ever.
    pub async fn watch_cloud(self: Arc<Self>) {
        loop {
            let owing = self.shared.with(|index| {
                index.forget_the_past();
                let owes = |r: &&RunRecord| {
                    r.status.completion_time.is_none()
                        && (r.status.owes_machines() || !r.status.ledger.is_empty())
                };
                index
                    .runs
                    .iter()
                    .map(|(_, r)| r)
                    .filter(owes)
                    .map(|r| r.uid.clone())
                    .collect::<Vec<_>>()
            });
            if self.leadership.leads(self.clock.now()) {
                let looks = owing.into_iter().map(|uid| self.look_at_fleet(uid));
                futures::future::join_all(looks).await;
            }
            tokio::time::sleep(self.settings.cloud_interval).await;
        }
    }

    async fn look_at_fleet(&self, uid: String) {
        let at = self.clock.now();
        match self.cloud.instances(&uid).await {
            Ok(instances) => {
                self.shared.with(|index| {
                    index
                        .fleets
                        .insert(uid, Seen::Known(Fleet { instances, at }));
                    index.mark(Scope::Everything);
                });
                self.shared.ring();
            }
            Err(error) => {
                warn!(
                    run = uid,
                    error, "the cloud could not be asked for the run's instances"
                );
                // What was seen stays seen; only a run that was never looked at becomes unknown.
                self.shared.with(|index| {
                    index
                        .fleets
                        .entry(uid)
                        .or_insert_with(|| Seen::Unknown(error));
                });
            }
        }
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
