//! Load over time: of the fixtures, of the user's own, of Prometheus' memory.

use primetime_core::Instant;
use serde_json::Value;

/// Load by seconds since the event's start, straight between its points, level before the first and after the last.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    points: Vec<(f64, f64)>,
    /// When the event began that it remembers, if it does.
    pub remembers: Option<Instant>,
}

/// Names of the fixtures.
pub const NAMES: [&str; 4] = ["capital-2014", "bedrock", "hotstar-2019", "worldcup98"];

/// No load is looked at further from its event than this, in seconds.
const FURTHEST: f64 = 31.0 * 86_400.0;

impl Curve {
    /// A curve of points, which must be in order.
    ///
    /// # Errors
    ///
    /// If there is none, if they are not in order, or if a load is negative or no number.
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

    /// A fixture by name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let points = match name {
            // A Little Market on "Capital", 2014: 2,000 sessions become 36,000 in three minutes; ten minutes later they
            // begin to halve every ten minutes.
            "capital-2014" => event(2_000.0, 36_000.0, 180.0, 600.0, 600.0),
            // Bedrock Streaming: ten times the load in two minutes, for an hour
            // (<https://tech.bedrockstreaming.com/2022/02/03/prescaling.html>).
            "bedrock" => event(1_000.0, 10_000.0, 120.0, 3_600.0, 450.0),
            // Hotstar, the semi-final of 2019: 5 million viewers become 25.3, 1.1 million more each minute; half an hour later a
            // wicket falls, and within five minutes one million is left
            // (<https://www.slideshare.net/hotstar-engineering/scaling-hotstarcom-for-10mn-concurrency>).
            "hotstar-2019" => {
                vec![(0.0, 5e6), (1_107.0, 25.3e6), (2_907.0, 25.3e6), (3_207.0, 1e6)]
            }
            // The afternoon of 30 June 1998, 18:00 to 23:00: requests a minute that only just triple in two hours.
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

    /// The event as it was announced: the usual load, then what was planned for, as long as the event lasts.
    #[must_use]
    pub fn announced(usual: f64, planned: f64, duration: f64) -> Self {
        let points = event(usual, planned, 180.0, (duration - 180.0).max(0.0), 600.0);
        Self { points, remembers: None }
    }

    /// Lines of `seconds,load`, seconds since the event's start. A first line of words is a heading.
    ///
    /// # Errors
    ///
    /// The line, and what is wrong with it.
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

    /// The answer of Prometheus to a range query, seen from the start of the event that it remembers: the latest of
    /// `starts` that it reaches.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
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
        // Gaps and NaN are bridged, as between any two points.
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

    /// The same load, so many seconds later than the event's start says.
    #[must_use]
    pub fn later(self, seconds: f64) -> Self {
        let points = self.points.into_iter().map(|(at, load)| (at + seconds, load));
        Self { points: points.collect(), ..self }
    }

    /// The load at a number of seconds since the event's start.
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

    /// The load before anything happens.
    #[must_use]
    pub fn usual(&self) -> f64 {
        self.points.first().map_or(0.0, |(_, load)| *load)
    }

    /// The highest load.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.points.iter().map(|(_, load)| *load).fold(0.0, f64::max)
    }

    /// Seconds since the event's start at which nothing changes any more.
    #[must_use]
    pub fn ends(&self) -> f64 {
        self.points.last().map_or(0.0, |(at, _)| *at)
    }
}

/// The usual load until the start, a straight rise, a plateau, and a fall that halves in a time of its own.
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
