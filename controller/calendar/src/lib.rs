//! Feeds of events, read: iCalendar (RFC 5545) and XMLTV programme guides.
//!
//! A feed is text from outside. What is in it is bounded before it is looked at, what cannot be understood is said with
//! its event, and nothing of it can keep a reader busy: no clock, no I/O, one pass.
//!
//! | room | rule |
//! |---|---|
//! | [`limits`] | how much of a feed is read, and what is refused unread |
//! | `lines` | content lines of an iCalendar file, and the components that they form |
//! | `ical` | events of an iCalendar file, moved and cancelled ones |
//! | `time` | whose clock a time of it is |
//! | `recurrence` | a rule to the clocks that it names |
//! | `xmltv` | programmes of a guide |
//! | [`select`] | the events that a surge is about |

mod ical;
pub mod limits;
mod lines;
mod recurrence;
pub mod select;
mod time;
mod xmltv;

use std::sync::Arc;

use primetime_core::Instant;
use primetime_core::schedule::Zone;
use primetime_core::state::calendar::{self, Entry};

pub use select::Select;

/// An event of a feed, at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What stays the same when it is moved: the event's own id and which of its occurrences it is.
    pub key: String,
    /// How people call it.
    pub title: Arc<str>,
    /// Its titles in other languages.
    pub other_titles: Arc<[String]>,
    /// Where it is broadcast, in a programme guide.
    pub channel: Option<String>,
    /// What kind of event it is.
    pub categories: Arc<[String]>,
    /// When it begins.
    pub start: Instant,
    /// The end of the event; `None` if the feed gives none.
    pub end: Option<Instant>,
    /// It was called off, and the feed says so.
    pub cancelled: bool,
    /// Said where the clock on the wall does not show its start, or shows it twice.
    pub note: Option<String>,
}

/// What was found in a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// Events that have not ended when the horizon begins and start before it ends, in order of start, then key.
    pub events: Vec<Event>,
    /// How many events the feed has in all, whenever they are, recurring ones once: what shows that it has shrunk.
    pub total: usize,
    /// How many of them could not be understood.
    pub unreadable: usize,
    /// What could not be understood, event by event; bounded.
    pub problems: Vec<String>,
}

/// Why the parser rejects a whole feed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FeedError {
    /// Nothing.
    #[error("the feed is empty")]
    Empty,
    /// More than is read.
    #[error("the feed has {bytes} bytes; at most {most} are read")]
    TooLong {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// A compressed feed.
    #[error("the feed is compressed; serve it as plain text")]
    Compressed,
    /// Something else than what was asked for.
    #[error("the feed is {found} and no {expected}")]
    SomethingElse {
        /// What it seems to be.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// Not in UTF-8.
    #[error("the feed is not in UTF-8")]
    NotUtf8,
    /// Deeper than any feed is.
    #[error("the feed is nested more than {most} deep")]
    TooDeep {
        /// The limit.
        most: usize,
    },
    /// More than is read.
    #[error("the feed has more than {most} events")]
    TooMany {
        /// The limit.
        most: usize,
    },
    /// Its rules would have to be followed for too long.
    #[error(
        "the rules of the feed take more than {most} steps to follow; let old ones end, or begin later"
    )]
    TooMuchToFollow {
        /// The limit.
        most: u64,
    },
    /// It breaks off, or is not well-formed.
    #[error("the feed cannot be read: {0}")]
    Malformed(String),
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Horizon<'a> {
    /// Events that have ended by then are left out.
    pub from: Instant,
    /// So are those that start then or later.
    pub until: Instant,
    /// Whose clock floating times and all-day events mean.
    pub zone: &'a Zone,
}

/// The format of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 5545.
    ICalendar,
    /// A programme guide.
    Xmltv,
}

/// Reads a feed.
///
/// # Errors
///
/// Why nothing of it can be used. What is wrong with single events stands in [`Feed::problems`].
pub fn read(bytes: &[u8], format: Format, horizon: Horizon<'_>) -> Result<Feed, FeedError> {
    let text = limits::text(bytes, format)?;
    let mut feed = match format {
        Format::ICalendar => ical::read(text, horizon)?,
        Format::Xmltv => xmltv::read(text, horizon)?,
    };
    for event in &mut feed.events {
        event.key = limits::key(std::mem::take(&mut event.key));
    }
    feed.events.sort_by(|a, b| (a.start, &a.key).cmp(&(b.start, &b.key)));
    Ok(feed)
}

/// So many events to come are kept, and so many that are over: far more than a calendar shows.
const LOOKED_AT: usize = 1_000;

/// What of a feed a calendar keeps: the events that it is about. The limit counts events to come and events that are over apart:
/// a guide with a week behind it has as many to come as one that begins today.
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
    /// An event, or a rule of one, cannot be understood: it is counted, and the first of them are said.
    fn leave_out(&mut self, title: &str, why: &str) {
        self.unreadable += 1;
        self.say(title, why);
    }

    /// A part of an event cannot be understood, and the rest of it stays.
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
