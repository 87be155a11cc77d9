//! Rules on the existence and the observed state of the workload.

use crate::preflight::finding::{Finding, Subject};
use crate::state::condition::Rule;
use crate::state::observed::Seen;

/// `TargetAbsent` and `TargetUnknown`.
pub(super) fn find(subject: &Subject<'_>) -> Option<Finding> {
    match subject.seen {
        Seen::Known(_) => None,
        Seen::Absent => {
            let found = format!("{} does not exist", subject.target.workload);
            Some(subject.finds(Rule::TargetAbsent, found))
        }
        Seen::Unknown(cause) => Some(subject.finds(Rule::TargetUnknown, cause.to_string())),
    }
}
