//! Two overlapping runs on the same target, the first with fewer planned replicas. The higher floor
//! applies, and both runs share a baseline.

use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use primetime_core::state::run::Stage;
use primetime_tests::capital::web_only;
use primetime_tests::evening::Evening;
use primetime_tests::plane::Options;

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_run_within_a_lower_one() -> Result<()> {
    let evening =
        Evening::begin("overlap", &Options::default(), |what| eprintln!("{what}")).await?;
    let show = Utc::now() + TimeDelta::seconds(18);
    let mut low = web_only("low", show, 80, 60)?;
    let mut high = web_only("high", show + TimeDelta::seconds(40), 15, 100)?;
    // The load of the evening never changes, so the release must not wait for a lower load.
    (low.spec.event.hold, high.spec.event.hold) = (None, None);
    evening.announce(&low).await?;
    evening.announce(&high).await?;
    evening
        .until("the lower run to be live", 40, |e| async move {
            let live = e.status("low").await?.stage == Stage::Live;
            Ok((live && e.bounds().await? == (60, 260), format!("{:?}", e.bounds().await?)))
        })
        .await?;
    evening
        .until("the higher floor", 60, |e| async move {
            let live = e.status("high").await?.stage == Stage::Live;
            Ok((live && e.bounds().await? == (100, 260), format!("{:?}", e.bounds().await?)))
        })
        .await?;
    let holds = evening.holds().await?;
    ensure!(holds.len() == 1, "one hold for both: {holds:?}");
    for hold in holds.iter().map(|h| &h.spec.hold) {
        ensure!(hold.baseline.replicas == 10 && hold.claims.len() == 2, "{hold:?}");
    }
    let lowest = AtomicI32::new(i32::MAX);
    evening
        .until("the higher run to be over", 60, |e| {
            let lowest = &lowest;
            async move {
                let (min, _) = e.bounds().await?;
                lowest.fetch_min(min, Ordering::Relaxed);
                let stage = e.status("high").await?.stage;
                Ok((stage == Stage::Done, format!("{stage:?} at {min}")))
            }
        })
        .await?;
    ensure!(lowest.into_inner() == 60, "on the way down the floor of the lower run holds");
    let low = evening.status("low").await?;
    ensure!(low.stage == Stage::Live, "the lower run goes on: {:?}", low.stage);
    ensure!(evening.bounds().await? == (60, 260), "{:?}", evening.bounds().await?);
    evening
        .until("everything to be back", 150, |e| async move {
            let back = e.everything_is_back().await;
            let done = e.status("low").await?.stage == Stage::Done;
            Ok((done && back.is_ok(), format!("{back:?}")))
        })
        .await?;
    evening.end()
}
