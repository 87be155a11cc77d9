//! Shape of an event: the share of the planned replicas over time.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use primetime_core::state::shape::{self, Interpolation, NamedShape};

/// Share of the planned replicas over the time of the event. Exactly one of `name` and `points` is
/// required.
///
/// Between T0 and the end, the clock moves the floor along the shape. A rise is written one lead time
/// ahead. A fall is never faster than `release` allows. While a signal of the target is unknown, and
/// while an override holds the floors, the floor does not fall. Live load raises the floor as without
/// a shape.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.name) ? 1 : 0) + (has(self.points) ? 1 : 0) == 1")
        .message("shape: exactly one of name and points"),
    validation = Rule::new("has(self.points) == has(self.interpolation)")
        .message("shape: points and interpolation belong together"),
    validation = Rule::new("!has(self.points) || self.points.all(p, self.points.exists_one(q, q.offsetSeconds == p.offsetSeconds)) && self.points.map(p, p.offsetSeconds).isSorted()")
        .message("shape: points must have rising offsetSeconds")
)]
pub struct Shape {
    /// Name of a shipped shape: `broadcast-spike`, `launch-decay` or `match-90min`. Each shape is a
    /// guess, and documented in docs/shapes.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<NamedShape>,
    /// Course between two points: `Linear`, or `Step` for a share that counts until the next point.
    /// Required with `points`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpolation: Option<Interpolation>,
    /// Points with rising offsets. The first share counts from T0 on, and the last share until the
    /// end, also after an extension. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub points: Vec<ShapePoint>,
    /// Addition to each share on the way down, in percent of the share. The sum never exceeds the
    /// highest share so far. Range 0 to 400. Defaults to 0.
    #[serde(default)]
    #[schemars(range(max = 400))]
    pub headroom_percent: u32,
    /// Fewest replicas of each target on the way down, at least the replicas found before the first
    /// write. Range 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub min_replicas: Option<u32>,
}

/// Point of a shape.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ShapePoint {
    /// Time in seconds after the start of the event, negative before the start. A manual start moves
    /// the points too. Range -86400 to 604800.
    #[schemars(range(min = -86_400, max = 604_800))]
    pub offset_seconds: i32,
    /// Share of the planned replicas in percent. Range 0 to 100.
    #[schemars(range(max = 100))]
    pub percent: u32,
}

impl Shape {
    /// Converts the shape for the planner.
    ///
    /// # Errors
    ///
    /// Returns a sentence if `name` and `points` are both present or both absent, if `interpolation`
    /// is absent with `points`, if a share exceeds 100 percent, or if the offsets do not rise.
    pub fn read(&self) -> Result<shape::Shape, String> {
        let point = |seconds: i64, percent| shape::Point {
            offset: chrono::TimeDelta::seconds(seconds),
            percent,
        };
        let (interpolation, points) = match (self.name, self.interpolation) {
            (Some(name), None) if self.points.is_empty() => {
                let points = name.points().iter();
                let points = points.map(|(minutes, share)| point(i64::from(*minutes) * 60, *share));
                (Interpolation::Linear, points.collect::<Vec<_>>())
            }
            (None, Some(interpolation)) if !self.points.is_empty() => {
                let points = self.points.iter();
                let points = points.map(|p| point(i64::from(p.offset_seconds), p.percent));
                (interpolation, points.collect())
            }
            (None, None) if !self.points.is_empty() => {
                return Err("shape: points and interpolation belong together".to_owned());
            }
            _ => return Err("shape: exactly one of name, and points with interpolation".to_owned()),
        };
        let rises = |pair: &[shape::Point]| matches!(pair, [a, b] if a.offset < b.offset);
        if !points.windows(2).all(rises) {
            return Err("shape: points must have rising offsetSeconds".to_owned());
        }
        if let Some(point) = points.iter().find(|point| point.percent > 100) {
            return Err(format!("shape: {} percent of the plan; 100 is the most", point.percent));
        }
        Ok(shape::Shape {
            interpolation,
            headroom_percent: self.headroom_percent.min(400),
            min_replicas: self.min_replicas,
            points,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primetime_core::seconds;

    fn points(points: &[(i32, u32)]) -> Shape {
        let point = |(offset_seconds, percent): &(i32, u32)| ShapePoint {
            offset_seconds: *offset_seconds,
            percent: *percent,
        };
        Shape {
            interpolation: Some(Interpolation::Linear),
            points: points.iter().map(point).collect(),
            ..Shape::default()
        }
    }

    #[test]
    fn a_shape_is_named_or_has_points_in_order() {
        assert!(points(&[(0, 100), (900, 30)]).read().is_ok());
        let named = Shape { name: Some(NamedShape::Match90Min), ..Shape::default() };
        assert_eq!(named.read().unwrap().points.last().unwrap().offset, seconds(12_600));
        let both = Shape { name: Some(NamedShape::Match90Min), ..points(&[(0, 100)]) };
        for (wrong, said) in [
            (Shape::default(), "exactly one"),
            (both, "exactly one"),
            (Shape { interpolation: None, ..points(&[(0, 100)]) }, "belong together"),
            (points(&[(0, 100), (0, 50)]), "rising"),
            (points(&[(0, 101)]), "100 is the most"),
        ] {
            let error = wrong.read().unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
