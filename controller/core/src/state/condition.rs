//! Conditions, as Kubernetes shows them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;

/// A condition as Kubernetes shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// A state, such as `Accepted`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One CamelCase word.
    pub reason: String,
    /// A sentence for people, with numbers.
    pub message: String,
    /// When the status last changed.
    pub last_transition_time: Instant,
}

/// Merges a condition into a list; the transition time changes only with the status.
pub fn set_condition(
    list: &mut Vec<Condition>,
    type_: &str,
    holds: bool,
    reason: &str,
    message: String,
    now: Instant,
) {
    let status = if holds { "True" } else { "False" };
    if let Some(old) = list.iter_mut().find(|c| c.type_ == type_) {
        if old.status != status {
            old.last_transition_time = now;
        }
        status.clone_into(&mut old.status);
        reason.clone_into(&mut old.reason);
        old.message = message;
        return;
    }
    list.push(Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: now,
    });
}
