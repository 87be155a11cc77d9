//! Tests of whole evenings against a small simulated world, with checks after each step.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the tests use small numbers

mod armed;
mod autoscaler;
mod budget;
mod degrade;
mod deletion;
mod gates;
mod jobs;
mod known;
mod missing;
mod shape;
mod stuck;
mod verdicts;
mod work;

use super::*;
use chrono::TimeZone;
use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;

use crate::fixtures::{persist, plain};
use crate::output::{Act, MachineAct, Record, Write};
use crate::schedule::{Rule, Schedule, When, Zone};
use crate::seconds;
use crate::state::announcement::{
    Announcement, Carries, HoldAfterEnd, MachineGroup, OnUnknown, Raises, ReleasePace, Signal,
    Start, Target, Want, Workload,
};
use crate::state::decision::Decision;
use crate::state::hold::{HoldRecord, Reached};
use crate::state::ladder::{Place, Trouble};
use crate::state::ledger::LedgerState;
use crate::state::observed::{
    Autoscaler, AutoscalerKind, Fleet, Instance, InstanceClass, InstanceState, Job, LaunchAnswer,
    MachineLimits, MetricsSource, Node, Refusal, RefusalClass, Seen, TargetState,
};
use crate::state::overrides::{Action, Boost, Override};
use crate::state::release::ReleaseCause;
use crate::state::run::{Stage, Verdict};
use crate::state::sample::{Sample, Why};
use crate::state::series::Series;
use crate::state::surge::{SurgeRecord, SurgeSpec, SurgeStatus};

/// A simulated world that carries out plans: an API server, kubelets, a cloud and a Prometheus.
struct Evening {
    world: World,
    now: Instant,
    /// Sample of the signal `sessions` at an instant.
    load: Box<dyn Fn(Instant) -> Sample>,
    cloud: BTreeMap<String, Instance>,
    /// Values of the keys of the `ConfigMap` objects.
    flags: BTreeMap<Place, Result<Option<String>, Trouble>>,
    /// All writes of `ConfigMap` values, with the instant of each write.
    switched: Vec<(Instant, Place, Option<String>)>,
    /// Places that reject writes.
    refused: BTreeSet<Place>,
    capacity: usize,
    /// True if no look at the cloud is complete.
    blind: bool,
    /// All replica counts written to `web`, with the instant of each write.
    written: Vec<(Instant, u32)>,
    /// The operator crashes between persist and act once every `crash_every` passes.
    crash_every: usize,
    looks: usize,
}

fn start() -> Instant {
    chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).unwrap()
}

fn t0() -> Instant {
    start() - seconds(600)
}

fn end() -> Instant {
    start() + seconds(7200)
}

fn workload(name: &str) -> Workload {
    Workload { api_version: "apps/v1".into(), kind: "Deployment".into(), name: name.into() }
}

fn target(name: &str, want: Want, max: Option<u32>) -> Target {
    Target {
        name: name.into(),
        workload: workload(name),
        want,
        max_replicas: max,
        rungs: vec![],
        max_step: None,
        lead: seconds(300),
        shape: None,
    }
}

fn once(start: Instant) -> Schedule {
    let rule = Rule {
        name: None,
        when: When::Once(start),
        duration: seconds(7200),
        event: None,
        note: None,
    };
    let zone = Some(Zone::named("Europe/Paris").unwrap());
    Schedule { zone, rules: vec![rule], exclude: vec![] }
}

fn capital() -> SurgeRecord {
    SurgeRecord {
        name: "capital".into(),
        uid: "uid-capital".into(),
        generation: 1,
        deleting: false,
        spec: Ok(SurgeSpec {
            follows: None,
            schedule: once(start()),
            ready_before: seconds(600),
            suspend: false,
            starting_deadline: None,
            upcoming_limit: 3,
            history_limit: 3,
            announcement: Announcement {
                targets: vec![
                    target("web", Want::Replicas(180), Some(260)),
                    target("search", Want::Multiplier("18".parse().unwrap()), None),
                ],
                machines: vec![MachineGroup {
                    name: "burst".into(),
                    class: "paris".into(),
                    count: 17,
                }],
                jobs: vec![],
                signals: vec![Signal {
                    name: "sessions".into(),
                    source: "main".into(),
                    query: "sum(shop_sessions)".into(),
                    raises: Some(Raises {
                        target: "web".into(),
                        carries: Carries::PerReplica("200".parse().unwrap()),
                        look_ahead: seconds(60),
                    }),
                }],
                degrade: vec![],
                on_unknown: OnUnknown::Hold,
                hold: Some(HoldAfterEnd {
                    until_below_percent: 30,
                    for_time: seconds(900),
                    max_time: seconds(7200),
                }),
                release: ReleasePace { step_percent: 20, step_time: seconds(120) },
                start: crate::state::announcement::Start::Automatic,
            },
        }),
        status: SurgeStatus::default(),
    }
}

