//! The evening of a surge that a user wrote: the surge, its load, and the assumptions about the
//! cluster.

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::state::surge::SurgeSpec;
use serde_json::Value;

use crate::announced::assumptions::Assumptions;
use crate::announced::target::Target;
use crate::curve::Curve;

/// A surge with its targets, its load and all objects around the surge.
#[derive(Clone, Debug)]
pub struct Evening {
    /// Name of the surge.
    pub name: String,
    /// Namespace of the surge.
    pub namespace: String,
    /// Validated spec of the surge.
    pub spec: SurgeSpec,
    /// Start of the event (`spec.schedule.startTime`).
    pub start: Instant,
    /// Minimum duration of the event: a hold after the end may extend the event.
    pub duration: TimeDelta,
    /// Time at which the virtual clock starts.
    pub begin: Instant,
    /// Time at which the virtual clock stops.
    pub end: Instant,
    /// Targets of the surge, with the load that one replica carries.
    pub targets: Vec<Target>,
    /// Load over time.
    pub curve: Curve,
    /// Number of nodes before the event.
    pub base_nodes: u32,
    /// Assumptions about the cluster.
    pub assumptions: Assumptions,
    pub(super) surge: Value,
    pub(super) given: Vec<Value>,
}
