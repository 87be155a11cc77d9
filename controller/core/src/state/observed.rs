//! Observations of objects that Primetime does not own. An observation may be [`Seen::Unknown`],
//! and the planner never lowers capacity because of an unknown observation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use chrono::TimeDelta;

use crate::Instant;
use crate::reference;
use crate::state::ledger::Launch;
use crate::state::place::Place;

/// An observation of an object or a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    /// The observed value.
    Known(T),
    /// The object does not exist, according to a complete list by the API server.
    Absent,
    /// The state is unknown, for the given reason. The planner draws no conclusion from an unknown
    /// state.
    Unknown(Cause),
}

/// The cause of an unknown observation. The planner judges the cause; people read its
/// [`fmt::Display`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The process has not asked yet.
    NotAsked,
    /// The watch of the kind has not started yet.
    NotWatched(String),
    /// The watch of the kind has not delivered its first list yet.
    NotListed(String),
    /// A new leader has not listed the kind since it became the leader.
    NotRelisted(String),
    /// The API server does not serve the kind.
    NotServed(String),
    /// The API server serves the kind, and the kind has no `scale` subresource.
    NotScalable(String),
    /// The installation does not allow the kind as a target.
    NotAllowed {
        /// The kind.
        kind: String,
        /// The API group of the kind.
        group: String,
    },
    /// The API server refuses to list the kind.
    Forbidden {
        /// The kind.
        kind: String,
        /// What grants the right: a part of a sentence after "cannot be listed, ".
        remedy: &'static str,
        /// The message of the API server.
        why: String,
    },
    /// KEDA has generated the HPA of the workload, and the `ScaledObject` was not listed yet.
    ScaledObjectNotListed,
    /// A request failed, with this message.
    Failed(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => write!(f, "not looked at yet"),
            Self::NotWatched(kind) => write!(f, "{kind} is not watched yet"),
            Self::NotListed(kind) => write!(f, "{kind} is not listed yet"),
            Self::NotRelisted(kind) => write!(f, "{kind} is not listed by this leader yet"),
            Self::NotServed(kind) => write!(
                f,
                "the API server does not serve {kind}: install its CRD, or correct apiVersion and \
                 kind"
            ),
            Self::NotScalable(kind) => {
                write!(f, "{kind} has no scale subresource, so its replicas cannot be set")
            }
            Self::NotAllowed { kind, group } => {
                let of = if group.is_empty() { "the core group" } else { group };
                write!(f, "{kind} of {of} is not among scalableKinds of the Helm chart")
            }
            Self::Forbidden { kind, remedy, why } => {
                write!(f, "{kind} cannot be listed, {remedy}: {why}")
            }
            Self::ScaledObjectNotListed => write!(f, "its ScaledObject is not listed yet"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self::Unknown(Cause::NotAsked)
    }
}

impl<T> Seen<T> {
    /// Returns the observed value, or `None` if the value is absent or unknown.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

/// The observed state of a workload and of the autoscaler of the workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetState {
    /// Value of `spec.replicas`.
    pub replicas: u32,
    /// Number of ready pods (`status.readyReplicas`).
    pub ready: u32,
    /// True if a rollout is in progress: some pods run an older pod template. The value is always
    /// false for kinds other than Deployment and `StatefulSet`.
    pub rolling: bool,
    /// Field manager that last wrote `spec.replicas`.
    pub written_by: Option<String>,
    /// Autoscaler of the workload.
    pub autoscaler: Option<Autoscaler>,
    /// True if the autoscaler is paused. The bounds of a paused autoscaler have no effect.
    pub paused: bool,
    /// Replicas that the HPA keeps only because of the minimum. The value is
    /// `status.desiredReplicas` of the last HPA sync, if the `ScalingLimited` condition has reason
    /// `TooFewReplicas`.
    pub kept_at: Option<u32>,
    /// `status.replicas`: pods that the controller of the workload has created.
    pub created: u32,
    /// `behavior.scaleDown.selectPolicy` of the HPA is `Disabled`: above its minimum the HPA never
    /// removes a pod.
    pub never_scales_down: bool,
    /// The field manager that last wrote the minimum of the autoscaler.
    pub bounds_written_by: Option<String>,
    /// What one pod requests, and the order in which pods start.
    pub pods: Arc<PodTemplate>,
    /// Message of the condition `ReplicaFailure`: the controller of the workload cannot create pods, for
    /// example because of a quota or an admission webhook.
    pub failure: Option<Arc<str>>,
}

