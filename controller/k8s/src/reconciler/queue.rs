//! Queue of requests in lanes, with a lane per object. Each lane runs one request at a time, with
//! backoff after a failure and an optional minimum interval.
//!
//! The queue uses monotonic time. A wall clock that is set back by an hour would otherwise block
//! every lane for an hour.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff;
use crate::call::CallError;

/// Outcome of a successful request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request is complete.
    Done,
    /// The request is complete for now. The lane accepts the next request after this duration.
    Again(Duration),
}

/// Answer of a lane to a new request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The lane is free and accepts the request.
    Free,
    /// The lane runs another request. The reconciler plans again at the end of that request.
    Busy,
    /// The lane accepts a request after this duration.
    After(Duration),
}

/// Idle time after which the queue removes a lane, if there are more than 10,000 lanes.
const FORGOTTEN: Duration = Duration::from_mins(10);

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    busy: bool,
    failures: u32,
    not_before: Option<Instant>,
    last_done: Option<Instant>,
}

/// All lanes by name. The queue removes lanes with a long idle time.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: Mutex<BTreeMap<String, Lane>>,
}

/// Pause of a lane after a refused request. An early retry does not help.
const REFUSED: Duration = Duration::from_secs(30);

/// Pause of a lane after HTTP 429. The queue ignores the `Retry-After` header. The pause does not
/// grow, because the limiter lowers the load.
const PUSHED_BACK: Duration = Duration::from_secs(1);

/// Maximum pause of a lane after consecutive failures.
const PAUSE_AT_MOST: Duration = Duration::from_secs(15);

impl Queue {
    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Lane>) -> T) -> T {
        f(&mut self.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Enters a lane if the lane is free and not in backoff. The lane defers a request whose
    /// snapshot (`seen`) is older than the end of the last request, because such a request would
    /// repeat finished work.
    pub(super) fn enter(&self, name: &str, seen: Instant, now: Instant) -> Entry {
        self.with(|lanes| {
            if lanes.len() > 10_000 {
                lanes.retain(|_, lane| {
                    lane.busy || lane.last_done.is_some_and(|at| now - at < FORGOTTEN)
                });
            }
            let lane = lanes.entry(name.to_owned()).or_default();
            if lane.busy {
                return Entry::Busy;
            }
            // mutate: failed-piece-work-done
            if let Some(at) = lane.not_before.filter(|at| now < *at) {
                return Entry::After(at - now);
            }
            if lane.last_done.is_some_and(|ended| ended >= seen) {
                return Entry::After(Duration::ZERO);
            }
            lane.busy = true;
            Entry::Free
        })
    }

    /// Returns the time for which a request that is not urgent has to wait. Returns `None` if
    /// `interval` has passed since the last request in the lane.
    pub(super) fn paced(&self, name: &str, interval: Duration, now: Instant) -> Option<Duration> {
        self.with(|lanes| {
            let at = lanes.get(name)?.last_done? + interval;
            (now < at).then(|| at - now)
        })
    }

    /// Returns a guard that frees the lane, even after a panic of the request.
    pub(super) fn guard<'a>(&'a self, name: &'a str) -> Guard<'a> {
        Guard { lanes: self, name, left: false }
    }

    fn leave(&self, name: &str, result: Option<&Result<Outcome, CallError>>, now: Option<Instant>) {
        self.with(|lanes| {
            let lane = lanes.entry(name.to_owned()).or_default();
            lane.busy = false;
            lane.last_done = now.or(lane.last_done);
            let (Some(result), Some(now)) = (result, now) else {
                return;
            };
            lane.failures = if result.is_ok() { 0 } else { lane.failures.saturating_add(1) };
            lane.not_before = match result {
                Ok(Outcome::Done) => None,
                Ok(Outcome::Again(after)) => Some(now + *after),
                // After each of the first two conflicts in a row, the lane accepts a new request in
                // 20 ms. The delay prevents a hot loop.
                Err(CallError::Conflict(_)) if lane.failures < 3 => {
                    Some(now + Duration::from_millis(20))
                }
                Err(CallError::Refused(_) | CallError::Invalid(_)) => Some(now + REFUSED),
                Err(CallError::PushedBack(_)) => Some(now + PUSHED_BACK),
                Err(_) => Some(now + backoff::pause(lane.failures, PAUSE_AT_MOST)),
            };
        });
    }
}

/// Guard of a busy lane. Dropping the guard frees the lane.
pub(super) struct Guard<'a> {
    lanes: &'a Queue,
    name: &'a str,
    left: bool,
}

impl Guard<'_> {
    /// Frees the lane, and sets the backoff according to the result.
    pub(super) fn leave(mut self, result: &Result<Outcome, CallError>, now: Instant) {
        self.left = true;
        self.lanes.leave(self.name, Some(result), Some(now));
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.left {
            self.lanes.leave(self.name, None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> impl Fn(u64) -> Instant {
        let start = Instant::now();
        move |milliseconds| start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_lane_takes_one_piece_of_work_at_a_time() {
        let (lanes, at) = (Queue::default(), clock());
        assert_eq!(lanes.enter("hold/web", at(0), at(0)), Entry::Free);
        assert_eq!(lanes.enter("hold/web", at(0), at(0)), Entry::Busy);
        assert_eq!(lanes.enter("hold/search", at(0), at(0)), Entry::Free);
        lanes.guard("hold/web").leave(&Ok(Outcome::Done), at(1));
        assert_eq!(lanes.enter("hold/web", at(2), at(2)), Entry::Free);
    }

    #[test]
    fn what_was_planned_before_the_last_work_ended_is_planned_again() {
        let (lanes, at) = (Queue::default(), clock());
        lanes.enter("hold/web", at(0), at(0));
        lanes.guard("hold/web").leave(&Ok(Outcome::Done), at(30));
        assert_eq!(lanes.enter("hold/web", at(10), at(40)), Entry::After(Duration::ZERO));
        assert_eq!(lanes.enter("hold/web", at(31), at(40)), Entry::Free);
    }

    #[test]
    fn failures_back_off_and_a_success_forgets_them() {
        let (lanes, at) = (Queue::default(), clock());
        let fail = |now| lanes.guard("x").leave(&Err(CallError::TimedOut), at(now));
        let after = |milliseconds| Entry::After(Duration::from_millis(milliseconds));
        fail(0);
        assert_eq!(lanes.enter("x", at(1), at(1)), after(399));
        fail(400);
        assert_eq!(lanes.enter("x", at(401), at(401)), after(799));
        lanes.guard("x").leave(&Ok(Outcome::Done), at(1200));
        assert_eq!(lanes.enter("x", at(1201), at(1201)), Entry::Free);
    }

    #[test]
    fn who_is_pushed_back_again_and_again_does_not_come_last() {
        let (lanes, at) = (Queue::default(), clock());
        let full = || Err(CallError::PushedBack("too many requests".to_owned()));
        for n in 0..9 {
            lanes.guard("x").leave(&full(), at(n * 1_000));
            let after = Entry::After(Duration::from_millis(999));
            assert_eq!(lanes.enter("x", at(n * 1_000 + 1), at(n * 1_000 + 1)), after);
        }
    }

    #[test]
    fn a_lane_is_freed_when_its_work_panics() {
        let (lanes, at) = (Queue::default(), clock());
        lanes.enter("x", at(0), at(0));
        drop(lanes.guard("x"));
        assert_eq!(lanes.enter("x", at(1), at(1)), Entry::Free);
    }
}
