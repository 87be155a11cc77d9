//! The validated spec of a surge: targets, machine groups, Jobs, signals, degradation steps, start
//! trigger, hold phase and release pace.

use chrono::TimeDelta;

use crate::Instant;
use crate::decimal::Decimal;
use crate::reference;
use crate::state::ladder;
use crate::state::shape::Shape;

/// A scalable workload in the namespace of the surge. The type has no namespace field, because a
/// surge scales only workloads in the same namespace.
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
    /// API group and version of the workload, such as `apps/v1`.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::API_VERSION))]
    pub api_version: String,
    /// Kind of the workload, such as `Deployment`. The kind must have a `scale` subresource.
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::KIND))]
    pub kind: String,
    /// Name of the workload object.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// T0, start and end of one occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// T0: the deadline for all capacity to be ready (`spec.readyTime`).
    pub ready_by: Instant,
    /// Start of the event (`spec.startTime`).
    pub start: Instant,
    /// Planned end of the event (`spec.endTime`). The automatic release begins at the planned end
    /// or later.
    pub end: Instant,
}

/// Capacity of a target that must be ready at T0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Fixed number of replicas (`spec.targets[].replicas`).
    Replicas(u32),
    /// Factor applied to the baseline replicas (`spec.targets[].multiplier`). The baseline is the
    /// replica count found before the first write of a run.
    Multiplier(Decimal),
    /// Replicas that carry a forecast load (`spec.targets[].load`).
    Load {
        /// Forecast load, in the unit of the surge author, such as sessions.
        load: u64,
        /// Load that one replica carries, in the same unit (`spec.targets[].loadPerReplica`).
        per_replica: u64,
    },
}

/// Largest number of replicas that a target may be planned with. A plan above the limit is clipped,
/// and the preflight rule `PlanTooLarge` says so.
pub const MOST_REPLICAS: u32 = 10_000;

/// Largest `multiplier` of a target or a rung.
pub const LARGEST_MULTIPLIER: u32 = 1_000;

impl Want {
    /// Returns the planned floor: the replicas required at T0, at most [`MOST_REPLICAS`].
    ///
    /// `baseline` is the replica count found before the first write of a run. Fractions round up.
    #[must_use]
    pub fn replicas(self, baseline: u32) -> u32 {
        self.unclipped(baseline).min(MOST_REPLICAS)
    }

    /// Returns the planned floor before the limit of [`MOST_REPLICAS`]. The result saturates at
    /// `u32::MAX`.
    #[must_use]
    pub fn unclipped(self, baseline: u32) -> u32 {
        match self {
            Self::Replicas(n) => n,
            Self::Multiplier(by) => by.times_rounded_up(baseline),
            Self::Load { load, per_replica } => {
                u32::try_from(load.div_ceil(per_replica.max(1))).unwrap_or(u32::MAX)
            }
        }
    }

    /// True if the planned floor depends on the baseline replicas.
    #[must_use]
    pub fn needs_baseline(self) -> bool {
        matches!(self, Self::Multiplier(_))
    }
}

/// A workload that the surge scales, with the capacity required at T0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the target within the surge.
    pub name: String,
    /// Workload that the run scales (`scaleTargetRef`).
    pub workload: Workload,
    /// Capacity that must be ready at T0.
    pub want: Want,
    /// Upper limit for the floor that signals and boosts ask for (`maxReplicas`). If absent, the
    /// planned floor is the limit.
    pub max_replicas: Option<u32>,
    /// Named replica levels for signals, lowest first (`rungs`). If the list is empty, signals
    /// raise the target to exactly the replicas that the load needs.
    pub rungs: Vec<Rung>,
    /// Maximum number of unready pods while signals raise the target (`maxStepReplicas`). If
    /// absent, signals raise the target in one write.
    pub max_step: Option<u32>,
    /// Lead time: from raising the target until the new pods are ready (`leadSeconds`).
    pub lead: TimeDelta,
    /// Share of the plan over the time of the event (`shape`). If absent, the plan counts from T0
    /// until the end.
    pub shape: Option<Shape>,
}

impl Target {
    /// Returns the planned floor, at most `maxReplicas`. Returns `None` for a multiplier while the
    /// usual replicas are unknown.
    #[must_use]
    pub fn planned(&self, usual: Option<u32>) -> Option<u32> {
        let known = usual.or_else(|| (!self.want.needs_baseline()).then_some(0))?;
        let planned = self.want.replicas(known);
        Some(planned.min(self.max_replicas.unwrap_or(planned)))
    }
}

/// A named replica level for signals (`spec.targets[].rungs[]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Name of the level as shown to people, such as `x5`.
    pub name: String,
    /// Factor applied to the baseline replicas to get the replicas of the level.
    pub multiplier: Decimal,
}

/// Policy for floors during the release while a signal is unknown (`spec.onUnknown`).
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
    /// Default: the planner keeps the floor at the current value.
    #[default]
    Hold,
    /// If a signal has been unknown for 60 seconds, the planner raises the floor to at least the
    /// planned floor.
    HoldOrPlan,
}

/// A group of machines that the run launches for the event (`spec.machines[]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineGroup {
    /// Name of the machine group within the surge.
    pub name: String,
    /// Name of the [`crate::state::observed::InstanceClass`] that configures the launch.
    pub class: String,
    /// Number of instances to launch.
    pub count: u32,
}

