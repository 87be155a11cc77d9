//! Tonight at a glance.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use primetime_api::{SurgeOverride, SurgeRun};
use primetime_core::Instant;
use primetime_core::overrides::Override;
use primetime_core::run::{RunStatus, Stage};

use crate::cluster::{Cluster, bounded, now};
use crate::screen;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this surge.
    surge: Option<String>,
    /// Show it again every second until interrupted.
    #[arg(short, long)]
    watch: bool,
    /// Runs that are over, too.
    #[arg(long)]
    done: bool,
    /// Lines of the decision log to show of each run.
    #[arg(long, default_value_t = 5)]
    log: usize,
}

/// Shows the status, once or for ever.
pub async fn show(cluster: &Cluster, args: &Args) -> Result<()> {
    if !args.watch {
        return screen::show(&look(cluster, args).await?);
    }
    loop {
        // A look that fails is said and tried again: the screen on the wall must not die at 21:04.
        let screen = match look(cluster, args).await {
            Ok(screen) => screen,
            Err(error) => format!("error: {error:#}; trying again\n"),
        };
        screen::show(&format!("\x1b[H\x1b[2J{screen}"))?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn look(cluster: &Cluster, args: &Args) -> Result<String> {
    let client = || cluster.client.clone();
    let (runs, overrides): (Api<SurgeRun>, Api<SurgeOverride>) = if cluster.all {
        (Api::all(client()), Api::all(client()))
    } else {
        (
            Api::namespaced(client(), &cluster.namespace),
            Api::namespaced(client(), &cluster.namespace),
        )
    };
    let everything = ListParams::default();
    let mut runs = bounded(runs.list(&everything)).await?.items;
    let overrides = bounded(overrides.list(&everything)).await?.items;
    runs.retain(|run| {
        let over = run.status.as_ref().is_some_and(|s| s.completion_time.is_some());
        let named = args
            .surge
            .as_ref()
            .is_none_or(|s| run.spec.surge_name.as_ref() == Some(s) || run.name_any() == *s);
        named && (args.done || !over)
    });
    runs.sort_by_key(|run| run.spec.start_time);
    let now = now();
    let mut screen = String::new();
    for run in &runs {
        let in_force: Vec<_> = overrides
            .iter()
            .filter(|o| o.namespace() == run.namespace())
            .filter_map(SurgeOverride::record)
            .filter(|o| run.status.as_ref().is_some_and(|s| s.overrides.contains(&o.name)))
            .collect();
        screen.push_str(&picture(run, &in_force, args.log, now));
    }
    if runs.is_empty() {
        let place = if cluster.all {
            "any namespace".to_owned()
        } else {
            format!("namespace {}", cluster.namespace)
        };
        let _ = writeln!(screen, "nothing is coming and nothing is going on in {place}");
    }
    Ok(screen)
}

/// How far away an instant is, as a countdown or a count up.
fn distance(at: Instant, now: Instant) -> String {
    let seconds = (at - now).num_seconds();
    let (sign, n) = if seconds >= 0 { ("-", seconds) } else { ("+", -seconds) };
    match n {
        0..3_600 => format!("T{sign}{:02}:{:02}", n / 60, n % 60),
        3_600..86_400 => format!("T{sign}{}h{:02}m", n / 3_600, n % 3_600 / 60),
        _ => format!("T{sign}{}d{:02}h", n / 86_400, n % 86_400 / 3_600),
    }
}

fn picture(run: &SurgeRun, overrides: &[Override], log: usize, now: Instant) -> String {
    let nothing = RunStatus::default();
    let status = run.status.as_ref().unwrap_or(&nothing);
    let mut out = String::new();
    let name = run.spec.surge_name.clone().unwrap_or_else(|| run.name_any());
    let _ = writeln!(
        out,
        "{}/{name}  {}  {}  {}",
        run.namespace().unwrap_or_default(),
        status.stage.as_str(),
        distance(run.spec.ready_time, now),
        if status.stage >= Stage::Releasing { "" } else { status.verdict.as_str() },
    );
    let _ = writeln!(
        out,
        "  start {}   T0 {}   end {}",
        status.start_local.clone().unwrap_or_else(|| run.spec.start_time.to_string()),
        run.spec.ready_time.format("%H:%M:%SZ"),
        status.end_time.unwrap_or(run.spec.end_time).format("%H:%M:%SZ"),
    );
    let _ = writeln!(out, "  {}", status.message);
    if !status.targets.is_empty() || !status.machines.is_empty() {
        let _ = writeln!(
            out,
            "  {:<20} {:>7} {:>7} {:>7} {:>9}",
            "", "READY", "WANTED", "FLOOR", "BASELINE"
        );
    }
    let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for t in &status.targets {
        let wanted = t.planned.unwrap_or(0).max(t.floor.unwrap_or(0));
        let _ = writeln!(
            out,
            "  {:<20} {:>7} {wanted:>7} {:>7} {:>9}",
            t.name,
            t.ready.map_or_else(|| "?".to_owned(), |n| n.to_string()),
            number(t.floor),
            number(t.baseline)
        );
    }
    for m in &status.machines {
        let _ = writeln!(
            out,
            "  {:<20} {:>7} {:>7}   ({} launched)",
            format!("machines {}", m.name),
            m.joined,
            m.wanted,
            m.launched
        );
    }
    for job in &status.jobs {
        let state = format!("{:?}", job.state).to_lowercase();
        let why = job.message.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let which = if job.job.is_empty() { String::new() } else { format!(", Job {}", job.job) };
        let _ = writeln!(out, "  {:<20} {state}{which}{why}", job.name);
    }
    for s in &status.signals {
        match (&s.value, &s.unknown_because) {
            (Some(value), _) => {
                let peak = s.peak.as_deref().unwrap_or("-");
                let _ = writeln!(
                    out,
                    "  {:<20} {value:>7}   needs {} replicas, peak {peak}",
                    s.name,
                    number(s.required)
                );
            }
            (None, Some(why)) => {
                let _ = writeln!(out, "  {:<20} unknown: {why}; nothing is lowered", s.name);
            }
            (None, None) => {}
        }
    }
    for o in overrides {
        let _ = writeln!(out, "  override {}", o.describe());
    }
    for d in status.decisions.iter().skip(status.decisions.len().saturating_sub(log)) {
        let _ = writeln!(out, "  {} {}", d.time.format("%H:%M:%S"), d.message);
    }
    if let Some(report) = &status.report {
        out.push_str(&report_lines(report));
    }
    out.push('\n');
    out
}

fn report_lines(report: &primetime_core::report::Report) -> String {
    let mut out = String::new();
    let ready = match report.slack_seconds {
        Some(s) if s >= 0 => format!("ready {s} s before T0"),
        Some(s) => format!("ready {} s after T0", -s),
        None => "never ready".to_owned(),
    };
    let _ =
        writeln!(out, "  report: {ready}; given back because {}", report.release_cause.sentence());
    for t in &report.targets {
        let number = |n: Option<u32>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let _ = writeln!(
            out,
            "    {}: {} -> planned {}, highest floor {}; lead {} s declared, {} s achieved",
            t.name,
            number(t.baseline),
            number(t.planned),
            number(t.highest_floor),
            t.lead_seconds,
            t.achieved_lead_seconds.map_or_else(|| "?".to_owned(), |n| n.to_string()),
        );
    }
    for s in &report.signals {
        let _ = writeln!(out, "    {}: peak {}", s.name, s.peak.as_deref().unwrap_or("unknown"));
    }
    if report.machines_launched > 0 {
        let _ = writeln!(
            out,
            "    machines: {} launched, {} terminated, {} machine seconds",
            report.machines_launched, report.machines_terminated, report.machine_seconds
        );
    }
    for line in &report.advice {
        let _ = writeln!(out, "    advice: {line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_countdown_is_read_at_a_glance() {
        let now = chrono::DateTime::UNIX_EPOCH;
        let at = |s: i64| distance(now + chrono::TimeDelta::seconds(s), now);
        assert_eq!(at(95), "T-01:35");
        assert_eq!(at(-65), "T+01:05");
        assert_eq!(at(3_700), "T-1h01m");
        assert_eq!(at(200_000), "T-2d07h");
    }
}
