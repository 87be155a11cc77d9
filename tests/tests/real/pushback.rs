//! An overloaded API server: the flow control answers 429, and the operator still raises all
//! targets in time.

use anyhow::{Context, Result, ensure};
use chrono::{TimeDelta, Utc};
use primetime_core::state::run::{Stage, Verdict};
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::operator::RELEASE;
use primetime_tests::plane::Options;
use primetime_tests::workload::{deployment, surge};
use serde_json::json;

/// Targets that fall due at the same time. The schema allows 64 targets per surge.
const TARGETS: u32 = 60;

/// Returns a priority level with a single seat, and a flow schema that assigns all requests of the
/// operator to the level. Other clients use other levels.
fn narrow() -> [serde_json::Value; 2] {
    let api = "flowcontrol.apiserver.k8s.io/v1";
    let level = json!({
        "apiVersion": api, "kind": "PriorityLevelConfiguration",
        "metadata": {"name": "narrow"},
        "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"},
        }},
    });
    let account = json!({"namespace": RELEASE, "name": RELEASE});
    let everything = json!({
        "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true,
    });
    let flow = json!({
        "apiVersion": api, "kind": "FlowSchema",
        "metadata": {"name": "narrow"},
        "spec": {
            "priorityLevelConfiguration": {"name": "narrow"}, "matchingPrecedence": 2,
            "rules": [{
                "subjects": [{"kind": "ServiceAccount", "serviceAccount": account}],
                "resourceRules": [everything],
            }],
        },
    });
    [level, flow]
}

/// Returns the sum of the values of all metric lines that contain every text in `having`.
fn sum(page: &str, having: &[&str]) -> Result<f64> {
    let lines = page.lines().filter(|line| having.iter().all(|part| line.contains(part)));
    lines.map(|line| Ok(line.rsplit(' ').next().context("a number")?.parse::<f64>()?)).sum()
}

async fn rejected(evening: &Evening) -> Result<f64> {
    let page = evening.plane.kubectl().args(["get", "--raw", "/metrics"]).output().await?;
    let page = String::from_utf8(page.stdout)?;
    sum(&page, &["apiserver_flowcontrol_rejected_requests_total{", "flow_schema=\"narrow\""])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_pushes_back_is_asked_less_at_once_and_nothing_is_lost() -> Result<()> {
    let evening = Evening::begin("pushback", &Options::own(), |what| eprintln!("{what}")).await?;
    let names: Vec<String> = (0..TARGETS).map(|n| format!("w-{n:02}")).collect();
    let mut objects = Vec::new();
    for name in &names {
        objects.push(serde_yaml::to_string(&deployment(name, 1))?);
    }
    for object in narrow() {
        objects.push(serde_yaml::to_string(&object)?);
    }
    evening.plane.apply(&objects.join("\n---\n")).await?;
    let start = Utc::now() + TimeDelta::seconds(65);
    let mut many = surge("many", "w-00", start, 10, 3);
    let targets: Vec<_> = names
        .iter()
        .map(|name| {
            json!({
                "name": name, "replicas": 3, "leadSeconds": 30,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            })
        })
        .collect();
    many["spec"]["targets"] = targets.into();
    evening.plane.apply(&serde_yaml::to_string(&many)?).await?;

    evening
        .until("all of them to be ready", 90, |e| async move {
            let status = e.status("many").await?;
            Ok((status.verdict == Verdict::Ready, status.message))
        })
        .await?;
    ensure!(Utc::now() < start, "in time");
    let (refused, page) = (rejected(&evening).await?, evening.operator.metrics().await?);
    let heard = sum(&page, &["primetime_operations_total{", "outcome=\"pushed_back\""])?;
    eprintln!("the API server has refused {refused} requests; {heard} were writes");
    ensure!(refused > 0.0 && heard > 0.0, "it was not pushed back: {page}");
    let log = std::fs::read_to_string(evening.plane.folder.join("primetime.log"))?;
    ensure!(log.contains("pushes back (429): fewer calls at once"), "the log does not say so");
    let halved = log.lines().filter(|line| line.contains("pushes back (429)")).count();
    ensure!(halved <= 30, "half as many, not more often than once a second: {halved} times");

    evening
        .until("the run to be done", 90, |e| async move {
            let status = e.status("many").await?;
            Ok((status.stage == Stage::Done, status.message))
        })
        .await?;
    for name in &names {
        ensure!(evening.replicas(name).await? == 1, "{name} of {SHOP} is given back");
    }
    ensure!(evening.holds().await?.is_empty());
    evening.end()
}
