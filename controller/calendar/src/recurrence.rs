//! Expansion of recurrence rules into local times (RFC 5545, 3.3.10).
//!
//! The module expands a rule without regard to zones. The caller resolves each local time
//! afterwards, by the same rule as for a cron. The zone data of the `rrule` crate therefore has no
//! effect, and summer time moves no event.

use chrono::{Datelike, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use jiff::civil;
use rrule::{Frequency, RRule, RRuleSet, Tz, Unvalidated};

use crate::limits::{RULE, RULE_STEPS, STEPS};

/// Number of steps that the rules of a feed may still take.
#[derive(Debug)]
pub(crate) struct Budget(u64);

impl Default for Budget {
    fn default() -> Self {
        Self(STEPS)
    }
}

/// Steps charged for a rule without any occurrence. The `rrule` crate tries 100,000 times before
/// the crate gives up.
const IN_VAIN: u64 = 100_000;

impl Budget {
    /// Subtracts steps from the budget.
    ///
    /// # Errors
    ///
    /// Returns a sentence if fewer steps are left: the rule of the caller is left out.
    pub(crate) fn take(&mut self, steps: u64) -> Result<(), String> {
        let none =
            || format!("all rules of the feed take more than {STEPS} steps; let old ones end");
        self.0 = self.0.checked_sub(steps).ok_or_else(none)?;
        Ok(())
    }
}

/// Part of a rule to expand, in local times of the event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// First start of the event (`DTSTART`).
    pub first: civil::DateTime,
    /// Last time that the rule allows (`UNTIL`).
    pub last: Option<civil::DateTime>,
    /// Start of the wanted part. The result may also contain earlier times.
    pub from: civil::DateTime,
    /// End of the wanted part.
    pub until: civil::DateTime,
}

/// Returns the local times of a rule, in order.
///
/// # Errors
///
/// Returns a sentence if the text is no rule, if the parser does not support the rule, if the rule
/// takes more than [`RULE_STEPS`], or if the rules of the feed exceed the budget.
pub(crate) fn clocks(
    rule: &str,
    span: Span,
    budget: &mut Budget,
) -> Result<Vec<civil::DateTime>, String> {
    let until = span.last.map_or(span.until, |last| last.min(span.until));
    let Some(set) = set(rule, span, until)? else { return Ok(Vec::new()) };
    let unit = set.get_rrule().first().map_or(TimeDelta::days(1), |rule| {
        unit(rule.get_freq()) * i32::from(rule.get_interval().max(1))
    });
    let looked_at = naive(until).map(|until| until - set.get_dt_start().naive_utc());
    let units = looked_at.unwrap_or_default().num_seconds() / unit.num_seconds().max(1);
    let units = u64::try_from(units).unwrap_or_default() + 1;
    let too_long = || format!("rule \"{}\" takes more than {RULE_STEPS} steps", shown(rule));
    if units > RULE_STEPS {
        return Err(too_long());
    }
    budget.take(units)?;
    let (mut found, mut steps) = (Vec::new(), 0);
    for clock in &set.limit() {
        steps += 1;
        if steps > RULE_STEPS {
            return Err(too_long());
        }
        budget.take(1)?;
        found.extend(civil_of(clock.naive_utc()));
    }
    if found.is_empty() {
        budget.take(IN_VAIN)?;
    }
    Ok(found)
}

/// Returns the begin of a rule, for a message.
fn shown(rule: &str) -> String {
    rule.chars().take(80).collect()
}

/// Returns the shortest step of a frequency. Months and years count as 28 days.
fn unit(frequency: Frequency) -> TimeDelta {
    match frequency {
        Frequency::Yearly | Frequency::Monthly => TimeDelta::days(28),
        Frequency::Weekly => TimeDelta::weeks(1),
        Frequency::Hourly => TimeDelta::hours(1),
        _ => TimeDelta::days(1),
    }
}