fn hpa(min: u32, max: u32) -> Autoscaler {
    Autoscaler {
        kind: AutoscalerKind::HorizontalPodAutoscaler,
        name: "web".into(),
        min: Some(min),
        max: Some(max),
        idle: None,
    }
}

fn sessions(value: f64) -> impl Fn(Instant) -> Sample {
    move |at| Sample::Known { value, at }
}

impl Evening {
    fn new() -> Self {
        let bounds = Seen::Known(Arc::default());
        let mut world = World { cluster: "paris".into(), bounds, ..World::default() };
        world.may_lower_from = chrono::DateTime::UNIX_EPOCH;
        world.surges.insert("capital".into(), capital().into());
        let web = TargetState { autoscaler: Some(hpa(10, 60)), ..plain(10) };
        world.targets.insert(workload("web"), Seen::Known(web));
        world.targets.insert(workload("search"), Seen::Known(plain(5)));
        (world.may_launch, world.namespace) = (true, "shop".into());
        let limits = MachineLimits { max_instances: Some(20), ..MachineLimits::default() };
        let namespaces = ["shop".to_owned()].into();
        let class = InstanceClass {
            lead: seconds(600),
            join: seconds(300),
            namespaces,
            limits,
            ..InstanceClass::default()
        };
        world.classes.insert("paris".into(), class);
        world.sources.insert("main".into(), MetricsSource { max_age: seconds(60) });
        Self {
            world,
            now: t0() - seconds(3600),
            load: Box::new(sessions(2_000.0)),
            cloud: BTreeMap::new(),
            flags: BTreeMap::new(),
            switched: Vec::new(),
            refused: BTreeSet::new(),
            capacity: usize::MAX,
            blind: false,
            written: Vec::new(),
            crash_every: usize::MAX,
            looks: 0,
        }
    }

