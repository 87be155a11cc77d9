//! Figures of an evening: missing and excess replica-seconds, machine-seconds, and changes left
//! over after the release.

use chrono::TimeDelta;
use primetime_core::Instant;
use serde::Serialize;
use serde_json::Value;

use crate::announced::evening::Evening;
use crate::announced::target::Target;
use crate::evening::Scenario;
use crate::evening::recording::Recording;

/// Figures of an evening.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Replicas that the load needed, integrated over time in replica-seconds.
    pub demand_replica_seconds: i64,
    /// Ready replicas missing below the demand, in replica-seconds.
    pub short_replica_seconds: i64,
    /// Desired replicas above the demand, in replica-seconds. Replicas that still warm up count.
    pub excess_replica_seconds: i64,
    /// Minutes in which at least one target had fewer ready replicas than the load needed.
    pub minutes_short: f64,
    /// True if every target had the planned replicas ready at T0.
    pub ready_at_t0: bool,
    /// Lifetime of all machines launched for the event, in seconds.
    pub machine_seconds: i64,
    /// Objects, instances and fields that differ from the state before the evening.
    pub left_over: Vec<String>,
}

/// Computes the figures of a recorded evening. Missing replicas count from `short_from` on.
#[must_use]
pub fn measure(
    evening: &Evening,
    scenario: &Scenario,
    recording: &Recording,
    short_from: Instant,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut short_for = TimeDelta::zero();
    let nexts = recording.looks.iter().skip(1).map(|l| l.at).chain([evening.end]);
    for (look, next) in recording.looks.iter().zip(nexts) {
        let time = (next - look.at).num_seconds().max(0);
        let mut any = false;
        for target in &evening.targets {
            let demand = target.demand(evening.load(look.at));
            let seen = look.workloads.iter().find(|w| w.name == target.workload);
            let (asked, ready) = seen.map_or((0, 0), |w| (w.replicas, w.ready));
            outcome.demand_replica_seconds += demand * time;
            outcome.excess_replica_seconds += (asked - demand).max(0) * time;
            if look.at >= short_from {
                outcome.short_replica_seconds += (demand - ready).max(0) * time;
                any |= ready < demand;
            }
        }
        if any {
            short_for += TimeDelta::seconds(time);
        }
    }
    outcome.minutes_short = minutes(short_for);
    let t0 = recording.looks.iter().find(|look| look.at >= evening.ready_by());
    outcome.ready_at_t0 = t0.is_some_and(|look| {
        evening.targets.iter().all(|target| {
            let seen = look.workloads.iter().find(|w| w.name == target.workload);
            // A multiple of zero replicas plans zero replicas. A target without a ready pod is
            // still not ready.
            let due = evening.due(target, look.at).unwrap_or(target.planned);
            seen.is_some_and(|w| w.ready >= i64::from(due.max(1)))
        })
    });
    let used = |m: &crate::cloud::Machine| m.ended_at.unwrap_or(evening.end) - m.started_at;
    outcome.machine_seconds = recording.machines.iter().map(|m| used(m).num_seconds()).sum();
    outcome.left_over = left_over(scenario, recording);
    outcome
}

/// Rules that a strategy with knowledge of the future load has to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// Fewest replicas that keep the promise: the planned replicas are ready from T0 until the
    /// start. After the start, the replicas follow the load.
    Least,
    /// Fewest replicas that keep the floors as well: from T0 until the end, replicas never fall
    /// below the plan or below an earlier peak. With a shape, the plan is the share of the time, and
    /// an earlier peak is over.
    KeepingTheFloor,
}

