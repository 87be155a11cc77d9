//! Limits of a feed. A guide of 50 channels for two weeks has 10 MB and 25,000 programmes. A
//! calendar kept by hand has hundreds of events.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::{FeedError, Format};

/// Largest programme guide: 20 MiB.
pub const XMLTV_BYTES: usize = 20 << 20;

/// Largest iCalendar file: 4 MiB. The parsed tree takes twenty times the memory of the file.
pub const ICALENDAR_BYTES: usize = 4 << 20;

/// Largest feed of any format, in bytes.
pub const BYTES: usize = XMLTV_BYTES;

/// Largest number of events in a feed.
pub const EVENTS: usize = 50_000;

/// Largest depth of nested components or elements.
pub const DEPTH: usize = 16;

/// Longest recurrence rule, in bytes.
pub const RULE: usize = 1_000;

/// Largest number of steps that all rules of a feed may take together. A daily rule takes two steps
/// for each day that the parser visits: a step for the day and a step for the occurrence.
pub const STEPS: u64 = 1_000_000;

/// Largest number of messages about single events.
pub const PROBLEMS: usize = 20;

/// Largest number of categories that the parser keeps of an event.
pub const CATEGORIES: usize = 32;

/// Longest text that the parser keeps of a title or message, in characters. The parser cuts longer
/// text.
pub const WORD: usize = 200;

/// Returns the text of a feed, without byte order mark and leading blanks.
///
/// # Errors
///
/// Returns [`FeedError::TooLong`], [`FeedError::Compressed`], [`FeedError::NotUtf8`] or
/// [`FeedError::Empty`] for text that no parser can read. Returns [`FeedError::SomethingElse`] if
/// the first characters belong to another format.
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

/// Longest event id, in characters. [`key`] shortens longer ids.
pub const KEY: usize = 200;

/// Shortens the id of an event to [`KEY`] characters. A digest of the whole id replaces the end, so
/// that different ids stay different.
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

/// Cuts a text to [`WORD`] characters and removes control characters, which could command a
/// terminal.
#[must_use]
pub fn word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORD).collect::<String>().trim().to_owned()
}
