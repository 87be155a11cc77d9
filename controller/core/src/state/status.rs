//! What people read of the targets, machines, Jobs and signals of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;

/// A target as people see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// Name within the surge.
    pub name: String,
    /// Kind and name of the workload.
    pub workload: String,
    /// Replicas found when it was first held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<u32>,
    /// Replicas planned for T0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<u32>,
    /// The floor this run asks for now; absent while it asks for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<u32>,
    /// The highest floor this run has asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_floor: Option<u32>,
    /// Pods that serve users; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u32>,
    /// When a revert of another writer was last repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair_time: Option<Instant>,
    /// The field manager that keeps lowering it, and is not fought any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contested_by: Option<String>,
    /// A rollout is going on: some of its pods are of a template of before. The way down waits for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rolling: bool,
    /// Seconds from the first write until the planned pods were ready: the lead time achieved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub achieved_lead_seconds: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(yes: &bool) -> bool {
    !yes
}

/// A group of machines as people see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineStatus {
    /// Name within the surge.
    pub name: String,
    /// How many are wanted.
    pub wanted: u32,
    /// How many instances were launched and not yet terminated.
    pub launched: u32,
    /// How many of them have joined the cluster and are Ready.
    pub joined: u32,
}

/// A Job of the run as people see it; also the record that it may be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// Name of the step within the surge.
    pub name: String,
    /// What has become of it.
    pub state: JobState,
    /// Name of the Job; empty before the first attempt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub job: String,
    /// Which attempt, from 1. The pods that a Job starts again by itself are not counted.
    #[serde(default)]
    pub attempt: u32,
    /// When it was put on record that the Job may be created; once it was seen, when that was first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Instant>,
    /// The uid of the Job, once it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// When it was seen to have succeeded or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Instant>,
    /// What it waits for, or why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl JobStatus {
    /// A step whose time has not come.
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

    /// It has ended so.
    pub fn end(&mut self, state: JobState, message: Option<String>, now: Instant) {
        (self.state, self.message, self.end_time) = (state, message, Some(now));
    }
}

/// What has become of a Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JobState {
    /// Its time has not come, or what comes before it is not ready.
    Waiting,
    /// It is on record that it may be created, or it runs.
    Running,
    /// Done.
    Succeeded,
    /// Not done: too many of its pods have failed, or its deadline has passed.
    Failed,
}

/// A signal as people see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalStatus {
    /// Name within the surge.
    pub name: String,
    /// The load now, as a decimal; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Replicas that the load needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<u32>,
    /// The highest load seen in this run, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<String>,
    /// Since when the load is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<Instant>,
    /// Why it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_because: Option<String>,
}

impl TargetStatus {
    /// Pods that are asked for now: the plan, or the floor where that is higher; on the way down the floor, and what was there
    /// before the event once the floor is gone. Nothing where that is not known.
    #[must_use]
    pub fn wanted(&self, releasing: bool) -> Option<u32> {
        if releasing { self.floor.or(self.baseline) } else { self.planned.max(self.floor) }
    }
}
