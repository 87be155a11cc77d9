//! Programmes of an XMLTV guide (<https://github.com/XMLTV/xmltv/blob/master/xmltv.dtd>).
//!
//! A programme has no id. The key consists of the channel, the title, the episode and the day,
//! which stay the same if the guide moves the programme. A time without an offset is in the zone of
//! the reader. The DTD prescribes UTC, the zone of a reader without a configured zone. The parser
//! does not resolve entities that a guide defines.

use std::collections::BTreeMap;

use chrono::{FixedOffset, NaiveDate, TimeZone};
use primetime_core::Instant;
use primetime_core::schedule::Zone;
use quick_xml::events::{BytesStart, Event as Xml};
use quick_xml::{Reader, XmlVersion};

use crate::limits::{CATEGORIES, DEPTH, EVENTS, word};
use crate::recurrence::civil_of;
use crate::{Event, Feed, FeedError, Horizon};

/// Largest number of titles that the parser keeps of a programme, such as a title for each
/// language.
const TITLES: usize = 8;

/// Joins the lines of a text between tags. Blanks and line ends become a single blank.
fn line(text: &str) -> String {
    word(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A programme during parsing.
#[derive(Default)]
struct Programme {
    start: String,
    stop: Option<String>,
    channel: String,
    titles: Vec<String>,
    categories: Vec<String>,
    episode: Option<String>,
}

pub(crate) fn read(text: &str, horizon: Horizon<'_>) -> Result<Feed, FeedError> {
    let mut reader = Reader::from_str(text);
    let mut feed = Feed::default();
    reader.config_mut().expand_empty_elements = true;
    let mut path: Vec<String> = Vec::new();
    let mut programme: Option<Programme> = None;
    let mut said = String::new();
    let broken = |why: String| FeedError::Malformed(word(&why));
    loop {
        match reader.read_event().map_err(|why| broken(why.to_string()))? {
            Xml::Start(tag) => {
                if path.len() >= DEPTH {
                    return Err(FeedError::TooDeep { most: DEPTH });
                }
                let name = tag.name().as_ref().to_owned();
                if path.is_empty() && name != "tv" {
                    let expected = "XMLTV guide (<tv>)";
                    return Err(FeedError::SomethingElse { found: "XML", expected });
                }
                if name == "programme" && path.len() == 1 {
                    feed.total += 1;
                    if feed.total > EVENTS {
                        return Err(FeedError::TooMany { most: EVENTS });
                    }
                    programme = Some(begun(&tag)?);
                }
                said.clear();
                path.push(name);
            }
            Xml::Text(text) => said.push_str(&text.xml10_content()),
            Xml::GeneralRef(entity) => said.push_str(&resolved(&entity)),
            Xml::CData(text) => said.push_str(&text.xml10_content()),
            Xml::End(_) => {
                let name = path.pop().unwrap_or_default();
                match (&mut programme, name.as_str()) {
                    (Some(p), "title") if p.titles.len() < TITLES => p.titles.push(line(&said)),
                    (Some(p), "category") if p.categories.len() < CATEGORIES => {
                        p.categories.push(line(&said));
                    }
                    (Some(p), "episode-num") => {
                        p.episode = p.episode.take().or_else(|| Some(word(&said)));
                    }
                    (Some(_), "programme") => {
                        if let Some(done) = programme.take() {
                            keep(done, horizon, &mut feed);
                        }
                    }
                    _ => {}
                }
                said.clear();
            }
            Xml::Eof if path.is_empty() => {
                number(&mut feed.events);
                return Ok(feed);
            }
            Xml::Eof => return Err(broken("it breaks off in the middle".to_owned())),
            _ => {}
        }
    }
}

/// Resolves the five entities of XML and character references. Any other entity becomes empty text.
fn resolved(entity: &quick_xml::events::BytesRef<'_>) -> String {
    if let Ok(Some(character)) = entity.resolve_char_ref() {
        return character.to_string();
    }
    quick_xml::escape::resolve_predefined_entity(entity).unwrap_or_default().to_owned()
}

fn begun(tag: &BytesStart<'_>) -> Result<Programme, FeedError> {
    let mut programme = Programme::default();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|why| FeedError::Malformed(word(&why.to_string())))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|why| FeedError::Malformed(word(&why.to_string())))?.into_owned();
        match attribute.key.as_ref() {
            "start" => programme.start = value,
            "stop" => programme.stop = Some(value),
            "channel" => programme.channel = word(&value),
            _ => {}
        }
    }
    Ok(programme)
}

/// Numbers the repeats of a programme on the same day by start time. The order in the guide has no
/// effect.
fn number(events: &mut [Event]) {
    events.sort_by_key(|event| event.start);
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        let nth = times.entry(event.key.clone()).or_default();
        *nth += 1;
        if *nth > 1 {
            event.key = format!("{}/{nth}", event.key);
        }
    }
}