    fn state(&mut self, name: &str) -> &mut TargetState {
        match self.world.targets.get_mut(&workload(name)).unwrap() {
            Seen::Known(state) => state,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn without_machines(&mut self) {
        for surge in self.world.surges.values_mut() {
            if let Ok(spec) = &mut surge.spec {
                spec.announcement.machines.clear();
            }
        }
    }

    fn run(&self) -> &RunRecord {
        self.world.runs.values().next().expect("a run")
    }

    /// Runs a pass: observe, plan, persist, act.
    fn look(&mut self) {
        self.looks += 1;
        let sample = (self.load)(self.now);
        let key = ("main".into(), "sum(shop_sessions)".into());
        self.world.samples.entry(key).or_default().hear(sample);
        let instances = self.cloud.values().cloned().collect();
        let fleet = Fleet { instances };
        self.world.cloud.place = Some(crate::state::place::Place::default());
        if !self.blind {
            self.world.cloud.at = Some(self.now);
        }
        for run in self.world.runs.values() {
            self.world.fleets.insert(run.uid.clone(), fleet.clone().into());
        }
        let plan = plan(&self.world, self.now);
        let again = super::plan(&self.world, self.now);
        assert_eq!(plan, again, "the same world gives the same plan");
        for record in plan.records {
            self.persist(record);
        }
        if self.looks.is_multiple_of(self.crash_every) {
            self.world.launches.clear();
            self.world.reached.clear();
            return;
        }
        for act in plan.acts {
            self.act(act);
        }
        self.settle();
    }

    /// Runs 6 passes at each step of `step` until `until`, which is enough for the plan to settle.
    fn pass(&mut self, until: Instant, step: TimeDelta) {
        while self.now < until {
            for _ in 0..6 {
                self.look();
            }
            self.now += step;
        }
        for _ in 0..6 {
            self.look();
        }
    }

    fn persist(&mut self, record: Record) {
        persist(&mut self.world, record);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::LookForSurge { surge } => {
                let uid = self.world.surges.get(&surge).map(|found| found.uid.clone());
                self.world.surge_looks.insert(surge, uid);
            }
            Act::Write { hold, writes, .. } => {
                assert!(self.world.holds.contains_key(&hold), "intent before effect");
                for write in writes {
                    self.write(&write);
                }
            }
            Act::Job { act, .. } => self.job_act(act),
            Act::Switch(act) => self.switch_act(act),
            Act::Machine { act: MachineAct::Launch { batch, .. }, .. } => {
                let already = self.cloud.values().filter(|i| i.token == batch.token).count();
                let free = self.capacity.saturating_sub(self.cloud.len());
                let count = (batch.count as usize - already).min(free);
                for n in already..already + count {
                    let id = format!("i-{}-{n}", batch.attempt);
                    let token = batch.token.clone();
                    let (state, expires) = (InstanceState::Living, Some(Instant::MAX_UTC));
                    let instance = Instance { id: id.clone(), token, state, expires, reason: None };
                    self.cloud.insert(id, instance);
                }
                let shortfall = (already + count < batch.count as usize).then(|| Refusal {
                    class: RefusalClass::Capacity,
                    message: "InsufficientInstanceCapacity".into(),
                });
                let ids = self
                    .cloud
                    .values()
                    .filter(|i| i.token == batch.token)
                    .map(|i| i.id.clone())
                    .collect();
                self.world.launches.insert(batch.token, LaunchAnswer::Came { ids, shortfall });
            }
            Act::Machine { act: MachineAct::Cordon { node }, .. } => {
                for n in self.world.nodes.values_mut().filter(|n| n.name == node) {
                    (n.unschedulable, n.cordoned_by_us) = (true, true);
                }
            }
            Act::Machine { act: MachineAct::Uncordon { node }, .. } => {
                for n in self.world.nodes.values_mut().filter(|n| n.name == node) {
                    (n.unschedulable, n.cordoned_by_us) = (false, false);
                }
            }
            Act::LookAtPods { .. }
            | Act::Machine { act: MachineAct::Ask { .. } | MachineAct::Renew { .. }, .. } => {}
            Act::Machine { act: MachineAct::LookAtNodes, .. } => {
                self.world.nodes_as_of = Some(Instant::MAX_UTC);
            }
            Act::Machine { act: MachineAct::Drain { node, .. }, .. } => {
                for n in self.world.nodes.values_mut().filter(|n| n.name == node) {
                    (n.unschedulable, n.cordoned_by_us) = (true, true);
                    n.pods_left = Some(0);
                }
            }
            Act::Machine { act: MachineAct::Terminate { ids, .. }, .. } => {
                for id in ids {
                    let node = self.world.nodes.remove(&id);
                    assert!(
                        node.is_none_or(|n| n.pods_left == Some(0)),
                        "drained before terminated"
                    );
                    self.cloud.get_mut(&id).unwrap().state = InstanceState::Terminated;
                }
            }
        }
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Bounds { min, max, .. } => {
                let autoscaler = self.state("web").autoscaler.as_mut().unwrap();
                if let Some(min) = min {
                    autoscaler.min = min.to;
                }
                if let Some(max) = max {
                    autoscaler.max = max.to;
                }
            }
            Write::Replicas { workload, from, to } => {
                if workload.name == "web" {
                    self.written.push((self.now, *to));
                }
                let name = workload.name.clone();
                let state = self.state(&name);
                if *from == state.replicas {
                    state.replicas = *to;
                }
            }
        }
    }

