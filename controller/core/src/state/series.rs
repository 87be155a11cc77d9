//! The recent samples of a signal, and the growth rate of the load.

use chrono::TimeDelta;

use crate::Instant;
use crate::state::sample::{Sample, Why};

/// Minimum time between two samples that the growth rate is based on. Differences over shorter
/// times are mostly noise.
const APART: TimeDelta = TimeDelta::seconds(10);

/// Number of consecutive growth rates that must be positive. A single jump does not show that the
/// load continues to grow.
// mutate: jump-load-slope
const RISES: usize = 3;

/// Maximum age of a sample relative to the newest sample. The limit keeps enough samples for a
/// source with a polling interval of 30 s.
const REMEMBERED: TimeDelta = TimeDelta::seconds(120);

/// The newest sample of a signal and a history of earlier loads.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Newest sample.
    pub latest: Sample,
    /// Known loads, oldest first, with a distance of at least [`APART`].
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
    /// Adds the newest sample and removes samples that are too old.
    pub fn hear(&mut self, sample: Sample) {
        if let Sample::Known { value, at } = sample {
            // Samples with a later time than the newest sample were recorded before the clock was
            // set back.
            self.before.retain(|(then, _)| *then < at && at - *then <= REMEMBERED);
            if self.before.last().is_none_or(|(then, _)| at - *then >= APART) {
                self.before.push((at, value));
            }
        }
        self.latest = sample;
    }

    /// Returns the growth of the load per second: the minimum of the last three growth rates.
    ///
    /// The result is 0 if the newest sample is unknown. The result is also 0 if the history has
    /// fewer than three rates or a rate is not positive.
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
