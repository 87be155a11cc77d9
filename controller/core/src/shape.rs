//! Floor that the shape of an event asks for: rises ahead of time, falls at the pace of the release.
//!
//! The clock alone moves the floor. A rise is written one lead ahead, so that the pods are ready in
//! time. A fall is never faster than the release, because the autoscaler would remove the pods of a
//! long fall at once.

use chrono::TimeDelta;

use crate::Instant;
use crate::state::announcement::{ReleasePace, Window};
use crate::state::shape::{Interpolation, Shape};

/// Time between two changes of the floor. A change is an API write and a line of the decision log.
pub const GRID: TimeDelta = TimeDelta::seconds(30);

/// Thousandths of a percent. Fractions of a percent matter at thousands of pods.
const MILLI: i64 = 1_000;

/// A share in thousandths of a percent, at a time in seconds after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Vertex {
    at: i64,
    /// Share just before the time.
    before: i64,
    /// Share at the time.
    from: i64,
}

impl Vertex {
    const fn on_a_line(at: i64, share: i64) -> Self {
        Self { at, before: share, from: share }
    }

    fn highest(self) -> i64 {
        self.before.max(self.from)
    }
}

/// Returns the floor that the shape asks of a target at `now`.
///
/// `ahead` is the time that a rise takes until its pods are ready. `planned` stands for 100 percent.
/// `least` is the lower limit. Before T0 the result is the floor for T0, and after the end the floor
/// at the end.
#[must_use]
pub fn floor(
    shape: &Shape,
    (planned, least): (u32, u32),
    window: &Window,
    (ahead, pace): (TimeDelta, ReleasePace),
    now: Instant,
) -> u32 {
    let end = (window.end - window.start).num_seconds();
    let since = (now.max(window.ready_by) - window.start).num_seconds().min(end);
    let grid = GRID.num_seconds();
    // A value between two points of the grid is written at the earlier one.
    let at = since.div_euclid(grid) * grid;
    let ahead = (ahead.num_seconds().max(0) + grid - 1).min(end - at).max(0);
    let way = vertices(shape);
    let ends = [value(&way, at), value(&way, at + ahead)];
    // mutate: shape-rises-without-lead
    let to_come = way.iter().filter(|v| v.at > at && v.at <= at + ahead).map(|v| v.highest());
    // mutate: shape-falls-like-a-stone
    let passed = way.iter().filter(|v| v.at <= at).map(|v| v.highest() - fall(pace, at - v.at));
    let most = ends.into_iter().chain(to_come).chain(passed).max().unwrap_or(100 * MILLI);
    let most = u64::try_from(most.clamp(0, 100 * MILLI)).unwrap_or(0);
    let replicas = (u64::from(planned) * most).div_ceil(100_000);
    let least = shape.min_replicas.unwrap_or(0).max(least).min(planned);
    u32::try_from(replicas).unwrap_or(planned).max(least)
}

/// Returns the announced share at a time in seconds after the start, in thousandths of a percent,
/// without the headroom.
#[must_use]
pub fn share(shape: &Shape, since_start: i64) -> u32 {
    let announced = Shape { headroom_percent: 0, ..shape.clone() };
    u32::try_from(value(&vertices(&announced), since_start)).unwrap_or(0)
}

/// Returns the next time at which the floor may change.
#[must_use]
pub fn next(window: &Window, now: Instant) -> Instant {
    let passed = (now - window.start).num_seconds().div_euclid(GRID.num_seconds());
    let steps = i32::try_from(passed.saturating_add(1)).unwrap_or(i32::MAX);
    (window.start + GRID * steps).max(window.ready_by)
}

/// Returns the deepest fall in a number of seconds: `release.stepPercent` of the plan in
/// `release.stepSeconds`.
fn fall(pace: ReleasePace, seconds: i64) -> i64 {
    let step = i64::from(pace.step_percent) * MILLI;
    step.saturating_mul(seconds) / pace.step_time.num_seconds().max(1)
}

