//! Level of a target: the values that the combined claims of all runs ask for.

use crate::Instant;
use crate::scaling::autoscaler::{max_or_default, min_or_default, stands_alone};
use crate::state::announcement::Workload;
use crate::state::hold::{Baseline, Claim, Hold, Level};
use crate::state::observed::{Autoscaler, TargetState};

/// Builds the baseline from the live target, before the first write.
#[must_use]
pub fn baseline(target: &TargetState) -> Baseline {
    Baseline {
        replicas: target.replicas,
        autoscaler: target.autoscaler.clone(),
        paused: target.paused,
        came_later: false,
    }
}

pub(super) fn baseline_level(baseline: &Baseline) -> Level {
    level_of(baseline.replicas, baseline.autoscaler.as_ref())
}

fn live_level(target: &TargetState) -> Level {
    level_of(target.replicas, target.autoscaler.as_ref())
}

fn level_of(replicas: u32, autoscaler: Option<&Autoscaler>) -> Level {
    Level {
        replicas,
        min: autoscaler.and_then(|a| a.min),
        max: autoscaler.and_then(|a| a.max),
        idle: autoscaler.and_then(|a| a.idle),
    }
}

/// Returns the level that the claims ask for.
///
/// If no claim exists, the level is the baseline, but `replicas` stays at least at the current
/// level. The maximum returns to the baseline last, once the live replicas fit under the baseline
/// maximum.
#[must_use]
pub fn level(
    baseline: &Baseline,
    claims: &[Claim],
    current: Option<&Level>,
    live: Option<&TargetState>,
) -> Level {
    let at_rest = baseline_level(baseline);
    // mutate: overlapping-floors-combine-last
    let Some(floor) = claims.iter().map(|c| c.floor).max() else {
        let Some(current) = current else {
            return at_rest;
        };
        let most = |a: &Autoscaler| max_or_default(a.kind, a.max);
        let fits = live.is_some_and(|t| {
            let autoscaler = baseline.autoscaler.as_ref();
            autoscaler.is_none_or(|a| t.replicas <= most(a)) || stands_alone(baseline, t)
        });
        return Level {
            replicas: current.replicas.max(at_rest.replicas),
            // mutate: maximum-restored-first
            max: if fits { at_rest.max } else { current.max },
            ..at_rest
        };
    };
    // A paused autoscaler does not restore replicas, so the level contains at least the baseline
    // replicas.
    let alone = live.is_some_and(|live| stands_alone(baseline, live));
    let ceiling = claims.iter().map(|c| c.ceiling).max().unwrap_or(floor).max(floor);
    match &baseline.autoscaler {
        None => Level { replicas: floor.max(at_rest.replicas), ..Level::default() },
        Some(autoscaler) => Level {
            // A floor below the baseline minimum changes no bound.
            replicas: if alone { floor.max(at_rest.replicas) } else { floor },
            min: Some(floor.max(min_or_default(autoscaler.kind, autoscaler.min)).max(1)),
            max: Some(ceiling.max(max_or_default(autoscaler.kind, autoscaler.max))),
            idle: None,
        },
    }
}

/// Builds the first record of a hold.
#[must_use]
pub fn new_hold(
    target: &Workload,
    state: &TargetState,
    claims: Vec<Claim>,
    due: Instant,
    now: Instant,
) -> Hold {
    let baseline = baseline(state);
    Hold {
        target_ref: target.clone(),
        level: level(&baseline, &claims, None, Some(state)),
        previous: baseline_level(&baseline),
        baseline,
        claims,
        due_time: due,
        since_time: now,
        repair_times: Vec::new(),
        contested_by: None,
    }
}

/// Returns the hold after a change of the claims or of the live target.
///
/// The result equals the given hold if the planner has nothing to record.
#[must_use]
pub fn updated_hold(
    hold: &Hold,
    claims: Vec<Claim>,
    live: Option<&TargetState>,
    now: Instant,
) -> Hold {
    if let Some(hold) = found_later(hold, &claims, live) {
        let due = hold.due_time.max(now);
        return Hold { due_time: due, ..updated_hold(&hold, claims, live, now) };
    }
    let level = level(&hold.baseline, &claims, Some(&hold.level), live);
    // mutate: baseline-captured-twice
    let mut next = Hold { claims, ..hold.clone() };
    if level != hold.level {
        next.level = level;
        next.previous = live.map_or(hold.level, |t| ours(hold, &live_level(t)));
        next.due_time = now;
    }
    next
}

