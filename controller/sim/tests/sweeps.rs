//! Sweeps: a fault, a deletion or a shortage at every possible time or place of an evening.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_sim::evening::people::{Act, Deed};
use primetime_sim::evening::recording::Recording;
use primetime_sim::evening::{SHOP, Until, play};
use primetime_sim::load::Load;
use primetime_sim::oracle::judge;
use primetime_sim::scenario::shop::DURATION;
use primetime_sim::scenario::shop::{seconds, show};
use primetime_sim::scenario::{elected, followed, plain, shed, under_keda, warmed};
use primetime_sim::script::{At, Fault, Outage, Part, Script};
use primetime_sim::server::access::{Access, Asks};
use serde_json::{Value, json};

/// Returns the time `n` seconds after the start of the show.
fn at(n: i64) -> Instant {
    show() + seconds(n)
}

/// Returns the last `status.verdict` of the runs at `now`.
fn verdict(recording: &Recording, now: Instant) -> String {
    let runs = recording.history.iter().filter(|e| e.key.0.kind == "SurgeRun" && e.at <= now);
    let mut said = runs.rev().filter_map(|e| e.object.pointer("/status/verdict")?.as_str());
    said.next().unwrap_or_default().to_owned()
}

/// F21: an operator outage of 1 to 150 s at any time of the evening breaks no rule.
#[test]
fn an_operator_that_is_away_misses_nothing_for_good() {
    let (scenario, promise) = plain();
    let step = if cfg!(debug_assertions) { 40 } else { 5 };
    let mut broken = Vec::new();
    for from in (-75..110).step_by(step) {
        for time in [1, 10, 60, 150] {
            let script = Script::out(Part::Operator, at(from), at(from + time));
            let mut promise = promise.clone();
            let recording = play(&scenario, &script, 1).unwrap();
            if at(from + time) >= promise.end {
                // If the operator returns after the end of the event, the planner launches no
                // further machine.
                promise.machines = promise.machines.min(recording.machines.len());
            }
            let rules = judge(&recording, &promise, &script);
            if !rules.is_empty() {
                broken.push(format!("from {from} for {time} s: {}", rules.join("; ")));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// F7: machines from the remaining pools suffice if some pools are empty. If all pools are empty,
/// the verdict is `AtRisk` before T0.
#[test]
fn every_subset_of_pools_may_be_empty() {
    let (types, subnets) = (["m6i.xlarge", "m6a.xlarge"], ["subnet-0a", "subnet-0b"]);
    let pools: Vec<(String, String)> = types
        .iter()
        .flat_map(|t| subnets.iter().map(|s| ((*t).to_owned(), (*s).to_owned())))
        .collect();
    for empty in 0..16_usize {
        let (mut scenario, mut promise) = plain();
        let class = scenario.objects.iter_mut().find(|o| o["kind"] == "InstanceClass").unwrap();
        class["spec"]["ec2"]["instanceTypes"] = json!(types);
        class["spec"]["ec2"]["subnets"] = json!(subnets);
        for (n, pool) in pools.iter().enumerate() {
            let there = if empty & (1 << n) == 0 { 17 } else { 0 };
            scenario.supply.pools.insert(pool.clone(), there);
        }
        let recording = play(&scenario, &Script::default(), 1).unwrap();
        if empty == 15 {
            assert_eq!(verdict(&recording, promise.ready_by), "AtRisk");
            promise.machines = 0;
            promise.floors.clear();
        }
        let broken = judge(&recording, &promise, &Script::default());
        assert!(broken.is_empty(), "without {empty:04b}: {broken:?}");
    }
}

/// F38: after the deletion of any object at any time, every run still ends and releases the other
/// targets.
#[test]
fn whatever_is_deleted_at_whatever_time_it_ends() {
    let step = if cfg!(debug_assertions) { 60 } else { 7 };
    let named = |version: &str, kind: &str, name: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": SHOP}});
    let ours = "primetime.dev/v1alpha1";
    let things: [(Value, bool); 5] = [
        (named(ours, "ScheduledSurge", "capital"), true),
        (named(ours, "SurgeRun", "capital-20140112t200000z"), true),
        (named(ours, "SurgeHold", "deployment-search"), false),
        (named("apps/v1", "Deployment", "search"), false),
        (named("autoscaling/v2", "HorizontalPodAutoscaler", "web"), false),
    ];
    let mut broken = Vec::new();
    for (thing, ends_it) in things {
        for when in (-78..120).step_by(step) {
            let (mut scenario, mut promise) = plain();
            scenario.deeds = vec![Deed { at: at(when), act: Act::Delete(thing.clone()) }];
            let name = thing["metadata"]["name"].as_str().unwrap().to_owned();
            promise.afterwards.retain(|(kind, of, ..)| thing["kind"] != *kind || name != *of);
            if ends_it {
                promise.until = promise.until.min(at(when));
            }
            if thing["kind"] == "Deployment" || thing["kind"] == "HorizontalPodAutoscaler" {
                promise.floors.retain(|(of, _)| name != *of);
            }
            let recording = play(&scenario, &Script::default(), 1).unwrap();
            promise.machines = promise.machines.min(recording.machines.len());
            let rules = judge(&recording, &promise, &Script::default());
            if !rules.is_empty() {
                broken.push(format!("{} at {when}: {}", thing["kind"], rules.join("; ")));
            }
        }
    }
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
}

/// F4, F18: a standby with lossy watches takes over from a paused leader. The standby must see the
/// changes that the lossy watches did not deliver.
#[test]
fn a_standby_whose_watches_have_kept_silent_takes_over_at_any_time() {
    let (scenario, promise) = elected();
    let step = if cfg!(debug_assertions) { 9 } else { 2 };
    // A leader that pauses just before a renewal of the Lease has lost the Lease after the pause.
    let requests = play(&scenario, &Script::default(), 1).unwrap().requests;
    let renewals = requests.iter().enumerate().filter(|(_, what)| what.contains("/leases/"));
    let outages = vec![Outage { part: Part::WatchesLossy, from: at(-57), until: at(1) }];
    let mut broken = Vec::new();
    for (request, _) in renewals.step_by(step) {
        let faults = vec![At { request, fault: Fault::Paused }];
        let script = Script { faults, outages: outages.clone(), ..Script::default() };
        let recording = play(&scenario, &script, 1).unwrap();
        let rules = judge(&recording, &promise, &script);
        if !rules.is_empty() {
            broken.push(format!("at request {request}: {}", rules.join("; ")));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// F35: if a namespace quota limits the pods, pods beyond the quota never appear and need no Node.
/// The verdict is `AtRisk` at T0.
#[test]
fn a_quota_of_pods_is_said_in_time() {
    let (mut scenario, mut promise) = plain();
    scenario.pace.pods_per_namespace = 150;
    promise.floors.clear();
    let recording = play(&scenario, &Script::default(), 1).unwrap();
    assert_eq!(verdict(&recording, promise.ready_by), "AtRisk");
    let broken = judge(&recording, &promise, &Script::default());
    assert!(broken.is_empty(), "{broken:?}");
}

/// Returns `data.checkout` of the `ConfigMap` and the weight of the plain page in the HTTPRoute, as
/// of `at`.
fn shedding(recording: &Recording, at: Instant) -> (Option<&str>, Option<i64>) {
    let last = |kind: &str, pointer: &str| {
        let all = recording.history.iter().rev().filter(|e| e.key.0.kind == kind);
        all.filter(|e| e.at <= at).find_map(|event| event.object.pointer(pointer))
    };
    let weight = last("HTTPRoute", "/spec/rules/0/backendRefs/1/weight");
    (last("ConfigMap", "/data/checkout").and_then(Value::as_str), weight.and_then(Value::as_i64))
}

/// Returns the degradation steps of the created Jobs, in creation order.
fn jobs(recording: &Recording) -> Vec<&str> {
    let made = recording.history.iter().filter(|e| e.key.0.kind == "Job" && e.what == "ADDED");
    made.filter_map(|e| e.key.2.rsplitn(3, '-').nth(2)).collect()
}

/// The planner activates the steps within 6 s after the start of the overload and deactivates the
/// steps after the event. During a Prometheus outage the planner leaves every step in the current
/// state.
#[test]
fn the_ladder_sheds_in_time_and_leaves_by_itself() {
    let (scenario, promise) = shed();
    let usual = play(&scenario, &Script::default(), 1).unwrap();
    assert_eq!(judge(&usual, &promise, &Script::default()), Vec::<String>::new());
    let normal = (Some("normal"), Some(0));
    assert_eq!(shedding(&usual, at(0)), normal);
    assert_eq!(shedding(&usual, at(6)), (Some("capture"), Some(100)));
    assert_eq!(shedding(&usual, at(DURATION)), (Some("capture"), Some(100)));
    assert_eq!(shedding(&usual, at(DURATION + 20)), normal);
    // On-call deactivates `shield` with a `Restore` override. After the override expires, the
    // planner activates `shield` again.
    assert_eq!(jobs(&usual), ["shield", "shield-restore", "shield", "shield-restore"]);

    let blind = Script::out(Part::Prometheus, at(20), at(DURATION + 40));
    let recording = play(&scenario, &blind, 1).unwrap();
    assert_eq!(shedding(&recording, at(DURATION + 38)), (Some("capture"), Some(100)));
    assert_eq!(judge(&recording, &promise, &blind), Vec::<String>::new());
}

/// The chart grants exactly the rights that the evenings use.
#[test]
fn what_is_granted_is_used() {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "search", "namespace": SHOP},
    });
    // A person deletes the target `search` in the window. The remaining load after the event keeps
    // pods on the machines that the planner drains.
    let mut lasting = plain().0;
    lasting.load = Load::of(|now| match now {
        now if now < show() => 2_000.0,
        now if now < at(65) => 36_000.0,
        _ => 10_000.0,
    });
    lasting.deeds = vec![Deed { at: at(20), act: Act::Delete(deployment) }];
    // A person extends or moves the event before the start of the run.
    let announced = |schedule: Value| {
        let mut scenario = plain().0;
        let object = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
            "metadata": {"name": "capital", "namespace": SHOP}, "spec": {"schedule": schedule},
        });
        scenario.deeds = vec![Deed { at: at(-78), act: Act::Change { object, manager: "alice" } }];
        scenario
    };
    let stretched = announced(json!({"durationSeconds": 90}));
    let later = at(30).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let moved = announced(json!({"startTime": later}));
    // The template of the warm-up `photos` is a suspended Job instead of a CronJob.
    let mut copied = warmed().0;
    for object in &mut copied.objects {
        if object["kind"] == "CronJob" && object["metadata"]["name"] == "photos" {
            object["kind"] = "Job".into();
        }
        if object["kind"] == "ScheduledSurge" {
            object["spec"]["warmUp"][0]["jobTemplateRef"]["kind"] = "Job".into();
        }
    }
    let evenings = [
        elected().0,
        plain().0,
        under_keda().0,
        lasting,
        stretched,
        moved,
        followed().0,
        copied,
        shed().0,
    ];
    // If the watches are silent, the operator reads objects with GET requests, which need further
    // rights.
    let scripts = [Script::default(), Script::out(Part::WatchesSilent, at(-40), at(-20))];
    // No pod may be evicted until long after the drain deadline.
    let mut patient = plain().0;
    patient.until = Until::AllIsOver(seconds(4_800));
    let kept = play(&patient, &Script::out(Part::Evictions, at(60), at(7_200)), 1).unwrap();
    let used: BTreeSet<Asks> = evenings
        .iter()
        .flat_map(|evening| scripts.iter().map(move |script| (evening, script)))
        .flat_map(|(evening, script)| play(evening, script, 1).unwrap().used)
        .chain(kept.used)
        .collect();
    // Deployments represent all workload kinds of the chart value `scalableKinds`.
    let others = ["statefulsets", "replicasets"];
    let unused: Vec<Asks> = Access::shipped()
        .unwrap()
        .granted()
        .into_iter()
        .filter(|asks| !others.iter().any(|other| asks.resource.starts_with(other)))
        .filter(|asks| !used.contains(asks))
        .collect();
    assert!(unused.is_empty(), "{unused:#?}");
}

/// L9: ten surges that cannot succeed do not delay the runs of a hundred other surges.
#[test]
fn what_cannot_be_kept_delays_nothing_else() {
    let (mut scenario, _) = plain();
    scenario.objects.retain(|o| o["kind"] != "ScheduledSurge" && o["kind"] != "Deployment");
    scenario.pace.pods_per_node = 100;
    let surge = |name: &str, of: &str, change: fn(&mut Value)| {
        let mut surge = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
            "metadata": {"name": name, "namespace": SHOP},
            "spec": {
                "schedule": {"startTime": show().format("%Y-%m-%dT%H:%M:%SZ").to_string(), "durationSeconds": 60},
                "readyBeforeSeconds": 10,
                "targets": [{
                    "name": "it", "replicas": 3, "leadSeconds": 15,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": of},
                }],
                "release": {"stepPercent": 50, "stepSeconds": 2},
            },
        });
        change(&mut surge);
        surge
    };
    for n in 0..100 {
        let name = format!("app-{n:03}");
        scenario.objects.push(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": SHOP}, "spec": {"replicas": 1},
        }));
        scenario.objects.push(surge(&name, &name, |_| {}));
    }
    let poison: [fn(&mut Value); 5] = [
        |s| s["spec"]["schedule"]["startTime"] = "2014-02-30T20:00:00Z".into(),
        |s| {
            s["spec"]["schedule"]["startTime"] = "2014-01-12T20:00:00".into();
            s["spec"]["schedule"]["timeZone"] = "Mars/Phobos".into();
        },
        |s| s["spec"]["targets"][0]["scaleTargetRef"]["kind"] = "Teapot".into(),
        |s| s["spec"]["targets"][0]["scaleTargetRef"]["name"] = "absent".into(),
        |s| {
            s["spec"]["machines"] =
                json!([{"name": "m", "count": 3, "instanceClassRef": {"name": "none"}}]);
        },
    ];
    for (n, poison) in poison.into_iter().chain(poison).enumerate() {
        scenario.objects.push(surge(&format!("poison-{n}"), &format!("app-{n:03}"), poison));
    }
    scenario.until = Until::Passed(TimeDelta::seconds(110));
    let recording = play(&scenario, &Script::default(), 1).unwrap();
    assert_eq!(recording.broken, None);
    let look = recording.looks.iter().find(|look| look.at >= at(-10)).unwrap();
    let short: Vec<_> = look.workloads.iter().filter(|w| w.ready < 3).collect();
    assert!(short.is_empty(), "{} are short: {short:?}", short.len());
}
