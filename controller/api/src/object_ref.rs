//! Reference to another object.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use primetime_core::reference;

/// Reference to an object by name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
}
