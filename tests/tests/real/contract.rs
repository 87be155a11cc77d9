//! Contract test of the API server model: the model and a real API server give the same answers to
//! the same requests.
//!
//! The model may omit fields: defaults of foreign kinds, and most of `managedFields`. Every status
//! code, reason and field that the model returns must equal that of the real API server. The test
//! compares only the presence of values that each server draws (`uid`, `resourceVersion`, times).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use kube::Client;
use primetime_sim::clock::VirtualClock;
use primetime_sim::gate::Gate;
use primetime_sim::script::Script;
use primetime_sim::server::Server;
use primetime_tests::evening::folder;
use primetime_tests::plane::{Options, Plane};
use primetime_tests::process::run;
use primetime_tests::tools::{Tools, root};
use primetime_tests::wait::wait_until;
use serde_json::{Value, json};

/// A request to both servers, or a short sequence of requests.
enum Step {
    /// Method, path, content type, body.
    Send(&'static str, String, &'static str, Value),
    /// A PUT of the stored object with a change. If the flag is true, the `resourceVersion` is
    /// outdated.
    Replace(String, fn(&mut Value), bool),
    /// A watch from before two changes of an object of a collection.
    Watch(String, &'static str),
    /// A JSON patch that tests the `resourceVersion`. If the flag is true, another change makes the
    /// version outdated.
    Tested(String, Value, bool),
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const PATCH: &str = "application/json-patch+json";

fn get(path: &str) -> Step {
    Step::Send("GET", path.to_owned(), JSON, Value::Null)
}

fn post(path: &str, body: Value) -> Step {
    Step::Send("POST", path.to_owned(), JSON, body)
}

fn merge(path: &str, body: Value) -> Step {
    Step::Send("PATCH", path.to_owned(), MERGE, body)
}

fn patch(path: &str, body: Value) -> Step {
    Step::Send("PATCH", path.to_owned(), PATCH, body)
}

fn delete(path: &str, body: Value) -> Step {
    Step::Send("DELETE", path.to_owned(), JSON, body)
}

async fn send(
    client: &Client,
    method: &str,
    path: &str,
    content: &str,
    body: &Value,
) -> Result<(u16, Value)> {
    let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
    let request =
        Request::builder().method(method).uri(path).header("Content-Type", content).body(bytes)?;
    match client.request_text(request).await {
        Ok(text) => Ok((200, serde_json::from_str(&text)?)),
        Err(kube::Error::Api(status)) => Ok((status.code, json!({"reason": status.reason}))),
        Err(error) => Err(error.into()),
    }
}

async fn perform(client: &Client, step: &Step) -> Result<(u16, Value)> {
    match step {
        Step::Send(method, path, content, body) => send(client, method, path, content, body).await,
        Step::Replace(path, edit, stale) => {
            let (_, mut object) = send(client, "GET", path, JSON, &Value::Null).await?;
            if *stale {
                // Another client changes the object first.
                let touch = json!({"metadata": {"labels": {"touched": "true"}}});
                send(client, "PATCH", path, MERGE, &touch).await?;
            }
            edit(&mut object);
            send(client, "PUT", path, JSON, &object).await
        }
        Step::Watch(collection, name) => {
            let (_, list) = send(client, "GET", collection, JSON, &Value::Null).await?;
            for label in [json!("once"), Value::Null] {
                let touch = json!({"metadata": {"labels": {"watched": label}}});
                send(client, "PATCH", &format!("{collection}/{name}"), MERGE, &touch).await?;
            }
            let from = list.pointer("/metadata/resourceVersion").and_then(Value::as_str);
            let watch = format!(
                "{collection}?watch=true&timeoutSeconds=1&resourceVersion={}",
                from.context("a list without a version")?
            );
            let text = client.request_text(Request::get(watch).body(Vec::new())?).await?;
            let events = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
            Ok((200, Value::Array(events)))
        }
        Step::Tested(path, operation, stale) => {
            let (_, object) = send(client, "GET", path, JSON, &Value::Null).await?;
            if *stale {
                let touch = json!({"metadata": {"labels": {"tested": "true"}}});
                let whole = path.trim_end_matches("/scale");
                send(client, "PATCH", whole, MERGE, &touch).await?;
            }
            let seen = object.pointer("/metadata/resourceVersion");
            let test = json!({"op": "test", "path": "/metadata/resourceVersion", "value": seen});
            send(client, "PATCH", path, PATCH, &json!([test, operation])).await
        }
    }
}

/// Fields whose values each server draws independently.
const DRAWN: [&str; 4] = ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"];

/// Collects the fields of the model's answer that differ from the answer of the real API server.
fn differences(model: &Value, real: &Value, path: &str, found: &mut Vec<String>) {
    match (model, real) {
        (Value::Object(model), Value::Object(real)) => {
            for (name, value) in
                model.iter().filter(|(name, v)| *name != "managedFields" && !v.is_null())
            {
                let path = format!("{path}.{name}");
                match real.get(name) {
                    Some(_) if DRAWN.contains(&name.as_str()) => {}
                    Some(other) => differences(value, other, &path, found),
                    None => {
                        found.push(format!("{path}: the model says {value}, the real one nothing"));
                    }
                }
            }
        }
        (Value::Array(model), Value::Array(real)) if model.len() == real.len() => {
            for (n, (value, other)) in model.iter().zip(real).enumerate() {
                differences(value, other, &format!("{path}[{n}]"), found);
            }
        }
        _ if model == real => {}
        _ => found.push(format!("{path}: the model says {model}, the real one {real}")),
    }
}

fn own_spec(object: &Value) -> Option<&Value> {
    let version = object.get("apiVersion")?.as_str()?;
    object.get("spec").filter(|_| version.starts_with("primetime.dev"))
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": 10, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "shop/web:1"}]},
            },
        },
    })
}

