//! Published incidents and bugs, each as a named evening. "KEDA" stands for the repository
//! kedacore/keda, `k/k` for kubernetes/kubernetes.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use primetime_core::Instant;
use primetime_sim::cluster::jobs::FAILS;
use primetime_sim::evening::people::{Act, Deed, Insist};
use primetime_sim::evening::recording::Recording;
use primetime_sim::evening::{SHOP, Scenario, play};
use primetime_sim::load::Load;
use primetime_sim::operator::Flags;
use primetime_sim::oracle::case::Promise;
use primetime_sim::oracle::judge;
use primetime_sim::scenario::shop::DURATION;
use primetime_sim::scenario::shop::{cron_job, override_until, seconds, show};
use primetime_sim::scenario::{beyond, lingering, overlapping, partial, plain, under_keda, warmed};
use primetime_sim::script::{At, Fault, Jump, Outage, Part, Script};
use serde_json::{Value, json};

type Case = (Scenario, Promise, Script);

/// Returns the time `n` seconds after the start of the show.
fn at(n: i64) -> Instant {
    show() + seconds(n)
}

fn with((scenario, promise): (Scenario, Promise), script: Script) -> Case {
    (scenario, promise, script)
}

fn out(part: Part, from: i64, until: i64) -> Case {
    with(plain(), Script::out(part, at(from), at(until)))
}

/// Injects a fault at the first request whose text starts with `request`.
fn fault(evening: (Scenario, Promise), request: &str, fault: Fault) -> Case {
    let requests = play(&evening.0, &Script::default(), 1).unwrap().requests;
    let n = requests.iter().position(|r| r.starts_with(request)).expect(request);
    with(evening, Script::one(n, fault))
}

fn named(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": SHOP}})
}

fn search() -> Value {
    named("apps/v1", "Deployment", "search")
}

fn capital() -> Value {
    named("primetime.dev/v1alpha1", "ScheduledSurge", "capital")
}

/// Returns the evening with `startPolicy: Manual`, in which a person starts the event.
fn armed() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    for surge in scenario.objects.iter_mut().filter(|o| o["kind"] == "ScheduledSurge") {
        surge["spec"]["startPolicy"] = "Manual".into();
    }
    (scenario, promise)
}

/// Returns the evening with a warm-up in which every attempt of the Job `step` fails.
fn cold(step: &str) -> (Scenario, Promise) {
    let (mut scenario, promise) = warmed();
    scenario.objects.retain(|o| o["kind"] != "CronJob" || o["metadata"]["name"] != step);
    scenario.objects.push(cron_job(step, true));
    (scenario, promise)
}

fn hold(target: &str) -> Value {
    named("primetime.dev/v1alpha1", "SurgeHold", &format!("deployment-{target}"))
}

fn run() -> Value {
    let name = format!("capital-{}", show().format("%Y%m%dt%H%M%Sz"));
    named("primetime.dev/v1alpha1", "SurgeRun", &name)
}

fn corrupt(when: i64, object: Value, pointer: &'static str, value: Value) -> Deed {
    Deed { at: at(when), act: Act::Corrupt { object, pointer, value } }
}

fn set(when: i64, mut object: Value, spec: Value, manager: &'static str) -> Deed {
    object["spec"] = spec;
    Deed { at: at(when), act: Act::Change { object, manager } }
}

fn deeds(deeds: Vec<Deed>, change: impl FnOnce(&mut Promise)) -> Case {
    let (mut scenario, mut promise) = plain();
    scenario.deeds = deeds;
    change(&mut promise);
    (scenario, promise, Script::default())
}

/// Returns an evening with a tool that reverts the spec of an object within 3 s, from before the
/// event until after the event.
fn insisting(
    mut object: Value,
    spec: Value,
    manager: &'static str,
    change: impl FnOnce(&mut Promise),
) -> Case {
    let (mut scenario, mut promise) = plain();
    object["spec"] = spec;
    let (from, until, after) = (at(-60), at(300), seconds(3));
    scenario.insists = vec![Insist { object, manager, from, until, after }];
    change(&mut promise);
    (scenario, promise, Script::default())
}

