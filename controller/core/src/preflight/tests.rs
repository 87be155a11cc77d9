use std::sync::Arc;

use super::*;
use crate::fixtures::{plain, web};
use crate::seconds;
use crate::state::announcement::Target;
use crate::state::announcement::Want;
use crate::state::condition::Rule;
use crate::state::observed::{
    Autoscaler, AutoscalerKind, Bounds, Cause, ContainerLimits, InitContainer, PodTemplate, Quota,
    Resources, Seen, TargetState,
};

fn bounds(quotas: &[(&str, u64, u64)]) -> Seen<Arc<Bounds>> {
    let one = |list: &[(&str, u64)]| list.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
    let quota = |(resource, hard, used): &(&str, u64, u64)| Quota {
        hard: one(&[(resource, *hard)]),
        used: one(&[(resource, *used)]),
    };
    let quotas = quotas.iter().enumerate().map(|(n, q)| (format!("q{n}"), quota(q)));
    Seen::Known(Arc::new(Bounds { quotas: quotas.collect(), ..Bounds::default() }))
}

/// The findings on `web`, planned with 180 replicas, lead 360 s, `live` being observed.
fn find(target: &Target, seen: &Seen<TargetState>, bounds: &Seen<Arc<Bounds>>) -> Vec<Finding> {
    let usual = seen.known().map(|live| Usual::of(live.replicas, live.autoscaler.as_ref()));
    let subjects = vec![Subject { target, seen, usual, raised: false, time: seconds(360) }];
    findings(&Facts { subjects, bounds })
}

fn rules(target: &Target, live: TargetState, bounds: &Seen<Arc<Bounds>>) -> Vec<Rule> {
    find(target, &Seen::Known(live), bounds).iter().map(|finding| finding.rule).collect()
}

fn with(resources: &[(&str, u64)]) -> Arc<PodTemplate> {
    let one: Resources = resources.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
    Arc::new(PodTemplate { containers: vec![one], ..PodTemplate::default() })
}

#[test]
fn a_target_that_fits_has_no_finding() {
    assert_eq!(rules(&web(180), plain(10), &bounds(&[("pods", 300_000, 10_000)])), []);
    assert_eq!(rules(&web(180), plain(10), &Seen::default()), [Rule::BoundsUnknown]);
}

#[test]
fn an_absent_or_unknown_target_is_a_risk_with_its_cause() {
    let absent = find(&web(180), &Seen::Absent, &bounds(&[]));
    assert_eq!(absent.first().unwrap().rule, Rule::TargetAbsent);
    let forbidden = Cause::Forbidden {
        kind: "Rollout".into(),
        remedy: "add it to scalableKinds of the Helm chart",
        why: "cannot list resource".into(),
    };
    for (cause, part) in [
        (forbidden, "scalableKinds"),
        (Cause::NotServed("Rollout".into()), "does not serve Rollout"),
        (Cause::NotScalable("DaemonSet".into()), "no scale subresource"),
        (Cause::NotListed("Rollout".into()), "not listed yet"),
        (Cause::Failed("timeout".into()), "timeout"),
    ] {
        let found = find(&web(180), &Seen::Unknown(cause), &bounds(&[]));
        let found = found.first().unwrap();
        assert!(found.rule.is_risk() && found.message().contains(part), "{found}");
    }
}

#[test]
fn a_multiple_of_nothing_and_a_plan_below_the_usual_are_found() {
    let times = Target { want: Want::Multiplier("18".parse().unwrap()), ..web(180) };
    assert_eq!(rules(&times, plain(0), &bounds(&[])), [Rule::NothingMultiplied]);
    assert_eq!(rules(&times, plain(10), &bounds(&[])), []);
    let huge = Target { want: Want::Multiplier("180".parse().unwrap()), ..web(180) };
    let huge = Target { max_replicas: None, ..huge };
    let found = find(&huge, &Seen::Known(plain(400)), &bounds(&[]));
    assert_eq!(found.first().unwrap().rule, Rule::PlanTooLarge);
    assert!(found.first().unwrap().message().contains("72000 replicas"), "{found:?}");
    assert_eq!(huge.want.replicas(400), 10_000);
    assert_eq!(rules(&web(8), plain(10), &bounds(&[])), [Rule::PlanBelowUsual]);
    assert_eq!(rules(&web(10), plain(10), &bounds(&[])), []);
}

