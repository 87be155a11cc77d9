//! A `ScheduledSurge`: what its spec says, and what its status remembers.

use chrono::TimeDelta;

use crate::Instant;
use crate::schedule::Schedule;
use crate::state::announcement::Announcement;
use crate::state::condition::Condition;

/// A `ScheduledSurge`.
#[derive(Clone, Debug, PartialEq)]
pub struct SurgeRecord {
    /// Name of the object.
    pub name: String,
    /// Its uid: an object created again under the same name is another one.
    pub uid: String,
    /// Generation of its spec.
    pub generation: i64,
    /// Deletion was asked for: nothing new is created for it.
    pub deleting: bool,
    /// Spec, or every reason why it cannot be understood.
    pub spec: Result<SurgeSpec, Vec<String>>,
    /// Its status as last written.
    pub status: SurgeStatus,
}

/// A validated `ScheduledSurge`.
#[derive(Clone, Debug, PartialEq)]
pub struct SurgeSpec {
    /// When.
    pub schedule: Schedule,
    /// Or: whenever a calendar says so.
    pub follows: Option<Follows>,
    /// How long before the start everything must be ready.
    pub ready_before: TimeDelta,
    /// Nothing new is planned.
    pub suspend: bool,
    /// An occurrence that could not be planned is missed this long after its start; without it, when it is over.
    pub starting_deadline: Option<TimeDelta>,
    /// So many occurrences to come have a run already.
    pub upcoming_limit: usize,
    /// So many runs that are over are kept.
    pub history_limit: usize,
    /// What.
    pub announcement: Announcement,
}

/// The calendar that says when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follows {
    /// Its name.
    pub calendar: String,
    /// How long an event lasts of which the calendar says no end.
    pub duration: TimeDelta,
}

/// The status of a `ScheduledSurge`.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct SurgeStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Starts of the occurrences that have, or had, a run and are not over. One whose run was deleted is cancelled, and not
    /// planned again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scheduled_times: Vec<Instant>,
    /// The events of a calendar that these are: a cancelled one stays cancelled where its calendar moves it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scheduled_events: Vec<ScheduledEvent>,
    /// The uids of the runs that are taken back, until they are gone: that such a one is deleted cancels nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn_runs: Vec<String>,
    /// The next or current occurrence, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_start_time: Option<Instant>,
    /// The same as people in the surge's zone say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_start_local: Option<String>,
    /// The run of that occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Problems and states.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// An event of a calendar that has, or had, a run.
#[derive(
    Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledEvent {
    /// What stays the same when it is moved.
    pub event_id: String,
    /// When its run starts, or where that was deleted, the event.
    pub start_time: Instant,
}
