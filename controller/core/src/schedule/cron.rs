//! Cron expressions of five fields, with the semantics of a Kubernetes `CronJob`.
//!
//! The rules are the rules of the parser that Kubernetes uses
//! (<https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format>). Names of months and
//! weekdays may have any case. `?` equals `*`, and `5/15` equals `5-59/15`. Sunday is 0 and never
//! 7. If both day fields are restricted, a day must match either field. A field that begins with
//! `*` is unrestricted, unless the field has a step.

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time, Weekday};

use super::error::{ScheduleError, shown};

/// Recurring start in local time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minute: i8,
    /// Bit mask of the hours.
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// True if a day must match either day field, false if a day must match both day fields.
    either_day: bool,
}

/// Definition of a field: name, range of numbers, and names of the numbers from the lowest number
/// on.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day-of-month", least: 1, most: 31, names: &[] },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
    },
    Field {
        name: "day-of-week",
        least: 0,
        most: 6,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    },
];

/// Numbers of a field as a bit mask; `any` is true if the field is unrestricted.
struct Numbers {
    bits: u64,
    any: bool,
}

impl Field {
    fn error(&self, text: &str, why: &str) -> ScheduleError {
        let text = shown(text, 40);
        ScheduleError::Cron(format!("\"{text}\" in the {} field: {why}", self.name))
    }

    fn number(&self, text: &str) -> Result<u8, ScheduleError> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(n) => u8::try_from(n).ok().map(|n| n + self.least),
            None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            None => None,
        };
        let range = || match self.names {
            [] => format!("write a number from {} to {}", self.least, self.most),
            [first, .., last] => format!(
                "write a number from {} to {} or a name from {first} to {last}",
                self.least, self.most
            ),
            [only] => format!("write {only}"),
        };
        number
            .filter(|n| (self.least..=self.most).contains(n))
            .ok_or_else(|| self.error(text, &range()))
    }

    fn read(&self, text: &str) -> Result<Numbers, ScheduleError> {
        let mut all = Numbers { bits: 0, any: false };
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                None => (part, None),
                Some((range, step)) => {
                    let digits = !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit());
                    let step = step.parse::<u8>().ok().filter(|n| digits && *n > 0);
                    let why = "write a step of at least 1 after the slash";
                    (range, Some(step.ok_or_else(|| self.error(part, why))?))
                }
            };
            let star = range == "*" || range == "?";
            let (from, to) = match range.split_once('-') {
                _ if star => (self.least, self.most),
                Some((from, to)) => (self.number(from)?, self.number(to)?),
                None if step.is_some() => (self.number(range)?, self.most),
                None => (self.number(range)?, self.number(range)?),
            };
            if from > to {
                return Err(self.error(part, "the range ends before it begins; write two ranges"));
            }
            let step = step.unwrap_or(1);
            for n in (from..=to).step_by(usize::from(step)) {
                all.bits |= 1 << n;
            }
            all.any |= star && step == 1;
        }
        Ok(all)
    }
}

impl Cron {
    /// Reads a cron expression of five fields.
    ///
    /// # Errors
    ///
    /// Returns [`ScheduleError::Cron`] if a field is malformed. Other causes are an expression that
    /// never matches, and several starts an hour.
    pub fn read(text: &str) -> Result<Self, ScheduleError> {
        let refuse = |why: String| Err(ScheduleError::Cron(why));
        if text.contains('=') {
            return refuse("write the zone in timeZone, not in front of the fields".to_owned());
        }
        if text.trim_start().starts_with('@') {
            return refuse("write five fields, such as 50 20 * * SUN, not a word".to_owned());
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return refuse(format!(
                "{} fields; write five: minute, hour, day of month, month, day of week",
                fields.len()
            ));
        };
        let [minutes, hours, days, months, weekdays] = &FIELDS;
        let minutes = minutes.read(minute)?;
        if minutes.bits.count_ones() > 1 {
            return refuse(format!(
                "\"{minute}\" begins more than once an hour; write one minute, such as 50 20 * * SUN"
            ));
        }
        let (days, weekdays) = (days.read(day)?, weekdays.read(weekday)?);
        let cron = Self {
            minute: i8::try_from(minutes.bits.trailing_zeros()).unwrap_or(0),
            hours: hours.read(hour)?.bits,
            days: days.bits,
            months: months.read(month)?.bits,
            weekdays: weekdays.bits,
            either_day: !days.any && !weekdays.any,
        };
        if !cron.ever_begins() {
            return refuse(format!("never begins: no month of \"{month}\" has a day of \"{day}\""));
        }
        Ok(cron)
    }

