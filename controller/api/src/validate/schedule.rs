//! Validation of `spec.schedule`, and conversion into the schedule of `primetime_core`.

use chrono::{Datelike, TimeDelta};
use primetime_core::Instant;
use primetime_core::schedule::{Cron, Days, OneOff, Rule, Schedule, ScheduleError, When, Zone};

use primetime_core::state::surge::{Follows, SurgeSpec};

use crate::schedule as written;

/// Longest time by which the last start of a new schedule may lie in the past: 5 minutes. An
/// earlier start counts as a mistake, not as a late announcement.
pub const LATEST_ANNOUNCEMENT: TimeDelta = TimeDelta::minutes(5);

/// Last year that `startTime` may have.
const LAST_YEAR: i32 = 9899;

/// A start as written in `spec.schedule` or `spec.schedule.windows[]`, with the path of the field.
struct Beginning<'a> {
    path: String,
    name: Option<&'a str>,
    start_time: Option<&'a str>,
    cron: Option<&'a str>,
    duration_seconds: i32,
}

/// Validates a schedule.
///
/// # Errors
///
/// Returns every reason for refusing the schedule, each with the path of its field.
pub fn schedule(schedule: &written::Schedule) -> Result<Schedule, Vec<String>> {
    let mut errors = Vec::new();
    let named = schedule.time_zone.as_deref().map(Zone::named).transpose();
    let zone = named.unwrap_or_else(|why| {
        errors.push(format!("spec.schedule.{why}"));
        None
    });
    if let Some(calendar) = &schedule.calendar_ref {
        let named = super::reference::name("spec.schedule.calendarRef", &calendar.name);
        errors.extend(named.err());
    }
    let mut rules = Vec::new();
    for beginning in beginnings(schedule, &mut errors) {
        match rule(&beginning, schedule.time_zone.as_deref()) {
            Ok(rule) => rules.push(rule),
            // The error of `spec.schedule.timeZone` is already in `errors`.
            Err(why) if why.contains("timeZone") && zone.is_none() && !errors.is_empty() => {}
            Err(why) => errors.push(why),
        }
    }
    let exclude = schedule.exclude.iter().enumerate().filter_map(|(i, days)| {
        let days = Days::read(&days.date, days.last_date.as_deref());
        days.map_err(|why| errors.push(format!("spec.schedule.exclude[{i}].{why}"))).ok()
    });
    let exclude: Vec<Days> = exclude.collect();
    if !exclude.is_empty() && schedule.time_zone.is_none() {
        errors.push(ZONE_OF_DAYS.to_owned());
    }
    if errors.is_empty() { Ok(Schedule { zone, rules, exclude }) } else { Err(errors) }
}

const ZONE_OF_DAYS: &str = "spec.schedule.timeZone: required with cron and exclude; write the zone of the event, such as Europe/Paris";

fn beginnings<'a>(schedule: &'a written::Schedule, errors: &mut Vec<String>) -> Vec<Beginning<'a>> {
    let follows = schedule.calendar_ref.is_some();
    let forms = [
        schedule.start_time.is_some(),
        schedule.cron.is_some(),
        !schedule.windows.is_empty(),
        follows,
    ];
    if forms.into_iter().filter(|there| *there).count() != 1 {
        errors.push(
            "spec.schedule: exactly one of startTime, cron, windows and calendarRef".to_owned(),
        );
        return Vec::new();
    }
    if follows {
        return Vec::new();
    }
    if schedule.windows.is_empty() != schedule.duration_seconds.is_some() {
        errors.push("spec.schedule.durationSeconds: required with startTime or cron; windows have their own".to_owned());
        return Vec::new();
    }
    if schedule.windows.is_empty() {
        return vec![Beginning {
            path: "spec.schedule".to_owned(),
            name: None,
            start_time: schedule.start_time.as_deref(),
            cron: schedule.cron.as_deref(),
            duration_seconds: schedule.duration_seconds.unwrap_or_default(),
        }];
    }
    let windows = schedule.windows.iter().enumerate();
    windows
        .map(|(i, window)| Beginning {
            path: format!("spec.schedule.windows[{i}]"),
            name: Some(&window.name),
            start_time: window.start_time.as_deref(),
            cron: window.cron.as_deref(),
            duration_seconds: window.duration_seconds,
        })
        .collect()
}

