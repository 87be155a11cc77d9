//! Events of an iCalendar file (RFC 5545): single events, recurring events, moved or cancelled
//! occurrences, and all-day events. A time may be in a zone, in UTC, or without a zone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil;
use primetime_core::Instant;
use primetime_core::calendar::LONGEST;

use crate::length::{Length, duration, end, length};
use crate::limits::{CATEGORIES, OCCURRENCES, PROBLEMS, word};
use crate::lines::{self, Component, Property};
use crate::recurrence::{self, Budget, Span};
use crate::time::{Moment, Times};
use crate::{Event, Feed, FeedError, Horizon};

pub(crate) fn read(text: &str, horizon: Horizon<'_>) -> Result<Feed, FeedError> {
    let text = lines::unfolded(text);
    let parsed = lines::components(&text)?;
    let mut budget = Budget::default();
    let mut feed = Feed::default();
    feed.problems.extend(parsed.odd);
    for calendar in parsed.components.iter().filter(|c| c.is("VCALENDAR")) {
        let mut problems = Vec::new();
        let times = Times::of(calendar, horizon, &mut budget, &mut problems);
        feed.problems.extend(problems);
        let mut series: BTreeMap<String, Series<'_>> = BTreeMap::new();
        for event in calendar.components.iter().filter(|c| c.is("VEVENT")) {
            feed.total += 1;
            match Written::read(event, &times) {
                Ok(written) => {
                    for why in &written.problems {
                        feed.say(&written.title, why);
                    }
                    series.entry(written.uid.clone()).or_default().add(written);
                }
                Err(why) => feed.leave_out(&title(event), &why),
            }
        }
        for of_one_uid in series.into_values() {
            of_one_uid.follow(horizon, &mut budget, &mut feed);
        }
    }
    feed.problems.truncate(PROBLEMS);
    Ok(feed)
}

fn plain(property: &Property<'_>) -> String {
    word(&property.text())
}

fn title(event: &Component<'_>) -> String {
    event.one("SUMMARY").map(plain).unwrap_or_default()
}

/// A `VEVENT` after parsing.
struct Written<'a> {
    uid: String,
    title: Arc<str>,
    categories: Arc<[String]>,
    cancelled: bool,
    sequence: i64,
    start: Moment<'a>,
    length: Option<Length>,
    rules: Vec<String>,
    /// Rules whose occurrences are left out (`EXRULE` of RFC 2445).
    except_rules: Vec<String>,
    /// Further starts from `RDATE`. A period in `RDATE` sets the length of that occurrence.
    also: Vec<(Moment<'a>, Option<Length>)>,
    except: Vec<Moment<'a>>,
    /// Problems with properties that the parser cannot read. The parser skips the property and
    /// keeps the event.
    problems: Vec<String>,
    /// Start of the occurrence that this event replaces (`RECURRENCE-ID`).
    instead_of: Option<Moment<'a>>,
    /// The event replaces all later occurrences too (`RANGE=THISANDFUTURE`).
    and_future: bool,
}

impl<'a> Written<'a> {
    fn read(event: &Component<'_>, times: &'a Times) -> Result<Self, String> {
        let start = event.one("DTSTART").ok_or("it has no DTSTART")?;
        let start = times.read(start).map_err(|why| format!("DTSTART {why}"))?;
        let mut problems = Vec::new();
        let also = further(event, &start, times, &mut problems);
        let mut except = Vec::new();
        for property in event.all("EXDATE") {
            match times.read_all(property, &start) {
                Ok(read) => except.extend(read),
                Err(why) => problems.push(format!("EXDATE {why}")),
            }
        }
        let instead_of = event
            .one("RECURRENCE-ID")
            .map(|at| times.read_of(at, &start).map_err(|why| format!("RECURRENCE-ID {why}")))
            .transpose()?;
        let title = title(event);
        let uid = event.one("UID").map(|uid| uid.value.replace(char::is_control, ""));
        let uid = uid.filter(|uid| !uid.is_empty());
        Ok(Self {
            uid: uid.unwrap_or_else(|| format!("{title}@{}", start.clock)),
            categories: event
                .all("CATEGORIES")
                .flat_map(|p| words(p.value))
                .take(CATEGORIES)
                .collect(),
            cancelled: event
                .one("STATUS")
                .is_some_and(|p| p.value.trim().eq_ignore_ascii_case("CANCELLED")),
            sequence: event.one("SEQUENCE").and_then(|p| p.value.parse().ok()).unwrap_or(0),
            length: length(event, &start, times)?,
            rules: event.all("RRULE").map(|p| p.value.to_owned()).collect(),
            except_rules: event.all("EXRULE").map(|p| p.value.to_owned()).collect(),
            also,
            except,
            problems,
            instead_of,
            and_future: event
                .one("RECURRENCE-ID")
                .and_then(|p| p.param("RANGE"))
                .is_some_and(|range| range.eq_ignore_ascii_case("THISANDFUTURE")),
            start,
            title: title.into(),
        })
    }