    /// Simulates the world after the acts: pods start, machines join, and the HPA follows the load
    /// within the bounds.
    fn settle(&mut self) {
        let need = match (self.load)(self.now) {
            Sample::Known { value, .. } => Some((value / 200.0).ceil() as u32),
            Sample::Unknown(_) => None,
        };
        let web = self.state("web");
        let bounds = web.autoscaler.clone().unwrap();
        let least = if web.never_scales_down { web.replicas } else { 0 };
        let want = need.unwrap_or(web.replicas).max(least);
        let want = want.clamp(bounds.min.unwrap(), bounds.max.unwrap());
        assert!(
            web.never_scales_down || bounds.max.unwrap() >= web.replicas || want >= web.replicas,
            "a lower maximum cut running pods: {} over {:?}",
            web.replicas,
            bounds
        );
        if web.replicas > 0 {
            web.replicas = want;
        }
        (web.ready, web.created) = (web.replicas, web.replicas);
        let search = self.state("search");
        (search.ready, search.created) = (search.replicas, search.replicas);
        for instance in self.cloud.values().filter(|i| i.state == InstanceState::Living) {
            self.world.nodes.entry(instance.id.clone()).or_insert_with(|| Node {
                name: format!("node-{}", instance.id),
                ready: true,
                not_ready_since: None,
                unschedulable: false,
                cordoned_by_us: false,
                pods_left: None,
                kept_by: None,
            });
        }
        for (name, record) in &self.world.holds {
            let live = self.world.targets[&record.hold.target_ref].known().unwrap();
            let before = self.world.reached.get(name);
            let after = Reached::after(before, &record.hold, live, self.now);
            self.world.reached.insert(name.clone(), after);
        }
    }

    fn web(&self) -> (u32, u32, u32) {
        let web = self.world.targets[&workload("web")].known().unwrap();
        let bounds = web.autoscaler.as_ref().unwrap();
        (web.replicas, bounds.min.unwrap(), bounds.max.unwrap())
    }

    fn everything_is_back(&self) {
        let (replicas, min, max) = self.web();
        assert_eq!((replicas, min, max), (10, 10, 60));
        assert_eq!(self.world.targets[&workload("search")].known().unwrap().replicas, 5);
        assert!(self.world.holds.is_empty(), "{:?}", self.world.holds);
        assert!(self.cloud.values().all(|i| i.state == InstanceState::Terminated));
        assert!(self.world.runs.values().all(|r| !r.guarded));
    }

    fn log(&self) -> String {
        let lines =
            |d: &Decision| format!("{} {}: {}", d.time.format("%H:%M:%S"), d.reason, d.message);
        self.run().status.decisions.iter().map(lines).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn the_capital_evening() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(1000), seconds(30));
    assert_eq!(evening.run().name, "capital-20140112t200000z");
    assert_eq!(evening.run().status.stage, Stage::Planned);
    assert!(evening.cloud.is_empty() && evening.world.holds.is_empty());

    evening.pass(t0() - seconds(400), seconds(10));
    assert_eq!(evening.cloud.len(), 17, "machines first");
    assert_eq!(evening.run().status.stage, Stage::WarmingUp);
    assert_eq!(evening.web().0, 10);

    evening.pass(t0() - seconds(200), seconds(10));
    assert_eq!(evening.web(), (180, 180, 260));
    assert_eq!(evening.state("search").replicas, 90);
    assert_eq!(evening.run().status.stage, Stage::Ready);
    assert_eq!(evening.run().status.verdict, Verdict::Ready);

    evening.load = Box::new(sessions(45_000.0));
    evening.pass(start() + seconds(60), seconds(10));
    assert_eq!(evening.run().status.stage, Stage::Live);
    assert_eq!(evening.web().1, 225, "the floor climbs above the plan");

    evening.load = Box::new(sessions(80_000.0));
    evening.pass(start() + seconds(120), seconds(10));
    assert_eq!(evening.web(), (260, 260, 260), "to maxReplicas at most");
    assert!(
        evening.run().status.conditions.iter().any(|c| c.type_ == "Clipped" && c.status == "True")
    );

    evening.load = Box::new(|_| Sample::Unknown(Why::NoAnswer("connection refused".into())));
    evening.pass(end() + seconds(60), seconds(60));
    assert_eq!(evening.run().status.stage, Stage::Holding);
    assert_eq!(evening.web().1, 260, "unknown lowers nothing");

    evening.load = Box::new(sessions(1_000.0));
    evening.pass(end() + seconds(900), seconds(60));
    assert_eq!(evening.run().status.stage, Stage::Holding);
    evening.pass(end() + seconds(960 + 130), seconds(10));
    assert_eq!(evening.run().status.stage, Stage::Releasing);
    assert_eq!(evening.web().1, 210, "one step of a fifth of the way");