fn rule(beginning: &Beginning<'_>, zone: Option<&str>) -> Result<Rule, String> {
    let Beginning { path, duration_seconds, .. } = beginning;
    if *duration_seconds < 1 {
        return Err(format!("{path}.durationSeconds: the end must be after the start"));
    }
    let duration = TimeDelta::seconds(i64::from(*duration_seconds));
    let at = |why: ScheduleError| match why {
        ScheduleError::UnknownZone { .. } | ScheduleError::ZoneMissing(_) => {
            format!("spec.schedule.{why}")
        }
        why => format!("{path}.{why}"),
    };
    let when = match (beginning.start_time, beginning.cron) {
        (Some(start_time), None) => {
            let (start_time, time_zone) = (start_time.to_owned(), zone.map(str::to_owned));
            let start = OneOff { start_time, time_zone }.start().map_err(at)?;
            // The API server writes years with four digits.
            if start.year() > LAST_YEAR {
                return Err(format!("{path}.startTime: the year must not be after {LAST_YEAR}"));
            }
            When::Once(start)
        }
        (None, Some(cron)) => {
            let cron = Cron::read(cron).map_err(at)?;
            if zone.is_none() {
                return Err(ZONE_OF_DAYS.to_owned());
            }
            let enough = u32::try_from(duration.num_hours() + 1).unwrap_or(u32::MAX);
            let apart = TimeDelta::hours(i64::from(cron.least_hours_apart(enough)));
            if apart < duration {
                return Err(format!(
                    "{path}.cron: occurrences overlap: one lasts {duration_seconds} s and the next begins {} s after it began",
                    apart.num_seconds()
                ));
            }
            When::Cron(cron)
        }
        _ => return Err(format!("{path}: exactly one of startTime and cron")),
    };
    Ok(Rule { name: beginning.name.map(str::to_owned), when, duration, event: None, note: None })
}

/// Refuses a schedule whose last start lies more than [`LATEST_ANNOUNCEMENT`] before `now`.
///
/// A schedule with a `cron` always passes.
///
/// # Errors
///
/// Returns the path of the field and a sentence with the last start and the current time.
pub fn not_in_the_past(schedule: &Schedule, now: Instant) -> Result<(), String> {
    let Some(last) = schedule.last_once().filter(|_| !schedule.recurs()) else { return Ok(()) };
    if now - last.start <= LATEST_ANNOUNCEMENT {
        return Ok(());
    }
    let field = if last.name.is_some() { "windows" } else { "startTime" };
    Err(format!(
        "spec.schedule.{field}: {} is in the past (it is {} now); announce events before they start",
        last.start.format("%Y-%m-%dT%H:%M:%SZ"),
        now.format("%Y-%m-%dT%H:%M:%SZ")
    ))
}

/// Longest time from now to the start of a one-off event, in days. A start years ahead is a typing
/// error, and would hold a budget until then.
pub const FURTHEST_DAYS: i64 = 400;

/// Refuses a schedule with a one-off start more than [`FURTHEST_DAYS`] after `now`.
///
/// # Errors
///
/// Returns the path of the field and a sentence with the start and the limit.
pub fn not_too_far(schedule: &Schedule, now: Instant) -> Result<(), String> {
    let Some(last) = schedule.last_once() else { return Ok(()) };
    if last.start - now <= TimeDelta::days(FURTHEST_DAYS) {
        return Ok(());
    }
    let field = if last.name.is_some() { "windows" } else { "startTime" };
    Err(format!(
        "spec.schedule.{field}: {} is {} days ahead; announce events at most {FURTHEST_DAYS} days ahead",
        last.start.format("%Y-%m-%dT%H:%M:%SZ"),
        (last.start - now).num_days(),
    ))
}

/// Returns what the author of a valid surge should know before the event.
#[must_use]
pub fn warnings(spec: &SurgeSpec, now: Instant) -> Vec<String> {
    short_of_time(spec, now).into_iter().chain(inverted_zone(&spec.schedule)).collect()
}

