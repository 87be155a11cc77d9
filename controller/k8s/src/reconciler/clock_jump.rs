//! Detector of wall-clock jumps. A changed clock or a suspended machine is no reason to remove
//! capacity, so the planner lowers nothing for two minutes after a jump.

use std::time::Duration;

use chrono::TimeDelta;
use primetime_core::Instant;
use tokio::time::Instant as Monotonic;

/// Tolerated drift of the wall clock from monotonic time between two comparisons.
///
/// The reconciler compares the clocks about once a second, and NTP slews by only 0.5 ms a second
/// (<https://man7.org/linux/man-pages/man2/adjtimex.2.html>).
const TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// Time after a jump during which the planner lowers nothing. An administrator can notice the jump,
/// and NTP can correct the clock, within this time.
pub(super) const AFTER_A_JUMP: Duration = Duration::from_mins(2);

/// State of both clocks at the last comparison, and the time of the last jump.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockJumps {
    wall: Instant,
    time: Monotonic,
    jumped: Option<Monotonic>,
}

impl ClockJumps {
    pub(super) fn new(wall: Instant, time: Monotonic) -> Self {
        Self { wall, time, jumped: None }
    }

    /// Compares both clocks, and returns the jump of the wall clock since the last comparison.
    /// Returns `None` if the difference is within the tolerance.
    pub(super) fn look(&mut self, wall: Instant, time: Monotonic) -> Option<TimeDelta> {
        let passed = TimeDelta::from_std(time - self.time).unwrap_or(TimeDelta::MAX);
        let drift = (wall - self.wall) - passed;
        (self.wall, self.time) = (wall, time);
        // mutate: clock-jumps-believed
        let jumped = drift.abs() > TOLERANCE;
        if jumped {
            self.jumped = Some(time);
        }
        jumped.then_some(drift)
    }

    /// Returns the time for which the planner may lower nothing, as of the last comparison.
    pub(super) fn unsteady_for(&self) -> Option<TimeDelta> {
        let left = AFTER_A_JUMP.checked_sub(self.time - self.jumped?)?;
        TimeDelta::from_std(left).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_seen_either_way_and_remembered_for_two_minutes() {
        let (wall, time) = (Instant::UNIX_EPOCH, Monotonic::now());
        let mut jumps = ClockJumps::new(wall, time);
        let mut look = |wall_seconds: i64, seconds: u64| {
            let jump = jumps
                .look(wall + TimeDelta::seconds(wall_seconds), time + Duration::from_secs(seconds));
            (jump.map(|j| j.num_seconds()), jumps.unsteady_for().map(|t| t.num_seconds()))
        };
        assert_eq!(look(1, 1), (None, None));
        assert_eq!(look(3603, 2), (Some(3601), Some(120)), "forward");
        assert_eq!(look(3663, 62), (None, Some(60)), "it goes on steadily");
        assert_eq!(look(63, 62), (Some(-3600), Some(120)), "back");
        assert_eq!(look(184, 183), (None, None));
    }
}
