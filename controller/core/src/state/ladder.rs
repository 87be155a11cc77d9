//! The degradation ladder: steps, the values that steps write, and the status of steps.

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::decimal::Decimal;

/// A degradation step (`spec.degrade[]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name of the step within the surge.
    pub name: String,
    /// Trigger and minimum trigger time of the step.
    pub when: When,
    /// Minimum time that an active step stays active (`minimumSeconds`). An override or the release
    /// may deactivate the step earlier.
    pub minimum: TimeDelta,
    /// Action of the step while the step is active.
    pub action: Action,
}

/// The action of a step while the step is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The step writes a value. After the deactivation the reconciler restores the previous value.
    Write {
        /// Field or key that the step writes.
        place: Place,
        /// Value that the step writes.
        value: String,
    },
    /// The step runs Jobs from the Job list of the announcement.
    Run(Work),
}

/// The trigger of a step, with the minimum time for the trigger to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// Signal or target that the step watches.
    pub condition: Trigger,
    /// Time that the trigger must hold without a break before the step changes (`forSeconds`). The
    /// same time applies to activation and deactivation.
    pub for_time: TimeDelta,
}

/// The measurement that activates and deactivates a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The step activates if the signal exceeds `above`. The step deactivates if the signal drops
    /// below `below`.
    Signal {
        /// Name of the signal within the surge.
        signal: String,
        /// Activation threshold (`when.above`).
        above: Decimal,
        /// Deactivation threshold (`when.below`), at most `above`.
        below: Decimal,
    },
    /// The step activates if, after T0, at least `replicas` of the needed pods are not ready. The
    /// step deactivates if the target has all the pods that the floor and the live load need.
    Behind {
        /// Name of the target within the surge.
        target: String,
        /// Minimum number of missing ready pods (`when.behindReplicas`).
        replicas: u32,
    },
}

/// The status of a step. The status also records the value that the step has overwritten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Name of the step within the surge.
    pub name: String,
    /// True if the step is active.
    #[serde(default)]
    pub engaged: bool,
    /// Time of the last activation or deactivation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_time: Option<Instant>,
    /// Time since which the opposite trigger has held without a break. Once `forSeconds` have
    /// passed, the planner activates or deactivates the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turning_since: Option<Instant>,
    /// True if an override activated the step. The step deactivates with the end of the override,
    /// unless the trigger holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
    /// Value that the step has written and the previous value. The planner clears the field after
    /// the previous value is back, or after another writer has changed the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Owed>,
    /// True if a read has found the value of the step, or if the Job of the step has succeeded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
    /// Reason for the last activation or deactivation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A key or field that a step may write, in the namespace of the surge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// A key of a `ConfigMap`.
    ConfigMap {
        /// Name of the `ConfigMap`.
        name: String,
        /// Key in the `data` map of the `ConfigMap`.
        key: String,
    },
    /// The weight of a backend in an `HTTPRoute` of the Gateway API.
    HttpRoute {
        /// Name of the `HTTPRoute`.
        name: String,
        /// Name of the rule. If absent, exactly one rule of the `HTTPRoute` must contain the
        /// backend.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// Name of the backend.
        backend: String,
    },
}

/// The object that contains a writable key or field. The platform team lists the writable objects
/// in the chart values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// Name of a `ConfigMap`.
    ConfigMap(String),
    /// Name of an `HTTPRoute`.
    HttpRoute(String),
}

impl Place {
    /// True if both places denote the same key or field. An `HTTPRoute` place without a rule name
    /// equals every place with the same route and backend.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::HttpRoute { name: a, rule: of, backend: x },
                Self::HttpRoute { name: b, rule: another, backend: y },
            ) => (a, x) == (b, y) && (of == another || of.is_none() || another.is_none()),
            _ => self == other,
        }
    }

    /// Returns the object that contains the key or field.
    #[must_use]
    pub fn object(&self) -> Object {
        match self {
            Self::ConfigMap { name, .. } => Object::ConfigMap(name.clone()),
            Self::HttpRoute { name, .. } => Object::HttpRoute(name.clone()),
        }
    }
}

impl Object {
    /// Returns the name of the chart value that grants write access to the object.
    #[must_use]
    pub fn chart_value(&self) -> &'static str {
        match self {
            Self::ConfigMap(_) => "degrade.configMaps",
            Self::HttpRoute(_) => "degrade.httpRoutes",
        }
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ConfigMap(name) => write!(f, "ConfigMap {name}"),
            Self::HttpRoute(name) => write!(f, "HTTPRoute {name}"),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ConfigMap { key, .. } => write!(f, "{key} in {}", self.object()),
            Self::HttpRoute { backend, rule: None, .. } => {
                write!(f, "weight of {backend} in {}", self.object())
            }
            Self::HttpRoute { backend, rule: Some(rule), .. } => {
                write!(f, "weight of {backend} in rule {rule} of {}", self.object())
            }
        }
    }
}

/// The result of the last read of a `ConfigMap` key or an `HTTPRoute` weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Value that the read found, `None` if the key or weight is unset, or the error of the read.
    pub found: Result<Option<String>, Trouble>,
    /// Error of the last write, if the API server refused the write.
    pub refused: Option<String>,
    /// Time just before the read request.
    pub at: Instant,
}

/// The error of a read of a `ConfigMap` key or an `HTTPRoute` weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The object does not exist or no longer contains the key or the backend. The planner then has
    /// no value to restore.
    Gone(String),
    /// Any other error, such as a missing permission.
    Failed(String),
}

/// The record of a planned or completed write by a step: the new value and the previous value. The
/// reconciler persists the record before the write. The planner keeps the record even if the
/// announcement changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Owed {
    /// Key or field that the step writes.
    pub place: Place,
    /// Value that the step writes.
    pub written: String,
    /// Value before the write. The field is absent if the key or weight was unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// The Jobs of a step, by name in the Job list of the announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Name of the Job that the run creates on activation of the step.
    pub degrade: String,
    /// Name of the Job that the run creates on deactivation. If `None`, the step needs no undo.
    pub restore: Option<String>,
}
