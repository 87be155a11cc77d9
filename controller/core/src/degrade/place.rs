//! Where steps write, and what is found there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;

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

/// What is done about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchAct {
    /// See what stands there.
    Read {
        /// The place.
        place: Place,
    },
    /// Write, if what stands there is still what was seen.
    Write {
        /// The place.
        place: Place,
        /// What was seen; none where it was not set.
        from: Option<String>,
        /// What it shall be; none takes it away.
        to: Option<String>,
    },
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

/// A value as people read it in a sentence.
#[must_use]
pub fn told(value: Option<&str>) -> String {
    const SHOWN: usize = 60;
    match value {
        None => "nothing".to_owned(),
        Some(text) if text.chars().count() > SHOWN => {
            format!("\"{}...\"", text.chars().take(SHOWN).collect::<String>())
        }
        Some(text) => format!("\"{text}\""),
    }
}
