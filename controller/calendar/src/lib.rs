//! Parsers for event feeds: iCalendar (RFC 5545) and XMLTV programme guides.
//!
//! A feed is text from a third party. The parsers limit the bytes, events, depth and recurrence
//! steps of a feed, so a feed cannot keep the operator busy. The parsers read no clock and do no
//! I/O. A problem with a single event goes to [`Feed::problems`].
//!
//! | module | contents |
//! |---|---|
//! | [`limits`] | limits of a feed, and refusal of text in another format |
//! | `lines` | content lines and components of an iCalendar file |
//! | `ical` | events of an iCalendar file, with moved and cancelled occurrences |
//! | `length` | length of an event |
//! | `time` | zone of each time in an iCalendar file |
//! | `windows` | zones by their names in Windows and Outlook |
//! | `recurrence` | local times of a recurrence rule |
//! | `xmltv` | programmes of a guide |
//! | [`select`] | selection of the events that a surge follows |

mod ical;
mod length;
pub mod limits;
mod lines;
mod recurrence;
pub mod select;
mod time;
mod windows;
mod xmltv;

use std::sync::Arc;

use primetime_core::Instant;
use primetime_core::schedule::Zone;
use primetime_core::state::calendar::{self, Entry};

pub use select::Select;

/// A single event of a feed, or an occurrence of a recurring event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Identity of the event, stable when the feed moves the event: the id of the event and of the
    /// occurrence.
    pub key: String,
    /// First title of the event in the feed.
    pub title: Arc<str>,
    /// Titles of the event in other languages (XMLTV).
    pub other_titles: Arc<[String]>,
    /// Channel of the broadcast (XMLTV).
    pub channel: Option<String>,
    /// Categories of the event.
    pub categories: Arc<[String]>,
    /// Start of the event.
    pub start: Instant,
    /// End of the event, or `None` if the feed gives no end.
    pub end: Option<Instant>,
    /// True if the feed marks the event as cancelled.
    pub cancelled: bool,
    /// Explanation if the local start time does not exist in the zone, or exists twice.
    pub note: Option<String>,
}

/// Contents of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// Events that overlap the horizon, sorted by start, then by key.
    pub events: Vec<Event>,
    /// Number of events in the feed, inside and outside the horizon. A recurring event counts once.
    /// The planner compares the number with the previous number to find out that a feed has shrunk.
    pub total: usize,
    /// Number of events and recurrence rules that the parser could not read.
    pub unreadable: usize,
    /// Messages about events that the parser could not read, at most [`limits::PROBLEMS`].
    pub problems: Vec<String>,
}

/// Error for which the parser rejects a whole feed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FeedError {
    /// The feed has no text.
    #[error("the feed is empty")]
    Empty,
    /// The feed is larger than [`limits::ICALENDAR_BYTES`] or [`limits::XMLTV_BYTES`].
    #[error("the feed has {bytes} bytes; at most {most} are read")]
    TooLong {
        /// Size of the feed in bytes.
        bytes: usize,
        /// Limit in bytes.
        most: usize,
    },
    /// The feed is compressed: the first bytes belong to ZIP, bzip2 or xz.
    #[error("the feed is compressed in a way that is not read; serve it as plain text or gzip")]
    Compressed,
    /// The feed is compressed with gzip, and cannot be decompressed.
    #[error("the feed is compressed with gzip and cannot be decompressed: {0}")]
    Damaged(String),
    /// The text is in another format than the calendar expects.
    #[error("the feed is {found} and no {expected}")]
    SomethingElse {
        /// Format of the text, as far as the first characters show.
        found: &'static str,
        /// Expected format.
        expected: &'static str,
    },
    /// The feed is neither in UTF-8 nor in the encoding that its XML declaration names.
    #[error("the feed is not in {0}")]
    NotUtf8(String),
    /// The feed nests components or elements deeper than [`limits::DEPTH`].
    #[error("the feed is nested more than {most} deep")]
    TooDeep {
        /// Limit of the depth.
        most: usize,
    },
    /// The feed has more events than [`limits::EVENTS`].
    #[error("the feed has more than {most} events")]
    TooMany {
        /// Limit of the number of events.
        most: usize,
    },
    /// The feed breaks off, or is not well-formed.
    #[error("the feed cannot be read: {0}")]
    Malformed(String),
}

