//! The record of one occurrence: what must survive a crash, and what people read.
//!
//! The stage and the verdict are written here for people and never read back; the ledger, the release and the
//! evidence (peaks, quiet time) are records that the next plan builds upon.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::state::announcement::{Announcement, Window};
use crate::state::condition::{Condition, ConditionReason, EventReason};
use crate::state::decision::Decision;
use crate::state::ladder;
use crate::state::ledger::{Batch, LedgerInstance, LedgerState};
use crate::state::release::Release;
use crate::state::report::Report;
use crate::state::status::{JobStatus, MachineStatus, SignalStatus, TargetStatus};

/// Where a run is in its life.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Stage {
    /// Instants are resolved; nothing has been touched.
    #[default]
    Planned,
    /// Machines and pods are being raised.
    WarmingUp,
    /// Everything that serves users is there, and the event has not begun.
    Ready,
    /// The event is on.
    Live,
    /// The end has passed and the load has not gone yet.
    Holding,
    /// Going back, step by step.
    Releasing,
    /// Everything was given back.
    Done,
    /// Called off; everything was given back.
    Cancelled,
}

impl Stage {
    /// All stages, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Planned,
        Self::WarmingUp,
        Self::Ready,
        Self::Live,
        Self::Holding,
        Self::Releasing,
        Self::Done,
        Self::Cancelled,
    ];

    /// The word shown to people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "Planned",
            Self::WarmingUp => "WarmingUp",
            Self::Ready => "Ready",
            Self::Live => "Live",
            Self::Holding => "Holding",
            Self::Releasing => "Releasing",
            Self::Done => "Done",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// Whether the run will be, or is, ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// It will be ready at T0, by all that is known now.
    #[default]
    OnTrack,
    /// It is not ready, or will not be; the message has the missing number.
    AtRisk,
    /// Ready pods, joined machines: counted, not hoped.
    Ready,
}

impl Verdict {
    /// The word shown to people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnTrack => "OnTrack",
            Self::AtRisk => "AtRisk",
            Self::Ready => "Ready",
        }
    }
}

impl From<Stage> for EventReason {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Planned => Self::Planned,
            Stage::WarmingUp => Self::WarmingUp,
            Stage::Ready => Self::Ready,
            Stage::Live => Self::Live,
            Stage::Holding => Self::Holding,
            Stage::Releasing => Self::Releasing,
            Stage::Done => Self::Done,
            Stage::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Verdict> for ConditionReason {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::OnTrack => Self::OnTrack,
            Verdict::AtRisk => Self::AtRisk,
            Verdict::Ready => Self::Ready,
        }
    }
}

/// The status of a `SurgeRun`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Where the run is in its life. Derived at every look, never read back.
    #[serde(default)]
    pub stage: Stage,
    /// Whether it will be, or is, ready.
    #[serde(default)]
    pub verdict: Verdict,
    /// One sentence with the numbers that matter now.
    #[serde(default)]
    pub message: String,
    /// When the first step starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin_time: Option<Instant>,
    /// When the event starts, as people in its zone say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_local: Option<String>,
    /// The end in force, overrides included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Instant>,
    /// When everything was first ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_time: Option<Instant>,
    /// When a person said that the event begins, where it does not begin by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_time: Option<Instant>,
    /// When everything was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Instant>,
    /// Targets, in the order of the spec.
    #[serde(default)]
    pub targets: Vec<TargetStatus>,
    /// Ready and wanted pods of all targets, such as `358/360`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_summary: Option<String>,
    /// Machine groups, in the order of the spec.
    #[serde(default)]
    pub machines: Vec<MachineStatus>,
    /// Joined and wanted machines of all groups, such as `17/17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_summary: Option<String>,
    /// Jobs, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobStatus>,
    /// Steps of the ladder of degradation, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degrade: Vec<ladder::StepStatus>,
    /// Signals, in the order of the spec.
    #[serde(default)]
    pub signals: Vec<SignalStatus>,
    /// Since when the load has been below the share of its peak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_since: Option<Instant>,
    /// Names of the overrides in force.
    #[serde(default)]
    pub overrides: Vec<String>,
    /// Every call to the cloud and what came of it.
    #[serde(default)]
    pub ledger: Vec<Batch>,
    /// When the run, or the surge that announced it, was deleted. Nothing is lowered for a while then, and nothing at all once a
    /// surge of the same name announces the run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_time: Option<Instant>,
    /// The way down, once begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// The latest decisions, oldest first; bounded.
    #[serde(default)]
    pub decisions: Vec<Decision>,
    /// Problems and states.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// What the run leaves behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

