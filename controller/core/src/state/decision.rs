//! The decision log: each change of floor, stage or machine count is one line that a person understands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::state::condition::EventReason;

/// How many lines a run keeps; the oldest go first. An evening with a dozen targets writes about forty.
pub const KEPT: usize = 60;

/// One line of the decision log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When.
    pub time: Instant,
    /// A stable CamelCase word, such as `FloorRaised`; also the reason of the Kubernetes Event.
    pub reason: String,
    /// What, from where to where, and why, in the on-call's units.
    pub message: String,
}

impl Decision {
    /// A line.
    #[must_use]
    pub fn new(time: Instant, reason: EventReason, message: String) -> Self {
        Self { time, reason: reason.as_str().to_owned(), message }
    }
}

/// Appends lines and forgets the oldest.
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