fn workloads() -> Vec<Step> {
    let web = "/apis/apps/v1/namespaces/shop/deployments/web";
    let scale = &format!("{web}/scale?fieldManager=primetime");
    let raise = |from: i64, to: i64| {
        json!([
            {"op": "test", "path": "/spec/replicas", "value": from},
            {"op": "add", "path": "/spec/replicas", "value": to},
        ])
    };
    vec![
        get(web),
        post("/apis/apps/v1/namespaces/shop/deployments", deployment()),
        post("/apis/apps/v1/namespaces/shop/deployments", deployment()),
        get(web),
        get("/apis/apps/v1/namespaces/shop/deployments"),
        get("/apis/apps/v1/deployments"),
        get(scale),
        patch(scale, raise(10, 180)),
        patch(scale, raise(10, 180)),
        patch(scale, raise(180, 180)),
        merge(scale, json!({"spec": {"replicas": 0}})),
        get(scale),
        patch(scale, json!([{"op": "add", "path": "/spec/replicas", "value": 5}])),
        merge(scale, json!({"spec": {"replicas": -1}})),
        merge(
            &format!("{web}/status"),
            json!({"status": {"replicas": 5, "readyReplicas": 3}, "spec": {"replicas": 7}}),
        ),
        get(web),
        merge(web, json!({"status": {"replicas": 9}})),
        Step::Replace(web.to_owned(), |o| o["spec"]["replicas"] = 6.into(), false),
        Step::Replace(web.to_owned(), |o| o["spec"]["replicas"] = 7.into(), true),
        get(web),
        get("/apis/apps/v1/namespaces/shop/deployments/absent/scale"),
        Step::Tested(
            format!("{web}/scale"),
            json!({"op": "add", "path": "/spec/replicas", "value": 11}),
            false,
        ),
        Step::Tested(
            format!("{web}/scale"),
            json!({"op": "add", "path": "/spec/replicas", "value": 12}),
            true,
        ),
        get(web),
        Step::Watch("/apis/apps/v1/namespaces/shop/deployments".to_owned(), "web"),
        get("/apis/apps/v1/namespaces/shop/deployments?labelSelector=tested%3Dtrue"),
        get("/apis/apps/v1/namespaces/shop/deployments?labelSelector=tested%3Dfalse"),
        delete(web, json!({"preconditions": {"uid": "11111111-1111-4111-8111-111111111111"}})),
    ]
}

