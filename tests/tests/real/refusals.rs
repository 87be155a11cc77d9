//! Invalid objects: the API server refuses each object at apply with a clear error, and stores
//! nothing.

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use primetime_tests::capital;
use primetime_tests::evening::Evening;
use primetime_tests::plane::Options;
use primetime_tests::process::{command, run};
use primetime_tests::tools::{built, root};
use serde_json::{Value, json};

type Change = fn(&mut Value);

fn schedule(surge: &mut Value, start: &str, zone: Option<&str>) {
    surge["spec"]["schedule"]["startTime"] = start.into();
    surge["spec"]["schedule"]["timeZone"] = zone.map_or(Value::Null, Into::into);
    if zone.is_none() {
        surge["spec"]["schedule"].as_object_mut().map(|s| s.remove("timeZone"));
    }
}

/// Removes `spec.schedule.startTime`, and sets `spec.schedule.cron` if given.
fn recurs(surge: &mut Value, cron: Option<&str>) {
    surge["spec"]["schedule"].as_object_mut().map(|s| s.remove("startTime"));
    if let Some(cron) = cron {
        surge["spec"]["schedule"]["cron"] = json!(cron);
    }
}

/// Removes `perReplica` of the first signal, and sets `threshold` if given. A threshold measures
/// utilization, not an amount.
fn full(surge: &mut Value, threshold: Option<&str>) {
    let signal = &mut surge["spec"]["signals"][0];
    signal.as_object_mut().map(|s| s.remove("perReplica"));
    if let Some(threshold) = threshold {
        signal["threshold"] = json!(threshold);
    }
}

/// Sets a field of `scaleTargetRef` of the first target.
fn target(surge: &mut Value, field: &str, text: &str) {
    surge["spec"]["targets"][0]["scaleTargetRef"][field] = json!(text);
}

/// Sets the name in the reference at the given JSON pointer to a path into another namespace.
fn named(surge: &mut Value, reference: &str) {
    if let Some(reference) = surge.pointer_mut(reference) {
        reference["name"] = json!("../../kube-system/x");
    }
}

/// Sets a degradation step that writes to the given `configMapRef`.
fn writes(surge: &mut Value, reference: &Value) {
    let mut reference = reference.clone();
    reference["value"] = json!("x");
    surge["spec"]["degrade"] = json!([{
        "name": "a", "when": {"target": "web", "behindReplicas": 1}, "configMapRef": reference,
    }]);
}

/// Sets the query of the first signal.
fn asks(surge: &mut Value, query: &str) {
    surge["spec"]["signals"][0]["query"] = json!(query);
}

