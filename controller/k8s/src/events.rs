//! Kubernetes Events: the decision log where `kubectl describe` shows it.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use primetime_core::decision::Decision;
use tracing::debug;

/// Reasons that a person should look at.
const WARNINGS: [&str; 3] = ["AtRisk", "MachinesShort", "SignalUnknown"];

/// The API refuses longer notes.
const NOTE_LIMIT: usize = 1000;

/// Writes events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// One recorder for the whole process: it folds repeats.
    #[must_use]
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter =
            Reporter { controller: "primetime".into(), instance: Some(identity.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Tells a decision about an object. An event that cannot be written is lost; the decision log has it too.
    pub async fn tell(&self, about: &ObjectReference, decision: &Decision) {
        let warning = WARNINGS.contains(&decision.reason.as_str());
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: decision.reason.clone(),
            note: Some(decision.message.chars().take(NOTE_LIMIT).collect()),
            action: "Plan".to_owned(),
            secondary: None,
        };
        let written =
            tokio::time::timeout(crate::call::TIMEOUT, self.recorder.publish(&event, about)).await;
        if !matches!(written, Ok(Ok(()))) {
            debug!(reason = decision.reason, "an event could not be written");
        }
    }
}
