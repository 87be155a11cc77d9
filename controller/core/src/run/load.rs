//! Conversion of live load to required replicas.
//!
//! An unknown load is distinct from a load of 0, and never lowers a floor.

use chrono::TimeDelta;

use crate::Instant;
use crate::format::number;
use crate::state::announcement::{Carries, HoldAfterEnd, Raises, Signal};
use crate::state::run::RunStatus;
use crate::state::sample::Why;
use crate::state::series::Series;

/// Updates the peak of each signal, and `status.quietSince`.
///
/// `status.quietSince` is the time since which all signals are below the quiet limit. An unknown
/// signal that raises a target clears the field.
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
            // mutate: unknown-load-quiet
            quiet &= !reading.raises();
            continue;
        };
        let peak = shown.peak.as_ref().and_then(|p| p.parse::<f64>().ok()).unwrap_or(0.0);
        if load.value > peak {
            shown.peak = Some(number(load.value));
        }
        let share = hold.map_or(0.0, |h| f64::from(h.until_below_percent) / 100.0);
        // A threshold signal measures utilization, so the peak says nothing about the amount of
        // load. The quiet limit is the threshold.
        let line = || peak.max(load.value) * share;
        quiet &= !reading.raises() || load.value < reading.threshold.unwrap_or_else(line);
    }
    status.quiet_since = if quiet { status.quiet_since.or(Some(now)) } else { None };
}

/// Shortest time for which a signal is unknown before the verdict says so: a single query that
/// fails is a gap. The default interval between two queries is 10 s.
pub const DOUBT: TimeDelta = TimeDelta::seconds(15);

/// Duration after which an unknown signal counts as silent. A shorter absence is a gap.
pub const SILENCE: TimeDelta = TimeDelta::seconds(60);

/// Returns `Ok` if a signal that raises a target has been unknown for at least [`SILENCE`].
///
/// # Errors
///
/// Returns the time at which an unknown signal becomes silent, or `None` if every raising signal is
/// known.
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

/// State of a signal at an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Name of the signal.
    pub name: String,
    /// Name of the target that the signal raises, if any.
    pub target: Option<String>,
    /// Measured value, if the sample is fresh. A value may exist although the required replicas are
    /// unknown.
    pub value: Option<f64>,
    /// Load and required replicas, or the reason why the load is unknown.
    pub load: Result<Load, Why>,
    /// Limit below which the load of a `threshold` signal is quiet; `None` for other signals.
    pub threshold: Option<f64>,
}

impl Reading {
    /// True if the signal raises a target. Other signals serve the ladder and the display.
    #[must_use]
    pub fn raises(&self) -> bool {
        self.target.is_some()
    }
}

/// Load of a signal with a known value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Value in the unit of the on-call engineer.
    pub value: f64,
    /// Predicted load at the time when pods requested now are ready, from the present slope.
    ///
    /// The prediction lies between the current load and twice the current load, because a slope
    /// says little about the far future.
    pub ahead: f64,
    /// Replicas that the current load requires.
    pub required: u32,
    /// Replicas that the load predicted for `look_ahead` requires.
    pub required_ahead: u32,
    /// Time of the measurement.
    pub at: Instant,
}

/// Reads a signal; `ready` is the number of ready pods that carry the load.
///
/// A negative load is unknown, because the query must be wrong.
#[must_use]
pub fn read(
    signal: &Signal,
    series: &Series,
    ready: Option<u32>,
    now: Instant,
    max_age: TimeDelta,
) -> Reading {
    let fresh = series.latest.fresh(now, max_age);
    let measured = fresh.as_ref().ok().map(|(value, _)| *value);
    let load = fresh.and_then(|(value, at)| {
        let Some(Raises { carries, look_ahead, .. }) = &signal.raises else {
            return Ok(Load { value, ahead: value, required: 0, required_ahead: 0, at });
        };
        let rise = series.rise() * look_ahead.as_seconds_f64();
        let ahead = value + rise.min(value);
        let required = |load: f64| {
            let replicas = match carries {
                Carries::PerReplica(each) => each.units_for(load),
                // An HPA reads a metric of type `Value` the same way: twice the threshold requires
                // twice the pods.
                Carries::Threshold(full) => {
                    let ready = ready.filter(|n| *n > 0).ok_or(Why::PodsUnknown)?;
                    full.units_for(load * f64::from(ready))
                }
            };
            replicas.ok_or(Why::NotANumber)
        };
        let (required, required_ahead) = (required(value)?, required(ahead)?);
        Ok(Load { value, ahead, required, required_ahead, at })
    });
    let threshold = match signal.raises.as_ref().map(|raises| raises.carries) {
        Some(Carries::Threshold(full)) => Some(full.as_f64()),
        Some(Carries::PerReplica(_)) | None => None,
    };
    let target = signal.raises.as_ref().map(|raises| raises.target.clone());
    Reading { name: signal.name.clone(), target, value: measured, load, threshold }
}

