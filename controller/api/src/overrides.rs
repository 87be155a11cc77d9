//! `SurgeOverride`: a request of a person to change a run, with a reason, an author and an expiry.

use chrono::{DateTime, Utc};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use primetime_core::reference;
use primetime_core::state::overrides::{Action, Boost, Override};

use crate::object_ref::ObjectRef;

/// Action of an override.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideAction {
    /// The operator lowers nothing until the override expires.
    Hold,
    /// The operator raises the floor until the override expires, at most to `maxReplicas`.
    Boost,
    /// The event ends at `expireTime` of the override if `expireTime` is later than the planned
    /// end.
    Extend,
    /// The release begins now, in steps. Live load no longer keeps the floor up.
    Release,
    /// The event of a surge with `startPolicy: Manual` starts now. A second start has no effect.
    Start,
    /// Degradation steps stay active until the override expires, regardless of the `when` condition
    /// of the step. On-call rehearses a step with this action.
    Degrade,
    /// Degradation steps stay inactive until the override expires, regardless of the `when`
    /// condition of the step.
    Restore,
}

/// Request of an on-call person to change a run. The spec is immutable.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "primetime.dev",
    version = "v1alpha1",
    kind = "SurgeOverride",
    namespaced,
    shortname = "override",
    shortname = "overrides",
    category = "primetime",
    derive = "PartialEq",
    doc = "What on-call asks of a surge: hold, boost, extend, release, start, degrade or restore, with a reason and an expiry. The API server records the author.",
    printcolumn(name = "Surge", type_ = "string", json_path = ".spec.surgeRef.name"),
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Author", type_ = "string", json_path = ".spec.author"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expireTime"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.action != 'Boost' || (has(self.replicas) != has(self.percent))")
        .message("spec: a Boost needs exactly one of replicas and percent"),
    validation = Rule::new("self.action == 'Boost' || !(has(self.replicas) || has(self.percent) || has(self.target))")
        .message("spec: target, replicas and percent belong to action Boost only"),
    validation = Rule::new("!has(self.step) || self.action == 'Degrade' || self.action == 'Restore'")
        .message("spec: step belongs to actions Degrade and Restore only"),
    validation = Rule::new("self == oldSelf")
        .message("spec: an override is not edited; delete it and create another, so that each has one author")
)]
pub struct SurgeOverrideSpec {
    /// Reference to the surge whose current run the override changes.
    pub surge_ref: ObjectRef,
    /// Action of the override.
    pub action: OverrideAction,
    /// Name of the target to boost, as in the surge. Allowed with action `Boost` only. Defaults to
    /// all targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::LABEL))]
    pub target: Option<String>,
    /// Minimum number of replicas during the boost. A `Boost` requires exactly one of `replicas`
    /// and `percent`. Range 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub replicas: Option<u32>,
    /// Minimum floor during the boost, in percent of the planned floor. A `Boost` requires exactly
    /// one of `replicas` and `percent`. Range 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub percent: Option<u32>,
    /// Name of the degradation step, as in the surge. Allowed with actions `Degrade` and `Restore`
    /// only. Defaults to all steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::LABEL))]
    pub step: Option<String>,
    /// Reason for the override, for later readers of the log. 3 to 500 characters.
    #[schemars(length(min = 3, max = 500), regex(pattern = reference::TEXT))]
    pub reason: String,
    /// Time at which the override expires, at most 24 hours after the creation.
    pub expire_time: DateTime<Utc>,
    /// Name of the user who requests the override. The API server sets the field, or checks the
    /// field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300), regex(pattern = reference::TEXT))]
    pub author: Option<String>,
}

impl SurgeOverride {
    /// Converts the override into the record for the planner. Returns `None` if fields contradict
    /// each other, or if the metadata has no name or creation time.
    #[must_use]
    pub fn record(&self) -> Option<Override> {
        let spec = &self.spec;
        let action = match (spec.action, spec.replicas, spec.percent) {
            (OverrideAction::Hold, ..) => Action::Hold,
            (OverrideAction::Extend, ..) => Action::Extend,
            (OverrideAction::Release, ..) => Action::Release,
            (OverrideAction::Start, ..) => Action::Start,
            (OverrideAction::Degrade, ..) => Action::Degrade { step: spec.step.clone(), on: true },
            (OverrideAction::Restore, ..) => Action::Degrade { step: spec.step.clone(), on: false },
            (OverrideAction::Boost, Some(n), None) => {
                Action::Boost { target: spec.target.clone(), amount: Boost::Replicas(n) }
            }
            (OverrideAction::Boost, None, Some(n)) => {
                Action::Boost { target: spec.target.clone(), amount: Boost::Percent(n) }
            }
            (OverrideAction::Boost, ..) => return None,
        };
        let created = self.metadata.creation_timestamp.as_ref()?.0.as_second();
        Some(Override {
            name: self.metadata.name.clone()?,
            surge: spec.surge_ref.name.clone(),
            action,
            reason: spec.reason.clone(),
            author: spec.author.clone().unwrap_or_else(|| "unknown".to_owned()),
            created: DateTime::from_timestamp(created, 0)?,
            expires: spec.expire_time,
        })
    }
}
