//! Load curves: built-in fixtures, CSV files of the user, and range queries of Prometheus.

use primetime_core::Instant;
use serde_json::Value;

/// Load by seconds since the start of the event.
///
/// The curve interpolates linearly between two points. Before the first and after the last point
/// the load is constant.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    points: Vec<(f64, f64)>,
    /// Start of the past event in the Prometheus history, if the curve comes from such a history.
    pub remembers: Option<Instant>,
}

/// Names of the fixtures.
pub const NAMES: [&str; 4] = ["capital-2014", "bedrock", "hotstar-2019", "worldcup98"];

/// Greatest distance of a point from the start of the event, in seconds (31 days).
const FURTHEST: f64 = 31.0 * 86_400.0;

impl Curve {
    /// Returns a curve through `points`, which must be sorted by seconds.
    ///
    /// # Errors
    ///
    /// An error names the cause: no point, seconds that do not rise, or a number that is not
    /// finite. A load below 0 or above 1e12 is an error, and so is a point more than 31 days from
    /// the start.
    pub fn new(points: Vec<(f64, f64)>) -> Result<Self, String> {
        if points.is_empty() {
            return Err("it has no points".to_owned());
        }
        for (n, (at, load)) in points.iter().enumerate() {
            if !at.is_finite() || !load.is_finite() || *load < 0.0 {
                return Err(format!("point {}: {load} at {at} s is no load", n + 1));
            }
            if at.abs() > FURTHEST || *load > 1e12 {
                return Err(format!(
                    "point {}: {load} at {at} s is beyond a month, or 1e12",
                    n + 1
                ));
            }
        }
        let pairs = points.iter().zip(points.iter().skip(1));
        if let Some((a, b)) = pairs.into_iter().find(|(a, b)| b.0 <= a.0) {
            return Err(format!("its seconds must rise: {} comes after {}", b.0, a.0));
        }
        Ok(Self { points, remembers: None })
    }

