//! A simulated evening: the shipped operator with models of clock, API server, cloud and
//! Prometheus.

pub mod people;
pub mod recording;

use primetime_core::port::Clock;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::state::ladder::Object;
use serde_json::{Value, json};

use crate::clock::VirtualClock;
use crate::cloud::{CloudModel, Supply};
use crate::cluster::model::{Cluster, Pace};
use crate::evening::people::{Act, Deed, Insist, differs, perform};
use crate::evening::recording::{Look, Recording, workloads};
use crate::field::at;
use crate::gate::Gate;
use crate::load::Load;
use crate::operator::{self, Flags, Surroundings};
use crate::script::Script;
use crate::server::Server;
use crate::server::kinds::Kind;
use crate::server::refusal::Refusal;
use crate::server::store::Store;

/// Namespace of the evening.
pub const SHOP: &str = "shop";

/// Time for which an evening continues after all runs are over. The oracles detect writes of an
/// operator within this time.
const AFTERWARDS: TimeDelta = TimeDelta::seconds(15);

/// End condition of an evening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The evening ends 15 s after the last run has completed and the last pause of an operator has
    /// ended. The given time is the maximum for a run to complete.
    AllIsOver(TimeDelta),
    /// The evening ends after the given time.
    Passed(TimeDelta),
}

/// Scenario of an evening: objects, actions, load and timing, without faults.
#[derive(Clone)]
pub struct Scenario {
    /// Name of the scenario, for reports.
    pub name: &'static str,
    /// Time at which the virtual clock starts.
    pub begin: Instant,
    /// End condition of the evening.
    pub until: Until,
    /// Time after which Prometheus must not report a false load of 0. The planner would believe a
    /// load of 0 near the end of the event.
    pub deceivable: Instant,
    /// Number of operator processes: 0, 1, or 2 that elect a leader.
    pub operators: usize,
    /// Objects that exist at the beginning: workloads, autoscalers, nodes, classes, sources and
    /// surges.
    pub objects: Vec<Value>,
    /// Actions of people and of the cloud provider.
    pub deeds: Vec<Deed>,
    /// Foreign tools that repeatedly overwrite an object with a value.
    pub insists: Vec<Insist>,
    /// True if KEDA is installed.
    pub keda: bool,
    /// The load, and the model of Prometheus.
    pub load: Load,
    /// Capacity of the model of EC2.
    pub supply: Supply,
    /// Timing and capacity of the simulated cluster.
    pub pace: Pace,
    /// Time from the launch to the boot of an instance.
    pub boot_time: TimeDelta,
    /// Command line flags of the operators.
    pub flags: Flags,
}

/// Plays an evening with the faults of a script. The same scenario, script and seed give the same
/// evening.
///
/// # Errors
///
/// Returns an error if tokio cannot build a runtime.
pub fn play(scenario: &Scenario, script: &Script, seed: u64) -> std::io::Result<Recording> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(evening(scenario, script, seed)))
}

