//! Rules on `ResourceQuota`s and `LimitRange`s: room for the pods that the workload has yet to
//! create.

use crate::preflight::finding::{Facts, Finding, Subject};
use crate::state::condition::Rule;
use crate::state::observed::{Bounds, PodTemplate, Quota, Resources, Seen};

/// `QuotaTooSmall`, `NothingStated`, `LimitTooLow` and `BoundsUnknown`.
pub(super) fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let bounds = match facts.bounds {
        Seen::Known(bounds) => bounds,
        Seen::Absent => return Vec::new(),
        Seen::Unknown(cause) => {
            let targets = facts.subjects.iter().map(|subject| subject.target.name.clone());
            let found = format!("whether the pods fit is unknown: {cause}");
            return vec![Finding { rule: Rule::BoundsUnknown, targets: targets.collect(), found }];
        }
    };
    let growing: Vec<&Subject<'_>> =
        facts.subjects.iter().filter(|subject| subject.to_create() > 0).collect();
    let mut found: Vec<Finding> =
        growing.iter().filter_map(|subject| too_large(subject, bounds)).collect();
    for (name, quota) in &bounds.quotas {
        for (resource, hard) in &quota.hard {
            found.extend(states_nothing(&growing, name, resource, bounds));
            found.extend(too_small(&growing, name, quota, (resource, *hard), bounds));
        }
    }
    found
}

/// Finds a quota with less left than the pods need.
///
/// Before the first write the rule compares all pods of the plan. After the first write the quota
/// counts a pod earlier than the controller of the workload does. The rule then finds only a full
/// quota.
fn too_small(
    growing: &[&Subject<'_>],
    name: &str,
    quota: &Quota,
    (resource, hard): (&str, u64),
    bounds: &Bounds,
) -> Option<Finding> {
    let used = quota.used.get(resource).copied().unwrap_or(0);
    let left = hard.saturating_sub(used);
    let concerned: Vec<_> = growing
        .iter()
        .map(|subject| (subject, of_pod(subject, resource, bounds)))
        .filter(|(_, each)| *each > 0)
        .collect();
    let needs = |(subject, each): &(&&Subject<'_>, u64)| {
        each.saturating_mul(u64::from(subject.to_create()))
    };
    let more = concerned.iter().map(needs).fold(0, u64::saturating_add);
    let raised = concerned.iter().any(|(subject, _)| subject.raised);
    let largest = concerned.iter().map(|(_, each)| *each).max()?;
    if more <= left || (raised && largest <= left) {
        return None;
    }
    Some(Finding {
        rule: Rule::QuotaTooSmall,
        targets: concerned.iter().map(|(subject, _)| subject.target.name.clone()).collect(),
        found: format!(
            "ResourceQuota {name} allows {} {resource}, {} are used, and {} more are needed",
            shown(resource, hard),
            shown(resource, used),
            shown(resource, more)
        ),
    })
}

/// Finds a container that states no request or limit of a resource that the quota bounds. The API
/// server refuses each such pod
/// (<https://kubernetes.io/docs/concepts/policy/resource-quotas/#how-kubernetes-resourcequotas-work>).
fn states_nothing(
    growing: &[&Subject<'_>],
    name: &str,
    resource: &str,
    bounds: &Bounds,
) -> Option<Finding> {
    let of_container_only = ["requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
    if !of_container_only.contains(&resource) {
        return None;
    }
    let silent = |subject: &&&Subject<'_>| {
        subject.seen.known().is_some_and(|live| {
            let containers = &live.pods.containers;
            containers.iter().any(|container| of_container(container, resource, bounds).is_none())
        })
    };
    let targets: Vec<_> =
        growing.iter().filter(silent).map(|subject| subject.target.name.clone()).collect();
    let found =
        format!("ResourceQuota {name} bounds {resource}, and a container states none of it");
    (!targets.is_empty()).then_some(Finding { rule: Rule::NothingStated, targets, found })
}

/// Returns the thousandths of a resource that a pod of the target needs.
fn of_pod(subject: &Subject<'_>, resource: &str, bounds: &Bounds) -> u64 {
    if resource == "pods" {
        return 1000;
    }
    let template = subject.seen.known().map(|live| &live.pods);
    template.map_or(0, |template| of_template(template, resource, bounds))
}

/// Returns the larger of the sum of all containers and the largest init container. Containers run
/// side by side, and init containers run in sequence
/// (<https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers>).
fn of_template(template: &PodTemplate, resource: &str, bounds: &Bounds) -> u64 {
    let of = |container: &Resources| of_container(container, resource, bounds).unwrap_or(0);
    let side_by_side = template.containers.iter().map(of).fold(0, u64::saturating_add);
    let init = template.init_containers.iter().map(|init| {
        let before = template.containers.iter().take(init.sidecars_before).map(of);
        before.fold(of(&init.resources), u64::saturating_add)
    });
    side_by_side.max(init.max().unwrap_or(0))
}

/// Returns the request or limit that a container states. Without a request the limit counts, and
/// without both the default of a `LimitRange`.
fn of_container(container: &Resources, resource: &str, bounds: &Bounds) -> Option<u64> {
    let limit = resource.strip_prefix("requests.").map(|name| format!("limits.{name}"));
    let stated = container.get(resource).or_else(|| container.get(&limit?));
    let default = || bounds.limits.values().find_map(|limits| limits.default.get(resource));
    stated.or_else(default).copied()
}

/// Finds a container or a pod that asks for more than a `LimitRange` allows. The API server refuses
/// each new pod.
fn too_large(subject: &Subject<'_>, bounds: &Bounds) -> Option<Finding> {
    let template = &subject.seen.known()?.pods;
    let init = template.init_containers.iter().map(|init| &init.resources);
    let of_container = |resource: &str| {
        let containers = template.containers.iter().chain(init.clone());
        let stated = containers.flatten().filter(|(name, _)| is_of(name, resource));
        stated.map(|(_, value)| *value).max().unwrap_or(0)
    };
    let of_whole_pod = |resource: &str| {
        ["requests", "limits"]
            .map(|kind| of_template(template, &format!("{kind}.{resource}"), bounds))
            .into_iter()
            .max()
            .unwrap_or(0)
    };
    bounds.limits.iter().find_map(|(name, limits)| {
        let container = limits.max.iter().map(|(r, max)| ("container", r, *max, of_container(r)));
        let pod = limits.pod_max.iter().map(|(r, max)| ("pod", r, *max, of_whole_pod(r)));
        let (what, resource, max, asked) =
            container.chain(pod).find(|(_, _, max, asked)| asked > max)?;
        let found = format!(
            "LimitRange {name} allows a {what} {} {resource}, and one asks for {}",
            shown(resource, max),
            shown(resource, asked)
        );
        Some(subject.finds(Rule::LimitTooLow, found))
    })
}

/// True if a name such as `requests.cpu` is of a resource such as `cpu`.
fn is_of(name: &str, resource: &str) -> bool {
    name.split_once('.').is_some_and(|(_, own)| own == resource)
}

/// Returns a quantity for people: memory in Mi, other resources in the base unit.
fn shown(resource: &str, thousandths: u64) -> String {
    const MI: u64 = 1024 * 1024;
    let units = thousandths / 1000;
    if (resource.ends_with("memory") || resource.ends_with("storage")) && units >= MI {
        return format!("{} Mi", units.div_ceil(MI));
    }
    match thousandths % 1000 {
        0 => units.to_string(),
        rest => format!("{units}.{rest:03}").trim_end_matches('0').to_owned(),
    }
}