fn keep(programme: Programme, horizon: Horizon<'_>, feed: &mut Feed) {
    let Programme { start, stop, channel, titles, categories, episode } = programme;
    let mut titles = titles.into_iter();
    let title = titles.next().unwrap_or_default();
    let Some(begins) = instant(&start, horizon.zone) else {
        let start = word(&start);
        feed.leave_out(&title, &format!("on {channel}: start \"{start}\" is no time"));
        return;
    };
    let end = stop.as_deref().and_then(|stop| instant(stop, horizon.zone));
    let end = end.filter(|end| *end > begins);
    if !horizon.shows(begins, end) {
        return;
    }
    let day = horizon.zone.clock(begins).date();
    let key = format!("{channel}/{title}/{}/{day}", episode.unwrap_or_default());
    feed.events.push(Event {
        key,
        title: title.into(),
        other_titles: titles.collect(),
        channel: Some(channel),
        categories: categories.into(),
        start: begins,
        end,
        cancelled: false,
        note: None,
    });
}

/// Parses a time such as `20140112205000 +0100`.
///
/// The time may end after the day, the hour or the minute. The offset may be absent, follow without
/// a blank, have hours only, or be a name from [`NAMED`]. Second 60 becomes second 59, and 24:00:00
/// becomes the next midnight.
fn instant(text: &str, reader: &Zone) -> Option<Instant> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (clock, offset) = text.split_at_checked(end)?;
    if !matches!(clock.len(), 8 | 10 | 12 | 14) {
        return None;
    }
    let padded = format!("{clock:0<14}");
    let number = |from: usize, to: usize| padded.get(from..to)?.parse::<u32>().ok();
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    let midnight = hour == 24 && minute == 0 && second == 0;
    let date = NaiveDate::parse_from_str(padded.get(..8)?, "%Y%m%d").ok()?;
    let date = if midnight { date.succ_opt()? } else { date };
    let second = if second == 60 { 59 } else { second };
    let local = date.and_hms_opt(if midnight { 0 } else { hour }, minute, second)?;
    match offset.trim() {
        "" => reader.resolve(civil_of(local)?).map(|(at, _)| at),
        offset => {
            let zone = FixedOffset::east_opt(seconds_east(offset)?)?;
            zone.from_local_datetime(&local).single().map(|at| at.to_utc())
        }
    }
}

/// Short names of zones in guides, with hours east of UTC. The DTD has `BST` in an example. The
/// list leaves out names of several zones.
const NAMED: [(&str, i32); 24] = [
    ("UTC", 0),
    ("UT", 0),
    ("GMT", 0),
    ("Z", 0),
    ("WET", 0),
    ("BST", 1),
    ("WEST", 1),
    ("CET", 1),
    ("MET", 1),
    ("CEST", 2),
    ("MEST", 2),
    ("EET", 2),
    ("EEST", 3),
    ("MSK", 3),
    ("EDT", -4),
    ("EST", -5),
    ("CDT", -5),
    ("CST", -6),
    ("MDT", -6),
    ("MST", -7),
    ("PDT", -7),
    ("PST", -8),
    ("AEST", 10),
    ("AEDT", 11),
];

