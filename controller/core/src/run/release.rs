//! Release of a run: optional hold after the end, then a stepwise lowering of floors.
//!
//! An unknown load blocks the steps, and a higher load raises the floors again.

mod due;

use chrono::TimeDelta;

use crate::Instant;
use crate::output::{self, Wake};
use crate::run::context::Run;
use crate::run::load::{self, Required};
use crate::run::overrides::InForce;
use crate::run::{deletion, floor, jobs, manual_start};
use crate::scaling::{autoscaler, holds, patch};
use crate::state::announcement::{Announcement, OnUnknown, ReleasePace, Target, Window};
use crate::state::hold;
use crate::state::observed::Seen;
use crate::state::release::{Release, ReleaseCause, ReleaseFloor};
use crate::state::run::{RunRecord, RunStatus};

/// Returns the cause if the release begins now.
///
/// `deleted` is true if the run or the surge was deleted and the grace period is over.
#[must_use]
pub fn cause(
    run: &RunRecord,
    deleted: bool,
    announcement: &Announcement,
    status: &RunStatus,
    overrides: &InForce<'_>,
    window: &Window,
    now: Instant,
) -> Option<ReleaseCause> {
    if deleted {
        return Some(ReleaseCause::Deleted);
    }
    if overrides.release() {
        return Some(ReleaseCause::Override);
    }
    let end = overrides.end(window.end);
    if now < end || overrides.hold() {
        return None;
    }
    if manual_start::waits(run, announcement) {
        return Some(ReleaseCause::NeverStarted);
    }
    // mutate: event-ends-end-load
    let Some(hold) = announcement.hold else {
        return Some(ReleaseCause::End);
    };
    // mutate: hold-after-end-no
    if now >= end + hold.max_time {
        return Some(ReleaseCause::HoldExpired);
    }
    let gone = status
        .quiet_since
        .is_some_and(|since| now >= since.max(end - hold.for_time) + hold.for_time);
    gone.then_some(ReleaseCause::LoadGone)
}

/// Builds a release that begins at `now`. Each target keeps the floor until the first step.
#[must_use]
pub fn begin(cause: ReleaseCause, floors: &[(String, u32)], now: Instant) -> Release {
    Release {
        start_time: now,
        cause,
        step_time: now,
        machines_time: None,
        floors: floors.iter().map(|(target, top)| from(target, *top)).collect(),
    }
}

/// Builds the release entry of a target with the floor `top`.
#[must_use]
pub fn from(target: &str, top: u32) -> ReleaseFloor {
    ReleaseFloor { target: target.to_owned(), top, floor: top, done: false, last: false }
}

/// Facts about a target that a release step requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetOnTheWay {
    /// Baseline replicas, to which the release returns.
    pub baseline: u32,
    /// Replicas that the live load requires.
    pub required: Required,
    /// Replicas that the release assumes while the load is unknown.
    pub when_unknown: u32,
    /// Floor that boosts ask for.
    pub boost: u32,
    /// Limit for the floors that load and boosts ask for.
    pub ceiling: u32,
    /// True if an autoscaler keeps the replicas that the load requires once the floor is gone.
    pub autoscaled: bool,
    /// True if the previous step has taken effect and no lowering write is pending.
    pub settled: bool,
    /// True if machines of the run still carry pods. The last step then waits.
    pub machines: bool,
    /// Floor that replaces the pods on the machines while they are emptied.
    pub replacements: u32,
}

impl TargetOnTheWay {
    /// Facts for a target with an undecodable hold. The release waits until a person repairs the
    /// hold.
    pub const UNREADABLE: Self = Self {
        baseline: 0,
        required: Required { replicas: 0, ahead: 0, blind: false },
        when_unknown: 0,
        boost: 0,
        ceiling: 0,
        autoscaled: false,
        settled: false,
        machines: false,
        replacements: 0,
    };

    /// Returns the replicas that signals and boosts require, up to the ceiling.
    fn needed(&self, by_a_person: bool) -> u32 {
        let load = if by_a_person { 0 } else { self.required.ahead };
        self.boost.max(load).min(self.ceiling)
    }
}

/// Reason why the next step waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The pace of the release allows the next step at the given time.
    Pace(Instant),
    /// An override forbids lowering.
    Held,
    /// The process started too recently, and may lower from the given time on.
    JustStarted(Instant),
    /// A signal is unknown.
    Blind,
    /// The previous step of the named target has not taken effect yet.
    Unsettled(String),
}

