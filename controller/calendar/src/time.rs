//! Times of an iCalendar file: in UTC, in a named zone, in a zone of the file (`VTIMEZONE`), or
//! without a zone.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{TimeDelta, TimeZone, Utc};
use jiff::SignedDuration;
use jiff::civil;
use primetime_core::Instant;
use primetime_core::schedule::Zone;

use crate::limits::word;
use crate::lines::{Component, Property};
use crate::recurrence::{self, Budget, Span, naive, utc_clock};
use crate::{Horizon, windows};

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

    /// Returns the local time at an instant.
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
            // An instant cannot end a series of days: its date counts (RFC 5545, 3.3.10 wants a
            // date).
            (clock, _, true) if self.is_date => Some(end_of_day(clock)),
            (clock, _, true) => Some(self.shown(Utc.from_utc_datetime(&naive(clock)?))),
            (clock, true, false) => Some(end_of_day(clock)),
            (clock, false, false) => Some(clock),
        }
    }
}

fn end_of_day(clock: civil::DateTime) -> civil::DateTime {
    clock.date().to_datetime(civil::time(23, 59, 59, 0))
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
    // Zones of Windows begin in 1601, and those of Exchange in year 1.
    let year = i16::try_from(number(0, 4)?).ok().filter(|year| (1..9900).contains(year))?.max(1601);
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
pub(crate) struct Times {
    reader: Zone,
    defined: BTreeMap<String, Definition>,
}

/// A zone that the file defines.
enum Definition {
    /// The file names a zone of the database beside its definition (`X-LIC-LOCATION`).
    Named(Zone),
    /// The changes that the file lists.
    Changes(Defined),
}

impl Times {
    /// Reads the zones that events of the calendar use.
    ///
    /// `X-WR-TIMEZONE` is the zone of times without a zone, unless the `SurgeCalendar` states one.
    pub(crate) fn of(
        calendar: &Component<'_>,
        horizon: Horizon<'_>,
        budget: &mut Budget,
        problems: &mut Vec<String>,
    ) -> Self {
        let own = calendar.one("X-WR-TIMEZONE").map(|p| p.value.trim());
        let own = own.filter(|_| !horizon.zone_is_stated).and_then(|name| {
            let found = known(name);
            if found.is_none() {
                problems.push(format!("X-WR-TIMEZONE \"{}\" is not a known time zone", word(name)));
            }
            found
        });
        let events = calendar.components.iter().filter(|c| c.is("VEVENT"));
        let used: BTreeSet<&str> =
            events.flat_map(|e| &e.properties).filter_map(|p| p.param("TZID")).collect();
        let mut defined = BTreeMap::new();
        for zone in calendar.components.iter().filter(|c| c.is("VTIMEZONE")) {
            let Some(id) = zone.one("TZID").map(|p| p.value.trim()) else { continue };
            if !used.contains(id) || iana(id).is_some() {
                continue;
            }
            let location = zone.one("X-LIC-LOCATION").and_then(|p| iana(p.value.trim()));
            let definition = match location {
                Some(zone) => Ok(Some(Definition::Named(zone))),
                None => Defined::read(zone, horizon, budget).map(|z| z.map(Definition::Changes)),
            };
            match definition {
                Ok(Some(zone)) => drop(defined.insert(id.to_owned(), zone)),
                Ok(None) => {}
                Err(why) => problems.push(format!("VTIMEZONE \"{}\": {why}", word(id))),
            }
        }
        Self { reader: own.unwrap_or_else(|| horizon.zone.clone()), defined }
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
            _ => Whose::Reader(&self.reader),
        };
        Ok(Moment { clock, is_date, whose })
    }

    /// Finds the zone of a `TZID`: a name of the database, a zone that the file defines, or a name
    /// of Windows.
    fn zone(&self, id: &str) -> Result<Whose<'_>, String> {
        if let Some(zone) = iana(id) {
            return Ok(Whose::Zone(zone));
        }
        match self.defined.get(id) {
            Some(Definition::Named(zone)) => return Ok(Whose::Zone(zone.clone())),
            Some(Definition::Changes(zone)) => return Ok(Whose::Defined(zone)),
            None => {}
        }
        windows::zone(id).map(Whose::Zone).ok_or_else(|| {
            format!("TZID \"{}\" is neither a time zone's name nor defined in the file", word(id))
        })
    }
}

/// Finds a zone of the database. Some programs put a prefix before the name:
/// `/citadel.org/20210210_1/Europe/Paris`.
fn iana(id: &str) -> Option<Zone> {
    let slashes = id.match_indices('/').map(|(at, _)| id.get(at + 1..).unwrap_or_default());
    std::iter::once(id).chain(slashes).find_map(Zone::of_feed)
}

