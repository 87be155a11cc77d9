//! `kubectl surge create`: announce an event that was not announced in a file, from flags.

use std::process::ExitCode;

use anyhow::Result;
use chrono::{SecondsFormat, TimeDelta};
use kube::Api;
use kube::api::PostParams;
use primetime_api::{GROUP, ScheduledSurge, VERSION};
use primetime_core::Instant;
use primetime_core::reference;
use serde_json::{Value, json};

use crate::cluster::{Where, bounded, now};
use crate::duration::duration;
use crate::leader;
use crate::screen;

/// Event and targets.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kubectl surge create sale --in 10m --for 2h --target web=60 --max 120
  kubectl surge create incident --now --for 30m --target web=40
  kubectl surge create rehearsal --in 5m --for 5m --target web=4 --dry-run")]
#[command(group(clap::ArgGroup::new("when").required(true)))]
pub struct Args {
    /// Name of the surge.
    name: String,
    /// Time until the start: 90s, 30m, 2h; at most 24h.
    #[arg(long = "in", value_parser = duration, group = "when")]
    after: Option<TimeDelta>,
    /// Start now: everything is raised at once.
    #[arg(long, group = "when")]
    now: bool,
    /// Duration of the event: 30m, 2h; at most 24h.
    #[arg(long = "for", value_parser = duration)]
    lasts: TimeDelta,
    /// Deployment and replicas, such as web=60; may be given several times. KIND/NAME=REPLICAS names
    /// another kind of the group apps.
    #[arg(long = "target", required = true, value_name = "NAME=REPLICAS", value_parser = target)]
    targets: Vec<(String, String, u32)>,
    /// Limit for signals and boosts (maxReplicas) of each target [default: the replicas].
    #[arg(long)]
    max: Option<u32>,
    /// Seconds that the pods of each target need to become ready [default: that of the kind].
    #[arg(long)]
    lead_seconds: Option<u32>,
    /// Seconds between two steps of the release after the event [default: 120].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3600))]
    step_seconds: Option<u32>,
    /// Let the API server check the surge, and store nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print the surge as YAML, without a cluster, and store nothing.
    #[arg(long)]
    print: bool,
}

/// Parses `web=60` or `StatefulSet/db=3` into kind, name and replicas.
fn target(text: &str) -> Result<(String, String, u32), String> {
    let usage = || "NAME=REPLICAS or KIND/NAME=REPLICAS, such as web=60".to_owned();
    let (workload, replicas) = text.split_once('=').ok_or_else(usage)?;
    let (kind, name) = workload.split_once('/').unwrap_or(("Deployment", workload));
    let replicas = replicas.parse().map_err(|_| usage())?;
    reference::kind(kind)?;
    reference::name(name)?;
    Ok((kind.to_owned(), name.to_owned(), replicas))
}

/// Returns the surge of the flags.
fn surge(args: &Args, now: Instant) -> Value {
    let start = now + args.after.unwrap_or_default();
    let targets: Vec<Value> = args
        .targets
        .iter()
        .map(|(kind, name, replicas)| {
            let mut target = serde_json::Map::new();
            target.insert("name".into(), json!(name));
            let workload = json!({"apiVersion": "apps/v1", "kind": kind, "name": name});
            target.insert("scaleTargetRef".into(), workload);
            target.insert("replicas".into(), json!(replicas));
            for (key, value) in [("maxReplicas", args.max), ("leadSeconds", args.lead_seconds)] {
                if let Some(value) = value {
                    target.insert(key.into(), json!(value));
                }
            }
            Value::Object(target)
        })
        .collect();
    let mut spec = serde_json::Map::new();
    let schedule = json!({
        "startTime": start.to_rfc3339_opts(SecondsFormat::Secs, true),
        "durationSeconds": args.lasts.num_seconds(),
    });
    spec.insert("schedule".into(), schedule);
    spec.insert("targets".into(), targets.into());
    if let Some(seconds) = args.step_seconds {
        spec.insert("release".into(), json!({"stepSeconds": seconds}));
    }
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "ScheduledSurge",
        "metadata": {"name": args.name},
        "spec": spec,
    })
}

/// Announces the event of the flags, and prints the times.
pub async fn announce(place: &Where, args: &Args) -> Result<ExitCode> {
    reference::name(&args.name).map_err(|why| anyhow::anyhow!(why))?;
    let object = surge(args, now());
    if args.print {
        screen::show(&serde_yaml::to_string(&object)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let cluster = place.connect().await?;
    let api: Api<ScheduledSurge> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let params = PostParams { dry_run: args.dry_run, ..PostParams::default() };
    let made = bounded(api.create(&params, &serde_json::from_value(object)?)).await?;
    let start = made.spec.schedule.start_time.as_deref().unwrap_or_default();
    let word = if args.dry_run { "accepted, not stored" } else { "announced" };
    screen::show(&format!(
        "{word}: {}/{} starts at {}; kubectl surge status -n {} {} shows it\n",
        cluster.namespace,
        args.name,
        screen::plain(start),
        cluster.namespace,
        args.name
    ))?;
    let leader = leader::look(&cluster).await;
    leader.warn();
    Ok(leader.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_and_a_number() {
        assert_eq!(target("web=60"), Ok(("Deployment".into(), "web".into(), 60)));
        assert_eq!(target("StatefulSet/db=3"), Ok(("StatefulSet".into(), "db".into(), 3)));
        for wrong in ["web", "web=", "web=-1", "=60", "a b=1", "../x=1"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_surge_of_the_flags_is_valid() {
        let args = Args {
            name: "sale".into(),
            after: Some(TimeDelta::minutes(10)),
            now: false,
            lasts: TimeDelta::hours(2),
            targets: vec![("Deployment".into(), "web".into(), 60)],
            max: Some(120),
            lead_seconds: Some(90),
            step_seconds: Some(10),
            dry_run: false,
            print: false,
        };
        let errors = crate::validate::errors(&surge(&args, now())).unwrap();
        assert!(errors.is_empty(), "{errors:?}");
    }
}