/// Replicas that all signals of a target require together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Required {
    /// Maximum over the known signals; 0 if no signal is known.
    pub replicas: u32,
    /// Maximum of the replicas for the predicted loads; at least `replicas`.
    pub ahead: u32,
    /// True if a signal of the target is unknown. The release lowers nothing in that case.
    pub blind: bool,
}

/// Combines the readings of the signals of a target.
#[must_use]
pub fn required(readings: &[Reading], target: &str) -> Required {
    let of_target = |r: &&Reading| r.target.as_deref() == Some(target);
    readings.iter().filter(of_target).fold(Required::default(), |sum, reading| {
        match &reading.load {
            Ok(load) => Required {
                replicas: sum.replicas.max(load.required),
                ahead: sum.ahead.max(load.required_ahead),
                ..sum
            },
            // mutate: unknown-load-no-load
            Err(_) => Required { blind: true, ..sum },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seconds;
    use crate::state::sample::Sample;
    use chrono::TimeZone;

    fn now() -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 5, 0).unwrap()
    }

    fn signal(name: &str) -> Signal {
        Signal {
            name: name.into(),
            source: "main".into(),
            query: "sum(shop_sessions)".into(),
            raises: raises(Carries::PerReplica("200".parse().unwrap()), 60),
        }
    }

    #[allow(clippy::unnecessary_wraps)] // the field `raises` is an `Option`
    fn raises(carries: Carries, ahead: u32) -> Option<Raises> {
        Some(Raises { target: "web".into(), carries, look_ahead: seconds(ahead) })
    }

    fn known(value: f64) -> Sample {
        Sample::Known { value, at: now() - seconds(3) }
    }

    fn reading(name: &str, sample: &Sample) -> Reading {
        read(&signal(name), &sample.clone().into(), Some(10), now(), seconds(60))
    }

    fn required_of(signal: &Signal, series: &Series, ready: Option<u32>) -> Result<u32, Why> {
        read(signal, series, ready, now(), seconds(60)).load.map(|load| load.required_ahead)
    }

    #[test]
    fn forty_two_thousand_sessions_need_210_replicas() {
        assert_eq!(reading("sessions", &known(42_000.0)).load.unwrap().required, 210);
    }

    #[test]
    fn a_load_that_rises_is_met_where_it_will_be_and_by_twice_at_most() {
        let mut series = Series::default();
        for n in 0..4 {
            let value = 30_000.0 + 1_000.0 * f64::from(n);
            series.hear(Sample::Known { value, at: now() - seconds(30 - 10 * n) });
        }
        // The load is 33,000 sessions and grows by 100 a second, so the prediction for 60 s is
        // 39,000.
        assert_eq!(required_of(&signal("sessions"), &series, None), Ok(195));
        let each = Carries::PerReplica("200".parse().unwrap());
        let blunt = Signal { raises: raises(each, 0), ..signal("sessions") };
        assert_eq!(required_of(&blunt, &series, None), Ok(165));
        let far = Signal { raises: raises(each, 3600), ..signal("sessions") };
        assert_eq!(required_of(&far, &series, None), Ok(330));
    }

    #[test]
    fn a_threshold_asks_for_as_many_more_pods_as_they_are_too_full() {
        let carries = Carries::Threshold("0.8".parse().unwrap());
        let full = Signal { raises: raises(carries, 0), ..signal("latency") };
        assert_eq!(required_of(&full, &known(1.0).into(), Some(180)), Ok(225));
        assert_eq!(required_of(&full, &known(0.4).into(), Some(180)), Ok(90));
        for ready in [None, Some(0)] {
            assert_eq!(required_of(&full, &known(1.0).into(), ready), Err(Why::PodsUnknown));
        }
    }

    #[test]
    fn doubt_is_unknown_and_never_zero() {
        let old = Sample::Known { value: 1.0, at: now() - seconds(300) };
        for (sample, why) in [
            (known(f64::NAN), "NotANumber"),
            (known(f64::INFINITY), "NotANumber"),
            (known(-5.0), "NotANumber"),
            (old, "Old"),
            (Sample::Unknown(Why::Empty), "Empty"),
            (Sample::Unknown(Why::ManySeries(2)), "ManySeries"),
        ] {
            assert_eq!(reading("sessions", &sample).load.unwrap_err().reason().as_str(), why);
        }
    }

    #[test]
    fn the_maximum_of_the_known_counts_and_one_unknown_blinds() {
        let readings = [
            reading("a", &known(2_000.0)),
            reading("b", &known(36_000.0)),
            reading("c", &Sample::Unknown(Why::Empty)),
        ];
        assert_eq!(required(&readings, "web"), Required { replicas: 180, ahead: 180, blind: true });
        assert_eq!(required(&readings, "search"), Required::default());
    }
}
