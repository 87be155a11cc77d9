//! What a source has said lately of a signal, and how fast it rises.

use chrono::TimeDelta;

use crate::Instant;
use crate::state::sample::{Sample, Why};

/// Samples that tell a rise are so far apart at least: from one second to the next a load only trembles.
const APART: TimeDelta = TimeDelta::seconds(10);

/// A rise has gone on for so many samples in a row. One jump is no slope: how far it goes on is unknown.
// mutate: jump-load-slope
const RISES: usize = 3;

/// Samples are remembered for so long. Sources that are asked every 30 s still show a rise.
const REMEMBERED: TimeDelta = TimeDelta::seconds(120);

/// The newest sample, and some before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The newest.
    pub latest: Sample,
    /// Known loads, oldest first, [`APART`] from each other.
    before: Vec<(Instant, f64)>,
}

impl Default for Series {
    fn default() -> Self {
        Self { latest: Sample::Unknown(Why::NotAskedYet), before: Vec::new() }
    }
}

impl From<Sample> for Series {
    fn from(sample: Sample) -> Self {
        let mut series = Self::default();
        series.hear(sample);
        series
    }
}

impl Series {
    /// Takes in what the source says now.
    pub fn hear(&mut self, sample: Sample) {
        if let Sample::Known { value, at } = sample {
            // A clock that went back leaves samples of an hour that has not come.
            self.before.retain(|(then, _)| *then < at && at - *then <= REMEMBERED);
            if self.before.last().is_none_or(|(then, _)| at - *then >= APART) {
                self.before.push((at, value));
            }
        }
        self.latest = sample;
    }

    /// By how much the load grows a second: the least of its last rises, and nothing unless it has risen each time.
    #[must_use]
    pub fn rise(&self) -> f64 {
        let Sample::Known { value, at } = self.latest else { return 0.0 };
        let (mut then, mut was) = (at, value);
        let mut rises = Vec::new();
        for (before, load) in self.before.iter().rev() {
            if then - *before >= APART {
                rises.push((was - load) / (then - *before).as_seconds_f64());
                (then, was) = (*before, *load);
            }
        }
        let lately = rises.get(..RISES).unwrap_or_default();
        lately.iter().copied().reduce(f64::min).unwrap_or_default().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seconds;
    use chrono::TimeZone;

    fn at(second: u32) -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).unwrap() + seconds(second)
    }

    fn heard(every: u32, loads: &[f64]) -> Series {
        let mut series = Series::default();
        for (n, value) in (0..).zip(loads) {
            series.hear(Sample::Known { value: *value, at: at(n * every) });
        }
        series
    }

    fn rise(every: u32, loads: &[f64]) -> f64 {
        heard(every, loads).rise()
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn a_load_that_rises_by_2000_in_ten_seconds_rises_by_200_a_second() {
        let second_by_second: Vec<f64> = (0..60).map(|n| 2_000.0 + 200.0 * f64::from(n)).collect();
        assert!(near(rise(1, &second_by_second), 200.0));
        assert!(near(rise(10, &[2e3, 4e3, 6e3, 8e3]), 200.0));
        assert!(near(rise(30, &[2e3, 8e3, 14e3, 20e3]), 200.0));
    }

    #[test]
    fn a_jump_a_dip_and_a_trembling_are_no_rise() {
        for loads in [
            &[2e3, 2e3, 2e3, 36e3][..],
            &[2e3, 4e3, 3_999.0, 8e3],
            &[2e3, 2_010.0, 1_990.0, 2_020.0, 2_000.0],
            &[2e3, 4e3, 6e3],
            &[8e3, 6e3, 4e3, 2e3],
            &[36e3],
        ] {
            assert!(near(rise(10, loads), 0.0), "{loads:?}");
        }
    }

    #[test]
    fn doubt_is_no_rise_and_what_is_long_ago_is_forgotten() {
        let mut series = heard(10, &[2e3, 4e3, 6e3, 8e3]);
        series.hear(Sample::Unknown(Why::Empty));
        assert!(near(series.rise(), 0.0));
        series.hear(Sample::Known { value: 10e3, at: at(40) });
        assert!(near(series.rise(), 200.0));
        series.hear(Sample::Known { value: 10e3, at: at(4_000) });
        assert_eq!(series.before.len(), 1);
        // The clock is set back.
        series.hear(Sample::Known { value: 1e3, at: at(0) });
        assert_eq!(series.before, [(at(0), 1e3)]);
    }

    #[test]
    fn little_is_remembered_however_often_it_is_asked() {
        assert!(heard(1, &vec![1.0; 10_000]).before.len() <= 13);
    }
}
