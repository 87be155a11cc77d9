//! Virtual time: tokio's paused clock, which jumps to the next timer when no task can run.

use std::sync::Arc;

use primetime_core::Instant;
use primetime_core::port::Clock;

use crate::script::Jump;

/// A wall clock that follows tokio's.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    start: Instant,
    origin: tokio::time::Instant,
    jumps: Arc<[Jump]>,
}

impl VirtualClock {
    /// A clock that shows `start` now.
    #[must_use]
    pub fn starting(start: Instant) -> Self {
        Self { start, origin: tokio::time::Instant::now(), jumps: Arc::default() }
    }

    /// The same clock on a machine whose time is set now and then.
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
