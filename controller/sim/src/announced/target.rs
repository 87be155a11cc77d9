//! What each target carries, and how many replicas there are before the event.

use chrono::TimeDelta;
use primetime_core::state::announcement::{Carries, Target as Announced, Want};
use primetime_core::state::surge::SurgeSpec;
use serde_json::Value;

use crate::announced::assumptions::Assumptions;
use crate::announced::objects::{is, number, scales};
use crate::curve::Curve;
use crate::whole;

/// Replicas before the event, of a target of which nothing says it.
const BASELINE: u32 = 5;

/// A target and the load that it carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Name within the surge.
    pub name: String,
    /// Name of the workload.
    pub workload: String,
    /// Load that one replica carries, as announced.
    pub per_replica: f64,
    /// Load that it can bear.
    pub bears: f64,
    /// Replicas before the event.
    pub baseline: u32,
    /// Replicas that were announced.
    pub planned: u32,
    /// As far as autoscaling may climb.
    pub max: u32,
    /// Seconds from raising it until its pods are ready, as announced.
    pub lead: TimeDelta,
}

impl Target {
    /// Replicas that a load needs.
    #[must_use]
    pub fn demand(&self, load: f64) -> i64 {
        whole((load / self.bears).ceil().min(1e9))
    }

    /// Replicas that carry a load as was announced: with some room in each, where they are not to be full.
    #[must_use]
    pub fn with_headroom(&self, load: f64) -> i64 {
        whole((load / self.per_replica).ceil().min(1e9))
    }
}

/// What is said of a target's replicas before the event.
pub(super) fn stated(
    target: &Announced,
    given: &[Value],
    assumptions: &Assumptions,
) -> Option<u32> {
    let deployment = given.iter().find(|o| is(o, "Deployment", &target.workload.name));
    let written = deployment.and_then(|d| number(d, "/spec/replicas"));
    let hpa = given.iter().find(|o| scales(o, &target.workload.name));
    let least = hpa.and_then(|h| number(h, "/spec/minReplicas"));
    assumptions.replicas.get(&target.name).copied().or_else(|| written.max(least))
}

/// Load that one replica of a target carries, where the surge says it.
fn per_replica(spec: &SurgeSpec, target: &Announced) -> Option<f64> {
    let raises = spec.announcement.signals_of(&target.name).next();
    let decimal = raises.and_then(|(_, raises)| match raises.carries {
        Carries::PerReplica(each) => Some(each.as_f64()),
        Carries::Threshold(_) => None,
    });
    let announced = match target.want {
        #[expect(clippy::cast_precision_loss, reason = "a load that a person wrote")]
        Want::Load { per_replica, .. } => Some(per_replica as f64),
        Want::Replicas(_) | Want::Multiplier(_) => None,
    };
    decimal.or(announced).filter(|n| *n > 0.0)
}

/// The load as it was announced, in the units of the first target of which the surge says what a replica carries;
/// otherwise in replicas of the first.
pub(super) fn announced(spec: &SurgeSpec, baseline: &impl Fn(&Announced) -> Option<u32>) -> Curve {
    let targets = &spec.announcement.targets;
    let told = targets.iter().find(|t| per_replica(spec, t).is_some()).or_else(|| targets.first());
    let duration = spec.schedule.last_once().map_or(0.0, |o| (o.end - o.start).as_seconds_f64());
    let Some(target) = told else { return Curve::announced(1.0, 1.0, duration) };
    let one = per_replica(spec, target).unwrap_or(1.0);
    let before = baseline(target).unwrap_or_else(|| match target.want {
        // The fixture's ratio: 10 pods become 180.
        Want::Replicas(_) | Want::Load { .. } => target.want.replicas(0).div_ceil(18),
        Want::Multiplier(_) => BASELINE,
    });
    let planned = f64::from(target.want.replicas(before));
    Curve::announced(f64::from(before) * one, planned * one, duration)
}

pub(super) fn targets(
    spec: &SurgeSpec,
    curve: &Curve,
    full_percent: u32,
    baseline: impl Fn(&Announced) -> Option<u32>,
) -> Vec<Target> {
    let positive = |n: f64| Some(n).filter(|n| n.is_finite() && *n > 0.0);
    let targets = spec.announcement.targets.iter();
    targets
        .map(|target| {
            let carried = per_replica(spec, target).or_else(|| match target.want {
                // The plan is taken to fit the curve's peak.
                Want::Replicas(n) => positive(curve.peak() / f64::from(n)),
                Want::Multiplier(_) | Want::Load { .. } => None,
            });
            let usual = carried.map(|one| (curve.usual() / one).ceil());
            let usual = usual.and_then(|n| u32::try_from(whole(n)).ok());
            let before = baseline(target).unwrap_or_else(|| usual.unwrap_or(BASELINE).max(1));
            let planned = target.want.replicas(before).max(before);
            // Without a word on it, a replica carries what it carries on a usual evening.
            let one = carried
                .or_else(|| positive(curve.usual() / f64::from(before)))
                .or_else(|| positive(curve.peak() / f64::from(planned)))
                // A multiple of no replicas: as much as if it ran before the event.
                .or_else(|| positive(curve.usual() / f64::from(BASELINE)));
            let one = one.unwrap_or(1.0);
            Target {
                name: target.name.clone(),
                workload: target.workload.name.clone(),
                per_replica: one,
                bears: one * 100.0 / f64::from(full_percent.max(1)),
                baseline: before,
                planned,
                max: target.max_replicas.unwrap_or(planned).max(planned),
                lead: target.lead,
            }
        })
        .collect()
}
