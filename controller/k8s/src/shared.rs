//! Shared access to the cache for the tasks of the shell, with notifications of changes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::cache::store::Cache;

/// Shared handle to the cache and to the notifications of changes.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    cache: Arc<Mutex<Cache>>,
    bell: Arc<Notify>,
    readers: Arc<Readers>,
    nodes: Arc<Notify>,
    anew: Arc<Anew>,
}

/// Tasks other than the planner that wait for changes of the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    /// Signal reader, which queries the metrics sources.
    Signals,
    /// Feed reader, which reads the feeds of calendars.
    Calendars,
    /// Task that watches the workload kinds named by surges, runs and holds.
    Workloads,
}

/// Notification for each task. A single shared [`Notify`] would reach only a single task.
#[derive(Debug, Default)]
struct Readers {
    signals: Notify,
    calendars: Notify,
    workloads: Notify,
}

/// Time of the last relist request. Each watch lists its kind again if its last list began before
/// that time.
#[derive(Debug, Default)]
struct Anew {
    since: Mutex<Option<tokio::time::Instant>>,
    bell: Notify,
}

impl Shared {
    /// Runs `f` with exclusive access to the cache. `f` is not async, so no task holds the lock
    /// across an await.
    pub fn with<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> T {
        f(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notifies the planner, and all other tasks that wait for a change of the cache.
    pub fn notify(&self) {
        self.bell.notify_one();
        self.notify_readers();
    }

    /// Notifies only the planner, if the change concerns no other task.
    pub(crate) fn notify_planner(&self) {
        self.bell.notify_one();
    }

    pub(crate) fn notify_readers(&self) {
        let Readers { signals, calendars, workloads } = &*self.readers;
        [signals, calendars, workloads].into_iter().for_each(Notify::notify_one);
    }

    /// Waits for a change of the cache since the last wait of this reader.
    pub(crate) async fn changed_for(&self, reader: Reader) {
        let bell = match reader {
            Reader::Signals => &self.readers.signals,
            Reader::Calendars => &self.readers.calendars,
            Reader::Workloads => &self.readers.workloads,
        };
        bell.notified().await;
    }

    /// Requests a new list of the Nodes.
    pub fn list_nodes(&self) {
        self.nodes.notify_one();
    }

    /// Requests a new list of every kind whose last list began before `since`.
    pub fn relist_since(&self, since: tokio::time::Instant) {
        let before = self.anew.since.lock().unwrap_or_else(PoisonError::into_inner).replace(since);
        if before != Some(since) {
            self.anew.bell.notify_waiters();
        }
    }

    /// Waits for a request of a new list of `kind`. `began` is the start of the last list of the
    /// kind.
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

    /// Waits for a change of the cache that concerns the planner.
    pub async fn changed(&self) {
        self.bell.notified().await;
    }
}
