//! An evening: the operator as it is shipped, but for clock, API server, cloud and Prometheus, which are models.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::port::Clock;
use serde_json::{Value, json};

use crate::clock::VirtualClock;
use crate::cloud::{CloudModel, Machine, Supply};
use crate::cluster::{Cluster, Pace};
use crate::gate::Gate;
use crate::load::Load;
use crate::operator::{self, Life, Surroundings};
use crate::script::Script;
use crate::server::Server;
use crate::server::access::Asks;
use crate::server::kinds::Kind;
use crate::server::store::{Event, Key, Part, Refusal, Store};

/// The namespace of the evening.
pub const SHOP: &str = "shop";

/// After everything was given back, how long is looked for something that should not happen any more.
const AFTERWARDS: TimeDelta = TimeDelta::seconds(15);

/// What a person, or a tool that is not ours, does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Creates an object: `apiVersion`, `kind`, `metadata`, `spec`.
    Create(Value),
    /// Merges a change into an object: `apiVersion`, `kind`, `metadata` say which; the manager is whose name is on it.
    Change {
        /// The change.
        object: Value,
        /// Who does it.
        manager: &'static str,
    },
    /// Deletes an object.
    Delete(Value),
    /// The cloud takes so many instances away.
    Reclaim(usize),
}

/// Something that happens in the middle of an evening.
#[derive(Clone, Debug)]
pub struct Deed {
    /// When.
    pub at: Instant,
    /// What.
    pub act: Act,
}

impl Deed {
    /// Creates an object at an instant.
    #[must_use]
    pub fn create(at: Instant, object: Value) -> Self {
        Self { at, act: Act::Create(object) }
    }
}

/// A tool that has its own idea of an object, and does not give up.
#[derive(Clone, Debug)]
pub struct Insist {
    /// What it merges into the object as soon as that is otherwise: `apiVersion`, `kind`, `metadata`, `spec`.
    pub object: Value,
    /// Whose name is on it.
    pub manager: &'static str,
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
    /// How long it takes to notice.
    pub after: TimeDelta,
}

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
}

/// A workload at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// What its spec asks for.
    pub replicas: i64,
    /// Ready pods.
    pub ready: i64,
    /// What it is held at, if it is held.
    pub held: Option<i64>,
}

/// What was there at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The instant.
    pub at: Instant,
    /// Workloads, by name.
    pub workloads: Vec<Workload>,
    /// Instances that are started and not ended.
    pub machines: usize,
}

/// What came of an evening.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Everything that happened to objects, in order.
    pub history: Vec<Event>,
    /// Workloads and machines, second by second.
    pub looks: Vec<Look>,
    /// All instances that were ever started.
    pub machines: Vec<Machine>,
    /// Launches whose token no persisted, guarded run knew.
    pub unrecorded: Vec<String>,
    /// Instances whose termination was asked for by a run that is not theirs.
    pub foreign: Vec<String>,
    /// What an operator asked for and the chart does not grant.
    pub forbidden: Vec<String>,
    /// What operators asked for and were granted.
    pub used: BTreeSet<Asks>,
    /// Every life of every operator.
    pub lives: Vec<Life>,
    /// What the operators asked for.
    pub requests: Vec<String>,
    /// When all runs were over; nothing if they never were.
    pub over: Option<Instant>,
    /// The model contradicted itself.
    pub broken: Option<String>,
}

impl Recording {
    /// A number that is the same for the same evening.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.requests.hash(&mut hasher);
        for event in &self.history {
            (event.version, event.what, &event.key.2, event.at).hash(&mut hasher);
            event.object.to_string().hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The last state of every object that is still there, by kind and name.
    #[must_use]
    pub fn last(&self) -> BTreeMap<(&str, &str), &Value> {
        let mut last = BTreeMap::new();
        for event in &self.history {
            let key = (event.key.0.kind, event.key.2.as_str());
            if event.what == "DELETED" {
                last.remove(&key);
            } else {
                last.insert(key, event.object.as_ref());
            }
        }
        last
    }

    /// What happened to workloads, holds and runs, a line each, for whoever looks for a reason.
    #[must_use]
    pub fn story(&self) -> Vec<String> {
        let mut told: BTreeMap<(&str, &str), String> = BTreeMap::new();
        let mut lines = Vec::new();
        for event in &self.history {
            let (kind, name) = (event.key.0.kind, event.key.2.as_str());
            let show = |pointer: &str| {
                event.object.pointer(pointer).map_or_else(String::new, Value::to_string)
            };
            let now = match kind {
                "Deployment" => show("/spec/replicas"),
                "HorizontalPodAutoscaler" => {
                    format!("{} to {}", show("/spec/minReplicas"), show("/spec/maxReplicas"))
                }
                "SurgeHold" => show("/spec"),
                "SurgeRun" => format!(
                    "{} {} {}",
                    show("/status/stage"),
                    show("/status/message"),
                    show("/status/release")
                ),
                "Event" => show("/note"),
                _ => continue,
            };
            let now = if event.what == "DELETED" { "gone".to_owned() } else { now };
            if told.insert((kind, name), now.clone()).as_ref() != Some(&now) {
                lines.push(format!("{} {kind} {name}: {now}", event.at.format("%H:%M:%S%.3f")));
            }
        }
        lines
    }
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
        lives: Arc::default(),
    };
    let operators = (0..scenario.operators)
        .map(|n| operator::lives(surroundings.clone(), n, scenario.operators > 1));
    let result = tokio::select! {
        biased;
        result = around(scenario, &surroundings, &mut cluster, &mut recording) => result,
        () = async {
            futures::future::join_all(operators).await;
            std::future::pending::<()>().await;
        } => Ok(()),
    };
    recording.broken = set_up.and(result).err().map(|e| e.to_string());
    recording.history = server.with(Store::take_history);
    recording.requests = gate.requests();
    (recording.used, recording.forbidden) = (server.used(), server.forbidden());
    let lives = surroundings.lives.lock().unwrap_or_else(PoisonError::into_inner);
    recording.lives.clone_from(&lives);
    (recording.machines, recording.unrecorded, recording.foreign) =
        cloud.with(|f| (f.machines.clone(), f.unrecorded.clone(), f.foreign.clone()));
    recording
}

