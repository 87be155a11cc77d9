//! `SurgeBudget`: ceilings for namespaces. The platform team writes the object.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use primetime_core::state::budget;

use crate::class::NAMESPACE;

/// Ceilings for namespaces, narrower than what classes and the API allow.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "primetime.dev",
    version = "v1alpha1",
    kind = "SurgeBudget",
    shortname = "sbudget",
    category = "primetime",
    derive = "PartialEq",
    doc = "Ceilings for the surges of namespaces: surges, open runs, planned replicas, machines and machine hours. Written by the platform team. Each namespace has the ceilings for itself; of several budgets the narrowest counts.",
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.limits.replicas"),
    printcolumn(name = "Machines", type_ = "integer", json_path = ".spec.limits.machines"),
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".spec.namespaces"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct SurgeBudgetSpec {
    /// Namespaces with these ceilings. `*` stands for each namespace. 1 to 1000.
    #[schemars(length(min = 1, max = 1000), inner(length(min = 1, max = 63), regex(pattern = NAMESPACE)))]
    pub namespaces: Vec<String>,
    /// Ceilings of each namespace. An absent ceiling limits nothing.
    pub limits: BudgetLimits,
}

/// Ceilings of a namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BudgetLimits {
    /// Most surges. A surge beyond is not accepted. Maximum 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub surges: Option<u32>,
    /// Most runs that are not completed. Further runs wait. Maximum 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub runs: Option<u32>,
    /// Most planned replicas of runs at the same time. A run beyond does not begin, and a run that
    /// has begun is never lowered. Maximum 1000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub replicas: Option<u32>,
    /// Most machines at the same time, of all classes. Maximum 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub machines: Option<u32>,
    /// Most machine hours of a run: machines times the hours from the first launch to the return, as
    /// planned. Maximum 1000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub machine_hours: Option<u32>,
}

impl From<&BudgetLimits> for budget::Ceilings {
    fn from(limits: &BudgetLimits) -> Self {
        let BudgetLimits { surges, runs, replicas, machines, machine_hours } = *limits;
        Self { surges, runs, replicas, machines, machine_hours }
    }
}
