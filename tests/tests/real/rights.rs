//! Rights on the real API server: what each kind of author may announce, and what the operator's
//! own account may not do.

mod fences;

use anyhow::{Context, Result, ensure};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::core::discovery::ApiResource;
use kube::{Client, Config};
use primetime_tests::plane::{Options, Plane};
use primetime_tests::process::run;
use primetime_tests::tools::{Tools, root};
use primetime_tests::wait::wait_for;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const SHOP: &str = "shop";

/// What a person tries.
enum Try {
    Create(Value),
    /// Merge patch of an object that exists: plural, name, patch.
    Change(&'static str, &'static str, Value),
    Delete(&'static str, &'static str),
}

/// The answer that a person sees: allowed, or a refusal with this text.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Allowed,
    Refused(&'static str),
}

const YES: Answer = Answer::Allowed;

fn no(said: &'static str) -> Answer {
    Answer::Refused(said)
}

/// Returns a surge or a run with the given targets, and with more fields in the spec.
fn announced(kind: &str, namespace: &str, targets: &[(&str, &str)], more: &Value) -> Value {
    let targets: Vec<_> = targets
        .iter()
        .map(|(kind, name)| {
            json!({"name": name, "replicas": 5, "scaleTargetRef":
                {"apiVersion": "apps/v1", "kind": kind, "name": name}})
        })
        .collect();
    let start = chrono::Utc::now() + chrono::TimeDelta::days(2);
    let mut spec = if kind == "ScheduledSurge" {
        json!({"schedule": {"startTime": start.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "durationSeconds": 60}})
    } else {
        let end = start + chrono::TimeDelta::minutes(5);
        json!({"readyTime": start.to_rfc3339(), "startTime": start.to_rfc3339(),
            "endTime": end.to_rfc3339()})
    };
    spec["targets"] = json!(targets);
    let fields = more.as_object().cloned().unwrap_or_default();
    fields.into_iter().for_each(|(field, value)| spec[field] = value);
    json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "tried", "namespace": namespace}, "spec": spec,
    })
}

fn surge(targets: &[(&str, &str)]) -> Try {
    Try::Create(announced("ScheduledSurge", SHOP, targets, &json!({})))
}

fn surge_with(more: &Value) -> Try {
    Try::Create(announced("ScheduledSurge", SHOP, &[("Deployment", "web")], more))
}

fn run_with(more: &Value) -> Try {
    Try::Create(announced("SurgeRun", SHOP, &[("Deployment", "web")], more))
}

fn named_run(name: &str) -> Try {
    let mut run = announced("SurgeRun", SHOP, &[("Deployment", "web")], &json!({}));
    run["metadata"]["name"] = json!(name);
    Try::Create(run)
}

fn override_of(action: &str) -> Try {
    let mut spec = json!({
        "surgeRef": {"name": "stored"}, "action": action, "reason": "the show runs late",
        "expireTime": (chrono::Utc::now() + chrono::TimeDelta::hours(1)).to_rfc3339(),
    });
    if action == "Boost" {
        spec["percent"] = json!(150);
    }
    Try::Create(json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeOverride",
        "metadata": {"name": "tried", "namespace": SHOP}, "spec": spec,
    }))
}

fn calendar(config_map: &str) -> Try {
    Try::Create(json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeCalendar",
        "metadata": {"name": "tried", "namespace": SHOP},
        "spec": {"format": "iCalendar", "configMapKeyRef": {"name": config_map, "key": "a.ics"}},
    }))
}

fn class() -> Value {
    json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "InstanceClass",
        "metadata": {"name": "paris"},
        "spec": {"ec2": {"launchTemplate": {"name": "shop"}, "instanceTypes": ["m6i.xlarge"],
            "subnets": ["subnet-0a1b2c3d4e5f60001"]}},
    })
}

