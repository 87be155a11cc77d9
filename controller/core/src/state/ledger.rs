//! The ledger of a run: every call to the cloud, and every instance that came of it.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Instant;

/// What one call to the cloud was asked, persisted before it is made. Frozen: an edit never changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The machine group.
    pub group: String,
    /// Which try of this group, from 1.
    pub attempt: u32,
    /// Idempotency token and tag value: the same call twice starts the same instances once.
    pub token: String,
    /// How many instances are asked for.
    pub count: u32,
    /// When the intent was written.
    pub time: Instant,
    /// What its class said then: the cloud, and how that starts instances.
    #[schemars(schema_with = "any_block")]
    pub launch: Launch,
    /// The cloud's last word is known: every instance it started is listed.
    pub settled: bool,
    /// What came.
    #[serde(default)]
    pub instances: Vec<LedgerInstance>,
    /// Why not everything came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<String>,
    /// The next try is not before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_time: Option<Instant>,
}

/// How instances are started: a block that the crate of a cloud reads. To the core it is opaque.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// The cloud that the block is for. Ledgers of versions before 0.2 name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The block.
    #[serde(flatten)]
    pub block: BTreeMap<String, Value>,
}

/// Fields beside the provider are those of the cloud: the API server keeps them as they are.
fn any_block(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "object",
        "properties": {"provider": {"type": "string", "nullable": true}},
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// An instance that this run started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerInstance {
    /// The cloud's id.
    pub id: String,
    /// What is meant to become of it, and what was seen.
    pub state: LedgerState,
    /// Since when it is in this state.
    pub since: Instant,
    /// When it was first seen to be a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_time: Option<Instant>,
}

/// The life of an instance in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LedgerState {
    /// It runs, or is starting.
    Live,
    /// It is being drained and will be terminated.
    Draining,
    /// Termination is decided; the call may have been made.
    Terminating,
    /// Seen terminated.
    Terminated,
}
