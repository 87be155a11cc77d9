//! Degradation steps of a surge (`spec.degrade`).

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use primetime_core::reference;

use crate::job::JobTemplateRef;

/// A degradation step: a condition and a measure that sheds load. Exactly one of `configMapRef`,
/// `httpRouteRef` and `jobs` is required.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.configMapRef), has(self.httpRouteRef), has(self.jobs)].filter(x, x).size() == 1")
        .message("spec.degrade: exactly one of configMapRef, httpRouteRef and jobs")
)]
pub struct DegradeStep {
    /// Name of the step within the surge, such as order-capture.
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::LABEL))]
    pub name: String,
    /// Condition that activates the step.
    pub when: DegradeCondition,
    /// Minimum time in seconds that the step stays active, unless a `SurgeOverride` deactivates the
    /// step. Defaults to 300. Maximum 86400.
    #[serde(default = "default_minimum_seconds")]
    #[schemars(range(max = 86400))]
    pub minimum_seconds: u32,
    /// Value that the operator writes to a ConfigMap while the step is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapValue>,
    /// Weight that the operator gives to a backend of an HTTPRoute while the step is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route_ref: Option<BackendWeight>,
    /// Jobs that the operator creates when the step becomes active or inactive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<DegradeJobs>,
}

/// Condition of a degradation step. Set either `signal` with `above`, or `target` with
/// `behindReplicas`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.signal) != has(self.target)")
        .message("spec.degrade: exactly one of signal and target"),
    validation = Rule::new("has(self.signal) == has(self.above)")
        .message("spec.degrade: signal and above belong together"),
    validation = Rule::new("!has(self.below) || has(self.above)")
        .message("spec.degrade: below belongs to above"),
    validation = Rule::new("!has(self.below) || !has(self.above) || double(self.below) <= double(self.above)")
        .message("spec.degrade: below is higher than above"),
    validation = Rule::new("has(self.target) == has(self.behindReplicas)")
        .message("spec.degrade: target and behindReplicas belong together")
)]
pub struct DegradeCondition {
    /// Name of a signal of this surge. Requires `above`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub signal: Option<String>,
    /// Threshold above which the step becomes active: a decimal, such as "45000".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 17), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub above: Option<String>,
    /// Threshold below which the step becomes inactive: a decimal, at most `above`. Defaults to 90
    /// percent of `above`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 17), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub below: Option<String>,
    /// Name of a target of this surge. Requires `behindReplicas`. The condition applies from T0 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub target: Option<String>,
    /// Number of missing ready replicas at which the step becomes active. Range 1 to 10000.
    ///
    /// The target needs the larger value of the floor and the live load, even above `maxReplicas`.
    /// The step becomes inactive when no replica is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub behind_replicas: Option<u32>,
    /// Time in seconds that the condition must hold before the step becomes active. The same time
    /// applies before the step becomes inactive. Defaults to 30. Maximum 86400.
    #[serde(default = "default_for_seconds")]
    #[schemars(range(max = 86400))]
    pub for_seconds: u32,
}

/// A value of a ConfigMap in the namespace of the surge.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapValue {
    /// Name of the ConfigMap. The chart value `degrade.configMaps` must list the name.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
    /// Key in the ConfigMap. If the key was absent before, the operator removes the key when the
    /// step becomes inactive.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::KEY))]
    pub key: String,
    /// Value of the key while the step is active. Maximum 4096 characters.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// The weight of a backend in an HTTPRoute of the Gateway API, in the namespace of the surge.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BackendWeight {
    /// Name of the HTTPRoute. The chart value `degrade.httpRoutes` must list the name.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
    /// Name of the rule in the HTTPRoute. If absent, the backend must appear in a single rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub rule: Option<String>,
    /// Name of the backend, as in `backendRefs` of the rule.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub backend: String,
    /// Weight of the backend while the step is active, relative to the other backends of the rule.
    /// A weight of 0 sends the backend no requests. Maximum 1000000.
    #[schemars(range(max = 1_000_000))]
    pub weight: u32,
}

/// Jobs of a degradation step.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DegradeJobs {
    /// Template of the Job that the operator creates when the step becomes active.
    pub degrade: JobTemplateRef,
    /// Template of the Job that reverts the first Job. The operator creates the Job when the step
    /// is inactive and the first Job has ended. If absent, the operator reverts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<JobTemplateRef>,
    /// Maximum runtime of each Job in seconds. A Job fails if the runtime exceeds the maximum.
    /// Defaults to 300. Range 1 to 86400.
    #[serde(default = "default_deadline_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub deadline_seconds: u32,
    /// Number of pod failures that each Job tolerates (`backoffLimit` of the Job). Defaults to the
    /// value in the template. Maximum 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub retries: Option<u32>,
}

/// Returns the default of `jobs.deadlineSeconds`. A measure against overload helps within minutes,
/// or too late.
fn default_deadline_seconds() -> u32 {
    300
}

/// Returns the default of `minimumSeconds`. A page that changes every minute is worse for users
/// than a page that stays plain for five minutes.
fn default_minimum_seconds() -> u32 {
    300
}

/// Returns the default of `when.forSeconds`: two or three samples of a Prometheus queried every 10
/// to 15 seconds.
fn default_for_seconds() -> u32 {
    30
}