/// Description of the mistake, change that causes the mistake, expected text in the error.
const SURGES: [(&str, Change, &str); 93] = [
    (
        "a calendar and a start",
        |s| s["spec"]["schedule"]["calendarRef"] = json!({"name": "guide"}),
        "exactly one of startTime, cron, windows and calendarRef",
    ),
    (
        "the end before the start",
        |s| s["spec"]["schedule"]["durationSeconds"] = json!(-5),
        "durationSeconds",
    ),
    ("no duration", |s| s["spec"]["schedule"]["durationSeconds"] = json!(0), "durationSeconds"),
    (
        "more than a week",
        |s| s["spec"]["schedule"]["durationSeconds"] = json!(604_801),
        "durationSeconds",
    ),
    (
        "a wait for a start where it begins by itself",
        |s| s["spec"]["armedSeconds"] = json!(3600),
        "belongs to startPolicy Manual only",
    ),
    (
        "31 April",
        |s| schedule(s, "2031-04-31T21:00:00", Some("Europe/Paris")),
        "is not a date and time that exists",
    ),
    (
        "25 o'clock",
        |s| schedule(s, "2031-04-30T25:00:00", Some("Europe/Paris")),
        "is not a date and time that exists",
    ),
    (
        "no time at all",
        |s| schedule(s, "tomorrow at nine pm", Some("Europe/Paris")),
        "must be a wall clock such as",
    ),
    (
        "a skipped hour",
        |s| schedule(s, "2031-03-30T02:30:00", Some("Europe/Paris")),
        "does not exist in Europe/Paris: clocks go forward",
    ),
    (
        "a repeated hour",
        |s| schedule(s, "2031-10-26T02:30:00", Some("Europe/Paris")),
        "happens twice in Europe/Paris",
    ),
    (
        "an unknown zone",
        |s| schedule(s, "2031-01-12T21:00:00", Some("Europe/Pariss")),
        "is not an IANA time zone in tzdb",
    ),
    (
        "a zone that ignores summer time",
        |s| schedule(s, "2031-01-12T21:00:00", Some("EST")),
        "is not an IANA time zone in tzdb",
    ),
    (
        "a wall clock without a zone",
        |s| schedule(s, "2031-01-12T21:00:00", None),
        "timeZone: required",
    ),
    (
        "an offset against the zone",
        |s| schedule(s, "2031-01-12T21:00:00+05:00", Some("Europe/Paris")),
        "does not match Europe/Paris",
    ),
    (
        "a start in the past",
        |s| schedule(s, "2014-01-12T21:00:00", Some("Europe/Paris")),
        "is in the past",
    ),
    (
        "a start and a crontab",
        |s| s["spec"]["schedule"]["cron"] = json!("50 20 * * SUN"),
        "exactly one of startTime, cron, windows and calendarRef",
    ),
    (
        "no start at all",
        |s| recurs(s, None),
        "exactly one of startTime, cron, windows and calendarRef",
    ),
    ("a second more", |s| recurs(s, Some("0 50 20 * * SUN")), "6 fields; write five"),
    ("a zone in front", |s| recurs(s, Some("TZ=UTC 50 20 * * SUN")), "write the zone in timeZone"),
    ("a word", |s| recurs(s, Some("@midnight")), "write five fields"),
    ("an eighth day", |s| recurs(s, Some("50 20 * * 7")), "in the day-of-week field"),
    ("a 25th hour", |s| recurs(s, Some("50 24 * * *")), "\"24\" in the hour field"),
    ("31 February", |s| recurs(s, Some("50 20 31 2 *")), "never begins"),
    ("every half hour", |s| recurs(s, Some("*/30 * * * *")), "begins more than once an hour"),
    (
        "the next show before the end of this one",
        |s| recurs(s, Some("50 20,21 * * *")),
        "occurrences overlap: one lasts 7200 s and the next begins 3600 s after it began",
    ),
    (
        "a crontab without a zone",
        |s| {
            recurs(s, Some("50 20 * * SUN"));
            s["spec"]["schedule"].as_object_mut().map(|s| s.remove("timeZone"));
        },
        "timeZone: required with cron",
    ),
    (
        "a window in a skipped hour",
        |s| {
            recurs(s, None);
            s["spec"]["schedule"].as_object_mut().map(|s| s.remove("durationSeconds"));
            s["spec"]["schedule"]["windows"] = json!([
                {"name": "night", "startTime": "2031-03-30T02:30:00", "durationSeconds": 60}]);
        },
        "spec.schedule.windows[0].startTime: 2031-03-30T02:30:00 does not exist in Europe/Paris",
    ),
    (
        "a window and a duration for all",
        |s| {
            recurs(s, None);
            s["spec"]["schedule"]["windows"] = json!([
                {"name": "evening", "cron": "50 20 * * SUN", "durationSeconds": 60}]);
        },
        "durationSeconds: required with startTime or cron; windows have their own",
    ),
    (
        "30 February excluded",
        |s| {
            recurs(s, Some("50 20 * * SUN"));
            s["spec"]["schedule"]["exclude"] = json!([{"date": "2031-02-30"}]);
        },
        "spec.schedule.exclude[0].date: \"2031-02-30\" is not a date that exists",
    ),
    ("no history", |s| s["spec"]["historyLimit"] = json!(0), "spec.historyLimit"),
    (
        "another namespace",
        |s| s["spec"]["targets"][0]["scaleTargetRef"]["namespace"] = json!("kube-system"),
        "unknown field",
    ),
    ("an unknown field", |s| s["spec"]["replica"] = json!(3), "unknown field"),
    (
        "a kind without scale",
        |s| {
            s["spec"]["targets"][0]["scaleTargetRef"] =
                json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x"});
        },
        "has no scale subresource",
    ),
    (
        "a DaemonSet",
        |s| {
            s["spec"]["targets"][0]["scaleTargetRef"] =
                json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "x"});
        },
        "has no scale subresource",
    ),
    (
        "an HPA as target",
        |s| {
            s["spec"]["targets"][0]["scaleTargetRef"] = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "x"});
        },
        "is an autoscaler; name the workload that it scales",
    ),
    (
        "a kind that is not there",
        |s| {
            s["spec"]["targets"][0]["scaleTargetRef"] =
                json!({"apiVersion": "shop.example/v1", "kind": "Till", "name": "x"});
        },
        "is not served by this cluster",
    ),
    (
        "replicas above the maximum",
        |s| s["spec"]["targets"][0]["maxReplicas"] = json!(100),
        "replicas exceeds maxReplicas",
    ),
    (
        "two forms of replicas",
        |s| s["spec"]["targets"][0]["multiplier"] = json!("2"),
        "exactly one of replicas, multiplier and load",
    ),
    (
        "no form of replicas",
        |s| {
            s["spec"]["targets"][0].as_object_mut().map(|t| t.remove("replicas"));
        },
        "exactly one of replicas, multiplier and load",
    ),
    (
        "a load without what a replica carries",
        |s| {
            s["spec"]["targets"][1].as_object_mut().map(|t| t.remove("multiplier"));
            s["spec"]["targets"][1]["load"] = json!(36_000);
        },
        "load and loadPerReplica belong together",
    ),
    (
        "a load that needs more than the maximum",
        |s| {
            s["spec"]["targets"][0].as_object_mut().map(|t| t.remove("replicas"));
            s["spec"]["targets"][0]["load"] = json!(90_000);
            s["spec"]["targets"][0]["loadPerReplica"] = json!(200);
        },
        "load needs more replicas than maxReplicas",
    ),
    (
        "a multiplier of nothing",
        |s| s["spec"]["targets"][1]["multiplier"] = json!("0"),
        "is not a positive decimal",
    ),
    (
        "a name that is no label",
        |s| s["spec"]["targets"][0]["name"] = json!("../web"),
        "spec.targets[0].name",
    ),
    (
        "a multiplier that is no decimal",
        |s| s["spec"]["targets"][1]["multiplier"] = json!("lots"),
        "multiplier",
    ),
    (
        "the same workload twice",
        |s| s["spec"]["targets"][1]["scaleTargetRef"]["name"] = json!("web"),
        "the same workload is named twice",
    ),
    (
        "a signal that says nothing of replicas",
        |s| full(s, None),
        "exactly one of perReplica and threshold",
    ),
    (
        "a signal that counts and says how full",
        |s| s["spec"]["signals"][0]["threshold"] = json!("0.8"),
        "exactly one of perReplica and threshold",
    ),
    (
        "a look ahead of what is full",
        |s| {
            full(s, Some("0.8"));
            s["spec"]["signals"][0]["lookAheadSeconds"] = json!(60);
        },
        "lookAheadSeconds belongs to perReplica only",
    ),
    ("a threshold that is no decimal", |s| full(s, Some("80%")), "threshold"),
    (
        "a rung that is no decimal",
        |s| s["spec"]["targets"][0]["rungs"] = json!([{"name": "x5", "multiplier": "five"}]),
        "multiplier",
    ),
    (
        "a rung of nothing",
        |s| s["spec"]["targets"][0]["rungs"] = json!([{"name": "x0", "multiplier": "0"}]),
        "is not a positive decimal",
    ),
    (
        "no pod at a time",
        |s| s["spec"]["targets"][0]["maxStepReplicas"] = json!(0),
        "maxStepReplicas",
    ),
    ("a shrug", |s| s["spec"]["onUnknown"] = json!("Shrug"), "onUnknown"),
    (
        "a signal of no target",
        |s| s["spec"]["signals"][0]["target"] = json!("tills"),
        "each signal must name a target",
    ),
    (
        "a share of what there is to do, and no pod to do it",
        |s| {
            s["spec"]["signals"][0].as_object_mut().map(|signal| signal.remove("target"));
        },
        "perReplica and threshold belong to a target",
    ),
    (
        "a step that watches an absent signal",
        |s| ladder(s, &json!({"signal": "errors", "above": "0.01"})),
        "each signal must be one of this surge",
    ),
    (
        "a step that watches an absent target",
        |s| ladder(s, &json!({"target": "tills", "behindReplicas": 5})),
        "each target must be one of this surge",
    ),
    (
        "a step that watches everything",
        |s| {
            let when =
                json!({"signal": "sessions", "above": "1", "target": "web", "behindReplicas": 5});
            ladder(s, &when);
        },
        "exactly one of signal and target",
    ),
    (
        "a step without a line",
        |s| ladder(s, &json!({"signal": "sessions"})),
        "signal and above belong together",
    ),
    (
        "a step that goes off above where it goes on",
        |s| ladder(s, &json!({"signal": "sessions", "above": "9", "below": "10"})),
        "below is higher than above",
    ),
    (
        "a target that may be behind by nothing",
        |s| ladder(s, &json!({"target": "web", "behindReplicas": 0})),
        "behindReplicas",
    ),
    (
        "a line below nothing",
        |s| ladder(s, &json!({"target": "web", "behindReplicas": 5, "below": "1"})),
        "below belongs to above",
    ),
    (
        "nothing to have ready",
        |s| {
            s["spec"]["targets"] = json!([]);
            s["spec"]["signals"] = json!([]);
            s["spec"]["machines"] = json!([]);
        },
        "at least one target or one group of machines",
    ),
    ("a path for a version", |s| target(s, "apiVersion", "v1%2Fpods"), "apiVersion"),
    ("a query for a version", |s| target(s, "apiVersion", "apps/v1?a=1"), "apiVersion"),
    ("a way up", |s| target(s, "apiVersion", "apps/v1/../../v1"), "apiVersion"),
    ("a resource for a version", |s| target(s, "apiVersion", "apps/v1/deployments"), "apiVersion"),
    ("a fragment", |s| target(s, "apiVersion", "apps/v1#"), "apiVersion"),
    ("a line end", |s| target(s, "apiVersion", "apps/v1\n"), "apiVersion"),
    ("an empty segment", |s| target(s, "apiVersion", "apps//v1"), "apiVersion"),
    ("a path for a kind", |s| target(s, "kind", "Deployment/../Secret"), "kind"),
    ("another namespace", |s| target(s, "name", "../../kube-system/coredns"), "name"),
    ("a name in capitals", |s| target(s, "name", "Web"), "name"),
    (
        "a hold that could not be named",
        |s| target(s, "name", &"w".repeat(253)),
        "the name of its SurgeHold",
    ),
    (
        "a run that could not be named",
        |s| s["metadata"]["name"] = json!("c".repeat(253)),
        "the name of a run is 17 characters longer",
    ),
    ("a class elsewhere", |s| named(s, "/spec/machines/0/instanceClassRef"), "instanceClassRef"),
    ("a source elsewhere", |s| named(s, "/spec/signals/0/metricsSourceRef"), "metricsSourceRef"),
    (
        "a Job elsewhere",
        |s| {
            s["spec"]["warmUp"] =
                json!([{"name": "a", "jobTemplateRef": {"name": "../../kube-system/a"}}]);
        },
        "jobTemplateRef",
    ),
    ("a ConfigMap elsewhere", |s| writes(s, &json!({"name": "../a", "key": "b"})), "configMapRef"),
    ("a key that is a folder", |s| writes(s, &json!({"name": "a", "key": ".."})), "configMapRef"),
    (
        "a calendar elsewhere",
        |s| s["spec"]["schedule"] = json!({"calendarRef": {"name": "a?b"}}),
        "calendarRef",
    ),
    ("a comment", |s| asks(s, "sum(shop_sessions) # all"), "a query has no comments"),
    (
        "an answer for another query",
        |s| {
            asks(
                s,
                "(vector(70000)) #\r), \"primetime_query\", \"1\", \"\", \"\") or label_replace((vector(1)",
            );
        },
        "a query has no comments",
    ),
    (
        "second 60",
        |s| schedule(s, "2031-01-12T21:00:60", Some("Europe/Paris")),
        "must be a wall clock such as",
    ),
    (
        "second 60 of an instant",
        |s| schedule(s, "2031-01-12T20:59:60+01:00", Some("Europe/Paris")),
        "an instant such as 2014",
    ),
    (
        "a multiplier of two thousand",
        |s| s["spec"]["targets"][1]["multiplier"] = json!("2000"),
        "multiplier must be at most 1000",
    ),
    (
        "a multiplier just beyond",
        |s| s["spec"]["targets"][1]["multiplier"] = json!("1000.000001"),
        "multiplier must be at most 1000",
    ),
    (
        "a rung of two thousand",
        |s| s["spec"]["targets"][0]["rungs"] = json!([{"name": "x", "multiplier": "2000"}]),
        "multiplier must be at most 1000",
    ),
    (
        "a load of ten thousand and one pods",
        |s| {
            let target = &mut s["spec"]["targets"][0];
            target.as_object_mut().map(|t| (t.remove("replicas"), t.remove("maxReplicas")));
            target["load"] = json!(10_001);
            target["loadPerReplica"] = json!(1);
        },
        "load needs more than 10000 replicas",
    ),
    (
        "a load without end",
        |s| {
            let target = &mut s["spec"]["targets"][0];
            target.as_object_mut().map(|t| (t.remove("replicas"), t.remove("maxReplicas")));
            target["load"] = json!(i64::MAX);
            target["loadPerReplica"] = json!(1);
        },
        "load needs more than 10000 replicas",
    ),
    (
        "more replicas than a target gets",
        |s| s["spec"]["targets"][0]["maxReplicas"] = json!(10_001),
        "maxReplicas",
    ),
    ("a carriage return", |s| asks(s, "sum(\rshop_sessions)"), "query"),
    ("an escape sequence", |s| asks(s, "sum(\u{1b}[2Jshop_sessions)"), "query"),
];

