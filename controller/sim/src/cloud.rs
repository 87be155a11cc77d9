//! Model of EC2: client tokens, boot times, joining Nodes, capacity by type and subnet, a quota and
//! throttling.

use primetime_core::port::Clock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::port::{Answer, Cloud, Inventory};
use primetime_core::state::ledger::Batch;
use primetime_core::state::observed::{
    self, Instance, InstanceState, LaunchAnswer, Presence, Refusal, RefusalClass,
};
use primetime_core::state::place::Place;
use serde_json::Value;

use crate::clock::VirtualClock;
use crate::gate::{Door, Gate};
use crate::script::Part;

/// Timeout of every call of the model. The real EC2 client has a timeout as well, of 30 s.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Interval between two answered calls while the script throttles the cloud.
const THROTTLED: TimeDelta = TimeDelta::seconds(4);

/// Time after a launch at which the model forgets the client token. AWS does not state how long EC2
/// remembers a token (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>).
const REMEMBERED: TimeDelta = TimeDelta::minutes(10);

/// Error message of a throttled call.
const LIMIT: &str = "RequestLimitExceeded: asked too often";

/// Error message of every call while the credentials have expired.
const EXPIRED: &str = "RequestExpired: the credentials have expired";

/// Run uid in the tags of the node autoscaler's machines, which carry no tag of the cluster.
pub const AUTOSCALER: &str = "node-autoscaler";

/// Limits on the instances that the model can launch. The default has no limit.
#[derive(Clone, Debug, Default)]
pub struct Supply {
    /// Most instances per launch call, indexed by call number. The last number applies to all later
    /// calls.
    pub by_call: Vec<u32>,
    /// Instances left per pool (instance type, subnet). A pool without an entry is unlimited.
    pub pools: BTreeMap<(String, String), u32>,
    /// Most instances alive at once in the account.
    pub quota: Option<u32>,
}

/// Instance of the cloud model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Machine {
    /// Instance id, for example `i-0001`.
    pub id: String,
    /// Run tag: UID of the `SurgeRun` that launched the instance.
    pub run_uid: String,
    /// Batch tag: client token of the launch.
    pub token: String,
    /// Instance type and subnet, if the launch named any.
    pub pool: Option<(String, String)>,
    /// Expiry tag: time until which the run may need the instance.
    pub expires: Instant,
    /// True if the instance carries the tag of the cluster.
    pub tagged: bool,
    /// True if the account protects the instance from its termination.
    pub protected: bool,
    /// True if the instance is stopped.
    pub stopped: bool,
    /// Time of the launch.
    pub started_at: Instant,
    /// Time at which the instance has booted.
    pub boots_at: Instant,
    /// True once the cluster model has created the Node of the instance.
    pub joined: bool,
    /// Time at which the operator requested the termination, or the cloud reclaimed the instance.
    pub ended_at: Option<Instant>,
    /// True if the cloud reclaimed the instance.
    pub reclaimed: bool,
    /// Time of the first `DescribeInstances` answer that showed the instance as terminated.
    pub told_at: Option<Instant>,
}

/// Tags that a launch sets on an instance.
#[derive(Clone, Copy, Debug)]
pub struct Tags<'a> {
    /// UID of the run.
    pub run_uid: &'a str,
    /// Client token of the batch.
    pub token: &'a str,
    /// Time until which the run may need the instance.
    pub expires: Instant,
}

/// All instances of the cloud, and the limits on further launches.
#[derive(Debug)]
pub struct Fleet {
    /// Instances in launch order, ended ones included.
    pub machines: Vec<Machine>,
    /// Limits on further launches.
    pub supply: Supply,
    /// Time from the launch to the end of the boot.
    pub boot_time: TimeDelta,
    /// Client tokens of launches that were missing in the `status.ledger` of every run with a
    /// finalizer.
    pub unrecorded: Vec<String>,
    /// Ids of instances that a run tried to terminate although another run had launched the
    /// instances.
    pub foreign: Vec<String>,
    calls: usize,
    answered_at: Option<Instant>,
}

impl Fleet {
    /// Launches `count` instances and returns the ids. The n-th instance takes the n-th pool, or no
    /// pool if `pools` is shorter.
    pub fn add(
        &mut self,
        tags: Tags<'_>,
        count: usize,
        pools: &[(String, String)],
        now: Instant,
    ) -> Vec<String> {
        let mut pools = pools.iter().cloned();
        let first = self.machines.len();
        let ids: Vec<String> = (first..first + count).map(|n| format!("i-{n:04}")).collect();
        let boots_at = now + self.boot_time;
        self.machines.extend(ids.iter().map(|id| Machine {
            id: id.clone(),
            run_uid: tags.run_uid.to_owned(),
            token: tags.token.to_owned(),
            pool: pools.next(),
            expires: tags.expires,
            tagged: tags.run_uid != AUTOSCALER,
            protected: false,
            stopped: false,
            started_at: now,
            boots_at,
            joined: false,
            ended_at: None,
            reclaimed: false,
            told_at: None,
        }));
        ids
    }

