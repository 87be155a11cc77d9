//! Degradation steps that shift traffic to another backend or run Jobs, on the real Gateway API and
//! the real Job controller.

use anyhow::{Context, Result, ensure};
use chrono::{TimeDelta, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use primetime_core::state::run::Stage;
use primetime_core::state::status::JobState;
use primetime_tests::capital::web_only;
use primetime_tests::evening::{Evening, SHOP, decisions};
use primetime_tests::plane::Options;
use primetime_tests::process::{command, run};
use primetime_tests::tools::{Tools, built};
use serde_json::{Value, json};

/// Returns a suspended `CronJob` whose single pod succeeds.
fn cron_job(name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {"schedule": "0 3 * * *", "suspend": true, "jobTemplate": {"spec": {"template": {
            "metadata": {"annotations": {"tests.primetime.dev/ends": "Succeeded"}},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "it", "image": "cdn:1"}],
                "tolerations": [{"operator": "Exists"}],
            },
        }}}},
    })
}

/// Returns two rules of an `HTTPRoute`: `pages` and `orders`. The backend `web` gets all traffic,
/// and `plain` has weight 0.
fn rules() -> Value {
    let path = |value: &str| json!([{"path": {"type": "PathPrefix", "value": value}}]);
    json!([
        {"name": "pages", "matches": path("/"), "backendRefs": [
            {"name": "web", "port": 80, "weight": 1}, {"name": "plain", "port": 80, "weight": 0},
        ]},
        {"name": "orders", "matches": path("/orders"), "backendRefs": [
            {"name": "web", "port": 80, "weight": 1}, {"name": "plain", "port": 80, "weight": 0},
        ]},
    ])
}

fn routes(evening: &Evening) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    Api::namespaced_with(evening.client(), SHOP, &ApiResource::from_gvk(&kind))
}

