//! The answer of a metrics source to one query. `Unknown` is a separate value and never counts as a
//! load of 0.

use chrono::TimeDelta;

use crate::Instant;
use crate::state::condition::ConditionReason;

/// The reason for an unknown sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The signal reader has not sent the query yet.
    NotAskedYet,
    /// The `MetricsSource` does not exist.
    NoSuchSource,
    /// The signal reader rejects the query, because the query contains a comment or a control
    /// character.
    NotSent(String),
    /// The request failed: no connection, a timeout, or an HTTP error.
    NoAnswer(String),
    /// The answer does not conform to the Prometheus HTTP API.
    Malformed(String),
    /// The source warns that the answer is incomplete, for example because a Thanos store or a
    /// Mimir shard did not answer.
    Partial(String),
    /// The query selects no series.
    Empty,
    /// The value is NaN or infinite, or the load of a signal with a target is negative.
    NotANumber,
    /// The query returns more than one series, so that the load is ambiguous.
    ManySeries(usize),
    /// The newest sample is older than `spec.maxSampleAgeSeconds` of the `MetricsSource`.
    Old {
        /// Age of the newest sample in seconds, negative for a time in the future.
        seconds: i64,
    },
    /// The number of ready pods is unknown or 0. A signal with a `threshold` needs the number to
    /// compute the required replicas.
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
    /// Returns the reason as a stable word for metrics and conditions.
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

/// The answer of a metrics source for a signal.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// A usable measurement.
    Known {
        /// Measured load.
        value: f64,
        /// Time of the measurement.
        at: Instant,
    },
    /// An unusable answer, with the reason.
    Unknown(Why),
}

impl Sample {
    /// Returns the load and the time of the measurement, if the sample is known and fresh at `now`.
    ///
    /// # Errors
    ///
    /// [`Why::NotANumber`] if the load is not finite. [`Why::Old`] if the time of the measurement
    /// differs from `now` by more than `max_age`. The recorded reason if the sample is unknown.
    pub fn fresh(&self, now: Instant, max_age: TimeDelta) -> Result<(f64, Instant), Why> {
        match self {
            Self::Known { value, .. } if !value.is_finite() => Err(Why::NotANumber),
            // A sample with a time in the future comes from a wrong clock, so the age is unknown.
            Self::Known { value, at } if now - *at <= max_age && *at - now <= max_age => {
                Ok((*value, *at))
            }
            Self::Known { at, .. } => Err(Why::Old { seconds: (now - *at).num_seconds() }),
            Self::Unknown(why) => Err(why.clone()),
        }
    }
}
