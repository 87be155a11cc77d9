//! The operator, wired as its binary wires it, and its lives.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tower::Layer;

use chrono::TimeDelta;
use kube::Client;
use primetime_core::Instant;
use primetime_core::output::Plan;
use primetime_core::port::{Answer, Clock, Cloud, Feeds, Fetched, Metrics};
use primetime_core::state::ladder::Object;
use primetime_core::state::world::World;
use primetime_k8s::lease::{Candidate, Leadership};
use primetime_k8s::reconciler::{HEARTBEAT, Observer, Reconciler, Settings};
use primetime_k8s::server_time::ServerTime;
use primetime_k8s::shared::Shared;
use primetime_k8s::{calendars, lease, signals, watch};

use crate::clock::VirtualClock;
use crate::cloud::CloudModel;
use crate::gate::Gate;
use crate::load::Load;
use crate::script::{Outage, Part, Script};
use crate::server::Server;

/// What the operator's command line says of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// Nothing is lowered for so long after the start, or after becoming leader.
    pub settle: TimeDelta,
    /// Nothing is lowered for so long after a deletion.
    pub delete_grace: TimeDelta,
    /// Between two questions to the cloud.
    pub cloud_interval: Duration,
}

impl Flags {
    /// What the operator does when its command line says nothing of it.
    pub const SHIPPED: Self = Self {
        settle: TimeDelta::seconds(120),
        delete_grace: TimeDelta::seconds(120),
        cloud_interval: Duration::from_secs(10),
    };

    /// For evenings of minutes: of two minutes, as many seconds as the evening is short.
    pub const SHORT: Self = Self {
        settle: TimeDelta::seconds(2),
        delete_grace: TimeDelta::seconds(5),
        cloud_interval: Duration::from_secs(1),
    };
}

/// How long a process is gone after a crash: a restart of a container.
const RESTART: Duration = Duration::from_secs(3);

/// Everything that an operator talks to.
#[derive(Clone)]
pub struct Surroundings {
    /// The API server.
    pub server: Server,
    /// The door to API server and cloud.
    pub gate: Gate,
    /// The cloud.
    pub cloud: CloudModel,
    /// The Prometheus.
    pub load: Load,
    /// The right time.
    pub clock: VirtualClock,
    /// What goes wrong.
    pub script: Script,
    /// Operators may create Jobs.
    pub jobs: bool,
    /// What steps of a ladder may write.
    pub degrade: BTreeSet<Object>,
    /// How operators are started.
    pub flags: Flags,
    /// Every life of every operator.
    pub lives: Arc<Mutex<Vec<Life>>>,
}

/// A life of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Whose.
    pub operator: usize,
    /// When it began.
    pub from: Instant,
    /// It ended by itself.
    pub gave_up: bool,
}

/// Counts nothing.
struct Silent;

impl Observer for Silent {
    fn finished(&self, _: &'static str, _: &'static str, _: Option<TimeDelta>) {}
    fn planned(&self, _: &str, _: &World, _: &Plan, _: Duration) {}
}

/// Calendars of these evenings stand in a `ConfigMap`: no address is allowed.
struct NoFeeds;

impl Feeds for NoFeeds {
    fn fetch<'a>(
        &'a self,
        url: &'a str,
        _: Option<&'a str>,
    ) -> Answer<'a, Result<Fetched, String>> {
        Box::pin(async move { Err(format!("{url} is not allowed")) })
    }
}

