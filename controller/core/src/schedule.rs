//! Schedule of an event: one-off or recurring starts, in several windows, with excluded days.

pub mod cron;
mod error;
pub mod once;
mod tzdb;
pub mod zone;

use chrono::TimeDelta;
use jiff::ToSpan;
use jiff::civil::Date;

pub use self::cron::Cron;
pub use self::error::ScheduleError;
use self::error::shown;
pub use self::once::OneOff;
pub use self::tzdb::{Tzdb, tzdb_version};
pub use self::zone::{Zone, in_zone};
use crate::Instant;

/// Start of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Single start at the given instant.
    Once(Instant),
    /// Recurring start, whenever the local time in the zone matches the cron fields.
    Cron(Cron),
}

/// Rule for starts of an event, such as the evening of the show or the morning after the show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name of the window, if the schedule has several windows.
    pub name: Option<String>,
    /// Start of the event.
    pub when: When,
    /// Minimum duration, in elapsed time.
    pub duration: TimeDelta,
    /// Id of the calendar event. The id stays the same if the event moves.
    pub event: Option<String>,
    /// Note for people about the start.
    pub note: Option<String>,
}

/// Range of days on which no occurrence starts, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// First day.
    pub first: Date,
    /// Last day.
    pub last: Date,
}

impl Days {
    /// Reads a day such as `2026-12-24`, or a range of days from the first to the last.
    ///
    /// # Errors
    ///
    /// Returns the field and the problem if a date is malformed or does not exist, or if `lastDate`
    /// is before `date`.
    pub fn read(date: &str, last_date: Option<&str>) -> Result<Self, String> {
        let read = |field: &str, text: &str| {
            let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text);
            let text = shown(text, 40);
            date.ok_or_else(|| {
                format!(
                    "{field}: \"{text}\" is not a date that exists; write one such as 2026-12-24"
                )
            })
        };
        let first = read("date", date)?;
        let last = last_date.map_or(Ok(first), |text| read("lastDate", text))?;
        if last < first {
            return Err("lastDate: must not be before date".to_owned());
        }
        Ok(Self { first, last })
    }
}

/// Schedule of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Zone of local times and dates; UTC if absent.
    pub zone: Option<Zone>,
    /// Rules for the starts.
    pub rules: Vec<Rule>,
    /// Days on which no occurrence starts.
    pub exclude: Vec<Days>,
}

/// Occurrence of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Start of the occurrence.
    pub start: Instant,
    /// Earliest end of the occurrence.
    pub end: Instant,
    /// Name of the window, if the schedule has several windows.
    pub name: Option<String>,
    /// Id of the calendar event.
    pub event: Option<String>,
    /// Note of the rule, or the statement that the local start does not exist or exists twice.
    pub note: Option<String>,
}

/// Horizons of the search for the next occurrences.
///
/// The search tries the next horizon if a horizon contains too few occurrences. The last horizon
/// covers the longest time between two leap days, eight years.
const HORIZONS: [TimeDelta; 6] = [
    TimeDelta::days(8),
    TimeDelta::days(32),
    TimeDelta::days(100),
    TimeDelta::days(200),
    TimeDelta::days(400),
    TimeDelta::days(9 * 366),
];

impl Schedule {
    /// Returns all occurrences that start from `from` to before `until`, ordered by start.
    ///
    /// The function merges occurrences with the same start.
    #[must_use]
    pub fn between(&self, from: Instant, until: Instant) -> Vec<Occurrence> {
        let utc = Zone::utc();
        let zone = self.zone.as_ref().unwrap_or(&utc);
        let mut all = Vec::new();
        for rule in &self.rules {
            let occurrence = |start: Instant, note| Occurrence {
                start,
                end: start + rule.duration,
                name: rule.name.clone(),
                event: rule.event.clone(),
                note,
            };
            match &rule.when {
                When::Once(start) => all.push(occurrence(*start, rule.note.clone())),
                When::Cron(cron) => {
                    // If a zone has skipped a whole day, the occurrences of that day start on the
                    // next day. The search therefore covers two more days on each side.
                    let first = zone.date(from).saturating_sub(2.days());
                    let last = zone.date(until).saturating_add(2.days());
                    let starts = cron.between(first, last).filter_map(|c| zone.rightly(c));
                    all.extend(starts.map(|resolved| occurrence(resolved.at, resolved.note)));
                }
            }
        }
        all.retain(|o| o.start >= from && o.start < until && !self.excludes(zone.date(o.start)));
        // Two occurrences with the same start become a single occurrence; the longer occurrence
        // counts.
        all.sort_by_key(|o| (o.start, std::cmp::Reverse(o.end)));
        all.dedup_by_key(|o| o.start);
        all
    }