/// Returns the share at a time, rounded up.
fn value(way: &[Vertex], at: i64) -> i64 {
    let after = way.partition_point(|v| v.at <= at);
    let (Some(last), next) = (way.get(after.saturating_sub(1)), way.get(after)) else {
        return 100 * MILLI;
    };
    match next {
        Some(next) if after > 0 => {
            let (passed, length) = (at - last.at, (next.at - last.at).max(1));
            let change = (next.before - last.from) * passed;
            last.from + change.div_euclid(length) + i64::from(change.rem_euclid(length) > 0)
        }
        _ => last.from,
    }
}

/// Returns the course of the shape with the headroom on the way down.
///
/// The headroom raises each share, but never above the highest share so far: a new peak is planned as
/// it is announced.
fn vertices(shape: &Shape) -> Vec<Vertex> {
    let more = 100 + i64::from(shape.headroom_percent);
    let mut way: Vec<Vertex> = Vec::with_capacity(shape.points.len() * 3);
    let mut highest = 0;
    let mut last: Option<(i64, i64)> = None;
    for point in &shape.points {
        let (at, percent) = (point.offset.num_seconds(), i64::from(point.percent) * MILLI);
        let line = last.filter(|_| shape.interpolation == Interpolation::Linear);
        if let Some((from_at, from)) = line {
            // The headroom reaches the highest share so far at the first bend, and the line exceeds that
            // share from the second bend on.
            let mut bends = [highest * 100 / more, highest];
            if percent < from {
                bends.reverse();
            }
            for bend in
                bends.into_iter().filter(|b| (from.min(percent) + 1..from.max(percent)).contains(b))
            {
                let passed = (at - from_at) * (bend - from).abs() / (percent - from).abs();
                way.push(Vertex::on_a_line(from_at + passed, highest));
            }
        }
        highest = highest.max(percent);
        let here = (percent * more / 100).min(highest);
        let before = match (line, way.last()) {
            (None, Some(last)) => last.from,
            _ => here,
        };
        way.push(Vertex { at, before, from: here });
        last = Some((at, percent));
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seconds;
    use crate::state::shape::{NamedShape, Point};
    use chrono::TimeZone;

    const PACE: ReleasePace = ReleasePace { step_percent: 20, step_time: TimeDelta::seconds(60) };

    fn start() -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).unwrap()
    }

    fn window() -> Window {
        Window { ready_by: start() - seconds(600), start: start(), end: start() + seconds(7200) }
    }

    fn shape(interpolation: Interpolation, headroom_percent: u32, points: &[(i64, u32)]) -> Shape {
        let points = points
            .iter()
            .map(|(at, percent)| Point { offset: TimeDelta::seconds(*at), percent: *percent });
        Shape { interpolation, headroom_percent, min_replicas: None, points: points.collect() }
    }

    fn at(shape: &Shape, since: i64, lead: u32) -> u32 {
        let now = start() + TimeDelta::seconds(since);
        floor(shape, (1_000, 10), &window(), (seconds(lead), PACE), now)
    }

    /// Share by the definition, second by second: the comparison for the vertices.
    fn by_hand(shape: &Shape, at: i64) -> f64 {
        let raw = |at: i64| {
            let point = |p: &Point| (p.offset.num_seconds(), f64::from(p.percent));
            let points: Vec<_> = shape.points.iter().map(point).collect();
            let after = points.iter().position(|(t, _)| *t > at);
            match after {
                Some(0) => points[0].1,
                None => points.last().unwrap().1,
                Some(n) => {
                    let ((t0, a), (t1, b)) = (points[n - 1], points[n]);
                    match shape.interpolation {
                        Interpolation::Step => a,
                        #[allow(clippy::cast_precision_loss)] // seconds of an evening
                        Interpolation::Linear => a + (b - a) * (at - t0) as f64 / (t1 - t0) as f64,
                    }
                }
            }
        };
        let first = shape.points[0].offset.num_seconds();
        let highest = (first.min(at)..=at).map(raw).fold(0.0, f64::max);
        (raw(at) * f64::from(100 + shape.headroom_percent) / 100.0).min(highest)
    }

    #[test]
    fn a_line_falls_with_the_clock_and_never_below_the_baseline() {
        let falls = shape(Interpolation::Linear, 0, &[(0, 100), (1_000, 100), (3_000, 0)]);
        let seen = [-600, 0, 990, 2_010, 3_000, 9_000].map(|t| at(&falls, t, 0));
        assert_eq!(seen, [1_000, 1_000, 1_000, 495, 10, 10]);
    }

    #[test]
    fn a_rise_is_asked_for_one_lead_ahead_and_a_short_valley_is_filled() {
        let valley = shape(Interpolation::Step, 0, &[(0, 50), (600, 20), (900, 80)]);
        assert_eq!(at(&valley, -600, 360), 500);
        assert_eq!(at(&valley, 510, 360), 500, "the floor of 510 to 540 counts until 900");
        assert_eq!(at(&valley, 540, 360), 800);
        assert_eq!(at(&valley, 540, 0), 500);
        assert_eq!(at(&valley, 750, 0), 200);
    }

    #[test]
    fn a_cliff_is_walked_down_at_the_pace_of_the_release() {
        let cliff = shape(Interpolation::Step, 0, &[(0, 100), (600, 20)]);
        let seen = [600, 630, 660, 720, 840, 870].map(|t| at(&cliff, t, 0));
        assert_eq!(seen, [1_000, 900, 800, 600, 200, 200]);
    }

    #[test]
    fn headroom_is_added_on_the_way_down_only() {
        let points = [(0, 40), (600, 80), (1_800, 20), (2_400, 100), (3_000, 0)];
        let peaks = shape(Interpolation::Linear, 25, &points);
        assert_eq!([0, 600].map(|t| at(&peaks, t, 0)), [420, 800]);
        assert_eq!(at(&peaks, 1_200, 0), 625, "50 percent and a quarter");
        assert_eq!(
            at(&peaks, 1_800, 0),
            299,
            "20 percent and a quarter, with the next half minute"
        );
        assert_eq!(at(&peaks, 2_400, 0), 1_000);
    }

    #[test]
    fn vertices_are_the_shape_by_its_definition() {
        let mut random = 20_140_112_u64;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for _ in 0..300 {
            let interpolation =
                if draw(2) == 0 { Interpolation::Linear } else { Interpolation::Step };
            let headroom = u32::try_from(draw(60)).unwrap();
            let mut time = i64::try_from(draw(900)).unwrap() - 900;
            let mut points = Vec::new();
            for _ in 0..=draw(7) {
                points.push((time, u32::try_from(draw(101)).unwrap()));
                time += 200 + i64::try_from(draw(900)).unwrap();
            }
            let drawn = shape(interpolation, headroom, &points);
            let way = vertices(&drawn);
            assert!(way.is_sorted_by_key(|v| v.at), "{drawn:?}: {way:?}");
            for at in (-1_000..time + 100).step_by(7) {
                #[allow(clippy::cast_precision_loss)] // at most 100,000
                let is = value(&way, at) as f64 / 1_000.0;
                let should = by_hand(&drawn, at);
                // A bend is rounded to a whole second: half a percent of a share a second.
                assert!((is - should).abs() < 0.8, "{drawn:?} at {at}: {is}, not {should}");
            }
        }
    }

    #[test]
    fn named_shapes_reach_the_plan_and_rise_in_time() {
        for named in [NamedShape::BroadcastSpike, NamedShape::LaunchDecay, NamedShape::Match90Min] {
            let points = named.points();
            assert!(points.is_sorted_by_key(|(at, _)| at), "{named:?}");
            assert_eq!(points.iter().map(|(_, share)| *share).max(), Some(100), "{named:?}");
        }
    }
}