/// The lives of the n-th operator, one after the other.
pub async fn lives(around: Surroundings, n: usize, elected: bool) {
    let mut gate = around.gate.of_operator(n);
    let mut ends: Vec<&Outage> =
        around.script.outages.iter().filter(|o| o.part == Part::Operator).collect();
    ends.sort_by_key(|o| std::cmp::Reverse(o.from));
    let record = |f: &mut dyn FnMut(&mut Vec<Life>)| {
        f(&mut around.lives.lock().unwrap_or_else(PoisonError::into_inner));
    };
    loop {
        let born = Life { operator: n, from: around.clock.now(), gave_up: false };
        record(&mut |lives| lives.push(born));
        let end = ends.last().map(|o| o.from);
        let stopped = async {
            match end {
                Some(at) => tokio::time::sleep(left(&around.clock, at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = gate.crashed() => tokio::time::sleep(RESTART).await,
            () = stopped => {
                gate.die();
                let until = ends.pop().map(|o| o.until);
                tokio::time::sleep(until.map_or(RESTART, |at| left(&around.clock, at))).await;
            }
            () = now_and_then_still(&gate, life(&around, &gate, n, elected)) => {
                record(&mut |lives| {
                    lives.iter_mut().filter(|l| **l == born).for_each(|l| l.gave_up = true);
                });
                tokio::time::sleep(RESTART).await;
            }
        }
        gate = gate.reborn();
    }
}

fn left(clock: &VirtualClock, until: Instant) -> Duration {
    (until - clock.now()).to_std().unwrap_or_default()
}

/// A process that is not given the processor while it stands still. What it has sent goes on without it.
async fn now_and_then_still(gate: &Gate, process: impl Future<Output = ()>) {
    let mut process = std::pin::pin!(process);
    loop {
        tokio::select! {
            biased;
            () = gate.stands_still() => gate.goes_on().await,
            () = &mut process => return,
        }
    }
}

/// One life, until its process ends by itself because it does not lead any more.
async fn life(around: &Surroundings, gate: &Gate, n: usize, elected: bool) {
    let cloud: Arc<dyn Cloud> = Arc::new(around.cloud.behind(gate));
    let metrics: Arc<dyn Metrics> = Arc::new(around.load.clone());
    // It is one machine's clock that jumps: the other operator runs on another one.
    let jumps = if n == 0 { around.script.jumps.as_slice() } else { &[] };
    let clock: Arc<dyn Clock> = Arc::new(around.clock.jumping(jumps));
    let server_time = ServerTime::of(clock.clone());
    let client = Client::new(server_time.layer(around.server.behind(gate)), "default");
    let shared = Shared::default();
    shared.with(|index| {
        index.may_run_jobs = around.jobs;
        index.may_degrade.clone_from(&around.degrade);
    });
    let identity = format!("primetime-{n}");
    let leadership = if elected { Leadership::default() } else { Leadership::alone(clock.now()) };
    let Flags { settle, delete_grace, cloud_interval } = around.flags;
    // A clock that is never set has nothing to be compared with.
    let heartbeat = if jumps.is_empty() { Duration::from_mins(1) } else { HEARTBEAT };
    let cluster = "simulated".to_owned();
    let settings = Settings { cluster, settle, cloud_interval, delete_grace, heartbeat };
    let engine = Reconciler::new(
        client.clone(),
        shared.clone(),
        cloud,
        clock.clone(),
        leadership.clone(),
        server_time,
        &identity,
        settings,
        Arc::new(Silent),
    );
    let election = async {
        if !elected {
            return std::future::pending().await;
        }
        let (namespace, name) = ("primetime-system".to_owned(), "primetime".to_owned());
        let candidate = Candidate { namespace, name, identity };
        let bell = shared.clone();
        lease::run(client.clone(), candidate, leadership.clone(), clock.clone(), move || {
            bell.notify();
        })
        .await;
    };
    tokio::select! {
        biased;
        () = election => {}
        () = watch::everything(client.clone(), shared.clone()) => {}
        () = engine.clone().run() => {}
        () = engine.clone().tell_events() => {}
        () = engine.watch_cloud() => {}
        () = calendars::run(client.clone(), shared.clone(), Arc::new(NoFeeds), clock.clone(), leadership.clone()) => {}
        () = signals::run(shared.clone(), metrics, clock.clone()) => {}
    }
    // What this process has in mind dies with it.
    gate.die();
}
