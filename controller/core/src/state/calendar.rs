//! The `SurgeCalendar`: spec, status with the last accepted copy of the feed, and the result of the
//! last feed read.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::state::condition::Condition;

/// An event of a calendar feed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Start of the event.
    pub start_time: Instant,
    /// Identifier of the event. The identifier stays the same if the feed moves the event.
    pub id: String,
    /// Title of the event as shown to people.
    pub title: String,
    /// End of the event, if the feed gives an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Instant>,
    /// Warning about a start time that falls into a daylight-saving change: the local time does not
    /// exist or exists twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The parsed content of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// Events that match `spec.match` of the calendar, in order of start time.
    pub entries: Vec<Entry>,
    /// Identifiers of the matching events that the feed marks as cancelled.
    pub cancelled: BTreeSet<String>,
    /// Number of all events in the feed, including events that `spec.match` excludes.
    pub total: u64,
    /// Number of events that the feed parser could not parse.
    pub unreadable: u64,
    /// Parse errors of single events, with the event title. The feed parser keeps the first 20
    /// errors.
    pub problems: Vec<String>,
}

/// The result of the last read of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Feed and event filter that the feed reader used, in the wording of [`CalendarSpec::what`].
    pub what: String,
    /// Time of the read.
    pub at: Instant,
    /// Parsed feed, or the error that made the read fail.
    pub found: Result<Feed, String>,
}

/// The validated spec of a `SurgeCalendar`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarSpec {
    /// Description of the feed and the event filter. If the description changes, the planner
    /// accepts the next feed without comparing the feed to the last copy.
    pub what: String,
    /// Digest of a feed that a person has confirmed (`spec.acceptDigest`). The planner accepts the
    /// feed with the digest even if the feed has lost most events.
    pub accept_digest: Option<String>,
}

/// A `SurgeCalendar` as the planner reads the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarRecord {
    /// Name of the `SurgeCalendar`.
    pub name: String,
    /// Value of `metadata.generation`.
    pub generation: i64,
    /// Validated spec, or all validation errors.
    pub spec: Result<CalendarSpec, Vec<String>>,
    /// Last persisted status.
    pub status: CalendarStatus,
}

/// The status of a `SurgeCalendar`, with the last accepted copy of the matching events in the feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CalendarStatus {
    /// Generation of the spec that the status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Description of the feed and the event filter that the status is based on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<String>,
    /// The next 64 matching events that have not ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub entries: Vec<Entry>,
    /// Number of all events in the feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Number of events that the feed parser could not parse and left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    /// Time of the last accepted read. While reads succeed, the planner refreshes the field at
    /// least every five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_read_time: Option<Instant>,
    /// Digest of a rejected feed that has lost most events. A person can accept the feed by copying
    /// the digest to `spec.acceptDigest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_digest: Option<String>,
    /// Conditions of the calendar, such as `Ready`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
