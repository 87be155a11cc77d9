//! The one place where the operator reads a clock.

use primetime_core::Instant;
use primetime_core::port::Clock;

/// The machine's clock, to the millisecond: what is written into objects reads the same afterwards.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    fn now(&self) -> Instant {
        let now = chrono::Utc::now();
        chrono::DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
    }
}
