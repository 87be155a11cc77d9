//! The reconciler: takes a snapshot, plans, persists records, executes acts, and sleeps until a
//! change or the next due time.
//!
//! # Guarantees
//!
//! - The reconciler requests an act only after the record that covers the act was persisted and
//!   read back.
//! - Each record and each act runs in a lane named after the object (`queue.rs`), with one request
//!   at a time per object. A failed or hanging request delays no other object.
//! - An update of a Primetime object carries a `resourceVersion`, and a write of replicas, bounds
//!   or values tests the observed values. A late update or write of a deposed leader fails.
//! - The reconciler checks the leadership when a request is sent, not only when the request is
//!   planned.
//! - The planner lowers nothing during the settle time after a start, and for two minutes after a
//!   jump of the wall clock (`clock_jump.rs`). The planner also lowers nothing while the header
//!   `Date` of the API server disagrees with the local clock.
//!
//! # Assumptions
//!
//! The monotonic clock does not jump. The kube client speaks HTTP/1.1, with a connection per
//! concurrent request.
//!
//! # Caveats
//!
//! The reconciler does not plan a request again while the request waits for a permit
//! (`limiter.rs`).

mod aside;
mod clock_jump;
mod cloud;
mod effects;
mod limiter;
pub mod merge_patch;
mod own_classes;
pub mod own_holds;
mod own_objects;
mod persist;
mod queue;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use kube::Client;
use primetime_core::Instant;
use primetime_core::output::Plan;
use primetime_core::plan::plan;
use primetime_core::port::{Clock, Cloud};
use primetime_core::state::world::World;
use tracing::{debug, warn};

use self::aside::{Aside, LastTurn};
use self::clock_jump::ClockJumps;
use self::queue::{Outcome, Queue};
use crate::cache::store::{Cache, Scope};
use crate::call::CallError;
use crate::events::Events;
use crate::lease::Leadership;
use crate::reconciler::limiter::Limiter;
use crate::server_time::ServerTime;
use crate::shared::Shared;

/// Maximum number of concurrent calls to the API server. The kube client speaks HTTP/1.1 and opens
/// as many connections. A load generator gained nothing beyond 16 connections to a real API server.
const AT_ONCE: usize = 32;

/// Maximum number of concurrent calls to the cloud. Cloud calls may be slow, so separate permits
/// keep cloud calls from delaying calls to the API server.
const CLOUD_AT_ONCE: usize = 4;

/// Maximum number of concurrent looks at pods. A page of pods may have megabytes of annotations.
const LOOKS_AT_ONCE: usize = 2;

/// Minimum pause between two passes. The reconciler plans once for several replies that arrive
/// together. A plan costs milliseconds, and 500 replies would otherwise cause 500 plans of the same
/// namespace.
const PASS_PAUSE: Duration = Duration::from_millis(2);

/// Maximum pause between two passes. The value is far below the 250 ms by which the planner sends
/// scheduled writes ahead of time.
const PASS_PAUSE_AT_MOST: Duration = Duration::from_millis(50);

/// Maximum time for which a new process waits for the workload lists of a namespace before the
/// first plan.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// Settings of the reconciler.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the cluster in the tags of instances. The name separates the instances of this
    /// cluster from the instances of other clusters in the same account.
    pub cluster: String,
    /// Settle time, during which the planner lowers nothing after a start or a change of leader.
    pub settle: TimeDelta,
    /// Interval between two requests to the cloud for the instances of each open run.
    pub cloud_interval: Duration,
    /// Delete grace: time after the deletion of a run or a surge during which the planner lowers
    /// nothing.
    pub delete_grace: TimeDelta,
    /// Maximum interval between two comparisons of the wall clock with monotonic time. The value is
    /// [`HEARTBEAT`], or more in a simulation without clock jumps.
    pub heartbeat: Duration,
}

