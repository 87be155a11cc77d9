//! The pause after failures in a row.

use std::time::Duration;

/// Twice as long after each failure, from 200 ms, and never longer than `at_most`.
pub(crate) fn pause(failures: u32, at_most: Duration) -> Duration {
    Duration::from_millis(200_u64 << failures.min(8)).min(at_most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let most = Duration::from_secs(15);
        let all: Vec<_> = [0, 1, 2, 6, 7, 100].map(|n| pause(n, most).as_millis()).into();
        assert_eq!(all, [200, 400, 800, 12_800, 15_000, 15_000]);
    }
}
