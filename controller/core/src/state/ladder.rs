//! The ladder of graceful degradation: its steps, the values they write, and their status.

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::decimal::Decimal;

/// A step of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name within the surge.
    pub name: String,
    /// When it is on.
    pub when: When,
    /// The step stays on for at least this long, unless an override or the release turns it off.
    pub minimum: TimeDelta,
    /// What it does while it is on.
    pub action: Action,
}

/// What a step does while it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It writes a value, and gives back what stood there before.
    Write {
        /// Where.
        place: Place,
        /// What.
        value: String,
    },
    /// It runs Jobs, which are among those of the announcement.
    Run(Work),
}

/// When a step is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// What is watched.
    pub condition: Trigger,
    /// It holds, and later it has ceased to hold, for so long without a break.
    pub for_time: TimeDelta,
}

/// What a step watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A signal is above a line; it has gone once it is below another one, not higher than the first.
    Signal {
        /// Name of the signal.
        signal: String,
        /// The line above which the step is on.
        above: Decimal,
        /// The line below which it goes off again.
        below: Decimal,
    },
    /// Pods that are needed, by the floor or by the live load, are not ready; it has gone once none of them is missing.
    Behind {
        /// Name of the target.
        target: String,
        /// So many, or more.
        replicas: u32,
    },
}

/// A step as people see it; also the record of what stood where it writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Name within the surge.
    pub name: String,
    /// It is on.
    #[serde(default)]
    pub engaged: bool,
    /// Since when it is on, or off again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_time: Option<Instant>,
    /// Since when what would turn it the other way has held without a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turning_since: Option<Instant>,
    /// A person has turned it on: it goes off when their word ends, unless its condition holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
    /// What it has written, and what stood there before. It is owed as long as it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Owed>,
    /// What it writes was seen to stand there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
    /// Why it is on, or why it was turned off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A value in the namespace of a surge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// A key of a `ConfigMap`.
    ConfigMap {
        /// Name of the `ConfigMap`.
        name: String,
        /// The key.
        key: String,
    },
    /// The weight of a backend of an `HTTPRoute` of the Gateway API.
    HttpRoute {
        /// Name of the `HTTPRoute`.
        name: String,
        /// Name of the rule; where absent the backend has to stand in one rule only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// Name of the backend.
        backend: String,
    },
}

/// What a place is part of: the platform team says which of them may be written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A `ConfigMap`.
    ConfigMap(String),
    /// An `HTTPRoute`.
    HttpRoute(String),
}

impl Place {
    /// Whether both are one: who names no rule means the only one.
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

    /// What it is part of.
    #[must_use]
    pub fn object(&self) -> Object {
        match self {
            Self::ConfigMap { name, .. } => Object::ConfigMap(name.clone()),
            Self::HttpRoute { name, .. } => Object::HttpRoute(name.clone()),
        }
    }
}

impl Object {
    /// The chart's value that grants the right to write it.
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

/// What was found at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its value; none where the key, or the weight, is not set. Why it could not be read, otherwise.
    pub found: Result<Option<String>, Trouble>,
    /// Why the last write there was refused, if it was.
    pub refused: Option<String>,
    /// It was read after this instant.
    pub at: Instant,
}

/// Why a place could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The object does not exist, or has no such place any more: there is nothing to give back.
    Gone(String),
    /// Anything else.
    Failed(String),
}

/// A value that a step has written, or is about to, and what stood there before: whatever becomes of the announcement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Owed {
    /// Where.
    pub place: Place,
    /// What the step writes there.
    pub written: String,
    /// What stood there before; absent where it was not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// The Jobs of a step, by their names among the Jobs of the announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Run when the step goes on.
    pub degrade: String,
    /// Run when it goes off; none where nothing has to be undone.
    pub restore: Option<String>,
}
