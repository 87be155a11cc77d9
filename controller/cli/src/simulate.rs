//! `kubectl surge simulate`: simulation of a surge in virtual time, without a cluster.

mod picture;
mod report;
mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use primetime_core::Instant;
use primetime_core::schedule::{Schedule, tzdb_version};
use primetime_core::state::surge::SurgeSpec;
use primetime_sim::announced::assumptions::{Assumptions, Strategy};
use primetime_sim::announced::evening::Evening;
use primetime_sim::curve;
use primetime_sim::curve::Curve;
use primetime_sim::evening::play;
use primetime_sim::evening::recording::Recording;
use primetime_sim::outcome;
use primetime_sim::outcome::{Oracle, Outcome};
use primetime_sim::script::{Outage, Part, Script};

use self::report::{Report, Strategies};
use crate::files::{self, contents};
use crate::screen::{self, Output};

/// Surge, load, faults and assumptions of a simulation.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these lines are the help text")]
pub struct Args {
    /// Files with one ScheduledSurge and, if available, the Deployments, HorizontalPodAutoscalers,
    /// InstanceClasses and MetricsSources of the surge; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The load: capital-2014, bedrock, hotstar-2019, worldcup98, or a file of `seconds,load`
    /// lines, seconds since the event's start. [default: the load that the surge announces]
    #[arg(long, value_name = "NAME|FILE.csv", conflicts_with = "history")]
    curve: Option<String>,
    /// The load of an earlier event: the answer of Prometheus to a range query
    /// (/api/v1/query_range).
    #[arg(long, value_name = "FILE.json")]
    history: Option<PathBuf>,
    /// Start of the earlier event in the history [default: the latest start in the history on the
    /// weekday and hour of the surge].
    #[arg(long, value_name = "INSTANT", requires = "history")]
    history_start: Option<DateTime<Utc>>,
    /// Faults to inject: KIND@SECONDS[+DURATION], separated by commas, seconds since the event's
    /// start. Kinds: operator, api, cloud, prometheus, lies (Prometheus answers 0), watches (no
    /// events). For example prometheus@-300+1800,operator@0+60. The default duration is 600 s.
    #[arg(long, value_name = "FAULTS", value_delimiter = ',', allow_hyphen_values = true)]
    faults: Vec<String>,
    /// Compare with the HPA alone, with a KEDA-like cron window, and with the least capacity that
    /// keeps the promise.
    #[arg(long)]
    compare: bool,
    /// Write a picture (SVG) of load, floor, ready replicas and machines to this file.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// Output format.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Seed of the random numbers: the same seed gives the same evening.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Replicas of a target before the event, in place of the replicas in the files: TARGET=N.
    #[arg(long, value_name = "TARGET=N", value_parser = replicas)]
    replicas: Vec<(String, u32)>,
    /// Pods that fit on a machine.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pods_per_node: u32,
    /// Shortest and longest time in seconds from the scheduling to the readiness of a pod.
    #[arg(long, value_name = "FROM..TO", default_value = "30..60", value_parser = span)]
    pod_seconds: (u32, u32),
    /// Seconds from the launch of a machine until the node is ready.
    #[arg(long, value_name = "N", default_value_t = 240, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    machine_seconds: u32,
    /// Utilisation of a replica that the HPA aims at, in percent of the load that a replica
    /// carries.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    hpa_percent: u32,
}

fn replicas(text: &str) -> Result<(String, u32), String> {
    let pair = text.split_once('=').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
    pair.filter(|(_, n)| (1..=10_000).contains(n)).ok_or_else(|| "not TARGET=N".to_owned())
}

fn span(text: &str) -> Result<(u32, u32), String> {
    let pair = text.split_once("..").unwrap_or((text, text));
    match (pair.0.parse(), pair.1.parse()) {
        (Ok(from), Ok(to)) if from <= to && to <= 86_400 => Ok((from, to)),
        _ => Err("not FROM..TO in seconds, such as 30..60".to_owned()),
    }
}

