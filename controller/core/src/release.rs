//! Holding after the end, then coming down: slow, stepwise, reversible, gated on evidence.

use chrono::TimeDelta;

use crate::Instant;
use crate::armed;
use crate::overrides::InForce;
use crate::run::{Release, ReleaseCause, ReleaseFloor, RunRecord, RunStatus};
use crate::signal::{Reading, Required};
use crate::surge::{Announcement, HoldAfterEnd, ReleasePace, Window};

/// Remembers the highest load of each signal, and since when all of them are below the share of their peak.
///
/// Unknown is not quiet: any unknown signal starts the count again.
pub fn observe_load(
    status: &mut RunStatus,
    readings: &[Reading],
    hold: Option<HoldAfterEnd>,
    now: Instant,
) {
    let mut quiet = readings.iter().any(Reading::raises) && hold.is_some();
    for reading in readings {
        let Some(shown) = status.signals.iter_mut().find(|s| s.name == reading.name) else {
            continue;
        };
        let Ok(load) = &reading.load else {
            quiet &= !reading.raises();
            continue;
        };
        let peak = shown.peak.as_ref().and_then(|p| p.parse::<f64>().ok()).unwrap_or(0.0);
        if load.value > peak {
            shown.peak = Some(number(load.value));
        }
        let share = hold.map_or(0.0, |h| f64::from(h.until_below_percent) / 100.0);
        // How full pods are says nothing of how much there is: below its threshold it is quiet.
        let line = || peak.max(load.value) * share;
        quiet &= !reading.raises() || load.value < reading.threshold.unwrap_or_else(line);
    }
    status.quiet_since = if quiet { status.quiet_since.or(Some(now)) } else { None };
}

/// A load as people write it: whole where it is large, two places where it is small.
#[must_use]
pub fn number(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// That a signal is unknown is more than a gap after so long.
pub const SILENCE: TimeDelta = TimeDelta::seconds(60);

/// Whether a signal that raises something has been unknown for more than a gap; otherwise when it will have been.
///
/// # Errors
///
/// When the oldest doubt becomes silence, if there is any.
pub fn silent(
    readings: &[Reading],
    status: &RunStatus,
    now: Instant,
) -> Result<(), Option<Instant>> {
    let raises = |name: &str| readings.iter().any(|r| r.name == name && r.raises());
    let raising = status.signals.iter().filter(|s| raises(&s.name));
    let doubt = raising.filter_map(|s| s.unknown_since).min();
    match doubt.map(|since| since + SILENCE) {
        Some(at) if at <= now => Ok(()),
        later => Err(later),
    }
}

/// Whether the way down begins now, and why. `deleted`: the run, or its surge, was deleted, and the grace is over.
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
    if armed::waits(run, announcement) {
        return Some(ReleaseCause::NeverStarted);
    }
    let Some(hold) = announcement.hold else {
        return Some(ReleaseCause::End);
    };
    if now >= end + hold.max_time {
        return Some(ReleaseCause::HoldExpired);
    }
    let gone = status
        .quiet_since
        .is_some_and(|since| now >= since.max(end - hold.for_time) + hold.for_time);
    gone.then_some(ReleaseCause::LoadGone)
}

/// Begins the way down: every claim keeps its floor until the first step.
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

/// The way down of a target, from its top.
#[must_use]
pub fn from(target: &str, top: u32) -> ReleaseFloor {
    ReleaseFloor { target: target.to_owned(), top, floor: top, done: false }
}

/// What one step has to know of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it goes back to.
    pub baseline: u32,
    /// What the live load needs.
    pub required: Required,
    /// What the live load is taken to need while it is unknown.
    pub when_unknown: u32,
    /// What a boost asks for.
    pub boost: u32,
    /// Neither load nor boost ask for more than this.
    pub ceiling: u32,
    /// An autoscaler keeps what the load needs when the floor goes.
    pub autoscaled: bool,
    /// The previous step has taken effect: nothing is still to be lowered.
    pub settled: bool,
}

impl Step {
    /// A target whose hold cannot be understood waits for whoever mends it.
    pub const UNREADABLE: Self = Self {
        baseline: 0,
        required: Required { replicas: 0, ahead: 0, blind: false },
        when_unknown: 0,
        boost: 0,
        ceiling: 0,
        autoscaled: false,
        settled: false,
    };

