//! Leader election with two replicas. The standby takes over within 6 s after SIGTERM of the
//! leader, and within 20 s after SIGKILL.

use std::time::Instant;

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use primetime_core::state::run::Stage;
use primetime_tests::capital;
use primetime_tests::evening::Evening;
use primetime_tests::plane::Options;

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_and_nothing_goes_down() -> Result<()> {
    let mut evening =
        Evening::begin("leader", &Options::default(), |what| eprintln!("{what}")).await?;
    let mut standby = evening.operator.standby().await?;
    let mut surge = capital::shifted(Utc::now() + TimeDelta::seconds(20), 60)?;
    surge.spec.event.machines.clear();
    surge.spec.ready_before_seconds = 2;
    for target in &mut surge.spec.event.targets {
        target.lead_seconds = 8;
    }
    evening.announce(&surge).await?;
    evening
        .until("the run to be live", 40, |e| async move {
            let status = e.status("capital").await?;
            Ok((status.stage == Stage::Live, format!("{:?}", status.stage)))
        })
        .await?;
    ensure!(evening.operator.leads().await? && !standby.leads().await?, "exactly one leads");

    let asked = Instant::now();
    evening.operator.terminate().await?;
    let standby_leads = |standby: &primetime_tests::operator::Operator| {
        let url = format!("http://127.0.0.1:{}/metrics", standby.http_port);
        async move {
            let text = primetime_tests::prometheus::fetch(&url).await?;
            Ok((text.lines().any(|l| l == "primetime_leader 1"), "it does not lead".to_owned()))
        }
    };
    evening.until("the standby to lead", 6, |_| standby_leads(&standby)).await?;
    eprintln!("took over {} ms after the leader was asked to stop", asked.elapsed().as_millis());
    evening.site.set_sessions(45_000.0);
    evening
        .until("the new leader to climb", 10, |e| async move {
            let (min, _) = e.bounds().await?;
            Ok((min == 225, min.to_string()))
        })
        .await?;

    evening.operator.start().await?;
    let died = Instant::now();
    standby.kill().await?;
    evening
        .until("the first to take over from the dead", 20, |e| async move {
            Ok((e.operator.leads().await?, "it does not lead".to_owned()))
        })
        .await?;
    eprintln!("took over {} ms after the leader had died", died.elapsed().as_millis());
    ensure!(evening.bounds().await? == (225, 260), "{:?}", evening.bounds().await?);
    evening.end()
}
