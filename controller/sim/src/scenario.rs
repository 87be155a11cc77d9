//! Evenings for the tests, with every fault at every request. A minute of the example takes a
//! second of virtual time.

pub mod shop;

use chrono::TimeDelta;
use primetime_core::Instant;
use serde_json::{Value, json};

use crate::cloud::Supply;
use crate::cluster::jobs::TAKES;
use crate::cluster::model::Pace;
use crate::evening::people::{Act, Deed};
use crate::evening::{SHOP, Scenario, Until};
use crate::load::Load;
use crate::operator::Flags;
use crate::oracle::case::Promise;
use crate::scenario::shop::{
    DURATION, READY_BEFORE, capital, cron_job, guide, override_until, seconds, shop, show, visitors,
};

/// Returns the plain evening: the announced event without any fault or change.
#[must_use]
pub fn plain() -> (Scenario, Promise) {
    let mut objects = shop();
    objects.push(capital("capital"));
    let scenario = Scenario {
        name: "a plain evening",
        begin: show() - seconds(80),
        until: Until::AllIsOver(seconds(600)),
        // `hold.forSeconds` is 15, and seconds before the end count. A false load of 0 in the last
        // 16 s before the end would therefore start the release.
        deceivable: show() + seconds(DURATION - 16),
        operators: 1,
        objects,
        deeds: Vec::new(),
        load: visitors(36_000.0),
        supply: Supply::default(),
        keda: false,
        insists: Vec::new(),
        pace: Pace {
            step: TimeDelta::milliseconds(250),
            pods_per_second: 200,
            pods_per_node: 10,
            pods_per_namespace: usize::MAX,
            start_up: (500, 2_000),
            hpa_sync: seconds(1),
            hpa_memory: seconds(5),
            node_autoscaler: 0,
        },
        boot_time: seconds(5),
        flags: Flags::SHORT,
    };
    let promise = Promise {
        ready_by: show() - seconds(READY_BEFORE),
        window_from: show() - seconds(READY_BEFORE),
        end: show() + seconds(DURATION),
        until: show() + seconds(DURATION),
        patience_ends: show() + seconds(DURATION + 120),
        floors: vec![("web", 180), ("search", 90)],
        shape: None,
        afterwards: vec![
            ("HorizontalPodAutoscaler", "web", "/spec/minReplicas", 10),
            ("HorizontalPodAutoscaler", "web", "/spec/maxReplicas", 60),
            ("Deployment", "search", "/spec/replicas", 5),
        ],
        machines: 17,
        caps: vec![("web", 260), ("search", 90)],
        edits: Vec::new(),
        words: Vec::new(),
        step_percent: 20,
        step: seconds(2),
        settle: seconds(2),
    };
    (scenario, promise)
}

/// Returns the evening with a load above the announced load.
#[must_use]
pub fn beyond() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    scenario.name = "beyond the forecast";
    scenario.load = visitors(45_000.0);
    (scenario, promise)
}

/// Returns the evening in which the cloud launches 10 of 17 instances at the first call and the
/// rest at the second call.
#[must_use]
pub fn partial() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    scenario.name = "machines with partial capacity";
    scenario.supply.by_call = vec![10, u32::MAX];
    (scenario, promise)
}

/// Returns the evening in which a second surge on `web` overlaps the first, with a lower floor and
/// without machines.
#[must_use]
pub fn overlapping() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    scenario.name = "two overlapping runs";
    let mut second = capital("second");
    second["spec"]["machines"] = json!([]);
    second["spec"]["schedule"]["startTime"] =
        (show() + seconds(30)).format("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    second["spec"]["targets"] = json!([second["spec"]["targets"][0]]);
    second["spec"]["targets"][0]["replicas"] = 60.into();
    scenario.objects.push(second);
    (scenario, promise)
}

/// Returns the evening of a surge with two windows. The second window, an encore, begins before the
/// first window ends.
#[must_use]
pub fn encore() -> (Scenario, Promise) {
    let (mut scenario, mut promise) = plain();
    scenario.name = "an evening and its encore";
    let window = |name: &str, start: Instant, seconds: i64| {
        let start = start.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        json!({"name": name, "startTime": start, "durationSeconds": seconds})
    };
    let mut surge = capital("capital");
    surge["spec"]["schedule"] = json!({"windows": [
        window("evening", show(), DURATION), window("encore", show() + seconds(40), 40),
    ]});
    scenario.objects.retain(|o| o["kind"] != "ScheduledSurge");
    scenario.objects.push(surge);
    promise.end = show() + seconds(80);
    promise.until = promise.end;
    promise.machines *= 2;
    (scenario, promise)
}

