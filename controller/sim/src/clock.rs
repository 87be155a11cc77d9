//! Virtual time: tokio's paused clock, which jumps to the next timer when nobody has anything to do.

use primetime_core::Instant;
use primetime_core::port::Clock;

/// A wall clock that follows tokio's.
#[derive(Clone, Copy, Debug)]
pub struct VirtualClock {
    start: Instant,
    origin: tokio::time::Instant,
}

impl VirtualClock {
    /// A clock that shows `start` now.
    #[must_use]
    pub fn starting(start: Instant) -> Self {
        Self { start, origin: tokio::time::Instant::now() }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        let passed = i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.start + chrono::TimeDelta::milliseconds(passed)
    }
}
