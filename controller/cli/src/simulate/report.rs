//! What is printed for programs.

use primetime_sim::outcome::Outcome;
use serde::Serialize;

/// What is printed for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) trace_hash: String,
    pub(super) strategies: Strategies,
}

/// What each strategy came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Strategies {
    pub(super) primetime: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hpa: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keda_cron: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) oracle: Option<Outcome>,
}