/// Returns the evening in which on-call boosts `web` to 240 replicas for 30 s.
#[must_use]
pub fn boosted() -> (Scenario, Promise) {
    let (mut scenario, mut promise) = plain();
    scenario.name = "a boost in the middle";
    let (from, until) = (show() + seconds(10), show() + seconds(40));
    promise.edits = vec![until];
    promise.words = vec![("web", from, until, 240)];
    let mut boost = override_until("Boost", until);
    boost["spec"]["target"] = "web".into();
    boost["spec"]["replicas"] = 240.into();
    scenario.deeds = vec![Deed::create(from, boost)];
    (scenario, promise)
}

/// Returns the evening in which the load lingers past the end, so that the run delays the release.
#[must_use]
pub fn lingering() -> (Scenario, Promise) {
    let (mut scenario, mut promise) = plain();
    scenario.name = "a release with lingering load";
    let curve = |at: Instant| match (at - show()).num_seconds() {
        0..65 => 36_000.0,
        65..110 => 14_000.0,
        _ => 2_000.0,
    };
    scenario.load = Load::of(curve);
    promise.until = show() + seconds(110);
    (scenario, promise)
}

/// Returns the evening with `web` under KEDA. KEDA creates the HPA and reverts every foreign change
/// of the HPA.
#[must_use]
pub fn under_keda() -> (Scenario, Promise) {
    let (mut scenario, mut promise) = plain();
    scenario.name = "under KEDA";
    scenario.keda = true;
    scenario.objects.retain(|o| o["kind"] != "HorizontalPodAutoscaler");
    scenario.objects.push(json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": "web", "namespace": SHOP},
        "spec": {
            "scaleTargetRef": {"name": "web"}, "minReplicaCount": 10, "maxReplicaCount": 60,
            "triggers": [{
                "type": "prometheus", "metadata": {"query": "sessions", "threshold": "200"},
            }],
        },
    }));
    promise.afterwards = vec![
        ("ScaledObject", "web", "/spec/minReplicaCount", 10),
        ("ScaledObject", "web", "/spec/maxReplicaCount", 60),
        ("HorizontalPodAutoscaler", "keda-hpa-web", "/spec/minReplicas", 10),
        ("Deployment", "search", "/spec/replicas", 5),
    ];
    (scenario, promise)
}

/// Returns the plain evening with two operators, of which the elected leader acts.
#[must_use]
pub fn elected() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    scenario.name = "two operators";
    scenario.operators = 2;
    (scenario, promise)
}

/// Returns the evening announced by a calendar. Two minutes before the start, the calendar moves
/// the event to 30 s earlier. After the start, the calendar is empty.
#[must_use]
pub fn followed() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    scenario.name = "an evening that a calendar moves";
    let mut surge = capital("capital");
    surge["spec"]["schedule"] = json!({"calendarRef": {"name": "guide"}});
    scenario.objects.retain(|o| o["kind"] != "ScheduledSurge");
    scenario.objects.extend([
        guide(Some(show() + seconds(30))),
        json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeCalendar",
            "metadata": {"name": "guide", "namespace": SHOP},
            "spec": {
                "format": "iCalendar", "configMapKeyRef": {"name": "guide", "key": "guide.ics"},
                "match": {"title": "capital*"}, "intervalSeconds": 10,
            },
        }),
        surge,
    ]);
    let change = |at: Instant, start: Option<Instant>| Deed {
        at,
        act: Act::Change { object: guide(start), manager: "broadcaster" },
    };
    scenario.begin = show() - seconds(140);
    scenario.deeds =
        vec![change(show() - seconds(120), Some(show())), change(show() + seconds(20), None)];
    (scenario, promise)
}

/// Returns the evening with Jobs. The warm-up Job `photos` runs once `search` is ready, `banner`
/// runs at the start, and `shelves` runs at the release.
#[must_use]
pub fn warmed() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    scenario.name = "an evening with a warm-up";
    scenario.begin = show() - seconds(100);
    let job = |name: &str, after: Value| json!({"name": name, "jobTemplateRef": {"name": name}, "deadlineSeconds": 15, "after": after});
    for surge in scenario.objects.iter_mut().filter(|o| o["kind"] == "ScheduledSurge") {
        surge["spec"]["warmUp"] = json!([job("photos", json!(["search"]))]);
        surge["spec"]["onLive"] = json!([job("banner", json!([]))]);
        surge["spec"]["onRelease"] = json!([job("shelves", json!([]))]);
    }
    scenario.objects.extend(["photos", "banner", "shelves"].map(|name| cron_job(name, false)));
    (scenario, promise)
}