    evening.pass(end() + seconds(3600), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    evening.everything_is_back();
    let report = evening.run().status.report.clone().expect("a report");
    assert!(report.ready_at_t0);
    assert_eq!((report.machines_launched, report.machines_terminated), (17, 17));
    assert_eq!(report.release_cause, ReleaseCause::LoadGone);
    assert_eq!(report.signals.first().unwrap().peak.as_deref(), Some("80000"));
    assert!(report.advice.iter().any(|a| a.contains("needed 260 replicas, planned were 180")));
}

#[test]
fn a_run_does_not_end_before_a_hold_that_cannot_be_read_can_be_read_again() {
    let mut evening = Evening::new();
    evening.pass(start(), seconds(30));
    evening.load = Box::new(sessions(100.0));
    let hold = evening.world.holds.remove("deployment-search").unwrap();
    evening.world.unreadable_holds.insert(hold.name.clone(), "level: ninety".into());
    evening.pass(end() + seconds(7200), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Releasing, "{}", evening.log());
    assert_eq!(evening.state("search").replicas, 90, "it is left as it is");
    assert!(
        evening.cloud.values().all(|i| i.state == InstanceState::Living),
        "its pods may be on any machine"
    );
    let said = &evening.run().status.message;
    assert!(said.contains("SurgeHold deployment-search cannot be read"), "{said}");

    evening.world.unreadable_holds.clear();
    evening.world.holds.insert(hold.name.clone(), hold);
    evening.pass(end() + seconds(10_800), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    evening.everything_is_back();
}

#[test]
fn a_crash_between_record_and_act_changes_nothing_in_the_end() {
    for crash_every in 2..12 {
        let mut evening = Evening::new();
        evening.crash_every = crash_every;
        evening.pass(t0() - seconds(100), seconds(5));
        assert_eq!(evening.web(), (180, 180, 260), "crash every {crash_every} looks");
        assert_eq!(evening.cloud.len(), 17, "no instance is started twice");
        evening.load = Box::new(sessions(100.0));
        evening.pass(end() + seconds(3600), seconds(30));
        assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
        evening.everything_is_back();
    }
}

#[test]
fn nothing_written_in_the_window_ever_falls() {
    let mut evening = Evening::new();
    evening.load = Box::new(|at| match at.timestamp() / 60 % 4 {
        0 => Sample::Unknown(Why::Empty),
        1 => Sample::Known { value: 0.0, at },
        2 => Sample::Known { value: 44_000.0, at },
        _ => Sample::Known { value: f64::NAN, at },
    });
    evening.pass(end(), seconds(20));
    assert!(evening.written.is_sorted_by_key(|(_, to)| *to), "{:?}", evening.written);
    assert!(evening.web().1 >= 220);
}

#[test]
fn a_process_that_was_dead_from_before_t0_until_the_show_plans_correctly() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(3000), seconds(60));
    evening.now = start() + seconds(300);
    for _ in 0..8 {
        evening.look();
    }
    assert_eq!(evening.web().0, 180);
    assert_eq!(evening.run().status.stage, Stage::Live);
}

#[test]
fn partial_capacity_is_kept_said_and_completed_later() {
    let mut evening = Evening::new();
    evening.capacity = 11;
    evening.pass(t0() - seconds(300), seconds(10));
    assert_eq!(evening.cloud.len(), 11);
    assert_eq!(evening.run().status.verdict, Verdict::AtRisk);
    assert!(
        evening.run().status.message.contains("machines burst misses 6 of 17"),
        "{}",
        evening.run().status.message
    );
    evening.capacity = 100;
    evening.pass(t0(), seconds(10));
    assert_eq!(evening.cloud.len(), 17);
    assert_eq!(evening.run().status.verdict, Verdict::Ready);
}

fn person(action: Action, minutes: i64, evening: &Evening) -> Override {
    Override {
        name: format!("o-{}", evening.looks),
        surge: "capital".into(),
        action,
        reason: "the show runs late".into(),
        author: "alice".into(),
        created: evening.now,
        expires: evening.now + TimeDelta::minutes(minutes),
    }
}