/// Sets a degradation step with the given condition (`spec.degrade[].when`).
fn ladder(surge: &mut Value, when: &Value) {
    surge["spec"]["degrade"] = json!([{
        "name": "light", "when": when,
        "configMapRef": {"name": "shop-flags", "key": "page", "value": "light"},
    }]);
}

const OVERRIDES: [(&str, Change, &str); 9] = [
    (
        "no reason",
        |o| {
            o["spec"].as_object_mut().map(|s| s.remove("reason"));
        },
        "spec.reason",
    ),
    (
        "no expiry",
        |o| {
            o["spec"].as_object_mut().map(|s| s.remove("expireTime"));
        },
        "spec.expireTime",
    ),
    (
        "an expiry in the past",
        |o| o["spec"]["expireTime"] = json!("2014-01-12T21:00:00Z"),
        "is in the past",
    ),
    (
        "an expiry beyond a day",
        |o| o["spec"]["expireTime"] = json!((Utc::now() + TimeDelta::hours(25)).to_rfc3339()),
        "at most 24 hours",
    ),
    (
        "a boost without an amount",
        |o| o["spec"]["action"] = json!("Boost"),
        "exactly one of replicas and percent",
    ),
    (
        "an amount without a boost",
        |o| o["spec"]["replicas"] = json!(5),
        "belong to action Boost only",
    ),
    (
        "a step without a ladder",
        |o| o["spec"]["step"] = json!("order-capture"),
        "step belongs to actions Degrade and Restore only",
    ),
    (
        "an escape sequence in the reason",
        |o| o["spec"]["reason"] = json!("\u{1b}[2Jall is well"),
        "spec.reason",
    ),
    ("an unknown action", |o| o["spec"]["action"] = json!("Panic"), "spec.action"),
];

