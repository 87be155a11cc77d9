//! Load that each target carries, and its replicas before the event.

use chrono::TimeDelta;
use primetime_core::shape;
use primetime_core::state::announcement::{Carries, Target as Announced, Want};
use primetime_core::state::surge::SurgeSpec;
use serde_json::Value;

use crate::announced::assumptions::Assumptions;
use crate::announced::objects::{is, number, scales};
use crate::curve::Curve;
use crate::whole;

/// Default replicas before the event, if no document, assumption or load implies a number.
const BASELINE: u32 = 5;

/// A target and the load that its replicas carry.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Name of the target within the surge.
    pub name: String,
    /// Name of the workload.
    pub workload: String,
    /// Load that one replica carries as announced.
    pub per_replica: f64,
    /// Load that one replica can bear at full utilization.
    pub bears: f64,
    /// Replicas before the event.
    pub baseline: u32,
    /// Replicas that the surge announces for the event.
    pub planned: u32,
    /// Maximum replicas that autoscaling may reach.
    pub max: u32,
    /// Announced time from scale-up to readiness of the pods (`leadSeconds`).
    pub lead: TimeDelta,
}

impl Target {
    /// Returns the replicas that a load needs if every replica is full.
    #[must_use]
    pub fn demand(&self, load: f64) -> i64 {
        whole((load / self.bears).ceil().min(1e9))
    }

    /// Returns the replicas that carry a load at the announced load per replica. A `full_percent`
    /// below 100 leaves headroom in each replica.
    #[must_use]
    pub fn with_headroom(&self, load: f64) -> i64 {
        whole((load / self.per_replica).ceil().min(1e9))
    }
}

/// Returns the replicas of a target before the event, if a source states the number.
///
/// The assumptions take precedence. If the assumptions do not name the target, the number is the
/// higher of the `Deployment`'s `spec.replicas` and the HPA's `spec.minReplicas`.
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

/// Returns the load that one replica of a target carries, if the surge states the load in a signal
/// or in the target.
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

/// Builds the announced load curve.
///
/// The unit is the load of the first target for which the surge states a load per replica. If no
/// target states a load per replica, the unit is replicas of the first target.
pub(super) fn announced(spec: &SurgeSpec, baseline: &impl Fn(&Announced) -> Option<u32>) -> Curve {
    let targets = &spec.announcement.targets;
    let told = targets.iter().find(|t| per_replica(spec, t).is_some()).or_else(|| targets.first());
    let duration = spec.schedule.last_once().map_or(0.0, |o| (o.end - o.start).as_seconds_f64());
    let Some(target) = told else { return Curve::announced(1.0, 1.0, duration) };
    let one = per_replica(spec, target).unwrap_or(1.0);
    let before = baseline(target).unwrap_or_else(|| match target.want {
        // The ratio of the test fixture: 10 pods become 180.
        Want::Replicas(_) | Want::Load { .. } => target.want.replicas(0).div_ceil(18),
        Want::Multiplier(_) => BASELINE,
    });
    let (usual, planned) = (f64::from(before), f64::from(target.want.replicas(before)));
    let Some(shape) = &target.shape else {
        return Curve::announced(usual * one, planned * one, duration);
    };
    let seconds = spec.schedule.last_once().map_or(0, |o| (o.end - o.start).num_seconds());
    let part = |at: u32| f64::from(shape::share(shape, i64::from(at))) / 100_000.0;
    Curve::shaped(usual * one, planned * one, u32::try_from(seconds).unwrap_or(0), part)
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
                // The simulator assumes that the planned replicas fit the peak of the curve.
                Want::Replicas(n) => positive(curve.peak() / f64::from(n)),
                Want::Multiplier(_) | Want::Load { .. } => None,
            });
            let usual = carried.map(|one| (curve.usual() / one).ceil());
            let usual = usual.and_then(|n| u32::try_from(whole(n)).ok());
            let before = baseline(target).unwrap_or_else(|| usual.unwrap_or(BASELINE).max(1));
            let planned = target.want.replicas(before).max(before);
            // If the surge states no load per replica, the simulator divides the usual load by the
            // replicas before the event.
            let one = carried
                .or_else(|| positive(curve.usual() / f64::from(before)))
                .or_else(|| positive(curve.peak() / f64::from(planned)))
                // If a multiplier applies to a baseline of 0 replicas, the simulator divides the
                // usual load by the default baseline.
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