    /// Ends an instance at `now`. An instance that has ended keeps the first end time.
    pub fn end(&mut self, id: &str, now: Instant) {
        let alive = self.machines.iter_mut().filter(|m| m.id == id && m.ended_at.is_none());
        alive.for_each(|machine| machine.ended_at = Some(now));
    }

    fn launch(&mut self, run_uid: &str, batch: &Batch, now: Instant) -> LaunchAnswer {
        let of_token = self.machines.iter().filter(|m| m.token == batch.token);
        let of_token = of_token.filter(|m| now - m.started_at < REMEMBERED);
        let known: Vec<String> = of_token.map(|m| m.id.clone()).collect();
        if !known.is_empty() {
            return LaunchAnswer::Came { ids: known, shortfall: None };
        }
        let by_call = &self.supply.by_call;
        let call = self.calls.min(by_call.len().saturating_sub(1));
        let may = by_call.get(call).copied().unwrap_or(u32::MAX);
        self.calls += 1;
        let alive = self.machines.iter().filter(|m| m.ended_at.is_none()).count();
        let alive = u32::try_from(alive).unwrap_or(u32::MAX);
        let room = self.supply.quota.map_or(u32::MAX, |quota| quota.saturating_sub(alive));
        let pools = self.take(batch, batch.count.min(may).min(room));
        let refusal = |class, message: &str| Refusal { class, message: message.to_owned() };
        let shortfall = (pools.len() < usize::try_from(batch.count).unwrap_or(0)).then(|| {
            if room < batch.count.min(may) {
                refusal(RefusalClass::Quota, "VcpuLimitExceeded: the account may not have more")
            } else {
                let said = "InsufficientInstanceCapacity: no more of them now";
                refusal(RefusalClass::Capacity, said)
            }
        });
        match shortfall {
            Some(refusal) if pools.is_empty() => LaunchAnswer::Refused(refusal),
            shortfall => {
                let expires = batch.expires_time.unwrap_or(Instant::MAX_UTC);
                let tags = Tags { run_uid, token: &batch.token, expires };
                LaunchAnswer::Came { ids: self.add(tags, pools.len(), &pools, now), shortfall }
            }
        }
    }

    /// Takes up to `count` instances from the pools of the batch and returns the pool of each. The
    /// order of preference is first `instanceTypes`, then `subnets`.
    fn take(&mut self, batch: &Batch, count: u32) -> Vec<(String, String)> {
        let mut chosen = Vec::new();
        let mut left = count;
        let names = |field: &str| {
            let block = &batch.launch.block;
            let all = block.get(field).and_then(Value::as_array).into_iter().flatten();
            all.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        for instance_type in &names("instanceTypes") {
            for subnet in &names("subnets") {
                let pool = (instance_type.clone(), subnet.clone());
                let there = self.supply.pools.get(&pool).copied().unwrap_or(u32::MAX);
                let takes = there.min(left);
                if let Some(there) = self.supply.pools.get_mut(&pool) {
                    *there -= takes;
                }
                left -= takes;
                chosen.extend((0..takes).map(|_| pool.clone()));
            }
        }
        chosen
    }
}

/// Model of the cloud. All clones share the same fleet.
#[derive(Clone)]
pub struct CloudModel {
    fleet: Arc<Mutex<Fleet>>,
    gate: Gate,
    clock: VirtualClock,
    is_recorded: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl CloudModel {
    /// Returns a cloud without instances. `is_recorded` is true if the ledger of a run with a
    /// finalizer contains the client token.
    #[must_use]
    pub fn new(
        gate: Gate,
        clock: VirtualClock,
        boot_time: TimeDelta,
        supply: Supply,
        is_recorded: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        let fleet = Fleet {
            machines: Vec::new(),
            supply,
            boot_time,
            unrecorded: Vec::new(),
            foreign: Vec::new(),
            calls: 0,
            answered_at: None,
        };
        Self { fleet: Arc::new(Mutex::new(fleet)), gate, clock, is_recorded: Arc::new(is_recorded) }
    }

    /// Returns the same cloud behind another gate.
    #[must_use]
    pub fn behind(&self, gate: &Gate) -> Self {
        Self { gate: gate.clone(), ..self.clone() }
    }

    /// Locks the fleet and calls `f` to read or change the fleet.
    pub fn with<T>(&self, f: impl FnOnce(&mut Fleet) -> T) -> T {
        f(&mut self.fleet.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn call<T: Send + 'static>(
        &self,
        what: &str,
        effect: impl FnOnce(&mut Fleet, Instant) -> T + Send + 'static,
    ) -> Result<T, String> {
        let (cloud, clock) = (self.clone(), self.clock.clone());
        if self.gate.is_out(Part::Credentials) {
            return Err(EXPIRED.to_owned());
        }
        if self.gate.is_out(Part::CloudThrottles) {
            let now = clock.now();
            let answered = self.with(|fleet| {
                let free = fleet.answered_at.is_none_or(|at| now - at >= THROTTLED);
                fleet.answered_at = if free { Some(now) } else { fleet.answered_at };
                free
            });
            if !answered {
                return Err(LIMIT.to_owned());
            }
        }
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
    fn show(&self) -> Answer<'_, Result<Inventory, String>> {
        let gate = self.gate.clone();
        Box::pin(self.call("DescribeInstances", move |fleet, now| {
            let as_of = gate.out_since(Part::CloudLags).unwrap_or(now);
            let mut all = Inventory { place: place(&gate), fleets: BTreeMap::new() };
            let here = !gate.is_out(Part::Elsewhere);
            let shown = fleet.machines.iter_mut().filter(|m| m.tagged && here);
            for machine in shown.filter(|m| m.started_at <= as_of) {
                let terminated = machine.ended_at.is_some_and(|ended| ended <= as_of);
                machine.told_at = machine.told_at.or_else(|| terminated.then_some(now));
                let fleet: &mut observed::Fleet =
                    all.fleets.entry(machine.run_uid.clone()).or_default();
                fleet.instances.push(Instance {
                    id: machine.id.clone(),
                    token: machine.token.clone(),
                    state: match terminated {
                        true => InstanceState::Terminated,
                        false if machine.stopped => InstanceState::Stopped,
                        false => InstanceState::Living,
                    },
                    expires: Some(machine.expires),
                    reason: None,
                });
            }
            all
        }))
    }

    fn launch<'a>(&'a self, run_uid: &'a str, batch: &'a Batch) -> Answer<'a, LaunchAnswer> {
        let is_recorded = self.is_recorded.clone();
        let (run_uid, batch) = (run_uid.to_owned(), batch.clone());
        let gate = self.gate.clone();
        let call = self.call("CreateFleet", move |fleet, now| {
            if !is_recorded(&batch.token) {
                fleet.unrecorded.push(batch.token.clone());
            }
            let first = fleet.machines.len();
            let answer = fleet.launch(&run_uid, &batch, now);
            let new = fleet.machines.iter_mut().skip(first);
            if gate.is_out(Part::NeverJoins) {
                new.for_each(|m| m.boots_at = Instant::MAX_UTC);
            } else if gate.is_out(Part::DieYoung) {
                new.for_each(|m| (m.ended_at, m.reclaimed) = (Some(now), true));
            }
            answer
        });
        Box::pin(async move {
            call.await.unwrap_or_else(|why| match why.as_str() {
                LIMIT | EXPIRED => LaunchAnswer::Unheard(why),
                _ => LaunchAnswer::Unknown(why),
            })
        })
    }

