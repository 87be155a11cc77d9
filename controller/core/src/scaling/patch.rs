//! Patches that bring a live target to the level of a hold.
//!
//! The function `writes` returns up to three patches, in the following order. The first patch
//! raises bounds of the autoscaler. The second patch lowers bounds that still have the value that
//! the operator wrote. The third patch sets the replicas through `/scale`. A raise through `/scale`
//! takes effect at once and not at the next sync of the autoscaler. The operator lowers `/scale`
//! only if no autoscaler owns the replicas, or if the autoscaler was found paused and is still
//! paused. The file `level.rs` decides which bounds a level contains, and restores the maximum
//! last.

use crate::Instant;
use crate::output::{Change, Write};
use crate::scaling::autoscaler;
use crate::state::hold::{Hold, HoldRecord};
use crate::state::observed::{Autoscaler, TargetState};

/// Returns the change of a bound, and true if the change lowers the bound.
///
/// The result is `None` if the bound needs no change or belongs to another writer.
fn bound(
    live: Option<u32>,
    level: Option<u32>,
    previous: Option<u32>,
    absent: u32,
) -> Option<(Change, bool)> {
    let (is, want) = (live.unwrap_or(absent), level.unwrap_or(absent));
    let change = Change { from: live, to: level };
    if is < want {
        return Some((change, false));
    }
    // The operator lowers only a value that the operator wrote; any other value belongs to another
    // writer.
    (is > want && live == previous).then_some((change, true))
}

/// Returns the change of `idleReplicaCount`, and true if the change restores the field.
///
/// KEDA scales an idle target below the minimum, so the operator removes the field while the target
/// is held. The operator restores the field when the hold has no claims.
fn idle(live: Option<u32>, hold: &Hold) -> Option<(Change, bool)> {
    let change = Change { from: live, to: hold.level.idle };
    // mutate: keda-keeps-when-idle
    let differs = autoscaler::idles(hold) && live.is_some() != hold.level.idle.is_some();
    differs.then_some((change, live.is_none()))
}

/// Returns the patches that bring the live target to the level of the hold.
///
/// The result is empty if `spec.dueTime` of the hold is after `due_by`.
#[must_use]
pub fn writes(record: &HoldRecord, live: &TargetState, due_by: Instant) -> Vec<Write> {
    let hold = &record.hold;
    if hold.due_time > due_by {
        return Vec::new();
    }
    let mut writes = Vec::new();
    let ours = |a: &Autoscaler| hold.baseline.autoscaler.as_ref().is_some_and(|b| b.is(a));
    if let Some(autoscaler) = live.autoscaler.as_ref().filter(|a| ours(a)) {
        let (min_absent, max_absent) = autoscaler::defaults(autoscaler.kind);
        let bounds = [
            bound(autoscaler.min, hold.level.min, hold.previous.min, min_absent),
            bound(autoscaler.max, hold.level.max, hold.previous.max, max_absent),
            idle(autoscaler.idle, hold),
        ];
        // Bounds of a paused autoscaler have no effect. A patch would make KEDA read the annotation
        // `paused-replicas` again and cut the replicas.
        let waits = autoscaler::stands_alone(&hold.baseline, live) && !hold.claims.is_empty();
        for lowers in [false, true] {
            let now = |b: Option<(Change, bool)>| b.filter(|(_, l)| *l == lowers && !waits);
            let [min, max, idle] = bounds.map(|b| now(b).map(|(change, _)| change));
            if min.is_some() || max.is_some() || idle.is_some() {
                let (kind, name) = (autoscaler.kind, autoscaler.name.clone());
                writes.push(Write::Bounds { kind, name, min, max, idle, lowers });
            }
        }
    }
    writes.extend(replicas(hold, live));
    writes
}

/// True if the autoscaler has not yet synced the last minimum that the operator wrote.
///
/// A second reduction would merge two release steps into a single drop.
#[must_use]
pub fn lags(hold: &Hold, live: &TargetState) -> bool {
    // If another writer set the minimum, the release does not wait for the autoscaler.
    let ours = live.autoscaler.as_ref().zip(hold.baseline.autoscaler.as_ref());
    let ours = ours.is_some_and(|(is, was)| is.is(was));
    let min = live.autoscaler.as_ref().and_then(|autoscaler| autoscaler.min);
    ours && min.is_some() && min == hold.level.min && live.kept_at > min
}

