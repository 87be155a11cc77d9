//! What differs between kinds of autoscalers: fields, defaults, and which of them lowers.

use crate::state::hold::{Baseline, Hold};
use crate::state::observed::{AutoscalerKind, TargetState};

/// What an absent minimum means: the API's default.
pub(super) fn min_or_default(kind: AutoscalerKind, min: Option<u32>) -> u32 {
    min.unwrap_or(match kind {
        AutoscalerKind::HorizontalPodAutoscaler => 1,
        AutoscalerKind::ScaledObject => 0,
    })
}

/// What an absent maximum means: KEDA's default is 100.
pub(super) fn max_or_default(max: Option<u32>) -> u32 {
    max.unwrap_or(100)
}

/// Its autoscaler was found paused and still is: nobody else gives replicas, or takes them. One that is paused later is
/// frozen by whoever did it, and is theirs.
#[must_use]
pub fn stands_alone(baseline: &Baseline, live: &TargetState) -> bool {
    baseline.paused && live.paused
}

/// It was found with an `idleReplicaCount`: only that one is taken away, and put back.
pub(crate) fn idles(hold: &Hold) -> bool {
    hold.baseline.autoscaler.as_ref().is_some_and(|a| a.idle.is_some())
}
