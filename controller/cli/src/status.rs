//! `kubectl surge status`: leader, runs and surges on a single screen.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use primetime_api::{ScheduledSurge, SurgeOverride, SurgeRun};
use primetime_core::Instant;
use primetime_core::reference;
use primetime_core::schedule::in_zone;
use primetime_core::state::condition::{ConditionType, condition};
use primetime_core::state::overrides::Override;
use primetime_core::state::run::{RunStatus, Stage};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::{Cluster, bounded, now};
use crate::leader::{self, Leader};
use crate::runs::{is_over, surge_of};
use crate::screen;
use crate::wall::Wall;

/// Selection and format of the status.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the surge [default: all surges].
    pub surge: Option<String>,
    /// Name of a target of the surge: show why it has its floor, and why it is not lowered.
    #[arg(requires = "surge", conflicts_with_all = ["watch", "done", "output"])]
    pub target: Option<String>,
    /// Output format. JSON and names are for programs.
    #[arg(short, long, value_enum, default_value_t = Format::Text, conflicts_with = "watch")]
    output: Format,
    /// Show the status again every second until interrupted.
    #[arg(short, long)]
    watch: bool,
    /// Show runs that are over, too.
    #[arg(long)]
    done: bool,
    /// Show times in UTC, not in the time zone of the event.
    #[arg(long)]
    pub utc: bool,
    /// Number of lines of the decision log to show of each run.
    #[arg(long, default_value_t = 5)]
    log: usize,
}

/// Output format of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text for people.
    Text,
    /// JSON: the leader, and the runs as the API server has them.
    Json,
    /// Names of the runs, as `kubectl get -o name` prints them.
    Name,
}