    fn event(&self, key: String, start: &Moment<'_>, length: Option<Length>) -> Option<Event> {
        let (at, note) = start.resolve()?;
        Some(Event {
            key,
            title: self.title.clone(),
            other_titles: Arc::default(),
            channel: None,
            categories: self.categories.clone(),
            start: at,
            end: end(start, length).filter(|end| *end > at),
            cancelled: self.cancelled,
            note,
        })
    }
}

impl Written<'_> {
    /// Returns a later occurrence of a series that this event has moved from its own occurrence on:
    /// by the same time, with the same length and words.
    fn moved(&self, key: String, start: &Moment<'_>) -> Option<Event> {
        let by = self.start.clock.duration_since(self.instead_of.as_ref()?.clock);
        let start = start.at(start.clock.checked_add(by).ok()?);
        self.event(key, &start, self.length)
    }
}

/// Returns the words of a list, which a comma separates. A backslash makes the next comma part of a
/// word.
///
/// The function is lazy: a list of a million words costs only the words that the caller takes.
fn words(list: &str) -> impl Iterator<Item = String> + '_ {
    let mut rest = Some(list);
    let next = move || {
        let text = rest?;
        let mut escaped = false;
        let end = text.find(|c: char| {
            let ends = c == ',' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let (one, more) =
            end.map_or((text, None), |at| (text.get(..at).unwrap_or_default(), text.get(at + 1..)));
        rest = more;
        Some(unescaped(one))
    };
    std::iter::from_fn(next).filter(|text| !text.is_empty())
}

/// Returns a word without the backslash before each escaped character.
fn unescaped(one: &str) -> String {
    let (mut plain, mut escaped) = (String::new(), false);
    for character in one.chars() {
        if character == '\\' && !escaped {
            escaped = true;
        } else {
            plain.push(character);
            escaped = false;
        }
    }
    word(&plain)
}

/// Reads the further starts of a series from `RDATE`. A period in `RDATE` sets the length of that
/// occurrence.
fn further<'a>(
    event: &Component<'_>,
    start: &Moment<'a>,
    times: &'a Times,
    problems: &mut Vec<String>,
) -> Vec<(Moment<'a>, Option<Length>)> {
    let usual = length(event, start, times).ok().flatten();
    let mut found = Vec::new();
    for property in event.all("RDATE") {
        let mut of_property = || -> Result<(), String> {
            for text in property.value.split(',') {
                let (begins, ends) =
                    text.split_once('/').map_or((text, None), |(b, e)| (b, Some(e)));
                let begins = times.moment(property, begins, Some(start))?;
                let own = match ends {
                    None => usual,
                    Some(span) if span.trim_start().starts_with(['P', '+']) => {
                        Some(duration(span)?)
                    }
                    Some(end) => {
                        let end = times.moment(property, end, Some(start))?;
                        let both = begins.resolve().zip(end.resolve());
                        both.map(|((from, _), (to, _))| Length { days: 0, rest: to - from })
                    }
                };
                found.push((begins, own));
            }
            Ok(())
        };
        if let Err(why) = of_property() {
            problems.push(format!("RDATE {why}"));
        }
    }
    found
}

/// All events with the same `UID`: a single event, or a series with the changed occurrences of the
/// series.
#[derive(Default)]
struct Series<'a> {
    whole: Option<Written<'a>>,
    changed: Vec<Written<'a>>,
}

impl<'a> Series<'a> {
    fn add(&mut self, written: Written<'a>) {
        if written.instead_of.is_some() {
            self.changed.push(written);
        } else if self.whole.as_ref().is_none_or(|w| w.sequence <= written.sequence) {
            self.whole = Some(written);
        }
    }

    fn follow(mut self, horizon: Horizon<'_>, budget: &mut Budget, feed: &mut Feed) {
        // Sort by `SEQUENCE`: the later version of an occurrence replaces the earlier version.
        self.changed.sort_by_key(|w| w.sequence);
        let mut changed: BTreeMap<Instant, &Written<'_>> = BTreeMap::new();
        for one in &self.changed {
            if let Some((at, _)) = one.instead_of.as_ref().and_then(Moment::resolve) {
                changed.insert(at, one);
            }
        }
        let had = feed.events.len();
        let title = self.whole.as_ref().map(|whole| whole.title.clone()).unwrap_or_default();
        if let Some(whole) = &self.whole {
            follow(whole, &changed, horizon, budget, feed);
        }
        for (at, one) in changed {
            feed.see(one.event(occurrence_key(&one.uid, at), &one.start, one.length), horizon);
        }
        if feed.events.len() > OCCURRENCES {
            feed.events.truncate(had);
            let why = format!("with it the feed has more than {OCCURRENCES} occurrences");
            feed.leave_out(&title, &why);
        }
    }
}

fn occurrence_key(uid: &str, at: Instant) -> String {
    format!("{uid}/{}", at.format("%Y%m%dT%H%M%SZ"))
}