    fn excludes(&self, date: Date) -> bool {
        self.exclude.iter().any(|days| (days.first..=days.last).contains(&date))
    }

    /// Returns the occurrences that have not ended.
    ///
    /// The result contains all occurrences that start by `by`, and at least `count` occurrences
    /// that start after `now`.
    #[must_use]
    pub fn upcoming(&self, now: Instant, count: usize, by: Instant) -> Vec<Occurrence> {
        let longest = self.rules.iter().map(|rule| rule.duration).max().unwrap_or_default();
        let horizons = HORIZONS.map(|horizon| (now + horizon).max(by));
        let horizons = if self.recurs() { &horizons[..] } else { &[Instant::MAX_UTC] };
        let (mut all, mut from) = (Vec::new(), now - longest);
        for until in horizons {
            all.extend(self.between(from, *until));
            if all.iter().filter(|o| o.start > now).count() >= count {
                break;
            }
            from = *until;
        }
        all.retain(|o| o.end > now);
        let started = all.iter().filter(|o| o.start <= now).count();
        let by_then = all.iter().filter(|o| o.start <= by).count();
        all.truncate(by_then.max(started + count));
        all
    }

    /// True if the schedule contains a recurring rule.
    #[must_use]
    pub fn recurs(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.when, When::Cron(_)))
    }

    /// True if an occurrence starts at the given instant.
    #[must_use]
    pub fn begins_at(&self, start: Instant) -> bool {
        self.between(start, start + TimeDelta::seconds(1)).iter().any(|o| o.start == start)
    }

    /// Returns the last occurrence of the one-off rules.
    #[must_use]
    pub fn last_once(&self) -> Option<Occurrence> {
        let once = |rule: &&Rule| matches!(rule.when, When::Once(_));
        let rules = self.rules.iter().filter(once).cloned().collect();
        let only = Self { rules, ..self.clone() };
        only.between(Instant::MIN_UTC, Instant::MAX_UTC).pop()
    }

    /// Returns the current or next occurrence, or the last one-off occurrence if no other is to
    /// come.
    #[must_use]
    pub fn next_or_last(&self, now: Instant) -> Option<Occurrence> {
        self.upcoming(now, 1, now).into_iter().next().or_else(|| self.last_once())
    }

    /// Returns the instant with the same local time, the given number of weeks before an instant.
    #[must_use]
    pub fn weeks_before(&self, at: Instant, weeks: i32) -> Option<Instant> {
        let utc = Zone::utc();
        self.zone.as_ref().unwrap_or(&utc).weeks_before(at, weeks)
    }

    /// Returns the name of the zone, if any.
    #[must_use]
    pub fn zone_name(&self) -> Option<&str> {
        self.zone.as_ref().map(Zone::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn every(cron: &str, hours: i64) -> Rule {
        Rule {
            name: None,
            when: When::Cron(Cron::read(cron).unwrap()),
            duration: TimeDelta::hours(hours),
            event: None,
            note: None,
        }
    }

    fn in_paris(rules: Vec<Rule>) -> Schedule {
        Schedule { zone: Some(Zone::named("Europe/Paris").unwrap()), rules, exclude: vec![] }
    }

    fn starts(all: &[Occurrence]) -> Vec<String> {
        all.iter().map(|o| o.start.format("%Y-%m-%dT%H:%MZ").to_string()).collect()
    }

    #[test]
    fn the_hour_on_the_wall_stays_and_its_instant_moves() {
        let sundays = in_paris(vec![every("50 20 * * SUN", 2)]);
        assert_eq!(
            starts(&sundays.upcoming(at("2026-03-20T00:00:00Z"), 2, at("2026-03-20T00:00:00Z"))),
            ["2026-03-22T19:50Z", "2026-03-29T18:50Z"]
        );
    }

    #[test]
    fn an_occurrence_counts_until_its_end_and_also_across_midnight() {
        let nights = in_paris(vec![every("30 23 * * SAT", 2)]);
        let now = at("2026-11-22T00:00:00Z"); // Sunday, 01:00 in Paris
        assert_eq!(
            starts(&nights.upcoming(now, 1, now)),
            ["2026-11-21T22:30Z", "2026-11-28T22:30Z"]
        );
        let over = at("2026-11-22T00:30:00Z");
        assert_eq!(starts(&nights.upcoming(over, 1, over)), ["2026-11-28T22:30Z"]);
    }

    #[test]
    fn a_night_without_its_hour_has_it_once_and_says_so() {
        let nightly = in_paris(vec![every("30 2 * * *", 1)]);
        let spring = nightly.between(at("2026-03-28T00:00:00Z"), at("2026-03-31T00:00:00Z"));
        assert_eq!(
            starts(&spring),
            ["2026-03-28T01:30Z", "2026-03-29T01:30Z", "2026-03-30T00:30Z"]
        );
        let notes: Vec<bool> = spring.iter().map(|o| o.note.is_some()).collect();
        assert_eq!(notes, [false, true, false]);
        let autumn = nightly.between(at("2026-10-24T22:00:00Z"), at("2026-10-25T22:00:00Z"));
        assert_eq!(starts(&autumn), ["2026-10-25T00:30Z"]);
    }

    #[test]
    fn two_hours_that_become_one_are_one_occurrence() {
        let both = in_paris(vec![every("30 2,3 * * *", 1)]);
        let spring = both.between(at("2026-03-29T00:00:00Z"), at("2026-03-29T12:00:00Z"));
        assert_eq!(starts(&spring), ["2026-03-29T01:30Z"]);
    }

    #[test]
    fn a_day_that_a_zone_has_skipped_is_made_up_for_once() {
        let apia = Schedule {
            zone: Some(Zone::named("Pacific/Apia").unwrap()),
            ..in_paris(vec![every("0 21 * * *", 1)])
        };
        let all = apia.between(at("2011-12-29T00:00:00Z"), at("2012-01-02T00:00:00Z"));
        assert_eq!(
            starts(&all),
            ["2011-12-29T07:00Z", "2011-12-30T07:00Z", "2011-12-31T07:00Z", "2012-01-01T07:00Z"]
        );
    }

    #[test]
    fn excluded_days_are_the_days_of_the_zone_and_of_the_start() {
        let mut nights = in_paris(vec![every("30 23 * * *", 2)]);
        let day = |text: &str| text.parse().unwrap();
        nights.exclude = vec![Days { first: day("2026-12-24"), last: day("2026-12-26") }];
        assert_eq!(
            starts(&nights.upcoming(at("2026-12-23T00:00:00Z"), 3, at("2026-12-23T00:00:00Z"))),
            ["2026-12-22T22:30Z", "2026-12-23T22:30Z", "2026-12-27T22:30Z", "2026-12-28T22:30Z"]
        );
    }

    #[test]
    fn several_windows_come_in_order_and_the_longer_of_two_counts() {
        let mut two = in_paris(vec![every("0 9 * * MON", 2), every("0 21 * * SUN", 3)]);
        two.rules.push(every("0 9 * * MON", 4));
        let all = two.upcoming(at("2026-11-21T00:00:00Z"), 3, at("2026-11-21T00:00:00Z"));
        assert_eq!(starts(&all), ["2026-11-22T20:00Z", "2026-11-23T08:00Z", "2026-11-29T20:00Z"]);
        assert_eq!(all.get(1).map(|o| o.end), Some(at("2026-11-23T12:00:00Z")));
    }

    #[test]
    fn what_is_once_is_upcoming_however_far_and_then_over() {
        let start = at("2040-01-12T20:00:00Z");
        let rule = Rule {
            name: None,
            when: When::Once(start),
            duration: TimeDelta::hours(2),
            event: None,
            note: None,
        };
        let once = Schedule { rules: vec![rule], ..Schedule::default() };
        assert_eq!(
            starts(&once.upcoming(at("2026-01-01T00:00:00Z"), 3, at("2026-01-01T00:00:00Z"))),
            ["2040-01-12T20:00Z"]
        );
        assert_eq!(once.upcoming(at("2040-01-12T22:00:00Z"), 3, at("2040-01-12T22:00:00Z")), []);
        assert_eq!(once.last_once().map(|o| o.start), Some(start));
    }

    #[test]
    fn what_starts_by_an_instant_is_upcoming_however_many_that_are() {
        let daily = in_paris(vec![every("0 21 * * *", 2)]);
        let now = at("2026-11-22T00:00:00Z");
        assert_eq!(daily.upcoming(now, 1, now + TimeDelta::days(3)).len(), 3);
        assert!(daily.begins_at(at("2026-11-22T20:00:00Z")));
        assert!(!daily.begins_at(at("2026-11-22T20:00:01Z")));
    }

    #[test]
    fn a_leap_day_is_found_however_far() {
        let leap = in_paris(vec![every("0 21 29 2 *", 2)]);
        assert_eq!(
            starts(&leap.upcoming(at("2026-03-01T00:00:00Z"), 2, at("2026-03-01T00:00:00Z"))),
            ["2028-02-29T20:00Z", "2032-02-29T20:00Z"]
        );
    }

    #[test]
    fn the_same_clock_weeks_before_is_another_instant_where_summer_time_has_come() {
        let paris = in_paris(vec![]);
        assert_eq!(
            paris.weeks_before(at("2026-03-29T19:00:00Z"), 1),
            Some(at("2026-03-22T20:00:00Z"))
        );
    }
}