/// Why pods of a workload are missing, as Kubernetes has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacles {
    /// Time of the last look.
    pub at: Instant,
    /// The reasons of the last look that succeeded: what does not pass by itself first, then what
    /// concerns most pods. `None` before.
    pub why: Option<Vec<Obstacle>>,
    /// Error of the last look, if it failed.
    pub error: Option<String>,
}

impl Obstacles {
    /// Builds the result of a look that succeeded. A reason that was there before is as old as then.
    #[must_use]
    pub fn seen(before: Option<&Self>, mut why: Vec<Obstacle>, at: Instant) -> Self {
        let known = before.and_then(|before| before.why.as_deref()).unwrap_or_default();
        for obstacle in &mut why {
            let same = known.iter().find(|known| known.reason == obstacle.reason);
            obstacle.since = Some(same.and_then(|same| same.since).unwrap_or(at));
        }
        Self { at, why: Some(why), error: None }
    }

    /// Builds the result of a look that failed: what was known stays known.
    #[must_use]
    pub fn failed(before: Option<Self>, error: String, at: Instant) -> Self {
        Self { at, why: before.and_then(|before| before.why), error: Some(error) }
    }
}

/// A reason why pods are not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Word of Kubernetes, such as `Unschedulable` or `ImagePullBackOff`.
    pub reason: String,
    /// Message of Kubernetes, one line of bounded length.
    pub message: String,
    /// Number of pods that were seen with the reason; 0 if the reason keeps pods from being created.
    pub pods: u32,
    /// Time of the first look with the reason, without a look in between that lacks the reason.
    pub since: Option<Instant>,
}

impl Obstacle {
    /// Builds an obstacle.
    #[must_use]
    pub fn new(reason: &str, message: &str, pods: u32) -> Self {
        Self { reason: reason.to_owned(), message: message.to_owned(), pods, since: None }
    }

    /// True if the reason may pass without a person: the pods wait for a Node, which an autoscaler may
    /// add, or for their readiness probes. A volume that is missing comes with no Node.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self.reason.as_str() {
            "Unschedulable" => !self.message.to_lowercase().contains("persistentvolumeclaim"),
            "SchedulingGated" | "ContainersNotReady" | "ReadinessGatesNotReady" => true,
            _ => false,
        }
    }
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pods {
            0 => {}
            1 => write!(f, "1 pod: ")?,
            pods => write!(f, "{pods} pods: ")?,
        }
        write!(f, "{}", self.reason)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

/// The parts of a workload's pod template that decide whether more pods can be created, and how
/// fast.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodTemplate {
    /// `podManagementPolicy` of a `StatefulSet` is `OrderedReady`: each pod starts after the pod
    /// before it is ready.
    pub one_by_one: bool,
    /// Resources of the containers that run side by side: `initContainers` with `restartPolicy:
    /// Always` (sidecars), in their order, then `containers`.
    pub containers: Vec<Resources>,
    /// The other `initContainers`, which run one after another.
    pub init_containers: Vec<InitContainer>,
}

/// An init container that ends before the containers start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitContainer {
    /// Resources of the container.
    pub resources: Resources,
    /// Number of sidecars that run already when the container starts: the first of
    /// [`PodTemplate::containers`].
    pub sidecars_before: usize,
}

/// Quantities in thousandths of their unit, by the names that a `ResourceQuota` uses:
/// `requests.cpu`, `limits.memory`.
pub type Resources = BTreeMap<String, u64>;

/// A `ResourceQuota` without scopes that exclude ordinary pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// `status.hard`, or `spec.hard` before the quota controller has looked: thousandths of the
    /// unit, by resource.
    pub hard: Resources,
    /// `status.used`.
    pub used: Resources,
}

/// The bounds that a `LimitRange` sets for each container and each pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerLimits {
    /// Added to a container that states none: `requests.*` from `defaultRequest`, `limits.*` from
    /// `default`.
    pub default: Resources,
    /// `max`: the highest request or limit of one container, by plain resource name (`cpu`).
    pub max: Resources,
    /// `max` of the items of type `Pod`.
    pub pod_max: Resources,
}

/// What bounds the pods of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// `ResourceQuota`s by name.
    pub quotas: BTreeMap<String, Quota>,
    /// `LimitRange`s by name.
    pub limits: BTreeMap<String, ContainerLimits>,
}

/// An autoscaler of a workload, with the configured bounds.
#[derive(
    Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaler {
    /// Kind of the autoscaler.
    pub kind: AutoscalerKind,
    /// Name of the autoscaler object.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
    /// Minimum replicas. The value is absent if the field is unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Maximum replicas. The value is absent if the field is unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Replicas that KEDA keeps while no trigger is active (`spec.idleReplicaCount`). KEDA then
    /// ignores the minimum. The value is absent if the field is unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<u32>,
}

