//! How much of a feed is read. A guide of 50 channels for two weeks has 10 MB and 25,000 programmes; a calendar that people
//! keep has hundreds of events.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::{FeedError, Format};

/// The longest programme guide.
pub const XMLTV_BYTES: usize = 20 << 20;

/// The longest calendar: read into a tree, it takes twenty times its size.
pub const ICALENDAR_BYTES: usize = 4 << 20;

/// The longest feed of any kind.
pub const BYTES: usize = XMLTV_BYTES;

/// The most events in one.
pub const EVENTS: usize = 50_000;

/// Components within components, elements within elements.
pub const DEPTH: usize = 16;

/// The longest rule.
pub const RULE: usize = 1_000;

/// Steps that all rules of a feed take together: a daily rule takes 365 a year from its beginning on.
pub const STEPS: u64 = 1_000_000;

/// What is wrong with single events is said so many times.
pub const PROBLEMS: usize = 20;

/// So many categories of an event are looked at.
pub const CATEGORIES: usize = 32;

/// Longer words of a feed are cut.
pub const WORD: usize = 200;

/// The text of a feed, if that is what it is.
///
/// # Errors
///
/// What it is instead.
pub fn text(bytes: &[u8], format: Format) -> Result<&str, FeedError> {
    let most = match format {
        Format::ICalendar => ICALENDAR_BYTES,
        Format::Xmltv => XMLTV_BYTES,
    };
    if bytes.len() > most {
        return Err(FeedError::TooLong { bytes: bytes.len(), most });
    }
    if [&b"\x1f\x8b"[..], b"PK\x03\x04", b"BZh", b"\xfd7zXZ"].iter().any(|m| bytes.starts_with(m)) {
        return Err(FeedError::Compressed);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| FeedError::NotUtf8)?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() {
        return Err(FeedError::Empty);
    }
    let begins =
        |with: &str| text.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    let expected = match format {
        Format::ICalendar if begins("BEGIN:VCALENDAR") => return Ok(text),
        Format::ICalendar => "iCalendar file (BEGIN:VCALENDAR)",
        Format::Xmltv if begins("<") && !begins("<!DOCTYPE html") && !begins("<html") => {
            return Ok(text);
        }
        Format::Xmltv => "XMLTV guide (<tv>)",
    };
    let found = if begins("<!DOCTYPE html") || begins("<html") {
        "an HTML page"
    } else if begins("{") || begins("[") {
        "JSON"
    } else if begins("<") {
        "XML"
    } else if begins("BEGIN:VCALENDAR") {
        "an iCalendar file"
    } else {
        "something else"
    };
    Err(FeedError::SomethingElse { found, expected })
}

/// Longer ids of events are shortened.
pub const KEY: usize = 200;

/// The id of an event, as short as a record may be: what is cut stands in a digest, so that two stay two.
#[must_use]
pub fn key(long: String) -> String {
    if long.chars().count() <= KEY {
        return long;
    }
    let mut hasher = SipHasher13::new();
    hasher.write(long.as_bytes());
    let begin: String = long.chars().take(KEY - 17).collect();
    format!("{begin}-{:016x}", hasher.finish())
}

/// A word of a feed, without what a terminal would obey, and no longer than a line.
#[must_use]
pub fn word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORD).collect::<String>().trim().to_owned()
}
