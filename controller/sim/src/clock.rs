//! Virtual wall clock on tokio's paused clock. If no task can run, tokio's clock jumps to the next
//! timer.

use std::sync::Arc;

use primetime_core::Instant;
use primetime_core::port::Clock;

use crate::script::Jump;

/// Wall clock that advances with tokio's clock.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    start: Instant,
    origin: tokio::time::Instant,
    jumps: Arc<[Jump]>,
}

impl VirtualClock {
    /// Returns a clock that shows `start` at the time of the call.
    #[must_use]
    pub fn starting(start: Instant) -> Self {
        Self { start, origin: tokio::time::Instant::now(), jumps: Arc::default() }
    }

    /// Returns the same clock with errors: within `from..until` of each jump the clock is off by
    /// `by`.
    #[must_use]
    pub fn jumping(&self, jumps: &[Jump]) -> Self {
        Self { jumps: jumps.into(), ..self.clone() }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        let passed = i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX);
        let right = self.start + chrono::TimeDelta::milliseconds(passed);
        let wrong = self.jumps.iter().filter(|j| right >= j.from && right < j.until);
        wrong.fold(right, |shown, jump| shown + jump.by)
    }
}
