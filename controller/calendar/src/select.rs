//! Selection of the events of a feed that a surge follows.

use icu_normalizer::ComposingNormalizerBorrowed;

use crate::Event;

/// Criteria for an event. An absent criterion matches every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// Channel of a programme guide, such as `m6.fr`.
    pub channel: Option<String>,
    /// Pattern for a title of the event, ignoring case. `*` stands for any text: `Capital*`.
    pub title: Option<String>,
    /// Category of the event, ignoring case.
    pub category: Option<String>,
}

impl Select {
    /// True if the event meets all criteria.
    #[must_use]
    pub fn fits(&self, event: &Event) -> bool {
        let channel = self.channel.as_ref().is_none_or(|c| event.channel.as_ref() == Some(c));
        let titles =
            || std::iter::once(&*event.title).chain(event.other_titles.iter().map(AsRef::as_ref));
        let title = self.title.as_ref().is_none_or(|t| titles().any(|title| is_like(title, t)));
        let one_of = |wanted: &String| event.categories.iter().any(|c| folded(c) == folded(wanted));
        channel && title && self.category.as_ref().is_none_or(one_of)
    }
}

/// Returns a text without the differences that people do not see: upper case, and accents written
/// as characters of their own (Unicode NFC).
fn folded(text: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc().normalize(&text.to_lowercase()).into_owned()
}

/// True if the text matches the pattern, in which `*` stands for any text.
///
/// The function takes the earliest match of each part between two `*` and never backtracks. The
/// time is therefore proportional to the lengths of text and pattern.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (folded(text), folded(pattern));
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_are_the_same_however_they_are_written() {
        assert!(is_like("E\u{301}conomie", "\u{e9}co*") && is_like("\u{e9}conomie", "e\u{301}co*"));
    }

    #[test]
    fn a_star_is_anything_and_case_does_not_matter() {
        for (text, pattern, fits) in [
            ("Capital", "capital", true),
            ("Capital : spéciale", "capital*", true),
            ("Le grand CAPITAL", "*Capital", true),
            ("Enquête: Capital, la suite", "*capital*suite", true),
            ("Capital", "Capital*x", false),
            ("Capitale", "Capital", false),
            ("abab", "ab*ab", true),
            ("aba", "ab*ba", false),
            ("", "*", true),
            ("x", "", false),
        ] {
            assert_eq!(is_like(text, pattern), fits, "{text} ~ {pattern}");
        }
    }
}