/// Everything but the operator: people, controllers, and the look once a second. Ends when the evening is over.
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
            recording.looks.push(Look {
                at: now,
                workloads: server.with(|s| workloads(s)),
                machines: cloud.with(alive),
            });
        }
        if recording.over.is_none() && deeds.is_empty() && server.with(|s| over(s)) {
            recording.over = Some(now);
        }
        let passed = now - scenario.begin;
        let ends = match (scenario.until, recording.over) {
            (Until::AllIsOver(_), Some(over)) => {
                let quiet_since = gate.last_pause().map_or(over, |pause| pause.max(over));
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

/// Which object somebody means.
fn key_of(object: &Value) -> Result<Key, Refusal> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let kind = Kind::of(text("/apiVersion"), text("/kind"))
        .ok_or_else(|| Refusal::Unserved(text("/kind").to_owned()))?;
    Ok((kind, text("/metadata/namespace").to_owned(), text("/metadata/name").to_owned()))
}

/// Whether an object that is there is not as a tool wants it.
fn differs(store: &Store, insist: &Insist) -> bool {
    let Ok(key) = key_of(&insist.object) else { return false };
    store.get(&key).is_some_and(|there| {
        let mut wanted = there.clone();
        json_patch::merge(&mut wanted, &insist.object);
        wanted != *there
    })
}

fn perform(store: &mut Store, act: &Act) -> Result<(), Refusal> {
    let (Act::Create(object) | Act::Delete(object) | Act::Change { object, .. }) = act else {
        return Ok(());
    };
    let key = key_of(object)?;
    let (kind, namespace) = (key.0, key.1.clone());
    match act {
        Act::Reclaim(_) => Ok(()),
        Act::Create(object) => store.create(kind, &namespace, object.clone()).map(|_| ()),
        // Who finds nothing to delete is content.
        Act::Delete(_) if store.get(&key).is_none() => Ok(()),
        Act::Delete(_) => store.delete(&key, None, None).map(|_| ()),
        Act::Change { object, manager } => store
            .change(&key, Part::Main, |there| {
                json_patch::merge(there, object);
                crate::server::scale::owned_by(there, manager);
                Ok(())
            })
            .map(|_| ()),
    }
}

/// A token stands in the ledger of a run that has our finalizer.
fn is_recorded(store: &Store, token: &str) -> bool {
    let Some(runs) = Kind::of("primetime.dev/v1alpha1", "SurgeRun") else { return false };
    store.list(runs, "").any(|(_, run)| {
        let list = |pointer| run.pointer(pointer).and_then(Value::as_array);
        let guarded = list("/metadata/finalizers").is_some_and(|f| !f.is_empty());
        guarded
            && list("/status/ledger")
                .is_some_and(|l| l.iter().any(|b| b.get("token") == Some(&json!(token))))
    })
}

fn workloads(store: &Store) -> Vec<Workload> {
    let kinds =
        (Kind::of("apps/v1", "Deployment"), Kind::of("primetime.dev/v1alpha1", "SurgeHold"));
    let (Some(deployments), Some(holds)) = kinds else { return Vec::new() };
    let number = |object: &Value, pointer| object.pointer(pointer).and_then(Value::as_i64);
    store
        .list(deployments, "")
        .map(|((_, namespace, name), deployment)| {
            let of_it = |hold: &Value| {
                hold.pointer("/spec/targetRef/name").and_then(Value::as_str) == Some(name)
            };
            let hold = store.list(holds, namespace).find(|(_, hold)| of_it(hold));
            Workload {
                name: name.clone(),
                replicas: number(deployment, "/spec/replicas").unwrap_or(1),
                ready: number(deployment, "/status/readyReplicas").unwrap_or(0),
                held: hold.and_then(|(_, hold)| number(hold, "/spec/level/replicas")),
            }
        })
        .collect()
}

/// There were runs; those that are still there are over, and nothing guards them.
fn over(store: &Store) -> bool {
    let Some(runs) = Kind::of("primetime.dev/v1alpha1", "SurgeRun") else { return false };
    store.changed(runs) > 0
        && store.list(runs, "").all(|(_, run)| {
            run.pointer("/status/completionTime").is_some()
                && run.pointer("/metadata/finalizers").is_none()
        })
}
