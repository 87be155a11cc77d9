//! Conversion of local time in a time zone to an instant. All local times pass through the
//! conversion.
//!
//! The zone data is the data bundled with jiff, or data mounted on purpose ([`tzdb_version`]). The
//! conversion never reads the zone data of the host, which may be years old. The conversion refuses
//! a one-off start that does not exist or exists twice, and names both candidates. Recurring starts
//! follow RFC 5545 (3.3.5). The conversion reads a skipped local time with the offset before the
//! gap, so 02:30 becomes 03:30. If a local time exists twice, the first instant counts.

use chrono::TimeZone;
use jiff::ToSpan;
use jiff::civil;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone as Rules};

use super::error::{ScheduleError, shown};
use super::tzdb::{self, tzdb_version};
use crate::Instant;

/// Time zone with an IANA name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: Rules,
}

/// Result of the conversion of a local time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub at: Instant,
    /// Note for people if the local time does not exist or exists twice.
    pub note: Option<String>,
}

impl Zone {
    /// Returns the zone with an IANA name.
    ///
    /// # Errors
    ///
    /// Returns [`ScheduleError::UnknownZone`] if the data lacks the name, or if the name is an
    /// abbreviation.
    pub fn named(name: &str) -> Result<Self, ScheduleError> {
        let unknown = || ScheduleError::UnknownZone {
            name: shown(name, 64),
            version: tzdb_version().to_owned(),
        };
        // The legacy abbreviations (EST, MST, HST) are fixed offsets without summer time, which
        // users do not mean.
        let looks_like_a_zone = name == "UTC" || name.contains('/');
        if !looks_like_a_zone {
            return Err(unknown());
        }
        let known = tzdb::rules(name).or_else(|| (name == "UTC").then_some(Rules::UTC));
        let rules = known.ok_or_else(unknown)?;
        Ok(Self { name: name.to_owned(), rules })
    }

    /// Returns the zone that a feed means by an IANA name. Feeds also use names without a slash,
    /// such as `Japan`, `CET` or `EST5EDT`, and `Z` for UTC. [`Zone::named`] refuses such names,
    /// because people mean a place by them.
    #[must_use]
    pub fn of_feed(name: &str) -> Option<Self> {
        if matches!(name, "Z" | "UTC" | "UCT" | "GMT") {
            return Some(Self::utc());
        }
        let known = !name.is_empty() && !matches!(name, "Factory" | "localtime" | "posixrules");
        let rules = known.then(|| tzdb::rules(name)).flatten()?;
        Some(Self { name: name.to_owned(), rules })
    }

    /// Returns UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rules: Rules::UTC }
    }

    /// Returns the name of the zone.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the local time in the zone.
    #[must_use]
    pub fn clock(&self, at: Instant) -> civil::DateTime {
        self.rules.to_datetime(timestamp(at))
    }

    /// Returns the instant that a local time of a feed means, by the rule for recurring starts.
    ///
    /// The function adds a note if the local time does not exist or exists twice. The result is
    /// `None` only outside the supported range of dates.
    #[must_use]
    pub fn resolve(&self, clock: civil::DateTime) -> Option<(Instant, Option<String>)> {
        self.rightly(clock).map(|resolved| (resolved.at, resolved.note))
    }

    /// Returns the date in the zone.
    pub(super) fn date(&self, at: Instant) -> civil::Date {
        self.rules.to_datetime(timestamp(at)).date()
    }

    /// Returns the offset of the zone from UTC.
    pub(super) fn offset(&self, at: Instant) -> Offset {
        self.rules.to_offset(timestamp(at))
    }

    /// Returns the instant of a one-off local time. `text` is the notation of the user, for errors.
    pub(super) fn exactly(
        &self,
        clock: civil::DateTime,
        text: &str,
    ) -> Result<Instant, ScheduleError> {
        let no_such_date = |why: String| ScheduleError::NoSuchDate { text: text.to_owned(), why };
        let shown = |offset: Offset| {
            offset.to_timestamp(clock).map_or_else(|_| text.to_owned(), |t| self.written(t))
        };
        let zone = || self.name.clone();
        match self.rules.to_ambiguous_timestamp(clock).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset
                .to_timestamp(clock)
                .map_err(|e| no_such_date(e.to_string()))
                .and_then(|t| instant(t).ok_or_else(|| no_such_date("out of range".to_owned()))),
            AmbiguousOffset::Gap { before, after } => Err(ScheduleError::Gap {
                text: text.to_owned(),
                zone: zone(),
                before: shown(after),
                after: shown(before),
            }),
            AmbiguousOffset::Fold { before, after } => Err(ScheduleError::Fold {
                text: text.to_owned(),
                zone: zone(),
                first: shown(before),
                second: shown(after),
            }),
        }
    }

    /// Returns the instant of a recurring local time; `None` only outside the supported range of
    /// dates.
    pub(super) fn rightly(&self, clock: civil::DateTime) -> Option<Resolved> {
        let said = |what: &str, at: jiff::Timestamp| {
            format!("{clock} {what} in {}: {} is meant", self.name, self.written(at))
        };
        // The field `before` of jiff is the offset that RFC 5545 requires, in a gap and in a fold.
        let (offset, what) = match self.rules.to_ambiguous_timestamp(clock).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, None),
            AmbiguousOffset::Gap { before, .. } => (before, Some("does not exist")),
            AmbiguousOffset::Fold { before, .. } => (before, Some("happens twice")),
        };
        let at = offset.to_timestamp(clock).ok()?;
        Some(Resolved { at: instant(at)?, note: what.map(|what| said(what, at)) })
    }

    pub(super) fn weeks_before(&self, at: Instant, weeks: i32) -> Option<Instant> {
        let clock = self.rules.to_datetime(timestamp(at));
        self.rightly(clock.checked_sub(weeks.weeks()).ok()?).map(|resolved| resolved.at)
    }

    fn written(&self, at: jiff::Timestamp) -> String {
        let offset = self.rules.to_offset(at);
        let sign = if offset.seconds() < 0 { '-' } else { '+' };
        let minutes = offset.seconds().abs() / 60;
        let local = self.rules.to_datetime(at);
        format!("{local}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

fn timestamp(at: Instant) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.timestamp()).unwrap_or_default()
}

