//! What people have to know about the machines of a run beside their number: the cloud does not
//! answer, a machine is out of sight, or cannot be given back.

use crate::machines::terminate::{DRAIN_TIME, draining_since};
use crate::machines::{join, launch};
use crate::run::context::Run;
use crate::state::announcement::MachineGroup;
use crate::state::ledger::{Batch, LedgerInstance, LedgerState};
use crate::state::observed::{KeptBy, Node, Presence};
use crate::state::run::RunStatus;
use crate::state::status::MachineStatus;

/// Largest number of machines that a message names.
const NAMED: usize = 3;

impl Run<'_> {
    /// Returns why machines of a group are missing: a closed gate, a refusal of the cloud, machines
    /// that do not join, or Nodes that another writer has cordoned.
    pub(super) fn machine_trouble(
        &self,
        group: &MachineGroup,
        shown: &MachineStatus,
        status: &RunStatus,
    ) -> Option<String> {
        if let Some(closed) = self.closed_gates(group, status) {
            return Some(closed);
        }
        let wanted = self.machines_now(group);
        if shown.joined >= wanted {
            return None;
        }
        let refused = || {
            let last = status.ledger.iter().rev().find(|batch| batch.group == group.name)?;
            last.shortfall.clone().filter(|_| shown.launched < wanted)
        };
        let lost = || {
            let lost = join::lost(status, group, self.world, self.now);
            (lost > 0).then(|| {
                format!(
                    "{lost} have not joined in time (joinSeconds of the InstanceClass), or are not \
                     Ready any more; they are replaced where there is room"
                )
            })
        };
        let cordoned = || {
            let nodes: Vec<_> = join::cordoned_by_others(status, group, self.world).collect();
            let first = &nodes.first()?.name;
            Some(format!("{} are cordoned by another writer, such as {first}", nodes.len()))
        };
        launch::exhausted(status, group).or_else(refused).or_else(lost).or_else(cordoned)
    }

    /// Returns the risks of the machines of the run, each as a sentence.
    pub(super) fn machine_risks(&self, status: &RunStatus) -> Vec<String> {
        if self.announcement.machines.is_empty() && status.ledger.is_empty() {
            return Vec::new();
        }
        let mut risks = self.out_of_sight(status);
        risks.extend(self.stuck_in_the_cloud(status));
        risks.extend(self.stuck_nodes(status));
        risks
    }

    /// The cloud does not answer, or the operator sees another place than that of the machines.
    fn out_of_sight(&self, status: &RunStatus) -> Vec<String> {
        let mut risks = Vec::new();
        if let Some(trouble) = self.world.cloud.lasting_trouble() {
            risks.push(format!("the cloud cannot be asked: {trouble}"));
        }
        if let Some(here) = &self.world.cloud.place {
            let gone = |i: &LedgerInstance| i.state == LedgerState::Terminated;
            let owes = |b: &&Batch| !b.settled || !b.instances.iter().all(gone);
            let there = status.ledger.iter().filter(owes).filter_map(|b| b.place.as_ref());
            if let Some(there) = there.into_iter().find(|place| !place.is(here)) {
                risks.push(format!(
                    "machines were started with {there}, and this operator sees {here}: they are \
                     neither counted as gone nor ended until the setting is back"
                ));
            }
        }
        risks
    }

    /// Instances that cannot be terminated, or that have lost our tags.
    fn stuck_in_the_cloud(&self, status: &RunStatus) -> Vec<String> {
        let ended = status.living().filter(|i| i.state == LedgerState::Terminating);
        let kept: Vec<_> = ended
            .filter_map(|i| self.world.not_ended.get(&i.id).map(|why| (i.id.as_str(), why)))
            .collect();
        let untagged = |id: &str| {
            let asked = self.world.asked.get(id);
            asked.is_some_and(|asked| asked.presence == Presence::Untagged)
        };
        let bare: Vec<_> =
            status.living().map(|i| i.id.as_str()).filter(|id| untagged(id)).collect();
        let mut risks = Vec::new();
        if let Some((_, why)) = kept.first() {
            let ids = named(kept.iter().map(|(id, _)| *id));
            risks.push(format!("{ids} cannot be terminated: {why}"));
        }
        if !bare.is_empty() {
            risks.push(format!(
                "{} have lost the tags of Primetime and are not ended: put the tags back, or \
                 terminate them",
                named(bare.into_iter())
            ));
        }
        risks
    }

    /// Nodes that are not empty at the drain deadline, or whose pods will not leave.
    fn stuck_nodes(&self, status: &RunStatus) -> Vec<String> {
        let draining = status.living().filter(|i| i.state == LedgerState::Draining);
        let nodes: Vec<_> =
            draining.filter_map(|i| Some((i, self.world.nodes.get(&i.id)?))).collect();
        let since = |i: &LedgerInstance| draining_since(i, self.world);
        let (late, early): (Vec<_>, Vec<_>) =
            nodes.into_iter().partition(|(i, _)| self.now >= since(i) + DRAIN_TIME);
        let mut risks = Vec::new();
        let stays =
            |node: &Node| matches!(node.kept_by, Some(KeptBy::CameBack(_) | KeptBy::Alone(_)));
        // Within the event, a machine that cannot be emptied simply stays.
        let releasing = status.release.is_some();
        let early = early.iter().filter(|_| releasing);
        if let Some((first, node)) = early.into_iter().find(|(_, node)| stays(node))
            && let Some(why) = &node.kept_by
        {
            let at = (since(first) + DRAIN_TIME).format("%H:%M:%SZ");
            let then = match why {
                KeptBy::CameBack(_) => "the machine ends",
                KeptBy::Refused(_) | KeptBy::Alone(_) => "they are deleted",
            };
            risks.push(format!("{} cannot be emptied: {why}; {then} at {at}", node.name));
        }
        if let Some((first, node)) = late.first() {
            let names = named(late.iter().map(|(_, node)| node.name.as_str()));
            let why = node.kept_by.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let (minutes, at) = (DRAIN_TIME.num_minutes(), since(first) + DRAIN_TIME * 2);
            risks.push(format!(
                "{names} not empty after {minutes} min{why}: the pods are deleted, and what is left \
                 ends with its machine at {}",
                at.format("%H:%M:%SZ")
            ));
        }
        risks
    }
}

/// Returns the first names, and the number of the others.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<_> = names.collect();
    let more = all.len().saturating_sub(NAMED);
    let shown = all.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
