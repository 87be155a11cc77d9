//! `MetricsSource`: a Prometheus for live metrics. The platform team writes the object, and a surge
//! refers to the object by name.

use chrono::TimeDelta;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use primetime_core::state::observed;

/// A Prometheus for live metrics.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "primetime.dev",
    version = "v1alpha1",
    kind = "MetricsSource",
    shortname = "msource",
    category = "primetime",
    derive = "PartialEq",
    doc = "A Prometheus that surges may ask for live load. Written by the platform team; a surge can only name it.",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(name = "Interval", type_ = "integer", json_path = ".spec.intervalSeconds"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MetricsSourceSpec {
    /// URL of the Prometheus, without `/api/v1`. The URL must not contain credentials, a query or a
    /// fragment.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(
        validation = Rule::new("self.startsWith('https://') || self.startsWith('http://')")
            .message("spec.url: must begin with https:// or http://"),
        validation = Rule::new("!self.contains('@') && !self.contains('#') && !self.contains('?')")
            .message("spec.url: must not carry credentials, a query or a fragment")
    )]
    pub url: String,
    /// Time in seconds between two rounds of queries. Defaults to 10. Range 1 to 300.
    #[serde(default = "default_interval_seconds")]
    #[schemars(range(min = 1, max = 300))]
    pub interval_seconds: u32,
    /// Timeout of a query in seconds. Defaults to 5. Range 1 to 30.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 30))]
    pub timeout_seconds: u32,
    /// Maximum age of a sample in seconds. A signal with an older sample is unknown. Defaults to
    /// 60. Range 1 to 3600.
    #[serde(default = "default_max_sample_age_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub max_sample_age_seconds: u32,
}

fn default_interval_seconds() -> u32 {
    10
}

fn default_timeout_seconds() -> u32 {
    5
}

fn default_max_sample_age_seconds() -> u32 {
    60
}

impl From<&MetricsSourceSpec> for observed::MetricsSource {
    fn from(spec: &MetricsSourceSpec) -> Self {
        Self { max_age: TimeDelta::seconds(i64::from(spec.max_sample_age_seconds)) }
    }
}
