//! Arguments of the commands that create an override.

use chrono::TimeDelta;

/// Surge, duration and reason of an override.
#[derive(Debug, clap::Args)]
pub struct Overrule {
    /// Name of the surge.
    pub surge: String,
    /// Duration: 90s, 30m, 2h; at most 24h.
    #[arg(long = "for", value_parser = duration)]
    pub lasts: TimeDelta,
    /// Reason, for the decision log.
    #[arg(long)]
    pub reason: String,
}

/// Surge and reason of a start.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// Name of the surge.
    pub surge: String,
    /// Reason, for the decision log.
    #[arg(long)]
    pub reason: String,
}

/// Lifetime of a `Start` override. Ten minutes suffice for an operator that is restarting.
const START_LASTS: TimeDelta = TimeDelta::minutes(10);

impl From<&Start> for Overrule {
    fn from(start: &Start) -> Self {
        Self { surge: start.surge.clone(), lasts: START_LASTS, reason: start.reason.clone() }
    }
}

/// Target and amount of a boost.
#[derive(Debug, Default, clap::Args)]
#[group(id = "amount", required = false, multiple = true)]
pub struct Boost {
    /// Name of the target in the surge [default: all targets].
    #[arg(long)]
    pub target: Option<String>,
    /// Minimum of replicas.
    #[arg(long, conflicts_with = "percent", required_unless_present = "percent")]
    pub replicas: Option<u32>,
    /// Minimum of replicas, in percent of the planned floor of the target.
    #[arg(long)]
    pub percent: Option<u32>,
}

/// Degradation steps of an override.
#[derive(Debug, Default, clap::Args)]
pub struct Steps {
    /// Name of the step in the surge [default: all steps].
    #[arg(long)]
    pub step: Option<String>,
}

/// Target, amount or degradation steps that an override refers to.
#[derive(Debug, Default)]
pub struct About<'a> {
    /// Target and amount of a `Boost` override.
    pub boost: Option<&'a Boost>,
    /// Steps of a `Degrade` or `Restore` override.
    pub steps: Option<&'a Steps>,
}

/// Parses a duration: numbers with `s`, `m`, `h` or `d`, largest unit first or alone, such as
/// `1h30m`. The sum is at least a second and at most 24 hours.
pub fn duration(text: &str) -> Result<TimeDelta, String> {
    let usage = || "numbers with s, m, h or d, such as 30m or 1h30m".to_owned();
    let mut seconds = 0_i64;
    let mut rest = text;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(usage)?;
        let (number, after) = rest.split_at(split);
        let number: i64 = number.parse().map_err(|_| usage())?;
        let unit = match after.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3_600,
            Some('d') => 86_400,
            _ => return Err(usage()),
        };
        seconds = seconds.saturating_add(number.saturating_mul(unit));
        rest = after.get(1..).unwrap_or_default();
    }
    if !(1..=86_400).contains(&seconds) {
        return Err("more than nothing and at most 24h".to_owned());
    }
    Ok(TimeDelta::seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("90s"), Ok(TimeDelta::seconds(90)));
        assert_eq!(duration("30m"), Ok(TimeDelta::minutes(30)));
        assert_eq!(duration("24h"), Ok(TimeDelta::hours(24)));
        assert_eq!(duration("1h30m"), Ok(TimeDelta::minutes(90)));
        assert_eq!(duration("1d"), Ok(TimeDelta::hours(24)));
        for wrong in
            ["", "30", "1h30", "m", "0s", "25h", "2d", "-5m", "9é", "99999999999999999999h"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