/// Takes the next step of every target for which pace, evidence and overrides allow a step.
///
/// A live load or a boost above the floor raises the floor at once. Unknown signals block all steps
/// until `patience_ends`. After that time the floor of an autoscaled target falls to the baseline,
/// because the autoscaler keeps the replicas that the load requires. A target without an autoscaler
/// stays at the replicas that the load requires.
///
/// # Errors
///
/// Returns the reason ([`Wait`]) if a target waits and no target has taken a step.
pub fn step(
    release: &mut Release,
    pace: ReleasePace,
    facts: impl Fn(&str) -> Option<TargetOnTheWay>,
    held: bool,
    may_lower_from: Instant,
    patience_ends: Instant,
    now: Instant,
) -> Result<(), Wait> {
    let by_a_person = release.cause.by_a_person();
    let impatient = by_a_person || now >= patience_ends;
    for floor in release.floors.iter_mut().filter(|f| !f.done) {
        if let Some(fact) = facts(&floor.target) {
            let let_autoscaler = impatient && fact.autoscaled;
            let before = floor.floor;
            floor.floor = floor.floor.max(fact.needed(by_a_person || let_autoscaler));
            if !impatient {
                floor.floor = floor.floor.max(fact.when_unknown.min(fact.ceiling));
            }
            floor.last &= floor.floor == before;
        }
    }
    if held {
        return Err(Wait::Held);
    }
    let next = release.step_time + pace.step_time;
    if now < next {
        return Err(Wait::Pace(next));
    }
    // mutate: fresh-process-lowers
    if now < may_lower_from {
        return Err(Wait::JustStarted(may_lower_from));
    }
    let mut stepped = false;
    let mut waits = None;
    for floor in release.floors.iter_mut().filter(|f| !f.done) {
        let Some(fact) = facts(&floor.target) else {
            // The target or the hold is gone, so the release of the target is complete.
            floor.done = true;
            stepped = true;
            continue;
        };
        if fact.required.blind && !impatient {
            waits = Some(Wait::Blind);
        } else if !fact.settled {
            waits = Some(Wait::Unsettled(floor.target.clone()));
        } else {
            stepped |= step_one(floor, fact, pace, by_a_person, impatient);
        }
    }
    // A pass without a step changes no record, because a persistent load may block steps for hours.
    if stepped {
        release.step_time = now;
    }
    waits.filter(|_| !stepped).map_or(Ok(()), Err)
}

/// Takes one step of a target. Returns true if the floor has changed.
///
/// The last step waits for the machines of the run. The pods that run there are evicted meanwhile,
/// and the floor keeps their replacements, so that the baseline is never short of ready pods.
fn step_one(
    floor: &mut ReleaseFloor,
    fact: TargetOnTheWay,
    pace: ReleasePace,
    by_a_person: bool,
    impatient: bool,
) -> bool {
    let rest = fact.baseline.max(fact.needed(by_a_person || (impatient && fact.autoscaled)));
    // A boost is a decision of a person, so the release waits for the expiry of the boost. The
    // release does not wait for a persistent load after `patience_ends`.
    let stays = fact.boost.min(fact.ceiling) <= fact.baseline && impatient;
    let way = u64::from(floor.top.saturating_sub(fact.baseline));
    let stride = (way * u64::from(pace.step_percent.clamp(1, 100))).div_ceil(100).max(1);
    let stride = u32::try_from(stride).unwrap_or(u32::MAX);
    let over = floor.floor <= fact.baseline || (floor.floor <= rest && stays);
    let last = rest <= fact.baseline && floor.floor.saturating_sub(stride) <= fact.baseline;
    // mutate: last-step-before-the-machines
    if fact.machines && (floor.last || over || last) {
        let keeps = fact.replacements.max(rest);
        let moves = !floor.last && keeps < floor.floor;
        if moves {
            floor.floor = keeps;
        }
        floor.last = !moves;
        return moves;
    }
    floor.last = false;
    if over {
        floor.done = true;
        return true;
    }
    let next = floor.floor.saturating_sub(stride).max(rest);
    let moves = next < floor.floor;
    floor.floor = floor.floor.min(next);
    moves
}

