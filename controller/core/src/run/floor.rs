//! Floor that a run asks of a target at `now`.

use crate::Instant;
use crate::output::{Draft, Write};
use crate::run::climb::{From, climb};
use crate::run::context::Run;
use crate::run::load::{self, Required};
use crate::run::overrides::InForce;
use crate::scaling::{patch, usual};
use crate::state::announcement::{ReleasePace, Target, Window};
use crate::state::condition::{ConditionReason, ConditionType, condition, set_condition};
use crate::state::hold::{self, Claim, Raised};
use crate::state::release::Release;
use crate::state::run::RunStatus;
use crate::timeline;

/// Claim of a run on a target, with the replicas that the ceiling cut off.
///
/// The condition `Clipped` reports each cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Claim to record in the hold.
    pub claim: Claim,
    /// Planned floor at T0; with a shape, the floor that the shape asks for now.
    pub planned: u32,
    /// Replicas needed without the ceiling; `None` if the ceiling cuts nothing.
    pub clipped_from: Option<u32>,
    /// True if the live load sets the floor, not the plan.
    pub raised_by_signal: bool,
}

/// Inputs for the demand of a run on a target.
#[derive(Clone, Copy, Debug)]
pub struct FloorInputs<'a> {
    /// Name of the run.
    pub run: &'a str,
    /// Instants of the run.
    pub window: &'a Window,
    /// End in force.
    pub end: Instant,
    /// Replicas found when the target was first held, or live replicas if no hold exists.
    pub baseline: u32,
    /// Time of the first write to the target.
    pub start: Instant,
    /// Claim of the run, as recorded in the hold.
    pub claimed: Option<&'a Claim>,
    /// Creation time of the hold (`spec.sinceTime`), if the hold contains a claim of the run.
    pub held_since: Option<Instant>,
    /// Replicas that the signals of the target require.
    pub required: Required,
    /// Ready pods; `None` if unknown.
    pub ready: Option<u32>,
    /// Overrides in force.
    pub overrides: &'a InForce<'a>,
    /// Recorded release of the run, if begun.
    pub release: Option<&'a Release>,
    /// Floor that the plan asks for now: the planned floor, or its share in the shape of the target.
    pub planned: u32,
    /// Time of the last change of the level, if the hold exists: the pace of a fall counts from there.
    pub level_since: Option<Instant>,
    /// Pace of the release, which is the pace of a fall.
    pub pace: ReleasePace,
    /// Replicas beyond the shape that replace the pods on machines that go.
    pub replacements: u32,
    /// True if the process knows its clock and the target, and no rollout is going on: a fall of the
    /// shape may then be written.
    pub settled: bool,
}

impl FloorInputs<'_> {
    /// Returns the lowest floor to which the clock may lower the target now.
    ///
    /// The clock lowers nothing before T0 and after the end, while a signal of the run is unknown,
    /// while an override holds the floor, and while the target is not settled. Afterwards the floor
    /// falls at the pace of the release: by `release.stepPercent` of the plan at once, and then on.
    fn lowest(&self, full: u32, now: Instant) -> u32 {
        let before = self.claimed.map_or(0, |claim| claim.floor);
        // mutate: shape-lowers-while-a-signal-is-unknown
        let known = !self.required.blind;
        // mutate: shape-lowers-against-a-hold
        let held = self.overrides.hold();
        let within = now >= self.window.ready_by && now < self.end;
        if !known || held || !self.settled || !within {
            return before;
        }
        let time = self.pace.step_time.num_seconds().max(1);
        let passed = self.level_since.map_or(0, |since| (now - since).num_seconds());
        // After a wait, one step of the release at the most.
        let passed = passed.clamp(0, time);
        let step = u64::from(full) * u64::from(self.pace.step_percent);
        let time = u64::try_from(time).unwrap_or(1);
        // mutate: shape-falls-at-once-after-a-wait
        let may = step.saturating_mul(u64::try_from(passed).unwrap_or(0)) / (100 * time);
        let whole = u64::try_from(passed).is_ok_and(|passed| passed == time);
        let may = if whole { may.max(1) } else { may };
        before.saturating_sub(u32::try_from(may).unwrap_or(u32::MAX))
    }
}