/// Returns a warning if `timeZone` is an `Etc/GMT` zone with an offset: the sign is inverted there,
/// after POSIX (<https://data.iana.org/time-zones/tzdb/etcetera>).
fn inverted_zone(schedule: &Schedule) -> Option<String> {
    let name = schedule.zone_name()?;
    let offset = name.strip_prefix("Etc/GMT")?;
    let (sign, hours) = offset.split_at_checked(1)?;
    let side = match sign {
        "+" => "behind",
        "-" => "ahead of",
        _ => return None,
    };
    (hours != "0").then(|| {
        format!(
            "spec.schedule.timeZone: {name} is {hours} h {side} UTC, the sign is inverted; write the \
             zone of a place, such as Europe/Paris, to be sure"
        )
    })
}

/// Returns a warning if the slowest target needs more time than remains until T0 of the next event.
///
/// The API server accepts such a surge all the same, and the run becomes ready late.
fn short_of_time(spec: &SurgeSpec, now: Instant) -> Option<String> {
    let start = spec.schedule.upcoming(now, 1, now).first().map(|o| o.start)?;
    let has = (start - spec.ready_before - now).num_seconds();
    let slowest = spec.announcement.targets.iter().max_by_key(|target| target.lead)?;
    let needs = slowest.lead.num_seconds();
    (has < needs).then(|| {
        let t0 = (start - spec.ready_before).format("%Y-%m-%dT%H:%M:%SZ");
        let when = if has < 0 { format!("was {} s ago", -has) } else { format!("is in {has} s") };
        let name = &slowest.name;
        format!("ready late: target {name} needs {needs} s until its pods are ready, and T0 ({t0}) {when}")
    })
}

/// Default duration of a calendar event: 1 hour. The default applies if neither the calendar nor
/// `spec.schedule.durationSeconds` gives a duration.
const UNLESS_SAID: TimeDelta = TimeDelta::hours(1);