    /// What must stay, as far as anybody has a say in it.
    fn needed(&self, by_a_person: bool) -> u32 {
        let load = if by_a_person { 0 } else { self.required.ahead };
        self.boost.max(load).min(self.ceiling)
    }
}

/// Why the next step waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until the pace allows it.
    Pace(Instant),
    /// An override forbids it.
    Held,
    /// This process has not seen enough yet.
    JustStarted(Instant),
    /// A signal is unknown.
    Blind,
    /// The last step has not taken effect yet.
    Unsettled(String),
}

/// Takes the next step of every target that pace, evidence and people allow; otherwise says why all of them wait.
///
/// A live load, or a boost, above the floor raises it again at once and keeps it there. Evidence that stays unknown blocks
/// until `patience_ends`; after that a floor goes all the way: an autoscaler keeps what its load needs, and a target
/// without one stays at what its load needs.
///
/// # Errors
///
/// What it waits for.
pub fn step(
    release: &mut Release,
    pace: ReleasePace,
    facts: impl Fn(&str) -> Option<Step>,
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
            floor.floor = floor.floor.max(fact.needed(by_a_person || let_autoscaler));
            if !impatient {
                floor.floor = floor.floor.max(fact.when_unknown.min(fact.ceiling));
            }
        }
    }
    if held {
        return Err(Wait::Held);
    }
    let next = release.step_time + pace.step_time;
    if now < next {
        return Err(Wait::Pace(next));
    }
    if now < may_lower_from {
        return Err(Wait::JustStarted(may_lower_from));
    }
    let mut stepped = false;
    let mut waits = None;
    for floor in release.floors.iter_mut().filter(|f| !f.done) {
        let Some(fact) = facts(&floor.target) else {
            // The target, or its hold, is gone: there is nothing to wait for.
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
    // Where nothing has moved, nothing is written: a load that stays may stay for hours.
    if stepped {
        release.step_time = now;
    }
    waits.filter(|_| !stepped).map_or(Ok(()), Err)
}

/// One step of one target; whether anything changed.
fn step_one(
    floor: &mut ReleaseFloor,
    fact: Step,
    pace: ReleasePace,
    by_a_person: bool,
    impatient: bool,
) -> bool {
    let rest = fact.baseline.max(fact.needed(by_a_person || (impatient && fact.autoscaled)));
    // A boost is a person's word and is waited for; a load that has come to stay is not, once patience has ended.
    let stays = fact.boost.min(fact.ceiling) <= fact.baseline && impatient;
    if floor.floor <= fact.baseline || (floor.floor <= rest && stays) {
        floor.done = true;
        return true;
    }
    let way = u64::from(floor.top.saturating_sub(fact.baseline));
    let stride = (way * u64::from(pace.step_percent.clamp(1, 100))).div_ceil(100).max(1);
    let stride = u32::try_from(stride).unwrap_or(u32::MAX);
    let next = floor.floor.saturating_sub(stride).max(rest);
    let moves = next < floor.floor;
    floor.floor = floor.floor.min(next);
    moves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seconds;
    use crate::signal::{Load, Why};
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

    fn fact(required: u32, blind: bool) -> Step {
        Step {
            baseline: 10,
            required: Required { replicas: required, ahead: required, blind },
            when_unknown: 0,
            boost: 0,
            ceiling: 260,
            autoscaled: true,
            settled: true,
        }
    }

    fn walk(release: &mut Release, fact: Step, at: Instant) -> Result<(), Wait> {
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
        let silent = Step { when_unknown: 180, ..fact(0, true) };
        let _ = walk(&mut release, silent, now() + seconds(370));
        assert_eq!(floor(&release), (180, false));
        // Not for ever, and not against a person.
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
        let fact = Step { baseline: 3, ..fact(5, false) };
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
            let fact = Step { autoscaled, ..fact(50, false) };
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
        let facts = |name: &str| Some(Step { settled: name != "web", ..fact(0, false) });
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
        let boosted = Step { boost: 150, ..fact(0, false) };
        for n in 1..=4 {
            walk(&mut release, boosted, now() + seconds(120 * n)).unwrap();
        }
        assert_eq!(floor(&release), (150, false), "it is waited for");
    }

    fn signal_status(peak: &str) -> RunStatus {
        RunStatus {
            signals: vec![crate::run::SignalStatus {
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
        status.signals.push(crate::run::SignalStatus { name: "p95".into(), ..Default::default() });
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
}
