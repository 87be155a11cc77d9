//! What differs between kinds of autoscalers: fields, defaults, and which of them lowers.

use crate::state::hold::{Baseline, Hold};
use crate::state::observed::{AutoscalerKind, TargetState};

/// The bounds that absent fields stand for: minimum and maximum. `maxReplicas` of an HPA is required, so its default is never
/// used; those of KEDA are <https://keda.sh/docs/latest/reference/scaledobject-spec/#minreplicacount>.
pub(super) fn defaults(kind: AutoscalerKind) -> (u32, u32) {
    match kind {
        AutoscalerKind::HorizontalPodAutoscaler => (1, 1),
        AutoscalerKind::ScaledObject => (0, 100),
    }
}

/// The minimum, or its default.
pub(super) fn min_or_default(kind: AutoscalerKind, min: Option<u32>) -> u32 {
    min.unwrap_or_else(|| defaults(kind).0)
}

/// The maximum, or its default.
pub(super) fn max_or_default(kind: AutoscalerKind, max: Option<u32>) -> u32 {
    max.unwrap_or_else(|| defaults(kind).1)
}

/// True if the autoscaler was paused when the target was first held, and still is: nothing else changes the replicas. An
/// autoscaler that is paused later stays as the person who paused it wants it.
#[must_use]
pub fn stands_alone(baseline: &Baseline, live: &TargetState) -> bool {
    baseline.paused && live.paused
}

/// It was found with an `idleReplicaCount`: only that one is taken away, and put back.
pub(crate) fn idles(hold: &Hold) -> bool {
    hold.baseline.autoscaler.as_ref().is_some_and(|a| a.idle.is_some())
}
