//! `kubectl surge next`: list of the coming occurrences of all surges.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use chrono::{DateTime, Datelike, SecondsFormat, TimeDelta, Utc};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use primetime_api::{
    ScheduledSurge, SurgeCalendar, SurgeRun, calendar_record, run_record, surge_record,
};
use primetime_core::Instant;
use primetime_core::occurrences::{self, run_name};
use primetime_core::schedule::{Schedule, Zone, in_zone};
use primetime_core::state::announcement::{Start, Window, Workload};
use primetime_core::state::surge::SurgeRecord;
use primetime_core::state::world::World;
use primetime_sim::announced::{followed, surge};
use serde::Serialize;

use crate::cluster::{Cluster, Where, bounded, now};
use crate::files;
use crate::leader;
use crate::screen::{self, Output};

/// Selection and format of the list.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these lines are the help text")]
pub struct Args {
    /// File or folder with ScheduledSurges, instead of a cluster; may be repeated; - is standard
    /// input.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Start of the list [default: now].
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    from: Option<DateTime<Utc>>,
    /// Number of days.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,
    /// Time zone for display [default: time zone of each surge].
    #[arg(long, value_name = "ZONE")]
    at: Option<String>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Parses an RFC 3339 timestamp in a year from 1970 to 9899.
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let at: DateTime<Utc> =
        text.parse().map_err(|_| "write an instant such as 2026-11-22T20:00:00Z".to_owned())?;
    if (1970..9900).contains(&at.year()) {
        return Ok(at);
    }
    Err("write a year from 1970 to 9899".to_owned())
}

/// Surge with namespace, schedule, and the starts of planned and cancelled occurrences.
struct Known {
    namespace: String,
    surge: SurgeRecord,
    /// Schedule of the surge, or the reasons why the schedule is unknown.
    schedule: Result<Schedule, Vec<String>>,
    /// Messages about the `SurgeCalendar`: the feed cannot be read, or the reader left something
    /// out.
    trouble: Vec<String>,
    planned: BTreeSet<Instant>,
    cancelled: BTreeSet<Instant>,
}

/// Occurrence in the list.
struct Coming<'a> {
    known: &'a Known,
    window: Window,
    zone: Option<&'a str>,
    /// True if the occurrence is neither cancelled nor suspended.
    planned: bool,
    targets: Vec<&'a Workload>,
    warnings: Vec<String>,
}

/// Occurrence in JSON format, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    surge: &'a str,
    namespace: &'a str,
    run: String,
    ready_by: String,
    start: String,
    end: String,
    warnings: &'a [String],
}

impl Coming<'_> {
    fn run(&self) -> String {
        run_name(&self.known.surge.name, self.window.start)
    }

    fn line(&self) -> Line<'_> {
        let utc = |at: Instant| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        Line {
            surge: &self.known.surge.name,
            namespace: &self.known.namespace,
            run: self.run(),
            ready_by: utc(self.window.ready_by),
            start: utc(self.window.start),
            end: utc(self.window.end),
            warnings: &self.warnings,
        }
    }
}

/// Prints the list of coming occurrences.
pub async fn show(place: &Where, args: &Args) -> Result<ExitCode> {
    if let Some(zone) = &args.at {
        Zone::named(zone).map_err(|why| anyhow::anyhow!("--at: {why}"))?;
    }
    let (known, code) = if args.files.is_empty() {
        let cluster = place.connect().await?;
        let known = in_cluster(&cluster).await?;
        if known.is_empty() {
            cluster.has_namespace().await?;
        }
        let leader = leader::look(&cluster).await;
        leader.warn();
        (known, leader.code())
    } else {
        (in_files(args)?, ExitCode::SUCCESS)
    };
    let from = args.from.unwrap_or_else(now);
    let coming = coming(&known, from, from + TimeDelta::days(i64::from(args.days)));
    match args.output {
        Output::Json => {
            let lines: Vec<_> = coming.iter().map(Coming::line).collect();
            for (place, why) in invalid(&known) {
                eprintln!("{place} is left out: {why}");
            }
            for (place, why) in troubles(&known) {
                eprintln!("{place}: {why}");
            }
            screen::show(&format!("{}\n", serde_json::to_string_pretty(&lines)?))?;
        }
        Output::Table => screen::show(&table(&known, &coming, args))?,
    }
    Ok(code)
}

