//! The evening of a surge that a user wrote: the surge, its load, and what is assumed of the cluster.

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::state::surge::SurgeSpec;
use serde_json::Value;

use crate::announced::assumptions::Assumptions;
use crate::announced::target::Target;
use crate::curve::Curve;

/// A surge with everything around it.
#[derive(Clone, Debug)]
pub struct Evening {
    /// Name of the surge.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The surge, validated.
    pub spec: SurgeSpec,
    /// When the event starts.
    pub start: Instant,
    /// How long it lasts at least.
    pub duration: TimeDelta,
    /// When the clock starts.
    pub begin: Instant,
    /// When it stops.
    pub end: Instant,
    /// The targets.
    pub targets: Vec<Target>,
    /// The visitors.
    pub curve: Curve,
    /// Machines that are there before.
    pub base_nodes: u32,
    /// What is assumed of the cluster.
    pub assumptions: Assumptions,
    pub(super) surge: Value,
    pub(super) given: Vec<Value>,
}
