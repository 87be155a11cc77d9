//! An evening: the operator as it is shipped, but for clock, API server, cloud and Prometheus, which are models.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use kube::Client;
use primetime_core::Instant;
use primetime_core::plan::Plan as Planned;
use primetime_core::port::{Clock, Cloud, Metrics};
use primetime_core::world::World;
use primetime_k8s::engine::{Engine, Observer, Settings};
use primetime_k8s::lease::Leadership;
use primetime_k8s::signals;
use primetime_k8s::watch::{self, Shared};
use serde_json::{Value, json};

use crate::clock::VirtualClock;
use crate::cloud::{CloudModel, Machine};
use crate::cluster::{self, Cluster, Pace};
use crate::gate::{Gate, Plan};
use crate::load::Load;
use crate::server::Server;
use crate::server::kinds::Kind;
use crate::server::store::{Event, Refusal, Store};

/// The namespace of the evening.
pub const SHOP: &str = "shop";

/// How long a process is gone after a crash: a restart of a container.
const RESTART: Duration = Duration::from_secs(3);

/// After everything was given back, how long is looked for something that should not happen any more.
const AFTERWARDS: TimeDelta = TimeDelta::seconds(30);

/// Something that a person does in the middle of an evening.
#[derive(Clone, Debug)]
pub struct Deed {
    /// When.
    pub at: Instant,
    /// What is created: `apiVersion`, `kind`, `metadata`, `spec`.
    pub object: Value,
}

/// What happens in an evening, but for faults.
#[derive(Clone)]
pub struct Scenario {
    /// A name for people.
    pub name: &'static str,
    /// When the clock starts.
    pub begin: Instant,
    /// Nothing takes longer.
    pub at_most: TimeDelta,
    /// Everything that is there before: workloads, autoscalers, nodes, classes, sources, surges.
    pub objects: Vec<Value>,
    /// What people do.
    pub deeds: Vec<Deed>,
    /// The visitors, and the Prometheus.
    pub load: Load,
    /// How many instances a call may have, call by call.
    pub capacity: Vec<u32>,
    /// How the cluster behaves.
    pub pace: Pace,
    /// From the launch to the boot of an instance.
    pub boot_time: TimeDelta,
}

/// What was there at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The instant.
    pub at: Instant,
    /// Ready pods by workload.
    pub ready: Vec<(String, i64)>,
}

/// What came of an evening.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Everything that happened to objects, in order.
    pub history: Vec<Event>,
    /// Ready pods, second by second.
    pub looks: Vec<Look>,
    /// All instances that were ever started.
    pub machines: Vec<Machine>,
    /// Launches whose token no persisted, guarded run knew.
    pub unrecorded: Vec<String>,
    /// What the operator asked for.
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
}

/// Counts nothing.
struct Silent;

impl Observer for Silent {
    fn finished(&self, _: &'static str, _: &'static str, _: Option<TimeDelta>) {}
    fn planned(&self, _: &str, _: &World, _: &Planned, _: Duration) {}
}

/// Plays an evening, with a fault or without.
///
/// # Errors
///
/// If a runtime cannot be had.
pub fn play(scenario: &Scenario, fault: Option<Plan>, seed: u64) -> std::io::Result<Recording> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(evening(scenario, fault, seed)))
}

async fn evening(scenario: &Scenario, fault: Option<Plan>, seed: u64) -> Recording {
    let clock = VirtualClock::starting(scenario.begin);
    let server = Server::new(clock);
    let gate = Gate::new(fault);
    let records = server.clone();
    let cloud = CloudModel::new(
        gate.clone(),
        clock,
        scenario.boot_time,
        scenario.capacity.clone(),
        move |token| records.with(|store| is_recorded(store, token)),
    );
    let mut recording = Recording {
        history: Vec::new(),
        looks: Vec::new(),
        machines: Vec::new(),
        unrecorded: Vec::new(),
        requests: Vec::new(),
        over: None,
        broken: None,
    };
    let set_up = server.with(|s| scenario.objects.iter().try_for_each(|o| put(s, o)));
    let load = scenario.load.clone();
    let mut cluster = Cluster::new(
        server.clone(),
        cloud.clone(),
        load.clone(),
        scenario.pace.clone(),
        seed,
        clock.now(),
    );
    let around = around(scenario, &server, &mut cluster, clock, &mut recording);
    let lives = lives(&server, &gate, &cloud, &load, clock);
    let result = tokio::select! {
        biased;
        result = around => result,
        () = lives => Ok(()),
    };
    recording.broken = set_up.and(result).err().map(|e| e.to_string());
    recording.history = server.with(|s| s.since(0).cloned().collect());
    recording.requests = gate.requests();
    (recording.machines, recording.unrecorded) =
        cloud.with(|f| (f.machines.clone(), f.unrecorded.clone()));
    recording
}

