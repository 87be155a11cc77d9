//! `SurgeRun`: an occurrence of a surge, with absolute times. A run relates to a surge as a Job
//! relates to a `CronJob`.

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{CustomResource, KubeSchema, Resource};
use serde::{Deserialize, Serialize};

use primetime_core::occurrences::named_after;
use primetime_core::output::PlannedRun;
use primetime_core::reference;
use primetime_core::state::announcement::Window;
use primetime_core::state::run::{RunRecord, RunStatus};

use crate::event::EventSpec;
use crate::names::{FINALIZER, SURGE_UID};
use crate::surge::{ScheduledSurge, ScheduledSurgeSpec};
use crate::validate;

/// An occurrence of a surge: fixed times, and a copy of the settings of the surge.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "primetime.dev",
    version = "v1alpha1",
    kind = "SurgeRun",
    namespaced,
    status = "RunStatus",
    shortname = "run",
    shortname = "runs",
    category = "primetime",
    derive = "PartialEq",
    validation = Rule::new("(has(self.spec.degrade) ? self.spec.degrade : []) == (has(oldSelf.spec.degrade) ? oldSelf.spec.degrade : []) || !has(oldSelf.status) || !((has(oldSelf.status.degrade) && oldSelf.status.degrade.exists(s, has(s.engaged) && s.engaged)) || (has(oldSelf.status.jobs) && oldSelf.status.jobs.exists(j, j.state == 'Running')))")
        .message("spec.degrade: what is on would not be given back; turn it off first (kubectl surge restore), and let its Jobs end"),
    doc = "One occurrence of a surge, with absolute instants: its stage, its verdict, the ledger of what was started for it, its decision log and, at the end, its report.",
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage"),
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.verdict"),
    printcolumn(
        name = "Pods",
        type_ = "string",
        json_path = ".status.readySummary",
        description = "Ready and wanted pods"
    ),
    printcolumn(
        name = "Machines",
        type_ = "string",
        json_path = ".status.machineSummary",
        description = "Joined and wanted machines"
    ),
    printcolumn(name = "T0", type_ = "string", json_path = ".spec.readyTime"),
    printcolumn(name = "End", type_ = "string", json_path = ".status.endTime"),
    printcolumn(name = "Start", type_ = "string", json_path = ".status.startLocal", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.startTime < self.endTime")
        .message("spec.endTime: must be after spec.startTime"),
    validation = Rule::new("self.endTime - self.startTime <= duration('168h')")
        .message("spec.endTime: at most 7 days after spec.startTime"),
    validation = Rule::new("self.startTime - self.readyTime <= duration('24h')")
        .message("spec.readyTime: at most 24 hours before spec.startTime"),
    validation = Rule::new("self.readyTime <= self.startTime")
        .message("spec.readyTime: must not be after spec.startTime"),
    validation = Rule::new("self.targets.size() + (has(self.machines) ? self.machines.size() : 0) > 0")
        .message("spec: at least one target or one group of machines"),
    validation = Rule::new("!has(self.degrade) || self.degrade.all(d, !has(d.when.signal) || (has(self.signals) && self.signals.exists(s, s.name == d.when.signal)))")
        .message("spec.degrade: each signal must be one of this run"),
    validation = Rule::new("!has(self.degrade) || self.degrade.all(d, !has(d.when.target) || self.targets.exists(t, t.name == d.when.target))")
        .message("spec.degrade: each target must be one of this run"),
    validation = Rule::new("!has(self.signals) || self.signals.all(s, !has(s.target) || self.targets.exists(t, t.name == s.target))")
        .message("spec.signals: each signal must name a target of this run"),
    validation = Rule::new("!has(self.armedSeconds) || self.startPolicy == 'Manual'")
        .message("spec.armedSeconds: belongs to startPolicy Manual only"),
    validation = Rule::new("self.targets.all(t, self.targets.exists_one(u, u.scaleTargetRef == t.scaleTargetRef))")
        .message("spec.targets: the same workload is named twice")
)]
pub struct SurgeRunSpec {
    /// Name of the surge that the run belongs to. Absent if a person created the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub surge_name: Option<String>,
    /// Generation of the surge that the operator copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surge_generation: Option<i64>,
    /// IANA time zone in which people read the times of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Explanation if the local start time does not exist in `timeZone`, or exists twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub start_note: Option<String>,
    /// Id of the calendar event. The id stays the same when the calendar moves the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub event_id: Option<String>,
    /// T0: the time at which all capacity must be ready. Must not be after `startTime`.
    pub ready_time: DateTime<Utc>,
    /// Start of the event.
    pub start_time: DateTime<Utc>,
    /// Earliest end of the event. Must be after `startTime`, at most 7 days.
    pub end_time: DateTime<Utc>,
    /// Settings of the event: a copy of the settings of the surge.
    #[serde(flatten)]
    pub event: EventSpec,
}

