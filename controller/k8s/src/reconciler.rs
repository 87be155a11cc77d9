//! The reconciler: snapshot, plan, persist records, act, sleep until something changes or falls due.
//!
//! # Guarantees
//!
//! - An act is requested only after the record that covers it was persisted and read back.
//! - Each record and each act runs in a lane named after its object (`queue.rs`): one request at a time per object. An error, or
//!   a request that hangs, delays no other object.
//! - A record carries the resourceVersion that it was planned from, and an act tests the values that were seen. A deposed
//!   leader's late request fails.
//! - Leadership is checked when a request is sent, not only when it is planned.
//! - Nothing is lowered for the settle time after a start, for two minutes after the wall clock has jumped (`clock_jump.rs`), and
//!   while the `Date` header of the API server disagrees with the local clock.
//!
//! # Assumptions
//!
//! The monotonic clock does not jump. kube speaks HTTP/1.1: one connection per request at once.
//!
//! # Caveats
//!
//! A request that waits for a permit (`limiter.rs`) is not planned again before it is sent.

mod clock_jump;
mod effects;
mod limiter;
pub mod merge_patch;
pub mod own_holds;
mod own_objects;
mod persist;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use kube::Client;
use primetime_core::Instant;
use primetime_core::output::Plan;
use primetime_core::plan::plan;
use primetime_core::port::{Clock, Cloud};
use primetime_core::state::observed::{Fleet, Seen};
use primetime_core::state::run::RunRecord;
use primetime_core::state::world::World;
use tracing::{debug, warn};

use self::clock_jump::ClockJumps;
use self::queue::{Outcome, Queue};
use crate::cache::store::{Cache, Scope};
use crate::call::CallError;
use crate::events::Events;
use crate::lease::Leadership;
use crate::reconciler::limiter::Limiter;
use crate::server_time::ServerTime;
use crate::shared::Shared;

/// Calls to the API server at once. kube speaks HTTP/1.1: this many connections. A bare load generator on a real API
/// server gained nothing beyond 16.
const AT_ONCE: usize = 32;

/// Calls to the cloud at once. They may take long, and take no place from calls to the API server.
const CLOUD_AT_ONCE: usize = 4;

/// The least pause between two looks. Replies that come in together are planned together: a plan costs milliseconds, and
/// 500 replies would ask for 500 plans of the same namespace.
const PASS_PAUSE: Duration = Duration::from_millis(2);

/// The longest such pause: far below the quarter of a second that writes known before are sent ahead.
const PASS_PAUSE_AT_MOST: Duration = Duration::from_millis(50);

/// How long a fresh process waits for the workloads of a namespace to be listed before it plans without them.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// How the engine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Distinguishes this cluster's instances from others in the same account.
    pub cluster: String,
    /// Nothing is lowered for this long after the start, or after becoming leader.
    pub settle: TimeDelta,
    /// How often the cloud is asked for the instances of a run that has any.
    pub cloud_interval: Duration,
    /// Nothing is lowered for so long after a run, or its surge, was deleted.
    pub delete_grace: TimeDelta,
    /// How often the wall clock is compared with monotonic time, at least: [`HEARTBEAT`], or later where no clock jumps.
    pub heartbeat: Duration,
}

/// A wall clock that jumps is noticed within this time.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// Something to be counted.
pub trait Observer: Send + Sync {
    /// A record or an act was finished.
    fn finished(&self, kind: &'static str, outcome: &'static str, late: Option<TimeDelta>);
    /// A namespace was planned.
    fn planned(&self, namespace: &str, world: &World, plan: &Plan, took: Duration);
}

/// The moment of a look: what was planned from it belongs to it.
#[derive(Clone, Copy)]
struct Look {
    /// The instant that was planned for.
    now: Instant,
    /// The same in monotonic time, from before the world was looked at.
    seen: tokio::time::Instant,
}

impl Look {
    /// An instant after a time has passed; a millisecond at least, so that the loop never spins.
    fn after(self, wait: Duration) -> Instant {
        let wait = wait.max(Duration::from_millis(1));
        self.now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::seconds(1))
    }
}

/// A piece of work as lanes see it.
struct Work<'a> {
    namespace: &'a str,
    /// Named after the object it concerns.
    lane: String,
    /// A stable word for metrics.
    kind: &'static str,
    /// When it was due, where that is known.
    due: Option<Instant>,
    /// It calls the cloud, not the API server.
    cloud: bool,
}

/// The loop and what it needs.
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
    lanes: Queue,
}