/// Everything but the operator: people, controllers, and the look once a second. Ends when the evening is over.
async fn around(
    scenario: &Scenario,
    server: &Server,
    cluster: &mut Cluster,
    clock: VirtualClock,
    recording: &mut Recording,
) -> Result<(), Refusal> {
    let mut deeds = scenario.deeds.clone();
    deeds.sort_by_key(|d| std::cmp::Reverse(d.at));
    let ends = scenario.begin + scenario.at_most;
    let step = scenario.pace.step.to_std().unwrap_or(Duration::from_secs(1));
    loop {
        let now = clock.now();
        while deeds.last().is_some_and(|d| d.at <= now)
            && let Some(deed) = deeds.pop()
        {
            server.with(|s| put(s, &deed.object))?;
        }
        cluster.step(now)?;
        if recording.looks.last().is_none_or(|look| now - look.at >= TimeDelta::seconds(1)) {
            recording.looks.push(Look { at: now, ready: server.with(|s| ready(s)) });
        }
        match recording.over {
            Some(over) if now - over >= AFTERWARDS => return Ok(()),
            None if deeds.is_empty() && server.with(|s| over(s)) => recording.over = Some(now),
            None if now >= ends => return Ok(()),
            _ => {}
        }
        tokio::time::sleep(step).await;
    }
}

/// The operator's lives, one after the other.
async fn lives(server: &Server, gate: &Gate, cloud: &CloudModel, load: &Load, clock: VirtualClock) {
    let mut gate = gate.clone();
    loop {
        let life = operator(
            server.client(&gate),
            Arc::new(cloud.behind(&gate)),
            Arc::new(load.clone()),
            Arc::new(clock),
        );
        tokio::select! {
            biased;
            () = gate.crashed() => {}
            () = life => {}
        }
        tokio::time::sleep(RESTART).await;
        gate = gate.reborn();
    }
}

/// The operator, wired as the binary wires it.
async fn operator(
    client: Client,
    cloud: Arc<dyn Cloud>,
    metrics: Arc<dyn Metrics>,
    clock: Arc<dyn Clock>,
) {
    let shared = Shared::default();
    let settings = Settings {
        cluster: "simulated".to_owned(),
        settle: TimeDelta::seconds(2),
        cloud_interval: Duration::from_secs(1),
    };
    let engine = Engine::new(
        client.clone(),
        shared.clone(),
        cloud,
        clock.clone(),
        Leadership::alone(clock.now()),
        "primetime-0",
        settings,
        Arc::new(Silent),
    );
    tokio::select! {
        biased;
        () = watch::everything(client, shared.clone()) => {}
        () = engine.clone().run() => {}
        () = engine.clone().tell_events() => {}
        () = engine.watch_cloud() => {}
        () = signals::run(shared, metrics, clock) => {}
    }
}

fn put(store: &mut Store, object: &Value) -> Result<(), Refusal> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = Kind::of(text("apiVersion"), text("kind"))
        .ok_or_else(|| Refusal::Unserved(text("kind").to_owned()))?;
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
    store.create(kind, namespace.unwrap_or_default(), object.clone()).map(|_| ())
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

fn ready(store: &Store) -> Vec<(String, i64)> {
    let Some(deployments) = Kind::of("apps/v1", "Deployment") else { return Vec::new() };
    store
        .list(deployments, "")
        .map(|((_, _, name), deployment)| {
            let ready = deployment.pointer("/status/readyReplicas").and_then(Value::as_i64);
            (name.clone(), ready.unwrap_or(0))
        })
        .collect()
}

/// There are runs, all are over, and nothing guards them.
fn over(store: &Store) -> bool {
    let Some(runs) = Kind::of("primetime.dev/v1alpha1", "SurgeRun") else { return false };
    let mut any = false;
    let all = store.list(runs, "").all(|(_, run)| {
        any = true;
        run.pointer("/status/completionTime").is_some()
            && run.pointer("/metadata/finalizers").is_none()
    });
    any && all
}

/// The shop of the example: `web` under an HPA, `search` beside it, base nodes, a class and a source.
#[must_use]
pub fn shop() -> Vec<Value> {
    let deployment = |name: &str, replicas: u32| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": SHOP},
            "spec": {"replicas": replicas},
        })
    };
    let mut objects = vec![
        deployment("web", 10),
        deployment("search", 5),
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": SHOP},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 10, "maxReplicas": 60,
            },
        }),
        json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "InstanceClass",
            "metadata": {"name": "paris-burst"},
            "spec": {
                "launchTemplate": {"name": "shop-burst", "version": "1"},
                "instanceTypes": ["m6i.xlarge"], "subnets": ["subnet-0a1b2c3d4e5f60001"],
                "leadSeconds": 30,
            },
        }),
        json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "MetricsSource",
            "metadata": {"name": "main"},
            "spec": {
                "url": "http://prometheus:9090", "intervalSeconds": 1, "timeoutSeconds": 2,
                "maxSampleAgeSeconds": 10,
            },
        }),
    ];
    objects.extend((0..20).map(|n| {
        let mut node = cluster::node(&format!("base-{n:02}"), None);
        node["apiVersion"] = "v1".into();
        node["kind"] = "Node".into();
        node
    }));
    objects
}
