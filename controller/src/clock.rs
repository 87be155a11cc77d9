//! System clock of the operator. The operator reads the wall clock in this module alone.

use primetime_core::Instant;
use primetime_core::port::Clock;

/// System clock, cut to milliseconds. A time that the operator writes into an object therefore
/// keeps the value after a read.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    fn now(&self) -> Instant {
        let now = chrono::Utc::now();
        chrono::DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
    }
}
