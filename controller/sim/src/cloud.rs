//! A model of EC2: client tokens, boot times, nodes that join, partial capacity.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::port::{Answer, Clock, Cloud};
use primetime_core::run::Batch;
use primetime_core::world::{Instance, LaunchAnswer, Refusal, RefusalClass};

use crate::clock::VirtualClock;
use crate::gate::Gate;

/// No call takes longer, as in the real one.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its id.
    pub id: String,
    /// The run's tag.
    pub run_uid: String,
    /// The batch's tag.
    pub token: String,
    /// When it has booted.
    pub boots_at: Instant,
    /// Its termination was asked for.
    pub terminated: bool,
}

/// All instances, and what may be had.
#[derive(Debug)]
pub struct Fleet {
    /// In the order in which they were started.
    pub machines: Vec<Machine>,
    /// How many more may be had, by call: the last number counts for all later calls.
    pub capacity: Vec<u32>,
    /// From the launch to the boot.
    pub boot_time: TimeDelta,
    /// Tokens of launches that no persisted, guarded run knew.
    pub unrecorded: Vec<String>,
    calls: usize,
}

/// The model. Clones are the same cloud.
#[derive(Clone)]
pub struct CloudModel {
    fleet: Arc<Mutex<Fleet>>,
    gate: Gate,
    clock: VirtualClock,
    is_recorded: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl CloudModel {
    /// An empty one. `is_recorded` says whether a token stands in the ledger of a run that is guarded.
    #[must_use]
    pub fn new(
        gate: Gate,
        clock: VirtualClock,
        boot_time: TimeDelta,
        capacity: Vec<u32>,
        is_recorded: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        let fleet =
            Fleet { machines: Vec::new(), capacity, boot_time, unrecorded: Vec::new(), calls: 0 };
        Self { fleet: Arc::new(Mutex::new(fleet)), gate, clock, is_recorded: Arc::new(is_recorded) }
    }

    /// The same cloud through another door.
    #[must_use]
    pub fn behind(&self, gate: &Gate) -> Self {
        Self { gate: gate.clone(), ..self.clone() }
    }

    /// Looks at the fleet, or changes it.
    pub fn with<T>(&self, f: impl FnOnce(&mut Fleet) -> T) -> T {
        f(&mut self.fleet.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn start(&self, run_uid: &str, batch: &Batch) -> LaunchAnswer {
        let recorded = (self.is_recorded)(&batch.token);
        let now = self.clock.now();
        self.with(|fleet| {
            if !recorded {
                fleet.unrecorded.push(batch.token.clone());
            }
            let known: Vec<String> = fleet
                .machines
                .iter()
                .filter(|m| m.token == batch.token)
                .map(|m| m.id.clone())
                .collect();
            if !known.is_empty() {
                return LaunchAnswer::Came { ids: known, shortfall: None };
            }
            let at = fleet.calls.min(fleet.capacity.len().saturating_sub(1));
            fleet.calls += 1;
            let may = fleet.capacity.get(at).copied().unwrap_or(u32::MAX);
            let comes = batch.count.min(may);
            let short = (comes < batch.count).then(|| Refusal {
                class: RefusalClass::Capacity,
                message: "InsufficientInstanceCapacity: no more of them now".to_owned(),
            });
            if comes == 0
                && let Some(refusal) = short
            {
                return LaunchAnswer::Refused(refusal);
            }
            let ids: Vec<String> =
                (0..comes).map(|n| format!("i-{:04}", fleet.machines.len() + n as usize)).collect();
            let boots_at = now + fleet.boot_time;
            fleet.machines.extend(ids.iter().map(|id| Machine {
                id: id.clone(),
                run_uid: run_uid.to_owned(),
                token: batch.token.clone(),
                boots_at,
                terminated: false,
            }));
            LaunchAnswer::Came { ids, shortfall: short }
        })
    }

    async fn call<T>(
        &self,
        what: &str,
        effect: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        let passed = self.gate.pass(format!("EC2 {what}"), effect, || Err("500".to_owned()));
        tokio::time::timeout(TIMEOUT, passed).await.unwrap_or_else(|_| Err("no answer".to_owned()))
    }
}

impl Cloud for CloudModel {
    fn launch<'a>(
        &'a self,
        run_uid: &'a str,
        batch: &'a Batch,
        _expires: Instant,
    ) -> Answer<'a, Result<LaunchAnswer, String>> {
        Box::pin(self.call("CreateFleet", move || Ok(self.start(run_uid, batch))))
    }

    fn instances<'a>(&'a self, run_uid: &'a str) -> Answer<'a, Result<Vec<Instance>, String>> {
        let seen = move || {
            self.with(|fleet| {
                let of_run = fleet.machines.iter().filter(|m| m.run_uid == run_uid);
                of_run
                    .map(|m| Instance {
                        id: m.id.clone(),
                        token: m.token.clone(),
                        terminated: m.terminated,
                    })
                    .collect()
            })
        };
        Box::pin(self.call("DescribeInstances", move || Ok(seen())))
    }

    fn terminate<'a>(
        &'a self,
        run_uid: &'a str,
        ids: &'a [String],
    ) -> Answer<'a, Result<(), String>> {
        let end = move || {
            self.with(|fleet| {
                for machine in &mut fleet.machines {
                    if machine.run_uid == run_uid && ids.contains(&machine.id) {
                        machine.terminated = true;
                    }
                }
            });
        };
        Box::pin(self.call("TerminateInstances", move || {
            end();
            Ok(())
        }))
    }
}