impl Demand {
    fn as_it_is(claim: Claim, planned: u32) -> Self {
        Self { claim, planned, clipped_from: None, raised_by_signal: false }
    }
}

/// Returns the planned floor of a target, and the ceiling for signals and boosts.
#[must_use]
pub fn plan_and_ceiling(target: &Target, baseline: u32) -> (u32, u32) {
    let planned = target.want.replicas(baseline);
    (planned, target.max_replicas.unwrap_or(planned))
}

/// Returns the smallest fall of a shape that is worth a write: 2 percent of the plan, or a step of the
/// release where that is less.
fn worth_a_write(planned: u32, pace: ReleasePace) -> u32 {
    (planned / 100).saturating_mul(pace.step_percent.min(2)).max(1)
}

/// Allowed excess of a predicted load over the plan, in percent of the plan.
///
/// The limit applies while the current load is within the plan. A rising load usually ends at the
/// plan, and only a current load above the plan proves a higher demand. Floors raised for a
/// prediction stay until the end.
const BEYOND_THE_PLAN_PERCENT: u32 = 10;

/// Returns the replicas that the live load requires.
///
/// The result is the prediction. If the current load is within the plan, the prediction counts up
/// to 110 percent of the plan.
fn live(required: Required, planned: u32) -> u32 {
    if required.replicas > planned {
        return required.ahead;
    }
    let trusted = planned.saturating_add(planned.saturating_mul(BEYOND_THE_PLAN_PERCENT) / 100);
    // mutate: rise-within-plan-met
    required.ahead.min(trusted)
}

/// Returns the floor to claim at `now`; `None` before the target is needed and after the release.
///
/// Between start and end of the claim the floor of a flat plan never falls. Signals and boosts raise
/// the floor, and only the release lowers the floor. A shape lowers the floor by the clock, unless a
/// signal is unknown, an override holds the floor, or the process has just started.
#[must_use]
pub fn demand(target: &Target, facts: FloorInputs<'_>, now: Instant) -> Option<Demand> {
    let (full, ceiling) = plan_and_ceiling(target, facts.baseline);
    let planned = facts.planned;
    let boost = facts.overrides.boost(&target.name, planned);
    let on_the_way_down = facts.release.map(|r| r.floors.iter().find(|f| f.target == target.name));

    let mut raised = facts.claimed.and_then(|claim| claim.raised);
    let (asked, raised_by_signal) = match on_the_way_down {
        Some(None) => match facts.claimed {
            // The hold could not be decoded when the release began. The claim stays until the
            // release has an entry for the target.
            Some(claim) => return Some(Demand::as_it_is(claim.clone(), planned)),
            // The release began before the run held the target.
            None => return None,
        },
        Some(Some(floor)) if floor.done => return None,
        Some(Some(floor)) => (floor.floor.max(boost), false),
        // The run creates no claim earlier than 15 s (`PREPARE_AHEAD`) before the first write. If
        // the hold was created after `now`, the clock went back, and the existing claim stays.
        None if now < facts.start - timeline::PREPARE_AHEAD
            // mutate: clock-goes-back-lets
            && facts.held_since.is_none_or(|since| since <= now) =>
        {
            return None;
        }
        // The run creates no claim after the end.
        None if now >= facts.end && facts.claimed.is_none() => return None,
        None => {
            let ramped = timeline::ramped(
                facts.baseline,
                planned.min(ceiling),
                facts.start,
                facts.window.ready_by,
                now,
            );
            // The live load does not count before the first write.
            let required = if now < facts.start { 0 } else { live(facts.required, planned) };
            // mutate: metrics-lower-floor-inside
            let before = facts.claimed.map_or(0, |c| c.floor);
            let kept = raised.map_or(0, |raised| raised.at(ramped));
            let plan = ramped.max(kept);
            let replaced = plan.saturating_add(facts.replacements).min(ceiling);
            let plan = plan.max(replaced).max(boost);
            let lowest = if target.shape.is_some() { facts.lowest(full, now) } else { before };
            // A fall stops at what the live load needs.
            let next = plan.max(lowest).max(required.min(before));
            let falls = next.saturating_add(worth_a_write(full, facts.pace)) <= before;
            let floor = if falls { next } else { plan.max(before) };
            let (baseline, ready) = (facts.baseline, facts.ready);
            let from = From { baseline, floor, ready, ceiling };
            let asked = climb(target, from, required);
            let by_load = asked > floor || (falls && floor == required && required > plan);
            if target.shape.is_some() && by_load {
                raised = Some(Raised::with(raised, asked.min(ceiling), planned));
            }
            (asked, required > floor)
        }
    };
    let floor = asked.min(ceiling.max(facts.claimed.map_or(0, |c| c.floor)));
    Some(Demand {
        claim: Claim { run: facts.run.to_owned(), floor, ceiling, raised },
        planned,
        clipped_from: (asked > floor || planned > ceiling).then_some(asked.max(planned)),
        raised_by_signal,
    })
}

