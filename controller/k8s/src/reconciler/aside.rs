//! Namespaces that are set aside because the planner panicked or took too long, and the age of the
//! last turn of the loop.
//!
//! One loop plans all namespaces, so a namespace must not take the time of the others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

/// Time for which a namespace is set aside after a panic of the planner.
const AFTER_A_PANIC: Duration = Duration::from_mins(1);

/// Longest time of a pass. The plan of a namespace of 1,000 targets takes about 10 ms, so that a busy
/// machine sets no namespace aside.
const FAST: Duration = Duration::from_secs(1);

/// A slow namespace waits for this multiple of its pass, so that it takes at most a tenth of the
/// time of the loop.
const SHARE: u32 = 9;

/// Longest wait of a slow namespace.
const AT_MOST: Duration = Duration::from_secs(30);

/// The namespaces that are set aside, with the time of the next pass.
#[derive(Debug, Default)]
pub(super) struct Aside {
    until: BTreeMap<String, Instant>,
}

impl Aside {
    /// Returns the rest of the wait of a namespace that is set aside.
    pub(super) fn wait(&self, namespace: &str, now: Instant) -> Option<Duration> {
        let until = self.until.get(namespace)?;
        until.checked_duration_since(now).filter(|rest| !rest.is_zero())
    }

    /// Records the end of a pass. Returns the wait before the next pass if the namespace is set
    /// aside.
    pub(super) fn after(
        &mut self,
        namespace: &str,
        panicked: bool,
        took: Duration,
    ) -> Option<Duration> {
        let wait = match (panicked, took) {
            (true, _) => AFTER_A_PANIC,
            (false, took) if took > FAST => (took * SHARE).min(AT_MOST),
            _ => {
                self.until.remove(namespace);
                return None;
            }
        };
        let seconds = wait.as_secs_f64();
        if panicked {
            error!(namespace, seconds, "the planner has panicked: the namespace is set aside");
        } else {
            let took = took.as_secs_f64();
            error!(namespace, took, seconds, "a plan took too long: the namespace is set aside");
        }
        self.until.insert(namespace.to_owned(), Instant::now() + wait);
        Some(wait)
    }

    /// Number of namespaces that are set aside.
    pub(super) fn len(&self) -> usize {
        self.until.len()
    }
}

/// Time of the last turn of the loop.
#[derive(Debug)]
pub(super) struct LastTurn {
    began: Instant,
    millis: AtomicU64,
}

impl Default for LastTurn {
    fn default() -> Self {
        Self { began: Instant::now(), millis: AtomicU64::new(0) }
    }
}

impl LastTurn {
    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn now(&self) {
        self.millis.store(self.elapsed(), Ordering::Relaxed);
    }

    pub(super) fn age(&self) -> Duration {
        let last = self.millis.load(Ordering::Relaxed);
        Duration::from_millis(self.elapsed().saturating_sub(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_panics_or_is_slow_waits_and_no_other_does() {
        let mut aside = Aside::default();
        assert_eq!(aside.after("shop", false, Duration::from_millis(20)), None);
        assert_eq!(aside.after("bad", true, Duration::ZERO), Some(AFTER_A_PANIC));
        let slow = aside.after("slow", false, Duration::from_secs(2));
        assert_eq!((slow, aside.len()), (Some(Duration::from_secs(18)), 2));
        let now = Instant::now();
        let waits = |aside: &Aside, who: &str, at| aside.wait(who, at).is_some();
        assert!(!waits(&aside, "shop", now));
        assert_eq!(aside.wait("slow", now), Some(Duration::from_secs(18)));
        assert_eq!(aside.wait("bad", now), Some(AFTER_A_PANIC));
        let later = now + Duration::from_secs(20);
        assert!(waits(&aside, "bad", later) && !waits(&aside, "slow", later));
        assert_eq!(aside.after("slow", false, Duration::from_millis(1)), None);
        assert_eq!(aside.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_of_the_last_turn_grows_until_the_next() {
        let turned = LastTurn::default();
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(turned.age(), Duration::from_secs(61));
        turned.now();
        assert_eq!(turned.age(), Duration::ZERO);
    }
}