    fn ask<'a>(
        &'a self,
        ids: &'a [String],
    ) -> Answer<'a, Result<BTreeMap<String, Presence>, String>> {
        let ids = ids.to_vec();
        let gate = self.gate.clone();
        Box::pin(self.call("DescribeInstances", move |fleet, now| {
            let as_of = gate.out_since(Part::CloudLags).unwrap_or(now);
            let here = !gate.is_out(Part::Elsewhere);
            let presence = |id: String| {
                let found = fleet.machines.iter_mut().find(|m| m.id == id && m.started_at <= as_of);
                let presence = match found.filter(|_| here) {
                    None => Presence::NotKnown,
                    Some(machine) if machine.ended_at.is_some_and(|ended| ended <= as_of) => {
                        machine.told_at = machine.told_at.or(Some(now));
                        Presence::Terminated
                    }
                    Some(_) => Presence::Untagged,
                };
                (id, presence)
            };
            ids.into_iter().map(presence).collect()
        }))
    }

    fn terminate<'a>(
        &'a self,
        run_uid: &'a str,
        ids: &'a [String],
    ) -> Answer<'a, Result<BTreeMap<String, String>, String>> {
        let (run_uid, ids) = (run_uid.to_owned(), ids.to_vec());
        let here = !self.gate.is_out(Part::Elsewhere);
        Box::pin(self.call("TerminateInstances", move |fleet, now| {
            let mut refused = BTreeMap::new();
            for id in ids {
                let Some(machine) = fleet.machines.iter().find(|m| m.id == id) else { continue };
                if machine.run_uid != run_uid {
                    fleet.foreign.push(id);
                } else if machine.protected {
                    let why = "OperationNotPermitted: it may not be terminated".to_owned();
                    refused.insert(id, why);
                } else if machine.tagged && here {
                    fleet.end(&id, now);
                }
            }
            refused
        }))
    }

    fn renew<'a>(&'a self, ids: &'a [String], expires: Instant) -> Answer<'a, Result<(), String>> {
        let ids = ids.to_vec();
        Box::pin(self.call("CreateTags", move |fleet, _| {
            let meant = fleet.machines.iter_mut().filter(|m| ids.contains(&m.id));
            meant.for_each(|machine| machine.expires = expires);
        }))
    }
}

/// Place that the model shows: another account while the script says so.
fn place(gate: &Gate) -> Place {
    let account = if gate.is_out(Part::Elsewhere) { "222222222222" } else { "111111111111" };
    Place { cluster: "sim".into(), region: "eu-west-3".into(), account: account.into() }
}
