//! What the cache keeps of the cloud: the last look, and who owns what it shows.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::machines::sweep::Owner;
use primetime_core::port::Inventory;
use primetime_core::state::ledger::{Batch, LedgerInstance, LedgerState};
use primetime_core::state::observed::{Asked, CloudLook, Presence};
use primetime_core::state::run::{RunRecord, RunStatus};

use crate::cache::store::{Cache, Scope};

/// How soon a run needs a look at the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// This installation launches no machines, and no run has any.
    Never,
    /// No run has machines, and none starts soon.
    Later,
    /// A run has machines, or starts soon.
    Now,
}

/// Time before T0 from which a run with machines needs each look at the cloud. An `InstanceClass` may
/// have a lead of a day, and the looks every five minutes are enough before that.
const SOON: TimeDelta = TimeDelta::hours(25);

impl Cache {
    /// Stores a look at the cloud, made at `at`.
    ///
    /// Returns true if the planner has to plan a namespace again: the instances of a run differ from
    /// the known instances, the place or the error differs, or a run waits for the look. An open
    /// entry, a terminating instance and a release need a plan after every look, because the planner
    /// measures how long instances stay absent. A failed look leaves the known instances.
    pub fn see_cloud(&mut self, look: Result<Inventory, String>, at: Instant) -> bool {
        let before = self.cloud.clone();
        let mut changed = BTreeSet::new();
        match look {
            Ok(Inventory { place, fleets }) => {
                let uids: BTreeSet<&String> = self.fleets.keys().chain(fleets.keys()).collect();
                for uid in uids {
                    if self.fleets.get(uid).map(|row| &**row) != fleets.get(uid) {
                        changed.insert(uid.clone());
                    }
                }
                let shown = |id: &String| {
                    fleets.values().any(|fleet| fleet.instances.iter().any(|i| i.id == *id))
                };
                self.asked.retain(|id, _| !shown(id));
                self.fleets = fleets.into_iter().map(|(uid, fleet)| (uid, fleet.into())).collect();
                self.cloud =
                    CloudLook { place: Some(place), at: Some(at), trouble: None, failures: 0 };
            }
            Err(why) => {
                self.cloud.trouble = Some(why);
                self.cloud.failures = (self.cloud.failures + 1).min(2);
            }
        }
        let told = |look: &CloudLook| look.lasting_trouble().map(str::to_owned);
        let elsewhere = before.place != self.cloud.place || told(&before) != told(&self.cloud);
        let waits = |run: &RunRecord| {
            let asked_for = |i: &LedgerInstance| i.state == LedgerState::Terminating;
            let open = |b: &Batch| !b.settled || b.instances.iter().any(asked_for);
            let RunStatus { ledger, release, .. } = &run.status;
            ledger.iter().any(open) || (release.is_some() && !ledger.is_empty())
        };
        let news = self.runs.iter().filter(|(_, run)| {
            let machines = run.announcement.as_ref().is_ok_and(|a| !a.machines.is_empty());
            let open = run.status.completion_time.is_none();
            open && (changed.contains(&run.uid) || waits(run) || (elsewhere && machines))
        });
        let news: BTreeSet<String> = news.map(|((ns, _), _)| ns.clone()).collect();
        let marked = news.into_iter().filter(|ns| self.mark(Scope::Namespace(ns.clone()))).count();
        marked > 0
    }

    /// Stores the answers to a question of `at` about ids. Equal answers in a row keep the time of the
    /// first one.
    pub fn hear_of(&mut self, known: BTreeMap<String, Presence>, at: Instant) {
        for (id, presence) in known {
            let before = self.asked.get(&id).filter(|asked| asked.presence == presence);
            let since = before.map_or(at, |asked| asked.since);
            self.asked.insert(id, Asked { presence, since, at });
        }
    }

    /// Returns what the cluster knows of the run of an instance, for the sweep.
    #[must_use]
    pub fn owner(&self, run_uid: &str) -> Owner {
        match self.runs.iter().find(|(_, run)| run.uid == run_uid) {
            Some((_, run)) if run.status.completion_time.is_some() => Owner::Completed,
            Some(_) => Owner::Open,
            None => Owner::Gone,
        }
    }

    /// Returns how soon a run needs the next look at the cloud.
    #[must_use]
    pub fn needs_the_cloud(&self, now: Instant) -> Need {
        let open = self.runs.iter().map(|(_, r)| r);
        let open = open.filter(|r| r.status.completion_time.is_none());
        let need = open.map(|run| {
            let machines = run.announcement.as_ref().is_ok_and(|a| !a.machines.is_empty());
            let near = machines && now >= run.window.ready_by - SOON;
            if !run.status.ledger.is_empty() || (near && self.may_launch) {
                Need::Now
            } else {
                Need::Later
            }
        });
        let least = if self.may_launch { Need::Later } else { Need::Never };
        need.filter(|need| self.may_launch || *need == Need::Now).max().unwrap_or(least)
    }
}
