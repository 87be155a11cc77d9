//! Targets with real `ScaledObject`s: the operator raises the bounds, holds the floors against
//! KEDA, and restores the bounds.
//!
//! `make test-keda` builds KEDA first, which takes six minutes.

use anyhow::{Context, Result, ensure};
use chrono::{TimeDelta, Utc};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use primetime_core::state::run::Stage;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::keda::Keda;
use primetime_tests::plane::Options;
use primetime_tests::recorder::Recorder;
use primetime_tests::tools::Tools;
use primetime_tests::workload::{deployment, surge};
use serde_json::{Value, json};

/// Builds a cron trigger that is active all year except for a minute. If `active` is false, the
/// trigger is active only in that minute.
fn cron(active: bool) -> Value {
    let (start, end) =
        if active { ("0 0 1 1 *", "59 23 31 12 *") } else { ("59 23 31 12 *", "0 0 1 1 *") };
    json!({
        "type": "cron",
        "metadata": {"timezone": "UTC", "start": start, "end": end, "desiredReplicas": "8"},
    })
}

/// Builds a Prometheus trigger whose server never answers.
fn idle() -> Value {
    json!({
        "type": "prometheus",
        "metadata": {"serverAddress": "http://127.0.0.1:9", "query": "up", "threshold": "1"},
    })
}

/// A workload, the `ScaledObject` of the workload, and the replicas before and after a surge of 12.
struct Case {
    name: &'static str,
    replicas: i32,
    spec: Value,
    annotations: Value,
}

fn cases() -> [Case; 6] {
    let case = |name, replicas, spec, annotations| Case { name, replicas, spec, annotations };
    [
        // The user's cron trigger wants 8 replicas before, during and after the surge.
        case("cron", 8, json!({"minReplicaCount": 2, "triggers": [cron(true)]}), json!({})),
        case("zero", 0, json!({"minReplicaCount": 0, "triggers": [cron(false)]}), json!({})),
        // KEDA scales to `idleReplicaCount`, because no trigger is active. `minReplicaCount` has no
        // effect.
        case(
            "idle",
            0,
            json!({"minReplicaCount": 2, "idleReplicaCount": 0, "triggers": [cron(false)]}),
            json!({}),
        ),
        case(
            "paused",
            4,
            json!({"minReplicaCount": 2, "triggers": [cron(true)]}),
            json!({"autoscaling.keda.sh/paused": "true"}),
        ),
        case(
            "pinned",
            3,
            json!({"minReplicaCount": 2, "triggers": [cron(true)]}),
            json!({"autoscaling.keda.sh/paused-replicas": "3"}),
        ),
        case(
            "fallback",
            6,
            json!({
                "minReplicaCount": 2, "triggers": [idle()],
                "fallback": {"failureThreshold": 1, "replicas": 6},
            }),
            json!({}),
        ),
    ]
}

impl Case {
    fn scaled_object(&self) -> Value {
        let mut spec = self.spec.clone();
        spec["scaleTargetRef"] = json!({"name": self.name});
        spec["maxReplicaCount"] = 30.into();
        (spec["pollingInterval"], spec["cooldownPeriod"]) = (1.into(), 1.into());
        spec["advanced"] = json!({"horizontalPodAutoscalerConfig": {
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        }});
        json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": {"name": self.name, "namespace": SHOP, "annotations": self.annotations},
            "spec": spec,
        })
    }
}

/// Planned replicas of each case.
const FLOOR: i32 = 12;

fn scaled_objects(evening: &Evening) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject"));
    Api::namespaced_with(evening.client(), SHOP, &kind)
}

async fn settled(evening: &Evening, what: &str, wanted: impl Fn(&Case) -> i32) -> Result<()> {
    let wanted: Vec<_> = cases().iter().map(|case| (case.name, wanted(case))).collect();
    evening
        .until(what, 90, |e| {
            let wanted = &wanted;
            async move {
                let mut differ = Vec::new();
                for (name, wanted) in wanted {
                    let is = e.replicas(name).await?;
                    if is != *wanted {
                        differ.push(format!("{name} is at {is}, not at {wanted}"));
                    }
                }
                Ok((differ.is_empty(), differ.join("; ")))
            }
        })
        .await
}