async fn in_cluster(cluster: &Cluster) -> Result<Vec<Known>> {
    let client = || cluster.client.clone();
    let (surges, runs): (Api<ScheduledSurge>, Api<SurgeRun>) = if cluster.all {
        (Api::all(client()), Api::all(client()))
    } else {
        let there = &cluster.namespace;
        (Api::namespaced(client(), there), Api::namespaced(client(), there))
    };
    let everything = ListParams::default();
    let surges = bounded(surges.list(&everything)).await?;
    let calendars = calendars(cluster, &surges.items).await?;
    let runs = bounded(runs.list(&everything)).await?;
    let known = surges.iter().map(|object| {
        let surge = surge_record(object);
        let own = runs.iter().map(|run| (run, run_record(run))).filter(|(run, record)| {
            run.namespace() == object.namespace() && record.owner.as_ref() == Some(&surge.uid)
        });
        let planned: BTreeSet<_> = own.map(|(_, record)| record.window.start).collect();
        let named = surge.status.scheduled_times.iter().copied();
        let cancelled = named.filter(|start| !planned.contains(start)).collect();
        let namespace = object.namespace().unwrap_or_default();
        let nothing = World::default();
        let world = calendars.get(&namespace).unwrap_or(&nothing);
        let spec = surge.spec.as_ref().ok();
        let schedule = spec.map_or(Ok(Schedule::default()), |spec| {
            occurrences::schedule_of(spec, world).map(Cow::into_owned).map_err(|why| vec![why])
        });
        let name = spec.and_then(|spec| spec.follows.as_ref()).map(|f| &f.calendar);
        let trouble = name.and_then(|name| {
            let trouble = world.calendars.get(name)?.status.trouble()?;
            Some(format!("SurgeCalendar {name}: {trouble}"))
        });
        let trouble = trouble.into_iter().collect();
        Known { namespace, surge, schedule, trouble, planned, cancelled }
    });
    Ok(known.collect())
}

/// Reads the calendars of the surges into a [`World`] per namespace. If no surge refers to a
/// calendar, the function sends no request.
async fn calendars(
    cluster: &Cluster,
    surges: &[ScheduledSurge],
) -> Result<BTreeMap<String, World>> {
    let mut known: BTreeMap<String, World> = BTreeMap::new();
    if surges.iter().all(|surge| surge.spec.schedule.calendar_ref.is_none()) {
        return Ok(known);
    }
    let client = cluster.client.clone();
    let api: Api<SurgeCalendar> =
        if cluster.all { Api::all(client) } else { Api::namespaced(client, &cluster.namespace) };
    for calendar in bounded(api.list(&ListParams::default())).await? {
        let world = known.entry(calendar.namespace().unwrap_or_default()).or_default();
        world.calendars.insert(calendar.name_any(), calendar_record(&calendar).into());
    }
    Ok(known)
}

