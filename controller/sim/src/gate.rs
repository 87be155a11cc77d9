//! Gate between a simulated process and the servers: faults of requests, crashes and pauses of the
//! process.

use primetime_core::port::Clock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use primetime_core::Instant;
use tokio::sync::Notify;

use crate::clock::VirtualClock;
use crate::script::{Fault, Part, Script};

/// Latency of a request or of a reply.
const ONE_WAY: Duration = Duration::from_millis(2);

/// Delay of a late request. The delay is longer than every client timeout and than the Lease
/// duration.
pub const LATE: Duration = Duration::from_secs(40);

/// Server that a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// API server.
    Api,
    /// Cloud.
    Cloud,
}

/// HTTP error that refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// HTTP 500, internal error.
    Internal,
    /// HTTP 409, conflict.
    Conflict,
    /// HTTP 429, too many requests.
    TooMany,
    /// HTTP 503, service unavailable.
    Unavailable,
}

/// Pause of a process: between `from` and `until` the process executes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Number of the paused operator.
    pub operator: Option<usize>,
    /// Beginning of the pause.
    pub from: Instant,
    /// End of the pause.
    pub until: Instant,
}

/// Gate to the API server and the cloud, for a single life of a process.
#[derive(Clone, Debug)]
pub struct Gate {
    script: Arc<Script>,
    clock: VirtualClock,
    requests: Arc<Mutex<Vec<String>>>,
    silent_until: Arc<Mutex<Option<Instant>>>,
    pauses: Arc<Mutex<Vec<Pause>>>,
    /// Times at which a request was executed [`LATE`] after the process had sent the request.
    late: Arc<Mutex<Vec<Instant>>>,
    alive: Arc<AtomicBool>,
    crashed: Arc<Notify>,
    operator: Option<usize>,
    /// End of the pause of the process behind the gate.
    stands_until: Arc<Mutex<Option<tokio::time::Instant>>>,
    stands: Arc<Notify>,
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// Returns a gate that injects the faults of `script`.
    #[must_use]
    pub fn new(script: Script, clock: VirtualClock) -> Self {
        Self {
            script: Arc::new(script),
            clock,
            requests: Arc::default(),
            silent_until: Arc::default(),
            pauses: Arc::default(),
            late: Arc::default(),
            alive: Arc::new(AtomicBool::new(true)),
            crashed: Arc::new(Notify::new()),
            operator: None,
            stands_until: Arc::default(),
            stands: Arc::default(),
        }
    }

    /// Returns the same gate for the first life of the n-th operator.
    #[must_use]
    pub fn of_operator(&self, n: usize) -> Self {
        Self { operator: Some(n), ..self.reborn() }
    }

    /// Returns the number of the operator behind the gate.
    #[must_use]
    pub fn operator(&self) -> Option<usize> {
        self.operator
    }

    /// Returns the same gate for the next life of the process. The request numbers continue.
    #[must_use]
    pub fn reborn(&self) -> Self {
        Self {
            alive: Arc::new(AtomicBool::new(true)),
            crashed: Arc::default(),
            stands_until: Arc::default(),
            stands: Arc::default(),
            ..self.clone()
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Vec<String>) -> T) -> T {
        f(&mut locked(&self.requests))
    }

    /// True if `part` is out now.
    #[must_use]
    pub fn is_out(&self, part: Part) -> bool {
        let now = self.clock.now();
        let silent = || *locked(&self.silent_until);
        self.script.is_out(part, now)
            || (part == Part::WatchesSilent && silent().is_some_and(|until| now < until))
    }

    /// Returns the beginning of the current outage of `part`, if `part` is out.
    #[must_use]
    pub fn out_since(&self, part: Part) -> Option<Instant> {
        self.script.out_since(part, self.clock.now())
    }

    /// Returns the time until the next beginning or end of an outage or of a watch silence, or
    /// `None` if no change is scheduled.
    #[must_use]
    pub fn next_turn(&self) -> Option<Duration> {
        let now = self.clock.now();
        let outages = self.script.outages.iter().flat_map(|outage| [outage.from, outage.until]);
        let turns = outages.chain(*locked(&self.silent_until)).filter(|at| *at > now);
        turns.min().and_then(|at| (at - now).to_std().ok())
    }

    /// Executes the effect of a request on the server and returns the reply, unless the script
    /// injects a fault.
    ///
    /// If the process has died, the request has no effect and the future never completes. The
    /// effect of a request that reached the server before the death persists.
    ///
    /// The function keeps the whole path of a request together. Each fault stands at the point of
    /// the path at which the gate injects the fault.
    pub async fn pass<T: Send + 'static>(
        &self,
        door: Door,
        request: String,
        effect: impl FnOnce() -> T + Send + 'static,
        refuse: impl FnOnce(No) -> T,
    ) -> T {
        let number = self.with(|requests| {
            requests.push(request);
            requests.len() - 1
        });
        let fault = self.script.at(number);
        if let Some(time) = fault.and_then(Fault::silence) {
            let until = self.clock.now() + time;
            *locked(&self.silent_until) = Some(until);
        }
        if let Some(time) = fault.and_then(Fault::pause) {
            let from = self.clock.now();
            let pause = Pause { operator: self.operator, from, until: from + time };
            locked(&self.pauses).push(pause);
            let time = time.to_std().unwrap_or_default();
            *locked(&self.stands_until) = Some(tokio::time::Instant::now() + time);
            self.stands.notify_one();
        }
        self.goes_on().await;
        tokio::time::sleep(ONE_WAY).await;
        if fault == Some(Fault::CrashBefore) {
            self.die();
        }
        self.survive().await;
        let out = match door {
            Door::Api => self.is_out(Part::Api),
            Door::Cloud => self.is_out(Part::Cloud),
        };
        let no = match fault {
            _ if out => Some(No::Unavailable),
            Some(Fault::Refused) => Some(No::Internal),
            Some(Fault::Conflict) => Some(No::Conflict),
            Some(Fault::TooMany) => Some(No::TooMany),
            _ => None,
        };
        if fault == Some(Fault::Late) && !out {
            let (late, clock) = (self.late.clone(), self.clock.clone());
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                locked(&late).push(clock.now());
                effect();
            });
            return std::future::pending().await;
        }
        let reply = match no {
            Some(no) => refuse(no),
            None => effect(),
        };
        if fault == Some(Fault::CrashAfterEffect) {
            self.die();
        }
        if fault == Some(Fault::ReplyLost) {
            return std::future::pending().await;
        }
        tokio::time::sleep(ONE_WAY).await;
        self.survive().await;
        if fault == Some(Fault::CrashAfterReply) {
            self.die();
        }
        reply
    }

    async fn survive(&self) {
        if !self.alive.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until a pause of the process behind the gate begins.
    pub async fn stands_still(&self) {
        self.stands.notified().await;
    }

    /// Waits until the pause of the process ends.
    pub async fn goes_on(&self) {
        let until = *locked(&self.stands_until);
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Returns the pauses of all processes.
    #[must_use]
    pub fn pauses(&self) -> Vec<Pause> {
        locked(&self.pauses).clone()
    }

    /// Returns the times at which a request was executed [`LATE`] after the process had sent the
    /// request.
    #[must_use]
    pub fn late(&self) -> Vec<Instant> {
        locked(&self.late).clone()
    }

    /// Ends the process behind the gate.
    pub fn die(&self) {
        self.alive.store(false, Ordering::Release);
        self.crashed.notify_one();
    }

    /// Waits until the process behind the gate dies.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// Returns all requests of all lives so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.with(|requests| requests.clone())
    }
}
