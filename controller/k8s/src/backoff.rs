//! Exponential backoff after consecutive failures of a request or a watch.

use std::time::Duration;

/// Returns the delay before the next attempt. The delay is 200 ms, doubled once per failure up to
/// eight times, and at most `at_most`.
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
