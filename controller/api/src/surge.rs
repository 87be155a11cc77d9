//! `ScheduledSurge`: the schedule and the settings of an event. A surge relates to runs as a
//! `CronJob` relates to Jobs.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use primetime_core::occurrences::run_name;
use primetime_core::state::surge::{SurgeRecord, SurgeSpec, SurgeStatus};
use primetime_core::{reference, seconds};

use crate::event::EventSpec;
use crate::schedule::Schedule;
use crate::validate;

/// Schedule and settings of an event.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "primetime.dev",
    version = "v1alpha1",
    kind = "ScheduledSurge",
    namespaced,
    status = "SurgeStatus",
    shortname = "surge",
    shortname = "surges",
    category = "primetime",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.size() <= 236")
        .message("metadata.name: at most 236 characters, because the name of a run is 17 characters longer"),
    doc = "An event whose hour is known: when it starts, what must be ready at that instant, how far it may grow, and how everything is given back.",
    printcolumn(name = "Start", type_ = "string", json_path = ".status.nextStartLocal"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Accepted')].reason"
    ),
    printcolumn(name = "Run", type_ = "string", json_path = ".status.run"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.targets.size() + (has(self.machines) ? self.machines.size() : 0) > 0")
        .message("spec: at least one target or one group of machines"),
    validation = Rule::new("!has(self.degrade) || self.degrade.all(d, !has(d.when.signal) || (has(self.signals) && self.signals.exists(s, s.name == d.when.signal)))")
        .message("spec.degrade: each signal must be one of this surge"),
    validation = Rule::new("!has(self.degrade) || self.degrade.all(d, !has(d.when.target) || self.targets.exists(t, t.name == d.when.target))")
        .message("spec.degrade: each target must be one of this surge"),
    validation = Rule::new("!has(self.signals) || self.signals.all(s, !has(s.target) || self.targets.exists(t, t.name == s.target))")
        .message("spec.signals: each signal must name a target of this surge"),
    validation = Rule::new("!has(self.armedSeconds) || self.startPolicy == 'Manual'")
        .message("spec.armedSeconds: belongs to startPolicy Manual only"),
    validation = Rule::new("self.targets.all(t, self.targets.exists_one(u, u.scaleTargetRef == t.scaleTargetRef))")
        .message("spec.targets: the same workload is named twice")
)]
pub struct ScheduledSurgeSpec {
    /// Schedule of the event.
    pub schedule: Schedule,
    /// Time in seconds from T0 to the start of the event. All capacity must be ready at T0.
    /// Defaults to 0. Maximum 86400.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86400))]
    pub ready_before_seconds: u32,
    /// Settings of the event: capacity at T0, limits of growth, and release.
    #[serde(flatten)]
    pub event: EventSpec,
    /// If true, the operator plans no new runs and withdraws runs that have not begun. A run that
    /// has begun continues. Defaults to false.
    #[serde(default)]
    pub suspend: bool,
    /// Time in seconds after the start within which the operator may still create a run for a
    /// missed occurrence. Maximum 604800. If absent, the limit is the end of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 604_800))]
    pub starting_deadline_seconds: Option<u32>,
    /// Number of upcoming occurrences for which the operator creates runs in advance. Defaults to
    /// 3. Range 1 to 20.
    #[serde(default = "default_upcoming_limit")]
    #[schemars(range(min = 1, max = 20))]
    pub upcoming_limit: u32,
    /// Number of completed runs that the operator keeps with the reports. Defaults to 3. Range 1 to
    /// 100.
    #[serde(default = "default_history_limit")]
    #[schemars(range(min = 1, max = 100))]
    pub history_limit: u32,
}

fn default_upcoming_limit() -> u32 {
    3
}

/// Returns the default of `spec.historyLimit`, equal to the default of a `CronJob` for successful
/// Jobs.
fn default_history_limit() -> u32 {
    3
}

/// Converts a `ScheduledSurge` into the record for the planner.
#[must_use]
pub fn surge_record(object: &ScheduledSurge) -> SurgeRecord {
    SurgeRecord {
        name: object.metadata.name.clone().unwrap_or_default(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or_default(),
        deleting: object.metadata.deletion_timestamp.is_some(),
        spec: named_surge(object),
        status: object.status.clone().unwrap_or_default(),
    }
}

/// Validates a surge and the name of the surge, which becomes part of the names of runs.
///
/// # Errors
///
/// Returns every reason for refusing the surge, each with the path of the field and a sentence.
pub fn named_surge(object: &ScheduledSurge) -> Result<SurgeSpec, Vec<String>> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let run = run_name(name, chrono::DateTime::UNIX_EPOCH);
    let most = reference::NAME_LENGTH - (run.len() - name.len());
    let too_long = (name.len() > most).then(|| {
        format!("metadata.name: at most {most} characters, because the name of a run is {} characters longer", run.len() - name.len())
    });
    match (surge_spec(&object.spec), too_long) {
        (spec, None) => spec,
        (Ok(_), Some(why)) => Err(vec![why]),
        (Err(mut reasons), Some(why)) => {
            reasons.insert(0, why);
            Err(reasons)
        }
    }
}

/// Validates the spec of a surge.
///
/// # Errors
///
/// Returns every reason for refusing the spec, each with the path of the field and a sentence.
pub fn surge_spec(spec: &ScheduledSurgeSpec) -> Result<SurgeSpec, Vec<String>> {
    let schedule = validate::schedule_of(&spec.schedule);
    let announcement = validate::announcement(&spec.event);
    // The checks of queries and of bounds apply to a surge only. A stored run with an invalid query keeps the
    // holds, and the operator does not send the query.
    let mut beyond = validate::queries(&spec.event.signals);
    beyond.extend(validate::too_large(&spec.event.targets));
    match (schedule, announcement) {
        (Ok(schedule), Ok(announcement)) if beyond.is_empty() => Ok(SurgeSpec {
            follows: validate::follows(&spec.schedule),
            schedule,
            ready_before: seconds(spec.ready_before_seconds),
            suspend: spec.suspend,
            starting_deadline: spec.starting_deadline_seconds.map(seconds),
            upcoming_limit: spec.upcoming_limit.clamp(1, 20) as usize,
            history_limit: spec.history_limit.clamp(1, 100) as usize,
            announcement,
        }),
        (schedule, announcement) => {
            let reasons = [schedule.err(), announcement.err(), Some(beyond)];
            Err(reasons.into_iter().flatten().flatten().collect())
        }
    }
}