/// Returns the spec for the run of an occurrence: the times, and a copy of the settings of the
/// surge.
#[must_use]
pub fn run_spec(planned: &PlannedRun, spec: &ScheduledSurgeSpec) -> SurgeRunSpec {
    SurgeRunSpec {
        surge_name: Some(planned.surge.clone()),
        surge_generation: Some(planned.generation),
        time_zone: spec.schedule.time_zone.clone(),
        start_note: planned.note.clone(),
        event_id: planned.event.clone(),
        ready_time: planned.window.ready_by,
        start_time: planned.window.start,
        end_time: planned.window.end,
        event: spec.event.clone(),
    }
}

/// True if the owner reference points to a `ScheduledSurge` as controller.
#[must_use]
pub fn is_surge(owner: &OwnerReference) -> bool {
    owner.controller == Some(true)
        && owner.kind == ScheduledSurge::kind(&())
        && owner.api_version == ScheduledSurge::api_version(&())
}

/// Converts a `SurgeRun` into the record for the planner.
#[must_use]
pub fn run_record(object: &SurgeRun) -> RunRecord {
    let spec = &object.spec;
    let known = of_metadata(&object.metadata);
    // A run without a valid `spec.surgeName` belongs to a person. The annotation and the owner
    // reference then have no effect.
    let announced = spec.surge_name.as_deref().is_some_and(|name| reference::name(name).is_ok());
    RunRecord {
        surge: spec.surge_name.clone().unwrap_or_else(|| known.name.clone()),
        owner: known.owner.filter(|_| announced),
        surge_generation: spec.surge_generation,
        time_zone: spec.time_zone.clone(),
        event: spec.event_id.clone(),
        decoded: true,
        window: Window { ready_by: spec.ready_time, start: spec.start_time, end: spec.end_time },
        announcement: validate::announcement(&spec.event).map_err(|reasons| reasons.join("; ")),
        status: object.status.clone().unwrap_or_default(),
        ..known
    }
}

/// Returns the record of a run that the controller cannot decode. The name of the run gives the
/// surge and the start.
#[must_use]
pub fn undecoded_run(metadata: &ObjectMeta, why: String) -> RunRecord {
    let known = of_metadata(metadata);
    let Some((surge, start)) = named_after(&known.name) else {
        return RunRecord { owner: None, announcement: Err(why), ..known };
    };
    let window = Window { ready_by: start, start, ..known.window };
    RunRecord { surge: surge.to_owned(), window, announcement: Err(why), ..known }
}

/// Returns the record that the metadata of a run gives. All times are in the far future, so that no
/// deadline passes.
fn of_metadata(metadata: &ObjectMeta) -> RunRecord {
    let name = metadata.name.clone().unwrap_or_default();
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let surge = owners.iter().find(|o| is_surge(o));
    let uid = metadata.annotations.as_ref().and_then(|all| all.get(SURGE_UID));
    let never = DateTime::<Utc>::MAX_UTC;
    RunRecord {
        uid: metadata.uid.clone().unwrap_or_default(),
        surge: name.clone(),
        owner: uid.cloned().or_else(|| surge.map(|o| o.uid.clone())),
        collected: surge.is_some(),
        surge_generation: None,
        deletion_time: metadata.deletion_timestamp.as_ref().map(|at| {
            DateTime::from_timestamp(at.0.as_second(), 0).unwrap_or(DateTime::UNIX_EPOCH)
        }),
        guarded: metadata.finalizers.iter().flatten().any(|f| f == FINALIZER),
        time_zone: None,
        event: None,
        decoded: false,
        window: Window { ready_by: never, start: never, end: never },
        announcement: Err(String::new()),
        status: RunStatus::default(),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    /// Returns a run of a surge in a format that only a newer version of the operator can decode.
    fn undecodable(name: &str) -> RunRecord {
        let object: Value = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun",
            "metadata": {
                "name": name, "namespace": "shop", "uid": "7", "finalizers": [FINALIZER],
                "annotations": {SURGE_UID: "of-the-surge"},
            },
            "spec": {"surgeName": "show", "startTime": "2026-03-22T19:50:00Z"},
            "status": {"stage": "Unheard"},
        });
        let object: DeserializeGuard<SurgeRun> = serde_json::from_value(object).unwrap();
        let why = object.0.as_ref().unwrap_err().to_string();
        undecoded_run(object.meta(), why)
    }

    #[test]
    fn a_run_that_cannot_be_decoded_is_known_by_its_metadata() {
        let run = undecodable("show-20260322t195000z");
        assert_eq!((run.surge.as_str(), run.owner.as_deref()), ("show", Some("of-the-surge")));
        assert_eq!(run.window.start.to_rfc3339(), "2026-03-22T19:50:00+00:00");
        assert!(run.guarded && !run.collected && !run.deleting() && !run.decoded);
        assert!(run.announcement.is_err());
    }

    #[test]
    fn one_that_a_person_named_belongs_to_no_surge() {
        let run = undecodable("by-hand");
        assert_eq!((run.surge.as_str(), run.owner), ("by-hand", None));
    }
}