impl Autoscaler {
    /// True if both values describe the same autoscaler object.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.kind, &self.name) == (other.kind, &other.name)
    }
}

/// The kinds of autoscaler that Primetime supports.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub enum AutoscalerKind {
    /// A `HorizontalPodAutoscaler` of `autoscaling/v2`.
    HorizontalPodAutoscaler,
    /// A KEDA `ScaledObject`. The reconciler writes the bounds of the `ScaledObject` and never the
    /// bounds of the generated HPA.
    ScaledObject,
}

impl AutoscalerKind {
    /// Returns the kind as written in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::ScaledObject => "ScaledObject",
        }
    }
}

/// An `InstanceClass`: the launch settings for machines, written by the platform team.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceClass {
    /// Lead time from the launch request until the Node is Ready (`spec.leadSeconds`).
    pub lead: TimeDelta,
    /// Time from the launch until the Node has joined (`spec.joinSeconds`). A later instance is
    /// replaced.
    pub join: TimeDelta,
    /// Launch settings for the cloud provider.
    pub launch: Launch,
    /// Namespaces whose runs may launch machines of the class (`spec.namespaces`). `*` stands for
    /// all namespaces.
    pub namespaces: BTreeSet<String>,
    /// Limits of the class (`spec.limits`).
    pub limits: MachineLimits,
    /// Instances that runs have reserved (`status.reservations`).
    pub reservations: Vec<Reservation>,
}

/// Limits of an `InstanceClass`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineLimits {
    /// Most instances at the same time, of all runs together. No instance is allowed without the
    /// limit.
    pub max_instances: Option<u32>,
    /// Most instances of one run at the same time.
    pub max_instances_per_run: Option<u32>,
    /// Longest time in seconds from the first launch of a run to the return of its machines.
    pub max_seconds: Option<u32>,
}

/// Instances of a class that a run may have at the same time.
#[derive(
    Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Namespace of the run.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Name of the run.
    #[schemars(length(max = 253))]
    pub run: String,
    /// Uid of the run.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Number of instances.
    pub instances: u32,
    /// Time of the first launch.
    pub from_time: Instant,
    /// Time at which the machines are returned at the latest, unless the run is extended.
    pub until_time: Instant,
}

impl Reservation {
    /// True if the reservation has the instances of `wanted`, and at least its time, with no more
    /// than `slack` beyond.
    #[must_use]
    pub fn is_about(&self, wanted: &Self, slack: TimeDelta) -> bool {
        let (early, late) =
            (wanted.from_time - self.from_time, self.until_time - wanted.until_time);
        let within = |beyond: TimeDelta| TimeDelta::zero() <= beyond && beyond <= slack;
        self.instances == wanted.instances && within(early) && within(late)
    }

    /// Returns `wanted` with the time of the reservation too.
    #[must_use]
    pub fn prolonged(&self, wanted: &Self) -> Self {
        Self {
            from_time: self.from_time.min(wanted.from_time),
            until_time: self.until_time.max(wanted.until_time),
            ..wanted.clone()
        }
    }
}

/// A `MetricsSource`: a Prometheus server that answers queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSource {
    /// Maximum age of a usable sample (`spec.maxSampleAgeSeconds`).
    pub max_age: TimeDelta,
}

/// What the last looks at the cloud have shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudLook {
    /// Place of the last complete look, or `None` before the first one.
    pub place: Option<Place>,
    /// Time of the request of the last complete look, or `None` before the first one.
    pub at: Option<Instant>,
    /// Error of the last look, if the last look has failed.
    pub trouble: Option<String>,
    /// Number of looks that have failed since the last complete look, at most 2.
    pub failures: u32,
}

impl CloudLook {
    /// Returns the error that people should know of: of a second look in a row, because a single
    /// throttled look means nothing, or of the first look ever.
    #[must_use]
    pub fn lasting_trouble(&self) -> Option<&str> {
        let lasts = self.failures >= 2 || self.at.is_none();
        self.trouble.as_deref().filter(|_| lasts)
    }
}

/// A cloud instance that carries the tag of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Instance ID of the cloud.
    pub id: String,
    /// Token of the ledger entry that started the instance.
    pub token: String,
    /// Lifecycle state, as the cloud reports it.
    pub state: InstanceState,
    /// Time in the expiry tag, if the tag is there and readable.
    pub expires: Option<Instant>,
    /// Reason that the cloud gives for the last change of state, such as
    /// `Client.VolumeLimitExceeded`.
    pub reason: Option<String>,
}