/// Returns the evening with a load above `maxReplicas` of `web`. Three degradation steps take
/// effect until the load has fallen: order capture, a plain page, a shield.
#[must_use]
pub fn shed() -> (Scenario, Promise) {
    let (mut scenario, promise) = plain();
    scenario.name = "more than there may be";
    scenario.load = visitors(56_000.0);
    let step = |name: &str, mut when: Value, does: &str, what: Value| {
        when["forSeconds"] = 2.into();
        json!({"name": name, "when": when, "minimumSeconds": 5, does: what})
    };
    let too_many = json!({"signal": "sessions", "above": "50000", "below": "40000"});
    let behind = json!({"target": "web", "behindReplicas": 15});
    let capture = json!({"name": "shop-flags", "key": "checkout", "value": "capture"});
    let plain_page = json!({"name": "shop", "rule": "pages", "backend": "plain", "weight": 100});
    let shield = json!({
        "degrade": {"name": "shield"}, "restore": {"name": "unshield"}, "deadlineSeconds": 15,
    });
    for surge in scenario.objects.iter_mut().filter(|o| o["kind"] == "ScheduledSurge") {
        surge["spec"]["degrade"] = json!([
            step("order-capture", too_many.clone(), "configMapRef", capture.clone()),
            step("plain-page", behind.clone(), "httpRouteRef", plain_page.clone()),
            step("shield", behind.clone(), "jobs", shield.clone()),
        ]);
    }
    scenario.objects.push(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "shop-flags", "namespace": SHOP},
        "data": {"checkout": "normal", "photos": "large"},
    }));
    scenario.objects.push(json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": SHOP},
        "spec": {"rules": [{"name": "pages", "backendRefs": [
            {"name": "web", "port": 80, "weight": 1}, {"name": "plain", "port": 80, "weight": 0},
        ]}]},
    }));
    // The degrade Job of `shield` runs 12 s, longer than the time until on-call deactivates the
    // step.
    let mut slow = cron_job("shield", false);
    slow["spec"]["jobTemplate"]["metadata"]["annotations"] = json!({TAKES: "12000"});
    scenario.objects.extend([slow, cron_job("unshield", false)]);
    let off = show() + seconds(12);
    let mut restore = override_until("Restore", off + seconds(6));
    restore["spec"]["step"] = "shield".into();
    scenario.deeds = vec![Deed::create(off, restore)];
    (scenario, promise)
}

/// Returns the evening of four minutes with a shape: full for half a minute, a quarter after two
/// minutes, and half of the plan for the end.
#[must_use]
pub fn shaped() -> (Scenario, Promise) {
    let (mut scenario, mut promise) = plain();
    scenario.name = "a plan with a shape";
    let (full, low, last) = (30, 120, 240);
    let point = |offset: i64, percent: u32| json!({"offsetSeconds": offset, "percent": percent});
    let points = [point(0, 100), point(full, 100), point(low, 25), point(200, 25), point(220, 50)];
    let shape = json!({"interpolation": "Linear", "headroomPercent": 10, "points": points});
    for surge in scenario.objects.iter_mut().filter(|o| o["kind"] == "ScheduledSurge") {
        surge["spec"]["shape"] = shape.clone();
        surge["spec"]["schedule"]["durationSeconds"] = last.into();
    }
    let curve = move |at: Instant| match (at - show()).num_seconds() {
        since if since >= 0 && since < full => 36_000.0,
        since if since >= full && since < low => 20_000.0,
        since if since >= low && since < last + 5 => 8_000.0,
        _ => 2_000.0,
    };
    scenario.load = Load::of(curve);
    scenario.until = Until::AllIsOver(seconds(900));
    scenario.deceivable = show() + seconds(last - 16);
    promise.end = show() + seconds(last);
    promise.until = promise.end;
    promise.patience_ends = show() + seconds(last + 120);
    let read = serde_json::from_value::<primetime_api::Shape>(shape).ok();
    promise.shape = read.and_then(|shape| Some((show(), shape.read().ok()?)));
    (scenario, promise)
}

/// Returns all evenings, each with the promise that the operator must keep.
#[must_use]
pub fn all() -> Vec<(Scenario, Promise)> {
    vec![
        plain(),
        beyond(),
        partial(),
        overlapping(),
        boosted(),
        lingering(),
        under_keda(),
        elected(),
        encore(),
        followed(),
        warmed(),
        shed(),
        shaped(),
    ]
}
