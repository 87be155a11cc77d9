//! EC2 part of a launch in the ledger.

use primetime_core::state::ledger::Launch;
use serde::Deserialize;
use serde_json::Value;

/// Provider name of EC2, in `spec.provider` of an `InstanceClass` and in the ledger.
const PROVIDER: &str = "EC2";

/// Launch template, instance types and subnets, as stored in the ledger.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    /// Launch template: an id (`lt-...`) or a name.
    pub template: String,
    /// Version of the launch template: a number, `$Latest` or `$Default`.
    pub template_version: String,
    /// Instance types in order of preference.
    pub instance_types: Vec<String>,
    /// Subnets, usually a subnet per zone.
    pub subnets: Vec<String>,
}

impl Request {
    /// Reads the EC2 part of a launch. Ledgers of versions before 0.2 contain no provider, because
    /// EC2 was the only provider.
    ///
    /// # Errors
    ///
    /// Returns a sentence if the launch is for another cloud, or if a field is missing or
    /// malformed.
    pub fn of(launch: &Launch) -> Result<Self, String> {
        if let Some(other) = launch.provider.as_deref().filter(|name| *name != PROVIDER) {
            return Err(format!("this operator starts machines of {PROVIDER}, not of {other}"));
        }
        let block = Value::Object(launch.block.clone().into_iter().collect());
        serde_json::from_value(block).map_err(|error| format!("the InstanceClass: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(launch: &Value) -> Result<Request, String> {
        Request::of(&serde_json::from_value(launch.clone()).unwrap())
    }

    #[test]
    fn a_block_is_read_with_and_without_its_provider() {
        let mut block = json!({
            "template": "lt-1", "templateVersion": "3", "instanceTypes": ["m6i.xlarge"], "subnets": ["subnet-a"],
        });
        let old = of(&block).unwrap();
        block["provider"] = json!("EC2");
        assert_eq!(of(&block), Ok(old));
        block["provider"] = json!("GCE");
        assert_eq!(of(&block).unwrap_err(), "this operator starts machines of EC2, not of GCE");
        assert!(of(&json!({"provider": "EC2"})).unwrap_err().contains("missing field `template`"));
    }
}
