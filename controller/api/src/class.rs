//! `InstanceClass`: the launch settings of machines. The platform team writes the object, and a
//! surge refers to the object by name.

#![expect(clippy::struct_field_names, reason = "each limit is the most of something")]

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
    status = "InstanceClassStatus",
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
    printcolumn(name = "Most", type_ = "integer", json_path = ".spec.limits.maxInstances"),
    printcolumn(
        name = "Reserved",
        type_ = "integer",
        json_path = ".status.reserved",
        description = "Instances that runs have reserved, at any time"
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
    /// Time in seconds from the launch of a machine until its Node has joined. A machine that has not
    /// joined by then is replaced, a tenth of the group at a time. Defaults to half of `leadSeconds`,
    /// at least 60 and at most 600. Range 10 to 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 86400))]
    pub join_seconds: Option<u32>,
    /// Namespaces whose runs may launch machines of the class. `*` stands for all namespaces. At
    /// most 1000. If absent, no run may launch a machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 63), regex(pattern = NAMESPACE)))]
    pub namespaces: Vec<String>,
    /// Limits of the class.
    #[serde(default)]
    pub limits: Limits,
}

/// Pattern of an entry of `spec.namespaces`: the name of a namespace, or `*`.
pub(crate) const NAMESPACE: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?|\*)$";

/// Limits of a class. The operator launches no machine beyond a limit.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Most machines at the same time, of all runs together. Range 0 to 10000. If absent, no run
    /// may launch a machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_instances: Option<u32>,
    /// Most machines of a single run at the same time. Range 0 to 10000. Defaults to
    /// `maxInstances`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_instances_per_run: Option<u32>,
    /// Longest time in seconds from the first launch for a run to the return of the last machine,
    /// as planned. Range 60 to 2592000 (30 days). If absent, the bounds of the run apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 2_592_000))]
    pub max_seconds: Option<u32>,
}

/// What runs have reserved of a class. The operator writes the status.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct InstanceClassStatus {
    /// Sum of the instances of all reservations. Runs at different times share the limit, so the
    /// sum may exceed `maxInstances`.
    #[serde(default)]
    pub reserved: u32,
    /// Reservations of runs. At most 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub reservations: Vec<observed::Reservation>,
}

impl InstanceClassStatus {
    /// Returns the status with the given reservations.
    #[must_use]
    pub fn of(reservations: Vec<observed::Reservation>) -> Self {
        let reserved = reservations.iter().map(|r| r.instances).fold(0, u32::saturating_add);
        Self { reserved, reservations }
    }
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
    /// Returns the join deadline in seconds. By half of the lead time there is time to start another
    /// machine before T0.
    fn join(&self) -> u32 {
        self.join_seconds.unwrap_or_else(|| (self.lead_seconds / 2).clamp(60, 600))
    }

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

impl From<&InstanceClass> for observed::InstanceClass {
    fn from(object: &InstanceClass) -> Self {
        let spec = &object.spec;
        let reservations = object.status.as_ref().map(|status| status.reservations.clone());
        // The ledger omits the provider for EC2, because a CRD of version 0.1 would prune the
        // field.
        let (provider, block) = match spec.provider {
            Provider::Ec2 => (None, spec.ec2().map(|ec2| ec2.block())),
        };
        Self {
            lead: TimeDelta::seconds(i64::from(spec.lead_seconds)),
            join: TimeDelta::seconds(i64::from(spec.join())),
            launch: Launch { provider, block: block.unwrap_or_default() },
            namespaces: spec.namespaces.iter().cloned().collect(),
            limits: observed::MachineLimits {
                max_instances: spec.limits.max_instances,
                max_instances_per_run: spec.limits.max_instances_per_run,
                max_seconds: spec.limits.max_seconds,
            },
            reservations: reservations.unwrap_or_default(),
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
        let read = |spec: &InstanceClassSpec| {
            observed::InstanceClass::from(&InstanceClass::new("paris", spec.clone()))
        };
        assert_eq!(read(&old), read(&new));
        assert_eq!(read(&new).launch.block["template"], "lt-1");
    }

    #[test]
    fn a_machine_that_does_not_join_is_replaced_while_there_is_time() {
        let join = |block: serde_json::Value| {
            let spec: InstanceClassSpec = serde_json::from_value(block).unwrap();
            spec.join()
        };
        assert_eq!(join(json!({"leadSeconds": 1800})), 600);
        assert_eq!(join(json!({"leadSeconds": 300})), 150);
        assert_eq!(join(json!({"leadSeconds": 30})), 60);
        assert_eq!(join(json!({"leadSeconds": 1800, "joinSeconds": 90})), 90);
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