/// The lifecycle state of an instance in the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceState {
    /// The instance starts or runs, or shuts down.
    Living,
    /// The instance is stopped, and costs its volumes.
    Stopped,
    /// The instance is gone for good.
    Terminated,
}

/// Answers of the cloud about an id that no look has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The last answer.
    pub presence: Presence,
    /// Time of the first question with the same answer since a look has shown the id.
    pub since: Instant,
    /// Time of the last question.
    pub at: Instant,
}

/// What the cloud knows of an id that an inventory lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The instance exists, so the inventory lacks it for want of our tags.
    Untagged,
    /// The instance is terminated.
    Terminated,
    /// The account has no instance with this id, or has forgotten a terminated one.
    NotKnown,
}

/// The instances of a run, as listed by the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// All instances that carry the tag of the run.
    pub instances: Vec<Instance>,
}

/// The result of a launch call to the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchAnswer {
    /// The cloud started instances, possibly fewer than requested.
    Came {
        /// Instance IDs of the started instances.
        ids: Vec<String>,
        /// Reason for the missing instances, if the cloud started fewer than requested.
        shortfall: Option<Refusal>,
    },
    /// The cloud started no instance and gave a reason.
    Refused(Refusal),
    /// The cloud did not look at the token: throttled, or no valid credentials. The call itself has
    /// started nothing; an earlier one may have.
    Unheard(String),
    /// No readable answer, or an error with an unknown effect. The call may have started instances.
    Unknown(String),
}

/// The reason of the cloud for starting fewer instances than requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Class of the error. The class determines the retry backoff.
    pub class: RefusalClass,
    /// Error code and message of the cloud.
    pub message: String,
}

/// The class of a launch error. The longest retry backoff is 60 s for `Capacity`, and 300 s for
/// `Quota` and `Invalid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalClass {
    /// The zone has no capacity for the instance type.
    Capacity,
    /// The account has reached a quota. Another zone does not help.
    Quota,
    /// The request is invalid, for example because a launch template is missing.
    Invalid,
}

/// A Node of a launched instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name of the Node.
    pub name: String,
    /// True if the `Ready` condition of the Node is `True`.
    pub ready: bool,
    /// Time of the last change of the `Ready` condition, if the condition is not `True`.
    pub not_ready_since: Option<Instant>,
    /// True if the Node is cordoned (`spec.unschedulable`).
    pub unschedulable: bool,
    /// True if the operator has cordoned the Node.
    pub cordoned_by_us: bool,
    /// Number of pods that the drain must still evict, `None` before the first drain. `DaemonSet`
    /// pods, mirror pods and finished pods do not count.
    pub pods_left: Option<u32>,
    /// What keeps the pods that are left, from the last drain.
    pub kept_by: Option<KeptBy>,
}

/// What keeps pods on a Node that drains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBy {
    /// The API server refuses an eviction, with this message: a `PodDisruptionBudget`, or an error.
    Refused(String),
    /// The controllers of these pods put pods on the Node again after two evictions, because the pods
    /// tolerate the cordon.
    CameBack(Vec<String>),
    /// These pods have no controller that would start them elsewhere.
    Alone(Vec<String>),
}

impl fmt::Display for KeptBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::CameBack(pods) => {
                write!(f, "{} came back twice, because they tolerate the cordon", pods.join(", "))
            }
            Self::Alone(pods) => write!(f, "{} have no controller", pods.join(", ")),
        }
    }
}

/// The Jobs and Job templates that the runs of a namespace refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jobs {
    /// Names of existing `CronJob` objects that serve as templates.
    pub cron_jobs: BTreeSet<String>,
    /// Existing Jobs by name, including Jobs that serve as templates.
    pub jobs: BTreeMap<String, Job>,
    /// Names of Jobs that a GET request did not find.
    pub gone: BTreeSet<String>,
    /// Error of the last refused creation, by Job name.
    pub errors: BTreeMap<String, String>,
}

/// A Job as the planner reads the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Value of `metadata.uid`.
    pub uid: String,
    /// UID of the run that created the Job, if the Job carries a run label.
    pub run_uid: Option<String>,
    /// True if `spec.suspend` is true.
    pub suspended: bool,
    /// Outcome of the Job: success, or failure with a reason. The value is `None` while the Job is
    /// running.
    pub outcome: Option<Result<(), String>>,
}
