//! Limit on concurrent calls.
//!
//! The limiter halves the limit if the API server answers 429, and raises the limit by 1 a second
//! while calls succeed. An overloaded API server gets fewer concurrent requests, and the reconciler
//! still sends every request eventually.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Minimum interval between two changes of the limit. Several answers within the same second report
/// the same state of the API server.
const BETWEEN: Duration = Duration::from_secs(1);

/// Semaphore with a variable number of permits for calls.
#[derive(Debug)]
pub(super) struct Limiter {
    free: Semaphore,
    most: usize,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    /// Current limit on concurrent calls.
    limit: usize,
    /// Number of permits in use that the limiter withdraws at the end of the calls.
    owed: usize,
    changed: Option<Instant>,
}

impl Now {
    fn may_change(&self, now: Instant) -> bool {
        self.changed.is_none_or(|at| now - at >= BETWEEN)
    }
}

impl Limiter {
    pub(super) fn new(most: usize) -> Self {
        let now = Mutex::new(Now { limit: most, owed: 0, changed: None });
        Self { free: Semaphore::new(most), most, now }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Now) -> T) -> T {
        f(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until a permit for a call is free.
    pub(super) async fn acquire(&self) -> Result<Permit<'_>, AcquireError> {
        Ok(Permit { of: self, permit: Some(self.free.acquire().await?) })
    }

    /// Halves the limit after a 429 answer. Returns the new limit, or `None` if the limit is 1 or
    /// changed within the last second.
    pub(super) fn pushed_back(&self, at: Instant) -> Option<usize> {
        self.with(|now| {
            if now.limit == 1 || !now.may_change(at) {
                return None;
            }
            let left = now.limit / 2;
            let fewer = now.limit - left;
            now.owed += fewer - self.free.forget_permits(fewer);
            (now.limit, now.changed) = (left, Some(at));
            Some(left)
        })
    }

    /// Raises the limit by 1 after a successful call, up to the maximum and at most once a second.
    pub(super) fn taken(&self, at: Instant) {
        self.with(|now| {
            if now.limit == self.most || !now.may_change(at) {
                return;
            }
            now.limit += 1;
            now.changed = Some(at);
            match now.owed.checked_sub(1) {
                Some(owed) => now.owed = owed,
                None => self.free.add_permits(1),
            }
        });
    }
}

/// Permit for one concurrent call.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    of: &'a Limiter,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let owed = self.of.with(|now| {
            let owed = now.owed > 0;
            now.owed -= usize::from(owed);
            owed
        });
        if let Some(permit) = self.permit.take().filter(|_| owed) {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_once<'a>(permits: &'a Limiter, held: &mut Vec<Permit<'a>>) -> usize {
        while let Some(Ok(permit)) = futures::FutureExt::now_or_never(permits.acquire()) {
            held.push(permit);
        }
        held.len()
    }

    #[test]
    fn it_is_halved_once_a_second_and_comes_back_one_a_second() {
        let (permits, start) = (Limiter::new(8), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(permits.pushed_back(at(0)), Some(4));
        assert_eq!(permits.pushed_back(at(0)), None, "the same trouble");
        assert_eq!(permits.pushed_back(at(1)), Some(2));
        assert_eq!(at_once(&permits, &mut Vec::new()), 2);
        permits.taken(at(1));
        assert_eq!(at_once(&permits, &mut Vec::new()), 2);
        (2..20).for_each(|second| permits.taken(at(second)));
        assert_eq!(at_once(&permits, &mut Vec::new()), 8);
    }

    #[test]
    fn one_call_is_always_possible() {
        let (permits, start) = (Limiter::new(8), Instant::now());
        (0..9).for_each(|second| {
            permits.pushed_back(start + Duration::from_secs(second));
        });
        assert_eq!(at_once(&permits, &mut Vec::new()), 1);
    }

    #[test]
    fn calls_that_are_on_their_way_come_back_and_count() {
        let (permits, start) = (Limiter::new(8), Instant::now());
        let mut held = Vec::new();
        assert_eq!(at_once(&permits, &mut held), 8);
        permits.pushed_back(start);
        held.truncate(4);
        assert_eq!(at_once(&permits, &mut held), 4, "those that are done make no room");
        held.clear();
        assert_eq!(at_once(&permits, &mut held), 4);
    }
}