#[test]
fn people_boost_extend_hold_and_release() {
    let mut evening = Evening::new();
    evening.pass(start(), seconds(20));
    let boost = Action::Boost { target: Some("web".into()), amount: Boost::Replicas(240) };
    evening.world.overrides.push(person(boost, 30, &evening));
    evening.pass(start() + seconds(5), seconds(5));
    assert_eq!(evening.web().1, 240);
    assert!(evening.log().contains("boost web to 240 by alice"), "{}", evening.log());

    evening.now = end() - seconds(60);
    evening.world.overrides = vec![person(Action::Extend, 60, &evening)];
    evening.load = Box::new(sessions(100.0));
    evening.pass(end() + seconds(3000), seconds(60));
    assert_eq!(evening.run().status.stage, Stage::Live, "the end has moved");

    evening.world.overrides.push(person(Action::Hold, 60, &evening));
    evening.pass(end() + seconds(5000), seconds(60));
    assert_eq!(evening.run().status.stage, Stage::Holding);

    evening.load = Box::new(|_| Sample::Unknown(Why::NoAnswer("down".into())));
    evening.world.overrides.push(person(Action::Release, 60, &evening));
    evening.pass(end() + seconds(5000 + 700), seconds(5));
    assert!(evening.web().1 < 60, "a person is obeyed while Prometheus is down");
    evening.pass(end() + seconds(5000 + 1800), seconds(5));
    assert_eq!(evening.web().1, 10, "the last step follows the machines");
    evening.load = Box::new(sessions(100.0));
    evening.pass(end() + seconds(8000), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    evening.everything_is_back();
}

#[test]
fn a_step_down_that_is_not_on_record_yet_moves_no_floor() {
    let mut evening = Evening::new();
    evening.pass(end(), seconds(20));
    evening.load = Box::new(sessions(100.0));
    evening.pass(end() + seconds(900), seconds(20));
    evening.now += seconds(121);
    evening.world.samples.insert(
        ("main".into(), "sum(shop_sessions)".into()),
        Series::from(Sample::Known { value: 100.0, at: evening.now }).into(),
    );
    let plan = plan(&evening.world, evening.now);
    let stepped = plan.records.iter().any(|r| match r {
        Record::RunStatus { status, .. } => {
            status.release.as_ref().is_some_and(|r| r.floors.iter().any(|f| f.floor < f.top))
        }
        _ => false,
    });
    assert!(stepped, "{:?}", plan.records);
    assert!(
        !plan.records.iter().any(|r| matches!(r, Record::UpdateHold { .. })),
        "the hold follows the record, not the plan"
    );
}

/// Tests that a release step waits while writes to the hold fail.
///
/// The planner may take the next step only after the hold contains the last step. Two steps would
/// otherwise become a single drop.
#[test]
fn the_next_step_down_waits_until_the_last_one_stands_in_the_hold() {
    let mut evening = Evening::new();
    evening.pass(end(), seconds(20));
    evening.load = Box::new(sessions(100.0));
    evening.pass(end() + seconds(900), seconds(20));
    let floor = |evening: &Evening| {
        let way = evening.run().status.release.as_ref().expect("a way down");
        way.floors.iter().find(|f| f.target == "web").expect("web").floor
    };
    let held = |evening: &Evening| {
        let hold = evening.world.holds.values().find(|h| h.hold.target_ref == workload("web"));
        hold.and_then(|h| h.hold.claims.first().map(|c| c.floor)).expect("a claim on web")
    };
    let before = held(&evening);
    for _ in 0..10 {
        evening.now += seconds(121);
        evening.world.samples.insert(
            ("main".into(), "sum(shop_sessions)".into()),
            Series::from(Sample::Known { value: 100.0, at: evening.now }).into(),
        );
        for record in plan(&evening.world, evening.now).records {
            if !matches!(record, Record::UpdateHold { .. }) {
                evening.persist(record);
            }
        }
    }
    assert_eq!(held(&evening), before);
    let stride = before.div_ceil(5);
    let floor = floor(&evening);
    assert!(floor < before && before - floor <= stride, "{floor} while {before} is held");
}

/// Tests that machines stay until each target has only its last step left, and that the last step
/// waits until the machines are empty.
#[test]
fn machines_are_emptied_between_the_steps_before_and_the_last_one() {
    let mut evening = Evening::new();
    evening.pass(end(), seconds(20));
    evening.load = Box::new(sessions(100.0));
    let (mut before, mut between) = (0, 0);
    while evening.run().status.stage != Stage::Done && evening.now < end() + seconds(9000) {
        evening.pass(evening.now + seconds(20), seconds(20));
        let status = &evening.run().status;
        let Some(way) = &status.release else { continue };
        let mut instances = status.ledger.iter().flat_map(|b| &b.instances);
        if between == 0 && way.floors.iter().any(|f| !f.last) {
            before += 1;
            assert!(instances.all(|i| i.state == LedgerState::Live), "{}", evening.log());
        } else if way.floors.iter().all(|f| f.last) {
            between += 1;
            assert_eq!(evening.web().1, 12, "a fifth above the baseline: {}", evening.log());
        }
    }
    assert!(before > 10 && between > 10, "{}", evening.log());
    evening.pass(evening.now, seconds(20));
    evening.everything_is_back();
}

#[test]
fn a_finalizer_taken_off_by_hand_takes_nothing_down() {
    let mut evening = Evening::new();
    evening.pass(start() + seconds(60), seconds(20));
    evening.world.runs.values_mut().next().unwrap().guarded = false;
    let plan = plan(&evening.world, evening.now);
    let touches = |r: &Record| matches!(r, Record::UpdateHold { .. } | Record::DeleteHold { .. });
    assert!(!plan.records.iter().any(touches), "{:?}", plan.records);
    assert!(plan.records.iter().any(|r| matches!(r, Record::AddFinalizer { .. })));
}

#[test]
fn a_release_overrules_the_boost_before_it() {
    let mut evening = Evening::new();
    evening.pass(start(), seconds(20));
    let boost = Action::Boost { target: None, amount: Boost::Percent(150) };
    evening.world.overrides.push(person(boost, 600, &evening));
    evening.pass(start() + seconds(60), seconds(20));
    assert_eq!(evening.web().1, 260);
    evening.load = Box::new(sessions(100.0));
    evening.world.overrides.push(person(Action::Release, 600, &evening));
    evening.pass(start() + seconds(1520), seconds(20));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    evening.everything_is_back();
}

#[test]
fn somebody_who_deletes_the_run_gets_everything_back() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(100), seconds(10));
    evening.world.runs.values_mut().next().unwrap().deletion_time = Some(start());
    evening.pass(start() + seconds(1200), seconds(20));
    assert!(evening.world.runs.is_empty(), "{}", evening.log());
    evening.everything_is_back();
    evening.pass(start() + seconds(1300), seconds(20));
    assert!(evening.world.runs.is_empty(), "a deleted occurrence is cancelled, not repeated");
}

