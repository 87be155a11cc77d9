//! Overrides (`SurgeOverride`) in force on a run.
//!
//! An override of the on-call engineer takes precedence over the plan. An override has a reason, an
//! author and an expiry.

use crate::Instant;
use crate::state::overrides::{Action, Boost, Override};
use crate::state::run::RunRecord;

/// Overrides in force on a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce<'a> {
    all: Vec<&'a Override>,
    /// Latest time to which an `Extend` override moved the end of the event.
    ///
    /// The extension stays in force after the override has expired.
    extended_to: Option<Instant>,
}

/// Returns the overrides in force on a run, oldest first.
#[must_use]
pub fn in_force<'a>(overrides: &'a [Override], run: &RunRecord, now: Instant) -> InForce<'a> {
    // An override does not apply to a run that was completed before the override was created.
    let spoken_of = |o: &&Override| {
        o.surge == run.surge && run.status.completion_time.is_none_or(|done| o.created < done)
    };
    let said = || overrides.iter().filter(spoken_of);
    let extended_to = said().filter(|o| o.action == Action::Extend).map(|o| o.expires).max();
    let mut all: Vec<_> = said().filter(|o| now < o.expires).collect();
    all.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    InForce { all, extended_to }
}

impl<'a> InForce<'a> {
    /// Returns an iterator over the overrides in force, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &'a Override> + '_ {
        self.all.iter().copied()
    }

    /// Returns the newest override that requests or forbids lowering: `Release`, `Hold` or
    /// `Extend`.
    fn newest_on_lowering(&self) -> Option<&'a Override> {
        let on_lowering = |o: &&Override| {
            !matches!(o.action, Action::Boost { .. } | Action::Start | Action::Degrade { .. })
        };
        self.iter().filter(on_lowering).last()
    }

    /// Returns the creation time of the first `Start` override.
    #[must_use]
    pub fn start(&self) -> Option<Instant> {
        self.iter().filter(|o| o.action == Action::Start).map(|o| o.created).min()
    }

    /// True if the newest override about lowering is `Release`.
    #[must_use]
    pub fn release(&self) -> bool {
        self.newest_on_lowering().is_some_and(|o| o.action == Action::Release)
    }

    /// True if the newest override about lowering is `Hold`, which forbids all lowering.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.newest_on_lowering().is_some_and(|o| o.action == Action::Hold)
    }

    /// Returns the end in force: the given end, or the latest extension, whichever is later.
    #[must_use]
    pub fn end(&self, end: Instant) -> Instant {
        self.extended_to.map_or(end, |to| to.max(end))
    }

    /// Returns the floor that boosts ask of a target; 0 without a boost.
    ///
    /// `planned` is the planned floor, on which boosts in percent are based. A `Release` override
    /// cancels all earlier boosts. A boost created after the `Release` counts.
    #[must_use]
    pub fn boost(&self, target: &str, planned: u32) -> u32 {
        let released = self.all.iter().rposition(|o| o.action == Action::Release);
        self.iter()
            .skip(released.map_or(0, |at| at + 1))
            .filter_map(|o| match &o.action {
                Action::Boost { target: t, amount } if t.as_deref().is_none_or(|t| t == target) => {
                    Some(*amount)
                }
                _ => None,
            })
            .map(|amount| match amount {
                Boost::Replicas(n) => n,
                Boost::Percent(percent) => {
                    let replicas = (u64::from(planned) * u64::from(percent)).div_ceil(100);
                    u32::try_from(replicas).unwrap_or(u32::MAX)
                }
            })
            .max()
            .unwrap_or(0)
    }

    /// Returns the state that the newest `Degrade` override sets for a step, with a description.
    #[must_use]
    pub fn degrade(&self, name: &str) -> Option<(bool, String)> {
        let words = self.iter().filter_map(|o| match &o.action {
            Action::Degrade { step, on } if step.as_deref().is_none_or(|s| s == name) => {
                Some((*on, o.describe()))
            }
            _ => None,
        });
        words.last()
    }

    /// Returns the earliest expiry of the overrides in force.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.iter().map(|o| o.expires).min()
    }
}
