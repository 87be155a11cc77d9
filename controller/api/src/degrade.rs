//! The ladder of graceful degradation.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use primetime_core::reference;

use crate::job::JobTemplateRef;

/// A step of the ladder.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.configMapRef), has(self.httpRouteRef), has(self.jobs)].filter(x, x).size() == 1")
        .message("spec.degrade: exactly one of configMapRef, httpRouteRef and jobs")
)]
pub struct DegradeStep {
    /// Name within the surge, such as order-capture.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// When it is on.
    pub when: DegradeCondition,
    /// Once on it stays on for so many seconds, unless a person turns it off.
    #[serde(default = "default_minimum_seconds")]
    #[schemars(range(max = 86400))]
    pub minimum_seconds: u32,
    /// What it writes while it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapValue>,
    /// Or: the weight that it gives to a backend while it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route_ref: Option<BackendWeight>,
    /// Or: the Jobs that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<DegradeJobs>,
}

/// When a step is on: a signal is above a line, or a target is behind what it needs.
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
    /// A signal of this surge, with `above`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub signal: Option<String>,
    /// The line above which the step goes on: a decimal, such as "45000".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 17), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub above: Option<String>,
    /// The line below which it goes off again; nine tenths of `above` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 17), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub below: Option<String>,
    /// Or: a target of this surge, with `behindReplicas`. It counts from T0 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub target: Option<String>,
    /// So many pods that its floor, or its live load, needs are not ready, those included that maxReplicas does not allow. The
    /// step goes off again once none is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub behind_replicas: Option<u32>,
    /// It has to be so for so many seconds without a break, to go on and to go off.
    #[serde(default = "default_for_seconds")]
    #[schemars(range(max = 86400))]
    pub for_seconds: u32,
}

/// A value of a ConfigMap in the namespace of the surge.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapValue {
    /// Name of the ConfigMap; one that this installation may write (chart value degrade.configMaps).
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
    /// The key. It is taken away again where it was not set before.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::KEY))]
    pub key: String,
    /// What it is set to while the step is on.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// The weight of a backend in an HTTPRoute of the Gateway API, in the namespace of the surge.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BackendWeight {
    /// Name of the HTTPRoute; one that this installation may write (chart value degrade.httpRoutes).
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
    /// Name of the rule. Where absent the backend has to stand in one rule only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub rule: Option<String>,
    /// Name of the backend, as in its backendRefs.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub backend: String,
    /// The weight while the step is on, beside those of the rule's other backends; 0 sends it nothing.
    #[schemars(range(max = 1_000_000))]
    pub weight: u32,
}

/// Jobs that a step runs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DegradeJobs {
    /// What the Job is made from that is run when the step goes on.
    pub degrade: JobTemplateRef,
    /// What the Job is made from that undoes it: it is run when the step goes off, once the first has ended. Without it nothing is
    /// undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<JobTemplateRef>,
    /// Each of them is ended, and has failed, so many seconds after it has begun.
    #[serde(default = "default_deadline_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub deadline_seconds: u32,
    /// So many of its pods may fail before it has failed (`backoffLimit`); as its template says, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub retries: Option<u32>,
}

/// What sheds load is of use within minutes, or not at all.
fn default_deadline_seconds() -> u32 {
    300
}

/// A page that changes its face every minute is worse than one that is plain for five.
fn default_minimum_seconds() -> u32 {
    300
}

/// Two or three answers of a Prometheus that is asked every ten to fifteen seconds.
fn default_for_seconds() -> u32 {
    30
}