/// Checks that Primetime has not written any HPA that KEDA generates (`metadata.managedFields`).
async fn not_ours(evening: &Evening) -> Result<()> {
    let hpas: Api<HorizontalPodAutoscaler> = Api::namespaced(evening.client(), SHOP);
    for hpa in hpas.list(&ListParams::default()).await?.items {
        let name = hpa.name_any();
        if !name.starts_with("keda-hpa-") {
            continue;
        }
        let writers = hpa.managed_fields().iter().filter_map(|entry| entry.manager.as_deref());
        let writers: Vec<&str> = writers.collect();
        ensure!(!writers.is_empty(), "{name} has a writer");
        ensure!(!writers.iter().any(|by| by.contains("primetime")), "{name}: {writers:?}");
    }
    hpas.get("keda-hpa-cron").await.context("KEDA's own HPA")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make test-keda builds KEDA first"]
async fn a_floor_holds_whatever_keda_would_rather_do() -> Result<()> {
    let tools = Tools::with_keda().await?;
    let evening = Evening::begin("keda", &Options::own(), |what| eprintln!("{what}")).await?;
    let mut keda = Keda::start(&tools, &evening.plane).await?;
    evening
        .until("the operator to know that KEDA is there", 60, |e| async move {
            let logged = e.operator.logged()?;
            Ok((logged.contains("KEDA is installed"), "not yet".to_owned()))
        })
        .await?;
    let mut objects = Vec::new();
    for case in cases() {
        objects.push(serde_yaml::to_string(&deployment(case.name, case.replicas.unsigned_abs()))?);
        objects.push(serde_yaml::to_string(&case.scaled_object())?);
    }
    evening.plane.apply(&objects.join("\n---\n")).await?;
    settled(&evening, "KEDA to have its way", |case| case.replicas).await?;
    let api = scaled_objects(&evening);
    let before = api.list(&ListParams::default()).await?.items;

    let recorder = Recorder::start(&evening.client());
    let start = Utc::now() + TimeDelta::seconds(25);
    let end = start + TimeDelta::seconds(40);
    let mut surges = Vec::new();
    for case in cases() {
        let mut surge = surge(case.name, case.name, start, 40, FLOOR.unsigned_abs());
        surge["spec"]["targets"][0]["maxReplicas"] = 40.into();
        surges.push(serde_yaml::to_string(&surge)?);
    }
    evening.plane.apply(&surges.join("\n---\n")).await?;
    // The HPA may revert a raise through `/scale` once, until KEDA has copied the new minimum to
    // the HPA.
    evening
        .until("KEDA's HPAs to have the floor for a minimum", 60, |e| async move {
            let hpas: Api<HorizontalPodAutoscaler> = Api::namespaced(e.client(), SHOP);
            let hpas = hpas.list(&ListParams::default()).await?.items;
            let generated = hpas.iter().filter(|hpa| hpa.name_any().starts_with("keda-hpa-"));
            let minima: Vec<_> =
                generated.filter_map(|hpa| hpa.spec.as_ref()?.min_replicas).collect();
            Ok((minima == [FLOOR; 4], format!("{minima:?}")))
        })
        .await?;
    settled(&evening, "every floor", |_| FLOOR).await?;
    let (t0, ready) = (start - TimeDelta::seconds(5), Utc::now());
    ensure!(ready < t0, "ready {} s late", (ready - t0).num_seconds());
    evening
        .until("T0", 30, |_| async move {
            let now = Utc::now();
            Ok((now >= t0, format!("{now}")))
        })
        .await?;

    // KEDA dies in the middle of the event and restarts from the state in the cluster.
    keda.kill().await?;
    keda.resume().await?;
    evening
        .until("the end", 60, |_| async move {
            let now = Utc::now();
            Ok((now >= end, format!("{now}")))
        })
        .await?;
    for case in cases() {
        let asked = recorder.replicas(case.name);
        let fallen: Vec<_> =
            asked.iter().filter(|(at, n)| *at > t0 && *at < end && *n < FLOOR).collect();
        if case.name != "pinned" {
            ensure!(fallen.is_empty(), "{} fell: {asked:?}", case.name);
        }
        // KEDA writes the replicas of `paused-replicas` again after each restart of KEDA. The
        // operator restores the floor within 5 s, as after a write by any other client.
        for (at, _) in fallen {
            let soon = *at..*at + TimeDelta::seconds(5);
            let repaired = asked.iter().any(|(at, n)| soon.contains(at) && *n == FLOOR);
            ensure!(repaired, "{} fell for long: {asked:?}", case.name);
        }
    }

    settled(&evening, "KEDA to have its way again", |case| case.replicas).await?;
    evening
        .until("every run to be done", 60, |e| async move {
            let mut left = Vec::new();
            for case in cases() {
                let status = e.status(case.name).await?;
                if status.stage != Stage::Done || !e.holds().await?.is_empty() {
                    left.push(format!("{}: {:?}, {}", case.name, status.stage, status.message));
                }
            }
            Ok((left.is_empty(), left.join("; ")))
        })
        .await?;
    for was in before {
        let name = was.name_any();
        let is = api.get(&name).await?;
        // KEDA adds other fields of `spec` on the first reconcile, so the test compares three
        // fields only.
        for field in ["minReplicaCount", "maxReplicaCount", "idleReplicaCount"] {
            let (is, was) = (is.data["spec"].get(field), was.data["spec"].get(field));
            ensure!(is == was, "{name}: {field} is {is:?}, and was {was:?}");
        }
        ensure!(is.annotations() == was.annotations(), "{name}: {:?}", is.annotations());
    }
    not_ours(&evening).await?;
    drop(keda);
    evening.end()
}