impl Reconciler {
    /// Puts an engine together.
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
            lanes: Queue::default(),
        })
    }

    /// Runs for ever.
    ///
    /// One loop: what is due, and what wakes the loop, are decided from the same state.
    pub async fn run(self: Arc<Self>) {
        let started = self.clock.now();
        let began_at = tokio::time::Instant::now();
        let mut jumps = ClockJumps::new(started, began_at);
        let mut wakes: BTreeMap<String, Instant> = BTreeMap::new();
        let mut clock_error = None;
        loop {
            let began = tokio::time::Instant::now();
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
                // A watch that has kept something to itself while this process stood by is made up for.
                let began = self.leadership.began();
                self.shared.relist_since(began);
                let listed = self.shared.with(|cache| {
                    cache.leads_from = Some(began);
                    cache.listed_since_it_leads()
                });
                let settled = started.max(self.leadership.since()) + self.settings.settle;
                let may_lower_from = match jumps.unsteady_for() {
                    // A clock that is not the API server's has not been set right yet.
                    // mutate: process-begins-wrong-clock
                    _ if clock_error.is_some() || !listed => now + clock_jump::AFTER_A_JUMP,
                    Some(time) => now + time,
                    // The start was before a jump back, and that was waited for.
                    None if settled > now + self.settings.settle => now,
                    None => settled,
                };
                let mut due = self.shared.with(Cache::take_dirty);
                due.extend(wakes.iter().filter(|(_, at)| **at <= now).map(|(ns, _)| ns.clone()));
                planned = !due.is_empty();
                for namespace in due {
                    // A fresh process looks a little longer before it speaks; it never waits for long.
                    let fresh = began_at.elapsed() < FIRST_LOOK;
                    if fresh && !self.shared.with(|i| i.listed(&namespace)) {
                        wakes.insert(namespace, now + TimeDelta::milliseconds(100));
                        continue;
                    }
                    match self.pass(&namespace, may_lower_from, clock_error, now) {
                        Some(at) => wakes.insert(namespace, at),
                        None => wakes.remove(&namespace),
                    };
                }
            }
            // As long again as the looks took, so that at most half of a core is spent on planning; never so long that
            // a person notices.
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

    /// Plans one namespace and sets everything in motion. Returns when to look again.
    fn pass(
        self: &Arc<Self>,
        namespace: &str,
        may_lower_from: Instant,
        clock_error: Option<TimeDelta>,
        now: Instant,
    ) -> Option<Instant> {
        let look = Look { now, seen: tokio::time::Instant::now() };
        let cluster = &self.settings.cluster;
        let world = self.shared.with(|cache| {
            let world = cache.world(namespace, cluster, may_lower_from, now);
            World { reached: cache.observe(namespace, &world, now), ..world }
        });
        let delete_grace = self.settings.delete_grace;
        let world = World { clock_error, delete_grace, ..world };
        let watch = tokio::time::Instant::now();
        let plan = plan(&world, now);
        self.observer.planned(namespace, &world, &plan, watch.elapsed());
        let Plan { records, acts, wake } = plan;
        let mut next = wake;
        for record in records {
            if let Some(at) = self.persist(namespace, record, &world, look) {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        for act in acts {
            if let Some(at) = self.act(namespace, act, &world, look) {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        next
    }

    /// Starts a lane unless it is busy or has to wait; then says until when.
    fn start<F>(self: &Arc<Self>, work: Work<'_>, look: Look, effect: F) -> Option<Instant>
    where
        F: Future<Output = Result<Outcome, CallError>> + Send + 'static,
    {
        let Work { namespace, lane, kind, due, cloud } = work;
        match self.lanes.enter(&lane, look.seen, tokio::time::Instant::now()) {
            queue::Entry::Busy => return None,
            queue::Entry::After(wait) => return Some(look.after(wait)),
            queue::Entry::Free => {}
        }
        let engine = self.clone();
        let namespace = namespace.to_owned();
        tokio::spawn(async move {
            // A lane whose work panicked, or was cancelled, would stay busy for ever: the guard frees it.
            let guard = engine.lanes.guard(&lane);
            let permits = if cloud { &engine.cloud_permits } else { &engine.permits };
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

    /// Tells Kubernetes Events, after everything else. Runs for ever.
    pub async fn tell_events(self: Arc<Self>) {
        self.events.run(self.client.clone()).await;
    }

    /// Asks the cloud for the instances of every run that has, or may have, any. Runs for ever.
    pub async fn watch_cloud(self: Arc<Self>) {
        loop {
            let owing = self.shared.with(|cache| {
                cache.forget_the_past();
                let owes = |r: &&RunRecord| {
                    r.status.completion_time.is_none()
                        && (r.status.owes_machines() || !r.status.ledger.is_empty())
                };
                cache
                    .runs
                    .iter()
                    .map(|(_, r)| r)
                    .filter(owes)
                    .map(|r| r.uid.clone())
                    .collect::<Vec<_>>()
            });
            if self.leadership.leads() {
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
                let news = self.shared.with(|cache| cache.see_fleet(uid, Fleet { instances, at }));
                if news {
                    self.shared.notify_planner();
                }
            }
            Err(error) => {
                warn!(run = uid, error, "the cloud could not be asked for the run's instances");
                // What was seen stays seen; only a run that was never looked at becomes unknown.
                self.shared.with(|cache| {
                    cache.fleets.entry(uid).or_insert_with(|| Seen::Unknown(error));
                });
            }
        }
    }
}

/// Does something if this process still leads when its turn has come: leadership is checked at the write, not only at
/// start.
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
