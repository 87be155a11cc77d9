//! The `SurgeOverride`: a request of a person to change the plan of a run.

use crate::Instant;

/// The action of an override (`spec.action`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The planner lowers no floor and keeps the machines of the run.
    Hold,
    /// The planner raises the floor of a target.
    Boost {
        /// Name of the target. If absent, the boost applies to all targets.
        target: Option<String>,
        /// Amount of the boost.
        amount: Boost,
    },
    /// The planner moves the end of the event to the expiry of the override, if the expiry is
    /// later.
    Extend,
    /// The planner starts the release now, in steps.
    Release,
    /// The event starts now. The action has an effect only if `spec.startPolicy` is `Manual`.
    Start,
    /// The planner activates or deactivates degradation steps regardless of the triggers.
    Degrade {
        /// Name of the step. If absent, the action applies to all steps.
        step: Option<String>,
        /// True for activation, false for deactivation.
        on: bool,
    },
}

/// The amount of a boost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boost {
    /// Minimum replicas for the target.
    Replicas(u32),
    /// Minimum replicas for the target, in percent of the planned floor.
    Percent(u32),
}

/// A `SurgeOverride` as the planner reads the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Name of the `SurgeOverride`.
    pub name: String,
    /// Name of the surge whose runs the override applies to.
    pub surge: String,
    /// Action of the override.
    pub action: Action,
    /// Reason given by the author.
    pub reason: String,
    /// User name of the author (`spec.author`), filled in or checked by the API server.
    pub author: String,
    /// Value of `metadata.creationTimestamp`.
    pub created: Instant,
    /// End of the override (`spec.expireTime`).
    pub expires: Instant,
}

impl Override {
    /// Returns a one-line description for the decision log.
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