/// Returns what each kind of person tries, and the answer.
///
/// `ann` is an app team: the role edit and RELEASE-announce, with `use` on one class and one source.
/// `ci` is a robot that announces, and may scale `web` by name only. `ed` has the role edit alone.
/// `olga` is on-call. `hugo` may hold and nothing else. `vera` looks. `eve` has no right. `admin`
/// is a cluster admin.
#[expect(clippy::too_many_lines, reason = "one table: who tries what, and the answer")]
fn cases() -> Vec<(&'static str, &'static str, Try, Answer)> {
    let web: &[_] = &[("Deployment", "web")];
    let both: &[_] = &[("Deployment", "web"), ("Deployment", "search")];
    let class = |name: &str| json!({"machines": [{"name": "m", "count": 1, "instanceClassRef": {"name": name}}]});
    let classes = |n: usize| {
        let one = |i| {
            json!({"name": format!("m{i}"), "count": 1,
            "instanceClassRef": {"name": format!("class-{i}")}})
        };
        json!({"machines": (0..n).map(one).collect::<Vec<_>>()})
    };
    let source = |name: &str| json!({"signals": [{"name": "s", "query": "up", "metricsSourceRef": {"name": name}}]});
    let warm = || json!({"warmUp": [{"name": "w", "jobTemplateRef": {"name": "warm"}}]});
    let step = |field: &str, reference: Value| {
        let mut step = json!({"name": "d", "when": {"target": "web", "behindReplicas": 1}});
        step[field] = reference;
        json!({"degrade": [step]})
    };
    let map = |name: &str| step("configMapRef", json!({"name": name, "key": "k", "value": "v"}));
    let route = || step("httpRouteRef", json!({"name": "shop", "backend": "web", "weight": 0}));
    let jobs = || step("jobs", json!({"degrade": {"name": "warm"}}));
    let many = |n: usize| -> Try {
        let names: Vec<String> = (0..n).map(|i| format!("w{i}")).collect();
        let targets: Vec<_> = names.iter().map(|n| ("StatefulSet", n.as_str())).collect();
        surge(&targets)
    };
    let elsewhere = |namespace: &str, name: &str| {
        Try::Create(announced("ScheduledSurge", namespace, &[("Deployment", name)], &json!({})))
    };
    let owned = || {
        let mut run = announced("SurgeRun", SHOP, &[("Deployment", "web")], &json!({}));
        run["metadata"]["ownerReferences"] = json!([{"apiVersion": "primetime.dev/v1alpha1",
            "kind": "ScheduledSurge", "name": "stored", "uid": "u", "controller": true}]);
        Try::Create(run)
    };
    let far = chrono::Utc::now() + chrono::TimeDelta::days(401);
    let far_end = far + chrono::TimeDelta::minutes(5);
    let far = json!({"readyTime": far.to_rfc3339(), "startTime": far.to_rfc3339(),
        "endTime": far_end.to_rfc3339()});
    let suspend = || Try::Change("scheduledsurges", "stored", json!({"spec": {"suspend": true}}));
    let label =
        || Try::Change("scheduledsurges", "stored", json!({"metadata": {"labels": {"a": "b"}}}));
    let edit_run = || {
        Try::Change(
            "surgeruns",
            "stored",
            json!({"spec": {"armedSeconds": null, "surgeName": "x"}}),
        )
    };
    let unguard = || Try::Change("surgeruns", "stored", json!({"metadata": {"finalizers": null}}));
    let hold = || Try::Change("surgeholds", "stored", json!({"metadata": {"finalizers": null}}));
    let source_object = || {
        Try::Create(json!({"apiVersion": "primetime.dev/v1alpha1", "kind": "MetricsSource",
            "metadata": {"name": "tried"}, "spec": {"url": "http://prometheus:9090"}}))
    };
    let forbidden = " cannot ";
    vec![
        ("ann", "a surge of what the team may scale", surge(both), YES),
        (
            "ann",
            "all kinds of workloads",
            surge(&[("StatefulSet", "db"), ("ReplicaSet", "r"), ("Deployment", "d")]),
            YES,
        ),
        ("ann", "64 targets", many(64), YES),
        ("ann", "Jobs", surge_with(&warm()), YES),
        ("ann", "Jobs of a step", surge_with(&jobs()), YES),
        ("ann", "a ConfigMap", surge_with(&map("shop-flags")), YES),
        (
            "ann",
            "an HTTPRoute",
            surge_with(&route()),
            no("spec.degrade[0]: user \"ann\" may not patch httproutes \"shop\""),
        ),
        ("ann", "a class that was granted", surge_with(&class("paris")), YES),
        (
            "ann",
            "another class",
            surge_with(&class("gpu")),
            no(
                "spec.machines[0]: user \"ann\" may not use instanceclasses \"gpu\" in namespace shop",
            ),
        ),
        ("ann", "a source that was granted", surge_with(&source("main")), YES),
        (
            "ann",
            "another source",
            surge_with(&source("bank")),
            no("spec.signals[0]: user \"ann\" may not use metricssources \"bank\""),
        ),
        ("ann", "a run for now", run_with(&json!({})), YES),
        ("ann", "a run with Jobs", run_with(&warm()), YES),
        (
            "ann",
            "a run with another class",
            run_with(&class("gpu")),
            no("may not use instanceclasses \"gpu\""),
        ),
        (
            "ann",
            "a run of a surge",
            run_with(&json!({"surgeName": "stored"})),
            no("only Primetime creates the runs of a surge"),
        ),
        (
            "ann",
            "a run that a surge owns",
            owned(),
            no("only Primetime creates the runs of a surge"),
        ),
        ("ann", "a run in 401 days", run_with(&far), no("at most 400 days ahead")),
        (
            "ann",
            "a run with the name of an occurrence",
            named_run("stored-20261122t200000z"),
            no("ends as the name of a run of a surge"),
        ),
        (
            "ann",
            "a run of a kind that is not allowed",
            Try::Create(announced("SurgeRun", SHOP, &[("Rollout", "web")], &json!({}))),
            no("kinds of scalableKinds only"),
        ),
        ("ann", "edits a run", edit_run(), no(forbidden)),
        ("ann", "deletes a run", Try::Delete("surgeruns", "stored"), YES),
        ("ann", "takes the finalizer off", unguard(), no(forbidden)),
        ("ann", "suspends a surge", suspend(), YES),
        ("ann", "deletes a surge", Try::Delete("scheduledsurges", "stored"), YES),
        ("ann", "a calendar", calendar("guide"), YES),
        ("ann", "overrides", override_of("Hold"), no(forbidden)),
        ("ann", "a hold", hold(), no(forbidden)),
        ("ann", "a class of its own", Try::Create(self::class()), no(forbidden)),
        ("ann", "a source of its own", source_object(), no(forbidden)),
        ("ann", "kube-system", elsewhere("kube-system", "coredns"), no(forbidden)),
        ("ci", "the workload that it may scale", surge(web), YES),
        (
            "ci",
            "another workload",
            surge(&[("Deployment", "search")]),
            no("spec.targets[0]: user \"ci\" may not update deployments/scale \"search\""),
        ),
        (
            "ci",
            "both",
            surge(both),
            no("spec.targets[1]: user \"ci\" may not update deployments/scale \"search\""),
        ),
        (
            "ci",
            "a StatefulSet of the name",
            surge(&[("StatefulSet", "web")]),
            no("may not update statefulsets/scale \"web\""),
        ),
        (
            "ci",
            "a ReplicaSet of the name",
            surge(&[("ReplicaSet", "web")]),
            no("may not update replicasets/scale \"web\""),
        ),
        ("ci", "16 by name", many(16), YES),
        ("ci", "17 by name", many(17), no("may name 16 targets at most, not 17")),
        (
            "ci",
            "an HPA that it may not patch",
            surge(&[("Deployment", "auto")]),
            no("may not patch horizontalpodautoscalers \"auto-hpa\", which scales auto"),
        ),
        ("ann", "an HPA that it may patch", surge(&[("Deployment", "auto")]), YES),
        (
            "ci",
            "Jobs",
            surge_with(&warm()),
            no("user \"ci\" may not create jobs in namespace shop"),
        ),
        (
            "ci",
            "Jobs of a step",
            surge_with(&jobs()),
            no("user \"ci\" may not create jobs in namespace shop"),
        ),
        (
            "ci",
            "a ConfigMap",
            surge_with(&map("shop-flags")),
            no("spec.degrade[0]: user \"ci\" may not patch configmaps \"shop-flags\""),
        ),
        ("ci", "a ConfigMap that it may patch", surge_with(&map("ci-flags")), YES),
        ("ci", "an HTTPRoute", surge_with(&route()), no("may not patch httproutes \"shop\"")),
        ("ci", "16 classes by name", surge_with(&classes(16)), YES),
        (
            "ci",
            "a run of another workload",
            Try::Create(announced("SurgeRun", SHOP, &[("Deployment", "search")], &json!({}))),
            no("may not update deployments/scale \"search\""),
        ),
        (
            "ci",
            "suspends a surge of more than it may scale",
            suspend(),
            no("may not update deployments/scale \"search\""),
        ),
        ("ci", "labels that surge", label(), YES),
        (
            "ci",
            "a calendar of a ConfigMap that it may not read",
            calendar("guide"),
            no("spec.configMapKeyRef: user \"ci\" may not get configmaps \"guide\""),
        ),
        ("ed", "a surge", surge(web), no(forbidden)),
        ("ed", "a run", run_with(&json!({})), no(forbidden)),
        ("ed", "overrides", override_of("Hold"), no(forbidden)),
        ("olga", "holds", override_of("Hold"), YES),
        ("olga", "boosts", override_of("Boost"), YES),
        ("olga", "extends", override_of("Extend"), YES),
        ("olga", "releases", override_of("Release"), YES),
        ("olga", "starts", override_of("Start"), YES),
        ("olga", "degrades", override_of("Degrade"), YES),
        ("olga", "restores", override_of("Restore"), YES),
        ("olga", "announces", surge(web), no(forbidden)),
        ("olga", "deletes a run", Try::Delete("surgeruns", "stored"), no(forbidden)),
        ("hugo", "holds", override_of("Hold"), YES),
        (
            "hugo",
            "releases",
            override_of("Release"),
            no("user \"hugo\" may not override scheduledsurges/release \"stored\""),
        ),
        (
            "hugo",
            "boosts",
            override_of("Boost"),
            no("may not override scheduledsurges/boost \"stored\""),
        ),
        ("vera", "announces", surge(web), no(forbidden)),
        ("vera", "overrides", override_of("Hold"), no(forbidden)),
        ("vera", "deletes a surge", Try::Delete("scheduledsurges", "stored"), no(forbidden)),
        ("eve", "announces", surge(web), no(forbidden)),
        ("eve", "a run", run_with(&json!({})), no(forbidden)),
        ("power", "edits a run", edit_run(), no("user \"power\" may not edit surgeruns")),
        ("power", "takes the finalizer off a run", unguard(), no("only Primetime takes it off")),
        ("power", "takes the finalizer off a hold", hold(), no("only Primetime takes it off")),
        (
            "power",
            "kube-system",
            elsewhere("kube-system", "coredns"),
            no("namespace kube-system is protected"),
        ),
        (
            "power",
            "Primetime itself",
            elsewhere("primetime", "primetime"),
            no("is Primetime itself, and is protected"),
        ),
        ("power", "another workload beside it", elsewhere("primetime", "web"), YES),
        ("admin", "takes the finalizer off a run", unguard(), YES),
        ("admin", "takes the finalizer off a hold", hold(), YES),
        (
            "admin",
            "kube-system",
            elsewhere("kube-system", "coredns"),
            no("namespace kube-system is protected"),
        ),
        ("admin", "anything else", surge_with(&class("gpu")), YES),
    ]
}

