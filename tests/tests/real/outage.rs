//! A Prometheus that gives bad answers during an event, in nine ways. The operator lowers no target
//! before the end.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use primetime_core::state::run::Stage;
use primetime_tests::evening::Evening;
use primetime_tests::front::{Front, Health};
use primetime_tests::plane::Options;
use primetime_tests::recorder::Recorder;
use primetime_tests::workload::{deployment, surge};
use serde_json::json;

/// Workload, `MetricsSource`, and the expected reason for the unknown load during the outage.
///
/// The case `lies` has no reason, because the operator believes the number 0.
const CASES: [(&str, &str, Option<&str>); 9] = [
    ("empty", "main", Some("selects nothing")),
    ("nan", "main", Some("not a number")),
    ("two-series", "main", Some("yields 2 series")),
    ("old", "main", Some("selects nothing")),
    ("five-minutes-old", "main", Some("selects nothing")),
    ("lies", "main", None),
    ("fails", "fails", Some("HTTP 500")),
    ("hangs", "hangs", Some("none within 2 s")),
    ("untrusted", "untrusted", Some("certificate")),
];

/// Planned replicas, and the replicas that the load needs (50 % more).
const PLAN: u32 = 10;
const LOAD: u32 = 15;

/// Duration of the event in seconds.
const SECONDS: u32 = 45;

/// Seconds for which a release waits while the load is unknown (`spec.hold.maxSeconds`).
const PATIENCE: u32 = 12;

/// Returns the time five minutes ago in milliseconds. The operator must reject a sample of that
/// age, even if Prometheus still returns the sample.
fn long_ago() -> i64 {
    (Utc::now() - TimeDelta::minutes(5)).timestamp_millis()
}

/// Returns the metrics of all workloads before the outage.
fn well() -> String {
    let line = |(case, _, _): (&str, &str, Option<&str>)| {
        // Two series carry explicit timestamps.
        let at = match case {
            "old" => " @now".to_owned(),
            "five-minutes-old" => format!(" {}", long_ago()),
            _ => String::new(),
        };
        format!("shop_load{{case=\"{case}\"}} 1500{at}\n")
    };
    format!("# TYPE shop_load gauge\n{}", CASES.map(line).concat())
}

/// Returns the metrics during the outage, for the cases that depend on scraped values.
fn ill() -> String {
    let now = Utc::now().timestamp_millis();
    format!(
        "# TYPE shop_load gauge\n\
         shop_load{{case=\"nan\"}} NaN\n\
         shop_load{{case=\"two-series\"}} 1500\n\
         shop_load{{case=\"two-series\",of=\"others\"}} 1500\n\
         shop_load{{case=\"old\"}} 1500 {now}\n\
         shop_load{{case=\"lies\"}} 0\n\
         shop_load{{case=\"fails\"}} 1500\n\
         shop_load{{case=\"hangs\"}} 1500\n\
         shop_load{{case=\"untrusted\"}} 1500\n"
    )
}

fn floor(case: &str) -> i32 {
    // The load of `untrusted` and `five-minutes-old` was never known, so the floor stays at the
    // plan.
    if matches!(case, "untrusted" | "five-minutes-old") {
        PLAN.cast_signed()
    } else {
        LOAD.cast_signed()
    }
}

async fn replicas(evening: &Evening) -> Result<BTreeMap<&'static str, i32>> {
    let mut all = BTreeMap::new();
    for (case, ..) in CASES {
        all.insert(case, evening.replicas(case).await?);
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_prometheus_says_or_does_not_say_nothing_goes_down() -> Result<()> {
    let evening = Evening::begin("outage", &Options::own(), |what| eprintln!("{what}")).await?;
    evening.site.expose(&well());
    let behind = &evening.prometheus.url;
    let (fails, hangs) = (Front::open(behind).await?, Front::open(behind).await?);
    let untrusted = Front::open_untrusted(behind).await?;
    let mut objects = Vec::new();
    for (name, front) in [("fails", &fails), ("hangs", &hangs), ("untrusted", &untrusted)] {
        objects.push(serde_yaml::to_string(&json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "MetricsSource",
            "metadata": {"name": name},
            "spec": {
                "url": front.url, "intervalSeconds": 1, "timeoutSeconds": 2, "maxSampleAgeSeconds": 10,
            },
        }))?);
    }
    let start = Utc::now() + TimeDelta::seconds(25);
    for (case, source, _) in CASES {
        objects.push(serde_yaml::to_string(&deployment(case, 3))?);
        let mut surge = surge(case, case, start, SECONDS, PLAN);
        surge["spec"]["targets"][0]["maxReplicas"] = 40.into();
        surge["spec"]["signals"] = json!([{
            "name": "load", "metricsSourceRef": {"name": source}, "target": "it",
            "query": format!("shop_load{{case=\"{case}\"}}"), "perReplica": "100",
        }]);
        surge["spec"]["hold"] =
            json!({"untilBelowPercent": 30, "forSeconds": 2, "maxSeconds": PATIENCE});
        objects.push(serde_yaml::to_string(&surge)?);
    }
    evening.plane.apply(&objects.join("\n---\n")).await?;
    evening
        .until("the floors to follow the load", 60, |e| async move {
            let all = replicas(e).await?;
            let there = all.iter().all(|(case, replicas)| *replicas == floor(case));
            Ok((there, format!("{all:?}")))
        })
        .await?;

    let recorder = Recorder::start(&evening.client());
    evening.site.expose(&ill());
    fails.set(Health::Fails);
    hangs.set(Health::Hangs);
    evening
        .until("the illness to be seen", 30, |e| async move {
            let mut not_yet = Vec::new();
            for (case, _, expected) in CASES {
                let status = e.status(case).await?;
                let signal = status.signals.first();
                let why = signal.and_then(|signal| signal.unknown_because.clone());
                let value = signal.and_then(|signal| signal.value.as_deref());
                let is_seen = match (expected, &why) {
                    (None, _) => value == Some("0"),
                    (Some(expected), Some(why)) => why.contains(expected),
                    (Some(_), None) => false,
                };
                if !is_seen {
                    not_yet.push(format!("{case}: {value:?}, {why:?}"));
                }
            }
            Ok((not_yet.is_empty(), not_yet.join("; ")))
        })
        .await?;
    let end = start + TimeDelta::seconds(SECONDS.into());
    ensure!(Utc::now() < end - TimeDelta::seconds(10), "it was seen in the window");

    evening
        .until("every event to be over, and everything to be back", 120, |e| async move {
            let all = replicas(e).await?;
            let back = all.values().all(|replicas| *replicas == 3);
            let mut done = true;
            for (case, ..) in CASES {
                done &= e.status(case).await?.stage == Stage::Done;
            }
            Ok((back && done, format!("{all:?}")))
        })
        .await?;
    for (case, _, unknown) in CASES {
        // The operator believes a value of 0 after the end of the event, but not before.
        let patience = unknown.map_or(0, |_| i64::from(PATIENCE));
        let until = end + TimeDelta::seconds(patience);
        let asked = recorder.replicas(case);
        let early = asked.iter().find(|(at, replicas)| *at < until && *replicas < floor(case));
        ensure!(early.is_none(), "{case} goes down before {until}: {asked:?}");
    }
    evening.end()
}
