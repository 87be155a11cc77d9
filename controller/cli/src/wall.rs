//! Times of the whole screen in a single time zone, that of the event.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use primetime_core::Instant;
use primetime_core::schedule::in_zone;

/// Local clock of a time zone, or UTC without a time zone.
pub struct Wall<'a> {
    zone: Option<&'a str>,
}

impl<'a> Wall<'a> {
    /// Returns the clock of a time zone.
    pub fn of(zone: Option<&'a str>) -> Self {
        Self { zone }
    }

    /// Formats the local time without the zone: `21:00:00`.
    pub fn clock(&self, at: Instant) -> String {
        part(&in_zone(at, self.zone), 2)
    }

    /// Formats the local time with the zone: `21:00:00 CET`.
    pub fn time(&self, at: Instant) -> String {
        format!("{} {}", self.clock(at), part(&in_zone(at, self.zone), 3))
    }

    /// Converts the UTC times in a text of the operator (`19:50:00Z`, `2014-01-12T19:50:00Z`) to
    /// the time zone. A time without a date means the day on which the time is nearest to `near`.
    pub fn text(&self, text: &str, near: Instant) -> String {
        let mut said = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(end) = rest.find('Z') {
            let (before, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let instant = [20, 8].into_iter().find_map(|length| {
                let from = before.len().checked_sub(length - usize::from(length == 20))?;
                Some((from, read(before.get(from..)?, near)?))
            });
            if let Some((from, at)) = instant {
                let day = before.len() - from > 8;
                said.push_str(before.get(..from).unwrap_or_default());
                said.push_str(&if day { in_zone(at, self.zone) } else { self.time(at) });
            } else {
                said.push_str(before);
                said.push('Z');
            }
            rest = after.get(1..).unwrap_or_default();
        }
        said + rest
    }
}

fn part(text: &str, n: usize) -> String {
    text.split_whitespace().nth(n).unwrap_or("UTC").to_owned()
}

/// Parses `2014-01-12T19:50:00`, or `19:50:00` on the day on which the time is nearest to `near`.
fn read(text: &str, near: Instant) -> Option<Instant> {
    if text.len() > 8 {
        return format!("{text}Z").parse::<DateTime<Utc>>().ok();
    }
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S").ok()?;
    let same_day = near.date_naive().and_time(time).and_utc();
    let days = [-1, 0, 1].map(|n| same_day + TimeDelta::days(n));
    days.into_iter().min_by_key(|at| (*at - near).abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_has_one_zone() {
        let start: Instant = "2014-01-12T20:00:00Z".parse().unwrap();
        let paris = Wall::of(Some("Europe/Paris"));
        assert_eq!(paris.time(start), "21:00:00 CET");
        for (text, said) in [
            ("planned to be ready by 19:50:00Z", "planned to be ready by 20:50:00 CET"),
            ("a 19:50:00Z, b 23:30:00Z c", "a 20:50:00 CET, b 00:30:00 CET c"),
            ("until 2014-07-12T19:50:00Z.", "until Sat 2014-07-12 21:50:00 CEST."),
            ("Zoo Z 99:99:99Z", "Zoo Z 99:99:99Z"),
            ("no time", "no time"),
            ("é19:50:00Z", "é20:50:00 CET"),
        ] {
            assert_eq!(paris.text(text, start), said);
        }
        let utc = Wall::of(None);
        assert_eq!(utc.text("by 19:50:00Z", start), "by 19:50:00 UTC");
    }
}
