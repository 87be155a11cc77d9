//! An evening: the operator as it is shipped, but for clock, API server, cloud and Prometheus, which are models.

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

/// The namespace of the evening.
pub const SHOP: &str = "shop";

/// After everything was given back, how long is looked for something that should not happen any more.
const AFTERWARDS: TimeDelta = TimeDelta::seconds(15);

/// When an evening is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// All runs are over, and it has been quiet for a while; at the latest after this time.
    AllIsOver(TimeDelta),
    /// This time has passed.
    Passed(TimeDelta),
}

/// What happens in an evening, but for faults.
#[derive(Clone)]
pub struct Scenario {
    /// A name for people.
    pub name: &'static str,
    /// When the clock starts.
    pub begin: Instant,
    /// When it is over.
    pub until: Until,
    /// Until when it does not matter what Prometheus says: then the end of the event is near, and a load that has gone
    /// is believed.
    pub deceivable: Instant,
    /// How many operators there are: none, one, or two that elect a leader.
    pub operators: usize,
    /// Everything that is there before: workloads, autoscalers, nodes, classes, sources, surges.
    pub objects: Vec<Value>,
    /// What people do.
    pub deeds: Vec<Deed>,
    /// Tools that have their own idea.
    pub insists: Vec<Insist>,
    /// KEDA is installed.
    pub keda: bool,
    /// The visitors, and the Prometheus.
    pub load: Load,
    /// How many instances may be had.
    pub supply: Supply,
    /// How the cluster behaves.
    pub pace: Pace,
    /// From the launch to the boot of an instance.
    pub boot_time: TimeDelta,
    /// How its operators are started.
    pub flags: Flags,
}

/// Plays an evening, with everything that goes wrong in it. The same scenario, script and seed give the same evening.
///
/// # Errors
///
/// If a runtime cannot be had.
pub fn play(scenario: &Scenario, script: &Script, seed: u64) -> std::io::Result<Recording> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(evening(scenario, script, seed)))
}

/// Plays one evening. One sequence: what is built, what runs side by side, what is judged afterwards.
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
        // Who has nothing that a Job could be made from is not asked for Jobs: fewer requests to put a fault at.
        jobs: scenario.objects.iter().any(|o| o["kind"] == "CronJob" || o["kind"] == "Job"),
        degrade: switched(scenario),
        flags: scenario.flags,
        lives: Arc::default(),
    };
    // Tasks of their own, which end with the runtime: a look of the cluster wakes none of them.
    let operators: Vec<_> = (0..scenario.operators)
        .map(|n| tokio::spawn(operator::lives(surroundings.clone(), n, scenario.operators > 1)))
        .collect();
    let result = around(scenario, &surroundings, &mut cluster, &mut recording).await;
    for operator in operators {
        // Lives never end: what has ended has panicked.
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

/// What surges write.
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

/// Everything but the operator: people, controllers, and the look once a second. Ends when the evening is over.
///
/// One turn a step of virtual time: people act, controllers step, then the look is taken.
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

/// A token stands in the ledger of a run that has our finalizer.
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

/// There were runs; those that are still there are over, and nothing guards them.
fn over(store: &Store) -> bool {
    let Some(runs) = Kind::of("primetime.dev/v1alpha1", "SurgeRun") else { return false };
    store.changed(runs) > 0
        && store.list(runs, "").all(|(_, run)| {
            at(run, "/status/completionTime").is_some() && at(run, "/metadata/finalizers").is_none()
        })
}
