//! Where the operator sees instances: account, region and cluster tag.

use std::fmt;

/// Account, region and cluster tag under which the operator sees instances.
///
/// An instance of another place is not visible, which says nothing about the instance.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Value of the cluster tag (chart value `clusterName`).
    #[schemars(length(max = 253))]
    pub cluster: String,
    /// Region of the cloud.
    #[schemars(length(max = 64))]
    pub region: String,
    /// Account of the cloud.
    #[schemars(length(max = 64))]
    pub account: String,
}

impl Place {
    /// True if both are the same place. An account that is not known is any account.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let account = self.account == other.account;
        let open = self.account.is_empty() || other.account.is_empty();
        self.cluster == other.cluster && self.region == other.region && (account || open)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, region, account } = self;
        write!(f, "clusterName {cluster}, region {region}, account {account}")
    }
}
