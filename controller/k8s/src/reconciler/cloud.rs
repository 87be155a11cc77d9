//! Looks at the cloud: one request for all runs, and the end of what no run owns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use primetime_core::machines::{gate, sweep};
use tracing::warn;

use super::{Calls, Look, Reconciler, Work};
use crate::cache::cloud::Need;
use crate::call::CallError;
use crate::reconciler::queue::Outcome;

/// Interval between two looks while no run needs one soon. The look tells of a missing permission
/// before the day of the event, and finds instances that no run owns.
const SLOWLY: Duration = Duration::from_mins(5);

/// Minimum interval between two terminations of the instances that a run has left.
const SWEEP_AGAIN: Duration = Duration::from_mins(1);

impl Reconciler {
    /// Looks at the cloud for ever: at each interval while a run has machines or starts soon, and
    /// slowly else.
    pub async fn watch_cloud(self: Arc<Self>) {
        let mut last: Option<tokio::time::Instant> = None;
        loop {
            let now = self.clock.now();
            let need = self.shared.with(|cache| {
                cache.forget_the_past();
                cache.needs_the_cloud(now)
            });
            if self.leadership.leads() {
                self.sweep_reservations();
                let due = match need {
                    Need::Now => true,
                    Need::Later => last.is_none_or(|at| at.elapsed() >= SLOWLY),
                    Need::Never => false,
                };
                if due {
                    last = Some(tokio::time::Instant::now());
                    self.look_at_cloud().await;
                }
            }
            tokio::time::sleep(self.settings.cloud_interval).await;
        }
    }

    /// Returns the reservations of runs that no longer exist: a run that was withdrawn before its
    /// first act, or whose finalizer a person has removed.
    fn sweep_reservations(self: &Arc<Self>) {
        let stale = self.shared.with(|cache| {
            if !cache.listed_since_it_leads() {
                return Vec::new();
            }
            let runs: BTreeSet<&str> = cache.runs.iter().map(|(_, r)| r.uid.as_str()).collect();
            let kept = cache.classes.iter().filter_map(|(name, class)| {
                let kept = gate::without_the_gone(&class.reservations, |uid| runs.contains(uid))?;
                Some((name.clone(), kept, cache.classes.get(name)?.version.clone()))
            });
            kept.collect()
        });
        for (class, kept, version) in stale {
            self.write_reservations("", &class, kept, version, self.look());
        }
    }

    async fn look_at_cloud(self: &Arc<Self>) {
        let at = self.clock.now();
        let look = self.cloud.show().await;
        if let Err(error) = &look {
            warn!(error, "the cloud could not be asked for its instances");
        }
        let complete = look.is_ok();
        if self.shared.with(|cache| cache.see_cloud(look, at)) {
            self.shared.notify_planner();
        }
        if complete {
            self.sweep_instances();
        }
    }

    /// Terminates the instances of completed runs, and the expired instances of runs that are gone.
    fn sweep_instances(self: &Arc<Self>) {
        let now = self.clock.now();
        // A wrong clock would see every instance expired.
        if self.server_time.error().is_some() {
            return;
        }
        let (orphans, number) = self.shared.with(|cache| {
            if !cache.listed_since_it_leads() {
                return (BTreeMap::new(), 0);
            }
            let owner = |uid: &str| cache.owner(uid);
            let has_node = |id: &str| cache.nodes.get(&id.to_owned()).is_some();
            let ended = sweep::sweep(&cache.fleets, owner, has_node, now);
            (ended, sweep::orphans(&cache.fleets, owner))
        });
        self.observer.orphans(number);
        for (run_uid, ids) in orphans {
            warn!(run = run_uid, ?ids, "instances that no run owns are terminated");
            let engine = self.clone();
            let lane = format!("sweep/{run_uid}");
            let work = Work { namespace: "", lane, kind: "sweep", due: None, calls: Calls::Cloud };
            self.start(work, self.look(), async move {
                let refused = engine.cloud.terminate(&run_uid, &ids).await;
                let refused = refused.map_err(CallError::Failed)?;
                match refused.into_iter().next() {
                    Some((id, why)) => Err(CallError::Failed(format!("{id}: {why}"))),
                    None => Ok(Outcome::Again(SWEEP_AGAIN)),
                }
            });
        }
    }

    fn look(&self) -> Look {
        Look { now: self.clock.now(), seen: tokio::time::Instant::now() }
    }
}
