//! Degradation steps on a shop that reads feature flags. The load needs more pods than
//! `maxReplicas` allows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use primetime_core::state::run::Stage;
use primetime_tests::capital::web_only;
use primetime_tests::evening::{Evening, SHOP, decisions};
use primetime_tests::plane::Options;
use primetime_tests::process::{command, run};
use primetime_tests::site::{SESSIONS_PER_POD, Site};
use primetime_tests::tools::built;
use serde_json::json;

/// Factor of the sessions per pod while the shop only captures orders and processes the orders
/// later.
const CAPTURING: f64 = 1.5;

/// Maximum pods of the surge. The pods carry 8,000 sessions.
const PODS: i32 = 40;

type Flags = BTreeMap<String, String>;

fn flags(evening: &Evening) -> Api<ConfigMap> {
    Api::namespaced(evening.client(), SHOP)
}

async fn read(flags: &Api<ConfigMap>) -> Result<Flags> {
    Ok(flags.get("shop-flags").await?.data.unwrap_or_default())
}

fn usual() -> Flags {
    [("checkout", "normal"), ("photos", "large")].map(|(k, v)| (k.into(), v.into())).into()
}

/// Waits until a key of the `ConfigMap` `shop-flags` has a value. Returns the waiting time.
async fn flag(evening: &Evening, key: &str, value: Option<&str>, seconds: u64) -> Result<Duration> {
    let began = Instant::now();
    evening
        .until(&format!("{key} to be {value:?}"), seconds, |e| async move {
            let said = e.status("capital").await?.message;
            let is = read(&flags(e)).await?;
            Ok((is.get(key).map(String::as_str) == value, format!("{is:?}; {said}")))
        })
        .await?;
    Ok(began.elapsed())
}

