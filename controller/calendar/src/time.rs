//! Times of an iCalendar file: in UTC, in a zone by its name, in a zone that the file defines itself, or without a zone.

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

/// Whose clock it is.
#[derive(Clone, Debug)]
enum Whose<'a> {
    /// A zone that the time zone data knows.
    Zone(Zone),
    /// The zone of the reader.
    Reader(&'a Zone),
    /// A zone of the file.
    Defined(&'a Defined),
}

/// A clock on a wall, and whose.
#[derive(Clone, Debug)]
pub(crate) struct Moment<'a> {
    /// What it shows.
    pub clock: civil::DateTime,
    /// A day, and no hour.
    pub is_date: bool,
    whose: Whose<'a>,
}

impl Moment<'_> {
    /// Another clock of the same zone.
    pub(crate) fn at(&self, clock: civil::DateTime) -> Self {
        Self { clock, ..self.clone() }
    }

    /// The instant, and a word where the clock on the wall does not show it, or shows it twice.
    pub(crate) fn resolve(&self) -> Option<(Instant, Option<String>)> {
        match &self.whose {
            Whose::Zone(zone) => zone.resolve(self.clock),
            Whose::Reader(zone) => zone.resolve(self.clock),
            Whose::Defined(zone) => Some((zone.resolve(self.clock)?, None)),
        }
    }

    /// What this clock shows at an instant, an hour or so later at most.
    pub(crate) fn shown(&self, at: Instant) -> civil::DateTime {
        match &self.whose {
            Whose::Zone(zone) => zone.clock(at),
            Whose::Reader(zone) => zone.clock(at),
            Whose::Defined(zone) => zone.clock(at),
        }
    }

    /// The UNTIL of a rule: a day of this clock, an hour of it, or an instant.
    pub(crate) fn until(&self, text: &str) -> Option<civil::DateTime> {
        match written(text)? {
            (clock, _, true) => Some(self.shown(Utc.from_utc_datetime(&naive(clock)?))),
            (clock, true, false) => clock.date().to_datetime(civil::time(23, 59, 59, 0)).into(),
            (clock, false, false) => Some(clock),
        }
    }
}

/// A clock, whether it is a day only, and whether it is UTC's: `20140112`, `20140112T210000`, `20140112T200000Z`.
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
    // A leap second is the one before it.
    let second = small(13, 15)?.min(59);
    let time = civil::Time::new(small(9, 11)?, small(11, 13)?, second, 0).ok()?;
    Some((date.to_datetime(time), false, utc))
}

/// What times of a file mean.
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

    /// The one time of a property.
    pub(crate) fn read(&self, property: &Property<'_>) -> Result<Moment<'_>, String> {
        self.moment(property, property.value, None)
    }

    /// The one time of a property that names an occurrence of an event which starts so.
    pub(crate) fn read_of<'b>(
        &'b self,
        property: &Property<'_>,
        start: &Moment<'b>,
    ) -> Result<Moment<'b>, String> {
        self.moment(property, property.value, Some(start))
    }

    /// All times of a property that name occurrences of an event which starts so.
    pub(crate) fn read_all<'b>(
        &'b self,
        property: &Property<'_>,
        start: &Moment<'b>,
    ) -> Result<Vec<Moment<'b>>, String> {
        property.value.split(',').map(|time| self.moment(property, time, Some(start))).collect()
    }

    /// A time of a property. Without a zone it is meant as `start` is; midnight, where `start` is a day, is that day, as
    /// Exchange writes it.
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

    /// Names come with the makers of calendars in front of them: `/citadel.org/20210210_1/Europe/Paris`.
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

/// A zone that a file defines: from when on, as the clock before shows it, it is by how much ahead of UTC.
#[derive(Clone, Debug)]
pub(crate) struct Defined {
    /// The offset before the first change.
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
            // What a gap skips is read with the offset before it (RFC 5545, 3.3.5), so the new one counts from its end on;
            // what happens twice is the first one.
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
        // The larger of the two offsets around a change: a horizon may end an hour late.
        utc.checked_add(self.offset(utc)).unwrap_or(utc).saturating_add(1.hour())
    }
}

/// `+0100`, `-0330`, `+010000`.
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
