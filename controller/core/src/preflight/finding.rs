//! Facts that the preflight rules judge, and findings.

use std::sync::Arc;

use chrono::TimeDelta;

use crate::state::announcement::Target;
use crate::state::condition::Rule;
use crate::state::observed::{Autoscaler, Bounds, Seen, TargetState};

/// Facts about a target of a run or of an announcement.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The target as announced.
    pub target: &'a Target,
    /// The workload as observed.
    pub seen: &'a Seen<TargetState>,
    /// Replicas and bounds before any run raised the target; `None` while unknown.
    pub usual: Option<Usual>,
    /// True from the first write on: a hold has raised the target.
    pub raised: bool,
    /// Time that is left for the pods to become ready: `leadSeconds` before the first write, the
    /// time until T0 after it.
    pub time: TimeDelta,
}

/// The usual bounds of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// `spec.replicas`.
    pub replicas: u32,
    /// Minimum of the autoscaler, 0 without an autoscaler.
    pub min: u32,
    /// Maximum of the autoscaler; `None` without an autoscaler.
    pub max: Option<u32>,
}

/// Facts about all targets of a run, and about the namespace.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The targets, in the order of the announcement.
    pub subjects: Vec<Subject<'a>>,
    /// `ResourceQuota`s and `LimitRange`s of the namespace.
    pub bounds: &'a Seen<Arc<Bounds>>,
}

impl Usual {
    /// Returns the usual bounds of a target with these replicas and this autoscaler.
    #[must_use]
    pub fn of(replicas: u32, autoscaler: Option<&Autoscaler>) -> Self {
        Self {
            replicas,
            min: autoscaler.and_then(|by| by.min).unwrap_or(0),
            max: autoscaler.and_then(|by| by.max),
        }
    }
}

impl Subject<'_> {
    /// The planned floor, once the usual replicas are known or not needed.
    pub(super) fn planned(&self) -> Option<u32> {
        self.target.planned(self.usual.map(|usual| usual.replicas))
    }

    /// Pods that the controller of the workload has yet to create.
    pub(super) fn to_create(&self) -> u32 {
        let created = self.seen.known().map_or(0, |live| live.created);
        self.planned().map_or(0, |planned| planned.saturating_sub(created))
    }

    pub(super) fn finds(&self, rule: Rule, found: String) -> Finding {
        Finding { rule, targets: vec![self.target.name.clone()], found }
    }
}

/// One finding of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Names of the targets concerned.
    pub targets: Vec<String>,
    /// Sentence with the numbers of the finding, without the names of the targets.
    pub found: String,
}

impl Finding {
    /// The finding and what to do, without the names of the targets.
    #[must_use]
    pub fn message(&self) -> String {
        match self.rule.hint() {
            "" => self.found.clone(),
            hint => format!("{}; {hint}", self.found),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.targets.join(", "), self.message())
    }
}

impl Rule {
    /// True if a finding of the rule makes the verdict `AtRisk`. A finding of every other rule is a
    /// warning.
    #[must_use]
    pub fn is_risk(self) -> bool {
        match self {
            Self::TargetAbsent
            | Self::TargetUnknown
            | Self::NothingMultiplied
            | Self::PlanTooLarge
            | Self::OneByOne
            | Self::QuotaTooSmall
            | Self::NothingStated
            | Self::LimitTooLow
            | Self::BudgetExceeded => true,
            Self::PlanBelowUsual
            | Self::NeverScalesDown
            | Self::OtherWriter
            | Self::BoundsUnknown => false,
        }
    }

    /// Advice for people; empty if the finding itself contains the advice.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::TargetAbsent => "create it before the warm-up, or correct scaleTargetRef",
            Self::TargetUnknown | Self::BoundsUnknown => "",
            Self::NothingMultiplied => "state replicas, or let it run before the event",
            Self::PlanTooLarge => "lower the multiplier, or state replicas or maxReplicas",
            Self::OneByOne => {
                "set podManagementPolicy Parallel, or leadSeconds to the number of pods times the \
                 seconds that one needs"
            }
            Self::QuotaTooSmall => "raise the quota before the warm-up",
            Self::NothingStated => {
                "set requests and limits of each container, or defaults in a LimitRange"
            }
            Self::LimitTooLow => "raise max of the LimitRange, or lower the request",
            Self::BudgetExceeded => "plan less, or ask the platform team for more",
            Self::PlanBelowUsual => "raise replicas of the target, or leave the target out",
            Self::NeverScalesDown => {
                "set another selectPolicy, or scale the target down by hand after the event"
            }
            Self::OtherWriter => {
                "have it ignore the field, or Primetime repairs it three times in ten minutes and \
                 then calls it contested"
            }
        }
    }
}
