//! The decision log of a run: one readable entry for each change of a floor, a stage or a machine
//! count.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::state::condition::EventReason;

/// Number of decision log entries that a run keeps. An evening with a dozen targets writes about
/// forty entries.
pub const KEPT: usize = 60;

/// An entry of the decision log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Time of the decision.
    pub time: Instant,
    /// Stable `CamelCase` word, such as `FloorRaised`. The Kubernetes Event for the entry has the
    /// same reason.
    pub reason: String,
    /// Change, old value, new value and cause, in the units of the surge author.
    pub message: String,
}

impl Decision {
    /// Builds a log entry.
    #[must_use]
    pub fn new(time: Instant, reason: EventReason, message: String) -> Self {
        Self { time, reason: reason.as_str().to_owned(), message }
    }
}

/// Appends entries to the log and removes the oldest entries above the limit of [`KEPT`].
pub fn append(log: &mut Vec<Decision>, lines: impl IntoIterator<Item = Decision>) {
    log.extend(lines);
    let surplus = log.len().saturating_sub(KEPT);
    log.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_the_latest() {
        let line = |n: usize| Decision {
            time: chrono::DateTime::UNIX_EPOCH,
            reason: "FloorRaised".into(),
            message: n.to_string(),
        };
        let mut log = Vec::new();
        append(&mut log, (0..KEPT + 5).map(line));
        assert_eq!(log.len(), KEPT);
        assert_eq!(log.first().unwrap().message, "5");
        assert_eq!(log.last().unwrap().message, (KEPT + 4).to_string());
    }
}