/// Deletes the surge at `when`, and creates the unchanged surge `after` seconds later.
fn replaced_by_force(when: i64, after: i64) -> Vec<Deed> {
    let (scenario, _) = plain();
    let surge = scenario.objects.iter().find(|o| o["kind"] == "ScheduledSurge").unwrap().clone();
    vec![
        Deed { at: at(when), act: Act::Delete(surge.clone()) },
        Deed { at: at(when + after), act: Act::Create(surge) },
    ]
}

fn clock(by: i64, from: i64, until: i64) -> Case {
    let jump = Jump { from: at(from), until: at(until), by: seconds(by) };
    with(plain(), Script { jumps: vec![jump], ..Script::default() })
}

/// Returns an evening with an operator that starts with a wrong clock, so that the operator never
/// sees a jump.
fn begins_wrong(by: i64, from: i64, until: i64) -> Case {
    let (_, _, script) = clock(by, from, until);
    let outages = vec![Outage { part: Part::Operator, from: at(from - 1), until: at(from + 1) }];
    with(plain(), Script { outages, ..script })
}

fn evening(change: impl FnOnce(&mut Scenario)) -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    change(&mut scenario);
    (scenario, promise)
}

type Named = (&'static str, Case);

fn metrics_and_operator() -> Vec<Named> {
    vec![
        (
            "KEDA#1850: Prometheus is gone, and the target goes to 0",
            out(Part::Prometheus, -20, 300),
        ),
        (
            "KEDA#6659: a fallback lowers what live load had raised",
            with(beyond(), Script::out(Part::Prometheus, at(20), at(50))),
        ),
        ("Slack 2021: load seems low because the network is broken", out(Part::Lies, 0, 40)),
        ("KEDA#6762: a restart in the window drops to the minimum", out(Part::Operator, 5, 8)),
        ("cronhpa: down at the hour, tried for ten seconds, given up", out(Part::Operator, -40, 5)),
        ("peers 8.4: killed before the lead", out(Part::Operator, -70, -60)),
        ("peers 8.4: killed while pods come up", out(Part::Operator, -24, -20)),
        ("kube-downscaler#44: killed while it restores", out(Part::Operator, 80, 85)),
        ("peers 8.4: killed while machines go", out(Part::Operator, 95, 120)),
        ("k/k#59848: a watch never says what happened", out(Part::WatchesLossy, -50, -20)),
        ("controller-runtime#3428: a watch dies in silence", out(Part::WatchesSilent, -60, 100)),
        ("F14: the resourceVersion is gone, 410", out(Part::WatchesGone, -70, 100)),
        ("F23: every other answer is empty", out(Part::MetricsGaps, -60, 150)),
        (
            "F23: samples are old while the load rises",
            with(beyond(), Script::out(Part::MetricsStale, at(-5), at(30))),
        ),
        (
            "F25 and F8: Prometheus and the cloud are gone for hours",
            with(
                plain(),
                Script {
                    outages: [Part::Prometheus, Part::Cloud]
                        .map(|part| Outage { part, from: at(-20), until: at(220) })
                        .to_vec(),
                    ..Script::default()
                },
            ),
        ),
        ("F14: a watch says everything twice", out(Part::WatchesDoubled, -80, 200)),
        ("F14: a watch says the last first", out(Part::WatchesReversed, -80, 200)),
    ]
}

fn cloud() -> Vec<Named> {
    vec![
        (
            "Karpenter#549: the answer to a launch is lost, and it is launched again",
            fault(plain(), "EC2 CreateFleet", Fault::ReplyLost),
        ),
        (
            "Karpenter: no client token, and a crash before the launch is on record",
            fault(plain(), "EC2 CreateFleet", Fault::CrashBefore),
        ),
        (
            "Karpenter: no client token, and a crash after the launch",
            fault(plain(), "EC2 CreateFleet", Fault::CrashAfterEffect),
        ),
        (
            "EC2: a launch of a minute ago that happens now",
            fault(plain(), "EC2 CreateFleet", Fault::Late),
        ),
        (
            "EC2: the answer to a termination is lost",
            fault(plain(), "EC2 TerminateInstances", Fault::ReplyLost),
        ),
        ("AWS October 2025: no launches for a long time", out(Part::Cloud, -75, -35)),
        ("AWS October 2025: the cloud is gone at the end", out(Part::Cloud, -15, 200)),
        ("F4: the cloud describes what there was a minute ago", out(Part::CloudLags, -76, -30)),
        ("F4: it does not say what has been terminated", out(Part::CloudLags, 80, 180)),
        ("Hotstar: the API is throttled while machines come", out(Part::CloudThrottles, -76, -40)),
        ("F5: the number of machines is changed while they are launched", {
            let more = json!({"machines": [{
                "name": "burst", "count": 20, "instanceClassRef": {"name": "paris-burst"},
            }]});
            deeds(vec![set(-54, capital(), more, "alice")], |_| {})
        }),
        ("F37: a budget allows no disruption while machines go", {
            let (mut scenario, promise) = plain();
            scenario.load = Load::of(|now| match now {
                now if now < show() => 2_000.0,
                now if now < at(65) => 36_000.0,
                _ => 10_000.0,
            });
            with((scenario, promise), Script::out(Part::Evictions, at(80), at(200)))
        }),
        ("Hotstar: the account's quota is as large as the event", {
            let (scenario, promise) = evening(|s| s.supply.quota = Some(17));
            with((scenario, promise), Script::default())
        }),
        ("Karpenter#3421: machines run and never join", out(Part::NeverJoins, -80, 30)),
        (
            "Karpenter#1905: none ever joins, and ever new ones are made",
            out(Part::NeverJoins, -80, 300),
        ),
        ("Hotstar: capacity comes in parts", with(partial(), Script::default())),
        (
            "EC2: no capacity at all, twice",
            with(
                evening(|s| s.supply.by_call = vec![0, 0, 17]),
                Script::out(Part::Lies, at(-80), at(-80)),
            ),
        ),
    ]
}

fn api_server_and_clock() -> Vec<Named> {
    vec![
        ("F17: the right to scale is taken away for a while", out(Part::Forbidden, -40, -20)),
        ("Reddit 2016: lists show a part of what there is", out(Part::ListsPartial, -70, 60)),
        ("Reddit 2016: half of what is held is on no list while it is held on", {
            let outages = vec![
                Outage { part: Part::Prometheus, from: at(30), until: at(300) },
                Outage { part: Part::ListsPartial, from: at(165), until: at(190) },
            ];
            with(plain(), Script { outages, ..Script::default() })
        }),
        ("F16: the API server is gone for half an hour across T0", out(Part::Api, -25, 5)),
        ("F16: the API server is gone across T0", out(Part::Api, -15, 15)),
        ("F16: the API server is gone across the end", out(Part::Api, 50, 90)),
        (
            "F16: the API server is busy when the evening begins",
            with(
                plain(),
                Script {
                    faults: (60..90).map(|request| At { request, fault: Fault::TooMany }).collect(),
                    ..Script::default()
                },
            ),
        ),
        ("F19: the clock goes back an hour before T0", clock(-3600, -30, 20)),
        ("F19: the clock goes forward an hour in the window", clock(3600, 10, 60)),
        ("F19: the clock goes back an hour while it comes down", clock(-3600, 85, 150)),
        ("F19: on-call calls it off while the clock is an hour fast", {
            let word = override_until("Release", at(2 * 3600));
            let (scenario, promise, _) =
                deeds(vec![Deed::create(at(20), word)], |promise| promise.until = at(20));
            with((scenario, promise), clock(3600, 15, 40).2)
        }),
        ("F19: a process begins an hour fast in the window", begins_wrong(3600, 10, 50)),
        ("F19: a process begins an hour fast while it comes down", begins_wrong(3600, 85, 150)),
        ("F19: a process begins an hour slow while it comes down", begins_wrong(-3600, 85, 150)),
        (
            "Cilium#42920: a standby takes over from a leader that died",
            fault(evening(|s| s.operators = 2), "PATCH /apis/apps/v1", Fault::CrashBefore),
        ),
        (
            "F18: the last write of an old leader arrives after the new one has acted",
            fault(evening(|s| s.operators = 2), "PATCH /apis/apps/v1", Fault::Late),
        ),
    ]
}

fn tools() -> Vec<Named> {
    vec![
        ("KEDA#6762: a person edits the HPA that KEDA makes", {
            let (mut scenario, promise) = under_keda();
            let hpa = named("autoscaling/v2", "HorizontalPodAutoscaler", "keda-hpa-web");
            scenario.deeds = [-20, 10, 40]
                .map(|n| set(n, hpa.clone(), json!({"minReplicas": 1}), "alice"))
                .to_vec();
            with((scenario, promise), Script::default())
        }),
        ("KEDA: no trigger is active, and it goes to idleReplicaCount whatever the minimum is", {
            let (mut scenario, mut promise) = under_keda();
            let scaled = scenario.objects.iter_mut().find(|o| o["kind"] == "ScaledObject").unwrap();
            scaled["spec"]["idleReplicaCount"] = 0.into();
            scaled["spec"]["triggers"] = json!([{"type": "cron", "metadata": {}}]);
            promise.afterwards = vec![
                ("ScaledObject", "web", "/spec/minReplicaCount", 10),
                ("ScaledObject", "web", "/spec/maxReplicaCount", 60),
                ("ScaledObject", "web", "/spec/idleReplicaCount", 0),
                ("Deployment", "web", "/spec/replicas", 0),
            ];
            with((scenario, promise), Script::default())
        }),
        (
            "KEDA#5490: the operator is away while KEDA goes on",
            with(under_keda(), Script::out(Part::Operator, at(10), at(30))),
        ),
        (
            "Argo CD#8207: a tool heals the replicas all evening",
            insisting(search(), json!({"replicas": 5}), "argocd", |promise| {
                promise.floors.retain(|(name, _)| *name != "search");
            }),
        ),
        (
            "Cortex chart#472: a tool heals the minimum all evening",
            insisting(
                named("autoscaling/v2", "HorizontalPodAutoscaler", "web"),
                json!({"minReplicas": 10}),
                "argocd",
                |promise| promise.floors.retain(|(name, _)| *name != "web"),
            ),
        ),
    ]
}

fn people() -> Vec<Named> {
    vec![
        (
            "GoKubeDownscaler: a hold is deleted by a person",
            deeds(
                vec![Deed {
                    at: at(10),
                    act: Act::Delete(named(
                        "primetime.dev/v1alpha1",
                        "SurgeHold",
                        "deployment-search",
                    )),
                }],
                |_| {},
            ),
        ),
        (
            "peers 8.4: a person raises by hand above the floor, and keeps it",
            deeds(vec![set(10, search(), json!({"replicas": 120}), "kubectl-edit")], |promise| {
                promise.afterwards.retain(|(_, name, ..)| *name != "search");
                promise.afterwards.push(("Deployment", "search", "/spec/replicas", 120));
            }),
        ),
        (
            "F15: a rival writes to the target every second",
            deeds(
                (-60..60)
                    .map(|n| {
                        let mut object = search();
                        object["metadata"]["annotations"] = json!({"rival": n.to_string()});
                        Deed { at: at(n), act: Act::Change { object, manager: "rival" } }
                    })
                    .collect(),
                |_| {},
            ),
        ),
        (
            "F38: the surge is deleted in the window",
            deeds(vec![Deed { at: at(20), act: Act::Delete(capital()) }], |promise| {
                promise.until = at(20) + Flags::SHORT.delete_grace;
            }),
        ),
        (
            "helm#12486: a surge is replaced by force in the window",
            deeds(replaced_by_force(20, 2), |_| {}),
        ),
        (
            "argo-cd#5882: a surge is replaced by force, again and again",
            deeds([5, 15, 25, 35].map(|n| replaced_by_force(n, 1)).concat(), |_| {}),
        ),
        (
            "helm#12486: a surge is replaced by force while its load is waited for",
            deeds(replaced_by_force(DURATION + 3, 2), |_| {}),
        ),
        (
            "F38: a target is deleted in the window",
            deeds(vec![Deed { at: at(20), act: Act::Delete(search()) }], |promise| {
                promise.floors.retain(|(name, _)| *name != "search");
                promise.afterwards.retain(|(_, name, ..)| *name != "search");
            }),
        ),
        (
            "F40: two surges on one target, and the first that ends cuts the other",
            with(overlapping(), Script::default()),
        ),
        (
            "k/k: dropping a floor is a cliff while the load lingers",
            with(lingering(), Script::default()),
        ),
        (
            "KEDA#6956: a pause without an end",
            deeds(vec![Deed::create(at(40), override_until("Hold", at(100)))], |promise| {
                promise.until = at(100);
            }),
        ),
        (
            "KEDA#6061: what on-call asks for is reverted",
            deeds(vec![Deed::create(at(20), override_until("Release", at(300)))], |promise| {
                promise.until = at(20);
            }),
        ),
        (
            "peers 8.4: the event is moved before it begins",
            deeds(
                vec![set(
                    -78,
                    capital(),
                    json!({"schedule": {"startTime": at(30).format("%Y-%m-%dT%H:%M:%SZ").to_string()}}),
                    "alice",
                )],
                |promise| {
                    promise.ready_by += seconds(30);
                    promise.window_from += seconds(30);
                    promise.end += seconds(30);
                },
            ),
        ),
    ]
}

fn deploys_and_records() -> Vec<Named> {
    vec![
        (
            "F32: a deploy in the middle, and another on the way down",
            deeds(
                [20, 76]
                    .map(|n| {
                        let template =
                            json!({"metadata": {"annotations": {"restartedAt": n.to_string()}}});
                        set(n, search(), json!({"template": template}), "kubectl-rollout")
                    })
                    .to_vec(),
                |_| {},
            ),
        ),
        ("K16: a person says when it begins, and another one says it again", {
            let (mut scenario, mut promise) = armed();
            let start = |n: i64| {
                let mut start = override_until("Start", at(n + 20));
                start["metadata"]["name"] = format!("start-{n}").into();
                Deed::create(at(n), start)
            };
            scenario.deeds = vec![start(20), start(30)];
            promise.end = at(20 + DURATION);
            promise.until = promise.end;
            promise.patience_ends += seconds(20);
            with((scenario, promise), Script::default())
        }),
        ("Bedrock: what fills the cache fails", with(cold("photos"), Script::default())),
        ("Bedrock: what is run afterwards fails", with(cold("shelves"), Script::default())),
        ("K16: no person says that it begins", with(armed(), Script::default())),
        (
            "F46: a hold says nonsense for a while",
            deeds(
                vec![
                    corrupt(10, hold("search"), "/spec/level/replicas", json!("ninety")),
                    corrupt(100, hold("search"), "/spec/level/replicas", json!(90)),
                ],
                |_| {},
            ),
        ),
        (
            "F41: a run is of a version that is not known yet, until it is rolled back",
            deeds(
                vec![
                    corrupt(10, run(), "/status/stage", json!("Rehearsing")),
                    corrupt(100, run(), "/status/stage", json!("Live")),
                ],
                |_| {},
            ),
        ),
    ]
}

fn recorded((scenario, _, script): &Case) -> Recording {
    play(scenario, script, 1).unwrap()
}

#[test]
fn what_has_gone_wrong_elsewhere_goes_well_here() {
    let rooms =
        [metrics_and_operator, cloud, api_server_and_clock, people, tools, deploys_and_records];
    let cases: Vec<Named> = rooms.iter().flat_map(|room| room()).collect();
    assert!(cases.len() >= 25, "{} cases", cases.len());
    let mut broken = Vec::new();
    for (name, case) in &cases {
        let recording = recorded(case);
        let rules = judge(&recording, &case.1, &case.2);
        if !rules.is_empty() {
            broken.push(format!("{name}: {}", rules.join("; ")));
            if std::env::var_os("PRIMETIME_STORY").is_some() {
                println!("{name}\n{}", recording.story().join("\n"));
            }
        }
    }
    assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), cases.len(), broken.join("\n"));
}

