//! `kubectl surge status SURGE TARGET`: why a target has its floor, what limits the floor, and why
//! it is not lowered.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use kube::ResourceExt;
use primetime_api::{ScheduledSurge, SurgeHold, SurgeOverride, SurgeRun};
use primetime_core::state::hold::Hold;
use primetime_core::state::overrides::{Action, Boost, Override};
use primetime_core::state::run::{RunStatus, Stage};
use primetime_core::state::status::TargetStatus;

use crate::cluster::Cluster;
use crate::leader;
use crate::runs::{is_over, surge_of};
use crate::screen;
use crate::status::{listed, unknown};
use crate::wall::Wall;

/// Prints the explanation for a target of each run that is open.
pub async fn show(cluster: &Cluster, surge: &str, target: &str, utc: bool) -> Result<ExitCode> {
    let leader = leader::look(cluster).await;
    let mut runs = listed::<SurgeRun>(cluster).await?;
    runs.retain(|run| surge_of(run) == surge);
    let announced = listed::<ScheduledSurge>(cluster).await?;
    let announced = announced.into_iter().find(|found| found.name_any() == surge);
    if runs.is_empty() && announced.is_none() {
        return Err(unknown(cluster, surge).await);
    }
    runs.retain(|run| !is_over(run));
    runs.sort_by_key(|run| run.spec.start_time);
    let holds = listed::<SurgeHold>(cluster).await?;
    let overrides = listed::<SurgeOverride>(cluster).await?;
    let mut out = format!("{}\n", leader.line());
    let events = runs.iter().map(|run| &run.spec.event);
    let events = events.chain(announced.as_ref().map(|surge| &surge.spec.event));
    let known: BTreeSet<&str> =
        events.flat_map(|event| &event.targets).map(|target| target.name.as_str()).collect();
    if !known.contains(target) {
        let known: Vec<&str> = known.into_iter().collect();
        bail!("surge {surge} has no target \"{target}\"; it has {}", known.join(", "))
    }
    let mut open = false;
    for run in &runs {
        let Some(spec) = run.spec.event.targets.iter().find(|t| t.name == target) else { continue };
        open = true;
        let of = &spec.scale_target_ref;
        let hold = holds.iter().find(|hold| {
            let held = &hold.spec.hold.target_ref;
            hold.namespace() == run.namespace() && held.kind == of.kind && held.name == of.name
        });
        let mut in_force: Vec<_> = overrides
            .iter()
            .filter(|o| o.namespace() == run.namespace())
            .filter_map(SurgeOverride::record)
            .filter(|o| run.status.as_ref().is_some_and(|s| s.overrides.contains(&o.name)))
            .collect();
        in_force.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        out.push('\n');
        out.push_str(&explain(run, target, hold.map(|h| &h.spec.hold), &in_force, utc));
    }
    if !open {
        let _ = writeln!(out, "\nno open run of surge {surge} has target {target}");
    }
    let plain = out.lines().map(screen::plain).collect::<Vec<_>>().join("\n");
    screen::show(&(plain + "\n"))?;
    Ok(leader.code())
}

