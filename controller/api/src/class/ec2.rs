//! How EC2 starts machines.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Launch template, types and subnets.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Ec2Launch {
    /// The launch template that machines start from: image, user data, security groups, instance profile.
    pub launch_template: LaunchTemplateRef,
    /// Instance types, in order of preference. Several types survive a shortage of one.
    #[schemars(length(min = 1, max = 20), inner(length(min = 3, max = 40)))]
    #[x_kube(
        validation = Rule::new("self.all(t, self.exists_one(u, u == t))")
            .message("spec.ec2.instanceTypes: the same type is named twice")
    )]
    pub instance_types: Vec<String>,
    /// Subnets, one per zone. Several zones survive a shortage in one.
    #[schemars(length(min = 1, max = 16), inner(length(min = 8, max = 40)))]
    #[x_kube(
        validation = Rule::new("self.all(s, s.startsWith('subnet-'))")
            .message("spec.ec2.subnets: each must be the id of a subnet, such as subnet-0a1b2c3d4e5f60001")
    )]
    pub subnets: Vec<String>,
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
            .message("launchTemplate.version: must be a number, $Latest or $Default")
    )]
    pub version: String,
}

fn default_template_version() -> String {
    "$Default".to_owned()
}

impl Ec2Launch {
    /// The block of a launch, as the ledger keeps it and the crate of the cloud reads it.
    pub(super) fn block(&self) -> BTreeMap<String, Value> {
        [
            ("template", self.launch_template.name.clone().into()),
            ("templateVersion", self.launch_template.version.clone().into()),
            ("instanceTypes", self.instance_types.clone().into()),
            ("subnets", self.subnets.clone().into()),
        ]
        .map(|(field, value)| (field.to_owned(), value))
        .into()
    }
}