/// Maximum time before the reconciler notices a jump of the wall clock.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// Receiver of counts and durations for metrics.
pub trait Observer: Send + Sync {
    /// Reports the end of a request. `late` is the time since the request was due.
    fn finished(&self, kind: &'static str, outcome: &'static str, late: Option<TimeDelta>);
    /// Reports the plan of a namespace at `now`, and the duration of planning.
    fn planned(&self, namespace: &str, world: &World, plan: &Plan, now: Instant, took: Duration);
    /// Reports the number of namespaces that are set aside.
    fn set_aside(&self, namespaces: usize);
    /// Reports the number of instances of the cluster that no open run owns.
    fn orphans(&self, instances: usize);
}

/// Time of a snapshot, kept for all requests planned from the snapshot.
#[derive(Clone, Copy)]
struct Look {
    /// Wall-clock time of the plan.
    now: Instant,
    /// Monotonic time before the snapshot.
    seen: tokio::time::Instant,
}

impl Look {
    /// Returns the wall-clock time after a wait of at least 1 ms, so that the loop never spins.
    fn after(self, wait: Duration) -> Instant {
        let wait = wait.max(Duration::from_millis(1));
        self.now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::seconds(1))
    }
}

/// The planner has panicked; the panic hook has told where.
struct Panicked;

/// Description of a request for the queue.
struct Work<'a> {
    namespace: &'a str,
    /// Name of the lane, made from the object that the request concerns.
    lane: String,
    /// Stable word for a metric label.
    kind: &'static str,
    /// Time at which the request was due, if the planner knows the time.
    due: Option<Instant>,
    /// What the request calls, which decides whose permits it takes.
    calls: Calls,
}

/// What a request calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    /// The API server, to read or write what a plan needs.
    Api,
    /// The cloud.
    Cloud,
    /// The API server, to read what people are told. Such a read may be large and slow, and must not
    /// delay a write.
    Explanation,
}

/// Reconcile loop and dependencies of the loop.
pub struct Reconciler {
    client: Client,
    shared: Shared,
    cloud: Arc<dyn Cloud>,
    clock: Arc<dyn Clock>,
    leadership: Leadership,
    server_time: ServerTime,
    events: Events,
    settings: Settings,
    observer: Arc<dyn Observer>,
    permits: Limiter,
    cloud_permits: Limiter,
    look_permits: Limiter,
    lanes: Queue,
    turned: LastTurn,
}

