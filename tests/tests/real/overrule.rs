//! Overrides by on-call while Prometheus and the cloud are down, and overlapping runs on a shared
//! target.

use std::time::Instant;

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use primetime_api::StartPolicy;
use primetime_core::state::run::Stage;
use primetime_tests::capital;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::plane::Options;
use primetime_tests::process::{command, run};
use primetime_tests::tools::built;

/// Runs `kubectl surge` as alice, who may only edit objects in the shop.
async fn alice(evening: &Evening, args: &[&str]) -> Result<String> {
    run(command(built("kubectl-surge")?)
        .arg("--kubeconfig")
        .arg(evening.plane.kubeconfig("alice"))
        .args(["-n", SHOP])
        .args(args))
    .await
}

async fn floor(e: &Evening, want: i32) -> Result<(bool, String)> {
    let (min, max) = e.bounds().await?;
    Ok((min == want && e.replicas("web").await? >= want, format!("{min} to {max}")))
}

async fn stage(e: &Evening, surge: &str, want: Stage) -> Result<(bool, String)> {
    let status = e.status(surge).await?;
    Ok((status.stage == want, format!("{:?}: {}", status.stage, status.message)))
}

/// Waits at most 5 s for the effect of the previous command.
macro_rules! obeyed {
    ($evening:expr, $what:expr, $look:expr) => {
        let sent = Instant::now();
        $evening.until($what, 5, $look).await?;
        eprintln!("{} after {} ms", $what, sent.elapsed().as_millis());
    };
}

/// Tests `spec.startPolicy: Manual`. The run is ready and waits for a start override; a second
/// start override has no effect.
async fn armed(evening: &Evening) -> Result<()> {
    let show = Utc::now() + TimeDelta::seconds(16);
    let mut surge = capital::web_only("launch", show, 30, 60)?;
    surge.spec.event.start_policy = StartPolicy::Manual;
    surge.spec.event.armed_seconds = Some(600);
    surge.spec.event.hold = None;
    evening.announce(&surge).await?;
    evening
        .until("the launch to be armed past its hour", 60, |e| async move {
            let status = e.status("launch").await?;
            let armed = status.stage == Stage::Ready && status.message.contains("; armed: ");
            let late = Utc::now() > show + TimeDelta::seconds(5);
            Ok((armed && late, format!("{:?}: {}", status.stage, status.message)))
        })
        .await?;
    ensure!(evening.status("launch").await?.started_time.is_none());
    alice(evening, &["start", "launch", "--reason", "the host has said it"]).await?;
    obeyed!(evening, "the start was obeyed", |e| stage(e, "launch", Stage::Live));
    let started = evening.status("launch").await?.started_time;
    alice(evening, &["start", "launch", "--reason", "and again"]).await?;
    evening.until("the launch to be over", 120, |e| stage(e, "launch", Stage::Done)).await?;
    let status = evening.status("launch").await?;
    ensure!(started.is_some() && status.started_time == started, "{status:?}");
    let lasted = status.release.zip(started).map(|(way, started)| way.start_time - started);
    ensure!(lasted.is_some_and(|t| t >= TimeDelta::seconds(30)), "it lasted {lasted:?}");
    let nothing = alice(evening, &["start", "launch", "--reason", "too late"]).await;
    ensure!(nothing.is_err_and(|e| format!("{e:#}").contains("has no run to start")));
    evening
        .until("everything to be back after the launch", 60, |e| async move {
            let back = e.everything_is_back().await;
            Ok((back.is_ok(), format!("{back:?}")))
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_overrule_and_runs_overlap() -> Result<()> {
    let mut evening =
        Evening::begin("overrule", &Options::default(), |what| eprintln!("{what}")).await?;
    run(evening.plane.kubectl().args([
        "-n",
        SHOP,
        "create",
        "rolebinding",
        "oncall",
        "--clusterrole=edit",
        "--group=oncall",
    ]))
    .await?;
    let show = Utc::now() + TimeDelta::seconds(25);
    evening.announce(&capital::web_only("first", show, 60, 100)?).await?;
    evening.until("the first run to be live", 60, |e| stage(e, "first", Stage::Live)).await?;
    ensure!(floor(&evening, 100).await?.0, "{:?}", evening.bounds().await?);

    // A second run with a lower floor changes nothing, and both runs share a baseline.
    evening
        .announce(&capital::web_only("second", Utc::now() + TimeDelta::seconds(16), 45, 60)?)
        .await?;
    evening
        .until("the second run to claim", 30, |e| async move {
            let holds = e.holds().await?;
            let claims: Vec<_> = holds
                .iter()
                .flat_map(|h| &h.spec.hold.claims)
                .map(|c| (c.run.clone(), c.floor))
                .collect();
            Ok((claims.len() == 2, format!("{claims:?}")))
        })
        .await?;
    ensure!(floor(&evening, 100).await?.0, "the maximum holds: {:?}", evening.bounds().await?);
    let hold = evening.holds().await?.remove(0).spec.hold;
    ensure!(hold.baseline.replicas == 10 && hold.level.min == Some(100), "{hold:?}");

    // The overrides take effect although Prometheus and the cloud are down.
    evening.prometheus.kill().await?;
    evening.ec2.behave(|b| b.down = true);
    let said = alice(
        &evening,
        &[
            "boost",
            "second",
            "--target",
            "web",
            "--replicas",
            "140",
            "--for",
            "10m",
            "--reason",
            "the trailer ran twice",
        ],
    )
    .await?;
    ensure!(said.contains("by alice"), "{said}");
    obeyed!(evening, "the boost was obeyed", |e| floor(e, 140));
    let refused = alice(
        &evening,
        &[
            "boost",
            "second",
            "--target",
            "wbe",
            "--replicas",
            "140",
            "--for",
            "10m",
            "--reason",
            "typo",
        ],
    )
    .await;
    ensure!(refused.is_err_and(|e| format!("{e:#}").contains("has no target \"wbe\"")));

    alice(&evening, &["hold", "first", "--for", "10m", "--reason", "the host is still talking"])
        .await?;
    evening
        .until("the first run to hold past its end", 90, |e| stage(e, "first", Stage::Holding))
        .await?;
    let status = alice(&evening, &["status"]).await?;
    ensure!(
        status.contains("hold by alice") && status.contains("the host is still talking"),
        "{status}"
    );
    eprintln!("{status}");
    ensure!(floor(&evening, 140).await?.0);

    // The second run releases the target. The floor falls to the floor of the first run, and never
    // below.
    alice(&evening, &["release", "second", "--for", "10m", "--reason", "over"]).await?;
    obeyed!(evening, "the release was obeyed", |e| stage(e, "second", Stage::Releasing));
    evening.until("the second run to be over", 60, |e| stage(e, "second", Stage::Done)).await?;
    let (min, max) = evening.bounds().await?;
    ensure!(min == 100 && max == 260, "the first still holds 100: {min} to {max}");

    alice(&evening, &["release", "first", "--for", "10m", "--reason", "good night"]).await?;
    obeyed!(evening, "the last release was obeyed", |e| stage(e, "first", Stage::Releasing));
    evening
        .until("everything to be back", 90, |e| async move {
            let back = e.everything_is_back().await;
            Ok((back.is_ok(), format!("{back:?}")))
        })
        .await?;
    armed(&evening).await?;
    let extended =
        alice(&evening, &["extend", "nothing", "--for", "10m", "--reason", "no such surge"]).await;
    ensure!(extended.is_err_and(|e| format!("{e:#}").contains("there is no surge \"nothing\"")));
    evening.end()
}
