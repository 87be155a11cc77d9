//! Jobs of an event (`spec.warmUp`, `spec.onLive`, `spec.onRelease`).

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use primetime_core::reference;
use primetime_core::state::announcement::TemplateKind;

/// A Job that the operator creates for the event.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobStep {
    /// Name of the Job step within the surge.
    #[schemars(length(min = 1, max = 63), regex(pattern = reference::LABEL))]
    pub name: String,
    /// Template of the Job.
    pub job_template_ref: JobTemplateRef,
    /// Maximum runtime of the Job in seconds. A Job fails if the runtime exceeds the maximum.
    /// Defaults to 900. Range 1 to 86400.
    ///
    /// The operator creates a warm-up Job `deadlineSeconds` before T0, or earlier if another Job
    /// names the Job in `after`.
    #[serde(default = "default_deadline_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub deadline_seconds: u32,
    /// Number of pod failures that the Job tolerates (`backoffLimit` of the Job). Defaults to the
    /// value in the template. Maximum 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub retries: Option<u32>,
    /// Names that must be ready before the operator creates the Job: earlier steps of the same
    /// list. A warm-up may also name targets and machine groups. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    pub after: Vec<String>,
}

/// Reference to the template of a Job, in the namespace of the surge.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobTemplateRef {
    /// Kind of the template: a CronJob, suspended or not, or a suspended Job. Defaults to
    /// `CronJob`.
    #[serde(default)]
    pub kind: TemplateKind,
    /// Name of the template object.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
}

/// Returns the default of `deadlineSeconds`. The default suffices for a Job that fills a cache from
/// a list of pages. An hour before T0 would be too early for most Jobs.
fn default_deadline_seconds() -> u32 {
    900
}