fn autoscalers() -> Vec<Step> {
    let hpas = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
    let web = &format!("{hpas}/web");
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 10, "maxReplicas": 60,
        },
    });
    let bounds = json!([
        {"op": "test", "path": "/spec/minReplicas", "value": 10},
        {"op": "add", "path": "/spec/minReplicas", "value": 180},
        {"op": "test", "path": "/spec/maxReplicas", "value": 60},
        {"op": "add", "path": "/spec/maxReplicas", "value": 260},
    ]);
    vec![
        post(hpas, hpa),
        patch(web, bounds.clone()),
        patch(web, bounds),
        get(web),
        Step::Tested(
            web.clone(),
            json!({"op": "add", "path": "/spec/minReplicas", "value": 181}),
            true,
        ),
        Step::Tested(
            web.clone(),
            json!({"op": "add", "path": "/spec/minReplicas", "value": 180}),
            false,
        ),
        Step::Watch(hpas.to_owned(), "web"),
        patch(
            web,
            json!([{"op": "test", "path": "/spec/minReplicas", "value": 180}, {"op": "remove", "path": "/spec/minReplicas"}]),
        ),
        get("/apis/autoscaling/v2/horizontalpodautoscalers"),
        delete(web, Value::Null),
        get(web),
    ]
}

/// Returns the steps for a pod: lists by `spec.nodeName`, and two evictions.
fn pods() -> Vec<Step> {
    let (pods, node) = ("/api/v1/namespaces/shop/pods", "fieldSelector=spec.nodeName%3Dburst-1");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop"},
        "spec": {
            "nodeName": "burst-1", "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "web", "image": "shop/web:1"}],
        },
    });
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": "web-1", "namespace": "shop"},
    });
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "shop"},
    });
    vec![
        post("/api/v1/namespaces/shop/serviceaccounts", account),
        post(pods, pod),
        get(&format!("/api/v1/pods?{node}")),
        get("/api/v1/pods?fieldSelector=spec.nodeName%3Dburst-2"),
        post(&format!("{pods}/web-1/eviction"), eviction.clone()),
        post(&format!("{pods}/web-1/eviction"), eviction),
        get(&format!("/api/v1/pods?{node}")),
    ]
}

/// Returns the steps for a `Job`: creation, a duplicate, status, watch, lists by label, and
/// deletion.
fn jobs() -> Vec<Step> {
    let jobs = "/apis/batch/v1/namespaces/shop/jobs";
    let cron_jobs = "/apis/batch/v1/namespaces/shop/cronjobs";
    let warm = &format!("{jobs}/photos-1");
    let pods = json!({
        "spec": {
            "restartPolicy": "Never", "containers": [{"name": "warm", "image": "shop/warm:1"}],
        },
    });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": "photos-1", "namespace": "shop", "labels": {"primetime.dev/run": "uid-run"},
            "ownerReferences": [{
                "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun", "name": "capital-1",
                "uid": "11111111-1111-4111-8111-111111111111",
                "controller": true, "blockOwnerDeletion": false,
            }],
        },
        "spec": {"activeDeadlineSeconds": 900, "backoffLimit": 2, "template": pods},
    });
    let template = json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "warm", "namespace": "shop"},
        "spec": {
            "schedule": "0 3 * * *", "suspend": true,
            "jobTemplate": {"metadata": {"labels": {"team": "shop"}}, "spec": {"template": pods}},
        },
    });
    let begun = json!({"status": {"active": 1, "startTime": "2031-01-12T19:40:00Z"}});
    vec![
        get(jobs),
        get(&format!("{cron_jobs}/warm")),
        post(cron_jobs, template),
        get(&format!("{cron_jobs}/warm")),
        post(jobs, job.clone()),
        post(jobs, job),
        get(warm),
        merge(&format!("{warm}/status"), begun),
        get(warm),
        Step::Watch(jobs.to_owned(), "photos-1"),
        get("/apis/batch/v1/jobs?labelSelector=primetime.dev%2Frun%3Duid-run"),
        get("/apis/batch/v1/jobs?labelSelector=primetime.dev%2Frun%3Dnobody"),
        delete(warm, json!({"propagationPolicy": "Background"})),
        get(warm),
    ]
}