#[test]
fn a_second_run_shares_the_baseline_and_the_maximum_holds() {
    let mut evening = Evening::new();
    let mut late = capital();
    late.name = "late".into();
    if let Ok(spec) = &mut late.spec {
        spec.schedule = once(start() + seconds(3600));
        spec.announcement.targets = vec![target("web", Want::Replicas(120), Some(260))];
        spec.announcement.machines = vec![];
    }
    evening.world.surges.insert("late".into(), late.into());
    evening.pass(start() + seconds(3600), seconds(20));
    let hold = &evening.world.holds["deployment-web"].hold;
    assert_eq!(hold.claims.iter().map(|c| c.floor).collect::<Vec<_>>(), [180, 120]);
    assert_eq!((hold.baseline.replicas, hold.level.replicas), (10, 180));

    let boost = Action::Boost { target: None, amount: Boost::Replicas(240) };
    let mut boost = person(boost, 30, &evening);
    boost.surge = "late".into();
    evening.world.overrides.push(boost);
    evening.pass(start() + seconds(3700), seconds(20));
    assert_eq!(evening.web().1, 240);

    evening.load = Box::new(sessions(100.0));
    evening.pass(end() + seconds(2000), seconds(20));
    assert_eq!(evening.web().1, 240, "the release of one never goes below the other");
    evening.pass(end() + seconds(9000), seconds(60));
    evening.everything_is_back();
}

#[test]
fn a_revert_is_repaired_at_once() {
    let mut evening = Evening::new();
    evening.pass(start(), seconds(20));
    evening.state("search").replicas = 5;
    evening.now += seconds(1);
    for _ in 0..4 {
        evening.look();
    }
    assert_eq!(evening.state("search").replicas, 90);
    assert_eq!(evening.world.holds["deployment-search"].hold.repair_times.len(), 1);
}

