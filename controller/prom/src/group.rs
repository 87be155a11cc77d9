//! Groups of queries of a namespace that Prometheus answers as a single query. A label marks each
//! query with a number, and `or` joins the queries.
//!
//! A thousand targets of a namespace thus cost ten requests per round instead of a thousand.
//! `label_replace` and `or` accept instant vectors only. If a query returns another type,
//! Prometheus refuses the whole group. The client then halves the group until that query is alone.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Label with the number of the query that a series answers.
pub(crate) const MARK: &str = "primetime_query";

/// Most queries in a group. The request and the answer stay far below the limits of common proxies.
const MOST: usize = 100;

/// Smallest group to which the client reduces a slow group.
///
/// A Prometheus that is slow as a whole would otherwise receive most requests while overloaded.
const LEAST: usize = 8;

/// Most bytes of query text in a group.
const TEXT: usize = 64 << 10;

/// Time after which the client puts a separated query back into a full group.
const APART: Duration = Duration::from_mins(5);

/// URL of the source and namespace of a query. The key includes the namespace, because results for
/// a namespace say nothing about equal queries of another namespace.
pub(crate) type Asker<'a> = (&'a str, &'a str);

/// URL, namespace and query.
type Asked = (String, String, String);

/// Group sizes of the queries that do not fit into a full group, each with an expiry time.
#[derive(Debug, Default)]
pub(crate) struct Sizes(Mutex<BTreeMap<Asked, (usize, Instant)>>);

impl Sizes {
    /// Divides the queries into groups. The client sends each group as a single request.
    pub(crate) fn groups(&self, asker: Asker<'_>, queries: &[String]) -> Vec<Vec<String>> {
        let mut by_size: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let now = Instant::now();
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.retain(|(url, namespace, query), (_, until)| {
            let of_others = (url.as_str(), namespace.as_str()) != asker;
            *until > now && (of_others || queries.contains(query))
        });
        for query in queries {
            let known = sizes.get(&asked(asker, query)).map(|(size, _)| *size);
            let size = known.unwrap_or_else(|| if is_balanced(query) { MOST } else { 1 });
            by_size.entry(size).or_default().push(query.clone());
        }
        by_size.into_iter().flat_map(|(size, queries)| chunks(queries, size)).collect()
    }

    /// Records that a query must be sent alone.
    pub(crate) fn alone(&self, asker: Asker<'_>, query: &str) {
        self.remember(asker, std::iter::once(query), 1);
    }

    /// Records that a group is too slow or too large, and halves the group size of the queries. The
    /// size never falls below [`LEAST`].
    pub(crate) fn too_much(&self, asker: Asker<'_>, queries: &[String]) {
        let size = (queries.len() / 2).max(LEAST);
        self.remember(asker, queries.iter().map(String::as_str), size);
    }

    fn remember<'a>(&self, asker: Asker<'_>, queries: impl Iterator<Item = &'a str>, size: usize) {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for query in queries {
            let until = Instant::now() + APART;
            sizes.insert(asked(asker, query), (size, until));
        }
    }
}

fn asked((url, namespace): Asker<'_>, query: &str) -> Asked {
    (url.to_owned(), namespace.to_owned(), query.to_owned())
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

/// Joins the queries into a single query.
pub(crate) fn joined(queries: &[String]) -> String {
    let mut all = String::new();
    for (n, query) in queries.iter().enumerate() {
        let or = if n == 0 { "" } else { " or " };
        let _ = write!(all, "{or}label_replace((\n{query}\n), \"{MARK}\", \"{n}\", \"\", \"\")");
    }
    all
}

/// True if the brackets and quotes of a query are balanced. The client sends an unbalanced query
/// alone, because such a query could answer for other queries of the group.
fn is_balanced(query: &str) -> bool {
    let (mut open, mut quote, mut escaped) = (Vec::new(), None, false);
    for character in query.chars() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            // PromQL has no escapes between backquotes.
            (Some(q), '\\') if q != '`' => escaped = true,
            (Some(q), c) => quote = Some(q).filter(|q| *q != c),
            // Prometheus and [`is_balanced`] could disagree on the end of a comment; see
            // `reference::QUERY`.
            (None, '#') => return false,
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

    const A: Asker<'_> = ("a", "shop");

    fn named(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("sum(load{n})")).collect()
    }

    fn sizes(groups: &[Vec<String>]) -> Vec<usize> {
        groups.iter().map(Vec::len).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_targets_are_ten_requests() {
        let asked = Sizes::default();
        assert_eq!(sizes(&asked.groups(A, &named(1_000))), [100; 10]);
        let long: Vec<String> = (0..100).map(|n| format!("{n}{}", " ".repeat(4_000))).collect();
        assert!(asked.groups(A, &long).iter().all(|g| g.len() <= 17));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_go_with_the_others_goes_apart_for_a_while() {
        let asked = Sizes::default();
        let queries = named(100);
        asked.alone(A, "sum(load7)");
        assert_eq!(sizes(&asked.groups(A, &queries)), [1, 99]);
        assert_eq!(sizes(&asked.groups(("b", "shop"), &queries)), [100], "another source");
        assert_eq!(sizes(&asked.groups(("a", "bank"), &queries)), [100], "another namespace");
        asked.too_much(A, &queries);
        assert_eq!(sizes(&asked.groups(A, &queries)), [50, 50]);
        for _ in 0..10 {
            for group in asked.groups(A, &queries) {
                asked.too_much(A, &group);
            }
        }
        assert!(sizes(&asked.groups(A, &queries)).iter().all(|n| *n <= LEAST));
        tokio::time::advance(APART).await;
        assert_eq!(sizes(&asked.groups(A, &queries)), [100]);
        // The client forgets a query that the operator no longer asks.
        asked.alone(A, "sum(load7)");
        asked.groups(A, &named(3));
        assert!(asked.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_query_that_leaves_its_parentheses_is_asked_alone() {
        for query in [
            "sum(shop_sessions)",
            r#"sum(x{a="(#", b='\')', c=~`\`})"#,
            "sum(\nx)",
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
            "x # (",
            "vector(0) #\r), \"primetime_query\", \"1\", \"\", \"\") or label_replace((vector(1)",
        ] {
            assert!(!is_balanced(query), "{query}");
        }
    }

    #[test]
    fn each_is_marked_with_its_number() {
        assert_eq!(
            joined(&["a".to_owned(), "b".to_owned()]),
            "label_replace((\na\n), \"primetime_query\", \"0\", \"\", \"\") or label_replace((\nb\n), \"primetime_query\", \"1\", \"\", \"\")"
        );
    }
}
