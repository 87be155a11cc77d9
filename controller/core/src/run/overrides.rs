//! What on-call asked for. A human overrules everything, with a reason, an author and an expiry.

use crate::Instant;
use crate::state::overrides::{Action, Boost, Override};
use crate::state::run::RunRecord;

/// All overrides in force on a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce<'a> {
    all: Vec<&'a Override>,
    /// The latest instant to which the event was extended: an extension that is over has moved the end all the same.
    extended_to: Option<Instant>,
}

/// Picks the overrides in force on a run, oldest first.
#[must_use]
pub fn in_force<'a>(overrides: &'a [Override], run: &RunRecord, now: Instant) -> InForce<'a> {
    // An override speaks of the run that is going on or coming, not of one that ended before it was written.
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
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a Override> + '_ {
        self.all.iter().copied()
    }

    /// The newest word on coming down: `Release`, or one that forbids it.
    fn newest_on_lowering(&self) -> Option<&'a Override> {
        let on_lowering = |o: &&Override| {
            !matches!(o.action, Action::Boost { .. } | Action::Start | Action::Degrade { .. })
        };
        self.iter().filter(on_lowering).last()
    }

    /// When a person first said that the event begins.
    #[must_use]
    pub fn start(&self) -> Option<Instant> {
        self.iter().filter(|o| o.action == Action::Start).map(|o| o.created).min()
    }

    /// The newest word is to come down now.
    #[must_use]
    pub fn release(&self) -> bool {
        self.newest_on_lowering().is_some_and(|o| o.action == Action::Release)
    }

    /// Nothing may be lowered.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.newest_on_lowering().is_some_and(|o| o.action == Action::Hold)
    }

    /// The end in force.
    #[must_use]
    pub fn end(&self, end: Instant) -> Instant {
        self.extended_to.map_or(end, |to| to.max(end))
    }

    /// The floor that boosts ask of a target whose plan is `planned`; 0 where none does. The newest word counts: a
    /// release overrules the boosts before it, and a boost after it holds.
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

    /// The newest word on a step of the ladder, and who said it.
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

    /// The next instant at which one of them ends.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.iter().map(|o| o.expires).min()
    }
}
