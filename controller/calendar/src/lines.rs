//! Content lines of an iCalendar file (RFC 5545, 3.1), and the components made of the lines.
//!
//! The parser is a loop with a depth counter, so a file cannot exhaust the stack. The function
//! `unfolded` alone decides where a line ends. Line ends are `\r\n`, `\n` and `\r`. A line that
//! begins with a blank or a tab continues the previous line.

use crate::FeedError;
use crate::limits::{DEPTH, EVENTS, PROBLEMS, word};

/// A property, such as `DTSTART;TZID=Europe/Paris:20140112T210000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Property<'a> {
    /// Name, in the case of the file.
    pub name: &'a str,
    /// Parameters between name and value, such as `;TZID=Europe/Paris`.
    params: &'a str,
    /// Value, with escapes.
    pub value: &'a str,
}

impl<'a> Property<'a> {
    /// Returns the value of a parameter, without quotes.
    pub(crate) fn param(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.params;
        while let Some(param) = rest.strip_prefix(';') {
            let end = outside_quotes(param, &[';']).unwrap_or(param.len());
            let (this, next) = param.split_at_checked(end)?;
            if let Some((key, value)) = this.split_once('=')
                && key.trim().eq_ignore_ascii_case(name)
            {
                return Some(value.trim().trim_matches('"'));
            }
            rest = next;
        }
        None
    }

    /// Returns the value as text, with the escapes `\n`, `\,`, `\;` and `\\` resolved.
    pub(crate) fn text(&self) -> String {
        let (mut text, mut escaped) = (String::with_capacity(self.value.len()), false);
        for character in self.value.chars() {
            match character {
                '\\' if !escaped => {
                    escaped = true;
                    continue;
                }
                'n' | 'N' if escaped => text.push('\n'),
                _ => text.push(character),
            }
            escaped = false;
        }
        text
    }
}

/// A component, such as the lines from `BEGIN:VEVENT` to `END:VEVENT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Component<'a> {
    /// Name, in the case of the file.
    pub name: &'a str,
    /// Properties, in the order of the file.
    pub properties: Vec<Property<'a>>,
    /// Inner components, in the order of the file.
    pub components: Vec<Self>,
}

impl<'a> Component<'a> {
    /// True if the component has the given name. Names ignore case (RFC 5545, 2).
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Returns all properties with the given name.
    pub(crate) fn all<'b>(&'b self, name: &str) -> impl Iterator<Item = &'b Property<'a>> {
        self.properties.iter().filter(move |p| p.name.eq_ignore_ascii_case(name))
    }

    /// Returns the first property with the given name.
    pub(crate) fn one(&self, name: &str) -> Option<&Property<'a>> {
        self.all(name).next()
    }
}

/// Returns the lines of a file, unfolded and separated by `\n`.
pub(crate) fn unfolded(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(end) = rest.find(['\r', '\n']) {
        let (line, more) = rest.split_at_checked(end).unwrap_or((rest, ""));
        lines.push_str(line);
        rest = more.strip_prefix("\r\n").or_else(|| more.get(1..)).unwrap_or_default();
        match rest.strip_prefix([' ', '\t']) {
            Some(folded) => rest = folded,
            None => lines.push('\n'),
        }
    }
    lines.push_str(rest);
    lines
}

/// Components of a file, and messages about lines that the parser skipped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed<'a> {
    pub components: Vec<Component<'a>>,
    /// One message for each skipped line, at most [`PROBLEMS`].
    pub odd: Vec<String>,
}

/// Properties that the reader uses. The parser drops all others, so that a file of a million lines
/// needs little memory.
const USED: [&str; 18] = [
    "CATEGORIES",
    "DTEND",
    "DTSTART",
    "DURATION",
    "EXDATE",
    "EXRULE",
    "RDATE",
    "RECURRENCE-ID",
    "RRULE",
    "SEQUENCE",
    "STATUS",
    "SUMMARY",
    "TZID",
    "TZOFFSETFROM",
    "TZOFFSETTO",
    "UID",
    "X-WR-TIMEZONE",
    "X-LIC-LOCATION",
];

/// Parses the components of a file with unfolded lines. The parser skips lines outside all
/// components, and lines that are not `NAME:VALUE`: real feeds contain unescaped line breaks.
///
/// # Errors
///
/// Returns [`FeedError::TooDeep`] above [`DEPTH`] levels and [`FeedError::TooMany`] above
/// [`EVENTS`] events. Returns [`FeedError::Malformed`] if an `END` is missing or wrong.
pub(crate) fn components(unfolded: &str) -> Result<Parsed<'_>, FeedError> {
    let malformed = |n: usize, what: String| FeedError::Malformed(format!("line {n}: {what}"));
    let (mut parsed, mut open, mut events) =
        (Parsed::default(), Vec::<Component<'_>>::new(), 0_usize);
    for (n, line) in unfolded.lines().enumerate().map(|(n, line)| (n + 1, line)) {
        if line.trim().is_empty() {
            continue;
        }
        let Some(property) = content_line(line) else {
            // Some real feeds contain single words. Caches append comments after the end.
            let harmless = open.is_empty() || is_name(line.trim());
            if !harmless && parsed.odd.len() < PROBLEMS {
                parsed
                    .odd
                    .push(format!("line {n} is skipped: \"{}\" is not NAME:VALUE", shown(line)));
            }
            continue;
        };
        if property.name.eq_ignore_ascii_case("BEGIN") {
            if open.len() >= DEPTH {
                return Err(FeedError::TooDeep { most: DEPTH });
            }
            let component = Component { name: property.value.trim(), ..Component::default() };
            events += usize::from(component.is("VEVENT"));
            if events > EVENTS {
                return Err(FeedError::TooMany { most: EVENTS });
            }
            open.push(component);
        } else if property.name.eq_ignore_ascii_case("END") {
            let name = property.value.trim();
            let done = match open.pop() {
                Some(done) if done.is(name) => done,
                Some(other) => {
                    let (name, other) = (word(name), word(other.name));
                    return Err(malformed(n, format!("END:{name}, where END:{other} is due")));
                }
                None => return Err(malformed(n, format!("END:{} ends nothing", word(name)))),
            };
            match open.last_mut() {
                Some(outer) => outer.components.push(done),
                None => parsed.components.push(done),
            }
        } else if let Some(component) = open.last_mut()
            && USED.iter().any(|used| property.name.eq_ignore_ascii_case(used))
        {
            component.properties.push(property);
        }
    }
    if !open.is_empty() {
        return Err(FeedError::Malformed("it breaks off in the middle".to_owned()));
    }
    Ok(parsed)
}

