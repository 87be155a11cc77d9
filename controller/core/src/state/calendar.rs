//! A `SurgeCalendar`: its spec, the last copy of its feed, and what was read.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::state::condition::Condition;

/// An event of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it starts.
    pub start_time: Instant,
    /// What stays the same when it is moved.
    pub id: String,
    /// How people call it.
    pub title: String,
    /// When it ends, where the feed says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Instant>,
    /// Said where the clock on the wall does not show its start, or shows it twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What was found in a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// The events that the calendar is about, in order.
    pub entries: Vec<Entry>,
    /// Ids of those that the feed itself calls off.
    pub cancelled: BTreeSet<String>,
    /// How many events the feed has in all.
    pub total: u64,
    /// How many of them could not be understood.
    pub unreadable: u64,
    /// What could not be understood: the first of it.
    pub problems: Vec<String>,
}

/// The last look at a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What was looked at, as [`CalendarSpec::what`] says it.
    pub what: String,
    /// When.
    pub at: Instant,
    /// What was found, or why nothing was.
    pub found: Result<Feed, String>,
}

/// A validated `SurgeCalendar`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarSpec {
    /// The feed and which events of it, in words: who changes that follows something else.
    pub what: String,
    /// A person believes the feed of this digest, however little is left in it.
    pub accept_digest: Option<String>,
}

/// A `SurgeCalendar`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarRecord {
    /// Name of the object.
    pub name: String,
    /// Generation of its spec.
    pub generation: i64,
    /// Spec, or every reason why it cannot be understood.
    pub spec: Result<CalendarSpec, Vec<String>>,
    /// Its status as last written.
    pub status: CalendarStatus,
}

/// The status of a `SurgeCalendar`: the last good copy of what matters of its feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CalendarStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The feed and the events that are followed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<String>,
    /// The events to come, and those that go on: the next 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub entries: Vec<Entry>,
    /// How many events the feed has in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// How many of them could not be understood, and were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    /// When the feed was last read and believed; five minutes behind at most while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_read_time: Option<Instant>,
    /// The digest of a feed that is not believed, because most of what it had is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_digest: Option<String>,
    /// Problems and states.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
