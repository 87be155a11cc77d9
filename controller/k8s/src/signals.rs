//! Signal reader: queries each `MetricsSource` at the interval of the source, for the signals of
//! active runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use primetime_core::Instant;
use primetime_core::port::{Clock, Metrics, Source};
use primetime_core::state::run::RunRecord;
use primetime_core::timeline::PREPARE_AHEAD;

use crate::cache::store::{Cache, Scope};
use crate::shared::{Reader, Shared};

/// Maximum pause between two rounds of the loop. The signal reader notices a wall clock that was
/// set forward within this time.
const AT_MOST: Duration = Duration::from_secs(10);

/// Queries to a metrics source, by namespace.
type Queries = BTreeMap<String, BTreeSet<String>>;

/// Returns the time of the first query for a run: 30 s before `status.beginTime`, or before
/// `spec.readyTime` if the run has no begin time.
fn asked_from(run: &RunRecord) -> Instant {
    run.status.begin_time.unwrap_or(run.window.ready_by) - PREPARE_AHEAD * 2
}

/// Returns the queries to send, by source and namespace. Each query appears once, even if several
/// runs of the namespace name the query.
fn wanted(cache: &Cache, now: Instant) -> BTreeMap<String, Queries> {
    let mut wanted: BTreeMap<String, Queries> = BTreeMap::new();
    let going_on = |r: &RunRecord| r.status.completion_time.is_none() && now >= asked_from(r);
    for ((namespace, _), run) in cache.runs.iter().filter(|(_, run)| going_on(run)) {
        for signal in run.announcement.iter().flat_map(|a| &a.signals) {
            let of_source = wanted.entry(signal.source.clone()).or_default();
            of_source.entry(namespace.clone()).or_default().insert(signal.query.clone());
        }
    }
    wanted
}

/// Queries to send, valid for a single revision of the runs and until `until`.
struct Wanted {
    revision: u64,
    until: Instant,
    queries: BTreeMap<String, Queries>,
}

impl Wanted {
    fn of(cache: &Cache, now: Instant) -> Self {
        let begins = cache.runs.iter().map(|(_, run)| asked_from(run)).filter(|at| *at > now);
        let until = begins.fold(Instant::MAX_UTC, Instant::min);
        Self { revision: cache.runs.revision(), until, queries: wanted(cache, now) }
    }
}

/// Name of a metrics source, and a namespace.
type Round = (String, String);

/// Runs the signal reader forever. Each namespace has its own rounds at each source, so that a query
/// that hangs delays no other namespace and no other source.
pub async fn run(shared: Shared, metrics: Arc<dyn Metrics>, clock: Arc<dyn Clock>) {
    // The loop uses monotonic time, so that a wall clock set back by an hour does not suspend the
    // queries for that hour.
    let mut due: BTreeMap<Round, tokio::time::Instant> = BTreeMap::new();
    let mut rounds = tokio::task::JoinSet::new();
    let mut busy: BTreeSet<Round> = BTreeSet::new();
    let mut wanted: Option<Wanted> = None;
    loop {
        let now = clock.now();
        while let Some(done) = rounds.try_join_next() {
            if let Ok(round) = done {
                busy.remove(&round);
            }
        }
        let holds = |w: &Wanted| now < w.until && w.revision == shared.with(|i| i.runs.revision());
        let current = wanted.take().filter(holds);
        let current = current.unwrap_or_else(|| shared.with(|cache| look(cache, now)));
        let mut pause = (current.until - now).to_std().unwrap_or_default().min(AT_MOST);
        let time = tokio::time::Instant::now();
        due.retain(|round, at| time < *at || busy.contains(round));
        for (name, queries) in &current.queries {
            let Some(source) = shared.with(|i| i.sources.get(name).map(|row| row.value.clone()))
            else {
                continue;
            };
            for (namespace, queries) in queries {
                let round = (name.clone(), namespace.clone());
                if busy.contains(&round) {
                    continue;
                }
                if let Some(at) = due.get(&round).filter(|at| time < **at) {
                    pause = pause.min(*at - time);
                    continue;
                }
                let interval = Duration::from_secs(u64::from(source.interval_seconds));
                due.insert(round.clone(), time + interval);
                busy.insert(round.clone());
                let (shared, metrics, clock) = (shared.clone(), metrics.clone(), clock.clone());
                let (source, queries) = (source.clone(), queries.clone());
                rounds.spawn(async move {
                    let asked = &source.asked;
                    ask(&shared, metrics.as_ref(), clock.as_ref(), &round, asked, queries).await;
                    round
                });
            }
        }
        wanted = Some(current);
        tokio::select! {
            biased;
            () = shared.changed_for(Reader::Signals) => {}
            Some(done) = rounds.join_next() => {
                if let Ok(round) = done {
                    busy.remove(&round);
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Returns the queries to send, and drops the samples of all other queries from the cache.
fn look(cache: &mut Cache, now: Instant) -> Wanted {
    let wanted = Wanted::of(cache, now);
    cache.samples.retain(|(namespace, source, query), _| {
        let of_source = wanted.queries.get(source);
        let of_namespace = of_source.and_then(|queries| queries.get(namespace));
        of_namespace.is_some_and(|queries| queries.contains(query))
    });
    wanted
}

async fn ask(
    shared: &Shared,
    metrics: &dyn Metrics,
    clock: &dyn Clock,
    (name, namespace): &Round,
    source: &Source,
    queries: BTreeSet<String>,
) {
    let queries: Vec<String> = queries.into_iter().collect();
    let samples = metrics.samples(source, namespace, &queries, clock.now()).await;
    shared.with(|cache| {
        for (query, sample) in queries.into_iter().zip(samples) {
            let key = (namespace.clone(), name.clone(), query);
            cache.samples.entry(key).or_default().hear(sample);
        }
        cache.mark(Scope::Namespace(namespace.clone()));
    });
    shared.notify_planner();
}
