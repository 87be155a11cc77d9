//! Table of cached rows: keeps the newer of two versions of each row, and drops rows that a relist
//! no longer contains.

use std::collections::{BTreeMap, BTreeSet};

use primetime_core::row::Row;

/// Namespace and name of an object.
pub type Key = (String, String);

/// A record, and the `resourceVersion` of the object that the record was read from.
#[derive(Debug)]
pub struct Versioned<T> {
    /// Record of the object.
    pub value: Row<T>,
    /// `metadata.resourceVersion` of the object.
    pub version: String,
}

/// Secondary index over the rows of a table.
pub trait Lookup<K, T>: Default {
    /// Adds a new row to the index.
    fn insert(&mut self, key: &K, row: &T);
    /// Removes a dropped or replaced row from the index.
    fn remove(&mut self, key: &K, row: &T);
}

/// Implements the empty index, for tables that find rows by key only.
impl<K, T> Lookup<K, T> for () {
    fn insert(&mut self, _: &K, _: &T) {}
    fn remove(&mut self, _: &K, _: &T) {}
}

/// Map that keeps the newer of two versions of each row, and drops rows that a relist no longer
/// contains.
#[derive(Debug)]
pub struct Table<K, T, L = ()> {
    rows: BTreeMap<K, Versioned<T>>,
    lookup: L,
    /// Keys that the current relist has returned so far. The value is `None` if no relist is in
    /// progress.
    relisting: Option<BTreeSet<K>>,
    /// Start of the current or the last relist.
    began: Option<tokio::time::Instant>,
    /// Start of the last complete relist that needs no confirmation.
    as_of: Option<tokio::time::Instant>,
    /// Start of the last complete relist, confirmed or not.
    listed: Option<tokio::time::Instant>,
    /// Keys that the last relist lacked. The table keeps the rows until a second relist confirms
    /// the absence.
    missing: BTreeSet<K>,
    /// Message of the API server for the last refused list or watch (HTTP 403). A complete list
    /// resets the value to `None`.
    forbidden: Option<String>,
    /// Number of row changes so far.
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

/// True if `version` is a lower number than `than`.
///
/// `resourceVersion`s are opaque before Kubernetes 1.35 and comparable as numbers since (KEP-5504).
/// Every API server so far uses numbers. A version that is not a number counts as newer.
fn older(version: &str, than: &str) -> bool {
    match (version.parse::<u64>(), than.parse::<u64>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => false,
    }
}

impl<K: Ord + Clone, T: PartialEq, L: Lookup<K, T>> Table<K, T, L> {
    /// Stores a row, unless the cached row is newer. The reply to a write of this process may be
    /// newer than the watch. Returns true if the row changed.
    pub fn apply(&mut self, key: K, value: T, version: String) -> bool {
        if let Some(seen) = self.relisting.as_mut() {
            seen.insert(key.clone());
        }
        if self.rows.get(&key).is_some_and(|row| older(&version, &row.version)) {
            return false;
        }
        // During a relist, `relisted` judges the missing keys at the end. Outside of a relist, a
        // watch event proves at once that the object exists.
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
    /// Drops a row after a delete event of the watch, unless the cached row is newer than the
    /// event.
    pub fn delete(&mut self, key: &K, version: &str) {
        if self.rows.get(key).is_some_and(|row| !older(version, &row.version)) {
            self.forget(key);
        }
    }

    /// Starts a relist. Each later call of [`Table::apply`] adds a key to the new list.
    pub fn relist(&mut self) {
        self.relisting = Some(BTreeSet::new());
        self.began = Some(tokio::time::Instant::now());
    }

    /// Ends a relist, and drops the rows that the list lacks. If more than a fifth of the rows is
    /// missing, the table drops a row only after a second list lacks the row too. A partial list
    /// must not release holds: an autoscaler at Reddit removed servers in 2016 because of partial
    /// data.
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
        // A list that needs confirmation does not count as synced. The first list of a process
        // always counts, because the table has no earlier rows.
        if self.missing.is_empty() {
            self.as_of = self.began.or(self.as_of);
        }
    }

    /// Records the API server's message for a refused list or watch (HTTP 403). Returns true if the
    /// message is new.
    pub fn forbid(&mut self, why: String) -> bool {
        self.forbidden.replace(why.clone()) != Some(why)
    }

    /// Returns the message of the last refused list or watch. Returns `None` after a complete list.
    #[must_use]
    pub fn forbidden(&self) -> Option<&str> {
        self.forbidden.as_deref()
    }

    /// True if the last list needs confirmation by a second list.
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Returns the row of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&Versioned<T>> {
        self.rows.get(key)
    }

    /// Drops a row at once, after this process deleted the object.
    pub fn forget(&mut self, key: &K) {
        if let Some(row) = self.rows.remove(key) {
            self.lookup.remove(key, &row.value);
            self.revision += 1;
        }
        self.missing.remove(key);
    }

    /// Returns the number of row changes so far. A value computed from the rows stays valid while
    /// the number is unchanged.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the secondary index.
    pub fn lookup(&self) -> &L {
        &self.lookup
    }

    /// Returns all keys and records.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &T)> {
        self.rows.iter().map(|(key, row)| (key, &*row.value))
    }

    /// True if at least one complete relist needed no confirmation.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.as_of.is_some()
    }

    /// True if the last complete list began at `at` or later.
    #[must_use]
    pub fn listed_since(&self, at: tokio::time::Instant) -> bool {
        self.listed.is_some_and(|listed| listed >= at)
    }

    /// Returns the time since the start of the last complete list that needs no confirmation.
    #[must_use]
    pub fn age(&self) -> Option<std::time::Duration> {
        self.as_of.map(|at| at.elapsed())
    }
}

impl<T, L> Table<Key, T, L> {
    /// Returns the rows of a namespace, by name of the object.
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
