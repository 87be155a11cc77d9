//! Live load to required replicas. `Unknown` is a value of its own: it is never 0, and it never lowers anything.

use chrono::TimeDelta;

use crate::Instant;
use crate::format::number;
use crate::state::announcement::{Carries, HoldAfterEnd, Raises, Signal};
use crate::state::run::RunStatus;
use crate::state::sample::Why;
use crate::state::series::Series;

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
            // mutate: unknown-load-quiet
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

/// A signal at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Name of the signal.
    pub name: String,
    /// Name of the target it raises, if it raises one.
    pub target: Option<String>,
    /// What was measured, if that is fresh, whatever it says of replicas.
    pub value: Option<f64>,
    /// Load and required replicas, or why they are unknown.
    pub load: Result<Load, Why>,
    /// The load is quiet below this, where it says how full pods are and not how much there is.
    pub threshold: Option<f64>,
}

impl Reading {
    /// Whether it says how many replicas are needed; otherwise it is only looked at.
    #[must_use]
    pub fn raises(&self) -> bool {
        self.target.is_some()
    }
}

/// A known load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// In the on-call's unit.
    pub value: f64,
    /// What it will be, as fast as it rises, when pods that are asked for now are ready. Never less than it is, and never
    /// more than twice that: a slope says nothing of what is far ahead.
    pub ahead: f64,
    /// Replicas that carry the load as it is.
    pub required: u32,
    /// Replicas that the load predicted for `look_ahead` needs.
    pub required_ahead: u32,
    /// When it was measured.
    pub at: Instant,
}

/// Reads a signal; `ready` is how many pods carry it now. A negative load is a broken query, not an empty site.
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
                // As an HPA reads a metric of type Value: twice the threshold asks for twice the pods.
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

/// What all signals of a target say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Required {
    /// The maximum over the signals that are known; 0 where none is.
    pub replicas: u32,
    /// The same when pods that are asked for now are ready. Never less.
    pub ahead: u32,
    /// At least one signal is unknown: nothing may be lowered on this evidence.
    pub blind: bool,
}

/// Combines the readings of one target.
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

    #[allow(clippy::unnecessary_wraps)] // as the field wants it
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
        // 33,000 sessions, 100 more each second: 39,000 in a minute.
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
