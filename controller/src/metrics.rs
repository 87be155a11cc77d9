//! Prometheus metrics `primetime_*`, in base units and with bounded labels.
//!
//! Each scrape rebuilds the gauges of runs from the last plan of each namespace. The gauges of a
//! deleted run therefore disappear.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use primetime_core::Instant;
use primetime_core::machines::terminate;
use primetime_core::output::Plan;
use primetime_core::schedule;
use primetime_core::state::condition::{ConditionType, condition};
use primetime_core::state::run::{RunRecord, Stage, Verdict};
use primetime_core::state::world::World;
use primetime_core::state::{hold, overrides};
use primetime_k8s::reconciler::Observer;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, Opts, Registry, TextEncoder,
};

type Labels = Vec<(&'static str, String)>;

/// A gauge of a run: name, help text, and the labels after namespace, surge and run.
struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
}

const FAMILIES: [Family; 19] = [
    Family {
        name: "primetime_run_ready_by_timestamp_seconds",
        help: "T0: when everything must be ready.",
        labels: &[],
    },
    Family {
        name: "primetime_run_start_timestamp_seconds",
        help: "When the event starts.",
        labels: &[],
    },
    Family {
        name: "primetime_run_end_timestamp_seconds",
        help: "When the event ends at the earliest, overrides included.",
        labels: &[],
    },
    Family {
        name: "primetime_run_stage",
        help: "1 for the stage a run is in.",
        labels: &["stage"],
    },
    Family {
        name: "primetime_run_verdict",
        help: "1 for the verdict on a run.",
        labels: &["verdict"],
    },
    Family {
        name: "primetime_target_floor_replicas",
        help: "The floor under a target, over all runs.",
        labels: &["target"],
    },
    Family {
        name: "primetime_target_wanted_replicas",
        help: "Pods that must be ready, on the way down those that are asked for; absent while unknown.",
        labels: &["target"],
    },
    Family {
        name: "primetime_target_ready_replicas",
        help: "Pods that are ready.",
        labels: &["target"],
    },
    Family {
        name: "primetime_target_contested",
        help: "1 while another writer keeps lowering a target.",
        labels: &["target"],
    },
    Family { name: "primetime_machines_wanted", help: "Machines wanted.", labels: &["group"] },
    Family {
        name: "primetime_machines_launched",
        help: "Instances started and not yet terminated.",
        labels: &["group"],
    },
    Family {
        name: "primetime_machines_joined",
        help: "Machines that are Ready nodes.",
        labels: &["group"],
    },
    Family {
        name: "primetime_machines_not_given_back",
        help: "Machines of the run that should be gone: not empty in time, not terminated in time, or out of sight.",
        labels: &[],
    },
    Family {
        name: "primetime_signal_load",
        help: "Live load, in the on-call's unit; absent while unknown.",
        labels: &["signal"],
    },
    Family {
        name: "primetime_signal_required_replicas",
        help: "Replicas that the live load needs; absent while unknown.",
        labels: &["signal"],
    },
    Family {
        name: "primetime_signal_unknown",
        help: "1 while a signal is unknown and nothing is lowered because of it.",
        labels: &["signal"],
    },
    Family {
        name: "primetime_degrade_step_engaged",
        help: "1 while a step of the ladder of degradation is on.",
        labels: &["step"],
    },
    Family {
        name: "primetime_degrade_ladder_ready",
        help: "0 while a step of the ladder of degradation could not do what it is for.",
        labels: &[],
    },
    Family {
        name: "primetime_overrides_in_force",
        help: "Overrides in force on a run.",
        labels: &["action"],
    },
];

/// A sample of a gauge family.
struct Row {
    family: &'static str,
    labels: Labels,
    value: f64,
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    operations: IntCounterVec,
    lateness: Histogram,
    planning: Histogram,
    aside: Gauge,
    orphans: Gauge,
    rows: Mutex<BTreeMap<String, Vec<Row>>>,
}

