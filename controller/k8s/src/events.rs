//! Kubernetes Events: the decision log where `kubectl describe` shows it.
//!
//! Events come after everything else: one at a time, ten a second at most. What is said of the same object with the same
//! reason while it waits is told once, with the latest words; the decision log in the run has the rest.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use primetime_core::decision::Decision;
use tokio::sync::Notify;
use tracing::debug;

use crate::lease::micro_time;

/// Reasons that a person should look at.
const WARNINGS: [&str; 3] = ["AtRisk", "MachinesShort", "SignalUnknown"];

/// The API refuses notes of 1024 bytes and more.
const NOTE_LIMIT: usize = 1000;

/// Between two events. 500 raises at one instant would otherwise compete with their own news: on a real API server the
/// events took longer than the raises.
const PACE: Duration = Duration::from_millis(100);

/// More are not kept waiting: an API server that takes no events for hours must not fill the memory.
const WAITING: usize = 1000;

/// An event that waits to be told.
#[derive(Debug)]
struct Waiting {
    about: ObjectReference,
    latest: Decision,
    count: u32,
}

/// Tells events.
#[derive(Debug)]
pub struct Events {
    instance: String,
    /// By uid of the object and reason.
    waiting: Mutex<BTreeMap<(String, String), Waiting>>,
    bell: Notify,
}

impl Events {
    /// Nothing to tell yet. `instance` names this process in what it tells.
    #[must_use]
    pub fn new(instance: &str) -> Self {
        Self { instance: instance.to_owned(), waiting: Mutex::default(), bell: Notify::new() }
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<(String, String), Waiting>) -> T) -> T {
        f(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a decision about an object among those to be told.
    pub fn tell(&self, about: &ObjectReference, decision: Decision) {
        let key = (about.uid.clone().unwrap_or_default(), decision.reason.clone());
        self.with(|waiting| {
            if let Some(known) = waiting.get_mut(&key) {
                known.latest = decision;
                known.count = known.count.saturating_add(1);
            } else if waiting.len() < WAITING {
                waiting.insert(key, Waiting { about: about.clone(), latest: decision, count: 1 });
            }
        });
        self.bell.notify_one();
    }

    /// Tells what waits, for ever. An event that cannot be written is lost.
    pub async fn run(&self, client: Client) {
        loop {
            let Some((_, next)) = self.with(BTreeMap::pop_first) else {
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
    let Waiting { about, latest, count } = told;
    let more = if count > 1 { format!(" (the latest of {count})") } else { String::new() };
    let room = NOTE_LIMIT - more.len();
    let end = latest.message.floor_char_boundary(room);
    let cut = latest.message.get(..end).unwrap_or_default();
    let warning = WARNINGS.contains(&latest.reason.as_str());
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
        let told = events.with(std::mem::take);
        told.into_values().filter_map(|w| event(w, "primetime-0").note).collect()
    }

    #[test]
    fn what_waits_with_the_same_reason_is_told_once_with_the_latest_words() {
        let events = Events::new("primetime-0");
        said(&events, "a", "FloorRaised", "web 180 -> 212");
        said(&events, "a", "FloorRaised", "web 212 -> 225");
        said(&events, "a", "AtRisk", "3 pods are missing");
        said(&events, "b", "FloorRaised", "search 5 -> 90");
        assert_eq!(
            notes(&events),
            ["3 pods are missing", "web 212 -> 225 (the latest of 2)", "search 5 -> 90"]
        );
    }

    #[test]
    fn notes_and_the_queue_are_bounded() {
        let events = Events::new("primetime-0");
        said(&events, "a", "FloorRaised", "short");
        said(&events, "a", "FloorRaised", &"long ".repeat(1000));
        assert_eq!(notes(&events).first().map(String::len), Some(NOTE_LIMIT));
        (0..2 * WAITING).for_each(|n| said(&events, &n.to_string(), "FloorRaised", "x"));
        assert_eq!(notes(&events).len(), WAITING);
    }
}
