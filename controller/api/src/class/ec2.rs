//! Launch settings for EC2.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Launch template, instance types and subnets of machines in EC2.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Ec2Launch {
    /// Launch template of the machines. The template sets image, user data, security groups and
    /// instance profile.
    pub launch_template: LaunchTemplateRef,
    /// Instance types in order of preference, 1 to 20. Several types let a launch survive a
    /// shortage of a single type.
    #[schemars(length(min = 1, max = 20), inner(length(min = 3, max = 40)))]
    #[x_kube(
        validation = Rule::new("self.all(t, self.exists_one(u, u == t))")
            .message("spec.ec2.instanceTypes: the same type is named twice")
    )]
    pub instance_types: Vec<String>,
    /// Ids of subnets in different zones, 1 to 16. Several zones let a launch survive a shortage in
    /// a single zone.
    #[schemars(length(min = 1, max = 16), inner(length(min = 8, max = 40)))]
    #[x_kube(
        validation = Rule::new("self.all(s, s.startsWith('subnet-'))")
            .message("spec.ec2.subnets: each must be the id of a subnet, such as subnet-0a1b2c3d4e5f60001")
    )]
    pub subnets: Vec<String>,
}

/// Reference to an EC2 launch template.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LaunchTemplateRef {
    /// Id (`lt-...`) or name of the launch template.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Version of the launch template: a number, `$Latest` or `$Default`. Defaults to `$Default`.
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
    /// Returns the launch settings in the format of the ledger. The crate of the cloud reads the
    /// same format.
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
