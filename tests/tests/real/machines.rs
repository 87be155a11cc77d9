//! Machines from an EC2 API that refuses launches, throttles and loses replies. The account also
//! has an instance of another owner.

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use primetime_core::state::run::{Stage, Verdict};
use primetime_tests::capital;
use primetime_tests::evening::Evening;
use primetime_tests::plane::Options;
use primetime_tests::tools::root;

#[tokio::test(flavor = "multi_thread")]
async fn partial_success_is_kept_and_only_ours_is_terminated() -> Result<()> {
    let evening =
        Evening::begin("machines", &Options::default(), |what| eprintln!("{what}")).await?;
    let foreign = evening.ec2.start_foreign().await?;
    evening.ec2.behave(|b| {
        // EC2 has five instances of the first type, and a quota for twelve instances. EC2 also
        // throttles two calls and loses a reply.
        b.capacity.insert("m6i.xlarge".to_owned(), 5);
        b.vcpu_quota = Some(12 * 4);
        b.throttled_calls = 2;
        b.lost_replies = 1;
    });
    let mut surge = capital::shifted(Utc::now() + TimeDelta::seconds(60), 60)?;
    surge.spec.event.targets.clear();
    surge.spec.event.signals.clear();
    surge.spec.event.hold = None;
    surge.spec.schedule.duration_seconds = Some(20);
    evening.announce(&surge).await?;

    evening
        .until("twelve machines, and the quota said", 60, |e| async move {
            let status = e.status("capital").await?;
            let said =
                status.verdict == Verdict::AtRisk && status.message.contains("VcpuLimitExceeded");
            Ok((
                e.machines().await? == 12 && said,
                format!("{} machines: {}", e.machines().await?, status.message),
            ))
        })
        .await?;
    evening.ec2.behave(|b| b.vcpu_quota = None);
    evening
        .until("the rest to join", 60, |e| async move {
            let machines = e.machines().await?;
            Ok((machines == 17, machines.to_string()))
        })
        .await?;
    ensure!(evening.ec2.started() == 17, "{} instances were started", evening.ec2.started());
    evening
        .until("the run to be done", 90, |e| async move {
            let status = e.status("capital").await?;
            Ok((status.stage == Stage::Done, format!("{:?}: {}", status.stage, status.message)))
        })
        .await?;
    ensure!(evening.ec2.living().is_empty(), "{:?}", evening.ec2.living());
    let state = evening.ec2.state(&foreign).await?;
    ensure!(state == "running", "the instance of others is {state}");
    only_granted(&evening.ec2.actions())?;
    evening.end()
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
    for action in called {
        ensure!(granted.contains(&format!("ec2:{action}")), "{action} is not in docs/iam.json");
    }
    Ok(())
}
