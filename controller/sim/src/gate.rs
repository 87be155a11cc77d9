//! What may happen to a request on its way, and to the process behind it.

use primetime_core::port::Clock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use primetime_core::Instant;
use tokio::sync::Notify;

use crate::clock::VirtualClock;
use crate::script::{Fault, Part, Script};

/// One way of a request or a reply.
const ONE_WAY: Duration = Duration::from_millis(2);

/// How long a late request is on its way: longer than any caller waits, and than a lease lasts.
pub const LATE: Duration = Duration::from_secs(40);

/// Which server a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The API server.
    Api,
    /// The cloud.
    Cloud,
}

/// How a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// 500.
    Internal,
    /// 409.
    Conflict,
    /// 429.
    TooMany,
    /// 503.
    Unavailable,
}

/// A process stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Which.
    pub operator: Option<usize>,
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
}

/// The one door to API server and cloud, for one life of the process.
#[derive(Clone, Debug)]
pub struct Gate {
    script: Arc<Script>,
    clock: VirtualClock,
    requests: Arc<Mutex<Vec<String>>>,
    silent_until: Arc<Mutex<Option<Instant>>>,
    pauses: Arc<Mutex<Vec<Pause>>>,
    /// When requests were done that had been sent [`LATE`] before.
    late: Arc<Mutex<Vec<Instant>>>,
    alive: Arc<AtomicBool>,
    crashed: Arc<Notify>,
    operator: Option<usize>,
    /// Until when the process behind this door stands still.
    stands_until: Arc<Mutex<Option<tokio::time::Instant>>>,
    stands: Arc<Notify>,
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// A door at which this goes wrong.
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

    /// The same door for the first life of the n-th operator.
    #[must_use]
    pub fn of_operator(&self, n: usize) -> Self {
        Self { operator: Some(n), ..self.reborn() }
    }

    /// Whose door this is.
    #[must_use]
    pub fn operator(&self) -> Option<usize> {
        self.operator
    }

    /// The same door for the next life: requests are counted on.
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

    /// Whether something is out now.
    #[must_use]
    pub fn is_out(&self, part: Part) -> bool {
        let now = self.clock.now();
        let silent = || *locked(&self.silent_until);
        self.script.is_out(part, now)
            || (part == Part::WatchesSilent && silent().is_some_and(|until| now < until))
    }

    /// Since when something is out now, if it is.
    #[must_use]
    pub fn out_since(&self, part: Part) -> Option<Instant> {
        self.script.out_since(part, self.clock.now())
    }

    /// How long nothing goes out, and nothing comes back; nothing if that stays so.
    #[must_use]
    pub fn next_turn(&self) -> Option<Duration> {
        let now = self.clock.now();
        let outages = self.script.outages.iter().flat_map(|outage| [outage.from, outage.until]);
        let turns = outages.chain(*locked(&self.silent_until)).filter(|at| *at > now);
        turns.min().and_then(|at| (at - now).to_std().ok())
    }

    /// Lets a request through to its effect, and the reply back; or not. A task of a process that has died
    /// hears of nothing any more, and nothing of theirs happens any more, but for what was on its way.
    ///
    /// One path of a request: each fault stands at the point at which it strikes.
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

    /// Waits until the process behind this door stands still.
    pub async fn stands_still(&self) {
        self.stands.notified().await;
    }

    /// Waits until it goes on.
    pub async fn goes_on(&self) {
        let until = *locked(&self.stands_until);
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// When processes stood still.
    #[must_use]
    pub fn pauses(&self) -> Vec<Pause> {
        locked(&self.pauses).clone()
    }

    /// When requests were done that had been sent [`LATE`] before.
    #[must_use]
    pub fn late(&self) -> Vec<Instant> {
        locked(&self.late).clone()
    }

    /// Ends the process behind this door.
    pub fn die(&self) {
        self.alive.store(false, Ordering::Release);
        self.crashed.notify_one();
    }

    /// Waits for the death of the process.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// All requests of all lives so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.with(|requests| requests.clone())
    }
}