impl Reconciler {
    /// Creates a reconciler.
    #[expect(clippy::too_many_arguments, reason = "called once, from the wiring")]
    pub fn new(
        client: Client,
        shared: Shared,
        cloud: Arc<dyn Cloud>,
        clock: Arc<dyn Clock>,
        leadership: Leadership,
        server_time: ServerTime,
        identity: &str,
        settings: Settings,
        observer: Arc<dyn Observer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            events: Events::new(identity),
            client,
            shared,
            cloud,
            clock,
            leadership,
            server_time,
            settings,
            observer,
            permits: Limiter::new(AT_ONCE),
            cloud_permits: Limiter::new(CLOUD_AT_ONCE),
            look_permits: Limiter::new(LOOKS_AT_ONCE),
            lanes: Queue::default(),
            turned: LastTurn::default(),
        })
    }

    /// Returns the time since the reconcile loop last began a turn. The loop turns at least once
    /// per heartbeat.
    pub fn idle(&self) -> Duration {
        self.turned.age()
    }

    /// Runs the reconcile loop forever.
    ///
    /// The function is a single loop, because the due namespaces and the next requeue depend on the
    /// same state.
    pub async fn run(self: Arc<Self>) {
        let started = self.clock.now();
        let began_at = tokio::time::Instant::now();
        let mut jumps = ClockJumps::new(started, began_at);
        let mut wakes: BTreeMap<String, Instant> = BTreeMap::new();
        let mut clock_error = None;
        let mut aside = Aside::default();
        loop {
            let began = tokio::time::Instant::now();
            self.turned.now();
            let mut planned = false;
            let now = self.clock.now();
            if let Some(by) = jumps.look(now, began) {
                warn!(
                    seconds = by.num_seconds(),
                    "the clock has jumped: nothing is lowered for two minutes"
                );
                self.shared.with(|cache| cache.mark(Scope::Everything));
            }
            let error = self.server_time.error();
            if error != clock_error {
                clock_error = error;
                self.shared.with(|cache| cache.mark(Scope::Everything));
            }
            if self.leadership.leads() && self.shared.with(|cache| cache.synced()) {
                // The watch of a standby may have missed events, so a new leader requests a relist
                // of every kind.
                let began = self.leadership.began();
                self.shared.relist_since(began);
                let listed = self.shared.with(|cache| {
                    cache.leads_from = Some(began);
                    cache.listed_since_it_leads()
                });
                let settled = started.max(self.leadership.since()) + self.settings.settle;
                let may_lower_from = match jumps.unsteady_for() {
                    // The planner may lower nothing while the local clock disagrees with the API
                    // server, or before this leader has relisted.
                    // mutate: process-begins-wrong-clock
                    _ if clock_error.is_some() || !listed => now + clock_jump::AFTER_A_JUMP,
                    Some(time) => now + time,
                    // If the end of the settle time is too far in the future, the wall clock has
                    // jumped back since the start. The wait after that jump replaces the settle
                    // time.
                    None if settled > now + self.settings.settle => now,
                    None => settled,
                };
                let mut due = self.shared.with(Cache::take_dirty);
                due.extend(wakes.iter().filter(|(_, at)| **at <= now).map(|(ns, _)| ns.clone()));
                // The mark of a namespace that is set aside is kept as a wake at the end of its wait.
                due.retain(|namespace| {
                    let Some(wait) = aside.wait(namespace, began) else { return true };
                    wakes.insert(namespace.clone(), Look { now, seen: began }.after(wait));
                    false
                });
                planned = !due.is_empty();
                for namespace in due {
                    // A new process waits up to 3 s for the workload lists of a namespace before
                    // the first plan.
                    let fresh = began_at.elapsed() < FIRST_LOOK;
                    if fresh && !self.shared.with(|i| i.listed(&namespace)) {
                        wakes.insert(namespace, now + TimeDelta::milliseconds(100));
                        continue;
                    }
                    let pass = tokio::time::Instant::now();
                    self.turned.now();
                    let planned = self.pass(&namespace, may_lower_from, clock_error, now);
                    let again = aside.after(&namespace, planned.is_err(), pass.elapsed());
                    let again =
                        again.map(|wait| Look { now: self.clock.now(), seen: pass }.after(wait));
                    match again.or_else(|| planned.ok().flatten()) {
                        Some(at) => wakes.insert(namespace, at),
                        None => wakes.remove(&namespace),
                    };
                }
                self.observer.set_aside(aside.len());
            }
            // The pause is as long as the passes took, so planning uses at most half of a core. The
            // upper limit of 50 ms keeps the delay short for users.
            if planned {
                tokio::time::sleep(began.elapsed().clamp(PASS_PAUSE, PASS_PAUSE_AT_MOST)).await;
            }
            let next = wakes.values().min().copied();
            let at_most = self.settings.heartbeat;
            let pause =
                next.map_or(at_most, |at| (at - self.clock.now()).to_std().unwrap_or_default());
            let pause = pause.clamp(Duration::from_millis(1), at_most);
            tokio::select! {
                biased;
                () = self.shared.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Plans one namespace and starts all requests of the plan. Returns the time of the next pass. If
    /// the planner has panicked, no request is started.
    fn pass(
        self: &Arc<Self>,
        namespace: &str,
        may_lower_from: Instant,
        clock_error: Option<TimeDelta>,
        now: Instant,
    ) -> Result<Option<Instant>, Panicked> {
        let look = Look { now, seen: tokio::time::Instant::now() };
        let cluster = &self.settings.cluster;
        let world = self.shared.with(|cache| {
            let world = cache.world(namespace, cluster, may_lower_from, now);
            World { reached: cache.observe(namespace, &world, now), ..world }
        });
        let delete_grace = self.settings.delete_grace;
        let leads_since = self.leadership.since();
        let world = World { clock_error, delete_grace, leads_since, ..world };
        let watch = tokio::time::Instant::now();
        // The planner is pure and holds no lock, so a panic leaves no state behind.
        let plan = std::panic::catch_unwind(AssertUnwindSafe(|| plan(&world, now)));
        let plan = plan.map_err(|_| Panicked)?;
        self.observer.planned(namespace, &world, &plan, now, watch.elapsed());
        let Plan { records, acts, wake } = plan;
        let mut next = wake;
        for record in records {
            if let Some(at) = self.persist(namespace, record, &world, look) {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        for act in acts {
            if let Some(at) = self.act(namespace, act, look) {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        Ok(next)
    }

    /// Starts a request, unless the lane is busy or in backoff. Returns the end of the backoff, or
    /// `None` if the lane starts the request or is busy.
    fn start<F>(self: &Arc<Self>, work: Work<'_>, look: Look, effect: F) -> Option<Instant>
    where
        F: Future<Output = Result<Outcome, CallError>> + Send + 'static,
    {
        let Work { namespace, lane, kind, due, calls } = work;
        match self.lanes.enter(&lane, look.seen, tokio::time::Instant::now()) {
            queue::Entry::Busy => return None,
            queue::Entry::After(wait) => return Some(look.after(wait)),
            queue::Entry::Free => {}
        }
        let engine = self.clone();
        let namespace = namespace.to_owned();
        tokio::spawn(async move {
            // The guard frees the lane if the request panics or is cancelled. The lane would
            // otherwise stay busy forever.
            let guard = engine.lanes.guard(&lane);
            let permits = match calls {
                Calls::Api => &engine.permits,
                Calls::Cloud => &engine.cloud_permits,
                Calls::Explanation => &engine.look_permits,
            };
            let result = led(&engine.leadership, permits, effect).await;
            let now = engine.clock.now();
            let outcome = result.as_ref().map_or_else(CallError::reason, |_| "ok");
            engine.observer.finished(kind, outcome, due.map(|at| now - at));
            match &result {
                Err(CallError::PushedBack(_)) => {
                    if let Some(left) = permits.pushed_back(tokio::time::Instant::now()) {
                        warn!(left, "the API server pushes back (429): fewer calls at once");
                    }
                }
                Ok(_) => permits.taken(tokio::time::Instant::now()),
                Err(_) => {}
            }
            match &result {
                Err(CallError::Conflict(why)) => debug!(lane, why, "looks again"),
                Err(error) => {
                    warn!(lane, %error, "request failed; the reconciler plans it again while this process leads");
                }
                Ok(_) => {}
            }
            guard.leave(&result, tokio::time::Instant::now());
            engine.shared.with(|cache| cache.mark(Scope::Namespace(namespace)));
            engine.shared.notify();
        });
        None
    }

    /// Writes the queued Kubernetes Events forever, at the low rate of the Event queue.
    pub async fn tell_events(self: Arc<Self>) {
        self.events.run(self.client.clone()).await;
    }
}

/// Runs `effect` if this process still leads when a permit is free. A check at the start of the
/// process, or at planning time, would be too early.
async fn led<T>(
    leadership: &Leadership,
    permits: &Limiter,
    effect: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let _permit = permits.acquire().await.map_err(|e| CallError::Failed(e.to_string()))?;
    // mutate: does-lead-any-more
    if !leadership.leads() {
        return Err(CallError::Failed("this process does not lead any more".to_owned()));
    }
    effect.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconciler::led;

    #[tokio::test]
    async fn who_has_lost_the_lease_in_the_queue_does_nothing_when_its_turn_comes() {
        let leadership = Leadership::alone(Instant::UNIX_EPOCH);
        let permits = Limiter::new(1);
        let effect = async { Ok(()) };
        assert!(led(&leadership, &permits, effect).await.is_ok());
        let busy = permits.acquire().await.unwrap();
        let mut waits = std::pin::pin!(led(&leadership, &permits, async { Ok(()) }));
        assert!(futures::poll!(&mut waits).is_pending());
        leadership.lost();
        drop(busy);
        assert!(matches!(waits.await, Err(CallError::Failed(_))));
    }
}
