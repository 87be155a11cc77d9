//! Times of an iCalendar file: in UTC, in a named zone, in a zone of the file (`VTIMEZONE`), or
//! without a zone.

use std::collections::BTreeMap;

use chrono::{TimeDelta, TimeZone, Utc};
use jiff::civil;
use jiff::{SignedDuration, ToSpan};
use primetime_core::Instant;
use primetime_core::schedule::Zone;

use crate::limits::word;
use crate::lines::{Component, Property};
use crate::recurrence::{self, Budget, Span, naive, utc_clock};
use crate::{FeedError, Horizon};

/// Zone of a time.
#[derive(Clone, Debug)]
enum Whose<'a> {
    /// A zone in the time zone database.
    Zone(Zone),
    /// The zone of the reader.
    Reader(&'a Zone),
    /// A zone that the file defines.
    Defined(&'a Defined),
}

/// A local time with the zone of the time.
#[derive(Clone, Debug)]
pub(crate) struct Moment<'a> {
    /// Local date and time.
    pub clock: civil::DateTime,
    /// True for a date without a time.
    pub is_date: bool,
    whose: Whose<'a>,
}

impl Moment<'_> {
    /// Returns another local time in the same zone.
    pub(crate) fn at(&self, clock: civil::DateTime) -> Self {
        Self { clock, ..self.clone() }
    }

    /// Returns the instant of the local time. Adds a note if the local time does not exist in the
    /// zone, or exists twice.
    pub(crate) fn resolve(&self) -> Option<(Instant, Option<String>)> {
        match &self.whose {
            Whose::Zone(zone) => zone.resolve(self.clock),
            Whose::Reader(zone) => zone.resolve(self.clock),
            Whose::Defined(zone) => Some((zone.resolve(self.clock)?, None)),
        }
    }

    /// Returns the local time at an instant. The result may be up to two hours late in a zone of
    /// the file.
    pub(crate) fn shown(&self, at: Instant) -> civil::DateTime {
        match &self.whose {
            Whose::Zone(zone) => zone.clock(at),
            Whose::Reader(zone) => zone.clock(at),
            Whose::Defined(zone) => zone.clock(at),
        }
    }

    /// Parses the `UNTIL` of a rule: a date, a local time, or an instant in UTC. A date stands for
    /// 23:59:59.
    pub(crate) fn until(&self, text: &str) -> Option<civil::DateTime> {
        match written(text)? {
            (clock, _, true) => Some(self.shown(Utc.from_utc_datetime(&naive(clock)?))),
            (clock, true, false) => clock.date().to_datetime(civil::time(23, 59, 59, 0)).into(),
            (clock, false, false) => Some(clock),
        }
    }
}

/// Parses a time such as `20140112`, `20140112T210000` or `20140112T200000Z`. The first flag is
/// true for a date without a time, the second flag for UTC.
fn written(text: &str) -> Option<(civil::DateTime, bool, bool)> {
    let (digits, utc) = text.strip_suffix('Z').map_or((text, false), |digits| (digits, true));
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<u16>().ok();
    let small = |from: usize, to: usize| i8::try_from(number(from, to)?).ok();
    let (date, time) = digits.split_once('T').map_or((digits, None), |(d, t)| (d, Some(t)));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let well_formed = date.len() == 8
        && all_digits(date)
        && time.map_or(!utc, |time| time.len() == 6 && all_digits(time));
    if !well_formed {
        return None;
    }
    // Zones of Windows begin in 1601.
    let year = i16::try_from(number(0, 4)?).ok().filter(|year| (1601..9900).contains(year))?;
    let date = civil::Date::new(year, small(4, 6)?, small(6, 8)?).ok()?;
    let Some(_) = time else {
        return Some((date.to_datetime(civil::Time::midnight()), true, false));
    };
    // A leap second becomes second 59.
    let second = small(13, 15)?.min(59);
    let time = civil::Time::new(small(9, 11)?, small(11, 13)?, second, 0).ok()?;
    Some((date.to_datetime(time), false, utc))
}

/// Zones for the times of a file: the zone of the reader and the zones that the file defines.
pub(crate) struct Times<'a> {
    reader: &'a Zone,
    defined: BTreeMap<String, Defined>,
}

impl<'a> Times<'a> {
    pub(crate) fn of(
        calendar: &Component<'_>,
        horizon: Horizon<'a>,
        budget: &mut Budget,
    ) -> Result<Self, FeedError> {
        let mut defined = BTreeMap::new();
        for zone in calendar.components.iter().filter(|c| c.is("VTIMEZONE")) {
            let id = zone.one("TZID").map(|p| p.value.to_owned());
            if let (Some(id), Some(zone)) = (id, Defined::read(zone, horizon, budget)?) {
                defined.insert(id, zone);
            }
        }
        Ok(Self { reader: horizon.zone, defined })
    }

