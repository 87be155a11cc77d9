//! What on-call asked for.

use crate::Instant;

/// What an override does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing is lowered.
    Hold,
    /// A higher floor.
    Boost {
        /// The target; all targets where absent.
        target: Option<String>,
        /// How much.
        amount: Boost,
    },
    /// The event ends later: at the expiry of the override.
    Extend,
    /// Come down now, step by step.
    Release,
    /// The event begins now, where it does not begin by itself.
    Start,
    /// Steps of the ladder of degradation are on, or off, whatever they watch.
    Degrade {
        /// The step; all steps where absent.
        step: Option<String>,
        /// On, or off.
        on: bool,
    },
}

/// How much higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boost {
    /// At least this many replicas.
    Replicas(u32),
    /// At least this share of the planned floor.
    Percent(u32),
}

/// A `SurgeOverride`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Name of the object.
    pub name: String,
    /// The surge whose runs it speaks of.
    pub surge: String,
    /// What it does.
    pub action: Action,
    /// Why, in the words of its author.
    pub reason: String,
    /// Who, as the API server recorded it.
    pub author: String,
    /// When it was created.
    pub created: Instant,
    /// When it ends.
    pub expires: Instant,
}

impl Override {
    /// One line for the decision log.
    #[must_use]
    pub fn describe(&self) -> String {
        let what = match &self.action {
            Action::Hold => "hold".to_owned(),
            Action::Extend => "extend".to_owned(),
            Action::Release => "release".to_owned(),
            Action::Start => "start".to_owned(),
            Action::Degrade { step, on } => {
                let step = step.as_deref().unwrap_or("all steps");
                format!("degrade {step} {}", if *on { "on" } else { "off" })
            }
            Action::Boost { target, amount } => {
                let target = target.as_deref().unwrap_or("all targets");
                match amount {
                    Boost::Replicas(n) => format!("boost {target} to {n}"),
                    Boost::Percent(n) => format!("boost {target} to {n} % of the plan"),
                }
            }
        };
        format!(
            "{what} by {} until {}: {}",
            self.author,
            self.expires.format("%H:%M:%SZ"),
            self.reason
        )
    }
}