/// Reads the flags once a second, as a shop does, and sets the sessions per pod. Never returns.
async fn follow(site: Site, flags: Api<ConfigMap>) {
    loop {
        if let Ok(is) = read(&flags).await {
            let captures = is.get("checkout").is_some_and(|value| value == "capture");
            site.set_carried(SESSIONS_PER_POD * if captures { CAPTURING } else { 1.0 });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn announce(evening: &Evening, show: DateTime<Utc>) -> Result<()> {
    let mut surge = web_only("capital", show, 60, PODS)?;
    surge.spec.event.hold = None;
    for target in &mut surge.spec.event.targets {
        target.max_replicas = Some(PODS);
    }
    let mut p95 = surge.spec.event.signals.first().context("a signal")?.clone();
    (p95.name, p95.query) = ("p95".to_owned(), "shop_p95_seconds".to_owned());
    (p95.target, p95.per_replica, p95.look_ahead_seconds) = (None, None, None);
    surge.spec.event.signals.push(p95);
    let step = |name: &str, when, key: &str, value: &str| {
        json!({
            "name": name, "when": when, "minimumSeconds": 5,
            "configMapRef": {"name": "shop-flags", "key": key, "value": value},
        })
    };
    surge.spec.event.degrade = serde_json::from_value(json!([
        step(
            "order-capture",
            json!({"signal": "sessions", "above": "7600", "below": "7000", "forSeconds": 2}),
            "checkout",
            "capture",
        ),
        step(
            "static-page",
            json!({"signal": "p95", "above": "0.8", "forSeconds": 3}),
            "page",
            "static",
        ),
    ]))?;
    evening.announce(&surge).await?;
    Ok(())
}

/// Raises the sessions from 7,000 to 10,000 in 30 seconds, and keeps 10,000 for 10 seconds.
///
/// Returns the share of session seconds that found no pod.
async fn rush(evening: &Evening) -> Result<f64> {
    let unserved = evening.site.unserved_session_seconds();
    let mut all = 0.0;
    for second in 0..40_u32 {
        let sessions = 7_000.0 + 100.0 * f64::from(second.min(30));
        evening.site.set_sessions(sessions);
        all += sessions;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok((evening.site.unserved_session_seconds() - unserved) / all)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_capacity_cannot_follow_is_shed_and_given_back() -> Result<()> {
    let evening =
        Evening::begin("degrade", &Options::default(), |what| eprintln!("{what}")).await?;
    evening.site.expose("# TYPE shop_p95_seconds gauge\nshop_p95_seconds 0.2\n");
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "shop-flags", "namespace": SHOP}, "data": usual(),
    });
    evening.plane.apply(&serde_yaml::to_string(&map)?).await?;
    let reader = tokio::spawn(follow(evening.site.clone(), flags(&evening)));
    let show = Utc::now() + TimeDelta::seconds(45);
    announce(&evening, show).await?;

    // A person rehearses the step `static-page` as soon as the run has begun.
    evening
        .until("the run to begin", 60, |e| async move {
            let status = e.status("capital").await?;
            Ok((status.stage >= Stage::WarmingUp, status.message))
        })
        .await?;
    let mut rehearse = command(built("kubectl-surge")?);
    rehearse.arg("--kubeconfig").arg(evening.plane.kubeconfig("admin")).args(["-n", SHOP]);
    rehearse.args(["degrade", "capital", "--step", "static-page", "--for", "15s"]);
    let said = run(rehearse.args(["--reason", "rehearsal"])).await?;
    ensure!(said.contains("degrade of surge capital until "), "{said}");
    flag(&evening, "page", Some("static"), 10).await?;
    flag(&evening, "page", None, 40).await?;
    ensure!(read(&flags(&evening)).await? == usual(), "the rehearsal is given back");

    evening
        .until("the show", 90, |e| async move {
            let status = e.status("capital").await?;
            Ok((status.stage == Stage::Live, status.message))
        })
        .await?;
    let lost = rush(&evening).await?;
    let status = evening.status("capital").await?;
    ensure!(lost <= 0.01, "{lost} of all session seconds found no pod: {}", status.message);
    ensure!(status.message.contains("degraded: order-capture since "), "{}", status.message);
    ensure!(read(&flags(&evening)).await?.get("checkout").is_some_and(|v| v == "capture"));

    // The p95 latency of the page is above the limit, so the planner activates `static-page` within
    // 60 s. A person changes a flag that no step owns.
    evening.site.expose("# TYPE shop_p95_seconds gauge\nshop_p95_seconds 2.5\n");
    let took = flag(&evening, "page", Some("static"), 60).await?;
    eprintln!("the page is static {} ms after the p95 is over the line", took.as_millis());
    let theirs = json!({"data": {"photos": "small"}});
    flags(&evening).patch("shop-flags", &PatchParams::default(), &Patch::Merge(theirs)).await?;

    // The planner deactivates both steps after the load drops, and begins with the step activated
    // last.
    evening.site.expose("# TYPE shop_p95_seconds gauge\nshop_p95_seconds 0.2\n");
    evening.site.set_sessions(1_000.0);
    flag(&evening, "checkout", Some("normal"), 60).await?;
    let mut back = usual();
    back.insert("photos".to_owned(), "small".to_owned());
    ensure!(read(&flags(&evening)).await? == back, "the page was given back before");

    evening
        .until("the run to be done", 120, |e| async move {
            let status = e.status("capital").await?;
            Ok((status.stage == Stage::Done, status.message))
        })
        .await?;
    ensure!(read(&flags(&evening)).await? == back);
    let log = decisions(&evening.runs().await?.pop().context("a run")?);
    for said in [
        "static-page on: degrade static-page on by ",
        "static-page off: the word of on-call is over",
        "order-capture: checkout in ConfigMap shop-flags \"normal\" -> \"capture\"",
        "static-page on: 2.50 p95, above 0.8 for ",
        "order-capture: checkout in ConfigMap shop-flags is given back",
    ] {
        ensure!(log.contains(said), "no \"{said}\" in {log}");
    }
    reader.abort();
    evening.end()
}
