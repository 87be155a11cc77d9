//! A kubelet that really runs the pods of Jobs. KWOK would report every pod as succeeded.
//!
//! Each container of a pod with a Job as owner runs as a process: the operator's binary with the
//! arguments of the container and a token of the pod's service account. The exit code decides the
//! phase. All other pods of the node stay `Pending`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::Utc;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::task::JoinSet;

use crate::plane::{Plane, with_user};
use crate::process::command;
use crate::tools::built;

/// Name of the node, and value of the label `kubernetes.io/hostname`.
pub const NODE: &str = "kubelet";

/// Interval between two reads of the pods.
const INTERVAL: Duration = Duration::from_millis(500);

/// A node whose pods run as processes, until the value is dropped.
pub struct Kubelet {
    _tasks: JoinSet<()>,
}

impl Kubelet {
    /// Registers the node and starts to run pods.
    ///
    /// # Errors
    ///
    /// Returns an error if the node cannot be created.
    pub async fn start(plane: &Plane, client: Client) -> Result<Self> {
        let nodes: Api<Node> = Api::all(client.clone());
        let node: Node = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}},
        }))?;
        nodes.create(&PostParams::default(), &node).await?;
        beat(&nodes).await?;
        let (admin, folder) = (plane.kubeconfig("admin"), plane.folder.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut seen = BTreeSet::new();
            loop {
                // The next round repeats whatever has failed.
                let _ = beat(&nodes).await;
                let _ = round(&client, &admin, &folder, &mut seen).await;
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Ok(Self { _tasks: tasks })
    }
}

/// Reports the node as ready, with a fresh heartbeat.
async fn beat(nodes: &Api<Node>) -> Result<()> {
    let now = Utc::now().to_rfc3339();
    let status = json!({"status": {
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
            "lastHeartbeatTime": now, "lastTransitionTime": now}],
    }});
    nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

/// Runs each new pod of a Job to its end, and confirms the deletion of pods.
async fn round(
    client: &Client,
    admin: &Path,
    folder: &Path,
    seen: &mut BTreeSet<String>,
) -> Result<()> {
    let mine = ListParams::default().fields(&format!("spec.nodeName={NODE}"));
    for pod in Api::<Pod>::all(client.clone()).list(&mine).await? {
        let namespace = pod.namespace().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        if pod.metadata.deletion_timestamp.is_some() {
            let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            pods.delete(&pod.name_any(), &now).await?;
            continue;
        }
        let of_a_job = pod.owner_references().iter().any(|owner| owner.kind == "Job");
        if of_a_job && seen.insert(pod.uid().unwrap_or_default()) {
            let status = run(client, &pod, admin, folder).await?;
            let status = json!({"status": status});
            let name = pod.name_any();
            pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        }
    }
    Ok(())
}

/// Runs the container of a pod, and returns the status of the pod.
async fn run(client: &Client, pod: &Pod, admin: &Path, folder: &Path) -> Result<serde_json::Value> {
    let spec = pod.spec.as_ref().context("a pod without a spec")?;
    let container = spec.containers.first().context("a pod without a container")?;
    let kubeconfig = kubeconfig(client, pod, admin, folder).await?;
    let output = command(built("primetime")?)
        .args(container.args.iter().flatten())
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .kill_on_drop(true)
        .output()
        .await?;
    let said = [output.stdout, output.stderr].concat();
    let code = output.status.code().unwrap_or(-1);
    Ok(json!({
        "phase": if code == 0 { "Succeeded" } else { "Failed" },
        "containerStatuses": [{
            "name": container.name, "image": container.image, "imageID": "", "ready": false,
            "restartCount": 0,
            "state": {"terminated": {
                "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
                "message": String::from_utf8_lossy(&said),
            }},
        }],
    }))
}

/// Writes a kubeconfig with a token of the pod's service account.
async fn kubeconfig(client: &Client, pod: &Pod, admin: &Path, folder: &Path) -> Result<PathBuf> {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
    let account = account.context("a pod without a service account")?;
    let namespace = pod.namespace().unwrap_or_default();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    let spec = TokenRequestSpec { audiences: Vec::new(), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(&account, &PostParams::default(), &request).await?;
    let token = answer.status.context("no token")?.token;
    let file = folder.join(format!("{}.kubeconfig", pod.name_any()));
    with_user(admin, &file, |user| *user = json!({"token": token}))?;
    Ok(file)
}
