//! One answer of a metrics source. `Unknown` is a value of its own: it is never 0.

use chrono::TimeDelta;

use crate::Instant;
use crate::state::condition::ConditionReason;

/// Why a sample says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Not asked yet.
    NotAskedYet,
    /// The `MetricsSource` does not exist.
    NoSuchSource,
    /// The query is not sent: it has a comment or a control character.
    NotSent(String),
    /// No connection, a time-out, an HTTP error.
    NoAnswer(String),
    /// The answer was not what the API promises.
    Malformed(String),
    /// The source says that its answer lacks something: a store of Thanos or a shard of Mimir did not answer.
    Partial(String),
    /// The query selected nothing.
    Empty,
    /// NaN or an infinity.
    NotANumber,
    /// More than one series: which one is meant?
    ManySeries(usize),
    /// The newest sample is older than allowed.
    Old {
        /// Age in seconds.
        seconds: i64,
    },
    /// A threshold says how full the pods are that carry the load: how many these are is not known.
    PodsUnknown,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAskedYet => f.write_str("not asked yet"),
            Self::NoSuchSource => f.write_str("the MetricsSource does not exist"),
            Self::NotSent(why) => write!(f, "not asked: {why}"),
            Self::NoAnswer(why) => write!(f, "no answer: {why}"),
            Self::Malformed(why) => write!(f, "unreadable answer: {why}"),
            Self::Partial(why) => write!(f, "only a part of the answer: {why}"),
            Self::Empty => f.write_str("the query selects nothing"),
            Self::NotANumber => f.write_str("the value is not a number"),
            Self::ManySeries(n) => write!(f, "the query yields {n} series; aggregate it to one"),
            Self::Old { seconds } => write!(f, "the newest sample is {seconds} s old"),
            Self::PodsUnknown => f.write_str("no pod that carries it is known to be ready"),
        }
    }
}

impl Why {
    /// A short, stable word for metrics and conditions.
    #[must_use]
    pub fn reason(&self) -> ConditionReason {
        match self {
            Self::NotAskedYet => ConditionReason::NotAskedYet,
            Self::NoSuchSource => ConditionReason::NoSuchSource,
            Self::NotSent(_) => ConditionReason::NotSent,
            Self::NoAnswer(_) => ConditionReason::NoAnswer,
            Self::Malformed(_) => ConditionReason::Malformed,
            Self::Partial(_) => ConditionReason::Partial,
            Self::Empty => ConditionReason::Empty,
            Self::NotANumber => ConditionReason::NotANumber,
            Self::ManySeries(_) => ConditionReason::ManySeries,
            Self::Old { .. } => ConditionReason::Old,
            Self::PodsUnknown => ConditionReason::PodsUnknown,
        }
    }
}

/// What a metrics source said of a signal.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// A number that can be trusted.
    Known {
        /// The load.
        value: f64,
        /// When it was measured.
        at: Instant,
    },
    /// Nothing that can be acted upon.
    Unknown(Why),
}

impl Sample {
    /// The load and when it was measured, if the sample is known and not older than `max_age` at `now`.
    ///
    /// # Errors
    ///
    /// Why it says nothing.
    pub fn fresh(&self, now: Instant, max_age: TimeDelta) -> Result<(f64, Instant), Why> {
        match self {
            Self::Known { value, .. } if !value.is_finite() => Err(Why::NotANumber),
            // A sample from the future is of a wrong clock: its age is unknown.
            Self::Known { value, at } if now - *at <= max_age && *at - now <= max_age => {
                Ok((*value, *at))
            }
            Self::Known { at, .. } => Err(Why::Old { seconds: (now - *at).num_seconds() }),
            Self::Unknown(why) => Err(why.clone()),
        }
    }
}