/// A Job that the run creates for the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStep {
    /// Name of the Job step within the surge.
    pub name: String,
    /// Moment in the life of the run at which the Job is due.
    pub moment: Moment,
    /// Template object that the Job is copied from.
    pub template: JobTemplate,
    /// Maximum runtime of the Job (`deadlineSeconds` of the step). The reconciler writes the value
    /// to `spec.activeDeadlineSeconds` of the Job.
    pub deadline: TimeDelta,
    /// Number of pod failures that the Job tolerates (`spec.backoffLimit` of the Job). If absent,
    /// the value of the template applies.
    pub retries: Option<u32>,
    /// Names of the targets, machine groups and earlier Job steps that must be ready before the Job
    /// starts.
    pub after: Vec<String>,
}

/// The moment in the life of a run at which a Job is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Warm-up before T0. The planner starts the Job early enough for the Job deadline and for all
    /// Jobs that wait for the Job.
    WarmUp,
    /// Start of the event.
    Live,
    /// Start of the release.
    Release,
    /// Activation of a degradation step.
    Degrade,
    /// Deactivation of a degradation step.
    Restore,
}

impl Moment {
    /// Returns the word for a Job of the moment, as shown in messages.
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

/// The template object that a Job is copied from (`jobTemplateRef`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobTemplate {
    /// Kind of the template object.
    pub kind: TemplateKind,
    /// Name of the template object.
    pub name: String,
}

impl std::fmt::Display for JobTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

/// Kinds of objects that a Job can be copied from.
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
    /// A `CronJob`. The reconciler copies `spec.jobTemplate` and ignores `spec.suspend` of the
    /// `CronJob`.
    #[default]
    CronJob,
    /// A Job with `spec.suspend: true`. The reconciler copies the Job and leaves the original
    /// suspended.
    Job,
}

/// A live metric that the surge watches (`spec.signals[]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Name of the signal within the surge.
    pub name: String,
    /// Name of the [`crate::state::observed::MetricsSource`] that answers the query.
    pub source: String,
    /// `PromQL` instant query that returns one number.
    pub query: String,
    /// Target that the signal raises. If `None`, only degradation steps and the run status use the
    /// signal.
    pub raises: Option<Raises>,
}

/// The rule for raising a target above the plan by a live load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raises {
    /// Name of the target within the surge.
    pub target: String,
    /// Conversion from the load to the required replicas.
    pub carries: Carries,
    /// Time by which the planner extrapolates a rising load (`lookAheadSeconds`).
    pub look_ahead: TimeDelta,
}

/// The conversion from a load to the required replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Work that one replica handles (`perReplica`). The query measures the total work, such as
    /// sessions.
    PerReplica(Decimal),
    /// Highest acceptable measurement per pod (`threshold`). The query measures the utilisation of
    /// the ready pods, such as latency or CPU share.
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

/// The hold phase: the floors stay up after the end of the event until the load has dropped
/// (`spec.hold`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldAfterEnd {
    /// Quiet threshold in percent of the peak load of the run, 1 to 99 (`untilBelowPercent`). A
    /// signal with a `threshold` is quiet below that `threshold` instead.
    pub until_below_percent: u32,
    /// Time that the load must stay below the quiet threshold without a break (`forSeconds`).
    pub for_time: TimeDelta,
    /// Maximum duration of the hold phase after the end of the event (`maxSeconds`).
    pub max_time: TimeDelta,
}

/// The pace at which the planner lowers floors and terminates machines (`spec.release`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleasePace {
    /// Size of one release step, in percent of the distance from the first floor to the baseline, 1
    /// to 100 (`stepPercent`).
    pub step_percent: u32,
    /// Time between two release steps (`stepSeconds`).
    pub step_time: TimeDelta,
}

/// The trigger that starts the event (`spec.startPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The event starts at `spec.startTime`.
    Automatic,
    /// The event starts when a person creates a `SurgeOverride` with action `Start`. The capacity
    /// is ready at T0 and stays up until the start.
    Manual {
        /// Time after `spec.startTime` within which a person must start the event
        /// (`spec.armedSeconds`). If absent, the planned duration of the event applies.
        within: Option<TimeDelta>,
    },
}

/// The settings of a surge that the planner copies into each run. A later edit of the surge does
/// not change a run that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Workloads that must be ready at T0.
    pub targets: Vec<Target>,
    /// Machine groups that the run launches.
    pub machines: Vec<MachineGroup>,
    /// Jobs that the run creates.
    pub jobs: Vec<JobStep>,
    /// Live metrics that the run watches.
    pub signals: Vec<Signal>,
    /// Degradation steps for insufficient capacity, mildest step first.
    pub degrade: Vec<ladder::Step>,
    /// Policy for floors during the release while a signal is unknown.
    pub on_unknown: OnUnknown,
    /// Hold phase after the end of the event. If `None`, the release begins at the end.
    pub hold: Option<HoldAfterEnd>,
    /// Pace of the release.
    pub release: ReleasePace,
    /// Trigger that starts the event.
    pub start: Start,
}

impl Announcement {
    /// Returns the signals that raise the target with the given name.
    pub fn signals_of<'a>(
        &'a self,
        target: &'a str,
    ) -> impl Iterator<Item = (&'a Signal, &'a Raises)> + 'a {
        let raises = |s: &'a Signal| Some((s, s.raises.as_ref()?));
        self.signals.iter().filter_map(raises).filter(move |(_, raises)| raises.target == target)
    }

    /// Returns the Jobs that must succeed by T0.
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
