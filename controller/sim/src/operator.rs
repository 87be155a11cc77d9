//! The operator, wired as in the binary, and the sequence of the operator's processes ("lives").

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

/// Timing flags of the operator's command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// Time after the start, or after becoming leader, in which the planner lowers nothing.
    pub settle: TimeDelta,
    /// Time after the deletion of a run or of the surge in which the planner lowers nothing.
    pub delete_grace: TimeDelta,
    /// Interval between two polls of the cloud.
    pub cloud_interval: Duration,
}

impl Flags {
    /// Default flags of the operator.
    pub const SHIPPED: Self = Self {
        settle: TimeDelta::seconds(120),
        delete_grace: TimeDelta::seconds(120),
        cloud_interval: Duration::from_secs(10),
    };

    /// Flags for evenings that run 60 times faster: `settle` is 2 s instead of 120 s.
    pub const SHORT: Self = Self {
        settle: TimeDelta::seconds(2),
        delete_grace: TimeDelta::seconds(5),
        cloud_interval: Duration::from_secs(1),
    };
}

/// Time between the end of a process and the restart, as for a container.
const RESTART: Duration = Duration::from_secs(3);

/// Servers, clock and settings around an operator.
#[derive(Clone)]
pub struct Surroundings {
    /// API server.
    pub server: Server,
    /// Gate to the API server and the cloud.
    pub gate: Gate,
    /// Cloud.
    pub cloud: CloudModel,
    /// Prometheus.
    pub load: Load,
    /// Correct clock.
    pub clock: VirtualClock,
    /// Faults of the evening.
    pub script: Script,
    /// True if operators may create Jobs.
    pub jobs: bool,
    /// Objects that the degradation steps may write.
    pub degrade: BTreeSet<Object>,
    /// Timing flags of all operators.
    pub flags: Flags,
    /// All lives of all operators.
    pub lives: Arc<Mutex<Vec<Life>>>,
}

/// Life of an operator: a process from start to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Number of the operator.
    pub operator: usize,
    /// Start of the process.
    pub from: Instant,
    /// True if the process exited without a fault of the script, for example after losing the
    /// leadership.
    pub gave_up: bool,
}

/// Observer that discards every measurement.
struct Silent;

impl Observer for Silent {
    fn finished(&self, _: &'static str, _: &'static str, _: Option<TimeDelta>) {}
    fn planned(&self, _: &str, _: &World, _: &Plan, _: Instant, _: Duration) {}
    fn set_aside(&self, _: usize) {}
    fn orphans(&self, _: usize) {}
}

/// Feed client that refuses every URL. The calendars of the simulated evenings come from a
/// `ConfigMap`.
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

/// Runs the lives of the n-th operator in sequence. The future never completes.
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

/// Polls `process`, except during pauses. Requests that the process has sent before a pause
/// proceed.
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

/// Runs a life of the operator, until the process exits because the process no longer leads.
async fn life(around: &Surroundings, gate: &Gate, n: usize, elected: bool) {
    let cloud: Arc<dyn Cloud> = Arc::new(around.cloud.behind(gate));
    let metrics: Arc<dyn Metrics> = Arc::new(around.load.clone());
    // The clock of the machine of operator 0 jumps. The other operator runs on another machine with
    // a correct clock.
    let jumps = if n == 0 { around.script.jumps.as_slice() } else { &[] };
    let clock: Arc<dyn Clock> = Arc::new(around.clock.jumping(jumps));
    let server_time = ServerTime::of(clock.clone());
    let client = Client::new(server_time.layer(around.server.behind(gate)), "default");
    let shared = Shared::default();
    shared.with(|index| {
        index.may_launch = true;
        index.may_look_at_pods = true;
        index.may_run_jobs = around.jobs;
        index.may_degrade.clone_from(&around.degrade);
    });
    let identity = format!("primetime-{n}");
    let leadership = if elected { Leadership::default() } else { Leadership::alone(clock.now()) };
    let Flags { settle, delete_grace, cloud_interval } = around.flags;
    // If the script has no clock jumps, the reconciler compares wall clock and monotonic clock only
    // every minute.
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
    // The gate drops all further requests and replies of the ended process.
    gate.die();
}
