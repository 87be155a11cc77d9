//! What may happen to a request on its way, and to the process behind it: one fault at one request of one evening.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// A fault at one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process dies before the request arrives.
    CrashBefore,
    /// The process dies when it was done and before the reply arrives.
    CrashAfterEffect,
    /// The process dies with the reply in its hands.
    CrashAfterReply,
    /// It is done and the reply never arrives.
    ReplyLost,
    /// It is answered 500, and not done.
    Refused,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::CrashBefore,
        Self::CrashAfterEffect,
        Self::CrashAfterReply,
        Self::ReplyLost,
        Self::Refused,
    ];
}

/// What goes wrong in an evening: at the n-th request, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which request.
    pub at: usize,
    /// What happens to it.
    pub fault: Fault,
}

/// One way of a request or a reply.
const ONE_WAY: Duration = Duration::from_millis(2);

/// The one door to API server and cloud, for one life of the process.
#[derive(Clone, Debug)]
pub struct Gate {
    plan: Option<Plan>,
    requests: Arc<Mutex<Vec<String>>>,
    alive: Arc<AtomicBool>,
    crashed: Arc<Notify>,
}

impl Gate {
    /// A door at which this goes wrong.
    #[must_use]
    pub fn new(plan: Option<Plan>) -> Self {
        Self {
            plan,
            requests: Arc::default(),
            alive: Arc::new(AtomicBool::new(true)),
            crashed: Arc::new(Notify::new()),
        }
    }

    /// The same door for the next life: requests are counted on.
    #[must_use]
    pub fn reborn(&self) -> Self {
        let (alive, crashed) = (Arc::new(AtomicBool::new(true)), Arc::new(Notify::new()));
        Self { alive, crashed, ..self.clone() }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Vec<String>) -> T) -> T {
        f(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets a request through to its effect, and the reply back; or not. Whoever belongs to a process that has died
    /// hears of nothing any more, and nothing of theirs happens any more.
    pub async fn pass<T>(
        &self,
        request: String,
        effect: impl FnOnce() -> T,
        refuse: impl FnOnce() -> T,
    ) -> T {
        let number = self.with(|requests| {
            requests.push(request);
            requests.len() - 1
        });
        let fault = self.plan.filter(|p| p.at == number).map(|p| p.fault);
        tokio::time::sleep(ONE_WAY).await;
        if fault == Some(Fault::CrashBefore) {
            self.die();
        }
        self.survive().await;
        let reply = if fault == Some(Fault::Refused) { refuse() } else { effect() };
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

    fn die(&self) {
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