fn in_files(args: &Args) -> Result<Vec<Known>> {
    let (mut known, mut wrong, mut documents) = (Vec::new(), Vec::new(), Vec::new());
    for file in files::files(&args.files)? {
        let objects = files::objects(&file)?;
        documents.push((file, objects));
    }
    let all: Vec<_> = documents.iter().flat_map(|(_, objects)| objects.clone()).collect();
    let from = args.from.unwrap_or_else(now);
    for (file, objects) in &documents {
        for object in objects {
            if object.get("kind").and_then(serde_json::Value::as_str) != Some("ScheduledSurge") {
                continue;
            }
            let read = surge::read(object).and_then(|(surge, spec)| {
                let namespace = surge.namespace().unwrap_or_else(|| "default".to_owned());
                let followed = followed::schedule(&spec, &namespace, &all, from)?;
                Ok(Known {
                    namespace,
                    surge: surge_record(&surge),
                    schedule: Ok(followed.schedule),
                    trouble: followed.left_out,
                    planned: BTreeSet::new(),
                    cancelled: BTreeSet::new(),
                })
            });
            match read {
                Ok(one) => known.push(one),
                Err(errors) => {
                    wrong.extend(errors.iter().map(|why| format!("{}: {why}", file.display())));
                }
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    if known.is_empty() {
        bail!("no ScheduledSurge in these files");
    }
    Ok(known)
}

/// Returns the occurrences that are in progress at `from` or start before `until`, sorted by start.
fn coming(known: &[Known], from: Instant, until: Instant) -> Vec<Coming<'_>> {
    let mut all = Vec::new();
    for one in known {
        let (Ok(spec), Ok(schedule)) = (&one.surge.spec, &one.schedule) else { continue };
        let longest = schedule.rules.iter().map(|rule| rule.duration).max();
        let since = from - longest.unwrap_or_default();
        for occurrence in schedule.between(since, until) {
            if occurrence.end <= from {
                continue;
            }
            let mut warnings: Vec<String> = occurrence.note.into_iter().collect();
            let cancelled = one.cancelled.contains(&occurrence.start);
            let suspended = spec.suspend && !one.planned.contains(&occurrence.start);
            if cancelled {
                warnings.push("cancelled: its run was deleted".to_owned());
            } else if suspended {
                warnings.push("suspended: it is not planned".to_owned());
            }
            if let Start::Manual { .. } = spec.announcement.start {
                warnings.push("armed: it begins when a person starts it".to_owned());
            }
            // A program that reads JSON finds the trouble here, a person below the table.
            warnings.extend(one.trouble.clone());
            let (start, end) = (occurrence.start, occurrence.end);
            all.push(Coming {
                known: one,
                window: Window { ready_by: start - spec.ready_before, start, end },
                zone: schedule.zone_name(),
                planned: !cancelled && !suspended,
                targets: spec.announcement.targets.iter().map(|t| &t.workload).collect(),
                warnings,
            });
        }
    }
    all.sort_by_key(|c| (c.window.start, c.known.namespace.clone(), c.known.surge.name.clone()));
    for (n, warning) in overlaps(&all) {
        if let Some(coming) = all.get_mut(n) {
            coming.warnings.push(warning);
        }
    }
    all
}

/// Returns a warning, with the index of the occurrence, for every two planned occurrences that
/// overlap on a common target. Cancelled and suspended occurrences overlap with no other
/// occurrence.
fn overlaps(all: &[Coming<'_>]) -> Vec<(usize, String)> {
    let ahead = all.iter().map(|c| c.window.start - c.window.ready_by).max().unwrap_or_default();
    let mut shared = Vec::new();
    for (n, one) in all.iter().enumerate().filter(|(_, c)| c.planned) {
        let later = all.iter().enumerate().skip(n + 1);
        for (m, other) in later.take_while(|(_, c)| c.window.start < one.window.end + ahead) {
            let together = other.planned
                && other.known.namespace == one.known.namespace
                && other.window.ready_by < one.window.end;
            let target = other.targets.iter().find(|t| together && one.targets.contains(t));
            let Some(target) = target else { continue };
            let said = |run: String| format!("overlaps {run} on {target}: the higher floor counts");
            shared.push((n, said(other.run())));
            shared.push((m, said(one.run())));
        }
    }
    shared
}

fn table(known: &[Known], coming: &[Coming<'_>], args: &Args) -> String {
    let mut out = String::new();
    for one in coming {
        let Coming { known: Known { namespace, surge, .. }, window, .. } = one;
        let zone = args.at.as_deref().or(one.zone);
        let _ = writeln!(
            out,
            "{}  {namespace}/{}\n  ready by {}   ends {}   run {}",
            in_zone(window.start, zone),
            surge.name,
            in_zone(window.ready_by, zone),
            in_zone(window.end, zone),
            one.run(),
        );
        for warning in &one.warnings {
            let _ = writeln!(out, "  ! {warning}");
        }
    }
    if coming.is_empty() {
        let _ = writeln!(out, "nothing starts within {} days", args.days);
    }
    for (place, why) in invalid(known) {
        let _ = writeln!(out, "! {place}: {why}");
    }
    for (place, why) in troubles(known) {
        let _ = writeln!(out, "! {place}: {why}");
    }
    out
}

/// Returns the surges whose calendar has trouble, each with the message.
fn troubles(known: &[Known]) -> impl Iterator<Item = (String, &String)> + '_ {
    known.iter().flat_map(|one| {
        let place = format!("{}/{}", one.namespace, one.surge.name);
        one.trouble.iter().map(move |why| (place.clone(), why))
    })
}

/// Returns the surges with an invalid spec or an unknown schedule, and the reasons.
fn invalid(known: &[Known]) -> impl Iterator<Item = (String, String)> + '_ {
    known.iter().filter_map(|one| {
        let why = one.surge.spec.as_ref().err().or_else(|| one.schedule.as_ref().err())?;
        Some((format!("{}/{}", one.namespace, one.surge.name), why.join("; ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn known(name: &str, schedule: &serde_json::Value) -> Known {
        let surge: ScheduledSurge = serde_json::from_value(json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"schedule": schedule, "readyBeforeSeconds": 600, "targets": [{
                "name": "web", "replicas": 10,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            }]},
        }))
        .unwrap();
        let surge = surge_record(&surge);
        Known {
            namespace: "shop".into(),
            schedule: Ok(surge.spec.clone().unwrap().schedule),
            trouble: Vec::new(),
            surge,
            planned: BTreeSet::new(),
            cancelled: BTreeSet::new(),
        }
    }

    #[test]
    fn what_is_coming_is_told_in_order_with_its_overlaps_and_notes() {
        let night =
            json!({"cron": "30 2 * * SUN", "timeZone": "Europe/Paris", "durationSeconds": 3600});
        let once = json!({"startTime": "2026-03-29T02:00:00Z", "durationSeconds": 60});
        let (from, known) = (
            "2026-03-28T00:00:00Z".parse().unwrap(),
            [known("once", &once), known("night", &night)],
        );
        let all = coming(&known, from, from + TimeDelta::days(7));
        let lines: Vec<_> = all.iter().map(|c| serde_json::to_value(c.line()).unwrap()).collect();
        assert_eq!(
            lines,
            [
                json!({
                    "surge": "night", "namespace": "shop", "run": "night-20260329t013000z",
                    "readyBy": "2026-03-29T01:20:00Z", "start": "2026-03-29T01:30:00Z",
                    "end": "2026-03-29T02:30:00Z",
                    "warnings": [
                        "2026-03-29T02:30:00 does not exist in Europe/Paris: 2026-03-29T03:30:00+02:00 is meant",
                        "overlaps once-20260329t020000z on Deployment web: the higher floor counts",
                    ],
                }),
                json!({
                    "surge": "once", "namespace": "shop", "run": "once-20260329t020000z",
                    "readyBy": "2026-03-29T01:50:00Z", "start": "2026-03-29T02:00:00Z",
                    "end": "2026-03-29T02:01:00Z",
                    "warnings": ["overlaps night-20260329t013000z on Deployment web: the higher floor counts"],
                }),
            ]
        );
    }
}
