//! A model of EC2: client tokens, boot times, nodes that join, partial capacity.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::port::{Answer, Clock, Cloud};
use primetime_core::run::Batch;
use primetime_core::world::{Instance, LaunchAnswer, Refusal, RefusalClass};

use crate::clock::VirtualClock;
use crate::gate::{Door, Gate};

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
    /// When it was started.
    pub started_at: Instant,
    /// When it has booted.
    pub boots_at: Instant,
    /// Its node is there.
    pub joined: bool,
    /// When its termination was asked for.
    pub ended_at: Option<Instant>,
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

impl Fleet {
    /// Starts instances.
    pub fn add(&mut self, run_uid: &str, token: &str, count: usize, now: Instant) -> Vec<String> {
        let first = self.machines.len();
        let ids: Vec<String> = (first..first + count).map(|n| format!("i-{n:04}")).collect();
        let boots_at = now + self.boot_time;
        self.machines.extend(ids.iter().map(|id| Machine {
            id: id.clone(),
            run_uid: run_uid.to_owned(),
            token: token.to_owned(),
            started_at: now,
            boots_at,
            joined: false,
            ended_at: None,
        }));
        ids
    }

    /// Ends an instance.
    pub fn end(&mut self, id: &str, now: Instant) {
        let alive = self.machines.iter_mut().filter(|m| m.id == id && m.ended_at.is_none());
        alive.for_each(|machine| machine.ended_at = Some(now));
    }

    fn launch(&mut self, run_uid: &str, batch: &Batch, now: Instant) -> LaunchAnswer {
        let of_token = self.machines.iter().filter(|m| m.token == batch.token);
        let known: Vec<String> = of_token.map(|m| m.id.clone()).collect();
        if !known.is_empty() {
            return LaunchAnswer::Came { ids: known, shortfall: None };
        }
        let call = self.calls.min(self.capacity.len().saturating_sub(1));
        self.calls += 1;
        let may = self.capacity.get(call).copied().unwrap_or(u32::MAX);
        let comes = batch.count.min(may);
        let short = (comes < batch.count).then(|| Refusal {
            class: RefusalClass::Capacity,
            message: "InsufficientInstanceCapacity: no more of them now".to_owned(),
        });
        match short {
            Some(refusal) if comes == 0 => LaunchAnswer::Refused(refusal),
            shortfall => {
                let count = usize::try_from(comes).unwrap_or(0);
                LaunchAnswer::Came { ids: self.add(run_uid, &batch.token, count, now), shortfall }
            }
        }
    }
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

    async fn call<T: Send + 'static>(
        &self,
        what: &str,
        effect: impl FnOnce(&mut Fleet, Instant) -> T + Send + 'static,
    ) -> Result<T, String> {
        let (cloud, clock) = (self.clone(), self.clock.clone());
        let passed = self.gate.pass(
            Door::Cloud,
            format!("EC2 {what}"),
            move || Ok(cloud.with(|fleet| effect(fleet, clock.now()))),
            |no| Err(format!("{no:?}")),
        );
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
        let is_recorded = self.is_recorded.clone();
        let (run_uid, batch) = (run_uid.to_owned(), batch.clone());
        Box::pin(self.call("CreateFleet", move |fleet, now| {
            if !is_recorded(&batch.token) {
                fleet.unrecorded.push(batch.token.clone());
            }
            fleet.launch(&run_uid, &batch, now)
        }))
    }

    fn instances<'a>(&'a self, run_uid: &'a str) -> Answer<'a, Result<Vec<Instance>, String>> {
        let run_uid = run_uid.to_owned();
        Box::pin(self.call("DescribeInstances", move |fleet, _| {
            let of_run = fleet.machines.iter().filter(|m| m.run_uid == run_uid);
            of_run
                .map(|m| Instance {
                    id: m.id.clone(),
                    token: m.token.clone(),
                    terminated: m.ended_at.is_some(),
                })
                .collect()
        }))
    }

    fn terminate<'a>(
        &'a self,
        run_uid: &'a str,
        ids: &'a [String],
    ) -> Answer<'a, Result<(), String>> {
        let (run_uid, ids) = (run_uid.to_owned(), ids.to_vec());
        Box::pin(self.call("TerminateInstances", move |fleet, now| {
            let ours: Vec<String> = fleet
                .machines
                .iter()
                .filter(|m| m.run_uid == run_uid && ids.contains(&m.id))
                .map(|m| m.id.clone())
                .collect();
            for id in ours {
                fleet.end(&id, now);
            }
        }))
    }
}
