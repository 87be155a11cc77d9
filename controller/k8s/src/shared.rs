//! The cache as the tasks of the shell share it, and the bells that ring when it has changed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::cache::store::Cache;

/// The cache, and a bell that rings when it has changed.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    cache: Arc<Mutex<Cache>>,
    bell: Arc<Notify>,
    readers: Arc<Readers>,
    nodes: Arc<Notify>,
    anew: Arc<Anew>,
}

/// Who reads the cache besides the planner, and sleeps until it changes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    /// Asks for signals.
    Signals,
    /// Reads feeds.
    Calendars,
    /// Watches the kinds that are named.
    Workloads,
}

/// A bell for each: one that all share would be heard by one of them only.
#[derive(Debug, Default)]
struct Readers {
    signals: Notify,
    calendars: Notify,
    workloads: Notify,
}

/// Since when everything has to have been listed, and a bell that rings when that is later than before.
#[derive(Debug, Default)]
struct Anew {
    since: Mutex<Option<tokio::time::Instant>>,
    bell: Notify,
}

impl Shared {
    /// Looks into the cache, or changes it. The lock is never held across an await.
    pub fn with<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> T {
        f(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the planner, and everything else that waits for a change of the cache.
    pub fn notify(&self) {
        self.bell.notify_one();
        self.notify_readers();
    }

    /// Tells the planner only: nothing has changed that others read.
    pub(crate) fn notify_planner(&self) {
        self.bell.notify_one();
    }

    pub(crate) fn notify_readers(&self) {
        let Readers { signals, calendars, workloads } = &*self.readers;
        [signals, calendars, workloads].into_iter().for_each(Notify::notify_one);
    }

    /// Waits for a change of the cache since this reader has waited last.
    pub(crate) async fn changed_for(&self, reader: Reader) {
        let bell = match reader {
            Reader::Signals => &self.readers.signals,
            Reader::Calendars => &self.readers.calendars,
            Reader::Workloads => &self.readers.workloads,
        };
        bell.notified().await;
    }

    /// Asks for a fresh list of the nodes.
    pub fn list_nodes(&self) {
        self.nodes.notify_one();
    }

    /// Asks for lists of everything that began at this instant or later.
    pub fn relist_since(&self, since: tokio::time::Instant) {
        let before = self.anew.since.lock().unwrap_or_else(PoisonError::into_inner).replace(since);
        if before != Some(since) {
            self.anew.bell.notify_waiters();
        }
    }

    /// Waits until a kind is to be listed anew whose last list began at this instant.
    pub(crate) async fn relist_requested(&self, kind: &str, began: tokio::time::Instant) {
        let anew = async {
            loop {
                let mut rung = std::pin::pin!(self.anew.bell.notified());
                rung.as_mut().enable();
                let since = *self.anew.since.lock().unwrap_or_else(PoisonError::into_inner);
                if since.is_some_and(|since| since > began) {
                    return;
                }
                rung.await;
            }
        };
        let nodes = async {
            if kind != "Node" {
                std::future::pending::<()>().await;
            }
            self.nodes.notified().await;
        };
        tokio::select! {
            biased;
            () = anew => {}
            () = nodes => {}
        }
    }

    /// Waits for the bell.
    pub async fn changed(&self) {
        self.bell.notified().await;
    }
}