/// Returns a later start for a rule, whole steps after `first`, with the same times from `from` on.
///
/// A rule with `COUNT` keeps `first`, because each occurrence counts.
fn skipped(rule: &RRule<Unvalidated>, first: NaiveDateTime, from: NaiveDateTime) -> NaiveDateTime {
    if rule.get_count().is_some() || rule.get_interval() == 0 {
        return first;
    }
    let interval = i32::from(rule.get_interval());
    match rule.get_freq() {
        Frequency::Yearly => return months_later(first, from, interval * 12),
        Frequency::Monthly => return months_later(first, from, interval),
        _ => {}
    }
    let stride = unit(rule.get_freq()).num_seconds() * i64::from(rule.get_interval());
    let steps = (from - first).num_seconds().div_euclid(stride) - 1;
    first + TimeDelta::seconds(stride * steps.max(0))
}

/// Returns the last start, a multiple of `stride` months after `first`, that lies more than a
/// stride and a year before `from` and has the day of `first`: the 29th to 31st are not in every
/// month.
fn months_later(first: NaiveDateTime, from: NaiveDateTime, stride: i32) -> NaiveDateTime {
    let index = |at: NaiveDateTime| at.year() * 12 + i32::try_from(at.month0()).unwrap_or_default();
    let mut steps = (index(from) - index(first) - 12).div_euclid(stride) - 1;
    while steps > 0 {
        let to = index(first) + steps * stride;
        let nth = u32::try_from(to.rem_euclid(12)).unwrap_or_default();
        let date = chrono::NaiveDate::from_ymd_opt(to.div_euclid(12), nth + 1, first.day());
        if let Some(date) = date {
            return date.and_time(first.time());
        }
        steps -= 1;
    }
    first
}

/// Parses a rule for the `rrule` crate and replaces `UNTIL` with `until`. Returns `None` if `until`
/// lies before the first start.
fn set(rule: &str, span: Span, until: civil::DateTime) -> Result<Option<RRuleSet>, String> {
    let none = |why: String| format!("rule \"{}\" cannot be followed: {why}", shown(rule));
    if rule.len() > RULE {
        return Err(none(format!("it is longer than {RULE} characters")));
    }
    let (Some(first), Some(from), Some(until)) =
        (naive(span.first), naive(span.from), naive(until))
    else {
        return Err(none("it is out of range".to_owned()));
    };
    let rule = as_meant(rule, span.first).map_err(none)?;
    let read: RRule<Unvalidated> =
        rule.parse().map_err(|why: rrule::RRuleError| none(why.to_string()))?;
    let often = matches!(read.get_freq(), Frequency::Minutely | Frequency::Secondly)
        || read.get_by_minute().len() > 1
        || read.get_by_second().len() > 1;
    if often {
        return Err(none("events recur once an hour at most".to_owned()));
    }
    let first = skipped(&read, first, from);
    if until < first {
        return Ok(None);
    }
    let utc = |clock: &NaiveDateTime| Tz::UTC.from_utc_datetime(clock);
    let read = read.until(utc(&until));
    read.build(utc(&first)).map(Some).map_err(|why| none(why.to_string()))
}