/// Argo CD#8207: Argo CD reverts `spec.replicas` of a target to the value in Git.
#[test]
fn a_revert_is_repaired_within_five_seconds_and_not_for_ever() {
    let reverts = [5, 15, 25, 35, 45].map(|n| set(n, search(), json!({"replicas": 5}), "argocd"));
    let case = deeds(reverts.to_vec(), |_| {});
    let recording = recorded(&case);
    let replicas = |n: i64| {
        let look = recording.looks.iter().find(|l| l.at >= at(n)).unwrap();
        look.workloads.iter().find(|w| w.name == "search").unwrap().replicas
    };
    assert_eq!([4, 10, 20, 30].map(replicas), [90; 4], "three times repaired");
    assert_eq!([40, 50].map(replicas), [5; 2], "then contested, and not fought");
    assert!(recording.over.is_some_and(|over| over > at(DURATION)), "it ends");
}

/// If a warm-up Job fails, the verdict becomes `AtRisk` at once. After a person fixes the CronJob
/// and deletes the failed Job, the planner runs the warm-up again before T0.
#[test]
fn a_failed_warm_up_is_said_and_run_again() {
    let (mut scenario, promise) = cold("photos");
    let script = Script::default();
    let unmended = play(&scenario, &script, 1).unwrap();
    let failed = unmended.history.iter().find(|e| e.key.0.kind == "Job").unwrap();
    let failed = named("batch/v1", "Job", &failed.key.2);
    let mut mended = named("batch/v1", "CronJob", "photos");
    mended["spec"] = json!({"jobTemplate": {"metadata": {"annotations": {FAILS: null}}}});
    let first = at(-20);
    scenario.deeds = vec![
        Deed { at: first, act: Act::Change { object: mended, manager: "alice" } },
        Deed { at: first, act: Act::Delete(failed) },
    ];
    let recording = play(&scenario, &script, 1).unwrap();
    assert_eq!(judge(&recording, &promise, &script), [""; 0]);
    let runs = || recording.history.iter().filter(|e| e.key.0.kind == "SurgeRun");
    let said = |until: Instant, verdict: &str| {
        let mut before = runs().take_while(|e| e.at <= until);
        before.any(|e| e.object["status"]["verdict"] == verdict)
    };
    assert!(said(first, "AtRisk") && !said(first, "Ready"));
    assert!(said(promise.ready_by, "Ready"));
    let last = runs().next_back().unwrap();
    assert_eq!(last.object["status"]["jobs"][0]["attempt"], 2);
}

