//! Many queries as one: each is marked with its number, and `or` joins them.
//!
//! A thousand targets cost a Prometheus ten requests a round so, not a thousand. `label_replace` and `or` take instant vectors
//! only: a group with a query that yields something else is refused as a whole, and halved until that query is alone.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The label that says which query a series answers.
pub(crate) const MARK: &str = "primetime_query";

/// As many queries are one at most: they and their answers stay far below any limit of a proxy on the way.
const MOST: usize = 100;

/// A group that is too much is halved down to this: were each asked alone, a Prometheus that is slow as a whole would be asked
/// most when it can answer least.
const LEAST: usize = 8;

/// As much text is one request at most.
const TEXT: usize = 64 << 10;

/// What was asked apart is tried together with the others again after this.
const APART: Duration = Duration::from_mins(5);

/// In groups of which size queries are asked that cannot be asked with all the others, by address and query.
#[derive(Debug, Default)]
pub(crate) struct Sizes(Mutex<BTreeMap<(String, String), (usize, Instant)>>);

impl Sizes {
    /// The queries in groups that are asked as one each.
    pub(crate) fn groups(&self, url: &str, queries: &[String]) -> Vec<Vec<String>> {
        let mut by_size: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let now = Instant::now();
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.retain(|(at, query), (_, until)| {
            *until > now && (at != url || queries.contains(query))
        });
        for query in queries {
            let known = sizes.get(&(url.to_owned(), query.clone())).map(|(size, _)| *size);
            let size = known.unwrap_or_else(|| if is_balanced(query) { MOST } else { 1 });
            by_size.entry(size).or_default().push(query.clone());
        }
        by_size.into_iter().flat_map(|(size, queries)| chunks(queries, size)).collect()
    }

    /// This one cannot be asked together with others.
    pub(crate) fn alone(&self, url: &str, query: &str) {
        self.remember(url, std::iter::once(query), 1);
    }

    /// Together these are too slow, or too much.
    pub(crate) fn too_much(&self, url: &str, queries: &[String]) {
        let size = (queries.len() / 2).max(LEAST);
        self.remember(url, queries.iter().map(String::as_str), size);
    }

    fn remember<'a>(&self, url: &str, queries: impl Iterator<Item = &'a str>, size: usize) {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for query in queries {
            let until = Instant::now() + APART;
            sizes.insert((url.to_owned(), query.to_owned()), (size, until));
        }
    }
}

fn chunks(queries: Vec<String>, size: usize) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut text = 0;
    for query in queries {
        text += query.len();
        match groups.last_mut() {
            Some(group) if group.len() < size && text <= TEXT => group.push(query),
            _ => {
                text = query.len();
                groups.push(vec![query]);
            }
        }
    }
    groups
}

/// One query that asks them all.
pub(crate) fn joined(queries: &[String]) -> String {
    let mut all = String::new();
    for (n, query) in queries.iter().enumerate() {
        let or = if n == 0 { "" } else { " or " };
        // A comment at its end must not swallow what follows.
        let _ = write!(all, "{or}label_replace((\n{query}\n), \"{MARK}\", \"{n}\", \"\", \"\")");
    }
    all
}

/// Whether a query stays within its own parentheses: nobody answers for somebody else's.
fn is_balanced(query: &str) -> bool {
    let (mut open, mut quote, mut comment, mut escaped) = (Vec::new(), None, false, false);
    for character in query.chars() {
        match (quote, character) {
            _ if comment => comment = character != '\n',
            (Some(_), _) if escaped => escaped = false,
            // Between backquotes nothing is escaped.
            (Some(q), '\\') if q != '`' => escaped = true,
            (Some(q), c) => quote = Some(q).filter(|q| *q != c),
            (None, '#') => comment = true,
            (None, '"' | '\'' | '`') => quote = Some(character),
            (None, '(') => open.push(')'),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ')' | ']' | '}') if open.pop() != Some(character) => return false,
            (None, _) => {}
        }
    }
    open.is_empty() && quote.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("sum(load{n})")).collect()
    }

    fn sizes(groups: &[Vec<String>]) -> Vec<usize> {
        groups.iter().map(Vec::len).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_targets_are_ten_requests() {
        let asked = Sizes::default();
        assert_eq!(sizes(&asked.groups("a", &named(1_000))), [100; 10]);
        let long: Vec<String> = (0..100).map(|n| format!("{n}{}", " ".repeat(4_000))).collect();
        assert!(asked.groups("a", &long).iter().all(|g| g.len() <= 17));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_go_with_the_others_goes_apart_for_a_while() {
        let asked = Sizes::default();
        let queries = named(100);
        asked.alone("a", "sum(load7)");
        assert_eq!(sizes(&asked.groups("a", &queries)), [1, 99]);
        assert_eq!(sizes(&asked.groups("b", &queries)), [100], "another source");
        asked.too_much("a", &queries);
        assert_eq!(sizes(&asked.groups("a", &queries)), [50, 50]);
        for _ in 0..10 {
            for group in asked.groups("a", &queries) {
                asked.too_much("a", &group);
            }
        }
        assert!(sizes(&asked.groups("a", &queries)).iter().all(|n| *n <= LEAST));
        tokio::time::advance(APART).await;
        assert_eq!(sizes(&asked.groups("a", &queries)), [100]);
        // What is not asked any more is forgotten.
        asked.alone("a", "sum(load7)");
        asked.groups("a", &named(3));
        assert!(asked.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_query_that_leaves_its_parentheses_is_asked_alone() {
        for query in [
            "sum(shop_sessions)",
            r#"sum(x{a="(", b='\')', c=~`\`}) # ((("#,
            "sum(\n# it's\nx)",
            "max_over_time(x[5m]) @ end()",
        ] {
            assert!(is_balanced(query), "{query}");
        }
        for query in [
            r#"vector(0)), "primetime_query", "1", "", "") or label_replace((vector(0)"#,
            "sum(x",
            "sum(x))",
            "x{a=\"}",
            "(]",
            "x # ' \n)",
        ] {
            assert!(!is_balanced(query), "{query}");
        }
    }

    #[test]
    fn each_is_marked_with_its_number() {
        assert_eq!(
            joined(&["a".to_owned(), "b # last".to_owned()]),
            "label_replace((\na\n), \"primetime_query\", \"0\", \"\", \"\") or label_replace((\nb # last\n), \"primetime_query\", \"1\", \"\", \"\")"
        );
    }
}
