//! What the planner sees of one namespace: what was announced, what was observed, and our own records.
//!
//! Every observation may be [`Seen::Unknown`], which never lowers anything. Maps are ordered: the same world gives
//! the same plan.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use chrono::TimeDelta;

use crate::Instant;
use crate::calendar::{CalendarRecord, Reading};
use crate::degrade;
use crate::hold::{HoldRecord, Reached};
use crate::overrides::Override;
use crate::reference;
use crate::row::Row;
use crate::run::{Condition, Launch, RunRecord};
use crate::schedule::Schedule;
use crate::signal::Series;
use crate::surge::{Announcement, Workload};

/// An observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    /// Seen.
    Known(T),
    /// Looked for with a quorum read and not there.
    Absent,
    /// Not seen, and that says nothing.
    Unknown(String),
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self::Unknown("not looked at yet".to_owned())
    }
}

impl<T> Seen<T> {
    /// The value, if it was seen.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

/// A `ScheduledSurge`.
#[derive(Clone, Debug, PartialEq)]
pub struct SurgeRecord {
    /// Name of the object.
    pub name: String,
    /// Its uid: who is created again under the same name is somebody else.
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

/// What is known of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetState {
    /// `spec.replicas`.
    pub replicas: u32,
    /// Pods that are ready.
    pub ready: u32,
    /// Some of its pods are of a template of before: a rollout is going on.
    pub rolling: bool,
    /// The field manager that last wrote the replicas.
    pub written_by: Option<String>,
    /// What scales it.
    pub autoscaler: Option<Autoscaler>,
    /// Somebody has paused what scales it: its bounds do nothing for now.
    pub paused: bool,
    /// What scales it would go lower, and keeps so many pods because of its minimum: the one it has last looked at.
    pub kept_at: Option<u32>,
}

/// What scales a workload.
#[derive(
    Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaler {
    /// Which kind.
    pub kind: AutoscalerKind,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
    /// Its minimum; absent where the field is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Its maximum; absent where the field is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// What KEDA keeps while none of its triggers is active, whatever the minimum is (`idleReplicaCount`); absent where the
    /// field is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<u32>,
}

impl Autoscaler {
    /// Whether both are the same object.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.kind, &self.name) == (other.kind, &other.name)
    }
}

/// The autoscalers whose floor can be raised.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub enum AutoscalerKind {
    /// `autoscaling/v2`.
    HorizontalPodAutoscaler,
    /// KEDA: its own bounds are written, never those of the HPA it generates.
    ScaledObject,
}

impl AutoscalerKind {
    /// The kind as people write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::ScaledObject => "ScaledObject",
        }
    }
}

/// An `InstanceClass`: the platform team's word on how machines start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceClass {
    /// From asking until the node is Ready.
    pub lead: TimeDelta,
    /// What the cloud is asked.
    pub launch: Launch,
}

/// A `MetricsSource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSource {
    /// Older samples say nothing.
    pub max_age: TimeDelta,
}

/// An instance that carries a run's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The cloud's id.
    pub id: String,
    /// The token of the batch it was started by.
    pub token: String,
    /// It is terminated or shutting down for good.
    pub terminated: bool,
}

/// What the cloud says of a run's instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// All that carry the run's tag.
    pub instances: Vec<Instance>,
    /// When the cloud was asked.
    pub at: Instant,
}

/// The cloud's answer to a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchAnswer {
    /// What came, and why not everything did.
    Came {
        /// Ids.
        ids: Vec<String>,
        /// In the cloud's words.
        shortfall: Option<Refusal>,
    },
    /// Nothing came, and the cloud says so.
    Refused(Refusal),
}

/// Why the cloud did not give what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind of trouble.
    pub class: RefusalClass,
    /// In the cloud's words.
    pub message: String,
}

/// Trouble of different kinds is answered differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalClass {
    /// No machines of that type in that zone now.
    Capacity,
    /// The account may not have more: another zone does not help.
    Quota,
    /// Asked too often.
    Throttled,
    /// The request is wrong: a missing template, a missing right.
    Invalid,
}

/// A node that an instance became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name of the Node.
    pub name: String,
    /// Its Ready condition is True.
    pub ready: bool,
    /// Cordoned.
    pub unschedulable: bool,
    /// Pods that must leave before it may be terminated (daemons and finished pods left out), once counted.
    pub pods_left: Option<u32>,
}

/// The Jobs of a namespace that runs speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jobs {
    /// Names of what a Job can be made from, besides Jobs.
    pub cron_jobs: BTreeSet<String>,
    /// Jobs by name.
    pub jobs: BTreeMap<String, Job>,
    /// Names of Jobs that were asked for by name and are not there any more.
    pub gone: BTreeSet<String>,
    /// Why the last attempt to create a Job was refused, by name.
    pub errors: BTreeMap<String, String>,
}

