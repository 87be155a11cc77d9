//! Jobs that are run for an event.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use primetime_core::reference;
use primetime_core::state::announcement::TemplateKind;

/// A Job to be run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobStep {
    /// Name within the surge.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// What the Job is made from.
    pub job_template_ref: JobTemplateRef,
    /// The Job is ended, and has failed, so many seconds after it has begun. A warm-up begins so long before T0, and before what
    /// comes after it.
    #[serde(default = "default_deadline_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub deadline_seconds: u32,
    /// So many of its pods may fail before it has failed (`backoffLimit`); as its template says, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub retries: Option<u32>,
    /// It begins once these are ready: steps that stand before it in the same list and, of a warm-up, targets and groups of
    /// machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    pub after: Vec<String>,
}

/// What a Job is made from, in the namespace of the surge.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobTemplateRef {
    /// A CronJob, suspended or not, or a suspended Job, which is copied.
    #[serde(default)]
    pub kind: TemplateKind,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
}

/// Enough for a cache that is filled by asking for a list of pages; an hour before T0 would be too early for most.
fn default_deadline_seconds() -> u32 {
    900
}
