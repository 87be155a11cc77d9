//! The ledger of a run: every launch call to the cloud and every instance that the cloud started
//! (`status.ledger`).

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Instant;
use crate::state::place::Place;

/// The parameters and the result of one launch call to the cloud. The planner persists the
/// parameters before the call, and a later edit of the surge does not change the parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Name of the machine group.
    pub group: String,
    /// Number of the launch attempt within the group, counted from 1.
    pub attempt: u32,
    /// Idempotency token and tag value. A repeated call with the same token starts no additional
    /// instances.
    pub token: String,
    /// Number of requested instances.
    pub count: u32,
    /// Time at which the planner recorded the launch.
    pub time: Instant,
    /// Launch settings of the `InstanceClass` at the time of the record.
    #[schemars(schema_with = "any_block")]
    pub launch: Launch,
    /// Time in the expiry tag of the instances. Ledgers of versions before 0.2 leave the field out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_time: Option<Instant>,
    /// Place for which the planner recorded the launch. The operator judges and ends the instances
    /// of an entry only in the same place. Ledgers of versions before 0.2 leave the field out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// True if the effect of a call is unknown, so that the entry may have instances that no answer
    /// has named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
    /// True if the outcome of the call is final, so that the planner expects no further instances.
    pub settled: bool,
    /// Instances that the call started.
    #[serde(default)]
    pub instances: Vec<LedgerInstance>,
    /// Reason for fewer instances than requested, usually the error message of the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<String>,
    /// Earliest time of the next launch attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_time: Option<Instant>,
}

impl Batch {
    /// True if the operator sees the place of the entry. An entry without a place is of every place.
    #[must_use]
    pub fn is_of(&self, place: &Place) -> bool {
        self.place.as_ref().is_none_or(|mine| mine.is(place))
    }
}

/// Launch settings for instances. The core does not interpret the settings; the crate of the cloud
/// provider does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// Cloud provider that the settings are for. Ledgers of EC2 and of versions before 0.2 leave
    /// the field out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Provider-specific settings.
    #[serde(flatten)]
    pub block: BTreeMap<String, Value>,
}

/// Returns the schema of [`Launch`]. The API server preserves unknown fields, because each cloud
/// provider has different settings.
fn any_block(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "object",
        "properties": {"provider": {"type": "string", "nullable": true}},
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// An instance that the run started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerInstance {
    /// Instance ID of the cloud.
    pub id: String,
    /// Lifecycle state of the instance.
    pub state: LedgerState,
    /// Time of the last state change.
    pub since: Instant,
    /// Time at which the planner first found a Node of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_time: Option<Instant>,
}

/// The lifecycle state of an instance in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LedgerState {
    /// The instance is starting or running.
    Live,
    /// The reconciler drains the Node of the instance. The termination follows.
    Draining,
    /// The planner has decided on the termination. The reconciler may already have sent the call.
    Terminating,
    /// The cloud reports the instance as terminated, or no longer knows its id.
    Terminated,
}
