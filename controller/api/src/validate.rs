//! Validation of the API specs, and conversion into the types of `primetime_core`. The functions
//! check every field again and do not rely on the CEL rules of the CRDs.

mod degrade;
mod job;
mod reference;
mod schedule;

use primetime_core::decimal::Decimal;
use primetime_core::state::announcement::{
    self, Announcement, LARGEST_MULTIPLIER, MOST_REPLICAS, ReleasePace, Want, Workload,
};
use primetime_core::state::{hold, shape};
use primetime_core::{reference as references, seconds};

use self::reference::name;
pub(crate) use self::schedule::follows;
pub use self::schedule::{
    LATEST_ANNOUNCEMENT, not_in_the_past, not_too_far, schedule as schedule_of, warnings,
};
use crate::event::{
    EventSpec, LOOK_AHEAD_SECONDS, Rung, ScaleTargetRef, Signal, StartPolicy, Target,
};
use crate::shape::Shape;

/// Returns a reason for each query in `spec.signals[].query` that the operator does not send.
///
/// The function applies to a new or changed `ScheduledSurge`. A stored `SurgeRun` with such a query
/// keeps the holds.
pub(crate) fn queries(signals: &[Signal]) -> Vec<String> {
    let wrong = |(i, signal): (usize, &Signal)| {
        let why = references::query(&signal.query).err()?;
        Some(format!("spec.signals[{i}].query: {why}"))
    };
    signals.iter().enumerate().filter_map(wrong).collect()
}

/// Returns a reason for each target that is planned with more than [`LARGEST_MULTIPLIER`] times its
/// usual replicas, or with more than [`MOST_REPLICAS`].
///
/// The function applies to a new or changed `ScheduledSurge`. The planner clips the plan of a stored
/// `SurgeRun`, and keeps the holds.
pub(crate) fn too_large(targets: &[Target]) -> Vec<String> {
    let mut reasons = Vec::new();
    for (i, target) in targets.iter().enumerate() {
        let factors = target.multiplier.iter().chain(target.rungs.iter().map(|r| &r.multiplier));
        for factor in factors.filter_map(|text| text.parse::<Decimal>().ok()) {
            if factor > Decimal::from(LARGEST_MULTIPLIER) {
                reasons.push(format!(
                    "spec.targets[{i}]: multiplier must be at most {LARGEST_MULTIPLIER}, and it is \
                     {factor}"
                ));
            }
        }
        if let (Some(load), Some(each)) = (target.load, target.load_per_replica)
            && each > 0
            && (load - 1) / each >= i64::from(MOST_REPLICAS)
        {
            reasons
                .push(format!("spec.targets[{i}]: load needs more than {MOST_REPLICAS} replicas"));
        }
    }
    reasons
}

/// Refuses a kind that Kubernetes, KEDA or Primetime itself serves without a `scale` subresource.
/// The admission webhook asks the API server about every other kind.
fn scales(api_version: &str, kind: &str) -> Result<(), String> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let scales = match group {
        "" => kind == "ReplicationController",
        "apps" => matches!(kind, "Deployment" | "ReplicaSet" | "StatefulSet"),
        "autoscaling" | "keda.sh" => {
            return Err(format!(
                "scaleTargetRef: {kind} is an autoscaler; name the workload that it scales, and \
                 Primetime raises the bounds of the autoscaler"
            ));
        }
        "batch" | "policy" | "networking.k8s.io" | "primetime.dev" => false,
        _ => true,
    };
    if scales {
        return Ok(());
    }
    Err(format!(
        "scaleTargetRef: {kind} of {api_version} has no scale subresource, so its replicas cannot be \
         set; name a Deployment, a StatefulSet, or another kind that kubectl scale accepts"
    ))
}

fn workload(written: &ScaleTargetRef) -> Result<Workload, String> {
    let at = |why| format!("scaleTargetRef: {why}");
    references::group_version(&written.api_version).map_err(at)?;
    references::kind(&written.kind).map_err(at)?;
    references::name(&written.name).map_err(at)?;
    scales(&written.api_version, &written.kind)?;
    let workload = Workload::from(written);
    let held = hold::name(&workload).len();
    if held > references::NAME_LENGTH {
        return Err(format!(
            "scaleTargetRef: the name is too long: the name of its SurgeHold, which has the kind in it, would have {held} characters, and {} are allowed",
            references::NAME_LENGTH
        ));
    }
    Ok(workload)
}

