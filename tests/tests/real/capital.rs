//! The "Capital" evening of 12 January 2014 on a real control plane.
//!
//! The operator crashes at every stage, the load exceeds the forecast, Prometheus fails, and a
//! deploy overwrites the replicas.

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use primetime_core::state::run::{Stage, Verdict};
use primetime_tests::capital::{self, BREAKING_SESSIONS, PEAK_SESSIONS, USUAL_SESSIONS};
use primetime_tests::dashboard;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::operator::SECRET;
use primetime_tests::plane::Options;
use primetime_tests::process::run;
use primetime_tests::tools::root;

/// Speed-up of the clock: a minute of the show takes a second. Start-up times of real parts are not
/// scaled.
const SPEED: u32 = 60;

async fn stage(evening: &Evening, stage: Stage) -> Result<(bool, String)> {
    let status = evening.status("capital").await?;
    Ok((status.stage == stage, format!("{:?}: {}", status.stage, status.message)))
}

/// Announces the surge. Checks that the planner resolves the schedule, and that no hold and no
/// instance exists yet.
async fn announced(evening: &mut Evening) -> Result<DateTime<Utc>> {
    let show = Utc::now() + TimeDelta::seconds(75);
    let surge = capital::shifted(show, SPEED)?;
    let t0 = show - TimeDelta::seconds(i64::from(surge.spec.ready_before_seconds));
    evening.announce(&surge).await?;
    evening.until("the run to be planned", 10, |e| stage(e, Stage::Planned)).await?;
    ensure!(evening.holds().await?.is_empty() && evening.ec2.started() == 0);
    evening.operator.crash().await?;
    Ok(t0)
}

/// Checks that machines come before pods, and that all pods and 17 machines are ready before T0.
async fn warming_up(evening: &mut Evening, t0: DateTime<Utc>) -> Result<()> {
    evening.until("the run to warm up", 40, |e| stage(e, Stage::WarmingUp)).await?;
    evening.operator.crash().await?;
    evening
        .until("17 machines to join", 60, |e| async move {
            let machines = e.machines().await?;
            Ok((machines == 17, machines.to_string()))
        })
        .await?;
    ensure!(evening.replicas("web").await? == 10, "machines come before pods");
    evening.until("the run to be ready", 60, |e| stage(e, Stage::Ready)).await?;
    ensure!(Utc::now() <= t0, "ready {} after T0", Utc::now() - t0);
    ensure!(evening.ready("web").await? >= 180 && evening.ready("search").await? == 90);
    ensure!(evening.bounds().await? == (180, 260));
    ensure!(evening.status("capital").await?.verdict == Verdict::Ready);
    evening.operator.crash().await?;
    Ok(())
}

/// Raises the sessions to the forecast peak, and checks that the pods serve all sessions.
async fn live(evening: &mut Evening) -> Result<()> {
    let unserved = evening.site.unserved_session_seconds();
    evening.site.set_sessions(PEAK_SESSIONS);
    evening.until("the show to be live", 30, |e| stage(e, Stage::Live)).await?;
    evening.operator.crash().await?;
    let unserved = evening.site.unserved_session_seconds() - unserved;
    ensure!(unserved < 1.0, "{unserved} session seconds found no pod");
    Ok(())
}

/// Raises the sessions above the forecast. Checks that the floor rises above the plan, up to
/// `maxReplicas`.
async fn beyond_the_forecast(evening: &Evening) -> Result<()> {
    evening.site.set_sessions(BREAKING_SESSIONS);
    evening
        .until("the floor to follow 45,000 sessions", 15, |e| async move {
            let (min, max) = e.bounds().await?;
            Ok((min == 225 && max == 260, format!("{min} to {max}")))
        })
        .await?;
    evening.site.set_sessions(80_000.0);
    evening
        .until("the floor to stop at maxReplicas", 15, |e| async move {
            let (min, max) = e.bounds().await?;
            Ok((min == 260 && max == 260, format!("{min} to {max}")))
        })
        .await?;
    evening
        .until("the clip to be said with its numbers", 10, |e| async move {
            let conditions = e.status("capital").await?.conditions;
            let said = conditions
                .iter()
                .any(|c| c.type_ == "Clipped" && c.status == "True" && c.message.contains("400"));
            Ok((said, format!("{conditions:?}")))
        })
        .await?;
    Ok(())
}

/// Checks that every query of the dashboard returns data during the evening.
async fn dashboard_has_data(evening: &Evening) -> Result<()> {
    for (title, query) in dashboard::queries()? {
        evening
            .until(&format!("data for the panel {title}"), 15, |e| {
                let query = query.clone();
                async move { Ok((!e.prometheus.query(&query).await?.is_empty(), query)) }
            })
            .await?;
    }
    Ok(())
}

