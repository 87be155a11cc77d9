//! The schedule of a `ScheduledSurge`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use primetime_core::reference;

use crate::object_ref::ObjectRef;

/// Schedule of an event: a single start, a cron, several windows, or a calendar.
///
/// If summer time skips a recurring local time, the offset before the gap applies: 02:30 becomes
/// 03:30. If summer time repeats a recurring local time, the first of the two applies (RFC 5545,
/// 3.3.5). The event occurs once, and the run explains the shift in `startNote`. The operator
/// refuses such a `startTime` without an offset and names both candidates. Durations are elapsed
/// time.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.startTime) ? 1 : 0) + (has(self.cron) ? 1 : 0) + (has(self.windows) ? 1 : 0) + (has(self.calendarRef) ? 1 : 0) == 1")
        .message("spec.schedule: exactly one of startTime, cron, windows and calendarRef"),
    validation = Rule::new("has(self.calendarRef) || has(self.windows) != has(self.durationSeconds)")
        .message("spec.schedule.durationSeconds: required with startTime or cron; windows have their own"),
    validation = Rule::new("!has(self.startTime) || self.startTime.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](Z|[+-][0-9]{2}:[0-9]{2})?$')")
        .message("spec.schedule.startTime: must be a wall clock such as 2014-01-12T21:00:00 or an instant such as 2014-01-12T21:00:00+01:00"),
    validation = Rule::new("!has(self.startTime) || self.startTime.size() > 19 || has(self.timeZone)")
        .message("spec.schedule.timeZone: required, because startTime is a wall clock without an offset; write the zone of the event, such as Europe/Paris"),
    validation = Rule::new("(!has(self.cron) && !has(self.exclude) && (!has(self.windows) || self.windows.all(w, !has(w.cron)))) || has(self.timeZone)")
        .message("spec.schedule.timeZone: required with cron and exclude; write the zone of the event, such as Europe/Paris")
)]
pub struct Schedule {
    /// Start of the event: a local time in `timeZone`, or an RFC 3339 time with an offset. The
    /// operator refuses a local time that summer time skips or repeats. Exactly one of `startTime`,
    /// `cron`, `windows` and `calendarRef` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 19, max = 25))]
    pub start_time: Option<String>,
    /// Cron expression with five fields, as in a CronJob: minute, hour, day of month, month, day of
    /// week, such as "50 20 * * SUN". The expression has no seconds, no zone and no macros. The
    /// event may occur at most once an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 256))]
    pub cron: Option<String>,
    /// Windows of the event, such as the evening of the show and the next morning. 1 to 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub windows: Vec<Window>,
    /// Reference to a SurgeCalendar in the same namespace. Each event of the calendar is an
    /// occurrence. An event without an end lasts `durationSeconds`, or one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar_ref: Option<ObjectRef>,
    /// IANA time zone name, such as Europe/Paris. Required with `cron`, `exclude` and a `startTime`
    /// without an offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Minimum duration of the event in seconds of elapsed time. Range 1 to 604800 (7 days).
    /// Required with `startTime` and `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    #[x_kube(validation = Rule::new("self > 0").message("spec.schedule.durationSeconds: the end must be after the start"))]
    pub duration_seconds: Option<i32>,
    /// Days in `timeZone` on which no occurrence starts. Maximum 366 entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 366))]
    pub exclude: Vec<ExcludedDays>,
}

/// A window of an event. Exactly one of `startTime` and `cron` is required.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.startTime) != has(self.cron)")
        .message("spec.schedule.windows: exactly one of startTime and cron"),
    validation = Rule::new("!has(self.startTime) || self.startTime.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](Z|[+-][0-9]{2}:[0-9]{2})?$')")
        .message("spec.schedule.windows.startTime: must be a wall clock such as 2014-01-12T21:00:00 or an instant such as 2014-01-12T21:00:00+01:00")
)]
pub struct Window {
    /// Name of the window for people, such as evening.
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::LABEL))]
    pub name: String,
    /// Start of the window, in the format of `startTime` of the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 19, max = 25))]
    pub start_time: Option<String>,
    /// Cron expression of the window, in the format of `cron` of the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 256))]
    pub cron: Option<String>,
    /// Minimum duration of the window in seconds of elapsed time. Range 1 to 604800 (7 days).
    #[schemars(range(min = 1, max = 604_800))]
    pub duration_seconds: i32,
}

/// Days on which no occurrence starts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExcludedDays {
    /// First excluded day, such as 2026-12-24.
    #[schemars(length(min = 10, max = 10), regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub date: String,
    /// Last excluded day. Must not be before `date`. Defaults to `date`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = 10), regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub last_date: Option<String>,
}
