//! Cost of reading calendar feeds: a programme guide of 10 MB and an iCalendar feed of the maximum
//! size.
//!
//! The benchmark compares each feed with a UTF-8 checked copy of the same text in the same run. The
//! benchmark also prints the peak memory of the reader.

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant as Watch};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use primetime_calendar::{Format, Horizon, Select, entries, limits, read};
use primetime_core::schedule::Zone;

/// Rounds per measurement; `time` returns the median.
const ROUNDS: usize = 7;

fn time(mut what: impl FnMut()) -> Duration {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let watch = Watch::now();
            what();
            watch.elapsed()
        })
        .collect();
    rounds.sort();
    rounds.get(ROUNDS / 2).copied().unwrap_or_default()
}

fn now() -> Result<DateTime<Utc>> {
    Ok("2026-11-22T12:00:00Z".parse()?)
}

/// Builds an XMLTV guide of at least `bytes` bytes, with two weeks of 30-minute programmes per
/// channel.
fn guide(bytes: usize) -> Result<String> {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tv>\n");
    let mut n = 0_i64;
    while text.len() < bytes {
        let (start, channel) = (now()? + TimeDelta::minutes(30 * (n % 672)), n / 672);
        let stamp = |at: DateTime<Utc>| at.format("%Y%m%d%H%M%S +0000").to_string();
        let (start, stop) = (stamp(start), stamp(start + TimeDelta::minutes(30)));
        writeln!(
            text,
            "  <programme start=\"{start}\" stop=\"{stop}\" channel=\"c{channel}.example\">\n    \
             <title lang=\"fr\">Émission &amp; reportage {n}</title>\n    <desc lang=\"fr\">Une heure avec ceux qui \
             vendent, ceux qui achètent et ceux qui attendent que la page se charge.</desc>\n    \
             <category lang=\"fr\">Magazine</category>\n    <episode-num system=\"xmltv_ns\">1.{n}.</episode-num>\n  \
             </programme>"
        )?;
        n += 1;
    }
    text.push_str("</tv>\n");
    Ok(text)
}

/// Builds an iCalendar feed of about `bytes` bytes.
///
/// Every fiftieth event recurs weekly since 2020. A feed of the maximum size has 35,000 events in
/// the next 400 days.
fn calendar(bytes: usize) -> Result<String> {
    let mut text = String::from("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n");
    let mut n = 0_i64;
    while text.len() < bytes - 1_000 {
        let weekly = n % 50 == 0;
        let start = if weekly {
            "2020-01-05T20:50:00Z".parse()?
        } else {
            now()? + TimeDelta::hours(n % 9_000)
        };
        let rule = if weekly { "RRULE:FREQ=WEEKLY\r\n" } else { "" };
        write!(
            text,
            "BEGIN:VEVENT\r\nUID:{n}@example.com\r\nDTSTAMP:20261101T000000Z\r\nSUMMARY:Événement {n}\r\n\
             DTSTART;TZID=Europe/Paris:{}\r\nDURATION:PT2H\r\n{rule}DESCRIPTION:Une heure avec ceux qui \
             vendent\\, ceux qui achètent\r\n  et ceux qui attendent.\r\nEND:VEVENT\r\n",
            start.format("%Y%m%dT%H%M%S"),
        )?;
        n += 1;
    }
    text.push_str("END:VCALENDAR\r\n");
    Ok(text)
}

/// Returns the peak resident memory of the process in kB (`VmHWM`) since the previous call, and
/// resets the peak.
fn peak() -> Result<i64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).context("VmHWM")?;
    let kilobytes = line.split_whitespace().nth(1).context("a number")?.parse()?;
    std::fs::write("/proc/self/clear_refs", "5")?;
    Ok(kilobytes)
}

fn measure(name: &str, text: &str, format: Format) -> Result<()> {
    let zone = Zone::named("Europe/Paris")?;
    let horizon = Horizon {
        from: now()?,
        until: now()? + TimeDelta::days(400),
        zone: &zone,
        zone_is_stated: true,
    };
    let select = Select { title: Some("*7".to_owned()), ..Select::default() };
    let look =
        || read(text.as_bytes(), format, horizon).map(|feed| entries(feed, &select, horizon.from));
    peak()?;
    let before = peak()?;
    let found = look()?;
    let after = peak()?;
    let bare = time(|| drop(black_box(String::from_utf8(text.as_bytes().to_vec()))));
    let took = time(|| drop(black_box(look())));
    let mib = |kilobytes: i64| kilobytes / 1024;
    println!(
        "{name}, {} MB, {} events, {} that matter: {:.0} ms, {:.0} x a checked copy ({:.1} ms); {} MiB above the text at its peak",
        text.len() / 1_000_000,
        found.total,
        found.entries.len(),
        took.as_secs_f64() * 1e3,
        took.as_secs_f64() / bare.as_secs_f64(),
        bare.as_secs_f64() * 1e3,
        mib(after - before),
    );
    Ok(())
}

fn main() -> Result<()> {
    let text = guide(10_000_000)?;
    measure("programme guide", &text, Format::Xmltv)?;
    drop(text);
    let text = calendar(limits::ICALENDAR_BYTES)?;
    measure("the longest calendar", &text, Format::ICalendar)
}