/// Explains the floor of a target of a run. The lines have the order of the printed text.
fn explain(
    run: &SurgeRun,
    target: &str,
    hold: Option<&Hold>,
    in_force: &[Override],
    utc: bool,
) -> String {
    let nothing = RunStatus::default();
    let status = run.status.as_ref().unwrap_or(&nothing);
    let wall = Wall::of(run.spec.time_zone.as_deref().filter(|_| !utc));
    let place = format!("{}/{}", run.namespace().unwrap_or_default(), run.name_any());
    let mut out = format!("{place}  target {target}  {}\n", status.stage.as_str());
    let Some(seen) = status.targets.iter().find(|t| t.name == target) else {
        let _ = writeln!(out, "  no operator has looked at this target yet");
        return out;
    };
    let number = |n: Option<u32>| n.map_or_else(|| "none".to_owned(), |n| n.to_string());
    let _ = writeln!(out, "  floor {}, the largest of:", number(seen.floor));
    for (replicas, cause) in causes(run, seen, status, in_force) {
        let _ = writeln!(out, "    {replicas:>7}  {cause}");
    }
    if let Some(limit) = run.spec.event.targets.iter().find(|t| t.name == target) {
        let limit = limit.max_replicas.map_or_else(
            || "the plan, because maxReplicas is not set".to_owned(),
            |n| format!("{n} (maxReplicas)"),
        );
        let _ = writeln!(out, "  limit {limit}");
    }
    if let Some(hold) = hold {
        for claim in hold.claims.iter().filter(|claim| claim.run != run.name_any()) {
            let _ = writeln!(out, "  run {} asks for {}, too", claim.run, claim.floor);
        }
        let base = &hold.baseline;
        let own = base.autoscaler.as_ref().map_or_else(
            || format!("{} replicas", base.replicas),
            |by| {
                let max = by.max.map_or_else(|| "?".to_owned(), |n| n.to_string());
                let min = by.min.unwrap_or(1);
                format!("{} {} with {min} to {max}", by.kind.as_str(), by.name)
            },
        );
        let _ = writeln!(out, "  baseline {own}, written since {}", wall.time(hold.since_time));
    }
    let ready = seen.ready.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let wanted = seen.wanted(status.release.is_some());
    let _ = writeln!(out, "  ready {ready} of {}", number(wanted));
    for reason in reasons(run, seen, status, in_force, &wall) {
        let _ = writeln!(out, "  {reason}");
    }
    out
}

/// True if the plan of a target has a shape.
fn is_shaped(run: &SurgeRun, seen: &TargetStatus) -> bool {
    run.spec.event.shape.is_some()
        || run.spec.event.targets.iter().any(|t| t.name == seen.name && t.shape.is_some())
}

/// Returns what asks for replicas of a target, largest last.
fn causes(
    run: &SurgeRun,
    seen: &TargetStatus,
    status: &RunStatus,
    in_force: &[Override],
) -> Vec<(u32, String)> {
    let mut causes = Vec::new();
    let shaped = is_shaped(run, seen);
    if let Some(planned) = seen.planned {
        let what = if shaped { "the shape at this time" } else { "the plan" };
        causes.push((planned, what.to_owned()));
    }
    for signal in run.spec.event.signals.iter().filter(|s| s.target.as_ref() == Some(&seen.name)) {
        let Some(known) = status.signals.iter().find(|s| s.name == signal.name) else { continue };
        if let (Some(required), Some(value)) = (known.required, &known.value) {
            causes.push((required, format!("signal {}: {value} now", signal.name)));
        }
    }
    // A release cancels earlier boosts.
    let released = in_force.iter().rposition(|o| o.action == Action::Release);
    for o in in_force.iter().skip(released.map_or(0, |at| at + 1)) {
        let Action::Boost { target, amount } = &o.action else { continue };
        if target.as_ref().is_some_and(|target| *target != seen.name) {
            continue;
        }
        let replicas = match amount {
            Boost::Replicas(n) => *n,
            Boost::Percent(n) => {
                let planned = u64::from(seen.planned.unwrap_or_default());
                u32::try_from((planned * u64::from(*n)).div_ceil(100)).unwrap_or(u32::MAX)
            }
        };
        causes.push((replicas, o.describe()));
    }
    if let Some(highest) = seen.highest_floor.filter(|_| status.release.is_none() && !shaped) {
        causes.push((highest, "what was asked for before: nothing is lowered in the event".into()));
    }
    causes.sort();
    causes
}

