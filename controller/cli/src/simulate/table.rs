//! Simulated evening as text: assumptions, timeline, figures.

use std::collections::BTreeSet;
use std::fmt::Write;

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::format::number as shown;
use primetime_core::schedule::in_zone;
use primetime_sim::announced::evening::Evening;
use primetime_sim::evening::recording::Recording;
use primetime_sim::outcome::Outcome;
use primetime_sim::script::Script;

use super::report::Strategies;

/// Describes the evening and the assumptions about the cluster.
pub fn evening(evening: &Evening, script: &Script) -> String {
    let mut out = String::new();
    let zone = evening.spec.schedule.zone_name();
    let window = evening.window();
    let _ = writeln!(out, "{}/{}", evening.namespace, evening.name);
    let _ = writeln!(out, "  start {}", in_zone(window.start, zone));
    let _ = writeln!(out, "  T0    {}", in_zone(window.ready_by, zone));
    let _ = writeln!(out, "  end   {}", in_zone(window.end, zone));
    let load = &evening.curve;
    let _ = writeln!(
        out,
        "  load  {} before, {} at its highest",
        shown(load.usual()),
        shown(load.peak())
    );
    if let Some(then) = load.remembers {
        let _ = writeln!(out, "        as it was from {}", in_zone(then, zone));
    }
    let played = |at: Instant| distance(at - window.ready_by);
    let (from, to) = (played(evening.begin), played(evening.end));
    let _ = writeln!(out, "  played and measured from {from} to {to} around T0");
    let _ = writeln!(out, "\nAssumed");
    for t in &evening.targets {
        let (min, max) = evening.bounds(t);
        let _ = writeln!(
            out,
            "  {}: {} replicas before, {} of load each, an HPA at {} % of that from {min} to {max}",
            t.name,
            t.baseline,
            shown(t.per_replica),
            evening.assumptions.hpa_percent,
        );
    }
    let (least, most) = evening.assumptions.pod_seconds;
    let _ = writeln!(
        out,
        "  {} machines before, {} pods on each; pods ready after {least} to {most} s, machines after {} s",
        evening.base_nodes, evening.assumptions.pods_per_node, evening.assumptions.machine_seconds
    );
    if !evening.spec.announcement.jobs.is_empty() {
        let _ = writeln!(out, "  each Job is done after {least} to {} s", most * 2);
    }
    if !script.is_empty() {
        let _ = writeln!(out, "  {script}");
    }
    out
}

/// Lists the decisions of the run with their times and reasons, and the times at which targets and
/// machines became ready.
pub fn timeline(evening: &Evening, recording: &Recording) -> String {
    let mut lines: BTreeSet<(Instant, String)> = BTreeSet::new();
    for event in recording.history.iter().filter(|e| e.key.0.kind == "SurgeRun") {
        let decisions = event.object.pointer("/status/decisions").and_then(|d| d.as_array());
        for decision in decisions.into_iter().flatten() {
            let text = |name: &str| decision.get(name).and_then(serde_json::Value::as_str);
            let at = text("time").and_then(|t| t.parse::<Instant>().ok());
            if let (Some(at), Some(message)) = (at, text("message")) {
                lines.insert((at, message.to_owned()));
            }
        }
    }
    for target in &evening.targets {
        let planned = i64::from(target.planned);
        let ready = recording.looks.iter().find(|look| {
            look.workloads.iter().any(|w| w.name == target.workload && w.ready >= planned)
        });
        if let Some(look) = ready {
            lines.insert((look.at, format!("{}: {planned} of {planned} pods ready", target.name)));
        }
    }
    let machines = usize::try_from(evening.machines()).unwrap_or(0);
    let mut boots: Vec<Instant> = recording.machines.iter().map(|m| m.boots_at).collect();
    boots.sort();
    if let Some(at) = machines.checked_sub(1).and_then(|n| boots.get(n)) {
        lines.insert((*at, format!("{machines} of {machines} machines ready")));
    }
    let window = evening.window();
    lines.insert((window.ready_by, "--- T0".to_owned()));
    lines.insert((window.start, "--- the event starts".to_owned()));
    lines.insert((window.end, "--- the event ends, at the earliest".to_owned()));
    let zone = evening.spec.schedule.zone_name();
    let mut out = format!("\n{:<23} {:>9}  WHAT AND WHY\n", "TIME", "T0");
    for (at, message) in lines {
        let wall = in_zone(at, zone);
        let wall = wall.get(..23).unwrap_or(&wall);
        let _ = writeln!(out, "{wall:<23} {:>9}  {message}", distance(at - window.ready_by));
    }
    out
}

fn distance(time: TimeDelta) -> String {
    let (sign, n) = if time < TimeDelta::zero() { ('-', -time) } else { ('+', time) };
    let n = (n.num_milliseconds() + 500) / 1000;
    if n < 3_600 {
        format!("{sign}{:02}:{:02}", n / 60, n % 60)
    } else {
        format!("{sign}{}:{:02}:{:02}", n / 3_600, n / 60 % 60, n % 60)
    }
}

/// Formats the figures, with a column for each strategy.
pub fn figures(strategies: &Strategies) -> String {
    let columns: Vec<(&str, &Outcome)> = [
        ("primetime", Some(&strategies.primetime)),
        ("HPA alone", strategies.hpa.as_ref()),
        ("KEDA cron", strategies.keda_cron.as_ref()),
        ("oracle", strategies.oracle.as_ref()),
    ]
    .into_iter()
    .filter_map(|(name, outcome)| Some((name, outcome?)))
    .collect();
    let mut out = format!("\n{:<24}", "");
    for (name, _) in &columns {
        let _ = write!(out, "{name:>18}");
    }
    out.push('\n');
    let mut row = |name: &str, cell: &dyn Fn(&Outcome) -> String| {
        let _ = write!(out, "{name:<24}");
        for (_, outcome) in &columns {
            let _ = write!(out, "{:>18}", cell(outcome));
        }
        out.push('\n');
    };
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let share = |n: i64, of: i64| {
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        let percent = 100.0 * n as f64 / of.max(1) as f64;
        format!("{n} ({percent:.1} %)")
    };
    let hours = |seconds: i64| format!("{}.{}", seconds / 3_600, seconds % 3_600 / 360);
    row("ready at T0", &|o| yes(o.ready_at_t0));
    row("minutes short", &|o| format!("{:.1}", o.minutes_short));
    row("replica-seconds short", &|o| share(o.short_replica_seconds, o.demand_replica_seconds));
    row("replica-seconds spare", &|o| share(o.excess_replica_seconds, o.demand_replica_seconds));
    row("machine hours", &|o| hours(o.machine_seconds));
    row("left over", &|o| match o.left_over.len() {
        0 => "nothing".to_owned(),
        n => n.to_string(),
    });
    for (name, outcome) in columns {
        for line in &outcome.left_over {
            let _ = writeln!(out, "  left over by {name}: {line}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_read_at_a_glance() {
        let at = |n| distance(TimeDelta::seconds(n));
        assert_eq!(
            [at(-3_725), at(-65), at(0), at(59)],
            ["-1:02:05", "-01:05", "+00:00", "+00:59"]
        );
    }
}