/// Returns the steps for a `ScheduledSurge`: announcements that schema or CEL rules refuse, and a
/// valid announcement that defaults complete.
fn announcements() -> Vec<Step> {
    let surges = "/apis/primetime.dev/v1alpha1/namespaces/shop/scheduledsurges";
    let capital = format!("{surges}/capital");
    let announce = |change: fn(&mut Value)| {
        let mut surge = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
            "metadata": {"name": "capital", "namespace": "shop"},
            "spec": {
                "schedule": {"startTime": "2031-01-12T20:00:00Z", "durationSeconds": 3600},
                "targets": [{
                    "name": "web", "replicas": 180, "maxReplicas": 260,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                }],
            },
        });
        change(&mut surge);
        post(surges, surge)
    };
    vec![
        announce(|s| s["spec"]["schedule"]["durationSeconds"] = "long".into()),
        announce(|s| s["spec"]["schedule"]["durationSeconds"] = (-1).into()),
        announce(|s| s["spec"]["schedule"] = json!({"durationSeconds": 3600})),
        announce(|s| s["spec"]["schedule"]["startTime"] = "tomorrow".into()),
        announce(|s| s["spec"]["targets"][0]["replicas"] = 300.into()),
        announce(|s| s["spec"]["targets"][0]["name"] = "Not A Name".into()),
        announce(|s| s["spec"]["targets"] = json!([])),
        announce(|s| s["spec"]["targets"][0]["scaleTargetRef"] = Value::Null),
        announce(|s| {
            let first = s["spec"]["targets"][0].clone();
            s["spec"]["targets"] = json!([first, first]);
        }),
        announce(|s| {
            s["spec"]["signals"] = json!([{
                "name": "sessions", "metricsSourceRef": {"name": "main"}, "target": "absent",
                "query": "sum(shop_sessions)", "perReplica": "200",
            }]);
        }),
        announce(|s| {
            s["spec"]["colour"] = "red".into();
            s["spec"]["hold"] = json!({"colour": "red"});
            s["spec"]["release"] = Value::Null;
            s["status"] = json!({"message": "not mine to say"});
        }),
        get(&capital),
        merge(&capital, json!({"spec": {"targets": null}})),
        merge(&capital, json!({"spec": {"readyBeforeSeconds": null, "hold": {"forSeconds": 60}}})),
        Step::Watch(surges.to_owned(), "capital"),
        delete(&capital, Value::Null),
    ]
}

fn our_own() -> Vec<Step> {
    let surges = "/apis/primetime.dev/v1alpha1/namespaces/shop/scheduledsurges";
    let runs = "/apis/primetime.dev/v1alpha1/namespaces/shop/surgeruns";
    let holds = "/apis/primetime.dev/v1alpha1/namespaces/shop/surgeholds";
    let hold = json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeHold",
        "metadata": {"name": "deployment-web", "namespace": "shop"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "baseline": {"replicas": 10}, "claims": [{"run": "capital-1", "floor": 180, "ceiling": 260}],
            "level": {"replicas": 180}, "previous": {"replicas": 10},
            "dueTime": "2031-01-12T19:50:00Z", "sinceTime": "2031-01-12T19:35:00Z", "repairTimes": [],
        },
    });
    let run = json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun",
        "metadata": {"name": "capital-1", "namespace": "shop", "finalizers": ["primetime.dev/run"]},
        "spec": {
            "surgeName": "capital", "startTime": "2031-01-12T20:00:00Z", "readyTime": "2031-01-12T19:50:00Z",
            "endTime": "2031-01-12T22:00:00Z", "release": {"stepPercent": 20, "stepSeconds": 120},
            "targets": [{
                "name": "web", "replicas": 180, "leadSeconds": 900,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            }],
        },
    });
    let (hold_path, run_path) = (format!("{holds}/deployment-web"), format!("{runs}/capital-1"));
    vec![
        get(surges),
        post(holds, hold.clone()),
        post(holds, hold),
        Step::Replace(hold_path.clone(), |o| o["spec"]["level"]["replicas"] = 225.into(), false),
        Step::Replace(hold_path.clone(), |o| o["spec"]["level"]["replicas"] = 1.into(), true),
        get(&hold_path),
        delete(&hold_path, json!({"preconditions": {"resourceVersion": "1"}})),
        delete(&hold_path, Value::Null),
        get(&hold_path),
        post(runs, run),
        get(&run_path),
        merge(&run_path, json!({"status": {"message": "not through here"}})),
        merge(&format!("{run_path}/status"), json!({"status": {"message": "through here"}})),
        Step::Replace(
            format!("{run_path}/status"),
            |o| o["status"]["message"] = "and so".into(),
            false,
        ),
        get(&run_path),
        merge(
            &format!("{run_path}/status"),
            json!({"status": {"ledger": [{
                "group": "burst", "attempt": 1, "token": "t", "count": 1, "time": "2031-01-12T19:00:00Z",
                "launch": {"template": "lt-1", "instanceTypes": ["m6i.xlarge"], "of": {"any": [1]}},
                "settled": false, "colour": "red",
            }]}}),
        ),
        get(&run_path),
        merge(&run_path, json!({"spec": {"endTime": "2031-01-12T23:00:00Z"}})),
        delete(&run_path, Value::Null),
        get(&run_path),
        merge(&run_path, json!({"metadata": {"finalizers": null}})),
        get(&run_path),
        get(runs),
        get("/apis/primetime.dev/v1alpha1/namespaces/shop/surgenothings"),
    ]
}

