//! Feed reader: fetches and parses the feed of each `SurgeCalendar`, from a key of a `ConfigMap` or
//! from a URL. `spec.intervalSeconds` sets the interval of each feed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use primetime_api::{ConfigMapKeyRef, HowToRead, Place};
use primetime_core::port::{Clock, Feeds, Fetched};
use primetime_core::state::calendar::{Feed, Reading};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::cache::store::Scope;
use crate::cache::table::Key;
use crate::call::{CallError, bounded};
use crate::lease::Leadership;
use crate::shared::{self, Shared};

/// Maximum age of a parsed feed. The feed reader parses an unchanged feed again after 1 h, because
/// later events have come within the planning range.
const ANEW: Duration = Duration::from_hours(1);

/// Maximum number of feeds in memory at the same time, of at most 20 MiB each. A hanging fetch
/// frees the permit after the timeout of 30 s.
const AT_ONCE: usize = 4;

/// Maximum number of feeds of one namespace in memory at the same time, so that feeds that hang leave
/// places for other namespaces.
const OF_A_NAMESPACE: usize = 2;

/// Maximum delay before the feed reader notices a failed task.
const PAUSE: Duration = Duration::from_secs(10);

/// Dependencies of the tasks that read feeds.
#[derive(Clone)]
struct Means {
    client: Client,
    shared: Shared,
    feeds: Arc<dyn Feeds>,
    clock: Arc<dyn Clock>,
    at_once: Arc<Semaphore>,
    one_by_one: Arc<Semaphore>,
    /// Places of each namespace ([`OF_A_NAMESPACE`]).
    of_namespace: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

/// Task that reads the feed of a calendar. Dropping the `Reader` aborts the task.
struct Reader {
    how: HowToRead,
    task: JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the feeds of all calendars forever, while this process leads. Each feed has a separate
/// task, so a feed that hangs or panics affects no other feed.
pub async fn run(
    client: Client,
    shared: Shared,
    feeds: Arc<dyn Feeds>,
    clock: Arc<dyn Clock>,
    leadership: Leadership,
) {
    let (at_once, one_by_one) = (Semaphore::new(AT_ONCE).into(), Semaphore::new(1).into());
    let of_namespace = Arc::default();
    let means = Means { client, shared, feeds, clock, at_once, one_by_one, of_namespace };
    let mut readers: BTreeMap<Key, Reader> = BTreeMap::new();
    let mut read_for = None;
    loop {
        let leads = leadership.leads();
        let now = (leads, means.shared.with(|cache| cache.calendars.revision()));
        let failed = readers.values().any(|reader| reader.task.is_finished());
        if read_for == Some(now) && !failed {
            means.wait(readers.is_empty()).await;
            continue;
        }
        read_for = Some(now);
        let wanted = if leads { means.wanted() } else { BTreeMap::new() };
        readers.retain(|key, reader| wanted.get(key) == Some(&reader.how));
        for (key, how) in wanted {
            let failed = readers.get(&key).map(|reader| reader.task.is_finished());
            if failed == Some(false) {
                continue;
            }
            let mut wait = Duration::ZERO;
            if failed == Some(true) {
                means.show(&key, &how, Err("the reader of the feed has failed".to_owned()));
                wait = interval(&how);
            }
            let task = tokio::spawn(follow(means.clone(), key.clone(), how.clone(), wait));
            readers.insert(key, Reader { how, task });
        }
        means.wait(readers.is_empty()).await;
    }
}

fn interval(how: &HowToRead) -> Duration {
    Duration::from_secs(u64::from(how.interval_seconds))
}

/// Reads a feed forever, at the interval of the calendar.
async fn follow(means: Means, key: Key, how: HowToRead, wait: Duration) {
    tokio::time::sleep(wait).await;
    // Tag (`ETag` or `resourceVersion`) of the version parsed last, and the start time of that
    // fetch.
    let mut version: Option<(String, tokio::time::Instant)> = None;
    let mut last: Option<Feed> = None;
    loop {
        let began = tokio::time::Instant::now();
        // The task keeps the permits until the feed is parsed. The acquisition never fails, because
        // the feed reader never closes the semaphores.
        let own = means.of_namespace(&key.0);
        let turn = own.acquire().await;
        let place = means.at_once.acquire().await;
        let known = version.as_ref().filter(|(_, read)| read.elapsed() < ANEW);
        let found = match means.fetch(&key.0, &how.place, known.map(|(tag, _)| tag.as_str())).await
        {
            Ok(Fetched::Unchanged) => last
                .clone()
                .ok_or_else(|| "it says that it has not changed, and was never read".to_owned()),
            Ok(Fetched::Text { bytes, tag }) => {
                let _turn = means.one_by_one.acquire().await;
                let read = aside(|| how.read(&bytes, means.clock.now()));
                drop(bytes);
                version = tag.filter(|_| read.is_ok()).map(|tag| (tag, began));
                last = read.clone().ok();
                read
            }
            Err(why) => Err(why),
        };
        drop((place, turn));
        means.show(&key, &how, found);
        tokio::time::sleep(interval(&how)).await;
    }
}

/// Runs `work` without blocking other tasks of a multi-threaded runtime. Parsing a feed of tens of
/// megabytes takes tenths of a second.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl Means {
    /// Waits until the cache changes. If the feed reader has tasks (`idle` is false), the wait ends
    /// after 10 s at the latest, because a task may have failed.
    async fn wait(&self, idle: bool) {
        let changed = self.shared.changed_for(shared::Reader::Calendars);
        if idle {
            changed.await;
        } else {
            drop(tokio::time::timeout(PAUSE, changed).await);
        }
    }