/// Prints the status once, or every second with `--watch`.
pub async fn show(cluster: &Cluster, args: &Args) -> Result<ExitCode> {
    if args.output != Format::Text {
        return data(cluster, args).await;
    }
    if !args.watch {
        let (screen, leader) = look(cluster, args).await?;
        screen::show(&screen::painted(&screen))?;
        return Ok(leader.code());
    }
    let mut last = None::<(String, Instant)>;
    loop {
        // If a read fails, the plugin shows the last screen with the age of the screen. A display
        // on the wall must not go blank during the event.
        let screen = match (look(cluster, args).await, &last) {
            (Ok((screen, _)), _) => {
                last = Some((screen.clone(), now()));
                screen
            }
            (Err(error), Some((screen, at))) => {
                let age = screen::length(now() - *at);
                format!("OLD: of {age} ago, because {error:#}\n\n{screen}")
            }
            (Err(error), None) => format!("error: {error:#}; trying again\n"),
        };
        screen::show(&format!("\x1b[H\x1b[2J{}", screen::painted(&screen)))?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Status for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    schema: &'static str,
    leader: &'a Leader,
    runs: Vec<&'a SurgeRun>,
}

/// Prints the runs as JSON or as names.
async fn data(cluster: &Cluster, args: &Args) -> Result<ExitCode> {
    let runs = listed::<SurgeRun>(cluster).await?;
    let leader = leader::look(cluster).await;
    let mut shown: Vec<_> = runs
        .iter()
        .filter(|run| args.surge.as_ref().is_none_or(|surge| *surge == surge_of(run)))
        .filter(|run| args.done || !is_over(run))
        .collect();
    if let Some(surge) = args.surge.as_ref().filter(|_| shown.is_empty()) {
        let there = listed::<ScheduledSurge>(cluster).await?;
        if !there.iter().any(|found| found.name_any() == *surge) {
            return Err(unknown(cluster, surge).await);
        }
    }
    shown.sort_by_key(|run| run.spec.start_time);
    let text = if args.output == Format::Name {
        leader.warn();
        let line = |run: &&SurgeRun| format!("surgerun.primetime.dev/{}\n", run.name_any());
        shown.iter().map(line).collect()
    } else {
        let data = Data { schema: "primetime.dev/status/v1", leader: &leader, runs: shown };
        serde_json::to_string_pretty(&data)? + "\n"
    };
    screen::show(&text)?;
    Ok(leader.code())
}

/// Returns the error for an unknown surge name, with the names that exist.
pub async fn unknown(cluster: &Cluster, name: &str) -> anyhow::Error {
    let client = || cluster.client.clone();
    let there: Api<ScheduledSurge> = Api::namespaced(client(), &cluster.namespace);
    let everything = ListParams::default();
    let names = |surges: &[ScheduledSurge]| {
        surges.iter().map(ResourceExt::name_any).collect::<Vec<_>>().join(", ")
    };
    let known = match bounded(there.list(&everything)).await {
        Ok(surges) if surges.items.is_empty() => {
            if let Err(why) = cluster.has_namespace().await {
                return why;
            }
            "there is none".to_owned()
        }
        Ok(surges) => format!("there are: {}", names(&surges.items)),
        Err(why) => return why,
    };
    let others = bounded(Api::<ScheduledSurge>::all(client()).list(&everything)).await;
    let others = others.map(|all| all.items).unwrap_or_default();
    let elsewhere: Vec<String> = others
        .iter()
        .filter(|surge| surge.name_any() == name)
        .filter_map(ResourceExt::namespace)
        .filter(|namespace| *namespace != cluster.namespace)
        .collect();
    let elsewhere = if elsewhere.is_empty() {
        String::new()
    } else {
        format!("; it is in namespace {}", elsewhere.join(", "))
    };
    let name = reference::shown(name);
    anyhow::anyhow!("there is no surge \"{name}\" in {}; {known}{elsewhere}", cluster.place())
}

async fn look(cluster: &Cluster, args: &Args) -> Result<(String, Leader)> {
    let (runs, overrides, surges) = (
        listed::<SurgeRun>(cluster).await?,
        listed::<SurgeOverride>(cluster).await?,
        listed::<ScheduledSurge>(cluster).await?,
    );
    let leader = leader::look(cluster).await;
    let asked = |name: &str| args.surge.as_ref().is_none_or(|surge| surge == name);
    let named: Vec<_> =
        runs.iter().filter(|run| asked(&surge_of(run)) || asked(&run.name_any())).collect();
    let announced: Vec<_> = surges.iter().filter(|surge| asked(&surge.name_any())).collect();
    if let Some(name) = args.surge.as_ref().filter(|_| named.is_empty() && announced.is_empty()) {
        return Err(unknown(cluster, name).await);
    }
    let mut shown: Vec<_> = named.into_iter().filter(|run| args.done || !is_over(run)).collect();
    shown.sort_by_key(|run| run.spec.start_time);
    let now = now();
    let mut screen = format!("{}\n\n", leader.line());
    for run in &shown {
        let in_force: Vec<_> = overrides
            .iter()
            .filter(|o| o.namespace() == run.namespace())
            .filter_map(SurgeOverride::record)
            .filter(|o| run.status.as_ref().is_some_and(|s| s.overrides.contains(&o.name)))
            .collect();
        screen.push_str(&picture(run, &in_force, args, now));
    }
    let has_run = |surge: &ScheduledSurge| {
        shown
            .iter()
            .any(|run| run.namespace() == surge.namespace() && surge_of(run) == surge.name_any())
    };
    for surge in announced.iter().filter(|surge| !has_run(surge)) {
        let _ = writeln!(screen, "{}", without_a_run(surge));
    }
    if shown.is_empty() && announced.is_empty() {
        cluster.has_namespace().await?;
        let _ =
            writeln!(screen, "nothing is announced and nothing is going on in {}", cluster.place());
    }
    // Reasons, and messages of Prometheus and the cloud, may contain control characters. The plugin
    // replaces such characters.
    let plain = screen.lines().map(screen::plain).collect::<Vec<_>>().join("\n");
    Ok((plain + "\n", leader))
}

/// Lists the objects of a kind in the namespace, or in all namespaces.
pub async fn listed<K>(cluster: &Cluster) -> Result<Vec<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let client = cluster.client.clone();
    let api: Api<K> =
        if cluster.all { Api::all(client) } else { Api::namespaced(client, &cluster.namespace) };
    Ok(bounded(api.list(&ListParams::default())).await?.items)
}