/// Returns metrics sources with credentials, tenants or addresses that the API server refuses.
fn sources() -> Vec<(&'static str, Value, &'static str)> {
    let source = |url: &str| {
        json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "MetricsSource",
            "metadata": {"name": "x"}, "spec": {"url": url},
        })
    };
    let secured = |field: &str, value: Value| {
        let mut object = source("https://prometheus:9090");
        object["spec"][field] = value;
        object
    };
    let token = json!({"bearerTokenRef": {"name": "prometheus", "key": "token"}});
    let mut clear = source("http://prometheus:9090");
    clear["spec"]["auth"] = token.clone();
    let mut both = token;
    both["basicRef"] = json!({"name": "prometheus"});
    vec![
        ("credentials in the clear", clear, "credentials are sent over https only"),
        ("two credentials", secured("auth", both), "at most one of bearerTokenRef and basicRef"),
        ("no credential", secured("auth", json!({})), "one of bearerTokenRef, basicRef"),
        (
            "one tenant for all",
            secured("tenancy", json!({"header": "X-Scope-OrgID", "value": "all"})),
            "must contain {namespace}",
        ),
        (
            "a tenant twice",
            secured("tenancy", json!({"header": "X-Scope-OrgID", "parameter": "namespace"})),
            "exactly one of header and parameter",
        ),
        (
            "credentials as a header",
            secured("headers", json!([{"name": "Authorization", "value": "Bearer x"}])),
            "credentials stand in spec.auth",
        ),
        (
            "a header of two lines",
            secured("headers", json!([{"name": "X-A", "value": "a\nHost: b"}])),
            "spec.headers[0].value",
        ),
        (
            "a Secret elsewhere",
            secured("auth", json!({"basicRef": {"name": "../../kube-system/a"}})),
            "basicRef",
        ),
        ("a metadata service", source("http://169.254.169.254/latest"), "host not allowed"),
        ("the same in decimal", source("http://2852039166/latest"), "host not allowed"),
        ("the same in hexadecimal", source("http://0xA9FEA9FE/"), "host not allowed"),
        ("the same in octal", source("http://0251.0376.0251.0376/"), "host not allowed"),
        ("the same of IPv6", source("http://[fd00:ec2::254]/"), "host not allowed"),
        ("the same by name", source("http://Metadata.Google.internal/"), "host not allowed"),
    ]
}

