//! From what people wrote to what the core can act upon: everything is checked here once, whatever CEL has let in.

mod schedule;

use chrono::TimeDelta;

use primetime_core::decimal::Decimal;
use primetime_core::surge::{self, Announcement, ReleasePace, Want};
use primetime_core::world::SurgeSpec;

pub use self::schedule::{
    LATEST_ANNOUNCEMENT, not_in_the_past, schedule as schedule_of, short_of_time,
};
use crate::surge::{
    HoldAfterEnd, MachineGroup, Release, ScheduledSurgeSpec, Signal, StartPolicy, Target,
};

fn seconds(n: u32) -> TimeDelta {
    TimeDelta::seconds(i64::from(n))
}

/// Validates a surge.
///
/// # Errors
///
/// Every reason why it cannot be understood: a field path and a sentence each.
pub fn surge(spec: &ScheduledSurgeSpec) -> Result<SurgeSpec, Vec<String>> {
    let schedule = schedule::schedule(&spec.schedule);
    let announcement = announcement(
        &spec.targets,
        &spec.machines,
        &spec.signals,
        spec.hold.as_ref(),
        &spec.release,
        (spec.start_policy, spec.armed_seconds),
    );
    match (schedule, announcement) {
        (Ok(schedule), Ok(announcement)) => Ok(SurgeSpec {
            follows: schedule::follows(&spec.schedule),
            schedule,
            ready_before: seconds(spec.ready_before_seconds),
            suspend: spec.suspend,
            starting_deadline: spec.starting_deadline_seconds.map(seconds),
            upcoming_limit: spec.upcoming_limit.clamp(1, 20) as usize,
            history_limit: spec.history_limit.clamp(1, 100) as usize,
            announcement,
        }),
        (Err(errors), Ok(_)) | (Ok(_), Err(errors)) => Err(errors),
        (Err(mut errors), Err(more)) => {
            errors.extend(more);
            Err(errors)
        }
    }
}

/// Validates what a surge and a run have in common.
///
/// # Errors
///
/// Every reason, with a field path each.
pub fn announcement(
    targets: &[Target],
    machines: &[MachineGroup],
    signals: &[Signal],
    hold: Option<&HoldAfterEnd>,
    release: &Release,
    (start_policy, armed_seconds): (StartPolicy, Option<u32>),
) -> Result<Announcement, Vec<String>> {
    let mut errors = Vec::new();
    if armed_seconds.is_some() && start_policy != StartPolicy::Manual {
        errors.push("spec.armedSeconds: belongs to startPolicy Manual only".to_owned());
    }
    let mut keep = |result: Result<_, String>| result.map_err(|e| errors.push(e)).ok();
    let good_targets: Vec<_> = targets
        .iter()
        .enumerate()
        .filter_map(|(i, t)| keep(target(t).map_err(|e| format!("spec.targets[{i}]: {e}"))))
        .collect();
    let good_signals: Vec<_> = signals
        .iter()
        .enumerate()
        .filter_map(|(i, s)| match signal(s, targets) {
            Ok(signal) => Some(signal),
            Err(e) => {
                errors.push(format!("spec.signals[{i}]: {e}"));
                None
            }
        })
        .collect();
    for (i, t) in targets.iter().enumerate() {
        if targets.iter().take(i).any(|u| u.scale_target_ref == t.scale_target_ref) {
            errors.push(format!("spec.targets[{i}]: the same workload is named twice"));
        }
    }
    if targets.is_empty() && machines.is_empty() {
        errors.push("spec: at least one target or one group of machines".to_owned());
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Announcement {
        targets: good_targets,
        machines: machines
            .iter()
            .map(|m| surge::MachineGroup {
                name: m.name.clone(),
                class: m.instance_class_ref.name.clone(),
                count: m.count,
            })
            .collect(),
        signals: good_signals,
        hold: hold.map(|h| surge::HoldAfterEnd {
            until_below_percent: h.until_below_percent.clamp(1, 99),
            for_time: seconds(h.for_seconds),
            max_time: seconds(h.max_seconds),
        }),
        release: ReleasePace {
            step_percent: release.step_percent.clamp(1, 100),
            step_time: seconds(release.step_seconds.max(1)),
        },
        start: match start_policy {
            StartPolicy::Automatic => surge::Start::Automatic,
            StartPolicy::Manual => surge::Start::Manual { within: armed_seconds.map(seconds) },
        },
    })
}

fn positive(field: &str, value: i64) -> Result<u64, String> {
    u64::try_from(value)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("{field} must be at least 1"))
}

fn replicas(field: &str, value: i32) -> Result<u32, String> {
    let n = positive(field, i64::from(value))?;
    u32::try_from(n).map_err(|_| format!("{field} is out of range"))
}

fn target(target: &Target) -> Result<surge::Target, String> {
    let want = match (target.replicas, &target.multiplier, target.load) {
        (Some(n), None, None) => Want::Replicas(replicas("replicas", n)?),
        (None, Some(by), None) => {
            Want::Multiplier(by.parse::<Decimal>().map_err(|e| format!("multiplier: {e}"))?)
        }
        (None, None, Some(load)) => {
            let per_replica = target
                .load_per_replica
                .ok_or_else(|| "load and loadPerReplica belong together".to_owned())?;
            Want::Load {
                load: positive("load", load)?,
                per_replica: positive("loadPerReplica", per_replica)?,
            }
        }
        _ => return Err("exactly one of replicas, multiplier and load".to_owned()),
    };
    let max_replicas = target.max_replicas.map(|n| replicas("maxReplicas", n)).transpose()?;
    if let Some(max) = max_replicas
        && !want.needs_baseline()
        && want.replicas(0) > max
    {
        return Err(format!("{} replicas exceed maxReplicas {max}", want.replicas(0)));
    }
    Ok(surge::Target {
        name: target.name.clone(),
        workload: (&target.scale_target_ref).into(),
        want,
        max_replicas,
        lead: seconds(target.lead_seconds),
    })
}

fn signal(signal: &Signal, targets: &[Target]) -> Result<surge::Signal, String> {
    if !targets.iter().any(|t| t.name == signal.target) {
        return Err(format!("target \"{}\" is not a target of this surge", signal.target));
    }
    Ok(surge::Signal {
        name: signal.name.clone(),
        source: signal.metrics_source_ref.name.clone(),
        query: signal.query.clone(),
        target: signal.target.clone(),
        per_replica: signal.per_replica.parse().map_err(|e| format!("perReplica: {e}"))?,
    })
}
