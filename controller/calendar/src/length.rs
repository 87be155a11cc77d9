//! Length of an event of an iCalendar file: `DTEND`, `DURATION`, or a day for a date.

use chrono::TimeDelta;
use jiff::ToSpan;
use primetime_core::Instant;

use crate::limits::word;
use crate::lines::Component;
use crate::time::{Moment, Times};

/// Length of an event: whole days, added to the local date, and a rest, added to the instant.
#[derive(Clone, Copy)]
pub(crate) struct Length {
    pub days: i64,
    pub rest: TimeDelta,
}

/// Returns the end of an occurrence with the given start and length.
pub(crate) fn end(start: &Moment<'_>, length: Option<Length>) -> Option<Instant> {
    let length = length?;
    let days = start.clock.checked_add(i32::try_from(length.days).ok()?.days()).ok()?;
    let (end, _) = start.at(days).resolve()?;
    end.checked_add_signed(length.rest)
}

/// Parses a duration such as `PT2H30M` or `P1W`.
pub(crate) fn duration(text: &str) -> Result<Length, String> {
    let read = text
        .trim()
        .parse::<jiff::Span>()
        .map_err(|_| format!("DURATION \"{}\" is none, such as PT2H30M", word(text)))?;
    let days = i64::from(read.get_weeks()) * 7 + i64::from(read.get_days());
    let seconds = i64::from(read.get_hours()) * 3600 + read.get_minutes() * 60;
    let rest = TimeDelta::try_seconds(seconds + read.get_seconds()).unwrap_or_default();
    Ok(Length { days, rest })
}

pub(crate) fn length(
    event: &Component<'_>,
    start: &Moment<'_>,
    times: &Times,
) -> Result<Option<Length>, String> {
    if let Some(end) = event.one("DTEND") {
        let end = times.read(end).map_err(|why| format!("DTEND {why}"))?;
        if start.is_date && end.is_date {
            let days = (end.clock.date() - start.clock.date()).get_days();
            return Ok(Some(Length { days: i64::from(days), rest: TimeDelta::zero() }));
        }
        let (from, to) = (start.resolve(), end.resolve());
        let rest = from.zip(to).map(|((from, _), (to, _))| to - from);
        return Ok(rest.map(|rest| Length { days: 0, rest }));
    }
    if let Some(written) = event.one("DURATION") {
        return duration(written.value).map(Some);
    }
    // RFC 5545, 3.6.1: an all-day event without an end lasts one day.
    Ok(start.is_date.then_some(Length { days: 1, rest: TimeDelta::zero() }))
}