/// Returns the calendar in `spec.schedule.calendarRef`, with the default duration of its events.
pub(crate) fn follows(schedule: &written::Schedule) -> Option<Follows> {
    let seconds = |n: i32| TimeDelta::seconds(i64::from(n.max(1)));
    schedule.calendar_ref.as_ref().map(|calendar| Follows {
        calendar: calendar.name.clone(),
        duration: schedule.duration_seconds.map_or(UNLESS_SAID, seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_zone_with_an_inverted_sign_is_warned_of() {
        let at = |zone: &str| {
            let written = json!({"startTime": "2026-11-22T20:00:00", "timeZone": zone, "durationSeconds": 60});
            inverted_zone(&read(written).unwrap())
        };
        assert!(at("Etc/GMT+1").unwrap().contains("1 h behind UTC"));
        assert!(at("Etc/GMT-14").unwrap().contains("14 h ahead of UTC"));
        for fine in ["Europe/Paris", "Etc/UTC", "Etc/GMT", "Etc/GMT+0", "Etc/GMT0"] {
            assert_eq!(at(fine), None, "{fine}");
        }
    }

    fn read(written: Value) -> Result<Schedule, String> {
        let written = serde_json::from_value(written).unwrap();
        schedule(&written).map_err(|errors| errors.join("\n"))
    }

    #[test]
    fn an_evening_and_the_morning_after_it() {
        let two = json!({"timeZone": "Europe/Paris", "windows": [
            {"name": "evening", "cron": "50 20 * * SUN", "durationSeconds": 7200},
            {"name": "morning", "startTime": "2026-11-23T08:00:00", "durationSeconds": 3600},
        ], "exclude": [{"date": "2026-12-24", "lastDate": "2026-12-26"}, {"date": "2027-01-01"}]});
        let two = read(two).unwrap();
        assert_eq!((two.rules.len(), two.exclude.len()), (2, 2));
    }

    #[test]
    fn each_mistake_is_named_with_its_field() {
        let cron = |cron: &str, seconds: i32| json!({"cron": cron, "timeZone": "Europe/Paris", "durationSeconds": seconds});
        for (schedule, said) in [
            (json!({}), "spec.schedule: exactly one of startTime, cron, windows and calendarRef"),
            (
                json!({"cron": "0 21 * * *", "startTime": "2026-01-12T21:00:00Z", "durationSeconds": 1}),
                "spec.schedule: exactly one of startTime, cron, windows and calendarRef",
            ),
            (
                json!({"cron": "0 21 * * *", "timeZone": "UTC"}),
                "spec.schedule.durationSeconds: required",
            ),
            (
                json!({"cron": "0 21 * * *", "durationSeconds": 60}),
                "spec.schedule.timeZone: required with cron and exclude",
            ),
            (cron("0 21 * * 8", 60), "spec.schedule.cron: \"8\" in the day-of-week field"),
            (
                cron("0 20,22 * * *", 7201),
                "spec.schedule.cron: occurrences overlap: one lasts 7201 s and the next begins 7200 s after it began",
            ),
            (cron("0 21 * * *", 86_401), "spec.schedule.cron: occurrences overlap"),
            (
                json!({"cron": "0 21 * * *", "timeZone": "Europe/Pariss", "durationSeconds": 60}),
                "spec.schedule.timeZone: \"Europe/Pariss\" is not an IANA time zone",
            ),
            (
                json!({"timeZone": "Europe/Paris", "windows": [
                    {"name": "a", "startTime": "2026-03-29T02:30:00", "durationSeconds": 60}]}),
                "spec.schedule.windows[0].startTime: 2026-03-29T02:30:00 does not exist",
            ),
            (
                json!({"timeZone": "Europe/Paris", "windows": [{"name": "a", "durationSeconds": 60}]}),
                "spec.schedule.windows[0]: exactly one of startTime and cron",
            ),
            (
                json!({"cron": "0 21 * * *", "timeZone": "UTC", "durationSeconds": 60,
                    "exclude": [{"date": "2026-02-30"}]}),
                "spec.schedule.exclude[0].date: \"2026-02-30\" is not a date",
            ),
            (
                json!({"cron": "0 21 * * *", "timeZone": "UTC", "durationSeconds": 60,
                    "exclude": [{"date": "2026-12-26", "lastDate": "2026-12-24"}]}),
                "spec.schedule.exclude[0].lastDate: must not be before date",
            ),
        ] {
            let why = read(schedule.clone()).unwrap_err();
            assert!(why.starts_with(said), "{schedule}: {why}");
            assert_eq!(why.lines().count(), 1, "{why}");
        }
    }

    #[test]
    fn a_schedule_is_in_the_past_when_all_of_it_is() {
        let past = |schedule| {
            not_in_the_past(&read(schedule).unwrap(), "2026-11-22T00:00:00Z".parse().unwrap())
        };
        let once = |at: &str| json!({"startTime": at, "durationSeconds": 60});
        assert!(past(once("2026-11-21T23:56:00Z")).is_ok());
        assert!(past(once("2026-11-21T23:54:00Z")).unwrap_err().contains("is in the past"));
        let window =
            |name: &str, at: &str| json!({"name": name, "startTime": at, "durationSeconds": 60});
        let (gone, to_come) =
            (window("evening", "2026-11-21T20:00:00Z"), window("morning", "2026-11-22T08:00:00Z"));
        assert!(past(json!({"windows": [gone, to_come]})).is_ok());
        let why = past(json!({"windows": [gone]})).unwrap_err();
        assert!(
            why.starts_with("spec.schedule.windows: 2026-11-21T20:00:00Z is in the past"),
            "{why}"
        );
    }
    #[test]
    fn a_start_beyond_four_hundred_days_is_refused() {
        let far = |at: &str| {
            let written = json!({"startTime": at, "durationSeconds": 60});
            not_too_far(&read(written).unwrap(), "2026-11-22T00:00:00Z".parse().unwrap())
        };
        assert!(far("2027-12-27T00:00:00Z").is_ok());
        let why = far("2027-12-27T00:00:01Z").unwrap_err();
        assert!(
            why.starts_with("spec.schedule.startTime: 2027-12-27T00:00:01Z is 400 days"),
            "{why}"
        );
        let cron = json!({"cron": "0 21 * * *", "timeZone": "UTC", "durationSeconds": 60});
        assert!(not_too_far(&read(cron).unwrap(), chrono::DateTime::UNIX_EPOCH).is_ok());
    }

    #[test]
    fn second_60_is_refused() {
        for at in ["2026-11-22T20:00:60Z", "2026-11-22T20:00:60+01:00", "2026-11-22T23:59:60"] {
            let written =
                json!({"startTime": at, "timeZone": "Europe/Paris", "durationSeconds": 60});
            assert!(read(written).unwrap_err().contains("seconds go from 00 to 59"), "{at}");
        }
    }
}
