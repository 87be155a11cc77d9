//! Rights of the operator: exactly the rules of the shipped chart.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::server::refusal::Refusal;

/// Roles of the chart, rendered with the default values into the namespace `primetime-system`.
const GRANTED: &str = include_str!("granted.yaml");

/// Names of the role and the cluster role of the operator's service account, in the chart's release
/// `primetime`.
const ITS_OWN: [&str; 2] = ["primetime", "primetime-lease"];

/// A verb on a resource, as in a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asks {
    /// Verb: `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub verb: &'static str,
    /// API group. The core group is empty.
    pub group: String,
    /// Resource, with the subresource after a slash.
    pub resource: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Role {
    metadata: Metadata,
    #[serde(default)]
    rules: Vec<Rule>,
}

/// Rights of a service account.
#[derive(Debug)]
pub struct Access {
    roles: Vec<Role>,
}

static SHIPPED: LazyLock<Result<Access, Refusal>> = LazyLock::new(Access::read);

impl Access {
    /// Returns the rights that the chart grants to the operator.
    ///
    /// # Errors
    ///
    /// Returns an error if the rendered roles cannot be parsed.
    pub fn shipped() -> Result<&'static Self, Refusal> {
        SHIPPED.as_ref().map_err(Clone::clone)
    }

    fn read() -> Result<Self, Refusal> {
        let mut roles = Vec::new();
        for document in serde_yaml::Deserializer::from_str(GRANTED) {
            let role = Option::<Role>::deserialize(document)
                .map_err(|e| Refusal::Invalid(format!("granted.yaml: {e}")))?;
            let bound = |role: &Role| {
                !role.rules.is_empty() && ITS_OWN.contains(&role.metadata.name.as_str())
            };
            roles.extend(role.filter(bound));
        }
        Ok(Self { roles })
    }

    /// Returns every granted verb on every resource.
    #[must_use]
    pub fn granted(&self) -> Vec<Asks> {
        let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
        let mut all = Vec::new();
        for rule in self.roles.iter().flat_map(|role| &role.rules) {
            for (group, resource) in rule
                .api_groups
                .iter()
                .flat_map(|group| rule.resources.iter().map(move |resource| (group, resource)))
            {
                let granted = verbs.iter().filter(|v| rule.verbs.iter().any(|r| r == *v));
                all.extend(granted.map(|verb| Asks {
                    verb,
                    group: group.clone(),
                    resource: resource.clone(),
                }));
            }
        }
        all
    }

    /// Refuses a request without a grant.
    ///
    /// # Errors
    ///
    /// Returns `Forbidden` if no rule of a role grants the verb on the resource.
    pub fn check(&self, asks: &Asks, namespace: &str, name: Option<&str>) -> Result<(), Refusal> {
        let grants = |role: &Role| {
            role.metadata.namespace.as_deref().is_none_or(|of| of == namespace)
                && role.rules.iter().any(|rule| {
                    rule.api_groups.contains(&asks.group)
                        && rule.resources.contains(&asks.resource)
                        && rule.verbs.iter().any(|verb| verb == asks.verb)
                        && (rule.resource_names.is_empty()
                            || name.is_some_and(|n| rule.resource_names.iter().any(|r| r == n)))
                })
        };
        if self.roles.iter().any(grants) {
            return Ok(());
        }
        Err(Refusal::Forbidden(format!(
            "cannot {} resource \"{}\" in API group \"{}\" in the namespace \"{namespace}\"",
            asks.verb, asks.resource, asks.group
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(verb: &'static str, group: &str, resource: &str) -> Asks {
        Asks { verb, group: group.to_owned(), resource: resource.to_owned() }
    }

    #[test]
    fn workloads_are_scaled_and_not_changed() {
        let access = Access::shipped().unwrap();
        let may = |a: Asks, ns: &str, name| access.check(&a, ns, name).is_ok();
        assert!(may(asks("patch", "apps", "deployments/scale"), "shop", Some("web")));
        assert!(!may(asks("patch", "apps", "deployments"), "shop", Some("web")));
        assert!(!may(asks("list", "", "secrets"), "shop", None));
    }

    #[test]
    fn one_lease_of_its_own_namespace_is_renewed() {
        let access = Access::shipped().unwrap();
        let update = asks("update", "coordination.k8s.io", "leases");
        let may = |ns: &str, name| access.check(&update, ns, Some(name)).is_ok();
        assert!(may("primetime-system", "primetime"));
        assert!(!may("primetime-system", "another") && !may("shop", "primetime"));
    }
}