/// Validates the fields that `ScheduledSurge` and `SurgeRun` share.
///
/// The function checks the fields in their order, because each part refers to names that an earlier
/// part declares.
///
/// # Errors
///
/// Returns every reason for refusing the spec, each with the path of its field.
pub(crate) fn announcement(announced: &EventSpec) -> Result<Announcement, Vec<String>> {
    let EventSpec { targets, machines, signals, hold, release, .. } = announced;
    let EventSpec { on_unknown, start_policy, armed_seconds, .. } = announced;
    let mut errors = Vec::new();
    if armed_seconds.is_some() && *start_policy != StartPolicy::Manual {
        errors.push("spec.armedSeconds: belongs to startPolicy Manual only".to_owned());
    }
    let common = announced.shape.as_ref().map(Shape::read).transpose();
    let common = common.unwrap_or_else(|e| {
        errors.push(format!("spec.{e}"));
        None
    });
    let mut keep = |result: Result<_, String>| result.map_err(|e| errors.push(e)).ok();
    let good_targets: Vec<_> = targets
        .iter()
        .enumerate()
        .filter_map(|(i, t)| {
            keep(target(t, common.as_ref()).map_err(|e| format!("spec.targets[{i}]: {e}")))
        })
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
    let good_machines: Vec<_> = machines
        .iter()
        .enumerate()
        .filter_map(|(i, m)| match name("instanceClassRef", &m.instance_class_ref.name) {
            Ok(class) => {
                Some(announcement::MachineGroup { name: m.name.clone(), class, count: m.count })
            }
            Err(e) => {
                errors.push(format!("spec.machines[{i}].{e}"));
                None
            }
        })
        .collect();
    let jobs = job::jobs(announced).unwrap_or_else(|more| {
        errors.extend(more);
        Vec::new()
    });
    let degrade = degrade::ladder(announced).unwrap_or_else(|more| {
        errors.extend(more);
        Vec::new()
    });
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Announcement {
        degrade,
        targets: good_targets,
        jobs,
        machines: good_machines,
        signals: good_signals,
        on_unknown: *on_unknown,
        hold: hold.as_ref().map(|h| announcement::HoldAfterEnd {
            until_below_percent: h.until_below_percent.clamp(1, 99),
            for_time: seconds(h.for_seconds),
            max_time: seconds(h.max_seconds),
        }),
        release: ReleasePace {
            step_percent: release.step_percent.clamp(1, 100),
            step_time: seconds(release.step_seconds.max(1)),
        },
        start: match start_policy {
            StartPolicy::Automatic => announcement::Start::Automatic,
            StartPolicy::Manual => {
                announcement::Start::Manual { within: armed_seconds.map(seconds) }
            }
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

/// Validates a target. `common` is the shape of the surge, for a target without a shape of its own.
fn target(target: &Target, common: Option<&shape::Shape>) -> Result<announcement::Target, String> {
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
    Ok(announcement::Target {
        name: target.name.clone(),
        workload: workload(&target.scale_target_ref)?,
        want,
        max_replicas,
        rungs: rungs(target)?,
        max_step: target.max_step_replicas.map(|n| replicas("maxStepReplicas", n)).transpose()?,
        lead: seconds(target.lead_seconds),
        shape: target.shape.as_ref().map(Shape::read).transpose()?.or_else(|| common.cloned()),
    })
}

/// Converts `rungs` of a target and sorts the rungs by `multiplier`, lowest first.
fn rungs(target: &Target) -> Result<Vec<announcement::Rung>, String> {
    let read = |rung: &Rung| {
        let multiplier = rung.multiplier.parse::<Decimal>();
        let multiplier = multiplier.map_err(|e| format!("rungs: {}: {e}", rung.name))?;
        Ok(announcement::Rung { name: rung.name.clone(), multiplier })
    };
    let mut rungs = target.rungs.iter().map(read).collect::<Result<Vec<_>, String>>()?;
    rungs.sort_by_key(|rung| rung.multiplier);
    Ok(rungs)
}

fn signal(signal: &Signal, targets: &[Target]) -> Result<announcement::Signal, String> {
    Ok(announcement::Signal {
        name: signal.name.clone(),
        source: name("metricsSourceRef", &signal.metrics_source_ref.name)?,
        query: signal.query.clone(),
        raises: raises(signal, targets)?,
    })
}

/// Returns the target that a signal raises, with the rule for the replicas, or `None` if the signal
/// has no `target`.
fn raises(signal: &Signal, targets: &[Target]) -> Result<Option<announcement::Raises>, String> {
    let Some(name) = &signal.target else {
        if signal.per_replica.is_some() || signal.threshold.is_some() {
            return Err("perReplica and threshold belong to a target".to_owned());
        }
        return Ok(None);
    };
    let Some(target) = targets.iter().find(|t| t.name == *name) else {
        return Err(format!("target \"{name}\" is not a target of this surge"));
    };
    let (carries, look_ahead) = match (&signal.per_replica, &signal.threshold) {
        (Some(each), None) => {
            let each = each.parse().map_err(|e| format!("perReplica: {e}"))?;
            let ahead = signal.look_ahead_seconds.unwrap_or(LOOK_AHEAD_SECONDS);
            (announcement::Carries::PerReplica(each), ahead.min(target.lead_seconds))
        }
        (None, Some(_)) if signal.look_ahead_seconds.is_some() => {
            return Err("lookAheadSeconds belongs to perReplica only".to_owned());
        }
        (None, Some(full)) => {
            let full = full.parse().map_err(|e| format!("threshold: {e}"))?;
            (announcement::Carries::Threshold(full), 0)
        }
        _ => return Err("exactly one of perReplica and threshold".to_owned()),
    };
    Ok(Some(announcement::Raises {
        target: name.clone(),
        carries,
        look_ahead: seconds(look_ahead),
    }))
}