fn replicas(hold: &Hold, live: &TargetState) -> Option<Write> {
    let (from, to) = (live.replicas, hold.level.replicas);
    let write = || Write::Replicas { workload: hold.target_ref.clone(), from, to };
    if from < to {
        // If the hold has no claims, a lower replica count is the decision of an autoscaler or a
        // person.
        return (!hold.claims.is_empty()).then(write);
    }
    let found = hold.baseline.autoscaler.as_ref().filter(|_| !hold.baseline.came_later);
    let unscaled = live.autoscaler.is_none() && found.is_none();
    let alone = autoscaler::stands_alone(&hold.baseline, live);
    // mutate: release-takes-back-foreign-value
    // mutate: paused-autoscaler-left-lower
    let lowered_by_us = (unscaled || alone) && from > to && from == hold.previous.replicas;
    lowered_by_us.then(write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::plain;
    use crate::scaling::level::{new_hold, updated_hold};
    use crate::scaling::repair;
    use crate::state::announcement::Workload;
    use crate::state::hold::Claim;
    use crate::state::observed::AutoscalerKind;
    use chrono::TimeZone;

    fn now() -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).unwrap()
    }

    fn web() -> Workload {
        Workload { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() }
    }

    fn scaled_by(
        kind: AutoscalerKind,
        replicas: u32,
        min: Option<u32>,
        max: Option<u32>,
    ) -> TargetState {
        TargetState {
            autoscaler: Some(Autoscaler { kind, name: "web".into(), min, max, idle: None }),
            ..plain(replicas)
        }
    }

    fn hpa(replicas: u32, min: u32, max: u32) -> TargetState {
        scaled_by(AutoscalerKind::HorizontalPodAutoscaler, replicas, Some(min), Some(max))
    }

    fn claim(floor: u32, ceiling: u32) -> Vec<Claim> {
        vec![Claim { run: "capital".into(), floor, ceiling, raised: None }]
    }

    fn record(hold: Hold) -> HoldRecord {
        HoldRecord { name: "deployment-web".into(), hold, deleting: false }
    }

    fn scale(from: u32, to: u32) -> Write {
        Write::Replicas { workload: web(), from, to }
    }

    #[allow(clippy::unnecessary_wraps)] // the fields `min` and `max` are `Option`s
    fn change(from: u32, to: u32) -> Option<Change> {
        Some(Change { from: Some(from), to: Some(to) })
    }

    #[test]
    fn a_plain_target_is_raised_with_one_patch() {
        let held = record(new_hold(&web(), &plain(10), claim(180, 260), now(), now()));
        assert_eq!(writes(&held, &plain(10), now()), [scale(10, 180)]);
        assert_eq!(writes(&held, &plain(180), now()), []);
        assert_eq!(writes(&held, &plain(200), now()), [], "more than the floor is left alone");
    }

    #[test]
    fn nothing_is_written_before_it_is_due() {
        let due = now() + crate::seconds(10);
        let held = record(new_hold(&web(), &plain(10), claim(180, 260), due, now()));
        assert_eq!(writes(&held, &plain(10), now()), []);
        assert_eq!(writes(&held, &plain(10), due).len(), 1);
    }

    #[test]
    fn under_an_hpa_both_bounds_go_up_in_one_patch_and_scale_follows() {
        let held = record(new_hold(&web(), &hpa(10, 10, 60), claim(180, 260), now(), now()));
        assert_eq!(
            writes(&held, &hpa(10, 10, 60), now()),
            [
                Write::Bounds {
                    kind: AutoscalerKind::HorizontalPodAutoscaler,
                    name: "web".into(),
                    min: change(10, 180),
                    max: change(60, 260),
                    idle: None,
                    lowers: false,
                },
                scale(10, 180),
            ]
        );
    }

    #[test]
    fn a_target_at_zero_under_an_hpa_is_lifted_by_scale() {
        let held = record(new_hold(&web(), &hpa(0, 10, 60), claim(180, 260), now(), now()));
        assert_eq!(writes(&held, &hpa(0, 180, 260), now()), [scale(0, 180)]);
    }

    #[test]
    fn steps_down_lower_only_what_is_still_ours() {
        let held = new_hold(&web(), &plain(10), claim(180, 180), now(), now());
        let lower = record(updated_hold(&held, claim(146, 146), Some(&plain(180)), now()));
        assert_eq!(writes(&lower, &plain(180), now()), [scale(180, 146)]);
        assert_eq!(writes(&lower, &plain(190), now()), [], "a person raised it to 190");
    }

    #[test]
    fn under_an_hpa_replicas_are_never_lowered_by_us() {
        let held = new_hold(&web(), &hpa(10, 10, 60), claim(180, 260), now(), now());
        let lower = record(updated_hold(&held, claim(146, 260), Some(&hpa(180, 180, 260)), now()));
        assert_eq!(
            writes(&lower, &hpa(180, 180, 260), now()),
            [Write::Bounds {
                kind: AutoscalerKind::HorizontalPodAutoscaler,
                name: "web".into(),
                min: change(180, 146),
                max: None,
                idle: None,
                lowers: true,
            }]
        );
    }

    #[test]
    fn a_scaled_object_without_a_minimum_gets_its_field_removed_again() {
        let keda = |replicas, min, max| scaled_by(AutoscalerKind::ScaledObject, replicas, min, max);
        let held = new_hold(&web(), &keda(3, None, None), claim(40, 40), now(), now());
        let up = writes(&record(held.clone()), &keda(3, None, None), now());
        assert!(
            matches!(
                up.first(),
                Some(Write::Bounds {
                    min: Some(Change { from: None, to: Some(40) }),
                    max: None,
                    ..
                })
            ),
            "{up:?}"
        );
        let freed = record(updated_hold(&held, vec![], Some(&keda(40, Some(40), None)), now()));
        let down = writes(&freed, &keda(40, Some(40), None), now());
        assert!(
            matches!(
                down.as_slice(),
                [Write::Bounds { min: Some(Change { from: Some(40), to: None }), max: None, .. }]
            ),
            "{down:?}"
        );
    }

    /// Builds a target under a `ScaledObject` with the given bounds and the given
    /// `idleReplicaCount`.
    fn idling(replicas: u32, min: u32, max: u32, idle: Option<u32>) -> TargetState {
        let mut state = scaled_by(AutoscalerKind::ScaledObject, replicas, Some(min), Some(max));
        state.autoscaler.as_mut().unwrap().idle = idle;
        state
    }

    #[test]
    fn what_keda_keeps_when_idle_is_no_floor_and_is_put_back_with_the_minimum() {
        let found = idling(0, 2, 30, Some(0));
        let held = new_hold(&web(), &found, claim(10, 30), now(), now());
        let up = writes(&record(held.clone()), &found, now());
        let Some(Write::Bounds { idle, lowers: false, .. }) = up.first() else { panic!("{up:?}") };
        assert_eq!(*idle, Some(Change { from: Some(0), to: None }));
        assert_eq!(up.get(1), Some(&scale(0, 10)));

        let raised = idling(10, 10, 30, None);
        assert_eq!(writes(&record(held.clone()), &raised, now()), []);
        assert!(repair::reverted(&held, &idling(10, 10, 30, Some(0))), "a person puts it back");
        let step = updated_hold(&held, claim(6, 30), Some(&raised), now());
        let down = writes(&record(step.clone()), &raised, now());
        assert!(matches!(down.as_slice(), [Write::Bounds { idle: None, lowers: true, .. }]));

        let freed = updated_hold(&step, vec![], Some(&idling(6, 6, 30, None)), now());
        assert!(!repair::may_be_deleted(&freed, &idling(2, 2, 30, None)), "it is still away");
        let down = writes(&record(freed.clone()), &idling(6, 6, 30, None), now());
        let back = Some(Change { from: None, to: Some(0) });
        assert!(
            matches!(down.as_slice(), [Write::Bounds { idle, lowers: true, .. }] if *idle == back),
            "{down:?}"
        );
        assert!(repair::may_be_deleted(&freed, &idling(0, 2, 30, Some(0))));
    }

    #[test]
    fn an_idle_count_that_was_not_there_before_is_somebody_elses() {
        let held = new_hold(&web(), &idling(2, 2, 30, None), claim(10, 30), now(), now());
        assert_eq!(writes(&record(held), &idling(10, 10, 30, Some(0)), now()), []);
    }

    #[test]
    fn under_a_paused_autoscaler_only_replicas_are_written_both_ways() {
        let paused =
            |replicas, min| TargetState { paused: true, ..idling(replicas, min, 30, None) };
        let held = new_hold(&web(), &paused(4, 2), claim(10, 30), now(), now());
        assert_eq!(writes(&record(held.clone()), &paused(4, 2), now()), [scale(4, 10)]);
        assert!(!repair::reverted(&held, &paused(10, 2)), "its bounds do nothing");
        let step = updated_hold(&held, claim(3, 30), Some(&paused(10, 2)), now());
        assert_eq!(step.level.replicas, 4, "not below where it was found");
        assert_eq!(writes(&record(step.clone()), &paused(10, 2), now()), [scale(10, 4)]);
        let freed = updated_hold(&step, vec![], Some(&paused(10, 2)), now());
        assert!(!repair::may_be_deleted(&freed, &paused(10, 2)));
        assert!(repair::may_be_deleted(&freed, &paused(4, 2)));

        // A person resumes the autoscaler during the event.
        let raised = writes(&record(held), &idling(10, 2, 30, None), now());
        assert!(matches!(raised.as_slice(), [Write::Bounds { lowers: false, .. }]), "{raised:?}");
    }

    #[test]
    fn whoever_pauses_a_raised_autoscaler_freezes_what_runs() {
        let held = new_hold(&web(), &idling(4, 2, 30, None), claim(10, 30), now(), now());
        let paused = TargetState { paused: true, ..idling(10, 10, 30, None) };
        let step = record(updated_hold(&held, claim(4, 30), Some(&paused), now()));
        let down = writes(&step, &paused, now());
        assert!(matches!(down.as_slice(), [Write::Bounds { lowers: true, .. }]), "{down:?}");
    }

    #[test]
    fn what_came_later_and_is_gone_again_leaves_nothing_raised() {
        let held = new_hold(&web(), &plain(4), claim(12, 12), now(), now());
        let later = updated_hold(&held, claim(12, 12), Some(&hpa(12, 2, 30)), now());
        let step = updated_hold(&later, claim(4, 12), Some(&plain(12)), now());
        assert_eq!(writes(&record(step.clone()), &plain(12), now()), [scale(12, 4)]);
        let freed = updated_hold(&step, vec![], Some(&plain(12)), now());
        assert!(!repair::may_be_deleted(&freed, &plain(12)));
        assert!(repair::may_be_deleted(&freed, &plain(4)));
    }

    #[test]
    fn another_autoscaler_in_its_place_is_not_waited_for() {
        let held = new_hold(&web(), &idling(2, 2, 30, Some(0)), claim(10, 30), now(), now());
        let freed = updated_hold(&held, vec![], Some(&hpa(10, 2, 30)), now());
        assert!(repair::may_be_deleted(&freed, &hpa(10, 2, 30)));
    }

    #[test]
    fn what_is_raised_does_not_wait_for_what_is_lowered() {
        let held = new_hold(&web(), &idling(2, 2, 30, Some(0)), claim(10, 30), now(), now());
        let step = updated_hold(&held, claim(6, 30), Some(&idling(10, 10, 30, None)), now());
        let both = writes(&record(step), &idling(10, 10, 30, Some(0)), now());
        assert!(
            matches!(
                both.as_slice(),
                [
                    Write::Bounds { min: None, idle: Some(_), lowers: false, .. },
                    Write::Bounds { min: Some(_), idle: None, lowers: true, .. }
                ]
            ),
            "{both:?}"
        );
    }
}
