//! A table: the newer of two versions of each row, and what a relist no longer shows is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use primetime_core::row::Row;

/// Namespace and name.
pub type Key = (String, String);

/// A record and the resourceVersion it was read at.
#[derive(Debug)]
pub struct Versioned<T> {
    /// The record.
    pub value: Row<T>,
    /// The resourceVersion.
    pub version: String,
}

/// What else rows of a table are found by than their keys.
pub trait Lookup<K, T>: Default {
    /// A row has come.
    fn insert(&mut self, key: &K, row: &T);
    /// A row has gone.
    fn remove(&mut self, key: &K, row: &T);
}

/// Rows are found by their keys only.
impl<K, T> Lookup<K, T> for () {
    fn insert(&mut self, _: &K, _: &T) {}
    fn remove(&mut self, _: &K, _: &T) {}
}

/// A map that keeps the newer of two versions, and forgets what a relist no longer shows.
#[derive(Debug)]
pub struct Table<K, T, L = ()> {
    rows: BTreeMap<K, Versioned<T>>,
    lookup: L,
    /// Keys seen by the relist that is going on.
    relisting: Option<BTreeSet<K>>,
    /// When it began.
    began: Option<tokio::time::Instant>,
    /// When the last one that came to its end began, and was not doubted.
    as_of: Option<tokio::time::Instant>,
    /// When the last one that came to its end began.
    listed: Option<tokio::time::Instant>,
    /// Keys that it did not show, too many to be believed of one list.
    missing: BTreeSet<K>,
    /// What the API server said when it refused the last list or watch: the right is missing.
    forbidden: Option<String>,
    /// Counts the changes of rows.
    revision: u64,
}

impl<K, T, L: Default> Default for Table<K, T, L> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            lookup: L::default(),
            relisting: None,
            began: None,
            as_of: None,
            listed: None,
            missing: BTreeSet::new(),
            forbidden: None,
            revision: 0,
        }
    }
}

/// resourceVersions are opaque before Kubernetes 1.35 and comparable as numbers since (KEP-5504); every API server so
/// far has numbers. Anything else counts as newer.
fn older(version: &str, than: &str) -> bool {
    match (version.parse::<u64>(), than.parse::<u64>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => false,
    }
}

impl<K: Ord + Clone, T: PartialEq, L: Lookup<K, T>> Table<K, T, L> {
    /// Takes a row over unless a newer one is known: our own write may be ahead of the watch. Says whether that
    /// changed anything.
    pub fn apply(&mut self, key: K, value: T, version: String) -> bool {
        if let Some(seen) = self.relisting.as_mut() {
            seen.insert(key.clone());
        }
        if self.rows.get(&key).is_some_and(|row| older(&version, &row.version)) {
            return false;
        }
        // A list that is going on is judged when it is over; a watch is believed at once.
        if self.relisting.is_none() {
            self.missing.remove(&key);
        }
        match self.rows.get_mut(&key) {
            Some(row) if *row.value == value => {
                row.version = version;
                return false;
            }
            Some(row) => self.lookup.remove(&key, &row.value),
            None => {}
        }
        self.lookup.insert(&key, &value);
        self.revision += 1;
        self.rows.insert(key, Versioned { value: value.into(), version });
        true
    }
}

impl<K: Ord + Clone, T, L: Lookup<K, T>> Table<K, T, L> {
    /// Forgets a row that a watch saw deleted, unless the object was created again since.
    pub fn delete(&mut self, key: &K, version: &str) {
        if self.rows.get(key).is_some_and(|row| !older(version, &row.version)) {
            self.forget(key);
        }
    }

    /// A relist begins.
    pub fn relist(&mut self) {
        self.relisting = Some(BTreeSet::new());
        self.began = Some(tokio::time::Instant::now());
    }

    /// A relist has shown everything there is. Where more than a fifth is missing, a second list has to say so too: who
    /// believes half a list gives back half of what is held, as an autoscaler at Reddit did in 2016.
    pub fn relisted(&mut self) {
        if let Some(seen) = self.relisting.take() {
            let missing: BTreeSet<K> =
                self.rows.keys().filter(|key| !seen.contains(key)).cloned().collect();
            let doubted = missing.len() * 5 > self.rows.len();
            let gone = |key: &K| missing.contains(key) && (!doubted || self.missing.contains(key));
            let gone: Vec<K> = self.rows.keys().filter(|key| gone(key)).cloned().collect();
            for key in &gone {
                self.forget(key);
            }
            self.missing = missing.into_iter().filter(|key| self.rows.contains_key(key)).collect();
        }
        self.forbidden = None;
        self.listed = self.began.or(self.listed);
        // What is doubted has not been looked at. The first list can only be believed.
        if self.missing.is_empty() {
            self.as_of = self.began.or(self.as_of);
        }
    }

