//! Asks metrics sources, each at its own pace, for the signals of the runs that are going on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use primetime_core::Instant;
use primetime_core::port::{Clock, Metrics, Question};
use primetime_core::timeline::PREPARE_AHEAD;

use crate::index::{Index, Scope};
use crate::watch::Shared;

/// No source is asked more questions at once.
const AT_ONCE: usize = 4;

/// What has to be asked: by source, each query once, however many runs name it.
fn wanted(index: &Index, now: Instant) -> BTreeMap<String, BTreeSet<String>> {
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let going_on = |r: &&primetime_core::run::RunRecord| {
        let begin = r.status.begin_time.unwrap_or(r.window.ready_by);
        r.status.completion_time.is_none() && now >= begin - PREPARE_AHEAD * 2
    };
    for run in index.runs.iter().map(|(_, r)| r).filter(going_on) {
        for signal in run.announcement.iter().flat_map(|a| &a.signals) {
            wanted.entry(signal.source.clone()).or_default().insert(signal.query.clone());
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
        for (name, queries) in shared.with(|index| wanted(index, now)) {
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
                ask(&shared, metrics.as_ref(), clock.as_ref(), &name, &source.question, queries)
                    .await;
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
    source: &str,
    question: &Question,
    queries: BTreeSet<String>,
) {
    let questions = queries.into_iter().map(|query| Question { query, ..question.clone() });
    futures::stream::iter(questions)
        .for_each_concurrent(AT_ONCE, |question| async move {
            let sample = metrics.sample(&question, clock.now()).await;
            shared.with(|index| {
                index.samples.insert((source.to_owned(), question.query), sample);
                index.mark(Scope::Everything);
            });
            shared.ring();
        })
        .await;
}
