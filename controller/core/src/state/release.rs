//! The release of a run: the cause of the release and the current floor of each target
//! (`status.release`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;

/// The release: the planner lowers the floors of a run to the baseline in steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Start time of the release.
    pub start_time: Instant,
    /// Cause of the release, such as a drop of the load or an override.
    pub cause: ReleaseCause,
    /// Time of the last release step. Before the first step, the value equals `startTime`.
    pub step_time: Instant,
    /// Time of the last step that drained or terminated machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machines_time: Option<Instant>,
    /// Current floor of each target.
    pub floors: Vec<ReleaseFloor>,
}

/// The cause of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReleaseCause {
    /// The load stayed below the quiet threshold for `spec.hold.forSeconds`.
    LoadGone,
    /// The event has ended and the surge has no hold phase.
    End,
    /// The hold phase has reached the maximum duration (`spec.hold.maxSeconds`).
    HoldExpired,
    /// The surge has `startPolicy: Manual` and no person started the event in time.
    NeverStarted,
    /// A person requested the release with a `SurgeOverride`.
    Override,
    /// A person deleted the run or the surge of the run.
    Deleted,
}

impl ReleaseCause {
    /// Returns the cause as a clause for the decision log.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::LoadGone => "the load has gone",
            Self::End => "the event is over",
            Self::HoldExpired => "the longest hold after the end is over",
            Self::NeverStarted => "the event was not started",
            Self::Override => "an override asks for it",
            Self::Deleted => "the run, or its surge, was deleted",
        }
    }

    /// True if a person requested the release. The planner then lowers floors regardless of the
    /// live load.
    #[must_use]
    pub fn by_a_person(self) -> bool {
        matches!(self, Self::Override | Self::Deleted)
    }
}

/// The floor of one target during the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseFloor {
    /// Name of the target within the surge.
    pub target: String,
    /// Floor at the start of the release.
    pub top: u32,
    /// Current floor.
    pub floor: u32,
    /// True if the run no longer claims the target.
    pub done: bool,
    /// True if only the last step is left, which waits until the machines of the run are empty. The
    /// pods that the floor keeps replace the pods on the machines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}
