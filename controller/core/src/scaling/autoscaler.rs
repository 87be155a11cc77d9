//! Differences between the kinds of autoscalers: default bounds, pause and idle replicas.

use crate::state::hold::{Baseline, Hold};
use crate::state::observed::{AutoscalerKind, TargetState};

/// Returns the minimum and maximum that absent fields stand for.
///
/// `maxReplicas` of an HPA is required, so the default of 1 is never used. The defaults of KEDA are
/// listed in <https://keda.sh/docs/latest/reference/scaledobject-spec/#minreplicacount>.
pub(super) fn defaults(kind: AutoscalerKind) -> (u32, u32) {
    match kind {
        AutoscalerKind::HorizontalPodAutoscaler => (1, 1),
        AutoscalerKind::ScaledObject => (0, 100),
    }
}

/// Returns the minimum, or the default if absent.
pub(super) fn min_or_default(kind: AutoscalerKind, min: Option<u32>) -> u32 {
    min.unwrap_or_else(|| defaults(kind).0)
}

/// Returns the maximum, or the default if absent.
pub(crate) fn max_or_default(kind: AutoscalerKind, max: Option<u32>) -> u32 {
    max.unwrap_or_else(|| defaults(kind).1)
}

/// True if the autoscaler was paused when the target was first held, and is still paused.
///
/// The operator is then the only writer of the replicas. The result is false if a person pauses the
/// autoscaler later, because the replicas then stay as the person wants.
#[must_use]
pub fn stands_alone(baseline: &Baseline, live: &TargetState) -> bool {
    baseline.paused && live.paused
}

/// True if the baseline contains an `idleReplicaCount`.
///
/// The operator then removes the field while the target is held, and restores the field afterwards.
pub(crate) fn idles(hold: &Hold) -> bool {
    hold.baseline.autoscaler.as_ref().is_some_and(|a| a.idle.is_some())
}