/// Returns the record with the old maximum, although more pods run than the old maximum allows. The
/// autoscaler removes the other pods, as without the run. The record stays equal while a run claims
/// the target.
#[must_use]
pub fn with_its_maximum(hold: &Hold, live: Option<&TargetState>, now: Instant) -> Hold {
    let max = baseline_level(&hold.baseline).max;
    if !hold.claims.is_empty() || hold.level.max == max {
        return hold.clone();
    }
    let previous = live.map_or(hold.level, |live| ours(hold, &live_level(live)));
    Hold { level: Level { max, ..hold.level }, previous, due_time: now, ..hold.clone() }
}

/// Returns the hold with a new autoscaler in the baseline, if the live autoscaler is not recorded.
///
/// The new autoscaler came later, or replaces the recorded autoscaler. Examples are a Helm rename
/// and a move from an HPA to KEDA. The new autoscaler would lower the target if the planner did not
/// raise the bounds. The release restores the bounds that the planner found.
fn found_later(hold: &Hold, claims: &[Claim], live: Option<&TargetState>) -> Option<Hold> {
    let found = live?.autoscaler.as_ref()?;
    let known = hold.baseline.autoscaler.as_ref();
    if known.is_some_and(|known| found.is(known)) || claims.is_empty() {
        return None;
    }
    let mut hold = hold.clone();
    hold.baseline = Baseline {
        autoscaler: Some(own_bounds(found, &hold)),
        paused: live?.paused,
        came_later: known.is_none() || hold.baseline.came_later,
        ..hold.baseline
    };
    // The planner has not raised the new autoscaler yet, so earlier repairs and contests do not
    // count.
    hold.repair_times.clear();
    hold.contested_by = None;
    hold.previous = level_of(hold.previous.replicas, Some(found));
    Some(hold)
}

/// Returns the bounds to restore on an autoscaler that replaces the recorded autoscaler.
///
/// A bound equal to a value that the operator wrote is a copy of the raised bound. A restore of the
/// copy would leave the target raised for ever, so the recorded bound counts.
fn own_bounds(found: &Autoscaler, hold: &Hold) -> Autoscaler {
    let Some(known) = &hold.baseline.autoscaler else { return found.clone() };
    // An absent bound stands for a different number in another kind, so the planner records the
    // number.
    let (min, max) = if found.kind == known.kind {
        (known.min, known.max)
    } else {
        (
            Some(min_or_default(known.kind, known.min).max(1)),
            Some(max_or_default(known.kind, known.max)),
        )
    };
    let own = |found: Option<u32>, level: Option<u32>, previous: Option<u32>, known| {
        let copied = found.is_some() && (found == level || found == previous);
        if copied { known } else { found }
    };
    Autoscaler {
        min: own(found.min, hold.level.min, hold.previous.min, min),
        max: own(found.max, hold.level.max, hold.previous.max, max),
        ..found.clone()
    }
}

