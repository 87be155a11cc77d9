//! The release of a run: why it began, and the floor of each target on the way down.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;

/// The way down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// When it began.
    pub start_time: Instant,
    /// Why: the load has gone, the longest hold is over, an override, a deletion.
    pub cause: ReleaseCause,
    /// When the last step was taken.
    pub step_time: Instant,
    /// When machines were last sent away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machines_time: Option<Instant>,
    /// The floor of each target on the way down.
    pub floors: Vec<ReleaseFloor>,
}

/// Why a release began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReleaseCause {
    /// The load stayed below the share of its peak for long enough.
    LoadGone,
    /// The end has passed and nothing was asked to wait for.
    End,
    /// The longest hold after the end is over.
    HoldExpired,
    /// No person said that the event begins.
    NeverStarted,
    /// A person said so.
    Override,
    /// The run was deleted.
    Deleted,
}

impl ReleaseCause {
    /// The sentence for the decision log.
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

    /// A person decided: live load no longer keeps the floor up.
    #[must_use]
    pub fn by_a_person(self) -> bool {
        matches!(self, Self::Override | Self::Deleted)
    }
}

/// The floor of one target on the way down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseFloor {
    /// Name of the target.
    pub target: String,
    /// The floor when the release began.
    pub top: u32,
    /// The floor now.
    pub floor: u32,
    /// Nothing more is asked of this target.
    pub done: bool,
}
