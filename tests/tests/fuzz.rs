//! Fuzz tests of what people and networks write: schedules, crontabs, feeds, objects, and answers of
//! Prometheus.
//!
//! The parsers read or refuse any input of a user, in bounded time, and never crash the operator.
//! `make test` runs the corpus in `tests/__fuzz__`. `make fuzz` adds random inputs, and `cargo
//! bolero test` adds inputs guided by coverage.
//!
//! Bytes below 128 are plain text, so a person can read the corpus. The other bytes stand for words
//! of the format, so random inputs get beyond the first character.

use bolero::check;
use chrono::{DateTime, TimeDelta, Utc};
use primetime_api::{Schedule, validate};
use primetime_api::{run_record, surge_record};
use primetime_calendar::{Format, Horizon, Select, entries, limits, read};
use primetime_core::Instant;
use primetime_core::plan::plan;
use primetime_core::schedule::{Cron, OneOff, Rule, When, Zone};
use primetime_core::state::sample::Sample;
use primetime_core::state::world::World;

/// Returns the number of random inputs beside the corpus, from `PRIMETIME_FUZZ`. The default is 0.
fn drawn() -> usize {
    std::env::var("PRIMETIME_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or_default()
}

fn text(input: &[u8], words: &[&str]) -> String {
    let word = |byte: u8| words[usize::from(byte - 128) % words.len()].to_owned();
    input
        .iter()
        .map(|byte| if byte.is_ascii() { char::from(*byte).to_string() } else { word(*byte) })
        .collect()
}

/// True if an error message is a line of fewer than 1,000 bytes without control characters. A
/// terminal would obey control characters.
fn one_line(why: &str) -> bool {
    !why.is_empty() && !why.contains(char::is_control) && why.len() < 1_000
}

fn now() -> DateTime<Utc> {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

#[test]
fn cron() {
    let words = [
        " ",
        "*",
        "*/",
        "0",
        "59",
        "23",
        "1-5",
        ",",
        "SUN",
        "MON-FRI",
        "JAN",
        "29 2",
        "31",
        "L",
        "#",
        "@daily",
        "TZ=",
        "50 20 * * ",
        "0 0 1 ",
        "-",
        "/",
        "7",
        "99999999999",
    ];
    check!().with_iterations(drawn()).for_each(|input| {
        let cron = match Cron::read(&text(input, &words)) {
            Ok(cron) => cron,
            Err(why) => return assert!(one_line(&why.to_string()), "{why}"),
        };
        let rule = Rule {
            name: None,
            when: When::Cron(cron),
            duration: TimeDelta::hours(1),
            event: None,
            note: None,
        };
        let zone = Some(Zone::named("America/Havana").unwrap());
        let schedule =
            primetime_core::schedule::Schedule { zone, rules: vec![rule], exclude: vec![] };
        let next = schedule.upcoming(now(), 3, now());
        assert!(!next.is_empty(), "what is accepted fires");
        assert!(next.is_sorted_by(|a, b| a.start < b.start));
        assert!(next.iter().all(|o| schedule.begins_at(o.start)));
    });
}

#[test]
fn start_time() {
    let words = [
        "2026-03-29T02:30:00",
        "2014-01-12T21:00:00",
        "Z",
        "+01:00",
        "-00:00",
        "T",
        ":",
        "9999-12-31",
        "0000",
        "-",
        "\n",
        "Europe/Paris",
        "Pacific/Apia",
        "UTC",
        "EST",
        "Local",
        "23:59:60",
        ".5",
    ];
    check!().with_iterations(drawn()).for_each(|input| {
        let written = text(input, &words);
        let (start_time, time_zone) = match written.split_once('\n') {
            Some((start, zone)) => (start.to_owned(), Some(zone.to_owned())),
            None => (written, None),
        };
        let one = OneOff { start_time, time_zone };
        match one.start() {
            Ok(at) => assert_eq!(Ok(at), one.start()),
            Err(why) => assert!(one_line(&why.to_string()), "{why}"),
        }
    });
}

#[test]
fn schedule_fields() {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"startTime\":\"2026-12-06T20:50:00\"",
        "\"cron\":\"50 20 * * SUN\"",
        "\"timeZone\":\"Europe/Paris\"",
        "\"durationSeconds\":7200",
        "\"durationSeconds\":-1",
        "\"windows\":[",
        "{\"name\":\"a\",\"cron\":\"0 8 * * MON\",\"durationSeconds\":3600}",
        "\"exclude\":[",
        "{\"date\":\"2026-12-24\",\"lastDate\":\"2026-12-26\"}",
        "\"calendarRef\":{\"name\":\"guide\"}",
        "null",
        "\"durationSeconds\":604800",
        "{\"date\":\"2026-02-30\"}",
        "\"cron\":\"* * * * *\"",
    ];
    check!().with_iterations(drawn()).for_each(|input| {
        let Ok(written) = serde_json::from_str::<Schedule>(&text(input, &words)) else { return };
        match validate::schedule_of(&written) {
            Ok(schedule) => {
                let until = now() + TimeDelta::days(400);
                assert!(schedule.between(now(), until).is_sorted_by(|a, b| a.start < b.start));
            }
            Err(errors) => {
                assert!(!errors.is_empty());
                assert!(
                    errors.iter().all(|why| why.starts_with("spec.schedule") && one_line(why)),
                    "{errors:?}"
                );
            }
        }
    });
}

/// Checks that two reads of a feed give the same result.
///
/// The result is an error, or a bounded and sorted list of events without control characters.
fn reads(feed: &str, format: Format) {
    let zone = Zone::named("Europe/Paris").unwrap();
    let horizon = Horizon {
        from: now(),
        until: now() + TimeDelta::days(400),
        zone: &zone,
        zone_is_stated: true,
    };
    let found = read(feed.as_bytes(), format, horizon);
    assert_eq!(found, read(feed.as_bytes(), format, horizon));
    match found {
        Err(why) => assert!(one_line(&why.to_string()), "{why}"),
        Ok(found) => {
            assert!(found.total <= limits::EVENTS && found.problems.len() <= limits::PROBLEMS);
            assert!(found.events.is_sorted_by(|a, b| a.start <= b.start));
            assert!(found.problems.iter().all(|why| one_line(why)), "{:?}", found.problems);
            for event in &found.events {
                assert!(
                    event.start < horizon.until && event.end.is_none_or(|end| end > event.start)
                );
                assert!(
                    !event.title.contains(char::is_control)
                        && event.title.len() <= 4 * limits::WORD
                );
                assert!(
                    event.key.chars().count() <= 512,
                    "the schema of a run says so: {}",
                    event.key
                );
            }
            drop(
                entries(
                    found,
                    &Select { title: Some("*a*".into()), ..Select::default() },
                    Instant::UNIX_EPOCH,
                )
                .digest(),
            );
        }
    }
}

#[test]
fn icalendar() {
    let words = [
        "BEGIN:VCALENDAR\r\n",
        "END:VCALENDAR\r\n",
        "BEGIN:VEVENT\r\n",
        "END:VEVENT\r\n",
        "UID:a\r\n",
        "UID:b\r\n",
        "SUMMARY:Capital\r\n",
        "DTSTART:20261206T195000Z\r\n",
        "DTSTART;TZID=Europe/Paris:20261206T205000\r\n",
        "DTSTART;VALUE=DATE:20261206\r\n",
        "DTSTART:20261206T205000\r\n",
        "DTEND:20261206T220000Z\r\n",
        "DTEND;VALUE=DATE:20261208\r\n",
        "DURATION:PT2H\r\n",
        "DURATION:-P1W\r\n",
        "RRULE:FREQ=WEEKLY;BYDAY=SU\r\n",
        "RRULE:FREQ=DAILY;COUNT=3\r\n",
        "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30\r\n",
        "RRULE:FREQ=MONTHLY;BYSETPOS=-1;BYDAY=MO,TU\r\n",
        "RRULE:FREQ=",
        "HOURLY",
        ";INTERVAL=",
        "65535",
        ";UNTIL=20270101T000000Z",
        ";BYWEEKNO=53",
        ";BYYEARDAY=-366",
        ";BYHOUR=0,12",
        "EXDATE:20261213T195000Z\r\n",
        "EXDATE;VALUE=DATE:20261213\r\n",
        "RDATE:20261224T200000Z\r\n",
        "RECURRENCE-ID:20261213T195000Z\r\n",
        "STATUS:CANCELLED\r\n",
        "SEQUENCE:2\r\n",
        "CATEGORIES:a,b\\,c\r\n",
        "BEGIN:VTIMEZONE\r\nTZID:X\r\nBEGIN:STANDARD\r\nDTSTART:16010101T030000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\n",
        "END:STANDARD\r\nEND:VTIMEZONE\r\n",
        "DTSTART;TZID=X:20261206T205000\r\n",
        "\r\n ",
        "DTSTART:99991231T235959Z\r\n",
        "DTSTART:16010101T000000\r\n",
        "é",
        "\u{1b}[31m",
        ";",
        ":",
        "=",
        "\n",
        "\r",
        "BEGIN:A\r\nX:\nEND:\r\n",
        "end;x=\"",
    ];
    check!().with_iterations(drawn()).for_each(|input| {
        let feed = text(input, &words);
        reads(&feed, Format::ICalendar);
        reads(&format!("BEGIN:VCALENDAR\r\n{feed}END:VCALENDAR\r\n"), Format::ICalendar);
    });
}

#[test]
fn xmltv() {
    let words = [
        "<tv>",
        "</tv>",
        "<programme ",
        "start=\"20261206205000 +0100\" ",
        "stop=\"20261206230000 +0100\" ",
        "channel=\"m6.fr\">",
        "</programme>",
        "<title>",
        "</title>",
        "<category>",
        "</category>",
        "Capital",
        "&amp;",
        "&#233;",
        "&x;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml version=\"1.0\"?>",
        "<!DOCTYPE tv [<!ENTITY x \"y\">]>",
        "<episode-num>",
        "</episode-num>",
        "/>",
        "start=\"2026\" ",
        "start=\"99991231235959 -2359\" ",
        "é",
        "\u{1b}[31m",
        "<programme start=\"20261206205000 +0100\" channel=\"m6.fr\"><title>Capital</title></programme>",
    ];
    check!().with_iterations(drawn()).for_each(|input| {
        let feed = text(input, &words);
        reads(&feed, Format::Xmltv);
        reads(&format!("<tv>{feed}</tv>"), Format::Xmltv);
    });
}

/// Answers of a Prometheus, or of what pretends to be one: a number that is finite, or the reason in
/// a line.
#[test]
fn prometheus() {
    let words = [
        "{\"status\":\"success\",\"data\":",
        "{\"status\":\"error\",\"error\":\"",
        "\"warnings\":[\"",
        "\"resultType\":\"vector\",",
        "\"resultType\":\"scalar\",",
        "\"resultType\":\"matrix\",",
        "\"resultType\":\"string\",",
        "\"result\":[",
        "{\"metric\":{",
        "\"__name__\":\"up\"",
        "\"primetime_query\":\"0\"",
        "},\"value\":[1699999999.123,\"",
        "\"histogram\":{}",
        "NaN",
        "+Inf",
        "-Inf",
        "1e999",
        "-1",
        "0x10",
        "42400",
        "\"]",
        "}",
        "]",
        "{",
        "[",
        ",",
        "\"",
        "\\u001b[2J",
        "\u{1b}",
        "\\ud800",
        "é",
        "<html><body>502</body></html>",
        "null",
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1,\"",
        "\"]}]}}",
    ];
    check!().with_iterations(drawn()).for_each(|input| {
        let body = text(input, &words);
        for body in [body.as_bytes(), input] {
            match primetime_prom::read(body, now()) {
                Sample::Known { value, .. } => assert!(value.is_finite(), "{value}"),
                Sample::Unknown(why) => assert!(one_line(&why.to_string()), "{why:?}"),
            }
        }
    });
}

/// Objects as the watches decode them, written by people through kubectl or by a newer operator:
/// each becomes a record or a refusal, and the planner of a record with a bad spec does nothing.
#[test]
fn objects() {
    let words = [
        "{\"schedule\":{\"startTime\":\"2026-12-06T20:00:00Z\",\"durationSeconds\":3600},",
        "{\"schedule\":{\"cron\":\"0 21 * * *\",\"timeZone\":\"UTC\",\"durationSeconds\":60},",
        "{\"readyTime\":\"2026-12-06T20:00:00Z\",\"startTime\":\"2026-12-06T20:00:00Z\",\"endTime\":\"2026-12-06T22:00:00Z\",",
        "\"targets\":[",
        "{\"name\":\"web\",\"scaleTargetRef\":{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"name\":\"web\"},",
        "\"scaleTargetRef\":{\"apiVersion\":\"v1%2Fpods\",\"kind\":\"../x\",\"name\":\"..\"},",
        "\"replicas\":",
        "\"multiplier\":\"",
        "\"load\":",
        "\"loadPerReplica\":",
        "\"maxReplicas\":",
        "\"rungs\":[{\"name\":\"x5\",\"multiplier\":\"5\"}],",
        "\"machines\":[{\"name\":\"m\",\"count\":3,\"instanceClassRef\":{\"name\":\"c\"}}],",
        "\"signals\":[{\"name\":\"s\",\"metricsSourceRef\":{\"name\":\"m\"},\"query\":\"",
        "\"degrade\":[{\"name\":\"d\",\"when\":{\"signal\":\"s\",\"above\":\"",
        "\"warmUp\":[{\"name\":\"w\",\"jobTemplateRef\":{\"name\":\"",
        "\"release\":{\"stepPercent\":0,\"stepSeconds\":4294967295},",
        "\"hold\":{\"maxSeconds\":4294967295},",
        "-9223372036854775808",
        "9223372036854775807",
        "4294967296",
        "0",
        "1e309",
        "99999999999.999999",
        "9999-12-31T23:59:59Z",
        "\"",
        "\"}",
        "}",
        "}]",
        "]",
        ",",
        "null",
        "true",
        "\\u0000",
        "\\u001b[2J",
        "é",
        "{\"schedule\":{\"cron\":\"0 21 * * *\",\"timeZone\":\"UTC\",\"durationSeconds\":60},\"targets\":[{\"name\":\"web\",\"replicas\":3,\"scaleTargetRef\":{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"name\":\"web\"}}]}",
    ];
    check!().with_iterations(drawn()).for_each(|input| {
        let spec = text(input, &words);
        let Ok(spec) = serde_json::from_str::<serde_json::Value>(&spec) else { return };
        let object = |kind: &str| {
            serde_json::json!({"apiVersion": "primetime.dev/v1alpha1", "kind": kind,
                "metadata": {"name": "a", "namespace": "shop", "uid": "u", "generation": 1},
                "spec": spec})
        };
        let mut world = World { namespace: "shop".into(), ..World::default() };
        if let Ok(surge) = serde_json::from_value(object("ScheduledSurge")) {
            world.surges.insert("a".into(), surge_record(&surge).into());
        }
        if let Ok(run) = serde_json::from_value(object("SurgeRun")) {
            world.runs.insert("a".into(), run_record(&run).into());
        }
        drop(plan(&world, now()));
    });
}

/// Checks that each fuzz target has at least ten corpus files. `make test` gives a target without a
/// corpus no input.
#[test]
fn each_target_has_a_corpus() {
    for target in
        ["cron", "start_time", "schedule_fields", "icalendar", "xmltv", "prometheus", "objects"]
    {
        let corpus = primetime_tests::tools::root().join("tests/tests/__fuzz__").join(target);
        let files = std::fs::read_dir(corpus.join("corpus")).unwrap().count();
        assert!(files >= 10, "{target}: {files}");
    }
}