impl Run<'_> {
    /// Begins the release once a cause exists. Withdraws the release if a deleted surge exists
    /// again.
    pub(super) fn begin_release(&self, status: &mut RunStatus) -> Wake {
        // A new start changes the end, so the planner waits until the start is recorded.
        if status.started_time != self.record.status.started_time {
            return Wake::NEVER;
        }
        let deleted = deletion::counts(self.record, status, self.world, self.now);
        let wake = Wake::at_first(deletion::counts_from(status, self.world), self.now);
        // The surge exists again and the event is not over, so the planner withdraws the release.
        let back = status.deletion_time.is_none() && self.record.owner.is_some();
        if back
            && self.now < self.end
            && status.release.as_ref().is_some_and(|r| r.cause == ReleaseCause::Deleted)
        {
            status.release = None;
            jobs::begin_again(status, self.announcement);
        }
        if let Some(release) = status.release.as_mut() {
            // If a person asks for a release that has begun automatically, the planner replaces the
            // cause.
            if deleted && !release.cause.by_a_person() {
                release.cause = ReleaseCause::Deleted;
            } else if self.overrides.release() && release.cause != ReleaseCause::Deleted {
                release.cause = ReleaseCause::Override;
            }
            return wake;
        }
        let Some(cause) = cause(
            self.record,
            deleted,
            self.announcement,
            status,
            &self.overrides,
            &self.window,
            self.now,
        ) else {
            return wake;
        };
        // An automatic release does not begin before `may_lower_from`. The clock may have jumped,
        // and a begun release would end the event for good.
        if !cause.by_a_person() && self.now < self.world.may_lower_from {
            return wake.or(Wake::at(self.world.may_lower_from, self.now));
        }
        let targets = self.announcement.targets.iter();
        let floors: Vec<_> =
            targets.filter_map(|t| Some((t.name.clone(), self.reached(t)?))).collect();
        status.release = Some(begin(cause, &floors, self.now));
        wake
    }

    /// Records a manual start, and withdraws a release that began because of the missing start.
    pub(super) fn hear_of_a_start(&self, status: &mut RunStatus) {
        let lost = |r: &crate::state::release::Release| r.cause == ReleaseCause::NeverStarted;
        let Some(said) = self.overrides.start() else { return };
        if manual_start::is_meant(self.record, self.world)
            && status.release.as_ref().is_none_or(lost)
        {
            status.started_time = Some(said);
            status.release = None;
            jobs::begin_again(status, self.announcement);
        }
    }

    /// Takes the next release step, if the beginning of the release is recorded.
    ///
    /// The facts of each target are a closure, because `step` asks only for targets that may be
    /// lowered.
    pub(super) fn come_down(&self, status: &mut RunStatus) -> Wake {
        if self.record.status.release.is_none() {
            return Wake::NEVER;
        }
        let (back_to_plan, wake) = self.goes_back_to_the_plan(status);
        let Some(way) = status.release.as_mut() else {
            return wake;
        };
        // A hold that could not be decoded when the release began may be decodable now. The planner
        // then adds the target to the release.
        for target in &self.announcement.targets {
            if !way.floors.iter().any(|f| f.target == target.name) {
                way.floors.extend(self.reached(target).map(|top| from(&target.name, top)));
            }
        }
        // An unknown signal blocks all targets of the run, including the targets without a signal.
        let blind = self.readings.len() < self.announcement.signals.len() || self.is_blind();
        let patience_ends = self.end + self.longest_hold();
        let patient = self.waits_for_others(way);
        let others_until = self.others_until(way);
        let machines = self.machines_carry_pods(way);
        let facts = |name: &str| {
            let target = self.announcement.targets.iter().find(|t| t.name == name)?;
            if self.unreadable(target).is_some() {
                return Some(TargetOnTheWay::UNREADABLE);
            }
            let hold = self.world.holds.get(&hold::name(&target.workload))?;
            let live = match self.world.target(&target.workload) {
                Seen::Absent => return None,
                Seen::Known(live) => Some(live),
                Seen::Unknown(_) => None,
            };
            let baseline = hold.hold.baseline.replicas;
            let (_, ceiling) = floor::plan_and_ceiling(target, baseline);
            let planned = self.planned_now(target, baseline);
            Some(TargetOnTheWay {
                baseline,
                required: Required { blind, ..load::required(&self.readings, name) },
                // An HPA that never scales down keeps its pods until its maximum is restored, which
                // comes after the last step.
                machines: machines && !live.is_some_and(|live| live.never_scales_down),
                replacements: self.with_replacements(target),
                when_unknown: if back_to_plan { planned } else { 0 },
                boost: self.overrides.boost(name, planned),
                ceiling,
                autoscaled: hold.hold.baseline.autoscaler.is_some()
                    && !live
                        .as_ref()
                        .is_some_and(|t| autoscaler::stands_alone(&hold.hold.baseline, t)),
                // mutate: step-down-taken-granted
                settled: self.is_on_record(target)
                    && !self.world.doubted.contains(&target.workload)
                    && live.is_some_and(|live| {
                        // A rollout starts new pods while old pods stop. A lower replica count
                        // would leave too few of both.
                        // mutate: target-lowered-middle-rollout
                        let rolls = live.rolling && patient;
                        // mutate: two-steps-down-fall
                        let lags = patch::lags(&hold.hold, live) && patient;
                        let due = patch::writes(hold, live, Instant::MAX_UTC);
                        !rolls && !lags && !due.iter().any(output::Write::lowers)
                    }),
            })
        };
        let waits = step(
            way,
            self.announcement.release,
            facts,
            self.overrides.hold(),
            self.world.may_lower_from,
            patience_ends,
            self.now,
        );
        for floor in way.floors.iter_mut().filter(|floor| floor.last) {
            let target = self.announcement.targets.iter().find(|t| t.name == floor.target);
            floor.floor = floor.floor.max(target.map_or(0, |t| self.with_replacements(t)));
        }
        let next = match waits {
            Ok(()) => Some(self.now + self.announcement.release.step_time),
            Err(Wait::Pace(at) | Wait::JustStarted(at)) => Some(at),
            Err(Wait::Blind) => Some(patience_ends),
            Err(Wait::Unsettled(_)) => Some(others_until),
            Err(Wait::Held) => None,
        };
        wake.or(Wake::at_first(next, self.now))
    }

    /// Returns the pods that a target needs without any machine of the run that goes: the baseline, the
    /// floors of other runs, what the known load needs unless a person has asked for the release, and
    /// within the event what its shape asks for.
    pub(super) fn needed(&self, target: &Target) -> u32 {
        let baseline = self.baseline(target);
        let release = self.record.status.release.as_ref();
        let (_, ceiling) = floor::plan_and_ceiling(target, baseline);
        let load = load::required(&self.readings, &target.name).ahead.min(ceiling);
        let load = if release.is_some_and(|r| r.cause.by_a_person()) { 0 } else { load };
        // mutate: serving-pods-evicted-in-the-event
        let needed = baseline.max(load).max(self.needed_in_the_event(target, baseline));
        needed.max(self.claimed_by_others(target).unwrap_or(0))
    }

    /// Returns the baseline of a target: of its hold, else as recorded in the status. Of a target that
    /// was never held, all but a tenth of the replicas are taken for needed.
    fn baseline(&self, target: &Target) -> u32 {
        let hold = self.world.holds.get(&hold::name(&target.workload)).map(|h| &h.hold);
        let shown = self.record.status.targets.iter().find(|shown| shown.name == target.name);
        let live = || {
            let live = self.world.target(&target.workload).known().map_or(0, |live| live.replicas);
            live.saturating_sub((live / 10).max(1))
        };
        let recorded = || shown.and_then(|shown| shown.baseline);
        hold.map(|hold| hold.baseline.replicas).or_else(recorded).unwrap_or_else(live)
    }

    /// Returns the highest floor of other runs on a target. A run that only waits with its last step
    /// needs nothing beyond the baseline.
    pub(super) fn claimed_by_others(&self, target: &Target) -> Option<u32> {
        let waits = |run: &str| {
            let release = self.world.runs.get(run).and_then(|run| run.status.release.as_ref());
            let floors = release.iter().flat_map(|release| &release.floors);
            floors.clone().any(|floor| floor.target == target.name && floor.last)
        };
        let hold = self.world.holds.get(&hold::name(&target.workload))?;
        let others = hold.hold.claims.iter().filter(|c| c.run != self.record.name);
        others.filter(|c| !waits(&c.run)).map(|c| c.floor).max()
    }

    /// Returns the floor of a target while the machines of the run are emptied: a fifth more than the
    /// target needs. The pods beyond become ready elsewhere before pods on the machines are evicted.
    fn with_replacements(&self, target: &Target) -> u32 {
        let needed = self.needed(target);
        needed.saturating_add((needed / 5).max(1))
    }

    /// True if the floors return to the plan, because a signal is silent and `onUnknown` is
    /// `HoldOrPlan`.
    ///
    /// The function also returns the time at which an unknown signal becomes silent.
    pub(super) fn goes_back_to_the_plan(&self, status: &RunStatus) -> (bool, Wake) {
        if self.announcement.on_unknown == OnUnknown::Hold {
            return (false, Wake::NEVER);
        }
        match load::silent(&self.readings, status, self.now) {
            Ok(()) => (true, Wake::NEVER),
            Err(later) => (false, Wake::at_first(later, self.now)),
        }
    }

    /// Returns the time until which the release waits for rollouts and autoscalers.
    ///
    /// The time is the end of the wait for evidence, or 10 min (`ROLLOUT_TIME`) after the release
    /// began, whichever is later.
    pub(super) fn others_until(&self, way: &crate::state::release::Release) -> Instant {
        (self.end + self.longest_hold()).max(way.start_time + holds::OTHERS_TIME)
    }

    /// `hold.maxSeconds`, or nothing without a hold.
    pub(super) fn longest_hold(&self) -> TimeDelta {
        self.announcement.hold.map_or(TimeDelta::zero(), |h| h.max_time)
    }

    pub(super) fn waits_for_others(&self, way: &crate::state::release::Release) -> bool {
        !way.cause.by_a_person() && self.now < self.others_until(way)
    }

    /// True if the hold contains the floor of the last release step.
    ///
    /// A step that the hold does not contain has had no effect.
    pub(super) fn is_on_record(&self, target: &Target) -> bool {
        let way = self.record.status.release.as_ref();
        let floor = way.and_then(|w| w.floors.iter().find(|f| f.target == target.name));
        match (self.claimed(target), floor) {
            (Some(claim), Some(floor)) => claim.floor <= floor.floor,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::load::{Load, Reading, observe_load, silent};
    use crate::seconds;
    use crate::state::announcement::HoldAfterEnd;
    use crate::state::sample::Why;
    use chrono::TimeZone;

    fn now() -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 22, 0, 0).unwrap()
    }

    fn pace() -> ReleasePace {
        ReleasePace { step_percent: 20, step_time: seconds(120) }
    }

    fn release() -> Release {
        begin(ReleaseCause::LoadGone, &[("web".into(), 180)], now())
    }

    fn fact(required: u32, blind: bool) -> TargetOnTheWay {
        TargetOnTheWay {
            baseline: 10,
            required: Required { replicas: required, ahead: required, blind },
            when_unknown: 0,
            boost: 0,
            ceiling: 260,
            autoscaled: true,
            settled: true,
            machines: false,
            replacements: 12,
        }
    }

    fn walk(release: &mut Release, fact: TargetOnTheWay, at: Instant) -> Result<(), Wait> {
        step(release, pace(), |_| Some(fact), false, now(), now() + seconds(7200), at)
    }

    fn floor(release: &Release) -> (u32, bool) {
        release.floors.first().map(|f| (f.floor, f.done)).unwrap()
    }

    #[test]
    fn the_way_down_takes_equal_steps_and_then_lets_go() {
        let mut release = release();
        let mut seen = Vec::new();
        for n in 1..=6 {
            walk(&mut release, fact(5, false), now() + seconds(120 * n)).unwrap();
            seen.push(floor(&release));
        }
        assert_eq!(
            seen,
            [(146, false), (112, false), (78, false), (44, false), (10, false), (10, true)]
        );
    }

    #[test]
    fn a_step_waits_for_its_time() {
        let mut release = release();
        let early = now() + seconds(119);
        assert_eq!(
            walk(&mut release, fact(5, false), early),
            Err(Wait::Pace(now() + seconds(120)))
        );
        assert_eq!(floor(&release), (180, false));
    }

    #[test]
    fn unknown_load_blocks_a_step_until_the_longest_hold_is_over() {
        let mut release = release();
        assert_eq!(walk(&mut release, fact(5, true), now() + seconds(600)), Err(Wait::Blind));
        assert_eq!(floor(&release), (180, false));
        walk(&mut release, fact(5, true), now() + seconds(7200)).unwrap();
        assert_eq!(floor(&release), (146, false));
    }

    #[test]
    fn where_the_plan_is_trusted_more_than_silence_the_floor_goes_back_up_to_it() {
        let mut release = release();
        for n in 1..=3 {
            walk(&mut release, fact(5, false), now() + seconds(120 * n)).unwrap();
        }
        assert_eq!(floor(&release), (78, false));
        let silent = TargetOnTheWay { when_unknown: 180, ..fact(0, true) };
        let _ = walk(&mut release, silent, now() + seconds(370));
        assert_eq!(floor(&release), (180, false));
        // The return to the plan ends with `patience_ends`, and does not overrule a person.
        walk(&mut release, silent, now() + seconds(7200)).unwrap();
        assert_eq!(floor(&release), (146, false));
        let mut release = begin(ReleaseCause::Override, &[("web".into(), 180)], now());
        walk(&mut release, silent, now() + seconds(120)).unwrap();
        assert_eq!(floor(&release), (146, false));
    }

    #[test]
    fn a_gap_is_no_silence() {
        let mut status = signal_status("36000");
        let readings = [reading(Err(Why::Empty))];
        let silent = |status: &RunStatus, at| silent(&readings, status, at);
        assert_eq!(silent(&status, now()), Err(None));
        for signal in &mut status.signals {
            signal.unknown_since = Some(now());
        }
        assert_eq!(silent(&status, now() + seconds(59)), Err(Some(now() + seconds(60))));
        assert_eq!(silent(&status, now() + seconds(60)), Ok(()));
    }

    #[test]
    fn a_person_is_obeyed_while_prometheus_is_down() {
        let mut release = begin(ReleaseCause::Override, &[("web".into(), 180)], now());
        walk(&mut release, fact(500, true), now() + seconds(120)).unwrap();
        assert_eq!(floor(&release), (146, false));
    }

    #[test]
    fn a_new_rise_climbs_back_at_once() {
        let mut release = release();
        walk(&mut release, fact(5, false), now() + seconds(120)).unwrap();
        walk(&mut release, fact(5, false), now() + seconds(240)).unwrap();
        assert_eq!(floor(&release), (112, false));
        assert!(walk(&mut release, fact(200, false), now() + seconds(250)).is_err());
        assert_eq!(floor(&release), (200, false));
    }

    #[test]
    fn a_load_worth_five_comes_down_from_fifty_without_a_cliff() {
        let mut release = begin(ReleaseCause::End, &[("web".into(), 50)], now());
        let fact = TargetOnTheWay { baseline: 3, ..fact(5, false) };
        let mut last = 50;
        for n in 1..=8 {
            walk(&mut release, fact, now() + seconds(120 * n)).unwrap();
            let (floor, _) = floor(&release);
            assert!(last - floor <= 10, "{last} -> {floor}");
            last = floor;
        }
        assert_eq!(
            floor(&release),
            (5, false),
            "the load needs more than the baseline: it is waited for"
        );
    }

    #[test]
    fn a_load_that_has_come_to_stay_is_waited_for_and_then_left_to_the_autoscaler_or_in_place() {
        for (autoscaled, rest) in [(true, 10), (false, 50)] {
            let mut release = release();
            let fact = TargetOnTheWay { autoscaled, ..fact(50, false) };
            for n in 1..=20 {
                walk(&mut release, fact, now() + seconds(120 * n)).unwrap();
            }
            assert_eq!(floor(&release), (50, false), "waited for");
            for n in 0..=20 {
                walk(&mut release, fact, now() + seconds(7200 + 120 * n)).unwrap();
            }
            assert_eq!(floor(&release), (rest, true), "autoscaled: {autoscaled}");
        }
    }

    #[test]
    fn a_full_load_at_the_end_of_patience_is_stepped_and_not_dropped() {
        let mut release = begin(ReleaseCause::HoldExpired, &[("web".into(), 180)], now());
        let late = now() + seconds(7200);
        walk(&mut release, fact(180, false), late).unwrap();
        assert_eq!(floor(&release), (146, false));
    }

    #[test]
    fn a_bogus_sample_raises_to_the_ceiling_and_no_further() {
        let mut release = release();
        let _ = walk(&mut release, fact(5_000_000, false), now() + seconds(1));
        assert_eq!(floor(&release), (260, false));
    }

    #[test]
    fn one_target_that_is_stuck_does_not_keep_the_others() {
        let floors = [("web".into(), 180), ("search".into(), 90)];
        let mut release = begin(ReleaseCause::Override, &floors, now());
        let facts = |name: &str| Some(TargetOnTheWay { settled: name != "web", ..fact(0, false) });
        for n in 1..=8 {
            let at = now() + seconds(120 * n);
            let _ = step(&mut release, pace(), facts, false, now(), at, at);
        }
        let done: Vec<_> = release.floors.iter().map(|f| f.done).collect();
        assert_eq!(done, [false, true]);
    }

    #[test]
    fn nothing_is_lowered_by_a_process_that_has_just_started_or_against_a_hold() {
        let mut release = release();
        let at = now() + seconds(120);
        let later = at + seconds(1);
        let waits = step(&mut release, pace(), |_| Some(fact(5, false)), false, later, at, at);
        assert_eq!(waits, Err(Wait::JustStarted(later)));
        let waits = step(&mut release, pace(), |_| Some(fact(5, false)), true, now(), at, at);
        assert_eq!(waits, Err(Wait::Held));
    }

    #[test]
    fn a_boost_after_the_release_holds_until_it_expires() {
        let mut release = begin(ReleaseCause::Override, &[("web".into(), 180)], now());
        let boosted = TargetOnTheWay { boost: 150, ..fact(0, false) };
        for n in 1..=4 {
            walk(&mut release, boosted, now() + seconds(120 * n)).unwrap();
        }
        assert_eq!(floor(&release), (150, false), "it is waited for");
    }

    fn signal_status(peak: &str) -> RunStatus {
        RunStatus {
            signals: vec![crate::state::status::SignalStatus {
                name: "sessions".into(),
                peak: Some(peak.into()),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn reading(load: Result<f64, Why>) -> Reading {
        Reading {
            name: "sessions".into(),
            target: Some("web".into()),
            value: load.as_ref().ok().copied(),
            load: load.map(|value| Load {
                value,
                ahead: value,
                required: 1,
                required_ahead: 1,
                at: now(),
            }),
            threshold: None,
        }
    }

    #[test]
    fn quiet_is_counted_without_a_break_and_unknown_is_a_break() {
        let hold = Some(HoldAfterEnd {
            until_below_percent: 30,
            for_time: seconds(900),
            max_time: seconds(7200),
        });
        let mut status = signal_status("36000");
        observe_load(&mut status, &[reading(Ok(10_000.0))], hold, now());
        observe_load(&mut status, &[reading(Ok(9_000.0))], hold, now() + seconds(60));
        assert_eq!(status.quiet_since, Some(now()));
        let looked_at = Reading { name: "p95".into(), target: None, ..reading(Err(Why::Empty)) };
        let both = [reading(Ok(9_000.0)), looked_at.clone()];
        status
            .signals
            .push(crate::state::status::SignalStatus { name: "p95".into(), ..Default::default() });
        observe_load(&mut status, &both, hold, now() + seconds(90));
        assert_eq!(status.quiet_since, Some(now()), "that one says nothing of the load");
        observe_load(&mut status, &[looked_at], hold, now() + seconds(90));
        assert_eq!(status.quiet_since, None, "nothing is known of the load");
        observe_load(&mut status, &both, hold, now() + seconds(100));
        observe_load(&mut status, &[reading(Err(Why::Empty))], hold, now() + seconds(120));
        assert_eq!(status.quiet_since, None);
        observe_load(&mut status, &[reading(Ok(45_000.0))], hold, now() + seconds(180));
        assert_eq!(status.signals.first().unwrap().peak.as_deref(), Some("45000"));
    }

    #[test]
    fn the_last_step_waits_while_machines_carry_pods() {
        let mut way = begin(ReleaseCause::LoadGone, &[("web".into(), 110)], now());
        let mut at = now();
        let mut steps = |way: &mut Release, machines, n| {
            for _ in 0..n {
                at += seconds(120);
                let facts = |_: &str| Some(TargetOnTheWay { machines, ..fact(0, false) });
                step(way, pace(), facts, false, now(), at + seconds(1), at).unwrap();
            }
            (way.floors[0].floor, way.floors[0].last, way.floors[0].done)
        };
        assert_eq!(steps(&mut way, true, 4), (30, false, false));
        assert_eq!(steps(&mut way, true, 1), (12, false, false), "what replaces the pods is kept");
        assert_eq!(steps(&mut way, true, 30), (12, true, false));
        assert_eq!(steps(&mut way, false, 1), (10, false, false));
        assert_eq!(steps(&mut way, false, 1), (10, false, true));
        let mut way = begin(ReleaseCause::LoadGone, &[("web".into(), 10)], now());
        assert_eq!(steps(&mut way, true, 2), (10, true, false));
    }
}
