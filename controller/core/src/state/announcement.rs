//! What a surge announces, validated: targets, machines, Jobs, signals, and how it starts and is released.

use chrono::TimeDelta;

use crate::Instant;
use crate::decimal::Decimal;
use crate::reference;
use crate::state::ladder;

/// A workload in the namespace of its surge. There is no namespace field: a surge scales workloads of its own namespace only.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Group and version, such as `apps/v1`.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::API_VERSION))]
    pub api_version: String,
    /// Kind, such as `Deployment`. It must have a `scale` subresource.
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::KIND))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// The instants of one occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// T0: capacity must be ready at this instant.
    pub ready_by: Instant,
    /// The event starts.
    pub start: Instant,
    /// The planned end of the event. The automatic release begins at this instant or later.
    pub end: Instant,
}

/// How much of a target must be ready at T0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// This many replicas.
    Replicas(u32),
    /// The replicas found when the target is first held, times this.
    Multiplier(Decimal),
    /// Enough replicas for a load.
    Load {
        /// The forecast load, in the on-call's unit.
        load: u64,
        /// What one replica carries of it.
        per_replica: u64,
    },
}

impl Want {
    /// The planned floor, given the replicas found when the target was first held.
    #[must_use]
    pub fn replicas(self, baseline: u32) -> u32 {
        match self {
            Self::Replicas(n) => n,
            Self::Multiplier(by) => by.times_rounded_up(baseline),
            Self::Load { load, per_replica } => {
                u32::try_from(load.div_ceil(per_replica.max(1))).unwrap_or(u32::MAX)
            }
        }
    }

    /// Whether the planned floor depends on what is running.
    #[must_use]
    pub fn needs_baseline(self) -> bool {
        matches!(self, Self::Multiplier(_))
    }
}

/// A workload that must be ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name within the surge.
    pub name: String,
    /// The workload.
    pub workload: Workload,
    /// How much of it.
    pub want: Want,
    /// What signals and boosts may climb to; the planned floor where absent.
    pub max_replicas: Option<u32>,
    /// The steps in which signals climb, lowest first; none where they climb to just what the load needs.
    pub rungs: Vec<Rung>,
    /// So many pods may be on their way at once when signals climb.
    pub max_step: Option<u32>,
    /// How long raising it takes until its pods are ready.
    pub lead: TimeDelta,
}

/// A step of a climb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// What people call it.
    pub name: String,
    /// The replicas found when the target was first held, times this.
    pub multiplier: Decimal,
}

/// What becomes of a floor on its way down while the live load is unknown.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub enum OnUnknown {
    /// It stays where it is.
    #[default]
    Hold,
    /// It goes back up to the plan, where it is below that.
    HoldOrPlan,
}

/// Machines to be started for the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineGroup {
    /// Name within the surge.
    pub name: String,
    /// The [`crate::state::observed::InstanceClass`] that says how.
    pub class: String,
    /// How many.
    pub count: u32,
}

/// A Job that is run for the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStep {
    /// Name within the surge.
    pub name: String,
    /// When.
    pub moment: Moment,
    /// What it is made from.
    pub template: JobTemplate,
    /// It has to be done so long after it has begun.
    pub deadline: TimeDelta,
    /// So many of its pods may fail; as its template says, where absent.
    pub retries: Option<u32>,
    /// Names of what has to be ready before: targets, groups of machines, steps that stand before this one.
    pub after: Vec<String>,
}

/// When a Job is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So early that it is done at T0.
    WarmUp,
    /// When the event begins.
    Live,
    /// When the way down begins.
    Release,
    /// When a step of the ladder of degradation goes on.
    Degrade,
    /// When it goes off again.
    Restore,
}

impl Moment {
    /// How people call a Job of that moment.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Live => "job",
            Self::Release => "release job",
            Self::Degrade => "degrade job",
            Self::Restore => "restore job",
        }
    }
}

