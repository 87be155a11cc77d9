//! `SurgeHold`: the record of the replicas and bounds that runs raised on a target. The controller
//! is the sole writer.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use primetime_core::reference;
use primetime_core::state::hold::{Hold, HoldRecord};

/// Record of a held target: baseline, claims of the runs, and values last written.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "primetime.dev",
    version = "v1alpha1",
    kind = "SurgeHold",
    namespaced,
    shortname = "hold",
    shortname = "holds",
    category = "primetime",
    derive = "PartialEq",
    doc = "The record that a target is being held: its baseline, the floor each run claims, what was last written. Written by the controller only, before its first write; deleted when the target was given back.",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.targetRef.kind"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRef.name"),
    printcolumn(name = "Baseline", type_ = "integer", json_path = ".spec.baseline.replicas"),
    printcolumn(name = "Held", type_ = "integer", json_path = ".spec.level.replicas"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.claims[*].run"),
    printcolumn(name = "Contested", type_ = "string", json_path = ".spec.contestedBy"),
    printcolumn(name = "Since", type_ = "date", json_path = ".spec.sinceTime")
)]
#[serde(rename_all = "camelCase")]
pub struct SurgeHoldSpec {
    /// Fields of the hold, as `primetime_core` defines the type.
    #[serde(flatten)]
    pub hold: Hold,
}

/// Converts a `SurgeHold` into the record for the planner.
///
/// # Errors
///
/// Returns the reason if an API version, a kind or a name is invalid. The reconciler puts the
/// values into request paths.
pub fn hold_record(object: &SurgeHold) -> Result<HoldRecord, String> {
    let hold = &object.spec.hold;
    let target = &hold.target_ref;
    reference::group_version(&target.api_version)?;
    reference::kind(&target.kind)?;
    reference::name(&target.name)?;
    hold.baseline.autoscaler.as_ref().map_or(Ok(()), |by| reference::name(&by.name))?;
    Ok(HoldRecord {
        name: object.metadata.name.clone().unwrap_or_default(),
        hold: hold.clone(),
        deleting: object.metadata.deletion_timestamp.is_some(),
    })
}
