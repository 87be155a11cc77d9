//! Prometheus metrics `primetime_*`, in base units and with bounded labels.
//!
//! Each scrape rebuilds the gauges of runs and calendars from the last plan of each namespace. The
//! gauges of a deleted object therefore disappear.

mod families;
mod rows;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use primetime_core::Instant;
use primetime_core::output::Plan;
use primetime_core::schedule;
use primetime_core::state::world::World;
use primetime_k8s::reconciler::Observer;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, Opts, Registry, TextEncoder,
};

use self::families::FAMILIES;
use self::rows::Row;

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    operations: IntCounterVec,
    lateness: Histogram,
    planning: Histogram,
    aside: Gauge,
    orphans: Gauge,
    clock_error: Gauge,
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
        let clock_error = Gauge::new(
            "primetime_clock_error_seconds",
            "Difference of the clock from that of the API server; 0 within the tolerance of 15 s.",
        )?;
        registry.register(Box::new(clock_error.clone()))?;
        let rows = Mutex::default();
        Ok(Self { registry, operations, lateness, planning, aside, orphans, clock_error, rows })
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
                let names: Vec<_> =
                    family.of.labels().iter().chain(family.labels).copied().collect();
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
        #[expect(clippy::cast_precision_loss, reason = "fewer seconds than 2^53")]
        let error = world.clock_error.map_or(0.0, |error| error.num_seconds() as f64);
        self.clock_error.set(error);
        let runs = world.runs.values().flat_map(|run| rows::of_run(namespace, run, world, now));
        let rows: Vec<_> = runs.chain(rows::of_calendars(namespace, world)).collect();
        self.rows(|all| {
            if rows.is_empty() {
                all.remove(namespace);
            } else {
                all.insert(namespace.to_owned(), rows);
            }
        });
    }
}