/// Returns the current weights of both backends in both rules.
async fn weights(evening: &Evening) -> Result<Vec<i64>> {
    let route = routes(evening).get("shop").await?;
    let weight = |rule: usize, backend: usize| {
        let pointer = format!("/spec/rules/{rule}/backendRefs/{backend}/weight");
        route.data.pointer(&pointer).and_then(Value::as_i64).context(pointer)
    };
    [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().map(|(r, b)| weight(r, b)).collect()
}

async fn until_weights(evening: &Evening, expected: [i64; 4], seconds: u64) -> Result<()> {
    let what = format!("the weights to be {expected:?}");
    evening
        .until(&what, seconds, |e| async move {
            let is = weights(e).await?;
            let said = e.status("capital").await?.message;
            Ok((is == expected, format!("{is:?}; {said}")))
        })
        .await
}

async fn until_job(evening: &Evening, name: &str, state: JobState, seconds: u64) -> Result<()> {
    evening
        .until(&format!("{name} to be {state:?}"), seconds, |e| async move {
            let status = e.status("capital").await?;
            let is = status.jobs.iter().find(|job| job.name == name).map(|job| job.state);
            Ok((is == Some(state), format!("{is:?}; {}", status.message)))
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_is_moved_and_work_is_run_and_undone() -> Result<()> {
    let evening =
        Evening::begin("reroute", &Options::default(), |what| eprintln!("{what}")).await?;
    let show = Utc::now() + TimeDelta::seconds(90);
    let mut surge = web_only("capital", show, 30, 20)?;
    surge.spec.event.hold = None;
    let never = json!({"signal": "sessions", "above": "1000000", "forSeconds": 2});
    let weight = |name: &str, rule: Option<&str>| {
        json!({
            "name": name, "when": never, "minimumSeconds": 1,
            "httpRouteRef": {"name": "shop", "rule": rule, "backend": "plain", "weight": 100},
        })
    };
    surge.spec.event.degrade = serde_json::from_value(json!([
        weight("somewhere", None),
        weight("plain-page", Some("pages")),
        {
            "name": "shield", "when": never, "minimumSeconds": 1,
            "jobs": {"degrade": {"name": "shield"}, "restore": {"name": "unshield"}},
        },
    ]))?;
    evening.announce(&surge).await?;

    // The `HTTPRoute` and the Jobs do not exist yet. The status of the run names the missing
    // objects before the warm-up.
    evening
        .until("what is missing to be said", 60, |e| async move {
            let said = e.status("capital").await?.message;
            let route = "HTTPRoute shop does not exist, or the Gateway API is not installed";
            let all = said.contains(route) && said.contains("CronJob shield does not exist");
            Ok((all, said))
        })
        .await?;
    let definitions = Tools::ensure().await?.path("gateway-definitions").canonicalize()?;
    let kubectl = || evening.plane.kubectl();
    run(kubectl().args(["apply", "--server-side", "-f"]).arg(definitions)).await?;
    run(kubectl().args(["wait", "--for=condition=Established", "crd", "--all"])).await?;
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": SHOP}, "spec": {"rules": rules()},
    });
    for object in [route, cron_job("shield"), cron_job("unshield")] {
        evening.plane.apply(&serde_yaml::to_string(&object)?).await?;
    }

    // A person rehearses all degradation steps after the run has begun.
    evening
        .until("the run to begin", 90, |e| async move {
            let status = e.status("capital").await?;
            Ok((status.stage >= Stage::WarmingUp, status.message))
        })
        .await?;
    let mut rehearse = command(built("kubectl-surge")?);
    rehearse.arg("--kubeconfig").arg(evening.plane.kubeconfig("admin")).args(["-n", SHOP]);
    rehearse.args(["degrade", "capital", "--for", "20s", "--reason", "rehearsal"]);
    run(&mut rehearse).await?;
    until_weights(&evening, [1, 100, 1, 0], 15).await?;
    until_job(&evening, "shield", JobState::Succeeded, 30).await?;
    let said = evening.status("capital").await?.message;
    let twice = "weight of plain in HTTPRoute shop: it stands there 2 times; name one rule";
    ensure!(said.contains(twice), "{said}");

    let name = evening.runs().await?.pop().and_then(|run| run.metadata.name).context("a run")?;
    let mut forget = kubectl();
    forget.args(["-n", SHOP, "patch", "surgerun", &name, "--type=merge"]);
    let forgotten = run(forget.args(["-p", r#"{"spec":{"degrade":[]}}"#])).await;
    let why = forgotten.err().context("what has to be undone was taken away")?;
    ensure!(format!("{why:#}").contains("what is on would not be given back"), "{why:#}");

    // The override expires. The restore Job completes first, and the operator restores the weights
    // afterwards.
    until_job(&evening, "shield-restore", JobState::Succeeded, 60).await?;
    until_weights(&evening, [1, 0, 1, 0], 30).await?;
    evening
        .until("the run to be done", 180, |e| async move {
            let status = e.status("capital").await?;
            Ok((status.stage == Stage::Done, status.message))
        })
        .await?;
    let run = evening.runs().await?.pop().context("a run")?;
    let log = decisions(&run);
    for said in [
        "plain-page: weight of plain in rule pages of HTTPRoute shop \"0\" -> \"100\"",
        "shield: degrade job from CronJob shield, as Job shield-",
        "shield-restore: restore job is done after",
        "plain-page: weight of plain in rule pages of HTTPRoute shop is given back",
    ] {
        ensure!(log.contains(said), "no \"{said}\" in {log}");
    }
    let undone = log.find("shield-restore: restore job is done");
    ensure!(undone < log.find("HTTPRoute shop is given back"), "in reverse order: {log}");
    let jobs: Api<Job> = Api::namespaced(evening.client(), SHOP);
    ensure!(jobs.list(&ListParams::default()).await?.items.len() == 2, "one Job each");
    evening.everything_is_back().await?;
    evening.end()
}