#[test]
fn pods_that_start_one_after_another_need_a_lead_for_each() {
    let ordered = |ready: u32| TargetState {
        pods: Arc::new(PodTemplate { one_by_one: true, ..PodTemplate::default() }),
        ..plain(ready)
    };
    let target = Target { max_replicas: None, ..web(30) };
    let found = find(&target, &Seen::Known(ordered(3)), &bounds(&[]));
    let said = found.first().unwrap().to_string();
    assert!(said.contains("27 pods") && said.contains("360 s leave 13 s"), "{said}");
    assert_eq!(rules(&target, ordered(12), &bounds(&[])), [], "20 s for each of 18");
    assert_eq!(rules(&target, ordered(30), &bounds(&[])), [], "nothing is missing");
    assert_eq!(rules(&target, plain(3), &bounds(&[])), [], "Parallel");
}

#[test]
fn a_quota_is_compared_with_the_pods_that_are_still_to_be_created() {
    let quota = bounds(&[("pods", 100_000, 10_000)]);
    let found = find(&web(180), &Seen::Known(plain(10)), &quota);
    let said = found.first().unwrap().to_string();
    assert_eq!(
        said,
        "web: ResourceQuota q0 allows 100 pods, 10 are used, and 170 more are needed; raise the \
         quota before the warm-up"
    );
    // After the first write the quota counts a pod before the workload does. The rule finds only a
    // full quota.
    let stuck = Seen::Known(TargetState { replicas: 180, created: 100, ready: 100, ..plain(10) });
    let found = |hard: u64, used: u64| {
        let web = web(180);
        let usual = Some(Usual::of(10, None));
        let subjects =
            vec![Subject { target: &web, seen: &stuck, usual, raised: true, time: seconds(60) }];
        let found = findings(&Facts { subjects, bounds: &bounds(&[("pods", hard, used)]) });
        found.iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    assert_eq!(found(100_000, 100_000), [Rule::QuotaTooSmall]);
    assert_eq!(found(260_000, 185_000), [], "75 are left for 80 that are on their way");
    let there = TargetState { created: 180, ..plain(180) };
    assert_eq!(rules(&web(180), there, &bounds(&[("pods", 100_000, 180_000)])), []);
}

#[test]
fn a_quota_on_a_resource_counts_what_one_pod_requests() {
    let quota = bounds(&[("requests.cpu", 40_000, 2_500)]);
    let pods = |resources: &[(&str, u64)]| TargetState { pods: with(resources), ..plain(10) };
    // 170 pods of a quarter of a CPU are 42.5 CPUs, and 37.5 are left.
    assert_eq!(rules(&web(180), pods(&[("requests.cpu", 250)]), &quota), [Rule::QuotaTooSmall]);
    assert_eq!(rules(&web(180), pods(&[("requests.cpu", 220)]), &quota), []);
    assert_eq!(
        rules(&web(180), pods(&[("limits.cpu", 250)]), &quota),
        [Rule::QuotaTooSmall],
        "a limit is the request of a container that states none"
    );
    assert_eq!(
        rules(&web(180), pods(&[("requests.memory", 250)]), &quota),
        [Rule::NothingStated],
        "the API server refuses a pod that states no CPU"
    );
    let memory = bounds(&[("requests.memory", 1_073_741_824_000, 0)]);
    let said =
        find(&web(180), &Seen::Known(pods(&[("requests.memory", 134_217_728_000)])), &memory);
    let said = said.first().unwrap().to_string();
    assert!(said.contains("allows 1024 Mi requests.memory, 0 are used, and 21760 Mi"), "{said}");
}

#[test]
fn the_largest_init_container_counts_where_it_is_larger_than_all_containers() {
    let quota = bounds(&[("requests.cpu", 100_000, 0)]);
    let one = |cpu: u64| Resources::from([("requests.cpu".to_owned(), cpu)]);
    let pods = |containers: Vec<u64>, init: Vec<u64>| TargetState {
        pods: Arc::new(PodTemplate {
            one_by_one: false,
            containers: containers.into_iter().map(one).collect(),
            init_containers: init
                .into_iter()
                .map(|cpu| InitContainer { resources: one(cpu), sidecars_before: 1 })
                .collect(),
        }),
        ..plain(10)
    };
    assert_eq!(rules(&web(180), pods(vec![300, 300], vec![]), &quota), [Rule::QuotaTooSmall]);
    assert_eq!(rules(&web(180), pods(vec![300, 200], vec![250]), &quota), []);
    // The first container is a sidecar that runs beside the init container.
    assert_eq!(rules(&web(180), pods(vec![300, 200], vec![400]), &quota), [Rule::QuotaTooSmall]);
}

#[test]
fn a_limit_range_gives_defaults_and_refuses_large_containers() {
    let one = |list: &[(&str, u64)]| list.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
    let mut bounds = Bounds::default();
    let limits = ContainerLimits {
        default: one(&[("requests.cpu", 250)]),
        max: one(&[("cpu", 1_000)]),
        pod_max: one(&[("cpu", 3_000)]),
    };
    bounds.limits.insert("small".into(), limits);
    let quota =
        Quota { hard: one(&[("requests.cpu", 40_000)]), used: one(&[("requests.cpu", 2_500)]) };
    bounds.quotas.insert("compute".into(), quota);
    let bounds = Seen::Known(Arc::new(bounds));
    let stated = |cpu: u64| TargetState { pods: with(&[("requests.cpu", cpu)]), ..plain(10) };
    let silent = TargetState { pods: with(&[]), ..plain(10) };
    assert_eq!(rules(&web(180), silent, &bounds), [Rule::QuotaTooSmall], "the default counts");
    assert_eq!(rules(&web(180), stated(100), &bounds), []);
    assert!(rules(&web(180), stated(2_000), &bounds).contains(&Rule::LimitTooLow));
}

#[test]
fn two_targets_share_one_quota() {
    let (web, search) = (web(100), Target { name: "search".into(), ..web(100) });
    let seen = Seen::Known(plain(10));
    let usual = Some(Usual::of(10, None));
    let of = |target| Subject { target, seen: &seen, usual, raised: false, time: seconds(360) };
    let bounds = bounds(&[("pods", 120_000, 20_000)]);
    let found = findings(&Facts { subjects: vec![of(&web), of(&search)], bounds: &bounds });
    let [found] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(found.targets, ["web", "search"]);
    assert!(found.found.contains("180 more"), "{found}");
}

#[test]
fn bounds_that_may_not_be_read_are_said() {
    let why = Cause::Forbidden { kind: "ResourceQuota".into(), remedy: "x", why: "no".into() };
    assert_eq!(rules(&web(180), plain(10), &Seen::Unknown(why)), [Rule::BoundsUnknown]);
}

#[test]
fn an_autoscaler_that_never_scales_down_is_a_warning_with_what_happens_after() {
    let by = Autoscaler {
        kind: AutoscalerKind::HorizontalPodAutoscaler,
        name: "web".into(),
        min: Some(10),
        max: Some(60),
        idle: None,
    };
    let live =
        |never| TargetState { autoscaler: Some(by.clone()), never_scales_down: never, ..plain(10) };
    let found = find(&web(180), &Seen::Known(live(true)), &bounds(&[]));
    let said = found.first().unwrap().to_string();
    assert!(said.contains("goes back to 60") && said.contains("removes 120"), "{said}");
    assert!(!found.first().unwrap().rule.is_risk());
    assert_eq!(rules(&web(180), live(false), &bounds(&[])), []);
    assert_eq!(rules(&web(10), live(true), &bounds(&[])), [], "nothing is raised");
}

#[test]
fn a_gitops_controller_that_owns_the_field_is_a_warning() {
    let by = |writer: &str| TargetState { written_by: Some(writer.into()), ..plain(10) };
    for writer in ["argocd-controller", "kustomize-controller", "helm-controller", "Helm"] {
        assert_eq!(rules(&web(180), by(writer), &bounds(&[])), [Rule::OtherWriter], "{writer}");
    }
    for writer in ["kubectl-client-side-apply", "kube-controller-manager", "primetime"] {
        assert_eq!(rules(&web(180), by(writer), &bounds(&[])), [], "{writer}");
    }
    let hpa = Autoscaler {
        kind: AutoscalerKind::HorizontalPodAutoscaler,
        name: "web".into(),
        min: Some(10),
        max: Some(260),
        idle: None,
    };
    let scaled = TargetState {
        autoscaler: Some(hpa),
        bounds_written_by: Some("argocd-controller".into()),
        written_by: Some("kube-controller-manager".into()),
        ..plain(10)
    };
    assert_eq!(rules(&web(180), scaled, &bounds(&[])), [Rule::OtherWriter]);
}
