//! The record of one occurrence: the `SurgeRun`, with the status that the next plan builds on.
//!
//! The planner writes the stage and the verdict for people and never reads either value back. The
//! next plan, also after a crash, depends on the ledger, the release, the Jobs, the degradation
//! steps, the load peaks and the quiet time.

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

/// The stage of a run, from planning to completion.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Stage {
    /// The times of the run are fixed and the reconciler has not written to any target.
    #[default]
    Planned,
    /// The run raises machines and pods.
    WarmingUp,
    /// All targets, machines and warm-up Jobs are ready and the event has not started.
    Ready,
    /// The event is in progress.
    Live,
    /// The event has ended and the release has not begun.
    Holding,
    /// The planner lowers the floors step by step.
    Releasing,
    /// The run has ended and has returned all capacity.
    Done,
    /// The run was called off and has returned all capacity. The release began before the start of
    /// the event, or no person started the event.
    Cancelled,
}

impl Stage {
    /// All stages, in chronological order.
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

    /// Returns the name of the stage as shown in the status.
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

/// The verdict on the readiness of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// The planner expects the run to be ready at T0.
    #[default]
    OnTrack,
    /// The run is not ready at T0 or is likely to miss T0. The status message gives the missing
    /// number of pods, machines or Jobs.
    AtRisk,
    /// All pods, machines and warm-up Jobs of the run are ready, by count.
    Ready,
}

impl Verdict {
    /// Returns the name of the verdict as shown in the status.
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
    /// Stage of the run. The planner computes the stage in each pass and never reads the stored
    /// value.
    #[serde(default)]
    pub stage: Stage,
    /// Verdict on the readiness of the run.
    #[serde(default)]
    pub verdict: Verdict,
    /// Summary for people, with the current numbers.
    #[serde(default)]
    pub message: String,
    /// Time of the first step of the run: the first launch, write or warm-up Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin_time: Option<Instant>,
    /// Start of the event in the time zone of the surge, formatted for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_local: Option<String>,
    /// End of the event, including extensions by overrides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Instant>,
    /// Time at which all targets, machines and warm-up Jobs were first ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_time: Option<Instant>,
    /// Time at which a person started the event. The field is set only for `startPolicy: Manual`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_time: Option<Instant>,
    /// Time at which the run had returned all capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Instant>,
    /// Statuses of the targets, in the order of the spec.
    #[serde(default)]
    pub targets: Vec<TargetStatus>,
    /// Ready and wanted pods of all targets, such as `358/360`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_summary: Option<String>,
    /// Statuses of the machine groups, in the order of the spec.
    #[serde(default)]
    pub machines: Vec<MachineStatus>,
    /// Joined and wanted machines of all groups, such as `17/17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_summary: Option<String>,
    /// Statuses of the Jobs, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobStatus>,
    /// Statuses of the degradation steps, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degrade: Vec<ladder::StepStatus>,
    /// Statuses of the signals, in the order of the spec.
    #[serde(default)]
    pub signals: Vec<SignalStatus>,
    /// Time since which the load has stayed below the quiet threshold of `spec.hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_since: Option<Instant>,
    /// Names of the overrides in force.
    #[serde(default)]
    pub overrides: Vec<String>,
    /// Launch calls to the cloud and the started instances.
    #[serde(default)]
    pub ledger: Vec<Batch>,
    /// Time at which the run or the surge of the run was deleted.
    ///
    /// The release waits until the delete grace period is over. If a surge of the same name
    /// announces the run again, the run continues without a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_time: Option<Instant>,
    /// State of the release, once the release has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// Latest decisions, oldest first. The list is bounded.
    #[serde(default)]
    pub decisions: Vec<Decision>,
    /// Conditions of the run, such as `Ready`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Report of the run, written at completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

impl RunStatus {
    /// Returns the instances that may still exist in the cloud.
    pub fn living(&self) -> impl Iterator<Item = &LedgerInstance> {
        self.ledger.iter().flat_map(|b| &b.instances).filter(|i| i.state != LedgerState::Terminated)
    }

    /// True if the run may still have instances in the cloud: a launch call without a final
    /// outcome, or an instance not yet seen terminated.
    #[must_use]
    pub fn owes_machines(&self) -> bool {
        self.ledger.iter().any(|b| !b.settled) || self.living().next().is_some()
    }

    /// True if a degradation step has overwritten a value that the reconciler has not yet restored.
    #[must_use]
    pub fn owes_values(&self) -> bool {
        self.degrade.iter().any(|step| step.owed.is_some())
    }

    /// Clamps recorded times to `now`. A time in the future comes from a process with a wrong clock
    /// and would delay every timer based on the time.
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

/// A run as the planner sees the object.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// Name of the `SurgeRun`.
    pub name: String,
    /// Value of `metadata.uid`. Ledger tokens and cloud tags contain the UID.
    pub uid: String,
    /// Name of the surge of the run (`spec.surgeName`). If `spec.surgeName` is absent, the value is
    /// the name of the run.
    pub surge: String,
    /// UID of the surge that planned the run. The value is `None` if a person created the run.
    pub owner: Option<String>,
    /// True if the run has an owner reference to the surge.
    ///
    /// The garbage collector then deletes the run together with the surge. The operator keeps the
    /// reference only before the run begins and after the run ends.
    pub collected: bool,
    /// Generation of the surge spec that the planner copied into the run.
    pub surge_generation: Option<i64>,
    /// Value of `metadata.deletionTimestamp`.
    pub deletion_time: Option<Instant>,
    /// True if the run carries the Primetime finalizer. The finalizer keeps the object until the
    /// run has returned all capacity.
    pub guarded: bool,
    /// Time zone for times shown to people (`spec.timeZone`).
    pub time_zone: Option<String>,
    /// Identifier of the calendar event of the run (`spec.eventId`).
    pub event: Option<String>,
    /// True if the operator could decode the `SurgeRun`.
    ///
    /// If the value is false, the planner knows only the metadata and the start time in the name.
    /// The planner then draws no conclusions from `ready_by`, `end`, `event`, `surge_generation`
    /// and `status`.
    pub decoded: bool,
    /// T0, start and end of the occurrence.
    pub window: Window,
    /// Frozen settings of the surge, or all validation errors.
    pub announcement: Result<Announcement, String>,
    /// Status as last persisted.
    pub status: RunStatus,
}

impl RunRecord {
    /// True if the run continues after the deletion of the surge: the run has begun, has not ended,
    /// and is not being deleted. A run that a person created has no surge.
    #[must_use]
    pub fn outlives_its_surge(&self) -> bool {
        self.owner.is_some()
            && self.guarded
            && !self.collected
            && !self.deleting()
            && self.status.completion_time.is_none()
    }

    /// True if the run has a deletion timestamp.
    #[must_use]
    pub fn deleting(&self) -> bool {
        self.deletion_time.is_some()
    }
}
