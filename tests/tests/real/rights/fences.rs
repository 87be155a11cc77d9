//! The operator's own token: what it may do, and forty things that it may not.

use anyhow::{Result, ensure};
use http::Method;
use kube::Client;
use primetime_tests::plane::{self, Plane};
use primetime_tests::process::run;
use primetime_tests::tools::Tools;
use serde_json::{Value, json};

/// Request with the operator's token: method, path, and a merge patch or an object.
type Request = (Method, &'static str, Value);

const HPA: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/auto-hpa";
const NODE: &str = "/api/v1/nodes/node-a";
const FLAGS: &str = "/api/v1/namespaces/shop/configmaps/shop-flags";
const ROUTE: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/shop";
const JOBS: &str = "/apis/batch/v1/namespaces/shop/jobs";
const SCALED: &str = "/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects/search";
const WEB: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

fn patch(path: &'static str, change: Value) -> Request {
    (Method::PATCH, path, change)
}

fn get(path: &'static str) -> Request {
    (Method::GET, path, Value::Null)
}

fn job(owners: &Value) -> Value {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]});
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "tried", "namespace": "shop", "ownerReferences": owners},
        "spec": {"template": {"spec": pod}},
    })
}

fn run_owner() -> Value {
    json!([{"apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun", "name": "stored",
        "uid": "0f5c3b9e-1111-2222-3333-444455556666"}])
}

/// Returns the rules of the route with the weight and the port of the second backend.
fn rules(weight: u32, port: u32) -> Value {
    json!({"spec": {"rules": [{"name": "all", "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
    "backendRefs": [
        {"group": "", "kind": "Service", "name": "web", "port": 80, "weight": 1},
        {"group": "", "kind": "Service", "name": "plain", "port": port, "weight": weight},
    ]}]}})
}

/// Requests that the operator needs, each with the fields that it writes.
fn needed() -> Vec<Request> {
    vec![
        patch(HPA, json!({"spec": {"minReplicas": 3, "maxReplicas": 9}})),
        patch(SCALED, json!({"spec": {"minReplicaCount": 3, "maxReplicaCount": 9}})),
        patch(NODE, json!({"spec": {"unschedulable": true}})),
        patch(FLAGS, json!({"data": {"page": "light"}})),
        patch(FLAGS, json!({"data": {"page": null}})),
        patch(ROUTE, rules(9, 80)),
        (Method::POST, JOBS, job(&run_owner())),
        patch(
            "/apis/apps/v1/namespaces/shop/deployments/web/scale",
            json!({"spec": {"replicas": 3}}),
        ),
        get("/apis/primetime.dev/v1alpha1/surgeruns"),
        get("/api/v1/pods"),
        get("/api/v1/namespaces/primetime/secrets/prometheus-auth"),
        (Method::DELETE, "/api/v1/namespaces/shop/pods/stuck", Value::Null),
    ]
}

