//! `InstanceClass`: the launch settings of machines. The platform team writes the object, and a
//! surge refers to the object by name.

mod ec2;

use chrono::TimeDelta;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use primetime_core::state::ledger::Launch;
use primetime_core::state::observed;

pub use self::ec2::{Ec2Launch, LaunchTemplateRef};

/// Launch settings of machines for surges.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "primetime.dev",
    version = "v1alpha1",
    kind = "InstanceClass",
    plural = "instanceclasses",
    shortname = "iclass",
    category = "primetime",
    derive = "PartialEq",
    doc = "How machines are started for a surge: the cloud, and one block of what that asks for. Written by the platform team; a surge can only name it.",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
    printcolumn(name = "Template", type_ = "string", json_path = ".spec.ec2.launchTemplate.name"),
    printcolumn(name = "Types", type_ = "string", json_path = ".spec.ec2.instanceTypes"),
    printcolumn(
        name = "Lead",
        type_ = "integer",
        json_path = ".spec.leadSeconds",
        description = "Seconds from asking until the node is Ready"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.ec2) || (has(self.launchTemplate) && has(self.instanceTypes) && has(self.subnets))")
        .message("spec.ec2: Required value: launchTemplate, instanceTypes and subnets"),
    validation = Rule::new("!has(self.ec2) || !(has(self.launchTemplate) || has(self.instanceTypes) || has(self.subnets))")
        .message("spec.ec2: launchTemplate, instanceTypes and subnets stand there, not beside it")
)]
pub struct InstanceClassSpec {
    /// Cloud that launches the machines. The launch settings stand in the field with the name of
    /// the cloud, such as `ec2`. Defaults to `EC2`.
    #[serde(default)]
    pub provider: Provider,
    /// Launch settings for EC2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ec2: Option<Ec2Launch>,
    /// Deprecated: use `ec2.launchTemplate`. Version 0.1 had the field here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_template: Option<LaunchTemplateRef>,
    /// Deprecated: use `ec2.instanceTypes`. Version 0.1 had the field here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), inner(length(min = 3, max = 40)))]
    #[x_kube(
        validation = Rule::new("self.all(t, self.exists_one(u, u == t))")
            .message("spec.instanceTypes: the same type is named twice")
    )]
    pub instance_types: Option<Vec<String>>,
    /// Deprecated: use `ec2.subnets`. Version 0.1 had the field here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 8, max = 40)))]
    #[x_kube(
        validation = Rule::new("self.all(s, s.startsWith('subnet-'))")
            .message("spec.subnets: each must be the id of a subnet, such as subnet-0a1b2c3d4e5f60001")
    )]
    pub subnets: Option<Vec<String>>,
    /// Lead time in seconds, from the launch request for a machine until the Node is Ready.
    /// Defaults to 600. Range 1 to 86400.
    #[serde(default = "default_lead_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub lead_seconds: u32,
}

fn default_lead_seconds() -> u32 {
    600
}

/// Cloud that launches machines.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// Amazon EC2.
    #[default]
    #[serde(rename = "EC2")]
    Ec2,
}

impl InstanceClassSpec {
    /// Returns the launch settings for EC2, either from `spec.ec2` or from the deprecated fields of
    /// version 0.1.
    fn ec2(&self) -> Option<Ec2Launch> {
        self.ec2.clone().or_else(|| {
            Some(Ec2Launch {
                launch_template: self.launch_template.clone()?,
                instance_types: self.instance_types.clone()?,
                subnets: self.subnets.clone()?,
            })
        })
    }
}

impl From<&InstanceClassSpec> for observed::InstanceClass {
    fn from(spec: &InstanceClassSpec) -> Self {
        // The ledger omits the provider for EC2, because a CRD of version 0.1 would prune the
        // field.
        let (provider, block) = match spec.provider {
            Provider::Ec2 => (None, spec.ec2().map(|ec2| ec2.block())),
        };
        Self {
            lead: TimeDelta::seconds(i64::from(spec.lead_seconds)),
            launch: Launch { provider, block: block.unwrap_or_default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_class_of_version_0_1_starts_the_same_machines() {
        let block = json!({
            "launchTemplate": {"name": "lt-1", "version": "3"},
            "instanceTypes": ["m6i.xlarge"], "subnets": ["subnet-0a1b2c3d4e5f60001"],
        });
        let old: InstanceClassSpec = serde_json::from_value(block.clone()).unwrap();
        let new = json!({"provider": "EC2", "ec2": block});
        let new: InstanceClassSpec = serde_json::from_value(new).unwrap();
        let read = |spec: &InstanceClassSpec| observed::InstanceClass::from(spec);
        assert_eq!(read(&old), read(&new));
        assert_eq!(read(&new).launch.block["template"], "lt-1");
    }

    #[test]
    fn a_ledger_of_version_0_1_is_read() {
        let old = json!({
            "template": "lt-1", "templateVersion": "3", "instanceTypes": ["m6i.xlarge"], "subnets": ["subnet-a"],
        });
        let launch: Launch = serde_json::from_value(old.clone()).unwrap();
        assert_eq!((launch.provider.clone(), &launch.block["template"]), (None, &json!("lt-1")));
        assert_eq!(serde_json::to_value(launch).unwrap(), old, "and written as it was");
    }
}
