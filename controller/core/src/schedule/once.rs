//! One-off start: a local time in a zone, or an instant with an offset.

use jiff::civil;

use super::error::{ScheduleError, shown};
use super::zone::{Zone, instant};
use crate::Instant;

/// One-off start in the notation of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOff {
    /// Start: `2014-01-12T21:00:00` (local time in `time_zone`), or RFC 3339 with an offset.
    pub start_time: String,
    /// IANA zone name. A local time requires the zone.
    ///
    /// If `start_time` has an offset, the zone serves for display and for a check of the offset.
    pub time_zone: Option<String>,
}

/// Parses a local time.
///
/// The result is `None` if the text lacks the form of a local time, and an error if the date does
/// not exist.
fn wall_clock(text: &str) -> Option<Result<civil::DateTime, String>> {
    let digits_at = |range: std::ops::Range<usize>| {
        text.get(range).is_some_and(|s| s.bytes().all(|b| b.is_ascii_digit()))
    };
    let shape = text.len() == 19
        && digits_at(0..4)
        && digits_at(5..7)
        && digits_at(8..10)
        && digits_at(11..13)
        && digits_at(14..16)
        && digits_at(17..19)
        && text.get(4..5) == Some("-")
        && text.get(7..8) == Some("-")
        && text.get(10..11) == Some("T")
        && text.get(13..14) == Some(":")
        && text.get(16..17) == Some(":");
    if !shape {
        return None;
    }
    // `jiff` reads a leap second as second 59, which moves the start without a word.
    if text.get(17..19) == Some("60") {
        return Some(Err("seconds go from 00 to 59".to_owned()));
    }
    Some(text.parse::<civil::DateTime>().map_err(|e| e.to_string()))
}

/// Parses the local time at the beginning of an instant with an offset.
fn clock_part(text: &str) -> Option<Result<civil::DateTime, String>> {
    wall_clock(text.get(0..19)?)
}

impl OneOff {
    /// Returns the start of the event.
    ///
    /// # Errors
    ///
    /// Returns a [`ScheduleError`] if the text does not name a unique instant. Causes are a
    /// malformed text, a missing or unknown zone, a gap or fold of local time, and a wrong offset.
    pub fn start(&self) -> Result<Instant, ScheduleError> {
        let text = self.start_time.as_str();
        let written = shown(text, 40);
        let malformed = || ScheduleError::Malformed(written.clone());
        let zone = self.time_zone.as_deref().map(Zone::named).transpose()?;
        let no_such_date = |why: String| ScheduleError::NoSuchDate { text: written.clone(), why };

        if let Some(clock) = wall_clock(text) {
            let clock = clock.map_err(no_such_date)?;
            let zone = zone.ok_or_else(|| ScheduleError::ZoneMissing(written.clone()))?;
            return zone.exactly(clock, &written);
        }
        clock_part(text).ok_or_else(malformed)?.map_err(no_such_date)?;
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| malformed())?;
        let at = instant(timestamp).ok_or_else(malformed)?;
        if let Some(zone) = zone {
            let with_offset =
                chrono::DateTime::parse_from_rfc3339(text).map_err(|_| malformed())?;
            let offset = zone.offset(at);
            let utc = text.ends_with('Z') || text.ends_with('z');
            if !utc && with_offset.offset().local_minus_utc() != offset.seconds() {
                return Err(ScheduleError::OffsetMismatch {
                    text: written,
                    zone: zone.name().to_owned(),
                    expected: offset.to_string(),
                });
            }
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str, zone: Option<&str>) -> Result<String, ScheduleError> {
        OneOff { start_time: text.into(), time_zone: zone.map(Into::into) }
            .start()
            .map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    }

    fn message(text: &str, zone: Option<&str>) -> String {
        start(text, zone).unwrap_err().to_string()
    }

    #[test]
    fn a_wall_clock_is_read_in_its_zone() {
        let paris = Some("Europe/Paris");
        assert_eq!(start("2014-01-12T21:00:00", paris).unwrap(), "2014-01-12T20:00:00Z");
        // The local time of the show stays the same, and the instant moves with summer time.
        assert_eq!(start("2026-03-28T21:00:00", paris).unwrap(), "2026-03-28T20:00:00Z");
        assert_eq!(start("2026-03-29T21:00:00", paris).unwrap(), "2026-03-29T19:00:00Z");
    }

    #[test]
    fn an_instant_is_taken_as_it_is() {
        assert_eq!(start("2014-01-12T21:00:00+01:00", None).unwrap(), "2014-01-12T20:00:00Z");
        assert_eq!(
            start("2014-01-12T20:00:00Z", Some("Europe/Paris")).unwrap(),
            "2014-01-12T20:00:00Z"
        );
    }

    #[test]
    fn an_offset_says_which_of_two_hours_is_meant() {
        let paris = Some("Europe/Paris");
        assert_eq!(start("2026-10-25T02:30:00+02:00", paris).unwrap(), "2026-10-25T00:30:00Z");
        assert_eq!(start("2026-10-25T02:30:00+01:00", paris).unwrap(), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn a_date_that_does_not_exist_is_refused() {
        let said = message("2014-04-31T21:00:00", Some("Europe/Paris"));
        assert!(said.starts_with("startTime: \"2014-04-31T21:00:00\" is not a date"), "{said}");
        let said = message("2014-04-31T21:00:00Z", None);
        assert!(said.contains("is not a date and time that exists"), "{said}");
    }

    #[test]
    fn a_skipped_hour_is_refused_with_both_candidates() {
        let said = message("2026-03-29T02:30:00", Some("Europe/Paris"));
        assert!(said.contains("does not exist in Europe/Paris"), "{said}");
        assert!(said.contains("2026-03-29T01:30:00+01:00 or 2026-03-29T03:30:00+02:00"), "{said}");
    }

    #[test]
    fn a_repeated_hour_is_refused_with_both_candidates() {
        let said = message("2026-10-25T02:30:00", Some("Europe/Paris"));
        assert!(said.contains("happens twice in Europe/Paris"), "{said}");
        assert!(said.contains("2026-10-25T02:30:00+02:00 for the first"), "{said}");
        assert!(said.contains("2026-10-25T02:30:00+01:00 for the second"), "{said}");
    }

    #[test]
    fn an_unknown_zone_is_refused_with_the_version_of_the_data() {
        for zone in ["Europe/Pariss", "EST", "", "Local", "GMT+1"] {
            let said = message("2014-01-12T21:00:00", Some(zone));
            assert!(said.contains("is not an IANA time zone in tzdb 20"), "{said}");
        }
    }

    #[test]
    fn a_wall_clock_without_a_zone_is_refused() {
        assert!(message("2014-01-12T21:00:00", None).contains("timeZone: required"));
    }

    #[test]
    fn an_offset_that_contradicts_the_zone_is_refused() {
        let said = message("2014-01-12T21:00:00+02:00", Some("Europe/Paris"));
        assert!(said.contains("does not match Europe/Paris"), "{said}");
    }

    #[test]
    fn everything_else_is_malformed() {
        for text in
            ["", "tomorrow", "2014-01-12", "21:00", "2014-01-12 21:00:00", "2014-1-12T21:00:00"]
        {
            assert!(message(text, Some("UTC")).contains("is neither a wall clock"), "{text}");
        }
    }
}