pub(super) fn instant(timestamp: jiff::Timestamp) -> Option<Instant> {
    chrono::Utc.timestamp_opt(timestamp.as_second(), 0).single()
}

/// Returns the local time of an instant for people, such as `Sun 2014-01-12 21:00:00 CET`.
///
/// The function uses UTC if the zone is unknown.
#[must_use]
pub fn in_zone(at: Instant, zone: Option<&str>) -> String {
    let zone = zone.and_then(|name| Zone::named(name).ok());
    let rules = zone.map_or(Rules::UTC, |zone| zone.rules);
    jiff::Timestamp::from_second(at.timestamp()).map_or_else(
        |_| at.to_string(),
        |t| t.to_zoned(rules).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rightly(zone: &str, clock: &str) -> (String, Option<String>) {
        let resolved = Zone::named(zone).unwrap().rightly(clock.parse().unwrap()).unwrap();
        (resolved.at.format("%Y-%m-%dT%H:%M:%SZ").to_string(), resolved.note)
    }

    #[test]
    fn what_recurs_in_a_gap_is_read_with_the_offset_before_it() {
        for (zone, clock, at) in [
            ("Europe/Paris", "2026-03-29T02:30:00", "2026-03-29T01:30:00Z"),
            ("America/New_York", "2026-03-08T02:30:00", "2026-03-08T07:30:00Z"),
            // The zone skips half an hour.
            ("Australia/Lord_Howe", "2026-10-04T02:15:00", "2026-10-03T15:45:00Z"),
            // The zone skips midnight.
            ("Africa/Cairo", "2026-04-24T00:30:00", "2026-04-23T22:30:00Z"),
            // The zone skips a whole day.
            ("Pacific/Apia", "2011-12-30T21:00:00", "2011-12-31T07:00:00Z"),
        ] {
            let (resolved, note) = rightly(zone, clock);
            assert_eq!(resolved, at, "{zone}");
            assert!(note.unwrap().contains("does not exist"), "{zone}");
        }
    }

    #[test]
    fn of_what_exists_twice_the_first_is_meant() {
        for (zone, clock, at) in [
            ("Europe/Paris", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
            ("America/New_York", "2026-11-01T01:30:00", "2026-11-01T05:30:00Z"),
            ("Australia/Lord_Howe", "2026-04-05T01:45:00", "2026-04-04T14:45:00Z"),
        ] {
            let (resolved, note) = rightly(zone, clock);
            assert_eq!(resolved, at, "{zone}");
            assert!(note.unwrap().contains("happens twice"), "{zone}");
        }
    }

    #[test]
    fn people_read_instants_in_their_zone() {
        let at = chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).unwrap();
        assert_eq!(in_zone(at, Some("Europe/Paris")), "Sun 2014-01-12 21:00:00 CET");
        assert_eq!(in_zone(at, None), "Sun 2014-01-12 20:00:00 UTC");
    }
}