/// Parses an offset such as `+0100`, `+01:00` or `+01`, or a name from [`NAMED`]. Returns seconds
/// east of UTC.
fn seconds_east(offset: &str) -> Option<i32> {
    if let Some((_, hours)) = NAMED.iter().find(|(name, _)| offset.eq_ignore_ascii_case(name)) {
        return Some(hours * 3600);
    }
    let (sign, digits) = match offset.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replacen(':', "", 1);
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i32>().ok();
    let (hours, minutes) = match digits.len() {
        2 => (number(0, 2)?, 0),
        4 => (number(0, 2)?, number(2, 4)?),
        _ => return None,
    };
    (minutes < 60 && hours <= 14).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, read};

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn guide(programmes: &str) -> Result<Feed, FeedError> {
        let zone = Zone::named("Europe/Paris").unwrap();
        let (from, until) = (at("2014-01-12T00:00:00Z"), at("2014-01-19T00:00:00Z"));
        let text = format!(
            "<?xml version=\"1.0\"?><!DOCTYPE tv SYSTEM \"xmltv.dtd\"><tv>{programmes}</tv>"
        );
        read(
            text.as_bytes(),
            Format::Xmltv,
            Horizon { from, until, zone: &zone, zone_is_stated: true },
        )
    }

    #[test]
    fn a_programme_is_read_with_its_channel_and_categories() {
        let feed = guide(
            r#"<channel id="m6.fr"><display-name>M6</display-name></channel>
            <programme start="20140112205000 +0100" stop="20140112230000 +0100" channel="m6.fr">
              <title lang="fr">Capital &amp; <![CDATA[<Co>]]></title><desc>x</desc>
              <category>Magazine</category><category>&#201;conomie</category>
            </programme>
            <programme start="20131201205000 +0100" channel="m6.fr"><title>Long ago</title></programme>
            <programme start="yesterday" channel="m6.fr"><title>Odd</title></programme>"#,
        )
        .unwrap();
        let [one] = feed.events.as_slice() else { panic!("{feed:?}") };
        assert_eq!((&*one.title, one.channel.as_deref()), ("Capital & <Co>", Some("m6.fr")));
        assert_eq!(*one.categories, ["Magazine", "\u{c9}conomie"]);
        assert_eq!(
            (one.start, one.end),
            (at("2014-01-12T19:50:00Z"), Some(at("2014-01-12T22:00:00Z")))
        );
        assert_eq!(feed.total, 3);
        assert_eq!(feed.problems, ["\"Odd\": on m6.fr: start \"yesterday\" is no time"]);
    }

    #[test]
    fn a_programme_that_starts_late_is_the_same_one() {
        let key = |start: &str| {
            let one = format!(
                r#"<programme start="{start} +0100" channel="m6.fr"><title>Capital</title></programme>"#
            );
            guide(&one).unwrap().events.pop().unwrap().key
        };
        assert_eq!(key("20140112205000"), key("20140112210200"));
        assert_ne!(key("20140112205000"), key("20140113205000"));
    }

    #[test]
    fn two_of_one_day_are_two_in_whatever_order_they_are_listed() {
        let twice = guide(
            r#"<programme start="201401122000 +0100" channel="m6.fr"><title>News</title></programme>
            <programme start="20140112090000" channel="m6.fr"><title>News</title></programme>"#,
        );
        let keys: Vec<_> = twice.unwrap().events.into_iter().map(|e| (e.key, e.start)).collect();
        assert_eq!(
            keys,
            [
                ("m6.fr/News//2014-01-12".to_owned(), at("2014-01-12T08:00:00Z")),
                ("m6.fr/News//2014-01-12/2".to_owned(), at("2014-01-12T19:00:00Z")),
            ]
        );
    }

    #[test]
    fn what_is_no_guide_is_refused() {
        for (programmes, said) in [
            ("<programme", "cannot be read"),
            ("</tv><tv>", ""),
            (&"<a>".repeat(100), "nested more than 16 deep"),
            (&"<programme/>".repeat(50_001), "more than 50000 events"),
        ] {
            match guide(programmes) {
                Ok(feed) => assert_eq!((said, feed), ("", Feed::default())),
                Err(why) => assert!(why.to_string().contains(said), "{why}"),
            }
        }
        // The parser does not resolve entities that refer to each other, so the text cannot grow.
        let bomb = r#"<!DOCTYPE tv [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><tv><programme start="20140112090000" channel="c"><title>&b;</title></programme></tv>"#;
        let zone = Zone::utc();
        let horizon = Horizon {
            from: at("2014-01-12T00:00:00Z"),
            until: at("2014-01-19T00:00:00Z"),
            zone: &zone,
            zone_is_stated: true,
        };
        let feed = read(bomb.as_bytes(), Format::Xmltv, horizon).unwrap();
        assert_eq!(feed.events.first().map(|e| &*e.title), Some(""));
    }

    #[test]
    fn times_are_read_as_guides_write_them() {
        let zone = Zone::named("Europe/Paris").unwrap();
        let read = |text: &str| instant(text, &zone).map(|at| at.to_rfc3339());
        for (text, expected) in [
            ("20261206205000 +0100", "2026-12-06T19:50:00+00:00"),
            ("20261206205000+0100", "2026-12-06T19:50:00+00:00"),
            ("20261206205000 +01:00", "2026-12-06T19:50:00+00:00"),
            ("20261206205000 +01", "2026-12-06T19:50:00+00:00"),
            ("20261206205000Z", "2026-12-06T20:50:00+00:00"),
            ("20261206205000 -0530", "2026-12-07T02:20:00+00:00"),
            ("200607281933 BST", "2006-07-28T18:33:00+00:00"),
            ("20261206205000 MST", "2026-12-07T03:50:00+00:00"),
            ("20261206205000 cet", "2026-12-06T19:50:00+00:00"),
            ("20261206205000", "2026-12-06T19:50:00+00:00"),
            ("20261231235960 +0000", "2026-12-31T23:59:59+00:00"),
            ("20261206240000 +0000", "2026-12-07T00:00:00+00:00"),
            ("2026120620", "2026-12-06T19:00:00+00:00"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "20261206205000 XYZ",
            "2026",
            "20261306000000",
            "20261206250000 +0000",
            "20261206205000 +2500",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn each_title_counts_and_its_layout_does_not() {
        let feed = guide(
            "<programme start=\"20140112205000 +0100\" channel=\"m6.fr\"><title lang=\"de\">Kapital</title>\
             <title lang=\"fr\">Capital\n      la suite</title></programme>",
        )
        .unwrap();
        let [event] = feed.events.as_slice() else { panic!("{feed:?}") };
        assert_eq!(
            (&*event.title, event.other_titles.as_ref()),
            ("Kapital", ["Capital la suite".to_owned()].as_slice())
        );
        let fits = |title: &str| {
            crate::Select { title: Some(title.to_owned()), ..crate::Select::default() }.fits(event)
        };
        assert!(fits("capital*") && fits("kapital") && !fits("suite"));
    }
}