    /// True if any date matches.
    ///
    /// A weekday occurs in every month, so only the days of the month can exclude all dates.
    fn ever_begins(&self) -> bool {
        let longest = |month: u32| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        self.either_day
            || (1..=12)
                .filter(|month| self.months & (1 << month) != 0)
                .any(|month| u64::from(self.days.trailing_zeros()) <= longest(month))
    }

    fn is_on(&self, date: Date) -> bool {
        let bit = |bits: u64, n: i8| u32::try_from(n).is_ok_and(|n| bits & (1 << n) != 0);
        let weekday = |day: Weekday| day.to_sunday_zero_offset();
        let (day, weekday) =
            (bit(self.days, date.day()), bit(self.weekdays, weekday(date.weekday())));
        bit(self.months, date.month())
            && if self.either_day { day || weekday } else { day && weekday }
    }

    /// Returns the matching local times from `from` to before `until`, in order.
    pub fn between(&self, from: Date, until: Date) -> impl Iterator<Item = DateTime> + '_ {
        let next = |date: &Date| {
            let this_month = self.months & (1 << date.month()) != 0;
            let next = if this_month { date.tomorrow() } else { date.last_of_month().tomorrow() };
            next.ok()
        };
        let dates = std::iter::successors(Some(from), next).take_while(move |date| *date < until);
        dates.filter(|date| self.is_on(*date)).flat_map(move |date| {
            let hours = (0_i8..24).filter(|hour| self.hours & (1 << *hour) != 0);
            let times = hours.filter_map(|hour| Time::new(hour, self.minute, 0, 0).ok());
            times.map(move |time| date.to_datetime(time))
        })
    }

    /// Returns the shortest time between two starts, in hours of local time.
    ///
    /// If the result is at least `enough`, the exact time may be longer.
    #[must_use]
    pub fn least_hours_apart(&self, enough: u32) -> u32 {
        let hours: Vec<u32> = (0..24).filter(|hour| self.hours & (1 << hour) != 0).collect();
        let steps = hours.windows(2).filter_map(|w| Some(w.get(1)? - w.first()?));
        let (Some(first), Some(last)) = (hours.first(), hours.last()) else { return u32::MAX };
        let night = 24 + first - last;
        let within = steps.min().unwrap_or(u32::MAX);
        if within <= night || night >= enough {
            return within.min(night);
        }
        // The weekdays of the calendar repeat after 28 years.
        let (Ok(from), Ok(until)) = (Date::new(2000, 1, 1), Date::new(2028, 2, 1)) else {
            return within;
        };
        let days = from.series(1.day()).take_while(|date| *date < until);
        let (mut nights, mut since) = (u32::MAX, None::<u32>);
        for date in days {
            let passed = since.map(|days| days + 1);
            if self.is_on(date) {
                nights = passed.map_or(nights, |days| nights.min(days));
                since = Some(0);
                if nights == 1 {
                    break;
                }
            } else {
                since = passed;
            }
        }
        within.min(nights.saturating_sub(1).saturating_mul(24).saturating_add(night))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Cron, String> {
        Cron::read(text).map_err(|e| e.to_string())
    }

    fn begins(text: &str, from: &str, count: usize) -> Vec<String> {
        let cron = read(text).unwrap();
        let from: Date = from.parse().unwrap();
        let all = cron.between(from, from + 20.years());
        all.take(count).map(|clock| clock.strftime("%a %Y-%m-%d %H:%M").to_string()).collect()
    }

    #[test]
    fn a_show_on_sundays() {
        assert_eq!(
            begins("50 20 * * SUN", "2026-03-22", 2),
            ["Sun 2026-03-22 20:50", "Sun 2026-03-29 20:50"]
        );
    }

    #[test]
    fn names_ranges_lists_and_steps_mean_what_they_mean_in_a_cronjob() {
        assert_eq!(read("0 20 * jan-mar Mon,wed").unwrap(), read("0 20 * 1,2,3 1,3").unwrap());
        assert_eq!(read("0 8/6 ? * ?").unwrap(), read("0 8,14,20 * * *").unwrap());
        assert_eq!(read("0 8-20/6 * * *").unwrap(), read("0 8,14,20 * * *").unwrap());
        assert_eq!(read("0 */12 * * *").unwrap(), read("0 0,12 * * *").unwrap());
    }

    #[test]
    fn a_day_has_to_fit_one_of_two_fields_that_say_something_or_the_one_that_does() {
        assert_eq!(
            begins("0 21 13 * FRI", "2026-02-12", 3),
            ["Fri 2026-02-13 21:00", "Fri 2026-02-20 21:00", "Fri 2026-02-27 21:00"]
        );
        assert_eq!(begins("0 21 13 * *", "2026-02-14", 1), ["Fri 2026-03-13 21:00"]);
        // A star with a step is a restriction. The expression matches every second day and every
        // Monday.
        assert_eq!(
            begins("0 21 */2 * MON", "2026-02-01", 3),
            ["Sun 2026-02-01 21:00", "Mon 2026-02-02 21:00", "Tue 2026-02-03 21:00"]
        );
    }

    #[test]
    fn a_leap_day_is_waited_for() {
        assert_eq!(
            begins("0 21 29 2 *", "2026-01-01", 2),
            ["Tue 2028-02-29 21:00", "Sun 2032-02-29 21:00"]
        );
    }

    #[test]
    fn what_is_no_crontab_of_five_fields_is_refused_with_what_to_write() {
        for (text, said) in [
            ("", "0 fields; write five"),
            ("0 50 20 * * SUN", "6 fields; write five"),
            ("TZ=Europe/Paris 50 20 * * SUN", "write the zone in timeZone"),
            ("CRON_TZ=UTC 0 0 * * *", "write the zone in timeZone"),
            ("@weekly", "write five fields"),
            ("60 20 * * *", "\"60\" in the minute field: write a number from 0 to 59"),
            ("0 24 * * *", "\"24\" in the hour field: write a number from 0 to 23"),
            ("0 20 0 * *", "\"0\" in the day-of-month field: write a number from 1 to 31"),
            ("0 20 * 13 *", "a number from 1 to 12 or a name from JAN to DEC"),
            ("0 20 * * 7", "\"7\" in the day-of-week field: write a number from 0 to 6 or a name"),
            ("0 20 * * FRI-MON", "ends before it begins"),
            ("0 20 L * *", "\"L\" in the day-of-month field"),
            ("0 20 * * SUN#2", "\"SUN#2\" in the day-of-week field"),
            ("0 */0 * * *", "write a step of at least 1"),
            ("0 */+2 * * *", "write a step of at least 1"),
            ("0 20 31 2 *", "never begins"),
            ("0 20 31 4,6,9,11 *", "never begins"),
            ("*/30 20 * * *", "begins more than once an hour"),
            ("* * * * *", "begins more than once an hour"),
            ("0 ,20 * * *", "in the hour field"),
            ("0 -20 * * *", "in the hour field"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
            assert!(why.starts_with("cron: "), "{why}");
        }
    }

    #[test]
    fn a_time_that_is_long_enough_is_not_looked_for() {
        assert_eq!(read("0 21 * * SUN").unwrap().least_hours_apart(2), 24);
    }

    #[test]
    fn the_shortest_time_between_two_beginnings_is_known() {
        for (text, hours) in [
            ("0 21 * * *", 24),
            ("0 20,22 * * *", 2),
            ("0 1,23 * * *", 2),
            ("0 1,23 * * SUN", 22),
            ("0 21 * * SUN", 168),
            ("0 21 * * SAT,SUN", 24),
            ("0 21 1 * *", 28 * 24),
            ("0 21 1 1 *", 365 * 24),
            ("0 21 29 2 *", 1461 * 24),
        ] {
            assert_eq!(read(text).unwrap().least_hours_apart(u32::MAX), hours, "{text}");
        }
    }
}