fn follow(
    whole: &Written<'_>,
    changed: &BTreeMap<Instant, &Written<'_>>,
    horizon: Horizon<'_>,
    budget: &mut Budget,
    feed: &mut Feed,
) {
    let recurs = !whole.rules.is_empty() || !whole.also.is_empty();
    let mut starts: Vec<(Moment<'_>, Option<Length>)> = Vec::new();
    let mut ended_before_it_began = 0;
    let (from, until) =
        (whole.start.shown(horizon.from - LONGEST), whole.start.shown(horizon.until));
    for rule in &whole.rules {
        let last = match until_of(rule, &whole.start) {
            Ok(last) => last,
            Err(why) => {
                feed.leave_out(&whole.title, &why);
                continue;
            }
        };
        // Several programs delete a series by an `UNTIL` before the first start. The series then
        // has no occurrence, not even the first.
        if last.is_some_and(|last| last < whole.start.clock) {
            ended_before_it_began += 1;
            continue;
        }
        let span = Span { first: whole.start.clock, last, from, until };
        match recurrence::clocks(rule, span, budget) {
            Ok(clocks) => {
                starts
                    .extend(clocks.into_iter().map(|clock| (whole.start.at(clock), whole.length)));
            }
            Err(why) => feed.leave_out(&whole.title, &why),
        }
    }
    if whole.rules.is_empty() || ended_before_it_began < whole.rules.len() {
        starts.insert(0, (whole.start.clone(), whole.length));
    }
    match budget.take(whole.also.len() as u64) {
        Ok(()) => starts.extend(whole.also.iter().cloned()),
        Err(why) => feed.leave_out(&whole.title, &format!("RDATE: {why}")),
    }
    let mut except: BTreeSet<Instant> = whole
        .except
        .iter()
        .filter(|m| !m.is_date)
        .filter_map(Moment::resolve)
        .map(|r| r.0)
        .collect();
    for rule in &whole.except_rules {
        let span = Span {
            first: whole.start.clock,
            last: until_of(rule, &whole.start).ok().flatten(),
            from,
            until,
        };
        match recurrence::clocks(rule, span, budget) {
            Ok(clocks) => {
                let instants =
                    clocks.into_iter().filter_map(|clock| whole.start.at(clock).resolve());
                except.extend(instants.map(|(at, _)| at));
            }
            Err(why) => feed.leave_out(&whole.title, &format!("EXRULE: {why}")),
        }
    }
    let days: BTreeSet<civil::Date> =
        whole.except.iter().filter(|m| m.is_date).map(|m| m.clock.date()).collect();
    let mut seen = BTreeSet::new();
    for (start, length) in starts {
        let Some((at, _)) = start.resolve() else { continue };
        let gone = except.contains(&at) || days.contains(&start.clock.date());
        if gone || changed.contains_key(&at) || !seen.insert(at) {
            continue;
        }
        let key = if recurs { occurrence_key(&whole.uid, at) } else { whole.uid.clone() };
        let event = match changed.range(..at).rev().find(|(_, one)| one.and_future) {
            Some((_, one)) => one.moved(key, &start),
            None => whole.event(key, &start, length),
        };
        feed.see(event, horizon);
    }
}

/// Returns the `UNTIL` of a rule as a local time in the zone of the event.
fn until_of(rule: &str, start: &Moment<'_>) -> Result<Option<civil::DateTime>, String> {
    let Some(part) = rule.split(';').find(|part| recurrence::named(part, "UNTIL")) else {
        return Ok(None);
    };
    let text = part.split_once('=').map_or("", |(_, value)| value.trim());
    let read = start.until(text);
    read.map(Some).ok_or_else(|| format!("rule with UNTIL \"{}\" cannot be followed", word(text)))
}

impl Feed {
    fn see(&mut self, event: Option<Event>, horizon: Horizon<'_>) {
        self.events.extend(event.filter(|e| horizon.shows(e.start, e.end)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, read};
    use primetime_core::schedule::Zone;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn calendar(inner: &str) -> Result<Feed, FeedError> {
        let zone = Zone::named("Europe/Paris").unwrap();
        let (from, until) = (at("2026-03-20T00:00:00Z"), at("2026-04-10T00:00:00Z"));
        let text = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{inner}END:VCALENDAR\r\n");
        read(
            text.as_bytes(),
            Format::ICalendar,
            Horizon { from, until, zone: &zone, zone_is_stated: true },
        )
    }

    fn event(lines: &str) -> String {
        let lines: Vec<&str> = lines.lines().map(str::trim).collect();
        format!("BEGIN:VEVENT\r\n{}\r\nEND:VEVENT\r\n", lines.join("\r\n"))
    }

    fn times(feed: &Feed) -> Vec<(String, String, Option<i64>)> {
        let line = |e: &Event| {
            let minutes = e.end.map(|end| (end - e.start).num_minutes());
            (e.key.clone(), e.start.format("%m-%dT%H:%M").to_string(), minutes)
        };
        feed.events.iter().map(line).collect()
    }

    fn row(key: &str, start: &str, minutes: i64) -> (String, String, Option<i64>) {
        (key.to_owned(), start.to_owned(), Some(minutes))
    }

    #[test]
    fn a_series_keeps_its_hour_across_summer_time_without_what_is_taken_out_and_with_what_is_moved()
    {
        let show = event(
            "UID:show
            SUMMARY:Capital\\, la
              grande
            CATEGORIES:tv,shop\\,ping
            DTSTART;TZID=Europe/Paris:20260301T205000
            DTEND;TZID=Europe/Paris:20260301T225000
            RRULE:FREQ=WEEKLY;BYDAY=SU;UNTIL=20260405T185000Z
            EXDATE;TZID=Europe/Paris:20260322T205000",
        );
        let moved = event(
            "UID:show
            SUMMARY:Capital
            RECURRENCE-ID;TZID=Europe/Paris:20260329T205000
            DTSTART;TZID=Europe/Paris:20260329T210200
            DTEND;TZID=Europe/Paris:20260329T230200",
        );
        // A folded line continues after a single blank.
        let show = show.replace("la\r\ngrande", "la\r\n  grande");
        let feed = calendar(&format!("{show}{moved}")).unwrap();
        assert_eq!(
            times(&feed),
            [
                row("show/20260329T185000Z", "03-29T19:02", 120),
                row("show/20260405T185000Z", "04-05T18:50", 120),
            ]
        );
        let last = feed.events.last().unwrap();
        assert_eq!((&*last.title, feed.total), ("Capital, la grande", 2));
        assert_eq!(*last.categories, ["tv", "shop,ping"]);
    }

    #[test]
    fn all_day_floating_and_utc_times_and_lengths() {
        let feed = calendar(
            &[
                event("UID:a\nDTSTART;VALUE=DATE:20260328\nDTEND;VALUE=DATE:20260330"),
                event("UID:b\nDTSTART;VALUE=DATE:20260401"),
                event("UID:c\nDTSTART:20260401T210000\nDURATION:P1DT30M"),
                event("UID:d\nDTSTART:20260401T200000Z\nDTEND:20260401T213000Z"),
                event("UID:e\nDTSTART:20260329T023000\nDURATION:PT1H"),
            ]
            .concat(),
        )
        .unwrap();
        assert_eq!(
            times(&feed),
            [
                row("a", "03-27T23:00", 47 * 60),
                row("e", "03-29T01:30", 60),
                row("b", "03-31T22:00", 24 * 60),
                row("c", "04-01T19:00", 24 * 60 + 30),
                row("d", "04-01T20:00", 90),
            ]
        );
        let note = feed.events.iter().find(|e| e.key == "e").unwrap().note.as_deref();
        assert!(note.unwrap().contains("does not exist in Europe/Paris"));
    }

    #[test]
    fn a_zone_of_the_file_is_read_like_any_other() {
        let zone = "BEGIN:VTIMEZONE\r\nTZID:Romance Standard Time\r\n\
            BEGIN:STANDARD\r\nDTSTART:16010101T030000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\n\
            RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10\r\nEND:STANDARD\r\n\
            BEGIN:DAYLIGHT\r\nDTSTART:16010101T020000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\n\
            RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3\r\nEND:DAYLIGHT\r\nEND:VTIMEZONE\r\n";
        let of_outlook = |uid: &str, start: &str| {
            event(&format!(
                "UID:{uid}\nDTSTART;TZID=\"Romance Standard Time\":{start}\nDURATION:PT1H"
            ))
        };
        let feed = calendar(&[
            zone.to_owned(),
            of_outlook("a", "20260322T210000"),
            of_outlook("b", "20260329T023000"),
            of_outlook("c", "20260329T210000"),
            event("UID:d\nDTSTART;TZID=/example.org/20260101_1/Europe/Paris:20260330T210000\nDURATION:PT1H"),
            event("UID:e\nSUMMARY:Nowhere\nDTSTART;TZID=Nowhere:20260330T210000\nDURATION:PT1H"),
        ].concat()).unwrap();
        assert_eq!(
            times(&feed),
            [
                row("a", "03-22T20:00", 60),
                row("b", "03-29T01:30", 60),
                row("c", "03-29T19:00", 60),
                row("d", "03-30T19:00", 60),
            ]
        );
        assert_eq!(
            feed.problems,
            [
                "\"Nowhere\": DTSTART TZID \"Nowhere\" is neither a time zone's name nor defined in the file"
            ]
        );
    }

    #[test]
    fn what_is_cancelled_says_so_and_the_later_version_counts() {
        let feed = calendar(&[
            event("UID:a\nSEQUENCE:2\nSTATUS:CANCELLED\nDTSTART:20260401T200000Z\nDTEND:20260401T210000Z"),
            event("UID:a\nSEQUENCE:1\nDTSTART:20260401T200000Z\nDTEND:20260401T210000Z"),
        ].concat()).unwrap();
        assert_eq!(feed.events.iter().map(|e| e.cancelled).collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn a_rule_that_cannot_be_followed_is_said_and_counted() {
        let odd = event("UID:a\nSUMMARY:Capital\nDTSTART:20260401T200000Z\nRRULE:FREQ=OFTEN");
        let feed = calendar(&odd).unwrap();
        assert_eq!((feed.total, feed.unreadable, feed.problems.len()), (1, 1, 1));
    }

    #[test]
    fn ids_are_short_and_stay_different() {
        let long =
            |end: &str| event(&format!("UID:{}{end}\nDTSTART:20260401T200000Z", "x".repeat(5_000)));
        let feed = calendar(&[long("a"), long("b")].concat()).unwrap();
        let keys: BTreeSet<&String> = feed.events.iter().map(|e| &e.key).collect();
        assert_eq!((keys.len(), keys.iter().all(|key| key.len() == 200)), (2, true));
    }

    #[test]
    fn bombs_and_pieces_are_refused() {
        let recurring = |rule: &str, n: usize| {
            let one = |i: usize| {
                event(&format!("UID:{i}\nDTSTART:19000101T000000Z\nDURATION:PT1H\nRRULE:{rule}"))
            };
            (0..n).map(one).collect::<String>()
        };
        let never = "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30";
        for (inner, said) in [
            ("BEGIN:A\r\n".repeat(10_000), "nested more than 16 deep"),
            ("BEG\r\n IN:A\r\n".repeat(10_000), "nested more than 16 deep"),
            // A parser that does not end a line at a bare line feed would see 50,000 nested
            // components here.
            ("BEGIN:A\r\nX:\nEND:\r\n".repeat(50_000), "line 5: END:, where END:A is due"),
            ("BEGIN:A\r\nX:\nEND:A\r\n".repeat(50_000), ""),
            ("BEGIN:A\rX:\rEND:\r".repeat(50_000), "line 5: END:, where END:A is due"),
            ("begin;x=\":\":a\nX:\r".repeat(50_000), "nested more than 16 deep"),
            ("BEGIN:A\r\nX:1\r\n END:A\r\n".repeat(50_000), "nested more than 16 deep"),
            (event("UID:a\nDTSTART:20260401T200000Z").repeat(50_001), "more than 50000 events"),
            ("BEGIN:VEVENT\r\n".to_owned(), "line 4: END:VCALENDAR, where END:VEVENT is due"),
            ("END:VCALENDAR\r\nBEGIN:VCALENDAR\r\nBEGIN:A\r\nEND:A\r\nEND:VCALENDAR\r\nBEGIN:A\r\nBEGIN:VCALENDAR\r\n".to_owned(), "breaks off in the middle"),
        ] {
            let why = calendar(&inner).err().map(|why| why.to_string()).unwrap_or_default();
            assert!(why.contains(said) && why.is_empty() == said.is_empty(), "{why}");
            assert!(why.len() < 300, "{why}");
        }
        // A rule that takes too long costs its event, and no other.
        let one = event("UID:good\nDTSTART:20260401T200000Z");
        for (inner, said) in [
            (recurring("FREQ=HOURLY", 1_000), "more than 100000 occurrences"),
            (recurring(never, 20), "take more than 1000000 steps"),
        ] {
            let feed = calendar(&format!("{inner}{one}")).unwrap();
            assert!(feed.events.iter().any(|event| event.key == "good"));
            assert!(feed.unreadable > 0, "{said}");
            assert!(feed.problems.iter().any(|p| p.contains(said)), "{:?}", feed.problems);
        }
    }

    #[test]
    fn a_calendar_with_more_occurrences_than_are_kept_leaves_out_the_events_that_exceed_them() {
        let hourly = |i: usize| {
            event(&format!(
                "UID:{i}\nSUMMARY:{i}\nDTSTART:20260320T000000Z\nDURATION:PT1H\nRRULE:FREQ=HOURLY"
            ))
        };
        let one = event("UID:good\nDTSTART:20260401T200000Z");
        let many: String = (0..250).map(hourly).collect();
        let feed = calendar(&format!("{many}{one}")).unwrap();
        assert!(feed.events.len() <= OCCURRENCES);
        assert!(feed.events.iter().any(|event| event.key == "good"));
        assert!(feed.unreadable > 0 && feed.problems.iter().any(|p| p.contains("occurrences")));
    }

    #[test]
    fn daily_series_and_old_birthdays_do_not_cost_the_feed() {
        let daily =
            |i: usize| event(&format!("UID:d{i}\nDTSTART:20260101T200000Z\nRRULE:FREQ=DAILY"));
        let birthday =
            |i: usize| event(&format!("UID:b{i}\nDTSTART;VALUE=DATE:16040401\nRRULE:FREQ=YEARLY"));
        let both: String = (0..150).map(daily).chain((0..1_000).map(birthday)).collect();
        let feed = calendar(&both).unwrap();
        assert_eq!((feed.unreadable, feed.problems.len()), (0, 0), "{:?}", feed.problems);
        assert_eq!(feed.events.iter().filter(|e| e.key.starts_with('b')).count(), 1_000);
        assert_eq!(feed.events.iter().filter(|e| e.key.starts_with('d')).count(), 150 * 21);
    }

    #[test]
    fn a_zone_of_the_file_follows_until_and_rdate() {
        let zone = |id: &str, parts: &str| {
            let parts = parts.replace('\n', "\r\n");
            format!("BEGIN:VTIMEZONE\r\nTZID:{id}\r\n{parts}\r\nEND:VTIMEZONE\r\n")
        };
        // The United States until 2006 and since 2007, as in RFC 5545, 3.6.5.
        let eastern = zone(
            "Eastern",
            "BEGIN:DAYLIGHT\nDTSTART:19870405T020000\nRRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=4;UNTIL=20060402T070000Z\nTZOFFSETFROM:-0500\nTZOFFSETTO:-0400\nEND:DAYLIGHT\nBEGIN:STANDARD\nDTSTART:19671029T020000\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10;UNTIL=20061029T060000Z\nTZOFFSETFROM:-0400\nTZOFFSETTO:-0500\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:20070311T020000\nRRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3\nTZOFFSETFROM:-0500\nTZOFFSETTO:-0400\nEND:DAYLIGHT\nBEGIN:STANDARD\nDTSTART:20071104T020000\nRRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11\nTZOFFSETFROM:-0400\nTZOFFSETTO:-0500\nEND:STANDARD",
        );
        // Turkey gave up summer time in 2016.
        let turkey = zone(
            "Turkiye",
            "BEGIN:DAYLIGHT\nDTSTART:20070325T030000\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3;UNTIL=20160327T010000Z\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0300\nEND:DAYLIGHT\nBEGIN:STANDARD\nDTSTART:20071028T040000\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10;UNTIL=20151025T010000Z\nTZOFFSETFROM:+0300\nTZOFFSETTO:+0200\nEND:STANDARD\nBEGIN:STANDARD\nDTSTART:20160907T000000\nTZOFFSETFROM:+0300\nTZOFFSETTO:+0300\nEND:STANDARD",
        );
        // Changes as dates.
        let dates = zone(
            "Dates",
            "BEGIN:STANDARD\nDTSTART:20251026T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:20250330T020000\nRDATE:20260329T020000,20270328T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\nEND:DAYLIGHT",
        );
        // Exchange begins its zones in year 1.
        let first = zone(
            "First",
            "BEGIN:STANDARD\nDTSTART:00010101T000000\nTZOFFSETFROM:+0500\nTZOFFSETTO:+0500\nEND:STANDARD",
        );
        let at = |uid: &str, zone: &str, clock: &str| {
            event(&format!("UID:{uid}\nDTSTART;TZID={zone}:{clock}\nDURATION:PT1H"))
        };
        let feed = calendar(
            &[
                eastern,
                turkey,
                dates,
                first,
                at("a", "Eastern", "20260328T210000"),
                at("b", "Turkiye", "20260328T210000"),
                at("c", "Dates", "20260328T210000"),
                at("d", "Dates", "20260330T210000"),
                at("e", "First", "20260330T210000"),
                at("f", "W. Europe Standard Time", "20260330T210000"),
                at("g", "Japan", "20260330T210000"),
                at("h", "\"(UTC-05:00) Eastern Time (US & Canada)\"", "20260330T210000"),
            ]
            .concat(),
        )
        .unwrap();
        let mut starts: Vec<_> = times(&feed).into_iter().map(|row| (row.0, row.1)).collect();
        starts.sort();
        let row = |uid: &str, start: &str| (uid.to_owned(), start.to_owned());
        assert_eq!(
            starts,
            [
                row("a", "03-29T01:00"),
                row("b", "03-28T18:00"),
                row("c", "03-28T20:00"),
                row("d", "03-30T19:00"),
                row("e", "03-30T16:00"),
                row("f", "03-30T19:00"),
                row("g", "03-30T12:00"),
                row("h", "03-31T01:00"),
            ]
        );
        assert_eq!(feed.problems, [""; 0]);
    }

    #[test]
    fn a_series_of_a_zone_of_the_file_ends_when_its_until_says() {
        let zone = "BEGIN:VTIMEZONE\r\nTZID:Own\r\nBEGIN:STANDARD\r\nDTSTART:16010101T030000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\r\nEND:STANDARD\r\nBEGIN:DAYLIGHT\r\nDTSTART:16010101T020000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\r\nEND:DAYLIGHT\r\nEND:VTIMEZONE\r\n";
        let show = event(
            "UID:a\nDTSTART;TZID=Own:20260322T205000\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=20260324T194959Z",
        );
        let feed = calendar(&format!("{zone}{show}")).unwrap();
        let starts: Vec<_> = times(&feed).into_iter().map(|row| row.1).collect();
        assert_eq!(
            starts,
            ["03-22T19:50", "03-23T19:50"],
            "the series was cut a second before the 24th"
        );
    }

    #[test]
    fn a_change_of_this_and_future_occurrences_moves_them_all() {
        let show = event(
            "UID:a\nSUMMARY:Show\nDTSTART;TZID=Europe/Paris:20260401T205000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=5",
        );
        let moved = event(
            "UID:a\nSUMMARY:Late show\nRECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Paris:20260403T205000\nDTSTART;TZID=Europe/Paris:20260403T222000\nDURATION:PT2H",
        );
        let once = event(
            "UID:a\nSUMMARY:Early\nRECURRENCE-ID;TZID=Europe/Paris:20260404T205000\nDTSTART;TZID=Europe/Paris:20260404T180000\nDURATION:PT1H",
        );
        let feed = calendar(&format!("{show}{moved}{once}")).unwrap();
        let rows: Vec<_> = times(&feed).into_iter().map(|row| (row.1, row.2)).collect();
        let row = |start: &str, minutes| (start.to_owned(), Some(minutes));
        assert_eq!(
            rows,
            [
                row("04-01T18:50", 60),
                row("04-02T18:50", 60),
                row("04-03T20:20", 120),
                row("04-04T16:00", 60),
                row("04-05T20:20", 120),
            ]
        );
    }

    #[test]
    fn small_oddities_of_rules_are_borne() {
        let starts = |lines: &str| -> Vec<String> {
            times(&calendar(&event(lines)).unwrap()).into_iter().map(|row| row.1).collect()
        };
        assert_eq!(
            starts("UID:a\nDTSTART:20260408T200000Z\nRRULE:FREQ=DAILY;COUNT=-1"),
            ["04-08T20:00", "04-09T20:00"]
        );
        assert_eq!(
            starts("UID:a\nDTSTART:20260406T200000Z\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE,;COUNT=2"),
            ["04-06T20:00", "04-08T20:00"]
        );
        assert_eq!(
            starts(
                "UID:a\nDTSTART:20260406T200000Z\nRRULE:FREQ=DAILY;COUNT=4\nEXRULE:FREQ=DAILY;INTERVAL=2"
            ),
            ["04-07T20:00", "04-09T20:00"]
        );
        assert_eq!(
            starts("UID:a\nDTSTART;VALUE=DATE:20260402\nRRULE:FREQ=DAILY;UNTIL=20260404T000000Z")
                .len(),
            3,
            "the 4th counts in every zone of a reader"
        );
    }

    #[test]
    fn an_odd_line_and_several_calendars_are_borne_and_said() {
        let text = format!(
            "BEGIN:VCALENDAR\r\n{}ORGANIZER=\"mailto:x\"\r\nEND:VCALENDAR\r\n\u{1a}\r\nBEGIN:vcalendar\r\n{}END:VCALENDAR\r\n\0\r\n",
            event("UID:a\nSUMMARY:A\nsecond line of a description\nDTSTART:20260401T200000Z"),
            event("UID:b\nDTSTART:20260402T200000Z"),
        );
        let zone = Zone::utc();
        let (from, until) = (at("2026-03-20T00:00:00Z"), at("2026-04-10T00:00:00Z"));
        let horizon = Horizon { from, until, zone: &zone, zone_is_stated: false };
        let feed = read(text.as_bytes(), Format::ICalendar, horizon).unwrap();
        assert_eq!(feed.events.len(), 2);
        assert_eq!(feed.problems.len(), 2, "{:?}", feed.problems);
        assert!(feed.problems.iter().all(|said| said.contains("is skipped")));
    }

    #[test]
    fn the_zone_that_a_feed_names_for_itself_counts_unless_one_is_stated() {
        let zone = Zone::utc();
        let text = format!(
            "BEGIN:VCALENDAR\r\nX-WR-TIMEZONE:America/New_York\r\n{}END:VCALENDAR\r\n",
            event("UID:a\nDTSTART:20260401T200000")
        );
        let start = |zone_is_stated: bool| {
            let (from, until) = (at("2026-03-20T00:00:00Z"), at("2026-04-10T00:00:00Z"));
            let horizon = Horizon { from, until, zone: &zone, zone_is_stated };
            read(text.as_bytes(), Format::ICalendar, horizon).unwrap().events.first().unwrap().start
        };
        assert_eq!(start(false), at("2026-04-02T00:00:00Z"));
        assert_eq!(start(true), at("2026-04-01T20:00:00Z"));
    }

    #[test]
    fn compressed_and_latin_feeds_are_read_within_bounds() {
        use std::io::Write;
        let gz = |bytes: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let zone = Zone::utc();
        let (from, until) = (at("2026-03-20T00:00:00Z"), at("2026-04-10T00:00:00Z"));
        let horizon = Horizon { from, until, zone: &zone, zone_is_stated: true };
        let text = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:a\r\nSUMMARY:\u{c9}t\u{e9}\r\nDTSTART:20260401T200000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let title = |bytes: &[u8], format| {
            let feed = read(bytes, format, horizon)?;
            Ok::<_, FeedError>((
                feed.events.first().unwrap().title.to_string(),
                feed.problems.len(),
            ))
        };
        let summer = "\u{c9}t\u{e9}".to_owned();
        assert_eq!(title(&gz(text.as_bytes()), Format::ICalendar), Ok((summer.clone(), 0)));
        let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(title(&latin, Format::ICalendar), Ok((summer.clone(), 1)), "it is said");
        let guide = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><tv><programme start=\"20260401200000 +0000\" channel=\"c\"><title>\u{c9}t\u{e9}</title></programme></tv>";
        let latin: Vec<u8> = guide.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(title(&latin, Format::Xmltv), Ok((summer.clone(), 0)));
        assert_eq!(title(&gz(&latin), Format::Xmltv), Ok((summer, 0)));
        let undeclared = guide.replace(" encoding=\"ISO-8859-1\"", "");
        let latin: Vec<u8> =
            undeclared.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(title(&latin, Format::Xmltv), Err(FeedError::NotUtf8("UTF-8".into())));
        let bomb = gz(&vec![b' '; 64 << 20]);
        assert!(matches!(title(&bomb, Format::ICalendar), Err(FeedError::TooLong { .. })));
        assert!(matches!(title(&bomb[..50], Format::Xmltv), Err(FeedError::Damaged(_))));
    }

    #[test]
    fn a_series_that_ended_before_it_began_is_deleted() {
        let gone =
            event("UID:a\nDTSTART:20260401T200000Z\nRRULE:FREQ=YEARLY;UNTIL=20260301T000000Z");
        let stays =
            event("UID:b\nDTSTART:20260401T200000Z\nRRULE:FREQ=YEARLY;UNTIL=20260401T200000Z");
        let more = event(
            "UID:c\nDTSTART:20260401T200000Z\nRRULE:FREQ=YEARLY;UNTIL=20260301T000000Z\nRDATE:20260402T200000Z",
        );
        let feed = calendar(&[gone, stays, more].concat()).unwrap();
        let keys: Vec<_> = feed.events.iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["b/20260401T200000Z", "c/20260402T200000Z"]);
    }

    #[test]
    fn one_bad_property_costs_that_property_and_is_said() {
        let odd = event(
            "UID:a\nSUMMARY:Show\nDTSTART;TZID=Europe/Paris:20260401T205000\nDURATION:PT1H\nRDATE:\nEXDATE;TZID=Nowhere:20260401T205000",
        );
        let feed = calendar(&odd).unwrap();
        assert_eq!(times(&feed), [row("a", "04-01T18:50", 60)]);
        assert_eq!(feed.unreadable, 0);
        assert_eq!(feed.problems.len(), 2, "{:?}", feed.problems);
        assert!(feed.problems.iter().all(|p| p.starts_with("\"Show\": ")), "{:?}", feed.problems);
    }

    #[test]
    fn a_period_is_as_long_as_it_says() {
        let show = event(
            "UID:a\nDTSTART:20260401T200000Z\nDURATION:PT1H\nRDATE;VALUE=PERIOD:20260402T210000Z/PT3H,20260403T210000Z/20260403T233000Z\nRDATE:20260404T210000Z",
        );
        let feed = calendar(&show).unwrap();
        let lengths: Vec<_> =
            times(&feed).into_iter().map(|(_, start, length)| (start, length)).collect();
        let row = |start: &str, minutes| (start.to_owned(), Some(minutes));
        assert_eq!(
            lengths,
            [
                row("04-01T20:00", 60),
                row("04-02T21:00", 180),
                row("04-03T21:00", 150),
                row("04-04T21:00", 60)
            ]
        );
    }

    #[test]
    fn what_names_an_occurrence_without_a_zone_is_meant_as_its_start_is() {
        let show = event(
            "UID:a\nDTSTART;TZID=America/New_York:20260401T205000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260402T205000",
        );
        let moved = event(
            "UID:a\nRECURRENCE-ID:20260403T205000\nDTSTART;TZID=America/New_York:20260403T220000\nDURATION:PT1H",
        );
        let starts: Vec<_> =
            times(&calendar(&format!("{show}{moved}")).unwrap()).into_iter().map(|r| r.1).collect();
        assert_eq!(starts, ["04-02T00:50", "04-04T02:00"]);
        // Exchange writes the excluded day of an all-day event as midnight in another zone.
        let days = event(
            "UID:d\nDTSTART;VALUE=DATE:20260401\nRRULE:FREQ=DAILY;COUNT=2\nEXDATE;TZID=GMT Standard Time:20260402T000000",
        );
        assert_eq!(times(&calendar(&days).unwrap()).len(), 1);
    }
}
