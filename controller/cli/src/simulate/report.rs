//! JSON report of a simulation.

use primetime_sim::outcome::Outcome;
use serde::Serialize;

/// JSON report of a simulation, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) trace_hash: String,
    pub(super) strategies: Strategies,
}

/// Figures of each simulated strategy.
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
