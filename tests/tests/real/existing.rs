//! Tests with an existing cluster: an evening uses the cluster if the environment names the
//! context, and leaves the cluster unchanged.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use primetime_tests::evening::folder;
use primetime_tests::plane::{Existing, Options, Plane};
use primetime_tests::process::{Process, command, run};
use primetime_tests::smoke::smoke;
use primetime_tests::tools::{Tools, built};
use primetime_tests::wait::wait_until;
use tokio::process::Command;

/// Objects of a user. The names resemble the names of an evening's objects.
const THEIRS: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: theirs}
---
apiVersion: v1
kind: Node
metadata: {name: their-node, labels: {theirs: 'true'}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: theirs}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      # Else they would be at home on the machines of an evening, and made anew when those go.
      nodeSelector: {theirs: 'true'}
      tolerations: [{operator: Exists}]
      containers: [{name: web, image: theirs/web:1}]
";

/// Returns kind, namespace, name and generation of every object in a cluster.
async fn everything(plane: &Plane) -> Result<BTreeSet<String>> {
    // The list omits Leases and Events, which change without a test. Discovery bypasses the cache
    // of kubectl, because the cache keeps removed API groups for a while.
    let kinds = ["api-resources", "--verbs=list", "-o", "name", "--cached=false"];
    let kinds = run(plane.kubectl().args(kinds)).await?;
    let kinds: Vec<_> =
        kinds.lines().filter(|k| !k.starts_with("events") && !k.starts_with("leases")).collect();
    let columns =
        "custom-columns=K:.kind,S:.metadata.namespace,N:.metadata.name,G:.metadata.generation";
    let get = ["get", &kinds.join(","), "-A", "--no-headers", "-o", columns];
    let all = run(plane.kubectl().args(get)).await?;
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(all.lines().map(words).collect())
}

/// Returns the command of the demo for an existing cluster, as a user would start the demo.
fn demo(plane: &Plane, context: &str, address: &str) -> Result<Command> {
    let mut demo = command(built("primetime-demo")?);
    demo.args(["--ahead", "65"])
        .env("KUBECONFIG", plane.kubeconfig("admin"))
        .env("PRIMETIME_TEST_CONTEXT", context)
        .env("PRIMETIME_TEST_ADDRESS", address);
    Ok(demo)
}

/// Returns the uids of all holds in the shop. All objects of an evening exist once a hold exists.
async fn holds(plane: &Plane) -> Result<BTreeSet<String>> {
    let uids = ["-n", "shop", "-o", "jsonpath={.items[*].metadata.uid}"];
    let uids = run(plane.kubectl().args(["get", "surgeholds"]).args(uids)).await?;
    Ok(uids.split_whitespace().map(str::to_owned).collect())
}

/// Returns an address of this machine other than loopback. The test then detects servers that
/// listen on loopback only.
async fn outer_address() -> Result<String> {
    let all = run(Command::new("hostname").arg("-I")).await?;
    let address = all.split_whitespace().next().unwrap_or("127.0.0.1");
    Ok(address.to_owned())
}

async fn left_as_it_was(plane: &Plane, before: &BTreeSet<String>) -> Result<()> {
    wait_until("the cluster to be as it was", Duration::from_secs(60), || async {
        let after = everything(plane).await?;
        let differs: Vec<_> = after.symmetric_difference(before).cloned().collect();
        Ok((differs.is_empty(), differs.join(", ")))
    })
    .await
}

async fn refused(command: &mut Command, said: &str) -> Result<()> {
    let error = run(command).await.err().with_context(|| format!("not refused: {said}"))?;
    ensure!(format!("{error:#}").contains(said), "expected \"{said}\" in: {error:#}");
    Ok(())
}

/// Starts a demo and waits until the demo creates a hold.
async fn start(demo: &mut Command, folder: &Path, plane: &Plane) -> Result<Process> {
    let before = holds(plane).await.unwrap_or_default();
    let mut process = Process::start(folder, "demo", demo)?;
    let open = wait_until("the demo to hold something", Duration::from_secs(240), || async {
        let held = holds(plane).await?;
        Ok((!held.is_subset(&before), format!("{held:?}")))
    });
    if let Err(error) = open.await {
        process.alive()?;
        return Err(error.context(process.tail()));
    }
    Ok(process)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_borrowed_cluster_is_left_as_it_was() -> Result<()> {
    if Existing::from_env().is_some() {
        // The other tests use the cluster of the environment. The lending test needs a dedicated
        // control plane and does not apply.
        return Ok(());
    }
    let tools = Tools::ensure().await?;
    let folder = folder("existing");
    let options = Options { kubelets: false, ..Options::own() };
    let mut plane = Plane::start(&tools, &folder, &options).await?;
    plane.apply(THEIRS).await?;
    wait_until("their pods to be made", Duration::from_secs(30), || async {
        let all = everything(&plane).await?;
        let pods = all.iter().filter(|name| name.starts_with("Pod theirs ")).count();
        Ok((pods == 3, format!("{pods} pods")))
    })
    .await?;
    let before = everything(&plane).await?;
    let address = outer_address().await?;

    refused(
        &mut demo(&plane, "production", &address)?,
        "PRIMETIME_TEST_CONTEXT is production, which is not a context of the kubeconfig",
    )
    .await?;
    run(plane.kubectl().args(["create", "namespace", "shop"])).await?;
    refused(&mut demo(&plane, "x", &address)?, "namespace shop of context x belongs to others")
        .await?;
    run(plane.kubectl().args(["delete", "namespace", "shop"])).await?;
    left_as_it_was(&plane, &before).await?;

    // A demo killed with SIGKILL leaves all objects, and the next demo removes the objects first.
    // An interrupted demo removes all objects before the exit.
    let mut first = start(&mut demo(&plane, "x", &address)?, &folder, &plane).await?;
    refused(&mut demo(&plane, "x", &address)?, "another evening runs in").await?;
    first.kill().await?;
    ensure!(everything(&plane).await? != before, "a killed demo cannot clean up");
    let mut second = start(&mut demo(&plane, "x", &address)?, &folder, &plane).await?;
    let id = second.id().context("the demo does not run")?;
    run(Command::new("kill").args(["-INT", &id.to_string()])).await?;
    let ended = second.ended(Duration::from_secs(120)).await?;
    ensure!(ended.code() == Some(1), "the demo ended with {ended}: {}", second.tail());
    ensure!(second.tail().contains("interrupted"), "{}", second.tail());
    left_as_it_was(&plane, &before).await?;

    // A short evening that ends regularly also leaves the cluster unchanged.
    let kubeconfig = Some(plane.kubeconfig("admin"));
    let existing = Existing { context: "x".to_owned(), kubeconfig, address: Some(address) };
    smoke("existing-smoke", &Options { existing: Some(existing), ..Options::own() }).await?;
    left_as_it_was(&plane, &before).await?;
    plane.alive()
}