#[test]
fn what_others_do_to_a_target_is_told() {
    let mut evening = Evening::new();
    evening.pass(start(), seconds(20));
    evening.state("web").rolling = true;
    evening.pass(start() + seconds(10), seconds(5));
    assert!(evening.run().status.message.ends_with("; in the middle of a rollout: web"));
    evening.state("web").rolling = false;
    for n in 1..=4 {
        let state = evening.state("search");
        (state.replicas, state.written_by) = (5, Some("argocd".into()));
        evening.pass(start() + seconds(10 + 30 * n), seconds(5));
    }
    let told = evening.log();
    for (line, times) in [
        ("web is in the middle of a rollout", 1),
        ("the rollout of web is over", 1),
        ("search was lowered by another writer, and is raised again", 3),
        ("search: argocd keeps lowering it; it is not fought any more", 1),
    ] {
        assert_eq!(told.matches(line).count(), times, "{line}: {told}");
    }
}

#[test]
fn an_edit_moves_a_run_that_has_not_begun() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(3000), seconds(60));
    let surge = evening.world.surges.get_mut("capital").unwrap();
    surge.generation = 2;
    if let Ok(spec) = &mut surge.spec {
        spec.schedule = once(start() + seconds(5400));
    }
    evening.pass(t0() - seconds(2900), seconds(60));
    assert_eq!(evening.run().name, "capital-20140112t213000z");
    assert_eq!(evening.world.runs.len(), 1);
}

#[test]
fn a_surge_that_cannot_be_understood_says_so_and_touches_nothing() {
    let mut evening = Evening::new();
    evening.world.surges.get_mut("capital").unwrap().spec = Err(vec!["no such date".into()]);
    evening.pass(t0(), seconds(60));
    assert!(evening.world.runs.is_empty());
    let status = &evening.world.surges["capital"].status;
    let accepted = status.conditions.iter().find(|c| c.type_ == "Accepted").unwrap();
    assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "Invalid"));
}

#[test]
fn an_unknown_class_or_source_or_target_is_a_risk_and_not_a_crash() {
    let mut evening = Evening::new();
    evening.world.classes.clear();
    evening.world.sources.clear();
    evening.world.targets.insert(workload("search"), Seen::Absent);
    let plan_at = |evening: &mut Evening| {
        for record in plan(&evening.world, evening.now).records {
            evening.persist(record);
        }
    };
    for step in 0..400 {
        evening.now = t0() - seconds(2000) + seconds(step * 5);
        plan_at(&mut evening);
    }
    let status = &evening.run().status;
    assert_eq!(status.verdict, Verdict::AtRisk);
    assert!(status.message.contains("Deployment search does not exist"), "{}", status.message);
    assert!(status.message.contains("InstanceClass paris does not exist"), "{}", status.message);
    assert!(
        status.conditions.iter().any(|c| c.type_ == "SignalsKnown" && c.reason == "NoSuchSource")
    );
    assert!(evening.world.holds.contains_key("deployment-web"), "the other target goes on");
}

#[test]
fn a_world_at_rest_is_left_alone() {
    let mut evening = Evening::new();
    evening.pass(start() + seconds(60), seconds(20));
    let plan = plan(&evening.world, evening.now);
    assert_eq!((plan.records, plan.acts), (vec![], vec![]));
    assert!(plan.wake.is_some());
}

#[test]
fn writes_known_before_are_spread_so_that_the_last_is_in_time() {
    let mut world = World { cluster: "paris".into(), ..World::default() };
    for n in 0..500 {
        let workload = workload(&format!("w-{n:03}"));
        let state = plain(1);
        let claim =
            crate::state::hold::Claim { run: "r".into(), floor: 5, ceiling: 5, raised: None };
        let hold = crate::scaling::level::new_hold(
            &workload,
            &state,
            vec![claim],
            t0(),
            t0() - seconds(15),
        );
        let name = crate::state::hold::name(&workload);
        world.targets.insert(workload, Seen::Known(state));
        world.holds.insert(name.clone(), HoldRecord { name, hold, deleting: false }.into());
    }
    let at = |before: i64| plan(&world, t0() - TimeDelta::milliseconds(before)).acts.len();
    assert_eq!(at(2251), 0);
    assert_eq!(at(2250), 1);
    assert_eq!(at(1250), 251);
    assert_eq!(at(0), 500);
}
