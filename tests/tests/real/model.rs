//! The API server model on a socket: kubectl and Helm talk to the model as to a real API server.

use anyhow::{Result, ensure};
use primetime_sim::clock::VirtualClock;
use primetime_sim::server::Server;
use primetime_tests::evening::folder;
use primetime_tests::process::{command, run};
use primetime_tests::tools::{Tools, root};
use serde_json::{Value, json};

/// Returns a kubeconfig for the model, which does not authenticate users.
fn kubeconfig(address: std::net::SocketAddr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "model",
        "clusters": [{"name": "model", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "anonymous", "user": {}}],
        "contexts": [{
            "name": "model",
            "context": {"cluster": "model", "user": "anonymous", "namespace": "shop"},
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_and_helm_talk_to_the_model() -> Result<()> {
    let tools = Tools::ensure().await?;
    let folder = folder("model");
    std::fs::create_dir_all(&folder)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let config = folder.join("kubeconfig");
    std::fs::write(&config, kubeconfig(listener.local_addr()?).to_string())?;
    let server = Server::new(VirtualClock::starting(chrono::Utc::now()));
    tokio::spawn(server.clone().listen(listener));
    let tool = |name: &str| {
        let mut tool = command(tools.path(name));
        tool.arg("--kubeconfig").arg(&config);
        tool
    };

    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 10},
    });
    let manifest = folder.join("web.json");
    std::fs::write(&manifest, deployment.to_string())?;
    let apply = ["apply", "--validate=false", "-f"];
    run(tool("kubectl").args(apply).arg(&manifest)).await?;
    run(tool("kubectl").args(["scale", "deployment/web", "--replicas", "12"])).await?;
    let replicas = ["get", "deployment/web", "-o", "jsonpath={.spec.replicas}"];
    ensure!(run(tool("kubectl").args(replicas)).await? == "12");
    let surge = root().join("examples/capital-2014.yaml");
    run(tool("kubectl").args(["apply", "--validate=false", "--server-side", "-f"]).arg(&surge))
        .await?;
    let listed = run(tool("kubectl").args(["get", "scheduledsurges", "-A"])).await?;
    ensure!(listed.contains("capital"), "{listed}");
    let wrong = std::fs::read_to_string(&surge)?.replace("durationSeconds: ", "durationSeconds: -");
    let file = folder.join("wrong.yaml");
    std::fs::write(&file, wrong)?;
    let refused = run(tool("kubectl").args(apply).arg(&file)).await;
    let said = refused.err().map(|e| format!("{e:#}")).unwrap_or_default();
    ensure!(said.contains("durationSeconds") && said.contains("greater than or equal"), "{said}");

    let chart = root().join("charts/primetime");
    let install = ["install", "primetime", "-n", "primetime-system", "--skip-crds"];
    let more = [
        "--disable-openapi-validation",
        "--set",
        "clusterName=model,image.repository=shop/primetime",
    ];
    run(tool("helm").args(install).args(more).arg(&chart)).await?;
    let releases = run(tool("helm").args(["list", "-n", "primetime-system", "-q"])).await?;
    ensure!(releases.trim() == "primetime", "{releases}");
    let installed = ["get", "deployment,serviceaccount,role,clusterrole", "-A", "-o", "name"];
    let installed = run(tool("kubectl").args(installed)).await?;
    for name in
        ["deployment.apps/primetime", "serviceaccount/primetime", "role.rbac", "clusterrole.rbac"]
    {
        ensure!(installed.contains(name), "no {name}:\n{installed}");
    }
    // The model runs no Jobs, so it cannot run the hook before an uninstallation.
    let uninstall = ["uninstall", "primetime", "-n", "primetime-system", "--no-hooks"];
    run(tool("helm").args(uninstall)).await?;
    let left = run(tool("kubectl").args(["get", "clusterroles", "-o", "name"])).await?;
    ensure!(left.trim().is_empty(), "{left}");
    Ok(())
}