/// Returns the values that the operator wrote last, field by field.
///
/// A live value equal to `previous` gives `previous`; any other live value gives `level`. If
/// another writer changed a field, the result differs from the live value, and the operator does
/// not lower the field.
fn ours(hold: &Hold, live: &Level) -> Level {
    fn either<T: PartialEq + Copy>(live: T, level: T, previous: T) -> T {
        if live == previous { previous } else { level }
    }
    Level {
        replicas: either(live.replicas, hold.level.replicas, hold.previous.replicas),
        min: either(live.min, hold.level.min, hold.previous.min),
        max: either(live.max, hold.level.max, hold.previous.max),
        idle: either(live.idle, hold.level.idle, hold.previous.idle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::plain;
    use crate::scaling::repair::{REPAIR_WINDOW, REPAIRS, Repair, may_be_deleted, repair};
    use crate::seconds;
    use crate::state::hold::{Reached, name};
    use crate::state::observed::AutoscalerKind;
    use chrono::TimeZone;

    fn now() -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).unwrap()
    }

    fn web() -> Workload {
        Workload { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() }
    }

    fn under_hpa(replicas: u32, min: u32, max: u32) -> TargetState {
        TargetState {
            autoscaler: Some(Autoscaler {
                kind: AutoscalerKind::HorizontalPodAutoscaler,
                name: "web".into(),
                min: Some(min),
                max: Some(max),
                idle: None,
            }),
            ..plain(replicas)
        }
    }

    fn claim(run: &str, floor: u32, ceiling: u32) -> Claim {
        Claim { run: run.into(), floor, ceiling, raised: None }
    }

    #[test]
    fn an_autoscaler_that_comes_later_is_raised_and_given_back_as_it_came() {
        let due = now() + seconds(10);
        let held = new_hold(&web(), &plain(10), vec![claim("a", 50, 80)], due, now());
        let later = updated_hold(&held, held.claims.clone(), Some(&under_hpa(10, 2, 30)), now());
        assert_eq!(later.baseline.replicas, 10);
        assert_eq!(later.baseline.autoscaler, under_hpa(10, 2, 30).autoscaler);
        assert_eq!((later.level.min, later.level.max, later.due_time), (Some(50), Some(80), due));
        let raised = under_hpa(50, 50, 80);
        let again = updated_hold(&later, later.claims.clone(), Some(&raised), due);
        assert_eq!(again, later, "it is found once");
        let freed = updated_hold(&later, vec![], Some(&raised), due);
        assert_eq!((freed.level.min, freed.previous.min), (Some(2), Some(50)));
        let let_go = updated_hold(&held, vec![], Some(&under_hpa(10, 2, 30)), now());
        assert_eq!(let_go.baseline.autoscaler, None, "no run holds it any more");
    }

    #[test]
    fn holds_are_named_after_their_workload() {
        assert_eq!(name(&web()), "deployment-web");
        let rollout = Workload {
            api_version: "argoproj.io/v1alpha1".into(),
            kind: "Rollout".into(),
            name: "web".into(),
        };
        assert_eq!(name(&rollout), "rollout.argoproj.io-web");
    }

    #[test]
    fn floors_of_overlapping_runs_combine_by_maximum() {
        let baseline = baseline(&plain(10));
        let floors = |claims: &[Claim]| level(&baseline, claims, None, None).replicas;
        assert_eq!(floors(&[claim("a", 180, 180), claim("b", 60, 60)]), 180);
        assert_eq!(floors(&[claim("a", 180, 180), claim("b", 240, 240)]), 240);
    }

    #[test]
    fn a_floor_below_the_baseline_lowers_nothing() {
        assert_eq!(level(&baseline(&plain(50)), &[claim("a", 20, 20)], None, None).replicas, 50);
        let hpa = level(&baseline(&under_hpa(50, 30, 60)), &[claim("a", 20, 20)], None, None);
        assert_eq!((hpa.min, hpa.max), (Some(30), Some(60)));
    }

    #[test]
    fn the_old_maximum_comes_back_only_when_what_runs_fits_under_it() {
        let base = baseline(&under_hpa(10, 10, 20));
        let held = level(&base, &[claim("a", 50, 80)], None, None);
        let max = Some(80);
        assert_eq!(held, Level { replicas: 50, min: Some(50), max, ..Level::default() });
        let freed = level(&base, &[], Some(&held), Some(&under_hpa(50, 50, 80)));
        assert_eq!((freed.min, freed.max), (Some(10), Some(80)));
        let fits = level(&base, &[], Some(&freed), Some(&under_hpa(20, 10, 80)));
        assert_eq!((fits.min, fits.max), (Some(10), Some(20)));
    }

    #[test]
    fn the_old_maximum_comes_back_over_what_runs_once_its_time_is_over() {
        let found = under_hpa(10, 10, 20);
        let held = new_hold(&web(), &found, vec![claim("a", 50, 80)], now(), now());
        let raised = under_hpa(50, 50, 80);
        assert_eq!(with_its_maximum(&held, Some(&raised), now()), held, "a run claims it");
        let freed = updated_hold(&held, vec![], Some(&raised), now());
        assert_eq!(freed.level.max, Some(80), "50 pods run");
        let stuck = under_hpa(50, 10, 80);
        let cut = with_its_maximum(&freed, Some(&stuck), now() + seconds(600));
        assert_eq!((cut.level.max, cut.previous.max), (Some(20), Some(80)));
        let again = updated_hold(&cut, vec![], Some(&stuck), now() + seconds(601));
        assert_eq!(again, cut, "it is decided once");
        assert!(!may_be_deleted(&cut, &stuck));
        assert!(may_be_deleted(&cut, &under_hpa(20, 10, 20)));
    }

    #[test]
    fn dropping_the_last_claim_cuts_nothing() {
        let base = baseline(&plain(10));
        let current = Level { replicas: 42, ..Level::default() };
        assert_eq!(level(&base, &[], Some(&current), Some(&plain(42))).replicas, 42);
    }

    #[test]
    fn a_baseline_is_written_once() {
        let first = new_hold(&web(), &plain(10), vec![claim("a", 180, 260)], now(), now());
        let second = updated_hold(
            &first,
            vec![claim("a", 180, 260), claim("b", 240, 240)],
            Some(&plain(180)),
            now(),
        );
        assert_eq!(second.baseline.replicas, 10);
        assert_eq!(second.level.replicas, 240);
        assert_eq!(second.previous.replicas, 180);
    }

    #[test]
    fn reverts_are_repaired_three_times_in_ten_minutes_and_then_reported() {
        let first = new_hold(&web(), &plain(10), vec![claim("a", 180, 180)], now(), now());
        let (mut hold, mut at) = (first.clone(), now());
        let reverted = TargetState { written_by: Some("argocd".into()), ..plain(10) };
        let reached = |at| Reached::after(None, &first, &plain(180), at);
        for _ in 0..REPAIRS {
            at += seconds(30);
            let Repair::Record(next) = repair(&hold, &reverted, Some(&reached(at)), at) else {
                panic!("not repaired")
            };
            hold = next;
            assert_eq!(repair(&hold, &reverted, Some(&reached(at)), at), Repair::Write);
        }
        at += seconds(30);
        let Repair::Contested(next) = repair(&hold, &reverted, Some(&reached(at)), at) else {
            panic!("still fighting")
        };
        assert_eq!(next.contested_by.as_deref(), Some("argocd"));
        at += REPAIR_WINDOW;
        assert!(matches!(repair(&next, &reverted, Some(&reached(at)), at), Repair::Record(_)));
    }

    #[test]
    fn a_maximum_that_stays_low_makes_cut_replicas_contested() {
        let found = under_hpa(10, 10, 60);
        let mut hold = new_hold(&web(), &found, vec![claim("a", 180, 180)], now(), now());
        let (cut, raised) = (under_hpa(60, 60, 60), under_hpa(180, 60, 60));
        let (mut at, mut reached, mut repairs) = (now(), None, 0);
        for _ in 0..20 {
            at += seconds(15);
            reached = Some(Reached::after(reached.as_ref(), &hold, &cut, at));
            match repair(&hold, &cut, reached.as_ref(), at) {
                Repair::Write => {}
                Repair::Record(next) => {
                    repairs += 1;
                    hold = next;
                }
                Repair::Contested(next) => {
                    assert!(next.contested_by.is_some());
                    break;
                }
            }
            at += seconds(1);
            reached = Some(Reached::after(reached.as_ref(), &hold, &raised, at));
        }
        assert_eq!(repairs, REPAIRS);
        // A value that has not yet reached the level for the first time is not reverted.
        let fresh = Reached::after(None, &hold, &cut, at);
        let once = Hold { repair_times: vec![], ..hold.clone() };
        assert_eq!(repair(&once, &cut, Some(&fresh), at), Repair::Write);
    }

    #[test]
    fn an_autoscaler_that_replaces_another_one_is_raised_and_given_back_as_it_came() {
        let named = |name: &str, mut state: TargetState| {
            state.autoscaler.as_mut().unwrap().name = name.into();
            state
        };
        let held =
            new_hold(&web(), &under_hpa(10, 10, 60), vec![claim("a", 180, 260)], now(), now());
        let other = named("web-v3", under_hpa(60, 12, 60));
        let next_one = updated_hold(&held, held.claims.clone(), Some(&other), now());
        assert_eq!(next_one.baseline.autoscaler, other.autoscaler);
        assert_eq!(next_one.baseline.replicas, 10, "the replicas are those of before the event");
        assert_eq!((next_one.level.min, next_one.level.max), (Some(180), Some(260)));
        let raised = named("web-v3", under_hpa(180, 180, 260));
        assert_eq!(updated_hold(&next_one, held.claims.clone(), Some(&raised), now()), next_one);
        let freed = updated_hold(&next_one, vec![], Some(&raised), now());
        assert_eq!((freed.level.min, freed.previous.min), (Some(12), Some(180)));

        // A copy of the raised autoscaler has bounds that the operator wrote. The release restores
        // the bounds from before the event.
        let copy = named("copy", under_hpa(180, 180, 260));
        let copied = updated_hold(&held, held.claims.clone(), Some(&copy), now());
        assert_eq!(copied.baseline.autoscaler, named("copy", under_hpa(10, 10, 60)).autoscaler);
        let freed = updated_hold(&copied, vec![], Some(&copy), now());
        assert_eq!((freed.level.min, freed.previous.min), (Some(10), Some(180)));

        // An absent bound of KEDA becomes an explicit number on an HPA.
        let mut bare = named("web", under_hpa(10, 10, 60));
        let by = bare.autoscaler.as_mut().unwrap();
        (by.kind, by.min, by.max) = (AutoscalerKind::ScaledObject, None, None);
        let under_keda = new_hold(&web(), &bare, vec![claim("a", 180, 260)], now(), now());
        let copied = updated_hold(&under_keda, held.claims.clone(), Some(&copy), now());
        assert_eq!(copied.baseline.autoscaler, named("copy", under_hpa(10, 1, 100)).autoscaler);

        // Reverts on the recorded autoscaler do not make the new autoscaler contested.
        let contested = Hold { contested_by: Some("hpa".into()), ..held.clone() };
        let adopted = updated_hold(&contested, held.claims.clone(), Some(&other), now());
        assert_eq!((adopted.contested_by, adopted.repair_times), (None, vec![]));
        let raised = Reached::after(None, &held, &under_hpa(180, 180, 260), now());
        let after = Reached::after(Some(&raised), &next_one, &other, now() + seconds(1));
        assert_eq!((after.at.min, after.at.max), (None, None), "it was never raised");

        // The target moves from an HPA to a `ScaledObject` with `idleReplicaCount: 0`.
        let mut keda = named("web", under_hpa(60, 2, 60));
        keda.autoscaler.as_mut().unwrap().kind = AutoscalerKind::ScaledObject;
        keda.autoscaler.as_mut().unwrap().idle = Some(0);
        let moved = updated_hold(&held, held.claims.clone(), Some(&keda), now());
        assert_eq!((moved.level.idle, moved.previous.idle), (None, Some(0)));
        let freed = updated_hold(&moved, vec![], Some(&keda), now());
        assert_eq!((freed.level.min, freed.level.idle), (Some(2), Some(0)));
    }

    #[test]
    fn what_a_person_raised_above_our_floor_is_theirs() {
        let held = new_hold(&web(), &plain(10), vec![claim("a", 180, 180)], now(), now());
        let freed = updated_hold(&held, vec![], Some(&plain(180)), now());
        assert!(may_be_deleted(&freed, &plain(200)), "a higher value is surrendered");
    }

    #[test]
    fn an_hpa_is_restored_when_both_bounds_are_back_or_somebody_elses() {
        let held =
            new_hold(&web(), &under_hpa(10, 10, 60), vec![claim("a", 180, 260)], now(), now());
        let freed = updated_hold(&held, vec![], Some(&under_hpa(180, 180, 260)), now());
        assert!(!may_be_deleted(&freed, &under_hpa(180, 180, 260)));
        assert!(!may_be_deleted(&freed, &under_hpa(12, 10, 260)));
        let fits = updated_hold(&freed, vec![], Some(&under_hpa(12, 10, 260)), now());
        assert!(!may_be_deleted(&fits, &under_hpa(12, 10, 260)));
        assert!(may_be_deleted(&fits, &under_hpa(12, 10, 60)));
        assert!(may_be_deleted(&fits, &under_hpa(12, 15, 90)), "another writer set both");
    }
}
