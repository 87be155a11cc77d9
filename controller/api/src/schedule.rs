//! The schedule of a `ScheduledSurge`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::object_ref::ObjectRef;

/// When the event is: once, again and again, in several windows, or whenever a calendar says so.
///
/// A local time that summer time skips is read with the offset before the gap (02:30 becomes 03:30), and one that it
/// repeats is the first of the two (RFC 5545, 3.3.5); it happens once, and the run says so. A `startTime` of that kind is
/// refused with both candidates, unless it has an offset. Durations are elapsed time.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.startTime) ? 1 : 0) + (has(self.cron) ? 1 : 0) + (has(self.windows) ? 1 : 0) + (has(self.calendarRef) ? 1 : 0) == 1")
        .message("spec.schedule: exactly one of startTime, cron, windows and calendarRef"),
    validation = Rule::new("has(self.calendarRef) || has(self.windows) != has(self.durationSeconds)")
        .message("spec.schedule.durationSeconds: required with startTime or cron; windows have their own"),
    validation = Rule::new("!has(self.startTime) || self.startTime.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})?$')")
        .message("spec.schedule.startTime: must be a wall clock such as 2014-01-12T21:00:00 or an instant such as 2014-01-12T21:00:00+01:00"),
    validation = Rule::new("!has(self.startTime) || self.startTime.size() > 19 || has(self.timeZone)")
        .message("spec.schedule.timeZone: required, because startTime is a wall clock without an offset; write the zone of the event, such as Europe/Paris"),
    validation = Rule::new("(!has(self.cron) && !has(self.exclude) && (!has(self.windows) || self.windows.all(w, !has(w.cron)))) || has(self.timeZone)")
        .message("spec.schedule.timeZone: required with cron and exclude; write the zone of the event, such as Europe/Paris")
)]
pub struct Schedule {
    /// The start: a wall clock in `timeZone`, or an RFC 3339 instant with an offset. A wall clock that summer time
    /// skips or repeats is refused with both candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 19, max = 25))]
    pub start_time: Option<String>,
    /// Or five fields that recur, as in a CronJob: minute, hour, day of month, month, day of week, such as
    /// "50 20 * * SUN". No seconds, no zone, no words; at most once an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 256))]
    pub cron: Option<String>,
    /// Or several windows, such as the evening of the show and the morning after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub windows: Vec<Window>,
    /// Or a SurgeCalendar of the same namespace: each of its events is one. Those without an end last durationSeconds, or an
    /// hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar_ref: Option<ObjectRef>,
    /// An IANA time zone name, such as Europe/Paris.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// How long the event lasts at least, in seconds of elapsed time; at most 7 days. Required with startTime and cron.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    #[x_kube(validation = Rule::new("self > 0").message("spec.schedule.durationSeconds: the end must be after the start"))]
    pub duration_seconds: Option<i32>,
    /// Days of the zone on which nothing begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 366))]
    pub exclude: Vec<ExcludedDays>,
}

/// One window of an event.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.startTime) != has(self.cron)")
        .message("spec.schedule.windows: exactly one of startTime and cron"),
    validation = Rule::new("!has(self.startTime) || self.startTime.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})?$')")
        .message("spec.schedule.windows.startTime: must be a wall clock such as 2014-01-12T21:00:00 or an instant such as 2014-01-12T21:00:00+01:00")
)]
pub struct Window {
    /// What people call it, such as evening.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The start, as in the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 19, max = 25))]
    pub start_time: Option<String>,
    /// Or five fields that recur, as in the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 256))]
    pub cron: Option<String>,
    /// How long it lasts at least, in seconds of elapsed time; at most 7 days.
    #[schemars(range(min = 1, max = 604_800))]
    pub duration_seconds: i32,
}

/// Days on which nothing begins.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExcludedDays {
    /// The day, or the first of several, such as 2026-12-24.
    #[schemars(length(min = 10, max = 10), regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub date: String,
    /// The last of several; left out where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = 10), regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub last_date: Option<String>,
}