/// Kills Prometheus, applies `replicas: 10` as a deploy does, and checks that the operator restores
/// all floors.
async fn outage_and_deploy(evening: &mut Evening) -> Result<()> {
    evening.prometheus.kill().await?;
    evening
        .until("the signal to be unknown", 20, |e| async move {
            let signals = e.status("capital").await?.signals;
            Ok((signals.iter().all(|s| s.unknown_since.is_some()), format!("{signals:?}")))
        })
        .await?;
    let shop = std::fs::read_to_string(root().join("tests/shop.yaml"))?;
    for document in shop.split("\n---\n").filter(|d| d.contains("\nkind: Deployment")) {
        let mut deployment: serde_json::Value = serde_yaml::from_str(document)?;
        deployment["spec"]["replicas"] = 10.into();
        evening.plane.apply(&serde_yaml::to_string(&deployment)?).await?;
    }
    let reverted = std::time::Instant::now();
    evening
        .until("the floors to be back", 5, |e| async move {
            let (web, search) = (e.replicas("web").await?, e.replicas("search").await?);
            Ok((web >= 260 && search == 90, format!("{web} and {search}")))
        })
        .await?;
    eprintln!("floor back after {} ms", reverted.elapsed().as_millis());
    ensure!(evening.bounds().await? == (260, 260) && evening.replicas("web").await? >= 260);
    evening.prometheus.resume().await?;
    Ok(())
}

/// Checks that the run holds the floors after the end of the event while the load stays high.
async fn held(evening: &mut Evening) -> Result<()> {
    evening.site.set_sessions(PEAK_SESSIONS);
    evening.until("the run to hold past its end", 150, |e| stage(e, Stage::Holding)).await?;
    evening.operator.crash().await?;
    ensure!(evening.bounds().await? == (260, 260));
    evening.site.set_sessions(USUAL_SESSIONS);
    Ok(())
}

/// Checks that the run releases the floors in steps and returns everything.
async fn released(evening: &mut Evening) -> Result<()> {
    evening.until("the release", 60, |e| stage(e, Stage::Releasing)).await?;
    evening.operator.crash().await?;
    evening.until("the run to be done", 120, |e| stage(e, Stage::Done)).await?;
    evening
        .until("everything to be back", 30, |e| async move {
            let back = e.everything_is_back().await;
            Ok((back.is_ok(), format!("{back:?}")))
        })
        .await?;
    ensure!(evening.ec2.started() == 17, "{} instances were started", evening.ec2.started());
    let status = evening.status("capital").await?;
    let report = status.report.clone().expect("a report");
    ensure!(
        report.ready_at_t0 && report.machines_launched == 17 && report.machines_terminated == 17,
        "{report:?}"
    );
    let runs = evening.runs().await?;
    eprintln!("{}", runs.iter().map(primetime_tests::evening::decisions).collect::<String>());
    Ok(())
}

/// Checks the Events that `kubectl describe` shows of the run.
///
/// The test does not check Events of stages. The test kills the operator right after each stage
/// change, so an unsent Event exists only in the decision log.
async fn told(evening: &Evening) -> Result<()> {
    let reasons = ["-n", SHOP, "--field-selector=involvedObject.kind=SurgeRun", "-o"];
    let path = "jsonpath={range .items[*]}{.reason} {.message}{'\\n'}{end}";
    let mut get = evening.plane.kubectl();
    let events = run(get.args(["get", "events"]).args(reasons).arg(path)).await?;
    for reason in ["FloorRaised", "SignalUnknown", "FloorLowered", "Done"] {
        ensure!(events.lines().any(|l| l.starts_with(reason)), "no event says {reason}: {events}");
    }
    Ok(())
}

/// Checks S21: no log, metric, Event or object contains the operator's key for the cloud.
async fn secrets_are_kept(evening: &Evening) -> Result<()> {
    let mut get = evening.plane.kubectl();
    let kinds = "surgeruns,surgeholds,scheduledsurges,instanceclasses,metricssources,events";
    let objects = run(get.args(["get", kinds, "--all-namespaces", "--output=json"])).await?;
    let (logged, metrics) = (evening.operator.logged()?, evening.operator.metrics().await?);
    ensure!(logged.contains("primetime starts") && objects.contains("SurgeRun"));
    for (what, text) in [("log", logged), ("metrics", metrics), ("objects", objects)] {
        ensure!(!text.contains(SECRET), "the {what} give the operator's key away");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_capital_evening() -> Result<()> {
    let mut evening =
        Evening::begin("capital", &Options::default(), |what| eprintln!("{what}")).await?;
    let t0 = announced(&mut evening).await?;
    warming_up(&mut evening, t0).await?;
    live(&mut evening).await?;
    beyond_the_forecast(&evening).await?;
    dashboard_has_data(&evening).await?;
    outage_and_deploy(&mut evening).await?;
    held(&mut evening).await?;
    released(&mut evening).await?;
    told(&evening).await?;
    secrets_are_kept(&evening).await?;
    evening.end()
}
