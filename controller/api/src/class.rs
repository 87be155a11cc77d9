//! `InstanceClass`: the platform team's word on how machines start. App teams can only name it.

use chrono::TimeDelta;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use primetime_core::state::ledger::Launch;
use primetime_core::state::observed;

/// How machines are started.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "primetime.dev",
    version = "v1alpha1",
    kind = "InstanceClass",
    plural = "instanceclasses",
    shortname = "iclass",
    category = "primetime",
    derive = "PartialEq",
    doc = "How machines are started for a surge: launch template, types, subnets. Written by the platform team; a surge can only name it.",
    printcolumn(name = "Template", type_ = "string", json_path = ".spec.launchTemplate.name"),
    printcolumn(name = "Types", type_ = "string", json_path = ".spec.instanceTypes"),
    printcolumn(
        name = "Lead",
        type_ = "integer",
        json_path = ".spec.leadSeconds",
        description = "Seconds from asking until the node is Ready"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct InstanceClassSpec {
    /// The EC2 launch template that machines start from: image, user data, security groups, instance profile.
    pub launch_template: LaunchTemplateRef,
    /// Instance types, in order of preference. Several types survive a shortage of one.
    #[schemars(length(min = 1, max = 20), inner(length(min = 3, max = 40)))]
    #[x_kube(
        validation = Rule::new("self.all(t, self.exists_one(u, u == t))")
            .message("spec.instanceTypes: the same type is named twice")
    )]
    pub instance_types: Vec<String>,
    /// Subnets, one per zone. Several zones survive a shortage in one.
    #[schemars(length(min = 1, max = 16), inner(length(min = 8, max = 40)))]
    #[x_kube(
        validation = Rule::new("self.all(s, s.startsWith('subnet-'))")
            .message("spec.subnets: each must be the id of a subnet, such as subnet-0a1b2c3d4e5f60001")
    )]
    pub subnets: Vec<String>,
    /// Seconds from asking for a machine until its node is Ready.
    #[serde(default = "default_lead_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub lead_seconds: u32,
}

fn default_lead_seconds() -> u32 {
    600
}

/// An EC2 launch template.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LaunchTemplateRef {
    /// Its id (`lt-...`) or name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Its version: a number, `$Latest` or `$Default`.
    #[serde(default = "default_template_version")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(
        validation = Rule::new("self.matches('^([0-9]+|[$]Latest|[$]Default)$')")
            .message("spec.launchTemplate.version: must be a number, $Latest or $Default")
    )]
    pub version: String,
}

fn default_template_version() -> String {
    "$Default".to_owned()
}

impl From<&InstanceClassSpec> for observed::InstanceClass {
    fn from(spec: &InstanceClassSpec) -> Self {
        Self {
            lead: TimeDelta::seconds(i64::from(spec.lead_seconds)),
            launch: Launch {
                template: spec.launch_template.name.clone(),
                template_version: spec.launch_template.version.clone(),
                instance_types: spec.instance_types.clone(),
                subnets: spec.subnets.clone(),
            },
        }
    }
}
