//! Machines from an EC2 API that refuses launches, throttles, loses replies and lags. The account
//! also has instances of other owners, and one that it protects.

use anyhow::{Context, Result, ensure};
use chrono::{TimeDelta, Utc};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::api::{Api, DeleteParams, ListParams};
use primetime_core::state::run::{Stage, Verdict};
use primetime_tests::capital;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::plane::Options;
use primetime_tests::tools::root;
use primetime_tests::workload::deployment;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// Waits until a run is at risk and says a text.
async fn said(evening: &Evening, seconds: u64, text: &'static str) -> Result<()> {
    let what = format!("the run to say {text:?}");
    evening
        .until(&what, seconds, |e| async move {
            let status = e.status("capital").await?;
            let said = status.verdict == Verdict::AtRisk && status.message.contains(text);
            Ok((said, format!("{:?} {}", status.verdict, status.message)))
        })
        .await
}

/// Launches with expired credentials, throttled calls, lost replies and a quota. Checks that 17
/// instances come, and not one more.
async fn come(evening: &Evening) -> Result<()> {
    evening.ec2.behave(|b| b.refused = Some("RequestExpired"));
    let mut surge = capital::shifted(Utc::now() + TimeDelta::seconds(60), 60)?;
    surge.spec.event.targets.clear();
    surge.spec.event.signals.clear();
    surge.spec.event.hold = None;
    surge.spec.schedule.duration_seconds = Some(30);
    evening.announce(&surge).await?;
    said(evening, 30, "RequestExpired").await?;
    ensure!(evening.ec2.started() == 0);
    evening.ec2.behave(|b| {
        // EC2 has five instances of the first type, and a quota for twelve instances. EC2 loses the
        // reply to the first launch, shows the instances after eight seconds, and throttles repeats.
        b.refused = None;
        b.capacity.insert("m6i.xlarge".to_owned(), 5);
        b.vcpu_quota = Some(12 * 4);
        b.throttled_calls = 2;
        b.lost_replies = 1;
        b.after_lost = Some(("RequestLimitExceeded", 3));
        b.lag = Duration::from_secs(8);
    });
    evening
        .until("twelve machines", 60, |e| async move {
            let machines = e.machines().await?;
            Ok((machines == 12, machines.to_string()))
        })
        .await?;
    said(evening, 60, "VcpuLimitExceeded").await?;
    evening.ec2.behave(|b| b.vcpu_quota = None);
    evening
        .until("the rest to join", 60, |e| async move {
            let machines = e.machines().await?;
            Ok((machines == 17, machines.to_string()))
        })
        .await?;
    ensure!(evening.ec2.started() == 17, "{} instances were started", evening.ec2.started());
    Ok(())
}

/// Puts a Deployment on a machine, whose pods tolerate each taint, and protects another machine.
/// Returns the id of the protected instance.
async fn stay(evening: &Evening) -> Result<String> {
    let ids: Vec<String> = evening.ec2.living().into_keys().collect();
    let (first, last) = (ids.first().context("no machine")?, ids.last().context("no machine")?);
    let mut clinging = deployment("clinging", 1);
    clinging["spec"]["template"]["spec"]["nodeSelector"] = json!({});
    clinging["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    clinging["spec"]["template"]["spec"]["affinity"] = json!({"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": [format!("burst-{first}")]},
        ]}]},
    }});
    evening.plane.apply(&serde_yaml::to_string(&clinging)?).await?;
    evening
        .until("the pod that clings", 30, |e| async move {
            let ready = e.ready("clinging").await?;
            Ok((ready == 1, ready.to_string()))
        })
        .await?;
    evening.ec2.behave(|b| b.protected.extend([last.clone()]));
    Ok(last.clone())
}