/// Returns invalid objects of the platform team, and invalid runs that a person creates.
fn others(good: &Value) -> Vec<(&'static str, Value, &'static str)> {
    let source = |url: &str| {
        json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "MetricsSource",
            "metadata": {"name": "x"}, "spec": {"url": url},
        })
    };
    let run = |ready: &str, start: &str, end: &str| {
        json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun",
            "metadata": {"name": "by-hand", "namespace": "shop"},
            "spec": {
                "readyTime": ready, "startTime": start, "endTime": end,
                "targets": good["spec"]["targets"], "machines": [], "signals": [],
            },
        })
    };
    let class = |change: fn(&mut Value)| {
        let mut class = json!({
            "apiVersion": "primetime.dev/v1alpha1",
            "kind": "InstanceClass",
            "metadata": {"name": "bad"},
            "spec": {"ec2": {
                "launchTemplate": {"name": "shop-burst", "version": "1"},
                "instanceTypes": ["m6i.xlarge"], "subnets": ["subnet-0a1b2c3d4e5f60001"],
            }},
        });
        change(&mut class["spec"]);
        class
    };
    let (eight, nine, ten) =
        ("2031-01-12T20:00:00Z", "2031-01-12T21:00:00Z", "2031-01-12T22:00:00Z");
    let mut empty = run(eight, nine, ten);
    empty["spec"]["targets"] = json!([]);
    let changed = |change: Change| {
        let mut run = run(eight, nine, ten);
        run["spec"]["signals"] = good["spec"]["signals"].clone();
        change(&mut run);
        run
    };
    let mut aimless = run(eight, nine, ten);
    aimless["spec"]["signals"] = good["spec"]["signals"].clone();
    aimless["spec"]["signals"][0]["target"] = json!("tills");
    vec![
        ("another scheme", source("ftp://prometheus:9090"), "must begin with https://"),
        (
            "credentials in an address",
            source("http://me:secret@prometheus:9090"),
            "must not carry credentials",
        ),
        (
            "a subnet by name",
            class(|c| c["ec2"]["subnets"] = json!(["private-a"])),
            "each must be the id of a subnet",
        ),
        (
            "the same type twice",
            class(|c| c["ec2"]["instanceTypes"] = json!(["m5.xlarge", "m5.xlarge"])),
            "the same type is named twice",
        ),
        (
            "the newest version",
            class(|c| c["ec2"]["launchTemplate"]["version"] = json!("newest")),
            "must be a number, $Latest or $Default",
        ),
        (
            "a run that lists pods",
            changed(|r| target(r, "apiVersion", "v1%2Fpods")),
            "scaleTargetRef.apiVersion",
        ),
        (
            "a run in another namespace",
            changed(|r| target(r, "name", "../../kube-system/coredns")),
            "scaleTargetRef.name",
        ),
        (
            "a run that answers for others",
            changed(|r| asks(r, "vector(1) #\r), \"primetime_query\"")),
            "a query has no comments",
        ),
        ("a run of nothing", empty, "at least one target or one group of machines"),
        ("a run whose signal has no target", aimless, "each signal must name a target of this run"),
        (
            "a run of eight days",
            run(eight, nine, "2031-01-20T21:00:00Z"),
            "at most 7 days after spec.startTime",
        ),
        (
            "a run that is ready two days before",
            run("2031-01-10T20:00:00Z", nine, ten),
            "at most 24 hours before spec.startTime",
        ),
        ("a run that ends before it starts", run(eight, ten, nine), "must be after spec.startTime"),
        (
            "a run that is ready after its start",
            run(ten, nine, ten),
            "must not be after spec.startTime",
        ),
    ]
}

