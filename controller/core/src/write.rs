//! A level to the patches that reach it.
//!
//! Up: the autoscaler's bounds in one patch, then `/scale`, so that it happens now and not at the autoscaler's next
//! look. Down: the minimum in steps; the maximum last; `/scale` only where no autoscaler owns the replicas.

use crate::Instant;
use crate::hold::{Hold, HoldRecord};
use crate::surge::Workload;
use crate::world::{AutoscalerKind, TargetState};

/// One patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Bounds of an autoscaler. The inner option is the value: `None` removes the field.
    Bounds {
        /// Which kind.
        kind: AutoscalerKind,
        /// Name of the autoscaler.
        name: String,
        /// The minimum, if it is to change.
        min: Option<Option<u32>>,
        /// The maximum, if it is to change.
        max: Option<Option<u32>>,
        /// Something is lowered: look again with a quorum read first.
        lowers: bool,
    },
    /// `spec.replicas` of the scale subresource.
    Replicas {
        /// The workload.
        workload: Workload,
        /// The new value.
        to: u32,
        /// Lower only if this is still the live value.
        only_from: Option<u32>,
    },
}

impl Write {
    /// Whether the patch takes anything away.
    #[must_use]
    pub fn lowers(&self) -> bool {
        match self {
            Self::Bounds { lowers, .. } => *lowers,
            Self::Replicas { only_from, .. } => only_from.is_some(),
        }
    }
}

/// The field of a bound that has to be patched.
fn bound(
    live: Option<u32>,
    level: Option<u32>,
    previous: Option<u32>,
    absent: u32,
) -> Option<(Option<u32>, bool)> {
    let (is, want) = (live.unwrap_or(absent), level.unwrap_or(absent));
    if is < want {
        return Some((level, false));
    }
    // Lowered only from what we wrote ourselves: anything else is somebody's own word.
    (is > want && live == previous).then_some((level, true))
}

/// The patches that bring what is live to the level of a hold. Empty before its due time.
#[must_use]
pub fn writes(record: &HoldRecord, live: &TargetState, due_by: Instant) -> Vec<Write> {
    let hold = &record.hold;
    if hold.due_time > due_by {
        return Vec::new();
    }
    let mut writes = Vec::new();
    if let Some(autoscaler) = &live.autoscaler
        && hold
            .baseline
            .autoscaler
            .as_ref()
            .is_some_and(|b| b.name == autoscaler.name && b.kind == autoscaler.kind)
    {
        let (min_absent, max_absent) = match autoscaler.kind {
            AutoscalerKind::HorizontalPodAutoscaler => (1, 1),
            AutoscalerKind::ScaledObject => (0, 100),
        };
        let min = bound(autoscaler.min, hold.level.min, hold.previous.min, min_absent);
        let max = bound(autoscaler.max, hold.level.max, hold.previous.max, max_absent);
        if min.is_some() || max.is_some() {
            writes.push(Write::Bounds {
                kind: autoscaler.kind,
                name: autoscaler.name.clone(),
                min: min.map(|(value, _)| value),
                max: max.map(|(value, _)| value),
                lowers: min.is_some_and(|(_, l)| l) || max.is_some_and(|(_, l)| l),
            });
        }
    }
    writes.extend(replicas(hold, live));
    writes
}