/// Period from which the parser keeps events, and the zone of the reader.
#[derive(Clone, Copy, Debug)]
pub struct Horizon<'a> {
    /// Start of the period. The parser skips events that ended earlier.
    pub from: Instant,
    /// End of the period. The parser skips events that start at this time or later.
    pub until: Instant,
    /// Zone of floating times and all-day events.
    pub zone: &'a Zone,
    /// True if a person stated the zone. Otherwise the zone that the feed names for itself counts.
    pub zone_is_stated: bool,
}

/// Format of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// iCalendar (RFC 5545).
    ICalendar,
    /// XMLTV programme guide.
    Xmltv,
}

/// Reads a feed.
///
/// # Errors
///
/// Returns the [`FeedError`] for which the parser rejects the whole feed. Problems of single events
/// go to [`Feed::problems`].
pub fn read(bytes: &[u8], format: Format, horizon: Horizon<'_>) -> Result<Feed, FeedError> {
    let limits::Text { text, note } = limits::text(bytes, format)?;
    let mut feed = match format {
        Format::ICalendar => ical::read(&text, horizon)?,
        Format::Xmltv => xmltv::read(&text, horizon)?,
    };
    feed.problems.splice(0..0, note);
    for event in &mut feed.events {
        event.key = limits::key(std::mem::take(&mut event.key));
    }
    feed.events.sort_by(|a, b| (a.start, &a.key).cmp(&(b.start, &b.key)));
    Ok(feed)
}

/// Limit of the upcoming events and limit of the past events in a calendar: 1,000 each.
/// `status.entries` shows far fewer.
const LOOKED_AT: usize = 1_000;

/// Returns the events of a feed that `select` matches, in the form for the planner.
///
/// Upcoming events and past events have separate limits. Past events therefore take no place from
/// upcoming events.
#[must_use]
pub fn entries(feed: Feed, select: &Select, now: Instant) -> calendar::Feed {
    let (off, on): (Vec<Event>, Vec<Event>) =
        feed.events.into_iter().filter(|event| select.fits(event)).partition(|e| e.cancelled);
    let entry = |event: Event| Entry {
        start_time: event.start,
        id: event.key,
        title: event.title.to_string(),
        end_time: event.end,
        note: event.note,
    };
    let is_over = |event: &Event| event.end.unwrap_or(event.start) <= now;
    let (over, coming): (Vec<Event>, Vec<Event>) = on.into_iter().partition(is_over);
    let latest = over.len().saturating_sub(LOOKED_AT);
    let kept = over.into_iter().skip(latest).chain(coming.into_iter().take(LOOKED_AT));
    let mut entries: Vec<Entry> = kept.map(entry).collect();
    entries.sort();
    calendar::Feed {
        entries,
        cancelled: off.into_iter().map(|event| event.key).collect(),
        total: feed.total as u64,
        unreadable: feed.unreadable as u64,
        problems: feed.problems,
    }
}

impl Feed {
    /// Counts an event or a rule that the parser cannot read, and records the reason.
    fn leave_out(&mut self, title: &str, why: &str) {
        self.unreadable += 1;
        self.say(title, why);
    }

    /// Records the reason why the parser skipped a part of an event. The parser keeps the rest of
    /// the event.
    fn say(&mut self, title: &str, why: &str) {
        if self.problems.len() < limits::PROBLEMS {
            self.problems.push(limits::word(&format!("\"{title}\": {why}")));
        }
    }
}

impl Horizon<'_> {
    fn shows(&self, start: Instant, end: Option<Instant>) -> bool {
        start < self.until && end.unwrap_or(start) >= self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_takes_no_place_of_what_is_to_come() {
        let now: Instant = "2026-03-20T00:00:00Z".parse().unwrap();
        let event = |n: i64| Event {
            key: n.to_string(),
            title: "Show".into(),
            other_titles: Arc::default(),
            channel: None,
            categories: Arc::default(),
            start: now + chrono::TimeDelta::minutes(n),
            end: None,
            cancelled: false,
            note: None,
        };
        let events = (-3_000..3_000).filter(|n| *n != 0).map(event).collect();
        let kept = entries(Feed { events, ..Feed::default() }, &Select::default(), now).entries;
        let (first, last) = (kept.first().unwrap(), kept.last().unwrap());
        assert_eq!((kept.len(), first.id.as_str(), last.id.as_str()), (2_000, "-1000", "1000"));
        assert!(kept.windows(2).all(|pair| pair[0].start_time <= pair[1].start_time));
    }
}