/// Returns an `InstanceClass` with the fields of version 0.1, which the operator still reads.
fn old_class() -> Value {
    json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "InstanceClass", "metadata": {"name": "old"},
        "spec": {
            "launchTemplate": {"name": "shop-burst", "version": "1"},
            "instanceTypes": ["m6i.xlarge"], "subnets": ["subnet-0a1b2c3d4e5f60001"],
        },
    })
}

/// Mistakes in an `InstanceClass` with fields of version 0.1: description, change, expected text in
/// the error.
const CLASSES: [(&str, Change, &str); 4] = [
    (
        "half of a class",
        |c| drop(c["spec"].as_object_mut().unwrap().remove("subnets")),
        "spec.ec2: Required value",
    ),
    (
        "a class without a block",
        |c| c["spec"] = json!({"leadSeconds": 60}),
        "spec.ec2: Required value: launchTemplate, instanceTypes and subnets",
    ),
    (
        "a class that says it twice",
        |c| c["spec"]["ec2"] = c["spec"].clone(),
        "launchTemplate, instanceTypes and subnets stand there, not beside it",
    ),
    ("another cloud", |c| c["spec"]["provider"] = json!("GCE"), "spec.provider: Unsupported value"),
];

/// Returns runs of a person with mistakes for which the API server also refuses a surge.
fn runs(good: &Value) -> Vec<(&'static str, Value, &'static str)> {
    let changed = |change: Change| {
        let mut run = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun",
            "metadata": {"name": "by-hand", "namespace": "shop"},
            "spec": {
                "readyTime": "2031-01-12T20:00:00Z", "startTime": "2031-01-12T21:00:00Z",
                "endTime": "2031-01-12T22:00:00Z", "targets": good["spec"]["targets"],
            },
        });
        change(&mut run);
        run
    };
    vec![
        (
            "a run that waits for a person though it begins by itself",
            changed(|run| run["spec"]["armedSeconds"] = json!(600)),
            "spec.armedSeconds: belongs to startPolicy Manual only",
        ),
        (
            "a run that names a workload twice",
            changed(|run| {
                let mut twin = run["spec"]["targets"][0].clone();
                twin["name"] = json!("twin");
                run["spec"]["targets"] = json!([run["spec"]["targets"][0], twin]);
            }),
            "spec.targets: the same workload is named twice",
        ),
    ]
}

