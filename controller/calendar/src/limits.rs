//! Limits of a feed. A guide of 50 channels for two weeks has 10 MB and 25,000 programmes. A
//! calendar kept by hand has hundreds of events.

use std::borrow::Cow;
use std::hash::Hasher;
use std::io::Read;

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

/// Largest number of steps that a single rule may take: an hourly rule takes 20,000 within the
/// horizon.
pub const RULE_STEPS: u64 = 50_000;

/// Largest number of occurrences that the parser keeps of all recurring events. The parser leaves
/// out the event that exceeds the limit, and no other event.
pub const OCCURRENCES: usize = 100_000;

/// Largest number of messages about single events.
pub const PROBLEMS: usize = 20;

/// Largest number of categories that the parser keeps of an event.
pub const CATEGORIES: usize = 32;

/// Longest text that the parser keeps of a title or message, in characters. The parser cuts longer
/// text.
pub const WORD: usize = 200;

/// Text of a feed, and a note if the parser had to guess the encoding.
#[derive(Debug)]
pub struct Text<'a> {
    /// The text, without byte order mark and leading blanks.
    pub text: Cow<'a, str>,
    /// Note for people about the encoding.
    pub note: Option<String>,
}

/// Returns the text of a feed. The function decompresses gzip, up to the limit of the format.
///
/// An XMLTV guide may be in the encoding that its XML declaration names. An iCalendar file is in
/// UTF-8 (RFC 5545, 3.1.4); a file that is not is read as Windows-1252, with a note.
///
/// # Errors
///
/// Returns [`FeedError::TooLong`], [`FeedError::Compressed`], [`FeedError::Damaged`],
/// [`FeedError::NotUtf8`] or [`FeedError::Empty`] for bytes that no parser can read. Returns
/// [`FeedError::SomethingElse`] if the first characters belong to another format.
pub fn text(bytes: &[u8], format: Format) -> Result<Text<'_>, FeedError> {
    let most = match format {
        Format::ICalendar => ICALENDAR_BYTES,
        Format::Xmltv => XMLTV_BYTES,
    };
    if bytes.len() > most {
        return Err(FeedError::TooLong { bytes: bytes.len(), most });
    }
    if [&b"PK\x03\x04"[..], b"BZh", b"\xfd7zXZ"].iter().any(|m| bytes.starts_with(m)) {
        return Err(FeedError::Compressed);
    }
    let bytes = if bytes.starts_with(b"\x1f\x8b") {
        Cow::Owned(decompressed(bytes, most)?)
    } else {
        Cow::Borrowed(bytes)
    };
    let (text, note) = decoded(bytes, format)?;
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(without_mark(text)),
        Cow::Owned(text) if without_mark(&text).len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(without_mark(&text).to_owned()),
    };
    is_format(&text, format)?;
    Ok(Text { text, note })
}

fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim_start()
}

/// Decompresses gzip. A bomb costs `most` bytes.
fn decompressed(bytes: &[u8], most: usize) -> Result<Vec<u8>, FeedError> {
    let mut plain = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = flate2::read::MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut plain);
    read.map_err(|why| FeedError::Damaged(word(&why.to_string())))?;
    if plain.len() > most {
        return Err(FeedError::TooLong { bytes: plain.len(), most });
    }
    Ok(plain)
}

/// Decodes UTF-8, the encoding of an XML declaration, or Windows-1252 for an iCalendar file.
fn decoded(
    bytes: Cow<'_, [u8]>,
    format: Format,
) -> Result<(Cow<'_, str>, Option<String>), FeedError> {
    let declared = declared_encoding(&bytes).filter(|_| format == Format::Xmltv);
    let as_utf8 = match bytes {
        Cow::Borrowed(bytes) => {
            std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Cow::Borrowed(bytes))
        }
        Cow::Owned(bytes) => {
            String::from_utf8(bytes).map(Cow::Owned).map_err(|why| Cow::Owned(why.into_bytes()))
        }
    };
    let bytes = match as_utf8 {
        Ok(text) => return Ok((text, None)),
        Err(bytes) => bytes,
    };
    let encoding = match (format, &declared) {
        (Format::ICalendar, _) => Some(encoding_rs::WINDOWS_1252),
        (Format::Xmltv, Some(name)) => encoding_rs::Encoding::for_label(name.as_bytes()),
        (Format::Xmltv, None) => None,
    };
    let Some(encoding) = encoding.filter(|encoding| *encoding != encoding_rs::UTF_8) else {
        return Err(FeedError::NotUtf8(declared.unwrap_or_else(|| "UTF-8".to_owned())));
    };
    let (text, _, malformed) = encoding.decode(&bytes);
    if malformed {
        return Err(FeedError::NotUtf8(encoding.name().to_owned()));
    }
    let note = (format == Format::ICalendar)
        .then(|| format!("the feed is not in UTF-8; it is read as {}", encoding.name()));
    Ok((Cow::Owned(text.into_owned()), note))
}

/// Returns the encoding that an XML declaration names.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let begin = bytes.get(..200.min(bytes.len()))?;
    let begin = String::from_utf8_lossy(begin);
    let declaration = begin.trim_start_matches('\u{feff}').trim_start().strip_prefix("<?xml")?;
    let declaration = declaration.split_once("?>")?.0;
    let rest = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some(rest.get(1..)?.split(quote).next()?.to_owned())
}

/// Refuses text of another format.
fn is_format(text: &str, format: Format) -> Result<(), FeedError> {
    if text.is_empty() {
        return Err(FeedError::Empty);
    }
    let begins =
        |with: &str| text.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    let expected = match format {
        Format::ICalendar if begins("BEGIN:VCALENDAR") => return Ok(()),
        Format::ICalendar => "iCalendar file (BEGIN:VCALENDAR)",
        Format::Xmltv if begins("<") && !begins("<!DOCTYPE html") && !begins("<html") => {
            return Ok(());
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