/// Checks that the pod that clings is evicted twice and then named, and that the protected instance
/// is named and keeps no other one.
async fn go(evening: &Evening, protected: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(evening.client(), SHOP);
    let mut seen = BTreeSet::new();
    let mut rounds = 0;
    while rounds < 150 {
        let clinging = pods.list(&ListParams::default().labels("app=clinging")).await?;
        seen.extend(clinging.items.iter().filter_map(|p| p.meta().uid.clone()));
        let status = evening.status("capital").await?;
        let kept = status.message.contains("came back twice");
        if kept && evening.ec2.living().len() <= 2 && status.verdict == Verdict::AtRisk {
            break;
        }
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let message = evening.status("capital").await?.message;
    ensure!(rounds < 150, "{message}; {:?}", evening.ec2.living());
    // Ten seconds are five further rounds of the drain.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let clinging = pods.list(&ListParams::default().labels("app=clinging")).await?;
    seen.extend(clinging.items.iter().filter_map(|p| p.meta().uid.clone()));
    ensure!(seen.len() == 3, "the pod was started {} times", seen.len());
    said(evening, 10, "may not be terminated").await?;
    let message = evening.status("capital").await?.message;
    ensure!(message.contains(protected), "{message}");
    let all: Api<Deployment> = Api::namespaced(evening.client(), SHOP);
    all.delete("clinging", &DeleteParams::default()).await?;
    evening
        .until("the other sixteen to go", 60, |e| async move {
            let living = e.ec2.living().len();
            Ok((living == 1, living.to_string()))
        })
        .await?;
    let stage = evening.status("capital").await?.stage;
    ensure!(stage == Stage::Releasing, "{stage:?} while an instance lives");
    evening.ec2.behave(|b| b.protected.clear());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_success_is_kept_and_only_ours_is_terminated() -> Result<()> {
    let evening =
        Evening::begin("machines", &Options::default(), |what| eprintln!("{what}")).await?;
    let foreign = evening.ec2.start_foreign(&[]).await?;
    let (past, later) = (Utc::now() - TimeDelta::hours(1), Utc::now() + TimeDelta::hours(1));
    let orphan = evening.ec2.start_foreign(&tags(past)).await?;
    let anothers = evening.ec2.start_foreign(&tags(later)).await?;
    come(&evening).await?;
    let protected = stay(&evening).await?;
    go(&evening, &protected).await?;
    evening
        .until("the run to be done", 90, |e| async move {
            let status = e.status("capital").await?;
            Ok((status.stage == Stage::Done, format!("{:?}: {}", status.stage, status.message)))
        })
        .await?;
    ensure!(evening.ec2.living().is_empty(), "{:?}", evening.ec2.living());
    for (id, expected) in [(&foreign, "running"), (&anothers, "running"), (&orphan, "terminated")] {
        let state = evening.ec2.state(id).await?;
        ensure!(state == expected, "{id} is {state}, not {expected}");
    }
    only_granted(&evening.ec2.actions())?;
    evening.end()
}

/// Tags of an instance of this cluster whose run is gone.
fn tags(expires: chrono::DateTime<Utc>) -> Vec<(&'static str, String)> {
    vec![
        ("primetime.dev/cluster", "tests".to_owned()),
        ("primetime.dev/run", "0f5c3b9e-dead-dead-dead-444455556666".to_owned()),
        ("primetime.dev/batch", "pt-dead".to_owned()),
        ("primetime.dev/expires", expires.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
    ]
}

/// Checks that `docs/iam.json` grants each action that the operator has called.
fn only_granted(called: &[String]) -> Result<()> {
    let policy = std::fs::read_to_string(root().join("docs/iam.json"))?;
    let policy: serde_json::Value = serde_json::from_str(&policy)?;
    let granted = policy["Statement"].as_array().into_iter().flatten().flat_map(|statement| {
        let one = statement["Action"].as_str().map(str::to_owned);
        let all = statement["Action"].as_array().into_iter().flatten();
        one.into_iter().chain(all.filter_map(|a| a.as_str().map(str::to_owned))).collect::<Vec<_>>()
    });
    let granted: Vec<String> = granted.collect();
    ensure!(!called.is_empty(), "the operator has called nothing");
    // STS answers `GetCallerIdentity` to each caller.
    for action in called.iter().filter(|action| *action != "GetCallerIdentity") {
        ensure!(granted.contains(&format!("ec2:{action}")), "{action} is not in docs/iam.json");
    }
    Ok(())
}
