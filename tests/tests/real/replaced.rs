//! Objects that a user deletes and recreates during an event: a surge by `kubectl replace --force`,
//! an HPA by a rename.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Api, DeleteParams};
use kube::{Resource, ResourceExt};
use primetime_api::{SURGE_UID, ScheduledSurge, SurgeRun};
use primetime_core::state::run::Stage;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::operator::DELETE_GRACE;
use primetime_tests::plane::Options;
use primetime_tests::process::run;
use primetime_tests::recorder::Recorder;
use primetime_tests::tools::root;
use primetime_tests::workload::{autoscaler, deployment, surge};

/// Replicas before the event (`BEFORE`) and during the event (`PLANNED`).
const BEFORE: u32 = 4;
const PLANNED: u32 = 20;

/// Duration of the event in seconds.
const SECONDS: u32 = 45;

fn planned() -> i32 {
    i32::try_from(PLANNED).unwrap()
}

async fn run_of(evening: &Evening, surge: &str) -> Result<SurgeRun> {
    let mut runs = evening.runs().await?;
    runs.retain(|run| run.spec.surge_name.as_deref() == Some(surge));
    ensure!(runs.len() == 1, "{surge} has {} runs", runs.len());
    runs.pop().context("one")
}

async fn surge_uid(evening: &Evening, name: &str) -> Result<String> {
    let surges: Api<ScheduledSurge> = Api::namespaced(evening.client(), SHOP);
    surges.get(name).await?.uid().context("a uid")
}

async fn stage(evening: &Evening, surge: &str, want: Stage) -> Result<(bool, String)> {
    let status = evening.status(surge).await?;
    Ok((status.stage == want, format!("{:?}: {}", status.stage, status.message)))
}

/// Deletes and recreates the surge with `kubectl replace --force`, and checks that the run
/// continues under the new surge.
async fn replace(evening: &Evening, start: DateTime<Utc>) -> Result<()> {
    let (before, old) = (run_of(evening, "kept").await?, surge_uid(evening, "kept").await?);
    let file = root().join("target/evenings/replaced.yaml");
    std::fs::write(&file, serde_yaml::to_string(&surge("kept", "kept", start, SECONDS, PLANNED))?)?;
    run(evening.plane.kubectl().args(["replace", "--force", "-f"]).arg(&file)).await?;
    let new = surge_uid(evening, "kept").await?;
    ensure!(old != new, "kubectl has created it anew");
    evening
        .until("the new surge to take the run over", 10, |e| {
            let new = &new;
            async move {
                let run = run_of(e, "kept").await?;
                let owner = run.annotations().get(SURGE_UID).cloned();
                Ok((owner.as_ref() == Some(new), format!("{owner:?}, not {new}")))
            }
        })
        .await?;
    let after = run_of(evening, "kept").await?;
    ensure!(before.uid() == after.uid() && after.metadata.deletion_timestamp.is_none());
    ensure!(after.owner_references().is_empty(), "{:?}", after.owner_references());
    let surges: Api<ScheduledSurge> = Api::namespaced(evening.client(), SHOP);
    evening
        .until("the new surge to name the run", 10, |_| {
            let (surges, name) = (surges.clone(), after.name_any());
            async move {
                let status = surges.get("kept").await?.status.unwrap_or_default();
                Ok((status.run.as_ref() == Some(&name), format!("{status:?}")))
            }
        })
        .await
}

/// Deletes the surge `gone` for good. Returns the time of the deletion.
async fn delete(evening: &Evening) -> Result<DateTime<Utc>> {
    let surges: Api<ScheduledSurge> = Api::namespaced(evening.client(), SHOP);
    surges.delete("gone", &DeleteParams::default()).await?;
    let deleted = Utc::now();
    evening
        .until("the run to say that its surge was deleted", 5, |e| async move {
            let message = e.status("gone").await?.message;
            Ok((message.contains("surge gone was deleted: the way down begins at "), message))
        })
        .await?;
    Ok(deleted)
}

