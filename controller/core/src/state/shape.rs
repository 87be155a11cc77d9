//! Shape of an event: the share of the planned replicas that is announced for each time after the
//! start.

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The share of the planned replicas over the time of the event (`spec.targets[].shape`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Course between two points.
    pub interpolation: Interpolation,
    /// Addition on the way down, in percent of the share, 0 to 400. The sum never exceeds the highest
    /// share so far.
    pub headroom_percent: u32,
    /// Fewest replicas that the shape asks for. If absent, the baseline is the limit.
    pub min_replicas: Option<u32>,
    /// Points in the order of their offsets. The first share counts before the first point, and the
    /// last share after the last point.
    pub points: Vec<Point>,
}

/// A point of a [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Time after the start of the event; negative before the start.
    pub offset: TimeDelta,
    /// Share of the planned replicas in percent, 0 to 100.
    pub percent: u32,
}

/// Course of a [`Shape`] between two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Interpolation {
    /// The share changes in a straight line from each point to the next.
    Linear,
    /// The share of a point counts until the next point.
    Step,
}

/// A shape that Primetime knows by name (`spec.targets[].shape.name`).
///
/// Each is a guess that is better than a flat plan. The load of an earlier event of the same kind is
/// better than either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamedShape {
    /// A product or a shop in a broadcast: the peak at the start, for 20 minutes, then a half-life of
    /// about 20 minutes. The search spikes after television spots are in Lewis and Reiley, EC'13.
    #[serde(rename = "broadcast-spike")]
    BroadcastSpike,
    /// A launch: the peak in the first 15 minutes, then a half-life of about 25 minutes. The interest
    /// in a front page decays exponentially (ten Thij et al., arXiv 1212.5943).
    #[serde(rename = "launch-decay")]
    LaunchDecay,
    /// A match of 90 minutes on a second screen, from kick-off on: a bump at half-time, and the peak
    /// at the final whistle. The envelope of eleven knock-out matches of the World Cup 1998 without
    /// extra time.
    #[serde(rename = "match-90min")]
    Match90Min,
}

impl NamedShape {
    /// Returns the points as offset in minutes and share in percent. The course is linear.
    #[must_use]
    pub const fn points(self) -> &'static [(i32, u32)] {
        match self {
            Self::BroadcastSpike => {
                &[(0, 100), (20, 100), (30, 75), (40, 55), (60, 30), (80, 18), (120, 10)]
            }
            Self::LaunchDecay => {
                &[(0, 100), (15, 100), (40, 55), (65, 32), (90, 20), (120, 12), (180, 8)]
            }
            Self::Match90Min => &[
                (0, 40),
                (10, 48),
                (30, 60),
                (45, 75),
                (60, 75),
                (90, 80),
                (100, 90),
                (108, 100),
                (122, 100),
                (130, 75),
                (140, 65),
                (165, 55),
                (210, 45),
            ],
        }
    }
}