    /// Reads the time of a property.
    pub(crate) fn read(&self, property: &Property<'_>) -> Result<Moment<'_>, String> {
        self.moment(property, property.value, None)
    }

    /// Reads the time of a property that names an occurrence of an event with the given start.
    pub(crate) fn read_of<'b>(
        &'b self,
        property: &Property<'_>,
        start: &Moment<'b>,
    ) -> Result<Moment<'b>, String> {
        self.moment(property, property.value, Some(start))
    }

    /// Reads all times of a property that names occurrences of an event with the given start.
    pub(crate) fn read_all<'b>(
        &'b self,
        property: &Property<'_>,
        start: &Moment<'b>,
    ) -> Result<Vec<Moment<'b>>, String> {
        property.value.split(',').map(|time| self.moment(property, time, Some(start))).collect()
    }

    /// Reads a time of a property. A time without a zone is in the zone of `start`.
    ///
    /// Exchange writes midnight for a day. If `start` is a date, the function reads midnight as
    /// that day.
    pub(crate) fn moment<'b>(
        &'b self,
        property: &Property<'_>,
        text: &str,
        start: Option<&Moment<'b>>,
    ) -> Result<Moment<'b>, String> {
        let (clock, is_date, utc) = written(text.trim())
            .ok_or_else(|| format!("\"{}\" is no time, such as 20140112T210000", word(text)))?;
        if let Some(start) = start {
            let is_midnight = clock.time() == civil::Time::midnight();
            if start.is_date && !is_date && is_midnight && !utc {
                return Ok(Moment { clock, is_date: true, whose: start.whose.clone() });
            }
            if !is_date && !utc && property.param("TZID").is_none() {
                return Ok(Moment { clock, is_date, whose: start.whose.clone() });
            }
        }
        let whose = match property.param("TZID") {
            _ if utc => Whose::Zone(Zone::utc()),
            Some(id) if !is_date => self.zone(id)?,
            _ => Whose::Reader(self.reader),
        };
        Ok(Moment { clock, is_date, whose })
    }

    /// Finds the zone of a `TZID`. Some programs put a prefix before the name:
    /// `/citadel.org/20210210_1/Europe/Paris`.
    fn zone(&self, id: &str) -> Result<Whose<'_>, String> {
        let slashes = id.match_indices('/').map(|(at, _)| id.get(at + 1..).unwrap_or_default());
        let named = std::iter::once(id).chain(slashes).find_map(|name| Zone::named(name).ok());
        if let Some(zone) = named {
            return Ok(Whose::Zone(zone));
        }
        self.defined.get(id).map(Whose::Defined).ok_or_else(|| {
            format!("TZID \"{}\" is neither a time zone's name nor defined in the file", word(id))
        })
    }
}

/// A zone that the file defines: local times of the changes, and the offset from UTC after each
/// change.
#[derive(Clone, Debug)]
pub(crate) struct Defined {
    /// Offset from UTC before the first change.
    before: SignedDuration,
    changes: Vec<(civil::DateTime, SignedDuration)>,
}

impl Defined {
    fn read(
        zone: &Component<'_>,
        horizon: Horizon<'_>,
        budget: &mut Budget,
    ) -> Result<Option<Self>, FeedError> {
        let Some(until) = utc_clock(horizon.until + TimeDelta::days(400)) else { return Ok(None) };
        let mut all = Vec::new();
        for change in &zone.components {
            let value = |name: &str| change.one(name).map(|p| p.value);
            let offset = |name: &str| value(name).and_then(offset);
            let start = value("DTSTART").and_then(written).map(|(clock, ..)| clock);
            let (Some(from), Some(to), Some(start)) =
                (offset("TZOFFSETFROM"), offset("TZOFFSETTO"), start)
            else {
                continue;
            };
            let mut clocks = vec![start];
            let span = Span { first: start, last: None, from: start, until };
            if let Some(rule) = value("RRULE")
                && let Ok(more) = recurrence::clocks(rule, span, budget)?
            {
                clocks = more;
            }
            // RFC 5545, 3.3.5 reads a skipped local time with the offset before the gap. The new
            // offset therefore applies from the end of the gap. A local time that exists twice is
            // the first of the two.
            let skipped = (to - from).max(SignedDuration::ZERO);
            let counts =
                |clock: civil::DateTime| Some((clock.checked_add(skipped).ok()?, from, to));
            all.extend(clocks.into_iter().filter_map(counts));
        }
        all.sort_by_key(|(clock, ..)| *clock);
        let before = all.first().map(|(_, from, _)| *from);
        let changes = all.into_iter().map(|(clock, _, to)| (clock, to)).collect();
        Ok(before.map(|before| Self { before, changes }))
    }

    fn offset(&self, clock: civil::DateTime) -> SignedDuration {
        let n = self.changes.partition_point(|(from, _)| *from <= clock);
        n.checked_sub(1).and_then(|n| self.changes.get(n)).map_or(self.before, |(_, to)| *to)
    }

    fn resolve(&self, clock: civil::DateTime) -> Option<Instant> {
        let utc = clock.checked_sub(self.offset(clock)).ok()?;
        Some(Utc.from_utc_datetime(&naive(utc)?))
    }

    fn clock(&self, at: Instant) -> civil::DateTime {
        let utc = utc_clock(at).unwrap_or(civil::DateTime::MAX);
        // Add an hour, so that the result is not early around a change. A horizon may therefore end
        // late.
        utc.checked_add(self.offset(utc)).unwrap_or(utc).saturating_add(1.hour())
    }
}

/// Parses an offset from UTC: `+0100`, `-0330` or `+010000`.
fn offset(text: &str) -> Option<SignedDuration> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i64>().ok();
    let seconds = number(4, 6).unwrap_or_default();
    let seconds = number(0, 2)? * 3600 + number(2, 4)? * 60 + seconds;
    (seconds < 86_400).then(|| SignedDuration::from_secs(sign * seconds))
}