/// Plays one evening. The function is a single sequence: set-up, concurrent run, and collection of
/// the results.
async fn evening(scenario: &Scenario, script: &Script, seed: u64) -> Recording {
    let clock = VirtualClock::starting(scenario.begin);
    let server = Server::new(clock.clone()).with_keda(scenario.keda);
    let gate = Gate::new(script.clone(), clock.clone());
    let records = server.clone();
    let cloud = CloudModel::new(
        gate.clone(),
        clock.clone(),
        scenario.boot_time,
        scenario.supply.clone(),
        move |token| records.with(|store| is_recorded(store, token)),
    );
    let mut load = scenario.load.clone();
    load.script = Arc::new(script.clone());
    let mut cluster = Cluster::new(
        server.clone(),
        cloud.clone(),
        load.clone(),
        scenario.pace.clone(),
        seed,
        clock.now(),
    );
    let mut recording = Recording::default();
    let set_up = server
        .with(|s| scenario.objects.iter().try_for_each(|o| perform(s, &Act::Create(o.clone()))));
    let surroundings = Surroundings {
        server: server.clone(),
        gate: gate.clone(),
        cloud: cloud.clone(),
        load,
        clock: clock.clone(),
        script: script.clone(),
        // The operator watches Jobs only if the scenario contains a `Job` or a `CronJob`. Fewer
        // requests mean fewer places to inject a fault.
        jobs: scenario.objects.iter().any(|o| o["kind"] == "CronJob" || o["kind"] == "Job"),
        degrade: switched(scenario),
        flags: scenario.flags,
        lives: Arc::default(),
    };
    // Each operator is a separate tokio task, which ends with the runtime. A step of the cluster
    // does not poll the operator tasks.
    let operators: Vec<_> = (0..scenario.operators)
        .map(|n| tokio::spawn(operator::lives(surroundings.clone(), n, scenario.operators > 1)))
        .collect();
    let result = around(scenario, &surroundings, &mut cluster, &mut recording).await;
    for operator in operators {
        // An operator task never returns: a finished task has panicked.
        if operator.is_finished()
            && let Err(error) = operator.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    recording.broken = set_up.and(result).err().map(|e| e.to_string());
    recording.history = server.with(Store::take_history);
    (recording.requests, recording.pauses) = (gate.requests(), gate.pauses());
    recording.late = gate.late();
    (recording.used, recording.forbidden) = (server.used(), server.forbidden());
    let lives = surroundings.lives.lock().unwrap_or_else(PoisonError::into_inner);
    recording.lives.clone_from(&lives);
    (recording.machines, recording.unrecorded, recording.foreign) =
        cloud.with(|f| (f.machines.clone(), f.unrecorded.clone(), f.foreign.clone()));
    recording
}

/// Returns the objects that the degradation steps of the scenario's surges write.
fn switched(scenario: &Scenario) -> BTreeSet<Object> {
    let steps = |surge: &Value| at(surge, "/spec/degrade")?.as_array().cloned();
    let steps = scenario.objects.iter().filter_map(steps).flatten();
    let name = |step: &Value, pointer| Some(at(step, pointer)?.as_str()?.to_owned());
    let object = |step: Value| {
        let map = name(&step, "/configMapRef/name").map(Object::ConfigMap);
        map.or_else(|| name(&step, "/httpRouteRef/name").map(Object::HttpRoute))
    };
    steps.filter_map(object).collect()
}

/// Runs everything except the operator: people, controllers, and a snapshot per second. Returns at
/// the end of the evening.
///
/// The loop makes a turn per step of virtual time: people act, controllers run a pass, and the
/// recording takes a snapshot.
async fn around(
    scenario: &Scenario,
    Surroundings { server, gate, cloud, clock, .. }: &Surroundings,
    cluster: &mut Cluster,
    recording: &mut Recording,
) -> Result<(), Refusal> {
    let mut deeds = scenario.deeds.clone();
    deeds.sort_by_key(|d| std::cmp::Reverse(d.at));
    let step = scenario.pace.step.to_std().unwrap_or(Duration::from_secs(1));
    let mut otherwise_since: Vec<Option<Instant>> = vec![None; scenario.insists.len()];
    let mut looked_at = 0;
    loop {
        let now = clock.now();
        while deeds.last().is_some_and(|d| d.at <= now)
            && let Some(deed) = deeds.pop()
        {
            match &deed.act {
                Act::Reclaim(count) => cloud.with(|fleet| {
                    let alive = fleet.machines.iter_mut().filter(|m| m.ended_at.is_none());
                    alive.take(*count).for_each(|machine| {
                        (machine.ended_at, machine.reclaimed) = (Some(now), true);
                    });
                }),
                Act::InTheAccount(change) => cloud.with(change),
                act => server.with(|s| perform(s, act))?,
            }
        }
        for (insist, since) in scenario.insists.iter().zip(&mut otherwise_since) {
            let within = now >= insist.from && now < insist.until;
            *since = since.or(Some(now)).filter(|_| within && server.with(|s| differs(s, insist)));
            if since.is_some_and(|since| now - since >= insist.after) {
                let (object, manager) = (insist.object.clone(), insist.manager);
                server.with(|s| perform(s, &Act::Change { object, manager }))?;
            }
        }
        cluster.step(now)?;
        if recording.looks.last().is_none_or(|look| now - look.at >= TimeDelta::seconds(1)) {
            let alive = |f: &mut crate::cloud::Fleet| {
                f.machines.iter().filter(|m| m.ended_at.is_none()).count()
            };
            let last = recording.looks.last().map(|look| look.workloads.clone());
            let workloads = server.with(|store| match last {
                Some(last) if looked_at == store.version() => last,
                _ => {
                    looked_at = store.version();
                    workloads(store).into()
                }
            });
            recording.looks.push(Look { at: now, workloads, machines: cloud.with(alive) });
        }
        if recording.over.is_none() && deeds.is_empty() && server.with(|s| over(s)) {
            recording.over = Some(now);
        }
        let passed = now - scenario.begin;
        let ends = match (scenario.until, recording.over) {
            (Until::AllIsOver(_), Some(over)) => {
                let quiet_since = gate.pauses().iter().fold(over, |at, pause| at.max(pause.until));
                now - quiet_since >= AFTERWARDS
            }
            (Until::AllIsOver(at_most), None) => passed >= at_most,
            (Until::Passed(time), _) => passed >= time,
        };
        if ends {
            return Ok(());
        }
        tokio::time::sleep(step).await;
    }
}

/// True if the token stands in `status.ledger` of a `SurgeRun` that has a finalizer.
fn is_recorded(store: &Store, token: &str) -> bool {
    let Some(runs) = Kind::of("primetime.dev/v1alpha1", "SurgeRun") else { return false };
    store.list(runs, "").any(|(_, run)| {
        let list = |pointer| at(run, pointer).and_then(Value::as_array);
        let guarded = list("/metadata/finalizers").is_some_and(|f| !f.is_empty());
        guarded
            && list("/status/ledger")
                .is_some_and(|l| l.iter().any(|b| b.get("token") == Some(&json!(token))))
    })
}

/// True if a run has existed, and every remaining run has a `status.completionTime` and no
/// finalizer.
fn over(store: &Store) -> bool {
    let Some(runs) = Kind::of("primetime.dev/v1alpha1", "SurgeRun") else { return false };
    store.changed(runs) > 0
        && store.list(runs, "").all(|(_, run)| {
            at(run, "/status/completionTime").is_some() && at(run, "/metadata/finalizers").is_none()
        })
}