/// Recording and figures of an evening with a strategy.
struct Played {
    recording: Recording,
    outcome: Outcome,
}

fn played(evening: &Evening, strategy: Strategy, script: &Script, seed: u64) -> Result<Played> {
    let scenario = evening.scenario(strategy);
    let recording = play(&scenario, script, seed)?;
    if let Some(why) = &recording.broken {
        bail!("the model contradicts itself: {why}");
    }
    let outcome = outcome::measure(evening, &scenario, &recording, evening.begin);
    Ok(Played { recording, outcome })
}

/// Simulates the evening of the surge and prints the result.
pub fn run(args: &Args) -> Result<()> {
    let evening = read(args)?;
    let script = script(&args.faults, evening.start)?;
    if let Some(outage) = script
        .outages
        .iter()
        .find(|o| o.from >= o.until || o.until <= evening.begin || o.from >= evening.end)
    {
        let at = |at: Instant| (at - evening.start).num_seconds();
        bail!(
            "--faults: {:?} from {} to {} s never happens; the evening is played from {} to {} s",
            outage.part,
            at(outage.from),
            at(outage.until),
            at(evening.begin),
            at(evening.end)
        );
    }
    let ours = played(&evening, Strategy::Primetime, &script, args.seed)?;
    let peer =
        |strategy| args.compare.then(|| played(&evening, strategy, &script, args.seed)).transpose();
    let (hpa, cron) = (peer(Strategy::Hpa)?, peer(Strategy::KedaCron)?);
    if let Some(file) = &args.svg {
        let peers = [("HPA alone", &hpa), ("KEDA cron", &cron)];
        let peers: Vec<_> = peers
            .iter()
            .filter_map(|(name, played)| Some((*name, played.as_ref()?.recording.looks.as_slice())))
            .collect();
        let picture = picture::draw(&evening, &ours.recording.looks, &peers);
        std::fs::write(file, picture).with_context(|| format!("{}", file.display()))?;
    }
    let trace_hash = format!("{:016x}", ours.recording.hash());
    let strategies = Strategies {
        primetime: ours.outcome.clone(),
        hpa: hpa.map(|p| p.outcome),
        keda_cron: cron.map(|p| p.outcome),
        oracle: args.compare.then(|| outcome::oracle(&evening, Oracle::Least)),
    };
    if args.output == Output::Json {
        let report = Report { seed: args.seed, trace_hash, strategies };
        return screen::show(&format!("{}\n", serde_json::to_string_pretty(&report)?));
    }
    let mut out = table::evening(&evening, &script);
    out.push_str(&table::timeline(&evening, &ours.recording));
    out.push_str(&table::figures(&strategies));
    let zones = tzdb_version();
    let _ = writeln!(out, "\nseed {}, trace {trace_hash}, time zone data {zones}", args.seed);
    if let Some(file) = &args.svg {
        let _ = writeln!(out, "drawn into {}", file.display());
    }
    screen::show(&out)
}

fn read(args: &Args) -> Result<Evening> {
    let mut documents = Vec::new();
    for file in &args.files {
        documents.extend(files::objects(file)?);
    }
    let assumptions = Assumptions {
        replicas: args.replicas.iter().cloned().collect::<BTreeMap<_, _>>(),
        pods_per_node: args.pods_per_node,
        pod_seconds: args.pod_seconds,
        machine_seconds: args.machine_seconds,
        hpa_percent: args.hpa_percent,
        ..Assumptions::default()
    };
    let curve = |spec: &SurgeSpec| load(args, spec).map_err(|e| format!("{e:#}"));
    Evening::read(&documents, assumptions, crate::cluster::now(), curve).map_err(|errors| {
        let files: Vec<_> = args.files.iter().map(|f| f.display().to_string()).collect();
        anyhow::anyhow!("{}:\n  {}", files.join(", "), errors.join("\n  "))
    })
}

