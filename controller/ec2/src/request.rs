//! The block of a launch that is for EC2.

use primetime_core::state::ledger::Launch;
use serde::Deserialize;
use serde_json::Value;

/// The name of this cloud in a class and in a ledger.
const PROVIDER: &str = "EC2";

/// Launch template, types and subnets, as the ledger keeps them.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    /// `lt-...` or a name.
    pub template: String,
    /// A number, `$Latest` or `$Default`.
    pub template_version: String,
    /// In order of preference.
    pub instance_types: Vec<String>,
    /// One per zone.
    pub subnets: Vec<String>,
}

impl Request {
    /// Reads the block. Ledgers of versions before 0.2 name no provider: EC2 was the only one.
    ///
    /// # Errors
    ///
    /// A sentence, where the block is for another cloud or a field is missing.
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
