//! Application of the preflight rules to a run, and the condition `PreflightPassed`.

use chrono::TimeDelta;

use crate::Instant;
use crate::preflight::{self, Facts, Finding, Subject, Usual};
use crate::run::context::Run;
use crate::scaling::usual;
use crate::state::announcement::Target;
use crate::state::condition::{Condition, ConditionReason, ConditionType, Rule, set_condition};
use crate::state::hold;

impl Run<'_> {
    /// Applies the rules to the current world.
    pub(super) fn preflight(&self) -> Vec<Finding> {
        let targets = self.announcement.targets.iter().zip(&self.timeline.targets);
        let subjects = targets.map(|(target, start)| Subject {
            target,
            seen: self.world.target(&target.workload),
            usual: self.usual(target),
            raised: self.world.holds.contains_key(&hold::name(&target.workload)),
            time: self.time_left(target, *start),
        });
        let facts = Facts { subjects: subjects.collect(), bounds: &self.world.bounds };
        let over = self.over_budget().map(|found| Finding {
            rule: Rule::BudgetExceeded,
            targets: self.announcement.targets.iter().map(|t| t.name.clone()).collect(),
            found,
        });
        preflight::findings(&facts).into_iter().chain(over).collect()
    }

    fn time_left(&self, target: &Target, start: Instant) -> TimeDelta {
        if self.now < start { target.lead } else { self.window.ready_by - self.now }
    }

    /// Returns the bounds in the baseline of the hold, or the bounds found now.
    fn usual(&self, target: &Target) -> Option<Usual> {
        let replicas = usual::replicas(target, self.world, self.now)?;
        let hold = self.world.holds.get(&hold::name(&target.workload));
        let autoscaler = match hold {
            Some(record) => record.hold.baseline.autoscaler.as_ref(),
            None => self.world.target(&target.workload).known()?.autoscaler.as_ref(),
        };
        Some(Usual::of(replicas, autoscaler))
    }

    /// Sets the condition `PreflightPassed`.
    pub(super) fn set_preflight(&self, conditions: &mut Vec<Condition>, findings: &[Finding]) {
        // A process that has just started has not listed all kinds, so the last condition stays.
        let listed = self.world.bounds.known().is_some();
        if !listed && self.now < self.world.may_lower_from {
            return;
        }
        let reason = match findings {
            [] => ConditionReason::NothingFound,
            some if some.iter().any(|finding| finding.rule.is_risk()) => ConditionReason::RiskFound,
            _ => ConditionReason::WarningFound,
        };
        let each: Vec<_> = findings.iter().map(ToString::to_string).collect();
        set_condition(
            conditions,
            ConditionType::PreflightPassed,
            findings.is_empty(),
            reason,
            each.join("; "),
            self.now,
        );
    }
}

/// Returns the risks of a target as a sentence, or `None` without a risk. The first target tells a
/// finding on several targets.
pub(super) fn risk(findings: &[Finding], target: &str) -> Option<String> {
    let of_target = findings.iter().filter(|finding| {
        finding.rule.is_risk() && finding.targets.first().is_some_and(|first| first == target)
    });
    let each: Vec<_> = of_target.map(Finding::message).collect();
    (!each.is_empty()).then(|| each.join("; "))
}