/// Computes the figures of a strategy that knows the future load. The strategy requests each
/// replica at the latest time at which the replica is still ready when needed.
#[must_use]
pub fn oracle(evening: &Evening, may: Oracle) -> Outcome {
    let (least, most) = evening.assumptions.pod_seconds;
    let warm_up = i64::from(least.midpoint(most));
    let boot = i64::from(evening.assumptions.machine_seconds);
    let length = (evening.end - evening.begin).num_seconds();
    let instant = |n: i64| evening.begin + TimeDelta::seconds(n);
    let (t0, start) = (evening.ready_by(), evening.start);
    let end = match may {
        Oracle::Least => start,
        Oracle::KeepingTheFloor => start + evening.duration,
    };
    let need = |target: &Target, at: Instant, before: &mut i64| {
        // The user set `spec.minReplicas` of the HPA, so that minimum applies without a run as
        // well.
        let load = target.with_headroom(evening.load(at)).max(evening.bounds(target).0.into());
        if at < t0 || at >= end {
            return load;
        }
        let floor = match may {
            Oracle::Least => 0,
            Oracle::KeepingTheFloor => *before,
        };
        if let Some(due) = evening.due(target, at) {
            return load.max(i64::from(due));
        }
        *before = load.max(i64::from(target.planned)).max(floor);
        *before
    };
    let mut outcome = Outcome { ready_at_t0: true, ..Outcome::default() };
    let mut asked_for = vec![0; usize::try_from(length).unwrap_or(0)];
    for target in &evening.targets {
        let mut before = 0;
        let needs: Vec<i64> = (0..length).map(|n| need(target, instant(n), &mut before)).collect();
        for ((n, total), asked) in (0..).zip(&mut asked_for).zip(ahead(&needs, warm_up)) {
            let demand = target.demand(evening.load(instant(n)));
            outcome.demand_replica_seconds += demand;
            outcome.excess_replica_seconds += asked - demand;
            *total += asked;
        }
    }
    let per_node = i64::from(evening.assumptions.pods_per_node.max(1));
    let room = i64::from(evening.base_nodes) * per_node;
    let machines: Vec<i64> = asked_for.iter().map(|n| (n - room).max(0)).collect();
    outcome.machine_seconds =
        ahead(&machines, boot).iter().map(|n| (n + per_node - 1) / per_node).sum();
    outcome
}

/// Returns, for each value, the highest of the value itself and the next `time` values.
fn ahead(values: &[i64], time: i64) -> Vec<i64> {
    let time = usize::try_from(time).unwrap_or(0);
    // Sliding-window maximum from the back. The deque holds the values that no later value exceeds.
    let mut highest: std::collections::VecDeque<(usize, i64)> = std::collections::VecDeque::new();
    let mut result = vec![0; values.len()];
    for (n, (value, slot)) in values.iter().zip(&mut result).enumerate().rev() {
        while highest.front().is_some_and(|(_, v)| v <= value) {
            highest.pop_front();
        }
        highest.push_front((n, *value));
        while highest.back().is_some_and(|(at, _)| *at > n + time) {
            highest.pop_back();
        }
        *slot = highest.back().map_or(*value, |(_, v)| *v);
    }
    result
}

fn minutes(time: TimeDelta) -> f64 {
    (time.as_seconds_f64() / 6.0).round() / 10.0
}

/// Lists the differences between the state before and after the evening.
///
/// Runs without a finalizer are no difference, because the planner keeps runs as history. Replicas
/// of a Deployment with an HPA are no difference, because the HPA owns `spec.replicas`.
fn left_over(scenario: &Scenario, recording: &Recording) -> Vec<String> {
    let mut left: Vec<String> = recording
        .machines
        .iter()
        .filter(|m| m.ended_at.is_none())
        .map(|m| format!("instance {} runs", m.id))
        .collect();
    let last = recording.last();
    for ((kind, name), object) in &last {
        let finalizers = object.pointer("/metadata/finalizers").is_some();
        match *kind {
            "SurgeHold" => left.push(format!("SurgeHold {name} is there")),
            "SurgeRun" if finalizers => left.push(format!("SurgeRun {name} is not over")),
            _ => {}
        }
    }
    let text = |object: &Value, pointer: &str| -> String {
        object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let scaled: Vec<String> = scenario
        .objects
        .iter()
        .filter(|o| text(o, "/kind") == "HorizontalPodAutoscaler")
        .map(|o| text(o, "/spec/scaleTargetRef/name"))
        .collect();
    for before in &scenario.objects {
        let (kind, name) = (text(before, "/kind"), text(before, "/metadata/name"));
        if kind == "Deployment" && scaled.contains(&name) || kind == "ScheduledSurge" {
            continue;
        }
        let Some(after) = last.get(&(kind.as_str(), name.as_str())) else {
            left.push(format!("{kind} {name} is gone"));
            continue;
        };
        let fields = before.get("spec").and_then(Value::as_object).into_iter().flatten();
        for (field, value) in fields {
            let now = after.get("spec").and_then(|s| s.get(field)).unwrap_or(&Value::Null);
            if now != value {
                left.push(format!("{kind} {name}: spec.{field} is {now}, was {value}"));
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_soon_is_asked_for_now() {
        assert_eq!(ahead(&[1, 1, 5, 1, 2], 0), [1, 1, 5, 1, 2]);
        assert_eq!(ahead(&[1, 1, 5, 1, 2], 1), [1, 5, 5, 2, 2]);
        assert_eq!(ahead(&[1, 1, 5, 1, 2], 9), [5, 5, 5, 2, 2]);
    }
}
