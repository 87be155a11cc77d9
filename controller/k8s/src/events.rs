//! Writer of Kubernetes Events: publishes the decision log, so that `kubectl describe` shows the
//! decisions.
//!
//! The writer has a low priority: one Event at a time, at most ten a second, one namespace after the
//! other, and warnings of a namespace first. The
//! queue merges waiting decisions with the same object, reason and target into one Event with the
//! latest message. The decision log keeps every message.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use primetime_core::state::condition::EventReason;
use primetime_core::state::decision::Decision;
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::lease::micro_time;

/// True if the decision needs the attention of a user. The Event then has `type: Warning`.
fn is_warning(decision: &Decision) -> bool {
    EventReason::of(&decision.reason).is_some_and(EventReason::is_warning)
}

/// Maximum length of `note` in bytes. The API server refuses notes of 1024 bytes and more.
const NOTE_LIMIT: usize = 1000;

/// Pause between two Events.
///
/// The Events of 500 simultaneous scale-ups would otherwise compete with the scale-ups for the API
/// server. The Events took longer than the scale-ups in a test with a real API server.
const PACE: Duration = Duration::from_millis(100);

/// Maximum number of waiting Events. The limit bounds the memory if the API server accepts no
/// Events for hours.
const WAITING: usize = 1000;

/// Maximum number of waiting Events of one namespace.
const OF_A_NAMESPACE: usize = 200;

/// Uid of the object, reason, and first word of the message. The first word names a target or a
/// machine group.
type Key = (String, String, String);

/// An Event in the queue.
#[derive(Debug)]
struct Waiting {
    /// Sort key: warnings come first, then the Event that has waited longest.
    turn: (bool, u64),
    about: ObjectReference,
    latest: Decision,
    count: u32,
}

/// Queue and writer of Kubernetes Events.
#[derive(Debug)]
pub struct Events {
    instance: String,
    queue: Mutex<Queue>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeMap<Key, Waiting>,
    turns: u64,
    dropped: u64,
    /// The turn at which a namespace with waiting Events was last served.
    served: BTreeMap<String, u64>,
}

impl Queue {
    /// Takes the next Event of the namespace that has waited longest.
    fn next(&mut self) -> Option<Waiting> {
        let served = |w: &Waiting| self.served.get(w.namespace()).copied().unwrap_or(0);
        let first = self.waiting.iter().min_by_key(|(_, w)| (served(w), w.turn));
        let key = first.map(|(key, _)| key.clone())?;
        let next = self.waiting.remove(&key)?;
        self.turns += 1;
        let namespace = next.namespace().to_owned();
        if self.of(&namespace) == 0 {
            self.served.remove(&namespace);
        } else {
            self.served.insert(namespace, self.turns);
        }
        Some(next)
    }

    /// Number of waiting Events of a namespace.
    fn of(&self, namespace: &str) -> usize {
        self.waiting.values().filter(|w| w.namespace() == namespace).count()
    }
}

impl Waiting {
    fn namespace(&self) -> &str {
        self.about.namespace.as_deref().unwrap_or_default()
    }
}

impl Events {
    /// Creates an empty queue. `instance` becomes the `reportingInstance` of each Event.
    #[must_use]
    pub fn new(instance: &str) -> Self {
        Self { instance: instance.to_owned(), queue: Mutex::default(), bell: Notify::new() }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Queue) -> T) -> T {
        f(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Queues a decision about an object. If the queue is full and has no Event with the same key,
    /// the decision gets no Event.
    pub fn tell(&self, about: &ObjectReference, decision: Decision) {
        let subject = decision.message.split(' ').next().unwrap_or_default().to_owned();
        let key = (about.uid.clone().unwrap_or_default(), decision.reason.clone(), subject);
        self.with(|queue| {
            queue.turns += 1;
            let turn = (!is_warning(&decision), queue.turns);
            if let Some(known) = queue.waiting.get_mut(&key) {
                known.latest = decision;
                known.count = known.count.saturating_add(1);
            } else if queue.waiting.len() < WAITING
                && queue.of(about.namespace.as_deref().unwrap_or_default()) < OF_A_NAMESPACE
            {
                let (about, latest) = (about.clone(), decision);
                queue.waiting.insert(key, Waiting { turn, about, latest, count: 1 });
            } else {
                queue.dropped += 1;
                if queue.dropped.is_power_of_two() {
                    warn!(dropped = queue.dropped, "events are not taken: the latest are not told");
                }
            }
        });
        self.bell.notify_one();
    }

    /// Writes the queued Events forever. An Event that the API server does not accept is lost.
    pub async fn run(&self, client: Client) {
        loop {
            let Some(next) = self.with(Queue::next) else {
                self.bell.notified().await;
                continue;
            };
            let namespace = next.about.namespace.clone().unwrap_or_default();
            let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
            let event = event(next, &self.instance);
            let params = PostParams::default();
            let written = tokio::time::timeout(crate::call::TIMEOUT, api.create(&params, &event));
            match written.await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => debug!(reason = event.reason, %error, "an event was not taken"),
                Err(_) => debug!(reason = event.reason, "an event was not taken in time"),
            }
            tokio::time::sleep(PACE).await;
        }
    }
}