impl RunStatus {
    /// Instances that may exist in the cloud.
    pub fn living(&self) -> impl Iterator<Item = &LedgerInstance> {
        self.ledger.iter().flat_map(|b| &b.instances).filter(|i| i.state != LedgerState::Terminated)
    }

    /// Whether anything outside our own records may have been touched or started.
    #[must_use]
    pub fn owes_machines(&self) -> bool {
        self.ledger.iter().any(|b| !b.settled) || self.living().next().is_some()
    }

    /// Whether something stands where a step has written that was not there before.
    #[must_use]
    pub fn owes_values(&self) -> bool {
        self.degrade.iter().any(|step| step.owed.is_some())
    }

    /// Clamps recorded instants to `now`. An instant in the future was written by a wrong clock, and would delay every timer
    /// that counts from it.
    pub fn bring_back_to(&mut self, now: Instant) {
        let mut instants: Vec<&mut Instant> = Vec::new();
        if let Some(release) = &mut self.release {
            instants.extend([&mut release.start_time, &mut release.step_time]);
            instants.extend(release.machines_time.as_mut());
        }
        for batch in &mut self.ledger {
            instants.push(&mut batch.time);
            for instance in &mut batch.instances {
                instants.push(&mut instance.since);
                instants.extend(instance.join_time.as_mut());
            }
        }
        for job in &mut self.jobs {
            instants.extend(job.start_time.as_mut());
            instants.extend(job.end_time.as_mut());
        }
        for step in &mut self.degrade {
            instants.extend(step.since_time.as_mut());
            instants.extend(step.turning_since.as_mut());
        }
        instants.extend(self.quiet_since.as_mut());
        instants.extend(self.ready_time.as_mut());
        instants.extend(self.deletion_time.as_mut());
        for instant in instants {
            // mutate: wrong-clock-wrote-waited
            *instant = now.min(*instant);
        }
    }
}

/// A run as the planner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// Name of the object.
    pub name: String,
    /// Its uid: ledger entries and tags carry it.
    pub uid: String,
    /// The surge it belongs to; its own name where a person created it.
    pub surge: String,
    /// The uid of the surge that planned it; absent where a person created it.
    pub owner: Option<String>,
    /// It is deleted together with that surge: it has not begun, or is over.
    pub collected: bool,
    /// The generation of the surge that it was planned from.
    pub surge_generation: Option<i64>,
    /// The `deletionTimestamp` of the SurgeRun.
    pub deletion_time: Option<Instant>,
    /// Our finalizer is on it: it must not vanish before everything was given back.
    pub guarded: bool,
    /// The zone in which people read its instants.
    pub time_zone: Option<String>,
    /// The event of a calendar that it is.
    pub event: Option<String>,
    /// The SurgeRun was decoded. Otherwise its metadata and the start in its name are known, and nothing is decided from
    /// `ready_by`, `end`, `event`, `surge_generation` and `status`.
    pub decoded: bool,
    /// Instants.
    pub window: Window,
    /// What it must have ready, or why that cannot be understood.
    pub announcement: Result<Announcement, String>,
    /// Its status as last written.
    pub status: RunStatus,
}

impl RunRecord {
    /// A surge announced it, and it goes on also where that surge is replaced: it has begun, is not over, and is not deleted.
    #[must_use]
    pub fn outlives_its_surge(&self) -> bool {
        self.owner.is_some()
            && self.guarded
            && !self.collected
            && !self.deleting()
            && self.status.completion_time.is_none()
    }

    /// Deletion was asked for.
    #[must_use]
    pub fn deleting(&self) -> bool {
        self.deletion_time.is_some()
    }
}