/// What a Job is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobTemplate {
    /// Of which kind.
    pub kind: TemplateKind,
    /// Name of the object.
    pub name: String,
}

impl std::fmt::Display for JobTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

/// The kinds that a Job can be made from.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub enum TemplateKind {
    /// Its `jobTemplate`; whether it is suspended itself does not matter.
    #[default]
    CronJob,
    /// A suspended Job, which is copied and stays suspended.
    Job,
}

/// A live load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Name within the surge.
    pub name: String,
    /// The [`crate::state::observed::MetricsSource`] that is asked.
    pub source: String,
    /// An instant query that yields one number.
    pub query: String,
    /// What it raises; nothing where the ladder of degradation, or people, look at it only.
    pub raises: Option<Raises>,
}

/// How a live load raises a target above its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raises {
    /// The name of the target.
    pub target: String,
    /// How many replicas a load needs.
    pub carries: Carries,
    /// So far ahead a rise is met before it is there.
    pub look_ahead: TimeDelta,
}

/// What a load says of the replicas that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// It counts what there is to do, and one replica does so much of it.
    PerReplica(Decimal),
    /// It says how full the pods are, and this is as full as they may be.
    Threshold(Decimal),
}

impl std::fmt::Display for Carries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PerReplica(each) => write!(f, "at {each} each"),
            Self::Threshold(full) => write!(f, "of {full} at most"),
        }
    }
}

/// After the end: stay up until the load has really gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldAfterEnd {
    /// Gone means below this share of the run's own peak, 1 to 99.
    pub until_below_percent: u32,
    /// ... for this long without a break.
    pub for_time: TimeDelta,
    /// At most this long past the end.
    pub max_time: TimeDelta,
}

/// How the way down is paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleasePace {
    /// Share of the way from floor to baseline that one step goes, 1 to 100.
    pub step_percent: u32,
    /// Time between steps.
    pub step_time: TimeDelta,
}

/// Who says that an event begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The clock.
    Automatic,
    /// A person, from the announced start on: everything is ready, and waits.
    Manual {
        /// For so long; as long as the event lasts, where absent.
        within: Option<TimeDelta>,
    },
}

/// Everything an occurrence needs to know: frozen into its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What must be ready.
    pub targets: Vec<Target>,
    /// Machines to be started.
    pub machines: Vec<MachineGroup>,
    /// Jobs to be run.
    pub jobs: Vec<JobStep>,
    /// Live load.
    pub signals: Vec<Signal>,
    /// What is degraded while capacity cannot follow, the mildest step first.
    pub degrade: Vec<ladder::Step>,
    /// While that is unknown.
    pub on_unknown: OnUnknown,
    /// Staying up after the end; `None` releases at the end.
    pub hold: Option<HoldAfterEnd>,
    /// Coming down.
    pub release: ReleasePace,
    /// How it begins.
    pub start: Start,
}

impl Announcement {
    /// The signals of one target.
    pub fn signals_of<'a>(
        &'a self,
        target: &'a str,
    ) -> impl Iterator<Item = (&'a Signal, &'a Raises)> + 'a {
        let raises = |s: &'a Signal| Some((s, s.raises.as_ref()?));
        self.signals.iter().filter_map(raises).filter(move |(_, raises)| raises.target == target)
    }

    /// The Jobs that have to be done at T0.
    pub fn warm_up(&self) -> impl Iterator<Item = &JobStep> {
        self.jobs.iter().filter(|step| step.moment == Moment::WarmUp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capital_asks_for_180_replicas_in_each_form() {
        assert_eq!(Want::Replicas(180).replicas(10), 180);
        assert_eq!(Want::Multiplier("18".parse().unwrap()).replicas(10), 180);
        assert_eq!(Want::Load { load: 36_000, per_replica: 200 }.replicas(10), 180);
        assert_eq!(Want::Load { load: 36_001, per_replica: 200 }.replicas(10), 181);
    }
}