/// Karpenter#9479: the planner replaces instances that the cloud has reclaimed, without the delay
/// of an hour that the issue reports.
#[test]
fn reclaimed_machines_are_replaced() {
    let (mut scenario, _) = plain();
    scenario.deeds = vec![Deed { at: at(5), act: Act::Reclaim(2) }];
    let recording = play(&scenario, &Script::default(), 1).unwrap();
    assert_eq!(recording.machines.len(), 19);
    assert!(recording.machines.iter().all(|m| m.ended_at.is_some()), "all are given back");
}

/// KEDA#5167, a Helm rename: the planner adopts an HPA that replaces another HPA of the same target
/// in the window.
///
/// The new HPA has the original bounds and reduces the pods to `spec.maxReplicas` once. The planner
/// then raises the bounds, and restores the original bounds after the event.
#[test]
fn an_autoscaler_that_replaces_another_one_is_adopted() {
    let (mut scenario, mut promise) = plain();
    let is_hpa = |o: &&Value| o["kind"] == "HorizontalPodAutoscaler";
    let hpa = scenario.objects.iter().find(is_hpa).unwrap().clone();
    let mut other = hpa.clone();
    other["metadata"]["name"] = "web-v3".into();
    scenario.deeds = vec![
        Deed { at: at(20), act: Act::Delete(hpa) },
        Deed { at: at(22), act: Act::Create(other) },
    ];
    let name = |of: &mut (&str, &'static str, &str, i64)| {
        if of.0 == "HorizontalPodAutoscaler" {
            of.1 = "web-v3";
        }
    };
    promise.afterwards.iter_mut().for_each(name);
    promise.floors.retain(|(name, _)| *name != "web");
    let recording = play(&scenario, &Script::default(), 1).unwrap();
    assert_eq!(judge(&recording, &promise, &Script::default()), [""; 0]);
    let low: Vec<Instant> = recording
        .looks
        .iter()
        .filter(|look| look.at >= at(-5) && look.at < at(DURATION))
        .filter(|look| look.workloads.iter().any(|w| w.name == "web" && w.replicas < 180))
        .map(|look| look.at)
        .collect();
    assert!(low.iter().all(|low| *low >= at(22) && *low < at(24)), "{low:?}");
    let holds = recording.history.iter().filter(|e| e.key.0.kind == "SurgeHold");
    for hold in holds.filter(|hold| hold.key.2 == "deployment-web") {
        assert_eq!(hold.object["spec"].get("contestedBy"), None, "at {}", hold.at);
    }
}
