//! What on-call asked for. A human overrules everything, with a reason, an author and an expiry.

use crate::Instant;
use crate::run::RunRecord;

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

    /// When somebody first said that the event begins.
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