impl Run<'_> {
    pub(super) fn ask_for_targets(&self, status: &mut RunStatus, draft: &mut Draft) {
        let mut clipped = Vec::new();
        for (target, start) in self.announcement.targets.iter().zip(&self.timeline.targets) {
            let Some(demand) = self.demand(target, *start) else {
                continue;
            };
            if let Some(from) = demand.clipped_from {
                clipped.push(format!(
                    "{}: {from} replicas are needed, maxReplicas allows {}",
                    target.name, demand.claim.ceiling
                ));
            }
            draft.claims.add(&target.workload, demand.claim, *start);
        }
        let (holds, reason) = if clipped.is_empty() {
            (false, ConditionReason::WithinLimits)
        } else {
            (true, ConditionReason::AtMaxReplicas)
        };
        let known = condition(&status.conditions, ConditionType::Clipped).is_some();
        if holds || known {
            set_condition(
                &mut status.conditions,
                ConditionType::Clipped,
                holds,
                reason,
                clipped.join("; "),
                self.now,
            );
        }
    }

    pub(super) fn demand(&self, target: &Target, start: Instant) -> Option<Demand> {
        let baseline = usual::replicas(target, self.world, self.now)?;
        let live = self.world.target(&target.workload).known();
        // Two steps must not become one: the step before has been written, and the autoscaler has
        // seen it.
        let held = self.world.holds.get(&hold::name(&target.workload));
        let written = held.zip(live.as_ref()).is_none_or(|(held, live)| {
            let lowers = patch::writes(held, live, Instant::MAX_UTC).iter().any(Write::lowers);
            !lowers && !patch::lags(&held.hold, live)
        });
        let settled = written
            && live.as_ref().is_some_and(|live| !live.rolling)
            && !self.world.doubted.contains(&target.workload)
            && self.world.trusts_its_clock(self.now)
            && !self.is_stretched();
        // The floor follows the recorded release only. A release step that is not persisted would
        // make the floor fall and rise again.
        let release = self.record.status.release.as_ref();
        let facts = FloorInputs {
            run: &self.record.name,
            window: &self.window,
            end: self.end,
            baseline,
            start,
            claimed: self.claimed(target),
            held_since: self.claimed(target).and_then(|_| {
                self.world.holds.get(&hold::name(&target.workload)).map(|h| h.hold.since_time)
            }),
            required: Required {
                blind: self.is_blind(),
                ..load::required(&self.readings, &target.name)
            },
            ready: live.map(|live| live.ready),
            overrides: &self.overrides,
            release,
            planned: self.planned_now(target, baseline),
            level_since: self
                .world
                .holds
                .get(&hold::name(&target.workload))
                .map(|h| h.hold.due_time),
            pace: self.announcement.release,
            replacements: self.replacements_now(target, baseline),
            settled,
        };
        demand(target, facts, self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seconds;
    use crate::state::release::{ReleaseCause, ReleaseFloor};
    use chrono::TimeZone;
    use std::sync::LazyLock;

    fn t0() -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 19, 50, 0).unwrap()
    }

    fn window() -> Window {
        Window { ready_by: t0(), start: t0() + seconds(600), end: t0() + seconds(7800) }
    }

    fn web() -> Target {
        crate::fixtures::web(180)
    }

    fn ask<'a>(
        target: &Target,
        change: impl Fn(&mut FloorInputs<'a>),
        now: Instant,
    ) -> Option<Demand> {
        static WINDOW: LazyLock<Window> = LazyLock::new(window);
        static NO_OVERRIDE: LazyLock<InForce<'static>> = LazyLock::new(InForce::default);
        let mut facts = FloorInputs {
            run: "capital",
            window: &WINDOW,
            end: WINDOW.end,
            baseline: 10,
            start: t0() - seconds(360),
            claimed: None,
            held_since: None,
            required: Required::default(),
            ready: Some(10),
            overrides: &NO_OVERRIDE,
            release: None,
            planned: 180,
            level_since: Some(t0() - seconds(360)),
            pace: ReleasePace { step_percent: 20, step_time: seconds(60) },
            replacements: 0,
            settled: true,
        };
        change(&mut facts);
        demand(target, facts, now)
    }

    fn known(replicas: u32, ahead: u32) -> Required {
        Required { replicas, ahead, blind: false }
    }

    #[test]
    fn a_rise_within_the_plan_is_met_a_tenth_above_it_and_beyond_it_where_it_will_be() {
        let asked = |now, ahead| {
            floor(ask(&web(), |f| f.required = known(now, ahead), t0() + seconds(700)))
        };
        assert_eq!([asked(90, 150), asked(150, 190), asked(180, 240)], [180, 190, 198]);
        assert_eq!(asked(181, 241), 241);
    }

    fn floor(demand: Option<Demand>) -> u32 {
        demand.unwrap().claim.floor
    }

    #[test]
    fn nothing_is_asked_before_the_target_is_needed() {
        assert_eq!(ask(&web(), |_| {}, t0() - seconds(376)), None);
        assert_eq!(floor(ask(&web(), |_| {}, t0() - seconds(375))), 180);
    }

    #[test]
    fn a_clock_that_goes_back_to_before_the_beginning_lets_go_of_nothing() {
        let before = &Claim { run: "capital".into(), floor: 180, ceiling: 260, raised: None };
        let since = t0() - seconds(360);
        let asked = ask(
            &web(),
            |f| (f.claimed, f.held_since) = (Some(before), Some(since)),
            t0() - seconds(3600),
        );
        assert_eq!(floor(asked), 180);
        // If the window moves to a later time, the run drops the claim.
        let before_then = t0() - seconds(370);
        let moved = ask(
            &web(),
            |f| {
                (f.claimed, f.held_since) = (Some(before), Some(before_then - seconds(60)));
                f.start = t0() + seconds(86_400);
            },
            before_then,
        );
        assert_eq!(moved, None);
    }

    #[test]
    fn live_load_raises_up_to_the_ceiling_and_the_clip_is_said() {
        let load = |n| move |f: &mut FloorInputs<'_>| f.required = known(n, n);
        let climbed = ask(&web(), load(225), t0()).unwrap();
        assert_eq!((climbed.claim.floor, climbed.raised_by_signal), (225, true));
        let clipped = ask(&web(), load(900), t0()).unwrap();
        assert_eq!((clipped.claim.floor, clipped.clipped_from), (260, Some(900)));
    }

    #[test]
    fn falling_or_unknown_load_lowers_nothing_in_the_window() {
        let before = Claim { run: "capital".into(), floor: 225, ceiling: 260, raised: None };
        for required in [known(5, 5), Required { blind: true, ..Required::default() }] {
            let demand = ask(
                &web(),
                |f| {
                    f.required = required;
                    f.claimed = Some(&before);
                },
                t0() + seconds(900),
            );
            assert_eq!(floor(demand), 225);
        }
    }

    fn shaped() -> Target {
        use crate::state::shape::{Interpolation, Point, Shape};
        let point = |n, percent| Point { offset: seconds(n), percent };
        let points = vec![point(0, 100), point(1_800, 10)];
        let interpolation = Interpolation::Linear;
        let shape = Shape { interpolation, headroom_percent: 0, min_replicas: None, points };
        Target { shape: Some(shape), ..web() }
    }

    fn claim(floor: u32, raised: Option<Raised>) -> Claim {
        Claim { run: "capital".into(), floor, ceiling: 260, raised }
    }

    #[test]
    fn the_clock_lowers_a_shaped_floor_and_nothing_else_does() {
        let (at, held) = (t0() + seconds(1_500), claim(180, None));
        let asked = |change: &dyn Fn(&mut FloorInputs<'_>)| {
            ask(
                &shaped(),
                |f| {
                    (f.claimed, f.planned, f.required) = (Some(&held), 90, known(40, 40));
                    change(f);
                },
                at,
            )
        };
        assert_eq!(floor(asked(&|_| {})), 144, "a fifth of 180 at once, after however long a wait");
        assert_eq!(floor(asked(&|f| f.planned = 150)), 150);
        assert_eq!(floor(asked(&|f| f.required.blind = true)), 180, "a signal is unknown");
        assert_eq!(floor(asked(&|f| f.settled = false)), 180, "a rollout, or a fresh process");
        assert_eq!(floor(asked(&|f| f.planned = 179)), 180, "not worth a write");
        let since = at - seconds(30);
        assert_eq!(floor(asked(&|f| f.level_since = Some(since))), 162, "20 percent a minute");
        assert_eq!(floor(asked(&|f| f.required = known(160, 160))), 160, "the load needs them");
        assert_eq!(floor(asked(&|f| f.end = at)), 180, "after the end the load decides");
        let unshaped = ask(&web(), |f| (f.claimed, f.planned) = (Some(&held), 90), at);
        assert_eq!(floor(unshaped), 180);
    }

    #[test]
    fn what_signals_have_raised_falls_with_the_shape_and_not_with_the_load() {
        let at = t0() + seconds(1_500);
        let asked = |held: &Claim, planned, load| {
            let claim = ask(
                &shaped(),
                |f| {
                    (f.claimed, f.planned) = (Some(held), planned);
                    f.required = known(load, load);
                    f.pace.step_percent = 100;
                },
                at,
            );
            claim.unwrap().claim
        };
        let rise = asked(&claim(100, None), 100, 150);
        assert_eq!((rise.floor, rise.raised), (150, Some(Raised { replicas: 150, percent: 150 })));
        let calm = asked(&rise, 100, 20);
        assert_eq!((calm.floor, calm.raised), (150, rise.raised), "the load alone lowers nothing");
        let later = asked(&calm, 60, 20);
        assert_eq!(later.floor, 90, "half as much again as the shape asks for");
        let lingers = asked(&later, 20, 70);
        assert_eq!(lingers.floor, 70, "live load keeps what it needs");
        assert_eq!(asked(&lingers, 20, 0).floor, 70);
        let again = asked(&lingers, 180, 0);
        assert_eq!(
            again.floor, 180,
            "a second peak is as it was announced, or as high as was seen"
        );
    }

    #[test]
    fn without_a_maximum_nothing_climbs_above_the_plan() {
        let target = Target { max_replicas: None, ..web() };
        let demand = ask(&target, |f| f.required = known(225, 225), t0());
        assert_eq!(demand.as_ref().unwrap().clipped_from, Some(225));
        assert_eq!(floor(demand), 180);
    }

    #[test]
    fn nothing_is_raised_for_an_event_that_is_over() {
        assert_eq!(ask(&web(), |_| {}, window().end), None);
        let before = &Claim { run: "capital".into(), floor: 180, ceiling: 260, raised: None };
        assert_eq!(floor(ask(&web(), |f| f.claimed = Some(before), window().end)), 180);
    }

    #[test]
    fn on_the_way_down_the_recorded_floor_counts_and_then_the_claim_goes() {
        let release = |floor, done| Release {
            start_time: t0(),
            cause: ReleaseCause::End,
            step_time: t0(),
            machines_time: None,
            floors: vec![ReleaseFloor { target: "web".into(), top: 180, floor, done, last: false }],
        };
        let going = release(146, false);
        assert_eq!(floor(ask(&web(), |f| f.release = Some(&going), t0() + seconds(9000))), 146);
        let gone = release(10, true);
        assert_eq!(ask(&web(), |f| f.release = Some(&gone), t0() + seconds(9000)), None);
    }
}