/// Returns the reasons for which the floor is not lowered now.
fn reasons(
    run: &SurgeRun,
    seen: &TargetStatus,
    status: &RunStatus,
    in_force: &[Override],
    wall: &Wall<'_>,
) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(by) = &seen.contested_by {
        reasons.push(format!("not repaired any more: {by} keeps lowering it"));
    }
    if seen.floor.is_none() {
        let begin = status.begin_time.unwrap_or(run.spec.ready_time);
        if status.stage < Stage::Live {
            reasons.push(format!("not raised yet: the run begins at {}", wall.time(begin)));
        }
        return reasons;
    }
    let end = wall.time(status.end_time.unwrap_or(run.spec.end_time));
    let hold = in_force.iter().rfind(|o| o.action == Action::Hold);
    let person = status.release.as_ref().is_some_and(|release| release.cause.by_a_person());
    match (status.stage, hold) {
        (Stage::Done | Stage::Cancelled, _) => {}
        (_, Some(hold)) => reasons.push(format!("not lowered: {}", hold.describe())),
        (Stage::Planned | Stage::WarmingUp | Stage::Ready | Stage::Live, None) => {
            reasons.push(if is_shaped(run, seen) {
                format!("is lowered along the shape by the clock, until {end}")
            } else {
                format!("not lowered: the event lasts until {end}")
            });
        }
        (Stage::Holding, None) => reasons.push(match status.quiet_since {
            Some(since) => format!("not lowered yet: the load is low since {}", wall.time(since)),
            None => "not lowered: the hold after the end waits until the load is low".to_owned(),
        }),
        (Stage::Releasing, None) => reasons.push("is being lowered, step by step".to_owned()),
    }
    // A signal without a target raises nothing, and a person's release waits for no signal.
    let raises = |name: &str| {
        run.spec.event.signals.iter().any(|signal| signal.name == name && signal.target.is_some())
    };
    let unknown = status.signals.iter().filter(|s| s.unknown_since.is_some() && raises(&s.name));
    for signal in unknown.filter(|_| !person) {
        let why = signal.unknown_because.as_deref().unwrap_or("no reason is known");
        reasons.push(format!("not lowered: signal {} is unknown: {why}", signal.name));
    }
    if seen.rolling {
        reasons.push("not lowered: a rollout replaces its pods".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn run(status: &Value) -> SurgeRun {
        serde_json::from_value(json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun",
            "metadata": {"name": "capital-1", "namespace": "shop"},
            "spec": {"startTime": "2031-01-12T20:00:00Z", "readyTime": "2031-01-12T19:50:00Z",
                "endTime": "2031-01-12T22:00:00Z", "timeZone": "Europe/Paris",
                "signals": [{"name": "sessions", "target": "web", "metricsSourceRef": {"name": "main"},
                    "query": "x", "perReplica": "200"}],
                "targets": [{"name": "web", "replicas": 180, "maxReplicas": 260,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}]},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn the_largest_cause_the_limit_and_the_reason_are_said() {
        let live =
            run(&json!({"stage": "Live", "targets": [{"name": "web", "workload": "Deployment/web",
                "planned": 180, "floor": 225, "highestFloor": 225, "ready": 220}],
            "signals": [{"name": "sessions", "value": "45000", "required": 225}]}));
        let told = explain(&live, "web", None, &[], false);
        for words in [
            "floor 225, the largest of:\n        180  the plan\n",
            "225  signal sessions: 45000 now",
            "limit 260 (maxReplicas)",
            "ready 220 of 225",
            "not lowered: the event lasts until 23:00:00 CET",
        ] {
            assert!(told.contains(words), "{words} in:\n{told}");
        }
        let early = run(&json!({"stage": "Planned", "beginTime": "2031-01-12T19:20:00Z",
            "targets": [{"name": "web", "workload": "Deployment/web", "planned": 180}]}));
        let told = explain(&early, "web", None, &[], true);
        assert!(told.contains("not raised yet: the run begins at 19:20:00 UTC"), "{told}");
        assert!(told.contains("floor none"), "{told}");
    }
}
