//! `SurgeOverride`: a human overrules everything in one command, with a reason, an author and an expiry.

use chrono::{DateTime, Utc};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use primetime_core::state::overrides::{Action, Boost, Override};

use crate::object_ref::ObjectRef;

/// What an override does.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideAction {
    /// Nothing is lowered until the override expires.
    Hold,
    /// A higher floor until the override expires, up to maxReplicas.
    Boost,
    /// The event ends when the override expires, if that is later.
    Extend,
    /// Come down now, step by step; live load no longer keeps the floor up.
    Release,
    /// The event of a surge with startPolicy Manual begins now. A second start changes nothing.
    Start,
    /// Steps of the ladder of degradation are on until the override expires, whatever they watch. Also to rehearse them.
    Degrade,
    /// Steps of the ladder of degradation are off until the override expires, whatever they watch.
    Restore,
}

/// What on-call asks for.
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
    /// The surge whose current run it speaks of.
    pub surge_ref: ObjectRef,
    /// What it does.
    pub action: OverrideAction,
    /// Boost: the target by its name in the surge; all targets where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub target: Option<String>,
    /// Boost: at least this many replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub replicas: Option<u32>,
    /// Boost: at least this share of the planned floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub percent: Option<u32>,
    /// Degrade, Restore: the step by its name in the surge; all steps where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub step: Option<String>,
    /// Why, for the people who read the log later.
    #[schemars(length(min = 3, max = 500))]
    pub reason: String,
    /// When it ends; at most 24 hours after its creation.
    pub expire_time: DateTime<Utc>,
    /// Who asks. Filled in, or checked, by the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub author: Option<String>,
}

impl SurgeOverride {
    /// The override as the planner sees it; `None` where its fields contradict each other.
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
