//! Whether the wall clock goes as time goes. A clock that is set, or a machine that was asleep, is no reason to
//! take capacity away: for a while after such a jump nothing is lowered, whatever the hour seems to be.

use std::time::Duration;

use chrono::TimeDelta;
use primetime_core::Instant;
use tokio::time::Instant as Monotonic;

/// A step of the wall clock by more than this between two looks, which are a second apart at most, is a jump: NTP slews
/// by 0.5 ms a second (<https://man7.org/linux/man-pages/man2/adjtimex.2.html>).
const TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// Nothing is lowered for so long after a jump: time for an administrator to see it, and for NTP to set it right.
pub(super) const AFTER_A_JUMP: Duration = Duration::from_mins(2);

/// The two clocks at the last look.
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

    /// By how much the wall clock has jumped since the last look, if it has.
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

    /// How long nothing may be lowered yet, as of the last look.
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