/// Rewrites a rule so that the `rrule` crate follows RFC 5545 (3.3.10), and removes `UNTIL`.
///
/// The function drops parts that the RFC forbids, as other readers do. The function rewrites or
/// refuses parts that the crate misinterprets.
fn as_meant(rule: &str, first: civil::DateTime) -> Result<String, String> {
    let mut parts: Vec<(String, String)> = rule
        .split(';')
        .filter(|part| !named(part, "UNTIL") && !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(key, value)| (key.trim().to_ascii_uppercase(), value.trim().to_ascii_uppercase()))
        // Some programs write a comma after the last value, and -1 for a rule without a count.
        .map(|(key, value)| (key, value.trim_end_matches(',').to_owned()))
        .filter(|(key, value)| key != "COUNT" || !value.starts_with('-'))
        .collect();
    let value = |parts: &[(String, String)], key: &str| {
        parts.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let frequency = value(&parts, "FREQ").unwrap_or_default();
    let has = |parts: &[(String, String)], key: &str| value(parts, key).is_some();
    // Remove the numbers of weekdays, which belong to monthly and yearly rules. The first Monday of
    // a week is Monday.
    if !matches!(frequency.as_str(), "MONTHLY" | "YEARLY") {
        for (_, days) in parts.iter_mut().filter(|(key, _)| key == "BYDAY") {
            let plain =
                |day: &str| day.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).to_owned();
            *days = days.split(',').map(plain).collect::<Vec<_>>().join(",");
        }
    }
    // Add the weekday of the first start. The `rrule` crate would take every day of the week.
    let of_days = ["BYDAY", "BYMONTHDAY", "BYYEARDAY"].iter().any(|key| has(&parts, key));
    if frequency == "YEARLY" && has(&parts, "BYWEEKNO") && !of_days {
        let day = match first.weekday() {
            civil::Weekday::Monday => "MO",
            civil::Weekday::Tuesday => "TU",
            civil::Weekday::Wednesday => "WE",
            civil::Weekday::Thursday => "TH",
            civil::Weekday::Friday => "FR",
            civil::Weekday::Saturday => "SA",
            civil::Weekday::Sunday => "SU",
        };
        parts.push(("BYDAY".to_owned(), day.to_owned()));
    }
    // The `rrule` crate counts positions from the first start, not from the beginning of the week.
    if frequency == "WEEKLY" && has(&parts, "BYSETPOS") {
        return Err("BYSETPOS in weeks is not followed".to_owned());
    }
    // Convert an interval of whole hours in minutes into hours.
    let minutes = value(&parts, "INTERVAL").and_then(|n| n.parse::<u32>().ok());
    if frequency == "MINUTELY"
        && let Some(hours) = minutes.filter(|n| *n >= 60 && n % 60 == 0).map(|n| n / 60)
    {
        for (key, value) in &mut parts {
            match key.as_str() {
                "FREQ" => "HOURLY".clone_into(value),
                "INTERVAL" => *value = hours.to_string(),
                _ => {}
            }
        }
    }
    Ok(parts.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(";"))
}

/// True if a part of a rule has the given name.
pub(crate) fn named(part: &str, name: &str) -> bool {
    part.split_once('=').is_some_and(|(key, _)| key.trim().eq_ignore_ascii_case(name))
}

/// Converts a local time into the type of the `rrule` crate.
pub(crate) fn naive(clock: civil::DateTime) -> Option<NaiveDateTime> {
    let date = chrono::NaiveDate::from_ymd_opt(
        i32::from(clock.year()),
        u32::try_from(clock.month()).ok()?,
        u32::try_from(clock.day()).ok()?,
    )?;
    date.and_hms_opt(
        u32::try_from(clock.hour()).ok()?,
        u32::try_from(clock.minute()).ok()?,
        u32::try_from(clock.second()).ok()?,
    )
}

/// Converts a local time from the type of the `rrule` crate.
pub(crate) fn civil_of(clock: NaiveDateTime) -> Option<civil::DateTime> {
    let small = |n: u32| i8::try_from(n).ok();
    civil::DateTime::new(
        i16::try_from(clock.year()).ok()?,
        small(clock.month())?,
        small(clock.day())?,
        small(clock.hour())?,
        small(clock.minute())?,
        small(clock.second())?,
        0,
    )
    .ok()
}

