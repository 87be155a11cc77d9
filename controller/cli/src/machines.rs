//! `kubectl surge machines`: which machines run, for which run, and until when.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use chrono::SecondsFormat;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use primetime_api::SurgeRun;
use primetime_core::Instant;
use primetime_core::state::ledger::{Batch, LedgerInstance, LedgerState};
use primetime_core::state::observed;
use primetime_k8s::kinds::node::machine_node;
use serde::Serialize;

use crate::cluster::{Cluster, bounded, now};
use crate::screen::{self, Output};
use crate::status;

/// Selection and format of the list.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// List the nodes that serve no pod instead, of machines and of others; daemons do not count.
    #[arg(long)]
    idle: bool,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// A machine of a run.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    id: String,
    namespace: String,
    run: String,
    group: String,
    state: LedgerState,
    since: String,
    /// Expiry as of the launch. The operator moves the tag while the run goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// Name of the Node, if the machine has joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// True if pods can be placed on the Node.
    open: bool,
}

/// Prints the list.
pub async fn show(cluster: &Cluster, args: &Args) -> Result<ExitCode> {
    let runs = status::listed::<SurgeRun>(cluster).await?;
    let client = || cluster.client.clone();
    let (all_nodes, all_pods) = (Api::<Node>::all(client()), Api::<Pod>::all(client()));
    let everything = ListParams::default();
    let nodes = bounded(all_nodes.list(&everything)).await;
    if args.idle {
        let nodes = nodes.context("--idle needs the right to list nodes")?.items;
        let pods = bounded(all_pods.list(&everything)).await;
        let pods = pods.context("--idle needs the right to list pods of all namespaces")?;
        let idle = idle(&nodes, &pods.items);
        let text = match args.output {
            Output::Json => serde_json::to_string_pretty(&idle)? + "\n",
            Output::Table if idle.is_empty() => "every node serves a pod\n".to_owned(),
            Output::Table => screen::plain(&idle.join(" ")).replace(' ', "\n") + "\n",
        };
        screen::show(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    // Without the right to list nodes the machines are shown all the same.
    let unseen = nodes.as_ref().err().map(|why| format!("nodes are not shown: {why:#}\n"));
    let nodes: BTreeMap<String, observed::Node> =
        nodes.map(|all| all.items.iter().filter_map(machine_node).collect()).unwrap_or_default();
    let lines = lines(&runs, &nodes);
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&lines)? + "\n",
        Output::Table => table(&lines, now()) + &unseen.unwrap_or_default(),
    };
    screen::show(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn lines(runs: &[SurgeRun], nodes: &BTreeMap<String, observed::Node>) -> Vec<Line> {
    let mut lines = Vec::new();
    for run in runs {
        let ledger = run.status.iter().flat_map(|status| &status.ledger);
        for batch in ledger {
            let there = batch.instances.iter().filter(|i| i.state != LedgerState::Terminated);
            lines.extend(there.map(|instance| line(run, batch, instance, nodes.get(&instance.id))));
        }
    }
    lines
}

fn line(
    run: &SurgeRun,
    batch: &Batch,
    instance: &LedgerInstance,
    node: Option<&observed::Node>,
) -> Line {
    let utc = |at: Instant| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let place = batch.place.as_ref();
    Line {
        id: instance.id.clone(),
        namespace: run.namespace().unwrap_or_default(),
        run: run.name_any(),
        group: batch.group.clone(),
        state: instance.state,
        since: utc(instance.since),
        expires: batch.expires_time.map(utc),
        account: place.map(|place| place.account.clone()),
        region: place.map(|place| place.region.clone()),
        node: node.map(|node| node.name.clone()),
        open: node.is_some_and(|node| node.ready && !node.unschedulable),
    }
}

fn table(lines: &[Line], now: Instant) -> String {
    if lines.is_empty() {
        return "no run has a machine\n".to_owned();
    }
    let mut text =
        format!("{:<20} {:<12} {:<8} {:<13} {}\n", "MACHINE", "STATE", "FOR", "NODE", "RUN");
    for line in lines {
        let state = format!("{:?}", line.state);
        let since = line
            .since
            .parse()
            .map_or_else(|_| String::new(), |since: Instant| screen::length(now - since));
        let node = match (&line.node, line.open) {
            (None, _) => "not joined",
            (Some(_), true) => "open",
            (Some(_), false) => "closed",
        };
        let run = screen::plain(&format!("{}/{}", line.namespace, line.run));
        let id = screen::plain(&line.id);
        let _ = writeln!(text, "{id:<20} {state:<12} {since:<8} {node:<13} {run}");
    }
    let runs: std::collections::BTreeSet<_> =
        lines.iter().map(|line| (&line.namespace, &line.run)).collect();
    let _ = writeln!(text, "{} machines, {} runs", lines.len(), runs.len());
    text
}

/// Returns the names of the Nodes that serve no pod. Pods of `DaemonSet`s, mirror pods and finished
/// pods do not count.
fn idle(nodes: &[Node], pods: &[Pod]) -> Vec<String> {
    let serves = |name: &str| {
        pods.iter().any(|pod| {
            let spec = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            let daemon = pod.owner_references().iter().any(|owner| owner.kind == "DaemonSet");
            let mirror = pod.annotations().contains_key("kubernetes.io/config.mirror");
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            let over = matches!(phase, Some("Succeeded" | "Failed"));
            spec == Some(name) && !daemon && !mirror && !over
        })
    };
    nodes.iter().map(ResourceExt::name_any).filter(|name| !serves(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(node: &str, owner: &str) -> Pod {
        let owner = json!({"apiVersion": "apps/v1", "kind": owner, "name": "o", "uid": "u"});
        serde_json::from_value(json!({
            "metadata": {"name": "p", "ownerReferences": [owner]},
            "spec": {"nodeName": node, "containers": []},
        }))
        .unwrap()
    }

    fn node(name: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"providerID": "aws:///eu-west-3a/i-0001"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_node_with_nothing_but_daemons_is_idle() {
        let nodes = [node("busy"), node("daemons"), node("empty")];
        let pods = [pod("busy", "ReplicaSet"), pod("daemons", "DaemonSet")];
        assert_eq!(idle(&nodes, &pods), ["daemons", "empty"]);
    }

    #[test]
    fn machines_are_shown_with_their_run_and_node() {
        let event = json!({"targets": [], "machines": []});
        let mut run = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun",
            "metadata": {"name": "capital-1", "namespace": "shop"},
            "spec": {"surge": "capital", "readyTime": "2014-01-12T19:50:00Z",
                "startTime": "2014-01-12T20:00:00Z", "endTime": "2014-01-12T22:00:00Z"},
        });
        if let (Some(spec), Some(event)) = (run["spec"].as_object_mut(), event.as_object()) {
            spec.extend(event.clone());
        }
        let mut run: SurgeRun = serde_json::from_value(run).unwrap();
        let at: Instant = "2014-01-12T19:30:00Z".parse().unwrap();
        let instance = |id: &str, state| LedgerInstance {
            id: id.to_owned(),
            state,
            since: at,
            join_time: None,
        };
        let batch: Batch = serde_json::from_value(json!({
            "group": "burst", "attempt": 1, "token": "pt", "count": 3, "time": at, "launch": {},
            "settled": true, "expiresTime": "2014-01-15T00:00:00Z",
        }))
        .unwrap();
        let instances = vec![
            instance("i-0001", LedgerState::Live),
            instance("i-0002", LedgerState::Terminating),
            instance("i-0003", LedgerState::Terminated),
        ];
        run.status.get_or_insert_default().ledger = vec![Batch { instances, ..batch }];
        let nodes = [node("burst-1")].iter().filter_map(machine_node).collect();
        let lines = lines(&[run], &nodes);
        assert_eq!(lines.len(), 2);
        let text = table(&lines, at + chrono::TimeDelta::seconds(130));
        assert!(
            text.contains(
                "i-0001               Live         2m10s    open          shop/capital-1"
            ),
            "{text}"
        );
        assert!(text.contains("i-0002               Terminating  2m10s    not joined"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(text.ends_with("2 machines, 1 runs\n"));
    }
}
