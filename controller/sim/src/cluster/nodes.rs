//! Machines that join after boot and leave after termination, and a node autoscaler.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use primetime_core::Instant;
use serde_json::{Value, json};

use crate::cloud::{AUTOSCALER, Tags};
use crate::cluster::model::{Cluster, kind};
use crate::field::text;
use crate::script::Part;
use crate::server::object::Key;
use crate::server::refusal::Refusal;

/// Idle time after which the node autoscaler terminates one of its machines: the cluster
/// autoscaler's default (`--scale-down-unneeded-time`, 10 min).
const IDLE: TimeDelta = TimeDelta::minutes(10);

/// Interval at which a foreign autoscaler removes one empty machine: Karpenter checks every ten
/// seconds (<https://karpenter.sh/docs/concepts/disruption/>).
const CONSOLIDATES: TimeDelta = TimeDelta::seconds(10);

/// Builds a ready Node.
#[must_use]
pub fn node(name: &str, instance: Option<&str>) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"providerID": instance.map(|id| format!("aws:///eu-west-3a/{id}"))},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn name(id: &str) -> String {
    format!("burst-{id}")
}

impl Cluster {
    /// Creates the Nodes of booted machines. Deletes the Nodes of terminated machines together with
    /// their pods.
    pub(super) fn join_and_leave(&self, now: Instant) -> Result<(), Refusal> {
        let (nodes, pods) = (kind("v1", "Node")?, kind("v1", "Pod")?);
        let moves: Vec<(String, bool)> = self.cloud.with(|fleet| {
            let booted = fleet.machines.iter_mut().filter(|m| now >= m.boots_at);
            booted
                .filter(|m| m.joined != m.ended_at.is_none())
                .map(|m| {
                    m.joined = m.ended_at.is_none();
                    (m.id.clone(), m.joined)
                })
                .collect()
        });
        if moves.is_empty() {
            return Ok(());
        }
        self.server.with(|store| {
            for (id, joins) in moves {
                let name = name(&id);
                if joins {
                    store.create(nodes, "", node(&name, Some(&id)))?;
                    continue;
                }
                let key: Key = (nodes, String::new(), name.clone());
                if store.get(&key).is_some() {
                    store.delete(&key, None, None)?;
                }
                let on_it = |pod: &Value| text(pod, "/spec/nodeName") == Some(name.as_str());
                let orphans: Vec<Key> = store
                    .list(pods, "")
                    .filter(|(_, pod)| on_it(pod))
                    .map(|(key, _)| key.clone())
                    .collect();
                for orphan in orphans {
                    store.delete(&orphan, None, None)?;
                }
            }
            Ok(())
        })
    }

    /// Terminates one machine without pods, of any owner, while the script's outage
    /// [`Part::Consolidation`] lasts.
    pub(super) fn consolidate(&mut self, now: Instant) -> Result<(), Refusal> {
        if !self.load.script.is_out(Part::Consolidation, now) || now < self.consolidation_due {
            return Ok(());
        }
        let busy = self.busy()?;
        self.consolidation_due = now + CONSOLIDATES;
        self.cloud.with(|fleet| {
            let mut alive = fleet.machines.iter_mut().filter(|m| m.joined && m.ended_at.is_none());
            if let Some(machine) = alive.find(|m| !busy.contains(&name(&m.id))) {
                (machine.ended_at, machine.reclaimed) = (Some(now), true);
            }
        });
        Ok(())
    }

    /// Returns the names of the nodes that carry pods.
    fn busy(&self) -> Result<BTreeSet<String>, Refusal> {
        let pods = kind("v1", "Pod")?;
        Ok(self.server.with(|store| {
            let nodes = store.list(pods, "").filter_map(|(_, pod)| text(pod, "/spec/nodeName"));
            nodes.map(str::to_owned).collect()
        }))
    }

    /// Starts machines for pods without room, and terminates machines that have carried no pod for
    /// [`IDLE`].
    pub(super) fn autoscale_nodes(&mut self, now: Instant) -> Result<(), Refusal> {
        let most = usize::try_from(self.pace.node_autoscaler).unwrap_or(usize::MAX);
        let out = |part| self.load.script.is_out(part, now);
        if most == 0 || out(Part::Cloud) || out(Part::Api) {
            return Ok(());
        }
        let needed = self.homeless.div_ceil(self.pace.pods_per_node.max(1));
        let joined = self.cloud.with(|fleet| {
            let alive = fleet.machines.iter().filter(|m| m.ended_at.is_none()).count();
            let coming = fleet.machines.iter().filter(|m| m.ended_at.is_none() && !m.joined);
            let missing = needed.saturating_sub(coming.count()).min(most.saturating_sub(alive));
            let (run_uid, token, expires) = (AUTOSCALER, AUTOSCALER, Instant::MAX_UTC);
            fleet.add(Tags { run_uid, token, expires }, missing, &[], now);
            let joined = fleet.machines.iter().filter(|m| m.joined && m.ended_at.is_none());
            joined.map(|m| m.id.clone()).collect::<Vec<_>>()
        });
        if joined.is_empty() {
            return Ok(());
        }
        let busy = self.busy()?;
        self.idle_since.retain(|id, _| joined.contains(id) && !busy.contains(&name(id)));
        for id in joined.into_iter().filter(|id| !busy.contains(&name(id))) {
            let since = *self.idle_since.entry(id.clone()).or_insert(now);
            if now - since >= IDLE {
                self.cloud.with(|fleet| fleet.end(&id, now));
            }
        }
        Ok(())
    }
}