fn replicas(hold: &Hold, live: &TargetState) -> Option<Write> {
    let to = hold.level.replicas;
    let write = |only_from| Write::Replicas { workload: hold.target_ref.clone(), to, only_from };
    if live.replicas < to {
        // Once no run claims the target any more, what an autoscaler or a person lowers is theirs.
        return (!hold.claims.is_empty()).then(|| write(None));
    }
    let lowered_by_us = live.autoscaler.is_none()
        && hold.baseline.autoscaler.is_none()
        && live.replicas > to
        && live.replicas == hold.previous.replicas;
    lowered_by_us.then(|| write(Some(live.replicas)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::{Claim, first, next};
    use crate::world::Autoscaler;
    use chrono::TimeZone;

    fn now() -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).unwrap()
    }

    fn web() -> Workload {
        Workload { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() }
    }

    fn plain(replicas: u32) -> TargetState {
        TargetState { replicas, ready: replicas, written_by: None, autoscaler: None }
    }

    fn scaled_by(
        kind: AutoscalerKind,
        replicas: u32,
        min: Option<u32>,
        max: Option<u32>,
    ) -> TargetState {
        TargetState {
            autoscaler: Some(Autoscaler { kind, name: "web".into(), min, max }),
            ..plain(replicas)
        }
    }

    fn hpa(replicas: u32, min: u32, max: u32) -> TargetState {
        scaled_by(AutoscalerKind::HorizontalPodAutoscaler, replicas, Some(min), Some(max))
    }

    fn claim(floor: u32, ceiling: u32) -> Vec<Claim> {
        vec![Claim { run: "capital".into(), floor, ceiling }]
    }

    fn record(hold: Hold) -> HoldRecord {
        HoldRecord { name: "deployment-web".into(), hold, deleting: false }
    }

    fn scale_to(to: u32, only_from: Option<u32>) -> Write {
        Write::Replicas { workload: web(), to, only_from }
    }

    #[test]
    fn a_plain_target_is_raised_with_one_patch() {
        let held = record(first(&web(), &plain(10), claim(180, 260), now(), now()));
        assert_eq!(writes(&held, &plain(10), now()), [scale_to(180, None)]);
        assert_eq!(writes(&held, &plain(180), now()), []);
        assert_eq!(writes(&held, &plain(200), now()), [], "more than the floor is left alone");
    }

    #[test]
    fn nothing_is_written_before_it_is_due() {
        let due = now() + crate::seconds(10);
        let held = record(first(&web(), &plain(10), claim(180, 260), due, now()));
        assert_eq!(writes(&held, &plain(10), now()), []);
        assert_eq!(writes(&held, &plain(10), due).len(), 1);
    }

    #[test]
    fn under_an_hpa_both_bounds_go_up_in_one_patch_and_scale_follows() {
        let held = record(first(&web(), &hpa(10, 10, 60), claim(180, 260), now(), now()));
        assert_eq!(
            writes(&held, &hpa(10, 10, 60), now()),
            [
                Write::Bounds {
                    kind: AutoscalerKind::HorizontalPodAutoscaler,
                    name: "web".into(),
                    min: Some(Some(180)),
                    max: Some(Some(260)),
                    lowers: false,
                },
                scale_to(180, None),
            ]
        );
    }

    #[test]
    fn a_target_at_zero_under_an_hpa_is_lifted_by_scale() {
        let held = record(first(&web(), &hpa(0, 10, 60), claim(180, 260), now(), now()));
        assert_eq!(writes(&held, &hpa(0, 180, 260), now()), [scale_to(180, None)]);
    }

    #[test]
    fn steps_down_lower_only_what_is_still_ours() {
        let held = first(&web(), &plain(10), claim(180, 180), now(), now());
        let lower = record(next(&held, claim(146, 146), Some(&plain(180)), now()));
        assert_eq!(writes(&lower, &plain(180), now()), [scale_to(146, Some(180))]);
        assert_eq!(writes(&lower, &plain(190), now()), [], "a person raised it to 190");
    }

    #[test]
    fn under_an_hpa_replicas_are_never_lowered_by_us() {
        let held = first(&web(), &hpa(10, 10, 60), claim(180, 260), now(), now());
        let lower = record(next(&held, claim(146, 260), Some(&hpa(180, 180, 260)), now()));
        assert_eq!(
            writes(&lower, &hpa(180, 180, 260), now()),
            [Write::Bounds {
                kind: AutoscalerKind::HorizontalPodAutoscaler,
                name: "web".into(),
                min: Some(Some(146)),
                max: None,
                lowers: true,
            }]
        );
    }

    #[test]
    fn a_scaled_object_without_a_minimum_gets_its_field_removed_again() {
        let keda = |replicas, min, max| scaled_by(AutoscalerKind::ScaledObject, replicas, min, max);
        let held = first(&web(), &keda(3, None, None), claim(40, 40), now(), now());
        let up = writes(&record(held.clone()), &keda(3, None, None), now());
        assert!(
            matches!(up.first(), Some(Write::Bounds { min: Some(Some(40)), max: None, .. })),
            "{up:?}"
        );
        let freed = record(next(&held, vec![], Some(&keda(40, Some(40), None)), now()));
        let down = writes(&freed, &keda(40, Some(40), None), now());
        assert!(
            matches!(down.as_slice(), [Write::Bounds { min: Some(None), max: None, .. }]),
            "{down:?}"
        );
    }
}
