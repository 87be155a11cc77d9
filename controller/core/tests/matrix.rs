//! Test of `docs/schedules.md`, the published behaviour of schedules.
//!
//! The page has every case that other schedulers get wrong, and every clock change of a zone
//! between 2024 and 2035. The test computes the page and compares the result with the committed
//! file. `PRIMETIME_GENERATE=1` writes the file.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::TimeDelta;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use primetime_core::Instant;
use primetime_core::schedule::{
    Cron, Occurrence, Rule, Schedule, When, Zone, in_zone, tzdb_version,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const UNTIL: &str = "2036-01-01T00:00:00Z";

fn daily(zone: &str, cron: &str, minutes: i64) -> Schedule {
    let when = When::Cron(Cron::read(cron).unwrap());
    let rule =
        Rule { name: None, when, duration: TimeDelta::minutes(minutes), event: None, note: None };
    Schedule { zone: Some(Zone::named(zone).unwrap()), rules: vec![rule], exclude: vec![] }
}

/// Counts how often the wall clock of a zone shows `clock` within four hours of `clock`.
///
/// A cron that compares the wall clock every minute would start with that frequency.
fn shown(zone: &TimeZone, clock: DateTime) -> usize {
    let middle = zone.to_timestamp(clock).unwrap();
    let minutes = (-4 * 60..4 * 60).map(|n| middle + jiff::SignedDuration::from_mins(n));
    minutes.filter(|at| zone.to_datetime(*at) == clock).count()
}

/// A row of the table: a schedule and the span of time that the row reports.
struct Told {
    case: &'static str,
    zone: &'static str,
    cron: &'static str,
    minutes: i64,
    from: &'static str,
    days: i64,
}

const CASES: [Told; 14] = [
    Told {
        case: "across midnight: the day is that of the start",
        zone: "Europe/Paris",
        cron: "30 23 * * SAT",
        minutes: 120,
        from: "2026-11-20T00:00:00Z",
        days: 4,
    },
    Told {
        case: "weekdays, each over on its own day",
        zone: "Europe/Paris",
        cron: "30 6 * * MON-FRI",
        minutes: 940,
        from: "2026-11-19T12:00:00Z",
        days: 4,
    },
    Told {
        case: "the start is skipped, Paris",
        zone: "Europe/Paris",
        cron: "30 2 * * *",
        minutes: 90,
        from: "2026-03-28T12:00:00Z",
        days: 2,
    },
    Told {
        case: "the end is skipped, Paris",
        zone: "Europe/Paris",
        cron: "0 1 * * *",
        minutes: 90,
        from: "2026-03-28T12:00:00Z",
        days: 2,
    },
    Told {
        case: "the start is skipped, New York",
        zone: "America/New_York",
        cron: "30 2 * * *",
        minutes: 60,
        from: "2026-03-07T12:00:00Z",
        days: 2,
    },
    Told {
        case: "midnight is skipped, Cairo",
        zone: "Africa/Cairo",
        cron: "0 0 * * *",
        minutes: 120,
        from: "2026-04-23T12:00:00Z",
        days: 2,
    },
    Told {
        case: "half an hour is skipped, Lord Howe",
        zone: "Australia/Lord_Howe",
        cron: "15 2 * * *",
        minutes: 60,
        from: "2026-10-03T00:00:00Z",
        days: 2,
    },
    Told {
        case: "all of it is repeated, Paris",
        zone: "Europe/Paris",
        cron: "15 2 * * *",
        minutes: 30,
        from: "2026-10-24T12:00:00Z",
        days: 2,
    },
    Told {
        case: "the start is repeated, Paris",
        zone: "Europe/Paris",
        cron: "30 2 * * *",
        minutes: 120,
        from: "2026-10-24T12:00:00Z",
        days: 2,
    },
    Told {
        case: "the start is repeated, New York",
        zone: "America/New_York",
        cron: "30 1 * * *",
        minutes: 60,
        from: "2026-10-31T12:00:00Z",
        days: 2,
    },
    Told {
        case: "midnight is repeated, Cairo",
        zone: "Africa/Cairo",
        cron: "30 23 * * *",
        minutes: 60,
        from: "2026-10-29T00:00:00Z",
        days: 2,
    },
    Told {
        case: "half an hour is repeated, Lord Howe",
        zone: "Australia/Lord_Howe",
        cron: "45 1 * * *",
        minutes: 60,
        from: "2026-04-04T00:00:00Z",
        days: 2,
    },
    Told {
        case: "a leap day, and no other year",
        zone: "Europe/Paris",
        cron: "0 21 29 2 *",
        minutes: 120,
        from: "2026-01-01T00:00:00Z",
        days: 1500,
    },
    Told {
        case: "a day of the month or a day of the week",
        zone: "Europe/Paris",
        cron: "0 21 13 * FRI",
        minutes: 120,
        from: "2026-02-10T00:00:00Z",
        days: 12,
    },
];

fn cases(out: &mut String) {
    out.push_str(
        "| case | zone | cron, minutes | starts | a cron that looks at the clock every minute |\n|---|---|---|---|---|\n",
    );
    for told in CASES {
        let schedule = daily(told.zone, told.cron, told.minutes);
        let from: Instant = told.from.parse().unwrap();
        let all = schedule.between(from, from + TimeDelta::days(told.days));
        let starts: Vec<_> = all.iter().map(|o| start(o, told.zone)).collect();
        let zone = TimeZoneDatabase::bundled().get(told.zone).unwrap();
        let cron = Cron::read(told.cron).unwrap();
        let (first, days) = (zone.to_datetime(told.from.parse().unwrap()).date(), told.days);
        let clocks = cron.between(first, first + days.days());
        let odd: Vec<_> = clocks
            .filter_map(|clock| match shown(&zone, clock) {
                0 => Some(format!("not at all on {}", clock.date())),
                1 => None,
                n => Some(format!("{n} times on {}", clock.date())),
            })
            .collect();
        let odd = if odd.is_empty() { "the same".to_owned() } else { odd.join(", ") };
        let _ = writeln!(
            out,
            "| {} | {} | `{}`, {} | {} | {odd} |",
            told.case,
            told.zone,
            told.cron,
            told.minutes,
            starts.join("<br>")
        );
    }
}

fn start(occurrence: &Occurrence, zone: &str) -> String {
    let utc = occurrence.start.format("%Y-%m-%dT%H:%MZ");
    let note = if occurrence.note.is_some() { ", said in the run" } else { "" };
    format!("{} ({utc}{note})", in_zone(occurrence.start, Some(zone)))
}

/// Returns the table row of a clock change in a zone, or `None` if the offset stays the same.
///
/// The row shows the result of a start in the middle of the skipped or repeated period.
fn change(name: &str, zone: &TimeZone, at: Timestamp) -> Option<String> {
    let before = zone.to_offset(at - 1.second());
    let after = zone.to_offset(at);
    let (from, to) = (before.to_datetime(at), after.to_datetime(at));
    if from == to {
        return None;
    }
    let (least, most) = if from < to { (from, to) } else { (to, from) };
    let middle = least + (least.duration_until(most) / 2);
    // A cron expression has minutes but no seconds.
    let middle = middle - i64::from(middle.second()).seconds();
    let cron =
        format!("{} {} {} {} *", middle.minute(), middle.hour(), middle.day(), middle.month());
    let around = |days: i64| {
        let seconds = (at.as_second() + days * 86_400).to_string();
        Instant::from_timestamp(seconds.parse().unwrap(), 0).unwrap()
    };
    let all = daily(name, &cron, 30).between(around(-3), around(3));
    assert_eq!(all.len(), 1, "{name} {middle}: happens once");
    let one = all.first()?;
    let naive = match shown(zone, middle) {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        n => format!("{n} times"),
    };
    let what = if from < to { "skip" } else { "repeat" };
    assert!(one.note.is_some(), "{name} {middle}: the run says so");
    Some(format!(
        "| {} | {what} {} to {} | {} | {} | {naive} |",
        from.date(),
        least.strftime("%H:%M"),
        most.strftime("%H:%M"),
        middle.strftime("%H:%M"),
        one.start.format("%Y-%m-%dT%H:%MZ"),
    ))
}

fn changes(out: &mut String) {
    let mut zones: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    let (mut still, mut all) = (0, 0);
    for name in TimeZoneDatabase::bundled().available() {
        let name = name.to_string();
        // The operator rejects such a zone in `spec.schedule.timeZone`.
        if Zone::named(&name).is_err() {
            continue;
        }
        let zone = TimeZoneDatabase::bundled().get(&name).unwrap();
        let (from, until): (Timestamp, Timestamp) = (FROM.parse().unwrap(), UNTIL.parse().unwrap());
        let nights = zone.following(from).map(|t| t.timestamp()).take_while(|at| *at < until);
        let nights: Vec<_> = nights.filter_map(|at| change(&name, &zone, at)).collect();
        if nights.is_empty() {
            still += 1;
        } else {
            all += nights.len();
            zones.entry(nights).or_default().push(name);
        }
    }
    let _ = writeln!(
        out,
        "{still} zones never change their clocks in these years. {} do, on {all} nights together; those that do it alike share a table.\n",
        zones.values().map(Vec::len).sum::<usize>(),
    );
    for (nights, names) in zones {
        let _ = writeln!(out, "### {}\n", names.join(", "));
        out.push_str("| night | clocks | a start at | begins | looked at every minute |\n|---|---|---|---|---|\n");
        let _ = writeln!(out, "{}\n", nights.join("\n"));
    }
}

fn page() -> String {
    let mut out = format!(
        "# Schedules, case by case\n\n\
         Generated by `controller/core/tests/matrix.rs` from the rules that the operator uses, with time zone data {}; a test compares.\n\n\
         The rule for everything that recurs is that of RFC 5545 (3.3.5): a local time that summer time skips is read with the offset \
         before the gap, so that 02:30 becomes 03:30; of one that exists twice the first is meant. It happens exactly once, and its run \
         says so in `spec.startNote`. A one-off `startTime` of that kind is refused with both candidates, unless it has an offset. \
         Durations are elapsed time.\n\n\
         ## What others get wrong\n\n",
        tzdb_version(),
    );
    cases(&mut out);
    out.push_str("\n## Every night on which clocks change, 2024 to 2035\n\n");
    changes(&mut out);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[test]
fn the_published_matrix_is_what_the_rules_say() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schedules.md");
    let page = page();
    if std::env::var_os("PRIMETIME_GENERATE").is_some() {
        std::fs::write(file, &page).unwrap();
    }
    let published = std::fs::read_to_string(file).unwrap_or_default();
    let differs = page.lines().zip(published.lines()).find(|(new, old)| new != old);
    assert!(page == published, "docs/schedules.md is old; run `make generate`: {differs:?}");
}
