//! Warm-up, live and release Jobs of an event, run by the real Job controller.

use anyhow::{Context, Result, ensure};
use chrono::{TimeDelta, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, DeleteParams, ListParams};
use primetime_api::{JobStep, tags};
use primetime_core::state::run::{RunStatus, Stage, Verdict};
use primetime_core::state::status::{JobState, JobStatus};
use primetime_tests::capital::web_only;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::plane::Options;
use serde_json::{Value, json};

/// Returns the spec of a Job whose single pod ends with the given phase.
fn body(ends: &str) -> Value {
    json!({"template": {
        "metadata": {"annotations": {"tests.primetime.dev/ends": ends}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "it", "image": "photos:1"}],
            "tolerations": [{"operator": "Exists"}],
        },
    }})
}

fn cron_job(name: &str, ends: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {"schedule": "0 3 * * *", "suspend": true, "jobTemplate": {"spec": body(ends)}},
    })
}

fn steps(steps: Value) -> Result<Vec<JobStep>> {
    Ok(serde_json::from_value(steps)?)
}

fn job<'a>(status: &'a RunStatus, step: &str) -> Result<&'a JobStatus> {
    status.jobs.iter().find(|job| job.name == step).context(step.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_be_warm_is_warm_at_t0_and_a_failure_is_said_in_time() -> Result<()> {
    let evening = Evening::begin("jobs", &Options::default(), |what| eprintln!("{what}")).await?;
    // A suspended Job is a valid template. The copy must not have the labels and the selector that
    // the API server adds to the template.
    let mut once = body("Succeeded");
    once["suspend"] = true.into();
    let once = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "warm-photos", "namespace": SHOP}, "spec": once,
    });
    for template in [
        once,
        cron_job("warm-cdn", "Failed"),
        cron_job("banner", "Succeeded"),
        cron_job("count", "Succeeded"),
    ] {
        evening.plane.apply(&serde_yaml::to_string(&template)?).await?;
    }
    let show = Utc::now() + TimeDelta::seconds(85);
    let mut surge = web_only("capital", show, 15, 40)?;
    surge.spec.event.hold = None;
    surge.spec.event.warm_up = steps(json!([
        {"name": "photos", "deadlineSeconds": 20, "after": ["web"],
         "jobTemplateRef": {"kind": "Job", "name": "warm-photos"}},
        {"name": "cdn", "deadlineSeconds": 30, "retries": 0, "after": ["photos"],
         "jobTemplateRef": {"name": "warm-cdn"}},
    ]))?;
    surge.spec.event.on_live =
        steps(json!([{"name": "banner", "jobTemplateRef": {"name": "banner"}}]))?;
    surge.spec.event.on_release =
        steps(json!([{"name": "count", "jobTemplateRef": {"name": "count"}}]))?;
    evening.announce(&surge).await?;

    evening
        .until("the failure to be a risk before T0", 90, |e| async move {
            let status = e.status("capital").await?;
            let at_risk = status.verdict == Verdict::AtRisk && status.stage == Stage::WarmingUp;
            let failed = status.message.contains("has failed: BackoffLimitExceeded");
            Ok((at_risk && failed, status.message))
        })
        .await?;
    let status = evening.status("capital").await?;
    ensure!(job(&status, "photos")?.state == JobState::Succeeded, "{:?}", status.jobs);
    ensure!(Utc::now() < show - TimeDelta::seconds(5), "it is said in time");

    // A person repairs the template and deletes the failed Job.
    evening.plane.apply(&serde_yaml::to_string(&cron_job("warm-cdn", "Succeeded"))?).await?;
    let jobs: Api<Job> = Api::namespaced(evening.client(), SHOP);
    jobs.delete(&job(&status, "cdn")?.job, &DeleteParams::background()).await?;
    evening
        .until("everything to be ready", 60, |e| async move {
            let status = e.status("capital").await?;
            Ok((status.verdict == Verdict::Ready, status.message))
        })
        .await?;
    let status = evening.status("capital").await?;
    ensure!(job(&status, "cdn")?.attempt == 2, "{:?}", status.jobs);
    ensure!(status.message.contains("warm-up photos 1/1 jobs"), "{}", status.message);

    evening
        .until("the run to be done", 120, |e| async move {
            let status = e.status("capital").await?;
            Ok((status.stage == Stage::Done, status.message))
        })
        .await?;
    let status = evening.status("capital").await?;
    let all_done = status.jobs.iter().all(|job| job.state == JobState::Succeeded);
    ensure!(all_done && status.jobs.len() == 4, "{:?}", status.jobs);
    let events = evening.events().await?;
    for said in [
        "photos: warm-up from Job warm-photos, as Job photos-",
        "cdn: warm-up has failed, Job cdn-",
        "cdn: warm-up is done after",
    ] {
        ensure!(events.contains(said), "no {said} in {events}");
    }

    // The garbage collector deletes the Jobs together with the run. The template stays unchanged.
    let run = evening.runs().await?.pop().context("a run")?;
    let run_uid = run.metadata.uid.context("a uid")?;
    let ours = ListParams::default().labels(&format!("{}={run_uid}", tags::RUN));
    ensure!(jobs.list(&ours).await?.items.len() == 4, "one Job a step");
    evening.everything_is_back().await?;
    evening.plane.kubectl().args(["delete", "surge", "-n", SHOP, "capital"]).status().await?;
    evening
        .until("the Jobs to be gone", 60, |_| async {
            let left = jobs.list(&ours).await?.items.len();
            Ok((left == 0, format!("{left} are left")))
        })
        .await?;
    let template = jobs.get("warm-photos").await?;
    ensure!(
        template.spec.and_then(|spec| spec.suspend) == Some(true),
        "it was copied, not started"
    );
    evening.end()
}