    /// Returns the fixture with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let points = match name {
            // A Little Market on "Capital", 2014: the load rises from 2,000 to 36,000 sessions in
            // three minutes. After ten minutes at the peak the load halves every ten minutes.
            "capital-2014" => event(2_000.0, 36_000.0, 180.0, 600.0, 600.0),
            // Bedrock Streaming: the load rises to ten times in two minutes and stays there for an
            // hour (<https://tech.bedrockstreaming.com/2022/02/03/prescaling.html>).
            "bedrock" => event(1_000.0, 10_000.0, 120.0, 3_600.0, 450.0),
            // Hotstar, semi-final of 2019: the viewers rise from 5 to 25.3 million by 1.1 million a
            // minute. Half an hour later a wicket falls, and the viewers drop to one million within
            // five minutes
            // (<https://www.slideshare.net/hotstar-engineering/scaling-hotstarcom-for-10mn-concurrency>).
            "hotstar-2019" => {
                vec![(0.0, 5e6), (1_107.0, 25.3e6), (2_907.0, 25.3e6), (3_207.0, 1e6)]
            }
            // World Cup, afternoon of 30 June 1998, 18:00 to 23:00, in requests a minute. The load
            // rises slowly, by a factor of about three in two to three hours.
            "worldcup98" => vec![
                (-3_600.0, 74_000.0),
                (0.0, 100_000.0),
                (7_200.0, 215_000.0),
                (10_800.0, 190_000.0),
                (14_400.0, 74_000.0),
            ],
            _ => return None,
        };
        Some(Self { points, remembers: None })
    }

    /// Returns the load as announced: `usual` before the start, a rise to `planned` in 180 s,
    /// `planned` until `duration` ends, then a decay.
    #[must_use]
    pub fn announced(usual: f64, planned: f64, duration: f64) -> Self {
        let points = event(usual, planned, 180.0, (duration - 180.0).max(0.0), 600.0);
        Self { points, remembers: None }
    }

    /// Returns the load as announced with a shape: `usual` before the start, a rise in 180 s to the
    /// share of the shape, its shares until `duration` ends, then a decay. `share` returns a share
    /// of 0 to 1 at a time in seconds after the start.
    #[must_use]
    pub fn shaped(usual: f64, planned: f64, duration: u32, share: impl Fn(u32) -> f64) -> Self {
        let load = |at: u32| (planned * share(at)).max(usual);
        let within = (180..duration).step_by(60).map(|at| (f64::from(at), load(at)));
        let end = f64::from(duration.max(180));
        let after = (0..=6).map(|n| (end + 600.0 * f64::from(n), load(duration) / 2_f64.powi(n)));
        let after = after.map(|(at, load)| (at, load.max(usual)));
        let points = [(0.0, usual)].into_iter().chain(within).chain(after).collect();
        Self { points, remembers: None }
    }

    /// Parses lines of `seconds,load`, with seconds counted from the start of the event. The parser
    /// skips a heading, which is a line without digits before the first point.
    ///
    /// # Errors
    ///
    /// An error names the malformed line, or the violated rule of [`Curve::new`].
    pub fn from_csv(text: &str) -> Result<Self, String> {
        let mut points = Vec::new();
        for (n, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let numbers: Vec<f64> = fields.iter().filter_map(|f| f.parse().ok()).collect();
            match (fields.len(), numbers.as_slice()) {
                (2, [at, load]) => points.push((*at, *load)),
                (_, []) if points.is_empty() && !line.contains(|c: char| c.is_ascii_digit()) => {}
                _ => return Err(format!("line {}: \"{line}\" is not seconds,load", n + 1)),
            }
        }
        Self::new(points)
    }

    /// Parses the answer of Prometheus to a range query. The curve counts its seconds from the
    /// start of the past event in that history.
    ///
    /// The parser takes the first element of `starts` that is not after the last sample. `starts`
    /// must be sorted with the latest start first.
    ///
    /// # Errors
    ///
    /// An error names the cause: no JSON, no `data.result`, several series, no values, or a history
    /// that does not contain the chosen start. A violated rule of [`Curve::new`] is an error as
    /// well.
    pub fn from_history(
        text: &str,
        mut starts: impl Iterator<Item = Instant>,
    ) -> Result<Self, String> {
        let answer: Value =
            serde_json::from_str(text).map_err(|e| format!("it is not JSON: {e}"))?;
        let series = answer.pointer("/data/result").and_then(Value::as_array).ok_or(
            "it is not the answer to a range query: no data.result; ask /api/v1/query_range",
        )?;
        let [one] = series.as_slice() else {
            return Err(format!("it has {} series; ask for one, with sum(...)", series.len()));
        };
        let values = one.get("values").and_then(Value::as_array);
        let values = values.ok_or("its result has no values; ask /api/v1/query_range")?;
        // The parser drops gaps and NaN, and the curve interpolates across the missing points.
        let samples: Vec<(f64, f64)> = values
            .iter()
            .filter_map(|pair| {
                let load = pair.get(1)?.as_str()?.parse::<f64>().ok()?;
                Some((pair.get(0)?.as_f64()?, load)).filter(|(_, load)| load.is_finite())
            })
            .collect();
        let (Some((first, _)), Some((last, _))) = (samples.first(), samples.last()) else {
            return Err(
                "it has no values: pairs of a time in seconds and a number in quotes".into()
            );
        };
        let seconds = |at: Instant| (at - chrono::DateTime::UNIX_EPOCH).as_seconds_f64();
        let start = starts.find(|at| seconds(*at) <= *last);
        let Some(start) = start.filter(|at| seconds(*at) >= *first) else {
            let day = |at: f64| {
                let at = chrono::DateTime::from_timestamp(crate::whole(at), 0);
                at.unwrap_or_default().format("%Y-%m-%dT%H:%M:%SZ").to_string()
            };
            return Err(format!(
                "it remembers {} to {}, and not the weekday and hour of the event; say with --history-start when the \
                 event began that it remembers",
                day(*first),
                day(*last)
            ));
        };
        let zero = seconds(start);
        let curve = Self::new(samples.into_iter().map(|(at, load)| (at - zero, load)).collect())?;
        Ok(Self { remembers: Some(start), ..curve })
    }

    /// Returns the same load delayed by `seconds`.
    #[must_use]
    pub fn later(self, seconds: f64) -> Self {
        let points = self.points.into_iter().map(|(at, load)| (at + seconds, load));
        Self { points: points.collect(), ..self }
    }

    /// Returns the load at `seconds` after the start of the event.
    #[must_use]
    pub fn at(&self, seconds: f64) -> f64 {
        let next = self.points.partition_point(|(at, _)| *at <= seconds);
        let before = next.checked_sub(1).and_then(|n| self.points.get(n));
        match (before, self.points.get(next)) {
            (Some((from, a)), Some((to, b))) => a + (b - a) * (seconds - from) / (to - from),
            (Some((_, load)), None) | (None, Some((_, load))) => *load,
            (None, None) => 0.0,
        }
    }

    /// Returns the load before the first point.
    #[must_use]
    pub fn usual(&self) -> f64 {
        self.points.first().map_or(0.0, |(_, load)| *load)
    }

    /// Returns the highest load of all points.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.points.iter().map(|(_, load)| *load).fold(0.0, f64::max)
    }

    /// Returns the seconds after the start of the event at which the load stops changing.
    #[must_use]
    pub fn ends(&self) -> f64 {
        self.points.last().map_or(0.0, |(at, _)| *at)
    }
}

