//! Durations as people write them on the command line.

use chrono::TimeDelta;

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