/// Returns the begin of a line, for a message.
fn shown(line: &str) -> String {
    word(&line.chars().take(60).collect::<String>())
}

fn content_line(line: &str) -> Option<Property<'_>> {
    let end = line.find([':', ';'])?;
    let (name, rest) = line.split_at_checked(end)?;
    // If a quote is never closed, the first colon ends the parameters.
    let colon = outside_quotes(rest, &[':']).or_else(|| rest.find(':'))?;
    let (params, value) = rest.split_at_checked(colon)?;
    is_name(name).then(|| Property {
        name,
        params,
        value: value.strip_prefix(':').unwrap_or(value),
    })
}

/// True if the text is a property name: letters, digits and dashes (RFC 5545, 3.1). Real feeds also
/// use underscores, dots and slashes.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
}

/// Returns the position of the first sought character outside double quotes.
fn outside_quotes(text: &str, sought: &[char]) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, character)| {
        quoted ^= character == '"';
        (!quoted && sought.contains(&character)).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        fn told(component: &Component<'_>) -> String {
            let properties = component.properties.iter().map(|p| format!("{}={}", p.name, p.value));
            let inner: Vec<String> =
                properties.chain(component.components.iter().map(told)).collect();
            format!("{}({})", component.name, inner.join(" "))
        }
        let lines = unfolded(text);
        let parsed = components(&lines).map_err(|why| why.to_string())?;
        Ok(parsed.components.iter().map(told).collect())
    }

    #[test]
    fn every_line_end_is_one_and_a_blank_folds() {
        for end in ["\r\n", "\n", "\r"] {
            let text = ["BEGIN:A", "uid:1", " 2", "\t3", "begin:b", "END:B", "", "END:a"].join(end);
            assert_eq!(read(&text).unwrap(), ["A(uid=123 b())"], "{end:?}");
        }
        assert_eq!(read("BEGIN:A\r\nUID:\nEND:A\rBEGIN:B\nEND:B").unwrap(), ["A(UID=)", "B()"]);
    }

    #[test]
    fn parameters_may_have_colons_and_semicolons_between_quotes() {
        let line = content_line("X;A=\"b;c:d\";tzid=\"Europe/Paris\";E:f:g").unwrap();
        assert_eq!((line.param("a"), line.value), (Some("b;c:d"), "f:g"));
        assert_eq!((line.param("TZID"), line.param("E")), (Some("Europe/Paris"), None));
        let open = content_line("X;A=\"b:c").unwrap();
        assert_eq!((open.param("A"), open.value), (Some("b"), "c"));
    }

    #[test]
    fn escapes_stand_for_what_they_name() {
        let line = content_line(r"SUMMARY:a\, b\; c\\n\Nd").unwrap();
        assert_eq!(line.text(), "a, b; c\\n\nd");
    }

    #[test]
    fn what_is_no_calendar_is_refused_with_its_line() {
        for (text, said) in [
            ("BEGIN:A\nEND:\nEND:A", "line 2: END:, where END:A is due"),
            ("BEGIN:A\nEND:B", "line 2: END:B, where END:A is due"),
            ("END:A", "line 1: END:A ends nothing"),
            ("BEGIN:A\n", "breaks off in the middle"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(said), "{text:?}: {why}");
        }
        for (line, skipped) in [
            ("no colon", Some("no colon")),
            ("<p>: x", Some("<p>: x")),
            ("ORGANIZER=\"mailto:x\"", Some("ORGANIZER=\"mailto:x\"")),
            ("SUMMARY=test", Some("SUMMARY=test")),
            ("rosoftInternetExplorer4</p>=0D=0A", Some("rosoftInternetExplorer4</p>=0D=0A")),
            ("word", None),
            ("X-ODD:1", None),
        ] {
            let text = format!("BEGIN:A\n{line}\nUID:1\nEND:A");
            let parsed = components(&text).unwrap();
            let said = skipped.map(|s| format!("line 2 is skipped: \"{s}\" is not NAME:VALUE"));
            assert_eq!(parsed.odd, said.into_iter().collect::<Vec<_>>());
            assert_eq!(parsed.components.first().unwrap().properties.len(), 1, "{line}");
        }
        let around = "X:1\nBEGIN:A\nword\nEND:A\n \n# after\nBEGIN:B\nEND:B";
        assert_eq!(read(around).unwrap(), ["A()", "B()"]);
    }
}
