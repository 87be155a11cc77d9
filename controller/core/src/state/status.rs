//! The status of targets, machine groups, Jobs and signals of a run, as shown to people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;

/// The status of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// Name of the target within the surge.
    pub name: String,
    /// Kind and name of the workload.
    pub workload: String,
    /// Replicas before the first write of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<u32>,
    /// Replicas planned for T0; with a shape, the replicas that the shape asks for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<u32>,
    /// Replicas that must be ready now, if the plan has a shape. The floor is higher while a rise of
    /// the shape, or the replacement of pods on a machine that goes, is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<u32>,
    /// Floor that the run claims now. The value is absent while the run has no claim on the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<u32>,
    /// Highest floor that the run has claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_floor: Option<u32>,
    /// Number of ready pods. The value is absent while the number is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u32>,
    /// Time of the last repair: another writer lowered the target and the reconciler raised the
    /// target again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair_time: Option<Instant>,
    /// Field manager that keeps lowering the target. The reconciler no longer repairs the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contested_by: Option<String>,
    /// True if a rollout of the target is in progress: some pods run an older pod template. The
    /// release waits for the rollout up to a time limit.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rolling: bool,
    /// Measured lead time in seconds, from the first write until the planned pods were ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub achieved_lead_seconds: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(yes: &bool) -> bool {
    !yes
}

/// The status of a machine group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineStatus {
    /// Name of the machine group within the surge.
    pub name: String,
    /// Number of wanted instances.
    pub wanted: u32,
    /// Number of launched instances, except instances that the run is draining or has terminated.
    pub launched: u32,
    /// Number of launched instances whose Node is Ready.
    pub joined: u32,
}

/// The status of a Job step. The reconciler creates the Job only after the planner has persisted
/// the state `Running`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// Name of the step within the surge.
    pub name: String,
    /// State of the Job.
    pub state: JobState,
    /// Name of the Job. The value is empty before the first attempt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub job: String,
    /// Number of the attempt, counted from 1. Pod restarts within a Job do not count as attempts.
    #[serde(default)]
    pub attempt: u32,
    /// Time at which the planner approved the creation of the Job. Once the Job exists, the value
    /// is the time of the first observation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Instant>,
    /// UID of the Job, once the planner has observed the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Time at which the planner observed the success or failure of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Instant>,
    /// Reason for waiting, or error of the failed Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl JobStatus {
    /// Returns the status of a step that is not due yet.
    #[must_use]
    pub fn waiting(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: JobState::Waiting,
            job: String::new(),
            attempt: 0,
            start_time: None,
            uid: None,
            end_time: None,
            message: None,
        }
    }

    /// Records the final state of the Job, with the end time `now`.
    pub fn end(&mut self, state: JobState, message: Option<String>, now: Instant) {
        (self.state, self.message, self.end_time) = (state, message, Some(now));
    }
}

/// The state of a Job step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JobState {
    /// The step is not due yet, or a prerequisite in `after` is not ready.
    Waiting,
    /// The reconciler may create the Job, or the Job is running.
    Running,
    /// The Job has succeeded.
    Succeeded,
    /// The Job has failed, for example because of too many pod failures or the deadline.
    Failed,
}

/// The status of a signal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalStatus {
    /// Name of the signal within the surge.
    pub name: String,
    /// Current load as a decimal. The value is absent while the load is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Replicas that the current load needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<u32>,
    /// Highest load during the run, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<String>,
    /// Time since which the load has been unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<Instant>,
    /// Reason for the unknown load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_because: Option<String>,
}

impl TargetStatus {
    /// Returns the number of pods that the run wants now, or `None` if the number is unknown.
    ///
    /// Before the release, the number is the planned floor or the current floor, whichever is
    /// higher; with a shape, the number is `due`. During the release, the number is the current floor. After the last claim, the
    /// number is the baseline.
    #[must_use]
    pub fn wanted(&self, releasing: bool) -> Option<u32> {
        if releasing {
            return self.floor.or(self.baseline);
        }
        self.due.or_else(|| self.planned.max(self.floor))
    }
}
