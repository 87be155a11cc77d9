//! Asks metrics sources, each at its own pace, for the signals of the runs that are going on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use primetime_core::Instant;
use primetime_core::port::{Clock, Metrics, Source};
use primetime_core::timeline::PREPARE_AHEAD;

use crate::index::{Index, Scope};
use crate::watch::Shared;

/// Namespaces of which a source is asked at once.
const NAMESPACES_AT_ONCE: usize = 4;

/// Queries by namespace.
type Queries = BTreeMap<String, BTreeSet<String>>;

/// What has to be asked: by source and namespace, each query once, however many runs of the namespace name it.
fn wanted(index: &Index, now: Instant) -> BTreeMap<String, Queries> {
    let mut wanted: BTreeMap<String, Queries> = BTreeMap::new();
    let going_on = |r: &primetime_core::run::RunRecord| {
        let begin = r.status.begin_time.unwrap_or(r.window.ready_by);
        r.status.completion_time.is_none() && now >= begin - PREPARE_AHEAD * 2
    };
    for ((namespace, _), run) in index.runs.iter().filter(|(_, run)| going_on(run)) {
        for signal in run.announcement.iter().flat_map(|a| &a.signals) {
            let of_source = wanted.entry(signal.source.clone()).or_default();
            of_source.entry(namespace.clone()).or_default().insert(signal.query.clone());
        }
    }
    wanted
}

/// Asks for ever. A source that hangs delays nobody else.
pub async fn run(shared: Shared, metrics: Arc<dyn Metrics>, clock: Arc<dyn Clock>) {
    // In monotonic time: a clock that is set back must not stop the questions for an hour.
    let mut due: BTreeMap<String, tokio::time::Instant> = BTreeMap::new();
    let mut rounds = tokio::task::JoinSet::new();
    let mut busy: BTreeSet<String> = BTreeSet::new();
    loop {
        let now = clock.now();
        while let Some(done) = rounds.try_join_next() {
            if let Ok(source) = done {
                busy.remove(&source);
            }
        }
        let wanted = shared.with(|index| {
            let wanted = wanted(index, now);
            index.samples.retain(|(namespace, source, query), _| {
                let of_source = wanted.get(source);
                let of_namespace = of_source.and_then(|queries| queries.get(namespace));
                of_namespace.is_some_and(|queries| queries.contains(query))
            });
            wanted
        });
        for (name, queries) in wanted {
            let Some(source) = shared.with(|i| i.sources.get(&name).map(|row| row.value.clone()))
            else {
                continue;
            };
            let time = tokio::time::Instant::now();
            if busy.contains(&name) || due.get(&name).is_some_and(|at| time < *at) {
                continue;
            }
            let interval = Duration::from_secs(u64::from(source.interval_seconds));
            due.insert(name.clone(), time + interval);
            busy.insert(name.clone());
            let (shared, metrics, clock) = (shared.clone(), metrics.clone(), clock.clone());
            rounds.spawn(async move {
                ask(&shared, metrics.as_ref(), clock.as_ref(), &name, &source.asked, queries).await;
                name
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ask(
    shared: &Shared,
    metrics: &dyn Metrics,
    clock: &dyn Clock,
    name: &str,
    source: &Source,
    queries: Queries,
) {
    let of_namespaces = futures::stream::iter(queries).map(|(namespace, queries)| async move {
        let queries: Vec<String> = queries.into_iter().collect();
        let samples = metrics.samples(source, &namespace, &queries, clock.now()).await;
        shared.with(|index| {
            for (query, sample) in queries.into_iter().zip(samples) {
                let key = (namespace.clone(), name.to_owned(), query);
                index.samples.entry(key).or_default().hear(sample);
            }
            index.mark(Scope::Namespace(namespace));
        });
        shared.ring();
    });
    of_namespaces.buffer_unordered(NAMESPACES_AT_ONCE).collect::<()>().await;
}
