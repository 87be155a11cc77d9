//! The `ScheduledSurge`: the validated spec and the persisted status.

use chrono::TimeDelta;

use crate::Instant;
use crate::schedule::Schedule;
use crate::state::announcement::Announcement;
use crate::state::condition::Condition;

/// A `ScheduledSurge` as the planner reads the object.
#[derive(Clone, Debug, PartialEq)]
pub struct SurgeRecord {
    /// Name of the `ScheduledSurge`.
    pub name: String,
    /// Value of `metadata.uid`. A surge that is deleted and created again has a new UID.
    pub uid: String,
    /// Value of `metadata.generation`.
    pub generation: i64,
    /// True if the surge has a deletion timestamp. The planner then creates no runs for the surge.
    pub deleting: bool,
    /// Validated spec, or all validation errors.
    pub spec: Result<SurgeSpec, Vec<String>>,
    /// Status as last persisted.
    pub status: SurgeStatus,
}

/// The validated spec of a `ScheduledSurge`.
#[derive(Clone, Debug, PartialEq)]
pub struct SurgeSpec {
    /// Rules for the start and the duration of occurrences (`spec.schedule`).
    pub schedule: Schedule,
    /// Calendar that the surge follows. If set, the events of the calendar are the occurrences.
    pub follows: Option<Follows>,
    /// Time between T0 and the start of the event (`spec.readyBeforeSeconds`).
    pub ready_before: TimeDelta,
    /// True if the planner creates no further runs (`spec.suspend`).
    pub suspend: bool,
    /// Time after the start of an occurrence within which the planner may still create the run
    /// (`spec.startingDeadlineSeconds`). If absent, the limit is the end of the occurrence.
    pub starting_deadline: Option<TimeDelta>,
    /// Number of future occurrences that have a run in advance (`spec.upcomingLimit`).
    pub upcoming_limit: usize,
    /// Number of finished runs that the planner keeps (`spec.historyLimit`).
    pub history_limit: usize,
    /// Settings that the planner copies into each run.
    pub announcement: Announcement,
}

/// The calendar that determines the occurrences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follows {
    /// Name of the `SurgeCalendar`.
    pub calendar: String,
    /// Duration of an event for which the calendar gives no end.
    pub duration: TimeDelta,
}

/// The status of a `ScheduledSurge`.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct SurgeStatus {
    /// Generation of the spec that the status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Start times of the occurrences with an existing or deleted run. An occurrence whose run a
    /// person deleted is cancelled, and the planner creates no second run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scheduled_times: Vec<Instant>,
    /// Calendar events with an existing or deleted run. A cancelled event stays cancelled even if
    /// the calendar moves the event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scheduled_events: Vec<ScheduledEvent>,
    /// UIDs of the runs that the planner is withdrawing. The deletion of a withdrawn run does not
    /// cancel the occurrence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn_runs: Vec<String>,
    /// Start of the next or current occurrence, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_start_time: Option<Instant>,
    /// Start of the next or current occurrence in the time zone of the surge, formatted for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_start_local: Option<String>,
    /// Name of the run of the next or current occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Conditions of the surge, such as `Accepted`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// A calendar event with an existing or deleted run.
#[derive(
    Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledEvent {
    /// Identifier of the event. The identifier stays the same if the calendar moves the event.
    pub event_id: String,
    /// Start of the run, or start of the event if the run was deleted.
    pub start_time: Instant,
}