/// Requests that the API server must refuse, even with a stolen token.
fn refused() -> Vec<Request> {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "x"}});
    let grant = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "x"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "primetime", "namespace": "primetime"}],
    });
    let foreign =
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u"}]);
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}});
    let key = |text: &str| json!({"data": {"page": text, "checkout": text}});
    vec![
        // Secrets, and the pods of others.
        get("/api/v1/secrets"),
        get("/api/v1/namespaces/shop/secrets/any"),
        get("/api/v1/namespaces/primetime/secrets/sh.helm.release.v1.primetime.v1"),
        (Method::DELETE, "/api/v1/namespaces/kube-system/pods/system", Value::Null),
        (Method::DELETE, "/api/v1/namespaces/shop/pods/daemon", Value::Null),
        patch("/api/v1/namespaces/shop/pods/stuck", json!({"metadata": {"labels": {"a": "b"}}})),
        (
            Method::POST,
            "/api/v1/namespaces/shop/pods",
            json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "x"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}),
        ),
        (Method::POST, "/api/v1/namespaces/shop/pods/any/exec", json!({})),
        get("/api/v1/namespaces/shop/pods/any/log"),
        // Rights.
        (Method::POST, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", grant),
        patch("/apis/rbac.authorization.k8s.io/v1/clusterroles/primetime", json!({"rules": []})),
        (Method::POST, "/api/v1/namespaces/primetime/serviceaccounts", account),
        (
            Method::POST,
            "/api/v1/namespaces/primetime/serviceaccounts/default/token",
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}),
        ),
        patch(
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/primetime-fence-nodes",
            json!({"spec": {"validations": []}}),
        ),
        (
            Method::DELETE,
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/primetime-fence-nodes",
            Value::Null,
        ),
        // Workloads.
        patch(WEB, image),
        patch(WEB, json!({"metadata": {"annotations": {"a": "b"}}})),
        (Method::DELETE, WEB, Value::Null),
        patch(
            "/apis/apps/v1/namespaces/shop/daemonsets/any/scale",
            json!({"spec": {"replicas": 1}}),
        ),
        // Autoscalers.
        patch(HPA, json!({"spec": {"scaleTargetRef": {"name": "other"}}})),
        patch(HPA, json!({"spec": {"metrics": null}})),
        patch(HPA, json!({"spec": {"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}})),
        patch(HPA, json!({"metadata": {"labels": {"team": "mine"}}})),
        patch(HPA, json!({"metadata": {"annotations": {"a": "b"}}})),
        patch(HPA, json!({"metadata": {"finalizers": ["a/b"]}})),
        patch(HPA, json!({"metadata": {"ownerReferences": run_owner()}})),
        (Method::DELETE, HPA, Value::Null),
        patch(SCALED, json!({"spec": {"triggers": [{"type": "cpu", "metadata": {"value": "1"}}]}})),
        patch(SCALED, json!({"spec": {"scaleTargetRef": {"name": "other"}}})),
        patch(SCALED, json!({"spec": {"fallback": {"failureThreshold": 1, "replicas": 1}}})),
        patch(SCALED, json!({"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true"}}})),
        // Nodes.
        patch(NODE, json!({"metadata": {"labels": {"team": "mine"}}})),
        patch(NODE, json!({"metadata": {"annotations": {"a": "b"}}})),
        patch(NODE, json!({"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}})),
        patch(NODE, json!({"spec": {"providerID": "aws:///x/i-1"}})),
        (Method::DELETE, NODE, Value::Null),
        // Values.
        patch(FLAGS, key("light")),
        patch(FLAGS, json!({"binaryData": {"x": "eA=="}})),
        patch(FLAGS, json!({"metadata": {"labels": {"a": "b"}}})),
        patch("/api/v1/namespaces/shop/configmaps/another", json!({"data": {"page": "light"}})),
        (Method::DELETE, FLAGS, Value::Null),
        patch(ROUTE, rules(1, 8080)),
        patch(ROUTE, json!({"spec": {"hostnames": ["evil.example"]}})),
        patch(ROUTE, json!({"spec": {"rules": []}})),
        patch(
            "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/another",
            rules(9, 80),
        ),
        // Jobs.
        (Method::POST, JOBS, job(&json!([]))),
        (Method::POST, JOBS, job(&foreign)),
        (Method::DELETE, "/apis/batch/v1/namespaces/shop/jobs/any", Value::Null),
        // The platform's own kinds.
        patch(
            "/apis/primetime.dev/v1alpha1/instanceclasses/paris",
            json!({"spec": {"leadSeconds": 1}}),
        ),
        patch(
            "/apis/primetime.dev/v1alpha1/namespaces/shop/scheduledsurges/stored",
            json!({"spec": {"suspend": true}}),
        ),
        (
            Method::DELETE,
            "/apis/primetime.dev/v1alpha1/namespaces/shop/scheduledsurges/stored",
            Value::Null,
        ),
        (Method::POST, "/apis/primetime.dev/v1alpha1/namespaces/shop/surgeoverrides", json!({})),
    ]
}

/// Sends a request that stores nothing.
async fn send(client: &Client, (method, path, body): &Request) -> Result<(), kube::Error> {
    let dry = if *method == Method::GET { "" } else { "?dryRun=All" };
    let content =
        if *method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = http::Request::builder()
        .method(method.clone())
        .uri(format!("{path}{dry}"))
        .header("Content-Type", content)
        .body(body)
        .map_err(kube::Error::HttpError)?;
    client.request::<Value>(request).await.map(drop)
}

/// Returns the account that a pod needs, which a controller makes elsewhere.
fn account(namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": namespace}})
}

/// Returns a pod, of a controller of the kind.
fn pod(namespace: &str, name: &str, owner: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": owner, "name": "any", "uid": "u", "controller": true},
        ]},
        "spec": {"containers": [{"name": "a", "image": "a"}]},
    })
}

/// Objects that the requests change.
async fn objects(tools: &Tools, plane: &Plane) -> Result<()> {
    for definitions in ["gateway-definitions", "keda-definitions"] {
        let folder = tools.path(definitions).canonicalize()?;
        let mut apply = plane.kubectl();
        run(apply.args(["apply", "--server-side", "-f"]).arg(folder)).await?;
    }
    let route = rules(1, 80);
    let all = [
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "shop", "namespace": "shop"}, "spec": route["spec"]}),
        json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": {"name": "search", "namespace": "shop"},
            "spec": {"scaleTargetRef": {"name": "search"}, "minReplicaCount": 1,
                "triggers": [{"type": "cpu", "metadata": {"value": "50"}}]}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "a", "image": "a"}]}}}}),
        super::class(),
        account("shop"),
        account("kube-system"),
        pod("shop", "stuck", "ReplicaSet"),
        pod("shop", "daemon", "DaemonSet"),
        pod("kube-system", "system", "ReplicaSet"),
    ];
    for object in all {
        plane.apply(&serde_yaml::to_string(&object)?).await?;
    }
    Ok(())
}

/// Checks that the operator's account may do what it needs, and nothing else.
pub async fn hold(tools: &Tools, plane: &Plane) -> Result<()> {
    objects(tools, plane).await?;
    let token = plane.kubeconfig_of("primetime", "primetime").await?;
    let client = plane::client(&token).await?;
    for request in needed() {
        let said = send(&client, &request).await;
        ensure!(said.is_ok(), "{} {}: {said:?}", request.0, request.1);
    }
    let tries = refused();
    ensure!(tries.len() >= 40, "{} tries", tries.len());
    for request in &tries {
        let (method, path, body) = request;
        match send(&client, request).await {
            Ok(()) => anyhow::bail!("{method} {path} {body} was allowed"),
            Err(kube::Error::Api(status)) => ensure!(
                status.code == 403 || status.message.contains("denied request"),
                "{method} {path} {body}: {}",
                status.message
            ),
            Err(error) => anyhow::bail!("{method} {path}: {error}"),
        }
    }
    eprintln!("{} requests with the operator's token are refused", tries.len());
    Ok(())
}
