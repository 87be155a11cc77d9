//! Content lines of an iCalendar file (RFC 5545, 3.1), and the components that they form.
//!
//! One reader, one loop: the depth is a counter, so no file can use up the stack, and no second opinion exists on where a
//! line ends. Line ends are `\r\n`, `\n` and `\r`; a line that begins with a blank or a tab goes on with the line before.

use crate::FeedError;
use crate::limits::{DEPTH, EVENTS, word};

/// A property, such as `DTSTART;TZID=Europe/Paris:20140112T210000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Property<'a> {
    /// Its name, in the case of the file.
    pub name: &'a str,
    /// What stands between name and value, such as `;TZID=Europe/Paris`.
    params: &'a str,
    /// Its value, escapes included.
    pub value: &'a str,
}

impl<'a> Property<'a> {
    /// The value of a parameter, without quotes.
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

    /// The value as text: `\n`, `\,`, `\;` and `\\` stand for what they name.
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

/// A component, such as what stands between `BEGIN:VEVENT` and `END:VEVENT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Component<'a> {
    /// Its name, in the case of the file.
    pub name: &'a str,
    /// Its properties, in the order of the file.
    pub properties: Vec<Property<'a>>,
    /// The components in it, in the order of the file.
    pub components: Vec<Self>,
}

impl<'a> Component<'a> {
    /// Whether it has this name. Names have no case (RFC 5545, 2).
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// All properties of a name.
    pub(crate) fn all<'b>(&'b self, name: &str) -> impl Iterator<Item = &'b Property<'a>> {
        self.properties.iter().filter(move |p| p.name.eq_ignore_ascii_case(name))
    }

    /// The first property of a name.
    pub(crate) fn one(&self, name: &str) -> Option<&Property<'a>> {
        self.all(name).next()
    }
}

/// The lines of a file, unfolded, one between two `\n`.
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

/// The components of a file whose lines are unfolded. What stands outside of all of them is passed over.
///
/// # Errors
///
/// Why nothing of it can be used: it is nested more than [`DEPTH`] deep, has more than [`EVENTS`] events, breaks off, or has
/// a line that is none.
pub(crate) fn components(unfolded: &str) -> Result<Vec<Component<'_>>, FeedError> {
    let malformed = |n: usize, what: String| FeedError::Malformed(format!("line {n}: {what}"));
    let (mut whole, mut open, mut events) = (Vec::new(), Vec::<Component<'_>>::new(), 0_usize);
    for (n, line) in unfolded.lines().enumerate().map(|(n, line)| (n + 1, line)) {
        if line.trim().is_empty() {
            continue;
        }
        let Some(property) = content_line(line) else {
            // A word alone says nothing, and real feeds have some. Caches write comments after the end.
            if open.is_empty() || is_name(line.trim()) {
                continue;
            }
            return Err(malformed(n, format!("\"{}\" is not NAME:VALUE", word(line))));
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
                None => whole.push(done),
            }
        } else if let Some(component) = open.last_mut() {
            component.properties.push(property);
        }
    }
    if !open.is_empty() {
        return Err(FeedError::Malformed("it breaks off in the middle".to_owned()));
    }
    Ok(whole)
}

fn content_line(line: &str) -> Option<Property<'_>> {
    let end = line.find([':', ';'])?;
    let (name, rest) = line.split_at_checked(end)?;
    // Where a quote is never closed, the first colon ends the parameters.
    let colon = outside_quotes(rest, &[':']).or_else(|| rest.find(':'))?;
    let (params, value) = rest.split_at_checked(colon)?;
    is_name(name).then(|| Property {
        name,
        params,
        value: value.strip_prefix(':').unwrap_or(value),
    })
}

/// A name of a property: letters, digits and dashes (RFC 5545, 3.1); real feeds use underscores, dots and slashes besides.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
}

/// Where one of some characters first stands outside of double quotes.
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
        let whole = components(&lines).map_err(|why| why.to_string())?;
        Ok(whole.iter().map(told).collect())
    }

    #[test]
    fn every_line_end_is_one_and_a_blank_folds() {
        for end in ["\r\n", "\n", "\r"] {
            let text = ["BEGIN:A", "x:1", " 2", "\t3", "begin:b", "END:B", "", "END:a"].join(end);
            assert_eq!(read(&text).unwrap(), ["A(x=123 b())"], "{end:?}");
        }
        assert_eq!(read("BEGIN:A\r\nX:\nEND:A\rBEGIN:B\nEND:B").unwrap(), ["A(X=)", "B()"]);
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
            ("BEGIN:A\nno colon\nEND:A", "line 2: \"no colon\" is not NAME:VALUE"),
            ("BEGIN:A\n<p>: x\nEND:A", "line 2: \"<p>: x\" is not NAME:VALUE"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(said), "{text:?}: {why}");
        }
        let around = "X:1\nBEGIN:A\nword\nEND:A\n \n# after\nBEGIN:B\nEND:B";
        assert_eq!(read(around).unwrap(), ["A()", "B()"]);
    }
}