/// Roles and bindings of the people.
const PEOPLE: &str = include_str!("rights/people.yaml");

async fn client_of(plane: &Plane, who: &str) -> Result<Client> {
    let mut kubeconfig = Kubeconfig::read_from(plane.kubeconfig("admin"))?;
    if who != "admin" {
        let user = kubeconfig.auth_infos.first_mut().context("a user")?;
        let info = user.auth_info.as_mut().context("credentials")?;
        info.impersonate = Some(who.to_owned());
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn resource(kind: &str) -> ApiResource {
    let gvk = GroupVersionKind::gvk("primetime.dev", "v1alpha1", kind);
    let mut resource = ApiResource::from_gvk(&gvk);
    if kind == "InstanceClass" {
        "instanceclasses".clone_into(&mut resource.plural);
    }
    resource
}

fn kind_of(plural: &str) -> &'static str {
    match plural {
        "scheduledsurges" => "ScheduledSurge",
        "surgeruns" => "SurgeRun",
        _ => "SurgeHold",
    }
}

/// Sends the request without storing anything.
async fn tried(client: &Client, what: &Try) -> Result<(), kube::Error> {
    match what {
        Try::Create(object) => {
            let mut object: DynamicObject =
                serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
            let kind = object.types.as_ref().map(|t| t.kind.clone()).unwrap_or_default();
            if kind == "SurgeOverride" {
                // `kubectl surge` fills the author in; the API server checks the name.
                let me = whoami(client).await?;
                object.data["spec"]["author"] = json!(me);
            }
            let resource = resource(&kind);
            let api = match &object.metadata.namespace {
                Some(ns) => Api::namespaced_with(client.clone(), ns, &resource),
                None => Api::all_with(client.clone(), &resource),
            };
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            api.create(&dry, &object).await.map(drop)
        }
        Try::Change(plural, name, patch) => {
            let resource = resource(kind_of(plural));
            let api = Api::<DynamicObject>::namespaced_with(client.clone(), SHOP, &resource);
            let dry = PatchParams { dry_run: true, ..PatchParams::default() };
            api.patch(name, &dry, &Patch::Merge(patch)).await.map(drop)
        }
        Try::Delete(plural, name) => {
            let resource = resource(kind_of(plural));
            let api = Api::<DynamicObject>::namespaced_with(client.clone(), SHOP, &resource);
            api.delete(name, &DeleteParams::default().dry_run()).await.map(drop)
        }
    }
}

async fn whoami(client: &Client) -> Result<String, kube::Error> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("Content-Type", "application/json")
        .body(review.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    let said: Value = client.request(request).await?;
    Ok(said["status"]["userInfo"]["username"].as_str().unwrap_or_default().to_owned())
}

/// Starts an API server with the chart and the people, without controllers.
async fn plane(name: &str, emulated: Option<&str>) -> Result<(Tools, Plane)> {
    let tools = Tools::ensure().await?;
    let options = Options {
        controllers: false,
        kubelets: false,
        emulated_version: emulated.map(str::to_owned),
        ..Options::own()
    };
    let folder = root().join("target/evenings").join(name);
    let plane = Plane::start(&tools, &folder, &options).await?;
    for namespace in [SHOP, "primetime"] {
        run(plane.kubectl().args(["create", "namespace", namespace])).await?;
    }
    run(plane
        .helm()
        .args(["upgrade", "--install", "primetime"])
        .arg(root().join("charts/primetime"))
        .args(["--namespace", "primetime", "--set", "clusterName=tests,replicas=0"])
        .args(["--set", "machines.enabled=true,jobs.enabled=true,webhook.enabled=false"])
        .args(["--set", "metrics.secrets={prometheus-auth}"])
        .args(["--set", "degrade.configMaps={shop-flags},degrade.httpRoutes={shop}"]))
    .await?;
    run(plane
        .kubectl()
        .args(["apply", "-f"])
        .arg(root().join("tests/tests/real/rights/people.yaml")))
    .await?;
    ensure!(PEOPLE.contains("kind: RoleBinding"));
    Ok((tools, plane))
}

/// Waits until the API server applies the policies, and knows the HPA.
async fn in_force(plane: &Plane) -> Result<()> {
    let client = client_of(plane, "ci").await?;
    let auto = surge(&[("Deployment", "auto")]);
    wait_for("the policies to be in force", Duration::from_secs(30), || async {
        let refused = tried(&client, &auto).await.err().map(|e| e.to_string());
        Ok(refused.filter(|said| said.contains("auto-hpa")))
    })
    .await?;
    let power = client_of(plane, "power").await?;
    let unguard = Try::Change("surgeruns", "stored", json!({"metadata": {"finalizers": null}}));
    wait_for("the records to be guarded", Duration::from_secs(30), || async {
        Ok(tried(&power, &unguard).await.err())
    })
    .await
    .map(drop)
}

async fn matrix(plane: &Plane) -> Result<usize> {
    in_force(plane).await?;
    let mut clients = BTreeMap::new();
    let mut wrong = Vec::new();
    let cases = cases();
    let n = cases.len();
    for (who, what, tries, answer) in cases {
        if !clients.contains_key(who) {
            clients.insert(who, client_of(plane, who).await?);
        }
        let client = clients.get(who).context("a client")?;
        let said = tried(client, &tries).await.map_err(|error| error.to_string());
        let right = match (&said, answer) {
            (Ok(()), Answer::Allowed) => true,
            (Err(said), Answer::Refused(text)) => said.contains(text),
            _ => false,
        };
        if !right {
            wrong.push(format!("{who}: {what}: expected {answer:?}, got {said:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(n)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_gets_nothing_through_primetime_that_the_author_may_not_do_alone() -> Result<()> {
    let (tools, plane) = plane("rights", None).await?;
    eprintln!("{} cases", matrix(&plane).await?);
    fences::hold(&tools, &plane).await?;
    plane.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_rights_hold_on_kubernetes_1_33() -> Result<()> {
    let (_tools, plane) = plane("rights-1.33", Some("1.33")).await?;
    matrix(&plane).await?;
    plane.end()
}