impl Metrics {
    /// Registers the counters and histograms of the process.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let operations = IntCounterVec::new(
            Opts::new(
                "primetime_operations_total",
                "Records written and acts done, by kind and outcome.",
            ),
            &["operation", "outcome"],
        )?;
        // The buckets reach from a round trip on loopback to the call timeout of 10 s.
        let lateness = Histogram::with_opts(
            HistogramOpts::new(
                "primetime_write_lateness_seconds",
                "From the instant a write was due until it was done.",
            )
            .buckets(vec![0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
        )?;
        let planning = Histogram::with_opts(
            HistogramOpts::new("primetime_plan_duration_seconds", "Time to plan one namespace.")
                .buckets(vec![0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0]),
        )?;
        registry.register(Box::new(operations.clone()))?;
        registry.register(Box::new(lateness.clone()))?;
        let aside = Gauge::new(
            "primetime_namespaces_set_aside",
            "Namespaces whose plan panicked or took too long, and that are planned less often.",
        )?;
        let orphans = Gauge::new(
            "primetime_machines_orphaned",
            "Instances with the tag of this cluster that no open run owns.",
        )?;
        registry.register(Box::new(planning.clone()))?;
        registry.register(Box::new(aside.clone()))?;
        registry.register(Box::new(orphans.clone()))?;
        let rows = Mutex::default();
        Ok(Self { registry, operations, lateness, planning, aside, orphans, rows })
    }

    fn rows<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Vec<Row>>) -> T) -> T {
        f(&mut self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns all metrics in the Prometheus text format.
    pub fn text(&self, leads: bool) -> prometheus::Result<String> {
        let now = Registry::new();
        let info = GaugeVec::new(
            Opts::new(
                "primetime_build_info",
                "1; the versions of this process and of its time zone data.",
            ),
            &["version", "tzdb"],
        )?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION"), schedule::tzdb_version()]).set(1.0);
        now.register(Box::new(info))?;
        let leader = Gauge::new("primetime_leader", "1 in the process that acts.")?;
        leader.set(f64::from(u8::from(leads)));
        now.register(Box::new(leader))?;
        self.rows(|rows| {
            for family in &FAMILIES {
                let names: Vec<_> = ["namespace", "surge", "run"]
                    .into_iter()
                    .chain(family.labels.iter().copied())
                    .collect();
                let gauge = GaugeVec::new(Opts::new(family.name, family.help), &names)?;
                for row in rows.values().flatten().filter(|r| r.family == family.name) {
                    let values: Vec<_> = row.labels.iter().map(|(_, v)| v.as_str()).collect();
                    gauge.get_metric_with_label_values(&values)?.set(row.value);
                }
                now.register(Box::new(gauge))?;
            }
            prometheus::Result::Ok(())
        })?;
        let mut families = self.registry.gather();
        families.extend(now.gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        String::from_utf8(text).map_err(|e| prometheus::Error::Msg(e.to_string()))
    }
}

impl Observer for Metrics {
    fn finished(&self, kind: &'static str, outcome: &'static str, late: Option<chrono::TimeDelta>) {
        self.operations.with_label_values(&[kind, outcome]).inc();
        if let Some(late) = late.and_then(|l| l.to_std().ok()) {
            self.lateness.observe(late.as_secs_f64());
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "fewer namespaces than 2^53")]
    fn set_aside(&self, namespaces: usize) {
        self.aside.set(namespaces as f64);
    }

    #[expect(clippy::cast_precision_loss, reason = "fewer instances than 2^53")]
    fn orphans(&self, instances: usize) {
        self.orphans.set(instances as f64);
    }

    fn planned(&self, namespace: &str, world: &World, _: &Plan, now: Instant, took: Duration) {
        self.planning.observe(took.as_secs_f64());
        let rows = world
            .runs
            .values()
            .flat_map(|run| rows_of(namespace, run, world, now))
            .collect::<Vec<_>>();
        self.rows(|all| {
            if rows.is_empty() {
                all.remove(namespace);
            } else {
                all.insert(namespace.to_owned(), rows);
            }
        });
    }
}

/// Returns the samples of a run.
///
/// The function is a single table: each metric family stands beside the status field with the
/// value.
#[expect(clippy::cast_precision_loss, reason = "seconds since the epoch fit into 53 bits")]
fn rows_of(namespace: &str, run: &RunRecord, world: &World, now: Instant) -> Vec<Row> {
    let status = &run.status;
    let own = |more: Labels| -> Labels {
        let mut labels = vec![
            ("namespace", namespace.to_owned()),
            ("surge", run.surge.clone()),
            ("run", run.name.clone()),
        ];
        labels.extend(more);
        labels
    };
    let mut rows = Vec::new();
    let mut show =
        |family, more: Labels, value: f64| rows.push(Row { family, labels: own(more), value });
    let yes = |b: bool| f64::from(u8::from(b));

    // If the operator cannot decode a run, the times of the run are unknown. The function then
    // shows no times.
    if run.decoded {
        let window = run.window;
        let end = status.end_time.unwrap_or(window.end);
        for (family, at) in [
            ("primetime_run_ready_by_timestamp_seconds", window.ready_by),
            ("primetime_run_start_timestamp_seconds", window.start),
            ("primetime_run_end_timestamp_seconds", end),
        ] {
            show(family, vec![], at.timestamp() as f64);
        }
    }
    for stage in Stage::ALL {
        show(
            "primetime_run_stage",
            vec![("stage", stage.as_str().to_owned())],
            yes(status.stage == stage),
        );
    }
    for verdict in [Verdict::OnTrack, Verdict::AtRisk, Verdict::Ready] {
        show(
            "primetime_run_verdict",
            vec![("verdict", verdict.as_str().to_owned())],
            yes(status.verdict == verdict),
        );
    }
    if status.completion_time.is_some() {
        return rows;
    }
    for target in run.announcement.iter().flat_map(|a| &a.targets) {
        let label = || vec![("target", target.name.clone())];
        let held = world.holds.get(&hold::name(&target.workload)).map(|h| &h.hold);
        if let Some(held) = held {
            let floor = held.claims.iter().map(|c| c.floor).max().unwrap_or(0);
            show("primetime_target_floor_replicas", label(), f64::from(floor));
            show("primetime_target_contested", label(), yes(held.contested_by.is_some()));
        }
        let shown = status.targets.iter().find(|t| t.name == target.name);
        let wanted = shown.and_then(|target| target.wanted(status.release.is_some()));
        if let Some(wanted) = wanted {
            show("primetime_target_wanted_replicas", label(), f64::from(wanted));
        }
        if let Some(live) = world.target(&target.workload).known() {
            show("primetime_target_ready_replicas", label(), f64::from(live.ready));
        }
    }
    for machine in &status.machines {
        let label = || vec![("group", machine.name.clone())];
        let wanted = if status.release.is_some() { 0 } else { machine.wanted };
        show("primetime_machines_wanted", label(), f64::from(wanted));
        show("primetime_machines_launched", label(), f64::from(machine.launched));
        show("primetime_machines_joined", label(), f64::from(machine.joined));
    }
    if !status.ledger.is_empty() {
        let stuck = terminate::not_given_back(run, world, now);
        show("primetime_machines_not_given_back", Vec::new(), f64::from(stuck));
    }
    for signal in &status.signals {
        let label = || vec![("signal", signal.name.clone())];
        if let Some(load) = signal.value.as_ref().and_then(|v| v.parse().ok()) {
            show("primetime_signal_load", label(), load);
        }
        if let Some(required) = signal.required {
            show("primetime_signal_required_replicas", label(), f64::from(required));
        }
        show("primetime_signal_unknown", label(), yes(signal.unknown_since.is_some()));
    }
    for step in &status.degrade {
        let label = vec![("step", step.name.clone())];
        show("primetime_degrade_step_engaged", label, yes(step.engaged));
    }
    if let Some(ladder) = condition(&status.conditions, ConditionType::LadderReady) {
        show("primetime_degrade_ladder_ready", vec![], yes(ladder.holds()));
    }
    for action in ["Hold", "Boost", "Extend", "Release", "Start", "Degrade", "Restore"] {
        let count = world
            .overrides
            .iter()
            .filter(|o| status.overrides.contains(&o.name) && word(&o.action) == action)
            .count();
        show("primetime_overrides_in_force", vec![("action", action.to_owned())], count as f64);
    }
    rows
}

fn word(action: &overrides::Action) -> &'static str {
    match action {
        overrides::Action::Hold => "Hold",
        overrides::Action::Boost { .. } => "Boost",
        overrides::Action::Extend => "Extend",
        overrides::Action::Release => "Release",
        overrides::Action::Start => "Start",
        overrides::Action::Degrade { on: true, .. } => "Degrade",
        overrides::Action::Degrade { on: false, .. } => "Restore",
    }
}