/// Returns the local time of UTC at an instant.
pub(crate) fn utc_clock(at: chrono::DateTime<Utc>) -> Option<civil::DateTime> {
    civil_of(at.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(rule: &str, first: &str, until: &str) -> Result<Vec<String>, String> {
        follow_from(rule, first, first, until)
    }

    fn follow_from(
        rule: &str,
        first: &str,
        from: &str,
        until: &str,
    ) -> Result<Vec<String>, String> {
        let clock = |text: &str| text.parse::<civil::DateTime>().unwrap();
        let (first, from, until) = (clock(first), clock(from), clock(until));
        let span = Span { first, last: None, from, until };
        let found = clocks(rule, span, &mut Budget::default())?;
        let found = found.iter().filter(|clock| **clock >= from);
        Ok(found.map(ToString::to_string).collect())
    }

    #[test]
    fn what_lies_long_ago_is_skipped_and_changes_nothing() {
        let (first, from, until) =
            ("2020-01-07T20:50:00", "2026-11-22T00:00:00", "2027-03-01T00:00:00");
        for rule in [
            "FREQ=DAILY;INTERVAL=3",
            "FREQ=DAILY;BYMONTH=1,2;BYDAY=MO",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU",
            "FREQ=HOURLY;INTERVAL=7",
            "FREQ=MONTHLY;BYDAY=-1TH",
            "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24",
            "FREQ=YEARLY;INTERVAL=3;BYMONTH=1,12;BYDAY=MO",
            "FREQ=MONTHLY;INTERVAL=5;BYMONTHDAY=1,15",
            "FREQ=DAILY;COUNT=2530",
        ] {
            let mut whole = follow(rule, first, until).unwrap();
            whole.retain(|clock| clock.as_str() >= from);
            assert!(!whole.is_empty(), "{rule}");
            assert_eq!(follow_from(rule, first, from, until).unwrap(), whole, "{rule}");
        }
    }

    #[test]
    fn sundays_and_last_thursdays() {
        assert_eq!(
            follow("FREQ=WEEKLY;BYDAY=SU", "2026-03-22T20:50:00", "2026-04-06T00:00:00").unwrap(),
            ["2026-03-22T20:50:00", "2026-03-29T20:50:00", "2026-04-05T20:50:00"]
        );
        assert_eq!(
            follow("FREQ=MONTHLY;BYDAY=-1TH", "2026-10-29T18:00:00", "2027-01-01T00:00:00")
                .unwrap(),
            ["2026-10-29T18:00:00", "2026-11-26T18:00:00", "2026-12-31T18:00:00"]
        );
        assert_eq!(
            follow("FREQ=DAILY;COUNT=2", "2026-11-22T20:00:00", "2027-01-01T00:00:00")
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn what_is_no_rule_or_too_often_is_said() {
        for (rule, said) in [
            ("FREQ=OFTEN", "cannot be followed"),
            ("FREQ=SECONDLY", "once an hour at most"),
            ("FREQ=DAILY;BYMINUTE=0,1,2", "once an hour at most"),
            (&format!("FREQ=DAILY;BYHOUR={}", "1,".repeat(1_000)), "longer than"),
            ("", "cannot be followed"),
        ] {
            let why = follow(rule, "2026-11-22T20:00:00", "2027-01-01T00:00:00").unwrap_err();
            assert!(why.contains(said), "{rule}: {why}");
        }
    }

    #[test]
    fn rules_that_never_name_a_day_use_the_budget_up() {
        let clock = |text: &str| text.parse::<civil::DateTime>().unwrap();
        let (first, until) = (clock("2026-01-01T00:00:00"), clock("2027-01-01T00:00:00"));
        let mut budget = Budget::default();
        let rule = "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30";
        let mut followed = 0;
        let span = Span { first, last: None, from: first, until };
        while clocks(rule, span, &mut budget).is_ok() {
            followed += 1;
            assert!(followed < 100, "a bomb of such rules ends");
        }
        assert!(followed > 3, "one or two of them are borne");
    }

    #[test]
    fn what_the_library_takes_otherwise_is_followed_as_meant_or_refused() {
        for (rule, first, until, expected) in [
            (
                "FREQ=WEEKLY;BYDAY=1MO;COUNT=4",
                "2026-03-02T20:00",
                "2026-12-31T00:00",
                &["2026-03-02T20:00", "2026-03-09T20:00", "2026-03-16T20:00", "2026-03-23T20:00"][..],
            ),
            (
                "FREQ=DAILY;BYDAY=2WE;COUNT=2",
                "2026-03-04T20:00",
                "2026-12-31T00:00",
                &["2026-03-04T20:00", "2026-03-11T20:00"],
            ),
            (
                "FREQ=YEARLY;BYWEEKNO=11;COUNT=2",
                "2026-03-09T20:00",
                "2027-12-31T00:00",
                &["2026-03-09T20:00", "2027-03-15T20:00"],
            ),
            (
                "FREQ=MINUTELY;INTERVAL=1440;COUNT=2",
                "2026-03-09T20:00",
                "2026-12-31T00:00",
                &["2026-03-09T20:00", "2026-03-10T20:00"],
            ),
        ] {
            let found = follow(rule, first, until).unwrap();
            let expected: Vec<_> = expected.iter().map(|clock| format!("{clock}:00")).collect();
            assert_eq!(found, expected, "{rule}");
        }
        let why =
            follow("FREQ=WEEKLY;BYDAY=MO,TU;BYSETPOS=2", "2026-03-03T20:00", "2026-12-31T00:00");
        assert!(why.unwrap_err().contains("BYSETPOS in weeks is not followed"));
    }
}
