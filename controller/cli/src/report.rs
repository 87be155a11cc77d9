//! `kubectl surge report`: the report of a finished run, as Markdown for a ticket or as JSON.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;
use kube::ResourceExt;
use primetime_api::SurgeRun;
use primetime_core::schedule::in_zone;
use primetime_core::state::condition::EventReason;
use primetime_core::state::report::Report;

use crate::cluster::Cluster;
use crate::runs::of_surge;
use crate::screen;
use crate::status;

/// Format of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Markdown.
    Md,
    /// JSON, as in `status.report` of the run.
    Json,
}

/// Surge, run and format of the report.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the surge.
    surge: String,
    /// Name of the run [default: the last run with a report].
    run: Option<String>,
    /// Format.
    #[arg(short, long, value_enum, default_value_t = Format::Md)]
    output: Format,
}

/// Prints the report of a run.
pub async fn show(cluster: &Cluster, args: &Args) -> Result<ExitCode> {
    let runs = of_surge(cluster, &args.surge).await?;
    let asked = |run: &&SurgeRun| args.run.as_ref().is_none_or(|name| *name == run.name_any());
    let report = |run: &SurgeRun| run.status.as_ref().and_then(|status| status.report.clone());
    let found = runs.iter().rev().filter(asked).find_map(|run| Some((run, report(run)?)));
    let Some((run, report)) = found else {
        if runs.is_empty() {
            return Err(status::unknown(cluster, &args.surge).await);
        }
        if let Some(name) = &args.run
            && !runs.iter().any(|run| run.name_any() == *name)
        {
            bail!("surge {} has no run \"{name}\"", args.surge)
        }
        bail!("no report of surge {} yet: it is written when all is returned", args.surge)
    };
    let text = match args.output {
        Format::Md => markdown(run, &report),
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
    };
    screen::show(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn number<N: std::fmt::Display>(n: Option<N>) -> String {
    n.map_or_else(|| "?".to_owned(), |n| n.to_string())
}

/// Formats a report as Markdown. Texts of people are on a line of their own, without pipes.
fn markdown(run: &SurgeRun, report: &Report) -> String {
    let zone = run.spec.time_zone.as_deref();
    let mut out = format!("## {}\n\n", run.name_any());
    let ready = match report.slack_seconds {
        Some(s) if s >= 0 => format!("ready {s} s before T0"),
        Some(s) => format!("ready {} s after T0", -s),
        None => "never ready".to_owned(),
    };
    let _ = writeln!(out, "- T0: {}", in_zone(run.spec.ready_time, zone));
    let _ = writeln!(out, "- Start: {}", in_zone(run.spec.start_time, zone));
    let _ = writeln!(out, "- Result: {ready}");
    let _ = writeln!(out, "- Released because {}\n", report.release_cause.sentence());
    out.push_str(
        "| target | baseline | planned | highest floor | lead declared | lead achieved |\n",
    );
    out.push_str("|---|---:|---:|---:|---:|---:|\n");
    for t in &report.targets {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} s | {} s |",
            t.name,
            number(t.baseline),
            number(t.planned),
            number(t.highest_floor),
            t.lead_seconds,
            number(t.achieved_lead_seconds)
        );
    }
    if !report.signals.is_empty() {
        out.push_str("\n| signal | peak |\n|---|---:|\n");
        for s in &report.signals {
            let _ = writeln!(out, "| {} | {} |", s.name, number(s.peak.as_ref()));
        }
    }
    if report.machines_launched > 0 {
        let _ = writeln!(
            out,
            "\nMachines: {} launched, {} terminated, {:.1} machine hours.",
            report.machines_launched,
            report.machines_terminated,
            chrono::TimeDelta::seconds(report.machine_seconds).as_seconds_f64() / 3_600.0
        );
    }
    if !report.advice.is_empty() {
        out.push_str("\nAdvice:\n\n");
        for line in &report.advice {
            let _ = writeln!(out, "- {}", screen::plain(line));
        }
    }
    let people = run.status.iter().flat_map(|status| &status.decisions);
    let overrides = EventReason::OverrideInForce.as_str();
    let people: Vec<_> = people.filter(|d| d.reason == overrides).collect();
    if !people.is_empty() {
        out.push_str("\nWhat people did:\n\n");
        for d in people {
            let _ = writeln!(out, "- {} {}", in_zone(d.time, zone), screen::plain(&d.message));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_can_be_pasted_into_a_ticket() {
        let run: SurgeRun = serde_json::from_value(json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun",
            "metadata": {"name": "capital-1", "namespace": "shop"},
            "spec": {"startTime": "2031-01-12T20:00:00Z", "readyTime": "2031-01-12T19:50:00Z",
                "endTime": "2031-01-12T22:00:00Z", "timeZone": "Europe/Paris", "targets": []},
            "status": {"report": {"readyAtT0": true, "slackSeconds": 540, "releaseCause": "LoadGone",
                "targets": [{"name": "web", "baseline": 10, "planned": 180, "highestFloor": 225,
                    "leadSeconds": 900}],
                "signals": [{"name": "sessions", "peak": "45000"}],
                "machinesLaunched": 17, "machinesTerminated": 17, "machineSeconds": 174_960,
                "advice": ["raise leadSeconds"]}},
        }))
        .unwrap();
        let report = run.status.as_ref().and_then(|status| status.report.clone()).unwrap();
        let text = markdown(&run, &report);
        for words in [
            "- T0: Sun 2031-01-12 20:50:00 CET",
            "- Result: ready 540 s before T0",
            "| web | 10 | 180 | 225 | 900 s | ? s |",
            "| sessions | 45000 |",
            "17 launched, 17 terminated, 48.6 machine hours",
            "- raise leadSeconds",
        ] {
            assert!(text.contains(words), "{words} in:\n{text}");
        }
    }
}