/// Returns the start of the surge at the same local weekday and hour, in the present week and in up
/// to 521 earlier weeks. The latest start comes first.
fn weeks_before(schedule: &Schedule) -> impl Iterator<Item = Instant> + '_ {
    let (ten_years, start) = (0..522, schedule.last_once().map(|once| once.start));
    ten_years.filter_map(move |weeks| schedule.weeks_before(start?, weeks))
}

fn load(args: &Args, spec: &SurgeSpec) -> Result<Option<Curve>> {
    if let Some(file) = &args.history {
        let text = contents(file)?;
        let curve = match args.history_start {
            Some(start) => Curve::from_history(&text, std::iter::once(start)),
            None => Curve::from_history(&text, weeks_before(&spec.schedule)),
        };
        let curve =
            curve.map_err(anyhow::Error::msg).with_context(|| format!("{}", file.display()))?;
        return Ok(Some(curve));
    }
    let Some(name) = &args.curve else { return Ok(None) };
    if let Some(curve) = Curve::named(name) {
        return Ok(Some(curve));
    }
    let file = Path::new(name);
    if !file.exists() {
        bail!("--curve {name}: neither a file nor one of {}", curve::NAMES.join(", "));
    }
    let curve = Curve::from_csv(&contents(file)?)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("{}", file.display()))?;
    Ok(Some(curve))
}

/// Parses faults of the form `KIND@SECONDS[+DURATION]`.
fn script(faults: &[String], start: Instant) -> Result<Script> {
    let mut script = Script::default();
    for fault in faults {
        let (kind, when) = fault.split_once('@').unwrap_or((fault, ""));
        let part = match kind {
            "operator" => Part::Operator,
            "api" => Part::Api,
            "cloud" => Part::Cloud,
            "prometheus" => Part::Prometheus,
            "lies" => Part::Lies,
            "watches" => Part::WatchesSilent,
            _ => bail!(
                "--faults {fault}: \"{kind}\" is none of operator, api, cloud, prometheus, lies, watches"
            ),
        };
        let (from, time) = when.split_once('+').unwrap_or((when, "600"));
        let number = |text: &str| text.parse::<u32>().ok().map(i64::from);
        let from = from.strip_prefix('-').map_or_else(|| number(from), |n| number(n).map(|n| -n));
        let (Some(from), Some(time)) = (from, number(time)) else {
            bail!("--faults {fault}: not KIND@SECONDS[+DURATION], such as {kind}@-300+1800");
        };
        let from = start + TimeDelta::seconds(from);
        script.outages.push(Outage { part, from, until: from + TimeDelta::seconds(time) });
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_said() {
        let start = DateTime::UNIX_EPOCH;
        let read = |text: &str| script(&[text.to_owned()], start);
        let seconds = |n| start + TimeDelta::seconds(n);
        let outage = |part, from, until| Script::out(part, seconds(from), seconds(until));
        assert_eq!(read("prometheus@-300+1800").unwrap(), outage(Part::Prometheus, -300, 1500));
        assert_eq!(read("operator@0").unwrap(), outage(Part::Operator, 0, 600));
        let error = |text| read(text).unwrap_err().to_string();
        assert!(error("disk@0").contains("\"disk\" is none of operator"));
        assert!(error("api").contains("not KIND@SECONDS[+DURATION], such as api@-300+1800"));
        assert!(error("api@--3").contains("not KIND@SECONDS"));
    }

    #[test]
    fn spans_and_replicas_are_read_as_they_are_said() {
        assert_eq!((span("30..60"), span("5")), (Ok((30, 60)), Ok((5, 5))));
        assert!(span("60..30").is_err() && span("x").is_err());
        assert_eq!(replicas("web=10"), Ok(("web".to_owned(), 10)));
        assert!(replicas("web").is_err() && replicas("web=0").is_err());
    }
}
