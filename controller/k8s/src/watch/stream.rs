//! Watch of one kind into one table of the cache.

use futures::StreamExt;
use std::fmt::Debug;
use std::time::Duration;

use kube::Resource;
use kube::api::Api;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::warn;

use crate::backoff;
use crate::cache::store::{Cache, Scope};
use crate::cache::table::{Key, Lookup, Table};
use crate::shared::Shared;

fn version<K: Resource>(object: &K) -> String {
    object.meta().resource_version.clone().unwrap_or_default()
}

/// Returns namespace and name of an object.
pub(super) fn key<K: Resource>(object: &K) -> Key {
    (
        object.meta().namespace.clone().unwrap_or_default(),
        object.meta().name.clone().unwrap_or_default(),
    )
}

/// Returns the scope of a change: the namespace of the object, or everything if the object has no
/// namespace.
fn scope<K: Resource>(object: &K) -> Scope {
    object.meta().namespace.clone().map_or(Scope::Everything, Scope::Namespace)
}

/// Timeout for a page of a list.
///
/// A lost reply would otherwise block the list until the end of the event. The watch task doubles
/// the timeout after each timeout in a row, up to [`LIST_TIMEOUT_AT_MOST`], because an overloaded
/// API server answers late.
// mutate: list-whose-answer-lost
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum of the timeout for a page of a list, after repeated doubling of [`LIST_TIMEOUT`].
const LIST_TIMEOUT_AT_MOST: Duration = Duration::from_secs(80);

/// Interval between two relists of a kind, independent of watch events.
///
/// A relist limits the effect of a missed event, or of a watch that died without an error. Each
/// kind relists up to 1 minute earlier, by a different offset, so that the lists do not coincide.
// mutate: watch-never-said-never
const RELIST: Duration = Duration::from_mins(5);

/// Delay before the confirming list, if a list lacks more than a fifth of the known objects.
const CONFIRM: Duration = Duration::from_secs(30);

/// Interval between two relists of `SurgeOverride`. Overrides are few, and a user waits for the
/// effect.
const RELIST_OVERRIDES: Duration = Duration::from_secs(30);

/// Number of objects in a page of a list. Annotations of an object may have 256 KiB, so that a page
/// has at most 13 MB. The default of kube is 500 objects.
const PAGE: u32 = 50;

/// Maximum pause after consecutive failures. The watch task notices a recovered API server within
/// this time.
const PAUSE_AT_MOST: Duration = Duration::from_secs(10);

/// Returns the relist interval of a kind: 30 s for `SurgeOverride`, and four to five minutes for
/// every other kind.
fn relist_after(kind: &str) -> Duration {
    if kind == "SurgeOverride" {
        return RELIST_OVERRIDES;
    }
    let letters: u64 = kind.bytes().map(u64::from).sum();
    RELIST.saturating_sub(Duration::from_millis(letters * 97 % 60_000))
}

/// Watches one kind into one table. `read` returns the row of an object, or `None` if the cache has
/// to ignore the object.
///
/// The function is a single loop, because `relist`, `failures` and `limit` change together with
/// each event.
pub(super) async fn watch<K, I, T, L>(
    api: Api<K>,
    shared: Shared,
    what: String,
    table: impl Fn(&mut Cache) -> Option<&mut Table<I, T, L>>,
    read: impl Fn(&K) -> Option<(I, T)>,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    I: Ord + Clone,
    T: PartialEq,
    L: Lookup<I, T>,
{
    let mut failures: u32 = 0;
    let mut limit = LIST_TIMEOUT;
    loop {
        let config = watcher::Config::default().timeout(290).page_size(PAGE);
        let mut events = std::pin::pin!(watcher::watcher(api.clone(), config));
        // Time of the next relist. The value is `None` during a list.
        let mut relist = None;
        let mut began = Instant::now();
        loop {
            let until = relist.unwrap_or_else(|| Instant::now() + limit);
            let asked = async {
                if relist.is_none() {
                    std::future::pending::<()>().await;
                }
                shared.relist_requested(&what, began).await;
            };
            let next = tokio::select! {
                biased;
                () = asked => break,
                next = tokio::time::timeout_at(until, events.next()) => next,
            };
            let event = match next {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => {
                    warn!(kind = what, %error, "watch failed; it goes on with what was seen, and tries again");
                    let news = forbidden(&error).is_some_and(|why| {
                        shared.with(|cache| {
                            let news = table(cache).is_some_and(|table| table.forbid(why));
                            news && cache.mark(Scope::Everything)
                        })
                    });
                    if news {
                        shared.notify();
                    }
                    tokio::time::sleep(backoff::pause(failures, PAUSE_AT_MOST)).await;
                    failures = failures.saturating_add(1);
                    continue;
                }
                Ok(None) => break,
                Err(_) => {
                    if relist.is_none() {
                        warn!(kind = what, "could not be listed in time; it is tried again");
                        limit = (limit * 2).min(LIST_TIMEOUT_AT_MOST);
                    }
                    break;
                }
            };
            match &event {
                Event::Init => (relist, began) = (None, Instant::now()),
                Event::InitDone => {
                    relist = Some(Instant::now() + relist_after(&what));
                    (failures, limit) = (0, LIST_TIMEOUT);
                }
                Event::Apply(_) | Event::Delete(_) => failures = 0,
                Event::InitApply(_) => {}
            }
            let changed = shared.with(|cache| {
                let scope = table(cache).and_then(|table| take_in(table, event, &read))?;
                Some(cache.mark(scope))
            });
            match changed {
                Some(true) => shared.notify(),
                Some(false) => shared.notify_readers(),
                None => {}
            }
            if let Some(at) = relist.as_mut()
                && shared.with(|cache| table(cache).is_some_and(|table| table.is_doubted()))
            {
                *at = (*at).min(Instant::now() + CONFIRM);
            }
        }
    }
}

/// Returns the message of the API server if the right to list or watch is missing (HTTP 403).
/// Returns `None` for every other error.
fn forbidden(error: &watcher::Error) -> Option<String> {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))
    | watcher::Error::WatchFailed(kube::Error::Api(status))
    | watcher::Error::WatchError(status)) = error
    else {
        return None;
    };
    (status.code == 403).then(|| status.message.clone())
}

/// Applies an event to the table. Returns the scope that the planner has to plan again, or `None`
/// if the event needs no plan.
fn take_in<K, I, T, L>(
    table: &mut Table<I, T, L>,
    event: Event<K>,
    read: impl Fn(&K) -> Option<(I, T)>,
) -> Option<Scope>
where
    K: Resource,
    I: Ord + Clone,
    T: PartialEq,
    L: Lookup<I, T>,
{
    match event {
        Event::Init => {
            table.relist();
            None
        }
        Event::InitApply(object) | Event::Apply(object) => read(&object)
            .and_then(|(key, row)| table.apply(key, row, version(&object)).then(|| scope(&object))),
        Event::Delete(object) => read(&object).map(|(key, _)| {
            table.delete(&key, &version(&object));
            scope(&object)
        }),
        Event::InitDone => {
            table.relisted();
            Some(Scope::Everything)
        }
    }
}
