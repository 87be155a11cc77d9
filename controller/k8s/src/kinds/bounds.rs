//! `ResourceQuota` and `LimitRange`, the bounds on the pods of a namespace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem, ResourceQuota};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use primetime_core::state::observed::{ContainerLimits, Quota, Resources};

use crate::kinds::decode::thousandths;

/// Decodes a `ResourceQuota`. Returns `None` if a scope may exclude the pods of a workload.
#[must_use]
pub fn quota(object: &ResourceQuota) -> Option<Quota> {
    let spec = object.spec.as_ref()?;
    // Pods of a workload have no deadline. Of all scopes only `NotTerminating` surely selects such
    // pods.
    let ordinary = |scope: &String| scope == "NotTerminating";
    if spec.scope_selector.is_some() || !spec.scopes.iter().flatten().all(ordinary) {
        return None;
    }
    let status = object.status.as_ref();
    let hard = status.and_then(|status| status.hard.as_ref()).or(spec.hard.as_ref());
    Some(Quota {
        hard: named_as_requests(hard),
        used: named_as_requests(status.and_then(|status| status.used.as_ref())),
    })
}

/// `cpu`, `memory` and `count/pods` are other names of `requests.cpu`, `requests.memory` and `pods`
/// (<https://kubernetes.io/docs/concepts/policy/resource-quotas/#compute-resource-quota>). If a
/// quota states both, the smaller bound counts.
fn named_as_requests(list: Option<&BTreeMap<String, Quantity>>) -> Resources {
    let mut named = Resources::new();
    for (name, quantity) in list.into_iter().flatten() {
        let Some(value) = thousandths(quantity) else { continue };
        let name = match name.as_str() {
            "cpu" | "memory" | "ephemeral-storage" => format!("requests.{name}"),
            "count/pods" => "pods".to_owned(),
            _ => name.clone(),
        };
        named.entry(name).and_modify(|least| *least = value.min(*least)).or_insert(value);
    }
    named
}

/// Decodes the items of type `Container` and `Pod` of a `LimitRange`.
#[must_use]
pub fn limits(object: &LimitRange) -> ContainerLimits {
    let mut limits = ContainerLimits::default();
    for item in object.spec.iter().flat_map(|spec| &spec.limits) {
        match item.type_.as_str() {
            "Container" => {
                limits.default.extend(defaults(item));
                limits.max.extend(with("", item.max.as_ref()));
            }
            "Pod" => limits.pod_max.extend(with("", item.max.as_ref())),
            _ => {}
        }
    }
    limits
}

/// Returns the defaults of an item, completed as the API server completes a stored `LimitRange`.
/// The maximum is the default limit. The default limit, or else the minimum, is the default
/// request.
fn defaults(item: &LimitRangeItem) -> Resources {
    let mut defaults = Resources::new();
    let mut or = |list: Vec<(String, u64)>| {
        for (name, value) in list {
            defaults.entry(name).or_insert(value);
        }
    };
    or(with("limits.", item.default.as_ref()));
    or(with("limits.", item.max.as_ref()));
    or(with("requests.", item.default_request.as_ref()));
    or(with("requests.", item.default.as_ref()));
    or(with("requests.", item.max.as_ref()));
    or(with("requests.", item.min.as_ref()));
    defaults
}

fn with(prefix: &str, list: Option<&BTreeMap<String, Quantity>>) -> Vec<(String, u64)> {
    let quantity = |(name, quantity): (&String, &Quantity)| {
        Some((format!("{prefix}{name}"), thousandths(quantity)?))
    };
    list.into_iter().flatten().filter_map(quantity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(spec: &Value, status: &Value) -> Option<Quota> {
        let object = json!({"metadata": {"name": "q"}, "spec": spec, "status": status});
        quota(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_quota_is_read_under_one_name_for_each_resource() {
        let hard = json!({"count/pods": "9", "pods": "6", "cpu": "2", "limits.memory": "1Gi"});
        let quota = read(&json!({"hard": hard}), &json!({"hard": hard, "used": {"cpu": "500m"}}));
        let quota = quota.unwrap();
        assert_eq!(quota.hard.get("pods"), Some(&6_000));
        assert_eq!(quota.hard.get("requests.cpu"), Some(&2_000));
        assert_eq!(quota.hard.get("limits.memory"), Some(&1_073_741_824_000));
        assert_eq!(quota.used.get("requests.cpu"), Some(&500));
        let fresh = read(&json!({"hard": {"pods": "6"}}), &json!({})).unwrap();
        assert_eq!(fresh.hard.get("pods"), Some(&6_000), "the quota controller has not looked");
    }

    #[test]
    fn a_quota_for_other_pods_is_passed_over() {
        let scoped =
            |scope: &str| read(&json!({"hard": {"pods": "1"}, "scopes": [scope]}), &json!({}));
        assert!(scoped("Terminating").is_none() && scoped("BestEffort").is_none());
        assert!(scoped("NotTerminating").is_some());
        let selected = json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}});
        assert!(read(&selected, &json!({})).is_none());
    }

    #[test]
    fn the_defaults_and_the_maximum_of_a_container_are_read() {
        let object = json!({"metadata": {"name": "l"}, "spec": {"limits": [
            {"type": "Pod", "max": {"cpu": "9"}},
            {"type": "Container", "max": {"memory": "1Gi"}},
            {"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "500m", "memory": "64Mi"},
             "defaultRequest": {"cpu": "100m"}},
        ]}});
        let limits = limits(&serde_json::from_value(object).unwrap());
        assert_eq!(limits.max.get("cpu"), Some(&1_000));
        assert_eq!(limits.pod_max.get("cpu"), Some(&9_000));
        assert_eq!(limits.default.get("requests.cpu"), Some(&100));
        assert_eq!(limits.default.get("limits.cpu"), Some(&500));
        assert_eq!(limits.default.get("requests.memory"), Some(&67_108_864_000));
    }
}