fn event(told: Waiting, instance: &str) -> Event {
    let Waiting { about, latest, count, .. } = told;
    let more = if count > 1 { format!(" (the latest of {count})") } else { String::new() };
    let room = NOTE_LIMIT - more.len();
    let end = latest.message.floor_char_boundary(room);
    let cut = latest.message.get(..end).unwrap_or_default();
    let warning = is_warning(&latest);
    Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", about.name.as_deref().unwrap_or("primetime"))),
            namespace: about.namespace.clone(),
            ..ObjectMeta::default()
        },
        action: Some("Plan".to_owned()),
        event_time: micro_time(latest.time),
        note: Some(format!("{cut}{more}")),
        reason: Some(latest.reason),
        regarding: Some(about),
        reporting_controller: Some("primetime.dev/primetime".to_owned()),
        reporting_instance: Some(instance.to_owned()),
        type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(events: &Events, uid: &str, reason: &str, message: &str) {
        let about = ObjectReference { uid: Some(uid.into()), ..ObjectReference::default() };
        let time = chrono::DateTime::UNIX_EPOCH;
        events.tell(&about, Decision { time, reason: reason.into(), message: message.into() });
    }

    fn notes(events: &Events) -> Vec<String> {
        let told = std::iter::from_fn(|| events.with(Queue::next));
        told.filter_map(|w| event(w, "primetime-0").note).collect()
    }

    #[test]
    fn what_waits_is_told_once_with_the_latest_words_and_warnings_go_first() {
        let events = Events::new("primetime-0");
        said(&events, "a", "FloorRaised", "web 180 -> 212");
        said(&events, "a", "FloorRaised", "web 212 -> 225");
        said(&events, "a", "FloorRaised", "search 5 -> 90");
        said(&events, "a", "AtRisk", "web misses 3 pods");
        assert_eq!(
            notes(&events),
            ["web misses 3 pods", "web 212 -> 225 (the latest of 2)", "search 5 -> 90"]
        );
    }

    #[test]
    fn a_storm_in_one_namespace_delays_no_other_by_more_than_one_event() {
        let events = Events::new("primetime-0");
        let of = |namespace: &str, uid: &str, message: &str| {
            let (uid, namespace) = (Some(uid.into()), Some(namespace.into()));
            let about = ObjectReference { uid, namespace, ..ObjectReference::default() };
            let time = chrono::DateTime::UNIX_EPOCH;
            let (reason, message) = ("AtRisk".into(), message.into());
            events.tell(&about, Decision { time, reason, message });
        };
        (0..500).for_each(|n| of("bad", &n.to_string(), "storm"));
        of("shop", "a", "one");
        of("shop", "b", "two");
        let notes = notes(&events);
        assert_eq!(notes.len(), OF_A_NAMESPACE + 2, "the storm has its share");
        assert_eq!(notes[..4], ["storm", "one", "storm", "two"]);
    }

    #[test]
    fn notes_and_the_queue_are_bounded() {
        let events = Events::new("primetime-0");
        said(&events, "a", "FloorRaised", "long");
        said(&events, "a", "FloorRaised", &"long ".repeat(1000));
        assert_eq!(notes(&events).first().map(String::len), Some(NOTE_LIMIT));
        (0..2 * WAITING).for_each(|n| said(&events, &n.to_string(), "FloorRaised", "x"));
        assert_eq!(notes(&events).len(), OF_A_NAMESPACE);
        (0..2 * WAITING).for_each(|n| {
            let (uid, namespace) = (Some(n.to_string()), Some((n % 100).to_string()));
            let about = ObjectReference { uid, namespace, ..ObjectReference::default() };
            let time = chrono::DateTime::UNIX_EPOCH;
            let (reason, message) = ("FloorRaised".into(), "x".into());
            events.tell(&about, Decision { time, reason, message });
        });
        assert_eq!(notes(&events).len(), WAITING);
    }
}
