//! Property tests of schedules with arbitrary cron expressions and time zones.

#![expect(clippy::unwrap_used, reason = "tests")]

use chrono::{TimeDelta, TimeZone as _, Utc};
use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use primetime_core::Instant;
use primetime_core::schedule::{Cron, Days, OneOff, Rule, Schedule, When, Zone};
use proptest::prelude::*;

/// Zones with daylight saving time in either half of the year, at midnight, by half an hour, around
/// Ramadan, and without.
const ZONES: [&str; 10] = [
    "Europe/Paris",
    "America/New_York",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Vancouver",
    "Pacific/Apia",
    "America/Havana",
    "Asia/Kathmandu",
    "UTC",
];

fn fields() -> impl Strategy<Value = String> {
    let hours =
        prop_oneof!["[0-9]", "1[0-9]", "2[0-3]", Just("*/6".to_owned()), Just("7-11/2".to_owned())];
    let days = prop_oneof![
        Just("*".to_owned()),
        Just("*/2".to_owned()),
        (1..=28_u8).prop_map(|d| d.to_string()),
        Just("1-7".to_owned()),
        Just("31".to_owned()),
    ];
    let months =
        prop_oneof![Just("*".to_owned()), Just("3,10".to_owned()), Just("MAR-NOV".to_owned())];
    let weekdays = prop_oneof![
        Just("*".to_owned()),
        Just("SUN".to_owned()),
        Just("1-5".to_owned()),
        Just("sat,SUN".to_owned()),
    ];
    (0..60_u8, hours, days, months, weekdays).prop_map(|(minute, hour, day, month, weekday)| {
        format!("{minute} {hour} {day} {month} {weekday}")
    })
}

fn schedule(cron: &str, zone: &str) -> Option<Schedule> {
    let when = When::Cron(Cron::read(cron).ok()?);
    let rule = Rule { name: None, when, duration: TimeDelta::minutes(30), event: None, note: None };
    Some(Schedule { zone: Some(Zone::named(zone).unwrap()), rules: vec![rule], exclude: vec![] })
}

/// Returns random instants between 2010 and 2037.
fn instants() -> impl Strategy<Value = Instant> {
    (1_262_304_000_i64..2_114_380_800).prop_map(|n| Utc.timestamp_opt(n, 0).unwrap())
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in r"[-0-9A-Za-z*/,?#@= ]{0,40}", any in ".{0,40}") {
        for text in [&text, &any] {
            let _ = Cron::read(text);
            let _ = Days::read(text, Some(text));
            let _ = Zone::named(text);
            let _ = OneOff { start_time: text.clone(), time_zone: Some("Europe/Paris".into()) }.start();
        }
    }

    /// Tests that the occurrences are in order, without duplicates, and at the minute of the cron
    /// expression or with a note.
    #[test]
    fn what_begins_is_what_the_clock_shows(
        cron in fields(), zone in prop::sample::select(&ZONES[..]), from in instants(),
    ) {
        let Some(schedule) = schedule(&cron, zone) else { return Ok(()) };
        let rules = TimeZoneDatabase::bundled().get(zone).unwrap();
        let all = schedule.between(from, from + TimeDelta::days(30));
        prop_assert!(all.is_sorted_by(|a, b| a.start < b.start));
        let minute: i8 = cron.split(' ').next().unwrap().parse().unwrap();
        for one in &all {
            let clock = rules.to_datetime(Timestamp::from_second(one.start.timestamp()).unwrap());
            prop_assert!(clock.minute() == minute || one.note.is_some(), "{clock} {:?}", one.note);
            prop_assert!(one.start >= from && one.start < from + TimeDelta::days(30));
        }
    }

    /// Tests that a later query returns the same future occurrences as an earlier query.
    #[test]
    fn whoever_looks_later_sees_the_same(
        cron in fields(), zone in prop::sample::select(&ZONES[..]), from in instants(), hours in 0..400_i64,
    ) {
        let Some(schedule) = schedule(&cron, zone) else { return Ok(()) };
        let until = from + TimeDelta::days(40);
        let later = from + TimeDelta::hours(hours);
        let early: Vec<_> =
            schedule.between(from, until).into_iter().filter(|o| o.start >= later).collect();
        prop_assert_eq!(&early, &schedule.between(later, until));
        let next = schedule.upcoming(later, 2, later);
        let coming = next.iter().filter(|o| o.start > later && o.start < until);
        for (one, other) in coming.zip(early.iter().filter(|o| o.start > later)) {
            prop_assert_eq!(one, other);
        }
    }
}