    /// The API server refuses to list the kind, and says why. Returns whether that is news.
    pub fn forbid(&mut self, why: String) -> bool {
        self.forbidden.replace(why.clone()) != Some(why)
    }

    /// Why the kind may not be listed; `None` once a list has come.
    #[must_use]
    pub fn forbidden(&self) -> Option<&str> {
        self.forbidden.as_deref()
    }

    /// The last list is to be confirmed by another one.
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        !self.missing.is_empty()
    }

    /// A row.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&Versioned<T>> {
        self.rows.get(key)
    }

    /// Forgets a row that we deleted ourselves.
    pub fn forget(&mut self, key: &K) {
        if let Some(row) = self.rows.remove(key) {
            self.lookup.remove(key, &row.value);
            self.revision += 1;
        }
        self.missing.remove(key);
    }

    /// Another number after each change of a row: what was computed from the rows stays right while it is the same.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What else rows are found by.
    pub fn lookup(&self) -> &L {
        &self.lookup
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &T)> {
        self.rows.iter().map(|(key, row)| (key, &*row.value))
    }

    /// Everything there was at some instant has been seen.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.as_of.is_some()
    }

    /// Everything that a list shows which began at this instant or later was seen.
    #[must_use]
    pub fn listed_since(&self, at: tokio::time::Instant) -> bool {
        self.listed.is_some_and(|listed| listed >= at)
    }

    /// How long ago the last list that came to its end was asked for.
    #[must_use]
    pub fn age(&self) -> Option<std::time::Duration> {
        self.as_of.map(|at| at.elapsed())
    }
}

impl<T, L> Table<Key, T, L> {
    /// The rows of a namespace, by name.
    pub fn of_namespace<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Versioned<T>)> {
        self.rows
            .range((namespace.to_owned(), String::new())..)
            .take_while(move |((ns, _), _)| ns == namespace)
            .map(|((_, name), row)| (name.as_str(), row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_list_is_believed_when_a_second_one_says_the_same() {
        let mut table: Table<u32, u32> = Table::default();
        let list = |table: &mut Table<u32, u32>, keys: std::ops::Range<u32>| {
            table.relist();
            for key in keys {
                table.apply(key, 0, String::new());
            }
            table.relisted();
            table.iter().count()
        };
        assert_eq!(list(&mut table, 0..10), 10);
        assert_eq!((list(&mut table, 0..8), table.is_doubted()), (8, false), "a fifth is believed");
        assert_eq!((list(&mut table, 0..4), table.is_doubted()), (8, true));
        assert_eq!((list(&mut table, 0..8), table.is_doubted()), (8, false), "they are back");
        list(&mut table, 0..4);
        assert_eq!((list(&mut table, 0..4), table.is_doubted()), (4, false), "they are gone");
    }

    #[test]
    fn a_kind_is_forbidden_until_a_list_comes() {
        let mut table: Table<u32, u32> = Table::default();
        assert!(table.forbid("may not list".into()));
        assert!(!table.forbid("may not list".into()), "no news");
        assert_eq!(table.forbidden(), Some("may not list"));
        table.relist();
        assert_eq!(table.forbidden(), Some("may not list"), "it is only asked for");
        table.relisted();
        assert_eq!(table.forbidden(), None);
    }

    #[test]
    fn our_own_write_is_not_undone_by_a_watch_that_lags() {
        let mut table: Table<&str, i32> = Table::default();
        assert!(table.apply("web", 10, "100".into()));
        assert!(table.apply("web", 180, "105".into()));
        assert!(!table.apply("web", 10, "101".into()));
        assert_eq!(*table.get(&"web").unwrap().value, 180);
        table.delete(&"web", "104");
        assert!(table.get(&"web").is_some(), "a deletion of an earlier object");
        table.delete(&"web", "106");
        assert!(table.get(&"web").is_none());
    }

    #[test]
    fn a_relist_forgets_what_it_does_not_show() {
        let mut table: Table<&str, i32> = Table::default();
        table.apply("gone", 1, "1".into());
        for stays in ["web", "a", "b", "c"] {
            table.apply(stays, 1, "2".into());
        }
        table.relist();
        for stays in ["web", "a", "b", "c"] {
            table.apply(stays, 2, "3".into());
        }
        assert!(!table.synced());
        table.relisted();
        assert!(table.synced() && table.get(&"gone").is_none());
        assert_eq!(*table.get(&"web").unwrap().value, 2);
    }
}