/// Finds a zone by a name of the database or of Windows.
fn known(name: &str) -> Option<Zone> {
    iana(name).or_else(|| windows::zone(name))
}

/// A zone that the file defines: the changes, and the offset from UTC after each change.
#[derive(Clone, Debug)]
pub(crate) struct Defined {
    /// Offset from UTC before the first change.
    before: SignedDuration,
    changes: Vec<Change>,
}

/// A change of the offset from UTC.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// Local time from which the new offset counts.
    from: civil::DateTime,
    /// The same in UTC.
    utc: civil::DateTime,
    /// Offset after the change.
    to: SignedDuration,
}

impl Defined {
    fn read(
        zone: &Component<'_>,
        horizon: Horizon<'_>,
        budget: &mut Budget,
    ) -> Result<Option<Self>, String> {
        let (Some(from), Some(until)) = (
            utc_clock(horizon.from - TimeDelta::days(800)),
            utc_clock(horizon.until + TimeDelta::days(400)),
        ) else {
            return Ok(None);
        };
        let mut all = Vec::new();
        for change in &zone.components {
            all.extend(changes(change, from, until, budget)?);
        }
        all.sort_by_key(|(change, _)| change.utc);
        let before = all.first().map(|(_, before)| *before);
        let changes = all.into_iter().map(|(change, _)| change).collect();
        Ok(before.map(|before| Self { before, changes }))
    }

    fn resolve(&self, clock: civil::DateTime) -> Option<Instant> {
        let n = self.changes.partition_point(|change| change.from <= clock);
        let utc = clock.checked_sub(self.offset_after(n)).ok()?;
        Some(Utc.from_utc_datetime(&naive(utc)?))
    }

    fn clock(&self, at: Instant) -> civil::DateTime {
        let utc = utc_clock(at).unwrap_or(civil::DateTime::MAX);
        let n = self.changes.partition_point(|change| change.utc <= utc);
        utc.checked_add(self.offset_after(n)).unwrap_or(utc)
    }

    /// Returns the offset after the first `n` changes.
    fn offset_after(&self, n: usize) -> SignedDuration {
        n.checked_sub(1).and_then(|n| self.changes.get(n)).map_or(self.before, |change| change.to)
    }
}

/// Returns the changes of a `STANDARD` or `DAYLIGHT` part, each with the offset before it: the
/// first, those of `RRULE` up to its `UNTIL`, and those of `RDATE` (RFC 5545, 3.6.5).
fn changes(
    part: &Component<'_>,
    from: civil::DateTime,
    until: civil::DateTime,
    budget: &mut Budget,
) -> Result<Vec<(Change, SignedDuration)>, String> {
    let value = |name: &str| part.one(name).map(|p| p.value.trim());
    let offset = |name: &str| value(name).and_then(offset);
    let start = value("DTSTART").and_then(written).map(|(clock, ..)| clock);
    let (Some(before), Some(to), Some(start)) =
        (offset("TZOFFSETFROM"), offset("TZOFFSETTO"), start)
    else {
        return Ok(Vec::new());
    };
    let mut clocks = vec![start];
    for rule in part.all("RRULE") {
        let last = rule.value.split(';').find(|part| recurrence::named(part, "UNTIL"));
        let last = last.and_then(|part| written(part.split_once('=')?.1.trim()));
        // `UNTIL` is in UTC here, and the rule in the local time before the change.
        let last = last.map(|(clock, is_date, utc)| match (is_date, utc) {
            (true, _) => end_of_day(clock),
            (false, true) => clock.checked_add(before).unwrap_or(clock),
            (false, false) => clock,
        });
        if last.is_some_and(|last| last < start) {
            continue;
        }
        clocks.extend(recurrence::clocks(
            rule.value,
            Span { first: start, last, from, until },
            budget,
        )?);
    }
    let further = part.all("RDATE").flat_map(|p| p.value.split(','));
    clocks.extend(further.filter_map(|text| {
        let (clock, _, utc) = written(text.split('/').next()?.trim())?;
        if utc { clock.checked_add(before).ok() } else { Some(clock) }
    }));
    // RFC 5545, 3.3.5 reads a skipped local time with the offset before the gap. The new offset
    // therefore applies from the end of the gap. A local time that exists twice is the first of the
    // two.
    let skipped = (to - before).max(SignedDuration::ZERO);
    let change = |clock: civil::DateTime| {
        let (from, utc) = (clock.checked_add(skipped).ok()?, clock.checked_sub(before).ok()?);
        Some((Change { from, utc, to }, before))
    };
    Ok(clocks.into_iter().filter_map(change).collect())
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
