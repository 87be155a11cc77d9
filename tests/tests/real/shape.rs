//! A plan with a shape on a real control plane: the clock lowers floor and machines within the event.

use anyhow::{Context, Result, ensure};
use chrono::{TimeDelta, Utc};
use primetime_core::state::run::{Stage, Verdict};
use primetime_tests::capital;
use primetime_tests::evening::Evening;
use primetime_tests::plane::Options;
use serde_json::{Value, json};

/// Checks that the API server refuses a surge with the given shape, with a sentence.
async fn refused(evening: &Evening, shape: Value, said: &str) -> Result<()> {
    let show = Utc::now() + TimeDelta::seconds(3_600);
    let mut surge = serde_json::to_value(capital::web_only("refused", show, 60, 60)?)?;
    surge["spec"]["targets"][0]["shape"] = shape.clone();
    let answer = evening.plane.apply(&surge.to_string()).await;
    let error = answer.err().with_context(|| format!("accepted: {shape}"))?;
    ensure!(format!("{error:#}").contains(said), "{shape}: expected \"{said}\" in: {error:#}");
    Ok(())
}

async fn shapes_are_checked(evening: &Evening) -> Result<()> {
    let point = |offset: i64, percent: u32| json!({"offsetSeconds": offset, "percent": percent});
    let linear = |points: Value| json!({"interpolation": "Linear", "points": points});
    refused(evening, json!({}), "exactly one of name and points").await?;
    let both = json!({"name": "match-90min", "interpolation": "Step", "points": [point(0, 100)]});
    refused(evening, both, "exactly one of name and points").await?;
    let bare = json!({"points": [point(0, 100)]});
    refused(evening, bare, "points and interpolation belong together").await?;
    for points in [json!([point(60, 100), point(0, 50)]), json!([point(0, 100), point(0, 50)])] {
        refused(evening, linear(points), "rising offsetSeconds").await?;
    }
    refused(evening, linear(json!([])), "points").await?;
    refused(evening, json!({"name": "world-cup"}), "Unsupported value").await
}

/// Returns the floor of `web`, and the machines that run.
async fn held(evening: &Evening) -> Result<(i32, usize)> {
    Ok((evening.bounds().await?.0, evening.machines().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_lowers_floor_and_machines_within_the_event() -> Result<()> {
    let evening = Evening::begin("shape", &Options::default(), |what| eprintln!("{what}")).await?;
    shapes_are_checked(&evening).await?;

    let show = Utc::now() + TimeDelta::seconds(60);
    let mut surge = capital::shifted(show, 60)?;
    surge.spec.schedule.duration_seconds = Some(300);
    surge.spec.event.hold = None;
    surge.spec.event.shape = serde_json::from_value(json!({
        "interpolation": "Linear", "headroomPercent": 10,
        "points": [
            {"offsetSeconds": 30, "percent": 100}, {"offsetSeconds": 90, "percent": 20},
        ],
    }))?;
    evening.announce(&surge).await?;
    evening
        .until("180 pods and 17 machines at the start", 90, |e| async move {
            let (held, status) = (held(e).await?, e.status("capital").await?);
            let ready = status.stage == Stage::Live && status.verdict == Verdict::Ready;
            Ok((ready && held == (180, 17), format!("{held:?}: {}", status.message)))
        })
        .await?;
    // A fifth of 180 and a tenth of that are 40 pods. The machines carry 30 of them: 3 and one more.
    evening
        .until("the floor and the machines to follow the shape", 200, |e| async move {
            let (held, status) = (held(e).await?, e.status("capital").await?);
            let live = status.stage == Stage::Live;
            ensure!(live, "the event is over: {held:?}, {}", status.message);
            ensure!(status.verdict != Verdict::AtRisk, "{}", status.message);
            let ready = e.ready("web").await?;
            ensure!(ready >= 36, "{ready} ready pods, a fifth of the plan is 36");
            Ok((held == (40, 4), format!("{held:?}, {ready} ready: {}", status.message)))
        })
        .await?;
    evening
        .until("everything to be back", 420, |e| async move {
            let status = e.status("capital").await?;
            let back = e.everything_is_back().await;
            let done = status.stage == Stage::Done && back.is_ok();
            Ok((done, format!("{:?} {}, {back:?}", status.stage, status.message)))
        })
        .await?;
    let report = evening.status("capital").await?.report.context("no report")?;
    ensure!(report.ready_at_t0 && report.machines_launched == 17, "{report:?}");
    evening.end()
}