/// Returns calendars with no feed, with two feeds, or with a feed or a `match` that the API server
/// refuses.
fn calendars() -> [(&'static str, Value, &'static str); 5] {
    let at = json!({"name": "guide", "key": "guide.ics"});
    let url = |url: &str| json!({"format": "iCalendar", "url": url});
    [
        (
            "a calendar without a feed",
            json!({"format": "XMLTV"}),
            "exactly one of url and configMapKeyRef",
        ),
        (
            "a calendar with two",
            json!({"format": "XMLTV", "url": "https://a.example/x", "configMapKeyRef": at}),
            "exactly one of url and configMapKeyRef",
        ),
        (
            "credentials in an address",
            url("https://me:secret@a.example/x"),
            "must not carry credentials",
        ),
        ("a file", url("file:///etc/passwd"), "must begin with https:// or http://"),
        (
            "a channel of a calendar",
            json!({"format": "iCalendar", "configMapKeyRef": at, "match": {"channel": "m6.fr"}}),
            "programme guides (XMLTV) only have channels",
        ),
    ]
}

/// Checks that the API server accepts a surge that cannot be ready in time, and that kubectl prints
/// a warning.
async fn warned(evening: &Evening) -> Result<()> {
    let mut soon = capital::web_only("soon", Utc::now() + TimeDelta::seconds(60), 15, 20)?;
    for target in &mut soon.spec.event.targets {
        target.lead_seconds = 600;
    }
    let file = root().join("target/evenings/soon.yaml");
    std::fs::write(&file, capital::yaml(&soon)?)?;
    let output = evening
        .plane
        .kubectl()
        .args(["apply", "--dry-run=server", "-f"])
        .arg(&file)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    ensure!(
        said.contains("Warning: ready late: target web needs 600 s until its pods are ready"),
        "{said}"
    );
    Ok(())
}

async fn refused(evening: &Evening, object: &Value, what: &str, said: &str) -> Result<()> {
    match evening.plane.apply(&serde_yaml::to_string(object)?).await {
        Ok(applied) => anyhow::bail!("{what} was accepted: {applied}"),
        Err(error) => ensure!(
            format!("{error:#}").contains(said),
            "{what}: expected \"{said}\" in: {error:#}"
        ),
    }
    Ok(())
}