    /// Returns the places of a namespace. Forgets the places that no task holds or awaits.
    fn of_namespace(&self, namespace: &str) -> Arc<Semaphore> {
        let mut all = self.of_namespace.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, place| name == namespace || Arc::strong_count(place) > 1);
        all.entry(namespace.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(OF_A_NAMESPACE)))
            .clone()
    }

    /// Returns the calendars with a valid spec. Removes the readings of deleted calendars from the
    /// cache.
    fn wanted(&self) -> BTreeMap<Key, HowToRead> {
        self.shared.with(|cache| {
            let calendars = &cache.calendars;
            cache.readings.retain(|key, _| calendars.get(key).is_some());
            let how =
                cache.calendars.iter().map(|(key, row)| Some((key.clone(), row.how.clone()?)));
            how.flatten().collect()
        })
    }

    async fn fetch(
        &self,
        namespace: &str,
        place: &Place,
        tag: Option<&str>,
    ) -> Result<Fetched, String> {
        let ConfigMapKeyRef { name, key } = match place {
            Place::Url(url) => return self.feeds.fetch(url, tag).await,
            Place::ConfigMap(at) => at,
        };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let map = match bounded(api.get(name)).await {
            Ok(map) => map,
            Err(CallError::NotFound(_)) => return Err(format!("ConfigMap {name} is not there")),
            Err(why @ CallError::Refused(_)) => {
                return Err(format!(
                    "ConfigMap {name} may not be read ({why}): calendars.enabled and \
                     calendars.configMaps of the Helm chart grant it"
                ));
            }
            Err(why) => return Err(format!("ConfigMap {name}: {why}")),
        };
        if tag.is_some() && tag == map.metadata.resource_version.as_deref() {
            return Ok(Fetched::Unchanged);
        }
        let text = map.data.and_then(|mut data| data.remove(key)).map(String::into_bytes);
        let binary = || map.binary_data.and_then(|mut data| data.remove(key)).map(|bytes| bytes.0);
        let bytes = text.or_else(binary);
        let bytes = bytes.ok_or_else(|| format!("ConfigMap {name} has no key {key}"))?;
        Ok(Fetched::Text { bytes, tag: map.metadata.resource_version })
    }

    fn show(&self, key: &Key, how: &HowToRead, found: Result<Feed, String>) {
        let reading = Reading { what: how.words(), at: self.clock.now(), found };
        self.shared.with(|cache| {
            cache.readings.insert(key.clone(), Arc::new(reading));
            cache.mark(Scope::Namespace(key.0.clone()));
        });
        self.shared.notify();
    }
}