/// Describes a surge without a displayed run, with the `Accepted` condition if the operator has
/// seen the current generation.
fn without_a_run(surge: &ScheduledSurge) -> String {
    let place = format!("{}/{}", surge.namespace().unwrap_or_default(), surge.name_any());
    let status = surge.status.as_ref();
    let seen = status.is_some_and(|s| s.observed_generation == surge.metadata.generation);
    let accepted = status.and_then(|s| condition(&s.conditions, ConditionType::Accepted));
    match accepted.filter(|_| seen) {
        Some(word) => format!("{place}  {}: {}", word.reason, word.message),
        None => format!("{place}  announced, and no operator has planned it yet"),
    }
}

/// Formats the time until or since an instant: `T-01:35` before, `T+01:05` after.
fn distance(at: Instant, now: Instant) -> String {
    let seconds = (at - now).num_seconds();
    let (sign, n) = if seconds >= 0 { ("-", seconds) } else { ("+", -seconds) };
    match n {
        0..3_600 => format!("T{sign}{:02}:{:02}", n / 60, n % 60),
        3_600..86_400 => format!("T{sign}{}h{:02}m", n / 3_600, n % 3_600 / 60),
        _ => format!("T{sign}{}d{:02}h", n / 86_400, n % 86_400 / 3_600),
    }
}

/// Formats a run for the terminal. The statements have the order of the printed lines.
fn picture(run: &SurgeRun, overrides: &[Override], args: &Args, now: Instant) -> String {
    let nothing = RunStatus::default();
    let zone = run.spec.time_zone.as_deref().filter(|_| !args.utc);
    let wall = Wall::of(zone);
    let status = run.status.as_ref().unwrap_or(&nothing);
    let mut out = String::new();
    let name = surge_of(run);
    let _ = writeln!(
        out,
        "{}/{name}  {}  {}  {}",
        run.namespace().unwrap_or_default(),
        status.stage.as_str(),
        distance(run.spec.ready_time, now),
        match &run.status {
            None => "NOT KNOWN: no operator has looked at this run yet",
            Some(status) if status.stage >= Stage::Releasing => "",
            Some(status) => status.verdict.as_str(),
        },
    );
    let _ = writeln!(
        out,
        "  start {}   T0 {}   end {}",
        in_zone(run.spec.start_time, zone),
        wall.time(run.spec.ready_time),
        wall.time(status.end_time.unwrap_or(run.spec.end_time)),
    );
    for line in wall.text(&status.message, now).split("; ") {
        let _ = writeln!(out, "  {line}");
    }
    let releasing = status.release.is_some();
    if !status.targets.is_empty() || !status.machines.is_empty() {
        let _ = writeln!(
            out,
            "  {:<20} {:>7} {:>7} {:>7} {:>7} {:>9}",
            "", "READY", "WANTED", "FLOOR", "PLANNED", "BASELINE"
        );
    }
    let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for t in &status.targets {
        let _ = writeln!(
            out,
            "  {:<20} {:>7} {:>7} {:>7} {:>7} {:>9}",
            t.name,
            t.ready.map_or_else(|| "?".to_owned(), |n| n.to_string()),
            number(t.wanted(releasing)),
            number(t.floor),
            number(t.planned),
            number(t.baseline)
        );
    }
    for m in &status.machines {
        let _ = writeln!(
            out,
            "  {:<20} {:>7} {:>7}   ({} launched)",
            format!("machines {}", m.name),
            m.joined,
            if releasing { 0 } else { m.wanted },
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
    for d in status.decisions.iter().skip(status.decisions.len().saturating_sub(args.log)) {
        let _ = writeln!(out, "  {} {}", wall.clock(d.time), wall.text(&d.message, d.time));
    }
    if let Some(report) = &status.report {
        out.push_str(&report_lines(report));
    }
    out.push('\n');
    out
}

fn report_lines(report: &primetime_core::state::report::Report) -> String {
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