/// Checks that `kubectl surge validate` reports the same error, a line per error.
async fn refused_offline(object: &Value, what: &str, said: &str) -> Result<()> {
    let file = root().join("target/evenings/refused.yaml");
    std::fs::write(&file, serde_yaml::to_string(object)?)?;
    let plugin = command(built("kubectl-surge")?).args(["validate", "-f"]).arg(&file).output();
    let output = plugin.await?;
    let lines = String::from_utf8(output.stdout)?;
    ensure!(output.status.code() == Some(1), "{what}: {:?}: {lines}", output.status);
    ensure!(lines.contains(said), "{what}: expected \"{said}\" in: {lines}");
    let place = format!("{}: ScheduledSurge ", file.display());
    ensure!(lines.lines().all(|line| line.starts_with(&place)), "{what}: {lines}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_at_apply_with_a_clear_error() -> Result<()> {
    let evening =
        Evening::begin("refusals", &Options::default(), |what| eprintln!("{what}")).await?;
    let mut good = serde_json::to_value(capital::example()?)?;
    schedule(&mut good, "2031-01-12T21:00:00", Some("Europe/Paris"));
    for (what, change, said) in SURGES {
        let mut surge = good.clone();
        change(&mut surge);
        refused(&evening, &surge, what, said).await?;
        // `kubectl surge validate` runs without a cluster, so the plugin cannot report which kinds
        // the cluster serves.
        if !said.contains("served by this cluster") {
            refused_offline(&surge, what, said).await?;
        }
    }
    for (what, object, said) in others(&good).into_iter().chain(sources()).chain(runs(&good)) {
        refused(&evening, &object, what, said).await?;
    }
    for (what, spec, said) in calendars() {
        let calendar = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeCalendar",
            "metadata": {"name": "guide", "namespace": "shop"}, "spec": spec,
        });
        refused(&evening, &calendar, what, said).await?;
    }
    for (what, change, said) in CLASSES {
        let mut class = old_class();
        change(&mut class);
        refused(&evening, &class, what, said).await?;
    }
    // The API server accepts a class as version 0.1 wrote the class.
    evening.plane.apply(&serde_yaml::to_string(&old_class())?).await?;
    let kinds = "surges,runs,holds,surgecalendars";
    let written = run(evening.plane.kubectl().args(["get", kinds, "-A", "-o", "name"])).await?;
    ensure!(written.trim().is_empty(), "something was written: {written}");
    warned(&evening).await?;

    let action = json!({
        "apiVersion": "primetime.dev/v1alpha1",
        "kind": "SurgeOverride",
        "metadata": {"name": "o", "namespace": "shop"},
        "spec": {
            "surgeRef": {"name": "capital"}, "action": "Hold", "reason": "the show runs late",
            "expireTime": (Utc::now() + TimeDelta::minutes(30)).to_rfc3339(),
        },
    });
    for (what, change, said) in OVERRIDES {
        let mut o = action.clone();
        change(&mut o);
        refused(&evening, &o, what, said).await?;
    }
    // The API server replaces a wrong `spec.author` by the name of the user who sends the request.
    let mut forged = action.clone();
    forged["spec"]["author"] = json!("the-boss");
    evening.plane.apply(&serde_yaml::to_string(&forged)?).await?;
    let author = evening.overrides().await?.into_iter().next().and_then(|o| o.spec.author);
    ensure!(author.as_deref() == Some(evening.plane.admin.as_str()), "recorded was {author:?}");
    let mut edited = forged.clone();
    edited["spec"]["reason"] = json!("another reason");
    refused(&evening, &edited, "an edited override", "is not edited").await?;

    // A valid surge that starts in more than 400 days.
    refused(&evening, &good, "a start years ahead", "announce events at most 400 days ahead")
        .await?;

    // The API server accepts references to unknown objects. The status message of the run names the
    // missing `InstanceClass`.
    let mut unknown = good.clone();
    schedule(
        &mut unknown,
        &(Utc::now() + TimeDelta::seconds(3600)).format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        None,
    );
    unknown["spec"]["machines"][0]["instanceClassRef"]["name"] = json!("nowhere");
    unknown["spec"]["signals"][0]["metricsSourceRef"]["name"] = json!("nowhere");
    evening.plane.apply(&serde_yaml::to_string(&unknown)?).await?;
    evening
        .until("the unknown class to be said", 15, |e| async move {
            let status = e.status("capital").await?;
            Ok((status.message.contains("InstanceClass nowhere does not exist"), status.message))
        })
        .await?;
    evening.end()
}