/// Replaces the raised HPA by an HPA with another name, as a Helm rename does.
async fn rename(evening: &Evening) -> Result<()> {
    let hpas: Api<HorizontalPodAutoscaler> = Api::namespaced(evening.client(), SHOP);
    hpas.delete("renamed", &DeleteParams::default()).await?;
    let mut other = autoscaler("renamed", (3, 9), 1_000);
    other["metadata"]["name"] = "renamed-v3".into();
    evening.plane.apply(&serde_yaml::to_string(&other)?).await?;
    evening
        .until("the bounds of the new HPA to be raised", 15, |_| {
            let hpas = hpas.clone();
            async move {
                let spec = hpas.get("renamed-v3").await?.spec.context("no spec")?;
                let bounds = (spec.min_replicas.unwrap_or(1), spec.max_replicas);
                Ok((bounds == (planned(), planned()), format!("{bounds:?}")))
            }
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_replaced_in_the_middle_of_an_event_keeps_its_floor() -> Result<()> {
    let evening = Evening::begin("replaced", &Options::own(), |what| eprintln!("{what}")).await?;
    let names = ["kept", "gone", "renamed"];
    let mut objects = names.map(|name| deployment(name, BEFORE)).to_vec();
    objects.push(autoscaler("renamed", (2, 10), 500));
    let start = Utc::now() + TimeDelta::seconds(20);
    objects.extend(names.map(|name| surge(name, name, start, SECONDS, PLANNED)));
    let texts = objects.iter().map(serde_yaml::to_string).collect::<Result<Vec<_>, _>>()?;
    evening.plane.apply(&texts.join("\n---\n")).await?;
    let recorder = Recorder::start(&evening.client());
    for name in names {
        evening.until("the event to be live", 60, |e| stage(e, name, Stage::Live)).await?;
    }

    replace(&evening, start).await?;
    let deleted = delete(&evening).await?;
    rename(&evening).await?;
    let renamed = Utc::now();

    evening
        .until("the run of the deleted surge to be gone", 60, |e| async move {
            let runs = e.runs().await?;
            let there = runs.iter().any(|run| run.spec.surge_name.as_deref() == Some("gone"));
            Ok((!there, format!("{:?}", e.status("gone").await.ok())))
        })
        .await?;
    for name in ["kept", "renamed"] {
        evening.until("the event to be over", 90, |e| stage(e, name, Stage::Done)).await?;
    }

    let (t0, end) = (start - TimeDelta::seconds(5), start + TimeDelta::seconds(SECONDS.into()));
    let asked = |name, from, until| {
        let all = recorder.replicas(name);
        let stood = all.iter().rfind(|(at, _)| *at <= from).map(|(_, n)| *n);
        let later = all.iter().filter(|(at, _)| *at > from && *at < until).map(|(_, n)| *n);
        stood.into_iter().chain(later).collect::<Vec<_>>()
    };
    let kept = asked("kept", t0, end);
    ensure!(kept == [planned()], "a surge that was replaced: {kept:?}");
    let grace = TimeDelta::seconds(DELETE_GRACE);
    let gone = asked("gone", t0, deleted + grace - TimeDelta::seconds(1));
    ensure!(gone == [planned()], "a surge that was deleted, in its grace: {gone:?}");
    let afterwards = asked("gone", deleted + grace, end);
    ensure!(afterwards.last() == Some(&i32::try_from(BEFORE)?), "afterwards: {afterwards:?}");
    let settled = asked("renamed", renamed + TimeDelta::seconds(5), end);
    ensure!(settled == [planned()], "an HPA that was renamed: {settled:?}");

    let hpas: Api<HorizontalPodAutoscaler> = Api::namespaced(evening.client(), SHOP);
    let spec = hpas.get("renamed-v3").await?.spec.context("no spec")?;
    ensure!((spec.min_replicas, spec.max_replicas) == (Some(3), 9), "it is as it came: {spec:?}");
    let events = evening.events().await?;
    let said = "surge gone was deleted: the way down begins at ";
    ensure!(events.contains(said), "no event says {said:?}: {events}");
    // The garbage collector deletes a finished run together with the surge, even if the surge took
    // the run over.
    let surges: Api<ScheduledSurge> = Api::namespaced(evening.client(), SHOP);
    let owner = run_of(&evening, "kept").await?.owner_references().first().cloned();
    let new = surges.get("kept").await?.controller_owner_ref(&());
    ensure!(owner.map(|o| o.uid) == new.map(|o| o.uid));
    surges.delete("kept", &DeleteParams::default()).await?;
    evening
        .until("the run to go with its surge", 30, |e| async move {
            let runs = e.runs().await?;
            let names: Vec<_> = runs.iter().map(ResourceExt::name_any).collect();
            Ok((!names.iter().any(|name| name.starts_with("kept-")), names.join(", ")))
        })
        .await?;
    evening.end()
}