fn shown(step: &Step) -> String {
    match step {
        Step::Send(method, path, _, body) => format!("{method} {path} {body}"),
        Step::Watch(path, name) => format!("watch {path} while {name} changes"),
        Step::Tested(path, operation, stale) => {
            format!("PATCH {path} {operation}{}", if *stale { ", too late" } else { "" })
        }
        Step::Replace(path, _, stale) => {
            format!("PUT {path}{}", if *stale { ", too late" } else { "" })
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_answers_as_the_real_one() -> Result<()> {
    let tools = Tools::ensure().await?;
    let options = Options { controllers: false, kubelets: false, ..Options::own() };
    let plane = Plane::start(&tools, &folder("contract"), &options).await?;
    let crds = root().join("crds").display().to_string();
    run(plane.kubectl().args(["apply", "-f", &crds])).await?;
    run(plane.kubectl().args(["wait", "--for=condition=Established", "crd", "--all"])).await?;
    run(plane.kubectl().args(["create", "namespace", "shop"])).await?;
    // The API server answers 429 for a new kind until the watch cache of the kind is initialized.
    wait_until("the new kinds to be served", Duration::from_secs(30), || async {
        let kinds = ["get", "surges,runs,holds,overrides,iclass,msource", "-A"];
        Ok((run(plane.kubectl().args(kinds)).await.is_ok(), "not yet"))
    })
    .await?;

    let clock = VirtualClock::starting(chrono::Utc::now());
    let model = Server::new(clock.clone()).client(&Gate::new(Script::default(), clock));
    let mut found = Vec::new();
    let rooms = [workloads, autoscalers, pods, jobs, announcements, our_own];
    let steps: Vec<Step> = rooms.iter().flat_map(|room| room()).collect();
    for (n, step) in steps.iter().enumerate() {
        let what = || format!("step {n}, {}", shown(step));
        let (code, said) =
            perform(&model, step).await.with_context(|| format!("model: {}", what()))?;
        let (real_code, real) = perform(&plane.client, step).await.with_context(what)?;
        let mut here = Vec::new();
        if code == real_code {
            differences(&said, &real, "", &mut here);
            // The model must not omit any field in `spec` of the kinds of Primetime.
            if let (Some(said), Some(real)) = (own_spec(&said), own_spec(&real)) {
                differences(real, said, ".spec, the other way round", &mut here);
            }
        } else {
            here.push(format!("the model answers {code}, the real one {real_code}: {said} {real}"));
        }
        found.extend(here.into_iter().map(|line| format!("{}: {line}", what())));
    }
    ensure!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    Ok(())
}