/// Builds points for an event: `usual` load until the start, a linear rise, a plateau, and a decay
/// back to `usual` that halves every `half_life` seconds.
fn event(usual: f64, peak: f64, rise: f64, plateau: f64, half_life: f64) -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, usual), (rise, peak)];
    let falls = rise + plateau;
    if plateau > 0.0 {
        points.push((falls, peak));
    }
    let mut after = 60.0;
    while peak * 0.5_f64.powf(after / half_life) > usual {
        points.push((falls + after, peak * 0.5_f64.powf(after / half_life)));
        after += 60.0;
    }
    points.push((falls + after, usual));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<const N: usize>(curve: &Curve, seconds: [f64; N]) -> [i64; N] {
        seconds.map(|s| crate::whole(curve.at(s)))
    }

    #[test]
    fn the_capital_evening_goes_from_2_000_to_36_000_and_back() {
        let curve = Curve::named("capital-2014").unwrap();
        assert_eq!(
            at(&curve, [-600.0, 0.0, 90.0, 180.0, 780.0, 1380.0, 9000.0]),
            [2_000, 2_000, 19_000, 36_000, 36_000, 18_000, 2_000]
        );
        assert_eq!((crate::whole(curve.usual()), crate::whole(curve.peak())), (2_000, 36_000));
        assert!(NAMES.iter().all(|name| Curve::named(name).is_some()));
        assert_eq!(at(&curve.later(120.0), [120.0, 300.0]), [2_000, 36_000]);
    }

    #[test]
    fn lines_of_seconds_and_load() {
        let curve = Curve::from_csv("seconds,load\n# quiet\n-60, 100\n\n0,100\n60,700\n").unwrap();
        assert_eq!(at(&curve, [30.0]), [400]);
        let error = |text| Curve::from_csv(text).unwrap_err();
        assert_eq!(error("0,1\n1;2\n"), "line 2: \"1;2\" is not seconds,load");
        assert_eq!(error("0,1\n1,x\n"), "line 2: \"1,x\" is not seconds,load");
        assert_eq!(error("0;1\n"), "line 1: \"0;1\" is not seconds,load");
        assert!(error("0,1\n1e18,5\n").contains("beyond a month"));
        assert_eq!(error("10,1\n0,2\n"), "its seconds must rise: 0 comes after 10");
        assert_eq!(error("0,-1\n"), "point 1: -1 at 0 s is no load");
        assert_eq!(error("0,NaN\n"), "point 1: NaN at 0 s is no load");
        assert_eq!(error("seconds,load\n"), "it has no points");
    }

    #[test]
    fn a_range_query_is_seen_from_the_latest_start_that_it_reaches() {
        let week = |n: i64| chrono::DateTime::from_timestamp(7 * 86_400 * n + 1_000, 0).unwrap();
        let weeks = || (0..=3).rev().map(week);
        let text = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{},"values":[[900,"10"],[1000,"20"],[1010,"NaN"],[1100,"40"]]}]}}"#;
        let curve = Curve::from_history(text, weeks()).unwrap();
        assert_eq!(at(&curve, [-100.0, 0.0, 50.0, 100.0]), [10, 20, 30, 40]);
        assert_eq!(curve.remembers, Some(week(0)));
        let error = |text, starts: &[Instant]| {
            Curve::from_history(text, starts.iter().copied()).unwrap_err()
        };
        let said = error(text, &[week(1)]);
        assert!(said.contains("remembers 1970-01-01T00:15:00Z to 1970-01-01T00:18:20Z"), "{said}");
        assert!(error("x", &[]).contains("not JSON"));
        let two = r#"{"data":{"result":[{},{}]}}"#;
        assert!(error(two, &[]).contains("2 series; ask for one, with sum(...)"));
    }
}