/// A Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its uid.
    pub uid: String,
    /// The uid of the run that owns it, if one does.
    pub run_uid: Option<String>,
    /// It does not run.
    pub suspended: bool,
    /// It has succeeded, or failed and why; nothing while it goes on.
    pub outcome: Option<Result<(), String>>,
}

/// One namespace, and what it may name of the cluster.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Announcements by name.
    pub surges: BTreeMap<String, Row<SurgeRecord>>,
    /// Calendars by name.
    pub calendars: BTreeMap<String, Row<CalendarRecord>>,
    /// The last look at the feed of each calendar.
    pub readings: BTreeMap<String, Arc<Reading>>,
    /// Occurrences by name.
    pub runs: BTreeMap<String, Row<RunRecord>>,
    /// Holds by name.
    pub holds: BTreeMap<String, Row<HoldRecord>>,
    /// Holds that cannot be understood, by name, and why: their targets are left as they are.
    pub unreadable_holds: BTreeMap<String, String>,
    /// What on-call asked for.
    pub overrides: Vec<Override>,
    /// Workloads named by surges, runs and holds.
    pub targets: BTreeMap<Workload, Seen<TargetState>>,
    /// Classes by name.
    pub classes: BTreeMap<String, InstanceClass>,
    /// Sources by name.
    pub sources: BTreeMap<String, MetricsSource>,
    /// Workloads that were not listed since this process leads: what was seen of them may be old.
    pub doubted: BTreeSet<Workload>,
    /// Jobs that runs speak of; [`Seen::Absent`] where this installation may not create any.
    pub jobs: Seen<Jobs>,
    /// What steps of a ladder may write.
    pub may_degrade: BTreeSet<degrade::Object>,
    /// What was seen where steps of a ladder write.
    pub places: BTreeMap<degrade::Place, degrade::Seen>,
    /// What sources have said lately, by source and query.
    pub samples: BTreeMap<(String, String), Row<Series>>,
    /// Instances by run uid.
    pub fleets: BTreeMap<String, Seen<Row<Fleet>>>,
    /// Answers to launches whose entry is not settled yet, by token.
    pub launches: BTreeMap<String, LaunchAnswer>,
    /// Nodes by instance id.
    pub nodes: BTreeMap<String, Node>,
    /// When the list of all nodes was asked for that came last; nothing before the first.
    pub nodes_as_of: Option<Instant>,
    /// When the fields of a hold's level were last seen in force, by hold: what is lower now was lowered by another writer.
    pub reached: BTreeMap<String, Reached>,
    /// Answers of the API server that was asked for a surge by name, by that name: the uid of the surge, or that there is none.
    pub surge_looks: BTreeMap<String, Option<String>>,
    /// Nothing is lowered for so long after a deletion: it may be half of a replacement.
    pub delete_grace: TimeDelta,
    /// Nothing is lowered before this instant: a process that has just started, or just become leader, has not seen
    /// enough.
    pub may_lower_from: Instant,
    /// By how much the clock that `now` is read from is ahead of the API server's, or behind it where negative; nothing
    /// while they agree.
    pub clock_error: Option<TimeDelta>,
    /// Distinguishes the instances of this cluster from those of others in the same account.
    pub cluster: String,
}

impl World {
    /// The clock that `now` is read from is believed: it is the API server's, and has not jumped lately.
    #[must_use]
    pub fn trusts_its_clock(&self, now: Instant) -> bool {
        self.clock_error.is_none() && now >= self.may_lower_from
    }

    /// When a surge is: as it says itself, or as the calendar says that it follows.
    ///
    /// # Errors
    ///
    /// Why nothing is known of that calendar, which is no reason to plan anything, or to call anything off.
    pub fn schedule<'a>(&self, spec: &'a SurgeSpec) -> Result<Cow<'a, Schedule>, String> {
        let Some(Follows { calendar, duration }) = &spec.follows else {
            return Ok(Cow::Borrowed(&spec.schedule));
        };
        let followed = self.calendars.get(calendar).map(|c| &c.status);
        match followed.filter(|status| status.was_read()) {
            Some(status) => Ok(Cow::Owned(status.schedule(&spec.schedule, *duration))),
            None if followed.is_some() => Err(format!("SurgeCalendar {calendar} was not read yet")),
            None => Err(format!("SurgeCalendar {calendar} is not there")),
        }
    }

    /// What is known of a workload.
    #[must_use]
    pub fn target(&self, workload: &Workload) -> &Seen<TargetState> {
        static NOT_LOOKED_AT: LazyLock<Seen<TargetState>> = LazyLock::new(Seen::default);
        self.targets.get(workload).unwrap_or(&NOT_LOOKED_AT)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A target that nothing scales, with all of its pods ready.
    pub(crate) fn plain(replicas: u32) -> TargetState {
        TargetState {
            replicas,
            ready: replicas,
            rolling: false,
            written_by: None,
            autoscaler: None,
            paused: false,
            kept_at: None,
        }
    }
}
